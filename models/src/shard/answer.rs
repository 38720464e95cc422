//! What a core does with what it takes: announces and exports are counted, questions go back answered,
//! scrapes get their rows and travel on.

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};

use super::mesh::{Handover, Mesh, TravellingScrape};
use crate::clock::Now;
use crate::counters::ThreadCounters;
use crate::limits::TURN_HANDOVERS_MAX;
use crate::net::{Datagram, Net, Outbox};
use crate::swarm::{Swarms, Totals};
use crate::wire::InfoHash;

/// An announce on its way.
#[derive(Clone, Copy)]
pub struct AnnounceJob;

/// How much was done, for whoever waits for it.
#[derive(Default)]
pub struct Served {
    done: Mutex<usize>,
    more: Condvar,
}

impl Served {
    pub fn add(&self) {
        *self.done.lock().expect("nobody panics with it") += 1;
        self.more.notify_all();
    }

    /// Waits until it is so much; for ever, if a wake-up is lost.
    pub fn wait(&self, enough: usize) {
        let mut done = self.done.lock().expect("nobody panics with it");
        while *done < enough {
            done = self.more.wait(done).expect("nobody panics with it");
        }
        assert_eq!(*done, enough, "something was done twice");
    }
}

pub struct Shard {
    mesh: Mesh,
    counters: ThreadCounters,
    served: Arc<Served>,
    /// A scrape over all cores that begins here with the first turn.
    begins: bool,
    unrung: bool,
}

impl Shard {
    pub fn new(mesh: Mesh, served: &Arc<Served>) -> Self {
        Self {
            mesh,
            counters: ThreadCounters::default(),
            served: Arc::clone(served),
            begins: false,
            unrung: false,
        }
    }

    /// The same, where a scrape begins.
    #[must_use]
    pub fn where_a_scrape_begins(self) -> Self {
        let begins = true;
        Self { begins, ..self }
    }

    pub fn begin_turn(&mut self) {}

    pub fn admit(&mut self, _: &Datagram, _: Now, _: &mut Outbox) {}

    pub fn take_handovers(&mut self, _: &mut Outbox) {
        if std::mem::take(&mut self.begins) {
            let hashes = [InfoHash::of(0), InfoHash::of(1)];
            let scrape = self.mesh.begin(
                crate::net::Origin(1),
                crate::wire::udp::TransactionId(1),
                crate::wire::udp::InfoHashes(&hashes),
                2,
            );
            match scrape {
                Ok(scrape) => self.fill(scrape),
                Err(super::mesh::Full) => self.served.add(),
            }
        }
        for _ in 0..TURN_HANDOVERS_MAX {
            let Some(handover) = self.mesh.take() else {
                return;
            };
            match handover {
                Handover::Ask(mut ask) => {
                    ask.answer();
                    self.mesh.desks()[0].put(ask);
                    self.unrung = true;
                }
                Handover::Scrape(scrape) => self.fill(scrape),
                _ => self.served.add(),
            }
        }
    }

    fn fill(&mut self, mut scrape: Box<TravellingScrape>) {
        let me = self.mesh.me();
        let mine = |hash: &InfoHash| (usize::from(hash.0[0]) == me).then(Totals::default);
        scrape.sheet.fill(mine);
        let next = scrape.sheet.next().map(|hash| usize::from(hash.0[0]));
        match next {
            None => {
                self.mesh.finish(scrape);
                self.served.add();
            }
            Some(owner) => {
                if self
                    .mesh
                    .hand_over(owner, Handover::Scrape(scrape))
                    .is_err()
                {
                    self.served.add();
                }
            }
        }
    }

    pub fn turn_away_floods(&mut self, _: u64, _: Now) {}

    pub fn sieve_forgeries(&mut self, _: &Net, _: Now) {}

    pub fn prefetch(&mut self) {}

    pub fn answer_announces(&mut self, _: Now, _: &mut Outbox) {
        if std::mem::take(&mut self.unrung) {
            self.mesh.desks()[0].ring();
        }
    }

    pub fn about_to_sleep(&self) -> bool {
        self.mesh.about_to_sleep()
    }

    pub fn awake(&self) {
        self.mesh.awake();
    }

    pub fn has_more_to_do(&self) -> bool {
        self.begins
    }

    pub fn sweep(&mut self, _: Now) {}

    pub fn run_errand(&mut self, _: Now) {}

    pub fn export(&mut self) {}

    pub fn tell_successor(&mut self) {}

    pub fn counters(&self) -> &ThreadCounters {
        &self.counters
    }

    pub fn into_swarms(self) -> Swarms {
        Swarms
    }
}
