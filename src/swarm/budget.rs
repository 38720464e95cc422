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
//! How many torrents a source has begun lately, `beginners.rs` knows.

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

/// Why a peer was answered and not stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Its swarm has many peers already.
    LongList,
    /// Its source came with many torrents that nobody else had announced.
    BusySource,
    /// Nobody had announced its torrent.
    NewTorrent,
    /// There is no room for anything.
    Full,
}

/// How much there may be.
pub(super) struct Budget {
    bytes: usize,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            bytes: bytes - STEP_BYTES.min(bytes / 4),
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

    /// Whether anybody may begin a torrent.
    pub(super) fn may_begin(&self, taken: usize) -> Result<(), Refusal> {
        if taken >= self.bytes {
            return Err(Refusal::Full);
        }
        if taken >= self.mark(TORRENTS_FROM) {
            return Err(Refusal::NewTorrent);
        }
        Ok(())
    }

    /// Whether a source may that has begun so many.
    pub(super) fn admits(&self, begun: u16, taken: usize) -> bool {
        let begun = usize::from(begun);
        taken < self.mark(SOURCES_FROM)
            || begun <= self.share(taken, SOURCES_FROM, TORRENTS_FROM, BUSY_SOURCE)
    }

    /// Why a peer found no room in a torrent that is known.
    pub(super) fn why_no_longer(&self, taken: usize) -> Refusal {
        if self.has_room(taken) {
            Refusal::LongList
        } else {
            Refusal::Full
        }
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

#[cfg(test)]
mod tests;
