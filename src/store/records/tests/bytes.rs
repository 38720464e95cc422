//! Rows have the bytes that the picture in `schema.rs` shows, and other bytes are no reason to panic.

use super::schema::*;
use super::*;

const KEY: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";

fn le(numbers: &[u64]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn rows_have_the_bytes_that_the_picture_shows() {
    let note = Note {
        at_unix_s: 2,
        by: "me".to_owned(),
        reason: "why".to_owned(),
    };
    assert_eq!(
        write_note(1, &note),
        joined(&[&le(&[1, 2]), b"\x02\0me\x03\0why"])
    );
    assert_eq!(read_note(&write_note(1, &note)), Some((1, note)));

    let network = "192.0.2.0/24".parse().unwrap();
    assert_eq!(network_key(&network), [4, 192, 0, 2, 0, 24]);
    assert_eq!(read_network_key(&network_key(&network)), Some(network));
    let network = "2001:db8::/32".parse().unwrap();
    assert_eq!(network_key(&network)[..5], [6, 0x20, 0x01, 0x0d, 0xb8]);
    assert_eq!(network_key(&network)[17..], [32]);

    let key = AnnounceKey::try_from(&KEY[..]).unwrap();
    for expires_unix_s in [None, Some(3)] {
        let row = KeyRow {
            id: 1,
            expires_unix_s,
            created_unix_s: 2,
        };
        let mut bytes = joined(&[&[1, 0, 0, 0], &le(&[2])]);
        bytes.extend(expires_unix_s.map(u64::to_le_bytes).into_iter().flatten());
        assert_eq!(write_key_row(&row), bytes);
        assert_eq!(read_key_row(KEY, &bytes), Some((key, row)));
    }

    let metadata = Metadata {
        name: "n".to_owned(),
        size: 2,
        piece_length: 3,
        comment: "c".to_owned(),
        created_by: "b".to_owned(),
        creation_date: Some(4),
        at_unix_s: 1,
    };
    let bytes = joined(&[&le(&[1, 2, 3]), &[1], &le(&[4]), b"\x01\0n\x01\0c\x01\0b"]);
    assert_eq!(write_metadata(&metadata), bytes);
    // What a later version might add is passed over.
    assert_eq!(read_metadata(&joined(&[&bytes, b"more"])), Some(metadata));

    let entry = JournalEntry {
        at_unix_s: 1,
        by: "me".to_owned(),
        action: Action::Block,
        subject: "it".to_owned(),
        reason: "why".to_owned(),
    };
    let bytes = joined(&[&le(&[1]), &[2], b"\x02\0me\x02\0it\x03\0why"]);
    assert_eq!(write_journal_entry(&entry), bytes);
    assert_eq!(read_journal_action(&bytes), Some(Action::Block));
    assert_eq!(read_journal_entry(&bytes), Some(entry));

    let transfer = Transfer {
        key,
        info_hash: InfoHash([9; 20]),
        uploaded: 2,
        downloaded: 3,
        left: 4,
        seed_s: 5,
        at_unix_s: 6,
        number: 1,
    };
    let row_key = joined(&[KEY, &[9; 20]]);
    assert_eq!(transfer_key(&key, &transfer.info_hash)[..], row_key);
    assert_eq!(write_transfer(&transfer)[..], le(&[1, 2, 3, 4, 5, 6]));
    assert_eq!(
        read_transfer(&row_key, &write_transfer(&transfer)),
        Some(transfer)
    );

    assert_eq!(number_key(0x0102), [0, 0, 0, 0, 0, 0, 1, 2]);
    assert_eq!(
        statistics_key(Span::Hour, 0x0102),
        [0, 0, 0, 0, 0, 0, 0, 1, 2]
    );
    assert_eq!(statistics_key(Span::Day, 1)[0], 1);
    assert_eq!(read_statistics_key(&statistics_key(Span::Day, 7)), Some(7));
    assert_eq!(write_statistics(&[1, 2]), le(&[1, 2]));
    assert_eq!(read_statistics(&le(&[1, 2])), [1, 2]);
}

#[test]
fn whatever_the_bytes_are_they_are_a_row_or_none() {
    let mut rng = rng();
    for _ in 0..50_000 {
        let mut bytes: Vec<u8> = (0..rng.usize(..80)).map(|_| rng.u8(..4)).collect();
        if let Some(at) = bytes.len().checked_sub(1) {
            bytes[rng.usize(..=at)] = rng.u8(..);
        }
        read_note(&bytes);
        read_number_key(&bytes);
        read_number(&bytes);
        read_info_hash(&bytes);
        read_network_key(&bytes);
        read_key_row(KEY, &bytes);
        read_key_row(&bytes, &bytes);
        read_metadata(&bytes);
        read_journal_entry(&bytes);
        read_journal_action(&bytes);
        read_transfer(&bytes, &bytes);
        read_statistics_key(&bytes);
        read_statistics(&bytes);
    }
}
