//! Steering: a classic BPF program by which the kernel gives an announce to the socket of the core that
//! owns its info-hash, before the datagram is queued.
//!
//! Which core owns an info-hash is one rule, [`Steering::core_of`], that both sides compute alike:
//!
//! ```text
//! x    = first four bytes of the info-hash, big-endian
//! core = (((x ^ salt) * factor mod 2^32) >> 16) * cores >> 16
//! ```
//!
//! Salt and factor are secret and new with every start, so nobody can choose the core to which info-hashes
//! fall. Those that begin alike fall to one, as the announces of a single torrent do. The multiplication
//! needs no division, and an odd factor keeps all 32 bits in play.

use std::io;
use std::os::fd::RawFd;

use super::bpf::{self, jump, step};
use crate::limits::CORES_MAX;
use crate::wire::InfoHash;
use crate::wire::udp::SCRAPE_HEAD_LEN;

/// Least bytes of a datagram that names an info-hash. Announces and scrapes have it at the same
/// offset, so one load serves both.
const WITH_INFO_HASH_LEN: u32 = (SCRAPE_HEAD_LEN + InfoHash::LEN) as u32;

/// The rule by which info-hashes are spread over cores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Steering {
    salt: u32,
    factor: u32,
    cores: u32,
}

impl Steering {
    /// `secret` spreads the info-hashes over `cores` (1 to [`CORES_MAX`]).
    pub fn new(secret: u64, cores: usize) -> Self {
        assert!(
            (1..=CORES_MAX).contains(&cores),
            "the configuration bounds the cores"
        );
        Self {
            salt: (secret >> 32) as u32,
            factor: secret as u32 | 1,
            cores: cores as u32,
        }
    }

    /// The core that owns an info-hash. `swarms` of any other core never hold it.
    #[inline]
    pub fn core_of(&self, info_hash: &InfoHash) -> usize {
        let mixed = (info_hash.first_word() ^ self.salt).wrapping_mul(self.factor) >> 16;
        ((mixed * self.cores) >> 16) as usize
    }

    /// Attaches the rule to the reuseport group of a bound socket. Needs no privilege.
    pub(super) fn attach(&self, socket: RawFd) -> io::Result<()> {
        bpf::attach(socket, libc::SO_ATTACH_REUSEPORT_CBPF, &mut self.program())
    }

    /// Offsets count from the UDP payload. A load past the end would end the program with 0, hence the
    /// test of the length first; what names no info-hash goes to a random core.
    fn program(&self) -> [libc::sock_filter; 12] {
        use libc::{
            BPF_A, BPF_ABS, BPF_ALU, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_LEN, BPF_MUL, BPF_RET,
            BPF_RSH, BPF_W, BPF_XOR, SKF_AD_OFF, SKF_AD_RANDOM,
        };
        let random = (SKF_AD_OFF + SKF_AD_RANDOM) as u32;
        [
            step(BPF_LD | BPF_W | BPF_LEN, 0),
            jump(BPF_JMP | BPF_JGE | BPF_K, WITH_INFO_HASH_LEN, 0, 5),
            step(BPF_LD | BPF_W | BPF_ABS, SCRAPE_HEAD_LEN as u32),
            step(BPF_ALU | BPF_XOR | BPF_K, self.salt),
            step(BPF_ALU | BPF_MUL | BPF_K, self.factor),
            step(BPF_ALU | BPF_RSH | BPF_K, 16),
            step(BPF_JMP | libc::BPF_JA, 2),
            step(BPF_LD | BPF_W | BPF_ABS, random),
            step(BPF_ALU | BPF_RSH | BPF_K, 16),
            step(BPF_ALU | BPF_MUL | BPF_K, self.cores),
            step(BPF_ALU | BPF_RSH | BPF_K, 16),
            step(BPF_RET | BPF_A, 0),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};
    use std::time::Duration;

    use super::*;
    use crate::net::socket::{SocketOptions, bind};

    #[test]
    fn the_kernel_gives_every_announce_to_the_core_that_owns_it() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for address in ["127.0.0.1:0", "[::1]:0"] {
            for cores in [2, 3, 5] {
                let steering = Steering::new(random.u64(..), cores);
                let options = SocketOptions {
                    cores,
                    receive_buffer: 1 << 20,
                    steering: Some(steering),
                };
                let address: SocketAddr = address.parse().unwrap();
                let listener = bind(address, &options).unwrap();
                for socket in &listener.sockets {
                    socket
                        .set_read_timeout(Some(Duration::from_secs(5)))
                        .unwrap();
                }
                let client = UdpSocket::bind(SocketAddr::new(address.ip(), 0)).unwrap();
                for _ in 0..200 {
                    let mut datagram = [0; 98];
                    random.fill(&mut datagram);
                    let info_hash = InfoHash(*datagram[16..].first_chunk().unwrap());
                    client.send_to(&datagram, listener.address).unwrap();
                    let owner = &listener.sockets[steering.core_of(&info_hash)];
                    let mut arrived = [0; 98];
                    let len = owner.recv(&mut arrived).expect("the owner receives it");
                    assert_eq!(arrived[..len], datagram);
                }
            }
        }
    }

    #[test]
    fn connects_spread_over_all_cores() {
        let steering = Steering::new(7, 3);
        let options = SocketOptions {
            cores: 3,
            receive_buffer: 1 << 20,
            steering: Some(steering),
        };
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)), &options).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..300 {
            client.send_to(&[0; 16], listener.address).unwrap();
        }
        for socket in &listener.sockets {
            socket.set_nonblocking(true).unwrap();
            let mut count = 0;
            while socket.recv(&mut [0; 16]).is_ok() {
                count += 1;
            }
            assert!(
                (40..=180).contains(&count),
                "{count} of 300 connects on one of three cores"
            );
        }
    }

    #[test]
    fn info_hashes_spread_evenly_whatever_the_secret() {
        for secret in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
            let steering = Steering::new(secret, 7);
            let mut counts = [0_u32; 7];
            let mut random = fastrand::Rng::with_seed(secret);
            for _ in 0..70_000 {
                let mut info_hash = InfoHash([0; 20]);
                random.fill(&mut info_hash.0);
                counts[steering.core_of(&info_hash)] += 1;
            }
            assert!(
                counts.iter().all(|count| (9_000..11_000).contains(count)),
                "{counts:?}"
            );
        }
    }
}
