//! What clients send, what it must come to, and what they are answered.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use fastrand::Rng;
use shoal::clock::Now;
use shoal::gate::connection_id::Verdict;
use shoal::limits::{REPLY_PEERS_V4_MAX, REPLY_PEERS_V6_MAX};
use shoal::swarm::{PeerAddr, PeerAnnounce, State};
use shoal::wire::udp::{ANNOUNCE_LEN, ConnectionId, TransactionId, ask};
use shoal::wire::{Event, InfoHash, NumWant, PeerId};
use shoal_bench::bare_core::connection_ids;

/// What a datagram asks for.
pub enum Matter {
    /// A connection id.
    Connect,
    /// This, if the connection id is good.
    Announce(PeerAnnounce),
    /// These rows, likewise.
    Scrape(Vec<InfoHash>),
    /// Nothing that could be answered.
    Noise,
}

/// A datagram that was sent.
pub struct Request {
    /// Its bytes. The transaction is the number of the request.
    pub bytes: Vec<u8>,
    /// Who sent it.
    pub source: SocketAddr,
    /// What it asks for.
    pub matter: Matter,
    /// Replies that may still come: one for each copy that arrived in time.
    pub owed: u32,
    /// The same of errors.
    pub errors_owed: u32,
    /// The turn of the first copy.
    pub first_turn: Option<u64>,
}

/// Where a client is: HTTP threads and UDP have their own, so that nobody speaks over two ways at a time.
pub fn client(random: &mut Rng, way: u8) -> IpAddr {
    let host = way * 16 + random.u8(1..5);
    if random.u32(..3) == 0 {
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into()))
    } else {
        IpAddr::V4(Ipv4Addr::new(198, 51, 100, host))
    }
}

/// What a client may do, and how it says so.
pub fn announce(random: &mut Rng, source: IpAddr, info_hash: InfoHash) -> (PeerAnnounce, Event) {
    let (state, event) = match random.u32(..12) {
        0..4 => (State::Leeching, Event::None),
        4 => (State::Leeching, Event::Started),
        5..7 => (State::Seeding, Event::None),
        7..9 => (State::Seeding, Event::Completed),
        9 => (State::Paused, Event::Paused),
        _ => (State::Stopped, Event::Stopped),
    };
    let announce = PeerAnnounce {
        info_hash,
        peer: PeerAddr::new(source, random.u16(6881..6883)),
        state,
        completed: event == Event::Completed,
        wanted: random.usize(..20),
    };
    (announce, event)
}

impl Request {
    /// Anything, as the request with this number.
    pub fn new(random: &mut Rng, number: usize, torrents: &[InfoHash], now: Now) -> Self {
        let source = client(random, 0);
        let transaction = TransactionId(number as u32);
        let id = match random.u32(..40) {
            0 => ConnectionId(random.u64(..)),
            _ => connection_ids().issue(source, now.unix_s),
        };
        let some = |random: &mut Rng| torrents[random.usize(..torrents.len())];
        let mut bytes = vec![0; 2000];
        let (len, matter) = match random.u32(..40) {
            0 => (ask::write_connect(&mut bytes, transaction), Matter::Connect),
            1 => {
                let len = random.usize(..120);
                random.fill(&mut bytes[..len]);
                (len, Matter::Noise)
            }
            2..12 => {
                let rows = random.usize(1..=6);
                let rows: Vec<InfoHash> = (0..rows).map(|_| some(random)).collect();
                let len = ask::write_scrape(&mut bytes, id, transaction, &rows);
                (len, Matter::Scrape(rows))
            }
            _ => {
                let torrent = some(random);
                let (mut announce, event) = announce(random, source, torrent);
                let left = u64::from(announce.state != State::Seeding);
                ask::write_announce(
                    &mut bytes,
                    id,
                    transaction,
                    &ask::Announce {
                        info_hash: announce.info_hash,
                        peer_id: PeerId(*b"-SH0100-abcdefghijkl"),
                        downloaded: 0,
                        left,
                        uploaded: 0,
                        event,
                        key: 0,
                        num_want: NumWant::AtMost(announce.wanted as u32),
                        port: port(announce.peer),
                    },
                );
                announce.wanted = announce.wanted.min(match announce.peer {
                    PeerAddr::V4(_) => REPLY_PEERS_V4_MAX,
                    PeerAddr::V6(_) => REPLY_PEERS_V6_MAX,
                });
                (ANNOUNCE_LEN, Matter::Announce(announce))
            }
        };
        bytes.truncate(len);
        Self {
            bytes,
            source: SocketAddr::new(source, 1024),
            matter,
            owed: 0,
            errors_owed: 0,
            first_turn: None,
        }
    }

    /// A copy arrives: from now on its sender may be answered, if he may.
    pub fn arrive(&mut self, now: Now, turn: u64) {
        self.first_turn.get_or_insert(turn);
        match self.matter {
            Matter::Connect => self.owed += 1,
            Matter::Noise => {}
            Matter::Announce(_) | Matter::Scrape(_) => {
                let id = self.bytes.first_chunk().map(|id| u64::from_be_bytes(*id));
                let id = ConnectionId(id.expect("requests begin with their connection id"));
                match connection_ids().check(id, self.source.ip(), now.unix_s) {
                    Verdict::Valid => self.owed += 1,
                    Verdict::Expired => self.errors_owed += 1,
                    Verdict::Forged => {}
                }
            }
        }
    }
}

fn port(peer: PeerAddr) -> u16 {
    let (PeerAddr::V4([.., high, low]) | PeerAddr::V6([.., high, low])) = peer;
    u16::from_be_bytes([high, low])
}

/// A 32-bit field of a reply.
pub fn word(reply: &[u8], at: usize) -> u32 {
    let field = reply.get(at..).and_then(|rest| rest.first_chunk());
    u32::from_be_bytes(*field.expect("a reply is as long as its fields"))
}

/// Peers as replies carry them.
pub fn read_peers(bytes: &[u8], v4: bool) -> Vec<PeerAddr> {
    let size = if v4 { 6 } else { 18 };
    assert_eq!(bytes.len() % size, 0, "whole peers");
    if v4 {
        bytes
            .as_chunks()
            .0
            .iter()
            .copied()
            .map(PeerAddr::V4)
            .collect()
    } else {
        bytes
            .as_chunks()
            .0
            .iter()
            .copied()
            .map(PeerAddr::V6)
            .collect()
    }
}
