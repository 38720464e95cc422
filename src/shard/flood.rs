//! Who asks too often is turned away, while the core is busy.

use std::net::IpAddr;

use super::answer::{Asker, Shard};
use super::verbose::log_announce;
use crate::clock::Now;
use crate::counters::{Count, Discard, ThreadCounters};
use crate::gate::flood::Guard;

impl Shard {
    /// Drops the announces of this turn, which brought so many datagrams, whose sources are over their
    /// rates. It happens before the swarms are asked for, and where the torrent is: so a source is counted
    /// alike whichever core got its datagram. A calm core is done after two comparisons a turn.
    pub fn turn_away_floods(&mut self, datagrams: u64, now: Now) {
        let arrived = datagrams.max(self.pending.len() as u64);
        if self.guard.is_busy(arrived, now.uptime_s) {
            self.look_at_sources(now);
        }
    }

    #[inline(never)] // keeps the turn of a calm core small
    fn look_at_sources(&mut self, now: Now) {
        let Self {
            pending,
            guard,
            counters,
            rules,
            ..
        } = self;
        pending.retain(|announce| {
            let Asker::Datagram(sender) = &announce.asker else {
                return true; // its HTTP thread has looked
            };
            let source = sender.origin.peer.ip();
            let Err(reason) = look_at(guard, counters, source, now) else {
                return true;
            };
            counters.add(Count::Discarded(reason), 1);
            if rules.request_log.is_on() {
                let (log, details) = (rules.request_log, &sender.details);
                log_announce(log, &sender.origin, &announce.peer, details, Err(reason));
            }
            false
        });
    }

    /// The same for the source of a scrape, as it comes: it has no state to change, and travels where there
    /// are several cores.
    pub(super) fn may_scrape(&mut self, source: IpAddr, now: Now) -> Result<(), Discard> {
        if self.guard.was_busy() {
            look_at(&mut self.guard, &self.counters, source, now)
        } else {
            Ok(())
        }
    }
}

fn look_at(
    guard: &mut Guard,
    counters: &ThreadCounters,
    source: IpAddr,
    now: Now,
) -> Result<(), Discard> {
    guard.admit(source, now.uptime_s).map_err(|over| {
        counters.offenders.note(over.prefix(source), now.uptime_s);
        Discard::from(over)
    })
}
