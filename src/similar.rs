//! Info-hashes that differ in a few digits only, and groups of them.
//!
//! Two info-hashes are similar when the first 10 and the last 5 of their 40 hexadecimal digits agree, which
//! is their *signature*, and the share of equal digits reaches a threshold. Everybody may announce any
//! info-hash, so that their number and their digits are chosen by strangers: everything here is bounded.
//!
//! ```text
//!   first time     Signatures    8 bytes an info-hash; sorted, and only those kept that came twice
//!      |
//!   second time    Groups        the rows of those signatures, up to ROWS_MAX of them
//!      |
//!   groups         sorted; the smallest, all that are similar to it, then the smallest of the rest, ..
//! ```

use crate::wire::InfoHash;

/// Hexadecimal digits of an info-hash.
const DIGITS: u32 = 2 * InfoHash::LEN as u32;

/// Rows of one signature that are compared with each other; more are left out.
const ROWS_OF_SIGNATURE_MAX: u16 = 256;

/// Rows of all signatures that are kept; more are left out.
const ROWS_MAX: usize = 1 << 18;

/// The first 10 and the last 5 digits of an info-hash: 60 bits. Similar info-hashes have the same.
#[must_use]
pub fn signature(info_hash: &InfoHash) -> u64 {
    let mut bytes = [0; 8];
    bytes[..5].copy_from_slice(&info_hash.0[..5]);
    bytes[5..].copy_from_slice(&info_hash.0[InfoHash::LEN - 3..]);
    bytes[5] &= 0xf;
    u64::from_be_bytes(bytes)
}

/// The share of hexadecimal digits that are equal, 0.0 to 1.0.
#[must_use]
pub fn share(a: &InfoHash, b: &InfoHash) -> f64 {
    let pairs = a.0.iter().zip(b.0);
    let equal_of = |(a, b): (&u8, u8)| {
        let differing = a ^ b;
        u32::from(differing >> 4 == 0) + u32::from(differing << 4 == 0)
    };
    // Whoever writes 0.95 means 38 of 40: both are rounded to the same number.
    f64::from(pairs.map(equal_of).sum::<u32>()) / f64::from(DIGITS)
}

/// Whether the signatures agree and the share of equal digits is at least `threshold` (0.0 to 1.0). As 15
/// digits agree anyway, every threshold up to 0.375 asks for no more than them; at 1.0 only an info-hash
/// itself is similar to it.
#[must_use]
pub fn is_similar(a: &InfoHash, b: &InfoHash, threshold: f64) -> bool {
    signature(a) == signature(b) && share(a, b) >= threshold
}

/// The signatures of all info-hashes, in any order: 8 bytes each, and three times as much at most while the
/// list grows.
#[derive(Default, Debug)]
pub struct Signatures(Vec<u64>);

impl Signatures {
    /// One more info-hash.
    pub fn note(&mut self, info_hash: &InfoHash) {
        self.0.push(signature(info_hash));
    }

    /// Forgets those that came once. What comes twice may be one info-hash twice.
    #[must_use]
    pub fn repeated(mut self) -> Repeated {
        self.0.sort_unstable();
        let groups = self.0.chunk_by(|a, b| a == b);
        let repeated = groups.filter(|group| group.len() > 1);
        Repeated(repeated.map(|group| (group[0], 0)).collect())
    }
}

/// Signatures of more than one info-hash, sorted, each with the rows that are kept of it.
#[derive(Debug)]
pub struct Repeated(Vec<(u64, u16)>);

impl Repeated {
    /// True when no two info-hashes can be similar.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Rows whose info-hashes may be similar, in any order: each about 20 bytes more than a row, for
/// [`ROWS_MAX`] of them at most.
#[derive(Debug)]
pub struct Groups<T> {
    threshold: f64,
    repeated: Repeated,
    rows: Vec<(InfoHash, T)>,
    left_out: usize,
}

impl<T: Copy> Groups<T> {
    /// No rows yet. Only those of `repeated` will be kept; the threshold is that of [`is_similar`].
    #[must_use]
    pub fn new(threshold: f64, repeated: Repeated) -> Self {
        Self {
            threshold,
            repeated,
            rows: Vec::new(),
            left_out: 0,
        }
    }

    /// One more row. Of an info-hash that comes twice either counts.
    pub fn add(&mut self, info_hash: InfoHash, row: T) {
        let repeated = &mut self.repeated.0;
        let Ok(at) = repeated.binary_search_by_key(&signature(&info_hash), |(known, _)| *known)
        else {
            return;
        };
        let kept = &mut repeated[at].1;
        if *kept == ROWS_OF_SIGNATURE_MAX || self.rows.len() == ROWS_MAX {
            self.left_out += 1;
            return;
        }
        *kept += 1;
        self.rows.push((info_hash, row));
    }

    /// Rows that there was no room for.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Up to `groups_max` groups of two or more, sorted as their members are. The first of a group is the
    /// smallest info-hash of its signature that is in no group before it, and all others are similar to that
    /// one, if not to each other. So every info-hash is in one group at most, whatever came first.
    #[must_use]
    pub fn finish(mut self, groups_max: usize) -> Vec<Vec<(InfoHash, T)>> {
        self.rows
            .sort_unstable_by_key(|(info_hash, _)| (signature(info_hash), *info_hash));
        self.rows.dedup_by_key(|(info_hash, _)| *info_hash);
        let mut groups = Vec::new();
        for rows in self
            .rows
            .chunk_by(|(a, _), (b, _)| signature(a) == signature(b))
        {
            let mut rest = rows.to_vec();
            while let [(first, _), _, ..] = rest[..] {
                if groups.len() == groups_max {
                    return groups;
                }
                let (group, others) = rest
                    .into_iter()
                    .partition::<Vec<_>, _>(|(other, _)| is_similar(&first, other, self.threshold));
                if group.len() > 1 {
                    groups.push(group);
                }
                rest = others;
            }
        }
        groups.sort_unstable_by_key(|group| group[0].0);
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the rule says, digit by digit.
    fn is_similar_by_text(a: &InfoHash, b: &InfoHash, threshold: f64) -> bool {
        let (a, b) = (a.to_string(), b.to_string());
        let equal = a.bytes().zip(b.bytes()).filter(|(a, b)| a == b).count();
        a[..10] == b[..10] && a[35..] == b[35..] && equal as f64 / 40.0 >= threshold
    }

    /// The groups of info-hashes that are all there at once.
    fn groups_by_text(mut all: Vec<InfoHash>, threshold: f64) -> Vec<Vec<InfoHash>> {
        all.sort_unstable();
        all.dedup();
        let mut groups = Vec::new();
        while let Some(&first) = all.first() {
            let similar = |other: &InfoHash| is_similar_by_text(&first, other, threshold);
            let group: Vec<InfoHash> = all.iter().copied().filter(similar).collect();
            all.retain(|other| !similar(other));
            if group.len() > 1 {
                groups.push(group);
            }
        }
        groups
    }

    fn groups_of(
        all: &[InfoHash],
        threshold: f64,
        groups_max: usize,
    ) -> (Vec<Vec<InfoHash>>, usize) {
        let mut signatures = Signatures::default();
        for info_hash in all {
            signatures.note(info_hash);
        }
        let mut groups = Groups::new(threshold, signatures.repeated());
        for info_hash in all {
            groups.add(*info_hash, ());
        }
        let left_out = groups.left_out();
        let hashes =
            |group: Vec<(InfoHash, ())>| group.into_iter().map(|(hash, ())| hash).collect();
        let groups = groups.finish(groups_max).into_iter().map(hashes).collect();
        (groups, left_out)
    }

    fn parse(digits: &str) -> InfoHash {
        crate::gate::hash_list::parse(digits.as_bytes()).unwrap()
    }

    /// One with some digits changed, each to another one.
    fn with_changed_digits(info_hash: InfoHash, count: usize, rng: &mut fastrand::Rng) -> InfoHash {
        let mut changed = info_hash;
        for at in rng.choose_multiple(0..40, count) {
            changed.0[at / 2] ^= rng.u8(1..16) << (4 * (at % 2));
        }
        changed
    }

    #[test]
    fn the_share_counts_digits_and_not_bytes() {
        let a = parse(&"00".repeat(20));
        for (b, equal) in [
            ("00".repeat(20), 40),
            ("01".repeat(20), 20),
            ("10".repeat(20), 20),
            ("ff".repeat(20), 0),
            (format!("{}f", "0".repeat(39)), 39),
        ] {
            let digits = share(&a, &parse(&b)) * 40.0;
            assert_eq!(digits.round() as u32, equal, "{b}");
        }
    }

    #[test]
    fn every_threshold_of_whole_digits_is_met_by_exactly_those() {
        let a = parse(&"0".repeat(40));
        for equal in 15..=40_u32 {
            let differing = 40 - equal as usize;
            let b = format!("{}{}", "0".repeat(10), "1".repeat(differing));
            let b = parse(&format!("{b:0<40}"));
            let written: f64 = format!("{}", f64::from(equal) / 40.0).parse().unwrap();
            assert!(is_similar(&a, &b, written), "{equal}");
            assert!(!is_similar(&a, &b, written + 0.001), "{equal}");
        }
        let two = parse(&format!("{}ff{}", "0".repeat(20), "0".repeat(18)));
        assert!(is_similar(&a, &two, 0.95) && !is_similar(&a, &two, 0.951));
    }

    #[test]
    fn the_first_ten_and_the_last_five_digits_must_agree_whatever_the_threshold() {
        let a = "0".repeat(40);
        for at in 0..40 {
            let mut b = a.clone();
            b.replace_range(at..=at, "8");
            let agree = (10..35).contains(&at);
            assert_eq!(is_similar(&parse(&a), &parse(&b), 0.0), agree, "{at}");
            let same = signature(&parse(&a)) == signature(&parse(&b));
            assert_eq!(same, agree, "{at}");
        }
    }

    #[test]
    fn groups_are_those_of_comparing_all_with_all() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut found = 0;
        for _ in 0..300 {
            let threshold = [0.0, 0.375, 0.5, 0.8, 0.9, 0.95, 0.975, 1.0][rng.usize(..8)];
            let mut all: Vec<InfoHash> = Vec::new();
            for _ in 0..rng.usize(1..200) {
                let old = rng.choice(&all).copied();
                all.push(match old {
                    Some(old) if rng.u8(..4) > 0 => {
                        let most = [0, 2, 4, 25][rng.usize(..4)];
                        with_changed_digits(old, rng.usize(..=most), &mut rng)
                    }
                    _ => InfoHash(std::array::from_fn(|_| rng.u8(..))),
                });
            }
            let (a, b) = (rng.choice(&all).unwrap(), rng.choice(&all).unwrap());
            let similar = is_similar_by_text(a, b, threshold);
            assert_eq!(is_similar(a, b, threshold), similar);
            rng.shuffle(&mut all);
            let (groups, left_out) = groups_of(&all, threshold, usize::MAX);
            assert_eq!(left_out, 0);
            assert_eq!(groups, groups_by_text(all.clone(), threshold));
            found += groups.len();
            let (fewer, _) = groups_of(&all, threshold, 3);
            assert_eq!(fewer.len(), groups.len().min(3));
            assert!(fewer.iter().all(|group| groups.contains(group)));
        }
        assert!(found > 100, "{found}");
    }

    #[test]
    fn a_crowd_with_one_signature_is_bounded_and_what_is_left_out_is_counted() {
        let mut all = Vec::new();
        for number in 0..100_000_u32 {
            let mut info_hash = InfoHash([7; 20]);
            info_hash.0[8..12].copy_from_slice(&number.to_be_bytes());
            all.push(info_hash);
        }
        let most = usize::from(ROWS_OF_SIGNATURE_MAX);
        let (groups, left_out) = groups_of(&all, 0.0, usize::MAX);
        assert_eq!(left_out, all.len() - most);
        assert_eq!(groups, [all[..most].to_vec()]);
        assert!(groups_of(&all, 1.0, usize::MAX).0.is_empty());
        assert!(groups_of(&all, 0.0, 0).0.is_empty());
    }

    #[test]
    fn info_hashes_without_a_like_leave_nothing_to_look_at_again() {
        let mut signatures = Signatures::default();
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..100_000 {
            signatures.note(&InfoHash(std::array::from_fn(|_| rng.u8(..))));
        }
        assert!(signatures.repeated().is_empty());
    }
}
