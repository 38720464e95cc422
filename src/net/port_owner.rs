//! Who holds a UDP port, and what the kernel dropped there: read from /proc, for reports only.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

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

/// The first process that holds `port`, as far as we may look into other processes.
pub fn of_udp_port(port: u16) -> Option<PortOwner> {
    let inodes: HashSet<u64> = udp_table()
        .into_iter()
        .filter(|row| row.port == port)
        .map(|row| row.inode)
        .collect();
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let mut descriptors = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        descriptors.find(|descriptor| {
            fs::read_link(descriptor.path())
                .ok()
                .and_then(|target| socket_inode(target.to_str()?))
                .is_some_and(|inode| inodes.contains(&inode))
        })?;
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        Some(PortOwner {
            pid,
            name: name.trim_end().to_owned(),
        })
    })
}

/// The inode by which the kernel's tables name a socket.
pub fn inode_of(socket: &UdpSocket) -> Option<u64> {
    let target = fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).ok()?;
    socket_inode(target.to_str()?)
}

/// Datagrams that the kernel dropped because these sockets' queues were full.
pub fn kernel_drops(inodes: &[u64]) -> u64 {
    udp_table()
        .iter()
        .filter(|row| inodes.contains(&row.inode))
        .map(|row| row.drops)
        .sum()
}

fn socket_inode(target: &str) -> Option<u64> {
    target
        .strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

struct Row {
    port: u16,
    inode: u64,
    drops: u64,
}

fn udp_table() -> Vec<Row> {
    let tables = ["/proc/self/net/udp", "/proc/self/net/udp6"];
    let texts = tables
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok());
    texts
        .flat_map(|text| text.lines().filter_map(read_row).collect::<Vec<_>>())
        .collect()
}

/// `sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode ref pointer drops`
fn read_row(line: &str) -> Option<Row> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (_, port) = words.get(1)?.rsplit_once(':')?;
    Some(Row {
        port: u16::from_str_radix(port, 16).ok()?,
        inode: words.get(9)?.parse().ok()?,
        drops: words.get(12)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_port_is_this_process_when_it_bound_it() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let owner = of_udp_port(socket.local_addr().unwrap().port()).unwrap();
        assert_eq!(owner.pid, std::process::id());
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
