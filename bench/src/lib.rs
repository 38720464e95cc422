//! What the program `shoal-bench` and the micro benches (`benches/micro.rs`) have in common: somebody
//! who asks, a core without sockets that answers, and the operations that are timed and counted.

pub mod bare_core;
pub mod crowd;
pub mod operations;
