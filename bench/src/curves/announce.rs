//! What an announce costs the core that owns its torrent: everything from the bytes of the datagram to
//! the bytes of the reply.

use fastrand::Rng;
use shoal::limits::TURN_DATAGRAMS_MAX;
use shoal::swarm::Swarms;
use shoal_bench::bare_core::{BareCore, Letter, TURN_MAX};
use shoal_bench::crowd::{Crowd, Member};

use super::sample::Cost;
use super::{Axis, Bounds, Curve, Series, crowd};

const NS: Axis = Axis::linear("ns an announce");

/// Announces of known members, drawn evenly, over and over again.
struct Asking {
    core: BareCore,
    crowd: Crowd,
    random: Rng,
    torrents: u32,
    peers: u32,
    wanted: u32,
    /// Datagrams of a turn.
    batch: usize,
    letters: Vec<Letter>,
}

/// What is asked of which swarms.
#[derive(Clone, Copy)]
struct Case {
    torrents: u32,
    peers: u32,
    wanted: u32,
    batch: usize,
    prefetch: bool,
}

impl Case {
    /// 50 wanted, full turns, prefetched.
    fn usual(torrents: u32, peers: u32) -> Self {
        Self {
            torrents,
            peers,
            wanted: 50,
            batch: TURN_DATAGRAMS_MAX,
            prefetch: true,
        }
    }

    /// What an announce takes, and the swarms for the next case.
    fn cost(self, bounds: &Bounds<'_>, swarms: Swarms) -> Result<(Cost, Swarms), String> {
        bounds.go_on()?;
        let core = BareCore::alone(swarms, self.prefetch);
        let mut asking = Asking {
            core: core.map_err(|error| format!("cannot make a core: {error}"))?,
            crowd: crowd(),
            random: Rng::with_seed(3),
            torrents: self.torrents,
            peers: self.peers,
            wanted: self.wanted,
            batch: self.batch,
            letters: Vec::with_capacity(TURN_MAX),
        };
        let cost = bounds
            .sampler
            .cost(TURN_MAX, &mut asking, Asking::draw, Asking::answer);
        Ok((cost, asking.core.into_swarms()))
    }
}

impl Asking {
    fn draw(&mut self) {
        let Self {
            random, letters, ..
        } = self;
        letters.clear();
        letters.extend((0..TURN_MAX).map(|_| {
            let member = Member {
                torrent: random.u32(..self.torrents),
                peer: random.u32(..self.peers),
            };
            Letter::announce(&self.crowd, member, self.wanted)
        }));
    }

    fn answer(&mut self) {
        for letters in self.letters.chunks(self.batch) {
            self.core.turn(letters);
        }
    }
}

pub(super) fn against_torrents(bounds: &Bounds<'_>) -> Result<Vec<Curve>, String> {
    let mut with = Series::new("with prefetch");
    let mut without = Series::new("without");
    for torrents in bounds.sizes(1000, 10_000_000) {
        let Some(swarms) = bounds.filled(torrents, 4)? else {
            break;
        };
        let case = Case::usual(torrents, 4);
        let (cost, swarms) = case.cost(bounds, swarms)?;
        with.add(torrents, cost);
        let case = Case {
            prefetch: false,
            ..case
        };
        without.add(torrents, case.cost(bounds, swarms)?.0);
    }
    Ok(vec![Curve {
        name: "torrents",
        title: "Torrents",
        text: String::from(
            "Torrents of 4 peers, drawn evenly; turns of 128 announces that want 50 peers. What rises is \
             the waiting for memory, once the torrents do not fit the caches any more.",
        ),
        x: Axis::log("torrents"),
        y: NS,
        series: vec![with, without],
    }])
}

/// Where the shape of a swarm changes (see `src/swarm/peer_index.rs`), and between.
const SHAPES: [u32; 27] = [
    1, 2, 4, 5, 8, 16, 32, 33, 64, 128, 200, 400, 700, 1024, 1025, 2000, 4000, 8000, 16_383,
    16_384, 32_000, 64_000, 125_000, 250_000, 500_000, 750_000, 1_000_000,
];

pub(super) fn against_peers(bounds: &Bounds<'_>) -> Result<Vec<Curve>, String> {
    let total = if bounds.quick { 5000 } else { 1_000_000 };
    let mut spread = Series::new("as many swarms as make a million peers");
    let mut hot = Series::new("one swarm");
    for peers in SHAPES.into_iter().filter(|peers| *peers <= total) {
        for (series, torrents) in [(&mut spread, total / peers), (&mut hot, 1)] {
            let Some(swarms) = bounds.filled(torrents, peers)? else {
                continue;
            };
            let (cost, _) = Case::usual(torrents, peers).cost(bounds, swarms)?;
            series.add(peers, cost);
        }
    }
    Ok(vec![Curve {
        name: "peers",
        title: "Peers of a swarm",
        text: String::from(
            "Known members announce and want 50 peers. Up to 4 they live in the torrent's own cache line; up to \
             32 a list is read through, up to 1024 a byte for each of its peers, up to 16 383 there are slots, \
             and above an index. One swarm has all announces of its line.",
        ),
        x: Axis::log("peers in the swarm"),
        y: NS,
        series: vec![spread, hot],
    }])
}

pub(super) fn against_numwant(bounds: &Bounds<'_>) -> Result<Vec<Curve>, String> {
    let all = if bounds.quick { 10_000 } else { 1_000_000 };
    let mut series = Vec::new();
    for (name, torrents) in [("swarms of 1000", all / 1000), ("one swarm", 1)] {
        let peers = all / torrents;
        let Some(mut swarms) = bounds.filled(torrents, peers)? else {
            continue;
        };
        let mut line = Series::new(&format!("{name}, {all} peers in all"));
        for wanted in [0, 1, 2, 5, 10, 20, 30, 50, 75, 100, 125, 150, 175, 200] {
            let case = Case {
                wanted,
                ..Case::usual(torrents, peers)
            };
            let (cost, rest) = case.cost(bounds, swarms)?;
            line.add(wanted, cost);
            swarms = rest;
        }
        series.push(line);
    }
    Ok(vec![Curve {
        name: "numwant",
        title: "Peers wanted",
        text: String::from(
            "As above, in large swarms. Four windows of the list are copied, so a peer more is 6 bytes more, and \
             a cache line every ten.",
        ),
        x: Axis::linear("numwant"),
        y: NS,
        series,
    }])
}

pub(super) fn against_batch(bounds: &Bounds<'_>) -> Result<Vec<Curve>, String> {
    let torrents = if bounds.quick { 10_000 } else { 1_000_000 };
    let mut lines = Vec::new();
    let filled = bounds.filled(torrents, 4)?;
    let mut swarms = filled.ok_or("--memory-max is too little for this")?;
    for (name, prefetch) in [("with prefetch", true), ("without", false)] {
        let mut line = Series::new(name);
        for batch in (0..=8).map(|power| 1 << power) {
            let case = Case {
                batch,
                prefetch,
                ..Case::usual(torrents, 4)
            };
            let (cost, rest) = case.cost(bounds, swarms)?;
            line.add(batch as f64, cost);
            swarms = rest;
        }
        lines.push(line);
    }
    Ok(vec![Curve {
        name: "batch",
        title: "Announces of a turn",
        text: format!(
            "{torrents} torrents of 4 peers. A turn asks memory for what all its announces will touch before \
             it answers the first. 128 is the most that one turn takes from its sockets, and 128 more may come from other \
             cores. System calls, which a turn shares as well, are not in it."
        ),
        x: Axis::log("announces of a turn"),
        y: NS,
        series: lines,
    }])
}
