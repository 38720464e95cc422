//! How a request reaches the core that owns its torrent: one way, over bounded queues.
//!
//! With steering the kernel already brings announces to their owner, and these queues see only scrapes
//! that name torrents of several cores. Without it they carry most announces. Either way nothing
//! comes back: every core has a socket on the same port, so the owner answers the client itself.
//!
//! HTTP threads put their questions into the same queues; the answers lie on a [`Desk`] of theirs.

use std::sync::Arc;

use super::answer::AnnounceJob;
use super::ask::Ask;
use super::desk::Desk;
use super::errand::Errand;
use super::export::Export;
use super::sheet::Sheet;
use super::succession::Succession;
use crate::limits::{HANDOVER_QUEUE_LEN, TRAVELLING_SCRAPES_MAX};
use crate::net::{Doorbell, Origin};
use crate::sync::ArrayQueue;
use crate::wire::udp::{InfoHashes, TransactionId};

/// A request on its way to the core that owns it.
pub enum Handover {
    /// Checked by the core that received it: only the swarm and the reply are left to do.
    Announce(AnnounceJob),
    /// Some of its rows are still to be filled in.
    Scrape(Box<TravellingScrape>),
    /// From an HTTP thread, which gets it back answered.
    Ask(Box<Ask>),
    /// Somebody wants to know all torrents.
    Export(Box<Export>),
    /// The control side wants something done.
    Errand(Box<Errand>),
    /// A successor wants to know everything, and whatever changes.
    Succession(Box<Succession>),
    /// Nothing changes any more, and the successor may have the rest.
    EndOfSuccession,
}

/// Why a handover did not happen: a queue was full. The client will ask again.
pub struct Full;

/// The queue in front of one core.
struct Mailbox {
    queue: ArrayQueue<Handover>,
    doorbell: Arc<Doorbell>,
}

impl Mailbox {
    /// An empty mailbox with room for `len` requests; `doorbell` wakes its core.
    fn new(len: usize, doorbell: Arc<Doorbell>) -> Self {
        Self {
            queue: ArrayQueue::new(len),
            doorbell,
        }
    }
}

/// The mailboxes of all cores as one of them sees them.
#[derive(Clone)]
pub struct Mesh {
    me: usize,
    mailboxes: Arc<[Mailbox]>,
    /// Scrapes that nobody travels with; as many exist as will ever be needed.
    spare: Arc<ArrayQueue<Box<TravellingScrape>>>,
    /// Where the answers for each HTTP thread go.
    desks: Arc<[Desk]>,
}

/// The mailboxes of all cores as an HTTP thread sees them.
#[derive(Clone)]
pub struct Counter {
    me: usize,
    mailboxes: Arc<[Mailbox]>,
    desks: Arc<[Desk]>,
}

/// The mailboxes of all cores as a thread sees them that wants to know all their torrents, or something
/// done.
#[derive(Clone)]
pub struct Collector {
    mailboxes: Arc<[Mailbox]>,
}

impl Collector {
    /// Asks a core for all its torrents, and wakes it.
    pub fn export(&self, core: usize, export: Export) -> Result<(), Full> {
        self.push(core, Handover::Export(Box::new(export)))
    }

    /// Sends a core on an errand, and wakes it.
    pub fn send(&self, core: usize, errand: Errand) -> Result<(), Full> {
        self.push(core, Handover::Errand(Box::new(errand)))
    }

    /// Has a core tell a successor everything, and wakes it.
    pub fn begin_succession(&self, core: usize, succession: Succession) -> Result<(), Full> {
        self.push(core, Handover::Succession(Box::new(succession)))
    }

    /// Has a core tell it the rest: what stands in its mailbox before this is part of it.
    pub fn end_succession(&self, core: usize) -> Result<(), Full> {
        self.push(core, Handover::EndOfSuccession)
    }

    fn push(&self, core: usize, handover: Handover) -> Result<(), Full> {
        let pushed = self.mailboxes[core].queue.push(handover);
        self.ring(core);
        pushed.map_err(|_| Full)
    }

    /// Wakes a core, if it sleeps.
    pub fn ring(&self, core: usize) {
        self.mailboxes[core].doorbell.ring();
    }

    /// Requests that wait in front of a core, of [`HANDOVER_QUEUE_LEN`] that may.
    pub fn waiting(&self, core: usize) -> usize {
        self.mailboxes[core].queue.len()
    }

    /// How many cores there are to ask.
    pub fn cores(&self) -> usize {
        self.mailboxes.len()
    }
}

impl Counter {
    /// Which HTTP thread this is.
    pub fn me(&self) -> usize {
        self.me
    }

    /// Puts a question before the core that owns its torrent. The core is not told before
    /// [`Counter::ring`], so that it finds the questions of a whole turn at once.
    pub fn post(&self, owner: usize, ask: Box<Ask>) -> Result<(), Box<Ask>> {
        self.mailboxes[owner]
            .queue
            .push(Handover::Ask(ask))
            .map_err(|refused| match refused {
                Handover::Ask(ask) => ask,
                _ => unreachable!("what is refused is what was pushed"),
            })
    }

    /// Wakes a core, if it sleeps.
    pub fn ring(&self, owner: usize) {
        self.mailboxes[owner].doorbell.ring();
    }

    /// Where this thread finds its answers.
    pub fn desk(&self) -> &Desk {
        &self.desks[self.me]
    }
}

impl Mesh {
    /// One mesh a core, over a doorbell a core, and a counter for each of `http_threads`.
    pub fn between(doorbells: &[Arc<Doorbell>], http_threads: usize) -> (Vec<Self>, Vec<Counter>) {
        Self::with_room(HANDOVER_QUEUE_LEN, doorbells, http_threads)
    }

    /// The same with room for `len` requests in front of each core, at least one.
    pub fn with_room(
        len: usize,
        doorbells: &[Arc<Doorbell>],
        http_threads: usize,
    ) -> (Vec<Self>, Vec<Counter>) {
        let mailboxes: Arc<[Mailbox]> = doorbells
            .iter()
            .map(|doorbell| Mailbox::new(len, Arc::clone(doorbell)))
            .collect();
        let spare = ArrayQueue::new(TRAVELLING_SCRAPES_MAX);
        if doorbells.len() > 1 {
            while spare.push(Box::new(TravellingScrape::empty())).is_ok() {}
        }
        let spare = Arc::new(spare);
        let desks: Arc<[Desk]> = (0..http_threads).map(|_| Desk::new()).collect();
        let mesh = |me| Self {
            me,
            mailboxes: Arc::clone(&mailboxes),
            spare: Arc::clone(&spare),
            desks: Arc::clone(&desks),
        };
        let counter = |me| Counter {
            me,
            mailboxes: Arc::clone(&mailboxes),
            desks: Arc::clone(&desks),
        };
        let meshes = (0..doorbells.len()).map(mesh).collect();
        (meshes, (0..http_threads).map(counter).collect())
    }

    /// A way to ask all cores for their torrents, and to send them on errands.
    pub fn collector(&self) -> Collector {
        let mailboxes = Arc::clone(&self.mailboxes);
        Collector { mailboxes }
    }

    /// Which core this is.
    pub fn me(&self) -> usize {
        self.me
    }

    /// The desks of the HTTP threads.
    pub(super) fn desks(&self) -> &[Desk] {
        &self.desks
    }

    /// Gives a request to its owner.
    pub fn hand_over(&self, owner: usize, handover: Handover) -> Result<(), Full> {
        let mailbox = &self.mailboxes[owner];
        match mailbox.queue.push(handover) {
            Ok(()) => {
                mailbox.doorbell.ring();
                Ok(())
            }
            Err(refused) => {
                match refused {
                    Handover::Scrape(scrape) => self.finish(scrape),
                    // Back to whoever waits for it, who sees what is missing.
                    Handover::Ask(ask) => self.desks[ask.desk].put(ask),
                    Handover::Announce(_)
                    | Handover::Export(_)
                    | Handover::Errand(_)
                    | Handover::Succession(_)
                    | Handover::EndOfSuccession => {}
                }
                Err(Full)
            }
        }
    }

    /// The next request that another core handed to this one.
    pub fn take(&self) -> Option<Handover> {
        self.mailboxes[self.me].queue.pop()
    }

    /// Begins a scrape over several cores.
    pub fn begin(
        &self,
        origin: Origin,
        transaction_id: TransactionId,
        info_hashes: InfoHashes<'_>,
        hashes_max: usize,
    ) -> Result<Box<TravellingScrape>, Full> {
        let mut scrape = self.spare.pop().ok_or(Full)?;
        scrape.origin = origin;
        scrape.transaction_id = transaction_id;
        scrape.sheet.begin(|places| {
            let asked = info_hashes.iter().take(hashes_max);
            places
                .iter_mut()
                .zip(asked)
                .map(|(place, info_hash)| *place = info_hash)
                .count()
        });
        Ok(scrape)
    }

    /// Puts a scrape that was answered or dropped back for the next one.
    pub fn finish(&self, scrape: Box<TravellingScrape>) {
        // There is room: it came from there.
        drop(self.spare.push(scrape));
    }

    /// How many scrapes could begin now; all of them when none is on its way.
    pub fn idle_scrapes(&self) -> usize {
        self.spare.len()
    }

    /// The core is about to sleep; true when it must not, because requests wait.
    pub fn about_to_sleep(&self) -> bool {
        let mailbox = &self.mailboxes[self.me];
        mailbox.doorbell.about_to_sleep();
        !mailbox.queue.is_empty()
    }

    /// The core is awake and will look at its mailbox without being told.
    pub fn awake(&self) {
        self.mailboxes[self.me].doorbell.awake();
    }
}

/// A scrape over UDP whose torrents belong to several cores.
pub struct TravellingScrape {
    /// Who asked.
    pub origin: Origin,
    /// What the reply echoes.
    pub transaction_id: TransactionId,
    /// What it asks for.
    pub sheet: Sheet,
}

impl TravellingScrape {
    fn empty() -> Self {
        Self {
            origin: Origin::NOBODY,
            transaction_id: TransactionId(0),
            sheet: Sheet::empty(),
        }
    }
}
