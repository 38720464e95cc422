//! Shoal, a BitTorrent tracker.

pub mod config;
pub mod limits;
pub mod wire;
