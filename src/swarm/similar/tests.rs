//! Similar torrents against a model that compares all with all, and crowds that want to be in the way.

use std::collections::{HashMap, HashSet};

use fastrand::Rng;

use super::super::model::{TIMEOUT_S, leecher, peer_v4, settings};
use super::super::{Announced, ExportCursor, PeerAddr, PeerAnnounce, State};
use super::*;

const THRESHOLD: f64 = 0.9;

fn merging() -> Swarms {
    let mut swarms = Swarms::new(settings());
    swarms.merge_similar(THRESHOLD);
    swarms
}

/// One of a signature; which one `middle` says, whose digits stand in the middle.
fn hash_with(signature: u8, middle: u64) -> InfoHash {
    let mut info_hash = InfoHash([signature; 20]);
    info_hash.0[6..14].copy_from_slice(&middle.to_be_bytes());
    info_hash
}

/// What a core does with an announce.
fn announce(swarms: &mut Swarms, mut announce: PeerAnnounce, now_s: u32) -> (InfoHash, Announced) {
    if let Some(older) = swarms.follow(&announce.info_hash, now_s) {
        announce.info_hash = older;
    }
    let hash = swarms.hash(&announce.info_hash);
    let announced = swarms.announce(hash, &announce, now_s, 0, &mut []);
    (announce.info_hash, announced)
}

fn by(info_hash: InfoHash, peer: u32) -> PeerAnnounce {
    PeerAnnounce {
        info_hash,
        ..leecher(0, peer_v4(peer))
    }
}

fn exported(swarms: &Swarms, budget: usize) -> HashMap<InfoHash, Totals> {
    let (mut rows, mut cursor) = (HashMap::new(), ExportCursor::default());
    loop {
        let mut visited = 0;
        let ended = swarms.export(&mut cursor, budget, |info_hash, totals| {
            rows.insert(*info_hash, totals);
            visited += 1;
        });
        assert!(visited <= budget);
        if ended {
            return rows;
        }
    }
}

fn sweep(swarms: &mut Swarms, now_s: u32) {
    // A step sees a part of the newer ones only.
    for _ in 0..=2 * NEWER_MAX / NEWER_A_SWEEP {
        swarms.sweep(now_s, 1000);
    }
}

/// All that is known, in the simplest form.
#[derive(Default)]
struct Model {
    peers: HashMap<InfoHash, HashSet<PeerAddr>>,
    standing: Vec<InfoHash>,
}

impl Model {
    fn older(&self, info_hash: &InfoHash) -> Option<InfoHash> {
        let similar = |other: &&InfoHash| is_similar(info_hash, other, THRESHOLD);
        let mut similar: Vec<_> = self.standing.iter().filter(similar).copied().collect();
        similar.sort_by_key(|other| ((-40.0 * share(info_hash, other)) as i32, *other));
        similar.first().copied()
    }

    /// Who stands for it after an announce.
    fn announce(&mut self, announce: &PeerAnnounce) -> InfoHash {
        let info_hash = announce.info_hash;
        let older = self.older(&info_hash);
        let answered_from = older.unwrap_or(info_hash);
        if announce.state == State::Stopped {
            if let Some(peers) = self.peers.get_mut(&answered_from) {
                peers.remove(&announce.peer);
            }
        } else {
            let peers = self.peers.entry(answered_from).or_default();
            peers.insert(announce.peer);
        }
        let others = self.standing.iter();
        let others = others.filter(|other| signature(other) == signature(&info_hash));
        if older.is_none() && self.peers.contains_key(&info_hash) && others.count() < OLDER_MAX {
            self.standing.push(info_hash);
        }
        answered_from
    }

    fn sweep(&mut self) {
        self.peers.retain(|_, peers| !peers.is_empty());
        self.standing.retain(|hash| self.peers.contains_key(hash));
    }
}

#[test]
fn every_announce_is_answered_from_the_torrent_that_comparing_all_with_all_finds() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let (mut swarms, mut model) = (merging(), Model::default());
    // Twelve groups of each signature, more than may stand for it, and some that lie in between.
    let middles: Vec<u64> = (0..12).map(|_| rng.u64(..)).collect();
    let (mut now_s, mut followed, mut crowded) = (0, 0, 0);
    for step in 0..60_000 {
        let mut middle = middles[rng.usize(..middles.len())];
        for _ in 0..rng.usize(..6) {
            middle ^= rng.u64(1..16) << (4 * rng.u32(..4));
        }
        let info_hash = hash_with(rng.u8(..3), middle);
        let mut request = by(info_hash, rng.u32(..3));
        if rng.u8(..8) < 5 {
            request.state = State::Stopped;
        }
        assert!(
            swarms
                .older(&info_hash)
                .is_none_or(|older| older != info_hash)
        );
        let (answered_from, announced) = announce(&mut swarms, request, now_s);
        assert_eq!(answered_from, model.announce(&request), "step {step}");
        let peers = model.peers.get(&answered_from).map_or(0, HashSet::len);
        assert_eq!(announced.totals.leechers as usize, peers);
        followed += u32::from(answered_from != info_hash);
        crowded += u32::from(!model.standing.contains(&answered_from) && peers > 0);
        if step % 500 == 0 {
            // Every peer is silent for too long, or none is.
            if rng.u8(..4) == 0 {
                now_s += 2 * TIMEOUT_S;
                model.peers.clear();
            }
            for _ in 0..2 {
                while !swarms.sweep(now_s, 50).pass_ended {}
            }
            model.sweep();
            assert_eq!(swarms.len(), model.peers.len());
            for (info_hash, totals) in exported(&swarms, rng.usize(1..40)) {
                let answered_from = model.older(&info_hash).unwrap_or(info_hash);
                let peers = model.peers.get(&answered_from).map_or(0, HashSet::len);
                let own = model.peers.get(&info_hash).map_or(0, HashSet::len);
                let count = totals.leechers as usize;
                assert!(count == peers || count == own, "{info_hash}");
            }
        }
    }
    assert!(followed > 5000 && crowded > 500, "{followed} {crowded}");
}

#[test]
fn without_merging_every_torrent_has_a_swarm_of_its_own() {
    let mut swarms = Swarms::new(settings());
    for middle in 0..10 {
        let info_hash = hash_with(1, middle);
        let (answered_from, announced) = announce(&mut swarms, by(info_hash, 1), 0);
        assert_eq!((answered_from, announced.totals.leechers), (info_hash, 1));
        assert_eq!(swarms.older(&info_hash), None);
    }
    assert_eq!(exported(&swarms, 3).len(), 10);
}

#[test]
fn a_newer_torrent_takes_the_place_of_an_older_one_that_has_gone() {
    let mut swarms = merging();
    let (old, new) = (hash_with(1, 0), hash_with(1, 0x77));
    announce(&mut swarms, by(old, 1), 0);
    assert_eq!(announce(&mut swarms, by(new, 2), 0).0, old);
    assert_eq!(exported(&swarms, 1)[&new].leechers, 2);
    sweep(&mut swarms, 2 * TIMEOUT_S);
    assert!(swarms.is_empty() && exported(&swarms, 9).is_empty());
    let now_s = 2 * TIMEOUT_S;
    assert_eq!(announce(&mut swarms, by(new, 2), now_s).0, new);
    assert_eq!(announce(&mut swarms, by(old, 1), now_s).0, new);
    assert_eq!(swarms.older(&old), Some(new));
}

#[test]
fn restored_torrents_count_as_old_whether_merging_began_before_or_after() {
    let (old, new) = (hash_with(1, 0), hash_with(1, 0x77));
    let peers = || [(peer_v4(1), State::Seeding, 9)].into_iter();
    for before in [true, false] {
        let mut swarms = Swarms::new(settings());
        if before {
            swarms.merge_similar(THRESHOLD);
        }
        swarms.restore(old, 5, 0, peers());
        if !before {
            swarms.merge_similar(THRESHOLD);
        }
        let (answered_from, announced) = announce(&mut swarms, by(new, 2), 0);
        assert_eq!(answered_from, old);
        let Totals {
            seeders,
            leechers,
            completed,
            ..
        } = announced.totals;
        assert_eq!((seeders, leechers, completed), (1, 1, 5));
    }
}

#[test]
fn of_two_similar_torrents_that_were_restored_one_stands_for_both_and_then_the_other() {
    let mut swarms = merging();
    let both = [hash_with(1, 0), hash_with(1, 0x77)];
    for (info_hash, age_s) in both.into_iter().zip([TIMEOUT_S - 100, 0]) {
        let peer = (peer_v4(1), State::Seeding, age_s);
        swarms.restore(info_hash, 0, 0, [peer].into_iter());
    }
    assert_eq!(swarms.older(&both[1]), Some(both[0]));
    sweep(&mut swarms, TIMEOUT_S);
    assert_eq!(swarms.older(&both[1]), None);
    announce(&mut swarms, by(both[1], 2), TIMEOUT_S);
    assert_eq!(announce(&mut swarms, by(both[0], 3), TIMEOUT_S).0, both[1]);
}

#[test]
fn a_crowd_with_one_signature_neither_slows_a_look_up_nor_fills_the_memory() {
    let mut swarms = merging();
    for middle in 0..50_000_u64 {
        // Each differs from all others in more digits than it may.
        let info_hash = hash_with(1, middle.wrapping_mul(0x1111_1000_0100_0011));
        announce(&mut swarms, by(info_hash, 1), 0);
    }
    let similar = swarms.similar.as_ref().unwrap();
    let mut looked_at = 0;
    let key = key(&hash_with(1, 0), &swarms.keys);
    similar.older.find(key, |_| {
        looked_at += 1;
        false
    });
    assert_eq!(looked_at, OLDER_MAX);
    let refused = swarms.refusals().similar_older;
    // Some of them are answered from an older one.
    assert!((49_000..50_000).contains(&refused), "{refused}");
}

#[test]
fn newer_info_hashes_are_bounded_and_forgotten_when_nobody_announces_them() {
    let mut swarms = Swarms::new(settings());
    swarms.merge_similar(0.0);
    let old = hash_with(1, u64::MAX);
    announce(&mut swarms, by(old, 1), 0);
    let without = swarms.memory_bytes();
    for middle in 0..NEWER_MAX as u64 + 500 {
        let request = by(hash_with(1, middle), 2);
        assert_eq!(announce(&mut swarms, request, 0).0, old);
    }
    assert_eq!(swarms.len(), 1);
    assert_eq!(exported(&swarms, 1000).len(), 1 + NEWER_MAX);
    assert_eq!(swarms.refusals().similar_newer, 500);
    assert!(swarms.memory_bytes() - without < 3 << 20);
    let now_s = TIMEOUT_S;
    announce(&mut swarms, by(old, 1), now_s - 1);
    announce(&mut swarms, by(hash_with(1, 7), 2), now_s - 1);
    sweep(&mut swarms, now_s);
    assert_eq!(exported(&swarms, 1000).len(), 2);
    assert!(swarms.memory_bytes() - without < 1 << 20);
}
