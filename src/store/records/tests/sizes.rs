//! Many rows, long texts, and what is bounded.

use crate::clock::Stopwatch;

use super::*;

#[test]
fn a_million_info_hashes_are_added_in_one_call_and_paged_at_once() {
    const MILLION: u64 = 1_000_000;
    let folder = TempDir::new().unwrap();
    let records = opened(folder.path());
    let mut all = hashes(0..MILLION);
    let begun = Stopwatch::start();
    assert_eq!(
        records
            .add(List::Blocked, &all, &note(&"why ".repeat(250)))
            .unwrap(),
        1_000_000
    );
    println!(
        "added in {:?}, {} MiB",
        begun.elapsed(),
        records.file_len() >> 20
    );
    // One note for all of them: 1000 bytes each would be a gigabyte.
    assert!(records.file_len() < 100 << 20, "{}", records.file_len());
    all.sort_unstable();
    let mut worst = std::time::Duration::ZERO;
    for offset in [
        500_000, 499_900, 500_100, 0, 999_990, 750_000, 250_000, 749_000,
    ] {
        let begun = Stopwatch::start();
        let (total, page) = records.page(List::Blocked, offset, 100).unwrap();
        worst = worst.max(begun.elapsed());
        assert_eq!(total, MILLION);
        let wanted = all.iter().skip(offset as usize).take(100);
        assert!(page.iter().map(|(hash, _)| hash).eq(wanted), "{offset}");
    }
    println!("the slowest page took {worst:?}");
    let begun = Stopwatch::start();
    let mut offset = 0;
    loop {
        let (_, page) = records.page(List::Blocked, offset, 10_000).unwrap();
        if page.is_empty() {
            break;
        }
        offset += page.len() as u64;
    }
    println!("all pages took {:?}", begun.elapsed());
    assert_eq!(offset, MILLION);
    let begun = Stopwatch::start();
    assert_eq!(records.hashes(List::Blocked).unwrap(), all);
    println!("all at once took {:?}", begun.elapsed());
    drop(records);
    let begun = Stopwatch::start();
    let records = opened(folder.path());
    println!("opened in {:?}", begun.elapsed());
    assert_eq!(records.remove(List::Blocked, &all).unwrap(), 1_000_000);
    assert_eq!(records.page(List::Blocked, 0, 1).unwrap(), (0, vec![]));
}

#[test]
fn rows_that_change_every_time_leave_the_file_as_long_as_it_is() {
    let folder = TempDir::new().unwrap();
    let records = opened(folder.path());
    for number in 0..20 {
        assert!(records.add_key(&key(number), &ROW).unwrap());
    }
    let all = (0..20_000).map(|number| credit(key(number % 20), hash(number)));
    let all: Vec<_> = all.collect();
    let mut lens = Vec::new();
    for round in 1..=10 {
        records.credit(&all).unwrap();
        lens.push(records.file_len());
        let (next, transfers) = records.transfers(0, usize::MAX).unwrap();
        assert_eq!((next, transfers.len()), (round * 20_000, 20_000));
        assert!(
            transfers
                .iter()
                .all(|transfer| transfer.uploaded == 3 * round)
        );
    }
    println!("{lens:?}");
    assert!(lens[9] <= lens[2] + lens[2] / 10, "{lens:?}");
}

#[test]
fn a_key_goes_with_all_its_transfers_however_many_and_credits_of_nobody_are_dropped() {
    let folder = TempDir::new().unwrap();
    let records = opened(folder.path());
    assert!(records.add_key(&key(1), &ROW).unwrap());
    assert!(records.add_key(&key(2), &ROW).unwrap());
    let of = |number| (0..95).map(move |torrent| credit(key(number), hash(torrent)));
    let credits: Vec<_> = of(1).chain(of(2)).chain(of(3)).collect();
    records.credit(&credits).unwrap();
    let (next, transfers) = records.transfers(0, 1000).unwrap();
    assert_eq!((next, transfers.len()), (190, 190));
    assert!(records.remove_key(&key(2)).unwrap());
    let (next, transfers) = records.transfers(0, 1000).unwrap();
    assert_eq!((next, transfers.len()), (95, 95));
    assert!(transfers.iter().all(|transfer| transfer.key == key(1)));
    // Who has read up to the last number misses nothing of what comes after it.
    records
        .credit(&[credit(key(2), hash(1)), credit(key(1), hash(1))])
        .unwrap();
    let (next, transfers) = records.transfers(190, 1000).unwrap();
    assert_eq!((next, transfers.len()), (191, 1));
    assert_eq!(records.transfers(next, 1000).unwrap(), (next, vec![]));
}

#[test]
fn the_journal_forgets_its_oldest_entries_a_thousand_at_a_time() {
    let folder = TempDir::new().unwrap();
    let records = opened(folder.path());
    let entry = JournalEntry {
        at_unix_s: NOON,
        by: "me".to_owned(),
        action: Action::Block,
        subject: hash(1).to_string(),
        reason: String::new(),
    };
    let numbers = |records: &Records| {
        let entries = records.journal(None, usize::MAX, None).unwrap();
        (
            entries.last().map(|last| last.0),
            entries.first().map(|first| first.0),
        )
    };
    let many = vec![entry; 5000];
    assert_eq!(records.write_journal(&many).unwrap(), 5000);
    assert_eq!(numbers(&records), (Some(1), Some(5000)));
    assert_eq!(records.write_journal(&many[..1]).unwrap(), 5001);
    assert_eq!(numbers(&records), (Some(1001), Some(5001)));
    assert_eq!(records.write_journal(&many).unwrap(), 10_001);
    assert_eq!(numbers(&records), (Some(6001), Some(10_001)));
    assert_eq!(records.write_journal(&[]).unwrap(), 10_001);
}

#[test]
fn texts_are_cut_at_whole_characters() {
    let folder = TempDir::new().unwrap();
    let records = opened(folder.path());
    // Three bytes each.
    let long = "\u{20ac}".repeat(30_000);
    let long_note = Note {
        at_unix_s: NOON,
        by: long.clone(),
        reason: long.clone(),
    };
    records.add(List::Allowed, &[hash(1)], &long_note).unwrap();
    let kept = records.note(List::Allowed, &hash(1)).unwrap().unwrap();
    assert_eq!((kept.by.len(), kept.reason.len()), (63, 999));
    let metadata = Metadata {
        name: long.clone(),
        comment: long.clone(),
        created_by: long.clone(),
        ..Metadata::default()
    };
    records.put_metadata(&hash(1), &metadata).unwrap();
    let kept = records.metadata(&hash(1)).unwrap().unwrap();
    let lens = [kept.name, kept.comment, kept.created_by].map(|text| text.len());
    assert_eq!(lens, [1023, 4095, 255]);
}

#[test]
fn bits_beyond_the_prefix_of_a_network_do_not_count() {
    let folder = TempDir::new().unwrap();
    let records = opened(folder.path());
    let networks = [
        "192.0.2.77/24",
        "192.0.2.0/24",
        "2001:db8::1/32",
        "0.0.0.0/0",
    ];
    let networks = networks.map(|text| text.parse().unwrap());
    assert_eq!(records.add_networks(&networks, &note("flood")).unwrap(), 3);
    let kept = records.networks().unwrap();
    let kept: Vec<_> = kept
        .iter()
        .map(|(network, _)| network.to_string())
        .collect();
    assert_eq!(kept, ["0.0.0.0/0", "192.0.2.0/24", "2001:db8::/32"]);
    assert_eq!(records.remove_networks(&networks).unwrap(), 3);
}

#[test]
fn every_action_has_a_number_and_a_name_of_its_own() {
    for (number, action) in (0..).zip(Action::ALL) {
        assert_eq!(
            (action.number(), Action::of_number(number)),
            (number, Some(action))
        );
        let json = serde_json::to_string(&action).unwrap();
        assert_eq!(json, format!("\"{}\"", action.name()));
    }
    assert_eq!(Action::of_number(Action::ALL.len() as u8), None);
}
