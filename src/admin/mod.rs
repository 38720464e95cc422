//! The API of a running tracker, from outside: what `shoal torrent`, `key`, `block` and `import` talk to.
//!
//! ```text
//!   command line        cli/torrent.rs, key.rs, block.rs, import.rs
//!     |
//!   calls.rs            one verb each; long lists in batches
//!     |
//!   Client              client.rs       a request, its tries, its time-out
//!     |                 query/wire/     sockets and TLS
//!   Value or Problem    problem.rs      the answer, or one sentence: what refuses, and what to do
//!     |
//!   table.rs                            columns for people; scripts get the JSON
//! ```
//!
//! Sockets block: this is a tool for people and scripts. A request that finds nobody, or a tracker that is
//! too busy, is sent again; one that must not be carried out twice is so only while nothing of it can
//! have arrived.

pub mod calls;
pub mod client;
pub mod problem;
pub mod table;
