//! Peers of an earlier life of the tracker return, without the cost of an answer.

use super::visit::Known;
use super::{Family, PeerAddr, Role, State, Swarms, V4, V6};
use crate::wire::InfoHash;

/// What became of peers that were to return, and of torrents.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Restored {
    /// Torrents that are known now and were not before.
    pub torrents: usize,
    /// Peers that are members now and were not before.
    pub peers: usize,
    /// Peers that had been silent for too long.
    pub expired: usize,
    /// Peers for whom the memory budget left no room.
    pub refused: usize,
    /// Peers whose addresses the operator's rules do not admit; they are left out before they get here.
    pub unwelcome: usize,
}

impl std::ops::AddAssign for Restored {
    fn add_assign(&mut self, other: Self) {
        self.torrents += other.torrents;
        self.peers += other.peers;
        self.expired += other.expired;
        self.refused += other.refused;
        self.unwelcome += other.unwelcome;
    }
}

impl Swarms {
    /// Brings back a torrent with its count of completed downloads, which never goes down by it, and
    /// those of its `peers` that are not too old at `now_s`. More than one call for a torrent adds up.
    /// Nothing is kept of one that was never completed and has no peers left.
    ///
    /// From here on no torrent is forgotten for lack of peers until every peer has had the time to
    /// announce again: else the counts of those whose peers were not kept would be gone in a minute.
    pub fn restore(
        &mut self,
        info_hash: InfoHash,
        completed: u32,
        now_s: u32,
        peers: impl Iterator<Item = Known>,
    ) -> Restored {
        let mut restored = Restored::default();
        self.peerless_stay_until_s = now_s + self.calendar.timeout_s();
        let hash = self.hash(&info_hash);
        let mut position = self.find(hash, &info_hash);
        if completed > 0 {
            position = self.make(position, hash, info_hash, &mut restored);
            if let Some(position) = position {
                let swarm = self.records.get_mut(position);
                let more = completed.saturating_sub(swarm.completed);
                swarm.completed += more;
                self.gauges.completed += u64::from(more);
            }
        }
        for (peer, state, age_s) in peers {
            let role = match state {
                State::Seeding => Role::Seeder,
                State::Leeching => Role::Leecher,
                State::Paused => Role::Partial,
                State::Stopped => continue,
            };
            if age_s >= self.calendar.timeout_s() {
                restored.expired += 1;
                continue;
            }
            position = self.make(position, hash, info_hash, &mut restored);
            let Some(position) = position else {
                restored.refused += 1;
                continue;
            };
            match peer {
                PeerAddr::V4(wire) => {
                    self.put_back::<V4>(position, &wire, role, age_s, now_s, &mut restored);
                }
                PeerAddr::V6(wire) => {
                    self.put_back::<V6>(position, &wire, role, age_s, now_s, &mut restored);
                }
            }
        }
        restored
    }

    /// Where the torrent is; one that is not known is made, if the memory budget allows it.
    fn make(
        &mut self,
        position: Option<u32>,
        hash: u64,
        info_hash: InfoHash,
        restored: &mut Restored,
    ) -> Option<u32> {
        if position.is_none() && self.may_grow() {
            restored.torrents += 1;
            return Some(self.create(hash, info_hash));
        }
        position
    }

    fn put_back<F: Family>(
        &mut self,
        position: u32,
        wire: &F::Wire,
        role: Role,
        age_s: u32,
        now_s: u32,
        restored: &mut Restored,
    ) {
        let expiry = self.calendar.expiry_at_age(now_s, age_s);
        let longest = self.longest_list();
        let body = &mut self.records.get_mut(position).body;
        let bytes_before = body.heap_bytes();
        let put = body.put::<F>(wire, role, expiry, longest, &self.keys);
        self.heap_bytes = self.heap_bytes - bytes_before + body.heap_bytes();
        if put.at.is_none() {
            restored.refused += 1;
            return;
        }
        let gauge = F::gauge(&mut self.gauges);
        match put.before {
            Some(before) => gauge.discount(before),
            None => restored.peers += 1,
        }
        gauge.count(role);
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::settings;
    use super::super::model::{TIMEOUT_S, Trial, info_hash, peer_v4};
    use super::super::{Gauges, Settings, Totals, VisitCursor};
    use super::*;

    /// Carries all that `old` tells at `old_s` over into `new` at `new_s`, `stopped_s` later.
    fn carry_over(
        old: &Swarms,
        old_s: u32,
        new: &mut Swarms,
        new_s: u32,
        stopped_s: u32,
    ) -> Restored {
        let mut sum = Restored::default();
        let mut cursor = VisitCursor::default();
        while !old.visit(
            &mut cursor,
            50,
            old_s,
            |_| true,
            |torrent| {
                let peers = torrent.all_peers();
                let peers = peers.map(|(peer, state, age_s)| (peer, state, age_s + stopped_s));
                let (info_hash, completed) = (torrent.info_hash, torrent.completed);
                sum += new.restore(info_hash, completed, new_s, peers);
            },
        ) {}
        sum
    }

    #[test]
    fn restored_swarms_agree_with_the_model_and_forget_their_peers_when_they_should() {
        let mut trial = Trial::new(settings());
        for step in 0..60_000 {
            let torrents = if step % 3 == 0 { 2 } else { 900 };
            let announce = trial.chance(torrents, 600, 3);
            trial.announce(announce, false);
            trial.now_s += u32::from(step % 20 == 0);
        }
        // Stopped for long enough that some peers are too old, and woken with another clock.
        let stopped_s = 900;
        let mut swarms = Swarms::new(Settings {
            seeds: [9, 8, 7, 6],
            ..settings()
        });
        let new_s = 5;
        let restored = carry_over(&trial.swarms, trial.now_s, &mut swarms, new_s, stopped_s);
        trial.now_s += stopped_s;
        trial.sweep();
        let model_peers = trial.swarms.gauges().v4.peers() + trial.swarms.gauges().v6.peers();
        assert_eq!(restored.peers, model_peers);
        assert!(restored.expired > 100, "{restored:?}");
        assert_eq!((restored.refused, restored.torrents), (0, swarms.len()));
        for (info_hash, swarm) in &trial.model {
            assert_eq!(swarms.totals(info_hash), swarm.totals());
        }
        assert_eq!(swarms.gauges(), trial.swarms.gauges());

        // From now on both grow old alike.
        let mut later_s = new_s;
        for _ in 0..6 {
            trial.now_s += TIMEOUT_S / 6;
            later_s += TIMEOUT_S / 6;
            trial.sweep();
            for _ in 0..2 {
                while !swarms.sweep(later_s, 1000).pass_ended {}
            }
            // What was completed stays for a while without peers.
            let (gauges, others) = (swarms.gauges(), trial.swarms.gauges());
            assert_eq!((gauges.v4, gauges.v6), (others.v4, others.v6));
        }
        assert_eq!(swarms.gauges(), Gauges::default());
        assert!(swarms.is_empty());
        assert_eq!(swarms.heap_bytes, 0);
    }

    #[test]
    fn a_peer_lives_on_for_what_was_left_of_its_time_and_no_longer() {
        for timeout_s in [2, 60, TIMEOUT_S, 100_000] {
            let tick_s = timeout_s.div_ceil(4096);
            for age_s in [0, 1, timeout_s / 2, timeout_s - 1, timeout_s, timeout_s + 1] {
                let mut swarms = Swarms::new(Settings {
                    peer_timeout_s: timeout_s,
                    ..settings()
                });
                let peer = (peer_v4(1), State::Leeching, age_s);
                let restored = swarms.restore(info_hash(1), 0, 7, [peer].into_iter());
                if age_s >= timeout_s {
                    assert_eq!(
                        restored,
                        Restored {
                            expired: 1,
                            ..Restored::default()
                        }
                    );
                    assert!(swarms.is_empty());
                    continue;
                }
                assert_eq!(
                    restored,
                    Restored {
                        torrents: 1,
                        peers: 1,
                        ..Restored::default()
                    }
                );
                let end_s = 7 + timeout_s - age_s;
                while !swarms.sweep(end_s - 1, 10).pass_ended {}
                assert_eq!(swarms.totals(&info_hash(1)).leechers, 1);
                while !swarms.sweep(end_s + tick_s, 10).pass_ended {}
                assert_eq!(swarms.totals(&info_hash(1)).leechers, 0);
            }
        }
    }

    #[test]
    fn counts_add_up_to_the_greatest_and_stay_until_peers_could_have_come_back() {
        let mut swarms = Swarms::new(settings());
        let nobody = || std::iter::empty();
        swarms.restore(info_hash(1), 7, 3, nobody());
        swarms.restore(info_hash(1), 5, 3, nobody());
        swarms.restore(info_hash(2), 0, 3, nobody());
        assert_eq!(swarms.len(), 1);
        let seven = Totals {
            completed: 7,
            ..Totals::default()
        };
        while !swarms.sweep(3 + TIMEOUT_S - 1, 10).pass_ended {}
        assert_eq!(swarms.totals(&info_hash(1)), seven);
        while !swarms.sweep(3 + TIMEOUT_S, 10).pass_ended {}
        assert!(swarms.is_empty());
    }

    #[test]
    fn a_full_memory_budget_refuses_the_rest_and_says_how_many() {
        let mut swarms = Swarms::new(Settings {
            memory_budget: Some(1 << 20),
            ..settings()
        });
        let mut sum = Restored::default();
        for number in 0..40_000 {
            let peers = (0..3).map(|peer| (peer_v4(peer), State::Seeding, 0));
            sum += swarms.restore(info_hash(number), 1, 0, peers);
        }
        assert_eq!((sum.torrents, sum.peers), (swarms.len(), 3 * swarms.len()));
        assert_eq!(sum.peers + sum.refused, 120_000);
        assert!(sum.refused > 10_000 && sum.peers > 10_000, "{sum:?}");
    }
}
