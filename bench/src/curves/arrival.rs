//! What it costs to grow: newcomers one after the other, and the slowest of them.

use std::time::Instant;

use shoal_bench::bare_core::{NOW, swarms};
use shoal_bench::crowd::Member;

use super::sample::Cost;
use super::{Axis, Bounds, Curve, Series, crowd};

/// How often everything is repeated. What is slow because of the swarm is slow at the same newcomer each
/// time, what is slow because of the machine is not: the quickest of these counts. A run before them does
/// not: lists that grow in memory which nobody has used yet grow in place, later ones are copied.
const RUNS: usize = 5;

/// Who the newcomer of a number is.
type Newcomer = fn(u32) -> Member;

pub(super) fn measure(bounds: &Bounds<'_>) -> Result<Vec<Curve>, String> {
    let sizes = bounds.sizes(10, 1_000_000);
    let mut mean = Vec::new();
    let mut slowest = Vec::new();
    let one_swarm = |number| Member {
        torrent: 0,
        peer: number,
    };
    let new_torrents = |number| Member {
        torrent: number,
        peer: 0,
    };
    let cases: [(&str, Newcomer); 2] = [
        ("into one swarm", one_swarm),
        ("into new torrents", new_torrents),
    ];
    for (name, member) in cases {
        let ns = arrivals(bounds, sizes.last().copied().unwrap_or(0), member)?;
        let (mut means, mut peaks) = (Series::new(name), Series::new(name));
        let mut from = 0;
        for size in &sizes {
            let part = &ns[from..*size as usize];
            let sum: f64 = part.iter().copied().map(f64::from).sum();
            means.add(*size, Cost::exactly(sum / part.len() as f64));
            let peak = part.iter().copied().max().unwrap_or(0);
            peaks.add(*size, Cost::exactly(f64::from(peak) / 1000.0));
            from = *size as usize;
        }
        mean.push(means);
        slowest.push(peaks);
    }
    let x = Axis::log("newcomers so far");
    Ok(vec![
        Curve {
            name: "arrival",
            title: "Newcomers",
            text: format!(
                "Peers that nobody knows announce one after the other, with nothing prefetched and 50 wanted: all in \
                 one torrent, or each with a new one. The mean over those since the point before, of the \
                 quickest of {RUNS} runs for each newcomer, some 30 ns for the clock included."
            ),
            x,
            y: Axis::linear("ns a newcomer"),
            series: mean,
        },
        Curve {
            name: "arrival-slowest",
            title: "The slowest newcomer",
            text: String::from(
                "The same runs: the one newcomer since the point before that took longest. He finds a list without room, or \
                 a shape that ends; everything that this core serves waits for him.",
            ),
            x,
            y: Axis::log("us"),
            series: slowest,
        },
    ])
}

/// Nanoseconds of every newcomer.
fn arrivals(bounds: &Bounds<'_>, count: u32, member: Newcomer) -> Result<Vec<u32>, String> {
    let crowd = crowd();
    let mut quickest = vec![u32::MAX; count as usize];
    for run in 0..=RUNS {
        bounds.go_on()?;
        if run == 1 {
            quickest.fill(u32::MAX);
        }
        let mut swarms = swarms(Some(bounds.memory_max));
        let mut out = [0; shoal::limits::REPLY_LEN_MAX];
        for (number, quickest) in (0..count).zip(&mut quickest) {
            let announce = crowd.peer_announce(member(number), 50);
            let turn = shoal_bench::crowd::mix(u64::from(number));
            let start = Instant::now();
            let hash = swarms.hash(&announce.info_hash);
            swarms.announce(hash, &announce, NOW.uptime_s, turn, &mut out);
            let ns = start.elapsed().as_nanos();
            *quickest = (*quickest).min(u32::try_from(ns).unwrap_or(u32::MAX));
        }
    }
    Ok(quickest)
}
