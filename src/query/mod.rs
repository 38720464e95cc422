//! `shoal query` and `shoal check`: questions to a tracker, this one or any other.

pub mod bencode;
pub mod failure;
pub mod hash;
pub mod target;
pub mod wire;
