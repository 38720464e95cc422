//! Lives of swarms: they grow, are asked, and are forgotten. What the process takes is looked at in
//! between.

use std::hint::black_box;
use std::thread;
use std::time::Instant;

use fastrand::Rng;
use serde_json::{Value, json};
use shoal::heap;
use shoal::swarm::Swarms;
use shoal_bench::bare_core::{BareCore, Letter, NOW, PEER_TIMEOUT_S, TURN_MAX, swarms};
use shoal_bench::crowd::{Crowd, Member, mix};

use crate::process::{Look, forget_peak};

/// Announces of a turn, as many as the kernel hands over at most.
const TURN: usize = shoal::limits::TURN_DATAGRAMS_MAX;

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
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
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
        // At the same time as before: a core without sockets knows no other.
        for _ in 0..options.lives {
            (report, swarms) = grow(options, swarms, start.rss_kib)?;
        }
        Ok::<_, String>((report, swarms))
    };
    let joined = thread::scope(|scope| scope.spawn(lives).join());
    let (mut report, swarms) = joined.map_err(|_| "the core panicked")??;
    let begin = Instant::now();
    heap::give_back();
    report["trim_ms"] = json!(begin.elapsed().as_nanos() as f64 / 1e6);
    let end = Look::at(0)?;
    // Only now: an arena whose swarms are gone has nothing left to give.
    drop(swarms);
    report["trimmed_kib"] = json!(end.rss_kib.saturating_sub(start.rss_kib));
    println!("{report}");
    Ok(())
}

/// All but the last step, until everybody who falls silent is forgotten.
fn grow(options: &Options, mut swarms: Swarms, start_kib: u64) -> Result<(Value, Swarms), String> {
    let grown = |look: &Look| look.rss_kib.saturating_sub(start_kib);
    let crowd = Crowd::new(1, 0.5);
    forget_peak()?;
    arrive(options, &crowd, &mut swarms);
    let full = Look::at(0)?;
    let counted = swarms.memory_bytes();
    let mut core =
        BareCore::alone(swarms, true).map_err(|error| format!("cannot make a core: {error}"))?;
    let announce_ns = ask(options, &crowd, &mut core);
    let mut swarms = core.into_swarms();
    expire(&mut swarms);
    let expired = Look::at(0)?;
    let report = json!({
        "counted_kib": counted / 1024,
        "steady_kib": grown(&full),
        "peak_kib": full.rss_peak_kib.saturating_sub(start_kib),
        "announce_ns": announce_ns,
        "expired_counted_kib": swarms.memory_bytes() / 1024,
        "expired_kib": grown(&expired),
    });
    Ok((report, swarms))
}

/// First one peer of every torrent, then the next of each, as over a network.
fn arrive(options: &Options, crowd: &Crowd, swarms: &mut Swarms) {
    let torrents = u64::from(options.torrents);
    let total = torrents * u64::from(options.peers);
    let mut out = [0; shoal::limits::REPLY_LEN_MAX];
    for number in 0..total {
        let (torrent, peer) = ((number % torrents) as u32, (number / torrents) as u32);
        let announce = crowd.peer_announce(Member { torrent, peer }, 50);
        let hash = swarms.hash(&announce.info_hash);
        black_box(swarms.announce(hash, &announce, NOW.uptime_s, mix(number), &mut out));
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
            for letters in letters.chunks(TURN) {
                core.turn(letters);
            }
            start.elapsed().as_nanos() as f64 / TURN_MAX as f64
        })
        .collect();
    samples.sort_unstable_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Time passes until all are forgotten.
fn expire(swarms: &mut Swarms) {
    // Two passes: what one forgets, the next one gives back.
    for _ in 0..2 {
        while !swarms
            .sweep(NOW.uptime_s + 2 * PEER_TIMEOUT_S, SLICE)
            .pass_ended
        {}
    }
}
