use std::collections::HashMap;

use fastrand::Rng;

use super::super::model::{TIMEOUT_S, info_hash, leecher, peer_v4, peer_v6, settings};
use super::super::session::RATE_MAX;
use super::super::{PeerAddr, Settings};
use super::*;
use crate::wire::Event;

fn keeping() -> Swarms {
    Swarms::new(Settings {
        peer_details: true,
        ..settings()
    })
}

fn said(key: u32, client: u8, uploaded: u64, downloaded: u64) -> PeerDetails {
    PeerDetails {
        peer_id: PeerId([client; PeerId::LEN]),
        uploaded,
        downloaded,
        left: 1000,
        event: Event::None,
        updated_s: 0,
        key,
    }
}

fn started(said: PeerDetails) -> PeerDetails {
    let event = Event::Started;
    PeerDetails { event, ..said }
}

/// An announce of a member of torrent 1, as the tracker sees to it.
fn hear(swarms: &mut Swarms, peer: PeerAddr, said: &PeerDetails, now_s: u32) {
    let state = match (said.event, said.left) {
        (Event::Stopped, _) => State::Stopped,
        (_, 0) => State::Seeding,
        _ => State::Leeching,
    };
    let announce = PeerAnnounce {
        state,
        ..leecher(1, peer)
    };
    let hash = swarms.hash(&announce.info_hash);
    if swarms.announce(hash, &announce, now_s, 0, &mut []).stored {
        swarms.note_details(&announce, *said);
    }
    swarms.credit(&announce, said, now_s);
}

fn taken(swarms: &mut Swarms) -> HashMap<(u32, InfoHash), Credited> {
    let transfers = swarms.take_transfers(Transfers::default());
    let sums = transfers.iter().map(|sum| ((sum.key, sum.info_hash), *sum));
    let map: HashMap<_, _> = sums.collect();
    assert_eq!(map.len(), transfers.len(), "one sum for each");
    map
}

fn sessions(swarms: &Swarms) -> usize {
    swarms.ledger.as_ref().unwrap().sessions()
}

#[test]
fn a_client_is_credited_once_however_its_announces_over_two_families_interleave() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    for trial in 0..5000 {
        // All that the client says, life by life; each begins with nothing.
        let mut said_all: Vec<(usize, PeerDetails)> = Vec::new();
        let mut expected = (0, 0);
        for life in 0..rng.usize(1..4) {
            let mut now = said(7, 1, 0, 0);
            now.event = if rng.bool() || life == 0 {
                Event::Started
            } else {
                Event::None
            };
            said_all.push((life, now));
            for _ in 0..rng.u32(1..6) {
                now.event = Event::None;
                now.uploaded += rng.u64(..3) * rng.u64(..1_000_000);
                now.downloaded += rng.u64(..3) * rng.u64(..1_000_000);
                said_all.push((life, now));
            }
            if rng.bool() {
                now.event = Event::Stopped;
            }
            said_all.push((life, now));
            expected.0 += now.uploaded;
            expected.1 += now.downloaded;
        }
        // Each family loses some, but neither the first nor the last of a life.
        let is_end = |at: usize| {
            let life = |at: usize| said_all.get(at).map(|(life, _)| *life);
            at == 0 || life(at) != life(at + 1) || life(at) != life(at - 1)
        };
        let lanes = [0, 1].map(|_| {
            let kept = (0..said_all.len()).filter(|at| is_end(*at) || rng.u32(..4) > 0);
            kept.map(|at| said_all[at]).collect::<Vec<_>>()
        });
        let mut swarms = keeping();
        let (mut next, mut now_s) = ([0, 0], 5);
        while next[0] < lanes[0].len() || next[1] < lanes[1].len() {
            let lane = rng.usize(..2);
            let Some((life, says)) = lanes[lane].get(next[lane]) else {
                continue;
            };
            // Neither goes more than a life ahead, and both are there before the first one ends.
            let other = next[1 - lane].checked_sub(1);
            if *life > other.map_or(0, |heard| lanes[1 - lane][heard].0 + 1) {
                continue;
            }
            let peer = [peer_v4(1), peer_v6(1)][lane];
            hear(&mut swarms, peer, says, now_s);
            next[lane] += 1;
            now_s += rng.u32(..6);
        }
        let sums = taken(&mut swarms);
        let sum = sums[&(7, info_hash(1))];
        assert_eq!((sum.uploaded, sum.downloaded), expected, "trial {trial}");
    }
}

/// A session over one family, as simple as it can be told.
#[derive(Clone, Copy)]
struct ModelSession {
    uploaded: u64,
    downloaded: u64,
    heard_s: u32,
    seeding: bool,
}

#[test]
fn sessions_and_sums_agree_with_a_naive_model_through_all_that_clients_do() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let mut swarms = keeping();
    let mut model: HashMap<(u32, InfoHash, u8), ModelSession> = HashMap::new();
    let mut sums: HashMap<(u32, InfoHash), (u64, u64, u32, u64)> = HashMap::new();
    let (mut now_s, mut fetched, mut expired) = (0, 0, 0);
    for step in 0..200_000 {
        let key = rng.u32(..4);
        let torrent = rng.u32(..if step % 50_000 < 30_000 { 200 } else { 3 });
        let client = rng.u8(..12);
        let mut says = said(key, client, 0, 0);
        says.left = rng.u64(..3);
        says.event = match rng.u32(..10) {
            0 => Event::Started,
            1 => Event::Stopped,
            _ => Event::None,
        };
        let before = model.get(&(key, info_hash(torrent), client)).copied();
        let (up, down) = before.map_or((0, 0), |before| (before.uploaded, before.downloaded));
        says.uploaded = (up + rng.u64(..5000)).saturating_sub(rng.u64(..100));
        says.downloaded = down + rng.u64(..2000);
        let state = match says.event {
            Event::Stopped => State::Stopped,
            _ if says.left == 0 => State::Seeding,
            _ => State::Leeching,
        };
        let peer = peer_v4(key << 8 | u32::from(client));
        let announce = PeerAnnounce {
            state,
            ..leecher(torrent, peer)
        };
        swarms.credit(&announce, &says, now_s);
        if key > 0 && (before.is_some() || state != State::Stopped) {
            let mut worth = (0, 0, 0);
            if let Some(before) = before
                && says.event != Event::Started
                && says.uploaded >= before.uploaded
            {
                let seeds = before.seeding && says.left == 0;
                let gap_s = (now_s - before.heard_s).min(TIMEOUT_S);
                worth = (
                    says.uploaded - up,
                    says.downloaded - down,
                    if seeds { gap_s } else { 0 },
                );
            }
            if before.is_none() || worth != (0, 0, 0) {
                let sum = sums.entry((key, announce.info_hash)).or_default();
                *sum = (sum.0 + worth.0, sum.1 + worth.1, sum.2 + worth.2, says.left);
            }
            let session = ModelSession {
                uploaded: says.uploaded,
                downloaded: says.downloaded,
                heard_s: now_s,
                seeding: says.left == 0 && state != State::Stopped,
            };
            model.insert((key, announce.info_hash, client), session);
        }
        assert_eq!(sessions(&swarms), model.len());
        if step % 50 == 0 {
            now_s += rng.u32(..20);
        }
        if step % 7000 == 0 {
            now_s += rng.u32(..TIMEOUT_S);
            for _ in 0..2 {
                while !swarms.sweep(now_s, rng.usize(1..500)).pass_ended {}
            }
            let before = model.len();
            model.retain(|_, session| now_s - session.heard_s < TIMEOUT_S);
            expired += before - model.len();
            assert_eq!(sessions(&swarms), model.len());
        }
        if step % 4321 == 0 {
            let sums = std::mem::take(&mut sums);
            fetched += sums.len();
            let told = |sum: &Credited| (sum.uploaded, sum.downloaded, sum.seed_s, sum.left);
            let taken = taken(&mut swarms);
            let taken: HashMap<_, _> = taken.iter().map(|(of, sum)| (*of, told(sum))).collect();
            assert_eq!(taken, sums);
        }
    }
    assert!(expired > 1000 && fetched > 1000, "{expired} {fetched}");
    now_s += TIMEOUT_S;
    for _ in 0..2 {
        while !swarms.sweep(now_s, 1000).pass_ended {}
    }
    drop(taken(&mut swarms));
    assert_eq!(sessions(&swarms), 0);
    assert_eq!(swarms.heap_bytes, swarms.side_bytes());
    assert!(swarms.side_bytes() < 2 << 20, "{}", swarms.side_bytes());
}

#[test]
fn whatever_hostile_clients_say_is_worth_no_more_than_a_fast_line() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    for _ in 0..200 {
        let mut swarms = keeping();
        let mut now_s = rng.u32(..100);
        let (began_s, mut announces) = (now_s, 0);
        for _ in 0..300 {
            let number = |rng: &mut Rng| match rng.u32(..4) {
                0 => 0,
                1 => u64::MAX,
                2 => rng.u64(..),
                _ => rng.u64(..1 << 40),
            };
            let mut says = said(1, 1, number(&mut rng), number(&mut rng));
            says.left = number(&mut rng);
            says.event = [Event::None, Event::None, Event::Started, Event::Stopped][rng.usize(..4)];
            let peer = if rng.bool() { peer_v4(1) } else { peer_v6(1) };
            hear(&mut swarms, peer, &says, now_s);
            announces += 1;
            now_s += rng.u32(..3) * rng.u32(..1000);
        }
        let sum = taken(&mut swarms)[&(1, info_hash(1))];
        // Both families may each have a share of the rounding, and of the time.
        let most = (u64::from(now_s - began_s) * 2 + announces) * RATE_MAX;
        assert!(sum.uploaded <= most && sum.downloaded <= most, "{sum:?}");
        assert!(sum.seed_s <= now_s - began_s);
    }
}

#[test]
fn a_jump_of_exabytes_is_credited_for_the_time_that_has_passed() {
    let mut swarms = keeping();
    hear(&mut swarms, peer_v4(1), &started(said(1, 1, 0, 0)), 0);
    hear(&mut swarms, peer_v4(1), &said(1, 1, u64::MAX, 5), 99);
    let sum = taken(&mut swarms)[&(1, info_hash(1))];
    assert_eq!((sum.uploaded, sum.downloaded), (100 * RATE_MAX, 5));
    // What was too much is gone, not owed.
    hear(&mut swarms, peer_v4(1), &said(1, 1, u64::MAX, 6), 9999);
    let sum = taken(&mut swarms)[&(1, info_hash(1))];
    assert_eq!((sum.uploaded, sum.downloaded), (0, 1));
}

#[test]
fn nothing_is_credited_backwards_by_smaller_numbers_or_a_new_start() {
    let mut swarms = keeping();
    let sum = |swarms: &mut Swarms| {
        let sums = taken(swarms);
        sums.get(&(1, info_hash(1))).map_or(0, |sum| sum.uploaded)
    };
    // The first that is heard of a client, long after it began.
    hear(&mut swarms, peer_v4(1), &said(1, 1, 5000, 0), 0);
    assert_eq!(sum(&mut swarms), 0);
    hear(&mut swarms, peer_v4(1), &said(1, 1, 5100, 0), 100);
    assert_eq!(sum(&mut swarms), 100);
    hear(&mut swarms, peer_v4(1), &said(1, 1, 40, 0), 200);
    assert_eq!(sum(&mut swarms), 0);
    hear(&mut swarms, peer_v4(1), &said(1, 1, 50, 0), 300);
    assert_eq!(sum(&mut swarms), 10);
    for uploaded in [60, 70, 70, 0] {
        hear(
            &mut swarms,
            peer_v4(1),
            &started(said(1, 1, uploaded, 0)),
            400,
        );
        assert_eq!(sum(&mut swarms), 0);
    }
    // A stop earns, and what comes late behind it does not.
    let mut stop = said(1, 1, 25, 0);
    stop.event = Event::Stopped;
    hear(&mut swarms, peer_v4(1), &stop, 500);
    assert_eq!(sum(&mut swarms), 25);
    hear(&mut swarms, peer_v4(1), &said(1, 1, 20, 0), 500);
    assert_eq!(sum(&mut swarms), 0);
    // A stop of somebody unknown is no session.
    stop.peer_id = PeerId([9; PeerId::LEN]);
    hear(&mut swarms, peer_v4(2), &stop, 500);
    assert_eq!((sum(&mut swarms), sessions(&swarms)), (0, 1));
}

#[test]
fn seed_time_runs_between_announces_once_over_both_families_and_no_longer_than_the_time_out() {
    let mut swarms = keeping();
    let seed_s = |swarms: &mut Swarms| {
        let sums = taken(swarms);
        sums.get(&(1, info_hash(1))).map_or(0, |sum| sum.seed_s)
    };
    let mut seeder = said(1, 1, 0, 0);
    seeder.left = 0;
    hear(&mut swarms, peer_v4(1), &started(said(1, 1, 0, 0)), 0);
    hear(&mut swarms, peer_v4(1), &seeder, 100);
    assert_eq!(seed_s(&mut swarms), 0, "it was a leecher until then");
    hear(&mut swarms, peer_v6(1), &started(seeder), 110);
    hear(&mut swarms, peer_v4(1), &seeder, 200);
    hear(&mut swarms, peer_v6(1), &seeder, 200);
    hear(&mut swarms, peer_v6(1), &seeder, 260);
    assert_eq!(seed_s(&mut swarms), 160);
    hear(&mut swarms, peer_v6(1), &seeder, 260 + TIMEOUT_S + 500);
    assert_eq!(seed_s(&mut swarms), TIMEOUT_S);
    let now_s = 260 + TIMEOUT_S + 500;
    let event = Event::Stopped;
    let stop = PeerDetails { event, ..seeder };
    hear(&mut swarms, peer_v4(1), &stop, now_s + 7);
    hear(&mut swarms, peer_v6(1), &stop, now_s + 9);
    assert_eq!(seed_s(&mut swarms), 7);
    hear(&mut swarms, peer_v4(1), &started(seeder), now_s + 900);
    assert_eq!(seed_s(&mut swarms), 0);
}

#[test]
fn a_key_has_so_many_sessions_on_a_torrent_and_the_most_silent_makes_place() {
    let mut swarms = keeping();
    for client in 0..200 {
        for key in 1..3 {
            let says = started(said(key, client, 0, 0));
            hear(&mut swarms, peer_v4(1), &says, u32::from(client));
        }
    }
    assert_eq!(sessions(&swarms), 2 * SESSIONS_A_TORRENT);
    for client in [183, 199, 184] {
        hear(&mut swarms, peer_v4(1), &said(1, client, 50, 0), 300);
    }
    // Client 183 had none any more, and its new one made 184 go.
    let sums = taken(&mut swarms);
    assert_eq!(sums[&(1, info_hash(1))].uploaded, 50);
    assert_eq!(sums[&(2, info_hash(1))].uploaded, 0);
}

#[test]
fn nothing_is_kept_of_who_has_no_key_or_where_details_are_off() {
    let mut swarms = keeping();
    let bytes = swarms.side_bytes();
    let announce = leecher(1, peer_v4(1));
    swarms.credit(&announce, &said(0, 1, 5, 5), 0);
    assert_eq!((sessions(&swarms), swarms.side_bytes()), (0, bytes));
    let mut swarms = Swarms::new(settings());
    swarms.credit(&announce, &said(1, 1, 5, 5), 0);
    swarms.credit(&announce, &said(1, 1, 9, 9), 9);
    assert!(swarms.take_transfers(Transfers::default()).is_empty());
    assert_eq!((swarms.heap_bytes, swarms.entries()), (0, 0));
}

#[test]
fn a_full_memory_budget_takes_no_newcomers_and_goes_on_with_the_known() {
    let budget = 2 << 20;
    let mut swarms = Swarms::new(Settings {
        peer_details: true,
        memory_budget: Some(budget),
        ..settings()
    });
    for torrent in 0..30_000 {
        let announce = leecher(torrent, peer_v4(1));
        swarms.credit(&announce, &said(1, 1, 0, 0), 0);
    }
    let kept = sessions(&swarms);
    assert!((5000..15_000).contains(&kept), "{kept}");
    assert!(swarms.memory_bytes() < budget + (512 << 10));
    let known = leecher(0, peer_v4(1));
    swarms.credit(&known, &said(1, 1, 70, 0), 9);
    assert_eq!(taken(&mut swarms)[&(1, info_hash(0))].uploaded, 70);
}

#[test]
fn the_sessions_of_a_forgotten_torrent_end_and_what_they_had_earned_stays() {
    let mut swarms = keeping();
    for (client, peer) in [(1, peer_v4(1)), (1, peer_v6(1)), (2, peer_v4(2))] {
        hear(&mut swarms, peer, &said(1, client, 10, 0), 0);
        hear(&mut swarms, peer, &said(1, client, 30, 0), 5);
    }
    assert_eq!(sessions(&swarms), 2);
    let mut remains = swarms.forget(&info_hash(1)).unwrap();
    while swarms.clear_up(&mut remains, 2) > 0 {}
    assert_eq!(sessions(&swarms), 0);
    assert_eq!(taken(&mut swarms)[&(1, info_hash(1))].uploaded, 40);
}

#[test]
fn who_finds_no_room_for_his_credits_is_counted() {
    let mut swarms = keeping();
    let credit = |swarms: &mut Swarms, keys: std::ops::Range<usize>| {
        for key in keys {
            hear(
                swarms,
                peer_v4(1),
                &started(said(key as u32 + 1, 1, 0, 0)),
                0,
            );
        }
    };
    credit(&mut swarms, 0..SUMS_MAX + 7);
    let refusals = swarms.refusals();
    assert_eq!((refusals.credit_sums, refusals.credit_sessions), (7, 0));
    // Somebody fetches them, and others come until there is no room for their sessions either.
    taken(&mut swarms);
    credit(&mut swarms, SUMS_MAX..2 * SUMS_MAX);
    taken(&mut swarms);
    assert_eq!(2 * SUMS_MAX, SESSIONS_MAX);
    credit(&mut swarms, 2 * SUMS_MAX..2 * SUMS_MAX + 5);
    let refusals = swarms.refusals();
    assert_eq!((refusals.credit_sums, refusals.credit_sessions), (7, 5));
}
