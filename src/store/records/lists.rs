//! Info-hashes and networks that an operator has listed, with who did it, when and why.

use std::collections::HashMap;

use heed::{RoTxn, RwTxn};
use ipnet::IpNet;

use super::pages::Paged;
use super::schema::{
    self, Tables, malformed, network_key, next_number, number_key, read_info_hash,
    read_network_key, read_note, read_number, read_number_key,
};
use super::{Records, Result};
use crate::store::disk::Bytewise;
use crate::wire::InfoHash;

/// A list of info-hashes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum List {
    /// The torrents that may be served in the modes `listed` and `private_listed`.
    Allowed,
    /// The torrents that are not served in any mode.
    Blocked,
}

impl List {
    fn paged(self) -> Paged {
        match self {
            Self::Allowed => Paged::Allowed,
            Self::Blocked => Paged::Blocked,
        }
    }
}

/// Who listed something, when and why.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Note {
    /// When, in Unix seconds.
    pub at_unix_s: u64,
    /// Who: the label of a token. The first 64 bytes are kept.
    pub by: String,
    /// Why. The first 1000 bytes are kept.
    pub reason: String,
}

impl Note {
    /// Bytes that are kept of who did something.
    pub const BY_LEN_MAX: u16 = 64;
    /// Bytes that are kept of a reason.
    pub const REASON_LEN_MAX: u16 = 1000;
}

impl Records {
    /// Puts info-hashes on a list, all or none, and returns how many are new. Those that are there get
    /// the new note.
    pub fn add(&self, list: List, hashes: &[InfoHash], note: &Note) -> Result<usize> {
        let paged = list.paged();
        let keys = sorted(hashes.iter().map(|hash| hash.0));
        self.write(Some(paged), |tables, txn| {
            add(tables, paged.of(tables), txn, &keys, note)
        })
    }

    /// Takes info-hashes off a list, all or none, and returns how many were there.
    pub fn remove(&self, list: List, hashes: &[InfoHash]) -> Result<usize> {
        let paged = list.paged();
        let keys = sorted(hashes.iter().map(|hash| hash.0));
        self.write(Some(paged), |tables, txn| {
            remove(tables, paged.of(tables), txn, &keys)
        })
    }

    /// All info-hashes of a list, in ascending order.
    pub fn hashes(&self, list: List) -> Result<Vec<InfoHash>> {
        self.read(|tables, txn, _| {
            let rows = list.paged().of(tables).iter(txn)?;
            let read = |key| read_info_hash(key).ok_or_else(|| malformed("a list"));
            rows.map(|row| row.and_then(|(key, _)| read(key))).collect()
        })
    }

    /// How many info-hashes a list has, and those from `offset` on, `limit` at most, in ascending order.
    pub fn page(
        &self,
        list: List,
        offset: u64,
        limit: usize,
    ) -> Result<(u64, Vec<(InfoHash, Note)>)> {
        let mut notes = Notes::default();
        self.rows(list.paged(), offset, limit, |tables, txn, key, value| {
            let hash = read_info_hash(key).ok_or_else(|| malformed("a list"))?;
            Ok(Some((hash, notes.of(tables, txn, value)?)))
        })
    }

    /// The note of an info-hash that is on a list.
    pub fn note(&self, list: List, hash: &InfoHash) -> Result<Option<Note>> {
        self.read(|tables, txn, _| {
            let value = list.paged().of(tables).get(txn, &hash.0)?;
            value
                .map(|value| Notes::default().of(tables, txn, value))
                .transpose()
        })
    }

    /// Blocks networks, all or none, and returns how many are new. Those that are blocked get the new
    /// note. Bits beyond the prefix do not count.
    pub fn add_networks(&self, networks: &[IpNet], note: &Note) -> Result<usize> {
        let keys = sorted(networks.iter().map(network_key));
        self.write(None, |tables, txn| {
            add(tables, tables.networks, txn, &keys, note)
        })
    }

    /// Unblocks networks, all or none, and returns how many were blocked.
    pub fn remove_networks(&self, networks: &[IpNet]) -> Result<usize> {
        let keys = sorted(networks.iter().map(network_key));
        self.write(None, |tables, txn| {
            remove(tables, tables.networks, txn, &keys)
        })
    }

    /// The networks that are blocked: IPv4 first, then by address.
    pub fn networks(&self) -> Result<Vec<(IpNet, Note)>> {
        self.read(|tables, txn, _| {
            let mut notes = Notes::default();
            let rows = tables.networks.iter(txn)?;
            let mut read = |(key, value)| {
                let network = read_network_key(key).ok_or_else(|| malformed("the networks"))?;
                Ok((network, notes.of(tables, txn, value)?))
            };
            rows.map(|row| row.and_then(&mut read)).collect()
        })
    }
}

/// Keys in the order of LMDB, each once: what lies side by side is then written at one time.
fn sorted<K: Ord>(keys: impl Iterator<Item = K>) -> Vec<K> {
    let mut keys: Vec<K> = keys.collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn add<K: AsRef<[u8]>>(
    tables: &Tables<'_>,
    list: Bytewise<'_>,
    txn: &mut RwTxn<'_>,
    keys: &[K],
    note: &Note,
) -> heed::Result<usize> {
    if keys.is_empty() {
        return Ok(0);
    }
    let number = match tables.notes.last(txn)? {
        None => 1,
        Some((key, _)) => {
            let highest = read_number_key(key).ok_or_else(|| malformed("the notes"))?;
            next_number(highest, "the notes")?
        }
    };
    let mut added = 0;
    let mut released = Released::default();
    for key in keys {
        match list.get(txn, key.as_ref())? {
            Some(old) => released.count(old)?,
            None => added += 1,
        }
        list.put(txn, key.as_ref(), &number.to_le_bytes())?;
    }
    let value = schema::write_note(keys.len() as u64, note);
    tables.notes.put(txn, &number_key(number), &value)?;
    released.write(tables, txn)?;
    Ok(added)
}

fn remove<K: AsRef<[u8]>>(
    tables: &Tables<'_>,
    list: Bytewise<'_>,
    txn: &mut RwTxn<'_>,
    keys: &[K],
) -> heed::Result<usize> {
    let mut removed = 0;
    let mut released = Released::default();
    for key in keys {
        if let Some(old) = list.get(txn, key.as_ref())? {
            released.count(old)?;
            list.delete(txn, key.as_ref())?;
            removed += 1;
        }
    }
    released.write(tables, txn)?;
    Ok(removed)
}

/// How many rows name a note no longer, by its number.
#[derive(Default)]
struct Released(HashMap<u64, u64>);

impl Released {
    fn count(&mut self, row: &[u8]) -> heed::Result<()> {
        let number = read_number(row).ok_or_else(|| malformed("a list"))?;
        *self.0.entry(number).or_default() += 1;
        Ok(())
    }

    fn write(self, tables: &Tables<'_>, txn: &mut RwTxn<'_>) -> heed::Result<()> {
        for (number, released) in self.0 {
            let key = number_key(number);
            let note = tables.notes.get(txn, &key)?.and_then(read_note);
            let (rows, note) = note.ok_or_else(|| malformed("the notes"))?;
            if rows > released {
                let value = schema::write_note(rows - released, &note);
                tables.notes.put(txn, &key, &value)?;
            } else {
                tables.notes.delete(txn, &key)?;
            }
        }
        Ok(())
    }
}

/// Reads notes; the last one is at hand, as rows that were listed together share it.
#[derive(Default)]
struct Notes {
    last: Option<(u64, Note)>,
}

impl Notes {
    /// The note that a row names.
    fn of(&mut self, tables: &Tables<'_>, txn: &RoTxn<'_>, row: &[u8]) -> heed::Result<Note> {
        let number = read_number(row).ok_or_else(|| malformed("a list"))?;
        if let Some((_, note)) = self.last.as_ref().filter(|(last, _)| *last == number) {
            return Ok(note.clone());
        }
        let value = tables.notes.get(txn, &number_key(number))?;
        let (_, note) = value
            .and_then(read_note)
            .ok_or_else(|| malformed("the notes"))?;
        self.last = Some((number, note.clone()));
        Ok(note)
    }
}
