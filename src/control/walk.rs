//! A walk over all torrents of all cores, that keeps no more of them than were asked for.

use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crossbeam_channel::bounded;

use super::state::State;
use crate::shard::{Chunk, Collector, Export, Row};
use crate::wire::InfoHash;

/// Torrents of a buffer that a core fills, and buffers that it may have filled before one is taken.
const CHUNK_ROWS: usize = 4096;
const CHUNKS: usize = 4;

/// How long a core may take over a buffer before the walk is given up.
const CHUNK_PATIENCE: Duration = Duration::from_secs(10);

/// A core has too much to do to tell its torrents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stuck;

/// The torrents from the one in place `offset` on, `limit` of them, in the order of their info-hashes.
/// One walk at a time; it ends when nobody waits for it any more.
pub async fn torrents(state: &State, offset: u64, limit: u64) -> Result<Vec<Row>, Stuck> {
    let most = usize::try_from(offset.saturating_add(limit)).unwrap_or(usize::MAX);
    let cores = 0..state.collector.cores();
    let mut rows = matching(state, cores, most, |_| true).await?;
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    rows.drain(..offset.min(rows.len()));
    Ok(rows)
}

/// The torrents of some cores that are wanted: `most` of them, those with the smallest info-hashes, in
/// their order. It is a walk like the other.
pub async fn matching(
    state: &State,
    cores: Range<usize>,
    most: usize,
    is_wanted: impl Fn(&InfoHash) -> bool + Send + 'static,
) -> Result<Vec<Row>, Stuck> {
    // Never closed.
    let turn = Arc::clone(&state.walks).acquire_owned().await;
    let awaited = Arc::new(());
    let weak = Arc::downgrade(&awaited);
    let found = state
        .on_disk(move |state| {
            let found = smallest(&state.collector, cores, most, is_wanted, &weak);
            drop(turn);
            found
        })
        .await;
    drop(awaited);
    found
}

fn smallest(
    collector: &Collector,
    cores: Range<usize>,
    most: usize,
    is_wanted: impl Fn(&InfoHash) -> bool,
    awaited: &Weak<()>,
) -> Result<Vec<Row>, Stuck> {
    let mut kept = Smallest::new(most);
    for core in cores {
        let (full_sender, full) = bounded::<Chunk>(CHUNKS);
        let (spare, spare_receiver) = bounded(CHUNKS);
        for _ in 0..CHUNKS {
            // There is room for all of them.
            drop(spare.send(Vec::with_capacity(CHUNK_ROWS)));
        }
        let export = Export::totals(full_sender, spare_receiver);
        collector.export(core, export).map_err(|_| Stuck)?;
        loop {
            let mut chunk = full.recv_timeout(CHUNK_PATIENCE).map_err(|_| Stuck)?;
            if awaited.strong_count() == 0 {
                return Err(Stuck);
            }
            kept.add(chunk.rows.iter().filter(|row| is_wanted(&row.0)));
            if chunk.last {
                break;
            }
            chunk.rows.clear();
            // A core that is done already wants no buffer; its last chunk is on the way.
            drop(spare.send(chunk.rows));
            collector.ring(core);
        }
    }
    Ok(kept.into_sorted())
}

/// The smallest of many rows; some come twice.
struct Smallest {
    most: usize,
    rows: Vec<Row>,
}

impl Smallest {
    fn new(most: usize) -> Self {
        Self {
            most,
            rows: Vec::new(),
        }
    }

    fn add<'r>(&mut self, rows: impl Iterator<Item = &'r Row>) {
        self.rows.extend(rows);
        // Sorting when twice as many are there sorts each row a few times only.
        if self.rows.len() >= self.most.saturating_mul(2).max(CHUNK_ROWS) {
            self.sort();
        }
    }

    fn sort(&mut self) {
        self.rows.sort_unstable_by_key(|(info_hash, _)| *info_hash);
        self.rows.dedup_by_key(|(info_hash, _)| *info_hash);
        self.rows.truncate(self.most);
    }

    fn into_sorted(mut self) -> Vec<Row> {
        self.sort();
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::Totals;

    #[test]
    fn the_smallest_of_many_are_kept_in_order_and_once() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for most in [0, 1, 7, 5000, usize::MAX] {
            let mut all: Vec<Row> = (0..rng.usize(..30_000))
                .map(|_| {
                    let mut hash = [0; InfoHash::LEN];
                    hash[..2].copy_from_slice(&rng.u16(..).to_be_bytes());
                    (InfoHash(hash), Totals::default())
                })
                .collect();
            let mut kept = Smallest::new(most);
            for chunk in all.chunks(CHUNK_ROWS) {
                kept.add(chunk.iter());
                assert!(kept.rows.len() <= most.saturating_mul(2).saturating_add(2 * CHUNK_ROWS));
            }
            all.sort_by_key(|(hash, _)| *hash);
            all.dedup_by_key(|(hash, _)| *hash);
            all.truncate(most);
            let hashes = |rows: &[Row]| rows.iter().map(|(hash, _)| *hash).collect::<Vec<_>>();
            assert_eq!(hashes(&kept.into_sorted()), hashes(&all));
        }
    }
}
