//! Bytes in, bytes out, and nothing else: no socket, no clock, no swarm.

pub mod bencode;
pub mod http;
pub mod metainfo;
pub mod peer_id;
pub mod udp;

use std::fmt;

/// The 20 bytes that name a torrent: SHA-1 of the info dictionary (BEP 3), or the first 20 bytes
/// of its SHA-256 (BEP 52). Chosen by whoever announces, so never trusted to be spread evenly.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHash(pub [u8; InfoHash::LEN]);

impl InfoHash {
    /// Bytes of an info-hash.
    pub const LEN: usize = 20;

    /// The first four bytes as a big-endian number: all that the kernel's steering program reads,
    /// so all that may decide which core owns the torrent.
    pub fn first_word(&self) -> u32 {
        u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]])
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InfoHash({self})")
    }
}

/// The 20 bytes by which a client names itself (BEP 3, BEP 20). Arbitrary binary, never text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerId(pub [u8; PeerId::LEN]);

impl PeerId {
    /// Bytes of a peer id.
    pub const LEN: usize = 20;
}

/// What happened to a client since its last announce.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Event {
    /// Nothing: the regular announce. What no client is known to send is read as this.
    #[default]
    None,
    /// It has the whole torrent now.
    Completed,
    /// It begins.
    Started,
    /// It leaves the swarm.
    Stopped,
    /// A partial seed (BEP 21): it has all that it wants but not all there is. libtorrent sends
    /// this over UDP as event 4, which BEP 15 does not list.
    Paused,
}

/// How many peers a client asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NumWant {
    /// None was named, or a negative number: as many as the tracker likes.
    Default,
    /// At most so many; 0 means none.
    AtMost(u32),
}
