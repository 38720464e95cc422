//! A list of peers of one family, on the heap.
//!
//! ```text
//!   entries    [ seeder seeder .. seeder | leecher .. leecher ]  room for a sixteenth more
//!                                        ^ seeders
//! ```
//!
//! A seeder wants leechers only, and they stand together, so a reply is a copy from either part.
//! Whoever crosses the border or leaves is replaced by the one at the border or at the end: one or
//! two moves, and the index hears of each.

use ahash::RandomState;

use super::PeerAddr;
use super::body::{Put, Role, View};
use super::expiry::Tick;
use super::family::Family;
use super::peer_index::{PeerIndex, SCAN_MAX};
use crate::prefetch::prefetch_read;

/// Least room that is added to a list.
const ROOM_MIN: usize = 4;

/// What the allocator takes for a piece beside its bytes, on average: 8 of its own, and what is missing to
/// the next multiple of 16.
pub(super) const PIECE_BYTES: usize = 12;

/// See the picture above.
pub(super) struct Peers<F: Family> {
    entries: Vec<F::Entry>,
    seeders: u32,
    /// Leechers that are partial seeds.
    partial: u32,
    index: PeerIndex,
}

impl<F: Family> Default for Peers<F> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            seeders: 0,
            partial: 0,
            index: PeerIndex::None,
        }
    }
}

impl<F: Family> Peers<F> {
    /// Takes over inline peers.
    pub(super) fn from_view(view: &View<'_, F>, keys: &RandomState) -> Self {
        let mut list = Self::default();
        list.entries.reserve_exact(view.entries.len() + ROOM_MIN);
        for (at, entry) in view.entries.iter().enumerate() {
            let role = match at < view.seeders {
                true => Role::Seeder,
                false if F::meta(entry).is_paused() => Role::Partial,
                false => Role::Leecher,
            };
            list.insert(*entry, role, keys);
        }
        list
    }

    #[inline]
    pub(super) fn view(&self) -> View<'_, F> {
        View {
            entries: &self.entries,
            seeders: self.seeders as usize,
        }
    }

    /// Peers, seeders and partial seeds.
    #[inline]
    pub(super) fn totals(&self) -> (u32, u32, u32) {
        (self.entries.len() as u32, self.seeders, self.partial)
    }

    /// Bytes of the list, its index and itself, as the allocator counts them.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        let own = size_of::<Self>() + 2 * PIECE_BYTES;
        own + self.entries.capacity() * size_of::<F::Entry>() + self.index.bytes()
    }

    /// Asks for both lines on which the list itself may lie.
    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch_read(&self.entries);
        prefetch_read(&self.index);
    }

    /// Asks for the line where the search for a peer begins.
    #[inline]
    pub(super) fn prefetch_search(&self, wire: &F::Wire, keys: &RandomState) {
        if self.index.is_none() {
            for line in self.entries.chunks(64 / size_of::<F::Entry>()) {
                prefetch_read(&line[0]);
            }
        } else {
            self.index.prefetch(F::hash(wire, keys));
        }
    }

    /// Asks for the entries to which the index leads: the peer's and those of the few strangers
    /// that only a comparison can tell from him.
    #[inline]
    pub(super) fn prefetch_entry(&self, wire: &F::Wire, keys: &RandomState) {
        if !self.index.is_none() {
            self.index.find(F::hash(wire, keys), |at| {
                prefetch_read(&self.entries[at as usize]);
                false
            });
        }
    }

    #[inline]
    pub(super) fn find(&self, wire: &F::Wire, keys: &RandomState) -> Option<usize> {
        if self.index.is_none() {
            return self.entries.iter().position(|entry| F::is(entry, wire));
        }
        let is = |at: u32| F::is(&self.entries[at as usize], wire);
        let found = self.index.find(F::hash(wire, keys), is);
        found.map(|at| at as usize)
    }

    /// Inserts or refreshes a peer; an unknown one that would need memory only if the list is
    /// shorter than `longest`.
    pub(super) fn put(
        &mut self,
        wire: &F::Wire,
        entry: F::Entry,
        role: Role,
        longest: usize,
        keys: &RandomState,
    ) -> Put {
        let Some(at) = self.find(wire, keys) else {
            let len = self.entries.len();
            let room = len < self.entries.capacity();
            let at = (len < longest || room && self.index.has_room(len))
                .then(|| self.insert(entry, role, keys));
            return Put { before: None, at };
        };
        let before = self.role(at);
        self.entries[at] = entry;
        self.partial -= u32::from(before == Role::Partial);
        self.partial += u32::from(role == Role::Partial);
        Put {
            before: Some(before),
            at: Some(self.move_across(at, before, role, keys)),
        }
    }

    /// Removes the peer at `at` and says what it was.
    pub(super) fn remove(&mut self, at: usize, keys: &RandomState) -> Role {
        let role = self.role(at);
        self.partial -= u32::from(role == Role::Partial);
        if !self.index.is_none() {
            let entries = &self.entries;
            let hash_of = |at: u32| hash::<F>(&entries[at as usize], keys);
            self.index.remove(hash_of(at as u32), at as u32, hash_of);
        }
        let mut hole = at;
        if role.is_seeder() {
            self.seeders -= 1;
            let last_seeder = self.seeders as usize;
            self.shift(last_seeder, hole, keys);
            hole = last_seeder;
        }
        self.shift(self.entries.len() - 1, hole, keys);
        self.entries.pop();
        role
    }

    /// Looks at no more than `budget` peers below `from`, downwards, removes those who have expired
    /// and tells `gone` of each. Returns where to go on (0 means that all were seen) and how many it looked at.
    ///
    /// Downwards, because a removal fills the hole with peers from above, and those were seen.
    pub(super) fn sweep(
        &mut self,
        from: usize,
        budget: usize,
        now: Tick,
        gone: &mut impl FnMut(PeerAddr, Role),
        keys: &RandomState,
    ) -> (usize, usize) {
        let from = from.min(self.entries.len());
        let end = from.saturating_sub(budget);
        for at in (end..from).rev() {
            if F::meta(&self.entries[at]).expiry().is_over(now) {
                let wire = F::wire(&self.entries[at]);
                gone(F::addr(wire), self.remove(at, keys));
            }
        }
        (end, from - end)
    }

    /// Gives memory back if the list became short.
    pub(super) fn settle(&mut self, keys: &RandomState) {
        let len = self.entries.len();
        if self.entries.capacity() > len + len / 4 + 2 * ROOM_MIN {
            self.entries.shrink_to(len + (len / 16).max(ROOM_MIN));
        }
        let entries = &self.entries;
        self.index
            .settle(len, |at| hash::<F>(&entries[at as usize], keys));
    }

    #[inline]
    fn role(&self, at: usize) -> Role {
        if at < self.seeders as usize {
            Role::Seeder
        } else if F::meta(&self.entries[at]).is_paused() {
            Role::Partial
        } else {
            Role::Leecher
        }
    }

    fn insert(&mut self, entry: F::Entry, role: Role, keys: &RandomState) -> usize {
        let len = self.entries.len();
        if len == self.entries.capacity() {
            // Not doubled: a hot swarm would carry half of its memory empty.
            self.entries.reserve_exact((len / 16).max(ROOM_MIN));
        }
        self.entries.push(entry);
        let mut at = len;
        if role.is_seeder() {
            at = self.seeders as usize;
            self.seeders += 1;
            self.shift(at, len, keys);
            self.entries[at] = entry;
        }
        self.partial += u32::from(role == Role::Partial);
        if len < SCAN_MAX && self.index.is_none() {
            return at;
        }
        let entries = &self.entries;
        let hash_of = |at: u32| hash::<F>(&entries[at as usize], keys);
        self.index
            .insert(hash_of(at as u32), at as u32, len + 1, hash_of);
        at
    }

    /// Copies the entry at `from` over the one at `to`, and tells the index.
    fn shift(&mut self, from: usize, to: usize, keys: &RandomState) {
        if from != to {
            let entry = self.entries[from];
            self.entries[to] = entry;
            if !self.index.is_none() {
                let hash = hash::<F>(&entry, keys);
                self.index.relocate(hash, from as u32, to as u32);
            }
        }
    }

    /// Moves a peer whose role changed to the right side of the border.
    fn move_across(&mut self, at: usize, before: Role, role: Role, keys: &RandomState) -> usize {
        let border = self.seeders as usize;
        let to = match (before.is_seeder(), role.is_seeder()) {
            (false, true) => {
                self.seeders += 1;
                border
            }
            (true, false) => {
                self.seeders -= 1;
                border - 1
            }
            _ => return at,
        };
        if at != to {
            if !self.index.is_none() {
                let a = (hash::<F>(&self.entries[at], keys), at as u32);
                let b = (hash::<F>(&self.entries[to], keys), to as u32);
                self.index.exchange(a, b);
            }
            self.entries.swap(at, to);
        }
        to
    }
}

#[inline]
fn hash<F: Family>(entry: &F::Entry, keys: &RandomState) -> u64 {
    F::hash(&F::wire(entry), keys)
}
