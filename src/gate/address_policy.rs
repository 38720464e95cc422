//! Which source addresses are answered, which may enter a swarm, and under which address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::networks::Networks;

/// The operator's rules about addresses.
#[derive(Clone, Debug, Default)]
pub struct AddressPolicy {
    /// LAN mode: private and loopback addresses are peers like any other.
    pub allow_private: bool,
    /// Sources that are refused.
    pub ignored: Networks,
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
        if self.ignored.contains(source) {
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

    /// Whether there may be peers at `address`, as it is.
    pub fn admits(&self, address: IpAddr) -> bool {
        !self.ignored.contains(address) && (self.allow_private || is_public(address))
    }
}

/// True for an address that one host may have: a datagram from any other is forged or broken, and one
/// to any other went to many.
pub fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_multicast() && !v4.is_broadcast() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unspecified(),
    }
}

/// True for addresses that the internet can route to: what the special-purpose registries of IANA
/// (RFC 6890 and its successors) leave.
pub fn is_public(address: IpAddr) -> bool {
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

/// Only the eighth of the space that begins with 2 or 3 has been given out; within it, benchmarking,
/// ORCHID and documentation are nobody's. Teredo and 6to4 still have users, so they pass.
fn is_special_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        [0x2001, 2, 0, ..] | [0x2001, 0x10..=0x2f | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => true,
        [first, ..] => first >> 13 != 1,
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
            "2001:2::1",
            "2001:10::1",
            "2001:2f::1",
            "3fff:fff::1",
            "5f00::1",
            "64:ff9b:1::1",
            "4000::1",
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
            "2001:0:4136:e378::1",
            "2002:102:304::1",
            "2a00::1",
            "3fff:1000::1",
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
            ignored: ["192.168.7.0/24".parse().unwrap()].into_iter().collect(),
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
    fn an_address_is_admitted_where_a_peer_could_announce_from_it() {
        let ignored = || ["8.8.8.0/24".parse().unwrap()].into_iter().collect();
        for (allow_private, address, is_admitted) in [
            (true, "10.0.0.1", true),
            (false, "10.0.0.1", false),
            (false, "::1", false),
            (false, "fe80::1", false),
            (false, "1.1.1.1", true),
            (false, "2a00::1", true),
            (true, "8.8.8.8", false),
            (false, "8.8.8.8", false),
        ] {
            let policy = AddressPolicy {
                allow_private,
                ignored: ignored(),
                ..AddressPolicy::default()
            };
            assert_eq!(policy.admits(ip(address)), is_admitted, "{address}");
        }
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
    fn an_address_of_many_hosts_or_of_none_is_not_unicast() {
        for address in ["255.255.255.255", "224.0.0.1", "0.0.0.0", "ff02::1", "::"] {
            assert!(!is_unicast(ip(address)), "{address}");
        }
        assert!(is_unicast(ip("127.0.0.1")) && is_unicast(ip("fe80::1")));
    }
}
