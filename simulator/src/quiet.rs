//! Everybody sleeps: nothing may be left over, and all counts agree.

use shoal::counters::{Count, Discard, Family, Fault, Kind, Protocol, Tally, Totals};
use shoal::limits::TRAVELLING_SCRAPES_MAX;

use crate::world::World;

impl World {
    /// Lets everything come to its end without time passing: whoever sleeps is woken by somebody or sleeps on.
    pub(crate) fn be_quiet(&mut self) {
        self.deliver_all();
        self.settle();
        // Each in its turn, as a core's queue may have room for one.
        for core in 0..self.cores.len() {
            assert!(self.begin_export(core), "an empty queue has room");
            self.settle();
        }
        if self.random.bool() {
            self.now.uptime_s += 3700;
            self.now.unix_s += 3700;
        }
        self.sweep_whole();
        self.has_jumped = false;
        for at in 0..self.hashes.len() {
            self.begin_look(self.hashes[at]);
            self.settle();
        }
        if self.cores.len() > 1 {
            for place in &self.cores {
                assert_eq!(place.core.idle_scrapes(), TRAVELLING_SCRAPES_MAX);
            }
        }
        self.check_gauges();
    }

    /// Goes on in any order until everybody sleeps, and sees that nobody sleeps through what he was to do.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            let first = self.random.usize(..self.cores.len());
            for core in 0..self.cores.len() {
                let core = (first + core) % self.cores.len();
                moved |= self.step_core(core);
            }
            for thread in 0..self.threads.len() {
                moved |= self.work(thread);
            }
            if !moved {
                break;
            }
        }
        assert!(self.has_read_all(), "a datagram was slept through");
        for core in 0..self.cores.len() {
            let waiting = self.collector.waiting(core);
            assert_eq!(waiting, 0, "core {core} sleeps through handovers");
        }
        for thread in &self.threads {
            let open = thread.open.len();
            assert_eq!(open, 0, "a connection waits for ever");
        }
        assert!(self.going.is_empty(), "never done: {:?}", self.going);
        assert!(self.exports.is_empty(), "an export is never done");
    }

    /// Sweeps all cores, so that of nobody it is unsure whether he is there.
    fn sweep_whole(&mut self) {
        let since_s = self.now.uptime_s;
        self.begin_sweep();
        self.settle();
        for torrent in self.torrents.values_mut() {
            torrent.swarm.swept(since_s);
        }
    }

    /// Compares gauges with the model.
    fn check_gauges(&mut self) {
        self.begin_gauges();
        self.settle();
        let cores = self.cores.iter().map(|place| place.core.totals());
        let totals: Totals = cores.sum();
        let mut counts = [0; 4];
        let mut torrents = 0;
        for torrent in self.torrents.values() {
            let of_one = torrent.swarm.exact_counts();
            counts
                .iter_mut()
                .zip(of_one)
                .for_each(|(all, one)| *all += one);
            torrents += u64::from(!torrent.swarm.is_empty());
        }
        let gauges = [
            Tally::SeedersV4,
            Tally::LeechersV4,
            Tally::SeedersV6,
            Tally::LeechersV6,
        ];
        assert_eq!(gauges.map(|gauge| totals.tally(gauge)), counts);
        assert_eq!(totals.tally(Tally::Torrents), torrents);
    }

    /// What was received was answered, refused or discarded, each once.
    pub(crate) fn count_up(&mut self) {
        let cores = self.cores.iter().map(|place| place.core.totals());
        let totals: Totals = cores.sum();
        let sum = |counts: &mut dyn Iterator<Item = Count>| -> u64 {
            counts.map(|count| totals.get(count)).sum()
        };
        let over_udp = |count: fn(Protocol, Family, Kind) -> Count| {
            let all = Family::ALL.into_iter().flat_map(move |family| {
                Kind::ALL.map(move |kind| count(Protocol::Udp, family, kind))
            });
            sum(&mut { all })
        };
        let answered = over_udp(Count::Answered);
        let refused = sum(&mut Fault::ALL.into_iter().map(Count::Faulted));
        let discarded = sum(&mut Discard::ALL.into_iter().map(Count::Discarded));
        assert_eq!(
            answered + refused,
            self.summary.replies,
            "each reply is counted"
        );
        assert_eq!(
            answered + refused + discarded - self.unanswered,
            self.summary.datagrams,
            "each datagram has one end: {}",
            totals.describe()
        );
        let dropped = totals.get(Count::Discarded(Discard::HandoverFull));
        let owed: u32 = self.requests.iter().map(|request| request.owed).sum();
        assert_eq!(
            u64::from(owed),
            dropped - self.unanswered,
            "only a full queue takes an answer away"
        );
        self.summary.drops = dropped;
    }
}
