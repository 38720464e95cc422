//! Many networks, of which one must be found quickly: sorted ranges that do not touch.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{BadLine, first_words};

const WANTED: &str = "an address or a network such as 192.0.2.0/24";

/// A set of addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Networks {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Networks {
    /// True when no address is in it.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// How many ranges it consists of.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether `address`, in its own family, is in it.
    #[inline]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => !self.v4.is_empty() && find(&self.v4, v4.to_bits()),
            IpAddr::V6(v6) => !self.v6.is_empty() && find(&self.v6, v6.to_bits()),
        }
    }
}

/// Reads a list: an address or a network a line, with remarks as in [`super::hash_list::read`].
pub fn read(text: &[u8]) -> Result<Networks, BadLine> {
    read_each(text)
}

/// The same into a collection of another kind.
pub fn read_each<C: FromIterator<IpNet>>(text: &[u8]) -> Result<C, BadLine> {
    first_words(text)
        .map(|(at, word)| parse(word).ok_or_else(|| BadLine::new(at, WANTED, word)))
        .collect()
}

/// A network such as `192.0.2.0/24`, or an address, which is the network of itself alone. Sources that
/// arrive as `::ffff:192.0.2.1` are IPv4 everywhere, so the longer form would match nobody.
pub fn parse(word: &[u8]) -> Option<IpNet> {
    let text = std::str::from_utf8(word).ok()?;
    let network: IpNet = match text.parse() {
        Ok(network) => network,
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    (network.addr() == network.addr().to_canonical()).then(|| network.trunc())
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        Self {
            v4: join(v4),
            v6: join(v6),
        }
    }
}

fn find<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let behind = ranges.partition_point(|&(first, _)| first <= address);
    behind > 0 && address <= ranges[behind - 1].1
}

/// Sorts, and makes one range of those that overlap.
fn join<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Vec<(T, T)> {
    ranges.sort_unstable();
    ranges.dedup_by(|later, earlier| {
        let overlap = later.0 <= earlier.1;
        if overlap {
            earlier.1 = earlier.1.max(later.1);
        }
        overlap
    });
    ranges.shrink_to_fit();
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn networks(texts: &[&str]) -> Networks {
        texts
            .iter()
            .map(|text| text.parse::<IpNet>().unwrap())
            .collect()
    }

    #[test]
    fn the_edges_of_a_network_are_in_it_and_what_lies_beyond_is_not() {
        let set = networks(&["10.1.0.0/16", "2001:db8::/32", "192.0.2.7/32"]);
        for (address, is_in) in [
            ("10.0.255.255", false),
            ("10.1.0.0", true),
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db7:ffff::", false),
            ("2001:db8::1", true),
            ("2001:db9::", false),
        ] {
            assert_eq!(set.contains(address.parse().unwrap()), is_in, "{address}");
        }
        assert!(!Networks::default().contains(IpAddr::from([1, 2, 3, 4])));
    }

    #[test]
    fn a_list_of_networks_is_read_and_a_bad_line_is_named() {
        let set = read(b"# spammers\n192.0.2.9/24 since May\n\n2001:db8::1\n").unwrap();
        assert!(set.contains("192.0.2.200".parse().unwrap()));
        assert!(set.contains("2001:db8::1".parse().unwrap()));
        assert!(!set.contains("2001:db8::2".parse().unwrap()));
        for bad in ["1.2.3", "1.2.3.4/33", "::ffff:1.2.3.4", "example.org"] {
            let said = read(format!("::1\n{bad}").as_bytes())
                .unwrap_err()
                .to_string();
            assert!(said.starts_with("line 2 is not an address"), "{said}");
        }
    }

    #[test]
    fn a_set_of_random_networks_says_what_looking_through_all_of_them_says() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..200 {
            // Few bits differ, so that networks overlap, touch and hold each other.
            let v4 = |rng: &mut fastrand::Rng| Ipv4Addr::from(rng.u32(..) & 0xff00_00ff);
            let v6 = |rng: &mut fastrand::Rng| Ipv6Addr::from(rng.u128(..) & (0xff << 120 | 0xf));
            let all: Vec<IpNet> = (0..rng.usize(..40))
                .map(|_| {
                    if rng.bool() {
                        IpNet::new(v4(&mut rng).into(), rng.u8(..=32)).unwrap()
                    } else {
                        IpNet::new(v6(&mut rng).into(), rng.u8(..=128)).unwrap()
                    }
                })
                .collect();
            let set: Networks = all.iter().copied().collect();
            for _ in 0..200 {
                let address: IpAddr = if rng.bool() {
                    v4(&mut rng).into()
                } else {
                    v6(&mut rng).into()
                };
                let expected = all.iter().any(|network| network.contains(&address));
                assert_eq!(set.contains(address), expected, "{address} in {all:?}");
            }
        }
    }
}
