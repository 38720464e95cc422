//! What peers say of themselves beyond what a swarm needs: kept beside the swarms in a
//! [table](super::table), only on demand.
//!
//! Who has details is a member of a swarm: they come after the announce that made him one, and go
//! with him, when he stops or when the sweep removes him. Members without details there may be,
//! when the memory budget left no room for them.

use ahash::RandomState;

use super::table::{self, Table};
use super::{PeerAddr, PeerAnnounce, State, Swarms};
use crate::wire::{Event, InfoHash, PeerId};

/// The latest words of a peer about itself. None of it can be checked, all of it may be a lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerDetails {
    /// How the client names itself (BEP 20).
    pub peer_id: PeerId,
    /// Bytes that it sent to other peers since it started.
    pub uploaded: u64,
    /// Bytes that it received since it started.
    pub downloaded: u64,
    /// Bytes that it still wants.
    pub left: u64,
    /// What had happened when it announced last.
    pub event: Event,
    /// When that was, in seconds since the tracker started.
    pub updated_s: u32,
    /// The number of the key that it announced with; 0 is none.
    pub key: u32,
}

/// The details of one peer, and whose they are.
pub(super) struct Detailed {
    info_hash: InfoHash,
    peer: PeerAddr,
    details: PeerDetails,
}

const _: () = assert!(size_of::<Detailed>() == 96);

/// The details of all peers of a core that have any.
pub(super) type Details = Table<Detailed>;

impl table::Entry for Detailed {
    fn hash(&self, keys: &RandomState) -> u64 {
        hash(&self.info_hash, self.peer, keys)
    }
}

impl Details {
    /// Inserts or replaces; inserts only if `may_grow`.
    fn put(
        &mut self,
        info_hash: &InfoHash,
        peer: PeerAddr,
        details: PeerDetails,
        may_grow: bool,
        keys: &RandomState,
    ) {
        if let Some(position) = self.position(info_hash, peer, keys) {
            self.get_mut(position).details = details;
        } else if may_grow {
            let entry = Detailed {
                info_hash: *info_hash,
                peer,
                details,
            };
            self.push(entry, keys);
        }
    }

    /// Removes the details of a peer, if there are any, and returns them.
    pub(super) fn remove(
        &mut self,
        info_hash: &InfoHash,
        peer: PeerAddr,
        keys: &RandomState,
    ) -> Option<PeerDetails> {
        let position = self.position(info_hash, peer, keys)?;
        let details = self.get(position).details;
        self.swap_remove(position, keys);
        Some(details)
    }

    fn position(&self, info_hash: &InfoHash, peer: PeerAddr, keys: &RandomState) -> Option<u32> {
        self.find(hash(info_hash, peer, keys), |_, entry| {
            entry.peer == peer && entry.info_hash == *info_hash
        })
    }
}

fn hash(info_hash: &InfoHash, peer: PeerAddr, keys: &RandomState) -> u64 {
    keys.hash_one((info_hash, peer))
}

impl Swarms {
    /// True when details of peers are kept at all.
    pub fn keeps_details(&self) -> bool {
        self.details.is_some()
    }

    /// Keeps what an announcer said of itself, in place of what it said before. To be called after
    /// [`Self::announce`] has stored it. Does nothing when details are not kept, nor for a peer
    /// without details when the memory budget is used up.
    pub fn note_details(&mut self, announce: &PeerAnnounce, details: PeerDetails) {
        // Who is no member would never be swept.
        if announce.state == State::Stopped {
            return;
        }
        let may_grow = self.may_grow();
        if let Some(table) = &mut self.details {
            let bytes_before = table.bytes();
            let PeerAnnounce {
                info_hash, peer, ..
            } = announce;
            table.put(info_hash, *peer, details, may_grow, &self.keys);
            self.heap_bytes = self.heap_bytes - bytes_before + table.bytes();
        }
    }

    /// What a peer said of itself, if it is a member of the swarm and this is known.
    pub fn details(&self, info_hash: &InfoHash, peer: PeerAddr) -> Option<&PeerDetails> {
        let table = self.details.as_ref()?;
        let position = table.position(info_hash, peer, &self.keys)?;
        Some(&table.get(position).details)
    }

    /// Forgets the details of a peer that stops.
    pub(super) fn forget_details(&mut self, announce: &PeerAnnounce) {
        if let Some(table) = &mut self.details {
            let bytes_before = table.bytes();
            table.remove(&announce.info_hash, announce.peer, &self.keys);
            self.heap_bytes = self.heap_bytes - bytes_before + table.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::Settings;
    use super::super::model::{TIMEOUT_S, info_hash, leecher, peer_v4, peer_v6, settings};
    use super::super::model::{random_details, random_state};
    use super::*;

    fn keeping() -> Settings {
        Settings {
            peer_details: true,
            ..settings()
        }
    }

    #[test]
    fn members_have_their_latest_details_and_nobody_else_has_any_through_all_that_peers_do() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut swarms = Swarms::new(keeping());
        let mut model: HashMap<(InfoHash, PeerAddr), PeerDetails> = HashMap::new();
        let mut now_s = 0;
        let mut expired = 0;
        for step in 0..300_000 {
            let torrents = if step % 100_000 < 70_000 { 500 } else { 5 };
            let number = rng.u32(..40);
            let peer = if rng.bool() {
                peer_v4(number)
            } else {
                peer_v6(number)
            };
            let announce = PeerAnnounce {
                state: random_state(&mut rng),
                ..leecher(rng.u32(..torrents), peer)
            };
            let hash = swarms.hash(&announce.info_hash);
            let stored = swarms.announce(hash, &announce, now_s, 0, &mut []).stored;
            let whose = (announce.info_hash, peer);
            if stored {
                let details = random_details(&mut rng, now_s);
                swarms.note_details(&announce, details);
                model.insert(whose, details);
            } else {
                model.remove(&whose);
            }
            assert_eq!(swarms.details(&whose.0, peer), model.get(&whose));
            if step % 100 == 0 {
                now_s += rng.u32(..30);
                expired += swarms.sweep(now_s, rng.usize(..400)).peers_removed;
                let gauges = swarms.gauges();
                let table = swarms.details.as_ref().unwrap();
                assert_eq!(table.len(), gauges.v4.peers() + gauges.v6.peers());
            }
            if step % 5000 == 0 {
                model.retain(|(info_hash, peer), details| {
                    let kept = swarms.details(info_hash, *peer);
                    assert!(kept.is_none_or(|kept| kept == details));
                    let silent = now_s - details.updated_s >= TIMEOUT_S;
                    assert!(kept.is_some() || silent, "forgotten early");
                    kept.is_some()
                });
                assert_eq!(swarms.details.as_ref().unwrap().len(), model.len());
            }
        }
        assert!(expired > 1000, "{expired}");
        now_s += TIMEOUT_S;
        for _ in 0..2 {
            while !swarms.sweep(now_s, 1000).pass_ended {}
        }
        assert_eq!(swarms.details.as_ref().unwrap().len(), 0);
    }

    #[test]
    fn nothing_is_kept_nor_paid_for_when_details_are_off() {
        let mut swarms = Swarms::new(settings());
        let announce = leecher(1, peer_v4(1));
        let hash = swarms.hash(&announce.info_hash);
        assert!(swarms.announce(hash, &announce, 0, 0, &mut []).stored);
        let bytes = swarms.memory_bytes();
        let details = random_details(&mut fastrand::Rng::with_seed(1), 0);
        swarms.note_details(&announce, details);
        assert!(!swarms.keeps_details());
        assert_eq!(swarms.details(&announce.info_hash, announce.peer), None);
        assert_eq!(swarms.memory_bytes(), bytes);
    }

    #[test]
    fn a_full_memory_budget_keeps_no_details_of_newcomers_and_replaces_those_of_the_known() {
        let budget = 4 << 20;
        let mut swarms = Swarms::new(Settings {
            memory_budget: Some(budget),
            ..keeping()
        });
        let mut rng = fastrand::Rng::with_seed(1);
        let hash = swarms.hash(&info_hash(1));
        for number in 0..100_000 {
            let announce = leecher(1, peer_v4(number));
            let details = random_details(&mut rng, 0);
            if swarms.announce(hash, &announce, 0, 0, &mut []).stored {
                swarms.note_details(&announce, details);
            }
        }
        let kept = swarms.details.as_ref().unwrap().len();
        assert!((20_000..40_000).contains(&kept), "{kept}");
        assert!(swarms.memory_bytes() <= budget);
        let known = leecher(1, peer_v4(0));
        let later = random_details(&mut rng, 9);
        swarms.note_details(&known, later);
        assert_eq!(swarms.details(&info_hash(1), known.peer), Some(&later));
        let unknown = leecher(1, peer_v4(99_999));
        assert!(!swarms.announce(hash, &unknown, 9, 0, &mut []).stored);
        // What expires makes room again.
        while !swarms.sweep(TIMEOUT_S + 1, 1000).pass_ended {}
        assert_eq!(swarms.details.as_ref().unwrap().len(), 0);
        assert!(
            swarms.memory_bytes() < budget / 4,
            "{}",
            swarms.memory_bytes()
        );
    }
}
