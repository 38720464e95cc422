//! Many short samples. A sample that was interrupted is far off and stands at the end of the order, so
//! the middle one tells what the work takes even on a machine that has other things to do.

use std::time::{Duration, Instant};

/// Samples that are taken at least and at most.
const SAMPLES_MIN: usize = 15;
const SAMPLES_MAX: usize = 20_000;

/// What something takes: the middle of all samples, and what nine in ten lie above and below.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Cost {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Cost {
    /// A single figure.
    pub(crate) fn exactly(figure: f64) -> Self {
        Self {
            low: figure,
            median: figure,
            high: figure,
        }
    }

    /// Of samples that were taken elsewhere; there must be one at least.
    pub(crate) fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_unstable_by(f64::total_cmp);
        let at = |share: usize| samples[(samples.len() - 1) * share / 10];
        Self {
            low: at(1),
            median: at(5),
            high: at(9),
        }
    }
}

/// Takes samples until it had so much time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampler {
    patience: Duration,
}

impl Sampler {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience }
    }

    /// The nanoseconds that one of `things` takes when `work` does so many at a time. `prepare` goes
    /// before each sample and is not timed; a first sample warms up and does not count.
    pub(super) fn cost<C>(
        &self,
        things: usize,
        context: &mut C,
        mut prepare: impl FnMut(&mut C),
        mut work: impl FnMut(&mut C),
    ) -> Cost {
        let mut samples = Vec::new();
        let begin = Instant::now();
        while samples.len() <= SAMPLES_MIN
            || begin.elapsed() < self.patience && samples.len() < SAMPLES_MAX
        {
            prepare(context);
            let start = Instant::now();
            work(context);
            samples.push(start.elapsed().as_nanos() as f64 / things as f64);
        }
        samples.remove(0);
        Cost::of(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_told_and_one_that_is_far_off_moves_nothing() {
        let mut samples: Vec<f64> = (0..=100).map(f64::from).collect();
        samples[50] = 1e9;
        let cost = Cost::of(samples);
        assert_eq!((cost.low, cost.median, cost.high), (10.0, 51.0, 91.0));
    }

    #[test]
    fn what_is_prepared_is_not_timed() {
        let mut calls = (0, 0);
        let sampler = Sampler::new(Duration::ZERO);
        let cost = sampler.cost(
            10,
            &mut calls,
            |calls| {
                calls.0 += 1;
                std::thread::sleep(Duration::from_millis(2));
            },
            |calls| calls.1 += 1,
        );
        assert_eq!(calls, (SAMPLES_MIN + 1, SAMPLES_MIN + 1));
        assert!(cost.median < 100_000.0, "{cost:?}");
    }
}
