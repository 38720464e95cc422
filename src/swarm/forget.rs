//! A torrent is forgotten whole: at once for everybody who asks for it, and then, in slices, what was
//! kept beside it.

use super::body::Body;
use super::family::{Family, V4, V6};
use super::{Gauges, PeerAddr, Swarms};
use crate::wire::InfoHash;

/// What is left of a torrent that was forgotten. Freeing the lists of a large one takes its time, so
/// this may be dropped elsewhere.
pub struct Remains {
    info_hash: InfoHash,
    body: Body,
    /// Peers, IPv4 before IPv6, beside whom something may be kept; the last of them is next.
    left: usize,
}

impl Remains {
    /// Bytes that will be free when this is dropped.
    pub fn bytes(&self) -> usize {
        self.body.heap_bytes()
    }

    fn peer(&self, at: usize) -> PeerAddr {
        let v4 = V4::view(&self.body).entries;
        match v4.get(at) {
            Some(entry) => PeerAddr::V4(V4::wire(entry)),
            None => PeerAddr::V6(V6::wire(&V6::view(&self.body).entries[at - v4.len()])),
        }
    }
}

impl Swarms {
    /// Forgets a torrent with its peers and its count of completed downloads. Who announces it from here
    /// on begins it anew. What remains is to be given to [`Self::clear_up`] until that is done. `None`
    /// when the torrent is not known.
    pub fn forget(&mut self, info_hash: &InfoHash) -> Option<Remains> {
        let position = self.find(self.hash(info_hash), info_hash)?;
        let body = std::mem::replace(&mut self.records.get_mut(position).body, Body::EMPTY);
        self.heap_bytes -= body.heap_bytes();
        let (v4, v6) = (V4::view(&body), V6::view(&body));
        let mut gone = Gauges::default();
        for (gauge, len, seeders) in [
            (&mut gone.v4, v4.entries.len(), v4.seeders),
            (&mut gone.v6, v6.entries.len(), v6.seeders),
        ] {
            gauge.seeders = seeders;
            gauge.leechers = len - seeders;
        }
        let left = if self.details.is_some() {
            gone.v4.peers() + gone.v6.peers()
        } else {
            0
        };
        self.gauges.subtract(&gone);
        self.remove_record(position);
        self.cursor.record_is_gone(position, self.records.len());
        Some(Remains {
            info_hash: *info_hash,
            body,
            left,
        })
    }

    /// Removes what was kept beside up to `budget` peers of a forgotten torrent: their details, and their
    /// sessions under a key. What these had earned stays. Passes over peers that are members again
    /// already. Returns how many it looked at; 0 when all is done.
    ///
    /// The sessions of those who stopped before, and of those of whom there were no details, go when they
    /// time out.
    pub fn clear_up(&mut self, remains: &mut Remains, budget: usize) -> usize {
        let end = remains.left;
        remains.left = end.saturating_sub(budget);
        let before = self.side_bytes();
        let info_hash = &remains.info_hash;
        let again = self.find(self.hash(info_hash), info_hash);
        for at in (remains.left..end).rev() {
            let peer = remains.peer(at);
            if again.is_some_and(|position| self.is_member(position, peer)) {
                continue;
            }
            let Some(details) = &mut self.details else {
                break;
            };
            if let Some(details) = details.remove(info_hash, peer, &self.keys)
                && let Some(ledger) = &mut self.ledger
            {
                ledger.forget(details.key, info_hash, &details.peer_id, &self.keys);
            }
        }
        self.heap_bytes = self.heap_bytes - before + self.side_bytes();
        end - remains.left
    }

    fn is_member(&self, position: u32, peer: PeerAddr) -> bool {
        let body = &self.records.get(position).body;
        match peer {
            PeerAddr::V4(wire) => body.contains::<V4>(&wire, &self.keys),
            PeerAddr::V6(wire) => body.contains::<V6>(&wire, &self.keys),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::model::{TIMEOUT_S, Trial, info_hash, leecher, peer_v4, peer_v6};
    use super::super::model::{random_details, settings};
    use super::super::{PeerDetails, Settings};
    use super::*;

    #[test]
    fn a_forgotten_torrent_leaves_nothing_behind_and_others_are_as_they_were() {
        for peer_details in [false, true] {
            let mut trial = Trial::new(Settings {
                peer_details,
                remove_peerless: false,
                ..settings()
            });
            let mut forgotten = 0;
            for round in 0..600 {
                let torrents = if round % 300 < 200 { 60 } else { 4 };
                for _ in 0..trial.rng.u32(..200) {
                    let announce = trial.chance(torrents, 200, 2);
                    trial.announce(announce, false);
                }
                let info_hash = info_hash(trial.rng.u32(..torrents));
                let remains = trial.swarms.forget(&info_hash);
                let known = trial.model.remove(&info_hash);
                assert_eq!(remains.is_some(), known.is_some());
                if let Some(mut remains) = remains {
                    forgotten += 1;
                    loop {
                        let budget = trial.rng.usize(1..100);
                        let looked_at = trial.swarms.clear_up(&mut remains, budget);
                        assert!(looked_at <= budget);
                        if looked_at == 0 {
                            break;
                        }
                    }
                }
                trial.check();
                // The sweep goes on between, from wherever it was.
                let budget = trial.rng.usize(1..200);
                trial.swarms.sweep(trial.now_s, budget);
                if round % 50 == 0 {
                    trial.now_s += TIMEOUT_S / 7;
                    trial.sweep();
                }
            }
            assert!(forgotten > 300, "{forgotten}");
        }
    }

    #[test]
    fn who_comes_back_while_the_rest_is_cleared_up_keeps_what_he_said() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut swarms = Swarms::new(Settings {
            peer_details: true,
            ..settings()
        });
        let hash = swarms.hash(&info_hash(1));
        for _ in 0..20 {
            let mut model = HashMap::new();
            for number in 0..700 {
                join(&mut swarms, hash, number, &mut rng);
            }
            let mut remains = swarms.forget(&info_hash(1)).unwrap();
            while swarms.clear_up(&mut remains, 9) > 0 {
                let number = rng.u32(..700);
                model.insert(number, join(&mut swarms, hash, number, &mut rng));
            }
            for number in 0..700 {
                let details = swarms.details(&info_hash(1), peer(number));
                assert_eq!(details, model.get(&number));
            }
            assert_eq!(swarms.details.as_ref().unwrap().len(), model.len());
        }
    }

    fn peer(number: u32) -> PeerAddr {
        if number.is_multiple_of(2) {
            peer_v4(number)
        } else {
            peer_v6(number)
        }
    }

    fn join(swarms: &mut Swarms, hash: u64, number: u32, rng: &mut fastrand::Rng) -> PeerDetails {
        let announce = leecher(1, peer(number));
        assert!(swarms.announce(hash, &announce, 0, 0, &mut []).stored);
        let details = random_details(rng, 0);
        swarms.note_details(&announce, details);
        details
    }

    #[test]
    fn a_pass_of_the_sweep_misses_nobody_when_torrents_are_forgotten_under_it() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..200 {
            let mut swarms = Swarms::new(settings());
            for torrent in 0..100 {
                for peer in 0..rng.u32(1..60) {
                    let announce = leecher(torrent, peer_v4(peer));
                    let hash = swarms.hash(&announce.info_hash);
                    swarms.announce(hash, &announce, 0, 0, &mut []);
                }
            }
            while !swarms.sweep(TIMEOUT_S + 1, rng.usize(1..60)).pass_ended {
                if let Some(mut remains) = swarms.forget(&info_hash(rng.u32(..100))) {
                    swarms.clear_up(&mut remains, usize::MAX);
                }
            }
            assert!(swarms.is_empty());
            assert_eq!(swarms.gauges(), Gauges::default());
        }
    }
}
