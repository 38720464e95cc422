//! Who was turned away for asking too often: those with the most of it lately, in memory of fixed size.
//!
//! Each thread counts in 32 places. Who has none takes that of whoever has the least, and his count with it
//! ("space-saving"): so whoever was turned away most often is there, and a count is too high by no more than
//! the least of all. Counts are halved every minute.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use crate::gate::flood::Prefix;

/// Offenders that a thread remembers.
const PLACES: usize = 32;

/// Seconds after which counts are halved.
const HALVED_EVERY_S: u32 = 60;

/// How often a reader tries again when the writer comes between.
const TRIES: usize = 8;

/// A source or a network that was turned away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offender {
    /// Who it is.
    pub prefix: Prefix,
    /// About how many requests of it were turned away, halved each minute.
    pub refused: u64,
    /// When the last of them was, in seconds since the tracker started.
    pub last_s: u32,
}

/// The offenders that one thread has met. That thread alone notes; anybody may read.
#[derive(Default, Debug)]
pub struct Offenders {
    places: [Place; PLACES],
}

/// A writer makes the version odd, writes, and makes it even again; what a reader found is whole if it was
/// even and stayed the same.
#[derive(Default, Debug)]
struct Place {
    version: AtomicU32,
    kind: AtomicU32,
    bits: AtomicU64,
    refused: AtomicU32,
    last_s: AtomicU32,
}

impl Offenders {
    /// Notes a request that was turned away.
    #[cold]
    pub fn note(&self, prefix: Prefix, now_s: u32) {
        let mut least = (u32::MAX, &self.places[0]);
        for place in &self.places {
            let (known, refused) = place.settled(now_s);
            if known == prefix && refused > 0 {
                least = (refused, place);
                break;
            }
            if refused < least.0 {
                least = (refused, place);
            }
        }
        let (refused, place) = least;
        place.write(prefix, refused.saturating_add(1), now_s);
    }

    fn read(&self, now_s: u32) -> impl Iterator<Item = Offender> {
        let places = self.places.iter().filter_map(Place::read);
        places.filter_map(move |offender| {
            let refused = halved(offender.refused as u32, offender.last_s, now_s);
            (refused > 0).then(|| Offender {
                refused: u64::from(refused),
                ..offender
            })
        })
    }
}

impl Place {
    /// What stands here, for the writer, with the count of now.
    fn settled(&self, now_s: u32) -> (Prefix, u32) {
        let Offender {
            prefix,
            refused,
            last_s,
        } = self.load();
        (prefix, halved(refused as u32, last_s, now_s))
    }

    fn load(&self) -> Offender {
        let bits = self.bits.load(Ordering::Relaxed);
        let kind = self.kind.load(Ordering::Relaxed);
        Offender {
            prefix: Prefix::from_words((bits, kind)),
            refused: self.refused.load(Ordering::Relaxed).into(),
            last_s: self.last_s.load(Ordering::Relaxed),
        }
    }

    fn write(&self, prefix: Prefix, refused: u32, now_s: u32) {
        let (bits, kind) = prefix.to_words();
        let version = self.version.load(Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.bits.store(bits, Ordering::Relaxed);
        self.kind.store(kind, Ordering::Relaxed);
        self.refused.store(refused, Ordering::Relaxed);
        self.last_s.store(now_s, Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(2), Ordering::Release);
    }

    /// What stands here, for anybody; nothing if the writer will not leave it alone.
    fn read(&self) -> Option<Offender> {
        (0..TRIES).find_map(|_| {
            let before = self.version.load(Ordering::Acquire);
            let offender = self.load();
            fence(Ordering::Acquire);
            let after = self.version.load(Ordering::Relaxed);
            (before == after && before.is_multiple_of(2)).then_some(offender)
        })
    }
}

fn halved(refused: u32, last_s: u32, now_s: u32) -> u32 {
    let minutes = (now_s / HALVED_EVERY_S).saturating_sub(last_s / HALVED_EVERY_S);
    refused.checked_shr(minutes).unwrap_or(0)
}

/// The offenders of several threads together, those first that were turned away most.
pub fn worst<'a>(
    threads: impl Iterator<Item = &'a Offenders>,
    now_s: u32,
    most: usize,
) -> Vec<Offender> {
    let mut all: BTreeMap<Prefix, Offender> = BTreeMap::new();
    for offender in threads.flat_map(|offenders| offenders.read(now_s)) {
        all.entry(offender.prefix)
            .and_modify(|sum| {
                sum.refused += offender.refused;
                sum.last_s = sum.last_s.max(offender.last_s);
            })
            .or_insert(offender);
    }
    let mut all: Vec<Offender> = all.into_values().collect();
    all.sort_by_key(|offender| std::cmp::Reverse(offender.refused));
    all.truncate(most);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;
    use std::thread;

    fn source(number: u32) -> Prefix {
        Prefix::source(IpAddr::from(number.to_be_bytes()))
    }

    fn told(threads: &[Offenders], now_s: u32) -> Vec<(Prefix, u64)> {
        let worst = worst(threads.iter(), now_s, 10);
        worst.iter().map(|o| (o.prefix, o.refused)).collect()
    }

    #[test]
    fn counts_of_all_threads_are_added_and_the_worst_comes_first() {
        let threads = [Offenders::default(), Offenders::default()];
        for (thread, number, times) in [(0, 1, 3), (1, 1, 4), (0, 2, 5), (1, 3, 20)] {
            for _ in 0..times {
                threads[thread].note(source(number), 7);
            }
        }
        let expected = [(source(3), 20), (source(1), 7), (source(2), 5)];
        assert_eq!(told(&threads, 8), expected);
        assert_eq!(worst(threads.iter(), 8, 1).len(), 1);
    }

    #[test]
    fn a_count_is_halved_each_minute_until_nothing_is_left() {
        let threads = [Offenders::default()];
        for _ in 0..5 {
            threads[0].note(source(1), 59);
        }
        for (now_s, count) in [(59, Some(5)), (60, Some(2)), (179, Some(1)), (180, None)] {
            let expected: Vec<_> = count.map(|count| (source(1), count)).into_iter().collect();
            assert_eq!(told(&threads, now_s), expected, "{now_s}");
        }
        // One who goes on keeps half of what he had.
        threads[0].note(source(1), 119);
        assert_eq!(told(&threads, 119), [(source(1), 3)]);
        assert_eq!(told(&threads, 10_000), []);
    }

    #[test]
    fn whoever_is_turned_away_most_is_found_among_any_number_of_others() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let threads = [Offenders::default()];
        let mut loud = 0;
        for number in 0..100_000 {
            if rng.u8(..10) == 0 {
                loud += 1;
                threads[0].note(source(1), 7);
            } else {
                threads[0].note(source(1000 + number), 7);
            }
        }
        let (worst, count) = told(&threads, 7)[0];
        assert_eq!(worst, source(1));
        // The least of all has a 32nd of everything at most.
        assert!(
            (loud..=loud + 100_000 / 32).contains(&count),
            "{count} of {loud}"
        );
    }

    #[test]
    fn a_reader_never_finds_half_of_one_and_half_of_another() {
        let offenders = Offenders::default();
        let prefix = |number: u32| {
            // One number tells the other.
            let bits = u128::from(number) << 96 | u128::from(number) << 64;
            Prefix::source(IpAddr::from(bits.to_be_bytes()))
        };
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for number in 1..200_000 {
                    offenders.note(prefix(number), number);
                }
            });
            while !writer.is_finished() {
                for offender in offenders.places.iter().filter_map(Place::read) {
                    let told = (offender.prefix, offender.last_s);
                    let empty = Prefix::from_words((0, 0));
                    assert!(told == (empty, 0) || told.0 == prefix(told.1), "{told:?}");
                }
            }
        });
    }
}
