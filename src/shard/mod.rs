//! One core: its sockets, its share of the swarms, and the rules. Read `turn.rs` first.

mod admit;
mod announce;
mod answer;
mod ask;
mod desk;
mod errand;
mod errands;
mod export;
mod flood;
mod hold;
mod mesh;
mod rules;
mod sheet;
mod sieve;
mod similar;
mod succession;
mod sweep;
mod turn;
mod verbose;

pub use answer::{AnnounceJob, Shard};
pub use ask::{Ask, Matter, NO_DETAILS};
pub use desk::Desk;
pub use errand::{Errand, PeerView, Returning};
pub use errands::{Busy, Errands, SwarmView};
pub use export::{Chunk, Export, Row};
pub use hold::Hold;
pub use mesh::{Collector, Counter, Full, Mesh};
pub use rules::{Rules, Said};
pub use sheet::Sheet;
pub use succession::{Part, Succession};
pub use turn::Core;
