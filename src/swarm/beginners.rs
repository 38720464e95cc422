//! How many torrents each source has begun lately: a sketch of fixed size.
//!
//! Two cells of many, chosen by a keyed hash of the address, count for a source, and the smaller one tells. It
//! may take a quiet source for a busy one, and never the other way round. Counts are halved each minute.

use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;

use super::PeerAddr;

/// Cells of each of the two halves.
const CELLS: usize = 1 << 14;

/// Seconds after which counts are halved.
pub(super) const HALVED_EVERY_S: u32 = 60;

/// Where counts end when there is no limit: far enough for whoever asks which sources are busy.
const CEILING: u16 = 255;

/// See the module. It does not count as swarms, and takes 64 KiB.
pub(super) struct Beginners {
    cells: [Box<[u16]>; 2],
    /// Most that a source may begin.
    most: u16,
    /// Counts end here, so that a minute after a flood its source may begin some again.
    ceiling: u16,
    halved_s: u32,
}

impl Default for Beginners {
    fn default() -> Self {
        Self {
            cells: [(); 2].map(|()| vec![0; CELLS].into()),
            most: u16::MAX,
            ceiling: CEILING,
            halved_s: 0,
        }
    }
}

impl Beginners {
    /// Lets a source begin so many; 0 and all from 65 535 on are any number.
    pub(super) fn limit(&mut self, most: u32) {
        self.most = match u16::try_from(most) {
            Ok(0) | Err(_) => u16::MAX,
            Ok(most) => most,
        };
        self.ceiling = match self.most {
            u16::MAX => CEILING,
            most => most.saturating_add(1).max(CEILING),
        };
    }

    /// Counts a torrent for a source, and says how many it has now.
    pub(super) fn count(&mut self, source: &PeerAddr, keys: &RandomState) -> u16 {
        let hash = hash(source, keys);
        let mut least = u16::MAX;
        for (row, cells) in self.cells.iter_mut().enumerate() {
            let cell = &mut cells[(hash >> (32 * row)) as usize % CELLS];
            *cell = cell.saturating_add(1).min(self.ceiling);
            least = least.min(*cell);
        }
        least
    }

    /// Whether a source that has so many may begin one more.
    pub(super) fn admits(&self, begun: u16) -> bool {
        begun <= self.most
    }

    /// Halves all counts for each minute that has passed.
    pub(super) fn forget(&mut self, now_s: u32) {
        let minutes = now_s.saturating_sub(self.halved_s) / HALVED_EVERY_S;
        if minutes > 0 {
            self.halved_s += minutes * HALVED_EVERY_S;
            for cell in self.cells.iter_mut().flatten() {
                *cell = cell.checked_shr(minutes).unwrap_or(0);
            }
        }
    }
}

/// An IPv4 address is a source; of IPv6 a network of 64 bits is, as that is what a customer gets.
fn hash(source: &PeerAddr, keys: &RandomState) -> u64 {
    let mut hasher = keys.build_hasher();
    match source {
        PeerAddr::V4(wire) => hasher.write(&wire[..4]),
        PeerAddr::V6(wire) => hasher.write(&wire[..8]),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::model::peer_v4;
    use super::*;

    /// How many torrents of so many a source may begin.
    fn begun(beginners: &mut Beginners, source: u32, torrents: u32, keys: &RandomState) -> u32 {
        let source = peer_v4(source);
        let mut admitted = 0;
        for _ in 0..torrents {
            let begun = beginners.count(&source, keys);
            admitted += u32::from(beginners.admits(begun));
        }
        admitted
    }

    #[test]
    fn a_source_may_begin_its_share_and_half_of_it_a_minute_later() {
        let keys = RandomState::with_seeds(1, 2, 3, 4);
        let mut beginners = Beginners::default();
        beginners.limit(10_000);
        assert_eq!(begun(&mut beginners, 1, 10_000, &keys), 10_000);
        assert_eq!(begun(&mut beginners, 1, 50_000, &keys), 0);
        assert_eq!(begun(&mut beginners, 2, 100, &keys), 100);
        beginners.forget(59);
        assert_eq!(begun(&mut beginners, 1, 1, &keys), 0);
        beginners.forget(60);
        assert_eq!(begun(&mut beginners, 1, 50_000, &keys), 5000);
        beginners.forget(60 + 60 * 14);
        assert_eq!(begun(&mut beginners, 1, 50_000, &keys), 10_000);
    }

    #[test]
    fn no_limit_admits_everybody_and_a_new_one_rules_from_then_on() {
        let keys = RandomState::with_seeds(1, 2, 3, 4);
        let mut beginners = Beginners::default();
        for limit in [None, Some(0), Some(65_535), Some(u32::MAX)] {
            if let Some(limit) = limit {
                beginners.limit(limit);
            }
            assert_eq!(begun(&mut beginners, 1, 100_000, &keys), 100_000);
        }
        beginners.limit(100);
        assert_eq!(begun(&mut beginners, 1, 100, &keys), 0);
        assert_eq!(begun(&mut beginners, 2, 1000, &keys), 100);
    }
}
