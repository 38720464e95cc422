//! A model of whole swarms that is too simple to be wrong, and trials of the swarms against it.

use std::collections::{HashMap, HashSet};

use fastrand::Rng;

use super::*;
use crate::wire::{Event, PeerId};

pub(super) const TIMEOUT_S: u32 = 2700;

#[derive(Clone, Copy)]
pub(super) struct ModelPeer {
    role: Role,
    heard_s: u32,
    details: Option<PeerDetails>,
}

#[derive(Default)]
pub(super) struct ModelSwarm {
    peers: HashMap<PeerAddr, ModelPeer>,
    completed: u32,
}

impl ModelSwarm {
    pub(super) fn totals(&self) -> Totals {
        let count = |role| self.peers.values().filter(|peer| peer.role == role).count() as u32;
        let partial = count(Role::Partial);
        Totals {
            seeders: count(Role::Seeder),
            leechers: count(Role::Leecher) + partial,
            partial,
            completed: self.completed,
        }
    }

    /// Checks that an announcer was told of whom he may be told, of one family, and of no fewer
    /// than `most` if there are as many.
    fn check_told(&self, announce: &PeerAnnounce, told: &[PeerAddr], wire_len: usize, most: usize) {
        let suits = |peer: &PeerAddr, state: &ModelPeer| {
            announce.state != State::Stopped
                && (announce.state != State::Seeding || state.role != Role::Seeder)
                && family(peer) == wire_len
                && *peer != announce.peer
        };
        let others = self.peers.iter().filter(|(peer, state)| suits(peer, state));
        assert_eq!(told.len(), most.min(others.count()));
        let distinct: HashSet<_> = told.iter().collect();
        assert_eq!(distinct.len(), told.len(), "a peer came twice");
        for peer in told {
            let state = self.peers.get(peer).expect("a peer that nobody knows");
            assert!(
                suits(peer, state),
                "{peer:?} is no business of the announcer"
            );
        }
    }
}

/// The swarms, their model, and everything that chance decides.
pub(super) struct Trial {
    pub(super) swarms: Swarms,
    pub(super) model: HashMap<InfoHash, ModelSwarm>,
    pub(super) rng: Rng,
    pub(super) now_s: u32,
}

impl Trial {
    pub(super) fn new(settings: Settings) -> Self {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        Self {
            swarms: Swarms::new(settings),
            model: HashMap::new(),
            rng: Rng::with_seed(seed),
            now_s: 0,
        }
    }

    /// An announce of one of so many peers of each family, with one of so many torrents; one in
    /// `completes` says that it has just become whole.
    pub(super) fn chance(&mut self, torrents: u32, peers: u32, completes: u32) -> PeerAnnounce {
        let number = self.rng.u32(..peers);
        let peer = if self.rng.bool() {
            peer_v4(number)
        } else {
            peer_v6(number)
        };
        PeerAnnounce {
            state: random_state(&mut self.rng),
            completed: self.rng.u32(..completes) == 0,
            ..leecher(self.rng.u32(..torrents), peer)
        }
    }

    /// One announce to both, and what it must and must not bring. Counting a large model is slow,
    /// so that part is done only when `thorough`.
    pub(super) fn announce(&mut self, announce: PeerAnnounce, thorough: bool) -> Announced {
        let hash = self.swarms.hash(&announce.info_hash);
        let mut out = [0; 1300];
        let out = &mut out[..self.rng.usize(..=1300)];
        let now_s = self.now_s;
        self.check_details(&announce);
        let announced = self
            .swarms
            .announce(hash, &announce, now_s, self.rng.u64(..), out);
        let role = match announce.state {
            State::Seeding => Role::Seeder,
            State::Leeching => Role::Leecher,
            State::Paused => Role::Partial,
            State::Stopped => {
                if let Some(swarm) = self.model.get_mut(&announce.info_hash) {
                    swarm.peers.remove(&announce.peer);
                }
                assert_eq!((announced.written, announced.stored), (0, false));
                self.note_details(&announce);
                if thorough {
                    self.check_beside(hash, &announce);
                }
                return announced;
            }
        };
        assert!(announced.stored);
        let swarm = self.model.entry(announce.info_hash).or_default();
        let before = swarm.peers.get(&announce.peer).copied();
        let peer = ModelPeer {
            role,
            heard_s: now_s,
            details: before.and_then(|peer| peer.details),
        };
        swarm.peers.insert(announce.peer, peer);
        let was_leecher = before.is_some_and(|peer| peer.role != Role::Seeder);
        let completed = announce.completed && role == Role::Seeder && was_leecher;
        swarm.completed += u32::from(completed);
        assert_eq!(announced.completed, completed);
        if thorough {
            assert_eq!(announced.totals, swarm.totals());
            let own = family(&announce.peer);
            let told = read_peers(own, &out[..announced.written]);
            let most = announce.wanted.min(out.len() / own);
            swarm.check_told(&announce, &told, own, most);
            self.check_beside(hash, &announce);
        }
        self.note_details(&announce);
        announced
    }

    /// What an announcer is told beside the peers of his own family.
    fn check_beside(&mut self, hash: u64, announce: &PeerAnnounce) {
        let nobody = ModelSwarm::default();
        let swarm = self.model.get(&announce.info_hash).unwrap_or(&nobody);
        let turn = self.rng.u64(..);
        let wanted = self.rng.usize(..120);
        let mut out = [0xaa; 1300];
        let room = self.rng.usize(..=1300);
        let other = 24 - family(&announce.peer);
        let written = self
            .swarms
            .other_family(hash, announce, wanted, turn, &mut out[..room]);
        let told = read_peers(other, &out[..written]);
        swarm.check_told(announce, &told, other, wanted.min(room / other));
        assert!(out[written..].iter().all(|byte| *byte == 0xaa));

        let mapped_len = self
            .swarms
            .mapped_v4(hash, announce, wanted, turn, &mut out[..room]);
        assert!(mapped_len <= room && mapped_len.is_multiple_of(18));
        if other == 18 {
            assert_eq!(mapped_len, 0);
            return;
        }
        let mut unmapped = Vec::new();
        for wire in out[..mapped_len].as_chunks::<18>().0 {
            assert_eq!(wire[..12], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
            unmapped.extend_from_slice(&wire[12..]);
        }
        let told = read_peers(6, &unmapped);
        swarm.check_told(announce, &told, 6, wanted.min(room / 18));
    }

    /// Compares the details of one peer.
    fn check_details(&self, announce: &PeerAnnounce) {
        let PeerAnnounce {
            info_hash, peer, ..
        } = announce;
        let swarm = self.model.get(info_hash);
        let known = swarm.and_then(|swarm| swarm.peers.get(peer)?.details);
        assert_eq!(self.swarms.details(info_hash, *peer), known.as_ref());
    }

    /// Notes details of most announcers, in both; those of a stopped one must go nowhere.
    fn note_details(&mut self, announce: &PeerAnnounce) {
        if self.rng.u32(..8) > 0 {
            let details = random_details(&mut self.rng, self.now_s);
            self.swarms.note_details(announce, details);
            let swarm = self.model.get_mut(&announce.info_hash);
            let peer = swarm.and_then(|swarm| swarm.peers.get_mut(&announce.peer));
            if let Some(peer) = peer.filter(|_| self.swarms.keeps_details()) {
                peer.details = Some(details);
            }
        }
        self.check_details(announce);
    }

    /// The rest of a pass and a whole one in steps of random size, then the same for the model.
    pub(super) fn sweep(&mut self) {
        for _ in 0..2 {
            loop {
                let budget = self.rng.usize(1..3000);
                let swept = self.swarms.sweep(self.now_s, budget);
                assert!(swept.looked_at <= budget);
                if swept.pass_ended {
                    break;
                }
            }
        }
        for swarm in self.model.values_mut() {
            swarm
                .peers
                .retain(|_, peer| self.now_s - peer.heard_s < TIMEOUT_S);
        }
        if self.swarms.remove_peerless {
            self.model.retain(|_, swarm| !swarm.peers.is_empty());
        }
        self.check();
    }

    /// Compares everything that can be asked, and the account of memory with a recount.
    pub(super) fn check(&self) {
        assert_eq!(self.swarms.len(), self.model.len());
        let mut gauges = Gauges::default();
        let mut detailed = 0;
        for (info_hash, swarm) in &self.model {
            assert_eq!(self.swarms.totals(info_hash), swarm.totals());
            gauges.completed += u64::from(swarm.completed);
            for (peer, state) in &swarm.peers {
                match peer {
                    PeerAddr::V4(_) => gauges.v4.count(state.role),
                    PeerAddr::V6(_) => gauges.v6.count(state.role),
                }
                let details = self.swarms.details(info_hash, *peer);
                assert_eq!(details, state.details.as_ref());
                detailed += usize::from(details.is_some());
            }
        }
        let kept = self.swarms.details.as_ref().map(|table| table.len());
        assert_eq!(kept.unwrap_or(0), detailed);
        assert_eq!(self.swarms.gauges(), gauges);
        let positions = 0..self.swarms.len() as u32;
        let lists = positions.map(|at| self.swarms.records.get(at).body.heap_bytes());
        let heap_bytes = lists.sum::<usize>() + self.swarms.side_bytes();
        assert_eq!(self.swarms.heap_bytes, heap_bytes);
    }
}

/// Bytes of a peer of this one's family.
fn family(peer: &PeerAddr) -> usize {
    match peer {
        PeerAddr::V4(_) => 6,
        PeerAddr::V6(_) => 18,
    }
}

/// Reads peers of 6 or 18 bytes.
fn read_peers(wire_len: usize, bytes: &[u8]) -> Vec<PeerAddr> {
    assert_eq!(bytes.len() % wire_len, 0);
    if wire_len == 6 {
        let wires = bytes.as_chunks().0.iter();
        wires.map(|wire| PeerAddr::V4(*wire)).collect()
    } else {
        let wires = bytes.as_chunks().0.iter();
        wires.map(|wire| PeerAddr::V6(*wire)).collect()
    }
}

pub(super) fn settings() -> Settings {
    Settings {
        seeds: [1, 2, 3, 4],
        peer_timeout_s: TIMEOUT_S,
        remove_peerless: true,
        memory_budget: None,
        peer_details: false,
    }
}

pub(super) fn info_hash(number: u32) -> InfoHash {
    let mut bytes = [7; InfoHash::LEN];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    InfoHash(bytes)
}

pub(super) fn peer_v4(number: u32) -> PeerAddr {
    let [a, b, c, d] = number.to_be_bytes();
    PeerAddr::V4([10, b, c, d, 0x1a, a])
}

pub(super) fn peer_v6(number: u32) -> PeerAddr {
    let mut wire = [0xfd; 18];
    wire[12..16].copy_from_slice(&number.to_be_bytes());
    PeerAddr::V6(wire)
}

pub(super) fn leecher(torrent: u32, peer: PeerAddr) -> PeerAnnounce {
    PeerAnnounce {
        info_hash: info_hash(torrent),
        peer,
        state: State::Leeching,
        completed: false,
        wanted: 50,
    }
}

pub(super) fn random_state(rng: &mut Rng) -> State {
    match rng.u32(..20) {
        0..10 => State::Leeching,
        10..15 => State::Seeding,
        15..17 => State::Paused,
        _ => State::Stopped,
    }
}

pub(super) fn random_details(rng: &mut Rng, now_s: u32) -> PeerDetails {
    PeerDetails {
        peer_id: PeerId([rng.u8(..); PeerId::LEN]),
        uploaded: rng.u64(..),
        downloaded: rng.u64(..),
        left: rng.u64(..),
        event: Event::Started,
        updated_s: now_s,
        key: 0,
    }
}
