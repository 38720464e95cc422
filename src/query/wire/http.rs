//! One connection to a tracker: raw bytes out, one response at a time in.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::tls::{self, Tls};
use super::{HEAD_LEN_MAX, RESPONSE_LEN_MAX};
use crate::query::failure::{Deadline, Failure, Kind, printable};

/// Most header fields of a response.
const FIELDS_MAX: usize = 128;

/// Bytes that one read takes.
const READ_LEN: usize = 16 << 10;

/// A connection, over TLS or not.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    /// All that has come.
    received: Vec<u8>,
    /// How much of it earlier responses have taken.
    taken: usize,
    /// Most bytes of a body.
    body_len_max: usize,
}

#[derive(Debug)]
enum Stream {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

/// How a response says where its body ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// It can have no body: HEAD, 204, 304.
    None,
    /// `Content-Length`.
    Length,
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Not at all: it ends with the connection.
    UntilClose,
}

/// One response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// The minor version: 0 of HTTP/1.0, 1 of HTTP/1.1.
    pub minor_version: u8,
    /// The status, such as 200.
    pub status: u16,
    /// What stands behind the status.
    pub reason: String,
    /// Names in lower case and values, in order.
    pub fields: Vec<(String, Vec<u8>)>,
    /// How the end of the body was found.
    pub framing: Framing,
    /// The body without its framing, still compressed if it came so: see [`Response::content`].
    pub body: Vec<u8>,
}

impl Response {
    /// The value of the first field of this name, which is in lower case.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        let mut named = self.fields.iter().filter(|(known, _)| known == name);
        named.next().map(|(_, value)| value.as_slice())
    }

    /// The same as a line of text.
    pub fn field_text(&self, name: &str) -> Option<String> {
        self.field(name).map(printable)
    }

    /// Whether the tracker leaves the connection open for another request.
    pub fn keeps_alive(&self) -> bool {
        let connection = self.field("connection").unwrap_or_default();
        let says = |word: &[u8]| {
            connection
                .split(|byte| *byte == b',')
                .any(|token| token.trim_ascii().eq_ignore_ascii_case(word))
        };
        match self.framing {
            Framing::UntilClose => false,
            _ if self.minor_version == 0 => says(b"keep-alive"),
            _ => !says(b"close"),
        }
    }

    /// The body, decompressed when `Content-Encoding` says gzip or zstd.
    pub fn content(&self) -> Result<Vec<u8>, Failure> {
        let encoding = self.field("content-encoding").unwrap_or_default();
        let encoding = encoding.trim_ascii().to_ascii_lowercase();
        let body = self.body.as_slice();
        match encoding.as_slice() {
            b"" | b"identity" => Ok(body.to_vec()),
            b"gzip" | b"x-gzip" => unpack("gzip", flate2::read::MultiGzDecoder::new(body)),
            b"deflate" => unpack("deflate", flate2::read::ZlibDecoder::new(body)),
            b"zstd" => match zstd::stream::read::Decoder::new(body) {
                Ok(decoder) => unpack("zstd", decoder),
                Err(error) => Err(broken("zstd", &error)),
            },
            other => Err(Failure::new(
                Kind::Malformed,
                format!("the body has the unknown encoding {}", printable(other)),
            )),
        }
    }
}

/// Reads one byte more than may be, to see whether there is one.
fn unpack(name: &str, from: impl Read) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    from.take(RESPONSE_LEN_MAX as u64 + 1)
        .read_to_end(&mut content)
        .map_err(|error| broken(name, &error))?;
    if content.len() > RESPONSE_LEN_MAX {
        return Err(too_large("the decompressed body", RESPONSE_LEN_MAX));
    }
    Ok(content)
}

fn broken(name: &str, error: &io::Error) -> Failure {
    Failure::new(Kind::Malformed, format!("the {name} is broken: {error}"))
}

fn too_large(what: &str, len_max: usize) -> Failure {
    let text = format!("{what} has more than {len_max} bytes");
    Failure::new(Kind::TooLarge, text)
}

impl Connection {
    /// Connects, and shakes hands when `tls` is there; the name is the one the certificate must have.
    pub fn open(
        to: SocketAddr,
        tls: Option<(&Tls, &str)>,
        deadline: Deadline,
    ) -> Result<Self, Failure> {
        let Some(left) = deadline.left() else {
            return Err(Failure::timed_out("the connection"));
        };
        let stream = TcpStream::connect_timeout(&to, left)
            .map_err(|error| Failure::of_io(&error, "the connection"))?;
        // Requests are written whole, so there is nothing to wait for.
        let _ = stream.set_nodelay(true);
        let mut stream = Timed { stream, deadline };
        let stream = match tls {
            None => Stream::Plain(stream),
            Some((tls, name)) => {
                let name = ServerName::try_from(name.to_owned()).map_err(|_| {
                    Failure::new(Kind::Tls, format!("no certificate can be for {name}"))
                })?;
                let mut session = ClientConnection::new(Arc::clone(&tls.config), name)
                    .map_err(|error| tls::failure(&error))?;
                while session.is_handshaking() {
                    session
                        .complete_io(&mut stream)
                        .map_err(|error| failure(&error, "the TLS handshake"))?;
                }
                Stream::Tls(Box::new(StreamOwned::new(session, stream)))
            }
        };
        Ok(Self {
            stream,
            received: Vec::new(),
            taken: 0,
            body_len_max: RESPONSE_LEN_MAX,
        })
    }

    /// Takes bodies of up to `len` bytes, where more than an answer to a client is expected.
    #[must_use]
    pub fn with_bodies_of(mut self, len: usize) -> Self {
        self.body_len_max = len;
        self
    }

    /// Sends these bytes.
    pub fn send(&mut self, bytes: &[u8], deadline: Deadline) -> Result<(), Failure> {
        let sent = match &mut self.stream {
            Stream::Plain(stream) => {
                stream.deadline = deadline;
                stream.write_all(bytes)
            }
            Stream::Tls(stream) => {
                stream.sock.deadline = deadline;
                stream.write_all(bytes).and_then(|()| stream.flush())
            }
        };
        sent.map_err(|error| failure(&error, "the request was sent"))
    }

    /// All bytes that have come so far, inside TLS if there is TLS.
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// Waits for more; 0 when the other side has closed. They are then in [`Connection::received`].
    pub fn read_more(&mut self, deadline: Deadline) -> Result<usize, Failure> {
        let mut bytes = [0; READ_LEN];
        let read = match &mut self.stream {
            Stream::Plain(stream) => {
                stream.deadline = deadline;
                stream.read(&mut bytes)
            }
            Stream::Tls(stream) => {
                stream.sock.deadline = deadline;
                match stream.read(&mut bytes) {
                    // Closed without the farewell of TLS; a body shows itself whether it is whole.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                    read => read,
                }
            }
        };
        match read {
            Ok(len) => {
                self.received.extend_from_slice(&bytes[..len]);
                Ok(len)
            }
            Err(error) => Err(failure(&error, "the response was whole")),
        }
    }

    /// Whether the tracker closes before the deadline. One that speaks on for longer than any response does not.
    pub fn ends(&mut self, deadline: Deadline) -> bool {
        let begun = self.received.len();
        while self.received.len() - begun <= RESPONSE_LEN_MAX {
            match self.read_more(deadline) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(failure) => return failure.kind == Kind::Closed,
            }
        }
        false
    }

    /// The next response.
    pub fn response(&mut self, deadline: Deadline) -> Result<Response, Failure> {
        self.read_response(true, deadline)
    }

    /// The next response, to a request with HEAD: whatever its fields say, no body follows.
    pub fn response_to_head(&mut self, deadline: Deadline) -> Result<Response, Failure> {
        self.read_response(false, deadline)
    }

    fn read_response(&mut self, has_body: bool, deadline: Deadline) -> Result<Response, Failure> {
        let begun = self.taken;
        let mut response = loop {
            let head = self.read_head(deadline)?;
            // 100 and its like announce the response proper.
            if !(100..200).contains(&head.status) {
                break head;
            }
            if self.taken - begun > HEAD_LEN_MAX {
                return Err(too_large("what comes before the response", HEAD_LEN_MAX));
            }
        };
        if !has_body || matches!(response.status, 204 | 304) {
            return Ok(response);
        }
        let codings = response.field("transfer-encoding").unwrap_or_default();
        if codings.to_ascii_lowercase().ends_with(b"chunked") {
            response.framing = Framing::Chunked;
            response.body = self.read_chunks(deadline)?;
        } else if let Some(len) = response.field("content-length") {
            let text = printable(len);
            let len = text.parse().map_err(|_| {
                Failure::new(Kind::Malformed, format!("{text} is no Content-Length"))
            })?;
            response.framing = Framing::Length;
            response.body = self.read_exactly(len, deadline)?;
        } else {
            response.framing = Framing::UntilClose;
            response.body = self.read_to_end(deadline)?;
        }
        Ok(response)
    }

    fn read_head(&mut self, deadline: Deadline) -> Result<Response, Failure> {
        loop {
            let ahead = &self.received[self.taken..];
            let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
            let mut head = httparse::Response::new(&mut fields);
            match httparse::ParserConfig::default().parse_response(&mut head, ahead) {
                Ok(httparse::Status::Complete(len)) => {
                    let response = Response {
                        minor_version: head.version.unwrap_or(0),
                        status: head.code.unwrap_or(0),
                        reason: printable(head.reason.unwrap_or("").as_bytes()),
                        fields: head
                            .headers
                            .iter()
                            .map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec()))
                            .collect(),
                        framing: Framing::None,
                        body: Vec::new(),
                    };
                    self.taken += len;
                    return Ok(response);
                }
                Ok(httparse::Status::Partial) if ahead.len() >= HEAD_LEN_MAX => {
                    let text = format!("the head has more than {HEAD_LEN_MAX} bytes");
                    return Err(Failure::new(Kind::TooLarge, text));
                }
                Ok(httparse::Status::Partial) => {
                    let waiting = if ahead.is_empty() {
                        "a response"
                    } else {
                        "the whole head of the response"
                    };
                    self.want_more(waiting, deadline)?;
                }
                Err(error) => {
                    let start = printable(&ahead[..ahead.len().min(40)]);
                    return Err(Failure::new(
                        Kind::Malformed,
                        format!("no HTTP response ({error}), it begins with \"{start}\""),
                    ));
                }
            }
        }
    }

    /// Waits for more, which there must be.
    fn want_more(&mut self, what: &str, deadline: Deadline) -> Result<(), Failure> {
        match self.read_more(deadline) {
            Ok(0) => Err(Failure::new(
                Kind::Closed,
                format!("the tracker closed the connection before {what} had come"),
            )),
            Ok(_) => Ok(()),
            Err(failure) if failure.kind == Kind::TimedOut => Err(Failure::timed_out(what)),
            Err(failure) => Err(failure),
        }
    }

    fn read_exactly(&mut self, len: usize, deadline: Deadline) -> Result<Vec<u8>, Failure> {
        if len > self.body_len_max {
            return Err(too_large("the body", self.body_len_max));
        }
        while self.received.len() - self.taken < len {
            self.want_more("the whole body", deadline)?;
        }
        let body = self.received[self.taken..self.taken + len].to_vec();
        self.taken += len;
        Ok(body)
    }

    fn read_to_end(&mut self, deadline: Deadline) -> Result<Vec<u8>, Failure> {
        loop {
            if self.received.len() - self.taken > self.body_len_max {
                return Err(too_large("the body", self.body_len_max));
            }
            match self.read_more(deadline) {
                Ok(0) => break,
                Ok(_) => {}
                Err(failure) if failure.kind == Kind::TimedOut => {
                    return Err(Failure::timed_out(
                        "the end of a body without Content-Length",
                    ));
                }
                Err(failure) => return Err(failure),
            }
        }
        let body = self.received[self.taken..].to_vec();
        self.taken = self.received.len();
        Ok(body)
    }

    fn read_chunks(&mut self, deadline: Deadline) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        let start = self.taken;
        loop {
            // Sizes and their extensions count too.
            if body.len() > self.body_len_max || self.taken - start > 2 * self.body_len_max {
                return Err(too_large("the body", self.body_len_max));
            }
            match httparse::parse_chunk_size(&self.received[self.taken..]) {
                Ok(httparse::Status::Complete((len, size))) => {
                    self.taken += len;
                    if size == 0 {
                        self.skip_trailers(deadline)?;
                        return Ok(body);
                    }
                    let size = usize::try_from(size).unwrap_or(usize::MAX);
                    body.extend(self.read_exactly(size, deadline)?);
                    if self.read_exactly(2, deadline)? != b"\r\n" {
                        return Err(bad_chunk());
                    }
                }
                Ok(httparse::Status::Partial)
                    if self.received.len() - self.taken < HEAD_LEN_MAX =>
                {
                    self.want_more("the last chunk", deadline)?;
                }
                _ => return Err(bad_chunk()),
            }
        }
    }

    /// Reads the fields behind the last chunk, up to their empty line.
    fn skip_trailers(&mut self, deadline: Deadline) -> Result<(), Failure> {
        let begun = self.taken;
        loop {
            if self.taken - begun > HEAD_LEN_MAX {
                return Err(bad_chunk());
            }
            let ahead = &self.received[self.taken..];
            if let Some(len) = ahead.windows(2).position(|end| end == b"\r\n") {
                self.taken += len + 2;
                if len == 0 {
                    return Ok(());
                }
            } else if ahead.len() > HEAD_LEN_MAX {
                return Err(bad_chunk());
            } else {
                self.want_more("the end behind the last chunk", deadline)?;
            }
        }
    }
}

fn bad_chunk() -> Failure {
    Failure::new(Kind::Malformed, "the chunks of the body are broken")
}

/// What went wrong below: in TLS, or in the socket.
fn failure(error: &io::Error, what: &str) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(error) => tls::failure(error),
        None => Failure::of_io(error, what),
    }
}

/// A socket whose every read and write ends at one moment: TLS may need many for one of its own.
#[derive(Debug)]
struct Timed {
    stream: TcpStream,
    deadline: Deadline,
}

impl Read for Timed {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.left().ok_or(io::ErrorKind::TimedOut)?;
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(bytes)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.deadline.left().ok_or(io::ErrorKind::TimedOut)?;
        self.stream.set_write_timeout(Some(left))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    /// What `act` makes of a tracker that says `start`, and then `more` for as long as anybody listens.
    fn told_for_ever<R>(
        start: &'static [u8],
        more: &'static [u8],
        act: impl FnOnce(&mut Connection) -> R,
    ) -> (R, usize) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let tracker = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let much = more.repeat(1000);
            let mut said = stream.write_all(start);
            while said.is_ok() {
                said = stream.write_all(&much);
            }
        });
        let mut connection = Connection::open(address, None, soon()).unwrap();
        let made = act(&mut connection);
        let len = connection.received().len();
        drop(connection);
        tracker.join().unwrap();
        (made, len)
    }

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(20))
    }

    #[test]
    fn a_tracker_that_never_comes_to_its_response_is_not_listened_to_for_ever() {
        let (failure, len) = told_for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n", |tracker| {
            tracker.response(soon()).unwrap_err()
        });
        assert_eq!(failure.kind, Kind::TooLarge, "{failure}");
        assert!(len < 4 * HEAD_LEN_MAX, "{len}");
    }

    #[test]
    fn a_tracker_that_never_ends_behind_its_last_chunk_is_not_listened_to_for_ever() {
        let start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
        let (failure, len) = told_for_ever(start, b"x: y\r\n", |tracker| {
            tracker.response(soon()).unwrap_err()
        });
        assert_eq!(failure.kind, Kind::Malformed, "{failure}");
        assert!(len < 4 * HEAD_LEN_MAX, "{len}");
    }

    #[test]
    fn a_tracker_that_speaks_on_does_not_close() {
        let (ended, len) = told_for_ever(b"", b"never mind; ", |tracker| tracker.ends(soon()));
        assert!(!ended);
        assert!(len < 2 * RESPONSE_LEN_MAX, "{len}");
    }
}
