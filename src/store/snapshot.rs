//! Writing a snapshot: a range of buckets at a time, whole buckets in each transaction.
//!
//! ```text
//!   collect   frames of a range of buckets, from every core          telling.rs
//!   sort      by bucket: numbers, no bytes are moved
//!   write     the blocks of some buckets, a transaction; then of the next
//! ```
//!
//! A kill at any moment leaves the file as the last transaction left it: some buckets new, some old.
//! Buckets that have become empty lose their blocks in the same way.

use heed::types::DecodeIgnore;
use heed::{MdbError, RwTxn};

use super::SwarmsFile;
use super::counters::Written;
use super::disk::Bytewise;
use super::schema::{
    self, BLOCK_HEAD_LEN, BUCKETS, Buckets, KEY_SALT, KEY_SNAPSHOT, SALT_LEN, Taken, block_key,
    read_block_key,
};
use super::telling::{self, Wanted};
use crate::clock::Now;

/// Bytes of torrents that are put in order at one time, unless that needs more ranges than
/// [`RANGES_MAX`]: every range looks at all torrents once.
const RANGE_BYTES: u64 = 16 << 20;
const RANGES_MAX: u64 = 16;

/// Least and most bytes of blocks that a transaction writes, and one bucket more. The file has room for
/// some transactions beside what it holds, because LMDB overwrites nothing that is in use, so they are a
/// [`TRANSACTION_SHARE`] of all.
const TRANSACTION_BYTES: (u64, u64) = (64 << 10, 4 << 20);
const TRANSACTION_SHARE: u64 = 16;

/// Most bytes of a block: eight pages less a head. Blocks of one size leave gaps that others fit into.
const BLOCK_BYTES: usize = (32 << 10) - 16;

/// Where the torrents come from.
pub(super) trait Source {
    /// Bytes that all of them take, about.
    fn estimate(&self) -> u64;

    /// The frames of the torrents that are wanted. `None` when they cannot be had.
    fn collect(&mut self, wanted: &Wanted) -> Option<Vec<Vec<u8>>>;

    /// True when the snapshot is to end before its time.
    fn gives_up(&self) -> bool;

    /// True when that is as it should be and nothing to tell of.
    fn gives_up_quietly(&self) -> bool;
}

/// What a snapshot is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) now: Now,
    pub(super) peer_timeout_s: u32,
    pub(super) keep_peers: bool,
}

/// Why a snapshot was not written to its end.
#[derive(Debug)]
pub(super) enum Failure {
    /// The source gave up.
    GivenUp,
    /// LMDB, or the kernel below it.
    Disk(heed::Error),
}

impl From<heed::Error> for Failure {
    fn from(error: heed::Error) -> Self {
        Self::Disk(error)
    }
}

/// Writes a snapshot of everything.
pub(super) fn write(
    disk: &mut SwarmsFile,
    source: &mut dyn Source,
    order: &Order,
) -> Result<Written, Failure> {
    let all_bytes = source.estimate();
    let ranges = (all_bytes / RANGE_BYTES + 1).min(RANGES_MAX) as u16;
    let (least, most) = TRANSACTION_BYTES;
    let transaction_bytes = (all_bytes / TRANSACTION_SHARE).clamp(least, most);
    let mut written = Written {
        unix_s: order.now.unix_s,
        ..Written::default()
    };
    let mut wanted = Wanted {
        buckets: Buckets::new(&salt(disk)?),
        range: 0..0,
        taken_s: order.now.uptime_s,
        unit_s: schema::unit_s(order.peer_timeout_s),
        peers: order.keep_peers,
    };
    for range in 0..ranges {
        let border =
            |range: u16| (u32::from(BUCKETS) * u32::from(range) / u32::from(ranges)) as u16;
        wanted.range = border(range)..border(range + 1);
        let buffers = source.collect(&wanted).ok_or(Failure::GivenUp)?;
        let rows = Rows::sorted(&buffers);
        let mut bucket = wanted.range.start;
        while bucket < wanted.range.end {
            if source.gives_up() {
                return Err(Failure::GivenUp);
            }
            let range = bucket..wanted.range.end;
            bucket = write_some(disk, &rows, range, transaction_bytes, &wanted, &mut written)?;
        }
    }
    let taken = Taken {
        unix_s: written.unix_s,
        torrents: written.torrents,
        peers: written.peers,
    };
    disk.write(|databases, txn| databases.meta.put(txn, KEY_SNAPSHOT, &taken.bytes()))?;
    Ok(written)
}

/// The key of the hash that spreads torrents over the buckets of this file.
fn salt(disk: &SwarmsFile) -> heed::Result<[u8; SALT_LEN]> {
    let databases = disk.databases()?;
    let txn = disk.env().read_txn()?;
    let salt = databases.meta.get(&txn, KEY_SALT)?;
    let salt = salt.and_then(|salt| salt.try_into().ok());
    // Every file that was opened has one.
    salt.ok_or(MdbError::Corrupted.into())
}

/// The rows of some buffers, in the order of their buckets.
struct Rows<'a> {
    /// Bucket and row.
    rows: Vec<(u16, &'a [u8])>,
}

impl<'a> Rows<'a> {
    fn sorted(buffers: &'a [Vec<u8>]) -> Self {
        let frames = |buffer: &'a Vec<u8>| {
            telling::frames(buffer).map(|(bucket, place)| (bucket, &buffer[place]))
        };
        let mut rows: Vec<_> = buffers.iter().flat_map(frames).collect();
        rows.sort_unstable_by_key(|(bucket, _)| *bucket);
        Self { rows }
    }

    fn of(&self, bucket: u16) -> &[(u16, &'a [u8])] {
        let from = self.rows.partition_point(|row| row.0 < bucket);
        let len = self.rows[from..].partition_point(|row| row.0 == bucket);
        &self.rows[from..from + len]
    }
}

/// Writes the first buckets of `range` in a transaction and returns the next.
fn write_some(
    disk: &mut SwarmsFile,
    rows: &Rows<'_>,
    range: std::ops::Range<u16>,
    transaction_bytes: u64,
    wanted: &Wanted,
    written: &mut Written,
) -> Result<u16, Failure> {
    let (next, sum) = disk.write(|databases, txn| {
        let [swarms] = databases.others;
        let mut sum = *written;
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        for bucket in range.clone() {
            if sum.bytes - written.bytes >= transaction_bytes {
                return Ok((bucket, sum));
            }
            let mut part = 0;
            let mut rows = rows.of(bucket).iter().peekable();
            while rows.peek().is_some() {
                block.clear();
                schema::write_block_head(&mut block, written.unix_s, wanted.unit_s);
                // One row at least, however long.
                let mut room = usize::MAX;
                while let Some((_, row)) = rows.next_if(|(_, row)| row.len() <= room) {
                    block.extend_from_slice(row);
                    room = BLOCK_BYTES.saturating_sub(block.len());
                }
                count(&block, &mut sum);
                swarms.put(txn, &block_key(bucket, part), &block)?;
                part += 1;
            }
            delete_from(swarms, txn, bucket, part)?;
        }
        Ok((range.end, sum))
    })?;
    *written = sum;
    Ok(next)
}

fn count(block: &[u8], sum: &mut Written) {
    sum.bytes += block.len() as u64;
    debug_assert!(block.len() > BLOCK_HEAD_LEN);
    if let Ok(mut block) = schema::Block::read(block) {
        while let Ok(Some(row)) = block.next() {
            sum.torrents += 1;
            sum.peers += row.peers_len() as u64;
        }
    }
}

/// Deletes the blocks of a bucket from a part on.
fn delete_from(
    swarms: Bytewise<'_>,
    txn: &mut RwTxn<'_>,
    bucket: u16,
    part: u32,
) -> heed::Result<()> {
    let first = block_key(bucket, part);
    let keys = swarms.remap_data_type::<DecodeIgnore>();
    while let Some((key, ())) = keys.get_greater_than_or_equal_to(txn, &first)? {
        match read_block_key(key) {
            Ok((of, _)) if of == bucket => {}
            _ => return Ok(()),
        }
        // A copy, as the key lies in the file that is about to change.
        let key = key.to_vec();
        if !swarms.delete(txn, &key)? {
            // Found, and not found: without this it would be looked for for ever.
            return Err(MdbError::Corrupted.into());
        }
    }
    Ok(())
}
