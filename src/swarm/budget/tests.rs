use fastrand::Rng;

use super::super::beginners::HALVED_EVERY_S;
use super::super::model::{
    TIMEOUT_S, info_hash, leecher, peer_v4, peer_v6, random_state, settings,
};
use super::super::{Announced, Memory, PeerAddr, PeerAnnounce, Settings, State, Swarms, Totals};
use super::*;

const BUDGET: usize = 4 << 20;

/// Swarms with a budget, and chance.
struct Life {
    budget: usize,
    swarms: Swarms,
    rng: Rng,
    now_s: u32,
}

impl Life {
    fn new() -> Self {
        Self::with(BUDGET)
    }

    fn with(budget: usize) -> Self {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        Self {
            budget,
            swarms: Swarms::new(Settings {
                memory_budget: Some(budget),
                ..settings()
            }),
            rng: Rng::with_seed(seed),
            now_s: 0,
        }
    }

    fn announce(&mut self, announce: PeerAnnounce) -> Announced {
        let hash = self.swarms.hash(&announce.info_hash);
        let mut out = [0; 600];
        let turn = self.rng.u64(..);
        let announced = self
            .swarms
            .announce(hash, &announce, self.now_s, turn, &mut out);
        let stopped = announce.state == State::Stopped;
        assert_eq!(announced.refused.is_some(), !announced.stored && !stopped);
        assert!(self.swarms.memory_bytes() <= self.budget);
        announced
    }

    /// A source with a torrent that nobody else has.
    fn begin(&mut self, torrent: u32, source: u32) -> Option<Refusal> {
        self.announce(leecher(torrent, peer_v4(source))).refused
    }

    /// Newcomers in this one torrent, until one is refused. Returns how many came.
    fn crowd_into(&mut self, torrent: u32) -> (u32, Refusal) {
        for number in 0.. {
            let announced = self.announce(leecher(torrent, peer_v4(number)));
            if let Some(refusal) = announced.refused {
                return (number, refusal);
            }
        }
        unreachable!("there are not so many");
    }

    fn forget_all(&mut self) {
        self.now_s += TIMEOUT_S + 1;
        for _ in 0..2 {
            while !self.swarms.sweep(self.now_s, 1000).pass_ended {}
        }
    }
}

#[test]
fn marks_lie_in_order_and_what_is_allowed_falls_to_nothing() {
    let budget = Budget::new(256 << 20);
    let most = budget.bytes;
    assert!(most < 256 << 20 && most > 255 << 20);
    assert_eq!(budget.longest_list(most / 2), usize::MAX);
    let steps = |part: usize| budget.longest_list(most / 1000 * part);
    assert_eq!(steps(751), 199);
    assert!((750..1000).all(|part| steps(part + 1) <= steps(part)));
    assert_eq!(budget.longest_list(most), 0);
    assert_eq!(budget.longest_list(usize::MAX / 2), 0);
    assert!(budget.has_room(most - 1) && !budget.has_room(most));
}

#[test]
fn a_long_list_stops_first_and_small_swarms_go_on_growing() {
    let mut life = Life::new();
    for torrent in 0..100 {
        assert_eq!(life.begin(1000 + torrent, torrent), None);
    }
    let (many, refusal) = life.crowd_into(1);
    assert_eq!(refusal, Refusal::LongList);
    // 8 bytes of each peer and 8 or 9 of the index that finds him, up to three quarters.
    assert!((150_000..250_000).contains(&many), "{many}");
    assert!(life.swarms.memory_bytes() < BUDGET / 4 * 3 + (64 << 10));
    for torrent in 0..100 {
        for peer in 0..20 {
            let newcomer = leecher(1000 + torrent, peer_v4(peer));
            assert!(life.announce(newcomer).stored);
        }
    }
    assert_eq!(life.begin(5000, 5000), None);
    // The long one goes on answering, and whoever is in it stays.
    let stranger = life.announce(leecher(1, peer_v4(many + 7)));
    assert_eq!((stranger.written, stranger.totals.leechers), (300, many));
    let known = PeerAnnounce {
        state: State::Seeding,
        ..leecher(1, peer_v4(7))
    };
    assert!(life.announce(known).stored);
}

#[test]
fn a_source_with_many_new_torrents_is_refused_while_others_are_not() {
    let mut life = Life::new();
    let flood = peer_v4(9);
    let mut begun = 0;
    let refusal = loop {
        let announced = life.announce(leecher(begun, flood));
        match announced.refused {
            Some(refusal) => break refusal,
            None => begun += 1,
        }
    };
    assert_eq!(refusal, Refusal::BusySource);
    let taken = life.swarms.memory_bytes();
    assert!(
        taken > BUDGET / 4 * 3 && taken < BUDGET / 16 * 15,
        "{taken}"
    );
    // His torrents are known and stay so; others may begin some.
    assert!(life.announce(leecher(begun / 2, flood)).stored);
    let others = (0..200).filter(|n| life.begin(1_000_000 + n, 1000 + n).is_none());
    assert!(others.count() >= 190);
    // Over IPv6 he is the whole network that he has been given.
    let mut wire = [0x20; 18];
    let mut refused = 0;
    for number in 0..1000_u32 {
        wire[8..12].copy_from_slice(&number.to_be_bytes());
        let announced = life.announce(leecher(2_000_000 + number, PeerAddr::V6(wire)));
        refused += u32::from(announced.refused == Some(Refusal::BusySource));
    }
    assert!(refused > 900, "{refused}");
    // After some minutes of silence he is a source like any other.
    for minute in 1..=9 {
        life.now_s = minute * HALVED_EVERY_S;
        life.swarms.sweep(life.now_s, 1);
    }
    assert_eq!(life.begin(3_000_000, 9), None);
}

#[test]
fn the_last_piece_is_for_torrents_that_are_known() {
    // Of a small budget, the last piece is less than what records grow by.
    let mut life = Life::with(32 << 20);
    let (mut refused, mut number) = (0, 0);
    // With so many sources in no time, the sketch takes more and more of them for busy.
    while refused < 1000 {
        refused += u32::from(life.begin(number, number).is_some());
        number += 1;
    }
    assert!(life.swarms.memory_bytes() > life.budget / 8 * 7);
    let mut stored = 0;
    for torrent in 0..1000 {
        for peer in 0..10 {
            let newcomer = leecher(torrent, peer_v4(1_000_000 + peer));
            stored += u32::from(life.announce(newcomer).stored);
        }
    }
    assert_eq!(stored, 10_000);
    life.forget_all();
    assert_eq!(life.swarms.len(), 0);
    assert_eq!(life.begin(1, 1), None);
}

#[test]
fn a_full_budget_refuses_what_needs_memory_and_nothing_else() {
    let mut life = Life::new();
    for number in 0..600_000 {
        let torrent = life.rng.u32(..20_000);
        life.announce(leecher(torrent, peer_v4(number)));
    }
    let mut reasons = [0_u32; 4];
    for number in 0..10_000 {
        let peer = peer_v4(1_000_000 + number);
        if let Some(refusal) = life.announce(leecher(number, peer)).refused {
            reasons[refusal as usize] += 1;
        }
    }
    println!("{reasons:?}, {:?}", life.swarms.memory());
    assert!(reasons[Refusal::LongList as usize] + reasons[Refusal::Full as usize] > 1000);
    assert!(life.swarms.memory_bytes() > BUDGET / 16 * 14);
}

#[test]
fn through_a_random_life_nothing_goes_beyond_the_budget_and_the_known_stay_known() {
    let mut life = Life::new();
    for phase in 0..12 {
        // Few torrents and many peers, then the other way round.
        let (torrents, peers) = [(3, 300_000), (300_000, 8), (2000, 2000)][phase % 3];
        for step in 0..150_000 {
            let number = life.rng.u32(..peers);
            let announce = PeerAnnounce {
                info_hash: info_hash(life.rng.u32(..torrents)),
                peer: if life.rng.u32(..3) == 0 {
                    peer_v6(number)
                } else {
                    peer_v4(number)
                },
                state: random_state(&mut life.rng),
                completed: false,
                wanted: 10,
            };
            if life.announce(announce).stored {
                // Whatever has come since, he may always say that he is still there.
                assert!(life.announce(announce).stored);
            }
            if step % 100 == 0 {
                life.swarms.sweep(life.now_s, 500);
                life.now_s += 1;
            }
        }
        if phase % 4 == 3 {
            life.forget_all();
            assert_eq!(life.swarms.gauges().v4.peers(), 0);
        }
    }
}

#[test]
fn without_a_budget_nobody_is_refused() {
    let mut swarms = Swarms::new(settings());
    for number in 0..50_000 {
        let announce = leecher(number % 3, peer_v4(number));
        let hash = swarms.hash(&announce.info_hash);
        let announced = swarms.announce(hash, &announce, 0, 0, &mut []);
        assert_eq!((announced.stored, announced.refused), (true, None));
    }
    assert_eq!(swarms.totals(&info_hash(99_999)), Totals::default());
    assert_ne!(swarms.memory(), Memory::default());
}
