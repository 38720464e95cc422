//! The sieve: a classic BPF program by which the kernel drops forged connection ids before it queues them,
//! so that a flood of them leaves the queue, and the core behind it, to everybody else.
//!
//! A kernel that runs classic BPF knows 32-bit words and no `SipHash`. So twelve bits of each connection id
//! are a *tag*, which both sides compute alike from the address, the slot and secret numbers:
//!
//! ```text
//! s   = salt + slot * f + a0 * f0 + a1 * f1 + a2 * f2 + a3 * f3      address: four words, big-endian
//! s   = (s ^ s >> 15) * m0                                           all of it mod 2^32
//! s   = (s ^ s >> 13) * m1
//! tag = s >> 20
//! ```
//!
//! The tag proves nothing: of ids that are made up one in 4096 has the right one, and who has many addresses
//! of his own may find out the numbers. What passes is checked as ever. Connects pass.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, RawFd};

use super::bpf::{self, jump, step};
use super::socket::set_option;
use crate::wire::udp::{PROTOCOL_ID, SCRAPE_HEAD_LEN};

/// Bits of a tag. It stands below the slot, which has the highest eight bits of an id.
pub const TAG_BITS: u32 = 12;

/// Where the payload begins: a filter of a UDP socket counts from the header.
const PAYLOAD_AT: u32 = 8;
/// Where the words of an address begin, which in IPv4 is the last one of the mapped form.
const SOURCE_V4_AT: u32 = 12;
const SOURCE_V6_AT: u32 = 8;
/// The third word of every mapped address.
const MAPPED: u32 = 0xffff;

/// The secret numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sieve {
    salt: u32,
    of_slot: u32,
    of_words: [u32; 4],
    mixers: [u32; 2],
}

impl Sieve {
    /// A sieve of these secrets; whoever shares them has the same tags.
    pub fn new(secrets: [u64; 4]) -> Self {
        let [a, b, c, d] = secrets;
        // Odd factors lose no bit.
        let high = |secret: u64| (secret >> 32) as u32 | 1;
        let low = |secret: u64| secret as u32 | 1;
        Self {
            salt: low(a),
            of_slot: high(a),
            of_words: [low(b), high(b), low(c), high(c)],
            mixers: [low(d), high(d)],
        }
    }

    /// The tag of the ids that are issued to this address, as the bits of IPv6, in a slot with this low byte.
    #[inline]
    pub fn tag(&self, address: u128, slot: u8) -> u64 {
        let word = |number: u32| (address >> (96 - 32 * number)) as u32;
        let part = |number: u32| word(number).wrapping_mul(self.of_words[number as usize]);
        let of_slot = u32::from(slot).wrapping_mul(self.of_slot);
        let mut sum = self.salt.wrapping_add(of_slot);
        sum = sum.wrapping_add(part(0)).wrapping_add(part(1));
        sum = sum.wrapping_add(part(2)).wrapping_add(part(3));
        sum = (sum ^ (sum >> 15)).wrapping_mul(self.mixers[0]);
        sum = (sum ^ (sum >> 13)).wrapping_mul(self.mixers[1]);
        u64::from(sum >> (32 - TAG_BITS))
    }

    /// Has the kernel drop what arrives at this socket with a wrong tag. Needs no privilege.
    pub(super) fn attach(&self, socket: &UdpSocket) -> io::Result<()> {
        let mut program = self.program(socket.local_addr()?.is_ipv6());
        bpf::attach(socket.as_raw_fd(), libc::SO_ATTACH_FILTER, &mut program)
    }

    fn program(&self, is_v6: bool) -> Vec<libc::sock_filter> {
        use libc::{
            BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_LEN, BPF_RET, BPF_W, BPF_X,
        };
        let check = self.check(is_v6);
        let rest = check.len() as u8;
        let (high, low) = ((PROTOCOL_ID >> 32) as u32, PROTOCOL_ID as u32);
        let mut program = vec![
            step(BPF_LD | BPF_W | BPF_LEN, 0),
            jump(
                BPF_JMP | BPF_JGE | BPF_K,
                PAYLOAD_AT + SCRAPE_HEAD_LEN as u32,
                0,
                rest + 6,
            ),
            // Connects have the protocol's own number where others have an id.
            step(BPF_LD | BPF_W | BPF_ABS, PAYLOAD_AT),
            jump(BPF_JMP | BPF_JEQ | BPF_K, high, 0, 2),
            step(BPF_LD | BPF_W | BPF_ABS, PAYLOAD_AT + 4),
            jump(BPF_JMP | BPF_JEQ | BPF_K, low, rest + 1, 0),
        ];
        program.extend(check);
        program.push(jump(BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 1));
        program.push(step(BPF_RET | BPF_K, u32::MAX)); // all of it passes
        program.push(step(BPF_RET | BPF_K, 0));
        program
    }

    /// Leaves the tag as it should be in X, and that of the datagram in A.
    fn check(&self, is_v6: bool) -> Vec<libc::sock_filter> {
        use libc::{BPF_ABS, BPF_ADD, BPF_ALU, BPF_AND, BPF_B, BPF_K, BPF_LD, BPF_LDX, BPF_MEM};
        use libc::{BPF_MISC, BPF_MUL, BPF_RSH, BPF_ST, BPF_TAX, BPF_W, BPF_X, BPF_XOR};
        let source = |offset: u32| (libc::SKF_NET_OFF as u32).wrapping_add(offset);
        let (first, constant, factors) = if is_v6 {
            (SOURCE_V6_AT, 0, &self.of_words[..])
        } else {
            let mapped = MAPPED.wrapping_mul(self.of_words[2]);
            (SOURCE_V4_AT, mapped, &self.of_words[3..])
        };
        let mut steps = vec![
            step(BPF_LD | BPF_B | BPF_ABS, PAYLOAD_AT),
            step(BPF_ALU | BPF_MUL | BPF_K, self.of_slot),
            step(BPF_ALU | BPF_ADD | BPF_K, self.salt.wrapping_add(constant)),
        ];
        for (offset, factor) in (first..).step_by(4).zip(factors) {
            steps.extend([
                step(BPF_ST, 0),
                step(BPF_LD | BPF_W | BPF_ABS, source(offset)),
                step(BPF_ALU | BPF_MUL | BPF_K, *factor),
                step(BPF_LDX | BPF_W | BPF_MEM, 0),
                step(BPF_ALU | BPF_ADD | BPF_X, 0),
            ]);
        }
        for (bits, mixer) in [15, 13].into_iter().zip(self.mixers) {
            steps.extend([
                step(BPF_MISC | BPF_TAX, 0),
                step(BPF_ALU | BPF_RSH | BPF_K, bits),
                step(BPF_ALU | BPF_XOR | BPF_X, 0),
                step(BPF_ALU | BPF_MUL | BPF_K, mixer),
            ]);
        }
        steps.extend([
            step(BPF_ALU | BPF_RSH | BPF_K, 32 - TAG_BITS),
            step(BPF_MISC | BPF_TAX, 0),
            step(BPF_LD | BPF_W | BPF_ABS, PAYLOAD_AT),
            step(BPF_ALU | BPF_RSH | BPF_K, 24 - TAG_BITS),
            step(BPF_ALU | BPF_AND | BPF_K, (1 << TAG_BITS) - 1),
        ]);
        steps
    }
}

/// Takes the sieve away, if the socket has one.
pub(super) fn detach(socket: RawFd) -> io::Result<()> {
    let unused = 0_i32;
    let done = set_option(socket, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &unused);
    done.or_else(|error| match error.raw_os_error() {
        Some(libc::ENOENT) => Ok(()), // it had none
        _ => Err(error),
    })
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
    use std::time::Duration;

    use super::*;
    use crate::net::socket::{SocketOptions, bind};

    fn random_sieve(random: &mut fastrand::Rng) -> Sieve {
        Sieve::new([(); 4].map(|()| random.u64(..)))
    }

    fn bits(address: IpAddr) -> u128 {
        match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits(),
        }
    }

    /// An id with the tag for `source`, or another tag, and no hash that anybody would believe.
    fn id(sieve: &Sieve, source: IpAddr, is_right: bool, random: &mut fastrand::Rng) -> u64 {
        let slot = random.u8(..);
        let wrong = if is_right {
            0
        } else {
            random.u64(1..1 << TAG_BITS)
        };
        let tag = sieve.tag(bits(source), slot) ^ wrong;
        u64::from(slot) << 56 | tag << (56 - TAG_BITS) | random.u64(..1 << (56 - TAG_BITS))
    }

    /// What the program says of a datagram, by a machine for as much of BPF as it has: so every address can be tried.
    fn run(program: &[libc::sock_filter], source: IpAddr, payload: &[u8]) -> bool {
        let (mut a, mut x, mut memory, mut at) = (0_u32, 0_u32, 0, 0);
        let (offset, address) = match source {
            IpAddr::V4(source) => (12, source.octets().to_vec()),
            IpAddr::V6(source) => (8, source.octets().to_vec()),
        };
        let word =
            |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        loop {
            let step = program[at];
            at += 1;
            let (code, k) = (u32::from(step.code), step.k);
            let jump = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
            match code {
                0x80 => a = payload.len() as u32 + 8,
                0x20 if k < 0x8000_0000 => a = word(payload, k as usize - 8),
                0x20 => a = word(&address, k.wrapping_add(0x0010_0000) as usize - offset),
                0x30 => a = u32::from(payload[k as usize - 8]),
                0x24 => a = a.wrapping_mul(k),
                0x04 => a = a.wrapping_add(k),
                0x0c => a = a.wrapping_add(x),
                0xac => a ^= x,
                0x74 => a >>= k,
                0x54 => a &= k,
                0x02 => memory = a,
                0x61 => x = memory,
                0x07 => x = a,
                0x35 => at += jump(a >= k),
                0x15 => at += jump(a == k),
                0x1d => at += jump(a == x),
                0x06 => return k != 0,
                _ => panic!("{code:#x} is no step of it"),
            }
        }
    }

    #[test]
    fn the_program_knows_the_tag_of_every_address() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..20_000 {
            let sieve = random_sieve(&mut random);
            let source = if random.bool() {
                IpAddr::V4(Ipv4Addr::from_bits(random.u32(..)))
            } else {
                IpAddr::V6(Ipv6Addr::from_bits(random.u128(..)))
            };
            let program = sieve.program(source.is_ipv6());
            let is_right = random.bool();
            let id = id(&sieve, source, is_right, &mut random).to_be_bytes();
            let mut payload = id.to_vec();
            payload.resize(random.usize(8..100), 7);
            let is_whole = payload.len() >= SCRAPE_HEAD_LEN;
            assert_eq!(run(&program, source, &payload), is_right && is_whole);
            payload[..8].copy_from_slice(&PROTOCOL_ID.to_be_bytes());
            assert_eq!(run(&program, source, &payload), is_whole, "a connect");
        }
    }

    #[test]
    fn the_kernel_drops_what_has_a_wrong_tag_and_nothing_else() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let address: SocketAddr = address.parse().unwrap();
            let options = SocketOptions {
                cores: 1,
                receive_buffer: 1 << 20,
                steering: None,
            };
            let listener = bind(address, &options).unwrap();
            let socket = &listener.sockets[0];
            let patience = Some(Duration::from_secs(5));
            socket.set_read_timeout(patience).unwrap();
            let sieve = random_sieve(&mut random);
            sieve.attach(socket).unwrap();
            let mut dropped = 0;
            for _ in 0..300 {
                let ip = match address.ip() {
                    IpAddr::V4(_) => {
                        IpAddr::V4(Ipv4Addr::from_bits(0x7f00_0001 + random.u32(..0xffff)))
                    }
                    IpAddr::V6(ip) => IpAddr::V6(ip),
                };
                let client = UdpSocket::bind(SocketAddr::new(ip, 0)).unwrap();
                let mut arrived = [0; 100];
                let ask = |id: u64, len: usize| {
                    let mut datagram = [9; 98];
                    datagram[..8].copy_from_slice(&id.to_be_bytes());
                    client.send_to(&datagram[..len], listener.address).unwrap();
                };
                // What the kernel drops is never seen, so each is followed by one that it lets through.
                ask(id(&sieve, ip, false, &mut random), 98);
                ask(PROTOCOL_ID, 15);
                dropped += 2;
                ask(PROTOCOL_ID, 16);
                assert_eq!(socket.recv(&mut arrived).unwrap(), 16);
                let right = id(&sieve, ip, true, &mut random);
                ask(right, 98);
                assert_eq!(socket.recv(&mut arrived).unwrap(), 98);
                assert_eq!(arrived[..8], right.to_be_bytes());
            }
            assert_eq!(crate::net::socket::kernel_drops(socket).unwrap(), dropped);
            detach(socket.as_raw_fd()).unwrap();
            let client = UdpSocket::bind(SocketAddr::new(address.ip(), 0)).unwrap();
            client.send_to(&[9; 98], listener.address).unwrap();
            assert_eq!(socket.recv(&mut [0; 100]).unwrap(), 98);
            detach(socket.as_raw_fd()).expect("a socket without a sieve is no mistake");
        }
    }

    #[test]
    fn tags_are_spread_evenly_over_near_addresses_and_slots() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..10 {
            let sieve = random_sieve(&mut random);
            let mut counts = vec![0_u32; 1 << TAG_BITS];
            for host in 0..1 << 16 {
                let address = IpAddr::V4(Ipv4Addr::from_bits(0xc000_0000 | host));
                counts[sieve.tag(bits(address), 7) as usize] += 1;
            }
            let most = counts.iter().max().copied().unwrap_or_default();
            assert!(
                most <= 64,
                "{most} of 65536 addresses share a tag; 16 would be even"
            );
            let localhost = bits(Ipv4Addr::LOCALHOST.into());
            let other =
                (0..=255).filter(|slot| sieve.tag(localhost, *slot) == sieve.tag(localhost, 7));
            assert!(other.count() <= 4);
        }
    }
}
