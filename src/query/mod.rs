//! `shoal query` and `shoal check`: questions to a tracker, this one or any other.

pub mod ask;
pub mod bencode;
pub mod check;
pub mod csv;
pub mod decode;
pub mod failure;
pub mod hash;
pub mod hex;
pub mod json;
pub mod lookup;
pub mod outcome;
pub mod profile;
pub mod run;
pub mod table;
pub mod target;
pub mod wire;
