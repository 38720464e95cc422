//! As much of the rest of the tracker as the included files name.

/// Sizes that are reached within a few steps.
pub mod limits {
    pub const HANDOVER_QUEUE_LEN: usize = 2;
    pub const TURN_HANDOVERS_MAX: usize = 2;
    pub const TRAVELLING_SCRAPES_MAX: usize = 2;
    pub const ASKS_MAX: usize = 2;
    pub const SCRAPE_HASHES_MAX: usize = 2;
}

/// Time does not pass.
pub mod clock {
    use std::time::Duration;

    #[derive(Clone, Copy)]
    pub struct Now;

    #[derive(Clone)]
    pub struct Clock;

    pub struct Stopwatch;

    impl Clock {
        pub fn now_and_stopwatch(&self) -> (Now, Stopwatch) {
            (Now, Stopwatch)
        }
    }

    impl Stopwatch {
        pub fn elapsed(&self) -> Duration {
            Duration::ZERO
        }
    }
}

/// Nothing is counted.
pub mod counters {
    use std::time::Duration;

    pub enum Tally {
        SendFailed,
        Turns,
    }

    #[derive(Default)]
    pub struct ThreadCounters(Turns);

    #[derive(Default)]
    pub struct Turns;

    impl ThreadCounters {
        pub fn tally(&self, _: Tally, _: u64) {}

        pub fn turns(&self) -> &Turns {
            &self.0
        }
    }

    impl Turns {
        pub fn record(&self, _: Duration, _: u64) {}
    }
}

/// Nobody is known.
pub mod swarm {
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Totals {
        pub seeders: u32,
        pub leechers: u32,
        pub partial: u32,
        pub completed: u32,
    }

    pub struct Swarms;
}

/// Names of torrents and requests.
pub mod wire {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct InfoHash(pub [u8; 20]);

    impl InfoHash {
        pub const LEN: usize = 20;

        /// A torrent that this core owns.
        pub const fn of(core: u8) -> Self {
            Self([core; 20])
        }
    }

    pub mod udp {
        use super::InfoHash;

        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct TransactionId(pub u32);

        #[derive(Clone, Copy)]
        pub struct InfoHashes<'a>(pub &'a [InfoHash]);

        impl InfoHashes<'_> {
            pub fn iter(&self) -> impl Iterator<Item = InfoHash> {
                self.0.iter().copied()
            }
        }
    }
}
