//! A look at one swarm: its counts, and its peers with what they say of themselves, in slices between
//! which the swarm goes on living.
//!
//! Each list is told from its end to its front, for the reason of an [export](super::export): who stays
//! is told, but for those who change sides meanwhile, and some come twice.

use super::body::Role;
use super::family::{Family, V4, V6};
use super::{Known, PeerDetails, State, Swarms, Totals};
use crate::wire::InfoHash;

/// Where a look goes on. A new one begins with the default.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LookCursor {
    /// Peers of each list that are still to be told, from its front; nothing before the first slice.
    left: Option<(usize, usize)>,
}

impl LookCursor {
    /// True when everybody has been told.
    pub fn is_at_end(&self) -> bool {
        self.left == Some((0, 0))
    }
}

impl Swarms {
    /// Tells of up to `budget` peers of a torrent from the cursor on, each with its age at `now_s` as
    /// [`Known`] has it and with its details, if these are known. Returns the counts of the swarm, or
    /// nothing for a torrent that is not known. Who has expired and is not swept away yet is told too.
    pub fn look(
        &self,
        info_hash: &InfoHash,
        cursor: &mut LookCursor,
        budget: usize,
        now_s: u32,
        mut tell: impl FnMut(Known, Option<&PeerDetails>),
    ) -> Option<Totals> {
        let position = self.find(self.hash(info_hash), info_hash)?;
        let swarm = self.records.get(position);
        let (left_v4, left_v6) = cursor.left.unwrap_or((usize::MAX, usize::MAX));
        let mut tell = |(peer, state, age_s): Known| {
            tell((peer, state, age_s), self.details(info_hash, peer));
        };
        let (left_v4, spent) = self.look_at::<V4>(&swarm.body, left_v4, budget, now_s, &mut tell);
        let room = budget - spent;
        let (left_v6, _) = self.look_at::<V6>(&swarm.body, left_v6, room, now_s, &mut tell);
        cursor.left = Some((left_v4, left_v6));
        Some(swarm.body.totals(swarm.completed))
    }

    /// Tells of up to `budget` peers of a list; says how many are left and how many were told.
    fn look_at<F: Family>(
        &self,
        body: &super::Body,
        left: usize,
        budget: usize,
        now_s: u32,
        tell: &mut impl FnMut(Known),
    ) -> (usize, usize) {
        let view = F::view(body);
        let end = left.min(view.entries.len());
        let from = end.saturating_sub(budget);
        for at in (from..end).rev() {
            let meta = F::meta(&view.entries[at]);
            let state = match Role::of(at < view.seeders, meta) {
                Role::Seeder => State::Seeding,
                Role::Leecher => State::Leeching,
                Role::Partial => State::Paused,
            };
            let peer = F::addr(F::wire(&view.entries[at]));
            tell((peer, state, self.calendar.age_s(meta.expiry(), now_s)));
        }
        (from, end - from)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::model::{TIMEOUT_S, info_hash, leecher, peer_v4, peer_v6, settings};
    use super::super::model::{random_details, random_state};
    use super::super::{PeerAddr, PeerAnnounce, Settings};
    use super::*;

    type Seen = HashMap<PeerAddr, (State, u32, Option<PeerDetails>)>;

    /// All peers of a torrent in slices of this budget, and how many were told twice.
    fn look(swarms: &Swarms, budget: usize, now_s: u32) -> (Option<Totals>, Seen, usize) {
        let mut cursor = LookCursor::default();
        let (mut seen, mut twice) = (Seen::new(), 0);
        loop {
            let mut count = 0;
            let totals = swarms.look(
                &info_hash(1),
                &mut cursor,
                budget,
                now_s,
                |(a, s, age), d| {
                    count += 1;
                    twice += usize::from(seen.insert(a, (s, age, d.copied())).is_some());
                },
            );
            assert!(count <= budget);
            if totals.is_none() || cursor.is_at_end() {
                return (totals, seen, twice);
            }
        }
    }

    #[test]
    fn every_peer_is_told_once_with_state_age_and_details_in_slices_of_any_size() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for peer_details in [false, true] {
            for count in [0, 1, 3, 5, 40, 3000] {
                let mut swarms = Swarms::new(Settings {
                    peer_details,
                    ..settings()
                });
                let hash = swarms.hash(&info_hash(1));
                let (mut model, mut is_known) = (Seen::new(), false);
                for number in 0..count {
                    let peer = if rng.bool() {
                        peer_v4(number)
                    } else {
                        peer_v6(number)
                    };
                    let announce = PeerAnnounce {
                        state: random_state(&mut rng),
                        ..leecher(1, peer)
                    };
                    let now_s = number % TIMEOUT_S;
                    let stored = swarms.announce(hash, &announce, now_s, 0, &mut []).stored;
                    let details = random_details(&mut rng, now_s);
                    if stored && number % 3 > 0 {
                        swarms.note_details(&announce, details);
                    }
                    is_known |= stored;
                    if stored {
                        let kept = (peer_details && number % 3 > 0).then_some(details);
                        model.insert(peer, (announce.state, TIMEOUT_S - now_s, kept));
                    }
                }
                for budget in [1, 2, 7, 100, 10_000] {
                    let (totals, told, twice) = look(&swarms, budget, TIMEOUT_S);
                    assert_eq!(totals, is_known.then(|| swarms.totals(&info_hash(1))));
                    assert_eq!((told, twice), (model.clone(), 0));
                }
            }
        }
    }

    #[test]
    fn who_stays_is_told_while_others_come_and_go() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut swarms = Swarms::new(settings());
        let hash = swarms.hash(&info_hash(1));
        for _ in 0..50 {
            for number in 0..300 {
                swarms.announce(hash, &leecher(1, peer_v4(number)), 0, 0, &mut []);
            }
            let mut cursor = LookCursor::default();
            let mut told = HashMap::new();
            while !cursor.is_at_end() {
                let budget = rng.usize(1..60);
                swarms.look(&info_hash(1), &mut cursor, budget, 0, |(peer, ..), _| {
                    *told.entry(peer).or_insert(0) += 1;
                });
                for _ in 0..rng.u32(..50) {
                    let state = if rng.bool() {
                        State::Leeching
                    } else {
                        State::Stopped
                    };
                    let other = PeerAnnounce {
                        state,
                        ..leecher(1, peer_v4(rng.u32(300..800)))
                    };
                    swarms.announce(hash, &other, 0, 0, &mut []);
                }
            }
            assert!((0..300).all(|number| told.contains_key(&peer_v4(number))));
        }
    }
}
