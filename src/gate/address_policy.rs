//! Which source addresses are answered, which may enter a swarm, and under which address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The operator's rules about addresses.
#[derive(Clone, Debug, Default)]
pub struct AddressPolicy {
    /// LAN mode: private and loopback addresses are peers like any other.
    pub allow_private: bool,
    /// Sources that are refused.
    pub ignored: Vec<IpNet>,
    /// Handed out instead of an IPv4 address of this host.
    pub external_v4: Option<Ipv4Addr>,
    /// Handed out instead of an IPv6 address of this host.
    pub external_v6: Option<Ipv6Addr>,
}

/// Why an address may not enter a swarm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The operator listed it in `ignore_ip`.
    Ignored,
    /// Nobody on the internet could reach a peer there.
    NotPublic,
}

impl AddressPolicy {
    /// The address under which a peer that announces from `source` enters its swarm; `local` is the
    /// address of this host that the datagram was sent to, where that is known.
    pub fn peer_address(&self, source: IpAddr, local: Option<IpAddr>) -> Result<IpAddr, Refusal> {
        if self.ignored.iter().any(|net| net.contains(&source)) {
            return Err(Refusal::Ignored);
        }
        let on_this_host = source.is_loopback() || local == Some(source);
        let address = match source {
            IpAddr::V4(_) if on_this_host => self.external_v4.map_or(source, IpAddr::V4),
            IpAddr::V6(_) if on_this_host => self.external_v6.map_or(source, IpAddr::V6),
            _ => source,
        };
        if self.allow_private || is_public(address) {
            Ok(address)
        } else {
            Err(Refusal::NotPublic)
        }
    }
}

/// False for sources that no answer could reach: a datagram from there is forged or broken.
pub fn is_answerable(source: IpAddr, port: u16) -> bool {
    let reachable = match source {
        IpAddr::V4(v4) => !v4.is_multicast() && !v4.is_broadcast() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unspecified(),
    };
    reachable && port != 0
}

/// True for addresses that the internet can route to: the complement of the IANA special-purpose
/// registries (RFC 6890 and its successors).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !is_special_v4(v4),
        IpAddr::V6(v6) => !is_special_v6(v6),
    }
}

fn is_special_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    match a {
        0 | 10 | 127 | 224.. => true,
        100 => (64..128).contains(&b),
        169 => b == 254,
        172 => (16..32).contains(&b),
        192 => b == 168 || (b == 0 && (c == 0 || c == 2)),
        198 => b == 18 || b == 19 || (b == 51 && c == 100),
        203 => b == 0 && c == 113,
        _ => false,
    }
}

fn is_special_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    match segments[0] {
        // Unspecified, loopback, v4-mapped and the deprecated v4-compatible form; unique local,
        // link-local, site-local and multicast.
        0 | 0xfc00..=0xfdff | 0xfe80..=0xfeff | 0xff00.. => true,
        0x64 => segments[1] == 0xff9b && segments[2..6] == [0; 4],
        0x100 => segments[1..4] == [0; 3],
        0x2001 => segments[1] == 0xdb8,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn private_and_reserved_addresses_stay_out_of_public_swarms() {
        let policy = AddressPolicy::default();
        for special in [
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.19.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "64:ff9b::1",
            "100::1",
            "2001:db8::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert_eq!(
                policy.peer_address(ip(special), None),
                Err(Refusal::NotPublic),
                "{special}"
            );
        }
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.1.1",
            "198.17.0.1",
            "223.255.255.1",
            "2606:4700::1111",
            "2001:470::1",
            "64:ff9a::1",
        ] {
            assert_eq!(
                policy.peer_address(ip(public), None),
                Ok(ip(public)),
                "{public}"
            );
        }
    }

    #[test]
    fn an_ignored_network_is_refused_even_in_lan_mode() {
        let policy = AddressPolicy {
            allow_private: true,
            ignored: vec!["192.168.7.0/24".parse().unwrap()],
            ..AddressPolicy::default()
        };
        assert_eq!(
            policy.peer_address(ip("192.168.7.9"), None),
            Err(Refusal::Ignored)
        );
        assert_eq!(
            policy.peer_address(ip("192.168.8.9"), None),
            Ok(ip("192.168.8.9"))
        );
    }

    #[test]
    fn a_peer_on_this_host_is_handed_out_under_the_external_address() {
        let policy = AddressPolicy {
            external_v4: Some(Ipv4Addr::new(93, 184, 216, 34)),
            ..AddressPolicy::default()
        };
        let external = Ok(ip("93.184.216.34"));
        assert_eq!(policy.peer_address(ip("127.0.0.1"), None), external);
        assert_eq!(
            policy.peer_address(ip("10.0.0.5"), Some(ip("10.0.0.5"))),
            external
        );
        assert_eq!(
            policy.peer_address(ip("1.2.3.4"), Some(ip("10.0.0.5"))),
            Ok(ip("1.2.3.4"))
        );
    }

    #[test]
    fn forged_sources_are_not_answered() {
        assert!(!is_answerable(ip("1.2.3.4"), 0));
        assert!(!is_answerable(ip("255.255.255.255"), 6881));
        assert!(!is_answerable(ip("ff02::1"), 6881));
        assert!(is_answerable(ip("127.0.0.1"), 6881));
    }
}
