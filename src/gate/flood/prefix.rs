//! What counts as one: a source, or a network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Bits of a source and of a network.
const V4: (u8, u8) = (32, 24);
const V6: (u8, u8) = (64, 56);

/// A source or a network.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Prefix {
    is_v6: bool,
    len: u8,
    bits: u64,
}

impl Prefix {
    /// An IPv4 address, or an IPv6 network of 64 bits: the rest is for its holder to choose.
    #[inline]
    pub fn source(address: IpAddr) -> Self {
        Self::of(address, V4.0, V6.0)
    }

    /// The network around it: 24 bits of IPv4, 56 of IPv6.
    #[inline]
    pub fn network(address: IpAddr) -> Self {
        Self::of(address, V4.1, V6.1)
    }

    #[inline]
    fn of(address: IpAddr, v4_len: u8, v6_len: u8) -> Self {
        match address {
            IpAddr::V4(v4) => Self {
                is_v6: false,
                len: v4_len,
                bits: u64::from(v4.to_bits() & (u32::MAX << (32 - v4_len))),
            },
            IpAddr::V6(v6) => Self {
                is_v6: true,
                len: v6_len,
                bits: (v6.to_bits() >> 64) as u64 & (u64::MAX << (64 - v6_len)),
            },
        }
    }

    /// True for a network of sources, false for a source.
    pub fn is_network(self) -> bool {
        self.len == if self.is_v6 { V6.1 } else { V4.1 }
    }

    /// The bits that it consists of. Only IPv6 networks below `0:1::`, which nobody has, have those of an
    /// IPv4 address.
    #[inline]
    pub fn bits(self) -> u64 {
        self.bits
    }

    /// As two numbers, for memory that several threads see.
    pub fn to_words(self) -> (u64, u32) {
        (self.bits, u32::from(self.is_v6) << 8 | u32::from(self.len))
    }

    /// What [`Self::to_words`] made numbers of.
    pub fn from_words((bits, kind): (u64, u32)) -> Self {
        Self {
            is_v6: kind >> 8 != 0,
            len: kind as u8,
            bits,
        }
    }

    /// As a network, which lists of the unwanted take.
    pub fn net(self) -> IpNet {
        self.shortened(self.len, self.len)
    }

    /// Without what tells apart the customers of one provider: 24 bits of IPv4, 48 of IPv6.
    pub fn masked(self) -> IpNet {
        self.shortened(24, 48)
    }

    fn shortened(self, v4_len: u8, v6_len: u8) -> IpNet {
        let net = if self.is_v6 {
            let address = Ipv6Addr::from_bits(u128::from(self.bits) << 64);
            Ipv6Net::new(address, self.len.min(v6_len)).map(IpNet::V6)
        } else {
            let address = Ipv4Addr::from_bits(self.bits as u32);
            Ipv4Net::new(address, self.len.min(v4_len)).map(IpNet::V4)
        };
        net.expect("no prefix is longer than an address").trunc()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.net().fmt(f)
    }
}
