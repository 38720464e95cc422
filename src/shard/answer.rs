//! A request and a shard become a reply: the only place where the rules meet.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

use super::announce::{Scene, Sender, Told};
use super::ask::{Ask, Matter};
use super::errand::UnderWay;
use super::export::Exports;
use super::mesh::{Full, Handover, Mesh, TravellingScrape};
use super::rules::Rules;
use super::sieve::Forgeries;
use super::similar;
use super::succession::Succession;
use crate::clock::Now;
use crate::counters::{Count, Discard, Family, Fault, Kind, Protocol, Tally, ThreadCounters};
use crate::gate::access::{Access, DENIED_INTERVAL_S, Deny};
use crate::gate::flood::{Guard, Limits, Prefix};
use crate::limits::{TURN_DATAGRAMS_MAX, TURN_HANDOVERS_MAX};
use crate::net::{Origin, Outbox};
use crate::swarm::{Announced, Likely, PeerAnnounce, PeerDetails, Refusal, Swarms, Totals};
use crate::wire::InfoHash;
use crate::wire::udp::{self, ScrapeRow, TransactionId};

/// An announce that passed the gate: all that its owner needs to answer it.
#[derive(Clone, Copy)]
pub struct AnnounceJob {
    pub(super) origin: Origin,
    pub(super) transaction_id: TransactionId,
    pub(super) peer: PeerAnnounce,
    pub(super) details: PeerDetails,
}

/// Who waits for the answer to an announce.
pub(super) enum Asker {
    /// The sender of a datagram.
    Datagram(Sender),
    /// A connection of an HTTP thread.
    Connection(Box<Ask>),
}

/// An announce for a swarm of this core, and what the steps of prefetching learn about it.
pub(super) struct Pending {
    pub(super) asker: Asker,
    pub(super) peer: PeerAnnounce,
    hash: u64,
    likely: Likely,
    /// Chance, drawn before the reply is written so that the peers it picks can be prefetched.
    turn: u64,
}

/// The swarms of one core and the rules by which it answers.
pub struct Shard {
    pub(super) rules: Rules,
    /// The lists as they were when the turn began, and where newer ones appear.
    pub(super) access: Arc<Access>,
    newest_access: Cache<Arc<ArcSwap<Access>>, Arc<Access>>,
    pub(super) swarms: Swarms,
    pub(super) mesh: Mesh,
    pub(super) counters: Arc<ThreadCounters>,
    random: fastrand::Rng,
    /// Announces of this turn for swarms of this core.
    pub(super) pending: Vec<Pending>,
    pub(super) guard: Guard,
    pub(super) forgeries: Forgeries,
    /// Which HTTP threads have got an answer in this turn and do not know yet.
    unrung: Vec<bool>,
    /// Exports under way.
    exports: Exports,
    /// The one under way, if there is any.
    succession: Option<Box<Succession>>,
    pub(super) errands: UnderWay,
    pub(super) sweep_second: u32,
    pub(super) sweep_due: usize,
}

impl Shard {
    /// An empty shard.
    pub fn new(
        rules: Rules,
        access: Arc<ArcSwap<Access>>,
        swarms: Swarms,
        mesh: Mesh,
        counters: Arc<ThreadCounters>,
        random: fastrand::Rng,
    ) -> Self {
        let pending = Vec::with_capacity(TURN_DATAGRAMS_MAX + TURN_HANDOVERS_MAX);
        let unrung = vec![false; mesh.desks().len()];
        let mut shard = Self {
            rules,
            access: access.load_full(),
            newest_access: Cache::new(access),
            swarms,
            mesh,
            counters,
            random,
            pending,
            guard: Guard::new(Limits::default()),
            forgeries: Forgeries::default(),
            unrung,
            exports: Exports::default(),
            succession: None,
            errands: UnderWay::default(),
            sweep_second: 0,
            sweep_due: 0,
        };
        shard.follow_limits();
        shard
    }

    /// Takes the operator's lists as they are now.
    pub fn begin_turn(&mut self) {
        let newest = self.newest_access.load();
        if !Arc::ptr_eq(newest, &self.access) {
            self.access = Arc::clone(newest);
            self.follow_limits();
        }
    }

    /// Takes this core's share of the limits of sources.
    fn follow_limits(&mut self) {
        let share = self.access.flood.share(self.access.hashes.len());
        self.guard.follow(share);
        self.swarms.limit_new_torrents(share.new_torrents);
    }

    /// The swarms, when no more answers are needed.
    pub fn into_swarms(self) -> Swarms {
        self.swarms
    }

    /// What this core counts.
    pub fn counters(&self) -> &ThreadCounters {
        &self.counters
    }

    pub(super) fn hand_over(&self, owner: usize, handover: Handover) -> Result<(), Discard> {
        self.mesh
            .hand_over(owner, handover)
            .map_err(|Full| Discard::HandoverFull)?;
        self.counters.tally(Tally::HandedOver, 1);
        Ok(())
    }

    /// Fills in the rows of this core, then answers the scrape or passes it on.
    pub(super) fn fill(
        &mut self,
        mut scrape: Box<TravellingScrape>,
        outbox: &mut Outbox,
    ) -> Result<(), Discard> {
        scrape.sheet.fill(|info_hash| self.totals(info_hash));
        if let Some(next) = scrape.sheet.next() {
            let owner = self.rules.steering.core_of(next);
            return self.hand_over(owner, Handover::Scrape(scrape));
        }
        let origin = scrape.origin;
        let count = Count::Answered(Protocol::Udp, family(&origin), Kind::Scrape);
        let rows = scrape.sheet.rows().map(|(_, totals)| row(totals));
        let answered = self.reply(outbox, &origin, count, |out| {
            write_scrape(out, scrape.transaction_id, rows)
        });
        if self.rules.request_log.is_on() {
            self.log_travelled(&origin, &scrape.sheet, answered);
        }
        self.mesh.finish(scrape);
        answered
    }

    /// Fills in the rows of this core, then gives the scrape of an HTTP thread back or passes it on.
    fn fill_ask(&mut self, mut ask: Box<Ask>) {
        ask.fill(|info_hash| self.totals(info_hash));
        let desk = ask.desk;
        match ask.next() {
            None => self.mesh.desks()[desk].put(ask),
            Some(next) => {
                let owner = self.rules.steering.core_of(next);
                match self.hand_over(owner, Handover::Ask(ask)) {
                    Ok(()) => return,
                    // It lies on its desk, with rows missing.
                    Err(reason) => self.counters.add(Count::Discarded(reason), 1),
                }
            }
        }
        self.unrung[desk] = true;
    }

    /// Takes what other cores and HTTP threads handed over: announces join those of this turn, scrapes
    /// are filled in.
    pub fn take_handovers(&mut self, outbox: &mut Outbox) {
        for _ in 0..TURN_HANDOVERS_MAX {
            let Some(handover) = self.mesh.take() else {
                return;
            };
            match handover {
                Handover::Announce(job) => {
                    self.counters.tally(Tally::TakenOver, 1);
                    self.pend_datagram(job);
                }
                Handover::Ask(ask) => {
                    self.counters.tally(Tally::Asked, 1);
                    match *ask.matter() {
                        Matter::Announce { peer, .. } => self.pend(peer, Asker::Connection(ask)),
                        Matter::Scrape | Matter::Blank => self.fill_ask(ask),
                    }
                }
                Handover::Export(export) => self.exports.take(*export),
                Handover::Errand(errand) => {
                    let was_taken = self.errands.take(*errand);
                    let refused = u64::from(!was_taken);
                    self.counters.tally(Tally::ErrandsRefused, refused);
                }
                Handover::Succession(succession) => {
                    self.swarms.write_changes(true);
                    self.succession = Some(succession);
                }
                Handover::EndOfSuccession => {
                    if let Some(succession) = &mut self.succession {
                        succession.finish();
                    }
                }
                Handover::Scrape(scrape) => {
                    self.counters.tally(Tally::TakenOver, 1);
                    if let Err(reason) = self.fill(scrape, outbox) {
                        self.counters.add(Count::Discarded(reason), 1);
                    }
                }
            }
        }
    }

    pub(super) fn pend_datagram(&mut self, job: AnnounceJob) {
        let sender = Sender {
            origin: job.origin,
            transaction_id: job.transaction_id,
            details: job.details,
        };
        self.pend(job.peer, Asker::Datagram(sender));
    }

    fn pend(&mut self, peer: PeerAnnounce, asker: Asker) {
        self.pending.push(Pending {
            asker,
            peer,
            hash: self.swarms.hash(&peer.info_hash),
            likely: Likely::default(),
            turn: self.random.u64(..),
        });
    }

    /// Asks memory for everything that the announces of this turn will touch, step by step down the
    /// chain bucket, record, list, search, entries. The waits of all announces overlap, where one
    /// after the other they would be most of the time spent at a million torrents.
    pub fn prefetch(&mut self) {
        let Self {
            pending,
            swarms,
            rules,
            ..
        } = self;
        if !rules.prefetch {
            return;
        }
        for announce in &*pending {
            swarms.prefetch_bucket(announce.hash);
        }
        for announce in &mut *pending {
            announce.likely = swarms.prefetch_record(announce.hash);
        }
        for announce in &mut *pending {
            announce.likely = swarms.prefetch_peers(announce.likely);
        }
        for announce in &*pending {
            swarms.prefetch_search(announce.likely, &announce.peer.peer);
        }
        for announce in &*pending {
            swarms.prefetch_entries(announce.likely, &announce.peer, announce.turn);
        }
    }

    /// Answers the announces of this turn, then wakes the HTTP threads that got an answer.
    pub fn answer_announces(&mut self, now: Now, outbox: &mut Outbox) {
        let Self {
            pending,
            swarms,
            rules,
            counters,
            mesh,
            unrung,
            access,
            ..
        } = self;
        let hashes = &access.hashes[mesh.me()];
        let mut scene = Scene {
            swarms,
            rules,
            counters,
            deny: access.deny,
            now_s: now.uptime_s,
        };
        for announce in pending.drain(..) {
            let Pending {
                asker,
                peer,
                hash,
                turn,
                ..
            } = announce;
            let mut told = Told {
                asked: peer,
                peer,
                hash,
                turn,
            };
            let (peer, hash) = (&mut told.peer, &mut told.hash);
            let served = similar::admit(peer, hash, scene.swarms, hashes, now.uptime_s);
            match asker {
                Asker::Datagram(sender) if served => scene.answer(&sender, &told, outbox),
                Asker::Datagram(sender) => scene.turn_away(&sender, &told, outbox),
                Asker::Connection(mut ask) => {
                    if served {
                        scene.answer_ask(&mut ask, &told);
                    } else {
                        ask.deny();
                    }
                    unrung[ask.desk] = true;
                    mesh.desks()[ask.desk].put(ask);
                }
            }
        }
        for (desk, unrung) in mesh.desks().iter().zip(unrung) {
            if std::mem::take(unrung) {
                desk.ring();
            }
        }
    }

    /// The core is about to sleep; true when it must not, because handovers wait.
    pub fn about_to_sleep(&self) -> bool {
        self.mesh.about_to_sleep()
    }

    /// The core woke up.
    pub fn awake(&self) {
        self.mesh.awake();
    }

    /// True when this second's share of sweeping is not done yet, or an errand or export can go on. Asked after
    /// [`Self::about_to_sleep`], so that a buffer for the export is either seen or announced.
    pub fn has_more_to_do(&self) -> bool {
        self.sweep_due > 0
            || !self.errands.is_empty()
            || self.exports.can_go_on()
            || self
                .succession
                .as_ref()
                .is_some_and(|succession| succession.can_go_on())
    }

    /// Goes on with a succession, a bounded part of it, at the end of a turn.
    pub fn tell_successor(&mut self) {
        if let Some(succession) = &mut self.succession
            && succession.go_on(&mut self.swarms)
        {
            self.succession = None;
            self.swarms.write_changes(false);
        }
    }

    /// Goes on with an export, a bounded part of it; the next turn with the next.
    pub fn export(&mut self) {
        let hashes = &self.access.hashes[self.mesh.me()];
        self.exports.go_on(&self.swarms, hashes);
    }

    /// What a scrape is told of a torrent of this core: nothing of those that are not served.
    pub(super) fn totals(&self, info_hash: &InfoHash) -> Option<Totals> {
        self.owns(info_hash).then(|| {
            let hashes = &self.access.hashes[self.mesh.me()];
            similar::totals(&self.swarms, hashes, info_hash)
        })
    }

    pub(super) fn owns(&self, info_hash: &InfoHash) -> bool {
        self.rules.steering.core_of(info_hash) == self.mesh.me()
    }

    pub(super) fn reply(
        &self,
        outbox: &mut Outbox,
        origin: &Origin,
        count: Count,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<(), Discard> {
        reply(&self.counters, outbox, origin, count, write)
    }
}

/// Tells a proven source that it is refused, or, where a list did it and the operator wants it so, that all
/// is well and nobody there.
pub(super) fn refuse(
    counters: &ThreadCounters,
    outbox: &mut Outbox,
    origin: &Origin,
    transaction_id: TransactionId,
    deny: Deny,
    fault: Fault,
) -> Result<(), Discard> {
    let softly = deny == Deny::Soft && fault.is_by_list();
    reply(counters, outbox, origin, Count::Faulted(fault), |out| {
        if softly {
            udp::write_announce_head(out, transaction_id, DENIED_INTERVAL_S, 0, 0)
        } else {
            udp::write_error(out, transaction_id, fault.text())
        }
    })
}

/// Puts a reply into the outbox and counts it.
pub(super) fn reply(
    counters: &ThreadCounters,
    outbox: &mut Outbox,
    origin: &Origin,
    count: Count,
    write: impl FnOnce(&mut [u8]) -> usize,
) -> Result<(), Discard> {
    let len = outbox.reply(origin, write).ok_or(Discard::OutboxFull)?;
    counters.tally(Tally::BytesSent, len as u64);
    counters.add(count, 1);
    Ok(())
}

pub(super) fn count_announced(
    counters: &ThreadCounters,
    announced: &Announced,
    peer: &PeerAnnounce,
    now_s: u32,
) {
    if let Some(refusal) = announced.refused {
        if refusal == Refusal::BusySource {
            let source = Prefix::source(peer.peer.address());
            counters.offenders.note(source, now_s);
        }
        let tally = match refusal {
            Refusal::LongList => Tally::NotStoredLongList,
            Refusal::BusySource => Tally::NotStoredBusySource,
            Refusal::NewTorrent => Tally::NotStoredNewTorrent,
            Refusal::Full => Tally::NotStoredFull,
        };
        counters.tally(tally, 1);
    }
    counters.tally(Tally::Completed, u64::from(announced.completed));
}

pub(super) fn row(totals: &Totals) -> ScrapeRow {
    ScrapeRow {
        seeders: totals.seeders,
        completed: totals.completed,
        leechers: totals.leechers,
    }
}

pub(super) fn write_scrape(
    out: &mut [u8],
    transaction_id: TransactionId,
    rows: impl Iterator<Item = ScrapeRow>,
) -> usize {
    let head_len = udp::write_scrape_head(out, transaction_id);
    let written = |(position, row)| udp::write_scrape_row(out, position, row);
    head_len + rows.enumerate().map(written).sum::<usize>()
}

pub(super) fn family(origin: &Origin) -> Family {
    match origin.peer {
        SocketAddr::V4(_) => Family::Ip4,
        SocketAddr::V6(_) => Family::Ip6,
    }
}
