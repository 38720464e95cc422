//! Positions by hash for short lists: one byte of the hash of each peer, in the order of the list.
//!
//! ```text
//!   entries   | peer 0 | peer 1 | peer 2 | ..
//!   tags      | 5c | 07 | e1 | ..
//! ```
//!
//! 400 peers have 7 cache lines of tags, read in a row and compared 32 at a time; one or two
//! strangers share the tag and are looked at in vain. Slower to search than slots would be in
//! theory, but less than half their size, and nothing is ever rebuilt.

use crate::prefetch::prefetch_read;

/// Tags compared in one go.
const STRIDE: usize = 32;

/// Least room that is added.
const ROOM_MIN: usize = 16;

/// See the picture above.
pub(super) struct Tags(Vec<u8>);

impl Tags {
    /// The tags of a list, given the hashes of its peers.
    pub(super) fn of(hashes: impl ExactSizeIterator<Item = u64>) -> Self {
        let mut tags = Vec::new();
        tags.reserve_exact(hashes.len() + room(hashes.len()));
        tags.extend(hashes.map(tag));
        Self(tags)
    }

    /// The position under `hash` that `accept` says is the one.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut accept: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = tag(hash);
        let (strides, rest) = self.0.as_chunks::<STRIDE>();
        let mut first = 0;
        for stride in strides {
            // Folded to the end, so that the compiler makes one comparison of it.
            let any = |any, other: &u8| any | u8::from(*other == tag);
            if stride.iter().fold(0, any) != 0 {
                for (at, other) in (first..).zip(stride) {
                    if *other == tag && accept(at) {
                        return Some(at);
                    }
                }
            }
            first += STRIDE as u32;
        }
        let mut rest = (first..).zip(rest);
        let found = rest.find(|(at, other)| **other == tag && accept(*at));
        found.map(|(at, _)| at)
    }

    /// Asks for all lines.
    #[inline]
    pub(super) fn prefetch(&self) {
        for line in self.0.chunks(64) {
            prefetch_read(&line[0]);
        }
    }

    /// Writes the tag of the peer at `at`, which may be the place behind the last.
    #[inline]
    pub(super) fn set(&mut self, at: u32, hash: u64) {
        if let Some(place) = self.0.get_mut(at as usize) {
            *place = tag(hash);
            return;
        }
        if !self.has_room() {
            self.0.reserve_exact(room(self.0.len()));
        }
        self.0.push(tag(hash));
    }

    /// The list becomes shorter by one; whoever moves on that account is set afterwards.
    #[inline]
    pub(super) fn shorten(&mut self) {
        self.0.pop();
    }

    /// True when another tag needs no memory.
    pub(super) fn has_room(&self) -> bool {
        self.0.len() < self.0.capacity()
    }

    /// True when the room is worth giving back.
    pub(super) fn is_roomy(&self) -> bool {
        self.0.capacity() > self.0.len() + self.0.len() / 2 + 2 * ROOM_MIN
    }

    /// Bytes allocated.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity()
    }
}

/// The room that a list of `len` tags is given.
fn room(len: usize) -> usize {
    (len / 16).max(ROOM_MIN)
}

/// The byte of a hash that is kept.
#[inline]
fn tag(hash: u64) -> u8 {
    (hash >> 56) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_is_found_in_lists_of_every_length() {
        for len in 1..200 {
            let hashes = (0..len).map(|at| u64::from(at % 7) << 56);
            let tags = Tags::of(hashes.into_iter());
            for at in 0..len {
                let hash = u64::from(at % 7) << 56;
                assert_eq!(tags.find(hash, |found| found == at), Some(at));
                assert_eq!(tags.find(8 << 56, |_| true), None);
            }
        }
    }
}
