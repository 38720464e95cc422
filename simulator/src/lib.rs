//! Cores of Shoal in one thread: real shards, swarms, mailboxes, desks and errands; no kernel, and a clock
//! that goes when it is told to. A schedule of random steps decides whose turn it is, which datagrams are
//! lost, doubled and late, and how little room there is between the cores; everything that comes out of them
//! must be what a simple model of a tracker could have said.
//!
//! ```text
//!   requests.rs   what clients send, and what must come of it
//!   world.rs      the cores, what is on its way to them, and the steps
//!   check.rs      what a turn has brought forth, against the model
//!   control.rs    errands and exports
//!   quiet.rs      everybody sleeps: nothing may be left over, and all counts agree
//!   model.rs      the tracker that is too simple to be wrong
//! ```
//!
//! The same seed makes the same schedule.

mod check;
mod control;
mod model;
mod quiet;
mod requests;
mod world;

pub use world::Summary;

/// Runs the schedule of this seed, and panics where something cannot be explained.
pub fn run(seed: u64) -> Summary {
    // Only so that errands have a clock to be impatient by.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without sockets");
    let _guard = runtime.enter();
    world::World::new(seed).run()
}
