//! How long turns take, and how many datagrams each brings: counted by size, so that the few that are large
//! are not lost in an average.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::limits::TURN_DATAGRAMS_MAX;

/// Most sizes that are told apart, the one above all bounds included.
const CELLS: usize = 16;

/// Bounds of the time of a turn, in nanoseconds: from 2 microseconds to 100 milliseconds.
const TURN_NS: &[u64] = &[
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    50_000_000,
    100_000_000,
];

/// Bounds of the datagrams of a turn. What is above the last took all there was room for, and more waited.
const BATCH: &[u64] = &[0, 1, 2, 4, 8, 16, 32, 64, 96, TURN_DATAGRAMS_MAX as u64 - 1];

const _: () = assert!(TURN_NS.len() < CELLS && BATCH.len() < CELLS);

/// What a core counts of its turns. One thread writes, as with all counters.
#[derive(Debug)]
pub struct Turns {
    time: Histogram,
    batch: Histogram,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            time: Histogram::new(TURN_NS),
            batch: Histogram::new(BATCH),
        }
    }
}

impl Turns {
    /// A turn with so many datagrams took so long, from one wait for the kernel to the next.
    #[inline]
    pub fn record(&self, took: Duration, datagrams: u64) {
        self.time.record(took.as_nanos() as u64);
        self.batch.record(datagrams);
    }

    /// How long turns took, in nanoseconds.
    pub fn time_ns(&self) -> Sizes {
        self.time.read()
    }

    /// How many datagrams they brought.
    pub fn batch(&self) -> Sizes {
        self.batch.read()
    }
}

/// Values counted by size.
#[derive(Debug)]
struct Histogram {
    bounds: &'static [u64],
    counts: [AtomicU64; CELLS],
    sum: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            counts: [const { AtomicU64::new(0) }; CELLS],
            sum: AtomicU64::new(0),
        }
    }

    #[inline]
    fn record(&self, value: u64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        add(&self.counts[at], 1);
        add(&self.sum, value);
    }

    fn read(&self) -> Sizes {
        let counts = &self.counts[..=self.bounds.len()];
        Sizes {
            bounds: self.bounds,
            counts: counts.iter().map(|n| n.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

/// Only one thread writes, so a load and a store are enough.
#[inline]
fn add(cell: &AtomicU64, n: u64) {
    let sum = cell.load(Ordering::Relaxed).wrapping_add(n);
    cell.store(sum, Ordering::Relaxed);
}

/// A reading of values that were counted by size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// The greatest value of each size but the last, which has none.
    pub bounds: &'static [u64],
    /// How many values there were of each size.
    pub counts: Vec<u64>,
    /// The sum of all values.
    pub sum: u64,
}

impl Sizes {
    /// How many values there were.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_at_the_first_bound_that_it_does_not_exceed() {
        let turns = Turns::default();
        for (nanoseconds, datagrams) in [(0, 0), (2_000, 1), (2_001, 3), (1 << 40, 128)] {
            turns.record(Duration::from_nanos(nanoseconds), datagrams);
        }
        let time = turns.time_ns();
        assert_eq!(time.counts[..3], [2, 1, 0]);
        assert_eq!(time.counts.last(), Some(&1));
        assert_eq!((time.total(), time.sum), (4, 4_001 + (1 << 40)));
        let batch = turns.batch();
        assert_eq!(batch.counts, [1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((batch.total(), batch.sum), (4, 132));
    }

    #[test]
    fn bounds_rise() {
        for bounds in [TURN_NS, BATCH] {
            assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
        }
    }
}
