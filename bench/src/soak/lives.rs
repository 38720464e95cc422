//! Peers that come and go, and the book of who should be known.

use std::collections::VecDeque;

use fastrand::Rng;
use shoal::wire::udp::ask;
use shoal::wire::{Event, NumWant};
use shoal_bench::crowd::{Crowd, Member};

use crate::load::Sampler;

/// Announces of a life, the first and the last included.
const ROUNDS: std::ops::Range<u8> = 2..14;
/// One in so many leechers completes with each announce.
const COMPLETES: u32 = 6;
/// One in so many falls silent where the others say that they stop.
const SILENT: u32 = 3;
/// Peers that an announce asks for.
const NUMWANT: i32 = 50;
/// How long after its time-out a silent peer may still be known: two passes of the sweep, which are a
/// sixteenth of the time-out or a second each, and the seconds that times are rounded to.
const GRACE_MS: u64 = 7_000;

/// What all lives have in common.
#[derive(Clone, Copy)]
pub(super) struct World {
    pub(super) crowd: Crowd,
    pub(super) sampler: Sampler,
}

/// Peers in a ring: each announces once in a round, so that the rate sets the interval.
pub(super) struct Lives {
    first_peer: u32,
    ring: Vec<Life>,
    next: usize,
}

#[derive(Clone)]
struct Life {
    torrent: u32,
    /// Announces that are to come; none before it is born.
    rounds_left: u8,
    is_complete: bool,
    heard_ms: u64,
    /// Torrents of the last lives: whoever is silent there must not be heard again.
    before: [u32; 4],
}

/// What one peer says.
pub(super) struct Said {
    pub(super) member: Member,
    pub(super) announce: ask::Announce,
}

impl Lives {
    /// `count` peers, whose numbers nobody else may have.
    pub(super) fn new(first_peer: u32, count: u32) -> Self {
        Self {
            first_peer,
            ring: vec![Life::UNBORN; count.max(1) as usize],
            next: 0,
        }
    }

    /// What the next peer says at `now_ms`, put into the book as if the tracker had heard it.
    pub(super) fn next(
        &mut self,
        world: &World,
        book: &mut Book,
        random: &mut Rng,
        now_ms: u64,
    ) -> Said {
        let peer = self.first_peer + self.next as u32;
        let count = self.ring.len();
        let life = &mut self.ring[self.next];
        self.next = (self.next + 1) % count;
        if life.rounds_left == 1 && random.u32(..SILENT) == 0 {
            book.fell_silent(life.torrent, life.heard_ms);
            life.rounds_left = 0;
        }
        let event = match life.rounds_left {
            0 => {
                life.begin(world, random);
                book.came(life.torrent);
                Event::Started
            }
            1 => {
                book.left(life.torrent, now_ms);
                Event::Stopped
            }
            _ => Event::None,
        };
        life.rounds_left -= 1;
        life.heard_ms = now_ms;
        let member = Member {
            torrent: life.torrent,
            peer,
        };
        let mut announce = world.crowd.announce(member, event, NumWant::from(NUMWANT));
        let may_complete = event == Event::None && !life.is_complete && announce.left > 0;
        if may_complete && random.u32(..COMPLETES) == 0 {
            life.is_complete = true;
            announce.event = Event::Completed;
        }
        if life.is_complete {
            announce.left = 0;
        }
        Said { member, announce }
    }
}

impl Life {
    const UNBORN: Self = Self {
        torrent: u32::MAX,
        rounds_left: 0,
        is_complete: false,
        heard_ms: 0,
        before: [u32::MAX; 4],
    };

    fn begin(&mut self, world: &World, random: &mut Rng) {
        self.before.rotate_right(1);
        self.before[0] = self.torrent;
        // Few tries: where there are hardly any torrents, one comes again.
        for _ in 0..64 {
            self.torrent = world.sampler.draw(random);
            if !self.before.contains(&self.torrent) {
                break;
            }
        }
        self.rounds_left = random.u8(ROUNDS);
        self.is_complete = false;
    }
}

/// Who should be known to the tracker: those who surely are, and those who may be, because they
/// were silent for about as long as it takes to be forgotten.
pub(super) struct Book {
    timeout_ms: u64,
    sure: Known,
    perhaps: Known,
    /// When they were heard last, and where.
    silent: VecDeque<(u64, u32)>,
    /// Those who may still be known, and torrents whose last peer has said that it stops.
    fading: VecDeque<(u64, u32, Fading)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fading {
    Peer,
    Torrent,
}

/// Peers, and torrents that have any.
#[derive(Default)]
struct Known {
    peers_of: Vec<u32>,
    torrents: u64,
    peers: u64,
}

impl Known {
    fn hold(&mut self, torrent: u32) {
        let holders = &mut self.peers_of[torrent as usize];
        self.torrents += u64::from(*holders == 0);
        *holders += 1;
    }

    fn release(&mut self, torrent: u32) {
        let holders = &mut self.peers_of[torrent as usize];
        *holders = holders.saturating_sub(1);
        self.torrents -= u64::from(*holders == 0);
    }
}

/// At least and at most so many.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Bounds {
    pub(super) least: u64,
    pub(super) most: u64,
}

impl Book {
    pub(super) fn new(torrents: u32, timeout_s: u64) -> Self {
        let known = || Known {
            peers_of: vec![0; torrents as usize],
            ..Known::default()
        };
        Self {
            timeout_ms: timeout_s * 1000,
            sure: known(),
            perhaps: known(),
            silent: VecDeque::new(),
            fading: VecDeque::new(),
        }
    }

    fn came(&mut self, torrent: u32) {
        for known in [&mut self.sure, &mut self.perhaps] {
            known.hold(torrent);
            known.peers += 1;
        }
    }

    fn left(&mut self, torrent: u32, now_ms: u64) {
        self.sure.release(torrent);
        self.sure.peers -= 1;
        self.perhaps.peers -= 1;
        self.fading
            .push_back((now_ms + GRACE_MS, torrent, Fading::Torrent));
    }

    fn fell_silent(&mut self, torrent: u32, heard_ms: u64) {
        self.silent.push_back((heard_ms, torrent));
    }

    /// Torrents and peers that should be known at `now_ms`.
    pub(super) fn bounds(&mut self, now_ms: u64) -> (Bounds, Bounds) {
        // A second early: the tracker rounds.
        while let Some(&(heard_ms, torrent)) = self.silent.front()
            && heard_ms + self.timeout_ms < now_ms + 1000
        {
            self.silent.pop_front();
            self.sure.release(torrent);
            self.sure.peers -= 1;
            let gone_ms = heard_ms + self.timeout_ms + GRACE_MS;
            self.fading.push_back((gone_ms, torrent, Fading::Peer));
        }
        // They do not stand in exact order, but nearly.
        while let Some(&(gone_ms, torrent, what)) = self.fading.front()
            && gone_ms < now_ms
        {
            self.fading.pop_front();
            self.perhaps.release(torrent);
            self.perhaps.peers -= u64::from(what == Fading::Peer);
        }
        let bounds = |of: fn(&Known) -> u64| Bounds {
            least: of(&self.sure),
            most: of(&self.perhaps),
        };
        (bounds(|known| known.torrents), bounds(|known| known.peers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Spread;
    use std::collections::HashMap;

    /// Plays the tracker: who said what when, forgotten after the time-out.
    #[test]
    fn the_book_agrees_with_a_tracker_that_hears_everything() {
        let (torrents, count, gap_ms, timeout_s) = (40, 300, 10, 9);
        for seed in 0..8 {
            println!("seed {seed}");
            let mut random = Rng::with_seed(seed);
            let world = World {
                crowd: Crowd::new(seed, 0.3),
                sampler: Sampler::new(Spread::Zipf(1.0), torrents),
            };
            let mut lives = Lives::new(5, count);
            let mut book = Book::new(torrents, timeout_s);
            let mut heard: HashMap<(u32, u32), u64> = HashMap::new();
            for turn in 0..20_000 {
                let now_ms = turn * gap_ms;
                let said = lives.next(&world, &mut book, &mut random, now_ms);
                let who = (said.member.torrent, said.member.peer);
                let known = heard
                    .get(&who)
                    .is_some_and(|at| at + timeout_s * 1000 > now_ms);
                assert_eq!(known, said.announce.event != Event::Started, "{turn}");
                if said.announce.event == Event::Stopped {
                    heard.remove(&who);
                } else {
                    heard.insert(who, now_ms);
                }
                let (torrents, peers) = book.bounds(now_ms);
                heard.retain(|_, at| *at + timeout_s * 1000 > now_ms);
                let told = heard.len() as u64;
                assert!(
                    (peers.least..=peers.most).contains(&told),
                    "{peers:?} {told}"
                );
                let mut named: Vec<u32> = heard.keys().map(|(torrent, _)| *torrent).collect();
                named.sort_unstable();
                named.dedup();
                let told = named.len() as u64;
                assert!(
                    (torrents.least..=torrents.most).contains(&told),
                    "{torrents:?} {told}"
                );
            }
        }
    }

    #[test]
    fn lives_begin_complete_and_end_in_either_way() {
        let mut random = Rng::with_seed(1);
        let world = World {
            crowd: Crowd::new(1, 0.3),
            sampler: Sampler::new(Spread::Uniform, 1000),
        };
        let (mut lives, mut book) = (Lives::new(0, 100), Book::new(1000, 30));
        let mut count: HashMap<String, u32> = HashMap::new();
        for turn in 0..50_000 {
            let said = lives.next(&world, &mut book, &mut random, turn);
            *count
                .entry(format!("{:?}", said.announce.event))
                .or_default() += 1;
        }
        println!("{count:?}");
        assert!(count["Started"] > count["Stopped"] && count["Stopped"] > count["Started"] / 2);
        assert!(count["Completed"] > 1000 && count["None"] > count["Started"]);
    }
}
