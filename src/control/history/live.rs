//! The last five minutes, for rates.

use std::collections::VecDeque;
use std::time::Duration;

use super::Sources;
use super::bucket::Bucket;
use super::load::Times;
use crate::clock::Now;
use crate::counters::{Sizes, Totals};

/// How far back it goes.
const REACH: Duration = Duration::from_secs(300);

/// Two looks that are closer than this are one.
const GAP: Duration = Duration::from_millis(900);

/// Rates are taken over this time at least, as far as there is a past.
const WINDOW: Duration = Duration::from_millis(3500);

/// The last minutes.
#[derive(Default)]
pub(super) struct Recent {
    samples: VecDeque<Sample>,
    times: Times,
}

struct Sample {
    at: Duration,
    counted: Bucket,
    cores: Vec<Thread>,
    http_threads: Vec<Thread>,
}

struct Thread {
    requests: u64,
    run_ns: Option<u64>,
    turns: Sizes,
}

/// What happens now.
#[derive(Clone, Debug)]
pub struct Live {
    /// When it was looked.
    pub now: Now,
    /// All counters since the start, and all gauges.
    pub totals: Totals,
    /// What was counted in the last [`Live::seconds`].
    pub counted: Bucket,
    /// Between 1 and some 10; 0 right after the start.
    pub seconds: f64,
    /// How busy each core is.
    pub cores: Vec<ThreadLoad>,
    /// How busy each HTTP thread is.
    pub http_threads: Vec<ThreadLoad>,
    /// Rates of the last five minutes, the oldest first.
    pub points: Vec<Point>,
}

/// How busy a thread is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ThreadLoad {
    /// Requests a second that arrived there.
    pub requests: f64,
    /// Share of the time in which it ran, from 0 to 1; nothing where the kernel does not tell.
    pub busy: Option<f64>,
    /// How long its turns took; nothing when there was none, as HTTP threads have none.
    pub turn: Option<TurnTime>,
}

/// How long turns took: a request waits for one as a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TurnTime {
    /// On average, in nanoseconds.
    pub mean_ns: u64,
    /// 99 of 100 took at most so many nanoseconds; as counted by size, so this is a bound of a size.
    /// Nothing when they took longer than any bound.
    pub p99_ns: Option<u64>,
}

/// Rates of some seconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Point {
    /// How many seconds ago they ended.
    pub ago_s: f64,
    /// Requests a second.
    pub requests: f64,
    /// Answers a second.
    pub answers: f64,
}

impl Live {
    /// How often a second something happens that was counted `count` times.
    pub fn rate(&self, count: u64) -> f64 {
        rate(count, self.seconds)
    }
}

fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

impl Recent {
    /// Remembers what the counters say, unless it is too soon.
    pub(super) fn note(&mut self, at: Duration, counted: &Bucket, sources: &Sources) {
        if self.samples.back().is_some_and(|last| at < last.at + GAP) {
            return;
        }
        let mut threads = |kind: &str, of: &[std::sync::Arc<crate::counters::ThreadCounters>]| {
            let each = of.iter().enumerate();
            let thread = each.map(|(number, counters)| Thread {
                requests: Bucket::of(&counters.read()).requests(),
                run_ns: self.times.run_ns(&format!("{kind}-{number}")),
                turns: counters.turns().time_ns(),
            });
            thread.collect()
        };
        let sample = Sample {
            at,
            counted: *counted,
            cores: threads("core", &sources.cores),
            http_threads: threads("http", &sources.http_threads),
        };
        self.samples.push_back(sample);
        while self
            .samples
            .front()
            .is_some_and(|first| first.at + REACH < at)
        {
            self.samples.pop_front();
        }
    }

    pub(super) fn live(&self, now: Now, totals: Totals) -> Live {
        let mut live = Live {
            now,
            totals,
            counted: Bucket::default(),
            seconds: 0.0,
            cores: Vec::new(),
            http_threads: Vec::new(),
            points: self.points(),
        };
        if let Some(last) = self.samples.back() {
            let before = self
                .samples
                .iter()
                .rev()
                .find(|sample| sample.at + WINDOW <= last.at);
            let before = before.or(self.samples.front()).unwrap_or(last);
            live.counted = last.counted.since(&before.counted);
            live.seconds = last.at.saturating_sub(before.at).as_secs_f64();
            live.cores = loads(&before.cores, &last.cores, live.seconds);
            live.http_threads = loads(&before.http_threads, &last.http_threads, live.seconds);
        }
        live
    }

    fn points(&self) -> Vec<Point> {
        let Some(last) = self.samples.back() else {
            return Vec::new();
        };
        let pairs = self.samples.iter().zip(self.samples.iter().skip(1));
        let point = |(before, after): (&Sample, &Sample)| {
            let counted = after.counted.since(&before.counted);
            let seconds = after.at.saturating_sub(before.at).as_secs_f64();
            Point {
                ago_s: last.at.saturating_sub(after.at).as_secs_f64(),
                requests: rate(counted.requests(), seconds),
                answers: rate(counted.answers(), seconds),
            }
        };
        pairs.map(point).collect()
    }
}

fn loads(before: &[Thread], last: &[Thread], seconds: f64) -> Vec<ThreadLoad> {
    let load = |(before, last): (&Thread, &Thread)| {
        let run_ns = last.run_ns.zip(before.run_ns);
        let busy = |(last, before): (u64, u64)| {
            let busy = last.saturating_sub(before) as f64 / (seconds * 1e9);
            busy.min(1.0)
        };
        ThreadLoad {
            requests: rate(last.requests.saturating_sub(before.requests), seconds),
            busy: run_ns.filter(|_| seconds > 0.0).map(busy),
            turn: turn_time(&before.turns, &last.turns),
        }
    };
    before.iter().zip(last).map(load).collect()
}

fn turn_time(before: &Sizes, last: &Sizes) -> Option<TurnTime> {
    let turns = last.total().saturating_sub(before.total());
    let sum = last.sum.saturating_sub(before.sum);
    let mean_ns = sum.checked_div(turns)?;
    let mut so_far = 0;
    let mut pairs = last.counts.iter().zip(&before.counts);
    let at = pairs.position(|(last, before)| {
        so_far += last.saturating_sub(*before);
        u128::from(so_far) * 100 >= u128::from(turns) * 99
    });
    let p99_ns = at.and_then(|at| last.bounds.get(at)).copied();
    Some(TurnTime { mean_ns, p99_ns })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::ThreadCounters;

    #[test]
    fn a_turn_takes_what_99_of_100_took() {
        let counters = ThreadCounters::default();
        let turns = || counters.turns().time_ns();
        let start = turns();
        assert_eq!(turn_time(&start, &start), None);
        for _ in 0..99 {
            counters.turns().record(Duration::from_micros(4), 1);
        }
        counters.turns().record(Duration::from_secs(1), 1);
        let early = turn_time(&start, &turns()).unwrap();
        assert_eq!((early.mean_ns, early.p99_ns), (10_003_960, Some(5_000)));
        let later = turns();
        counters.turns().record(Duration::from_secs(1), 1);
        let late = turn_time(&later, &turns()).unwrap();
        assert_eq!((late.mean_ns, late.p99_ns), (1_000_000_000, None));
    }
}
