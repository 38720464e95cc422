//! A table of token buckets of one size, for whoever came lately.
//!
//! ```text
//!   hash of a prefix ---> one of 1024 sets, a cache line each:  [ tags 8 | full again 8 ]
//! ```
//!
//! A bucket is one number: when it will be full again. Time is counted in tokens, of which a second has as many
//! as the rate says, so a request adds 1 to it, and a bucket whose time has passed is full. It is empty when
//! that time lies a burst ahead.
//!
//! **Who finds no place takes that of the fullest bucket in its set, which loses the least by it.** So a
//! table that is too small lets through what it should not, and never turns away who has done nothing: two
//! prefixes share a bucket only if 42 bits of a keyed hash are the same.

/// Sets of a table, which is 64 KiB: both of a core stay in its second cache.
const SETS: usize = 1 << 10;

/// Buckets of a set.
const WAYS: usize = 8;

#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Set {
    tags: [u32; WAYS],
    /// In tokens since the tracker started, modulo 2^32. After days without a request an old one may look
    /// as if it lay ahead; then its owner has up to a burst less, once.
    full_at: [u32; WAYS],
}

const _: () = assert!(size_of::<Set>() == 64);

pub(super) struct Buckets {
    sets: Box<[Set]>,
    /// Tokens that come back in a second.
    rate: u32,
    /// Tokens of a full bucket.
    burst: u32,
}

impl Default for Buckets {
    fn default() -> Self {
        Self {
            sets: vec![Set::default(); SETS].into(),
            rate: 0,
            burst: 0,
        }
    }
}

impl Buckets {
    /// Fills all buckets, which are of this size from now on.
    pub(super) fn refill(&mut self, rate: u32, burst_s: u32) {
        self.sets.fill(Set::default());
        self.rate = rate;
        self.burst = rate.saturating_mul(burst_s);
    }

    /// Takes a token; false if there is none.
    #[inline]
    pub(super) fn take(&mut self, hash: u64, now_s: u32) -> bool {
        let now = now_s.wrapping_mul(self.rate);
        let (tag, burst) = (hash as u32, self.burst);
        let set = &mut self.sets[(hash >> 32) as usize % SETS];
        // Nothing lies further ahead than a burst, so what seems to has passed.
        let spent_at = |full_at: u32| match full_at.wrapping_sub(now) {
            spent if spent <= burst => spent,
            _ => 0,
        };
        let known = set.tags.iter().position(|&known| known == tag);
        let (at, spent) = if let Some(at) = known {
            (at, spent_at(set.full_at[at]))
        } else {
            let spent = set.full_at.map(spent_at);
            let fuller =
                |least: usize, at: usize| if spent[at] < spent[least] { at } else { least };
            ((1..WAYS).fold(0, fuller), 0)
        };
        if spent >= burst {
            return false;
        }
        set.tags[at] = tag;
        set.full_at[at] = now.wrapping_add(spent + 1);
        true
    }
}
