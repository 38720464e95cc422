//! What all threads of a soak share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;
use hdrhistogram::Histogram;

use super::lives::{Book, Bounds, Lives, Said, World};
use crate::load::Tally;

/// Latencies are told from 1 us to 100 s, to three digits.
const LATENCY_MAX_NS: u64 = 100_000_000_000;
/// How often a thread that rests looks whether it should end.
const STEP: Duration = Duration::from_millis(50);

/// Where the tracker listens: each address over both families, where this host has both.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) udp: Vec<SocketAddr>,
    pub(super) http: Vec<SocketAddr>,
    pub(super) https: Vec<SocketAddr>,
    pub(super) control: SocketAddr,
    pub(super) certificate: PathBuf,
}

pub(super) struct Scene {
    pub(super) world: World,
    pub(super) places: Places,
    pub(super) seed: u64,
    epoch: Instant,
    over: AtomicBool,
    /// The process that serves now.
    pid: AtomicU64,
    book: Mutex<Book>,
    figures: [Mutex<Figures>; 3],
    pub(super) troubles: Troubles,
}

/// How honest clients ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Udp = 0,
    Http = 1,
    Https = 2,
}

impl Way {
    pub(super) const ALL: [Self; 3] = [Self::Udp, Self::Http, Self::Https];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// What became of the honest requests of one way.
#[derive(Clone)]
pub(super) struct Figures {
    pub(super) answered: u64,
    /// Refused, wrongly answered or not answered at all.
    pub(super) lost: u64,
    /// Nanoseconds from sending to the last byte of the reply.
    pub(super) latency: Histogram<u64>,
    /// The first thing that went wrong.
    pub(super) first_fault: Option<String>,
    /// Requests with connection ids that are made up or out of date, which were answered all the same.
    pub(super) forged_accepted: u64,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            answered: 0,
            lost: 0,
            latency: Histogram::new_with_bounds(1000, LATENCY_MAX_NS, 3)
                .expect("1 us to 100 s to three digits is a range that histograms have"),
            first_fault: None,
            forged_accepted: 0,
        }
    }
}

impl Figures {
    /// Milliseconds that so large a share of the requests took at most.
    pub(super) fn latency_ms(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e6
    }

    pub(super) fn one(&mut self, result: std::io::Result<()>, took: Duration) {
        match result {
            Ok(()) => {
                self.answered += 1;
                self.latency.saturating_record(took.as_nanos() as u64);
            }
            Err(error) => {
                self.lost += 1;
                self.first_fault.get_or_insert_with(|| error.to_string());
            }
        }
    }

    pub(super) fn add(&mut self, tally: &Tally) {
        self.answered += tally.sum(|kind| kind.answered);
        self.lost += tally.sum(|kind| kind.lost + kind.refused + kind.invalid) + tally.send_errors;
        self.forged_accepted += tally.forged.accepted;
        self.latency
            .add(tally.latency())
            .expect("both have the same bounds");
        if let Some((kind, fault)) = tally.first_fault {
            let text = || format!("{} reply: {fault:?}", kind.name());
            self.first_fault.get_or_insert_with(text);
        }
    }
}

/// What those did who are no honest clients.
#[derive(Default)]
pub(super) struct Troubles {
    pub(super) garbage: AtomicU64,
    pub(super) slow_connections: AtomicU64,
    pub(super) bad_requests: AtomicU64,
    pub(super) reloads: AtomicU64,
    pub(super) restarts: AtomicU64,
    pub(super) api_calls: AtomicU64,
    pub(super) api_failed: AtomicU64,
    pub(super) events: AtomicU64,
}

pub(super) fn count(of: &AtomicU64) {
    of.fetch_add(1, Ordering::Relaxed);
}

impl Scene {
    pub(super) fn new(world: World, book: Book, places: Places, seed: u64) -> Self {
        Self {
            world,
            places,
            seed,
            epoch: Instant::now(),
            over: AtomicBool::new(false),
            pid: AtomicU64::new(0),
            book: Mutex::new(book),
            figures: Default::default(),
            troubles: Troubles::default(),
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.epoch.elapsed().as_millis() as u64
    }

    /// True when the load is to end.
    pub(super) fn over(&self) -> &AtomicBool {
        &self.over
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed) as u32
    }

    pub(super) fn serves(&self, pid: u32) {
        self.pid.store(pid.into(), Ordering::Relaxed);
    }

    /// Rests until then, or until the load is to end.
    pub(super) fn rest_until(&self, then: Instant) {
        while !self.is_over()
            && let Some(left) = then.checked_duration_since(Instant::now())
        {
            std::thread::sleep(left.min(STEP));
        }
    }

    /// What the next of these peers says.
    pub(super) fn next(&self, lives: &mut Lives, random: &mut Rng) -> Said {
        lives.next(&self.world, &mut lock(&self.book), random, self.now_ms())
    }

    /// Torrents and peers that should be known now.
    pub(super) fn bounds(&self) -> (Bounds, Bounds) {
        lock(&self.book).bounds(self.now_ms())
    }

    pub(super) fn figures(&self, way: Way) -> MutexGuard<'_, Figures> {
        lock(&self.figures[way as usize])
    }
}

/// What a thread left that panicked is as good as before; the panic itself ends the run.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
