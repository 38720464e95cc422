//! The kernel's address bytes become `std` addresses and back. v4-mapped addresses are folded here,
//! once, so that nothing behind this file meets one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Bytes of the longest socket address we meet: `sockaddr_in6`.
pub(super) const NAME_LEN: usize = size_of::<libc::sockaddr_in6>();

/// Bytes of the longest control message we send or receive: `in6_pktinfo` behind its header.
pub(super) const CONTROL_LEN: usize = 40;

/// Room for a control message, aligned as the kernel wants it.
#[repr(align(8))]
pub(super) struct Control(pub(super) [u8; CONTROL_LEN]);

const CMSG_HEAD_LEN: usize = size_of::<libc::cmsghdr>();
const _: () = assert!(
    CMSG_HEAD_LEN == 16,
    "the layout of a control message on 64-bit Linux"
);

/// Reads a `sockaddr_in` or `sockaddr_in6`.
pub(super) fn read_name(name: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(*name.first_chunk()?));
    let port = u16::from_be_bytes(*name.get(2..)?.first_chunk()?);
    match family {
        libc::AF_INET => {
            let octets: [u8; 4] = *name.get(4..)?.first_chunk()?;
            Some(SocketAddr::from((octets, port)))
        }
        libc::AF_INET6 => {
            let flow = u32::from_be_bytes(*name.get(4..)?.first_chunk()?);
            let octets: [u8; 16] = *name.get(8..)?.first_chunk()?;
            let scope = u32::from_ne_bytes(*name.get(24..)?.first_chunk()?);
            let address = Ipv6Addr::from(octets);
            Some(match address.to_ipv4_mapped() {
                Some(v4) => SocketAddr::from((v4, port)),
                None => SocketAddr::V6(SocketAddrV6::new(address, port, flow, scope)),
            })
        }
        _ => None,
    }
}

/// Writes a `sockaddr_in` or `sockaddr_in6`; returns its length.
pub(super) fn write_name(to: SocketAddr, name: &mut [u8; NAME_LEN]) -> usize {
    name[2..4].copy_from_slice(&to.port().to_be_bytes());
    match to {
        SocketAddr::V4(v4) => {
            name[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            name[4..8].copy_from_slice(&v4.ip().octets());
            name[8..16].fill(0);
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            name[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            name[4..8].fill(0);
            name[8..24].copy_from_slice(&v6.ip().octets());
            name[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
            NAME_LEN
        }
    }
}

/// Finds the address that a datagram was sent to (`IP_PKTINFO`, `IPV6_PKTINFO`). Every IPv4 broadcast,
/// to a subnet or to all, is 255.255.255.255 here.
pub(super) fn read_local(mut control: &[u8]) -> Option<IpAddr> {
    loop {
        let len = usize::from_ne_bytes(*control.first_chunk()?);
        let level = i32::from_ne_bytes(*control.get(8..)?.first_chunk()?);
        let kind = i32::from_ne_bytes(*control.get(12..)?.first_chunk()?);
        let data = control.get(CMSG_HEAD_LEN..len)?;
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // in_pktinfo: interface, an address of ours, the header's address. The latter two
                // differ only when the datagram was a broadcast or a multicast.
                let ours: [u8; 4] = *data.get(4..)?.first_chunk()?;
                let asked: [u8; 4] = *data.get(8..)?.first_chunk()?;
                let unicast = Ipv4Addr::from(ours);
                let local = if ours == asked {
                    unicast
                } else {
                    Ipv4Addr::BROADCAST
                };
                return Some(IpAddr::V4(local));
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let octets: [u8; 16] = *data.first_chunk()?;
                return Some(IpAddr::V6(Ipv6Addr::from(octets)));
            }
            _ => control = control.get(len.next_multiple_of(size_of::<usize>())..)?,
        }
    }
}

/// Writes the control message that makes a reply leave from `local`; returns its length, 0 when the
/// socket knows its address by itself. `scope` is the interface of a link-local address.
pub(super) fn write_local(
    local: Option<IpAddr>,
    scope: u32,
    control: &mut [u8; CONTROL_LEN],
) -> usize {
    let (level, kind, data_len) = match local {
        None => return 0,
        Some(IpAddr::V4(v4)) => {
            control[16..20].fill(0);
            control[20..24].copy_from_slice(&v4.octets());
            control[24..28].copy_from_slice(&v4.octets());
            (libc::IPPROTO_IP, libc::IP_PKTINFO, 12)
        }
        Some(IpAddr::V6(v6)) => {
            control[16..32].copy_from_slice(&v6.octets());
            control[32..36].copy_from_slice(&scope.to_ne_bytes());
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, 20)
        }
    };
    let len = CMSG_HEAD_LEN + data_len;
    control[..8].copy_from_slice(&len.to_ne_bytes());
    control[8..12].copy_from_slice(&level.to_ne_bytes());
    control[12..16].copy_from_slice(&kind.to_ne_bytes());
    len.next_multiple_of(size_of::<usize>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_written_reads_the_same() {
        for text in [
            "1.2.3.4:5",
            "255.0.0.1:65535",
            "[::1]:6881",
            "[fe80::7%3]:1",
        ] {
            let address: SocketAddr = text.parse().unwrap();
            let mut name = [0xaa; NAME_LEN];
            let len = write_name(address, &mut name);
            assert_eq!(read_name(&name[..len]), Some(address));
        }
    }

    #[test]
    fn a_v4_mapped_name_is_an_ipv4_address() {
        let mut name = [0; NAME_LEN];
        write_name("[::ffff:1.2.3.4]:5".parse().unwrap(), &mut name);
        assert_eq!(read_name(&name), Some("1.2.3.4:5".parse().unwrap()));
    }

    #[test]
    fn a_local_address_that_is_written_reads_the_same() {
        for text in ["127.0.0.2", "::1", "fe80::1"] {
            let address: IpAddr = text.parse().unwrap();
            let mut control = [0xaa; CONTROL_LEN];
            let len = write_local(Some(address), 3, &mut control);
            assert_eq!(read_local(&control[..len]), Some(address));
        }
        assert_eq!(write_local(None, 0, &mut [0; CONTROL_LEN]), 0);
    }

    #[test]
    fn short_or_broken_kernel_bytes_are_no_address_and_no_panic() {
        let mut name = [0; NAME_LEN];
        write_name("[::1]:6881".parse().unwrap(), &mut name);
        let mut control = [0; CONTROL_LEN];
        write_local(Some("::1".parse().unwrap()), 0, &mut control);
        for len in 0..28 {
            assert_eq!(read_name(&name[..len]), None);
            assert_eq!(read_local(&control[..len]), None);
        }
        assert_eq!(read_local(&[0; 64]), None);
        assert_eq!(read_local(&[0xff; 64]), None);
    }
}
