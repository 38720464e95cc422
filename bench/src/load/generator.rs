//! One turn of the generator: take what arrived, give up what waited too long, send what is due.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use shoal::limits::SCRAPE_HASHES_MAX;
use shoal::wire::udp::{ConnectionId, TransactionId, ask};
use shoal::wire::{Event, InfoHash, NumWant};
use shoal_bench::crowd::{Crowd, Member};

use super::check::{self, Expected, Fault, Reply};
use super::fill::Fill;
use super::lanes::{self, Lane, Source};
use super::options::{Mix, Options};
use super::pending::{Asked, Kind, Pending};
use super::shape::Shape;
use super::tally::{End, Tally};
use super::zipf::Sampler;
use crate::sys::{self, Inbox, Outbox, Wait};

/// Datagrams taken from one socket at a time, and most requests sent in one turn. Large enough to
/// share the price of a system call, small enough that a turn stays well below a millisecond.
pub(crate) const BATCH: usize = 256;
/// The longest reply that any tracker sends in one packet.
const REPLY_SLOT_LEN: usize = 2048;
/// A connection id is long out of date after so many times the life that it should have: no tracker that
/// checks would take it.
const OUTLIVED_NS: u64 = 4 * 1_000_000_000;
/// A connect without answer is sent again after this.
const CONNECT_AGAIN_NS: u64 = 200_000_000;
/// A tracker that answers no connect for so long is not there.
const CONNECT_PATIENCE_NS: u64 = 5_000_000_000;
/// The longest sleep of a generator that may sleep.
const NAP: Duration = Duration::from_micros(50);

pub(crate) struct Generator<'a> {
    pub(super) options: &'a Options,
    epoch: Instant,
    stop: &'a AtomicBool,
    pub(super) crowd: Crowd,
    pub(super) shape: Shape,
    sampler: Sampler,
    pub(super) random: Rng,
    sources: Vec<Source>,
    lanes: Vec<Lane>,
    /// For requests that are not bound to a lane.
    next_lane: usize,
    pub(super) pending: Pending,
    /// Pending requests without those that carry made-up ids, for which nobody waits.
    pub(super) in_flight: usize,
    inbox: Inbox,
    outbox: Outbox,
    pub(super) tally: Tally,
    pub(super) fill: Option<Fill>,
    /// Peers wanted by the announces of the present stretch.
    pub(super) numwant: i32,
    /// Peers that the last scrape told of, for the check after a fill.
    pub(super) scraped: Option<u64>,
    /// Time spent in turns that had something to do.
    pub(super) busy_ns: u64,
    turn_began_ns: u64,
    turn_worked: bool,
}

impl<'a> Generator<'a> {
    pub(crate) fn new(options: &'a Options, stop: &'a AtomicBool) -> Result<Self, String> {
        options.check()?;
        if let Some(cpu) = options.cpu {
            sys::pin_to_cpu(cpu).map_err(|error| format!("cannot run on CPU {cpu}: {error}"))?;
        }
        let (sources, lanes) = lanes::open(options)?;
        let segmented = !options.no_gso && sources.iter().all(|it| sys::can_segment(&it.socket));
        let mut random = Rng::with_seed(options.seed);
        Ok(Self {
            options,
            epoch: Instant::now(),
            stop,
            crowd: Crowd::new(options.seed, options.seeder_share),
            shape: Shape::new(options),
            sampler: Sampler::new(options.dist, options.torrents),
            pending: Pending::new(options.timeout * 1_000_000, random.u32(..)),
            random,
            sources,
            lanes,
            next_lane: 0,
            in_flight: 0,
            inbox: Inbox::new(BATCH, REPLY_SLOT_LEN),
            outbox: Outbox::new(segmented),
            tally: Tally::new(0, u64::MAX),
            fill: None,
            numwant: options.numwant,
            scraped: None,
            busy_ns: 0,
            turn_began_ns: 0,
            turn_worked: false,
        })
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Begins a turn: books the time of the last one, returns the present.
    pub(crate) fn begin_turn(&mut self) -> u64 {
        let now_ns = self.now_ns();
        if self.turn_worked {
            self.busy_ns += now_ns - self.turn_began_ns;
        }
        self.turn_began_ns = now_ns;
        self.turn_worked = false;
        now_ns
    }

    /// Takes what arrived and gives up what waited too long.
    pub(crate) fn receive(&mut self, now_ns: u64) -> Result<(), String> {
        for number in 0..self.sources.len() {
            let source = &self.sources[number];
            if source.waiting == 0 {
                continue;
            }
            let count = self
                .inbox
                .receive(&source.socket, Wait::Never)
                .map_err(|error| format!("cannot receive from {}: {error}", source.target))?;
            if count == 0 {
                continue;
            }
            self.turn_worked = true;
            let arrived_ns = self.now_ns();
            for slot in 0..count {
                self.take(number as u16, slot, arrived_ns);
            }
        }
        while let Some(asked) = self.pending.expire(now_ns) {
            self.end(&asked, End::Lost, now_ns);
        }
        Ok(())
    }

    /// Lets others have the CPU when a turn had nothing to do. It sleeps only where it was told to: the server
    /// has to pay for waking it up.
    pub(super) fn rest(&self) -> Result<(), String> {
        if self.options.sleep {
            return self.sleep(NAP);
        }
        if !self.turn_worked {
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Sleeps until a reply is there, or for so long when there was nothing to do this turn.
    pub(crate) fn sleep(&self, most: Duration) -> Result<(), String> {
        if self.turn_worked {
            return Ok(());
        }
        let waiting = self.sources.iter().filter(|source| source.waiting > 0);
        sys::wait_for_any(waiting.map(|source| &source.socket), most)
            .map_err(|error| format!("cannot wait for replies: {error}"))
    }

    /// Hands out what was counted so far and begins anew; what is on its way is counted where it ends.
    pub(crate) fn take_tally(&mut self) -> Tally {
        std::mem::replace(&mut self.tally, Tally::new(0, u64::MAX))
    }

    fn take(&mut self, source: u16, slot: usize, now_ns: u64) {
        let reply = self.inbox.datagram(slot);
        let Some(id) = check::transaction_id(reply) else {
            self.tally.unreadable += 1;
            return;
        };
        let Some(asked) = self.pending.answer(id) else {
            self.tally.unexpected += 1;
            return;
        };
        let expected = Expected {
            kind: asked.kind,
            v6: self.sources[usize::from(source)].target.is_ipv6(),
            numwant: self.numwant,
            scrape_hashes: self.options.scrape_hashes,
            swarm_max: self.options.strict.then_some(self.shape.largest()),
        };
        let checked = if asked.source == source {
            check::check(reply, &expected)
        } else {
            Err(Fault::Source)
        };
        let end = match checked {
            Ok(Reply::Connected(id)) => {
                let source = &mut self.sources[usize::from(source)];
                source.first_id.get_or_insert((id, now_ns));
                source.id = Some(id);
                source.id_since_ns = now_ns;
                source.id_asked_ns = None;
                End::Answered
            }
            Ok(Reply::Announced { peers }) => {
                self.tally.handed_out(peers, now_ns);
                End::Answered
            }
            Ok(Reply::Scraped { peers }) => {
                self.scraped = Some(peers);
                End::Answered
            }
            Ok(Reply::Refused) => End::Refused,
            Err(fault) => End::Invalid(fault),
        };
        self.end(&asked, end, now_ns);
    }

    fn end(&mut self, asked: &Asked, end: End, now_ns: u64) {
        self.sources[usize::from(asked.source)].waiting -= 1;
        if !asked.forged {
            self.in_flight -= 1;
        }
        if let Some(fill) = &mut self.fill
            && asked.kind == Kind::Announce
        {
            fill.ended(asked.member, end == End::Answered, now_ns);
        }
        self.tally.ended(asked, end, now_ns);
    }

    /// Stages one request as the mix has it, and on top of it such with made-up ids.
    pub(super) fn stage_mixed(&mut self, intended_ns: u64, now_ns: u64) {
        let Mix {
            connects,
            announces,
            ..
        } = self.options.mix;
        let draw = self.random.u32(..self.options.mix.total());
        if draw < connects {
            self.stage_next_connect(intended_ns, now_ns);
            return;
        }
        let scrape = draw >= connects + announces;
        self.stage_drawn(scrape, false, intended_ns, now_ns);
        // Nobody waits for these, so a silent tracker lets them pile up for the whole timeout.
        while self.options.stale_share > 0.0
            && self.random.f64() < self.options.stale_share
            && self.pending.room() > 2 * BATCH
        {
            self.stage_drawn(scrape, true, intended_ns, now_ns);
        }
    }

    fn stage_drawn(&mut self, scrape: bool, forged: bool, intended_ns: u64, now_ns: u64) {
        if scrape {
            let mut torrents = [0; SCRAPE_HASHES_MAX];
            let torrents = &mut torrents[..self.options.scrape_hashes as usize];
            for torrent in torrents.iter_mut() {
                *torrent = self.sampler.draw(&mut self.random);
            }
            self.stage_scrape(torrents, forged, intended_ns, now_ns);
        } else {
            let member = Member {
                torrent: self.sampler.draw(&mut self.random),
                peer: self.random.u32(..self.options.peers_per_torrent),
            };
            self.stage_announce(member, Event::None, forged, intended_ns, now_ns);
        }
    }

    pub(super) fn stage_announce(
        &mut self,
        member: Member,
        event: Event,
        forged: bool,
        intended_ns: u64,
        now_ns: u64,
    ) {
        let announce = self
            .crowd
            .announce(member, event, NumWant::from(self.numwant));
        self.stage_said(member, &announce, forged, intended_ns, now_ns);
    }

    /// Stages what a member says, by the lane that it always takes.
    pub(crate) fn stage_said(
        &mut self,
        member: Member,
        announce: &ask::Announce,
        forged: bool,
        intended_ns: u64,
        now_ns: u64,
    ) {
        let lane = match self.lanes.len() {
            1 => 0,
            lanes => (self.crowd.fate(member) % lanes as u64) as usize,
        };
        if let Some((id, transaction)) =
            self.ask(lane, Kind::Announce, member, forged, intended_ns, now_ns)
        {
            self.lanes[lane].stage_announce(id, transaction, announce);
        }
    }

    pub(crate) fn stage_scrape(
        &mut self,
        torrents: &[u32],
        forged: bool,
        intended_ns: u64,
        now_ns: u64,
    ) {
        let lane = self.any_lane();
        let member = Member::default();
        let Some((id, transaction)) =
            self.ask(lane, Kind::Scrape, member, forged, intended_ns, now_ns)
        else {
            return;
        };
        let mut hashes = [InfoHash([0; InfoHash::LEN]); SCRAPE_HASHES_MAX];
        let hashes = &mut hashes[..torrents.len()];
        for (hash, &torrent) in hashes.iter_mut().zip(torrents) {
            *hash = self.crowd.info_hash(torrent);
        }
        self.lanes[lane].stage_scrape(id, transaction, hashes);
    }

    /// Stages a connect by the next lane.
    pub(crate) fn stage_next_connect(&mut self, intended_ns: u64, now_ns: u64) {
        let lane = self.any_lane();
        self.stage_connect(lane, intended_ns, now_ns);
    }

    fn stage_connect(&mut self, lane: usize, intended_ns: u64, now_ns: u64) {
        let source = self.lanes[lane].source();
        self.sources[usize::from(source)].id_asked_ns = Some(now_ns);
        let transaction = self.book(Asked {
            kind: Kind::Connect,
            intended_ns,
            sent_ns: now_ns,
            source,
            ..Asked::default()
        });
        self.lanes[lane].stage_connect(transaction);
    }

    /// Books a request that needs a connection id and returns it with its transaction. `None` only
    /// before the first connect was answered.
    fn ask(
        &mut self,
        lane: usize,
        kind: Kind,
        member: Member,
        forged: bool,
        intended_ns: u64,
        now_ns: u64,
    ) -> Option<(ConnectionId, TransactionId)> {
        let number = self.lanes[lane].source();
        let source = &self.sources[usize::from(number)];
        let id = source.id?;
        let outlived_ns = self.options.id_lifetime * OUTLIVED_NS;
        let outlived = source
            .first_id
            .filter(|(_, since_ns)| now_ns.saturating_sub(*since_ns) > outlived_ns);
        let stale =
            now_ns.saturating_sub(source.id_since_ns) > self.options.id_lifetime * 1_000_000_000;
        let asked_lately = |asked_ns| now_ns < asked_ns + CONNECT_AGAIN_NS;
        if stale && !source.id_asked_ns.is_some_and(asked_lately) {
            self.stage_connect(lane, now_ns, now_ns);
        }
        let transaction = self.book(Asked {
            kind,
            intended_ns,
            sent_ns: now_ns,
            source: number,
            forged,
            member,
        });
        let id = match outlived {
            Some((old, _)) if forged && self.random.bool() => old,
            _ if forged => ConnectionId(self.random.u64(..)),
            _ => id,
        };
        Some((id, transaction))
    }

    fn book(&mut self, asked: Asked) -> TransactionId {
        self.sources[usize::from(asked.source)].waiting += 1;
        if !asked.forged {
            self.in_flight += 1;
        }
        self.tally.sent(&asked);
        self.pending.ask(asked)
    }

    fn any_lane(&mut self) -> usize {
        self.next_lane = (self.next_lane + 1) % self.lanes.len();
        self.next_lane
    }

    /// Sends all that is staged.
    pub(crate) fn flush(&mut self) {
        for lane in self.lanes.iter_mut().filter(|lane| !lane.is_idle()) {
            let sent = lane.flush(&self.sources, &mut self.outbox);
            self.tally.send_errors += sent.refused as u64;
            self.turn_worked = true;
        }
    }

    /// Gets a connection id for every source.
    pub(crate) fn connect(&mut self) -> Result<(), String> {
        let give_up_ns = self.now_ns() + CONNECT_PATIENCE_NS;
        loop {
            let now_ns = self.begin_turn();
            self.receive(now_ns)?;
            let Some(missing) = self.sources.iter().find(|source| source.id.is_none()) else {
                return Ok(());
            };
            if self.stopped() {
                return Err(String::from("stopped before every source was connected"));
            }
            if now_ns > give_up_ns {
                return Err(format!(
                    "{} does not answer connect requests; is a tracker running there?",
                    missing.target
                ));
            }
            for lane in 0..self.lanes.len() {
                // One source of each lane a turn: the flush passes the turn on.
                let source = &self.sources[usize::from(self.lanes[lane].source())];
                let asked_lately = |asked_ns| now_ns < asked_ns + CONNECT_AGAIN_NS;
                if source.id.is_none() && !source.id_asked_ns.is_some_and(asked_lately) {
                    self.stage_connect(lane, now_ns, now_ns);
                    self.lanes[lane].flush(&self.sources, &mut self.outbox);
                } else {
                    self.lanes[lane].skip();
                }
            }
            self.rest()?;
        }
    }
}
