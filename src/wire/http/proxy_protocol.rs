//! The PROXY protocol of `HAProxy`, versions 1 and 2: what a proxy says about the connection it
//! passes on, before the connection's own bytes.
//!
//! ```text
//! version 1   PROXY TCP4 SOURCE DESTINATION PORT PORT CR LF      or TCP6; PROXY UNKNOWN ... CR LF
//! version 2   signature (12)  version, command (1)  family (1)  length (2)
//!             source, destination, port, port of the family      further fields, skipped
//! ```

use std::net::{IpAddr, SocketAddr};

/// What version 2 begins with; no other protocol does.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2 and its two commands, and the two families whose addresses are of use.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// Bytes of a version 2 header before its addresses.
const BINARY_HEAD_LEN: usize = 16;

/// Most bytes that may follow the head in version 2: addresses, and fields such as a certificate's
/// name that are skipped. Proxies stay far below it.
const BINARY_BODY_LEN_MAX: usize = 1024;

/// Longest line of version 1, CR LF included.
const TEXT_LEN_MAX: usize = 107;

/// Whose connection a proxy passes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proxied {
    /// This client's, mapped IPv4 as IPv4.
    Client(SocketAddr),
    /// The proxy's own (a health check), or that of a client whose address cannot be told.
    Local,
}

/// The bytes cannot become a header of the PROXY protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotProxyProtocol;

/// Reads the header that `bytes` begin with and tells how many bytes it takes. None: it is not
/// complete yet. Never asks for more than 1040 bytes. The fields of a version 1 line are read once
/// it is whole, 107 bytes at most; its name and its characters are checked as they come.
pub fn parse(bytes: &[u8]) -> Result<Option<(Proxied, usize)>, NotProxyProtocol> {
    match bytes.first() {
        None => Ok(None),
        Some(&first) if first == SIGNATURE[0] => binary(bytes),
        Some(_) => text(bytes),
    }
}

fn binary(bytes: &[u8]) -> Result<Option<(Proxied, usize)>, NotProxyProtocol> {
    let Some(rest) = after(bytes, &SIGNATURE)? else {
        return Ok(None);
    };
    // Fields are checked as they come, so that nobody is waited for who has gone wrong already.
    let Some((&command, rest)) = rest.split_first() else {
        return Ok(None);
    };
    if !matches!(command, LOCAL | PROXY) {
        return Err(NotProxyProtocol);
    }
    let Some((&family, rest)) = rest.split_first() else {
        return Ok(None);
    };
    // Unspecified, IPv4, IPv6, Unix; unspecified, stream, datagram. Others are not defined.
    if family >> 4 > 3 || family & 0xf > 2 {
        return Err(NotProxyProtocol);
    }
    let Some((len, rest)) = rest.split_first_chunk() else {
        let least = rest.first().map_or(0, |&high| usize::from(high) << 8);
        return none_if(least <= BINARY_BODY_LEN_MAX);
    };
    let len = usize::from(u16::from_be_bytes(*len));
    let addresses_len = match (command, family) {
        (PROXY, TCP4) => 12,
        (PROXY, TCP6) => 36,
        _ => 0,
    };
    if !(addresses_len..=BINARY_BODY_LEN_MAX).contains(&len) {
        return Err(NotProxyProtocol);
    }
    let Some(body) = rest.get(..len) else {
        return Ok(None);
    };
    let proxied = match (command, family) {
        (PROXY, TCP4) => source::<4>(body),
        (PROXY, TCP6) => source::<16>(body),
        _ => Some(Proxied::Local),
    };
    let proxied = proxied.ok_or(NotProxyProtocol)?;
    Ok(Some((proxied, BINARY_HEAD_LEN + len)))
}

/// The client of a version 2 header: its address stands first, its port behind both addresses.
fn source<const N: usize>(body: &[u8]) -> Option<Proxied>
where
    IpAddr: From<[u8; N]>,
{
    let ip: [u8; N] = *body.first_chunk()?;
    let port = *body.get(2 * N..)?.first_chunk()?;
    Some(client(IpAddr::from(ip), u16::from_be_bytes(port)))
}

fn text(bytes: &[u8]) -> Result<Option<(Proxied, usize)>, NotProxyProtocol> {
    let Some(rest) = after(bytes, b"PROXY ")? else {
        return Ok(None);
    };
    let families = [Family::Tcp4, Family::Tcp6, Family::Unknown];
    let named = |family: &&Family| rest.starts_with(family.name());
    let Some(family) = families.iter().find(named) else {
        let may_become = |family: &Family| family.name().starts_with(rest);
        return none_if(families.iter().any(may_become));
    };
    let rest = &rest[family.name().len()..];
    let end = rest.iter().position(|&byte| !family.may_contain(byte));
    let len = bytes.len() - rest.len() + end.unwrap_or(rest.len()) + "\r\n".len();
    if len > TEXT_LEN_MAX {
        return Err(NotProxyProtocol);
    }
    let (fields, rest) = rest.split_at(end.unwrap_or(rest.len()));
    match rest {
        [] | [b'\r'] => Ok(None),
        [b'\r', b'\n', ..] => {
            let proxied = family.read(fields).ok_or(NotProxyProtocol)?;
            Ok(Some((proxied, len)))
        }
        _ => Err(NotProxyProtocol),
    }
}

/// What a line of version 1 is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Tcp4,
    Tcp6,
    Unknown,
}

impl Family {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Tcp4 => b"TCP4",
            Self::Tcp6 => b"TCP6",
            Self::Unknown => b"UNKNOWN",
        }
    }

    /// Whether a byte may stand between the name and the end of the line. Behind `UNKNOWN` proxies
    /// may write what they like.
    fn may_contain(self, byte: u8) -> bool {
        match self {
            Self::Tcp4 => matches!(byte, b' ' | b'.' | b'0'..=b'9'),
            Self::Tcp6 => matches!(byte, b' ' | b'.' | b':') || byte.is_ascii_hexdigit(),
            Self::Unknown => !matches!(byte, b'\r' | b'\n'),
        }
    }

    fn read(self, fields: &[u8]) -> Option<Proxied> {
        if self == Self::Unknown {
            return matches!(fields, [] | [b' ', ..]).then_some(Proxied::Local);
        }
        let mut fields = str::from_utf8(fields).ok()?.strip_prefix(' ')?.split(' ');
        let source = self.address(fields.next()?)?;
        let _destination = self.address(fields.next()?)?;
        let source_port = port(fields.next()?)?;
        let _destination_port = port(fields.next()?)?;
        let is_all = fields.next().is_none();
        is_all.then(|| client(source, source_port))
    }

    fn address(self, text: &str) -> Option<IpAddr> {
        let ip: IpAddr = text.parse().ok()?;
        (ip.is_ipv4() == (self == Self::Tcp4)).then_some(ip)
    }
}

/// A port without leading zeros, which some read as octal.
fn port(text: &str) -> Option<u16> {
    let is_plain = text == "0" || text.starts_with(|first| matches!(first, '1'..='9'));
    text.parse().ok().filter(|_| is_plain)
}

/// What follows `start`, None while `bytes` may still become it.
fn after<'a>(bytes: &'a [u8], start: &[u8]) -> Result<Option<&'a [u8]>, NotProxyProtocol> {
    match bytes.strip_prefix(start) {
        Some(rest) => Ok(Some(rest)),
        None => none_if(start.starts_with(bytes)),
    }
}

/// More bytes are waited for only if they can still make a header.
fn none_if<T>(may_become: bool) -> Result<Option<T>, NotProxyProtocol> {
    may_become.then_some(None).ok_or(NotProxyProtocol)
}

fn client(ip: IpAddr, port: u16) -> Proxied {
    Proxied::Client(SocketAddr::new(ip.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Proxied {
        let with_more = [bytes, b"GET / HTTP/1.1\r\n"].concat();
        let (proxied, len) = parse(&with_more).unwrap().unwrap();
        assert_eq!(len, bytes.len());
        for end in 0..len {
            assert_eq!(parse(&bytes[..end]), Ok(None), "{end} bytes");
        }
        proxied
    }

    fn client(address: &str) -> Proxied {
        Proxied::Client(address.parse().unwrap())
    }

    fn version_2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let len = (body.len() as u16).to_be_bytes();
        [&SIGNATURE, [command, family].as_slice(), &len, body].concat()
    }

    #[test]
    fn lines_of_version_1_name_the_client() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";
        assert_eq!(read(line), client("192.0.2.1:56324"));
        let line = b"PROXY TCP6 2001:db8::1 2001:DB8::2 65535 0\r\n";
        assert_eq!(read(line), client("[2001:db8::1]:65535"));
        let line = b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n";
        assert_eq!(read(line), client("192.0.2.1:1"));
    }

    #[test]
    fn unknown_lines_are_local_whatever_they_hold() {
        assert_eq!(read(b"PROXY UNKNOWN\r\n"), Proxied::Local);
        let longest = format!("PROXY UNKNOWN {}\r\n", "\u{fc}x ".repeat(23).split_at(91).0);
        assert_eq!(longest.len(), TEXT_LEN_MAX);
        assert_eq!(read(longest.as_bytes()), Proxied::Local);
    }

    #[test]
    fn a_line_that_breaks_the_rules_is_none() {
        for line in [
            "G",
            "PROXY  ",
            "PROXY UDP",
            "PROXY TCP4x",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rx",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
            "PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n",
            "PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY TCP4 ::",
            "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY TCP6 [",
            "PROXY TCP4\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY UNKNOWN\n",
        ] {
            assert_eq!(parse(line.as_bytes()), Err(NotProxyProtocol), "{line:?}");
        }
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(91));
        assert_eq!(parse(endless.as_bytes()), Ok(None));
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(92));
        assert_eq!(parse(endless.as_bytes()), Err(NotProxyProtocol));
    }

    #[test]
    fn version_2_names_the_client_and_its_fields_are_skipped() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb];
        assert_eq!(
            read(&version_2(PROXY, TCP4, &v4)),
            client("192.0.2.1:56324")
        );
        let with_fields = [v4.as_slice(), &[4, 0, 3, 1, 2, 3]].concat();
        assert_eq!(
            read(&version_2(PROXY, TCP4, &with_fields)),
            client("192.0.2.1:56324")
        );
        let mut v6 = [0; 36];
        v6[..2].copy_from_slice(&[0x20, 0x01]);
        v6[15] = 7;
        v6[32..].copy_from_slice(&[0, 80, 0, 90]);
        assert_eq!(read(&version_2(PROXY, TCP6, &v6)), client("[2001::7]:80"));
        v6[..16].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1]);
        assert_eq!(read(&version_2(PROXY, TCP6, &v6)), client("192.0.2.1:80"));
    }

    #[test]
    fn health_checks_and_other_families_are_local() {
        assert_eq!(read(&version_2(LOCAL, 0, b"")), Proxied::Local);
        assert_eq!(read(&version_2(LOCAL, TCP4, &[1; 12])), Proxied::Local);
        assert_eq!(read(&version_2(LOCAL, TCP4, b"")), Proxied::Local);
        for family in [0x00, 0x12, 0x22, 0x31, 0x32] {
            assert_eq!(read(&version_2(PROXY, family, &[1; 216])), Proxied::Local);
        }
        assert_eq!(read(&version_2(PROXY, 0, &[1; 1024])), Proxied::Local);
    }

    #[test]
    fn a_version_2_header_is_refused_at_its_first_wrong_byte() {
        let refused = |command, family, body: &[u8], at: usize| {
            let bytes = version_2(command, family, body);
            assert_eq!(parse(&bytes[..at]), Ok(None));
            assert_eq!(parse(&bytes[..=at]), Err(NotProxyProtocol));
        };
        refused(0x11, TCP4, &[1; 12], 12);
        refused(0x22, TCP4, &[1; 12], 12);
        refused(PROXY, 0x41, &[1; 12], 13);
        refused(PROXY, 0x13, &[1; 12], 13);
        refused(PROXY, TCP4, &[1; 11], 15);
        refused(PROXY, TCP6, &[1; 35], 15);
        refused(PROXY, TCP4, &[1; 1025], 15);
        refused(PROXY, TCP4, &[1; 1280], 14);
        assert_eq!(parse(b"\r\n\r\n\0\r\nQUIX"), Err(NotProxyProtocol));
        assert_eq!(parse(b"\r\nGET /"), Err(NotProxyProtocol));
    }
}
