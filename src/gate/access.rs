//! Who may announce what: the operator's lists, replaced as a whole while the tracker runs.

use std::net::IpAddr;
use std::sync::Arc;

use super::address_policy::AddressPolicy;
use super::flood::Limits;
use super::hash_list::HashList;
use super::keys::{self, KeyFault, Keys};
use super::layered::Layered;
use super::networks::Networks;
use crate::wire::http::head::Target;
use crate::wire::{InfoHash, PeerId};

/// Seconds until those who are turned away softly should ask again: a day.
pub const DENIED_INTERVAL_S: u32 = 86_400;

/// Which torrents are served, and to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// All that are not on the blocklist, to everybody.
    #[default]
    Public,
    /// Those on the allowlist that are not on the blocklist.
    Listed,
    /// All that are not on the blocklist, to those who have a key.
    Private,
    /// Those on the allowlist that are not on the blocklist, to those who have a key.
    PrivateListed,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 4] = [
        Self::Public,
        Self::Listed,
        Self::Private,
        Self::PrivateListed,
    ];

    /// How it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Listed => "listed",
            Self::Private => "private",
            Self::PrivateListed => "private_listed",
        }
    }

    /// The mode of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// Whether a torrent must be on the allowlist.
    pub fn is_listed(self) -> bool {
        matches!(self, Self::Listed | Self::PrivateListed)
    }

    /// Whether a client must have a key.
    pub fn is_private(self) -> bool {
        matches!(self, Self::Private | Self::PrivateListed)
    }
}

/// What those are told whom a list turns away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Deny {
    /// Success, without peers and with a long interval, so that clients do not try again and again.
    #[default]
    Soft,
    /// An error, with the reason.
    Error,
}

/// A list of info-hashes: those of the operator's file, and those that the store keeps.
#[derive(Clone, Debug, Default)]
pub struct HashLists {
    /// From the file.
    pub file: Arc<HashList>,
    /// From the store.
    pub stored: Layered<InfoHash, ()>,
}

impl HashLists {
    /// True when nothing is on it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.file.is_empty() && self.stored.is_empty()
    }

    /// Whether a torrent is on it.
    #[inline]
    pub fn contains(&self, info_hash: &InfoHash) -> bool {
        self.file.contains(info_hash) || self.stored.contains(info_hash)
    }

    /// How many torrents are on it; those on both parts count twice.
    pub fn len(&self) -> usize {
        self.file.len() + self.stored.len()
    }
}

/// The lists of info-hashes as one core needs them: only what it owns.
#[derive(Clone, Debug, Default)]
pub struct HashAccess {
    /// True when only what is on the allowlist is served.
    pub listed: bool,
    /// The allowlist.
    pub allowed: HashLists,
    /// These are not served.
    pub blocked: HashLists,
}

impl HashAccess {
    /// True when there is anything to look up.
    #[inline]
    pub fn restricts(&self) -> bool {
        self.listed || !self.blocked.is_empty()
    }

    /// Whether a torrent is served.
    pub fn permits(&self, info_hash: &InfoHash) -> bool {
        (!self.listed || self.allowed.contains(info_hash)) && !self.blocked.contains(info_hash)
    }
}

/// All lists. Whoever holds one keeps seeing it as it was. A copy shares what is large.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Which torrents are served, and to whom.
    pub mode: Mode,
    /// Rules about addresses that are not lists of the unwanted.
    pub addresses: AddressPolicy,
    /// Sources that are turned away: those of the operator's file.
    pub blocked: Arc<Networks>,
    /// The same: those that the store keeps.
    pub blocked_by_store: Arc<Networks>,
    /// What the peer ids of clients begin with that are turned away.
    pub clients: Vec<Vec<u8>>,
    /// Who may announce in the private modes.
    pub keys: Keys,
    /// The parameter of an announce URL's query that holds a key; empty = none does.
    pub key_parameter: String,
    /// The lists of info-hashes, by core.
    pub hashes: Vec<HashAccess>,
    /// What those are told who are turned away.
    pub deny: Deny,
    /// How often sources may ask, for the whole tracker.
    pub flood: Limits,
}

impl Access {
    /// Whether an announce from `source` is turned away for who sent it.
    #[inline]
    pub fn blocks_source(&self, source: IpAddr) -> bool {
        self.blocked.contains(source) || self.blocked_by_store.contains(source)
    }

    /// Whether a peer that was in a swarm elsewhere, or in an earlier life, may be in one here: whoever
    /// could announce himself from there.
    pub fn admits_peer(&self, address: IpAddr) -> bool {
        self.addresses.admits(address) && !self.blocks_source(address)
    }

    /// Whether a client is turned away for what it is.
    #[inline]
    pub fn blocks_client(&self, peer_id: &PeerId) -> bool {
        let is_one = |prefix: &Vec<u8>| peer_id.0.starts_with(prefix);
        self.clients.iter().any(is_one)
    }

    /// The number of the key in an announce URL, which must be good.
    pub fn key_in(&self, target: &Target<'_>, now_unix_s: u64) -> Result<u32, KeyFault> {
        let key = keys::find(target, self.key_parameter.as_bytes())?;
        self.keys.verify(&key, now_unix_s)
    }

    /// What the lists of all cores have together.
    pub fn sum(&self, of: impl Fn(&HashAccess) -> usize) -> usize {
        self.hashes.iter().map(of).sum()
    }

    /// The same lists in another mode.
    #[must_use]
    pub fn in_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        for hashes in &mut self.hashes {
            hashes.listed = mode.is_listed();
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half of it from the file, half from the store.
    fn list(bytes: &[u8]) -> HashLists {
        let (file, stored) = bytes.split_at(bytes.len() / 2);
        let hash = |&byte: &u8| InfoHash([byte; 20]);
        HashLists {
            file: Arc::new(file.iter().map(hash).collect()),
            stored: stored.iter().map(|byte| (hash(byte), ())).collect(),
        }
    }

    fn permitted(access: &HashAccess) -> Vec<u8> {
        let permits = |byte: &u8| access.permits(&InfoHash([*byte; 20]));
        (0..5).filter(permits).collect()
    }

    #[test]
    fn the_blocklist_wins_over_the_allowlist() {
        let mut access = HashAccess::default();
        assert!(!access.restricts());
        assert_eq!(permitted(&access), [0, 1, 2, 3, 4]);
        access.blocked = list(&[1, 2]);
        assert!(access.restricts());
        assert_eq!(permitted(&access), [0, 3, 4]);
        access.allowed = list(&[2, 3]);
        assert_eq!(permitted(&access), [0, 3, 4]);
        access.listed = true;
        assert_eq!(permitted(&access), [3]);
        access.blocked = list(&[]);
        assert_eq!(permitted(&access), [2, 3]);
    }

    #[test]
    fn an_empty_allowlist_permits_nothing() {
        let access = HashAccess {
            listed: true,
            ..HashAccess::default()
        };
        assert_eq!(permitted(&access), [0_u8; 0]);
    }

    #[test]
    fn a_client_is_known_by_how_its_peer_id_begins() {
        let access = Access {
            clients: vec![b"-XL".to_vec(), b"\xff\0".to_vec()],
            ..Access::default()
        };
        assert!(access.blocks_client(&PeerId(*b"-XL0012-abcdefghijkl")));
        assert!(access.blocks_client(&PeerId(*b"\xff\0aaaaaaaaaaaaaaaaaa")));
        assert!(!access.blocks_client(&PeerId(*b"-qB5240-abcdefghijkl")));
    }
}
