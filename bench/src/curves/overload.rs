//! More peers than the memory budget has room for: who is still kept, and who is still told of others.

use fastrand::Rng;
use shoal::limits::REPLY_LEN_MAX;
use shoal::swarm::{PeerAddr, PeerAnnounce, State, Swarms};
use shoal_bench::bare_core::{NOW, swarms};
use shoal_bench::crowd::Member;

use super::sample::Cost;
use super::{Axis, Bounds, Curve, Series, crowd};

/// How much all would take, in budgets.
const LOADS: [f64; 10] = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0];

/// Peers of a small swarm, and what one of them takes.
const SMALL: u32 = 8;
const SMALL_BYTES: f64 = 32.0;

/// Large swarms, and what a peer of one takes.
const LARGE: u32 = 10;
const LARGE_BYTES: f64 = 17.0;

/// Sources of the flood, and what a torrent takes that one of them makes up.
const FLOODERS: u32 = 8;
const FLOOD_BYTES: f64 = 72.0;

/// Seconds in which everybody comes: as long as an interval.
const ARRIVAL_S: u32 = 1800;

/// One in so many announces again when all have come.
const AGAIN: u32 = 16;

/// Numbers of torrents begin here, apart from those of the small swarms.
const LARGE_FROM: u32 = 1 << 30;
const FLOOD_FROM: u32 = 1 << 31;

/// Who announces: a group of the crowd, and how many it has.
#[derive(Clone, Copy)]
struct Group {
    name: &'static str,
    count: u32,
    announce: fn(u32, u32) -> PeerAnnounce,
}

/// What a budget is asked for: a quarter by small swarms, a quarter by large ones, half by a flood.
fn groups(demand: f64) -> [Group; 3] {
    // At most some tens of millions.
    #[allow(clippy::cast_sign_loss)]
    let count = |share: f64, bytes: f64| (demand * share / bytes).max(1.0) as u32;
    [
        Group {
            name: "swarms of 8",
            count: count(0.25, SMALL_BYTES).next_multiple_of(SMALL),
            announce: |number, count| {
                let torrents = count / SMALL;
                let (torrent, peer) = (number % torrents, number / torrents);
                crowd().peer_announce(Member { torrent, peer }, 50)
            },
        },
        Group {
            name: "10 large swarms",
            count: count(0.25, LARGE_BYTES),
            announce: |number, _| {
                let (torrent, peer) = (LARGE_FROM + number % LARGE, number / LARGE);
                crowd().peer_announce(Member { torrent, peer }, 50)
            },
        },
        Group {
            name: "made-up torrents of 8 sources",
            count: count(0.5, FLOOD_BYTES),
            announce: |number, _| PeerAnnounce {
                info_hash: crowd().info_hash(FLOOD_FROM + number),
                peer: PeerAddr::V4([66, 66, 66, (number % FLOODERS) as u8, 0x1a, 0xe1]),
                state: State::Leeching,
                completed: false,
                wanted: 50,
            },
        },
    ]
}

pub(super) fn measure(bounds: &Bounds<'_>) -> Result<Vec<Curve>, String> {
    let budget: u32 = if bounds.quick { 4 << 20 } else { 32 << 20 };
    let names = groups(1.0).map(|group| group.name);
    let mut stored = names.map(Series::new);
    let mut told = [names[0], names[1]].map(Series::new);
    let mut taken = Series::new("of the budget");
    for load in LOADS {
        bounds.go_on()?;
        let groups = groups(load * f64::from(budget));
        let mut swarms = swarms(Some(budget as usize));
        arrive(&mut swarms, &groups);
        let most = 100.0 * swarms.memory_bytes() as f64 / f64::from(budget);
        taken.add(load, Cost::exactly(most));
        for (at, group) in groups.iter().enumerate() {
            let (stored_share, told_share) = ask_again(&mut swarms, group);
            stored[at].add(load, Cost::exactly(100.0 * stored_share));
            if let Some(told) = told.get_mut(at) {
                told.add(load, Cost::exactly(100.0 * told_share));
            }
        }
    }
    let x = Axis::log("asked for, in budgets");
    let told = told.into_iter().map(|mut series| {
        series.name += ", told of others";
        series
    });
    let stored = stored.into_iter().map(|mut series| {
        series.name += ", kept";
        series
    });
    Ok(vec![Curve {
        name: "overload",
        title: "More than the memory budget",
        text: format!(
            "A core with `swarm.memory_budget` of {} MiB. In half an hour, in random order, come peers of swarms of 8, \
             peers of {LARGE} large swarms, and torrents that nobody else has from {FLOODERS} sources: their lists, \
             records and indexes would take a quarter, a quarter and a half of so many budgets. Then they announce \
             again: whose peers are members, and who is told of others. Everybody gets an answer.",
            budget >> 20
        ),
        x,
        y: Axis::linear("%"),
        series: stored.chain(told).chain([taken]).collect(),
    }])
}

/// All groups at one time, in random order.
fn arrive(swarms: &mut Swarms, groups: &[Group]) {
    let mut random = Rng::with_seed(11);
    let mut out = [0; REPLY_LEN_MAX];
    let mut next = vec![0; groups.len()];
    let total: u32 = groups.iter().map(|group| group.count).sum();
    for number in 0..total {
        let mut drawn = random.u32(..total - number);
        let left = |at: usize, next: &[u32]| groups[at].count - next[at];
        let mut at = 0;
        while drawn >= left(at, &next) {
            drawn -= left(at, &next);
            at += 1;
        }
        let announce = (groups[at].announce)(next[at], groups[at].count);
        next[at] += 1;
        let passed_s = u64::from(number) * u64::from(ARRIVAL_S) / u64::from(total);
        let now_s = NOW.uptime_s + passed_s as u32;
        let hash = swarms.hash(&announce.info_hash);
        swarms.announce(hash, &announce, now_s, random.u64(..), &mut out);
        if number % 256 == 0 {
            swarms.sweep(now_s, 512);
        }
    }
}

/// The shares of a group that are members, and that are told of others.
fn ask_again(swarms: &mut Swarms, group: &Group) -> (f64, f64) {
    let mut out = [0; REPLY_LEN_MAX];
    let (mut asked, mut stored, mut told) = (0, 0, 0);
    for number in (0..group.count).step_by(AGAIN as usize) {
        let announce = PeerAnnounce {
            // A seeder would be told of leechers only.
            state: State::Leeching,
            ..(group.announce)(number, group.count)
        };
        let hash = swarms.hash(&announce.info_hash);
        let now_s = NOW.uptime_s + ARRIVAL_S;
        let before = swarms.gauges().v4.peers();
        let answer = swarms.announce(hash, &announce, now_s, u64::from(number) << 40, &mut out);
        // Who finds room only now was not kept.
        let is_new = swarms.gauges().v4.peers() > before;
        asked += 1;
        stored += u32::from(answer.stored && !is_new);
        told += u32::from(answer.written > 0);
    }
    let share = |count| f64::from(count) / f64::from(asked);
    (share(stored), share(told))
}
