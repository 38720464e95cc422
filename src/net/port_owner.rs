//! Who holds a port, and what the kernel dropped there: read from /proc, for reports only.

use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::process;

/// A process that holds a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortOwner {
    /// Its process id.
    pub pid: u32,
    /// Its name, as `ps` shows it.
    pub name: String,
}

impl fmt::Display for PortOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// Which of the kernel's tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Listening sockets.
    Tcp,
}

/// A process that keeps us from binding `address`, as far as we may look into other processes.
pub fn of(transport: Transport, address: SocketAddr) -> Option<PortOwner> {
    let in_the_way = |row: &Row| collide(row.local, address);
    let rows: Vec<Row> = table(transport).into_iter().filter(in_the_way).collect();
    fs::read_dir("/proc").ok()?.flatten().find_map(|folder| {
        let pid: u32 = folder.file_name().to_str()?.parse().ok()?;
        let mut descriptors = fs::read_dir(folder.path().join("fd")).ok()?.flatten();
        descriptors.find(|descriptor| {
            fs::read_link(descriptor.path())
                .ok()
                .and_then(|target| socket_inode(target.to_str()?))
                .and_then(|inode| rows.iter().find(|row| row.inode == inode))
                // Our own sockets hold one family each.
                .is_some_and(|row| pid != process::id() || row.local.is_ipv4() == address.is_ipv4())
        })?;
        let name = fs::read_to_string(folder.path().join("comm")).unwrap_or_default();
        Some(PortOwner {
            pid,
            name: name.trim_end().to_owned(),
        })
    })
}

/// The inode by which the kernel's tables name a socket.
pub fn inode_of(socket: &impl AsRawFd) -> Option<u64> {
    let target = fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).ok()?;
    socket_inode(target.to_str()?)
}

/// Datagrams that the kernel dropped because these sockets' queues were full.
pub fn kernel_drops(inodes: &[u64]) -> u64 {
    table(Transport::Udp)
        .iter()
        .filter(|row| inodes.contains(&row.inode))
        .map(|row| row.drops)
        .sum()
}

/// What the kernel says of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SocketState {
    /// The inode by which it is named.
    pub inode: u64,
    /// Bytes of memory that datagrams take which nobody has read yet.
    pub queued_bytes: u64,
    /// Datagrams that were dropped because the queue was full.
    pub drops: u64,
}

/// The sockets in a table such as `/proc/net/udp`.
pub fn sockets_in(table: &str) -> impl Iterator<Item = SocketState> + '_ {
    table.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (_, queued) = words.nth(4)?.split_once(':')?;
        Some(SocketState {
            queued_bytes: u64::from_str_radix(queued, 16).ok()?,
            inode: words.nth(4)?.parse().ok()?,
            drops: words.nth(2)?.parse().ok()?,
        })
    })
}

fn socket_inode(target: &str) -> Option<u64> {
    target
        .strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

/// Whether two sockets cannot both have their address. `::` of another program may hold IPv4 too.
pub fn collide(held: SocketAddr, wanted: SocketAddr) -> bool {
    let (held_ip, wanted_ip) = (held.ip(), wanted.ip());
    let one_family = held.is_ipv4() == wanted.is_ipv4();
    held.port() == wanted.port()
        && (held_ip == wanted_ip
            || (held_ip.is_unspecified() && (one_family || held.is_ipv6()))
            || (wanted_ip.is_unspecified() && one_family))
}

struct Row {
    local: SocketAddr,
    inode: u64,
    drops: u64,
}

/// What stands in the state column of a TCP socket that listens.
const LISTENING: &str = "0A";

fn table(transport: Transport) -> Vec<Row> {
    let tables = match transport {
        Transport::Udp => ["/proc/self/net/udp", "/proc/self/net/udp6"],
        Transport::Tcp => ["/proc/self/net/tcp", "/proc/self/net/tcp6"],
    };
    let counts = |line: &&str| {
        transport == Transport::Udp || line.split_whitespace().nth(3) == Some(LISTENING)
    };
    let texts = tables
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok());
    texts
        .flat_map(|text| {
            text.lines()
                .filter(counts)
                .filter_map(read_row)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// `sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode ref pointer drops`, the last
/// of which is something else for TCP.
fn read_row(line: &str) -> Option<Row> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (ip, port) = words.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(Row {
        local: SocketAddr::new(read_ip(ip)?, port),
        inode: words.get(9)?.parse().ok()?,
        drops: words.get(12)?.parse().unwrap_or(0),
    })
}

/// One word of 8 hexadecimal digits, or four of them: each is 4 bytes of the address as the CPU reads
/// them.
fn read_ip(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = hex.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    match hex.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let mut octets = [0; 16];
            for (at, bytes) in octets.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                *bytes = word(at)?;
            }
            Some(IpAddr::from(octets))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn the_owner_of_a_port_is_this_process_when_it_bound_it() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for (transport, address) in [
            (Transport::Udp, socket.local_addr().unwrap()),
            (Transport::Tcp, listener.local_addr().unwrap()),
        ] {
            let pid = |address| of(transport, address).map(|owner| owner.pid);
            assert_eq!(pid(address), Some(std::process::id()));
            let wildcard = SocketAddr::from(([0, 0, 0, 0], address.port()));
            assert_eq!(pid(wildcard), Some(std::process::id()));
            let elsewhere = SocketAddr::from(([127, 0, 0, 2], address.port()));
            assert_eq!(pid(elsewhere), None);
        }
    }

    #[test]
    fn addresses_of_both_families_are_read_from_the_kernels_tables() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let socket = UdpSocket::bind(local).unwrap();
            let address = socket.local_addr().unwrap();
            assert!(
                table(Transport::Udp).iter().any(|row| row.local == address),
                "{address}"
            );
        }
    }

    #[test]
    fn a_table_tells_what_waits_and_what_was_dropped() {
        let table = "  sl  local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode ref pointer drops\n\
            \x20 83: 00000000:1B39 00000000:0000 07 00000000:00000A00 00:00000000 00000000 0 0 24541 2 0000000000000000 17\n\
            \x20 84: broken\n";
        let state = SocketState {
            inode: 24541,
            queued_bytes: 0xa00,
            drops: 17,
        };
        assert_eq!(sockets_in(table).collect::<Vec<_>>(), [state]);
    }

    #[test]
    fn datagrams_that_overflow_a_socket_are_seen_as_kernel_drops() {
        let receiver =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        receiver.set_recv_buffer_size(4096).unwrap();
        receiver
            .bind(
                &"127.0.0.1:0"
                    .parse::<std::net::SocketAddr>()
                    .unwrap()
                    .into(),
            )
            .unwrap();
        let receiver = UdpSocket::from(receiver);
        let inode = inode_of(&receiver).unwrap();
        assert_eq!(kernel_drops(&[inode]), 0);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..100 {
            sender
                .send_to(&[0; 512], receiver.local_addr().unwrap())
                .unwrap();
        }
        assert!(kernel_drops(&[inode]) > 0);
    }
}
