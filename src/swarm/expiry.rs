//! When a peer is forgotten: a coarse clock of 14 bits.
//!
//! A peer pays for its expiry with 14 of the 16 bits that its 6 address bytes leave in a word of
//! 8. They count ticks, not seconds: a tick is as long as it must be for the timeout to have at
//! most 4096 of them, so one second up to a timeout of 68 minutes, two up to 136, and so on.
//!
//! 14 bits wrap around after 16384 ticks. Seen from now, the circle has two halves:
//!
//! ```text
//!            8192 ticks behind now        |        8191 ticks ahead of now
//!     ------------------------------------+------------------------------------
//!     expired, the sweep removes it      now     alive; a refresh writes at most
//!                                                4097 ticks ahead of now
//! ```
//!
//! Nothing is ever written into the far half of "ahead", so a living peer cannot look expired. An
//! expired peer would look alive again 8192 ticks after its expiry, more than two hours. The sweep
//! looks at every peer each few minutes at most, so it is long gone by then. Were a server so
//! stuck that it is not, the peer would be told to others for another while: stale, never unsafe.

/// Ticks of one turn of the circle.
const CIRCLE: u16 = 1 << 14;

/// Most ticks that a timeout may have: a quarter of the circle, so that rounding never matters.
const TIMEOUT_TICKS_MAX: u32 = 4096;

/// A moment on the circle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Tick(u16);

impl Tick {
    /// The bits of a word that hold a tick.
    pub(super) const MASK: u16 = CIRCLE - 1;

    /// Reads a tick back; bits beyond the 14 are ignored.
    pub(super) fn from_bits(bits: u16) -> Self {
        Self(bits & Self::MASK)
    }

    /// The 14 bits.
    pub(super) fn bits(self) -> u16 {
        self.0
    }

    /// True when this expiry is now or behind now.
    pub(super) fn is_over(self, now: Tick) -> bool {
        now.0.wrapping_sub(self.0) & Self::MASK < CIRCLE / 2
    }
}

/// Turns the seconds of the caller into ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calendar {
    timeout_s: u32,
    tick_s: u32,
}

impl Calendar {
    /// Chooses the tick for a timeout.
    pub(super) fn new(timeout_s: u32) -> Self {
        Self {
            timeout_s,
            tick_s: timeout_s.div_ceil(TIMEOUT_TICKS_MAX).max(1),
        }
    }

    /// The tick that is running.
    pub(super) fn now(self, now_s: u32) -> Tick {
        Tick::from_bits((now_s / self.tick_s) as u16)
    }

    /// The first tick in which a peer heard from at `now_s` counts as expired. Rounded up: no peer
    /// is forgotten early, and none late by more than a tick.
    pub(super) fn expiry(self, now_s: u32) -> Tick {
        self.expiry_at_age(now_s, 0)
    }

    /// The same for a peer that was heard from `age_s` before `now_s`, which may be before the
    /// seconds began; at most the timeout.
    pub(super) fn expiry_at_age(self, now_s: u32, age_s: u32) -> Tick {
        let left_s = self.timeout_s.saturating_sub(age_s);
        let end_s = u64::from(now_s) + u64::from(left_s);
        Tick::from_bits(end_s.div_ceil(u64::from(self.tick_s)) as u16)
    }

    /// How long before `now_s` a peer with this expiry was heard from, to a tick and never too long;
    /// 0 for one that was heard from afterwards.
    pub(super) fn age_s(self, expiry: Tick, now_s: u32) -> u32 {
        let ahead = expiry.0.wrapping_sub(self.now(now_s).0) & Tick::MASK;
        // The half of the circle that is over lies behind now.
        let ahead = i64::from(ahead)
            - if ahead < CIRCLE / 2 {
                0
            } else {
                i64::from(CIRCLE)
            };
        let end_s = (i64::from(now_s / self.tick_s) + ahead) * i64::from(self.tick_s);
        let age_s = i64::from(now_s) + i64::from(self.timeout_s) - end_s;
        u32::try_from(age_s).unwrap_or(0)
    }

    /// Seconds after which a silent peer is forgotten.
    pub(super) fn timeout_s(self) -> u32 {
        self.timeout_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_expires_within_one_tick_after_its_timeout_and_never_before() {
        for timeout_s in [0, 1, 59, 2700, 4096, 4097, 8192, 10_000, 86_400] {
            let calendar = Calendar::new(timeout_s);
            assert!(timeout_s.div_ceil(calendar.tick_s) <= TIMEOUT_TICKS_MAX);
            for heard_s in (0..60_000).step_by(997).chain([u32::MAX - 200_000]) {
                let expiry = calendar.expiry(heard_s);
                for early in [0, timeout_s / 2, timeout_s.saturating_sub(1)] {
                    let over = expiry.is_over(calendar.now(heard_s + early));
                    assert!(!over || early == timeout_s, "{timeout_s} {heard_s} {early}");
                }
                for late in [calendar.tick_s, 2000 * calendar.tick_s] {
                    let now = calendar.now(heard_s + timeout_s + late);
                    assert!(expiry.is_over(now), "{timeout_s} {heard_s} {late}");
                }
            }
        }
    }

    #[test]
    fn an_expiry_is_over_for_half_the_circle_and_ahead_for_the_other_half() {
        for expiry in [0, 1, 5000, CIRCLE - 1].map(Tick) {
            let over = (0..CIRCLE).filter(|now| expiry.is_over(Tick(*now)));
            assert_eq!(over.count(), usize::from(CIRCLE / 2));
            assert!(expiry.is_over(expiry));
        }
    }
}
