//! The sleep/wake protocol and the queues of Shoal in every order of events that the memory model of the
//! language allows, by loom.
//!
//! The files that matter are the tracker's own, included by path; they name what they share with other
//! threads as `crate::sync`, which is loom's here. What stands around them has small twins in this crate:
//!
//! ```text
//!   real    net/doorbell.rs   shard/mesh.rs   shard/desk.rs   shard/sheet.rs   shard/hold.rs
//!           shard/turn.rs     http/asks.rs    http/pause.rs
//!   twins   sync.rs           atomics, fences, the bounded queue, the waker of a task
//!           net.rs            the eventfd, and sockets that nothing comes through
//!           shard.rs          what a core does with what it takes, in a few lines
//!           http.rs           an HTTP thread: its clerk, and a connection or two
//! ```
//!
//! Nobody sleeps with a timeout here, so a wake-up that is lost is a deadlock, which loom finds.
//! `scripts/mutants.sh` takes one line after the other out of the real files, and each time a model has to
//! fail.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::vec_box,
    clippy::new_without_default,
    reason = "the included files are read where they belong"
)]

pub mod around;
pub mod http;
pub mod net;
pub mod shard;
pub mod sync;

pub use around::{clock, counters, limits, swarm, wire};
