//! What systemd is told, where it started the tracker: ready, reloading, stopping, and that all cores
//! and HTTP threads still turn (`sd_notify(3)`). Elsewhere nobody is told anything.

use std::io;
use std::time::Duration;

use log::warn;
use sd_notify::NotifyState;

use crate::clock::Stopwatch;
use crate::counters::{Tally, Totals};

/// Least time after which a thread counts as standing still: an idle core turns once a second.
const STILL_MIN: Duration = Duration::from_secs(3);

/// Everything is bound and restored, or read again.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again; [`ready`] ends that.
pub(super) fn reloading() {
    // By this time systemd tells the answer to its signal from an earlier one.
    let Ok(since) = NotifyState::monotonic_usec_now() else {
        return;
    };
    tell(&[NotifyState::Reloading, since]);
}

/// The tracker comes to its end, and no sign of life is to be expected any more.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Another process is the tracker now; this one is only about to end.
pub(crate) fn handed_over(pid: u32) {
    tell(&[NotifyState::MainPid(pid)]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("systemd cannot be told how the tracker is: {error}");
    }
}

/// Gives signs of life while every core and every HTTP thread turns.
pub(super) struct Watchdog {
    /// Within which time systemd wants to hear one.
    timeout: Duration,
    age: Stopwatch,
    cores: Progress,
    http_threads: Progress,
    complained: bool,
}

impl Watchdog {
    /// The watchdog that systemd asks for, if it does.
    pub(super) fn wanted() -> Option<Self> {
        let timeout = sd_notify::watchdog_enabled().filter(|timeout| !timeout.is_zero());
        timeout.map(Self::with_timeout)
    }

    fn with_timeout(timeout: Duration) -> Self {
        Self {
            timeout,
            age: Stopwatch::start(),
            cores: Progress::default(),
            http_threads: Progress::default(),
            complained: false,
        }
    }

    /// How often to call [`Self::feed`].
    pub(super) fn every(&self) -> Duration {
        self.timeout / 4
    }

    /// Gives a sign of life, unless one of these cores stands still, or one of the HTTP threads, of which
    /// these numbers grow; the first time that one does is a warning.
    pub(super) fn feed(&mut self, cores: &[Totals], http_beats: &[u64]) {
        let turns = cores.iter().map(|totals| totals.tally(Tally::Turns));
        let (age, still) = (self.age.elapsed(), self.still());
        let core = self.cores.stuck(turns, age, still);
        let http_thread = self
            .http_threads
            .stuck(http_beats.iter().copied(), age, still);
        let stuck = match (core, http_thread) {
            (Some(core), _) => format!("core {core}"),
            (None, Some(number)) => format!("HTTP thread {number}"),
            (None, None) => {
                self.complained = false;
                // systemd is gone when it does not take it, and then it cannot mind.
                let _: io::Result<()> = sd_notify::notify(&[NotifyState::Watchdog]);
                return;
            }
        };
        if !std::mem::replace(&mut self.complained, true) {
            warn!("{stuck} stands still; the watchdog of systemd is not fed");
        }
    }

    /// How long a thread may take for its next turn: half of the time that systemd waits.
    fn still(&self) -> Duration {
        (self.timeout / 2).max(STILL_MIN)
    }
}

/// What some threads count of their turns.
#[derive(Default)]
struct Progress {
    /// The number of each, and at which age it was seen to change.
    threads: Vec<(u64, Duration)>,
}

impl Progress {
    /// The first thread whose number has not changed for as long as `still`.
    fn stuck(
        &mut self,
        turns: impl Iterator<Item = u64>,
        age: Duration,
        still: Duration,
    ) -> Option<usize> {
        let mut stuck = None;
        for (thread, turns) in turns.enumerate() {
            match self.threads.get_mut(thread) {
                None => self.threads.push((turns, age)),
                Some((seen, since)) if *seen != turns => (*seen, *since) = (turns, age),
                Some((_, since)) if age.saturating_sub(*since) < still => {}
                Some(_) => stuck = stuck.or(Some(thread)),
            }
        }
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_does_not_turn_for_half_of_the_time_is_stuck_until_it_turns_again() {
        let still = Watchdog::with_timeout(Duration::from_secs(30)).still();
        let mut threads = Progress::default();
        let mut stuck = |second, turns: [u64; 2]| {
            threads.stuck(turns.into_iter(), Duration::from_secs(second), still)
        };
        assert_eq!(stuck(0, [5, 5]), None);
        assert_eq!(stuck(10, [6, 5]), None);
        assert_eq!(stuck(14, [7, 5]), None);
        assert_eq!(stuck(15, [8, 5]), Some(1));
        assert_eq!(stuck(16, [9, 5]), Some(1));
        assert_eq!(stuck(17, [9, 6]), None);
        assert_eq!(stuck(40, [9, 6]), Some(0), "the first of both");
    }

    #[test]
    fn a_core_that_idles_is_not_stuck_however_impatient_systemd_is() {
        let watchdog = Watchdog::with_timeout(Duration::from_secs(1));
        let mut cores = Progress::default();
        for quarter in 0..40 {
            let age = watchdog.every() * quarter;
            let turns = [u64::from(quarter / 4)].into_iter();
            assert_eq!(cores.stuck(turns, age, watchdog.still()), None);
        }
    }
}
