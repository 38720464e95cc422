//! The two address families, and how a peer of each looks in memory.
//!
//! A peer is kept as the bytes that a reply carries, and two more:
//!
//! ```text
//!   IPv4, 8 bytes    | address 4 | port 2 | meta 2 |
//!   IPv6, 20 bytes   | address 16         | port 2 | meta 2 |
//!
//!   meta             | spare 1 | paused 1 | expiry 14 |
//! ```
//!
//! So answering is copying, and the identity of a peer (address and port) is one comparison.

use ahash::RandomState;
use std::hash::{BuildHasher, Hasher};

use super::body::{Body, Few, View};
use super::expiry::Tick;
use super::peers::Peers;
use super::{Gauge, Gauges, PeerAddr};

/// The two bytes of a peer that are not sent: when it expires, and whether it is a partial seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Meta(u16);

impl Meta {
    const PAUSED: u16 = 1 << 14;

    pub(super) fn new(expiry: Tick, paused: bool) -> Self {
        Self(expiry.bits() | if paused { Self::PAUSED } else { 0 })
    }

    pub(super) fn expiry(self) -> Tick {
        Tick::from_bits(self.0)
    }

    pub(super) fn is_paused(self) -> bool {
        self.0 & Self::PAUSED != 0
    }
}

/// What differs between IPv4 and IPv6.
pub(super) trait Family: Sized + 'static {
    /// Address and port as they are sent.
    type Wire: Copy + Eq;
    /// A peer as it is kept.
    type Entry: Copy;
    /// Bytes of a peer in a reply.
    const WIRE_LEN: usize;

    /// Puts a peer together.
    fn entry(wire: &Self::Wire, meta: Meta) -> Self::Entry;
    /// The peer's address and port.
    fn wire(entry: &Self::Entry) -> Self::Wire;
    /// The peer's other two bytes.
    fn meta(entry: &Self::Entry) -> Meta;
    /// The same in the type that knows its family.
    fn addr(wire: Self::Wire) -> PeerAddr;
    /// True when the entry is that peer.
    fn is(entry: &Self::Entry, wire: &Self::Wire) -> bool;
    /// A keyed hash: whoever announces chooses at least the port.
    fn hash(wire: &Self::Wire, keys: &RandomState) -> u64;
    /// Writes the peers as they are sent; `out` has room for exactly these.
    fn copy(entries: &[Self::Entry], out: &mut [u8]);

    /// The place of this family within a body, when it is inline.
    fn few(body: &mut Body) -> Option<Few<'_, Self>>;
    /// The place of this family within a body, when its lists are on the heap.
    fn list(body: &mut Body) -> Option<&mut Option<Box<Peers<Self>>>>;
    /// The list of this family, if it has one, to read.
    fn known_list(body: &Body) -> Option<&Peers<Self>>;
    /// The peers of this family, wherever they are.
    fn view(body: &Body) -> View<'_, Self>;
    /// A body that keeps this family inline, without peers.
    fn empty() -> Body;
    /// The gauge that counts this family.
    fn gauge(gauges: &mut Gauges) -> &mut Gauge;
}

/// Internet protocol version 4.
pub(super) enum V4 {}

/// Internet protocol version 6.
pub(super) enum V6 {}

/// A peer of IPv4. The number's little-endian bytes are the picture above, so on the processors
/// that matter it lies in memory exactly so, and still is one register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct EntryV4(u64);

impl EntryV4 {
    pub(super) const NONE: Self = Self(0);
    const WIRE: u64 = (1 << 48) - 1;
}

/// A peer of IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct EntryV6 {
    wire: [u8; 18],
    meta: Meta,
}

impl EntryV6 {
    pub(super) const NONE: Self = Self {
        wire: [0; 18],
        meta: Meta(0),
    };
}

const _: () = assert!(size_of::<EntryV4>() == 8 && size_of::<EntryV6>() == 20);

impl Family for V4 {
    type Wire = [u8; 6];
    type Entry = EntryV4;
    const WIRE_LEN: usize = 6;

    #[inline]
    fn entry(wire: &[u8; 6], meta: Meta) -> EntryV4 {
        let mut bytes = [0; 8];
        bytes[..6].copy_from_slice(wire);
        EntryV4(u64::from_le_bytes(bytes) | u64::from(meta.0) << 48)
    }

    #[inline]
    fn wire(entry: &EntryV4) -> [u8; 6] {
        let mut wire = [0; 6];
        wire.copy_from_slice(&entry.0.to_le_bytes()[..6]);
        wire
    }

    #[inline]
    fn meta(entry: &EntryV4) -> Meta {
        Meta((entry.0 >> 48) as u16)
    }

    #[inline]
    fn addr(wire: [u8; 6]) -> PeerAddr {
        PeerAddr::V4(wire)
    }

    #[inline]
    fn is(entry: &EntryV4, wire: &[u8; 6]) -> bool {
        entry.0 & EntryV4::WIRE == Self::entry(wire, Meta(0)).0
    }

    #[inline]
    fn hash(wire: &[u8; 6], keys: &RandomState) -> u64 {
        keys.hash_one(Self::entry(wire, Meta(0)).0)
    }

    /// Peer by peer: windows of a sample are short, and whatever takes several peers at a time pays at its ends.
    #[inline]
    fn copy(entries: &[EntryV4], out: &mut [u8]) {
        for (entry, out) in entries.iter().zip(out.as_chunks_mut::<6>().0) {
            *out = Self::wire(entry);
        }
    }

    #[inline]
    fn few(body: &mut Body) -> Option<Few<'_, Self>> {
        match body {
            Body::V4 {
                len,
                seeders,
                peers,
            } => Some(Few::new(len, seeders, peers)),
            _ => None,
        }
    }

    #[inline]
    fn list(body: &mut Body) -> Option<&mut Option<Box<Peers<Self>>>> {
        match body {
            Body::Heap { v4, .. } => Some(v4),
            _ => None,
        }
    }

    #[inline]
    fn known_list(body: &Body) -> Option<&Peers<Self>> {
        match body {
            Body::Heap { v4, .. } => v4.as_deref(),
            _ => None,
        }
    }

    #[inline]
    fn view(body: &Body) -> View<'_, Self> {
        match body {
            Body::V4 {
                len,
                seeders,
                peers,
            } => View::few(*len, *seeders, peers),
            Body::Heap { v4: Some(list), .. } => list.view(),
            _ => View::NOBODY,
        }
    }

    fn empty() -> Body {
        Body::EMPTY
    }

    #[inline]
    fn gauge(gauges: &mut Gauges) -> &mut Gauge {
        &mut gauges.v4
    }
}

impl Family for V6 {
    type Wire = [u8; 18];
    type Entry = EntryV6;
    const WIRE_LEN: usize = 18;

    #[inline]
    fn entry(wire: &[u8; 18], meta: Meta) -> EntryV6 {
        EntryV6 { wire: *wire, meta }
    }

    #[inline]
    fn wire(entry: &EntryV6) -> [u8; 18] {
        entry.wire
    }

    #[inline]
    fn meta(entry: &EntryV6) -> Meta {
        entry.meta
    }

    #[inline]
    fn addr(wire: [u8; 18]) -> PeerAddr {
        PeerAddr::V6(wire)
    }

    #[inline]
    fn is(entry: &EntryV6, wire: &[u8; 18]) -> bool {
        entry.wire == *wire
    }

    #[inline]
    fn hash(wire: &[u8; 18], keys: &RandomState) -> u64 {
        let mut hasher = keys.build_hasher();
        hasher.write(wire);
        hasher.finish()
    }

    #[inline]
    fn copy(entries: &[EntryV6], out: &mut [u8]) {
        for (entry, out) in entries.iter().zip(out.as_chunks_mut::<18>().0) {
            *out = entry.wire;
        }
    }

    #[inline]
    fn few(body: &mut Body) -> Option<Few<'_, Self>> {
        match body {
            Body::V6 { len, seeders, peer } => Some(Few::new(len, seeders, peer)),
            _ => None,
        }
    }

    #[inline]
    fn list(body: &mut Body) -> Option<&mut Option<Box<Peers<Self>>>> {
        match body {
            Body::Heap { v6, .. } => Some(v6),
            _ => None,
        }
    }

    #[inline]
    fn known_list(body: &Body) -> Option<&Peers<Self>> {
        match body {
            Body::Heap { v6, .. } => v6.as_deref(),
            _ => None,
        }
    }

    #[inline]
    fn view(body: &Body) -> View<'_, Self> {
        match body {
            Body::V6 { len, seeders, peer } => View::few(*len, *seeders, peer),
            Body::Heap { v6: Some(list), .. } => list.view(),
            _ => View::NOBODY,
        }
    }

    fn empty() -> Body {
        Body::V6 {
            len: 0,
            seeders: 0,
            peer: [EntryV6::NONE],
        }
    }

    #[inline]
    fn gauge(gauges: &mut Gauges) -> &mut Gauge {
        &mut gauges.v6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_gives_back_what_was_put_into_it() {
        let meta = Meta::new(Tick::from_bits(0x2abc), true);
        assert!(meta.is_paused());
        assert_eq!(meta.expiry().bits(), 0x2abc);
        let entry = V4::entry(&[1, 2, 3, 4, 5, 6], meta);
        assert_eq!(V4::wire(&entry), [1, 2, 3, 4, 5, 6]);
        assert_eq!(V4::meta(&entry), meta);
        assert!(V4::is(&entry, &[1, 2, 3, 4, 5, 6]));
        assert!(!V4::is(&entry, &[1, 2, 3, 4, 5, 7]));
        let wire = std::array::from_fn(|at| at as u8);
        let entry = V6::entry(&wire, meta);
        assert_eq!((V6::wire(&entry), V6::meta(&entry)), (wire, meta));
    }

    #[test]
    fn any_number_of_peers_is_copied_as_it_is_sent() {
        let meta = Meta::new(Tick::from_bits(Tick::MASK), true);
        for count in 0..20_u8 {
            let wires: Vec<[u8; 6]> = (0..count).map(|n| [n, 0xff, !n, 7, n, n]).collect();
            let entries: Vec<_> = wires.iter().map(|wire| V4::entry(wire, meta)).collect();
            let mut out = vec![0; wires.len() * 6];
            V4::copy(&entries, &mut out);
            assert_eq!(out, wires.concat());
        }
    }
}
