//! What a snapshot asks of swarms, and how they tell it: frames in a buffer, a slice at a time.
//!
//! ```text
//!   frame    bucket u16 | length u32 | row, as the schema has it
//! ```
//!
//! A core tells of some buckets only, so that no more than their torrents wait in memory to be put in
//! order. Torrents of the other buckets are looked at and passed over.

use std::ops::Range;

use super::schema::{self, Buckets, PEER_LEN_MAX, ROW_HEAD_LEN_MAX};
use crate::swarm::{ExportCursor, Swarms, VisitCursor};

/// Bytes of a frame before its row.
pub(super) const FRAME_HEAD_LEN: usize = 6;

/// Which torrents are wanted, and what of them.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) buckets: Buckets,
    /// Only torrents of these buckets.
    pub(super) range: Range<u16>,
    /// When the snapshot was begun, in seconds since the tracker started: ages count up to then.
    pub(super) taken_s: u32,
    /// Seconds of a unit of age.
    pub(super) unit_s: u32,
    /// False if only counts of completed downloads are.
    pub(super) peers: bool,
}

/// The telling of one core's swarms.
pub struct Telling {
    wanted: Wanted,
    cursor: Cursor,
}

enum Cursor {
    Peers(VisitCursor),
    Counts(ExportCursor),
}

impl Telling {
    pub(super) fn new(wanted: Wanted) -> Self {
        let cursor = if wanted.peers {
            Cursor::Peers(VisitCursor::default())
        } else {
            Cursor::Counts(ExportCursor::default())
        };
        Self { wanted, cursor }
    }

    /// Most bytes that a slice of this budget writes.
    pub const fn slice_len_max(budget: usize) -> usize {
        let head = FRAME_HEAD_LEN + ROW_HEAD_LEN_MAX;
        budget
            * if head > PEER_LEN_MAX {
                head
            } else {
                PEER_LEN_MAX
            }
    }

    /// Writes the frames of a slice: of so many records and peers at most. True at the end.
    pub fn go_on(&mut self, swarms: &Swarms, budget: usize, out: &mut Vec<u8>) -> bool {
        let Wanted {
            buckets,
            range,
            taken_s,
            unit_s,
            ..
        } = &self.wanted;
        match &mut self.cursor {
            Cursor::Peers(cursor) => {
                let wants = |info_hash: &_| range.contains(&buckets.of(info_hash));
                swarms.visit(cursor, budget, *taken_s, wants, |torrent| {
                    frame(out, buckets.of(&torrent.info_hash), |out| {
                        schema::write_row(out, &torrent, *unit_s);
                    });
                })
            }
            Cursor::Counts(cursor) => swarms.export(cursor, budget, |info_hash, totals| {
                let bucket = buckets.of(info_hash);
                if totals.completed > 0 && range.contains(&bucket) {
                    frame(out, bucket, |out| {
                        schema::write_row_head(out, info_hash, totals.completed, 0, 0);
                    });
                }
            }),
        }
    }
}

/// Writes a frame.
pub(super) fn frame(out: &mut Vec<u8>, bucket: u16, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&bucket.to_le_bytes());
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let len = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
}

/// Takes the first frame off: its bucket and its row. `None` when the bytes end before it does.
pub(super) fn split_frame<'a>(bytes: &mut &'a [u8]) -> Option<(u16, &'a [u8])> {
    let (bucket, rest) = bytes.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let (row, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *bytes = rest;
    Some((u16::from_le_bytes(*bucket), row))
}

/// The frames of a buffer: the bucket of each, and where its row is.
pub(super) fn frames(buffer: &[u8]) -> impl Iterator<Item = (u16, Range<usize>)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (bucket, rest) = buffer[at..].split_first_chunk()?;
        let (len, _) = rest.split_first_chunk()?;
        let from = at + FRAME_HEAD_LEN;
        at = from + u32::from_le_bytes(*len) as usize;
        Some((u16::from_le_bytes(*bucket), from..at))
    })
}
