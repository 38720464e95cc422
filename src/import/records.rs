//! What was found in a file of another tracker.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::gate::address_policy::is_unicast;
use crate::gate::keys::AnnounceKey;
use crate::wire::InfoHash;
use crate::wire::metainfo::Metainfo;

/// Most mistakes that are told in full; the rest are counted.
pub const MISTAKES_MAX: usize = 1000;

/// All that a file holds.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// Torrents with their peers and counts.
    pub torrents: Vec<Torrent>,
    /// What is known of torrents, an info-hash each.
    pub metadata: Vec<Metainfo>,
    /// Info-hashes for the allowlist.
    pub allowed: Vec<InfoHash>,
    /// Info-hashes for the blocklist, by the reason that the file gives, which may be empty.
    pub blocked: BTreeMap<String, Vec<InfoHash>>,
    /// Networks that are refused, likewise.
    pub networks: BTreeMap<String, Vec<IpNet>>,
    /// Announce keys.
    pub keys: Vec<Key>,
    /// A configuration for Shoal, as TOML.
    pub settings: Option<String>,
    /// What to know about what was read, a sentence each.
    pub notes: Vec<String>,
    /// What could not be read.
    pub mistakes: Mistakes,
}

/// A torrent of another tracker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Torrent {
    /// Its name.
    pub info_hash: InfoHash,
    /// How often it was completed, as far as that is known.
    pub completed: u32,
    /// Its peers, an address each.
    pub peers: Vec<Peer>,
}

/// A peer of another tracker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Where it is: one host, and a port other than 0.
    pub address: SocketAddr,
    /// Bytes that it still wants; 0 for a seeder.
    pub left: u64,
    /// Seconds since it was heard of.
    pub age_s: u64,
}

impl Peer {
    /// A peer at this address, which one host must be able to have. The error says what is wrong.
    pub fn at(ip: IpAddr, port: u16, left: u64, age_s: u64) -> Result<Self, String> {
        let ip = ip.to_canonical();
        if port == 0 || !is_unicast(ip) {
            return Err(format!("{ip} port {port} is no address of a peer"));
        }
        Ok(Self {
            address: SocketAddr::new(ip, port),
            left,
            age_s,
        })
    }
}

/// A key of a private tracker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    /// The key itself.
    pub key: AnnounceKey,
    /// When it ends, in seconds since 1970; never if that is not given.
    pub valid_until_unix_s: Option<u64>,
}

/// Sentences about what could not be read, and how many there are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mistakes {
    told: Vec<String>,
    count: u64,
}

impl Mistakes {
    /// One more. After the first [`MISTAKES_MAX`] they are only counted.
    pub fn push(&mut self, sentence: impl FnOnce() -> String) {
        self.count += 1;
        if self.told.len() < MISTAKES_MAX {
            self.told.push(sentence());
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Those that are told, and a last sentence when there are more.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = self.told.clone();
        let more = self.count - self.told.len() as u64;
        if more > 0 {
            sentences.push(format!("and {more} more of the kind"));
        }
        sentences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_up_to_a_limit_and_all_counted() {
        let mut mistakes = Mistakes::default();
        for number in 0..MISTAKES_MAX + 5 {
            mistakes.push(|| format!("row {number}"));
        }
        assert_eq!(mistakes.count(), MISTAKES_MAX as u64 + 5);
        let sentences = mistakes.sentences();
        assert_eq!(sentences.len(), MISTAKES_MAX + 1);
        assert_eq!(sentences.last().unwrap(), "and 5 more of the kind");
    }
}
