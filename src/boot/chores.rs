//! A thread for what is to be done now and then and takes asking the cores: to credit the holders of keys,
//! to sweep when somebody says so, to free lists that nobody holds any more, and to give memory back.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::warn;
use tokio::runtime::{Builder, Runtime};

use super::http::Bells;
use crate::counters::{Tally, ThreadCounters};
use crate::heap;
use crate::net::low_priority;
use crate::registrar::{Credits, Registrar};
use crate::shard::Errands;
use crate::swarm::{Swarms, Transfers};

/// How often lists are freed, memory is looked at and credits collected, of which a crash costs as much.
const CREDIT_EVERY: Duration = Duration::from_secs(10);

/// Credits that could not be written are tried again, and warned of not more often than every so many
/// times: once a minute.
const WARN_EVERY: u32 = 6;

/// Bytes that swarms must have let go of, and a quarter of what they had, before memory is given back.
const EBB_MIN: u64 = 8 << 20;

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
        self.0
            .send_timeout(Asked::Lend(answer), RESPITE_PATIENCE)
            .is_ok()
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
        cores: Vec<Arc<ThreadCounters>>,
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
            ebb: Ebb::default(),
            cores,
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
    cores: Vec<Arc<ThreadCounters>>,
    ebb: Ebb,
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
            let bytes = self
                .cores
                .iter()
                .map(|core| core.read().tally(Tally::SwarmBytes));
            if self.ebb.is_low(bytes.sum()) {
                heap::give_back();
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

/// The most that swarms had since memory was given back.
#[derive(Default)]
struct Ebb {
    high: u64,
}

impl Ebb {
    /// Whether they have so little now that giving back is worth its while. Says so once for each ebb, and
    /// again if it goes on.
    fn is_low(&mut self, bytes: u64) -> bool {
        self.high = self.high.max(bytes);
        let is_low = self.high - bytes >= (self.high / 4).max(EBB_MIN);
        if is_low {
            self.high = bytes;
        }
        is_low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_as_it_falls_and_not_while_it_swings() {
        const MIB: u64 = 1 << 20;
        let mut ebb = Ebb::default();
        let mut told = Vec::new();
        for mib in [
            0, 100, 400, 390, 310, 399, 301, 300, 260, 400, 290, 200, 120, 90, 20, 13, 12, 0,
        ] {
            if ebb.is_low(mib * MIB) {
                told.push(mib);
            }
        }
        assert_eq!(told, [300, 290, 200, 120, 90, 20, 12, 0]);
        assert!(!ebb.is_low(0));
    }
}
