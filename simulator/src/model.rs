//! A tracker that is too simple to be wrong: sorted maps, and no cores.
//!
//! A peer that has been silent for too long is there until the sweep comes by, which may be in any turn. So
//! the model knows of some peers only that they may be there, and of counts only between which bounds they
//! are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use shoal::swarm::{PeerAddr, PeerAnnounce, State, Totals};
use shoal_bench::bare_core::PEER_TIMEOUT_S;

/// A peer in the model.
#[derive(Clone, Debug)]
struct Peer {
    state: State,
    heard_s: u32,
    /// False once the sweep may have forgotten it.
    sure: bool,
}

/// A torrent in the model.
#[derive(Clone, Debug)]
pub struct Swarm {
    peers: BTreeMap<PeerAddr, Peer>,
    completed: RangeInclusive<u32>,
}

/// What a torrent's totals may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bounds {
    seeders: RangeInclusive<u32>,
    leechers: RangeInclusive<u32>,
    completed: RangeInclusive<u32>,
}

/// What an announcer was told.
#[derive(Clone, Debug)]
pub struct Told {
    /// Seeders and leechers.
    pub counts: (u32, u32),
    /// Peers of his own family.
    pub own: Vec<PeerAddr>,
    /// Peers of the other one, if he was told of any.
    pub other: Option<Vec<PeerAddr>>,
}

impl Default for Swarm {
    fn default() -> Self {
        Self {
            peers: BTreeMap::new(),
            completed: 0..=0,
        }
    }
}

impl Bounds {
    /// True when these totals are possible.
    pub fn explain(&self, totals: (u32, u32, u32)) -> bool {
        let (seeders, completed, leechers) = totals;
        self.seeders.contains(&seeders)
            && self.completed.contains(&completed)
            && self.leechers.contains(&leechers)
    }
}

impl Swarm {
    /// Between which bounds its totals are.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            seeders: self.count(|_, peer| peer.state == State::Seeding),
            leechers: self.count(|_, peer| peer.state != State::Seeding),
            completed: self.completed.clone(),
        }
    }

    /// How many peers that suit there are at least, and at most.
    fn count(&self, suits: impl Fn(&PeerAddr, &Peer) -> bool) -> RangeInclusive<u32> {
        let suiting = || self.peers.iter().filter(|(addr, peer)| suits(addr, peer));
        let sure = suiting().filter(|(_, peer)| peer.sure).count() as u32;
        sure..=suiting().count() as u32
    }

    /// The swarm after an announce that was answered so, or why that cannot be.
    pub fn announce(
        mut self,
        announce: &PeerAnnounce,
        told: &Told,
        now_s: u32,
    ) -> Result<Self, String> {
        let before = self.peers.remove(&announce.peer);
        if announce.state != State::Stopped {
            let was_leecher = |peer: &&Peer| peer.state != State::Seeding;
            if let Some(before) = before.as_ref().filter(was_leecher)
                && announce.completed
                && announce.state == State::Seeding
            {
                let (least, most) = self.completed.into_inner();
                self.completed = least + u32::from(before.sure)..=most + 1;
            }
            let peer = Peer {
                state: announce.state,
                heard_s: now_s,
                sure: true,
            };
            self.peers.insert(announce.peer, peer);
        }
        let Bounds {
            seeders, leechers, ..
        } = self.bounds();
        if !seeders.contains(&told.counts.0) || !leechers.contains(&told.counts.1) {
            return Err(format!("seeders {seeders:?}, leechers {leechers:?}"));
        }
        self.check_told(announce, &told.own, true, announce.wanted)?;
        if let Some(other) = &told.other {
            let left = announce.wanted - told.own.len();
            self.check_told(announce, other, false, left)?;
        }
        Ok(self)
    }

    fn check_told(
        &self,
        announce: &PeerAnnounce,
        told: &[PeerAddr],
        own: bool,
        wanted: usize,
    ) -> Result<(), String> {
        let suits = |addr: &PeerAddr, peer: &Peer| {
            announce.state != State::Stopped
                && (announce.state != State::Seeding || peer.state != State::Seeding)
                && (is_v4(addr) == is_v4(&announce.peer)) == own
                && *addr != announce.peer
        };
        let (least, most) = self.count(suits).into_inner();
        let expected = wanted.min(least as usize)..=wanted.min(most as usize);
        if !expected.contains(&told.len()) {
            return Err(format!("{expected:?} peers, of the own family: {own}"));
        }
        let distinct: BTreeSet<&PeerAddr> = told.iter().collect();
        if distinct.len() < told.len() {
            return Err("each peer once".to_owned());
        }
        let known = |addr: &&PeerAddr| {
            let peer = self.peers.get(addr);
            peer.is_some_and(|peer| suits(addr, peer))
        };
        match told.iter().find(|addr| !known(addr)) {
            Some(stranger) => Err(format!("nothing of {stranger:?}")),
            None => Ok(()),
        }
    }

    /// A turn ends: whoever is silent for too long may be forgotten, and the downloads of a torrent without a
    /// peer too.
    pub fn sweep(&mut self, now_s: u32) {
        for peer in self.peers.values_mut() {
            peer.sure &= now_s - peer.heard_s < PEER_TIMEOUT_S;
        }
        if !self.peers.values().any(|peer| peer.sure) {
            self.completed = 0..=*self.completed.end();
        }
    }

    /// A whole sweep has ended that began after `began_s`.
    pub fn swept(&mut self, began_s: u32) {
        let stays =
            |peer: &Peer| peer.sure || began_s.saturating_sub(peer.heard_s) <= PEER_TIMEOUT_S;
        self.peers.retain(|_, peer| stays(peer));
        if self.peers.is_empty() {
            self.completed = 0..=0;
        }
    }

    /// True when the tracker must know it.
    pub fn is_known(&self) -> bool {
        self.peers.values().any(|peer| peer.sure)
    }

    /// True when the tracker knows nobody there.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Checks what the control side was told of all peers.
    pub fn check_view(&self, totals: &Totals, peers: &[(PeerAddr, State)]) {
        let shown = (totals.seeders, totals.completed, totals.leechers);
        let bounds = self.bounds();
        assert!(bounds.explain(shown), "{totals:?}, but {bounds:?}");
        let count = totals.seeders + totals.leechers;
        assert_eq!(peers.len(), count as usize, "as many peers as are counted");
        for (addr, state) in peers {
            let known = self.peers.get(addr).map(|peer| peer.state);
            assert_eq!(known, Some(*state), "{addr:?}");
        }
    }

    /// Its peers by family and role, where there is no doubt: seeders and leechers of IPv4, then of IPv6.
    pub fn exact_counts(&self) -> [u64; 4] {
        let mut counts = [0; 4];
        for (addr, peer) in &self.peers {
            let family = if is_v4(addr) { 0 } else { 2 };
            counts[family + usize::from(peer.state != State::Seeding)] += 1;
        }
        counts
    }
}

fn is_v4(addr: &PeerAddr) -> bool {
    matches!(addr, PeerAddr::V4(_))
}

/// Finds an order of announces to one torrent, each source's in the order in which they were answered, that
/// explains all answers; the swarm after it.
pub fn explain(
    swarm: &Swarm,
    sources: &mut [&[(PeerAnnounce, Told)]],
    now_s: u32,
) -> Result<Swarm, String> {
    if sources.iter().all(|source| source.is_empty()) {
        return Ok(swarm.clone());
    }
    let mut why = String::new();
    for source in 0..sources.len() {
        let Some(((announce, told), rest)) = sources[source].split_first() else {
            continue;
        };
        let after = swarm
            .clone()
            .announce(announce, told, now_s)
            .map_err(|expected| format!("expected {expected} for {announce:?}, got {told:?}"));
        let whole = std::mem::replace(&mut sources[source], rest);
        let explained = after.and_then(|after| explain(&after, sources, now_s));
        sources[source] = whole;
        match explained {
            Ok(swarm) => return Ok(swarm),
            Err(reason) => why = reason,
        }
    }
    Err(why)
}
