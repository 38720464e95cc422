//! Forgetting the silent, a bounded number of them at a time.
//!
//! A pass walks the records from the last to the first, and the lists of each from the last peer
//! to the first. Downwards, because a removal fills its hole with the last record or peer, and so
//! with one that was seen already: a pass misses nobody through its own work. Announces between
//! two steps add at the end, where the pass has been; that is what is young. Now and then they
//! move an old leecher there to make place for a seeder, and he waits for the next pass.
//!
//! Nobody else moves lists back inline, and who else removes a record tells the cursor, so it stays good
//! in between. Behind the records a pass walks the sessions of the ledger in the same way.

use super::body::{Body, Role};
use super::expiry::Tick;
use super::records::Swarm;
use super::{Gauges, PeerAddr, Swarms};

/// Where the next step of the sweep goes on.
#[derive(Default)]
pub(super) struct Cursor {
    /// Records of this pass that were not seen to their end; the last of them is next.
    records: usize,
    /// How far the lists of that record were seen.
    part: Part,
    /// Sessions of this pass that were not seen; the last of them is next, behind all records.
    sessions: usize,
}

impl Cursor {
    /// Hears that the record at a position was removed, so that the last one, if it was another, has
    /// taken its place and there are `len` now.
    pub(super) fn record_is_gone(&mut self, position: u32, len: usize) {
        // The record that comes next is another one, unless both are elsewhere.
        if position as usize + 1 == self.records || self.records > len {
            self.part = Part::Unseen;
        }
        self.records = self.records.min(len);
    }
}

#[derive(Clone, Copy, Default)]
enum Part {
    #[default]
    Unseen,
    V4(usize),
    V6(usize),
    Seen,
}

/// What a step of the sweep did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// Records, listed peers and sessions that it looked at, never more than the budget.
    pub looked_at: usize,
    /// Peers that had expired.
    pub peers_removed: usize,
    /// Records that had no peers left.
    pub swarms_removed: usize,
    /// True when this step reached the end of a pass. The next one begins another.
    pub pass_ended: bool,
}

impl Swarms {
    /// Looks at up to `budget` records, listed peers (inline peers cost nothing, they share the line of
    /// their record) and sessions, and removes what has expired by `now_s`, with its details if such
    /// are kept. Goes on where the last call stopped, even in the middle of a list; never goes beyond
    /// the end of a pass.
    pub fn sweep(&mut self, now_s: u32, budget: usize) -> Swept {
        let now = self.calendar.now(now_s);
        let mut gone = Gauges::default();
        let mut swept = Swept::default();
        let before = self.side_bytes();
        let remove_peerless = self.remove_peerless && now_s >= self.peerless_stay_until_s;
        if self.cursor.records == 0 && self.cursor.sessions == 0 {
            self.cursor.records = self.records.len();
            self.cursor.sessions = self.ledger.as_ref().map_or(0, |ledger| ledger.sessions());
        }
        while self.cursor.records > 0 && swept.looked_at < budget {
            let position = self.cursor.records as u32 - 1;
            swept.looked_at +=
                self.sweep_record(position, budget - swept.looked_at, now, &mut gone);
            if matches!(self.cursor.part, Part::Seen) {
                self.cursor.part = Part::Unseen;
                self.cursor.records -= 1;
                if remove_peerless && self.records.get(position).body.is_empty() {
                    self.remove_record(position);
                    swept.swarms_removed += 1;
                }
            }
        }
        if let Some(ledger) = &mut self.ledger {
            let room = budget - swept.looked_at;
            let from = self.cursor.sessions.min(ledger.sessions());
            let end = from.saturating_sub(room);
            let timeout_s = self.calendar.timeout_s();
            ledger.sweep(end..from, now_s, timeout_s, &self.keys);
            swept.looked_at += from - end;
            self.cursor.sessions = end;
        }
        self.heap_bytes = self.heap_bytes - before + self.side_bytes();
        self.beginners.forget(now_s);
        if let Some(similar) = &mut self.similar {
            let timeout_s = self.calendar.timeout_s();
            similar.sweep(now_s, timeout_s, &self.records, &self.keys);
        }
        self.gauges.subtract(&gone);
        swept.peers_removed = gone.v4.peers() + gone.v6.peers();
        swept.pass_ended = self.cursor.records == 0 && self.cursor.sessions == 0;
        swept
    }

    /// Goes on with one record and returns what that cost.
    fn sweep_record(
        &mut self,
        position: u32,
        budget: usize,
        now: Tick,
        gone: &mut Gauges,
    ) -> usize {
        let keys = &self.keys;
        let details = &mut self.details;
        let Swarm {
            info_hash, body, ..
        } = self.records.get_mut(position);
        let mut gone = |peer: PeerAddr, role: Role| {
            gone.of(&peer).count(role);
            if let Some(details) = details {
                details.remove(info_hash, peer, keys);
            }
        };
        if !matches!(body, Body::Heap { .. }) {
            body.sweep_inline(now, &mut gone);
            self.cursor.part = Part::Seen;
            return 1;
        }
        let bytes_before = body.heap_bytes();
        let Body::Heap { v4, v6 } = body else {
            return 1;
        };
        let mut left = budget;
        let mut part = self.cursor.part;
        while left > 0 {
            part = match part {
                Part::Unseen => {
                    left -= 1;
                    Part::V4(usize::MAX)
                }
                Part::V4(from) => match v4 {
                    Some(list) if from > 0 => {
                        let (from, cost) = list.sweep(from, left, now, &mut gone, keys);
                        left -= cost;
                        Part::V4(from)
                    }
                    _ => Part::V6(usize::MAX),
                },
                Part::V6(from) => match v6 {
                    Some(list) if from > 0 => {
                        let (from, cost) = list.sweep(from, left, now, &mut gone, keys);
                        left -= cost;
                        Part::V6(from)
                    }
                    _ => Part::Seen,
                },
                Part::Seen => break,
            };
        }
        if matches!(part, Part::Seen) {
            body.settle(keys);
        }
        self.cursor.part = part;
        self.heap_bytes = self.heap_bytes - bytes_before + body.heap_bytes();
        budget - left
    }

    pub(super) fn remove_record(&mut self, position: u32) {
        let (records, keys) = (&self.records, &self.keys);
        let hash_of = |at: u32| super::hash(&records.get(at).info_hash, keys);
        if let Some(similar) = &mut self.similar {
            similar.remove(position, records, keys);
        }
        let last = records.len() as u32 - 1;
        self.gauges.completed -= u64::from(records.get(position).completed);
        self.index.remove(hash_of(position), position, hash_of);
        if position != last {
            self.index.relocate(hash_of(last), last, position);
        }
        self.records.swap_remove(position);
    }
}
