//! The UDP tracker protocol, BEP 15, with the options of BEP 41. All integers are big-endian.
//!
//! ```text
//! request           offset 0          8        12              16
//!   connect         magic             action 0 transaction id
//!   announce        connection id     action 1 transaction id  info-hash, peer id, ... (98 bytes)
//!   scrape          connection id     action 2 transaction id  info-hash * n
//!
//! reply             offset 0          4                8
//!   connect         action 0          transaction id   connection id
//!   announce        action 1          transaction id   interval, leechers, seeders, peers
//!   scrape          action 2          transaction id   (seeders, completed, leechers) * n
//!   error           action 3          transaction id   text
//! ```

pub mod ask;
mod options;
mod reply;
mod request;

pub use options::UrlData;
pub use reply::{
    ANNOUNCE_REPLY_HEAD_LEN, ERROR_HEAD_LEN, PEER_V4_LEN, PEER_V6_LEN, SCRAPE_REPLY_HEAD_LEN,
    SCRAPE_ROW_LEN, ScrapeRow, write_announce_head, write_connect, write_error, write_scrape_head,
    write_scrape_row,
};
pub use request::{
    ANNOUNCE_LEN, Announce, CONNECT_LEN, InfoHashes, Request, SCRAPE_HEAD_LEN, Silence, parse,
};

/// The number that every connect request begins with.
pub const PROTOCOL_ID: u64 = 0x0000_0417_2710_1980;

/// Proof that a client receives what is sent to its address. Opaque to the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionId(pub u64);

/// Chosen by the client, echoed in the reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransactionId(pub u32);

/// What a datagram asks for, or what a reply answers.
pub mod action {
    /// Ask for a connection id.
    pub const CONNECT: u32 = 0;
    /// Tell of a peer, ask for others.
    pub const ANNOUNCE: u32 = 1;
    /// Ask for the totals of torrents.
    pub const SCRAPE: u32 = 2;
    /// A refusal, with a text. Only ever sent by a tracker.
    pub const ERROR: u32 = 3;
}
