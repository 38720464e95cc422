//! Who may announce what: the operator's lists, replaced as a whole while the tracker runs.

use std::net::IpAddr;
use std::sync::Arc;

use super::address_policy::AddressPolicy;
use super::hash_list::HashList;
use super::networks::Networks;
use crate::wire::{InfoHash, PeerId};

/// Seconds until those who are turned away softly should ask again: a day.
pub const DENIED_INTERVAL_S: u32 = 86_400;

/// Which torrents are served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// All that are not on the blocklist.
    #[default]
    Public,
    /// Those on the allowlist that are not on the blocklist.
    Listed,
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

/// The lists of info-hashes as one core needs them: only what it owns.
#[derive(Clone, Debug, Default)]
pub struct HashAccess {
    /// Nothing else is served, unless this is none.
    pub allowed: Option<Arc<HashList>>,
    /// These are not served.
    pub blocked: Arc<HashList>,
}

impl HashAccess {
    /// True when there is anything to look up.
    #[inline]
    pub fn restricts(&self) -> bool {
        self.allowed.is_some() || !self.blocked.is_empty()
    }

    /// Whether a torrent is served.
    pub fn permits(&self, info_hash: &InfoHash) -> bool {
        let allowed = self.allowed.as_ref();
        allowed.is_none_or(|allowed| allowed.contains(info_hash))
            && !self.blocked.contains(info_hash)
    }
}

/// All lists. Whoever holds one keeps seeing it as it was.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Rules about addresses that are not lists of the unwanted.
    pub addresses: AddressPolicy,
    /// Sources that are turned away.
    pub blocked: Arc<Networks>,
    /// What the peer ids of clients begin with that are turned away.
    pub clients: Vec<Vec<u8>>,
    /// The lists of info-hashes, by core.
    pub hashes: Vec<HashAccess>,
    /// What those are told who are turned away.
    pub deny: Deny,
}

impl Access {
    /// Whether an announce from `source` is turned away for who sent it.
    #[inline]
    pub fn blocks_source(&self, source: IpAddr) -> bool {
        self.blocked.contains(source)
    }

    /// Whether a client is turned away for what it is.
    #[inline]
    pub fn blocks_client(&self, peer_id: &PeerId) -> bool {
        let is_one = |prefix: &Vec<u8>| peer_id.0.starts_with(prefix);
        self.clients.iter().any(is_one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(bytes: &[u8]) -> Arc<HashList> {
        Arc::new(bytes.iter().map(|&byte| InfoHash([byte; 20])).collect())
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
        access.allowed = Some(list(&[2, 3]));
        assert_eq!(permitted(&access), [3]);
        access.blocked = list(&[]);
        assert_eq!(permitted(&access), [2, 3]);
    }

    #[test]
    fn an_empty_allowlist_permits_nothing() {
        let access = HashAccess {
            allowed: Some(list(&[])),
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
