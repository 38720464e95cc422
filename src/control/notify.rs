//! What systemd is told, where it started the tracker: ready, reloading, stopping, and that all cores
//! still turn (`sd_notify(3)`). Elsewhere nobody is told anything.

use std::io;
use std::time::Duration;

use log::warn;
use sd_notify::NotifyState;

use crate::clock::Stopwatch;
use crate::counters::{Tally, Totals};

/// Least time after which a core counts as standing still: an idle one turns once a second.
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

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("systemd cannot be told how the tracker is: {error}");
    }
}

/// Gives signs of life while every core turns.
pub(super) struct Watchdog {
    /// Within which time systemd wants to hear one.
    timeout: Duration,
    age: Stopwatch,
    /// The turns of each core, and at which age that number was seen to change.
    cores: Vec<(u64, Duration)>,
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
            cores: Vec::new(),
            complained: false,
        }
    }

    /// How often to call [`Self::feed`].
    pub(super) fn every(&self) -> Duration {
        self.timeout / 4
    }

    /// Gives a sign of life, unless one of these cores stands still; the first time that one does is a
    /// warning.
    pub(super) fn feed(&mut self, cores: &[Totals]) {
        let turns = cores.iter().map(|totals| totals.tally(Tally::Turns));
        match self.stuck(turns, self.age.elapsed()) {
            None => {
                self.complained = false;
                // systemd is gone when it does not take it, and then it cannot mind.
                let _: io::Result<()> = sd_notify::notify(&[NotifyState::Watchdog]);
            }
            Some(core) if !self.complained => {
                self.complained = true;
                warn!("core {core} stands still; the watchdog of systemd is not fed");
            }
            Some(_) => {}
        }
    }

    /// The first core whose turns have not become more for half of the time that systemd waits.
    fn stuck(&mut self, turns: impl Iterator<Item = u64>, age: Duration) -> Option<usize> {
        let still = (self.timeout / 2).max(STILL_MIN);
        let mut stuck = None;
        for (core, turns) in turns.enumerate() {
            match self.cores.get_mut(core) {
                None => self.cores.push((turns, age)),
                Some((seen, since)) if *seen != turns => (*seen, *since) = (turns, age),
                Some((_, since)) if age.saturating_sub(*since) < still => {}
                Some(_) => stuck = stuck.or(Some(core)),
            }
        }
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_that_does_not_turn_for_half_of_the_time_is_stuck_until_it_turns_again() {
        let mut watchdog = Watchdog::with_timeout(Duration::from_secs(30));
        let mut stuck = |second, turns: [u64; 2]| {
            watchdog.stuck(turns.into_iter(), Duration::from_secs(second))
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
        let mut watchdog = Watchdog::with_timeout(Duration::from_secs(1));
        for quarter in 0..40 {
            let age = watchdog.every() * quarter;
            assert_eq!(
                watchdog.stuck([u64::from(quarter / 4)].into_iter(), age),
                None
            );
        }
    }
}
