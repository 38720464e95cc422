//! Who announces: about how many addresses, and with which software. No address is kept: what stays of one
//! is at most a number below 54 in one of 4096 places, which a key decides that ends with the process.

use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ahash::RandomState;

use super::unique::{SharedSet, UniqueSet};
use crate::wire::PeerId;

/// Kinds of letters in a peer id: a digit, a letter, a tilde, anything else.
const LETTERS: usize = 64;

/// One for every two letters of `-XX1234-`, then one for every first letter of other ids.
const SOFTWARE: usize = LETTERS * LETTERS + LETTERS;

/// Bytes of a peer id that tell the client apart.
const EXAMPLE_LEN: usize = 8;

/// The crowd that announces to one thread. That thread alone notes; anybody may read, and one keeper of
/// history turns the hours over.
#[derive(Debug)]
pub struct Crowd {
    /// The same for all threads, since their sets are put together.
    key: RandomState,
    /// Of this hour, and of the next or the last one.
    addresses: Box<[SharedSet; 2]>,
    /// Which set is of this hour.
    hour: AtomicUsize,
    software: Box<[Software]>,
}

#[derive(Default, Debug)]
struct Software {
    announces: AtomicU64,
    /// How the first such id began.
    example: AtomicU64,
}

/// Announces by software, a reading or the sum of several.
#[derive(Clone, Debug)]
pub struct SoftwareCounts(Vec<(u64, [u8; EXAMPLE_LEN])>);

impl Default for Crowd {
    fn default() -> Self {
        static KEY: OnceLock<RandomState> = OnceLock::new();
        Self {
            key: KEY.get_or_init(RandomState::new).clone(),
            addresses: Box::default(),
            hour: AtomicUsize::new(0),
            software: (0..SOFTWARE).map(|_| Software::default()).collect(),
        }
    }
}

impl Crowd {
    /// Notes an announce that was admitted. Of an IPv6 address only the network of 64 bits counts: the
    /// rest is for its holder to choose.
    #[inline]
    pub fn note(&self, source: IpAddr, peer_id: &PeerId) {
        let network = match source {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
        };
        let set = &self.addresses[self.hour.load(Ordering::Relaxed) & 1];
        set.note(self.key.hash_one(network));
        let software = &self.software[cell(peer_id)];
        let announces = software.announces.load(Ordering::Relaxed);
        if announces == 0 {
            let example = peer_id
                .0
                .first_chunk()
                .map_or(0, |id| u64::from_le_bytes(*id));
            software.example.store(example, Ordering::Relaxed);
        }
        let announces = announces.wrapping_add(1);
        software.announces.store(announces, Ordering::Relaxed);
    }

    /// Adds the addresses of this hour to `set`.
    pub fn read_addresses(&self, set: &mut UniqueSet) {
        self.addresses[self.hour.load(Ordering::Relaxed) & 1].read_into(set);
    }

    /// Begins an hour without any address.
    pub fn begin_hour(&self) {
        let next = self.hour.load(Ordering::Relaxed) ^ 1;
        // Nobody has written into it for an hour.
        self.addresses[next & 1].clear();
        self.hour.store(next, Ordering::Relaxed);
    }

    /// Announces by software since the start.
    pub fn software(&self) -> SoftwareCounts {
        let read = |software: &Software| {
            let example = software.example.load(Ordering::Relaxed);
            let announces = software.announces.load(Ordering::Relaxed);
            (announces, example.to_le_bytes())
        };
        SoftwareCounts(self.software.iter().map(read).collect())
    }
}

impl std::iter::Sum for SoftwareCounts {
    fn sum<I: Iterator<Item = Self>>(threads: I) -> Self {
        let none = Self(vec![(0, [0; EXAMPLE_LEN]); SOFTWARE]);
        threads.fold(none, |mut sum, thread| {
            for (into, (announces, example)) in sum.0.iter_mut().zip(thread.0) {
                if into.0 == 0 {
                    into.1 = example;
                }
                into.0 += announces;
            }
            sum
        })
    }
}

impl SoftwareCounts {
    /// What people call it, and how many announces it made; the one with the most first. What nobody has
    /// a name for goes by its letters, or is `other`.
    pub fn by_name(&self) -> Vec<(String, u64)> {
        let mut named = std::collections::BTreeMap::new();
        for (announces, example) in self.0.iter().filter(|(announces, _)| *announces > 0) {
            *named.entry(name(*example)).or_insert(0) += announces;
        }
        let mut named: Vec<(String, u64)> = named.into_iter().collect();
        named.sort_by_key(|(_, announces)| std::cmp::Reverse(*announces));
        named
    }
}

fn name(example: [u8; EXAMPLE_LEN]) -> String {
    let mut id = PeerId([b'-'; PeerId::LEN]);
    id.0[..EXAMPLE_LEN].copy_from_slice(&example);
    match (id.client(), example) {
        (Some(client), _) => client.name.to_owned(),
        (None, [b'-', first, second, ..])
            if first.is_ascii_alphanumeric() && second.is_ascii_alphanumeric() =>
        {
            format!("-{}{}", char::from(first), char::from(second))
        }
        _ => "other".to_owned(),
    }
}

#[inline]
fn cell(PeerId(id): &PeerId) -> usize {
    let kind = |byte: u8| usize::from(KINDS[usize::from(byte)]);
    if id[0] == b'-' {
        kind(id[1]) * LETTERS + kind(id[2])
    } else {
        LETTERS * LETTERS + kind(id[0])
    }
}

/// The kind of each byte, below [`LETTERS`].
static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut kind = 1;
    let mut byte = 0;
    while byte < 256 {
        let letter = byte as u8;
        if letter.is_ascii_alphanumeric() || letter == b'~' {
            kinds[byte] = kind;
            kind += 1;
        }
        byte += 1;
    }
    assert!(kind as usize == LETTERS);
    kinds
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Stopwatch;

    fn id(start: &str) -> PeerId {
        let mut id = [b'x'; PeerId::LEN];
        id[..start.len()].copy_from_slice(start.as_bytes());
        PeerId(id)
    }

    fn addresses(crowds: &[Crowd]) -> u64 {
        let mut set = UniqueSet::default();
        for crowd in crowds {
            crowd.read_addresses(&mut set);
        }
        set.estimate()
    }

    #[test]
    fn an_address_counts_once_whichever_threads_it_comes_to() {
        let crowds = [Crowd::default(), Crowd::default()];
        for n in 0..1000_u32 {
            for crowd in &crowds {
                crowd.note(IpAddr::from(n.to_be_bytes()), &id("-qB4670-"));
            }
        }
        let estimate = addresses(&crowds);
        assert!((920..1080).contains(&estimate), "{estimate}");
    }

    #[test]
    fn an_ipv6_network_of_64_bits_counts_as_one() {
        let crowd = [Crowd::default()];
        for n in 0..1000_u128 {
            crowd[0].note(
                IpAddr::from((0x2001_0db8_u128 << 96 | n).to_be_bytes()),
                &id(""),
            );
        }
        assert_eq!(addresses(&crowd), 1);
        crowd[0].note("2001:db8:0:1::1".parse().unwrap(), &id(""));
        assert_eq!(addresses(&crowd), 2);
    }

    #[test]
    fn an_hour_begins_without_those_of_the_last_two() {
        let crowd = [Crowd::default()];
        for hour in 1..=4 {
            crowd[0].note(IpAddr::from([10, 0, 0, hour]), &id(""));
            assert_eq!(addresses(&crowd), 1, "hour {hour}");
            crowd[0].begin_hour();
            assert_eq!(addresses(&crowd), 0, "hour {hour}");
        }
    }

    #[test]
    fn software_has_its_name_its_letters_or_none() {
        let crowds = [Crowd::default(), Crowd::default()];
        let from = IpAddr::from([10, 0, 0, 1]);
        for (start, announces) in [
            ("-qB4670-", 5),
            ("-qB4500-", 2),
            ("A2-1-37-0-", 4),
            ("-zz0001-", 3),
            ("-<b>000-", 1),
            ("\0\u{1}<script>", 1),
        ] {
            for n in 0..announces {
                crowds[n % 2].note(from, &id(start));
            }
        }
        let counts: SoftwareCounts = crowds.iter().map(Crowd::software).sum();
        let named = |name: &str, announces| (name.to_owned(), announces);
        assert_eq!(
            counts.by_name(),
            [
                named("qBittorrent", 7),
                named("aria2", 4),
                named("-zz", 3),
                named("other", 2)
            ]
        );
    }

    #[test]
    fn any_id_and_any_address_have_a_place() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let crowd = Crowd::default();
        for _ in 0..100_000 {
            let mut id = [b'-'; PeerId::LEN];
            random.fill(&mut id[random.clone().usize(0..2)..]);
            crowd.note(IpAddr::from(random.u128(..).to_be_bytes()), &PeerId(id));
        }
        let announces: u64 = crowd.software().by_name().iter().map(|(_, n)| n).sum();
        assert_eq!(announces, 100_000);
    }

    /// Run with `--nocapture`, and in release to see what it costs; here it only must not be absurd.
    #[test]
    fn a_note_costs_some_nanoseconds() {
        let crowd = Crowd::default();
        let ids = ["-qB4670-", "-TR4060-", "-UT354S-", "A2-1-37-0-"].map(id);
        let rounds = 1_000_000_u32;
        let stopwatch = Stopwatch::start();
        for n in 0..rounds {
            let source = IpAddr::from(n.wrapping_mul(0x9e37_79b9).to_be_bytes());
            crowd.note(std::hint::black_box(source), &ids[n as usize % ids.len()]);
        }
        let each = stopwatch.elapsed() / rounds;
        println!("{each:?} each");
        assert!(each.as_micros() < 5, "{each:?}");
    }
}
