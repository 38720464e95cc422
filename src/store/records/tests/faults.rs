//! A file that is damaged, newer, open elsewhere or cut short by a kill, and a disk that is full.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::model::Model;
use super::schema::{KEY_NUMBER, number_key, write_note};
use super::*;

const FILE: &str = "records.mdb";

/// A file in which every database has rows, and with free pages.
fn some_file(folder: &Path) -> Vec<u8> {
    let mut rng = Rng::with_seed(5);
    let mut model = Model::default();
    let records = opened(folder);
    for _ in 0..200 {
        model.step(&records, &mut rng);
    }
    records
        .add(List::Allowed, &hashes(1000..3000), &note("many"))
        .unwrap();
    drop(records);
    fs::read(folder.join(FILE)).unwrap()
}

#[test]
fn what_only_its_owner_may_read_is_open_to_nobody_else() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store");
    let _records = opened(&path);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join(FILE))), (0o700, 0o600));
}

#[test]
fn the_folder_stays_claimed_as_long_as_the_records_live() {
    let folder = TempDir::new().unwrap();
    let records = opened(folder.path());
    let refused = open(folder.path(), OnDamage::SetAside).map(|_| ());
    assert!(matches!(refused, Err(Refusal::Busy(_))), "{refused:?}");
    drop(records);
    opened(folder.path());
}

#[test]
fn a_newer_version_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let mut bytes = some_file(folder.path());
    let old = [&b"version"[..], &1_u32.to_le_bytes()].concat();
    let new = [&b"version"[..], &9_u32.to_le_bytes()].concat();
    while let Some(at) = bytes.windows(old.len()).position(|window| window == old) {
        bytes[at..at + new.len()].copy_from_slice(&new);
    }
    fs::write(folder.path().join(FILE), &bytes).unwrap();
    let Err(Refusal::Newer(sentence)) = open(folder.path(), OnDamage::SetAside) else {
        panic!("it was not refused");
    };
    assert!(sentence.contains("records.mdb has version 9"), "{sentence}");
    assert_eq!(fs::read(folder.path().join(FILE)).unwrap(), bytes);
}

#[test]
fn a_kill_before_the_first_transaction_is_no_damage() {
    let folder = TempDir::new().unwrap();
    drop(opened(folder.path()));
    let path = folder.path().join(FILE);
    let mut bytes = fs::read(&path).unwrap();
    // The two first pages as LMDB makes them, before anything was committed.
    bytes.truncate(2 * 4096);
    let (first, second) = bytes.split_at_mut(4096);
    let (empty, used) = if first[16 + 128] == 0 {
        (first, second)
    } else {
        (second, first)
    };
    let number = used[0];
    used.copy_from_slice(empty);
    used[0] = number;
    fs::write(&path, &bytes).unwrap();
    let records = opened(folder.path());
    assert_eq!(
        records
            .add(List::Allowed, &hashes(0..9), &note(""))
            .unwrap(),
        9
    );
}

#[test]
fn a_damaged_file_goes_aside_alone() {
    let junk = vec![0x55; 20_000];
    for (damaged, other) in [(FILE, "data.mdb"), ("data.mdb", FILE)] {
        let folder = TempDir::new().unwrap();
        let open_both = || {
            let claim = Arc::new(Claim::stake(folder.path()).unwrap());
            let settings = crate::store::Settings {
                snapshot_interval_s: 0,
                keep_peers: true,
                on_damage: OnDamage::SetAside,
                peer_timeout_s: 3600,
            };
            let refused = |refusal: Refusal| panic!("{}", refusal.sentence());
            let store = crate::store::Store::open(&claim, settings, [1; 16], NOON);
            let records = Records::open(&claim, OnDamage::SetAside, NOON);
            let store = store.unwrap_or_else(refused);
            let records = records.unwrap_or_else(|refusal| panic!("{}", refusal.sentence()));
            (
                store.set_aside.is_some(),
                records.set_aside.is_some(),
                records.store,
            )
        };
        let (_, _, records) = open_both();
        records
            .add(List::Allowed, &hashes(0..9), &note(""))
            .unwrap();
        drop(records);
        let good = fs::read(folder.path().join(other)).unwrap();
        fs::write(folder.path().join(damaged), &junk).unwrap();
        let (store_aside, records_aside, records) = open_both();
        assert_eq!(
            (store_aside, records_aside),
            (damaged == "data.mdb", damaged == FILE)
        );
        let kept = records.hashes(List::Allowed).unwrap().len();
        assert_eq!(kept, if damaged == FILE { 0 } else { 9 });
        assert_eq!(fs::read(folder.path().join(other)).unwrap(), good);
        let aside = folder
            .path()
            .join(format!("{damaged}.damaged-2027-01-15T080000Z"));
        assert_eq!(fs::read(aside).unwrap(), junk);
    }
}

#[test]
fn damage_is_refused_where_that_is_asked_for() {
    let folder = TempDir::new().unwrap();
    let junk = vec![0x55; 20_000];
    fs::write(folder.path().join(FILE), &junk).unwrap();
    let Err(Refusal::Damaged(sentence)) = open(folder.path(), OnDamage::Refuse) else {
        panic!("it was not refused");
    };
    assert!(
        sentence.contains(FILE) && sentence.contains("set_aside"),
        "{sentence}"
    );
    assert_eq!(fs::read(folder.path().join(FILE)).unwrap(), junk);
}

/// Opens, reads and writes, as a tracker would; true if nothing seemed wrong.
fn use_it(folder: &Path, mangled: &[u8], rng: &mut Rng) -> bool {
    fs::write(folder.join(FILE), mangled).unwrap();
    let opened = match open(folder, OnDamage::SetAside) {
        Ok(opened) => opened,
        // The number of the version is a number like any other.
        Err(Refusal::Newer(_)) => return false,
        Err(refusal) => panic!("{}", refusal.sentence()),
    };
    if let Some((sentence, aside)) = &opened.set_aside {
        assert!(sentence.contains("is damaged: "), "{sentence}");
        assert_eq!(fs::read(aside).unwrap(), mangled);
        fs::remove_file(aside).unwrap();
    }
    let records = opened.store;
    // What was taken for good can be read to its end.
    for list in LISTS {
        records.hashes(list).unwrap();
        records.page(list, rng.u64(..3000), 4000).unwrap();
    }
    records.networks().unwrap();
    records.keys().unwrap();
    records.metadata_page(0, 100).unwrap();
    records.journal(None, 6000, None).unwrap();
    records.transfers(0, 6000).unwrap();
    records.statistics(Span::Hour, 0, u64::MAX).unwrap();
    // An error is as good as success here; the end of the process would not be.
    for _ in 0..3 {
        let from = rng.u64(..3000);
        let _ = records.add(List::Allowed, &hashes(from..from + 50), &note("again"));
        let _ = records.remove(List::Allowed, &hashes(from + 20..from + 90));
        let _ = records.credit(&[credit(key(rng.u64(..20)), hash(from))]);
        let _ = records.remove_key(&key(rng.u64(..20)));
        let _ = records.remove_metadata(&hash(rng.u64(..40)));
        let _ = records.forget_statistics(Span::Hour, 7200);
    }
    opened.set_aside.is_none()
}

#[test]
fn whatever_a_file_has_become_it_is_used_or_set_aside_and_nothing_crashes() {
    let mut rng = rng();
    let folder = quick_folder();
    let bytes = some_file(folder.path());
    let pages = bytes.len() / 4096;
    assert!(pages > 50, "{pages}");
    assert!(use_it(folder.path(), &bytes, &mut rng));
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
        use_it(folder.path(), &bytes[..len], &mut rng);
    }
    let rounds = 300;
    let mut used = 0;
    for round in 0..rounds {
        let mut mangled = bytes.clone();
        match round % 4 {
            // A few bytes anywhere.
            0 => (0..rng.usize(1..5)).for_each(|_| {
                let at = rng.usize(..mangled.len());
                mangled[at] = rng.u8(..);
            }),
            // A few bytes at the beginning of pages, where all that matters is.
            1 => (0..rng.usize(1..4)).for_each(|_| {
                let page = rng.usize(..pages);
                mangled[page * 4096 + rng.usize(..80)] = rng.u8(..);
            }),
            // A piece of something else, or of nothing.
            2 => {
                let from = rng.usize(..mangled.len());
                let end = mangled.len().min(from + rng.usize(1..2000));
                let zeros = rng.bool();
                mangled[from..end].fill_with(|| if zeros { 0 } else { rng.u8(..) });
            }
            // A page in the place of another.
            _ => {
                let (from, to) = (rng.usize(..pages), rng.usize(..pages));
                mangled[to * 4096..][..4096].copy_from_slice(&bytes[from * 4096..][..4096]);
            }
        }
        used += u32::from(use_it(folder.path(), &mangled, &mut rng));
    }
    println!("{used} of {rounds} were used");
    assert!(use_it(folder.path(), &bytes, &mut rng));
}

/// Where the newest list of free pages says which transaction freed them.
fn freed_by(bytes: &[u8]) -> usize {
    let number = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().unwrap());
    let metas = [16, 4096 + 16];
    let newest = metas.into_iter().max_by_key(|meta| number(meta + 128));
    let leaf = number(newest.unwrap() + 24 + 40) as usize * 4096;
    let node = u16::from_le_bytes(*bytes[leaf + 16..].first_chunk().unwrap());
    leaf + usize::from(node) + 8
}

#[test]
fn a_file_with_free_pages_of_no_transaction_is_set_aside_and_ends_nobody() {
    let folder = TempDir::new().unwrap();
    let mut bytes = some_file(folder.path());
    let place = freed_by(&bytes);
    assert_ne!(bytes[place..place + 8], [0; 8]);
    bytes[place..place + 8].fill(0);
    assert!(!use_it(folder.path(), &bytes, &mut rng()));
}

#[test]
fn many_threads_at_once_lose_nothing() {
    let folder = quick_folder();
    let records = opened(folder.path());
    let begin = Barrier::new(4);
    thread::scope(|scope| {
        for thread in 0..4 {
            let (records, begin) = (&records, &begin);
            scope.spawn(move || {
                begin.wait();
                for number in 0..25 {
                    let own = thread * 100 + number;
                    let added = records.add(LISTS[own as usize % 2], &[hash(own)], &note("x"));
                    assert_eq!(added.unwrap(), 1);
                    records.page(List::Allowed, 0, 10).unwrap();
                    assert!(records.add_key(&key(own), &ROW).unwrap());
                }
            });
        }
    });
    let lens = LISTS.map(|list| records.page(list, 0, 0).unwrap().0);
    assert_eq!(
        (lens[0] + lens[1], records.keys().unwrap().len()),
        (100, 100)
    );
}

/// Runs `test` with a folder on a disk of 1 MiB, which nobody else sees and which goes with the thread.
fn on_a_small_disk(test: impl FnOnce(&Path) + Send + 'static) {
    let run = move || {
        let folder = TempDir::new().unwrap();
        let none: Option<&str> = None;
        let alone = unshare(CloneFlags::CLONE_NEWNS)
            .and_then(|()| mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none));
        let tmpfs = alone.and_then(|()| {
            let size = Some("size=1m");
            mount(
                Some("none"),
                folder.path(),
                Some("tmpfs"),
                MsFlags::empty(),
                size,
            )
        });
        match tmpfs {
            Ok(()) => {
                test(folder.path());
                nix::mount::umount2(folder.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
            }
            Err(error) => println!("skipped: mounting a small disk takes root ({error})"),
        }
    };
    thread::spawn(run).join().unwrap();
}

/// Fills the disk but for some bytes.
fn fill(folder: &Path, but_bytes: usize) {
    let mut file = File::create(folder.join("filler")).unwrap();
    while file.write(&[1; 4096]).is_ok_and(|written| written > 0) {}
    let len = file.metadata().unwrap().len();
    file.set_len(len.saturating_sub(but_bytes as u64)).unwrap();
}

#[test]
fn on_a_full_disk_a_call_does_all_or_nothing_and_the_next_works_once_there_is_room() {
    on_a_small_disk(|folder| {
        let mut rng = rng();
        let records = opened(folder);
        let mut kept = std::collections::BTreeSet::new();
        let mut failed = 0;
        for round in 0..40 {
            fill(folder, rng.usize(..20) * 4096);
            for _ in 0..5 {
                let from = rng.u64(..5000);
                let some = hashes(from..from + rng.u64(1..400));
                match records.add(List::Allowed, &some, &note("full")) {
                    Ok(added) => {
                        let new = some.iter().filter(|hash| kept.insert(**hash)).count();
                        assert_eq!(added, new);
                    }
                    Err(error) => {
                        failed += 1;
                        assert!(error.is_full_disk(), "{error}");
                        let said = error.to_string();
                        assert!(said.starts_with("the disk is full"), "{said}");
                        assert!(said.contains(FILE), "{said}");
                    }
                }
                assert!(records.hashes(List::Allowed).unwrap().iter().eq(&kept));
            }
            fs::remove_file(folder.join("filler")).unwrap();
            assert!(records.add_key(&key(round), &ROW).unwrap());
            if round % 10 == 9 {
                let all: Vec<_> = kept.iter().copied().collect();
                assert_eq!(records.remove(List::Allowed, &all).unwrap(), all.len());
                kept.clear();
            }
        }
        println!("{failed} calls found no room");
        assert!(failed > 10, "{failed}");
        drop(records);
        let records = opened(folder);
        assert!(records.hashes(List::Allowed).unwrap().iter().eq(&kept));
        assert_eq!(records.keys().unwrap().len(), 40);
    });
}

#[test]
fn without_room_for_a_file_nothing_is_in_it_until_there_is() {
    on_a_small_disk(|folder| {
        fill(folder, 4096);
        let opened = open(folder, OnDamage::SetAside);
        let opened = opened.unwrap_or_else(|refusal| panic!("{}", refusal.sentence()));
        let unmade = opened.unmade.unwrap();
        assert!(unmade.contains("cannot make the store"), "{unmade}");
        let records = opened.store;
        assert_eq!(records.hashes(List::Blocked).unwrap(), []);
        assert_eq!(records.transfers(7, 10).unwrap(), (7, vec![]));
        let error = records
            .add(List::Blocked, &hashes(0..2), &note(""))
            .unwrap_err();
        assert!(error.is_full_disk(), "{error}");
        fs::remove_file(folder.join("filler")).unwrap();
        assert_eq!(
            records
                .add(List::Blocked, &hashes(0..2), &note(""))
                .unwrap(),
            2
        );
        assert_eq!(records.hashes(List::Blocked).unwrap().len(), 2);
    });
}

/// A number behind which there is none, as only damage leaves it.
#[test]
fn a_file_whose_numbers_are_used_up_is_an_error_and_no_panic() {
    let folder = quick_folder();
    let records = opened(folder.path());
    records.add_key(&key(1), &ROW).unwrap();
    let last = number_key(u64::MAX);
    records
        .write(None, |tables, txn| {
            let number = u64::MAX.to_le_bytes();
            tables.meta.put(txn, KEY_NUMBER, &number)?;
            tables.notes.put(txn, &last, &write_note(1, &note("")))?;
            tables.journal.put(txn, &last, b"")
        })
        .unwrap();
    let entry = JournalEntry {
        at_unix_s: NOON,
        by: String::new(),
        action: Action::Block,
        subject: String::new(),
        reason: String::new(),
    };
    let credited = records.credit(&[credit(key(1), hash(1))]);
    let listed = records.add(List::Blocked, &[hash(1)], &note(""));
    let written = records.write_journal(&[entry]);
    for failed in [credited.err(), listed.err(), written.err()] {
        let sentence = failed.expect("an error").to_string();
        assert!(sentence.contains("is damaged"), "{sentence}");
    }
}
