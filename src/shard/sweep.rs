//! How fast a core forgets the silent, and when it tells how much it knows.

use super::answer::Shard;
use crate::clock::Now;
use crate::counters::Tally;

/// Entries that one turn sweeps at most: some microseconds of work, and less than a tenth of a millisecond
/// when all of them have expired.
const SWEEP_BUDGET: usize = 512;

/// The same where details are kept: what expires is removed from two more tables.
const SWEEP_BUDGET_DETAILED: usize = 128;

/// Seconds in which every peer is looked at once, unless the peer time-out is so short that it must
/// be less.
const SWEEP_PASS_S: u32 = 60;

impl Shard {
    /// Forgets silent peers: each second its share of all entries, each turn a bounded part of it. When an
    /// errand wants all of it done now, it goes on until that is so.
    pub fn sweep(&mut self, now: Now) {
        if now.uptime_s != self.sweep_second {
            let pass_s = (self.rules.peer_timeout_s / 16).clamp(1, SWEEP_PASS_S);
            let entries = self.swarms.entries();
            let seconds = now.uptime_s.abs_diff(self.sweep_second).min(pass_s) as usize;
            let share = entries.div_ceil(pass_s as usize) * seconds;
            self.sweep_due = (self.sweep_due + share).min(entries);
            self.sweep_second = now.uptime_s;
            self.publish_gauges();
        }
        let most = if self.swarms.keeps_details() {
            SWEEP_BUDGET_DETAILED
        } else {
            SWEEP_BUDGET
        };
        if self.errands.wants_sweep() {
            self.sweep_due = self.sweep_due.max(most);
        }
        if self.sweep_due > 0 {
            let budget = self.sweep_due.min(most);
            let swept = self.swarms.sweep(now.uptime_s, budget);
            self.counters
                .tally(Tally::Expired, swept.peers_removed as u64);
            if swept.pass_ended {
                self.errands.pass_ended();
            }
            self.sweep_due -= budget;
            if self.sweep_due == 0 {
                self.publish_gauges();
            }
        }
    }

    pub(super) fn publish_gauges(&self) {
        let refusals = self.swarms.refusals();
        for (count, value) in [
            (Tally::CreditSessionsRefused, refusals.credit_sessions),
            (Tally::CreditSumsRefused, refusals.credit_sums),
            (Tally::SimilarOlderRefused, refusals.similar_older),
            (Tally::SimilarNewerRefused, refusals.similar_newer),
        ] {
            self.counters.set(count, value);
        }
        let (gauges, memory) = (self.swarms.gauges(), self.swarms.memory());
        self.counters.set(Tally::Downloads, gauges.completed);
        for (gauge, value) in [
            (Tally::Torrents, self.swarms.len()),
            (Tally::SeedersV4, gauges.v4.seeders),
            (Tally::LeechersV4, gauges.v4.leechers),
            (Tally::SeedersV6, gauges.v6.seeders),
            (Tally::LeechersV6, gauges.v6.leechers),
            (Tally::SwarmBytes, self.swarms.memory_bytes()),
            (Tally::RecordBytes, memory.records),
            (Tally::IndexBytes, memory.index),
            (Tally::PeerListBytes, memory.peers),
            (Tally::DetailBytes, memory.details),
            (Tally::LedgerBytes, memory.ledger),
            (Tally::SimilarBytes, memory.similar),
        ] {
            self.counters.set(gauge, value as u64);
        }
    }
}
