//! Shoal, a BitTorrent tracker for dedicated Linux hosts.
//!
//! # The way of a datagram
//!
//! ```text
//!   kernel              net/steering.rs        gives it to the core that owns its info-hash
//!     |
//!   socket              net/ring.rs, mmsg.rs   a batch of datagrams arrives on this core
//!     | receive
//!   inbox               net/batch.rs           fixed slots, on loan from the kernel
//!     | parse
//!   Request             wire/udp/request.rs    borrows from its slot
//!     | check
//!   gate                gate/                  connection id, address; how often, while busy
//!     | route           shard/answer.rs        whose torrent is it?
//!     +-- not ours: a Handover through shard/mesh.rs; the owning core goes on from here
//!     | ours
//!   swarm               swarm/                 one peer in, a few peers out
//!     | answer          shard/answer.rs
//!   reply               wire/udp/reply.rs      written into a slot of the outbox
//!     | send
//!   socket              net/ring.rs, mmsg.rs   one batch out, from this core's own socket
//!
//!   any step may end in a Discard (counters.rs): counted, not answered, nothing allocated
//! ```
//!
//! Requests over HTTP come by threads of their own, which ask the cores: [`http`] draws that way.
//!
//! [`shard::Core`] tells the same way in code: read `shard/turn.rs` first. The first group of modules
//! is on the way of a datagram, the second surrounds it. `ARCHITECTURE.md` says who owns what and
//! what a datagram costs.

pub mod gate;
pub mod http;
pub mod net;
pub mod shard;
pub mod swarm;
pub mod wire;

pub mod admin;
pub mod boot;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod counters;
pub mod doctor;
pub mod files;
pub mod heap;
pub mod import;
pub mod limits;
pub mod prefetch;
pub mod privileges;
pub mod query;
pub mod registrar;
pub mod request_log;
pub mod seldom;
pub mod similar;
pub mod store;
mod sync;
