//! Random lives of whole swarms against the model.

use fastrand::Rng;

use super::model::*;
use super::*;

#[test]
fn many_small_swarms_agree_with_the_model_through_all_that_peers_do() {
    for remove_peerless in [true, false] {
        let mut trial = Trial::new(Settings {
            remove_peerless,
            // On in one of the lives, off in the other.
            peer_details: remove_peerless,
            ..settings()
        });
        for step in 0..600_000 {
            // The number of torrents in use swells and ebbs, and so do the records.
            let torrents = if step % 200_000 < 150_000 { 12_000 } else { 50 };
            let torrent = trial.rng.u32(..torrents);
            let peer = trial.rng.u32(..7);
            let announce = PeerAnnounce {
                info_hash: info_hash(torrent),
                peer: if trial.rng.u32(..4) == 0 {
                    peer_v6(peer)
                } else {
                    peer_v4(peer)
                },
                state: random_state(&mut trial.rng),
                completed: trial.rng.u32(..5) == 0,
                wanted: trial.rng.usize(..10),
            };
            trial.announce(announce, true);
            if step % 8 == 0 {
                trial.now_s += trial.rng.u32(..3);
            }
            if step % 20_000 == 0 {
                trial.sweep();
            }
        }
        trial.now_s += TIMEOUT_S + 1;
        trial.sweep();
        assert_eq!(trial.swarms.is_empty(), remove_peerless);
        assert_eq!(trial.swarms.heap_bytes, trial.swarms.side_bytes());
    }
}

#[test]
fn hot_swarms_agree_with_the_model_through_every_form_that_a_list_takes() {
    // The model forgets peerless swarms after whole passes only, so until the end none is.
    let mut trial = Trial::new(Settings {
        remove_peerless: false,
        peer_details: true,
        ..settings()
    });
    let mut longest = 0;
    // Each phase has as many peers coming and going as its number.
    for peers in [4, 20, 60, 700, 1800, 30_000, 12_000, 40, 3, 25_000] {
        let steps = peers.max(2000) * 4;
        for step in 0..steps {
            let torrent = trial.rng.u32(..2);
            let number = trial.rng.u32(..peers);
            let announce = PeerAnnounce {
                info_hash: info_hash(torrent),
                peer: if torrent == 1 && trial.rng.bool() {
                    peer_v6(number)
                } else {
                    peer_v4(number)
                },
                state: random_state(&mut trial.rng),
                completed: trial.rng.u32(..5) == 0,
                wanted: trial.rng.usize(..100),
            };
            let thorough = peers < 100 || step % 1000 == 0;
            trial.announce(announce, thorough);
            // Steps of the sweep between the announces, so that it meets lists that change.
            if step % 50 == 0 {
                trial.swarms.sweep(trial.now_s, 20);
            }
        }
        trial.sweep();
        let totals = trial.swarms.totals(&info_hash(0));
        longest = longest.max((totals.seeders + totals.leechers) as usize);
        // The silent of the phase before the last expire; what is left changes its form.
        trial.now_s += TIMEOUT_S - 1;
        trial.sweep();
    }
    assert!(longest > slots::SLOTS_LIST_MAX, "{longest}");
    trial.swarms.remove_peerless = true;
    trial.now_s += TIMEOUT_S;
    trial.sweep();
    assert!(trial.swarms.is_empty());
    assert!(trial.swarms.memory_bytes() < 900_000);
}

#[test]
fn a_clock_that_wraps_around_many_times_forgets_nobody_early_and_nobody_late() {
    for timeout_s in [60, 2700, 7200, 50_000] {
        let mut swarms = Swarms::new(Settings {
            peer_timeout_s: timeout_s,
            ..settings()
        });
        let mut rng = Rng::with_seed(5);
        let faithful = leecher(1, peer_v4(1));
        let hash = swarms.hash(&faithful.info_hash);
        let mut silent = 0;
        // Every twelfth part of a timeout a step, for 1200 hours or more.
        let step_s = timeout_s / 12;
        for step in 0..(1200 * 3600 / step_s).min(60_000) {
            let now_s = step * step_s;
            if step % 11 == 0 {
                swarms.announce(hash, &faithful, now_s, rng.u64(..), &mut []);
            }
            if step % 40 == 0 {
                silent = 0;
                let once = leecher(1, peer_v4(2));
                swarms.announce(hash, &once, now_s, rng.u64(..), &mut []);
            }
            while !swarms.sweep(now_s, 10).pass_ended {}
            let known = swarms.totals(&info_hash(1)).leechers;
            match silent {
                0..12 => assert_eq!(known, 2, "forgotten early at {now_s}"),
                12..14 => {}
                _ => assert_eq!(known, 1, "remembered for ever at {now_s}"),
            }
            silent += 1;
        }
    }
}

#[test]
fn only_a_known_leecher_counts_as_completed_and_only_once() {
    let mut trial = Trial::new(settings());
    let mut announce = leecher(1, peer_v4(1));
    announce.completed = true;
    announce.state = State::Seeding;
    assert!(!trial.announce(announce, true).completed);
    announce.peer = peer_v4(2);
    announce.state = State::Leeching;
    assert!(!trial.announce(announce, true).completed);
    announce.state = State::Seeding;
    assert!(trial.announce(announce, true).completed);
    let repeated = trial.announce(announce, true);
    assert!(!repeated.completed);
    assert_eq!(repeated.totals.completed, 1);
}

#[test]
fn neither_a_scrape_nor_a_stop_makes_a_record() {
    let mut trial = Trial::new(settings());
    let mut announce = leecher(1, peer_v4(1));
    assert_eq!(trial.swarms.totals(&announce.info_hash), Totals::default());
    announce.state = State::Stopped;
    assert_eq!(trial.announce(announce, true), Announced::default());
    assert!(trial.swarms.is_empty());
}

#[test]
fn a_full_memory_budget_refuses_newcomers_and_still_serves_the_known() {
    let mut swarms = Swarms::new(Settings {
        memory_budget: Some(1 << 20),
        ..settings()
    });
    let mut rng = Rng::with_seed(1);
    let mut out = [0; 600];
    let mut announce = |swarms: &mut Swarms, what: PeerAnnounce| {
        let hash = swarms.hash(&what.info_hash);
        swarms.announce(hash, &what, 0, rng.u64(..), &mut out)
    };
    let mut stored = 0;
    for number in 0..200_000 {
        let answer = announce(&mut swarms, leecher(number % 100, peer_v4(number)));
        stored += u32::from(answer.stored);
        assert!(answer.stored || answer.totals.leechers > 50 && answer.written == 300);
    }
    assert!((20_000..150_000).contains(&stored), "{stored}");
    assert!(swarms.memory_bytes() <= 1 << 20);
    assert_eq!(swarms.gauges().v4.leechers, stored as usize);
    let mut known = leecher(7, peer_v4(7));
    known.state = State::Seeding;
    known.completed = true;
    let answer = announce(&mut swarms, known);
    assert!(answer.stored && answer.completed && answer.totals.seeders == 1);
    // What expires makes room again.
    while !swarms.sweep(TIMEOUT_S + 1, 1000).pass_ended {}
    assert!(swarms.memory_bytes() < 600_000);
    assert!(announce(&mut swarms, leecher(1000, peer_v4(1))).stored);
}

#[test]
fn the_stages_of_prefetching_change_nothing_and_never_miss_a_bound() {
    let mut trial = Trial::new(settings());
    for number in 0..40_000 {
        trial.announce(leecher(number % 7 * (number % 5), peer_v4(number)), false);
        trial.announce(leecher(number % 3 * 1000, peer_v6(number / 9)), false);
    }
    let before = (trial.swarms.gauges(), trial.swarms.memory_bytes());
    for number in 0..20_000 {
        let swarms = &trial.swarms;
        let hash = swarms.hash(&info_hash(number % 3000));
        for peer in [peer_v4(number), peer_v6(number)] {
            swarms.prefetch_bucket(hash);
            let likely = swarms.prefetch_record(hash);
            let likely = swarms.prefetch_peers(likely);
            swarms.prefetch_search(likely, &peer);
            let announce = leecher(number % 3000, peer);
            let turn = u64::from(number) << 45;
            swarms.prefetch_entries(likely, &announce, turn);
        }
    }
    assert_eq!(before, (trial.swarms.gauges(), trial.swarms.memory_bytes()));
    trial.check();
}

#[test]
fn info_hashes_that_all_meet_under_other_keys_are_found_as_soon_as_any() {
    const CHOSEN: usize = 10_000;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let mut trackers = [(); 3].map(|()| {
        let mut keyed = settings();
        keyed.seeds = [(); 4].map(|()| rng.u64(..));
        Swarms::new(keyed)
    });
    let any = || {
        let mut info_hash = InfoHash([0; 20]);
        rng.fill(&mut info_hash.0);
        info_hash
    };
    let any: Vec<InfoHash> = std::iter::repeat_with(any).take(CHOSEN * 256).collect();
    // As if the keys of the first were known: the chains of all of them begin in few buckets.
    let [known, attacked, calm] = &mut trackers;
    let meet = |info_hash: &&InfoHash| known.hash(info_hash).trailing_zeros() >= 8;
    let chosen: Vec<InfoHash> = any.iter().filter(meet).copied().collect();
    let longest = |swarms: &mut Swarms, info_hashes: &[InfoHash]| {
        for info_hash in info_hashes {
            let announce = PeerAnnounce {
                info_hash: *info_hash,
                ..leecher(0, peer_v4(1))
            };
            swarms.announce(swarms.hash(info_hash), &announce, 0, 1, &mut []);
        }
        swarms.index.longest_chain()
    };
    let [known, attacked, calm] = [
        longest(known, &chosen),
        longest(attacked, &chosen),
        longest(calm, &any[..chosen.len()]),
    ];
    println!(
        "{} info-hashes, buckets of the longest chain: {known} under the keys that they were chosen for, \
         {attacked} under others, {calm} when nobody chose them",
        chosen.len()
    );
    assert!(known > 40 && attacked <= 4 && calm <= 4);
}
