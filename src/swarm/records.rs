//! The swarm records: dense, one cache line each, in chunks that never move. Details of peers stand
//! in the same way.
//!
//! ```text
//!   chunks    [ 4096 records ][ 4096 records ][ 1200 records ..... ][ spare, empty ]
//!                                                           ^ len
//! ```
//!
//! A record is added at the end and removed by moving the last one into its place, so there are no
//! holes to remember and the sweep is a walk. Growing allocates a chunk and copies nothing;
//! shrinking frees one. One empty chunk is kept, lest a count that swings around a border allocates
//! each time.

use super::body::Body;
use crate::prefetch::prefetch_read;
use crate::wire::InfoHash;

/// Most bytes of a chunk.
const CHUNK_BYTES: usize = 256 << 10;

/// A torrent and its peers.
#[repr(align(64))]
pub(super) struct Swarm {
    pub(super) info_hash: InfoHash,
    /// Downloads that were completed here; stops at the greatest number a reply can carry.
    pub(super) completed: u32,
    pub(super) body: Body,
}

const _: () = assert!(size_of::<Swarm>() == 64);

/// All swarms of a core, or all of something else.
pub(super) struct Records<T = Swarm> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Records<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Records<T> {
    /// Records of a chunk: a power of two, so that finding one takes no division.
    const CHUNK: usize = 1 << (CHUNK_BYTES / size_of::<T>()).ilog2();

    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn get(&self, position: u32) -> &T {
        let position = position as usize;
        &self.chunks[position / Self::CHUNK][position % Self::CHUNK]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, position: u32) -> &mut T {
        let position = position as usize;
        &mut self.chunks[position / Self::CHUNK][position % Self::CHUNK]
    }

    #[inline]
    pub(super) fn prefetch(&self, position: u32) {
        prefetch_read(self.get(position));
    }

    /// Adds a record and returns its position.
    pub(super) fn push(&mut self, record: T) -> u32 {
        let position = u32::try_from(self.len).expect("a core has fewer than 2^32 records");
        let chunk = self.len / Self::CHUNK;
        if chunk == self.chunks.len() {
            self.chunks.push(Vec::with_capacity(Self::CHUNK));
        }
        self.chunks[chunk].push(record);
        self.len += 1;
        position
    }

    /// Removes a record. The last one takes its place, unless it was the last itself.
    pub(super) fn swap_remove(&mut self, position: u32) {
        self.len -= 1;
        let chunk = self.len / Self::CHUNK;
        let last = self.chunks[chunk].pop().expect("a record to remove");
        if position as usize != self.len {
            *self.get_mut(position) = last;
        }
        self.chunks.truncate(self.len.div_ceil(Self::CHUNK) + 1);
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.len() * Self::CHUNK * size_of::<T>()
            + self.chunks.capacity() * size_of::<Vec<T>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: usize = Records::<Swarm>::CHUNK;

    fn swarm(number: u32) -> Swarm {
        Swarm {
            info_hash: InfoHash([0; InfoHash::LEN]),
            completed: number,
            body: Body::EMPTY,
        }
    }

    #[test]
    fn a_removed_record_is_replaced_by_the_last_and_chunks_are_given_back() {
        let mut records = Records::default();
        let count = 3 * CHUNK as u32 + 7;
        for number in 0..count {
            assert_eq!(records.push(swarm(number)), number);
        }
        assert_eq!(records.chunks.len(), 4);
        records.swap_remove(5);
        assert_eq!(records.get(5).completed, count - 1);
        records.swap_remove(count - 2);
        assert_eq!(records.len(), count as usize - 2);
        while records.len() > 0 {
            records.swap_remove(0);
        }
        assert!(records.chunks.len() <= 1);
        assert_eq!(records.push(swarm(9)), 0);
        assert_eq!(records.get(0).completed, 9);
    }
}
