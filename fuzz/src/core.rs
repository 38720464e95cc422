//! A core from the first datagram to the last, over hours that pass in microseconds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use shoal::clock::Now;
use shoal::net::{Datagram, Origin};
use shoal::swarm::Swarms;
use shoal::wire::udp::{ANNOUNCE_LEN, PROTOCOL_ID, TransactionId, ask};
use shoal::wire::{Event, InfoHash, NumWant, PeerId};
use shoal_bench::bare_core::{BareCore, NOW, connection_ids, swarms};

/// Room for a few dozen peers in large swarms: announces beyond are refused.
const MEMORY_BUDGET: usize = 64 << 10;

/// The bytes are a play: each step takes a byte that says what happens and some more that say to whom.
pub(crate) fn turns(data: &[u8]) {
    let budget = data.first().is_some_and(|byte| byte & 1 == 1);
    let swarms: Swarms = swarms(budget.then_some(MEMORY_BUDGET));
    let mut core = BareCore::alone(swarms, true).expect("an event descriptor");
    let mut play = Play {
        bytes: data.get(1..).unwrap_or_default(),
        now: NOW,
    };
    let mut letters: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
    let mut announces = 0;
    while let Some(step) = play.byte() {
        match step % 8 {
            0..=3 => {
                announces += 1;
                letters.push(play.announce());
            }
            4 => letters.push(play.scrape()),
            5 => letters.push(play.anything()),
            6 => play.pass_time(),
            _ => {
                turn(&mut core, &mut letters, play.now);
                core.sweep(play.now);
            }
        }
        if letters.len() == shoal_bench::bare_core::TURN_MAX {
            turn(&mut core, &mut letters, play.now);
        }
    }
    turn(&mut core, &mut letters, play.now);
    let gauges = core.into_swarms().gauges();
    assert!(gauges.v4.peers() + gauges.v6.peers() <= announces + play_raw_max(data));
}

/// Whole announces may also stand among the bytes of [`Play::anything`].
fn play_raw_max(data: &[u8]) -> usize {
    data.len() / ANNOUNCE_LEN
}

fn turn(core: &mut BareCore, letters: &mut Vec<(SocketAddr, Vec<u8>)>, now: Now) {
    let datagrams = letters.iter().map(|(peer, bytes)| Datagram {
        bytes,
        origin: Origin {
            listener: 0,
            peer: *peer,
            local: None,
        },
        truncated: false,
    });
    core.turn_at(now, datagrams);
    letters.clear();
}

struct Play<'a> {
    bytes: &'a [u8],
    now: Now,
}

impl Play<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn some(&mut self) -> u8 {
        self.byte().unwrap_or_default()
    }

    /// One of a few hundred peers, of either family.
    fn peer(&mut self) -> SocketAddr {
        let number = self.some();
        let host = 1 + (number & 0x7f);
        let address = if number < 0x80 {
            IpAddr::V4(Ipv4Addr::new(198, 51, 100, host))
        } else {
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into()))
        };
        SocketAddr::new(address, 1024)
    }

    /// One of 16 torrents.
    fn info_hash(&mut self) -> InfoHash {
        InfoHash([self.some() % 16; InfoHash::LEN])
    }

    fn announce(&mut self) -> (SocketAddr, Vec<u8>) {
        let peer = self.peer();
        let info_hash = self.info_hash();
        let how = self.some();
        let said = ask::Announce {
            info_hash,
            peer_id: PeerId([self.some(); PeerId::LEN]),
            downloaded: u64::from(self.some()) << 56,
            left: u64::from(how & 1),
            uploaded: u64::MAX - u64::from(how),
            event: Event::from(u32::from(how >> 1) % 6),
            num_want: NumWant::from(i32::from(self.some()) - 8),
            key: 0,
            port: 1 + u16::from(how >> 5),
        };
        let mut bytes = vec![0; ANNOUNCE_LEN];
        let id = connection_ids().issue(peer.ip(), self.now.unix_s);
        ask::write_announce(&mut bytes, id, TransactionId(how.into()), &said);
        (peer, bytes)
    }

    fn scrape(&mut self) -> (SocketAddr, Vec<u8>) {
        let peer = self.peer();
        let count = usize::from(self.some() % 80);
        let hashes: Vec<InfoHash> = (0..count).map(|_| self.info_hash()).collect();
        let mut bytes = vec![0; 16 + count * InfoHash::LEN];
        let id = connection_ids().issue(peer.ip(), self.now.unix_s);
        let len = ask::write_scrape(&mut bytes, id, TransactionId(7), &hashes);
        bytes.truncate(len);
        (peer, bytes)
    }

    /// Bytes as they are, after a good connection id or the protocol's number.
    fn anything(&mut self) -> (SocketAddr, Vec<u8>) {
        let peer = self.peer();
        let len = usize::from(self.some()).min(self.bytes.len());
        let (raw, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        let first = if len % 2 == 0 {
            connection_ids().issue(peer.ip(), self.now.unix_s).0
        } else {
            PROTOCOL_ID
        };
        (peer, [&first.to_be_bytes(), raw].concat())
    }

    fn pass_time(&mut self) {
        let seconds = 1_u32 << (self.some() % 13);
        self.now.uptime_s += seconds;
        self.now.unix_s += u64::from(seconds);
    }
}
