//! The time, asked for when a turn begins and when it ends. This is the only file that asks the operating system.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// The least step of the wall clock that is followed. Both clocks are read in whole seconds, each with a fraction
/// that is cut, so less may be none.
const STEP_MIN_S: u64 = 2;

/// A clock that all cores share. Uptime ticks with the monotonic clock, so that a corrected wall clock
/// neither expires every peer nor keeps the dead. Unix time is the wall time of the start plus uptime, and
/// follows the wall clock when that is set: it is looked at once a second.
#[derive(Clone)]
pub struct Clock {
    started: Instant,
    started_unix_s: u64,
    shared: Arc<Shared>,
}

/// What all copies of a clock share; written once a second at most.
#[derive(Default)]
struct Shared {
    shift_s: AtomicU32,
    /// By how much the wall clock was set forward since the start.
    set_by_s: AtomicI64,
    /// The second of uptime in which it was looked at.
    looked_in: AtomicU64,
}

/// How long something takes. Tests cannot advance it.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Measures from now on.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// What has passed since.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// One reading of the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// Seconds since the tracker started.
    pub uptime_s: u32,
    /// Seconds since 1970.
    pub unix_s: u64,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            started_unix_s: wall_s(),
            shared: Arc::default(),
        }
    }

    /// The time. No system call: the kernel maps its clock into the process.
    pub fn now(&self) -> Now {
        self.at(Instant::now())
    }

    /// The time, and what measures from then on: one reading for both.
    pub fn now_and_stopwatch(&self) -> (Now, Stopwatch) {
        let instant = Instant::now();
        (self.at(instant), Stopwatch(instant))
    }

    fn at(&self, instant: Instant) -> Now {
        let shared = &*self.shared;
        let shift_s = u64::from(shared.shift_s.load(Ordering::Relaxed));
        let passed = instant.saturating_duration_since(self.started);
        let passed_s = passed.as_secs() + shift_s;
        let steady_s = self.started_unix_s + passed_s;
        let looked_s = shared.looked_in.load(Ordering::Relaxed);
        if passed_s > looked_s {
            let one = Ordering::Relaxed;
            let looks = shared
                .looked_in
                .compare_exchange(looked_s, passed_s, one, one);
            if looks.is_ok() {
                shared.follow(wall_s().saturating_add(shift_s), steady_s);
            }
        }
        let set_by_s = shared.set_by_s.load(Ordering::Relaxed);
        Now {
            uptime_s: passed_s as u32,
            unix_s: steady_s.saturating_add_signed(set_by_s),
        }
    }

    /// Lets `seconds` pass at once, on every core: for tests of what takes hours.
    pub fn advance(&self, seconds: u32) {
        self.shared.shift_s.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Shared {
    /// Notes where the wall clock is while a clock that nobody sets would be at `steady_s`.
    fn follow(&self, wall_s: u64, steady_s: u64) {
        let set_by_s = wall_s.wrapping_sub(steady_s).cast_signed();
        let known_s = self.set_by_s.load(Ordering::Relaxed);
        if set_by_s.abs_diff(known_s) >= STEP_MIN_S {
            self.set_by_s.store(set_by_s, Ordering::Relaxed);
        }
    }
}

/// Seconds since 1970. A host that believes to live before gets connection ids all the same.
fn wall_s() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_1970.unwrap_or(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_800_000_000;

    #[test]
    fn a_wall_clock_that_is_set_is_followed_and_its_fractions_are_not() {
        let shared = Shared::default();
        for (wall_s, steady_s, set_by_s) in [
            (NOON, NOON, 0),
            (NOON + 1, NOON, 0),
            (NOON + 3600, NOON, 3600),
            (NOON + 3602, NOON + 1, 3600),
            (NOON + 2, NOON + 2, 0),
            (0, NOON, -NOON.cast_signed()),
            (NOON, NOON, 0),
        ] {
            shared.follow(wall_s, steady_s);
            assert_eq!(shared.set_by_s.load(Ordering::Relaxed), set_by_s);
        }
    }

    #[test]
    fn what_tests_let_pass_is_no_step_of_the_wall_clock() {
        let clock = Clock::start();
        let before = clock.now();
        clock.advance(100_000);
        let after = clock.now();
        let passed_s = u64::from(after.uptime_s - before.uptime_s);
        assert!((100_000..100_010).contains(&passed_s));
        assert_eq!(after.unix_s - before.unix_s, passed_s);
    }
}
