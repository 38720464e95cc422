//! Lives of swarms: they grow, are asked, and are forgotten. What the process takes is looked at in
//! between.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use fastrand::Rng;
use serde_json::{Value, json};
use shoal::heap;
use shoal::swarm::Swarms;
use shoal_bench::bare_core::{BareCore, Letter, NOW, PEER_TIMEOUT_S, TURN_MAX, swarms};
use shoal_bench::crowd::{Crowd, Member, mix};

use crate::process::{Look, forget_peak};

/// Newcomers of a turn, as many as the kernel hands over at most.
const TURN: u64 = shoal::limits::TURN_DATAGRAMS_MAX as u64;

/// Entries of a slice of the sweep, as a core asks for them.
const SLICE: usize = 512;

/// Turns of announces of known members.
const TURNS: usize = 20_000;

/// What lives.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Torrents
    pub(super) torrents: u32,

    /// Peers of each
    pub(super) peers: u32,

    /// Leave the allocator as the C library sets it up
    #[arg(long)]
    pub(super) bare: bool,

    /// Lives one after the other; the last one is told of
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) lives: u32,
}

/// Lives on a thread of its own, as a core does, and prints what it was like.
pub(crate) fn live(options: &Options) -> Result<(), String> {
    if !options.bare {
        heap::prepare();
    }
    let start = Look::at(0)?;
    let lives = || {
        let mut swarms = swarms(None);
        let mut report = Value::Null;
        for life in 0..options.lives {
            // Later than everything before it, or nobody would be forgotten.
            let now_s = NOW.uptime_s + life * 3 * PEER_TIMEOUT_S;
            (report, swarms) = grow(options, swarms, now_s, start.rss_kib)?;
        }
        Ok::<_, String>((report, swarms))
    };
    let joined = thread::scope(|scope| scope.spawn(lives).join());
    let (mut report, swarms) = joined.map_err(|_| "the core panicked")??;
    let trim = trim_beside(swarms);
    let end = Look::at(0)?;
    report["trim_ms"] = json!(trim.took_ms);
    report["turn_beside_trim_us"] = json!(trim.slowest_us);
    report["trimmed_kib"] = json!(end.rss_kib.saturating_sub(start.rss_kib));
    println!("{report}");
    Ok(())
}

/// All but the last step, until everybody who falls silent is forgotten.
fn grow(
    options: &Options,
    mut swarms: Swarms,
    now_s: u32,
    start_kib: u64,
) -> Result<(Value, Swarms), String> {
    let grown = |look: &Look| look.rss_kib.saturating_sub(start_kib);
    let crowd = Crowd::new(1, 0.5);
    forget_peak()?;
    let arrival = arrive(options, &crowd, &mut swarms, now_s);
    let full = Look::at(0)?;
    let counted = swarms.memory_bytes();
    let mut core =
        BareCore::alone(swarms, true).map_err(|error| format!("cannot make a core: {error}"))?;
    let announce_ns = ask(options, &crowd, &mut core);
    let mut swarms = core.into_swarms();
    let sweep_us = expire(&mut swarms, now_s + 2 * PEER_TIMEOUT_S);
    let expired = Look::at(0)?;
    let report = json!({
        "counted_kib": counted / 1024,
        "steady_kib": grown(&full),
        "peak_kib": full.rss_peak_kib.saturating_sub(start_kib),
        "arrival_ns": arrival.mean_ns,
        "arrival_turn_us": arrival.slowest_us,
        "announce_ns": announce_ns,
        "sweep_slice_us": sweep_us,
        "expired_counted_kib": swarms.memory_bytes() / 1024,
        "expired_kib": grown(&expired),
    });
    Ok((report, swarms))
}

struct Arrival {
    mean_ns: f64,
    slowest_us: f64,
}

/// First one peer of every torrent, then the next of each, as over a network.
fn arrive(options: &Options, crowd: &Crowd, swarms: &mut Swarms, now_s: u32) -> Arrival {
    let torrents = u64::from(options.torrents);
    let total = torrents * u64::from(options.peers);
    let mut out = [0; shoal::limits::REPLY_LEN_MAX];
    let (mut sum_ns, mut slowest_ns) = (0.0, 0.0_f64);
    let mut announces = Vec::with_capacity(TURN as usize);
    for from in (0..total).step_by(TURN as usize) {
        announces.clear();
        announces.extend((from..total.min(from + TURN)).map(|number| {
            let (torrent, peer) = ((number % torrents) as u32, (number / torrents) as u32);
            crowd.peer_announce(Member { torrent, peer }, 50)
        }));
        let start = Instant::now();
        for announce in &announces {
            let hash = swarms.hash(&announce.info_hash);
            let answer = swarms.announce(hash, announce, now_s, mix(from), &mut out);
            black_box(answer);
        }
        let ns = start.elapsed().as_nanos() as f64;
        sum_ns += ns;
        slowest_ns = slowest_ns.max(ns);
    }
    Arrival {
        mean_ns: sum_ns / total as f64,
        slowest_us: slowest_ns / 1000.0,
    }
}

/// Nanoseconds of an announce of a known member, from the bytes of the datagram to those of the reply.
fn ask(options: &Options, crowd: &Crowd, core: &mut BareCore) -> f64 {
    let mut random = Rng::with_seed(3);
    let mut samples: Vec<f64> = (0..TURNS)
        .map(|_| {
            let letters: Vec<Letter> = (0..TURN_MAX)
                .map(|_| {
                    let torrent = random.u32(..options.torrents);
                    let peer = random.u32(..options.peers);
                    Letter::announce(crowd, Member { torrent, peer }, 50)
                })
                .collect();
            let start = Instant::now();
            for letters in letters.chunks(TURN as usize) {
                core.turn(letters);
            }
            start.elapsed().as_nanos() as f64 / TURN_MAX as f64
        })
        .collect();
    samples.sort_unstable_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Time passes until all are forgotten; returns the microseconds of the slowest slice of the sweep.
fn expire(swarms: &mut Swarms, later_s: u32) -> f64 {
    let mut slowest_ns = 0;
    // Two passes: what one forgets, the next one gives back.
    for _ in 0..2 {
        loop {
            let start = Instant::now();
            let swept = swarms.sweep(later_s, SLICE);
            slowest_ns = slowest_ns.max(start.elapsed().as_nanos());
            if swept.pass_ended {
                break;
            }
        }
    }
    slowest_ns as f64 / 1000.0
}

struct Trim {
    took_ms: f64,
    slowest_us: f64,
}

/// Gives memory back, while a core goes on to hear of newcomers.
fn trim_beside(mut swarms: Swarms) -> Trim {
    let (started, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let crowd = Crowd::new(2, 0.5);
    thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let mut slowest_ns = 0;
            let mut out = [0; shoal::limits::REPLY_LEN_MAX];
            for number in 0.. {
                let announce = crowd.peer_announce(
                    Member {
                        torrent: number % 1000,
                        peer: number / 1000,
                    },
                    50,
                );
                let start = Instant::now();
                let hash = swarms.hash(&announce.info_hash);
                swarms.announce(hash, &announce, NOW.uptime_s, 0, &mut out);
                slowest_ns = slowest_ns.max(start.elapsed().as_nanos());
                started.store(number > 1000, Ordering::Relaxed);
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
            slowest_ns as f64 / 1000.0
        });
        while !started.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
        let start = Instant::now();
        heap::give_back();
        let took_ms = start.elapsed().as_nanos() as f64 / 1e6;
        done.store(true, Ordering::Relaxed);
        Trim {
            took_ms,
            slowest_us: serving.join().unwrap_or(0.0),
        }
    })
}
