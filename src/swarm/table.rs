//! Entries of any kind, found by their hash: what stands beside the swarms, on demand.
//!
//! ```text
//!   Index      [ tags 12 | overflow | positions 12 ]       keyed hash of what names an entry
//!      | position
//!   Records    [ entry | entry | .. ]                      dense, in chunks
//! ```
//!
//! Two structures that the swarms use already, for the same reason: nothing here grows by doubling.
//! A common hash table of ten million entries would stall its core for a good part of a second while
//! it moves; this one adds a chunk without copying, or splits one bucket of its index.

use ahash::RandomState;

use super::index::Index;
use super::records::Records;

/// What stands in a table.
pub(super) trait Entry {
    /// A keyed hash of what names it: strangers choose that.
    fn hash(&self, keys: &RandomState) -> u64;
}

/// See the picture above.
pub(super) struct Table<T> {
    entries: Records<T>,
    index: Index,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            entries: Records::default(),
            index: Index::for_entries(0),
        }
    }
}

impl<T> Table<T> {
    /// The position of the entry under `hash` that `accept` says is the one.
    pub(super) fn find(&self, hash: u64, mut accept: impl FnMut(u32, &T) -> bool) -> Option<u32> {
        self.index
            .find(hash, |position| accept(position, self.get(position)))
    }

    #[inline]
    pub(super) fn get(&self, position: u32) -> &T {
        self.entries.get(position)
    }

    /// The entry, to change all of it but what names it.
    #[inline]
    pub(super) fn get_mut(&mut self, position: u32) -> &mut T {
        self.entries.get_mut(position)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        (0..self.len() as u32).map(|position| self.get(position))
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.entries.bytes() + self.index.bytes()
    }
}

impl<T: Entry> Table<T> {
    /// Adds an entry; there must be none of that name.
    pub(super) fn push(&mut self, entry: T, keys: &RandomState) {
        let hash = entry.hash(keys);
        let position = self.entries.push(entry);
        let hash_of = |at: u32| self.entries.get(at).hash(keys);
        self.index.insert(hash, position, hash_of);
    }

    /// Removes an entry. The last one takes its place.
    pub(super) fn swap_remove(&mut self, position: u32, keys: &RandomState) {
        let hash_of = |at: u32| self.entries.get(at).hash(keys);
        self.index.remove(hash_of(position), position, hash_of);
        let last = self.entries.len() as u32 - 1;
        if position != last {
            self.index.relocate(hash_of(last), last, position);
        }
        self.entries.swap_remove(position);
    }
}
