//! What it costs that an announce arrives at a core which does not own its torrent, as most do without
//! steering. Two cores stand for any number: of `n` cores, `n - 1` in `n` announces arrive at the wrong
//! one, so the two are given that share.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use fastrand::Rng;
use shoal::counters::{Count, Discard};
use shoal::limits::TURN_DATAGRAMS_MAX;
use shoal::swarm::Swarms;
use shoal_bench::bare_core::{BareCore, Letter, NOW, Seat, steering, swarms};
use shoal_bench::crowd::{Crowd, Member};

use super::sample::Cost;
use super::{Axis, Bounds, Curve, Series, crowd};
use crate::sys;

const CORES: [u32; 6] = [1, 2, 4, 8, 16, 32];
const PEERS: u32 = 4;

/// Turns that a core may be ahead of the other: far less than a mailbox holds.
const LEAD_MAX: u64 = 4;

/// Turns of a sample: what a core leaves to its next turn does not show.
const SAMPLE_TURNS: u64 = 10;

/// One of two cores while nobody asks it.
struct Share {
    swarms: Swarms,
    /// The torrents that this core owns, and those of the other.
    own: Arc<[u32]>,
    foreign: Arc<[u32]>,
}

impl Share {
    /// The core begins to work, on the thread that calls this.
    fn open(self, seat: Seat, crowd: Crowd) -> Result<Side, String> {
        let core = BareCore::at(seat, self.swarms, true);
        Ok(Side {
            core: core.map_err(|error| format!("cannot make a core: {error}"))?,
            crowd,
            random: Rng::with_seed(u64::from(self.own[0])),
            own: self.own,
            foreign: self.foreign,
            letters: Vec::with_capacity(TURN_DATAGRAMS_MAX),
        })
    }
}

/// One of two cores, and who asks it.
struct Side {
    core: BareCore,
    crowd: Crowd,
    random: Rng,
    own: Arc<[u32]>,
    foreign: Arc<[u32]>,
    letters: Vec<Letter>,
}

impl Side {
    /// A turn's worth of announces, of which `foreign_share` belong to the other core.
    fn draw(&mut self, foreign_share: f64) {
        let Self {
            random,
            crowd,
            letters,
            ..
        } = self;
        letters.clear();
        letters.extend((0..TURN_DATAGRAMS_MAX).map(|_| {
            let is_foreign = random.f64() < foreign_share;
            let torrents = if is_foreign { &self.foreign } else { &self.own };
            let torrent = torrents[random.usize(..torrents.len())];
            let peer = random.u32(..PEERS);
            Letter::announce(crowd, Member { torrent, peer }, 50)
        }));
    }

    fn turn(&mut self) {
        self.core.turn(&self.letters);
    }

    /// The core ends. An error when its neighbour's queue was full: the figures would be too low.
    fn close(self) -> Result<Share, String> {
        let dropped = self
            .core
            .totals()
            .get(Count::Discarded(Discard::HandoverFull));
        if dropped > 0 {
            return Err(format!("{dropped} handovers found a full queue"));
        }
        Ok(Share {
            swarms: self.core.into_swarms(),
            own: self.own,
            foreign: self.foreign,
        })
    }
}

pub(super) fn measure(bounds: &Bounds<'_>) -> Result<Vec<Curve>, String> {
    let mut shares = shares(bounds);
    let mut one_thread = Series::new("both cores on one CPU");
    let mut two_threads = Series::new("a CPU each");
    let next = bounds.cpu + 1;
    let has_two = thread::spawn(move || sys::pin_to_cpu(next).is_ok()).join();
    let has_two = has_two.unwrap_or(false);
    for cores in CORES {
        bounds.go_on()?;
        let foreign_share = f64::from(cores - 1) / f64::from(cores);
        let cost;
        (cost, shares) = in_one_thread(bounds, shares, foreign_share)?;
        one_thread.add(cores, cost);
        if has_two {
            let cost;
            (cost, shares) = in_two_threads(bounds, shares, foreign_share)?;
            two_threads.add(cores, cost);
        }
    }
    let measured = if has_two { &two_threads } else { &one_thread };
    let (table, model) = model(measured, bounds.kernel_ns);
    let mut series = vec![one_thread];
    series.extend(has_two.then_some(two_threads));
    series.push(model);
    Ok(vec![Curve {
        name: "cores",
        title: "Cores without steering",
        text: format!(
            "Of n cores, n - 1 in n announces arrive at one that does not own the torrent and hands them over. Two \
             cores are given that share of each other's torrents ({PEERS} peers each), in turns of 128. On one CPU the \
             queue is always in its cache; with a CPU each, every handover crosses from one to the other.\n\n{table}"
        ),
        x: Axis::log("cores"),
        y: Axis::linear("ns an announce"),
        series,
    }])
}

/// Two cores with as many torrents as the curve of batches has.
fn shares(bounds: &Bounds<'_>) -> Vec<Share> {
    let torrents = if bounds.quick { 5000 } else { 1_000_000 };
    let crowd = crowd();
    let is_first = |torrent: &u32| steering(2).core_of(&crowd.info_hash(*torrent)) == 0;
    let (first, second): (Vec<u32>, Vec<u32>) = (0..torrents).partition(is_first);
    let (first, second): (Arc<[u32]>, Arc<[u32]>) = (first.into(), second.into());
    let share = |own: &Arc<[u32]>, foreign: &Arc<[u32]>| {
        let mut swarms = swarms(Some(bounds.memory_max));
        crowd.fill(&mut swarms, own.iter().copied(), PEERS, NOW.uptime_s);
        let (own, foreign) = (Arc::clone(own), Arc::clone(foreign));
        Share {
            swarms,
            own,
            foreign,
        }
    };
    vec![share(&first, &second), share(&second, &first)]
}

fn seats() -> Result<Vec<Seat>, String> {
    Seat::among(2).map_err(|error| format!("cannot make a core: {error}"))
}

fn in_one_thread(
    bounds: &Bounds<'_>,
    shares: Vec<Share>,
    foreign_share: f64,
) -> Result<(Cost, Vec<Share>), String> {
    let mut sides = shares
        .into_iter()
        .zip(seats()?)
        .map(|(share, seat)| share.open(seat, crowd()))
        .collect::<Result<Vec<Side>, String>>()?;
    let cost = bounds.sampler.cost(
        2 * TURN_DATAGRAMS_MAX,
        &mut sides,
        |sides| sides.iter_mut().for_each(|side| side.draw(foreign_share)),
        |sides| sides.iter_mut().for_each(Side::turn),
    );
    let shares = sides.into_iter().map(Side::close);
    Ok((cost, shares.collect::<Result<_, String>>()?))
}

/// Each core has a thread on a CPU of its own. Neither runs away from the other, so that in the middle
/// of all turns a core answers as many announces as it takes in.
fn in_two_threads(
    bounds: &Bounds<'_>,
    shares: Vec<Share>,
    foreign_share: f64,
) -> Result<(Cost, Vec<Share>), String> {
    let turns = if bounds.quick { 100 } else { 20_000 };
    let done = [AtomicU64::new(0), AtomicU64::new(0)];
    let (crowd, cpu) = (crowd(), bounds.cpu);
    let work = |me: usize, share: Share, seat: Seat| {
        let _ends = Ends(&done[me]);
        sys::pin_to_cpu(cpu + me).map_err(|error| format!("cannot use the next CPU: {error}"))?;
        let mut side = share.open(seat, crowd)?;
        let (mine, others) = (&done[me], &done[1 - me]);
        let mut samples = Vec::new();
        let mut ns = 0;
        for turn in 1..=turns {
            side.draw(foreign_share);
            while others.load(Ordering::Relaxed) + LEAD_MAX < turn {
                thread::yield_now();
            }
            let start = Instant::now();
            side.turn();
            ns += start.elapsed().as_nanos();
            mine.store(turn, Ordering::Relaxed);
            if turn.is_multiple_of(SAMPLE_TURNS) {
                let announces = SAMPLE_TURNS * TURN_DATAGRAMS_MAX as u64;
                samples.push(ns as f64 / announces as f64);
                ns = 0;
            }
        }
        Ok((samples, side.close()?))
    };
    let seats = seats()?;
    let ended: Vec<Result<_, String>> = thread::scope(|scope| {
        let work = &work;
        let start = |(me, (share, seat))| scope.spawn(move || work(me, share, seat));
        let threads: Vec<_> = shares
            .into_iter()
            .zip(seats)
            .enumerate()
            .map(start)
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| String::from("a core panicked"))?)
            .collect()
    });
    let (mut all, mut shares) = (Vec::new(), Vec::new());
    for ended in ended {
        let (samples, share) = ended?;
        all.extend(samples);
        shares.push(share);
    }
    Ok((Cost::of(all), shares))
}

/// However a core ends, nobody waits for it any more.
struct Ends<'a>(&'a AtomicU64);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(u64::MAX / 2, Ordering::Relaxed);
    }
}

/// What one and two cores tell of more, in a table and as a line.
///
/// A handover costs `h` whoever it is for, so `n` cores take `c + h (n - 1) / n` for an announce;
/// `c` is the price at one core, and `h` twice what the second adds.
fn model(measured: &Series, kernel_ns: f64) -> (String, Series) {
    let at = |cores: f64| {
        let point = measured
            .points
            .iter()
            .find(|(x, _)| (x - cores).abs() < 0.5);
        point.map_or(0.0, |(_, cost)| cost.median)
    };
    let alone = at(1.0);
    let handover = 2.0 * (at(2.0) - alone);
    let mut line = Series::new("model from 1 and 2 cores");
    let mut table = format!(
        "An announce takes {alone:.0} ns at its owner, and {handover:.0} ns more if it is handed over. With \
         {kernel_ns:.0} ns in the kernel for each datagram and its reply, that is:\n\n\
         | cores | ns without steering | share of the handovers | throughput with steering | without |\n\
         |---|---|---|---|---|\n"
    );
    for cores in CORES.map(f64::from) {
        let extra = handover * (cores - 1.0) / cores;
        line.add(cores, Cost::exactly(alone + extra));
        let all = kernel_ns + alone + extra;
        let _ = writeln!(
            table,
            "| {cores} | {all:.0} | {:.1}% | {cores:.2} | {:.2} |",
            100.0 * extra / all,
            cores * (kernel_ns + alone) / all,
        );
    }
    (table, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_a_line_through_one_and_two_cores() {
        let mut measured = Series::new("measured");
        measured.add(1, Cost::exactly(300.0));
        measured.add(2, Cost::exactly(350.0));
        let (table, line) = model(&measured, 3600.0);
        let predicted: Vec<f64> = line.points.iter().map(|(_, cost)| cost.median).collect();
        assert_eq!(predicted, [300.0, 350.0, 375.0, 387.5, 393.75, 396.875]);
        assert!(
            table.contains("300 ns at its owner, and 100 ns more"),
            "{table}"
        );
        // 2 * 3900 / 3950
        assert!(
            table.contains("| 2 | 3950 | 1.3% | 2.00 | 1.97 |"),
            "{table}"
        );
    }
}
