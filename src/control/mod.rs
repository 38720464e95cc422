//! The thread that waits: for signals, for a core that ends, for the next report.

use std::io;
use std::mem;
use std::panic;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use log::{error, info, warn};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use crate::boot::Tracker;

/// What the control thread learns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Stop, please: SIGTERM or SIGINT.
    Stop(&'static str),
    /// Log the counters: SIGUSR1.
    Report,
    /// Read the configuration again: SIGHUP.
    Reload,
    /// A core left its loop, as asked or because of an error.
    CoreEnded(usize, Result<(), String>),
}

/// Signals that have become events.
pub struct Signals {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
}

impl Signals {
    /// From now on signals arrive as events instead of ending the process.
    pub fn catch() -> io::Result<Self> {
        let mut caught = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGUSR1, SIGHUP])?;
        let (sender, receiver) = unbounded();
        let events = sender.clone();
        thread::Builder::new()
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
                        _ => Event::Report,
                    };
                    // The receiver is gone only when the process is about to end.
                    let _ = events.send(event);
                }
            })?;
        Ok(Self { sender, receiver })
    }

    /// Where cores tell that they ended.
    pub fn events(&self) -> Sender<Event> {
        self.sender.clone()
    }
}

/// Waits until the tracker is to stop, and stops it. `stats_interval_s` of 0 reports only when asked.
pub fn run(tracker: Tracker, signals: &Signals, stats_interval_s: u32) -> Result<(), String> {
    let interval = Duration::from_secs(u64::from(stats_interval_s));
    let mut next_report = Instant::now() + interval;
    let ended = loop {
        let event = if interval.is_zero() {
            signals.receiver.recv().map_err(RecvTimeoutError::from)
        } else {
            signals.receiver.recv_deadline(next_report)
        };
        match event {
            Err(RecvTimeoutError::Timeout) => {
                report(&tracker);
                next_report = Instant::now() + interval;
            }
            Ok(Event::Report) => report(&tracker),
            Ok(Event::Reload) => {
                warn!("SIGHUP: the configuration is only read at the start; restart to change it");
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
            Err(RecvTimeoutError::Disconnected) => break Err("the signal thread ended".to_owned()),
        }
    };
    report(&tracker);
    tracker.stop()?;
    if ended.is_ok() {
        info!("stopped");
    }
    ended
}

/// Logs what has been counted since the start.
fn report(tracker: &Tracker) {
    let cores = tracker.cores();
    if cores.len() > 1 {
        for (core, totals) in cores.iter().enumerate() {
            info!("core {core}: {}", totals.describe());
        }
    }
    info!(
        "total: {}, kernel_drops {}",
        tracker.totals().describe(),
        tracker.kernel_drops()
    );
}

/// From now on a panic in any thread ends the process with a message and exit code 1: a tracker that
/// has lost a core would go on answering for only some torrents.
pub fn exit_on_panic() {
    panic::set_hook(Box::new(|panic| {
        let thread = thread::current();
        let name = thread.name().unwrap_or("unnamed").to_owned();
        error!("this is a defect in shoal: thread {name} panicked: {panic}");
        process::exit(1);
    }));
}
