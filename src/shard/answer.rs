//! A request and a shard become a reply: the only place where the rules meet.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::mesh::{Full, Handover, Mesh, TravellingScrape};
use crate::clock::Now;
use crate::counters::{CoreCounters, Count, Discard, Family, Fault, Kind, Tally};
use crate::gate::address_policy::{AddressPolicy, is_unicast};
use crate::gate::connection_id::{ConnectionIds, Verdict};
use crate::limits::{
    REPLY_PEERS_V4_MAX, REPLY_PEERS_V6_MAX, TURN_DATAGRAMS_MAX, TURN_HANDOVERS_MAX,
};
use crate::net::steering::Steering;
use crate::net::{Datagram, Origin, Outbox};
use crate::swarm::{Likely, PeerAddr, PeerAnnounce, State, Swarms};
use crate::wire::udp::{
    self, ANNOUNCE_REPLY_HEAD_LEN, Announce, InfoHashes, Request, ScrapeRow, TransactionId,
};
use crate::wire::{Event, InfoHash, NumWant};

/// Entries that one turn sweeps at most: some microseconds of work.
const SWEEP_BUDGET: usize = 512;

/// Seconds in which every peer is looked at once, unless the peer time-out is so short that it must
/// be less.
const SWEEP_PASS_S: u32 = 60;

/// The operator's rules, the same on every core.
#[derive(Clone)]
pub struct Rules {
    /// Issues and checks connection ids.
    pub connection_ids: ConnectionIds,
    /// Which addresses are served.
    pub addresses: AddressPolicy,
    /// Where the listeners are bound.
    pub listeners: Vec<SocketAddr>,
    /// Which core owns which torrent.
    pub steering: Steering,
    /// Seconds until a client should announce again.
    pub interval_s: u32,
    /// Seconds after which a silent peer is forgotten.
    pub peer_timeout_s: u32,
    /// Peers for a client that names no number.
    pub numwant: u32,
    /// Most peers for any client.
    pub numwant_max: u32,
    /// Most rows of a scrape reply.
    pub scrape_hashes_max: usize,
    /// Prefetch the swarms of a turn before answering it; off only to measure what it gains.
    pub prefetch: bool,
}

/// An announce that passed the gate: all that its owner needs to answer it.
#[derive(Clone, Copy)]
pub struct AnnounceJob {
    origin: Origin,
    transaction_id: TransactionId,
    peer: PeerAnnounce,
}

/// An announce for a swarm of this core, and what the steps of prefetching learn about it.
struct Pending {
    job: AnnounceJob,
    hash: u64,
    likely: Likely,
    /// Chance, drawn before the reply is written so that the peers it picks can be prefetched.
    turn: u64,
}

/// The swarms of one core and the rules by which it answers.
pub struct Shard {
    rules: Rules,
    swarms: Swarms,
    mesh: Mesh,
    counters: Arc<CoreCounters>,
    random: fastrand::Rng,
    /// Announces of this turn for swarms of this core.
    pending: Vec<Pending>,
    sweep_second: u32,
    sweep_due: usize,
}

impl Shard {
    /// An empty shard.
    pub fn new(
        rules: Rules,
        swarms: Swarms,
        mesh: Mesh,
        counters: Arc<CoreCounters>,
        random: fastrand::Rng,
    ) -> Self {
        let pending = Vec::with_capacity(TURN_DATAGRAMS_MAX + TURN_HANDOVERS_MAX);
        Self {
            rules,
            swarms,
            mesh,
            counters,
            random,
            pending,
            sweep_second: 0,
            sweep_due: 0,
        }
    }

    /// What this core counts.
    pub fn counters(&self) -> &CoreCounters {
        &self.counters
    }

    /// Parses one datagram, checks its connection id and finds its owner. What needs no swarm is
    /// answered at once.
    pub fn admit(&mut self, datagram: &Datagram<'_>, now: Now, outbox: &mut Outbox) {
        let received = datagram.bytes.len() as u64;
        self.counters.tally(Tally::BytesReceived, received);
        if let Err(reason) = self.try_admit(datagram, now, outbox) {
            self.counters.add(Count::Discarded(reason), 1);
        }
    }

    fn try_admit(
        &mut self,
        datagram: &Datagram<'_>,
        now: Now,
        outbox: &mut Outbox,
    ) -> Result<(), Discard> {
        let origin = &datagram.origin;
        if origin.peer.port() == 0 || !is_unicast(origin.peer.ip()) {
            return Err(Discard::UnanswerableSource);
        }
        if origin.local.is_some_and(|local| !is_unicast(local)) {
            return Err(Discard::NotUnicast);
        }
        if datagram.truncated {
            return Err(Discard::Truncated);
        }
        match udp::parse(datagram.bytes)? {
            Request::Connect(transaction_id) => {
                self.count_received(origin, Kind::Connect);
                let id = self
                    .rules
                    .connection_ids
                    .issue(origin.peer.ip(), now.unix_s);
                self.reply(
                    outbox,
                    origin,
                    Count::Answered(family(origin), Kind::Connect),
                    |out| udp::write_connect(out, transaction_id, id),
                )
            }
            Request::Announce(id, announce) => {
                self.count_received(origin, Kind::Announce);
                let transaction_id = announce.transaction_id;
                match self
                    .prove(id, datagram, now)?
                    .and_then(|()| self.job(&announce, origin))
                {
                    Ok(job) => self.route_announce(job),
                    Err(fault) => self.refuse(outbox, origin, transaction_id, fault),
                }
            }
            Request::Scrape(id, transaction_id, info_hashes) => {
                self.count_received(origin, Kind::Scrape);
                match self.prove(id, datagram, now)? {
                    Ok(()) if info_hashes.is_empty() => {
                        self.refuse(outbox, origin, transaction_id, Fault::NoInfoHash)
                    }
                    Ok(()) => self.scrape(origin, transaction_id, info_hashes, outbox),
                    Err(fault) => self.refuse(outbox, origin, transaction_id, fault),
                }
            }
        }
    }

    /// Silence for a forged connection id, an error for one that is too old: the source of the latter
    /// has proved that it receives what we send. It has proved so long ago, though, that nothing
    /// larger than its datagram goes there.
    fn prove(
        &self,
        id: udp::ConnectionId,
        datagram: &Datagram<'_>,
        now: Now,
    ) -> Result<Result<(), Fault>, Discard> {
        let source = datagram.origin.peer.ip();
        let error_len = udp::ERROR_HEAD_LEN + Fault::ExpiredConnectionId.text().len();
        match self.rules.connection_ids.check(id, source, now.unix_s) {
            Verdict::Valid => Ok(Ok(())),
            Verdict::Forged => Err(Discard::ForgedConnectionId),
            Verdict::Expired if datagram.bytes.len() < error_len => {
                Err(Discard::ExpiredConnectionId)
            }
            Verdict::Expired => Ok(Err(Fault::ExpiredConnectionId)),
        }
    }

    /// What the swarm must be told, once the announce is acceptable.
    fn job(&self, announce: &Announce<'_>, origin: &Origin) -> Result<AnnounceJob, Fault> {
        if announce.port == 0 {
            return Err(Fault::InvalidPort);
        }
        let address = self
            .rules
            .addresses
            .peer_address(origin.peer.ip(), self.asked_address(origin))?;
        let peer = peer_addr(address, announce.port);
        let state = match announce.event {
            Event::Stopped => State::Stopped,
            Event::Completed => State::Seeding,
            _ if announce.left == 0 => State::Seeding,
            Event::Paused => State::Paused,
            Event::None | Event::Started => State::Leeching,
        };
        let peers_max = match peer {
            PeerAddr::V4(_) => REPLY_PEERS_V4_MAX,
            PeerAddr::V6(_) => REPLY_PEERS_V6_MAX,
        };
        let wanted = match announce.num_want {
            NumWant::Default => self.rules.numwant,
            NumWant::AtMost(number) => number.min(self.rules.numwant_max),
        };
        Ok(AnnounceJob {
            origin: *origin,
            transaction_id: announce.transaction_id,
            peer: PeerAnnounce {
                info_hash: announce.info_hash,
                peer,
                state,
                completed: announce.event == Event::Completed,
                wanted: (wanted as usize).min(peers_max),
            },
        })
    }

    /// The address of this host that a datagram was sent to: the listener's own, unless that is every
    /// address.
    fn asked_address(&self, origin: &Origin) -> Option<IpAddr> {
        origin.local.or_else(|| {
            let bound = self.rules.listeners.get(usize::from(origin.listener))?;
            (!bound.ip().is_unspecified()).then_some(bound.ip())
        })
    }

    fn route_announce(&mut self, job: AnnounceJob) -> Result<(), Discard> {
        let owner = self.rules.steering.core_of(&job.peer.info_hash);
        if owner == self.mesh.me() {
            self.pend(job);
            return Ok(());
        }
        self.hand_over(owner, Handover::Announce(job))
    }

    fn hand_over(&self, owner: usize, handover: Handover) -> Result<(), Discard> {
        self.mesh
            .hand_over(owner, handover)
            .map_err(|Full| Discard::HandoverFull)?;
        self.counters.tally(Tally::HandedOver, 1);
        Ok(())
    }

    /// Answers a scrape whose torrents all belong here; sends any other on its way.
    fn scrape(
        &mut self,
        origin: &Origin,
        transaction_id: TransactionId,
        info_hashes: InfoHashes<'_>,
        outbox: &mut Outbox,
    ) -> Result<(), Discard> {
        let hashes_max = self.rules.scrape_hashes_max;
        let asked = || info_hashes.iter().take(hashes_max);
        if !asked().all(|info_hash| self.owns(&info_hash)) {
            let scrape = self
                .mesh
                .begin(*origin, transaction_id, info_hashes, hashes_max)
                .map_err(|Full| Discard::HandoverFull)?;
            return self.fill(scrape, outbox);
        }
        if self.rules.prefetch {
            for info_hash in asked() {
                self.swarms.prefetch_bucket(self.swarms.hash(&info_hash));
            }
            for info_hash in asked() {
                self.swarms.prefetch_record(self.swarms.hash(&info_hash));
            }
        }
        let rows = asked().map(|info_hash| row(&self.swarms, &info_hash));
        let count = Count::Answered(family(origin), Kind::Scrape);
        reply(&self.counters, outbox, origin, count, |out| {
            write_scrape(out, transaction_id, rows)
        })
    }

    /// Fills in the rows of this core, then answers the scrape or passes it on.
    fn fill(
        &mut self,
        mut scrape: Box<TravellingScrape>,
        outbox: &mut Outbox,
    ) -> Result<(), Discard> {
        scrape.fill(|info_hash| self.owns(info_hash).then(|| row(&self.swarms, info_hash)));
        if let Some(next) = scrape.next() {
            let owner = self.rules.steering.core_of(next);
            return self.hand_over(owner, Handover::Scrape(scrape));
        }
        let origin = scrape.origin();
        let count = Count::Answered(family(&origin), Kind::Scrape);
        let answered = self.reply(outbox, &origin, count, |out| {
            write_scrape(out, scrape.transaction_id(), scrape.rows().iter().copied())
        });
        self.mesh.finish(scrape);
        answered
    }

    /// Takes what other cores handed over: announces join those of this turn, scrapes are filled in.
    pub fn take_handovers(&mut self, outbox: &mut Outbox) {
        for _ in 0..TURN_HANDOVERS_MAX {
            let Some(handover) = self.mesh.take() else {
                return;
            };
            self.counters.tally(Tally::TakenOver, 1);
            match handover {
                Handover::Announce(job) => self.pend(job),
                Handover::Scrape(scrape) => {
                    if let Err(reason) = self.fill(scrape, outbox) {
                        self.counters.add(Count::Discarded(reason), 1);
                    }
                }
            }
        }
    }

    fn pend(&mut self, job: AnnounceJob) {
        self.pending.push(Pending {
            job,
            hash: self.swarms.hash(&job.peer.info_hash),
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
            swarms.prefetch_search(announce.likely, &announce.job.peer.peer);
        }
        for announce in &*pending {
            swarms.prefetch_entries(announce.likely, &announce.job.peer, announce.turn);
        }
    }

    /// Answers the announces of this turn.
    pub fn answer_announces(&mut self, now: Now, outbox: &mut Outbox) {
        let Self {
            pending,
            swarms,
            rules,
            counters,
            ..
        } = self;
        for Pending {
            job, hash, turn, ..
        } in pending.drain(..)
        {
            let count = Count::Answered(family(&job.origin), Kind::Announce);
            let replied = reply(counters, outbox, &job.origin, count, |out| {
                let (head, peers) = out.split_at_mut(ANNOUNCE_REPLY_HEAD_LEN);
                let told = swarms.announce(hash, &job.peer, now.uptime_s, turn, peers);
                let refused = !told.stored && job.peer.state != State::Stopped;
                counters.tally(Tally::NotStored, u64::from(refused));
                counters.tally(Tally::Completed, u64::from(told.completed));
                let head_len = udp::write_announce_head(
                    head,
                    job.transaction_id,
                    rules.interval_s,
                    told.totals.leechers,
                    told.totals.seeders,
                );
                head_len + told.written
            });
            if let Err(reason) = replied {
                counters.add(Count::Discarded(reason), 1);
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

    /// True when this second's share of sweeping is not done yet.
    pub fn has_sweeping_to_do(&self) -> bool {
        self.sweep_due > 0
    }

    /// Forgets silent peers: each second its share of all entries, each turn a bounded part of it.
    pub fn sweep(&mut self, now: Now) {
        if now.uptime_s != self.sweep_second {
            let pass_s = (self.rules.peer_timeout_s / 16).clamp(1, SWEEP_PASS_S);
            let gauges = self.swarms.gauges();
            let entries = self.swarms.len() + gauges.v4.peers() + gauges.v6.peers();
            let seconds = now.uptime_s.abs_diff(self.sweep_second).min(pass_s) as usize;
            let share = entries.div_ceil(pass_s as usize) * seconds;
            self.sweep_due = (self.sweep_due + share).min(entries);
            self.sweep_second = now.uptime_s;
            self.publish_gauges();
        }
        if self.sweep_due > 0 {
            let budget = self.sweep_due.min(SWEEP_BUDGET);
            let swept = self.swarms.sweep(now.uptime_s, budget);
            self.counters
                .tally(Tally::Expired, swept.peers_removed as u64);
            self.sweep_due -= budget;
            if self.sweep_due == 0 {
                self.publish_gauges();
            }
        }
    }

    fn publish_gauges(&self) {
        let gauges = self.swarms.gauges();
        for (gauge, value) in [
            (Tally::Torrents, self.swarms.len()),
            (Tally::SeedersV4, gauges.v4.seeders),
            (Tally::LeechersV4, gauges.v4.leechers),
            (Tally::SeedersV6, gauges.v6.seeders),
            (Tally::LeechersV6, gauges.v6.leechers),
            (Tally::SwarmBytes, self.swarms.memory_bytes()),
        ] {
            self.counters.set(gauge, value as u64);
        }
    }

    fn owns(&self, info_hash: &InfoHash) -> bool {
        self.rules.steering.core_of(info_hash) == self.mesh.me()
    }

    fn count_received(&self, origin: &Origin, kind: Kind) {
        self.counters.add(Count::Received(family(origin), kind), 1);
    }

    fn refuse(
        &self,
        outbox: &mut Outbox,
        origin: &Origin,
        transaction_id: TransactionId,
        fault: Fault,
    ) -> Result<(), Discard> {
        self.reply(outbox, origin, Count::Faulted(fault), |out| {
            udp::write_error(out, transaction_id, fault.text())
        })
    }

    fn reply(
        &self,
        outbox: &mut Outbox,
        origin: &Origin,
        count: Count,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<(), Discard> {
        reply(&self.counters, outbox, origin, count, write)
    }
}

/// Puts a reply into the outbox and counts it.
fn reply(
    counters: &CoreCounters,
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

/// Address and port in the bytes that replies carry.
fn peer_addr(address: IpAddr, port: u16) -> PeerAddr {
    fn join<const N: usize>(octets: &[u8], port: u16) -> [u8; N] {
        let mut bytes = [0; N];
        bytes[..N - 2].copy_from_slice(octets);
        bytes[N - 2..].copy_from_slice(&port.to_be_bytes());
        bytes
    }
    match address {
        IpAddr::V4(v4) => PeerAddr::V4(join(&v4.octets(), port)),
        IpAddr::V6(v6) => PeerAddr::V6(join(&v6.octets(), port)),
    }
}

fn row(swarms: &Swarms, info_hash: &InfoHash) -> ScrapeRow {
    let totals = swarms.totals(info_hash);
    ScrapeRow {
        seeders: totals.seeders,
        completed: totals.completed,
        leechers: totals.leechers,
    }
}

fn write_scrape(
    out: &mut [u8],
    transaction_id: TransactionId,
    rows: impl Iterator<Item = ScrapeRow>,
) -> usize {
    let head_len = udp::write_scrape_head(out, transaction_id);
    let written = |(position, row)| udp::write_scrape_row(out, position, row);
    head_len + rows.enumerate().map(written).sum::<usize>()
}

fn family(origin: &Origin) -> Family {
    match origin.peer {
        SocketAddr::V4(_) => Family::Ip4,
        SocketAddr::V6(_) => Family::Ip6,
    }
}
