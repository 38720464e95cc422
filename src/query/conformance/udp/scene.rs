//! The socket, the connection id and the peers that UDP checks share.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

mod exchange;

pub(super) use exchange::Answer;

use super::reply::Reply;
use crate::query::conformance::{Exchange, Need, Options, Scene, awkward_hash, first_port};
use crate::query::failure::Failure;
use crate::query::wire::udp::Socket;
use crate::wire::udp::{self as bep15, ConnectionId, TransactionId, action};
use crate::wire::{Event, InfoHash, NumWant, PeerId};

/// Datagrams that a tracker is sent at most; checks beyond are skipped.
pub(super) const DATAGRAMS_MAX: usize = 200;

/// A peer as it announces itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Announce {
    pub(super) info_hash: InfoHash,
    pub(super) port: u16,
    pub(super) left: u64,
    /// As on the wire.
    pub(super) event: u32,
    /// The address field, which a tracker should not believe.
    pub(super) claimed: [u8; 4],
    /// As on the wire.
    pub(super) num_want: i32,
    /// What follows the 98 bytes.
    pub(super) tail: &'static [u8],
}

pub(super) const NONE: u32 = 0;
pub(super) const COMPLETED: u32 = 1;
pub(super) const STARTED: u32 = 2;
pub(super) const STOPPED: u32 = 3;
pub(super) const PAUSED: u32 = 4;

impl Announce {
    /// The 98 bytes, the option that carries the URL where it says something, and the tail. Peers of one
    /// run differ in peer id and key as they do in port.
    fn to_bytes(self, id: ConnectionId, transaction: TransactionId, url_data: &[u8]) -> Vec<u8> {
        let mut peer_id = *b"-SH0001-conformance.";
        peer_id[18..].copy_from_slice(&self.port.to_be_bytes());
        let announce = bep15::ask::Announce {
            info_hash: self.info_hash,
            peer_id: PeerId(peer_id),
            downloaded: 0,
            left: self.left,
            uploaded: 0,
            event: Event::None,
            key: u32::from(self.port) << 8,
            num_want: NumWant::Default,
            port: self.port,
        };
        let mut bytes = vec![0; bep15::ANNOUNCE_LEN];
        bep15::ask::write_announce(&mut bytes, id, transaction, &announce);
        bytes[80..84].copy_from_slice(&self.event.to_be_bytes());
        bytes[84..88].copy_from_slice(&self.claimed);
        bytes[92..96].copy_from_slice(&self.num_want.to_be_bytes());
        bytes.extend_from_slice(url_data);
        bytes.extend_from_slice(self.tail);
        bytes
    }
}

/// What UDP checks are run against.
pub(super) struct Udp {
    pub(super) target: SocketAddr,
    /// The tracker's address of the other family.
    pub(super) other_target: Option<SocketAddr>,
    pub(super) options: Options,
    /// The option of BEP 41 that lets a tracker see the key in its URL; empty for a plain URL.
    url_data: Vec<u8>,
    /// The torrent of all checks that need one.
    pub(super) info_hash: InfoHash,
    /// What the first connect was answered.
    pub(super) connected: Answer,
    /// A connection id for our address, 0 as long as there is none, and since when.
    pub(super) id: ConnectionId,
    pub(super) id_since: Instant,
    /// What the first peer was answered, and the second, who should see the first.
    pub(super) first_answer: Answer,
    pub(super) second_answer: Answer,
    /// What was sent without a proven id, and how many bytes came back for it.
    pub(super) unproven: Vec<(usize, usize)>,
    /// Sources of replies that were not the address that was asked.
    pub(super) strangers: Vec<SocketAddr>,
    /// Each error reply.
    pub(super) errors: Vec<Vec<u8>>,
    /// Bytes of the longest reply.
    pub(super) longest: usize,
    /// Replies that carried another transaction id than the request.
    pub(super) wrong_transactions: usize,
    pub(super) probed_by_newtrackon: Option<Answer>,
    pub(super) sent: usize,
    /// What the kernel said when nothing could be sent.
    pub(super) unsent: Option<Failure>,
    /// The same tracker at its address of the other family.
    other: Option<Box<Udp>>,
    round_trip: Duration,
    socket: Socket,
    base_port: u16,
    /// Transactions of earlier datagrams: what still comes for them is late.
    spent: HashSet<u32>,
    present: Vec<Announce>,
    wire: Vec<Exchange>,
}

impl Udp {
    /// Connects.
    pub(super) fn connect_to(
        target: SocketAddr,
        other_target: Option<SocketAddr>,
        url_data: &[u8],
        options: &Options,
    ) -> Result<Self, Failure> {
        let mut udp = Self {
            target,
            other_target,
            options: options.clone(),
            url_data: url_data.to_vec(),
            info_hash: options.info_hash.unwrap_or_else(awkward_hash),
            connected: Answer::Silence,
            id: ConnectionId(0),
            id_since: Instant::now(),
            first_answer: Answer::Silence,
            second_answer: Answer::Silence,
            unproven: Vec::new(),
            strangers: Vec::new(),
            errors: Vec::new(),
            longest: 0,
            wrong_transactions: 0,
            probed_by_newtrackon: None,
            sent: 0,
            unsent: None,
            other: None,
            round_trip: Duration::ZERO,
            socket: Socket::of(target)?,
            base_port: first_port(),
            spent: HashSet::new(),
            present: Vec::new(),
            wire: Vec::new(),
        };
        udp.connected = udp.first_connect();
        if let Some(Reply::Connect(id)) = udp.read(&udp.connected) {
            udp.id = id;
            udp.id_since = Instant::now();
        }
        Ok(udp)
    }

    /// Connects and lets two peers announce, if the tracker will.
    pub(super) fn open(
        target: SocketAddr,
        other_target: Option<SocketAddr>,
        url_data: &[u8],
        options: &Options,
    ) -> Result<Self, Failure> {
        let mut udp = Self::connect_to(target, other_target, url_data, options)?;
        if let Some(Reply::Connect(_)) = udp.read(&udp.connected) {
            let first = udp.first();
            udp.first_answer = udp.announce(&first);
            if let Some(Reply::Announce { .. }) = udp.read(&udp.first_answer) {
                let second = udp.second();
                udp.second_answer = udp.announce(&second);
            }
        }
        Ok(udp)
    }

    /// The peer that is there all the time: a leecher, as all are at first.
    pub(super) fn first(&self) -> Announce {
        self.peer(0)
    }

    /// The peer whose announces vary.
    pub(super) fn second(&self) -> Announce {
        self.peer(1)
    }

    /// The n-th peer.
    pub(super) fn peer(&self, number: u16) -> Announce {
        Announce {
            info_hash: self.info_hash,
            port: self.base_port + number,
            left: 1000,
            event: STARTED,
            claimed: [0; 4],
            num_want: -1,
            tail: &[],
        }
    }

    /// Announces, until it is answered or silence is certain.
    pub(super) fn announce(&mut self, announce: &Announce) -> Answer {
        let transaction = transaction();
        let bytes = announce.to_bytes(self.id, transaction, &self.url_data);
        self.present.retain(|present| {
            (present.info_hash, present.port) != (announce.info_hash, announce.port)
        });
        if announce.event != STOPPED {
            self.present.push(*announce);
        }
        self.ask(&bytes)
    }

    /// Announces that the peer has stopped.
    pub(super) fn stop(&mut self, peer: &Announce) -> Answer {
        self.announce(&Announce {
            event: STOPPED,
            ..*peer
        })
    }

    /// The same, as a reply that has been read; none for silence.
    pub(super) fn announced(&mut self, announce: &Announce) -> Option<Reply> {
        let answer = self.announce(announce);
        self.read(&answer)
    }

    /// The bytes of an announce with a fresh transaction, for checks that change them.
    pub(super) fn announce_bytes(&self, announce: &Announce) -> Vec<u8> {
        let transaction = transaction();
        announce.to_bytes(self.id, transaction, &self.url_data)
    }

    /// The bytes of a scrape with a fresh transaction.
    pub(super) fn scrape_bytes(&self, info_hashes: &[InfoHash]) -> Vec<u8> {
        let mut bytes = vec![0; bep15::SCRAPE_HEAD_LEN + info_hashes.len() * InfoHash::LEN];
        let transaction = transaction();
        bep15::ask::write_scrape(&mut bytes, self.id, transaction, info_hashes);
        bytes
    }

    pub(super) fn scraped(&mut self, info_hashes: &[InfoHash]) -> Option<Reply> {
        let bytes = self.scrape_bytes(info_hashes);
        let answer = self.ask(&bytes);
        self.read(&answer)
    }

    /// Lets every peer stop that is still announced, for the end.
    pub(super) fn stop_all(&mut self) {
        for peer in self.present.clone() {
            self.stop(&Announce {
                num_want: 0,
                ..peer
            });
        }
        if let Some(mut other) = self.other.take() {
            other.stop_all();
            self.sent += other.sent;
        }
    }

    /// Opens the same tracker at its address of the other family, and does something with it there; what
    /// goes over the wire is ours. `None` without such an address, or when the tracker is silent there.
    pub(super) fn with_other<R>(&mut self, act: impl FnOnce(&mut Self) -> R) -> Option<R> {
        if self.other.is_none() {
            let address = self.other_target?;
            let options = Options {
                info_hash: Some(self.info_hash),
                ..self.options.clone()
            };
            self.other = Self::open(address, None, &self.url_data, &options)
                .ok()
                .map(Box::new);
        }
        let other = self.other.as_mut()?;
        let result = act(other);
        self.wire.extend(other.take_wire());
        Some(result)
    }

    /// Takes a new connection id, when the old one may have become too old.
    pub(super) fn reconnect(&mut self) {
        let request = head(bep15::PROTOCOL_ID, action::CONNECT);
        let answer = self.ask(&request);
        if let Some(Reply::Connect(id)) = self.read(&answer) {
            self.id = id;
        }
    }

    /// What an answer says; none for silence.
    pub(super) fn read(&self, answer: &Answer) -> Option<Reply> {
        match answer {
            Answer::Datagram(reply) => Some(Reply::read(reply, self.target.is_ipv4())),
            Answer::Silence | Answer::Lost => None,
        }
    }

    /// An answer in words.
    pub(super) fn describe(&self, answer: &Answer) -> String {
        match (self.read(answer), answer) {
            (Some(reply), _) => reply.to_string(),
            (None, Answer::Lost) => "nothing, nor to the connect behind it".to_owned(),
            (None, _) => "nothing".to_owned(),
        }
    }
}

impl Scene for Udp {
    fn lacks(&self, needs: Need) -> Option<String> {
        if needs == Need::Nothing {
            return None;
        }
        if self.sent >= DATAGRAMS_MAX {
            return Some(format!("the tracker has had its {DATAGRAMS_MAX} datagrams"));
        }
        let Some(Reply::Connect(_)) = self.read(&self.connected) else {
            return Some("a connect is not answered".to_owned());
        };
        if needs >= Need::Served
            && !matches!(self.read(&self.first_answer), Some(Reply::Announce { .. }))
        {
            return Some(format!(
                "our torrent is not served ({}); name one that is with --hash",
                self.describe(&self.first_answer)
            ));
        }
        if needs >= Need::Meeting {
            let second = self.read(&self.second_answer);
            let Some(Reply::Announce {
                peers,
                leechers,
                seeders,
                ..
            }) = second
            else {
                return Some("a second announce is not answered".to_owned());
            };
            if !peers.iter().any(|peer| peer.port() == self.base_port) {
                return Some("peers are not told of each other".to_owned());
            }
            if needs >= Need::Alone && leechers.saturating_add(seeders) > 2 {
                return Some("others are in this torrent".to_owned());
            }
        }
        None
    }

    fn take_wire(&mut self) -> Vec<Exchange> {
        std::mem::take(&mut self.wire)
    }
}

/// A socket at an address of this host that is not the one that `target` knows us by, where that is certain:
/// on loopback, where all of 127/8 is ours.
pub(super) fn socket_elsewhere(target: SocketAddr) -> Option<Socket> {
    match target.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => {
            Socket::from_local((Ipv4Addr::new(127, 86, 75, 30), 0).into(), target).ok()
        }
        _ => None,
    }
}

/// A request with a head of 16 bytes and a fresh transaction.
pub(super) fn head(first: u64, action: u32) -> Vec<u8> {
    let mut bytes = first.to_be_bytes().to_vec();
    bytes.extend(action.to_be_bytes());
    bytes.extend(transaction().0.to_be_bytes());
    bytes
}

/// A transaction id that the checks which need a small one do not use.
fn transaction() -> TransactionId {
    TransactionId(fastrand::u32(1 << 16..))
}
