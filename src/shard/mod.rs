//! One core: its sockets, its share of the swarms, and the rules. Read `turn.rs` first.

mod answer;
mod mesh;
mod turn;

pub use answer::{AnnounceJob, Rules, Shard};
pub use mesh::Mesh;
pub use turn::Core;
