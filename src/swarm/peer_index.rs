//! Where in its list a peer stands.
//!
//! ```text
//!   up to 32 peers       no index: the list is read through, 4 cache lines
//!   up to 16383 peers    slots of 2 bytes, open addressing
//!   above                the index of the swarms, which never rehashes at once
//! ```
//!
//! A slot holds the position plus 1 in its low bits, as many as the longest list needs for which
//! these slots suffice, and in the bits above a piece of the peer's hash. 400 peers leave 7 bits
//! for that piece, so hardly ever is a peer compared that is not the one; 16383 leave 2.
//!
//! Collisions go to the next slot; a removal closes the gap by moving later entries of the run back
//! as far as their home slot allows. The number of slots need not be a power of two (a hash is
//! scaled by a multiplication), so it follows the list in steps of an eighth.

use super::index::Index;
use crate::prefetch::prefetch_read;

/// Longest list without an index.
pub(super) const SCAN_MAX: usize = 32;

/// Longest list indexed by slots: the positions plus 1 fill 14 bits.
pub(super) const SLOTS_LIST_MAX: usize = (1 << 14) - 1;

/// A list shorter than this has no use for an index. Less than [`SCAN_MAX`], lest a list that
/// swings around it builds an index each time.
const SCAN_AGAIN: usize = 24;

/// A list shorter than this goes back to slots.
const SLOTS_AGAIN: usize = SLOTS_LIST_MAX / 2;

/// Most entries per slot, as a fraction: 0.85.
const LOAD: (usize, usize) = (17, 20);

/// See the picture above.
#[derive(Default)]
pub(super) enum PeerIndex {
    #[default]
    None,
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
            Self::Slots(slots) => slots.find(hash, &mut accept).map(|(_, at)| at),
            Self::Buckets(index) => index.find(hash, accept),
        }
    }

    /// Asks for the cache line that [`Self::find`] reads first.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        match self {
            Self::None => {}
            Self::Slots(slots) => prefetch_read(&slots.0[slots.home(hash)]),
            Self::Buckets(index) => index.prefetch(hash),
        }
    }

    /// True when another peer of a list of `len` needs no memory here.
    pub(super) fn has_room(&self, len: usize) -> bool {
        match self {
            Self::None => len < SCAN_MAX,
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
            Self::Slots(slots) if len <= slots.list_max() => slots.insert(hash, position),
            Self::Buckets(index) => index.insert(hash, position, hash_of),
            _ => *self = Self::build(len, hash_of),
        }
    }

    /// Removes a peer. `hash_of` must still know every position, this one too.
    pub(super) fn remove(&mut self, hash: u64, position: u32, hash_of: impl Fn(u32) -> u64) {
        match self {
            Self::None => {}
            Self::Slots(slots) => slots.remove(hash, position, hash_of),
            Self::Buckets(index) => index.remove(hash, position, hash_of),
        }
    }

    /// Tells that the peer at `from` is at `to` now; nobody else may be.
    pub(super) fn relocate(&mut self, hash: u64, from: u32, to: u32) {
        match self {
            Self::None => {}
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
            Self::Slots(slots) => len < SCAN_AGAIN || slots.list_max() > len + len / 2,
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
            Self::Slots(slots) => size_of_val(&*slots.0),
            Self::Buckets(index) => size_of::<Index>() + index.bytes(),
        }
    }

    #[cold]
    fn build(len: usize, hash_of: impl Fn(u32) -> u64) -> Self {
        if len > SLOTS_LIST_MAX {
            let mut index = Box::new(Index::new());
            for position in 0..len as u32 {
                index.insert(hash_of(position), position, &hash_of);
            }
            return Self::Buckets(index);
        }
        let mut slots = Slots::for_list_of((len + len / 8).min(SLOTS_LIST_MAX));
        for position in 0..len as u32 {
            slots.insert(hash_of(position), position);
        }
        Self::Slots(slots)
    }
}

/// Slots of 2 bytes; 0 is an empty one.
pub(super) struct Slots(Box<[u16]>);

impl Slots {
    fn for_list_of(len: usize) -> Self {
        Self(vec![0; (len * LOAD.1).div_ceil(LOAD.0)].into())
    }

    /// The longest list for which these slots suffice.
    #[inline]
    fn list_max(&self) -> usize {
        self.0.len() * LOAD.0 / LOAD.1
    }

    /// The bits of a slot that hold the position.
    #[inline]
    fn mask(&self) -> u16 {
        u16::MAX >> (self.list_max() as u16).leading_zeros()
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        (((hash & u64::from(u32::MAX)) * self.0.len() as u64) >> 32) as usize
    }

    #[inline]
    fn next(&self, slot: usize) -> usize {
        if slot + 1 == self.0.len() {
            0
        } else {
            slot + 1
        }
    }

    /// The slot and position under `hash` that `accept` says is the one. Ends, because some slots
    /// are always empty.
    #[inline]
    fn find(&self, hash: u64, mut accept: impl FnMut(u32) -> bool) -> Option<(usize, u32)> {
        let mask = self.mask();
        let piece = piece(hash, mask);
        let mut slot = self.home(hash);
        loop {
            let content = self.0[slot];
            if content == 0 {
                return None;
            }
            if content & !mask == piece {
                let position = u32::from(content & mask) - 1;
                if accept(position) {
                    return Some((slot, position));
                }
            }
            slot = self.next(slot);
        }
    }

    fn locate(&self, hash: u64, position: u32) -> usize {
        let found = self.find(hash, |at| at == position);
        found.expect("the index has lost a peer").0
    }

    fn set(&mut self, slot: usize, hash: u64, position: u32) {
        self.0[slot] = piece(hash, self.mask()) | (position as u16 + 1);
    }

    fn insert(&mut self, hash: u64, position: u32) {
        let mut slot = self.home(hash);
        while self.0[slot] != 0 {
            slot = self.next(slot);
        }
        self.set(slot, hash, position);
    }

    fn remove(&mut self, hash: u64, position: u32, hash_of: impl Fn(u32) -> u64) {
        let mask = self.mask();
        let mut gap = self.locate(hash, position);
        let mut slot = self.next(gap);
        while self.0[slot] != 0 {
            let home = self.home(hash_of(u32::from(self.0[slot] & mask) - 1));
            // It may move back unless its home lies behind the gap.
            if self.distance(home, slot) >= self.distance(gap, slot) {
                self.0[gap] = self.0[slot];
                gap = slot;
            }
            slot = self.next(slot);
        }
        self.0[gap] = 0;
    }

    /// Steps from one slot forward to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from {
            to - from
        } else {
            to + self.0.len() - from
        }
    }
}

/// The piece of the hash that stands beside the position; the home slot comes from other bits.
#[inline]
fn piece(hash: u64, mask: u16) -> u16 {
    (hash >> 48) as u16 & !mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_every_size_have_an_empty_one_and_bits_for_every_position() {
        for len in SCAN_AGAIN..=SLOTS_LIST_MAX {
            let slots = Slots::for_list_of(len);
            assert!(slots.list_max() >= len && slots.list_max() < slots.0.len());
            assert!(slots.list_max() <= usize::from(slots.mask()));
            assert!(slots.mask() <= 0x3fff);
        }
    }

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
            let mut index = PeerIndex::build(hashes.len(), |at| hashes[at as usize]);
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
