//! How a request reaches the core that owns its torrent: one way, over bounded queues.
//!
//! With steering the kernel already brings announces to their owner, and these queues see only scrapes
//! that name torrents of several cores. Without it they carry most announces. Either way nothing
//! comes back: every core has a socket on the same port, so the owner answers the client itself.
//!
//! A scrape over several cores *travels*: each core fills in the rows of its own torrents and passes it
//! on, the last one answers. It visits a core at most once, and there is nothing to gather, to
//! time out or to lose track of.

use std::sync::Arc;

use crossbeam_queue::ArrayQueue;

use super::answer::AnnounceJob;
use crate::limits::{HANDOVER_QUEUE_LEN, SCRAPE_HASHES_MAX, TRAVELLING_SCRAPES_MAX};
use crate::net::{Doorbell, Origin};
use crate::wire::InfoHash;
use crate::wire::udp::{InfoHashes, ScrapeRow, TransactionId};

/// A request on its way to the core that owns it.
pub enum Handover {
    /// Checked by the core that received it: only the swarm and the reply are left to do.
    Announce(AnnounceJob),
    /// Some of its rows are still to be filled in.
    Scrape(Box<TravellingScrape>),
}

/// Why a handover did not happen: a queue was full. The client will ask again.
pub struct Full;

/// The queue in front of one core.
struct Mailbox {
    queue: ArrayQueue<Handover>,
    doorbell: Arc<Doorbell>,
}

impl Mailbox {
    /// An empty mailbox; `doorbell` wakes its core.
    fn new(doorbell: Arc<Doorbell>) -> Self {
        Self {
            queue: ArrayQueue::new(HANDOVER_QUEUE_LEN),
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
}

impl Mesh {
    /// One mesh a core, over a doorbell a core.
    pub fn between(doorbells: &[Arc<Doorbell>]) -> Vec<Self> {
        let mailboxes: Arc<[Mailbox]> = doorbells
            .iter()
            .map(|doorbell| Mailbox::new(Arc::clone(doorbell)))
            .collect();
        let spare = ArrayQueue::new(TRAVELLING_SCRAPES_MAX);
        if doorbells.len() > 1 {
            while spare.push(Box::new(TravellingScrape::empty())).is_ok() {}
        }
        let spare = Arc::new(spare);
        let mesh = |me| Self {
            me,
            mailboxes: Arc::clone(&mailboxes),
            spare: Arc::clone(&spare),
        };
        (0..doorbells.len()).map(mesh).collect()
    }

    /// Which core this is.
    pub fn me(&self) -> usize {
        self.me
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
                if let Handover::Scrape(scrape) = refused {
                    self.finish(scrape);
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
        scrape.filled = 0;
        scrape.len = info_hashes.len().min(hashes_max);
        for (place, info_hash) in scrape.info_hashes[..scrape.len]
            .iter_mut()
            .zip(info_hashes.iter())
        {
            *place = info_hash;
        }
        Ok(scrape)
    }

    /// Puts a scrape that was answered or dropped back for the next one.
    pub fn finish(&self, scrape: Box<TravellingScrape>) {
        // There is room: it came from there.
        drop(self.spare.push(scrape));
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

/// A scrape whose torrents belong to several cores.
pub struct TravellingScrape {
    origin: Origin,
    transaction_id: TransactionId,
    len: usize,
    /// One bit a row.
    filled: u128,
    info_hashes: [InfoHash; SCRAPE_HASHES_MAX],
    rows: [ScrapeRow; SCRAPE_HASHES_MAX],
}

const _: () = assert!(SCRAPE_HASHES_MAX <= u128::BITS as usize);

impl TravellingScrape {
    fn empty() -> Self {
        Self {
            origin: Origin::NOBODY,
            transaction_id: TransactionId(0),
            len: 0,
            filled: 0,
            info_hashes: [InfoHash([0; InfoHash::LEN]); SCRAPE_HASHES_MAX],
            rows: [ScrapeRow::default(); SCRAPE_HASHES_MAX],
        }
    }

    /// Fills in the rows for which `row` has an answer.
    pub fn fill(&mut self, mut row: impl FnMut(&InfoHash) -> Option<ScrapeRow>) {
        for position in 0..self.len {
            if let Some(row) = row(&self.info_hashes[position]) {
                self.rows[position] = row;
                self.filled |= 1 << position;
            }
        }
    }

    /// The first torrent without a row: its owner comes next. `None` when the scrape can be answered.
    pub fn next(&self) -> Option<&InfoHash> {
        let position = self.filled.trailing_ones() as usize;
        self.info_hashes[..self.len].get(position)
    }

    /// Who asked.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// What the reply echoes.
    pub fn transaction_id(&self) -> TransactionId {
        self.transaction_id
    }

    /// The rows in the order of the request.
    pub fn rows(&self) -> &[ScrapeRow] {
        &self.rows[..self.len]
    }
}
