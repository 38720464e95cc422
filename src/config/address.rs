//! Which addresses and networks a configuration may name.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::gate::networks;

/// Whether `address` is written in its own family: sources that arrive as `::ffff:192.0.2.1` are
/// taken for IPv4 everywhere, so nothing would ever match the longer form.
pub(super) fn is_canonical(address: IpAddr) -> bool {
    address == address.to_canonical()
}

/// Whether a peer somewhere could send to `address`.
pub(super) fn is_reachable(address: IpAddr) -> bool {
    is_canonical(address)
        && !address.is_unspecified()
        && !address.is_multicast()
        && address != IpAddr::from([255, 255, 255, 255])
}

fn parse_network(text: &str) -> Option<IpNet> {
    networks::parse(text.as_bytes())
}

/// Networks and addresses, or the first text that is neither.
pub(super) fn parse_networks<'a>(texts: &[&'a str]) -> Result<Vec<IpNet>, &'a str> {
    texts
        .iter()
        .map(|&text| parse_network(text).ok_or(text))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_network_is_refused_because_it_would_match_nobody() {
        assert_eq!(parse_network("::ffff:192.0.2.0/120"), None);
        assert_eq!(parse_network("192.0.2.9/24"), "192.0.2.0/24".parse().ok());
        assert_eq!(parse_network("2001:db8::1"), "2001:db8::1/128".parse().ok());
    }

    #[test]
    fn the_first_text_that_is_no_network_is_named() {
        assert_eq!(parse_networks(&["::/0", "a", "b"]), Err("a"));
    }
}
