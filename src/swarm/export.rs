//! A walk over all torrents in slices, between which the swarms go on living: for snapshots and full
//! scrapes.
//!
//! ```text
//!   records    [ to be visited ................ | visited, or new ]
//!                                                ^ cursor, moves to the left
//! ```
//!
//! From the last record to the first, because a removal fills its hole with the last record. One
//! that is still to be visited can so move to the left only and stays to the left of the cursor; one
//! that was visited may come to lie there and is visited again. New ones are added at the end.

use super::{Swarms, Totals};
use crate::wire::InfoHash;

/// Where an export goes on. A new one begins with the default.
#[derive(Clone, Copy, Default, Debug)]
pub struct ExportCursor {
    /// Records that are to be visited, the last of them next; nothing before the first slice.
    left: Option<usize>,
    /// The same of info-hashes that are answered from the swarm of another.
    newer_left: Option<usize>,
}

impl Swarms {
    /// Visits up to `budget` torrents from the cursor on, those without peers included; returns true
    /// when the end is reached. After that the cursor visits nothing any more. Where similar torrents share
    /// a swarm, each comes with its counts.
    ///
    /// Everything may happen to the swarms between two slices. Every torrent that is known from the
    /// first slice to the last is visited at least once, some perhaps twice, with the counts that it
    /// has when it is visited. One that comes or goes meanwhile is visited or not.
    pub fn export(
        &self,
        cursor: &mut ExportCursor,
        budget: usize,
        mut visit: impl FnMut(&InfoHash, Totals),
    ) -> bool {
        // Removals may have left fewer records than there were to visit.
        let from = cursor.left.unwrap_or(usize::MAX).min(self.len());
        let end = from.saturating_sub(budget);
        for position in (end..from).rev() {
            let swarm = self.records.get(position as u32);
            visit(&swarm.info_hash, swarm.body.totals(swarm.completed));
        }
        cursor.left = Some(end);
        end == 0 && self.export_newer(&mut cursor.newer_left, budget - (from - end), visit)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use fastrand::Rng;

    use super::super::model::{TIMEOUT_S, info_hash, leecher, peer_v4, peer_v6, random_state};
    use super::super::model::{Trial, settings};
    use super::super::{PeerAnnounce, Settings, State};
    use super::*;

    fn known(swarms: &Swarms) -> impl Iterator<Item = InfoHash> {
        (0..swarms.len() as u32).map(|at| swarms.records.get(at).info_hash)
    }

    fn random_announce(swarms: &mut Swarms, rng: &mut Rng, torrents: u32, now_s: u32) {
        let number = rng.u32(..3);
        let peer = if rng.bool() {
            peer_v4(number)
        } else {
            peer_v6(number)
        };
        let announce = PeerAnnounce {
            state: random_state(rng),
            ..leecher(rng.u32(..torrents), peer)
        };
        let hash = swarms.hash(&announce.info_hash);
        swarms.announce(hash, &announce, now_s, 0, &mut []);
    }

    #[test]
    fn a_torrent_that_stays_is_never_missed_however_records_move_between_the_slices() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = Rng::with_seed(seed);
        let mut swarms = Swarms::new(settings());
        let mut now_s = 0;
        let (mut twice, mut stayed) = (0, 0);
        for export in 0..80 {
            // Torrents swell and ebb, so that some exports see the records grow, others shrink.
            let torrents = if export % 40 < 20 { 6000 } else { 60 };
            for _ in 0..2000 {
                random_announce(&mut swarms, &mut rng, torrents, now_s);
            }
            let mut staying: HashSet<InfoHash> = known(&swarms).collect();
            let mut visited = HashSet::new();
            let mut cursor = ExportCursor::default();
            loop {
                let budget = rng.usize(..200);
                let mut count = 0;
                let ended = swarms.export(&mut cursor, budget, |info_hash, totals| {
                    assert_eq!(totals, swarms.totals(info_hash));
                    twice += u32::from(!visited.insert(*info_hash));
                    count += 1;
                });
                assert!(count <= budget);
                if ended {
                    break;
                }
                for _ in 0..rng.u32(..300) {
                    random_announce(&mut swarms, &mut rng, torrents, now_s);
                }
                now_s += rng.u32(..TIMEOUT_S / 40);
                if swarms.sweep(now_s, rng.usize(1..1000)).swarms_removed > 0 {
                    let known: HashSet<_> = known(&swarms).collect();
                    staying.retain(|info_hash| known.contains(info_hash));
                }
            }
            stayed += staying.len();
            assert!(staying.is_subset(&visited));
            assert!(swarms.export(&mut cursor, 9, |_, _| panic!("visited after the end")));
        }
        // That chance has tried what it should.
        assert!(twice > 1000 && stayed > 1000, "{twice} {stayed}");
    }

    #[test]
    fn swarms_at_rest_are_visited_once_each_with_their_counts_even_without_peers() {
        let mut trial = Trial::new(Settings {
            remove_peerless: false,
            ..settings()
        });
        for number in 0..1000 {
            let mut announce = leecher(number, peer_v4(1));
            trial.announce(announce, true);
            announce.state = match number % 3 {
                0 => State::Seeding,
                1 => State::Stopped,
                _ => State::Paused,
            };
            announce.completed = true;
            trial.announce(announce, true);
        }
        trial.sweep();
        let mut cursor = ExportCursor::default();
        let mut visited = HashSet::new();
        let mut ended = false;
        while !ended {
            ended = trial.swarms.export(&mut cursor, 7, |info_hash, totals| {
                assert_eq!(totals, trial.model[info_hash].totals());
                assert!(visited.insert(*info_hash));
            });
        }
        assert_eq!(visited.len(), 1000);
        assert_eq!(trial.swarms.totals(&info_hash(0)).completed, 1);
    }

    #[test]
    fn an_export_of_nothing_is_at_its_end() {
        let swarms = Swarms::new(settings());
        let mut cursor = ExportCursor::default();
        assert!(swarms.export(&mut cursor, 10, |_, _| panic!("there is nothing")));
    }
}
