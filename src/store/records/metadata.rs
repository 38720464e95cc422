//! What is known of torrents beside their info-hash.

use std::ops::Bound;

use serde::{Deserialize, Serialize};

use super::pages::Paged;
use super::schema::{self, read_info_hash, read_metadata};
use super::{Records, Result};
use crate::wire::InfoHash;

/// What is known of a torrent, from its metainfo (BEP 3).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// Its name. The first 1024 bytes are kept.
    pub name: String,
    /// Bytes of all its files.
    pub size: u64,
    /// Bytes of a piece.
    pub piece_length: u64,
    /// What its maker says of it. The first 4096 bytes are kept.
    pub comment: String,
    /// What made the metainfo. The first 256 bytes are kept.
    pub created_by: String,
    /// When the metainfo was made, in Unix seconds.
    pub creation_date: Option<u64>,
    /// When this was written, in Unix seconds.
    pub at_unix_s: u64,
}

impl Metadata {
    /// Bytes that are kept of a name.
    pub const NAME_LEN_MAX: u16 = 1024;
    /// Bytes that are kept of a comment.
    pub const COMMENT_LEN_MAX: u16 = 4096;
    /// Bytes that are kept of what made the metainfo.
    pub const CREATED_BY_LEN_MAX: u16 = 256;
}

/// Torrents that a search has found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// These, in ascending order.
    pub rows: Vec<(InfoHash, Metadata)>,
    /// The last that was looked at, when there are more behind it.
    pub more_after: Option<InfoHash>,
}

impl Records {
    /// Keeps what is known of a torrent, instead of what was known before.
    pub fn put_metadata(&self, hash: &InfoHash, metadata: &Metadata) -> Result<()> {
        self.put_all_metadata(&[(*hash, metadata.clone())])
    }

    /// Keeps what is known of many torrents, all or none. It is on disk after one wait instead of many.
    pub fn put_all_metadata(&self, all: &[(InfoHash, Metadata)]) -> Result<()> {
        self.write(Some(Paged::Metadata), |tables, txn| {
            for (hash, metadata) in all {
                let value = schema::write_metadata(metadata);
                tables.metadata.put(txn, &hash.0, &value)?;
            }
            Ok(())
        })
    }

    /// What is known of a torrent.
    pub fn metadata(&self, hash: &InfoHash) -> Result<Option<Metadata>> {
        self.read(|tables, txn, _| {
            let value = tables.metadata.get(txn, &hash.0)?;
            Ok(value.and_then(read_metadata))
        })
    }

    /// Forgets what is known of a torrent. False when that was nothing.
    pub fn remove_metadata(&self, hash: &InfoHash) -> Result<bool> {
        self.write(Some(Paged::Metadata), |tables, txn| {
            tables.metadata.delete(txn, &hash.0)
        })
    }

    /// Of how many torrents something is known, and those from `offset` on, `limit` at most, in ascending
    /// order.
    pub fn metadata_page(
        &self,
        offset: u64,
        limit: usize,
    ) -> Result<(u64, Vec<(InfoHash, Metadata)>)> {
        self.rows(Paged::Metadata, offset, limit, |_, _, key, value| {
            Ok(read_info_hash(key).zip(read_metadata(value)))
        })
    }

    /// Torrents behind `after` that are wanted: `limit` of them at most. No more than `looks` are looked at,
    /// so that it ends soon even where nothing is found.
    pub fn find_metadata(
        &self,
        after: Option<&InfoHash>,
        limit: usize,
        looks: usize,
        is_wanted: impl Fn(&InfoHash, &Metadata) -> bool,
    ) -> Result<Found> {
        self.read(|tables, txn, _| {
            let after = after.map_or(Bound::Unbounded, |after| Bound::Excluded(&after.0[..]));
            let mut rows = tables.metadata.range(txn, &(after, Bound::Unbounded))?;
            let mut found = Found::default();
            let mut last = None;
            for row in rows.by_ref().take(looks) {
                let (key, value) = row?;
                last = read_info_hash(key);
                let row = last.zip(read_metadata(value));
                let wanted = row.filter(|(info_hash, metadata)| is_wanted(info_hash, metadata));
                found.rows.extend(wanted);
                if found.rows.len() == limit {
                    break;
                }
            }
            if rows.next().is_some() {
                found.more_after = last;
            }
            Ok(found)
        })
    }
}
