//! What a running tracker has for the process that comes after it, and its part in the handing over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::Sender;
use log::warn;

use super::takeover::{Estate, Heirloom, Hello, Launcher, Owed, Predecessor};
use super::{Tracker, rules};
use crate::config::Config;
use crate::control::Event;
use crate::control::server::Server;
use crate::net::steering::Steering;
use crate::registrar::Credits;
use crate::store::{KEY_LEN, Keeper};

/// What a tracker has for the process that comes after it.
pub(super) struct Succession {
    hello: Hello,
    heirlooms: Arc<[Heirloom]>,
    peer_timeout_s: u32,
    launcher: Option<Arc<Launcher>>,
    is_given_up: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How info-hashes are spread over the cores.
pub(super) struct Spread {
    secret: u64,
    pub(super) steering: Steering,
    /// Whether the kernel is to know it.
    is_steered: bool,
    /// Whether it has to learn it for sockets of a process before this one, which went by another rule, or
    /// by none.
    is_new: bool,
}

impl Spread {
    /// As the process before this one did, or by chance.
    pub(super) fn choose(
        config: &Config,
        cores: usize,
        before: Option<&Hello>,
    ) -> Result<Self, String> {
        // With as many cores as before, what waits in their sockets belongs to them.
        let same = before.filter(|before| before.cores == cores);
        let secret = same.map_or_else(rules::secret, |before| Ok(before.steering))?;
        Ok(Self {
            secret,
            steering: Steering::new(secret, cores),
            is_steered: config.workers.steering && cores > 1,
            is_new: before.is_some() && !same.is_some_and(|before| before.is_steered),
        })
    }

    /// The rule, if the kernel has to learn it once nobody else reads the sockets.
    pub(super) fn late(&self) -> Option<Steering> {
        (self.is_steered && self.is_new).then_some(self.steering)
    }

    /// What the process after this one is told.
    pub(super) fn hello(&self, cores: usize, key: [u8; KEY_LEN], unit_s: u32) -> Hello {
        Hello::new(cores, self.secret, self.is_steered, key, unit_s)
    }
}

impl Succession {
    pub(super) fn new(
        hello: Hello,
        estate: Estate,
        launcher: Option<Arc<Launcher>>,
        peer_timeout_s: u32,
    ) -> Self {
        Self {
            hello,
            heirlooms: estate.into_kept(),
            peer_timeout_s,
            launcher,
            is_given_up: Arc::default(),
            is_over: Arc::default(),
            thread: None,
        }
    }
}

impl Tracker {
    /// Writes what a process before this one was to credit and could not any more.
    pub(super) fn credit_owed(&self, owed: &[Owed]) {
        let mut credits = Credits::default();
        credits.add_sums(
            &self.registrar,
            owed.iter().map(|(sum, ago_s)| (sum, *ago_s)),
        );
        if let Err(error) = credits.write(&self.registrar) {
            warn!("what was uploaded and downloaded lately is not credited: {error}");
        }
    }

    /// Starts the program anew, to take over everything; what comes of it is an event. The error is a
    /// sentence.
    pub fn begin_to_hand_over(&mut self, events: &Sender<Event>) -> Result<(), String> {
        if self.is_handing_over() {
            return Err("a new process is taking over already".to_owned());
        }
        let (Some(chores), Some(historian)) = (&self.chores, &self.historian) else {
            return Err("this tracker has not started yet".to_owned());
        };
        let Some(launcher) = &self.succession.launcher else {
            return Err("there is no launcher to start a new process".to_owned());
        };
        let predecessor = Predecessor {
            hello: self.succession.hello.clone(),
            heirlooms: Arc::clone(&self.succession.heirlooms),
            collector: self.collector.clone(),
            errands: self.errands.clone(),
            holds: self.holds.clone(),
            doors: self.http.doors(self.control.as_ref().map(Server::pause)),
            state: self.control().cloned(),
            registrar: Arc::clone(&self.registrar),
            history: Arc::clone(historian.history()),
            respite: chores.respite(),
            loan: self.keeper.as_ref().map(Keeper::loan),
            peer_timeout_s: self.succession.peer_timeout_s,
            clock: self.clock.clone(),
            launcher: Arc::clone(launcher),
            is_given_up: Arc::clone(&self.succession.is_given_up),
        };
        let (events, is_over) = (events.clone(), Arc::clone(&self.succession.is_over));
        let body = move || {
            let handed_over = predecessor.hand_over();
            is_over.store(handed_over.is_ok(), Ordering::Release);
            // Gone only when the process is about to end.
            let _ = events.send(Event::HandedOver(handed_over));
        };
        let thread = thread::Builder::new().name("hand-over".to_owned());
        let thread = thread.spawn(body);
        let thread = thread.map_err(|error| format!("cannot start a thread: {error}"))?;
        self.succession.thread = Some(thread);
        Ok(())
    }

    /// True while a new process takes over.
    pub fn is_handing_over(&self) -> bool {
        self.succession.thread.is_some()
    }

    /// To be called when that has come to its end.
    pub fn end_handing_over(&mut self) {
        if let Some(thread) = self.succession.thread.take() {
            // Its event was its last act.
            let _ = thread.join();
        }
    }

    /// Ends this tracker, all of which another process has now: replies that are under way are sent, and
    /// nothing is written or closed.
    pub fn leave(mut self) {
        self.end_handing_over();
        self.let_go();
    }

    fn let_go(&mut self) {
        self.http.is_guest = true;
        let control_ended_well = self.control.take().is_none_or(Server::join);
        let http_ended_well = self.http.join();
        if let Some(keeper) = self.keeper.take() {
            keeper.leave();
        }
        if let Some(chores) = self.chores.take() {
            chores.leave();
        }
        self.stop_cores();
        for thread in self.threads.drain(..) {
            // A panic has been logged.
            let _ = thread.join();
        }
        if !(control_ended_well && http_ended_well) {
            warn!("a thread panicked while it ended");
        }
    }

    /// Brings a handing over to its end, before this tracker stops: it comes to nothing, or it has come to its
    /// end already.
    pub(super) fn settle_succession(&mut self) {
        self.succession.is_given_up.store(true, Ordering::Relaxed);
        self.end_handing_over();
        if self.succession.is_over.load(Ordering::Acquire) {
            self.let_go();
        }
    }
}
