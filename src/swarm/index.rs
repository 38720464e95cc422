//! From a hash to a position, growing and shrinking by one bucket at a time (linear hashing).
//!
//! A usual hash table doubles: for a moment it needs three times its memory, and everybody waits
//! while all entries move. Linear hashing (Litwin 1980) splits buckets one after the other instead:
//!
//! ```text
//!    with n = 6 buckets, the next to split is 2:
//!
//!      0    1    2    3    4    5
//!    [h%8][h%8][h%4][h%4][h%8][h%8]        4 and 5 were split from 0 and 1
//!                ^ the next insert that finds the table too full makes 6 from 2
//! ```
//!
//! A bucket is one cache line, so an entry that exists is found with one wait for memory, or two
//! if its bucket overflowed:
//!
//! ```text
//!    | 12 tags of 1 byte | overflow 4 | 12 positions of 4 bytes |
//! ```
//!
//! The tag is a byte of the hash; 0 means an empty slot. Entries fill a chain (bucket, its overflow
//! bucket, that one's overflow bucket, ..) from the front without gaps, and only the last bucket of
//! a chain may have room. Overflow buckets stand dense in a store of their own: a released one is
//! replaced by the last.
//!
//! The table keeps no hashes. Where it needs one again it asks `hash_of(position)`.

use super::buckets::{Bucket, Buckets, SLOTS};
use crate::prefetch::prefetch_read;

/// A bucket is added above this many tenths of an entry per bucket. In the middle of a round half
/// of the entries live in buckets that wait for their split, with 1.5 times the mean.
const FULL_TENTHS: usize = 78;

/// Bytes of the table for each entry when it is as full as it gets.
pub(super) const ENTRY_BYTES: usize = size_of::<Bucket>() * 10 / FULL_TENTHS;

/// A bucket is taken away below this many tenths.
const SPARSE_TENTHS: usize = 40;

/// The bit that makes a number of a bucket one of the overflow buckets.
const OVERFLOW: u32 = 1 << 31;

/// The table.
pub(super) struct Index {
    homes: Buckets,
    overflows: Buckets,
    len: usize,
    /// Entries of the chain that is being split or merged; empty between calls.
    moving: Vec<(u8, u32)>,
}

impl Index {
    /// A table with the buckets that so many entries will need.
    pub(super) fn for_entries(count: usize) -> Self {
        let mut homes = Buckets::default();
        for _ in 0..(count * 10).div_ceil(FULL_TENTHS).max(1) {
            homes.push();
        }
        Self {
            homes,
            overflows: Buckets::default(),
            len: 0,
            moving: Vec::new(),
        }
    }

    /// The position under `hash` that `accept` says is the one.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut accept: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut bucket = self.homes.get(self.home(hash));
        loop {
            if let Some(slot) = bucket.find(tag(hash), &mut accept) {
                return Some(bucket.positions[slot]);
            }
            if bucket.overflow == 0 {
                return None;
            }
            bucket = self.bucket(bucket.overflow);
        }
    }

    /// The likely position under `hash`, without asking anybody.
    #[inline]
    pub(super) fn candidate(&self, hash: u64) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// Asks for the cache line that [`Self::find`] reads first.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch_read(self.homes.get(self.home(hash)));
    }

    /// Adds an entry. There must be none for that position.
    pub(super) fn insert(&mut self, hash: u64, position: u32, hash_of: impl Fn(u32) -> u64) {
        self.append(self.home(hash), tag(hash), position);
        self.len += 1;
        if self.len * 10 > self.homes.len() * FULL_TENTHS {
            self.split(hash_of);
        }
    }

    /// Removes the entry of a position. `hash_of` must still know every position, this one too.
    pub(super) fn remove(&mut self, hash: u64, position: u32, hash_of: impl Fn(u32) -> u64) {
        let home = self.home(hash);
        let (at, slot) = self.locate(home, hash, position);
        let (before_tail, tail) = self.tail(home as u32);
        let bucket = self.bucket_mut(tail);
        let last = bucket.len() - 1;
        let moved = (bucket.tags[last], bucket.positions[last]);
        bucket.tags[last] = 0;
        // If the entry was the last one itself, it has gone and must not come back.
        if (at, slot) != (tail, last) {
            let bucket = self.bucket_mut(at);
            (bucket.tags[slot], bucket.positions[slot]) = moved;
        }
        if last == 0 && tail != home as u32 {
            self.bucket_mut(before_tail).overflow = 0;
            self.release(tail, &hash_of);
        }
        self.len -= 1;
        if self.homes.len() > 1 && self.len * 10 < self.homes.len() * SPARSE_TENTHS {
            self.merge(&hash_of);
        }
    }

    /// Tells that what was at position `from` is at `to` now.
    pub(super) fn relocate(&mut self, hash: u64, from: u32, to: u32) {
        let (at, slot) = self.locate(self.home(hash), hash, from);
        self.bucket_mut(at).positions[slot] = to;
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.homes.bytes()
            + self.overflows.bytes()
            + self.moving.capacity() * size_of::<(u8, u32)>()
    }

    /// Buckets of the longest chain, which is what the slowest search reads.
    #[cfg(test)]
    pub(super) fn longest_chain(&self) -> usize {
        let buckets_from = |home: usize| {
            let mut bucket = self.homes.get(home);
            let mut buckets = 1;
            while bucket.overflow != 0 {
                bucket = self.bucket(bucket.overflow);
                buckets += 1;
            }
            buckets
        };
        (0..self.homes.len()).map(buckets_from).max().unwrap_or(0)
    }

    /// The bucket in which the chain of a hash begins.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        let hash = hash as u32 as usize;
        let mask = self.homes.len().next_power_of_two() - 1;
        let home = hash & mask;
        if home < self.homes.len() {
            home
        } else {
            hash & (mask >> 1)
        }
    }

    #[inline]
    fn bucket(&self, at: u32) -> &Bucket {
        if at & OVERFLOW == 0 {
            self.homes.get(at as usize)
        } else {
            self.overflows.get((at ^ OVERFLOW) as usize)
        }
    }

    #[inline]
    fn bucket_mut(&mut self, at: u32) -> &mut Bucket {
        if at & OVERFLOW == 0 {
            self.homes.get_mut(at as usize)
        } else {
            self.overflows.get_mut((at ^ OVERFLOW) as usize)
        }
    }

    /// The bucket and slot of an entry that must be there.
    fn locate(&self, home: usize, hash: u64, position: u32) -> (u32, usize) {
        let mut at = home as u32;
        loop {
            let bucket = self.bucket(at);
            if let Some(slot) = bucket.find(tag(hash), |found| found == position) {
                return (at, slot);
            }
            assert!(bucket.overflow != 0, "the index has lost a position");
            at = bucket.overflow;
        }
    }

    /// The last bucket of a chain and the one before it.
    fn tail(&self, home: u32) -> (u32, u32) {
        let (mut before, mut at) = (home, home);
        loop {
            let next = self.bucket(at).overflow;
            if next == 0 {
                return (before, at);
            }
            (before, at) = (at, next);
        }
    }

    fn append(&mut self, home: usize, tag: u8, position: u32) {
        let (_, tail) = self.tail(home as u32);
        let mut slot = self.bucket(tail).len();
        let mut at = tail;
        if slot == SLOTS {
            at = OVERFLOW | self.overflows.push() as u32;
            self.bucket_mut(tail).overflow = at;
            slot = 0;
        }
        let bucket = self.bucket_mut(at);
        bucket.tags[slot] = tag;
        bucket.positions[slot] = position;
    }

    /// Gives back an overflow bucket to which no chain leads any more.
    fn release(&mut self, released: u32, hash_of: &impl Fn(u32) -> u64) {
        let last = OVERFLOW | (self.overflows.len() - 1) as u32;
        if released != last {
            let bucket = *self.bucket(last);
            let mut at = self.home(hash_of(bucket.positions[0])) as u32;
            while self.bucket(at).overflow != last {
                at = self.bucket(at).overflow;
                assert!(at != 0, "an overflow bucket is in no chain");
            }
            self.bucket_mut(at).overflow = released;
            *self.bucket_mut(released) = bucket;
        }
        self.overflows.pop();
    }

    /// Takes a chain apart; its entries go to `moving`.
    fn dismantle(&mut self, home: usize, hash_of: &impl Fn(u32) -> u64) {
        loop {
            // From the end, and each time from the beginning: releasing may renumber the rest.
            let (before, tail) = self.tail(home as u32);
            let bucket = *self.bucket(tail);
            let len = bucket.len();
            let entries = bucket.tags.into_iter().zip(bucket.positions);
            self.moving.extend(entries.take(len));
            if tail == home as u32 {
                *self.bucket_mut(tail) = Bucket::EMPTY;
                return;
            }
            self.bucket_mut(before).overflow = 0;
            self.release(tail, hash_of);
        }
    }

    /// Adds a bucket: the entries of the one it is split from are dealt out between the two.
    #[cold]
    fn split(&mut self, hash_of: impl Fn(u32) -> u64) {
        let new = self.homes.len();
        self.dismantle(partner(new), &hash_of);
        self.homes.push();
        let mut moving = std::mem::take(&mut self.moving);
        for (tag, position) in moving.drain(..) {
            self.append(self.home(hash_of(position)), tag, position);
        }
        self.moving = moving;
    }

    /// Takes the last bucket away: its entries go back to where they were split from.
    #[cold]
    fn merge(&mut self, hash_of: &impl Fn(u32) -> u64) {
        let last = self.homes.len() - 1;
        self.dismantle(last, hash_of);
        self.homes.pop();
        let mut moving = std::mem::take(&mut self.moving);
        for (tag, position) in moving.drain(..) {
            self.append(partner(last), tag, position);
        }
        self.moving = moving;
    }
}

/// The bucket from which bucket `new` was split: its number without the highest bit.
fn partner(new: usize) -> usize {
    new & !(1 << new.ilog2())
}

/// The byte of a hash that stands in the bucket. Not among the bits that choose the bucket, and
/// never 0.
#[inline]
fn tag(hash: u64) -> u8 {
    ((hash >> 56) as u8).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The positions stand dense as the records do; their hashes are in a list beside.
    #[derive(Default)]
    struct Dense {
        hashes: Vec<u64>,
    }

    impl Dense {
        fn push(&mut self, index: &mut Index, hash: u64) {
            self.hashes.push(hash);
            let position = self.hashes.len() as u32 - 1;
            index.insert(hash, position, |at| self.hashes[at as usize]);
        }

        fn swap_remove(&mut self, index: &mut Index, position: u32) -> u64 {
            let hash = self.hashes[position as usize];
            index.remove(hash, position, |at| self.hashes[at as usize]);
            let last = self.hashes.len() as u32 - 1;
            if position != last {
                index.relocate(self.hashes[last as usize], last, position);
            }
            self.hashes.swap_remove(position as usize)
        }
    }

    fn check(index: &Index) {
        let mut entries = 0;
        let mut overflows = 0;
        for home in 0..index.homes.len() {
            let mut bucket = index.homes.get(home);
            entries += bucket.len();
            while bucket.overflow != 0 {
                assert_eq!(bucket.len(), SLOTS, "only the last of a chain has room");
                bucket = index.bucket(bucket.overflow);
                assert!(bucket.len() > 0, "an empty overflow bucket");
                entries += bucket.len();
                overflows += 1;
            }
        }
        assert_eq!((entries, overflows), (index.len, index.overflows.len()));
        assert!(index.moving.is_empty());
    }

    #[test]
    fn it_agrees_with_a_hash_set_while_it_grows_shrinks_and_grows_again() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut index = Index::for_entries(0);
        let mut dense = Dense::default();
        let mut model = HashSet::new();
        for round in 0..6 {
            let growing = round % 2 == 0;
            for step in 0..120_000 {
                if dense.hashes.is_empty() || rng.u32(..100) < if growing { 80 } else { 15 } {
                    let hash = rng.u64(..);
                    model.insert(hash);
                    dense.push(&mut index, hash);
                } else {
                    let position = rng.usize(..dense.hashes.len()) as u32;
                    let hash = dense.swap_remove(&mut index, position);
                    assert!(model.remove(&hash));
                    assert_eq!(
                        index.find(hash, |at| dense.hashes[at as usize] == hash),
                        None
                    );
                }
                if step % 20_000 == 0 {
                    check(&index);
                }
            }
            for (position, hash) in dense.hashes.iter().enumerate() {
                let found = index.find(*hash, |at| dense.hashes[at as usize] == *hash);
                assert_eq!(found, Some(position as u32));
            }
            assert_eq!(index.len, model.len());
        }
        while !dense.hashes.is_empty() {
            dense.swap_remove(&mut index, 0);
        }
        check(&index);
        assert_eq!(index.homes.len(), 1);
        assert!(index.bytes() < 100_000, "{}", index.bytes());
    }

    #[test]
    fn entries_whose_hashes_are_all_the_same_still_find_their_way() {
        let mut index = Index::for_entries(0);
        let mut dense = Dense::default();
        for _ in 0..200 {
            dense.push(&mut index, 0x0100_0000_0000_0007);
        }
        check(&index);
        for wanted in 0..200 {
            let found = index.find(dense.hashes[0], |position| position == wanted);
            assert_eq!(found, Some(wanted));
        }
        while dense.hashes.len() > 1 {
            dense.swap_remove(&mut index, 0);
            check(&index);
        }
    }
}
