//! A thread for what is to be done now and then and takes asking the cores: to credit the holders of keys,
//! to sweep when somebody says so, and to free lists that nobody holds any more.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::warn;
use tokio::runtime::{Builder, Runtime};

use super::http::Bells;
use crate::net::low_priority;
use crate::registrar::{Credits, Registrar};
use crate::shard::Errands;
use crate::swarm::{Swarms, Transfers};

/// How often lists are freed and credits collected, of which a crash costs as much.
const CREDIT_EVERY: Duration = Duration::from_secs(10);

/// Credits that could not be written are tried again, and warned of not more often than every so many
/// times: once a minute.
const WARN_EVERY: u32 = 6;

/// How long the thread may take to leave the records alone.
const RESPITE_PATIENCE: Duration = Duration::from_secs(20);

/// What the thread is told.
enum Asked {
    /// To look at all peers now.
    Sweep,
    /// To write what is to be credited, and then to leave it with the cores; and to say whether it did.
    Lend(Sender<bool>),
    /// To collect it again.
    TakeBack,
}

/// Has the thread leave the records alone. Cheap to clone.
#[derive(Clone)]
pub(super) struct Respite(Sender<Asked>);

impl Respite {
    /// Writes what is to be credited so far, and no more of it. False when that cannot be written.
    pub(super) fn begin(&self) -> bool {
        let (answer, answered) = bounded(1);
        self.0.send_timeout(Asked::Lend(answer), RESPITE_PATIENCE).is_ok()
            && answered.recv_timeout(RESPITE_PATIENCE) == Ok(true)
    }

    /// Goes on as before.
    pub(super) fn end(&self) {
        let _ = self.0.send_timeout(Asked::TakeBack, RESPITE_PATIENCE);
    }
}

/// The thread. To be ended with [`Chores::finish`].
pub(super) struct Chores {
    orders: Sender<Asked>,
    thread: JoinHandle<Credits>,
}

impl Chores {
    /// Starts the thread; `credits` says whether there is anything to credit.
    pub(super) fn start(
        errands: Errands,
        registrar: Arc<Registrar>,
        bells: Bells,
        credits: bool,
    ) -> Result<Self, String> {
        let failed = |error| format!("cannot start the thread of chores: {error}");
        let runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(failed)?;
        let (orders, asked) = bounded(2);
        let work = Work {
            runtime,
            errands,
            registrar,
            bells,
            credits: Credits::default(),
            failures: 0,
        };
        let thread = thread::Builder::new()
            .name("chores".to_owned())
            .spawn(move || {
                low_priority();
                work.run(&asked, credits)
            })
            .map_err(failed)?;
        Ok(Self { orders, thread })
    }

    /// Forgets all silent peers soon. One that is asked for while another waits is the same.
    pub(super) fn sweep(&self) {
        drop(self.orders.try_send(Asked::Sweep));
    }

    /// A way to have the records left alone.
    pub(super) fn respite(&self) -> Respite {
        Respite(self.orders.clone())
    }

    /// Ends the thread; what the cores have left is somebody else's to credit.
    pub(super) fn leave(self) {
        drop(self.orders);
        let _ = self.thread.join();
    }

    /// Ends the thread, and credits what the cores have left. Called after the cores have ended.
    pub(super) fn finish(self, registrar: &Registrar, swarms: &mut [Swarms]) {
        drop(self.orders);
        // What a panic takes with it is ten seconds of credits.
        let mut credits = self.thread.join().unwrap_or_default();
        for swarms in swarms {
            credits.add(registrar, &swarms.take_transfers(Transfers::default()));
        }
        if let Err(error) = credits.write(registrar) {
            warn!("what was uploaded and downloaded lately is not credited: {error}");
        }
    }
}

struct Work {
    runtime: Runtime,
    errands: Errands,
    registrar: Arc<Registrar>,
    bells: Bells,
    /// What is not on disk yet.
    credits: Credits,
    failures: u32,
}

impl Work {
    fn run(mut self, asked: &Receiver<Asked>, credits: bool) -> Credits {
        let mut lent = false;
        loop {
            let asked = asked.recv_timeout(CREDIT_EVERY);
            // Cores let go of them within a second, HTTP threads that nobody asks not by themselves.
            if self.registrar.free_retired() {
                self.bells.ring();
            }
            match asked {
                // Busy cores sweep by themselves all the same.
                Ok(Asked::Lend(answer)) => {
                    if credits {
                        self.credit();
                    }
                    lent = self.credits.is_empty();
                    let _ = answer.try_send(lent);
                }
                Ok(Asked::TakeBack) => lent = false,
                Ok(Asked::Sweep) => drop(self.runtime.block_on(self.errands.sweep_all())),
                Err(RecvTimeoutError::Timeout) if credits && !lent => self.credit(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.credits,
            }
        }
    }

    /// Collects and writes. What could not be written stays, and the cores keep theirs meanwhile.
    fn credit(&mut self) {
        if self.credits.is_empty() {
            for transfers in self.runtime.block_on(self.errands.transfers()) {
                self.credits.add(&self.registrar, &transfers);
            }
        }
        match self.credits.write(&self.registrar) {
            Ok(()) => self.failures = 0,
            Err(error) => {
                if self.failures.is_multiple_of(WARN_EVERY) {
                    warn!(
                        "what was uploaded and downloaded cannot be credited, and will be tried again: \
                         {error}"
                    );
                }
                self.failures += 1;
            }
        }
    }
}
