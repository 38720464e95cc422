//! The keys of a private tracker.

use super::pages::Paged;
use super::schema::{self, Tables, malformed, read_key_row};
use super::transfers::forget_some;
use super::{Records, Result};
use crate::gate::keys::{AnnounceKey, KeyRow};

impl Records {
    /// Adds a key. False when it exists already; it stays as it is then.
    pub fn add_key(&self, key: &AnnounceKey, row: &KeyRow) -> Result<bool> {
        self.write(Some(Paged::Keys), |tables, txn| {
            let is_new = tables.keys.get(txn, key.as_bytes())?.is_none();
            if is_new {
                let value = schema::write_key_row(row);
                tables.keys.put(txn, key.as_bytes(), &value)?;
            }
            Ok(is_new)
        })
    }

    /// Removes a key with its transfers. False when there is none. Many transfers go in several steps,
    /// the key with the last: after an error or a kill it is still there, to be removed again.
    pub fn remove_key(&self, key: &AnnounceKey) -> Result<bool> {
        loop {
            let done = self.write(Some(Paged::Keys), |tables: &Tables<'_>, txn| {
                if tables.keys.get(txn, key.as_bytes())?.is_none() {
                    return Ok(Some(false));
                }
                if !forget_some(tables, txn, key)? {
                    return Ok(None);
                }
                tables.keys.delete(txn, key.as_bytes()).map(Some)
            })?;
            if let Some(removed) = done {
                return Ok(removed);
            }
        }
    }

    /// All keys, in ascending order.
    pub fn keys(&self) -> Result<Vec<(AnnounceKey, KeyRow)>> {
        self.read(|tables, txn, _| {
            let rows = tables.keys.iter(txn)?;
            let read = |(key, value)| read_key_row(key, value).ok_or_else(|| malformed("the keys"));
            rows.map(|row| row.and_then(read)).collect()
        })
    }

    /// How many keys there are, and those from `offset` on, `limit` at most, in ascending order.
    pub fn keys_page(
        &self,
        offset: u64,
        limit: usize,
    ) -> Result<(u64, Vec<(AnnounceKey, KeyRow)>)> {
        self.rows(Paged::Keys, offset, limit, |_, _, key, value| {
            let row = read_key_row(key, value);
            row.map(Some).ok_or_else(|| malformed("the keys"))
        })
    }
}
