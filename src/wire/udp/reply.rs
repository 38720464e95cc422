//! Replies, written into the caller's buffer. Every function returns how many bytes it wrote and
//! panics when the buffer is shorter than the reply, which the send slots never are.

use super::{ConnectionId, TransactionId, action};

/// Bytes of an announce reply before its peers.
pub const ANNOUNCE_REPLY_HEAD_LEN: usize = 20;
/// Bytes of an IPv4 peer: address and port.
pub const PEER_V4_LEN: usize = 6;
/// Bytes of an IPv6 peer: address and port (BEP 7, BEP 15).
pub const PEER_V6_LEN: usize = 18;
/// Bytes of a scrape reply before its rows.
pub const SCRAPE_REPLY_HEAD_LEN: usize = 8;
/// Bytes of a scrape row.
pub const SCRAPE_ROW_LEN: usize = 12;
/// Bytes of an error before its text.
pub const ERROR_HEAD_LEN: usize = 8;

/// One row of a scrape reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScrapeRow {
    /// Peers that have everything.
    pub seeders: u32,
    /// How often a leecher became a seeder, ever.
    pub completed: u32,
    /// Peers that miss something.
    pub leechers: u32,
}

/// The 16 bytes of a connect reply: exactly as many as the request, so nothing is amplified.
pub fn write_connect(out: &mut [u8], transaction: TransactionId, id: ConnectionId) -> usize {
    write_head(out, action::CONNECT, transaction);
    put(out, 8, id.0.to_be_bytes());
    16
}

/// The first 20 bytes of an announce reply; the peers follow. Leechers stand before seeders here,
/// the other way round than in a scrape.
pub fn write_announce_head(
    out: &mut [u8],
    transaction: TransactionId,
    interval_s: u32,
    leechers: u32,
    seeders: u32,
) -> usize {
    write_head(out, action::ANNOUNCE, transaction);
    put(out, 8, interval_s.to_be_bytes());
    put(out, 12, leechers.to_be_bytes());
    put(out, 16, seeders.to_be_bytes());
    ANNOUNCE_REPLY_HEAD_LEN
}

/// The first 8 bytes of a scrape reply; the rows follow.
pub fn write_scrape_head(out: &mut [u8], transaction: TransactionId) -> usize {
    write_head(out, action::SCRAPE, transaction);
    SCRAPE_REPLY_HEAD_LEN
}

/// Row `position` of a scrape reply. Clients match rows to their request by position.
pub fn write_scrape_row(out: &mut [u8], position: usize, row: ScrapeRow) -> usize {
    let at = SCRAPE_REPLY_HEAD_LEN + position * SCRAPE_ROW_LEN;
    put(out, at, row.seeders.to_be_bytes());
    put(out, at + 4, row.completed.to_be_bytes());
    put(out, at + 8, row.leechers.to_be_bytes());
    SCRAPE_ROW_LEN
}

/// An error with a short text: no length, no terminator. Only for sources that have proved their
/// address.
pub fn write_error(out: &mut [u8], transaction: TransactionId, text: &str) -> usize {
    write_head(out, action::ERROR, transaction);
    let end = ERROR_HEAD_LEN + text.len();
    out[ERROR_HEAD_LEN..end].copy_from_slice(text.as_bytes());
    end
}

fn write_head(out: &mut [u8], action: u32, transaction: TransactionId) {
    put(out, 0, action.to_be_bytes());
    put(out, 4, transaction.0.to_be_bytes());
}

fn put<const N: usize>(out: &mut [u8], at: usize, bytes: [u8; N]) {
    out[at..at + N].copy_from_slice(&bytes);
}
