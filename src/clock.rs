//! The time, asked for when a turn begins and when it ends. This is the only file that asks the operating system.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// A clock that all cores share. It ticks with the monotonic clock, so that a corrected wall clock
/// neither expires every peer nor keeps the dead; Unix time is the wall time of the start plus what
/// has passed since.
#[derive(Clone)]
pub struct Clock {
    started: Instant,
    started_unix_s: u64,
    shift_s: Arc<AtomicU32>,
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
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            started: Instant::now(),
            // A host that believes to live before 1970 gets connection ids all the same.
            started_unix_s: since_1970.unwrap_or(Duration::ZERO).as_secs(),
            shift_s: Arc::default(),
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
        let shift_s = self.shift_s.load(Ordering::Relaxed);
        let passed = instant.saturating_duration_since(self.started);
        let passed_s = passed.as_secs() + u64::from(shift_s);
        Now {
            uptime_s: passed_s as u32,
            unix_s: self.started_unix_s + passed_s,
        }
    }

    /// Lets `seconds` pass at once, on every core: for tests of what takes hours.
    pub fn advance(&self, seconds: u32) {
        self.shift_s.fetch_add(seconds, Ordering::Relaxed);
    }
}
