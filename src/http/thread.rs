//! One HTTP thread: accepts, serves, and goes when the tracker stops.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use crossbeam_channel::Sender;
use log::warn;
use socket2::Socket;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::task::{JoinSet, spawn_local};
use tokio::time::sleep;

use super::asks::Asks;
use super::buffers::{Buffers, Inbox};
use super::compress::Packer;
use super::connection::Client;
use super::connections::{self, Connections};
use super::fair::others_first;
use super::full_scrape::FullScrapes;
use super::opening::open;
use super::pause::Pause;
use super::socket::{Listener, Stream};
use super::{Door, Rules};
use crate::clock::Clock;
use crate::control::Event;
use crate::counters::{Tally, ThreadCounters};
use crate::gate::access::Access;
use crate::gate::flood::{Guard, Limits, Over};
use crate::net::tcp::{accept_remedy, is_of_the_client};
use crate::seldom::Seldom;
use crate::shard::Counter;

/// How often a thread looks for connections that took too long, while it has any.
const TICK: Duration = Duration::from_secs(1);

/// Connections accepted in a row, however many wait, before those that were accepted come first.
const ACCEPTS: u32 = 32;

/// Datagrams that are as much work as one request over HTTP, at least.
const DATAGRAMS_A_REQUEST: u32 = 10;

/// How long a thread that cannot accept waits before it tries again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often a thread that stops looks whether its connections have ended, and how often at most.
const STOP_PAUSE: Duration = Duration::from_millis(5);
const STOP_PAUSES: u32 = 200;

/// The same where another process serves already and nobody waits for the end: 5 seconds.
const LEAVE_PAUSES: u32 = 1000;

/// How many such looks a thread that pauses gives those who were let in to be answered: 1 second.
const SILENCE_PAUSES: u32 = 200;

/// All that a thread is given.
pub struct Parts {
    /// Its sockets, each with what it is for.
    pub listeners: Vec<(Socket, Arc<Door>)>,
    /// The operator's rules.
    pub rules: Arc<Rules>,
    /// The operator's lists.
    pub access: Arc<ArcSwap<Access>>,
    /// How it asks the cores.
    pub counter: Counter,
    /// What it counts.
    pub counters: Arc<ThreadCounters>,
    /// Makes full scrapes, where they are allowed.
    pub full_scrapes: Option<Arc<FullScrapes>>,
    /// The time.
    pub clock: Clock,
    /// What the main thread is asked to do.
    pub events: Sender<Event>,
    /// Set when the tracker stops; whoever sets it rings the thread's desk.
    pub stop: Arc<AtomicBool>,
    /// Grows whenever the thread looks at its desk, so after each ring of it as long as it goes on.
    pub beats: Arc<AtomicU64>,
    /// Says whether to let nobody in; whoever sets it rings the thread's desk.
    pub pause: Arc<Pause>,
    /// Most connections of this thread.
    pub connections_max: usize,
    /// Seconds that an idle connection is kept.
    pub idle_timeout_s: u32,
    /// Seconds for a request head, a handshake or the taking of a reply.
    pub request_timeout_s: u32,
}

/// What the tasks of a thread share.
pub(super) struct Thread {
    pub(super) rules: Arc<Rules>,
    access: RefCell<Cache<Arc<ArcSwap<Access>>, Arc<Access>>>,
    pub(super) counters: Arc<ThreadCounters>,
    pub(super) connections: Rc<Connections>,
    pub(super) asks: Asks,
    guard: RefCell<Guard>,
    pub(super) full_scrapes: Option<Arc<FullScrapes>>,
    pub(super) clock: Clock,
    pub(super) events: Sender<Event>,
    pub(super) buffers: Buffers,
    pub(super) packer: Packer,
    pub(super) inbox: RefCell<Inbox>,
    ticking: RefCell<bool>,
    stop: Arc<AtomicBool>,
    pause: Arc<Pause>,
    beats: Arc<AtomicU64>,
}

/// What the tasks of the calling thread run on.
pub fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default())
}

/// Runs a thread until the tracker stops.
pub fn run(runtime: &LocalRuntime, parts: Parts) -> io::Result<()> {
    // As a task: one that wakes another asks the kernel for nothing, and waking what a runtime itself waits
    // for is a system call.
    runtime.block_on(async { spawn_local(serve(parts)).await? })
}

async fn serve(parts: Parts) -> io::Result<()> {
    let (thread, listeners) = Thread::new(parts);
    let mut acceptors = JoinSet::new();
    loop {
        for (socket, door) in &listeners {
            let listener = Listener::new(socket.try_clone()?)?;
            acceptors.spawn_local(accept(listener, Arc::clone(door), Rc::clone(&thread)));
        }
        work_until(&thread, || thread.stops() || thread.pauses()).await;
        if thread.stops() {
            break;
        }
        acceptors.shutdown().await;
        fall_silent(&thread).await;
        thread.pause.count_silent(true);
        work_until(&thread, || thread.stops() || !thread.pauses()).await;
        thread.pause.count_silent(false);
        if thread.stops() {
            break;
        }
    }
    acceptors.shutdown().await;
    if thread.pauses() {
        // The sockets are another process's now.
        close(&thread, LEAVE_PAUSES).await;
        return Ok(());
    }
    for (socket, _) in &listeners {
        // Frees the port now; nobody is accepted any more.
        let _ = socket.shutdown(std::net::Shutdown::Both);
    }
    close(&thread, STOP_PAUSES).await;
    Ok(())
}

/// Hands questions and answers over until something is true.
async fn work_until(thread: &Thread, is_true: impl Fn() -> bool) {
    std::future::poll_fn(|cx| {
        thread.asks.work(cx);
        thread.beats.fetch_add(1, Ordering::Relaxed);
        // Lets go of lists that were replaced, though nobody may ask for a long time.
        thread.with_access(|_| ());
        if is_true() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// Waits until all who were let in have their answers, and ends those that take too long. Whoever takes a
/// reply goes on with it.
async fn fall_silent(thread: &Rc<Thread>) {
    for pause in 0.. {
        thread.connections.close_idle();
        if pause > SILENCE_PAUSES {
            thread.connections.close_late();
        }
        if thread.connections.is_silent() || thread.stops() || !thread.pauses() {
            return;
        }
        look_again(thread).await;
    }
}

async fn look_again(thread: &Rc<Thread>) {
    sleep(STOP_PAUSE).await;
    std::future::poll_fn(|cx| {
        thread.asks.work(cx);
        Poll::Ready(())
    })
    .await;
}

/// Ends the connections: at once those that have nothing under way, soon all others.
async fn close(thread: &Rc<Thread>, pauses: u32) {
    for pause in 0..pauses {
        thread.connections.close(pause > pauses - STOP_PAUSES / 2);
        if thread.connections.is_empty() {
            break;
        }
        look_again(thread).await;
    }
}

/// Accepts connections of one listener, for ever.
async fn accept(listener: Listener, door: Arc<Door>, thread: Rc<Thread>) -> Infallible {
    let mut complaints = Seldom::default();
    let mut in_a_row = 0;
    loop {
        match listener.accept().await {
            Ok(stream) => {
                thread.welcome(stream, &door);
                in_a_row += 1;
                if in_a_row == ACCEPTS {
                    in_a_row = 0;
                    others_first().await;
                }
            }
            Err(error) => {
                if is_of_the_client(&error) {
                    thread.counters.tally(Tally::ConnectionsAborted, 1);
                    continue;
                }
                thread.counters.tally(Tally::AcceptFailed, 1);
                if let Some(more) = complaints.pass(thread.clock.now().uptime_s) {
                    let remedy = accept_remedy(&error);
                    warn!("cannot accept a connection: {error}; {remedy}{more}");
                }
                thread.make_room();
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Thread {
    /// A thread without a connection, and the sockets that it is to accept from.
    pub(super) fn new(parts: Parts) -> (Rc<Self>, Vec<(Socket, Arc<Door>)>) {
        let limits = connections::Limits {
            max: parts.connections_max,
            idle_s: parts.idle_timeout_s,
            request_s: parts.request_timeout_s,
        };
        let thread = Rc::new(Self {
            connections: Connections::new(limits, parts.clock.clone()),
            asks: Asks::new(parts.counter, parts.rules.shard.steering),
            rules: parts.rules,
            guard: RefCell::new(Guard::new(Limits::default())),
            access: RefCell::new(Cache::new(parts.access)),
            counters: parts.counters,
            full_scrapes: parts.full_scrapes,
            clock: parts.clock,
            events: parts.events,
            buffers: Buffers::default(),
            packer: Packer::default(),
            inbox: RefCell::default(),
            ticking: RefCell::new(false),
            stop: parts.stop,
            pause: parts.pause,
            beats: parts.beats,
        });
        (thread, parts.listeners)
    }

    fn welcome(self: &Rc<Self>, stream: Stream, door: &Arc<Door>) {
        let Ok(peer) = stream.peer() else {
            self.counters.tally(Tally::ConnectionsAborted, 1);
            return;
        };
        let Some((place, evicted)) = self.connections.enter() else {
            self.counters.tally(Tally::ConnectionsRefused, 1);
            return;
        };
        self.counters
            .tally(Tally::ConnectionsEvicted, u64::from(evicted));
        self.publish_open();
        let client = Client {
            peer: peer.map(|peer| peer.ip().to_canonical()),
            local: if door.needs_local {
                stream.local()
            } else {
                None
            },
        };
        let (thread, door) = (Rc::clone(self), Arc::clone(door));
        spawn_local(async move {
            open(Rc::clone(&thread), door, place, client, stream).await;
            thread.publish_open();
        });
        if !self.ticking.replace(true) {
            spawn_local(tick(Rc::clone(self)));
        }
    }

    /// Looks into the operator's lists as they are now.
    pub(super) fn with_access<T>(&self, look: impl FnOnce(&Access) -> T) -> T {
        look(self.access.borrow_mut().load())
    }

    /// Whether a source that has proved its address may ask so many times more; not if it asks too often
    /// while this thread is busy. Each source has the whole rate here and not a share of it, since all
    /// requests of a connection come to one thread.
    pub(super) fn admit(&self, source: IpAddr, requests: u8) -> Result<(), Over> {
        let limits = self.with_access(|access| access.flood);
        let now_s = self.clock.now().uptime_s;
        let mut guard = self.guard.borrow_mut();
        guard.follow(Limits {
            busy_from: limits.busy_from / DATAGRAMS_A_REQUEST,
            ..limits
        });
        if !guard.is_busy(requests.into(), now_s) {
            return Ok(());
        }
        (0..requests)
            .try_for_each(|_| guard.admit(source, now_s))
            .inspect_err(|over| {
                self.counters.offenders.note(over.prefix(source), now_s);
            })
    }

    /// Closes the connection that can best be done without.
    fn make_room(&self) {
        if self.connections.evict() {
            self.counters.tally(Tally::ConnectionsEvicted, 1);
        }
    }

    /// True while nobody is let in, and whoever is in goes when he has his answer.
    pub(super) fn pauses(&self) -> bool {
        self.pause.is_wanted()
    }

    /// True once the tracker stops.
    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn publish_open(&self) {
        let open = self.connections.open() as u64;
        self.counters.set(Tally::ConnectionsOpen, open);
    }
}

/// Looks for those who are late, as long as there is anybody.
async fn tick(thread: Rc<Thread>) {
    while !thread.connections.is_empty() {
        sleep(TICK).await;
        thread.connections.expire();
        thread.publish_open();
    }
    thread.ticking.replace(false);
}
