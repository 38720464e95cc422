//! The head of a request. The request line is read here, because an info-hash may hold any byte
//! raw and `httparse` takes UTF-8 targets only; the header fields behind it are left to `httparse`.
//!
//! What cannot become a request any more is a [`HeadFault`] at its first wrong byte: whoever sends
//! something else (a DHT message, a TLS hello, a handshake between peers) does not go on talking,
//! and would otherwise be waited for.

use httparse::{EMPTY_HEADER, Status, parse_headers};

pub use super::fields::Encodings;
use super::fields::Said;
use super::{position, split_once};

/// Most header fields of a request. Clients send fewer than ten, proxies add a few.
const FIELDS_MAX: usize = 64;

/// Longest method; the longest registered one, `UPDATEREDIRECTREF`, is of no use to anybody here.
const METHOD_LEN_MAX: usize = 16;

/// A request up to its empty line, borrowed from the bytes it was read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head<'a> {
    /// What to do with the target.
    pub method: Method,
    /// What is asked for.
    pub target: Target<'a>,
    /// The client goes on with this connection: HTTP/1.1 unless it says `close`, HTTP/1.0 only if
    /// it says `keep-alive`.
    pub keep_alive: bool,
    /// An HTTP/1.0 client that goes on must be told so with `Connection: keep-alive`.
    pub announce_keep_alive: bool,
    /// How the body of the response may be compressed.
    pub accepts: Encodings,
    /// A body follows, or it is unclear where the request ends: a `Content-Length` other than 0
    /// or any `Transfer-Encoding`. The next request is then not to be found.
    pub has_body: bool,
    fields: &'a [u8],
}

/// The methods that a tracker tells apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// The head of a response and its body.
    Get,
    /// The head of a response alone.
    Head,
    /// Anything else.
    Other,
}

/// What a request asks for, without host and fragment. Still escaped, any bytes but controls and
/// spaces, those of 0x80 and above included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target<'a> {
    /// The path up to the first `?`; `/` when the client names a host only.
    pub path: &'a [u8],
    /// What follows the first `?`, if there is one.
    pub query: Option<&'a [u8]>,
}

/// Why bytes are not, and cannot become, the head of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeadFault {
    /// They do not begin with a method: another protocol.
    NotHttp,
    /// They begin as a TLS connection does.
    TlsHello,
    /// A request line or header field that breaks the rules.
    BadHead,
    /// More than 64 header fields.
    TooManyHeaders,
    /// A version of HTTP other than 1.0 and 1.1.
    Version,
}

impl HeadFault {
    /// Every fault, in the order of the counters.
    pub const ALL: [Self; 5] = [
        Self::NotHttp,
        Self::TlsHello,
        Self::BadHead,
        Self::TooManyHeaders,
        Self::Version,
    ];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotHttp => "not_http",
            Self::TlsHello => "tls_hello",
            Self::BadHead => "bad_head",
            Self::TooManyHeaders => "too_many_headers",
            Self::Version => "version",
        }
    }
}

/// Reads the head that `bytes` begin with, after any empty lines, and tells how many bytes it
/// takes. None: it is not complete yet. How long it may become is the caller's affair.
pub fn parse(bytes: &[u8]) -> Result<Option<(Head<'_>, usize)>, HeadFault> {
    let Some((line, rest)) = request_line(bytes)? else {
        return Ok(None);
    };
    let mut headers = [EMPTY_HEADER; FIELDS_MAX];
    let (len, headers) = match parse_headers(rest, &mut headers) {
        Ok(Status::Complete(complete)) => complete,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadFault::TooManyHeaders),
        Err(_) => return Err(HeadFault::BadHead),
    };
    let said = Said::by(headers);
    let keep_alive = !said.close && (line.is_1_1 || said.keep_alive);
    let head = Head {
        method: line.method,
        target: Target::split(line.target),
        keep_alive,
        announce_keep_alive: keep_alive && !line.is_1_1,
        accepts: said.accepts,
        has_body: said.has_body,
        fields: &rest[..len],
    };
    Ok(Some((head, bytes.len() - rest.len() + len)))
}

impl<'a> Head<'a> {
    /// The values of all header fields of this name, in any case, in their order.
    pub fn values(&self, name: &str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        // `parse` has seen that every line but the empty one at the end is a name and a value.
        self.fields
            .split(|&byte| byte == b'\n')
            .filter_map(|line| split_once(line, b':'))
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value.trim_ascii())
    }
}

struct RequestLine<'a> {
    method: Method,
    target: &'a [u8],
    is_1_1: bool,
}

/// The request line and what follows it; None while more bytes are needed to tell.
fn request_line(bytes: &[u8]) -> Result<Option<(RequestLine<'_>, &[u8])>, HeadFault> {
    let Some(rest) = skip_empty_lines(bytes)? else {
        return Ok(None);
    };
    let Some((method, rest)) = split_method(rest)? else {
        return Ok(None);
    };
    let Some(end) = position(rest, |byte| byte <= b' ' || byte == 0x7f) else {
        return Ok(None);
    };
    let (target, rest) = rest.split_at(end);
    let rest = match rest {
        [b' ', rest @ ..] if !target.is_empty() => rest,
        _ => return Err(HeadFault::BadHead),
    };
    let Some((is_1_1, rest)) = split_version(rest)? else {
        return Ok(None);
    };
    let line = RequestLine {
        method,
        target,
        is_1_1,
    };
    match rest {
        [] | [b'\r'] => Ok(None),
        [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..] => Ok(Some((line, rest))),
        _ => Err(HeadFault::BadHead),
    }
}

fn skip_empty_lines(mut bytes: &[u8]) -> Result<Option<&[u8]>, HeadFault> {
    loop {
        bytes = match bytes {
            [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..] => rest,
            [b'\r'] => return Ok(None),
            [b'\r', ..] => return Err(HeadFault::NotHttp),
            _ => return Ok(Some(bytes)),
        }
    }
}

fn split_method(bytes: &[u8]) -> Result<Option<(Method, &[u8])>, HeadFault> {
    let letters = bytes
        .iter()
        .take(METHOD_LEN_MAX + 1)
        .take_while(|byte| byte.is_ascii_uppercase())
        .count();
    let (method, rest) = bytes.split_at(letters);
    match rest {
        [] if letters <= METHOD_LEN_MAX => Ok(None),
        [b' ', rest @ ..] if (1..=METHOD_LEN_MAX).contains(&letters) => {
            let method = match method {
                b"GET" => Method::Get,
                b"HEAD" => Method::Head,
                _ => Method::Other,
            };
            Ok(Some((method, rest)))
        }
        // A handshake record of SSL 3 or any TLS; nothing else begins with this byte.
        [0x16] | [0x16, 3, ..] => Err(HeadFault::TlsHello),
        _ => Err(HeadFault::NotHttp),
    }
}

/// True for HTTP/1.1, false for HTTP/1.0.
fn split_version(bytes: &[u8]) -> Result<Option<(bool, &[u8])>, HeadFault> {
    match bytes.split_first_chunk() {
        Some((b"HTTP/1.1", rest)) => Ok(Some((true, rest))),
        Some((b"HTTP/1.0", rest)) => Ok(Some((false, rest))),
        None if b"HTTP/1.".starts_with(bytes) => Ok(None),
        _ if bytes.starts_with(b"HTTP/") => Err(HeadFault::Version),
        _ => Err(HeadFault::BadHead),
    }
}

impl<'a> Target<'a> {
    /// Path and query of a request's target, or of any URL: what stands before the path and behind a `#`
    /// does not matter.
    pub fn split(raw: &'a [u8]) -> Self {
        let (raw, _fragment) = split_once(raw, b'#').unwrap_or((raw, b""));
        let raw = strip_origin(raw);
        let (path, query) = match split_once(raw, b'?') {
            Some((path, query)) => (path, Some(query)),
            None => (raw, None),
        };
        let path = if path.is_empty() { b"/" } else { path };
        Self { path, query }
    }
}

/// What follows scheme and host, which clients write before the path when they believe that they
/// talk to a proxy.
fn strip_origin(raw: &[u8]) -> &[u8] {
    for scheme in ["http://", "https://"] {
        if let Some((start, rest)) = raw.split_at_checked(scheme.len())
            && start.eq_ignore_ascii_case(scheme.as_bytes())
        {
            let end = position(rest, |byte| byte == b'/' || byte == b'?').unwrap_or(rest.len());
            return &rest[end..];
        }
    }
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Head<'_> {
        let (head, len) = parse(bytes).unwrap().unwrap();
        assert_eq!(len, bytes.len());
        head
    }

    fn with(fields: &str) -> Head<'static> {
        read(
            format!("GET /announce HTTP/1.1\r\n{fields}\r\n")
                .leak()
                .as_bytes(),
        )
    }

    fn target(target: &str) -> (&'static [u8], Option<&'static [u8]>) {
        let target = read(format!("GET {target} HTTP/1.1\r\n\r\n").leak().as_bytes()).target;
        (target.path, target.query)
    }

    #[test]
    fn a_head_ends_with_its_empty_line() {
        let bytes = b"GET /scrape?x HTTP/1.1\r\nHost: t\r\n\r\nGET /next";
        let (head, len) = parse(bytes).unwrap().unwrap();
        assert_eq!(&bytes[len..], b"GET /next");
        assert_eq!(head.method, Method::Get);
        assert_eq!(head.target.path, b"/scrape");
        assert_eq!(head.target.query, Some(b"x".as_slice()));
        assert!(head.keep_alive && !head.announce_keep_alive && !head.has_body);
        assert_eq!(head.accepts, Encodings::default());
    }

    #[test]
    fn bare_newlines_and_leading_empty_lines_are_tolerated() {
        let head = read(b"\r\n\n\r\nHEAD / HTTP/1.0\nhost: t\n\n");
        assert_eq!(head.method, Method::Head);
        assert_eq!(head.values("Host").next(), Some(b"t".as_slice()));
        assert_eq!(read(b"BREW / HTTP/1.1\r\n\r\n").method, Method::Other);
    }

    #[test]
    fn a_target_is_split_at_its_first_question_mark() {
        assert_eq!(target("/announce"), (b"/announce".as_slice(), None));
        assert_eq!(target("/a?"), (b"/a".as_slice(), Some(b"".as_slice())));
        assert_eq!(
            target("/a?b?c=d"),
            (b"/a".as_slice(), Some(b"b?c=d".as_slice()))
        );
        assert_eq!(
            target("/a?b#c?d"),
            (b"/a".as_slice(), Some(b"b".as_slice()))
        );
        assert_eq!(target("*"), (b"*".as_slice(), None));
    }

    #[test]
    fn scheme_and_host_before_the_path_are_skipped() {
        let query = Some(b"x=http://y/".as_slice());
        assert_eq!(
            target("http://h:80/a?x=http://y/"),
            (b"/a".as_slice(), query)
        );
        assert_eq!(target("HTTPS://h?x=http://y/"), (b"/".as_slice(), query));
        assert_eq!(target("http://h"), (b"/".as_slice(), None));
        assert_eq!(target("/http://h"), (b"/http://h".as_slice(), None));
    }

    #[test]
    fn any_byte_from_0x80_may_stand_raw_in_a_target_but_no_control() {
        let head = read(b"GET /a?\x80\xff\xc3( HTTP/1.0\r\n\r\n");
        assert_eq!(head.target.query, Some(b"\x80\xff\xc3(".as_slice()));
        for byte in (0..0x20).chain([0x7f]) {
            let mut bytes = b"GET /0123456789abcdef? HTTP/1.1\r\n\r\n".to_vec();
            bytes[22] = byte;
            assert_eq!(parse(&bytes), Err(HeadFault::BadHead), "{byte}");
        }
    }

    #[test]
    fn a_bad_request_line_is_refused() {
        for line in [
            "GET  / HTTP/1.1\r\n",
            "GET /a b HTTP/1.1\r\n",
            "GET /announce\r\n",
            "GET / http/1.1\r\n",
            "GET / HTTP/1.1 \r\n",
            "GET / HTTP/1.1\rX",
            "GET / HTTX",
            "GET / X",
        ] {
            assert_eq!(parse(line.as_bytes()), Err(HeadFault::BadHead), "{line}");
        }
        for line in [
            "GET / HTTP/2.0\r\n",
            "PRI * HTTP/2",
            "GET / HTTP/1.2",
            "GET / HTTP/0",
        ] {
            assert_eq!(parse(line.as_bytes()), Err(HeadFault::Version), "{line}");
        }
    }

    #[test]
    fn bad_header_fields_are_refused() {
        for fields in [
            ": x\r\n",
            "a b: c\r\n",
            " a: b\r\n",
            "a: \0\r\n",
            "a\r\n",
            "a: b\r\n c\r\n",
        ] {
            let bytes = format!("GET / HTTP/1.1\r\n{fields}\r\n");
            assert_eq!(
                parse(bytes.as_bytes()),
                Err(HeadFault::BadHead),
                "{fields:?}"
            );
        }
        assert_eq!(with(&"a: b\r\n".repeat(64)).values("a").count(), 64);
        let bytes = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65));
        assert_eq!(parse(bytes.as_bytes()), Err(HeadFault::TooManyHeaders));
    }

    #[test]
    fn another_protocol_is_known_by_its_first_wrong_byte() {
        let others: [&[u8]; 9] = [
            b"d1:ad2:id20:",
            b"d",
            b"\x13BitTorrent protocol",
            b"\x00\x00\x04\x17\x27\x10\x19\x80",
            b"SSH-",
            b"get /",
            b" GET",
            b"\rG",
            b"ABCDEFGHIJKLMNOPQ",
        ];
        for bytes in others {
            assert_eq!(parse(bytes), Err(HeadFault::NotHttp), "{bytes:?}");
        }
        for bytes in [b"\x16".as_slice(), b"\x16\x03", b"\x16\x03\x01\x02\x00\x01"] {
            assert_eq!(parse(bytes), Err(HeadFault::TlsHello), "{bytes:?}");
        }
        assert_eq!(parse(b"\x16\x04"), Err(HeadFault::NotHttp));
        assert_eq!(parse(b"ABCDEFGHIJKLMNOP"), Ok(None));
    }

    #[test]
    fn values_are_found_by_name_in_any_case_and_in_order() {
        let head = with("X-Real-IP: a\r\nx: y\r\nx-real-ip:\tb: c \r\nX-REAL-IP:\r\n");
        let values: Vec<_> = head.values("X-Real-Ip").collect();
        assert_eq!(values, [b"a".as_slice(), b"b: c", b""]);
        assert_eq!(head.values("x-real-ip").next_back(), Some(b"".as_slice()));
        assert_eq!(head.values("X").count(), 1);
        assert_eq!(head.values("").count(), 0);
    }

    #[test]
    fn every_fault_has_a_name_of_its_own() {
        let names = HeadFault::ALL.map(HeadFault::name);
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{name}");
        }
    }
}
