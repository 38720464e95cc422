//! The rows of a database from the n-th on. LMDB cannot go to the n-th, so they are counted: from the
//! nearest of both ends and of where the last page ended. Whoever takes page after page counts nothing,
//! and anybody else passes over half a million rows in some milliseconds.

use std::ops::Bound;

use heed::RoTxn;
use heed::types::{Bytes, DecodeIgnore};

use super::schema::Tables;
use super::{Records, Result};
use crate::store::disk::Bytewise;

/// A database that is read by pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Paged {
    Allowed,
    Blocked,
    Keys,
    Metadata,
}

impl Paged {
    pub(super) fn of<'e>(self, tables: &Tables<'e>) -> Bytewise<'e> {
        match self {
            Self::Allowed => tables.allowed,
            Self::Blocked => tables.blocked,
            Self::Keys => tables.keys,
            Self::Metadata => tables.metadata,
        }
    }
}

/// Where the last page of each database ended: the number of the next row, and its key.
#[derive(Default)]
pub(super) struct Bookmarks([Option<(u64, Vec<u8>)>; 4]);

impl Bookmarks {
    pub(super) fn remove(&mut self, paged: Paged) {
        self.0[paged as usize] = None;
    }
}

impl Records {
    /// How many rows there are, and those from `offset` on, `limit` at most.
    pub(super) fn rows<T>(
        &self,
        paged: Paged,
        offset: u64,
        limit: usize,
        mut read: impl FnMut(&Tables<'_>, &RoTxn<'_>, &[u8], &[u8]) -> heed::Result<Option<T>>,
    ) -> Result<(u64, Vec<T>)> {
        self.read(|tables, txn, bookmarks| {
            let database = paged.of(tables);
            let total = database.len(txn)?;
            let mut page = Vec::new();
            let bookmark = &mut bookmarks.0[paged as usize];
            let Some(first) = seek(database, txn, offset, total, bookmark.as_ref())? else {
                return Ok((total, page));
            };
            let from = (Bound::Included(&first[..]), Bound::Unbounded);
            let mut rows = database.range(txn, &from)?;
            let mut passed = 0;
            for row in rows.by_ref().take(limit) {
                let (key, value) = row?;
                passed += 1;
                page.extend(read(tables, txn, key, value)?);
            }
            let next = rows.next().transpose()?;
            *bookmark = next.map(|(key, _)| (offset + passed, key.to_vec()));
            Ok((total, page))
        })
    }
}

/// The key of the row at `offset`.
fn seek(
    database: Bytewise<'_>,
    txn: &RoTxn<'_>,
    offset: u64,
    total: u64,
    bookmark: Option<&(u64, Vec<u8>)>,
) -> heed::Result<Option<Vec<u8>>> {
    if offset >= total {
        return Ok(None);
    }
    let keys = database.remap_types::<Bytes, DecodeIgnore>();
    let from_end = total - 1 - offset;
    let nearest_end = offset.min(from_end);
    let near = bookmark.filter(|(at, _)| at.abs_diff(offset) < nearest_end);
    let found = match near {
        Some((at, key)) if *at <= offset => {
            let on = (Bound::Included(&key[..]), Bound::Unbounded);
            nth(keys.range(txn, &on)?, offset - at)
        }
        Some((at, key)) => {
            let back = (Bound::Unbounded, Bound::Included(&key[..]));
            nth(keys.rev_range(txn, &back)?, at - offset)
        }
        None if offset <= from_end => nth(keys.iter(txn)?, offset),
        None => nth(keys.rev_iter(txn)?, from_end),
    };
    found.transpose()
}

fn nth<'txn>(
    mut rows: impl Iterator<Item = heed::Result<(&'txn [u8], ())>>,
    number: u64,
) -> Option<heed::Result<Vec<u8>>> {
    let row = rows.nth(usize::try_from(number).ok()?)?;
    Some(row.map(|(key, ())| key.to_vec()))
}
