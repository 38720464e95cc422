//! What is to be credited to the holders of keys: their clients' sessions, and the sums that nobody has
//! fetched yet.
//!
//! ```text
//!   sessions     [ key, info-hash, peer id | counters ]       go with the time-out of peers
//!        | what an announce is worth
//!   transfers    [ key, info-hash | uploaded, downloaded, left, seed time ]
//!        |
//!        +---- taken as a whole, an empty one comes in its place
//! ```
//!
//! A key may have [`SESSIONS_A_TORRENT`] sessions on a torrent: a client that restarts calls itself
//! something else each time, and one that makes names up gets no further than this.

use std::ops::Range;

use ahash::RandomState;

use super::session::Session;
use super::table::{Entry, Table};
use super::{PeerAnnounce, PeerDetails, State, Swarms};
use crate::wire::{InfoHash, PeerId};

/// Sessions of a key on a torrent. Another one takes the place of the one that was silent for longest.
const SESSIONS_A_TORRENT: usize = 16;

/// Most sessions of a core, some 600 MB of them; without room, newcomers have none. Tests are to see it.
const SESSIONS_MAX: usize = if cfg!(test) { 1 << 14 } else { 1 << 22 };

/// Most sums of a core, some 70 MB of them, should nobody fetch them. Without room for a new one, sessions
/// stay where they are, and what comes later is worth more.
const SUMS_MAX: usize = if cfg!(test) { 1 << 13 } else { 1 << 20 };

/// What is to be credited to the holder of a key for a torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credited {
    /// The number of the key.
    pub key: u32,
    /// The torrent.
    pub info_hash: InfoHash,
    /// Bytes that were sent, to be added.
    pub uploaded: u64,
    /// Bytes that were received, to be added.
    pub downloaded: u64,
    /// Bytes that the client that announced last misses.
    pub left: u64,
    /// Seconds for which a client had everything and took part, to be added.
    pub seed_s: u32,
    /// When a client announced last, in seconds since the tracker started.
    pub heard_s: u32,
}

impl Entry for Credited {
    fn hash(&self, keys: &RandomState) -> u64 {
        hash(self.key, &self.info_hash, keys)
    }
}

impl Entry for Session {
    /// The same for all sessions of a key on a torrent, so that one search counts them.
    fn hash(&self, keys: &RandomState) -> u64 {
        hash(self.key, &self.info_hash, keys)
    }
}

fn hash(key: u32, info_hash: &InfoHash, keys: &RandomState) -> u64 {
    keys.hash_one((key, info_hash))
}

/// What is to be credited since somebody fetched it last: one sum for each key and torrent.
#[derive(Default)]
pub struct Transfers(Table<Credited>);

impl Transfers {
    /// The sums, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Credited> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is nothing to credit.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn position(&self, hash: u64, key: u32, info_hash: &InfoHash) -> Option<u32> {
        self.0
            .find(hash, |_, sum| sum.key == key && sum.info_hash == *info_hash)
    }

    /// Adds to the sum at a position, or makes one.
    fn add(&mut self, position: Option<u32>, credited: &Credited, keys: &RandomState) {
        let Some(position) = position else {
            self.0.push(*credited, keys);
            return;
        };
        let sum = self.0.get_mut(position);
        sum.uploaded = sum.uploaded.saturating_add(credited.uploaded);
        sum.downloaded = sum.downloaded.saturating_add(credited.downloaded);
        sum.seed_s = sum.seed_s.saturating_add(credited.seed_s);
        sum.left = credited.left;
        sum.heard_s = credited.heard_s;
    }
}

/// See the picture above.
#[derive(Default)]
pub(super) struct Ledger {
    sessions: Table<Session>,
    transfers: Transfers,
    /// Announces that found [`SESSIONS_MAX`] or [`SUMS_MAX`] reached.
    pub(super) sessions_refused: u64,
    pub(super) sums_refused: u64,
}

impl Ledger {
    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.sessions.bytes() + self.transfers.0.bytes()
    }

    fn hear(
        &mut self,
        announce: &PeerAnnounce,
        said: &PeerDetails,
        now_s: u32,
        timeout_s: u32,
        may_grow: bool,
        keys: &RandomState,
    ) {
        let PeerAnnounce {
            info_hash,
            peer,
            state,
            ..
        } = announce;
        let hash = hash(said.key, info_hash, keys);
        let sum = self.transfers.position(hash, said.key, info_hash);
        let has_room = self.transfers.len() < SUMS_MAX;
        if sum.is_none() && !(may_grow && has_room) {
            self.sums_refused += u64::from(!has_room);
            return;
        }
        let mut others = Others::default();
        let found = self.sessions.find(hash, |position, session| {
            let is_of = session.key == said.key && session.info_hash == *info_hash;
            if is_of && session.peer_id != said.peer_id {
                others.count(position, session);
            }
            is_of && session.peer_id == said.peer_id
        });
        let is_new = found.is_none();
        let credited = if let Some(position) = found {
            let session = self.sessions.get_mut(position);
            session.hear(peer, *state, said, now_s, timeout_s)
        } else {
            let has_room = self.sessions.len() < SESSIONS_MAX;
            let room = may_grow && has_room;
            if *state != State::Stopped {
                self.sessions_refused += u64::from(!has_room);
            }
            if *state == State::Stopped || !room && others.count == 0 {
                return;
            }
            if let Some(oldest) = others.oldest
                && (!room || others.count >= SESSIONS_A_TORRENT)
            {
                self.sessions.swap_remove(oldest, keys);
            }
            let mut session = Session::new(said.key, *info_hash, said.peer_id);
            let credited = session.hear(peer, *state, said, now_s, timeout_s);
            self.sessions.push(session, keys);
            credited
        };
        if is_new || credited.uploaded > 0 || credited.downloaded > 0 || credited.seed_s > 0 {
            self.transfers.add(sum, &credited, keys);
        }
    }

    /// Ends a session, if there is such a one.
    pub(super) fn forget(
        &mut self,
        key: u32,
        info_hash: &InfoHash,
        peer_id: &PeerId,
        keys: &RandomState,
    ) {
        if key == 0 {
            return;
        }
        let found = self
            .sessions
            .find(hash(key, info_hash, keys), |_, session| {
                session.key == key && session.peer_id == *peer_id && session.info_hash == *info_hash
            });
        if let Some(position) = found {
            self.sessions.swap_remove(position, keys);
        }
    }

    /// Ends those of some sessions that were silent for as long as a peer may be.
    pub(super) fn sweep(
        &mut self,
        positions: Range<usize>,
        now_s: u32,
        timeout_s: u32,
        keys: &RandomState,
    ) {
        for position in positions.rev() {
            let position = position as u32;
            let heard_s = self.sessions.get(position).heard_s();
            if now_s.saturating_sub(heard_s) >= timeout_s {
                self.sessions.swap_remove(position, keys);
            }
        }
    }
}

/// The other sessions of a key on a torrent.
#[derive(Default)]
struct Others {
    count: usize,
    oldest: Option<u32>,
    oldest_s: u32,
}

impl Others {
    fn count(&mut self, position: u32, session: &Session) {
        self.count += 1;
        if self.oldest.is_none() || session.heard_s() < self.oldest_s {
            self.oldest = Some(position);
            self.oldest_s = session.heard_s();
        }
    }
}

impl Swarms {
    /// Credits the holder of a key with what an announce says more than the ones before. To be called
    /// after [`Self::announce`], for one who stopped and for one who found no room too. Does nothing for
    /// an announce without a key, nor where details are not kept.
    ///
    /// What clients say cannot be checked: growth beyond 10 Gbit/s is not credited. Nor is the first
    /// announce of a client, one with smaller numbers, and `event=started`: from these it is counted on.
    /// The seed time of a client is the time between two of its announces with nothing left, over
    /// whichever family, and at most the time-out.
    pub fn credit(&mut self, announce: &PeerAnnounce, said: &PeerDetails, now_s: u32) {
        let may_grow = self.may_grow();
        let timeout_s = self.calendar.timeout_s();
        if said.key != 0
            && let Some(ledger) = &mut self.ledger
        {
            let before = ledger.bytes();
            ledger.hear(announce, said, now_s, timeout_s, may_grow, &self.keys);
            self.heap_bytes = self.heap_bytes - before + ledger.bytes();
        }
    }

    /// Takes all that is to be credited, and leaves `spare`, which should be empty, in its place. Costs
    /// the same however much there is. Gives `spare` back where nothing is kept.
    pub fn take_transfers(&mut self, spare: Transfers) -> Transfers {
        let Some(ledger) = &mut self.ledger else {
            return spare;
        };
        let before = ledger.bytes();
        let transfers = std::mem::replace(&mut ledger.transfers, spare);
        self.heap_bytes = self.heap_bytes - before + ledger.bytes();
        transfers
    }
}

#[cfg(test)]
mod tests;
