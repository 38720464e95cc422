//! Forgetting the silent: what an entry costs, and how long one slice of the sweep takes.

use std::time::Instant;

use shoal::swarm::Swarms;
use shoal_bench::bare_core::{NOW, PEER_TIMEOUT_S};

use super::sample::Cost;
use super::{Axis, Bounds, Curve, Series};

/// Entries of a slice, as a core asks for them.
const SLICE: usize = 512;

/// Passes in which nobody has expired.
const PASSES: usize = 3;

/// Shapes of a crowd: a name, and how many torrents make so many entries.
const SHAPES: [(&str, Shape); 3] = [
    ("torrents of 4", |entries| (entries, 4)),
    ("peers in torrents of 200", |entries| {
        (entries.div_ceil(200), 200)
    }),
    ("peers of one torrent", |entries| (1, entries)),
];

/// Torrents, and peers of each.
type Shape = fn(u32) -> (u32, u32);

pub(super) fn measure(bounds: &Bounds<'_>) -> Result<Vec<Curve>, String> {
    let (mut cost, mut slowest) = (Vec::new(), Vec::new());
    for (name, shape) in SHAPES {
        let mut quiet = Series::new(&format!("{name}, nobody expired"));
        let mut expired = Series::new(&format!("{name}, all expired"));
        let (mut quiet_peak, mut expired_peak) =
            (Series::new(&quiet.name), Series::new(&expired.name));
        let most = if name.contains("one") {
            1_000_000
        } else {
            10_000_000
        };
        for entries in bounds.sizes(1000, most) {
            let (torrents, peers) = shape(entries);
            let Some(mut swarms) = bounds.filled(torrents, peers)? else {
                break;
            };
            let mut slices = Vec::new();
            let mut peak = f64::INFINITY;
            for _ in 0..PASSES {
                let pass = pass(&mut swarms, NOW.uptime_s);
                peak = peak.min(highest(&pass));
                slices.extend(pass);
            }
            quiet.add(entries, Cost::of(slices));
            quiet_peak.add(entries, Cost::exactly(peak * SLICE as f64 / 1000.0));
            let pass = pass(&mut swarms, NOW.uptime_s + 2 * PEER_TIMEOUT_S);
            expired_peak.add(
                entries,
                Cost::exactly(highest(&pass) * SLICE as f64 / 1000.0),
            );
            expired.add(entries, Cost::of(pass));
        }
        cost.extend([quiet, expired]);
        slowest.extend([quiet_peak, expired_peak]);
    }
    let x = Axis::log("entries");
    Ok(vec![
        Curve {
            name: "sweep",
            title: "The sweep",
            text: String::from(
                "What the sweep takes for an entry (a torrent's record or a listed peer), in slices of 512, which is what \
                 one turn does at most. Torrents of 4 have their peers in their record.",
            ),
            x,
            y: Axis::linear("ns an entry"),
            series: cost,
        },
        Curve {
            name: "sweep-slowest",
            title: "The slowest slice of the sweep",
            text: format!(
                "A slice of 512 entries; the one that took longest in a pass. Of {PASSES} passes in which nobody has \
                 expired the best one counts; the pass that forgets everybody can be made once only, so an \
                 interruption shows."
            ),
            x,
            y: Axis::log("us a slice"),
            series: slowest,
        },
    ])
}

/// Nanoseconds an entry, of each slice of a pass.
fn pass(swarms: &mut Swarms, now_s: u32) -> Vec<f64> {
    let mut slices = Vec::new();
    loop {
        let start = Instant::now();
        let swept = swarms.sweep(now_s, SLICE);
        let ns = start.elapsed().as_nanos() as f64;
        if swept.looked_at > 0 {
            slices.push(ns / swept.looked_at as f64);
        }
        if swept.pass_ended {
            return slices;
        }
    }
}

fn highest(slices: &[f64]) -> f64 {
    slices.iter().copied().fold(0.0, f64::max)
}
