//! Records against models, over many openings of the file; and what lies below them is mangled, newer,
//! locked and full.

mod bytes;
mod faults;
mod model;
mod names;
mod sizes;

use std::path::Path;
use std::sync::Arc;

use fastrand::Rng;
use tempfile::TempDir;

use super::*;
use crate::gate::keys::{AnnounceKey, KeyRow};
use crate::store::Claim;
use crate::wire::InfoHash;

const NOON: u64 = 1_800_000_000;

const LISTS: [List; 2] = [List::Allowed, List::Blocked];

fn open(folder: &Path, on_damage: OnDamage) -> std::result::Result<Opened<Records>, Refusal> {
    Records::open(&Arc::new(Claim::stake(folder)?), on_damage, NOON)
}

fn opened(folder: &Path) -> Records {
    let opened = open(folder, OnDamage::Refuse).unwrap_or_else(|r| panic!("{}", r.sentence()));
    assert_eq!((opened.set_aside, opened.unmade), (None, None));
    opened.store
}

/// A folder in memory, where there is one: for tests that wait for the disk very often.
fn quick_folder() -> TempDir {
    TempDir::new_in("/dev/shm").unwrap_or_else(|_| TempDir::new().unwrap())
}

fn rng() -> Rng {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    Rng::with_seed(seed)
}

/// An info-hash; they are not in the order of their numbers.
fn hash(number: u64) -> InfoHash {
    let mut bytes = [7; InfoHash::LEN];
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    InfoHash(bytes)
}

fn hashes(numbers: std::ops::Range<u64>) -> Vec<InfoHash> {
    numbers.map(hash).collect()
}

fn key(number: u64) -> AnnounceKey {
    let letters = format!("{:032}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    AnnounceKey::try_from(letters.as_bytes()).unwrap()
}

fn note(reason: &str) -> Note {
    Note {
        at_unix_s: NOON,
        by: "me".to_owned(),
        reason: reason.to_owned(),
    }
}

const ROW: KeyRow = KeyRow {
    id: 1,
    expires_unix_s: None,
    created_unix_s: NOON,
};

fn credit(key: AnnounceKey, info_hash: InfoHash) -> Credit {
    Credit {
        key,
        info_hash,
        uploaded: 3,
        downloaded: 2,
        left: 1,
        seed_s: 60,
        at_unix_s: NOON,
    }
}
