//! Who asks too often: a token bucket for each source, and one for the network around it.
//!
//! ```text
//!   IPv4   203.0.113.7        a source, and all of 203.0.113.0/24 a network
//!   IPv6   2001:db8:0:12::/64 a source, and all of 2001:db8::/56 a network: what customers get
//! ```
//!
//! Each core and each HTTP thread has buckets of its own, in tables of fixed size: nothing is shared, locked
//! or allocated. A core looks at them only while it is busy ([`Guard::is_busy`]), since a tracker that has
//! time for everybody has no reason to count anybody.
//!
//! **Only who has proved his address is counted.** Over UDP that is the connection id, over TCP the handshake.
//! If a claimed source could spend somebody's bucket, a spoofer could have anybody turned away with a
//! thousand datagrams a second. So forged datagrams fall before they come here, and connects, which nobody
//! can prove, are answered: 16 bytes for 16, so nothing is gained by forging one.
//!
//! Nobody is banned. A bucket is full again [`Limits::burst_s`] seconds after its last request.

mod buckets;
mod prefix;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use ahash::RandomState;

use buckets::Buckets;
pub use prefix::Prefix;

/// How often sources may ask, as the operator has it: for the whole tracker, or the share of one core.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Requests a second of one core from which on it looks at sources; 0 = always.
    pub busy_from: u32,
    /// Announces and scrapes a second of one source, up to a million; 0 = any number.
    pub per_source: u32,
    /// The same of a network.
    pub per_network: u32,
    /// Seconds of its rate that a source, or a network, may spend at once; 1 to 60, 0 counts as 1.
    pub burst_s: u32,
    /// Torrents that one source may begin, halved each minute; 0 = any number.
    pub new_torrents: u32,
    /// Forged connection ids a second of one core from which on the kernel sieves for it; 0 = never.
    pub sieve_from: u32,
}

impl Limits {
    /// What one of `cores` cores gives of it. Rounded up, so that no limit becomes none.
    #[must_use]
    pub fn share(self, cores: usize) -> Self {
        let cores = u32::try_from(cores).unwrap_or(u32::MAX).max(1);
        Self {
            per_source: self.per_source.div_ceil(cores),
            per_network: self.per_network.div_ceil(cores),
            new_torrents: self.new_torrents.div_ceil(cores),
            ..self
        }
    }
}

/// Whose rate was exceeded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// That of the source.
    Source,
    /// That of the network around it.
    Network,
}

impl Over {
    /// Who was over his rate, when `source` asked.
    pub fn prefix(self, source: IpAddr) -> Prefix {
        match self {
            Self::Source => Prefix::source(source),
            Self::Network => Prefix::network(source),
        }
    }
}

/// The buckets of one core or HTTP thread.
pub struct Guard {
    limits: Limits,
    keys: RandomState,
    sources: Buckets,
    networks: Buckets,
    is_busy: bool,
    second: u32,
    /// Requests in that second so far.
    arrived: u64,
}

impl Guard {
    /// Full buckets. What strangers can choose is hashed with keys that end with the process.
    pub fn new(limits: Limits) -> Self {
        Self::with_keys(limits, RandomState::new())
    }

    /// The same with keys that somebody chose.
    pub fn with_keys(limits: Limits, keys: RandomState) -> Self {
        let mut guard = Self {
            limits: Limits::default(),
            keys,
            sources: Buckets::default(),
            networks: Buckets::default(),
            is_busy: false,
            second: 0,
            arrived: 0,
        };
        guard.follow(limits);
        guard
    }

    /// Goes by these limits from now on. If they are others, all buckets are full again.
    #[inline]
    pub fn follow(&mut self, limits: Limits) {
        if limits != self.limits {
            self.refill(limits);
        }
    }

    #[cold]
    fn refill(&mut self, limits: Limits) {
        self.limits = limits;
        let burst_s = limits.burst_s.max(1);
        self.sources.refill(limits.per_source, burst_s);
        self.networks.refill(limits.per_network, burst_s);
        self.is_busy = false;
    }

    /// Whether sources are to be looked at in this turn, which brought so many requests: from the moment
    /// on at which a second had too many, until one ends that had fewer.
    #[inline]
    pub fn is_busy(&mut self, arrived: u64, now_s: u32) -> bool {
        if now_s != self.second {
            // After a pause the second that was counted says nothing about now.
            self.is_busy &= self.arrived >= u64::from(self.limits.busy_from)
                && now_s == self.second.wrapping_add(1);
            self.second = now_s;
            self.arrived = 0;
        }
        self.arrived = self.arrived.saturating_add(arrived);
        self.is_busy |= self.arrived >= u64::from(self.limits.busy_from);
        self.is_busy && self.looks()
    }

    /// What [`Self::is_busy`] said last.
    #[inline]
    pub fn was_busy(&self) -> bool {
        self.is_busy && self.looks()
    }

    fn looks(&self) -> bool {
        self.limits.per_source > 0 || self.limits.per_network > 0
    }

    /// Takes a token from the bucket of a source that has proved its address, and one from its network's. A source
    /// that is over its own rate takes nothing from its neighbours.
    pub fn admit(&mut self, source: IpAddr, now_s: u32) -> Result<(), Over> {
        if self.limits.per_source > 0 {
            let hash = self.keys.hash_one(Prefix::source(source).bits());
            if !self.sources.take(hash, now_s) {
                return Err(Over::Source);
            }
        }
        if self.limits.per_network > 0 {
            let hash = self.keys.hash_one(Prefix::network(source).bits());
            if !self.networks.take(hash, now_s) {
                return Err(Over::Network);
            }
        }
        Ok(())
    }
}
