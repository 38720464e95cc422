//! What may still grow as the memory budget fills up, and for whom.
//!
//! ```text
//!   0               3/4              7/8                  31/32        the budget
//!   | everything     | no long lists  | nor new torrents   | nor any    | nothing that
//!   |  grows         |                | of busy sources    |  torrent   |  needs memory
//! ```
//!
//! Who has many peers misses a newcomer least: a reply tells of 200 at most. So long lists stop first, and
//! the fuller it gets, the shorter is what counts as long. A source that comes with torrents nobody has heard
//! of is next, with fewer and fewer of them; the last piece is for the small swarms that are there already.
//! Whoever is known goes on being known throughout, and within the room that a record or a list has, anybody
//! may still come.
//!
//! Of a source, its new torrents are counted in a sketch: two cells of many, chosen by a keyed hash of its
//! address, and the smaller one tells. It may take a quiet source for a busy one, and never the other way
//! round. Counts are halved each minute.

use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;

use super::PeerAddr;

/// Peers of one family that a list may have before it counts as long: as many as a reply carries. At the
/// first mark; less and less above it.
const LONG_LIST: usize = 200;

/// Torrents that a source may begin before it counts as busy, halved each minute. At the second mark;
/// fewer and fewer above it.
const BUSY_SOURCE: usize = 32;

/// The marks, in parts of a budget.
const PARTS: usize = 32;
const LISTS_FROM: usize = 24;
const SOURCES_FROM: usize = 28;
const TORRENTS_FROM: usize = 31;

/// What the largest step of growth takes, a chunk of records and two of buckets: it is begun only where it
/// fits.
const STEP_BYTES: usize = 320 << 10;

/// Cells of each of the two halves of a sketch.
const CELLS: usize = 1 << 14;

/// Seconds after which counts of sources are halved.
const HALVED_EVERY_S: u32 = 60;

/// Why a peer was answered and not stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Its swarm has many peers already.
    LongList,
    /// Its address came with many torrents that nobody else had announced.
    BusySource,
    /// Nobody had announced its torrent.
    NewTorrent,
    /// There is no room for anything.
    Full,
}

/// How much there may be, and who had much of it lately.
pub(super) struct Budget {
    bytes: usize,
    sources: Box<[[u8; CELLS]; 2]>,
    halved_s: u32,
}

impl Budget {
    /// The sketch of sources, which does not count as swarms, takes 32 KiB.
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            bytes: bytes - STEP_BYTES.min(bytes / 4),
            sources: vec![[0; CELLS]; 2]
                .try_into()
                .expect("a vector of two is an array of two"),
            halved_s: 0,
        }
    }

    /// True while there is room for anything.
    pub(super) fn has_room(&self, taken: usize) -> bool {
        taken < self.bytes
    }

    /// A list may grow while it is shorter than this.
    #[inline]
    pub(super) fn longest_list(&self, taken: usize) -> usize {
        if taken < self.mark(LISTS_FROM) {
            return usize::MAX;
        }
        self.share(taken, LISTS_FROM, PARTS, LONG_LIST)
    }

    /// Whether a source may begin a torrent; counts that it tries.
    pub(super) fn may_begin(
        &mut self,
        source: &PeerAddr,
        taken: usize,
        keys: &RandomState,
    ) -> Result<(), Refusal> {
        if taken >= self.bytes {
            return Err(Refusal::Full);
        }
        if taken >= self.mark(TORRENTS_FROM) {
            return Err(Refusal::NewTorrent);
        }
        let begun = self.count(source, keys);
        if taken >= self.mark(SOURCES_FROM)
            && begun > self.share(taken, SOURCES_FROM, TORRENTS_FROM, BUSY_SOURCE)
        {
            return Err(Refusal::BusySource);
        }
        Ok(())
    }

    /// Why a peer found no room in a torrent that is known.
    pub(super) fn why_no_longer(&self, taken: usize) -> Refusal {
        if self.has_room(taken) {
            Refusal::LongList
        } else {
            Refusal::Full
        }
    }

    /// Halves what sources have counted, once a minute.
    pub(super) fn forget(&mut self, now_s: u32) {
        if now_s.abs_diff(self.halved_s) >= HALVED_EVERY_S {
            self.halved_s = now_s;
            for cell in self.sources.as_flattened_mut() {
                *cell /= 2;
            }
        }
    }

    /// Counts a torrent for a source, and says how many it has now; 255 and above are the same.
    fn count(&mut self, source: &PeerAddr, keys: &RandomState) -> usize {
        let hash = hash(source, keys);
        let mut least = u8::MAX;
        for (row, cells) in self.sources.iter_mut().enumerate() {
            let cell = &mut cells[(hash >> (32 * row)) as usize % CELLS];
            *cell = cell.saturating_add(1);
            least = least.min(*cell);
        }
        usize::from(least)
    }

    fn mark(&self, parts: usize) -> usize {
        self.bytes / PARTS * parts
    }

    /// What is left of `whole` between two marks: all of it at the first, nothing at the second.
    fn share(&self, taken: usize, first: usize, second: usize, whole: usize) -> usize {
        let width = self.mark(second - first).max(1);
        self.mark(second).saturating_sub(taken).min(width) * whole / width
    }
}

/// An IPv4 address is a source; of IPv6 a network of 64 bits is, as that is what a customer gets.
fn hash(source: &PeerAddr, keys: &RandomState) -> u64 {
    let mut hasher = keys.build_hasher();
    match source {
        PeerAddr::V4(wire) => hasher.write(&wire[..4]),
        PeerAddr::V6(wire) => hasher.write(&wire[..8]),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
