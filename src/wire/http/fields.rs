//! The header fields that every request is asked for.

use httparse::Header;

use super::split_once;

/// Compressions that the client understands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Encodings {
    /// `gzip`, also under its old name `x-gzip`.
    pub gzip: bool,
    /// `zstd`.
    pub zstd: bool,
}

/// What the header fields say that every request is asked.
#[derive(Clone, Copy, Default)]
pub(super) struct Said {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) accepts: Encodings,
    pub(super) has_body: bool,
}

impl Said {
    pub(super) fn by(headers: &[Header<'_>]) -> Self {
        let mut said = Self::default();
        for Header { name, value } in headers {
            if name.eq_ignore_ascii_case("connection") {
                for option in list(value) {
                    said.close |= option.eq_ignore_ascii_case(b"close");
                    said.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            } else if name.eq_ignore_ascii_case("accept-encoding") {
                said.accepts.note(value);
            } else if name.eq_ignore_ascii_case("content-length") {
                let is_zero = !value.is_empty() && value.iter().all(|&byte| byte == b'0');
                said.has_body |= !is_zero;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                said.has_body = true;
            }
        }
        said
    }
}

impl Encodings {
    /// `*` is not read: it does not say what the client knows.
    fn note(&mut self, value: &[u8]) {
        for element in list(value) {
            let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let coding = parts.next().unwrap_or_default();
            let accepted = !parts.any(is_zero_quality);
            if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") {
                self.gzip = accepted;
            } else if coding.eq_ignore_ascii_case(b"zstd") {
                self.zstd = accepted;
            }
        }
    }
}

/// `q=0` with up to three more zeros behind a point means "not that one".
fn is_zero_quality(parameter: &[u8]) -> bool {
    split_once(parameter, b'=').is_some_and(|(name, value)| {
        let value = value.trim_ascii();
        name.trim_ascii().eq_ignore_ascii_case(b"q")
            && value.starts_with(b"0")
            && value.iter().all(|byte| matches!(byte, b'0' | b'.'))
    })
}

fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::super::head::{Head, parse};

    fn with_version(version: &str, fields: &str) -> Head<'static> {
        let bytes = format!("GET /announce HTTP/{version}\r\n{fields}\r\n").leak();
        parse(bytes.as_bytes()).unwrap().unwrap().0
    }

    fn with(fields: &str) -> Head<'static> {
        with_version("1.1", fields)
    }

    #[test]
    fn http_1_1_goes_on_unless_it_says_close() {
        assert!(with("").keep_alive);
        assert!(with("Connection: keep-alive\r\n").keep_alive);
        assert!(with("Connection: closed\r\nX-Connection: close\r\n").keep_alive);
        for fields in [
            "Connection: Close\r\n",
            "connection: upgrade ,\tclose\r\n",
            "Connection: x\r\nCONNECTION: CLOSE\r\n",
            "Connection: keep-alive, close\r\n",
        ] {
            assert!(!with(fields).keep_alive, "{fields}");
        }
        assert!(!with("Connection: keep-alive\r\n").announce_keep_alive);
    }

    #[test]
    fn http_1_0_closes_unless_it_says_keep_alive() {
        assert!(!with_version("1.0", "").keep_alive);
        assert!(!with_version("1.0", "Connection: keep-alive, close\r\n").keep_alive);
        let head = with_version("1.0", "Connection: Keep-Alive\r\n");
        assert!(head.keep_alive && head.announce_keep_alive);
    }

    #[test]
    fn encodings_are_accepted_unless_their_quality_is_zero() {
        let accepts = |value: &str| {
            let accepts = with(&format!("Accept-Encoding: {value}\r\n")).accepts;
            (accepts.gzip, accepts.zstd)
        };
        assert_eq!(accepts("deflate, gzip"), (true, false));
        assert_eq!(accepts("GZIP;q=0.1,zstd ; Q=1"), (true, true));
        assert_eq!(accepts("x-gzip"), (true, false));
        assert_eq!(accepts("gzip;q=0, zstd;q=0.000"), (false, false));
        assert_eq!(accepts("gzip; q = 0"), (false, false));
        assert_eq!(accepts("gzipped, br, *, "), (false, false));
        let twice = with("Accept-Encoding: br\r\naccept-encoding: zstd\r\n").accepts;
        assert!(twice.zstd && !twice.gzip);
    }

    #[test]
    fn a_body_is_announced_by_any_length_but_zero() {
        for fields in [
            "Content-Length: 1\r\n",
            "Content-Length:\r\n",
            "Content-Length: 0, 0\r\n",
            "Content-Length: -0\r\n",
            "Content-Length: 0\r\nContent-Length: 5\r\n",
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            "transfer-encoding: identity\r\n",
        ] {
            assert!(with(fields).has_body, "{fields}");
        }
        assert!(!with("Content-Length: 0\r\nContent-Length: 00\r\n").has_body);
    }
}
