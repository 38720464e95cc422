//! What lies in the file of the records, byte by byte. Numbers are little-endian, but in keys big-endian,
//! so that LMDB sorts them.
//!
//! ```text
//! records.mdb             LMDB, with the databases below
//!
//! meta        "version"   u32     version of this page, VERSION
//!             "number"    u64     the last number that was given to a transfer
//!
//! notes       number u64  ->  a note
//!               rows      u64     how many rows of allowed, blocked and networks name it
//!               at        u64     Unix seconds
//!               by        text
//!               reason    text
//!
//! allowed     info-hash   ->  u64 number of a note
//! blocked     info-hash   ->  u64 number of a note
//! networks    a network   ->  u64 number of a note
//!               family    u8      4 or 6
//!               address   4 or 16, nothing set beyond the prefix
//!               prefix    u8      bits
//!
//! keys        key 32      ->  a row
//!               id        u32
//!               created   u64     Unix seconds
//!               expires   u64     Unix seconds; missing for a key without end
//!
//! metadata    info-hash   ->  what is known of a torrent
//!               at        u64     Unix seconds
//!               size      u64     bytes
//!               piece     u64     bytes of a piece
//!               dated     u8      1 when it has a creation date, else 0
//!               date      u64     the creation date, or 0
//!               name, comment, created by     text each
//!
//! journal     number u64  ->  an entry
//!               at        u64     Unix seconds
//!               action    u8      as `Action` numbers them
//!               by, subject, reason           text each
//!
//! transfers   key 32, info-hash 20  ->  the totals
//!               number    u64     of the last change
//!               uploaded, downloaded, left    u64 each, bytes
//!               seeding   u64     seconds
//!               at        u64     Unix seconds
//!
//! changes     number u64  ->  key 32, info-hash 20: which row of transfers has this number
//!
//! statistics  span u8 (0 hour, 1 day), start u64 in Unix seconds  ->  u64 each
//!
//!   text      length u16, UTF-8
//! ```
//!
//! What stands behind the last field of a value is passed over. One call that lists a million info-hashes
//! gives them one note together; a note that no row names is deleted. All databases are made with the
//! file; a change of what stands above needs a new version.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{Action, JournalEntry, Metadata, Note, Span, Transfer};
use crate::gate::keys::{AnnounceKey, KeyRow};
use crate::store::disk::{Bytewise, Databases, Layout};
use crate::wire::InfoHash;

/// The version of the schema that this program reads and writes.
const VERSION: u32 = 1;

/// Databases beside `meta`.
pub(super) const DATABASES: usize = 10;

/// The file of the records.
pub(in crate::store) const RECORDS: Layout<DATABASES> = Layout {
    file: "records.mdb",
    version: VERSION,
    databases: [
        "notes",
        "allowed",
        "blocked",
        "networks",
        "keys",
        "metadata",
        "journal",
        "transfers",
        "changes",
        "statistics",
    ],
    mark: None,
};

pub(super) const KEY_NUMBER: &[u8] = b"number";

/// The databases by name.
pub(super) struct Tables<'e> {
    pub(super) meta: Bytewise<'e>,
    pub(super) notes: Bytewise<'e>,
    pub(super) allowed: Bytewise<'e>,
    pub(super) blocked: Bytewise<'e>,
    pub(super) networks: Bytewise<'e>,
    pub(super) keys: Bytewise<'e>,
    pub(super) metadata: Bytewise<'e>,
    pub(super) journal: Bytewise<'e>,
    pub(super) transfers: Bytewise<'e>,
    pub(super) changes: Bytewise<'e>,
    pub(super) statistics: Bytewise<'e>,
}

impl<'e> Tables<'e> {
    pub(super) fn new(databases: &Databases<'e, DATABASES>) -> Self {
        let [
            notes,
            allowed,
            blocked,
            networks,
            keys,
            metadata,
            journal,
            transfers,
            changes,
            statistics,
        ] = databases.others;
        Self {
            meta: databases.meta,
            notes,
            allowed,
            blocked,
            networks,
            keys,
            metadata,
            journal,
            transfers,
            changes,
            statistics,
        }
    }
}

/// The bytes are not what they should be.
pub(super) fn malformed(what: &str) -> heed::Error {
    heed::Error::Decoding(format!("a row of {what} is malformed").into())
}

/// A value, to read from its beginning.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let len = u16::from_le_bytes(self.array()?);
        let (text, rest) = self.0.split_at_checked(usize::from(len))?;
        self.0 = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

fn write_text(out: &mut Vec<u8>, text: &str, len_max: u16) {
    let text = cut(text, len_max);
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// The beginning of a text, of so many bytes at most and whole characters.
fn cut(text: &str, len_max: u16) -> &str {
    let mut len = text.len().min(len_max.into());
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    &text[..len]
}

/// A number as a key.
pub(super) fn number_key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// The number that a key is.
pub(super) fn read_number_key(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

/// The number behind one of `what`. That there is none, as only damage would have it, is an error.
pub(super) fn next_number(last: u64, what: &str) -> heed::Result<u64> {
    last.checked_add(1).ok_or_else(|| malformed(what))
}

/// The number that a value is.
pub(super) fn read_number(value: &[u8]) -> Option<u64> {
    Reader(value).u64()
}

/// The info-hash that a key is.
pub(super) fn read_info_hash(key: &[u8]) -> Option<InfoHash> {
    key.try_into().ok().map(InfoHash)
}

pub(super) fn write_note(rows: u64, note: &Note) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&rows.to_le_bytes());
    out.extend_from_slice(&note.at_unix_s.to_le_bytes());
    write_text(&mut out, &note.by, Note::BY_LEN_MAX);
    write_text(&mut out, &note.reason, Note::REASON_LEN_MAX);
    out
}

/// A note, and how many rows name it.
pub(super) fn read_note(value: &[u8]) -> Option<(u64, Note)> {
    let mut from = Reader(value);
    let rows = from.u64()?;
    let note = Note {
        at_unix_s: from.u64()?,
        by: from.text()?,
        reason: from.text()?,
    };
    Some((rows, note))
}

pub(super) fn network_key(network: &IpNet) -> Vec<u8> {
    let mut key = Vec::with_capacity(18);
    match network.network() {
        IpAddr::V4(address) => {
            key.push(4);
            key.extend_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            key.push(6);
            key.extend_from_slice(&address.octets());
        }
    }
    key.push(network.prefix_len());
    key
}

pub(super) fn read_network_key(key: &[u8]) -> Option<IpNet> {
    let (&prefix, rest) = key.split_last()?;
    let (&family, address) = rest.split_first()?;
    let address = match family {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?)),
        6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?)),
        _ => return None,
    };
    IpNet::new(address, prefix).ok()
}

pub(super) fn write_key_row(row: &KeyRow) -> Vec<u8> {
    let mut out = Vec::with_capacity(20);
    out.extend_from_slice(&row.id.to_le_bytes());
    out.extend_from_slice(&row.created_unix_s.to_le_bytes());
    if let Some(expires) = row.expires_unix_s {
        out.extend_from_slice(&expires.to_le_bytes());
    }
    out
}

pub(super) fn read_key_row(key: &[u8], value: &[u8]) -> Option<(AnnounceKey, KeyRow)> {
    let mut from = Reader(value);
    let row = KeyRow {
        id: u32::from_le_bytes(from.array()?),
        created_unix_s: from.u64()?,
        expires_unix_s: if from.0.is_empty() {
            None
        } else {
            Some(from.u64()?)
        },
    };
    Some((AnnounceKey::try_from(key).ok()?, row))
}

pub(super) fn write_metadata(metadata: &Metadata) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&metadata.at_unix_s.to_le_bytes());
    out.extend_from_slice(&metadata.size.to_le_bytes());
    out.extend_from_slice(&metadata.piece_length.to_le_bytes());
    out.push(metadata.creation_date.is_some().into());
    out.extend_from_slice(&metadata.creation_date.unwrap_or(0).to_le_bytes());
    write_text(&mut out, &metadata.name, Metadata::NAME_LEN_MAX);
    write_text(&mut out, &metadata.comment, Metadata::COMMENT_LEN_MAX);
    write_text(&mut out, &metadata.created_by, Metadata::CREATED_BY_LEN_MAX);
    out
}

pub(super) fn read_metadata(value: &[u8]) -> Option<Metadata> {
    let mut from = Reader(value);
    let at_unix_s = from.u64()?;
    let size = from.u64()?;
    let piece_length = from.u64()?;
    let dated = from.u8()? != 0;
    let date = from.u64()?;
    Some(Metadata {
        name: from.text()?,
        comment: from.text()?,
        created_by: from.text()?,
        size,
        piece_length,
        creation_date: dated.then_some(date),
        at_unix_s,
    })
}

pub(super) fn write_journal_entry(entry: &JournalEntry) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&entry.at_unix_s.to_le_bytes());
    out.push(entry.action.number());
    write_text(&mut out, &entry.by, Note::BY_LEN_MAX);
    write_text(&mut out, &entry.subject, JournalEntry::SUBJECT_LEN_MAX);
    write_text(&mut out, &entry.reason, Note::REASON_LEN_MAX);
    out
}

pub(super) fn read_journal_entry(value: &[u8]) -> Option<JournalEntry> {
    let mut from = Reader(value);
    Some(JournalEntry {
        at_unix_s: from.u64()?,
        action: Action::of_number(from.u8()?)?,
        by: from.text()?,
        subject: from.text()?,
        reason: from.text()?,
    })
}

/// What an entry tells of, without the rest of it.
pub(super) fn read_journal_action(value: &[u8]) -> Option<Action> {
    Action::of_number(*value.get(8)?)
}

pub(super) fn transfer_key(key: &AnnounceKey, info_hash: &InfoHash) -> [u8; 52] {
    let mut bytes = [0; 52];
    bytes[..32].copy_from_slice(key.as_bytes());
    bytes[32..].copy_from_slice(&info_hash.0);
    bytes
}

pub(super) fn write_transfer(transfer: &Transfer) -> [u8; 48] {
    let numbers = [
        transfer.number,
        transfer.uploaded,
        transfer.downloaded,
        transfer.left,
        transfer.seed_s,
        transfer.at_unix_s,
    ];
    let mut bytes = [0; 48];
    for (place, number) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
        *place = number.to_le_bytes();
    }
    bytes
}

pub(super) fn read_transfer(key: &[u8], value: &[u8]) -> Option<Transfer> {
    let (key, info_hash) = key.split_at_checked(AnnounceKey::LEN)?;
    let mut from = Reader(value);
    Some(Transfer {
        key: AnnounceKey::try_from(key).ok()?,
        info_hash: read_info_hash(info_hash)?,
        number: from.u64()?,
        uploaded: from.u64()?,
        downloaded: from.u64()?,
        left: from.u64()?,
        seed_s: from.u64()?,
        at_unix_s: from.u64()?,
    })
}

pub(super) fn statistics_key(span: Span, start_unix_s: u64) -> [u8; 9] {
    let mut key = [span.number(); 9];
    key[1..].copy_from_slice(&start_unix_s.to_be_bytes());
    key
}

/// The start of a span.
pub(super) fn read_statistics_key(key: &[u8]) -> Option<u64> {
    read_number_key(key.get(1..)?)
}

pub(super) fn write_statistics(values: &[u64]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

pub(super) fn read_statistics(value: &[u8]) -> Vec<u64> {
    let (values, _) = value.as_chunks();
    values.iter().copied().map(u64::from_le_bytes).collect()
}
