//! While forged connection ids come in numbers, the kernel drops them before they take room in its queue.

use log::{info, warn};

use super::answer::Shard;
use crate::clock::Now;
use crate::counters::{Count, Discard, Tally};
use crate::net::Net;
use crate::seldom::Seldom;

/// Seconds with few forged ids until the kernel lets everything come again.
const CALM_S: u32 = 10;

/// What a core knows of forged ids.
#[derive(Default)]
pub(super) struct Forgeries {
    second: u32,
    /// Those that this core saw until that second began.
    seen_before: u64,
    /// The kernel's count of drops when it was asked last, while it sieves.
    drops: Option<u32>,
    /// The last second that had many.
    busy_at_s: u32,
    /// The kernel cannot sieve.
    is_refused: bool,
    told: Seldom,
}

impl Shard {
    /// Begins as soon as a second has brought `flood.sieve_from` forged ids, and ends when ten seconds in a row
    /// brought less than half of it. In between the kernel is asked once a second what it dropped.
    pub fn sieve_forgeries(&mut self, net: &Net, now: Now) {
        let forged = Count::Discarded(Discard::ForgedConnectionId);
        let seen = self.counters.get(forged);
        let from = u64::from(self.access.flood.sieve_from);
        let forgeries = &mut self.forgeries;
        let in_this_second = seen.saturating_sub(forgeries.seen_before);
        let is_new_second = now.uptime_s != forgeries.second;
        if is_new_second {
            forgeries.second = now.uptime_s;
            forgeries.seen_before = seen;
        }
        if let Some(drops) = forgeries.drops {
            if is_new_second || net.is_held() {
                self.look_at_the_sieve(net, drops, in_this_second, now);
            }
        } else if from > 0 && in_this_second >= from && !forgeries.is_refused && !net.is_held() {
            self.begin_to_sieve(net, now);
        }
    }

    #[cold]
    fn begin_to_sieve(&mut self, net: &Net, now: Now) {
        // First: from here on nobody takes what the kernel drops for a full queue.
        self.counters.set(Tally::Sieving, 1);
        let begun = net
            .kernel_drops()
            .and_then(|drops| net.sieve(self.rules.connection_ids.sieve()).map(|()| drops));
        match begun {
            Ok(drops) => {
                self.forgeries.drops = Some(drops);
                self.forgeries.busy_at_s = now.uptime_s;
                if let Some(more) = self.forgeries.told.pass(now.uptime_s) {
                    let (core, from) = (self.mesh.me(), self.access.flood.sieve_from);
                    info!(
                        "core {core} gets {from} forged connection ids a second or more: the kernel drops them \
                         until they are fewer (flood.sieve_from){more}"
                    );
                }
            }
            Err(error) => {
                self.forgeries.is_refused = true;
                warn!("the kernel cannot drop forged connection ids: {error}; the tracker does");
                self.end_sieve(net);
            }
        }
    }

    #[cold]
    fn look_at_the_sieve(&mut self, net: &Net, before: u32, passed: u64, now: Now) {
        let dropped = self.count_sieved(net, before);
        let from = u64::from(self.access.flood.sieve_from);
        if dropped + passed > from / 2 {
            self.forgeries.busy_at_s = now.uptime_s;
        }
        let is_calm = now.uptime_s.saturating_sub(self.forgeries.busy_at_s) >= CALM_S;
        if is_calm || from == 0 || net.is_held() {
            self.end_sieve(net);
        }
    }

    fn end_sieve(&mut self, net: &Net) {
        if let Err(error) = net.unsieve() {
            warn!("the kernel goes on dropping forged connection ids: {error}");
            return;
        }
        if let Some(before) = self.forgeries.drops.take() {
            self.count_sieved(net, before);
        }
        self.counters.set(Tally::Sieving, 0);
    }

    /// How many the kernel has dropped since it had dropped `before`.
    fn count_sieved(&mut self, net: &Net, before: u32) -> u64 {
        let drops = net.kernel_drops().unwrap_or(before);
        let dropped = u64::from(drops.wrapping_sub(before));
        self.counters.tally(Tally::Sieved, dropped);
        self.forgeries.drops = self.forgeries.drops.map(|_| drops);
        dropped
    }
}
