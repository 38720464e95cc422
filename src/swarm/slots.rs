//! Positions by hash for lists of middling length: open addressing in slots of 2 bytes.
//!
//! A slot holds the position plus 1 in its low bits, as many as the longest list needs for which
//! these slots suffice, and in the bits above a piece of the peer's hash. 1100 peers leave 5 bits
//! for that piece, so hardly ever is a peer compared that is not the one; 16383 leave 2.
//!
//! Collisions go to the next slot; a removal closes the gap by moving later entries of the run back
//! as far as their home slot allows. The number of slots need not be a power of two (a hash is
//! scaled by a multiplication), so it follows the list in steps of a sixteenth.

use crate::prefetch::prefetch_read;

/// Longest list indexed by slots: the positions plus 1 fill 14 bits.
pub(super) const SLOTS_LIST_MAX: usize = (1 << 14) - 1;

/// Most entries per slot, as a fraction: 0.85.
const LOAD: (usize, usize) = (17, 20);

/// Slots of 2 bytes; 0 is an empty one.
pub(super) struct Slots(Box<[u16]>);

impl Slots {
    pub(super) fn for_list_of(len: usize) -> Self {
        Self(vec![0; (len * LOAD.1).div_ceil(LOAD.0)].into())
    }

    /// Asks for the cache line that [`Self::find`] reads first.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch_read(&self.0[self.home(hash)]);
    }

    /// Bytes allocated.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }

    /// The longest list for which these slots suffice.
    #[inline]
    pub(super) fn list_max(&self) -> usize {
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
    pub(super) fn find(
        &self,
        hash: u64,
        mut accept: impl FnMut(u32) -> bool,
    ) -> Option<(usize, u32)> {
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

    pub(super) fn locate(&self, hash: u64, position: u32) -> usize {
        let found = self.find(hash, |at| at == position);
        found.expect("the index has lost a peer").0
    }

    pub(super) fn set(&mut self, slot: usize, hash: u64, position: u32) {
        self.0[slot] = piece(hash, self.mask()) | (position as u16 + 1);
    }

    pub(super) fn insert(&mut self, hash: u64, position: u32) {
        let mut slot = self.home(hash);
        while self.0[slot] != 0 {
            slot = self.next(slot);
        }
        self.set(slot, hash, position);
    }

    pub(super) fn remove(&mut self, hash: u64, position: u32, hash_of: impl Fn(u32) -> u64) {
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
        for len in 1..=SLOTS_LIST_MAX {
            let slots = Slots::for_list_of(len);
            assert!(slots.list_max() >= len && slots.list_max() < slots.0.len());
            assert!(slots.list_max() <= usize::from(slots.mask()));
            assert!(slots.mask() <= 0x3fff);
        }
    }
}
