//! The thread that writes snapshots. Whatever befalls it, the tracker serves on: an error is counted,
//! told once a minute, and the next snapshot opens the file anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::{info, warn};

use super::claim::Claim;
use super::counters::{StoreCounters, StoreTotals, Written};
use super::snapshot::{self, Failure, Order, Source};
use super::telling::{Telling, Wanted};
use super::{SALT_LEN, Settings, Store, SwarmsFile, open, schema};
use crate::clock::{Clock, Stopwatch};
use crate::counters::{Tally, ThreadCounters};
use crate::net::background;
use crate::seldom::Seldom;
use crate::shard::{Chunk, Collector, Export};
use crate::swarm::Swarms;

/// Bytes of a buffer that a core fills, and buffers that it may have filled before one is taken.
const BUFFER_BYTES: usize = 256 << 10;
const BUFFERS: usize = 4;

/// How long a core may take over a buffer before the snapshot is given up.
const BUFFER_PATIENCE: Duration = Duration::from_secs(30);

/// How often a thread that waits for a core looks whether it should stop.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Most seconds until a snapshot that failed is tried again.
const RETRY_S_MAX: u32 = 60;

/// How long the last snapshot may take.
const LAST_PATIENCE: Duration = Duration::from_secs(20);

/// How much longer its end is waited for: a disk that hangs must not keep the process from ending.
const GRACE: Duration = Duration::from_secs(3);

/// What the thread is called.
const NAME: &str = "store";

/// Orders that may wait for the thread.
const ORDERS: usize = 4;

/// How long somebody waits for a snapshot that he asked for.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(25);

/// What the thread is told.
enum Asked {
    /// To write a snapshot now, and to say whether it went well.
    Snapshot(Sender<bool>),
    /// To close the file and to leave it alone, and to say so.
    Lend(Sender<()>),
    /// To use it again.
    TakeBack,
    /// To end, and to leave the file as it is.
    Leave,
}

/// Asks for snapshots between times. Cheap to clone.
#[derive(Clone)]
pub struct Snapshots(Sender<Asked>);

impl Snapshots {
    /// Has a snapshot written, and does not wait for it. With too many orders before it, none is.
    pub fn soon(&self) {
        let _ = self.0.try_send(Asked::Snapshot(bounded(1).0));
    }

    /// Writes a snapshot and waits for it, up to 25 seconds. `None` when it takes longer, or others
    /// wait already; it may still be written then.
    pub fn now(&self) -> Option<bool> {
        let (answer, answered) = bounded(1);
        self.0.try_send(Asked::Snapshot(answer)).ok()?;
        answered.recv_timeout(SNAPSHOT_PATIENCE).ok()
    }
}

/// Lends the file of the swarms to another process, and takes it back.
#[derive(Clone)]
pub struct Loan {
    orders: Sender<Asked>,
    stop: Arc<AtomicBool>,
}

impl Loan {
    /// Gives up a snapshot that is under way, closes the file and leaves it alone. False when the disk does
    /// not let go of it in time.
    pub fn lend(&self) -> bool {
        self.stop.store(true, Ordering::Relaxed);
        let (answer, answered) = bounded(1);
        self.orders
            .send_timeout(Asked::Lend(answer), LAST_PATIENCE)
            .is_ok()
            && answered.recv_timeout(LAST_PATIENCE).is_ok()
    }

    /// Uses the file again, which is opened with the next snapshot.
    pub fn take_back(&self) {
        self.stop.store(false, Ordering::Relaxed);
        let _ = self.orders.send_timeout(Asked::TakeBack, LAST_PATIENCE);
    }
}

/// The store of a running tracker.
pub struct Keeper {
    orders: Sender<Asked>,
    stop: Arc<AtomicBool>,
    /// What the thread had, once it has ended.
    ended: Receiver<Work>,
    counters: Arc<StoreCounters>,
}

impl Keeper {
    /// Starts the thread. It asks the cores through `collector`, and their counters for how much there
    /// is to tell.
    pub fn start(
        store: Store,
        collector: Collector,
        cores: Vec<Arc<ThreadCounters>>,
        clock: Clock,
    ) -> std::io::Result<Self> {
        let (orders, receiver) = bounded(ORDERS);
        let (heir, ended) = bounded(1);
        let stop: Arc<AtomicBool> = Arc::default();
        let counters = Arc::clone(&store.counters);
        let work = Work {
            cores: Cores {
                collector,
                counters: cores,
                stop: Arc::clone(&stop),
            },
            disk: store.disk,
            claim: store.claim,
            settings: store.settings,
            fresh_salt: store.fresh_salt,
            counters: store.counters,
            clock,
            warnings: Seldom::default(),
        };
        let run = move || {
            background();
            // Nobody waits for it where the process ends otherwise.
            let _ = heir.try_send(work.run(&receiver));
        };
        thread::Builder::new().name(NAME.to_owned()).spawn(run)?;
        Ok(Self {
            orders,
            stop,
            ended,
            counters,
        })
    }

    /// Asks for snapshots.
    pub fn snapshots(&self) -> Snapshots {
        Snapshots(self.orders.clone())
    }

    /// Lends the file.
    pub fn loan(&self) -> Loan {
        Loan {
            orders: self.orders.clone(),
            stop: Arc::clone(&self.stop),
        }
    }

    /// Ends the thread without another snapshot, because the file is somebody else's now.
    pub fn leave(self) {
        self.stop();
        let _ = self.orders.send_timeout(Asked::Leave, LAST_PATIENCE);
        // A panic of it has been logged.
        let _ = self.ended.recv_timeout(LAST_PATIENCE + GRACE);
    }

    /// What it counts, for whoever reads it often.
    pub fn counters(&self) -> Arc<StoreCounters> {
        Arc::clone(&self.counters)
    }

    /// What it counts.
    pub fn totals(&self) -> StoreTotals {
        self.counters.read()
    }

    /// Gives up a snapshot that is under way, because the cores are about to end. To be followed by
    /// [`Self::finish`].
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Writes the last snapshot, of all swarms as their cores left them, and ends the thread. Takes no
    /// longer than 23 seconds; false when something went wrong, and then it has been logged.
    pub fn finish(self, swarms: Vec<Swarms>) -> bool {
        let stopwatch = Stopwatch::start();
        self.stop();
        let failed = self.counters.read().failed;
        let rest = Rest::new(swarms);
        // Refused only when the thread has ended, which the next line sees too.
        let _ = self.orders.send_timeout(Asked::Leave, LAST_PATIENCE);
        let patience = || (LAST_PATIENCE + GRACE).saturating_sub(stopwatch.elapsed());
        let ended = self.ended.recv_timeout(patience()).ok().and_then(|work| {
            // A thread of its own, so that a disk that hangs does not keep the process, and one that gives way
            // to nobody: now somebody waits for the snapshot.
            let (end, ended) = bounded(1);
            let finish = move || {
                work.finish(rest);
                // Nobody waits for it any more, if it took too long.
                let _ = end.try_send(());
            };
            let thread = thread::Builder::new().name(NAME.to_owned());
            thread.spawn(finish).ok()?;
            ended.recv_timeout(patience()).ok()
        });
        if ended.is_none() {
            warn!("the store does not come to an end; the last snapshot may be missing");
        }
        ended.is_some() && self.counters.read().failed == failed
    }
}

/// What the thread has.
struct Work {
    disk: Option<SwarmsFile>,
    claim: Arc<Claim>,
    settings: Settings,
    fresh_salt: [u8; SALT_LEN],
    cores: Cores,
    counters: Arc<StoreCounters>,
    clock: Clock,
    warnings: Seldom,
}

impl Work {
    fn run(mut self, orders: &Receiver<Asked>) -> Self {
        let interval_s = self.settings.snapshot_interval_s;
        let mut wait_s = interval_s;
        let mut lent = false;
        loop {
            let order = if interval_s == 0 || lent {
                orders.recv().map_err(RecvTimeoutError::from)
            } else {
                orders.recv_timeout(Duration::from_secs(wait_s.into()))
            };
            match order {
                Err(RecvTimeoutError::Timeout) => {
                    let well = self.snapshot(&mut Cores::clone(&self.cores), "snapshot");
                    wait_s = if well {
                        interval_s
                    } else {
                        interval_s.min(RETRY_S_MAX)
                    };
                }
                Err(RecvTimeoutError::Disconnected) | Ok(Asked::Leave) => return self,
                Ok(Asked::Lend(answer)) => {
                    self.disk = None;
                    lent = true;
                    let _ = answer.try_send(());
                }
                Ok(Asked::TakeBack) => lent = false,
                Ok(Asked::Snapshot(answer)) if lent => drop(answer.try_send(false)),
                Ok(Asked::Snapshot(answer)) => {
                    let well = self.snapshot(&mut Cores::clone(&self.cores), "snapshot");
                    // Who asked may have gone.
                    let _ = answer.try_send(well);
                }
            }
        }
    }

    /// Writes the last snapshot.
    fn finish(mut self, mut rest: Rest) {
        self.warnings = Seldom::default();
        self.snapshot(&mut rest, "last snapshot");
    }

    /// Writes a snapshot and tells what came of it; false when it should be tried again soon.
    fn snapshot(&mut self, source: &mut dyn Source, name: &str) -> bool {
        let stopwatch = Stopwatch::start();
        match self.write(source) {
            Ok(written) => {
                let ms = stopwatch.elapsed().as_millis() as u64;
                let file_len = self.disk.as_ref().map_or(0, SwarmsFile::file_len);
                self.counters.count_written(&written, ms, file_len);
                info!(
                    "{name}: {} torrents with {} peers in {}.{:03} s, {} KiB of blocks, {} KiB on disk",
                    written.torrents,
                    written.peers,
                    ms / 1000,
                    ms % 1000,
                    written.bytes / 1024,
                    file_len / 1024,
                );
                true
            }
            // A core is late, or the end is near; the file is good.
            Err(Trouble::GivenUp) if source.gives_up_quietly() => true,
            Err(trouble) => {
                self.counters.count_failed();
                self.warn(&trouble.sentence(name));
                false
            }
        }
    }

    fn write(&mut self, source: &mut dyn Source) -> Result<Written, Trouble> {
        let now = self.clock.now();
        let disk = match &mut self.disk {
            Some(disk) => disk,
            none => {
                let on_damage = self.settings.on_damage;
                let opened = open(&self.claim, on_damage, &self.fresh_salt, now.unix_s)
                    .map_err(|refusal| Trouble::Closed(refusal.sentence().to_owned()))?;
                if let Some((sentence, aside)) = opened.set_aside {
                    warn!("{sentence}; it is kept as {}", aside.display());
                }
                let unmade = || Trouble::Closed(opened.unmade.unwrap_or_default());
                let disk = opened.store.ok_or_else(unmade)?;
                none.insert(disk)
            }
        };
        let order = Order {
            now,
            peer_timeout_s: self.settings.peer_timeout_s,
            keep_peers: self.settings.keep_peers,
        };
        let written = snapshot::write(disk, source, &order);
        if let Err(Failure::Disk(_)) = written {
            // After some errors LMDB refuses all that follows; a file that is opened anew is good again.
            self.disk = None;
        }
        written.map_err(|failure| match failure {
            Failure::GivenUp => Trouble::GivenUp,
            Failure::Disk(error) => Trouble::Disk(error),
        })
    }

    /// Warns, unless that was done within the last minute.
    fn warn(&mut self, sentence: &str) {
        // How many failed is told anyway.
        if self.warnings.pass(self.clock.now().uptime_s).is_some() {
            let failed = self.counters.read().failed;
            warn!("{sentence}; serving goes on ({failed} snapshots failed so far)");
        }
    }
}

/// Why there is no snapshot.
enum Trouble {
    GivenUp,
    Closed(String),
    Disk(heed::Error),
}

impl Trouble {
    fn sentence(&self, name: &str) -> String {
        match self {
            Self::GivenUp => format!("the {name} took too long and is given up"),
            Self::Closed(sentence) => sentence.clone(),
            Self::Disk(error) => format!("the {name} could not be written: {error}"),
        }
    }
}

/// An empty buffer whose pages this thread has touched, lest the core that fills it waits for them.
fn new_buffer() -> Vec<u8> {
    let mut buffer = vec![1; BUFFER_BYTES];
    buffer.clear();
    buffer
}

/// All cores of a running tracker.
#[derive(Clone)]
struct Cores {
    collector: Collector,
    counters: Vec<Arc<ThreadCounters>>,
    stop: Arc<AtomicBool>,
}

impl Source for Cores {
    fn estimate(&self) -> u64 {
        let totals: crate::counters::Totals = self.counters.iter().map(|c| c.read()).sum();
        let v4 = totals.tally(Tally::SeedersV4) + totals.tally(Tally::LeechersV4);
        let v6 = totals.tally(Tally::SeedersV6) + totals.tally(Tally::LeechersV6);
        schema::estimate(totals.tally(Tally::Torrents), v4, v6)
    }

    fn collect(&mut self, wanted: &Wanted) -> Option<Vec<Vec<u8>>> {
        let mut buffers = Vec::new();
        for core in 0..self.collector.cores() {
            let (full_sender, full) = bounded::<Chunk<u8>>(BUFFERS);
            let (spare, spare_receiver) = bounded(BUFFERS);
            for _ in 0..BUFFERS {
                // There is room for all of them.
                // A core that has filled its last buffer wants no more.
                let _ = spare.send(new_buffer());
            }
            let export = Export::swarms(Telling::new(wanted.clone()), full_sender, spare_receiver);
            self.collector.export(core, export).ok()?;
            loop {
                let chunk = self.wait(&full)?;
                buffers.push(chunk.rows);
                if chunk.last {
                    break;
                }
                // A core that has filled its last buffer wants no more.
                let _ = spare.send(new_buffer());
                self.collector.ring(core);
            }
        }
        Some(buffers)
    }

    fn gives_up(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn gives_up_quietly(&self) -> bool {
        self.gives_up()
    }
}

impl Cores {
    fn wait(&self, full: &Receiver<Chunk<u8>>) -> Option<Chunk<u8>> {
        let looks = BUFFER_PATIENCE.as_millis() / LOOK_AGAIN.as_millis();
        for _ in 0..looks {
            match full.recv_timeout(LOOK_AGAIN) {
                Ok(chunk) => return Some(chunk),
                Err(RecvTimeoutError::Timeout) if !self.gives_up() => {}
                Err(_) => return None,
            }
        }
        None
    }
}

/// The swarms of cores that have ended.
pub(super) struct Rest {
    swarms: Vec<Swarms>,
    stopwatch: Stopwatch,
}

impl Rest {
    pub(super) fn new(swarms: Vec<Swarms>) -> Self {
        let stopwatch = Stopwatch::start();
        Self { swarms, stopwatch }
    }

    #[cfg(test)]
    pub(super) fn into_swarms(self) -> Vec<Swarms> {
        self.swarms
    }
}

impl Source for Rest {
    fn estimate(&self) -> u64 {
        let bytes = |swarms: &Swarms| {
            let gauges = swarms.gauges();
            let (v4, v6) = (gauges.v4.peers() as u64, gauges.v6.peers() as u64);
            schema::estimate(swarms.len() as u64, v4, v6)
        };
        self.swarms.iter().map(bytes).sum()
    }

    fn collect(&mut self, wanted: &Wanted) -> Option<Vec<Vec<u8>>> {
        let tell = |swarms: &Swarms| {
            let mut telling = Telling::new(wanted.clone());
            let mut buffer = Vec::new();
            while !telling.go_on(swarms, 1 << 16, &mut buffer) {}
            buffer
        };
        Some(self.swarms.iter().map(tell).collect())
    }

    fn gives_up(&self) -> bool {
        self.stopwatch.elapsed() > LAST_PATIENCE
    }

    fn gives_up_quietly(&self) -> bool {
        false
    }
}
