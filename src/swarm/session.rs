//! What a client is credited with: the growth of the counters that it announces, once, although it
//! announces over IPv4 and over IPv6.
//!
//! ```text
//!   session     (key, info-hash, peer id)
//!     IPv4      last said 700 up, behind   0          an announce of 900 here is worth 200,
//!     IPv6      last said 600 up, behind 100          and of 900 there 300 - 100 = 200, or, when
//!                                                     the other came first, 300 - 300 = 0
//! ```
//!
//! Each family has a lane of its own, since announces keep their order within one but not between two:
//! what comes late over one must neither be credited again nor be taken for a client that begins anew.
//! A lane that is *behind* by some bytes has those to go before its growth is worth anything; every
//! credit that one lane earns puts the other behind by as much.
//!
//! Counters that go down mean that the client has begun a new *life*: its lane goes on from there. So does
//! `event=started`, which never earns anything. The lane that follows into a life takes its place beside
//! the one that was there first. Of a client with several addresses of one family all use one lane, in
//! which an announce that is overtaken by a later one may be credited twice, for what it was late.
//!
//! All of it is what clients say, and they may say anything: a tracker cannot see their traffic. An
//! announce is worth no more than [`RATE_MAX`] allows for the time since the last one.

use std::num::NonZeroU16;

use super::ledger::Credited;
use super::{PeerAddr, PeerDetails, State};
use crate::wire::{Event, InfoHash, PeerId};

/// Most bytes a second that a client is credited with, for each direction: 10 Gbit/s.
pub(super) const RATE_MAX: u64 = 10_000_000_000 / 8;

/// Seconds by which the first announce over one family may have been overtaken by announces over the
/// other. Who says less than it had said there before that, has begun a new life.
const LATE_S: u32 = 120;

/// A client on a torrent, under a key.
pub(super) struct Session {
    pub(super) key: u32,
    pub(super) info_hash: InfoHash,
    pub(super) peer_id: PeerId,
    /// IPv4 and IPv6.
    lanes: [Option<Lane>; 2],
    /// Whether it had everything and took part when it announced last.
    seeding: bool,
}

const _: () = assert!(size_of::<Session>() == 128);

/// What it said over one family.
#[derive(Clone, Copy)]
struct Lane {
    heard_s: u32,
    life: NonZeroU16,
    uploaded: Counter,
    downloaded: Counter,
}

/// One of its counters.
#[derive(Clone, Copy)]
struct Counter {
    /// What it said last.
    last: u64,
    /// How much of its growth is worth nothing.
    behind: u64,
}

impl Counter {
    /// Goes on to what is said now. Returns what that is worth, when growth up to `most` is looked at.
    fn advance(&mut self, said: u64, most: u64) -> u64 {
        let growth = said.saturating_sub(self.last).min(most);
        let worth = growth.saturating_sub(self.behind);
        self.behind = self.behind.saturating_sub(growth);
        self.last = said;
        worth
    }

    /// A counter that takes its place beside another.
    fn beside(other: &Self, said: u64) -> Self {
        let mark = other.last.saturating_add(other.behind);
        Self {
            last: said,
            behind: mark.saturating_sub(said),
        }
    }

    fn new(said: u64) -> Self {
        Self {
            last: said,
            behind: 0,
        }
    }
}

impl Lane {
    /// A lane in a life, beside the other one if that has come there already.
    fn begin(said: &PeerDetails, now_s: u32, life: NonZeroU16, other: Option<&Self>) -> Self {
        let begun = |counter: fn(&Self) -> &Counter, said| match other {
            Some(other) if other.life >= life => Counter::beside(counter(other), said),
            _ => Counter::new(said),
        };
        Self {
            heard_s: now_s,
            life: other.map_or(life, |other| other.life.max(life)),
            uploaded: begun(|lane| &lane.uploaded, said.uploaded),
            downloaded: begun(|lane| &lane.downloaded, said.downloaded),
        }
    }

    /// The first lane or the second, where there was none.
    fn join(said: &PeerDetails, now_s: u32, other: Option<&Self>) -> Self {
        let life = match other {
            None => NonZeroU16::MIN,
            Some(other) => {
                let less =
                    said.uploaded < other.uploaded.last || said.downloaded < other.downloaded.last;
                let is_new = less && now_s.saturating_sub(other.heard_s) > LATE_S;
                other.life.saturating_add(u16::from(is_new))
            }
        };
        Self::begin(said, now_s, life, other)
    }
}

impl Session {
    /// A session that has heard nothing yet.
    pub(super) fn new(key: u32, info_hash: InfoHash, peer_id: PeerId) -> Self {
        Self {
            key,
            info_hash,
            peer_id,
            lanes: [None, None],
            seeding: false,
        }
    }

    /// When the client was heard of last; 0 before that.
    pub(super) fn heard_s(&self) -> u32 {
        let lanes = self.lanes.iter().flatten();
        lanes.map(|lane| lane.heard_s).max().unwrap_or(0)
    }

    /// Hears an announce. Returns what is to be credited for it.
    pub(super) fn hear(
        &mut self,
        peer: &PeerAddr,
        state: State,
        said: &PeerDetails,
        now_s: u32,
        timeout_s: u32,
    ) -> Credited {
        let silent_s = now_s.saturating_sub(self.heard_s());
        let (lane, other) = match (peer, &mut self.lanes) {
            (PeerAddr::V4(_), [v4, v6]) => (v4, v6),
            (PeerAddr::V6(_), [v4, v6]) => (v6, v4),
        };
        let mut credited = Credited {
            key: self.key,
            info_hash: self.info_hash,
            uploaded: 0,
            downloaded: 0,
            left: said.left,
            seed_s: 0,
            heard_s: now_s,
        };
        let mut was_there = self.seeding;
        match lane {
            None => *lane = Some(Lane::join(said, now_s, other.as_ref())),
            Some(known) => {
                let less =
                    said.uploaded < known.uploaded.last || said.downloaded < known.downloaded.last;
                let started = said.event == Event::Started;
                let follows = other.is_some_and(|other| other.life > known.life);
                if less || started && follows {
                    let life = known.life.saturating_add(1);
                    *known = Lane::begin(said, now_s, life, other.as_ref());
                    was_there = false;
                } else {
                    let elapsed_s = now_s.saturating_sub(known.heard_s);
                    // A second more: both moments are rounded.
                    let most = (u64::from(elapsed_s) + 1) * RATE_MAX;
                    known.heard_s = now_s;
                    credited.uploaded = known.uploaded.advance(said.uploaded, most);
                    credited.downloaded = known.downloaded.advance(said.downloaded, most);
                    if started {
                        (credited.uploaded, credited.downloaded) = (0, 0);
                        was_there = false;
                    }
                }
            }
        }
        if let Some(other) = other {
            for (counter, credit) in [
                (&mut other.uploaded, credited.uploaded),
                (&mut other.downloaded, credited.downloaded),
            ] {
                counter.behind = counter.behind.saturating_add(credit);
            }
        }
        let has_all = said.left == 0;
        if was_there && has_all {
            credited.seed_s = silent_s.min(timeout_s);
        }
        self.seeding = has_all && state != State::Stopped;
        credited
    }
}
