//! The store without threads: swarms go in, swarms come out, and what lies between is cut, mangled,
//! stopped halfway and opened by others.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use fastrand::Rng;
use tempfile::TempDir;

use super::keeper::Rest;
use super::snapshot::{self, Failure, Order, Source};
use super::telling::Wanted;
use super::*;
use crate::swarm::{self, PeerAddr, PeerAnnounce, State, Totals};

const TIMEOUT_S: u32 = 3600;
const SALT: [u8; SALT_LEN] = [7; SALT_LEN];
const NOON: u64 = 1_800_000_000;

fn settings() -> Settings {
    Settings {
        snapshot_interval_s: 0,
        keep_peers: true,
        on_damage: OnDamage::SetAside,
        peer_timeout_s: TIMEOUT_S,
    }
}

fn now(uptime_s: u32) -> Now {
    Now {
        uptime_s,
        unix_s: NOON + u64::from(uptime_s),
    }
}

fn order(now: Now) -> Order {
    Order {
        now,
        peer_timeout_s: TIMEOUT_S,
        keep_peers: true,
    }
}

fn no_swarms(seed: u64) -> Swarms {
    Swarms::new(swarm::Settings {
        seeds: [seed, 2, 3, 4],
        peer_timeout_s: TIMEOUT_S,
        remove_peerless: true,
        memory_budget: None,
        peer_details: false,
    })
}

fn info_hash(number: u32) -> InfoHash {
    let mut bytes = [9; InfoHash::LEN];
    bytes[16..].copy_from_slice(&number.to_be_bytes());
    InfoHash(bytes)
}

fn peer(number: u32) -> PeerAddr {
    let [a, b, c, d] = number.to_be_bytes();
    if number.is_multiple_of(5) {
        let mut wire = [0x20; 18];
        wire[12..16].copy_from_slice(&[a, b, c, d]);
        PeerAddr::V6(wire)
    } else {
        PeerAddr::V4([10, b, c, d, 0x1a, a])
    }
}

fn announce(swarms: &mut Swarms, torrent: u32, who: u32, state: State, now_s: u32) {
    let what = PeerAnnounce {
        info_hash: info_hash(torrent),
        peer: peer(who),
        state,
        completed: state == State::Seeding,
        wanted: 0,
    };
    let hash = swarms.hash(&what.info_hash);
    swarms.announce(hash, &what, now_s, 0, &mut []);
}

/// Torrents on cores, by the rule of a start of its own.
struct Cores {
    rule: u32,
    cores: Vec<Swarms>,
}

impl Cores {
    fn new(rule: u32, count: usize) -> Self {
        let cores = (0..count as u64).map(|core| no_swarms(core + 10)).collect();
        Self { rule, cores }
    }

    fn owner(&self, info_hash: &InfoHash) -> usize {
        let last = u32::from_be_bytes([0, info_hash.0[17], info_hash.0[18], info_hash.0[19]]);
        (last.wrapping_mul(self.rule) >> 3) as usize % self.cores.len()
    }

    fn announce(&mut self, torrent: u32, who: u32, state: State, now_s: u32) {
        let owner = self.owner(&info_hash(torrent));
        announce(&mut self.cores[owner], torrent, who, state, now_s);
    }

    /// Announces at random, and stops, and completions.
    fn live(&mut self, rng: &mut Rng, torrents: u32, steps: u32, now_s: u32) {
        for _ in 0..steps {
            let torrent = rng.u32(..torrents) % rng.u32(1..=torrents);
            let state = match rng.u32(..10) {
                0..5 => State::Leeching,
                5..8 => State::Seeding,
                8 => State::Paused,
                _ => State::Stopped,
            };
            self.announce(torrent, rng.u32(..60), state, now_s);
        }
    }

    fn totals(&self, torrent: u32) -> Totals {
        let info_hash = info_hash(torrent);
        self.cores[self.owner(&info_hash)].totals(&info_hash)
    }

    fn restore(&mut self, store: &Store, now: Now) -> Restored {
        let mut sum = Restored::default();
        for core in 0..self.cores.len() {
            let mut swarms = std::mem::replace(&mut self.cores[core], no_swarms(0));
            let owns = |info_hash: &_| self.owner(info_hash) == core;
            let (restored, read) = store.restore(now, owns, |_| true, &mut swarms);
            read.unwrap();
            self.cores[core] = swarms;
            sum += restored;
        }
        sum
    }

    fn write(self, store: &mut Store, now: Now) -> (Self, u64) {
        let mut source = Rest::new(self.cores);
        let written =
            snapshot::write(store.disk.as_mut().unwrap(), &mut source, &order(now)).unwrap();
        let cores = source.into_swarms();
        let peers = cores
            .iter()
            .map(|s| s.gauges().v4.peers() + s.gauges().v6.peers());
        assert_eq!(written.peers, peers.sum::<usize>() as u64);
        let torrents = cores.iter().map(Swarms::len).sum::<usize>();
        assert_eq!(written.torrents, torrents as u64);
        let Self { rule, .. } = self;
        (Self { rule, cores }, written.bytes)
    }
}

fn opened(folder: &Path) -> Store {
    let opened = open(folder, settings()).unwrap_or_else(|refusal| {
        panic!("{}", refusal.sentence());
    });
    assert_eq!(opened.set_aside, None);
    opened.store
}

fn open(folder: &Path, settings: Settings) -> Result<Opened<Store>, Refusal> {
    let claim = Arc::new(Claim::stake(folder)?);
    Store::open(&claim, settings, SALT, NOON)
}

#[test]
fn what_was_written_returns_to_other_cores_whatever_changed_between_snapshots() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let folder = TempDir::new().unwrap();
    let mut cores = Cores::new(1, 1);
    for round in 0..8 {
        // Many torrents, few, many: buckets fill up and become empty.
        let torrents = [6000, 30][round % 2];
        let now_s = round as u32 * 2000;
        let mut store = opened(folder.path());
        assert_eq!(store.taken_unix_s().is_some(), round > 0);
        cores.live(&mut rng, torrents, 20_000, now_s);
        for swarms in &mut cores.cores {
            for _ in 0..2 {
                while !swarms.sweep(now_s, 10_000).pass_ended {}
            }
        }
        let (kept, _) = cores.write(&mut store, now(now_s));
        let (kept, _) = kept.write(&mut store, now(now_s));
        drop(store);

        let store = opened(folder.path());
        assert_eq!(store.taken_unix_s(), Some(now(now_s).unix_s));
        let mut back = Cores::new(rng.u32(..) | 1, rng.usize(1..4));
        let restored = back.restore(&store, now(now_s));
        assert_eq!((restored.expired, restored.refused), (0, 0));
        let count = |cores: &Cores| cores.cores.iter().map(Swarms::len).sum::<usize>();
        assert_eq!(restored.torrents, count(&back));
        for torrent in 0..6000 {
            assert_eq!(back.totals(torrent), kept.totals(torrent), "{torrent}");
        }
        cores = back;
    }
}

#[test]
fn the_time_in_between_counts_and_so_does_a_clock_that_was_set_back() {
    let folder = TempDir::new().unwrap();
    let mut store = opened(folder.path());
    let mut cores = Cores::new(1, 1);
    cores.announce(1, 1, State::Leeching, 0);
    cores.announce(1, 1, State::Seeding, 0);
    cores.announce(1, 2, State::Leeching, 3000);
    let (_, _) = cores.write(&mut store, now(3000));
    for (later_s, peers) in [
        (0, 2),
        (599, 2),
        (600, 1),
        (3599, 1),
        (3600, 0),
        (1 << 40, 0),
    ] {
        for uptime_s in [0, 5] {
            let unix_s = NOON + 3000 + later_s;
            let mut back = Cores::new(1, 1);
            let restored = back.restore(&store, Now { uptime_s, unix_s });
            assert_eq!(
                (restored.peers, restored.expired),
                (peers, 2 - peers),
                "{later_s}"
            );
            assert_eq!(back.totals(1).completed, 1);
        }
    }
    let mut back = Cores::new(1, 1);
    let set_back = Now {
        uptime_s: 0,
        unix_s: 5,
    };
    assert_eq!(back.restore(&store, set_back).peers, 2);
}

#[test]
fn without_peers_only_counts_are_kept_and_those_that_a_file_has_are_left_out() {
    let folder = TempDir::new().unwrap();
    let mut store = opened(folder.path());
    let mut cores = Cores::new(1, 1);
    for torrent in 0..10 {
        cores.announce(torrent, 1, State::Leeching, 0);
        if torrent < 3 {
            cores.announce(torrent, 1, State::Seeding, 0);
        }
    }
    let (cores, _) = cores.write(&mut store, now(0));
    store.settings.keep_peers = false;
    let restored = Cores::new(1, 1).restore(&store, now(0));
    assert_eq!(
        (restored.torrents, restored.peers, restored.expired),
        (3, 0, 0)
    );
    let order = Order {
        keep_peers: false,
        ..order(now(0))
    };
    let mut source = Rest::new(cores.cores);
    let written = snapshot::write(store.disk.as_mut().unwrap(), &mut source, &order).unwrap();
    assert_eq!((written.torrents, written.peers), (3, 0));
    store.settings.keep_peers = true;
    let restored = Cores::new(1, 1).restore(&store, now(0));
    assert_eq!((restored.torrents, restored.peers), (3, 0));
}

#[test]
fn the_file_takes_16_bytes_a_peer_and_48_a_torrent_at_most_after_the_second_snapshot() {
    for (torrents, peers) in [(100_000, 4), (150_000, 1), (3000, 150), (10_000, 4)] {
        let folder = TempDir::new().unwrap();
        let mut store = opened(folder.path());
        let mut cores = Cores::new(1, 2);
        for torrent in 0..torrents {
            for who in 0..peers {
                // IPv4 all of them.
                cores.announce(torrent, who * 5 + 1, State::Leeching, 0);
            }
        }
        let (cores, bytes) = cores.write(&mut store, now(0));
        let (_, _) = cores.write(&mut store, now(1));
        let most = u64::from(torrents) * (48 + 16 * u64::from(peers));
        let file_len = fs::metadata(folder.path().join("data.mdb")).unwrap().len();
        println!("{torrents} x {peers}: {bytes} of blocks, {file_len} of {most} allowed");
        assert!(file_len <= most, "{file_len} is more than {most}");
    }
}

/// Gives up after so many looks.
struct Stopped {
    rest: Rest,
    looks: std::cell::Cell<u32>,
}

impl Source for Stopped {
    fn estimate(&self) -> u64 {
        self.rest.estimate()
    }

    fn collect(&mut self, wanted: &Wanted) -> Option<Vec<Vec<u8>>> {
        self.rest.collect(wanted)
    }

    fn gives_up(&self) -> bool {
        self.looks.set(self.looks.get().saturating_sub(1));
        self.looks.get() == 0
    }

    fn gives_up_quietly(&self) -> bool {
        false
    }
}

#[test]
fn a_snapshot_that_ends_halfway_leaves_every_torrent_as_it_was_or_as_it_is() {
    const TORRENTS: u32 = 90_000;
    let folder = TempDir::new().unwrap();
    let mut store = opened(folder.path());
    let mut cores = Cores::new(1, 1);
    for torrent in 0..TORRENTS {
        for who in 0..8 {
            cores.announce(torrent, who, State::Leeching, 0);
        }
    }
    let (mut cores, _) = cores.write(&mut store, now(0));
    for torrent in 0..TORRENTS {
        cores.announce(torrent, torrent % 8, State::Seeding, 0);
    }
    for looks in 1..5 {
        let mut source = Stopped {
            rest: Rest::new(cores.cores),
            looks: looks.into(),
        };
        let written = snapshot::write(store.disk.as_mut().unwrap(), &mut source, &order(now(1)));
        assert!(matches!(written, Err(Failure::GivenUp)));
        let mut back = Cores::new(3, 1);
        back.restore(&store, now(1));
        let mut old_and_new = [0, 0];
        for torrent in 0..TORRENTS {
            let Totals {
                seeders,
                leechers,
                completed,
                ..
            } = back.totals(torrent);
            assert_eq!((seeders + leechers, completed), (8, seeders), "{torrent}");
            old_and_new[seeders as usize] += 1;
        }
        println!("{looks} looks: {old_and_new:?}");
        assert_eq!(old_and_new[1] > 0, looks > 1);
        assert!(old_and_new[0] > 0);
        cores = Cores {
            rule: 1,
            cores: source.rest.into_swarms(),
        };
    }
}

#[test]
fn a_store_that_is_open_is_refused_with_the_pid_of_who_has_it() {
    let folder = TempDir::new().unwrap();
    let first = opened(folder.path());
    let Err(Refusal::Busy(sentence)) = open(folder.path(), settings()) else {
        panic!("it was opened twice");
    };
    assert!(
        sentence.contains(&format!("(pid {})", std::process::id())),
        "{sentence}"
    );
    assert!(
        sentence.contains(&folder.path().display().to_string()),
        "{sentence}"
    );
    drop(first);
    opened(folder.path());
}

/// A file with some hundred blocks, and free pages.
fn some_file(folder: &Path) -> Vec<u8> {
    let mut store = opened(folder);
    let mut cores = Cores::new(1, 1);
    let mut rng = Rng::with_seed(5);
    cores.live(&mut rng, 3000, 30_000, 0);
    for who in 0..3000 {
        cores.announce(1, who, State::Leeching, 0);
    }
    let (mut cores, _) = cores.write(&mut store, now(0));
    cores.live(&mut rng, 3000, 10_000, 0);
    let (_, _) = cores.write(&mut store, now(0));
    drop(store);
    fs::read(folder.join("data.mdb")).unwrap()
}

#[test]
fn a_newer_version_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("data.mdb");
    let mut bytes = some_file(folder.path());
    let old: Vec<u8> = [b"version".as_slice(), &VERSION.to_le_bytes()].concat();
    let new: Vec<u8> = [b"version".as_slice(), &(VERSION + 1).to_le_bytes()].concat();
    while let Some(at) = bytes.windows(old.len()).position(|window| window == old) {
        bytes[at..at + new.len()].copy_from_slice(&new);
    }
    fs::write(&path, &bytes).unwrap();
    let Err(Refusal::Newer(sentence)) = open(folder.path(), settings()) else {
        panic!("it was not refused");
    };
    assert!(
        sentence.contains("version 2") && sentence.contains("run the newer"),
        "{sentence}"
    );
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// Opens, restores and writes, as a tracker would; true if nothing seemed wrong.
fn use_it(folder: &Path, mangled: &[u8]) -> bool {
    fs::write(folder.join("data.mdb"), mangled).unwrap();
    let opened = match open(folder, settings()) {
        Ok(opened) => opened,
        // The number of the version is a number like any other.
        Err(Refusal::Newer(_)) => return false,
        Err(refusal) => panic!("{}", refusal.sentence()),
    };
    let mut set_aside = opened.set_aside;
    let mut swarms = no_swarms(1);
    let (_, read) = opened
        .store
        .restore(now(0), |_| true, |_| true, &mut swarms);
    let mut store = opened.store;
    if let Err(why) = read {
        assert_eq!(set_aside, None);
        let opened = store
            .give_up_on_file(&why, NOON)
            .unwrap_or_else(|r| panic!("{}", r.sentence()));
        (store, set_aside) = (opened.store, opened.set_aside);
    }
    if let Some((sentence, aside)) = &set_aside {
        assert!(sentence.contains("is damaged: "), "{sentence}");
        assert!(
            aside.to_string_lossy().contains("damaged-2027-01-15"),
            "{}",
            aside.display()
        );
        assert_eq!(fs::read(aside).unwrap(), mangled);
        fs::remove_file(aside).unwrap();
    }
    let mut source = Rest::new(vec![swarms]);
    // An error is as good as success here; the end of the process would not be.
    let _ = snapshot::write(store.disk.as_mut().unwrap(), &mut source, &order(now(0)));
    set_aside.is_none()
}

#[test]
fn whatever_a_file_has_become_it_is_read_or_set_aside_and_nothing_crashes() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let folder = TempDir::new().unwrap();
    let bytes = some_file(folder.path());
    assert!(bytes.len() > 100 << 10, "{}", bytes.len());
    assert!(use_it(folder.path(), &bytes));
    for len in [
        1,
        100,
        4095,
        4096,
        8191,
        8192,
        bytes.len() / 2,
        bytes.len() - 4097,
    ] {
        use_it(folder.path(), &bytes[..len]);
    }
    let mut read = 0;
    for round in 0..400 {
        let mut mangled = bytes.clone();
        match round % 4 {
            // A few bytes anywhere.
            0 => (0..rng.usize(1..50)).for_each(|_| {
                let at = rng.usize(..mangled.len());
                mangled[at] = rng.u8(..);
            }),
            // A few bytes at the beginning of pages, where all that matters is.
            1 => (0..rng.usize(1..20)).for_each(|_| {
                let page = rng.usize(..mangled.len() / 4096);
                mangled[page * 4096 + rng.usize(..80)] = rng.u8(..);
            }),
            // A piece of something else, or of nothing.
            2 => {
                let from = rng.usize(..mangled.len());
                let end = mangled.len().min(from + rng.usize(1..20_000));
                let zeros = rng.bool();
                mangled[from..end].fill_with(|| if zeros { 0 } else { rng.u8(..) });
            }
            // A page in the place of another.
            _ => {
                let (from, to) = (
                    rng.usize(..bytes.len() / 4096),
                    rng.usize(..bytes.len() / 4096),
                );
                mangled[to * 4096..][..4096].copy_from_slice(&bytes[from * 4096..][..4096]);
            }
        }
        read += u32::from(use_it(folder.path(), &mangled));
    }
    println!("{read} of 400 were read");
    assert!(use_it(folder.path(), &bytes));
}

#[test]
fn a_head_that_claims_pages_beyond_any_disk_is_damage_and_no_lack_of_rights() {
    let folder = TempDir::new().unwrap();
    let bytes = some_file(folder.path());
    for last_page in [u64::MAX, u64::MAX >> 12, 1 << 50, 1 << 35, 1 << 20] {
        let mut mangled = bytes.clone();
        for head in [0, 4096] {
            mangled[head + 136..][..8].copy_from_slice(&last_page.to_le_bytes());
        }
        assert!(!use_it(folder.path(), &mangled), "{last_page:#x}");
    }
    let garbage = fastrand::u64(..).to_le_bytes().repeat(bytes.len() / 8);
    assert!(!use_it(folder.path(), &garbage));
    assert!(use_it(folder.path(), &bytes));
}

#[test]
fn what_is_no_file_in_place_of_the_store_is_one_sentence_at_once() {
    for lay in [
        |path: &Path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        |path: &Path| fs::create_dir(path).unwrap(),
        |path: &Path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
        |path: &Path| std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
    ] {
        let folder = TempDir::new().unwrap();
        lay(&folder.path().join("data.mdb"));
        let Err(Refusal::Unusable(sentence)) = open(folder.path(), settings()) else {
            panic!("it was not refused");
        };
        assert!(sentence.contains("it is no regular file; "), "{sentence}");
        lay(&folder.path().join("records.mdb"));
        let claim = Claim::stake(folder.path()).map(Arc::new).unwrap();
        let Err(Refusal::Unusable(sentence)) = Records::open(&claim, OnDamage::SetAside, NOON)
        else {
            panic!("it was not refused");
        };
        assert!(sentence.contains("it is no regular file; "), "{sentence}");
    }
}

#[test]
fn damage_is_refused_where_that_is_asked_for() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("data.mdb");
    let bytes = vec![0x55; 20_000];
    fs::write(&path, &bytes).unwrap();
    let refusing = Settings {
        on_damage: OnDamage::Refuse,
        ..settings()
    };
    let Err(Refusal::Damaged(sentence)) = open(folder.path(), refusing) else {
        panic!("it was not refused");
    };
    assert!(
        sentence.contains("data.mdb") && sentence.contains("set_aside"),
        "{sentence}"
    );
    assert_eq!(fs::read(&path).unwrap(), bytes);
    // Twice on one day: both are kept.
    for _ in 0..2 {
        fs::write(&path, &bytes).unwrap();
        let opened = open(folder.path(), settings());
        assert!(opened.is_ok_and(|opened| opened.set_aside.is_some()));
    }
    let names = fs::read_dir(folder.path()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.contains("damaged")).count(), 2);
}

#[test]
fn a_folder_that_cannot_be_made_or_written_is_one_sentence() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let Err(Refusal::Unusable(sentence)) = open(&file.path().join("below"), settings()) else {
        panic!("it was opened");
    };
    assert!(sentence.starts_with("cannot create "), "{sentence}");
}

#[test]
fn torrents_that_strangers_choose_alike_still_spread_over_the_buckets() {
    let buckets = schema::Buckets::new(&SALT);
    let mut counts = HashMap::new();
    for number in 0..100_000 {
        *counts.entry(buckets.of(&info_hash(number))).or_insert(0) += 1;
    }
    let most = counts.values().max().copied().unwrap_or(0);
    assert!(counts.len() == 64 && most < 2000, "{} {most}", counts.len());
}
