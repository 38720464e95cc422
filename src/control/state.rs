//! What the routes of the control server see of the tracker.

use std::ops::Deref;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use axum::extract::FromRequestParts;
use axum::http::request::Parts as RequestParts;
use crossbeam_channel::Sender;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::Event;
use super::auth::Auth;
use super::counters::ControlCounters;
use super::history::History;
use super::limits::DISK_THREADS;
use super::pages::events::Audience;
use super::session::Sessions;
use crate::clock::Clock;
use crate::config::Config;
use crate::counters::{Offender, Tally, ThreadCounters, Totals, worst};
use crate::http::tls::Tls;
use crate::net::port_owner;
use crate::net::steering::Steering;
use crate::registrar::Registrar;
use crate::shard::{Collector, Errands};
use crate::store::{Snapshots, StoreCounters, StoreTotals};

/// A handle on the tracker, for routes: cheap to clone, and an argument of every handler that wants it.
#[derive(Clone)]
pub struct State(Arc<Parts>);

/// What there is behind a [`State`].
pub struct Parts {
    /// Changes lists, keys and mode; its calls wait for the disk, so they belong into [`State::on_disk`].
    pub registrar: Arc<Registrar>,
    /// Asks all cores for their torrents.
    pub collector: Collector,
    /// Asks cores for other things.
    pub errands: Errands,
    /// Which core owns a torrent.
    pub steering: Steering,
    /// What each core counts.
    pub cores: Vec<Arc<ThreadCounters>>,
    /// What each HTTP thread counts.
    pub http_threads: Vec<Arc<ThreadCounters>>,
    /// What was counted, by hours and days.
    pub history: Arc<History>,
    /// What the control server counts.
    pub counters: Arc<ControlCounters>,
    /// What the store counts; nothing without a store.
    pub store: Option<Arc<StoreCounters>>,
    /// Asks the store for snapshots; nothing without one.
    pub snapshots: Option<Snapshots>,
    /// The time.
    pub clock: Clock,
    /// Where the tracker listens, as URLs such as `udp://0.0.0.0:6969`, with real ports.
    pub listeners: Vec<String>,
    /// The core and the inode of each UDP socket.
    pub sockets: Vec<(usize, u64)>,
    /// The certificates of all listeners.
    pub certificates: Vec<Arc<Tls>>,
    /// How datagrams come and go, such as `io_uring`.
    pub backend: &'static str,
    /// What the main thread is asked to do. Use `try_send`: it may be busy.
    pub events: Sender<Event>,
    /// The configuration of the start. What a reload changes is elsewhere: lists and mode with the
    /// registrar, tokens in [`Parts::auth`], users with the sessions, and whether the blocklist is public in
    /// [`Parts::publishes_blocklist`].
    pub config: Config,
    /// One walk over all torrents at a time: each holds as many rows as it was asked for.
    pub walks: Arc<Semaphore>,
    /// One page of metrics at a time, and one of the blocklist that is public: whoever may have them may ask
    /// as often as he likes, and go before he has it.
    pub(super) metrics: Arc<Semaphore>,
    pub(super) published: Arc<Semaphore>,
    /// What waits for a disk, no more at a time than there are threads for it: the rest waits with those who ask
    /// and ends with them, so that nothing piles up while the disk hangs.
    disk: Arc<Semaphore>,
    pub(super) auth_warning: Seldom,
    /// Who listens to events.
    pub(super) audience: Audience,
    kernel_drops: (Seldom, AtomicU64),
    /// Users, and who is logged in.
    pub(super) sessions: Sessions,
    auth: ArcSwap<Auth>,
    publishes_blocklist: AtomicBool,
    /// True while a successor is told everything: what changed now might be missed.
    handing_over: AtomicBool,
}

/// What a [`State`] is made of; the rest begins empty.
pub struct Given {
    /// As [`Parts::registrar`].
    pub registrar: Arc<Registrar>,
    /// As [`Parts::collector`].
    pub collector: Collector,
    /// As [`Parts::errands`].
    pub errands: Errands,
    /// As [`Parts::steering`].
    pub steering: Steering,
    /// As [`Parts::cores`].
    pub cores: Vec<Arc<ThreadCounters>>,
    /// As [`Parts::http_threads`].
    pub http_threads: Vec<Arc<ThreadCounters>>,
    /// As [`Parts::history`].
    pub history: Arc<History>,
    /// As [`Parts::store`].
    pub store: Option<Arc<StoreCounters>>,
    /// As [`Parts::snapshots`].
    pub snapshots: Option<Snapshots>,
    /// As [`Parts::clock`].
    pub clock: Clock,
    /// As [`Parts::listeners`].
    pub listeners: Vec<String>,
    /// As [`Parts::sockets`].
    pub sockets: Vec<(usize, u64)>,
    /// As [`Parts::certificates`].
    pub certificates: Vec<Arc<Tls>>,
    /// As [`Parts::backend`].
    pub backend: &'static str,
    /// As [`Parts::events`].
    pub events: Sender<Event>,
    /// As [`Parts::config`].
    pub config: Config,
}

impl State {
    /// A state of a tracker that serves.
    pub fn new(given: Given) -> Self {
        let auth = Auth::new(&given.config.control.tokens);
        let sessions = Sessions::new(&given.config);
        let publishes_blocklist = given.config.access.publish_blocklist;
        Self(Arc::new(Parts {
            registrar: given.registrar,
            collector: given.collector,
            errands: given.errands,
            steering: given.steering,
            cores: given.cores,
            http_threads: given.http_threads,
            history: given.history,
            counters: Arc::default(),
            store: given.store,
            snapshots: given.snapshots,
            clock: given.clock,
            listeners: given.listeners,
            sockets: given.sockets,
            certificates: given.certificates,
            backend: given.backend,
            events: given.events,
            config: given.config,
            walks: Arc::new(Semaphore::new(1)),
            metrics: Arc::new(Semaphore::new(1)),
            published: Arc::new(Semaphore::new(1)),
            disk: Arc::new(Semaphore::new(DISK_THREADS)),
            auth_warning: Seldom::default(),
            audience: Audience::default(),
            kernel_drops: Default::default(),
            sessions,
            auth: ArcSwap::from_pointee(auth),
            publishes_blocklist: publishes_blocklist.into(),
            handing_over: AtomicBool::new(false),
        }))
    }

    /// Does what waits for a disk, or for long, on a thread that may wait.
    pub async fn on_disk<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce(&Parts) -> T + Send + 'static,
    {
        let state = self.clone();
        let place = Arc::clone(&self.disk).acquire_owned().await;
        let work = move || {
            // Until the work is done, whatever becomes of who asked for it.
            let _place = place;
            work(&state)
        };
        match spawn_blocking(work).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // It never began, because the server has ended; so has whoever waits for it.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl Deref for State {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl FromRequestParts<Self> for State {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        _: &mut RequestParts,
        state: &Self,
    ) -> Result<Self, Self::Rejection> {
        Ok(state.clone())
    }
}

impl Parts {
    /// The counters of all cores and HTTP threads together.
    pub fn totals(&self) -> Totals {
        let all = self.cores.iter().chain(&self.http_threads);
        all.map(|counters| counters.read()).sum()
    }

    /// Who was turned away lately for asking too often: at most so many, the worst first.
    pub fn offenders(&self, most: usize) -> Vec<Offender> {
        let threads = self.cores.iter().chain(&self.http_threads);
        let offenders = threads.map(|counters| &counters.offenders);
        worst(offenders, self.clock.now().uptime_s, most)
    }

    /// Datagrams that the kernel dropped because the queue of a core's socket was full, as of a second ago
    /// at most: the kernel's tables are long where there are many sockets. What it sieved is not among them.
    pub fn kernel_drops(&self) -> u64 {
        let (read_before, drops) = &self.kernel_drops;
        if read_before.is_due(self.clock.now().uptime_s, 1) {
            let inodes: Vec<u64> = self.sockets.iter().map(|(_, inode)| *inode).collect();
            let all = port_owner::kernel_drops(&inodes);
            let cores: Totals = self.cores.iter().map(|core| core.read()).sum();
            // While the kernel sieves, nobody knows which of them were for want of room.
            if cores.tally(Tally::Sieving) == 0 {
                let overflowed = all.saturating_sub(cores.tally(Tally::Sieved));
                drops.store(overflowed, Ordering::Relaxed);
            }
        }
        drops.load(Ordering::Relaxed)
    }

    /// What the store counts; nothing without a store.
    pub fn store_totals(&self) -> Option<StoreTotals> {
        self.store.as_ref().map(|counters| counters.read())
    }

    /// The tokens that are good now.
    pub fn auth(&self) -> Arc<Auth> {
        self.auth.load_full()
    }

    /// Whether everybody may see which torrents the API has blocked.
    pub fn publishes_blocklist(&self) -> bool {
        self.publishes_blocklist.load(Ordering::Relaxed)
    }

    /// True while nothing may be changed, because a successor is told everything.
    pub fn is_handing_over(&self) -> bool {
        self.handing_over.load(Ordering::Relaxed)
    }

    /// Lets nothing be changed, or lets it again.
    pub fn set_handing_over(&self, is_handing_over: bool) {
        self.handing_over.store(is_handing_over, Ordering::Relaxed);
    }

    /// Takes over what a reload may change of all this.
    pub fn reload(&self, config: &Config) {
        let auth = Auth::new(&config.control.tokens);
        self.auth.store(Arc::new(auth));
        self.sessions.reload(&config.control.users);
        let publishes_blocklist = config.access.publish_blocklist;
        self.publishes_blocklist
            .store(publishes_blocklist, Ordering::Relaxed);
    }
}

/// Lets something happen only so often.
#[derive(Default)]
pub(super) struct Seldom {
    /// The second from which on it may happen again.
    from_s: AtomicU32,
}

impl Seldom {
    /// True when it is `every_s` seconds since this was true.
    pub(super) fn is_due(&self, now_s: u32, every_s: u32) -> bool {
        let due = now_s >= self.from_s.load(Ordering::Relaxed);
        if due {
            self.from_s.store(now_s + every_s, Ordering::Relaxed);
        }
        due
    }
}
