//! The old process: starts the new one, tells it everything, and goes on if that comes to nothing.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Select, bounded};
use log::{info, warn};
use tokio::sync::watch;

use super::words::{CreditWord, Hello, Label, Reply, Talk, Word};
use super::{Heirloom, Launcher};
use crate::boot::chores::Respite;
use crate::boot::http::Bells;
use crate::clock::{Clock, Stopwatch};
use crate::control::handed_over;
use crate::control::history::History;
use crate::control::state::State;
use crate::http::Pause;
use crate::net::passage::Passage;
use crate::registrar::Registrar;
use crate::shard::{Collector, Errands, Hold, Part, Succession};
use crate::store::{Legacy, Loan};

/// How long the new process may take to read its configuration and to bind what is missing.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// How long it may take to take over all torrents, once the store is open.
const STATE_PATIENCE: Duration = Duration::from_secs(300);

/// How long the HTTP threads, or the cores, may take to fall silent.
const SILENCE_PATIENCE: Duration = Duration::from_secs(5);

/// How long the new process may take from the last change until it serves.
const SERVE_PATIENCE: Duration = Duration::from_secs(20);

/// How long one that is gone may take to end.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// How long it may take to make room for a word.
const WORD_PATIENCE: Duration = Duration::from_secs(20);

/// How often it is looked whether something has happened that rings no bell.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Parts that may wait for a core's successor.
const PARTS: usize = 16;

/// Sums of credit in a word.
const CREDITS_A_WORD: usize = 128;

/// All that lets somebody in beside the UDP sockets.
pub(in crate::boot) struct Doors {
    pub(in crate::boot) pause: Arc<Pause>,
    pub(in crate::boot) bells: Bells,
    pub(in crate::boot) http_threads: usize,
    pub(in crate::boot) control: Option<watch::Sender<bool>>,
}

/// A handle on everything of a tracker that a successor wants.
pub(in crate::boot) struct Predecessor {
    pub(in crate::boot) hello: Hello,
    pub(in crate::boot) heirlooms: Arc<[Heirloom]>,
    pub(in crate::boot) collector: Collector,
    pub(in crate::boot) errands: Errands,
    pub(in crate::boot) holds: Vec<Arc<Hold>>,
    pub(in crate::boot) doors: Doors,
    pub(in crate::boot) state: Option<State>,
    pub(in crate::boot) registrar: Arc<Registrar>,
    pub(in crate::boot) history: Arc<History>,
    pub(in crate::boot) respite: Respite,
    pub(in crate::boot) loan: Option<Loan>,
    pub(in crate::boot) peer_timeout_s: u32,
    pub(in crate::boot) clock: Clock,
    pub(in crate::boot) launcher: Arc<Launcher>,
    /// Set when there is no time for all this any more.
    pub(in crate::boot) is_given_up: Arc<AtomicBool>,
}

/// A process that has been started, and what is heard of it.
struct Successor {
    launcher: Arc<Launcher>,
    pid: u32,
    talk: Talk,
}

impl Predecessor {
    /// Hands everything over to a new process, whose id is the result; then this one has only to end. The
    /// error is a sentence, and this one serves as before.
    pub(in crate::boot) fn hand_over(&self) -> Result<u32, String> {
        let mut successor = Successor::start(&self.launcher)?;
        let done = self.hand_over_to(&mut successor);
        if done.is_err() {
            // Before anything is taken back: two must not have it.
            let ended = successor.end();
            self.take_back();
            return done.map_err(|sentence| format!("{sentence}{ended}"));
        }
        done
    }

    fn hand_over_to(&self, successor: &mut Successor) -> Result<u32, String> {
        let pid = successor.pid;
        let stopwatch = Stopwatch::start();
        info!("started process {pid} to take over");
        successor.say_all(&self.hello, &self.heirlooms)?;
        self.await_word(successor, Word::ReadyForState, START_PATIENCE)?;
        info!("process {pid} is ready for the state");
        self.lend_store()?;
        successor.say(Word::Go, &[])?;

        let mut pump = Pump::start(self, successor)?;
        pump.run(STATE_PATIENCE, |pump| pump.is_ready_to_serve)?;
        let ms = stopwatch.elapsed().as_millis();
        let kib = pump.bytes / 1024;
        info!("process {pid} is ready to serve after {ms} ms, with {kib} KiB of torrents");

        let stopwatch = Stopwatch::start();
        self.close_doors(&mut pump)?;
        let silence = Stopwatch::start();
        for hold in &self.holds {
            hold.set(true);
        }
        let is_quiet = || self.holds.iter().all(|hold| hold.is_quiet());
        pump.run(SILENCE_PATIENCE, |_| is_quiet())?;
        pump.finish()?;
        self.hand_credits_over(successor)?;
        successor.say(Word::End, &[])?;
        self.await_word(successor, Word::Reading, SERVE_PATIENCE)?;
        let silence = silence.elapsed();
        self.await_word(successor, Word::Serving, SERVE_PATIENCE)?;
        info!(
            "process {pid} serves: datagrams waited {:.1} ms, connections {:.1} ms",
            silence.as_secs_f64() * 1e3,
            stopwatch.elapsed().as_secs_f64() * 1e3,
        );
        handed_over(pid);
        successor.launcher.let_go();
        // It serves, heard or not.
        let _ = successor.say(Word::Farewell, &[]);
        Ok(pid)
    }

    /// Has everything written that belongs into the store, and closes it. Nothing is changed from here on.
    fn lend_store(&self) -> Result<(), String> {
        if let Some(state) = &self.state {
            state.set_handing_over(true);
        }
        if !self.respite.begin() {
            return Err("what is to be credited cannot be written".to_owned());
        }
        self.history.look();
        if let Err(error) = self.history.write() {
            warn!("the statistics of the last minute are not kept: {error}");
        }
        if self.loan.as_ref().is_some_and(|loan| !loan.lend()) {
            return Err("the disk does not let go of the store".to_owned());
        }
        self.registrar.lend();
        Ok(())
    }

    /// Lets nobody in over HTTP, and waits until all who are in have their answers.
    fn close_doors(&self, pump: &mut Pump<'_>) -> Result<(), String> {
        let Doors {
            pause,
            bells,
            http_threads,
            control,
        } = &self.doors;
        if let Some(control) = control {
            control.send_replace(true);
        }
        pause.set(true);
        bells.ring();
        pump.run(SILENCE_PATIENCE, |_| pause.silent() == *http_threads)
    }

    /// What clients have sent and received since the store was lent.
    fn hand_credits_over(&self, successor: &Successor) -> Result<(), String> {
        let failed = |error: io::Error| format!("credits cannot be collected: {error}");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(failed)?;
        let now_s = self.clock.now().uptime_s;
        for transfers in runtime.block_on(self.errands.transfers()) {
            let sums: Vec<_> = transfers
                .iter()
                .map(|sum| CreditWord::of(sum, now_s))
                .collect();
            for sums in sums.chunks(CREDITS_A_WORD) {
                let said = successor.talk.say_in_json(Word::Credit, &sums, None);
                said.map_err(|error| explain(&error))?;
            }
        }
        Ok(())
    }

    /// Serves as before.
    fn take_back(&self) {
        for hold in &self.holds {
            hold.set(false);
        }
        self.doors.pause.set(false);
        self.doors.bells.ring();
        if let Some(control) = &self.doors.control {
            control.send_replace(false);
        }
        self.registrar.take_back();
        if let Some(records) = self.registrar.records() {
            records.claim().sign();
        }
        if let Some(loan) = &self.loan {
            loan.take_back();
        }
        self.respite.end();
        if let Some(state) = &self.state {
            state.set_handing_over(false);
        }
    }

    /// Waits until the new process has said this.
    fn await_word(
        &self,
        successor: &mut Successor,
        wanted: Word,
        patience: Duration,
    ) -> Result<(), String> {
        let stopwatch = Stopwatch::start();
        while stopwatch.elapsed() < patience {
            self.go_on()?;
            match successor.talk.hear() {
                Ok(Reply::Nothing) => {}
                Ok(Reply::Word((word, ..))) if word == wanted => return Ok(()),
                Ok(Reply::Word((word, ..))) => {
                    return Err(format!(
                        "the new process said {word:?} instead of {wanted:?}"
                    ));
                }
                Ok(Reply::Gone) => return Err("the new process has ended".to_owned()),
                Err(error) => return Err(explain(&error)),
            }
        }
        Err(format!("the new process did not say {wanted:?} in time"))
    }

    fn go_on(&self) -> Result<(), String> {
        if self.is_given_up.load(Ordering::Relaxed) {
            return Err("this process is to stop".to_owned());
        }
        Ok(())
    }
}

impl Successor {
    /// Has the program started that this process was started from, with the same arguments and environment.
    fn start(launcher: &Arc<Launcher>) -> Result<Self, String> {
        let failed = |error: io::Error| format!("cannot start a new process: {error}");
        let (passage, theirs) = Passage::dig().map_err(failed)?;
        let talk = Talk::new(passage, LOOK_AGAIN * 10, WORD_PATIENCE).map_err(failed)?;
        Ok(Self {
            pid: launcher.launch(&theirs)?,
            launcher: Arc::clone(launcher),
            talk,
        })
    }

    fn say_all(&self, hello: &Hello, heirlooms: &[Heirloom]) -> Result<(), String> {
        let mut hello = hello.clone();
        hello.sockets = heirlooms.len();
        let said = self
            .talk
            .say_in_json(Word::Hello, &hello, None)
            .and_then(|()| {
                heirlooms.iter().try_for_each(|heirloom| {
                    let label = Label {
                        kind: heirloom.kind,
                        name: heirloom.name.clone(),
                    };
                    let descriptor = heirloom.descriptor.as_fd();
                    self.talk
                        .say_in_json(Word::Socket, &label, Some(descriptor))
                })
            });
        said.map_err(|error| explain(&error))
    }

    fn say(&self, word: Word, body: &[u8]) -> Result<(), String> {
        self.talk.say(word, body).map_err(|error| explain(&error))
    }

    /// Ends it, and says how it ended if it did so by itself.
    fn end(&mut self) -> String {
        let is_gone = matches!(self.talk.overhear(), Ok(Reply::Gone) | Err(_));
        let by_itself = is_gone.then(|| self.launcher.await_end(END_PATIENCE));
        if let Some(status) = by_itself.flatten() {
            return format!(" ({status})");
        }
        self.launcher.kill();
        String::new()
    }
}

/// Why the new process could not be told something, or heard.
fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            "the new process has ended".to_owned()
        }
        io::ErrorKind::WouldBlock => "the new process does not listen".to_owned(),
        _ => format!("the new process cannot be told: {error}"),
    }
}

/// Carries what the cores tell to the new process.
struct Pump<'a> {
    predecessor: &'a Predecessor,
    successor: &'a mut Successor,
    parts: Vec<Receiver<Part>>,
    told: Vec<bool>,
    last: Vec<bool>,
    is_ready_to_serve: bool,
    has_said_so: bool,
    bytes: usize,
}

impl<'a> Pump<'a> {
    fn start(predecessor: &'a Predecessor, successor: &'a mut Successor) -> Result<Self, String> {
        let cores = predecessor.collector.cores();
        let taken_s = predecessor.clock.now().uptime_s;
        let mut parts = Vec::with_capacity(cores);
        for core in 0..cores {
            let (out, receiver) = bounded(PARTS);
            let legacy = Legacy::new(taken_s, predecessor.peer_timeout_s);
            let succession = Succession::new(legacy, out);
            let begun = predecessor.collector.begin_succession(core, succession);
            begun.map_err(|_| format!("core {core} has too much to do"))?;
            parts.push(receiver);
        }
        Ok(Self {
            predecessor,
            successor,
            parts,
            told: vec![false; cores],
            last: vec![false; cores],
            is_ready_to_serve: false,
            has_said_so: false,
            bytes: 0,
        })
    }

    /// Carries on until something is true.
    fn run(&mut self, patience: Duration, is_true: impl Fn(&Self) -> bool) -> Result<(), String> {
        let stopwatch = Stopwatch::start();
        while !is_true(self) {
            self.predecessor.go_on()?;
            if stopwatch.elapsed() > patience {
                return Err("it took too long to tell the new process everything".to_owned());
            }
            self.carry()?;
            self.listen()?;
        }
        Ok(())
    }

    /// Asks for the last changes, and carries them.
    fn finish(&mut self) -> Result<(), String> {
        for core in 0..self.parts.len() {
            let asked = || self.predecessor.collector.end_succession(core);
            if asked().is_err() {
                // Behind what waits in its mailbox there is room in a moment.
                self.run(SILENCE_PATIENCE, |_| asked().is_ok())?;
            }
        }
        self.run(SILENCE_PATIENCE, |pump| !pump.last.contains(&false))
    }

    /// Takes what there is of each core, and waits a moment if that is nothing.
    fn carry(&mut self) -> Result<(), String> {
        let mut idle = true;
        for core in 0..self.parts.len() {
            if self.last[core] {
                continue;
            }
            while let Ok(part) = self.parts[core].try_recv() {
                idle = false;
                self.predecessor.collector.ring(core);
                if !part.frames.is_empty() {
                    self.bytes += part.frames.len();
                    self.successor.say(Word::State, &part.frames)?;
                }
                self.told[core] |= part.told;
                self.last[core] |= part.last;
            }
        }
        if !self.has_said_so && !self.told.contains(&false) {
            self.has_said_so = true;
            self.successor.say(Word::Told, &[])?;
        }
        if idle {
            self.wait()?;
        }
        Ok(())
    }

    /// Waits a moment for one of the cores.
    fn wait(&mut self) -> Result<(), String> {
        let mut select = Select::new();
        let mut cores = Vec::new();
        for (core, parts) in self.parts.iter().enumerate() {
            if !self.last[core] {
                select.recv(parts);
                cores.push(core);
            }
        }
        if let Ok(ready) = select.ready_timeout(LOOK_AGAIN) {
            let core = cores[ready];
            if self.parts[core].is_empty() {
                // Without a word it closed: the new process was too slow for what changed.
                return Err(format!("core {core} cannot keep up with the new process"));
            }
        }
        Ok(())
    }

    fn listen(&mut self) -> Result<(), String> {
        match self.successor.talk.overhear() {
            Ok(Reply::Nothing) => Ok(()),
            Ok(Reply::Word((Word::ReadyToServe, ..))) => {
                self.is_ready_to_serve = true;
                Ok(())
            }
            Ok(Reply::Word((word, ..))) => Err(format!("the new process said {word:?} too early")),
            Ok(Reply::Gone) => Err("the new process has ended".to_owned()),
            Err(error) => Err(explain(&error)),
        }
    }
}
