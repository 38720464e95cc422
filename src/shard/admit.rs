//! A datagram becomes something to answer: parsed, proved, routed.

use std::net::IpAddr;

use super::answer::{AnnounceJob, Shard, family, refuse, row, write_scrape};
use super::ask::NO_DETAILS;
use super::mesh::{Full, Handover};
use super::rules::Said;
use crate::clock::Now;
use crate::counters::{Count, Discard, Fault, Kind, Protocol, Tally};
use crate::gate::address_policy::is_unicast;
use crate::gate::connection_id::Verdict;
use crate::limits::{REPLY_PEERS_V4_MAX, REPLY_PEERS_V6_MAX};
use crate::net::{Datagram, Origin, Outbox};
use crate::swarm::{PeerAddr, PeerAnnounce, PeerDetails, Totals};
use crate::wire::http::head::Target;
use crate::wire::udp::{self, Announce, InfoHashes, Request, TransactionId};

/// How far a datagram has come.
#[derive(Clone, Copy)]
pub(super) enum Step {
    /// Its reply lies in the outbox.
    Answered,
    /// So does one that says no.
    Refused(Fault),
    /// Whoever owns its torrent will answer.
    Pending,
}

impl Shard {
    /// Parses one datagram, checks its connection id and finds its owner. What needs no swarm is
    /// answered at once.
    pub fn admit(&mut self, datagram: &Datagram<'_>, now: Now, outbox: &mut Outbox) {
        let received = datagram.bytes.len() as u64;
        self.counters.tally(Tally::BytesReceived, received);
        let step = self.try_admit(datagram, now, outbox);
        if let Err(reason) = step {
            self.counters.add(Count::Discarded(reason), 1);
        }
        if self.rules.request_log.is_on() {
            self.log_admitted(datagram, step);
        }
    }

    fn try_admit(
        &mut self,
        datagram: &Datagram<'_>,
        now: Now,
        outbox: &mut Outbox,
    ) -> Result<Step, Discard> {
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
                    .issue(origin.peer.ip(), self.rules.steady_unix_s(now));
                self.reply(
                    outbox,
                    origin,
                    Count::Answered(Protocol::Udp, family(origin), Kind::Connect),
                    |out| udp::write_connect(out, transaction_id, id),
                )?;
                Ok(Step::Answered)
            }
            Request::Announce(id, announce) => {
                self.count_received(origin, Kind::Announce);
                let transaction_id = announce.transaction_id;
                match self
                    .prove(id, datagram, now)?
                    .and_then(|()| self.job(&announce, origin, now))
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
                    Ok(()) => {
                        self.may_scrape(origin.peer.ip(), now)?;
                        self.scrape(origin, transaction_id, info_hashes, outbox)
                    }
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
        let steady_unix_s = self.rules.steady_unix_s(now);
        match self.rules.connection_ids.check(id, source, steady_unix_s) {
            Verdict::Valid => Ok(Ok(())),
            Verdict::Forged => Err(Discard::ForgedConnectionId),
            Verdict::Expired if datagram.bytes.len() < error_len => {
                Err(Discard::ExpiredConnectionId)
            }
            Verdict::Expired => Ok(Err(Fault::ExpiredConnectionId)),
        }
    }

    /// What the swarm must be told, once the announce is acceptable.
    fn job(
        &self,
        announce: &Announce<'_>,
        origin: &Origin,
        now: Now,
    ) -> Result<AnnounceJob, Fault> {
        let said = Said {
            info_hash: announce.info_hash,
            peer_id: announce.peer_id,
            port: announce.port,
            event: announce.event,
            left: announce.left,
            num_want: announce.num_want,
        };
        let key = if self.access.mode.is_private() {
            let url = announce.url_data();
            let target = Target::split(url.as_bytes());
            self.access.key_in(&target, now.unix_s)?
        } else {
            0
        };
        let source = origin.peer.ip();
        let local = self.asked_address(origin);
        let peer = self.rules.admit(&self.access, &said, source, local)?;
        self.counters.crowd.note(source, &said.peer_id);
        let peers_max = match peer.peer {
            PeerAddr::V4(_) => REPLY_PEERS_V4_MAX,
            PeerAddr::V6(_) => REPLY_PEERS_V6_MAX,
        };
        let details = if self.swarms.keeps_details() || self.rules.request_log.is_on() {
            PeerDetails {
                peer_id: announce.peer_id,
                uploaded: announce.uploaded,
                downloaded: announce.downloaded,
                left: announce.left,
                event: announce.event,
                updated_s: now.uptime_s,
                key,
            }
        } else {
            NO_DETAILS
        };
        Ok(AnnounceJob {
            origin: *origin,
            transaction_id: announce.transaction_id,
            peer: PeerAnnounce {
                wanted: peer.wanted.min(peers_max),
                ..peer
            },
            details,
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

    fn route_announce(&mut self, job: AnnounceJob) -> Result<Step, Discard> {
        let owner = self.rules.steering.core_of(&job.peer.info_hash);
        if owner == self.mesh.me() {
            self.pend_datagram(job);
        } else {
            self.hand_over(owner, Handover::Announce(job))?;
        }
        Ok(Step::Pending)
    }

    /// Answers a scrape whose torrents all belong here; sends any other on its way.
    fn scrape(
        &mut self,
        origin: &Origin,
        transaction_id: TransactionId,
        info_hashes: InfoHashes<'_>,
        outbox: &mut Outbox,
    ) -> Result<Step, Discard> {
        let hashes_max = self.rules.scrape_hashes_max;
        let asked = || info_hashes.iter().take(hashes_max);
        let count = Count::Answered(Protocol::Udp, family(origin), Kind::Scrape);
        if self.access.mode.is_private() {
            // A scrape has no place for a key, so it learns nothing.
            let rows = asked().map(|_| row(&Totals::default()));
            self.reply(outbox, origin, count, |out| {
                write_scrape(out, transaction_id, rows)
            })?;
            return Ok(Step::Answered);
        }
        if !asked().all(|info_hash| self.owns(&info_hash)) {
            let scrape = self
                .mesh
                .begin(*origin, transaction_id, info_hashes, hashes_max)
                .map_err(|Full| Discard::HandoverFull)?;
            self.fill(scrape, outbox)?;
            return Ok(Step::Pending);
        }
        if self.rules.prefetch {
            for info_hash in asked() {
                self.swarms.prefetch_bucket(self.swarms.hash(&info_hash));
            }
            for info_hash in asked() {
                self.swarms.prefetch_record(self.swarms.hash(&info_hash));
            }
        }
        let known = asked().filter_map(|info_hash| self.totals(&info_hash));
        let rows = known.map(|totals| row(&totals));
        self.reply(outbox, origin, count, |out| {
            write_scrape(out, transaction_id, rows)
        })?;
        Ok(Step::Answered)
    }

    fn count_received(&self, origin: &Origin, kind: Kind) {
        let count = Count::Received(Protocol::Udp, family(origin), kind);
        self.counters.add(count, 1);
    }

    fn refuse(
        &self,
        outbox: &mut Outbox,
        origin: &Origin,
        transaction_id: TransactionId,
        fault: Fault,
    ) -> Result<Step, Discard> {
        let deny = self.access.deny;
        refuse(&self.counters, outbox, origin, transaction_id, deny, fault)?;
        Ok(Step::Refused(fault))
    }
}
