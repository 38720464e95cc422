//! The thread that looks every ten seconds and writes every minute.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use log::warn;

use super::History;
use crate::net::low_priority;

/// How often the counters are looked at, whether or not anybody wants to know.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How many looks there are between two writes: a crash costs a minute.
const LOOKS_A_WRITE: u32 = 6;

/// How many writes that fail there are between two warnings: an hour of them.
const FAILURES_A_WARNING: u32 = 60;

/// The thread. To be ended with [`Historian::finish`].
pub struct Historian {
    history: Arc<History>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Historian {
    /// Starts it.
    pub fn start(history: Arc<History>) -> std::io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let own = Arc::clone(&history);
        let body = move || {
            low_priority();
            let (mut looks, mut failures) = (0_u32, 0_u32);
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK_EVERY) {
                own.look();
                looks += 1;
                if looks.is_multiple_of(LOOKS_A_WRITE) {
                    failures = match own.write() {
                        Ok(()) => 0,
                        Err(error) => {
                            if failures.is_multiple_of(FAILURES_A_WARNING) {
                                warn!("the history of the statistics is not written: {error}");
                            }
                            failures + 1
                        }
                    };
                }
            }
        };
        let thread = thread::Builder::new()
            .name("history".to_owned())
            .spawn(body)?;
        Ok(Self {
            history,
            stop,
            thread,
        })
    }

    /// What it writes.
    pub fn history(&self) -> &Arc<History> {
        &self.history
    }

    /// Ends it, and writes the rest. Called when nobody counts any more.
    pub fn finish(self) {
        drop(self.stop);
        // It panics only by a defect, which has been logged; what was counted is kept all the same.
        let _ = self.thread.join();
        self.history.look();
        if let Err(error) = self.history.write() {
            warn!("the statistics of the last minute are not kept: {error}");
        }
    }
}
