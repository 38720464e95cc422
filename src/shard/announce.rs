//! One announce becomes one answer.

use super::answer::{count_announced, family, refuse, reply};
use super::ask::Ask;
use super::rules::Rules;
use super::verbose::log_announce;
use crate::counters::{Count, Fault, Kind, Protocol, ThreadCounters};
use crate::gate::access::Deny;
use crate::net::{Origin, Outbox};
use crate::swarm::{PeerAnnounce, PeerDetails, Swarms, Totals};
use crate::wire::udp::{self, ANNOUNCE_REPLY_HEAD_LEN, PEER_V6_LEN, TransactionId};

/// Who sent an announce over UDP, and what he says of himself.
pub(super) struct Sender {
    pub(super) origin: Origin,
    pub(super) transaction_id: TransactionId,
    pub(super) details: PeerDetails,
}

/// An announce to a swarm of this core.
pub(super) struct Told {
    /// As it was asked.
    pub(super) asked: PeerAnnounce,
    /// The same, to the swarm that answers: an older one with a similar info-hash may.
    pub(super) peer: PeerAnnounce,
    pub(super) hash: u64,
    /// Chance.
    pub(super) turn: u64,
}

/// What every announce of a turn is answered from and by.
pub(super) struct Scene<'a> {
    pub(super) swarms: &'a mut Swarms,
    pub(super) rules: &'a Rules,
    pub(super) counters: &'a ThreadCounters,
    pub(super) deny: Deny,
    pub(super) now_s: u32,
}

impl Scene<'_> {
    /// Tells the swarm of a peer, and the peer of others, straight into the outbox.
    #[inline]
    pub(super) fn answer(&mut self, sender: &Sender, told: &Told, outbox: &mut Outbox) {
        let Self {
            swarms,
            rules,
            counters,
            now_s,
            ..
        } = self;
        let Told {
            asked,
            peer,
            hash,
            turn,
        } = told;
        let Sender {
            origin, details, ..
        } = sender;
        let count = Count::Answered(Protocol::Udp, family(origin), Kind::Announce);
        let mut answer = (0, Totals::default());
        let replied = reply(counters, outbox, origin, count, |out| {
            let (head, peers) = out.split_at_mut(ANNOUNCE_REPLY_HEAD_LEN);
            let announced = swarms.announce(*hash, peer, *now_s, *turn, peers);
            count_announced(counters, &announced, peer, *now_s);
            if swarms.keeps_details() {
                if announced.stored {
                    swarms.note_details(peer, *details);
                }
                swarms.credit(asked, details, *now_s);
            }
            let mut written = announced.written;
            if rules.v4_mapped {
                let left = peer.wanted.saturating_sub(written / PEER_V6_LEN);
                let rest = &mut peers[written..];
                written += swarms.mapped_v4(*hash, peer, left, *turn, rest);
            }
            let head_len = udp::write_announce_head(
                head,
                sender.transaction_id,
                rules.interval_s,
                announced.totals.leechers,
                announced.totals.seeders,
            );
            answer = (written, announced.totals);
            head_len + written
        });
        if let Err(reason) = replied {
            counters.add(Count::Discarded(reason), 1);
        }
        if rules.request_log.is_on() {
            let outcome = replied.map(|()| Ok(answer));
            log_announce(rules.request_log, origin, asked, details, outcome);
        }
    }

    /// Tells a peer that its torrent is not served.
    pub(super) fn turn_away(&self, sender: &Sender, told: &Told, outbox: &mut Outbox) {
        let Sender {
            origin,
            transaction_id,
            details,
        } = sender;
        let fault = Fault::InfoHashNotAllowed;
        let refused = refuse(
            self.counters,
            outbox,
            origin,
            *transaction_id,
            self.deny,
            fault,
        );
        if let Err(reason) = refused {
            self.counters.add(Count::Discarded(reason), 1);
        }
        let log = self.rules.request_log;
        if log.is_on() {
            let outcome = refused.map(|()| Err(fault));
            log_announce(log, origin, &told.asked, details, outcome);
        }
    }

    /// The same as [`Self::answer`] for an HTTP thread, onto its form.
    pub(super) fn answer_ask(&mut self, ask: &mut Ask, told: &Told) {
        let Told {
            peer, hash, turn, ..
        } = told;
        let v4_mapped = self.rules.v4_mapped;
        ask.announce(self.swarms, (peer, *hash), self.now_s, *turn, v4_mapped);
        count_announced(self.counters, &ask.announced, peer, self.now_s);
    }
}
