//! What each key has uploaded and downloaded of each torrent, as a feed of changes: who has read up to a
//! number asks for what came after it, and gets every pair that has changed once, with its totals now.

use std::ops::Bound;

use heed::{RoTxn, RwTxn};

use super::schema::{
    self, KEY_NUMBER, Tables, malformed, next_number, number_key, read_number, read_number_key,
    read_transfer, transfer_key,
};
use super::{Records, Result};
use crate::gate::keys::AnnounceKey;
use crate::wire::InfoHash;

/// Rows of a key that are forgotten in one transaction.
const FORGET_STEP: usize = if cfg!(test) { 10 } else { 20_000 };

/// What a key has done since it was last credited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credit {
    /// Who.
    pub key: AnnounceKey,
    /// With which torrent.
    pub info_hash: InfoHash,
    /// Bytes to add to what was uploaded.
    pub uploaded: u64,
    /// Bytes to add to what was downloaded.
    pub downloaded: u64,
    /// Bytes that are missing now.
    pub left: u64,
    /// Seconds to add to the time of seeding.
    pub seed_s: u64,
    /// When that was said, in Unix seconds.
    pub at_unix_s: u64,
}

/// What a key has done with a torrent altogether.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transfer {
    /// Who.
    pub key: AnnounceKey,
    /// With which torrent.
    pub info_hash: InfoHash,
    /// Bytes that were uploaded.
    pub uploaded: u64,
    /// Bytes that were downloaded.
    pub downloaded: u64,
    /// Bytes that were missing at last.
    pub left: u64,
    /// Seconds of seeding.
    pub seed_s: u64,
    /// When that was last said, in Unix seconds.
    pub at_unix_s: u64,
    /// The number of the last change. Every change has one of its own, greater than all before.
    pub number: u64,
}

impl Records {
    /// Adds credits to the totals, all or none. Those of keys that do not exist are dropped.
    pub fn credit(&self, credits: &[Credit]) -> Result<()> {
        if credits.is_empty() {
            return Ok(());
        }
        self.write(None, |tables, txn| {
            let mut number = last_number(tables, txn)?;
            let mut asked: Option<(AnnounceKey, bool)> = None;
            for credit in credits {
                let known = match asked {
                    Some((key, known)) if key == credit.key => known,
                    _ => tables.keys.get(txn, credit.key.as_bytes())?.is_some(),
                };
                asked = Some((credit.key, known));
                if known {
                    number = next_number(number, "meta")?;
                    write_credit(tables, txn, credit, number)?;
                }
            }
            tables.meta.put(txn, KEY_NUMBER, &number.to_le_bytes())
        })
    }

    /// The totals that have changed after the change `since`, `limit` at most, in the order of their
    /// numbers, and the number to ask with next.
    pub fn transfers(&self, since: u64, limit: usize) -> Result<(u64, Vec<Transfer>)> {
        let (next, transfers) = self.read(|tables, txn, _| {
            let mut next = since;
            let mut transfers = Vec::new();
            let since = number_key(since);
            let after = (Bound::Excluded(since.as_slice()), Bound::Unbounded);
            for row in tables.changes.range(txn, &after)?.take(limit) {
                let (number, key) = row?;
                next = read_number_key(number).ok_or_else(|| malformed("the changes"))?;
                let value = tables.transfers.get(txn, key)?;
                let transfer = value.and_then(|value| read_transfer(key, value));
                transfers.push(transfer.ok_or_else(|| malformed("the transfers"))?);
            }
            Ok((next, transfers))
        })?;
        Ok((next.max(since), transfers))
    }
}

/// The last number that was given to a change. It outlives the row that had it.
pub(super) fn last_number(tables: &Tables<'_>, txn: &RoTxn<'_>) -> heed::Result<u64> {
    match tables.meta.get(txn, KEY_NUMBER)? {
        None => Ok(0),
        Some(value) => read_number(value).ok_or_else(|| malformed("meta")),
    }
}

fn write_credit(
    tables: &Tables<'_>,
    txn: &mut RwTxn<'_>,
    credit: &Credit,
    number: u64,
) -> heed::Result<()> {
    let key = transfer_key(&credit.key, &credit.info_hash);
    let mut sum = Transfer {
        key: credit.key,
        info_hash: credit.info_hash,
        uploaded: credit.uploaded,
        downloaded: credit.downloaded,
        left: credit.left,
        seed_s: credit.seed_s,
        at_unix_s: credit.at_unix_s,
        number,
    };
    let old = tables.transfers.get(txn, &key)?;
    let old = old.map(|old| read_transfer(&key, old).ok_or_else(|| malformed("the transfers")));
    if let Some(old) = old.transpose()? {
        sum.uploaded = sum.uploaded.saturating_add(old.uploaded);
        sum.downloaded = sum.downloaded.saturating_add(old.downloaded);
        sum.seed_s = sum.seed_s.saturating_add(old.seed_s);
        tables.changes.delete(txn, &number_key(old.number))?;
    }
    let value = schema::write_transfer(&sum);
    tables.transfers.put(txn, &key, &value)?;
    tables.changes.put(txn, &number_key(number), &key)
}

/// Forgets some of the transfers of a key; true when none is left.
pub(super) fn forget_some(
    tables: &Tables<'_>,
    txn: &mut RwTxn<'_>,
    key: &AnnounceKey,
) -> heed::Result<bool> {
    // Copies, as rows lie in the file that is about to change.
    let mut rows = Vec::new();
    for row in tables
        .transfers
        .prefix_iter(txn, key.as_bytes())?
        .take(FORGET_STEP)
    {
        let (key, value) = row?;
        let number = read_number(value).ok_or_else(|| malformed("the transfers"))?;
        rows.push((key.to_vec(), number));
    }
    for (key, number) in &rows {
        tables.transfers.delete(txn, key)?;
        tables.changes.delete(txn, &number_key(*number))?;
    }
    Ok(rows.len() < FORGET_STEP)
}
