//! Responses. Few header fields, as some clients break on many: never a date, never a name.

/// The statuses that a tracker answers with. What is wrong with an announce or a scrape is told in
/// a bencoded body with status 200, since clients do not read the body of any other; only who asks too
/// often gets one that proxies understand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// 200, refused announces and scrapes included.
    Ok,
    /// 301, with a [`Location`].
    MovedPermanently,
    /// 400: not a request.
    BadRequest,
    /// 404: no such path.
    NotFound,
    /// 405: neither GET nor HEAD.
    MethodNotAllowed,
    /// 408: the head did not arrive in time.
    RequestTimeout,
    /// 429: too many requests, with a time to wait.
    TooManyRequests,
    /// 431: the head is too long.
    HeadTooLarge,
    /// 503: not now.
    ServiceUnavailable,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::MovedPermanently,
        Self::BadRequest,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::TooManyRequests,
        Self::HeadTooLarge,
        Self::ServiceUnavailable,
    ];

    /// Its number.
    pub fn code(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::MovedPermanently => 301,
            Self::BadRequest => 400,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::TooManyRequests => 429,
            Self::HeadTooLarge => 431,
            Self::ServiceUnavailable => 503,
        }
    }

    fn line(self) -> &'static str {
        match self {
            Self::Ok => "HTTP/1.1 200 OK\r\n",
            Self::MovedPermanently => "HTTP/1.1 301 Moved Permanently\r\n",
            Self::BadRequest => "HTTP/1.1 400 Bad Request\r\n",
            Self::NotFound => "HTTP/1.1 404 Not Found\r\n",
            Self::MethodNotAllowed => "HTTP/1.1 405 Method Not Allowed\r\n",
            Self::RequestTimeout => "HTTP/1.1 408 Request Timeout\r\n",
            Self::TooManyRequests => "HTTP/1.1 429 Too Many Requests\r\n",
            Self::HeadTooLarge => "HTTP/1.1 431 Request Header Fields Too Large\r\n",
            Self::ServiceUnavailable => "HTTP/1.1 503 Service Unavailable\r\n",
        }
    }
}

/// What becomes of the connection behind a response, and how the client learns of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connection {
    /// It stays open, as HTTP/1.1 takes for granted.
    KeepAliveImplied,
    /// It stays open, which an HTTP/1.0 client has to be told.
    KeepAliveSaid,
    /// It is closed.
    Close,
}

/// How a body is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// gzip, RFC 1952.
    Gzip,
    /// Zstandard, RFC 8878.
    Zstd,
}

/// Where a redirect leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Location<'a> {
    /// Scheme and host, such as `https://tracker.example`.
    pub base: &'a str,
    /// Path and query as the client sent them. What may not stand in a header field is escaped.
    pub target: &'a [u8],
}

/// The head of a response. At most eight header fields come of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResponseHead<'a> {
    /// How it went.
    pub status: Status,
    /// What the body is.
    pub content_type: &'static str,
    /// Bytes of the body as it is sent, also where a HEAD keeps it back. Without it the body ends
    /// with the connection, which must then be [`Connection::Close`].
    pub content_length: Option<u64>,
    /// What becomes of the connection.
    pub connection: Connection,
    /// How the body is compressed.
    pub encoding: Option<Encoding>,
    /// The body depends on what the client accepts, so caches must keep the forms apart.
    pub vary: bool,
    /// Where to ask instead.
    pub location: Option<Location<'a>>,
    /// Tell which methods there are: 405 must.
    pub allow: bool,
    /// Seconds to wait before the next request.
    pub retry_after_s: Option<u32>,
}

impl ResponseHead<'_> {
    /// A head for plain text, which bencoded bodies go under, and nothing special.
    pub fn new(status: Status, connection: Connection) -> Self {
        Self {
            status,
            content_type: "text/plain",
            content_length: None,
            connection,
            encoding: None,
            vary: false,
            location: None,
            allow: matches!(status, Status::MethodNotAllowed),
            retry_after_s: None,
        }
    }
}

/// Appends a head and its body, whose length the head then tells.
pub fn write_response(out: &mut Vec<u8>, head: &ResponseHead<'_>, body: &[u8]) {
    let content_length = Some(body.len() as u64);
    write_head(
        out,
        &ResponseHead {
            content_length,
            ..*head
        },
    );
    out.extend_from_slice(body);
}

/// Appends a head, its empty line included.
pub fn write_head(out: &mut Vec<u8>, head: &ResponseHead<'_>) {
    let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
    put(head.status.line());
    put("Content-Type: ");
    put(head.content_type);
    put("\r\n");
    if let Some(len) = head.content_length {
        put("Content-Length: ");
        put(itoa::Buffer::new().format(len));
        put("\r\n");
    }
    match head.connection {
        Connection::KeepAliveImplied => {}
        Connection::KeepAliveSaid => put("Connection: keep-alive\r\n"),
        Connection::Close => put("Connection: close\r\n"),
    }
    match head.encoding {
        Some(Encoding::Gzip) => put("Content-Encoding: gzip\r\n"),
        Some(Encoding::Zstd) => put("Content-Encoding: zstd\r\n"),
        None => {}
    }
    if head.vary {
        put("Vary: Accept-Encoding\r\n");
    }
    if head.allow {
        put("Allow: GET, HEAD\r\n");
    }
    if let Some(seconds) = head.retry_after_s {
        put("Retry-After: ");
        put(itoa::Buffer::new().format(seconds));
        put("\r\n");
    }
    if let Some(location) = head.location {
        put("Location: ");
        write_escaped(out, location.base.as_bytes());
        write_escaped(out, location.target);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Controls would end the field and begin another, spaces would end the URL, and clients disagree
/// about bytes beyond ASCII. All of them mean the same when they are escaped.
fn write_escaped(out: &mut Vec<u8>, url: &[u8]) {
    for &byte in url {
        if byte.is_ascii_graphic() {
            out.push(byte);
        } else {
            let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 0xf)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(head: &ResponseHead<'_>) -> String {
        let mut out = Vec::new();
        write_head(&mut out, head);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_response_tells_the_length_of_its_body() {
        let mut out = b"before".to_vec();
        let head = ResponseHead::new(Status::Ok, Connection::KeepAliveImplied);
        write_response(&mut out, &head, b"0123456789");
        assert_eq!(
            out,
            b"beforeHTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\n\
              0123456789"
        );
    }

    #[test]
    fn a_head_without_a_length_names_none() {
        let head = ResponseHead::new(Status::NotFound, Connection::Close);
        assert_eq!(
            written(&head),
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn the_fullest_head_has_seven_fields() {
        let head = ResponseHead {
            content_type: "text/html",
            content_length: Some(u64::MAX),
            connection: Connection::KeepAliveSaid,
            encoding: Some(Encoding::Zstd),
            vary: true,
            location: Some(Location {
                base: "https://t.example",
                target: b"/announce?x=%ff",
            }),
            ..ResponseHead::new(Status::MethodNotAllowed, Connection::Close)
        };
        assert_eq!(
            written(&head),
            "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/html\r\n\
             Content-Length: 18446744073709551615\r\nConnection: keep-alive\r\n\
             Content-Encoding: zstd\r\nVary: Accept-Encoding\r\nAllow: GET, HEAD\r\n\
             Location: https://t.example/announce?x=%ff\r\n\r\n"
        );
    }

    #[test]
    fn a_redirect_takes_no_header_field_from_the_client() {
        let head = ResponseHead {
            location: Some(Location {
                base: "http://t",
                target: b"/a?\r\nSet-Cookie: x\0\x7f\x80\xff~",
            }),
            ..ResponseHead::new(Status::MovedPermanently, Connection::Close)
        };
        assert_eq!(
            written(&head),
            "HTTP/1.1 301 Moved Permanently\r\nContent-Type: text/plain\r\nConnection: close\r\n\
             Location: http://t/a?%0D%0ASet-Cookie:%20x%00%7F%80%FF~\r\n\r\n"
        );
    }

    #[test]
    fn every_status_line_begins_with_its_number() {
        for status in Status::ALL {
            let start = format!("HTTP/1.1 {} ", status.code());
            assert!(status.line().starts_with(&start), "{start}");
            assert!(status.line().ends_with("\r\n"), "{start}");
        }
    }
}
