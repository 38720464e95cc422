//! What fuzzers found interesting once, given to every parser again, as it is and a little changed.

use std::fs;
use std::path::{Path, PathBuf};

use shoal_fuzz::{TARGETS, Target};

/// How often each file is changed.
const CHANGES: usize = 20;

fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target.name);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
}

#[test]
fn nothing_that_was_ever_found_breaks_a_parser() {
    for target in TARGETS {
        for (path, bytes) in corpus(target) {
            println!("{}", path.display()); // shown when it panics
            (target.run)(&bytes);
        }
    }
}

#[test]
fn nor_does_something_like_it() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for target in TARGETS {
        for (path, bytes) in corpus(target) {
            for change in 0..CHANGES {
                println!("{} changed, {change}", path.display());
                (target.run)(&changed(&bytes, &mut random));
            }
        }
    }
}

fn changed(bytes: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.usize(1..4) {
        if bytes.is_empty() {
            return vec![random.u8(..)];
        }
        let at = random.usize(..bytes.len());
        match random.u8(..5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.u8(..)),
            2 => drop(bytes.remove(at)),
            3 => bytes[at] ^= 1 << random.u8(..8),
            _ => bytes.extend_from_within(at..),
        }
    }
    bytes
}
