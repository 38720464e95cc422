//! The client behind proxies, from the header field in which they hand it on. Everything to the
//! left of what a trusted proxy wrote is the client's own word and worth nothing: of the addresses
//! the right-most counts that is not a trusted proxy's.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::split_once;

/// The header field that names the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`: a list to which every proxy appends.
    XForwardedFor,
    /// `X-Real-IP`: one address, set by the last proxy.
    XRealIp,
    /// `Forwarded` (RFC 7239): a list of parameters, `for=` among them.
    Forwarded,
}

impl ForwardedHeader {
    /// The field's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "X-Forwarded-For",
            Self::XRealIp => "X-Real-IP",
            Self::Forwarded => "Forwarded",
        }
    }
}

/// The client's address, mapped IPv4 as IPv4. `values` are the field's lines in their order; when
/// all hops are trusted, the left-most is the client.
///
/// None when there is no such field, or when a hop that would have to be believed cannot be read:
/// text, `unknown`, a hidden name (`_x`), an empty place, broken quotes.
pub fn client_address<'a>(
    header: ForwardedHeader,
    mut values: impl DoubleEndedIterator<Item = &'a [u8]>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    match header {
        ForwardedHeader::XRealIp => address(values.next_back()?),
        ForwardedHeader::XForwardedFor => {
            let hops = values
                .rev()
                .flat_map(|line| line.rsplit(|&byte| byte == b','));
            from_the_right(hops, is_trusted)
        }
        ForwardedHeader::Forwarded => {
            let hops = values.flat_map(|line| Elements(Some(line)));
            from_the_left(hops, is_trusted)
        }
    }
}

/// Stops at the first hop that decides, however long a list the client has put before it.
fn from_the_right<'a>(
    hops: impl Iterator<Item = &'a [u8]>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let mut client = None;
    for hop in hops {
        let hop = address(hop)?;
        client = Some(hop);
        if !is_trusted(hop) {
            break;
        }
    }
    client
}

/// The same answer read forwards, since quotes cannot be read backwards: a hop replaces what was
/// found before it unless it is trusted.
fn from_the_left(
    hops: impl Iterator<Item = Option<IpAddr>>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let mut client = None;
    for hop in hops {
        if client.is_none() || !hop.is_some_and(&is_trusted) {
            client = Some(hop);
        }
    }
    client.flatten()
}

/// The elements of one `Forwarded` line: the address behind `for=`, or None where there is none to
/// be read. An element that breaks the rules takes the rest of the line with it, for behind a
/// stray quote nobody knows who wrote what.
struct Elements<'a>(Option<&'a [u8]>);

impl Iterator for Elements<'_> {
    type Item = Option<IpAddr>;

    fn next(&mut self) -> Option<Self::Item> {
        let (hop, rest) = element(self.0?).unwrap_or((None, None));
        self.0 = rest;
        Some(hop)
    }
}

/// One element and, if it ends with a comma, what follows. None when it breaks the rules; a second
/// `for=` does so too.
fn element(mut rest: &[u8]) -> Option<(Option<IpAddr>, Option<&[u8]>)> {
    let mut node = None;
    loop {
        let (name, after) = split_once(rest, b'=')?;
        let name = name.trim_ascii();
        if name.is_empty() || !name.iter().copied().all(is_token) {
            return None;
        }
        let (value, after) = value(after)?;
        if name.eq_ignore_ascii_case(b"for") && node.replace(value).is_some() {
            return None;
        }
        match after.trim_ascii_start() {
            [b';', after @ ..] => rest = after,
            [b',', after @ ..] => return Some((node.and_then(address), Some(after))),
            [] => return Some((node.and_then(address), None)),
            _ => return None,
        }
    }
}

/// A byte that names of parameters may hold (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte)
}

/// A value, quoted or not, and what follows it. Escapes within quotes are left as they are: no
/// address has one, and such a value fails as an address.
fn value(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let Some(quoted) = bytes.strip_prefix(b"\"") else {
        let is_end = |byte: &u8| matches!(byte, b';' | b',' | b'"' | b' ' | b'\t');
        let end = bytes.iter().position(is_end).unwrap_or(bytes.len());
        return Some(bytes.split_at(end));
    };
    let mut at = 0;
    loop {
        match quoted.get(at)? {
            b'"' => return Some((&quoted[..at], &quoted[at + 1..])),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// An address as proxies write them: bare, with a port, in brackets, or in brackets with a port.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(bytes).ok()?.trim_ascii();
    let bracketed = || {
        let inside = text.strip_prefix('[')?.strip_suffix(']')?;
        inside.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    };
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let address = text.parse().ok().or_else(bracketed).or_else(with_port)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::ForwardedHeader::{Forwarded, XForwardedFor, XRealIp};
    use super::*;

    /// Proxies live in 10.0.0.0/8 and on `::1`.
    fn is_trusted(address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => address.octets()[0] == 10,
            IpAddr::V6(address) => address.is_loopback(),
        }
    }

    fn client(header: ForwardedHeader, lines: &[&str]) -> Option<String> {
        let values = lines.iter().map(|line| line.as_bytes());
        client_address(header, values, is_trusted).map(|address| address.to_string())
    }

    fn expect(header: ForwardedHeader, lines: &[&str], address: &str) {
        assert_eq!(client(header, lines).as_deref(), Some(address), "{lines:?}");
    }

    fn refuse(header: ForwardedHeader, lines: &[&str]) {
        assert_eq!(client(header, lines), None, "{lines:?}");
    }

    #[test]
    fn the_real_ip_is_that_of_the_last_line() {
        expect(XRealIp, &["192.0.2.1"], "192.0.2.1");
        expect(XRealIp, &["192.0.2.1", " 10.0.0.1 "], "10.0.0.1");
        expect(XRealIp, &["::ffff:192.0.2.1"], "192.0.2.1");
        refuse(XRealIp, &[]);
        refuse(XRealIp, &["192.0.2.1", ""]);
        refuse(XRealIp, &["192.0.2.1, 192.0.2.2"]);
    }

    #[test]
    fn the_right_most_hop_that_is_not_a_proxy_is_the_client() {
        expect(XForwardedFor, &["192.0.2.1"], "192.0.2.1");
        expect(
            XForwardedFor,
            &["6.6.6.6, 192.0.2.1, 10.0.0.1"],
            "192.0.2.1",
        );
        expect(
            XForwardedFor,
            &["6.6.6.6", "192.0.2.1,10.0.0.1", "::1"],
            "192.0.2.1",
        );
        expect(XForwardedFor, &["junk, , 192.0.2.1"], "192.0.2.1");
        expect(
            XForwardedFor,
            &["10.0.0.3, 10.0.0.2", "10.0.0.1"],
            "10.0.0.3",
        );
    }

    #[test]
    fn a_hop_that_would_have_to_be_believed_must_be_an_address() {
        for line in [
            "",
            "unknown",
            "192.0.2.1, x",
            "192.0.2.1, , 10.0.0.1",
            "192.0.2.1,",
            "1.2.3",
        ] {
            refuse(XForwardedFor, &[line]);
        }
        refuse(XForwardedFor, &["192.0.2.1", "\u{fc}, 10.0.0.1"]);
        refuse(XForwardedFor, &[]);
    }

    #[test]
    fn ports_and_brackets_are_taken_off_and_mapped_addresses_are_ipv4() {
        expect(XForwardedFor, &["192.0.2.1:567"], "192.0.2.1");
        expect(XForwardedFor, &["[2001:db8::1]:80"], "2001:db8::1");
        expect(XForwardedFor, &["[2001:db8::1]"], "2001:db8::1");
        expect(XForwardedFor, &["2001:db8::1"], "2001:db8::1");
        expect(XForwardedFor, &["[::ffff:192.0.2.1]:80"], "192.0.2.1");
        expect(XForwardedFor, &["192.0.2.1, ::ffff:10.0.0.1"], "192.0.2.1");
        for hop in [
            "[192.0.2.1]",
            "192.0.2.1:",
            "192.0.2.1:99999",
            "[2001:db8::1",
            "010.0.0.1",
        ] {
            refuse(XForwardedFor, &[hop]);
        }
    }

    #[test]
    fn forwarded_names_the_client_behind_for() {
        expect(Forwarded, &["for=192.0.2.1"], "192.0.2.1");
        expect(Forwarded, &["For=\"[2001:db8::1]:4711\""], "2001:db8::1");
        expect(
            Forwarded,
            &["for=192.0.2.1;proto=http;by=203.0.113.43"],
            "192.0.2.1",
        );
        expect(
            Forwarded,
            &["x_y=z ; for=\"192.0.2.1:80\" ;host=\"a,b;c=\\\"d\""],
            "192.0.2.1",
        );
        expect(
            Forwarded,
            &["for=6.6.6.6, for=192.0.2.1, for=10.0.0.1"],
            "192.0.2.1",
        );
        expect(
            Forwarded,
            &["for=6.6.6.6", "for=192.0.2.1,for=10.0.0.1", "for=\"[::1]\""],
            "192.0.2.1",
        );
        expect(Forwarded, &["for=10.0.0.3, for=10.0.0.2"], "10.0.0.3");
        expect(Forwarded, &["for=unknown, for=192.0.2.1"], "192.0.2.1");
    }

    #[test]
    fn forwarded_without_an_address_names_nobody() {
        for line in [
            "",
            "for=unknown",
            "for=_hidden",
            "for=\"_hidden\", for=10.0.0.1",
            "for=192.0.2.1, proto=https",
            "for=192.0.2.1, ,for=10.0.0.1",
            "for=192.0.2.1,",
            "for=192.0.2.1;",
            "=x;for=192.0.2.1",
            "(=x;for=192.0.2.1",
            "for=",
            "for",
            "192.0.2.1",
            "for=192.0.2.1;for=192.0.2.2",
            "for=\"192.0.2.\\1\"",
        ] {
            refuse(Forwarded, &[line]);
        }
        refuse(Forwarded, &[]);
    }

    #[test]
    fn a_quote_that_the_client_leaves_open_gains_it_nothing() {
        for line in [
            "for=6.6.6.6;x=\", for=192.0.2.1",
            "for=6.6.6.6;x=\", for=\"192.0.2.1\"",
            "for=6.6.6.6;x=\", for=192.0.2.1;by=\"y\"",
            "for=6.6.6.6;x=\"\\, for=\"192.0.2.1\"",
            "for=\"6.6.6.6\"x, for=10.0.0.1",
        ] {
            refuse(Forwarded, &[line]);
        }
        expect(
            Forwarded,
            &["for=6.6.6.6;x=\"", "for=192.0.2.1"],
            "192.0.2.1",
        );
        refuse(Forwarded, &["for=6.6.6.6;x=\"", "for=10.0.0.1"]);
    }
}
