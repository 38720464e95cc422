//! A core: its turn, its mailbox and its hold are real.

pub mod answer;
pub mod ask;
#[path = "../../src/shard/desk.rs"]
mod desk;
#[path = "../../src/shard/hold.rs"]
mod hold;
#[path = "../../src/shard/mesh.rs"]
pub mod mesh;
#[path = "../../src/shard/sheet.rs"]
mod sheet;
#[path = "../../src/shard/turn.rs"]
mod turn;

pub use answer::{Served, Shard};
pub use ask::Ask;
pub use desk::Desk;
pub use hold::Hold;
pub use mesh::{Collector, Counter, Full, Mesh};
pub use turn::Core;

/// What travels and is not looked at.
pub mod export {
    pub struct Export;
}

/// The same.
pub mod errand {
    pub struct Errand;
}

/// The same.
pub mod succession {
    pub struct Succession;
}
