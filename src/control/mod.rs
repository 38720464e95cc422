//! Whoever looks after the tracker: the main thread, which waits for signals, for a core that ends, for
//! the next report; and beside it the server of the API.
//!
//! ```text
//!   server.rs      one thread, one runtime: connections and what is around every request
//!     limits.rs    how much a client may ask, and for how long
//!     auth.rs      tokens
//!     session/     users who are logged in
//!     api/         the routes
//!       problem.rs   how they tell errors
//!     pages/         what people look at
//!     rehearsal.rs   a connection in memory
//!   state.rs       what routes see of the tracker
//!     walk.rs      all torrents, in the order of their info-hashes
//!     changes.rs   what the API and the pages change in the same way
//!   history/       what was counted, by hours and days
//!   metrics/       everything that is counted, for Prometheus
//!   counters.rs    what the server counts
//!   notify.rs      what systemd is told
//! ```

pub mod auth;
pub mod history;
pub mod metrics;
pub mod problem;
pub mod rehearsal;
pub mod server;
pub mod state;
pub mod walk;

mod api;
mod changes;
mod counters;
mod limits;
mod notify;
mod pages;
mod session;

pub mod similar;

use std::io;
use std::mem;
use std::panic;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::{error, info, warn};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals as SignalsInfo;

use crate::boot::Tracker;
use crate::config::Config;
use crate::limits::{CORES_MAX, HTTP_THREADS_MAX};

pub use counters::{ControlCounters, ControlTotals};
pub(crate) use notify::handed_over;

/// Events that may wait for the control thread: the end of every thread, and some signals.
const EVENTS_MAX: usize = CORES_MAX + HTTP_THREADS_MAX + 64;

/// How long a panic may take to be logged before the process ends without.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How often it is looked whether replaced lists can be freed.
const FREE_EVERY: Duration = Duration::from_secs(1);

/// How often the files of certificates are looked at.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(5);

/// What the control thread learns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Stop, please: SIGTERM or SIGINT.
    Stop(&'static str),
    /// Log the counters: SIGUSR1.
    Report,
    /// Read the configuration again: SIGHUP.
    Reload,
    /// The same, and say what came of it.
    ReloadFor(Answer),
    /// Hand over to a new process: SIGUSR2.
    Restart,
    /// What came of that: the id of the process that serves now, or a sentence.
    HandedOver(Result<u32, String>),
    /// Forget all silent peers: `control.run_gc_key`.
    Sweep,
    /// A core left its loop, as asked or because of an error.
    CoreEnded(usize, Result<(), String>),
    /// An HTTP thread left its loop, as asked or because of an error.
    HttpEnded(usize, Result<(), String>),
}

/// Where to say what came of a reload.
#[derive(Clone, Debug)]
pub struct Answer(pub Sender<Reloaded>);

impl PartialEq for Answer {
    fn eq(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }
}

impl Eq for Answer {}

/// What came of a reload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reloaded {
    /// False when the configuration has mistakes and stays as it was.
    pub done: bool,
    /// The mistakes, or what could not be taken over.
    pub sentences: Vec<String>,
}

/// Signals that have become events.
pub struct Signals {
    caught: Option<SignalsInfo>,
    sender: Sender<Event>,
    receiver: Receiver<Event>,
    waiting: Arc<Waiting>,
}

/// The signals that nobody has acted upon yet, a bit each. Another one of the same kind asks for nothing
/// more, so a storm of them neither keeps the tracker at work for longer nor crowds out the signal that
/// is to stop it.
#[derive(Default)]
struct Waiting(AtomicU8);

impl Waiting {
    fn bit(event: &Event) -> u8 {
        match event {
            Event::Report => 1,
            Event::Reload => 2,
            Event::Restart => 4,
            _ => 0,
        }
    }

    /// False when one like it waits already.
    fn add(&self, event: &Event) -> bool {
        let bit = Self::bit(event);
        bit == 0 || self.0.fetch_or(bit, Ordering::AcqRel) & bit == 0
    }

    /// It is acted upon now, or was lost: what comes from here on is another one.
    fn take(&self, event: &Event) {
        self.0.fetch_and(!Self::bit(event), Ordering::AcqRel);
    }
}

impl Signals {
    /// From now on signals wait to become events instead of ending the process.
    pub fn catch() -> io::Result<Self> {
        let signals = [SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP];
        let caught = SignalsInfo::new(signals)?;
        let (sender, receiver) = bounded(EVENTS_MAX);
        Ok(Self {
            caught: Some(caught),
            sender,
            receiver,
            waiting: Arc::default(),
        })
    }

    /// Starts the thread that makes events of them; once is enough. The error is a sentence.
    pub fn listen(&mut self) -> Result<(), String> {
        let Some(mut caught) = self.caught.take() else {
            return Ok(());
        };
        let events = self.events();
        let told = Arc::clone(&self.waiting);
        let thread = thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                let mut stopping = false;
                for signal in caught.forever() {
                    let is_stop = matches!(signal, SIGTERM | SIGINT);
                    if is_stop && mem::replace(&mut stopping, true) {
                        // Asked twice: no more waiting, for a log that nobody reads or anything else.
                        process::exit(1);
                    }
                    let event = match signal {
                        SIGTERM => Event::Stop("SIGTERM"),
                        SIGINT => Event::Stop("SIGINT"),
                        SIGHUP => Event::Reload,
                        SIGUSR2 => Event::Restart,
                        _ => Event::Report,
                    };
                    if !told.add(&event) {
                        continue;
                    }
                    // Full only while the log holds everything up, and then one more report is not
                    // missed; gone only when the process is about to end.
                    if let Err(unsent) = events.try_send(event) {
                        told.take(&unsent.into_inner());
                    }
                }
            });
        let failed = |error| format!("cannot start the thread of the signals: {error}");
        thread.map(drop).map_err(failed)
    }

    /// Where cores tell that they ended.
    pub fn events(&self) -> Sender<Event> {
        self.sender.clone()
    }
}

/// Something to do every so often.
struct Chore {
    every: Duration,
    next: Instant,
}

impl Chore {
    fn every(every: Duration) -> Self {
        let next = Instant::now() + every;
        Self { every, next }
    }

    /// True when it is time to do it, once.
    fn is_due(&mut self) -> bool {
        let due = self.next <= Instant::now();
        if due {
            self.next = Instant::now() + self.every;
        }
        due
    }
}

/// Waits until the tracker is to stop, and stops it. `stats_interval_s` of 0 reports only when asked.
pub fn run(
    mut tracker: Tracker,
    signals: &Signals,
    stats_interval_s: u32,
    reload: &dyn Fn() -> Result<Config, Vec<String>>,
) -> Result<(), String> {
    let interval = Duration::from_secs(u64::from(stats_interval_s));
    let mut reports = (!interval.is_zero()).then(|| Chore::every(interval));
    let mut certificates = tracker
        .has_certificates()
        .then(|| Chore::every(CERTIFICATES_EVERY));
    let mut freeing = None;
    let mut watchdog = notify::Watchdog::wanted();
    let mut feeding = watchdog.as_ref().map(|dog| Chore::every(dog.every()));
    notify::ready();
    let ended = loop {
        let chores = [&reports, &certificates, &freeing, &feeding];
        let deadlines = chores.into_iter().flatten();
        let event = match deadlines.map(|chore| chore.next).min() {
            None => signals.receiver.recv().map_err(RecvTimeoutError::from),
            Some(deadline) => signals.receiver.recv_deadline(deadline),
        };
        if let Ok(event) = &event {
            signals.waiting.take(event);
        }
        match event {
            Err(RecvTimeoutError::Timeout) => {
                if reports.as_mut().is_some_and(Chore::is_due) {
                    report(&tracker);
                }
                if certificates.as_mut().is_some_and(Chore::is_due) {
                    tracker.reload_certificates(false);
                }
                if freeing.as_mut().is_some_and(Chore::is_due)
                    && !tracker.registrar().free_retired()
                {
                    freeing = None;
                }
                if feeding.as_mut().is_some_and(Chore::is_due)
                    && let Some(watchdog) = &mut watchdog
                {
                    watchdog.feed(&tracker.cores(), &tracker.http_beats());
                }
            }
            Ok(Event::Report) => report(&tracker),
            Ok(Event::Sweep) => tracker.sweep(),
            Ok(Event::Restart) => {
                if let Err(sentence) = tracker.begin_to_hand_over(&signals.sender) {
                    warn!("SIGUSR2: {sentence}");
                }
            }
            Ok(Event::HandedOver(Err(sentence))) => {
                tracker.end_handing_over();
                warn!("no new process takes over: {sentence}; this one serves on");
            }
            Ok(Event::HandedOver(Ok(pid))) => {
                report(&tracker);
                tracker.leave();
                info!("stopped; process {pid} serves");
                return Ok(());
            }
            Ok(Event::Reload | Event::ReloadFor(_)) if tracker.is_handing_over() => {
                warn!("reload: a new process is taking over and reads the configuration anyway");
            }
            Ok(Event::Reload) => {
                reload_configuration(&tracker, "SIGHUP", reload);
                freeing = Some(Chore::every(FREE_EVERY));
            }
            Ok(Event::ReloadFor(Answer(answer))) => {
                let reloaded = reload_configuration(&tracker, "API", reload);
                // Who asked may have gone.
                let _ = answer.try_send(reloaded);
                freeing = Some(Chore::every(FREE_EVERY));
            }
            Ok(Event::Stop(signal)) => {
                // Before a word is written: whoever reads the log may have stopped reading.
                tracker.begin_to_stop();
                info!("{signal}: stopping");
                break Ok(());
            }
            Ok(Event::CoreEnded(core, ended)) => {
                let why = ended.err().unwrap_or_else(|| "without a reason".to_owned());
                break Err(format!("core {core} ended: {why}"));
            }
            Ok(Event::HttpEnded(number, ended)) => {
                let why = ended.err().unwrap_or_else(|| "without a reason".to_owned());
                break Err(format!("HTTP thread {number} ended: {why}"));
            }
            Err(RecvTimeoutError::Disconnected) => break Err("the signal thread ended".to_owned()),
        }
    };
    notify::stopping();
    report(&tracker);
    tracker.stop()?;
    if ended.is_ok() {
        info!("stopped");
    }
    ended
}

/// What can change while the tracker runs, changes; the rest is named.
fn reload_configuration(
    tracker: &Tracker,
    why: &str,
    reload: &dyn Fn() -> Result<Config, Vec<String>>,
) -> Reloaded {
    notify::reloading();
    tracker.reload_certificates(true);
    let reloaded = match reload() {
        Ok(config) => Reloaded {
            done: true,
            sentences: tracker.reload(&config),
        },
        Err(sentences) => Reloaded {
            done: false,
            sentences,
        },
    };
    for sentence in &reloaded.sentences {
        warn!("{sentence}");
    }
    let outcome = if reloaded.done {
        "reloaded"
    } else {
        "the configuration stays as it was"
    };
    info!("{why}: {outcome}");
    notify::ready();
    reloaded
}

/// Logs what has been counted since the start.
fn report(tracker: &Tracker) {
    for (name, threads) in [
        ("core", tracker.cores()),
        ("HTTP thread", tracker.http_threads()),
    ] {
        if threads.len() > 1 {
            for (number, totals) in threads.iter().enumerate() {
                info!("{name} {number}: {}", totals.describe());
            }
        }
    }
    info!(
        "total: {}, kernel_drops {}",
        tracker.totals().describe(),
        tracker.kernel_drops()
    );
    let control = tracker.control().map(|state| state.counters.read());
    if let Some(control) = control.filter(|totals| *totals != ControlTotals::default()) {
        info!("control: {}", control.describe());
    }
    if let Some(store) = tracker.store() {
        info!("store: {}", store.describe());
    }
}

/// From now on a panic in any thread ends the process with a message and exit code 1: a tracker that
/// has lost a core would go on answering for only some torrents.
pub fn exit_on_panic() {
    panic::set_hook(Box::new(|panic| {
        // A log that nobody reads must not keep a broken tracker alive.
        thread::spawn(|| {
            thread::sleep(LAST_WORDS);
            process::exit(1);
        });
        let thread = thread::current();
        let name = thread.name().unwrap_or("unnamed").to_owned();
        error!("this is a defect in shoal: thread {name} panicked: {panic}");
        process::exit(1);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_signals_of_one_kind_one_waits_until_it_is_acted_upon() {
        let waiting = Waiting::default();
        for _ in 0..2 {
            for event in [Event::Reload, Event::Report, Event::Restart] {
                assert!(waiting.add(&event));
                assert!(!waiting.add(&event));
            }
            for event in [Event::Report, Event::Restart, Event::Reload] {
                waiting.take(&event);
            }
        }
    }

    #[test]
    fn an_end_never_waits_behind_another() {
        let waiting = Waiting::default();
        for _ in 0..2 {
            assert!(waiting.add(&Event::Stop("SIGTERM")));
        }
    }
}
