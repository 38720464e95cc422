//! Whether a file makes sense, beyond the order of its pages: looked at once, at the start, as a wrong row
//! that is found later could only be an error each time.
//!
//! Of the journal, metadata and statistics only numbers are looked at; a row of them that cannot be read is
//! left out when it is asked for, which is no reason to put keys and lists aside.

use std::collections::HashMap;

use heed::RoTxn;

use super::schema::{
    DATABASES, Tables, malformed, read_info_hash, read_key_row, read_network_key, read_note,
    read_number, read_number_key, read_statistics_key, read_transfer,
};
use super::transfers::last_number;
use crate::store::disk::{Bytewise, Disk};

/// Reads every row. What is wrong comes as an error of decoding.
pub(super) fn verify(disk: &Disk<DATABASES>) -> heed::Result<()> {
    let databases = disk.databases()?;
    let tables = Tables::new(&databases);
    let txn = &disk.env().read_txn()?;

    let mut notes = HashMap::new();
    each(tables.notes, txn, "the notes", |key, value| {
        let (rows, _) = read_note(value)?;
        notes.insert(read_number_key(key)?, rows);
        Some(())
    })?;
    let mut name = |key: Option<()>, value| {
        let rows = notes.get_mut(&read_number(value)?)?;
        *rows = rows.checked_sub(1)?;
        key
    };
    let is_hash = |key| read_info_hash(key).map(|_| ());
    let is_network = |key| read_network_key(key).map(|_| ());
    each(tables.allowed, txn, "allowed", |key, value| {
        name(is_hash(key), value)
    })?;
    each(tables.blocked, txn, "blocked", |key, value| {
        name(is_hash(key), value)
    })?;
    each(tables.networks, txn, "the networks", |key, value| {
        name(is_network(key), value)
    })?;
    if notes.values().any(|rows| *rows > 0) {
        return Err(malformed("the notes"));
    }
    each(tables.keys, txn, "the keys", |key, value| {
        read_key_row(key, value).map(|_| ())
    })?;

    let last = last_number(&tables, txn)?;
    each(tables.transfers, txn, "the transfers", |key, value| {
        read_transfer(key, value).map(|_| ())
    })?;
    each(tables.changes, txn, "the changes", |number, key| {
        let number = read_number_key(number)?;
        let transfer = read_transfer(key, tables.transfers.get(txn, key).ok()??)?;
        (transfer.number == number && number <= last).then_some(())
    })?;
    if tables.changes.len(txn)? != tables.transfers.len(txn)? {
        return Err(malformed("the changes"));
    }

    each(tables.journal, txn, "the journal", |key, _| {
        read_number_key(key).map(|_| ())
    })?;
    each(tables.metadata, txn, "the metadata", |key, _| is_hash(key))?;
    each(tables.statistics, txn, "the statistics", |key, _| {
        read_statistics_key(key).map(|_| ())
    })
}

/// Reads each row of a database. LMDB's own count of them has to be right, as pages rely on it.
fn each<'txn>(
    database: Bytewise<'_>,
    txn: &'txn RoTxn<'_>,
    what: &str,
    mut read: impl FnMut(&'txn [u8], &'txn [u8]) -> Option<()>,
) -> heed::Result<()> {
    let mut rows = 0;
    for row in database.iter(txn)? {
        let (key, value) = row?;
        read(key, value).ok_or_else(|| malformed(what))?;
        rows += 1;
    }
    if database.len(txn)? == rows {
        Ok(())
    } else {
        Err(malformed(what))
    }
}
