//! Which of all torrents have similar info-hashes: asked from the cores, one after the other.

use std::fmt;
use std::time::Duration;

use crossbeam_channel::bounded;
use log::warn;

use crate::clock::Stopwatch;
use crate::shard::{Chunk, Collector, Export, Row};
use crate::similar::{Groups, Signatures};

/// Rows of a buffer, and buffers that a core may have filled before the first was read.
const CHUNK_ROWS: usize = 8192;
const CHUNKS: usize = 4;

/// How long all cores together may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why nothing is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The mailbox of this core is full.
    Busy(usize),
    /// This core does not tell its torrents, or not in time.
    Silent(usize),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(core) => write!(f, "core {core} is too busy to tell its torrents"),
            Self::Silent(core) => write!(f, "core {core} does not tell its torrents in time"),
        }
    }
}

impl std::error::Error for Failure {}

/// The torrents that are served and whose info-hashes are similar ([`crate::similar::is_similar`]): up to
/// `groups_max` groups of two or more, sorted, each with its smallest info-hash first. Where similar torrents share
/// a swarm, the newer ones come with the counts of the older. None are similar at a `threshold` of 1.0 or
/// more.
///
/// Blocks for as long as the cores take, some seconds for millions of torrents and a minute at most: to be
/// called where that hurts nobody. Needs 8 bytes for each torrent of one core, and three times as much for a
/// moment. Only a core that has info-hashes with the same first 10 and last 5 digits is asked a second time.
pub fn find(
    collector: &Collector,
    threshold: f64,
    groups_max: usize,
) -> Result<Vec<Vec<Row>>, Failure> {
    find_within(PATIENCE, collector, threshold, groups_max)
}

fn find_within(
    patience: Duration,
    collector: &Collector,
    threshold: f64,
    groups_max: usize,
) -> Result<Vec<Vec<Row>>, Failure> {
    let mut all = Vec::new();
    if threshold >= 1.0 {
        return Ok(all);
    }
    let stopwatch = Stopwatch::start();
    let left = || patience.saturating_sub(stopwatch.elapsed());
    // The core is found by the first digits, so similar ones belong to one core.
    for core in 0..collector.cores() {
        let mut signatures = Signatures::default();
        visit(collector, core, left, |(info_hash, _)| {
            signatures.note(info_hash);
        })?;
        let repeated = signatures.repeated();
        if repeated.is_empty() {
            continue;
        }
        let mut groups = Groups::new(threshold, repeated);
        visit(collector, core, left, |(info_hash, totals)| {
            groups.add(*info_hash, *totals);
        })?;
        if groups.left_out() > 0 {
            warn!(
                "core {core} has too many torrents with the same first and last digits; {} of them are \
                 not compared",
                groups.left_out()
            );
        }
        all.append(&mut groups.finish(groups_max - all.len()));
        if all.len() == groups_max {
            break;
        }
    }
    all.sort_unstable_by_key(|group| group[0].0);
    Ok(all)
}

/// Visits the torrents of one core; some may come twice.
fn visit(
    collector: &Collector,
    core: usize,
    left: impl Fn() -> Duration,
    mut visit: impl FnMut(&Row),
) -> Result<(), Failure> {
    let (full_sender, full) = bounded::<Chunk>(CHUNKS);
    let (spare, spare_receiver) = bounded(CHUNKS);
    for _ in 0..CHUNKS {
        // There is room for all of them, and the other end is here.
        drop(spare.send(Vec::with_capacity(CHUNK_ROWS)));
    }
    collector
        .export(core, Export::totals(full_sender, spare_receiver))
        .map_err(|_| Failure::Busy(core))?;
    loop {
        let mut chunk = full
            .recv_timeout(left())
            .map_err(|_| Failure::Silent(core))?;
        chunk.rows.iter().for_each(&mut visit);
        if chunk.last {
            return Ok(());
        }
        chunk.rows.clear();
        // A core that is done already wants no buffer; its last chunk is on the way.
        drop(spare.send(chunk.rows));
        collector.ring(core);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::net::Doorbell;
    use crate::shard::Mesh;

    /// Cores that nobody works on.
    fn nobody() -> Collector {
        let doorbells = [Arc::new(Doorbell::new().unwrap())];
        let (meshes, _) = Mesh::between(&doorbells, 0);
        meshes[0].collector()
    }

    #[test]
    fn a_core_that_says_nothing_is_not_waited_for_for_ever() {
        let found = find_within(Duration::from_millis(10), &nobody(), 0.9, 10);
        assert_eq!(found, Err(Failure::Silent(0)));
    }

    #[test]
    fn a_core_that_has_no_room_for_a_question_is_busy() {
        let collector = nobody();
        let sentence = loop {
            match find_within(Duration::ZERO, &collector, 0.9, 10) {
                Err(Failure::Silent(0)) => {}
                other => break other.unwrap_err().to_string(),
            }
        };
        assert_eq!(sentence, "core 0 is too busy to tell its torrents");
    }

    #[test]
    fn no_core_is_asked_while_nothing_is_similar() {
        assert_eq!(find_within(Duration::ZERO, &nobody(), 1.0, 10), Ok(vec![]));
    }
}
