//! Where in its list a peer stands.
//!
//! ```text
//!   up to 32 peers       no index: the list is read through, 4 cache lines
//!   up to 1024 peers     a byte of each peer's hash, read through 32 at a time
//!   up to 16383 peers    slots of 2 bytes, open addressing
//!   above                the index of the swarms, which never rehashes at once
//! ```

use super::index::Index;
use super::peers::PIECE_BYTES;
use super::slots::{SLOTS_LIST_MAX, Slots};
use super::tags::Tags;

/// Longest list without an index.
pub(super) const SCAN_MAX: usize = 32;

/// Longest list indexed by tags: 16 cache lines, which a processor reads in a row.
pub(super) const TAGS_LIST_MAX: usize = 1024;

/// A list shorter than this has no use for an index. This and the next two are less than the
/// limits above, lest a list that swings around one builds an index each time.
const SCAN_AGAIN: usize = 24;

/// A list shorter than this goes back to tags.
const TAGS_AGAIN: usize = 768;

/// A list shorter than this goes back to slots.
const SLOTS_AGAIN: usize = SLOTS_LIST_MAX / 2;

/// See the picture above.
#[derive(Default)]
pub(super) enum PeerIndex {
    #[default]
    None,
    Tags(Tags),
    Slots(Slots),
    Buckets(Box<Index>),
}

impl PeerIndex {
    #[inline]
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The position under `hash` that `accept` says is the one.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut accept: impl FnMut(u32) -> bool) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Tags(tags) => tags.find(hash, accept),
            Self::Slots(slots) => slots.find(hash, &mut accept).map(|(_, at)| at),
            Self::Buckets(index) => index.find(hash, accept),
        }
    }

    /// Asks for the cache lines that [`Self::find`] reads first.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        match self {
            Self::None => {}
            Self::Tags(tags) => tags.prefetch(),
            Self::Slots(slots) => slots.prefetch(hash),
            Self::Buckets(index) => index.prefetch(hash),
        }
    }

    /// True when another peer of a list of `len` needs no memory here.
    pub(super) fn has_room(&self, len: usize) -> bool {
        match self {
            Self::None => len < SCAN_MAX,
            Self::Tags(tags) => len < TAGS_LIST_MAX && tags.has_room(),
            Self::Slots(slots) => len < slots.list_max(),
            Self::Buckets(_) => false,
        }
    }

    /// Adds the peer at `position` of a list that has `len` peers with it.
    pub(super) fn insert(
        &mut self,
        hash: u64,
        position: u32,
        len: usize,
        hash_of: impl Fn(u32) -> u64,
    ) {
        match self {
            Self::None if len <= SCAN_MAX => {}
            Self::Tags(tags) if len <= TAGS_LIST_MAX => tags.set(position, hash),
            Self::Slots(slots) if len <= slots.list_max() => slots.insert(hash, position),
            Self::Buckets(index) => index.insert(hash, position, hash_of),
            _ => *self = Self::build(len, hash_of),
        }
    }

    /// Removes a peer. `hash_of` must still know every position, this one too.
    pub(super) fn remove(&mut self, hash: u64, position: u32, hash_of: impl Fn(u32) -> u64) {
        match self {
            Self::None => {}
            Self::Tags(tags) => tags.shorten(),
            Self::Slots(slots) => slots.remove(hash, position, hash_of),
            Self::Buckets(index) => index.remove(hash, position, hash_of),
        }
    }

    /// Tells that the peer at `from` is at `to` now, where nobody is: a place that was left, or the
    /// new one at the end.
    pub(super) fn relocate(&mut self, hash: u64, from: u32, to: u32) {
        match self {
            Self::None => {}
            Self::Tags(tags) => tags.set(to, hash),
            Self::Slots(slots) => {
                let slot = slots.locate(hash, from);
                slots.set(slot, hash, to);
            }
            Self::Buckets(index) => index.relocate(hash, from, to),
        }
    }

    /// Tells that two peers changed places; both are found before either is written, for halfway
    /// through there would be two of one position.
    pub(super) fn exchange(&mut self, a: (u64, u32), b: (u64, u32)) {
        match self {
            Self::None => {}
            Self::Tags(tags) => {
                tags.set(b.1, a.0);
                tags.set(a.1, b.0);
            }
            Self::Slots(slots) => {
                let (slot_a, slot_b) = (slots.locate(a.0, a.1), slots.locate(b.0, b.1));
                slots.set(slot_a, a.0, b.1);
                slots.set(slot_b, b.0, a.1);
            }
            Self::Buckets(index) => {
                let nowhere = u32::MAX;
                index.relocate(a.0, a.1, nowhere);
                index.relocate(b.0, b.1, a.1);
                index.relocate(a.0, nowhere, b.1);
            }
        }
    }

    /// Gives memory back if the list became short.
    pub(super) fn settle(&mut self, len: usize, hash_of: impl Fn(u32) -> u64) {
        let too_large = match self {
            Self::None => false,
            Self::Tags(tags) => len < SCAN_AGAIN || tags.is_roomy(),
            Self::Slots(slots) => len < TAGS_AGAIN || slots.list_max() > len + len / 2,
            Self::Buckets(_) => len < SLOTS_AGAIN,
        };
        if too_large {
            *self = if len < SCAN_AGAIN {
                Self::None
            } else {
                Self::build(len, hash_of)
            };
        }
    }

    /// Bytes allocated.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Tags(tags) => PIECE_BYTES + tags.bytes(),
            Self::Slots(slots) => PIECE_BYTES + slots.bytes(),
            Self::Buckets(index) => size_of::<Index>() + PIECE_BYTES + index.bytes(),
        }
    }

    #[cold]
    fn build(len: usize, hash_of: impl Fn(u32) -> u64) -> Self {
        if len > SLOTS_LIST_MAX {
            let mut index = Box::new(Index::for_entries(len));
            for position in 0..len as u32 {
                index.insert(hash_of(position), position, &hash_of);
            }
            return Self::Buckets(index);
        }
        if len <= TAGS_LIST_MAX {
            return Self::Tags(Tags::of((0..len as u32).map(hash_of)));
        }
        let mut slots = Slots::for_list_of((len + len / 16).min(SLOTS_LIST_MAX));
        for position in 0..len as u32 {
            slots.insert(hash_of(position), position);
        }
        Self::Slots(slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_from_a_crowded_run_loses_nobody() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..300 {
            // Few homes, so that runs are long and wrap around the end.
            let mut hashes: Vec<u64> = (0..40)
                .map(|_| (rng.u64(0..6) * 0xffff_ffff / 6) | (rng.u64(..) << 48))
                .collect();
            let mut slots = Slots::for_list_of(hashes.len());
            for (at, hash) in hashes.iter().enumerate() {
                slots.insert(*hash, at as u32);
            }
            let mut index = PeerIndex::Slots(slots);
            while let Some(last) = hashes.len().checked_sub(1) {
                let gone = rng.usize(..=last);
                index.remove(hashes[gone], gone as u32, |at| hashes[at as usize]);
                if gone != last {
                    index.relocate(hashes[last], last as u32, gone as u32);
                }
                hashes.swap_remove(gone);
                if hashes.len() > 1 {
                    let last = hashes.len() - 1;
                    index.exchange((hashes[0], 0), (hashes[last], last as u32));
                    hashes.swap(0, last);
                }
                for (at, hash) in hashes.iter().enumerate() {
                    let found = index.find(*hash, |found| found == at as u32);
                    assert_eq!(found, Some(at as u32));
                }
            }
        }
    }
}
