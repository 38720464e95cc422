//! The peers of one swarm: a few inline in its record, more on the heap.
//!
//! A body has 40 bytes, what a cache line leaves beside the info-hash and the count of completed
//! downloads. Most torrents of a public tracker never need more than these.
//!
//! ```text
//!   V4     | tag, len, seeders | 4 IPv4 peers of 8 bytes |     also a swarm without any peer
//!   V6     | tag, len, seeders | 1 IPv6 peer of 20 bytes |
//!   Heap   | tag               | IPv4 list | IPv6 list   |     pointers; either may be missing
//! ```
//!
//! A body moves to the heap when a peer finds no room, or comes from the other family. It moves
//! back in the sweep only, and only with room to spare, so that one peer who comes and goes does
//! not move it each time.

use ahash::RandomState;

use super::expiry::Tick;
use super::family::{EntryV4, EntryV6, Family, Meta, V4, V6};
use super::peers::Peers;
use super::{PeerAddr, Totals};

/// IPv4 peers that a record holds by itself.
pub(super) const INLINE_V4: usize = 4;

/// A list of this many IPv4 peers moves back into its record.
const RETURN_V4: usize = 3;

/// A list of this many IPv6 peers moves back into its record.
const RETURN_V6: usize = 1;

/// What a peer is to its swarm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Seeder,
    Leecher,
    /// A leecher that wants no more (BEP 21).
    Partial,
}

impl Role {
    pub(super) fn is_seeder(self) -> bool {
        self == Self::Seeder
    }

    pub(super) fn of(is_seeder: bool, meta: Meta) -> Self {
        match (is_seeder, meta.is_paused()) {
            (true, _) => Self::Seeder,
            (false, false) => Self::Leecher,
            (false, true) => Self::Partial,
        }
    }
}

/// What became of a peer that announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Put {
    /// What it was before; nothing if it was unknown.
    pub(super) before: Option<Role>,
    /// Where it is now; nowhere if memory was refused.
    pub(super) at: Option<usize>,
}

/// The peers of one family, to read: seeders first.
pub(super) struct View<'a, F: Family> {
    pub(super) entries: &'a [F::Entry],
    pub(super) seeders: usize,
}

impl<'a, F: Family> View<'a, F> {
    pub(super) const NOBODY: Self = Self {
        entries: &[],
        seeders: 0,
    };

    #[inline]
    pub(super) fn few(len: u8, seeders: u8, peers: &'a [F::Entry]) -> Self {
        Self {
            entries: &peers[..usize::from(len)],
            seeders: usize::from(seeders),
        }
    }

    /// The peers from `from` up to `end`.
    pub(super) fn part(&self, from: usize, end: usize) -> Self {
        Self {
            entries: &self.entries[from..end],
            seeders: self.seeders.clamp(from, end) - from,
        }
    }
}

/// The inline peers of one family, to change.
pub(super) struct Few<'a, F: Family> {
    len: &'a mut u8,
    seeders: &'a mut u8,
    peers: &'a mut [F::Entry],
}

impl<'a, F: Family> Few<'a, F> {
    #[inline]
    pub(super) fn new(len: &'a mut u8, seeders: &'a mut u8, peers: &'a mut [F::Entry]) -> Self {
        Self {
            len,
            seeders,
            peers,
        }
    }

    fn view(&self) -> View<'_, F> {
        View::few(*self.len, *self.seeders, self.peers)
    }

    #[inline]
    fn find(&self, wire: &F::Wire) -> Option<usize> {
        let peers = &self.peers[..usize::from(*self.len)];
        peers.iter().position(|entry| F::is(entry, wire))
    }

    #[inline]
    fn role(&self, at: usize) -> Role {
        Role::of(at < usize::from(*self.seeders), F::meta(&self.peers[at]))
    }

    /// Rewrites the entry at `at`, moving it across the border if its role asks for it.
    #[inline]
    fn update(&mut self, at: usize, entry: F::Entry, role: Role) -> usize {
        self.peers[at] = entry;
        let border = usize::from(*self.seeders);
        let to = match (at < border, role.is_seeder()) {
            (false, true) => {
                *self.seeders += 1;
                border
            }
            (true, false) => {
                *self.seeders -= 1;
                border - 1
            }
            _ => return at,
        };
        self.peers.swap(at, to);
        to
    }

    /// Adds an entry, if there is room.
    #[inline]
    fn insert(&mut self, entry: F::Entry, role: Role) -> Option<usize> {
        let at = usize::from(*self.len);
        *self.peers.get_mut(at)? = entry;
        *self.len += 1;
        Some(self.update(at, entry, role))
    }

    fn remove(&mut self, at: usize) -> Role {
        let role = self.role(at);
        let mut hole = at;
        if role.is_seeder() {
            *self.seeders -= 1;
            let last = usize::from(*self.seeders);
            self.peers[hole] = self.peers[last];
            hole = last;
        }
        *self.len -= 1;
        self.peers[hole] = self.peers[usize::from(*self.len)];
        role
    }

    fn sweep(&mut self, now: Tick, gone: &mut impl FnMut(PeerAddr, Role)) {
        for at in (0..usize::from(*self.len)).rev() {
            if F::meta(&self.peers[at]).expiry().is_over(now) {
                let wire = F::wire(&self.peers[at]);
                gone(F::addr(wire), self.remove(at));
            }
        }
    }
}

/// Where the peers of a swarm are.
pub(super) enum Body {
    V4 {
        len: u8,
        seeders: u8,
        peers: [EntryV4; INLINE_V4],
    },
    V6 {
        len: u8,
        seeders: u8,
        peer: [EntryV6; 1],
    },
    Heap {
        v4: Option<Box<Peers<V4>>>,
        v6: Option<Box<Peers<V6>>>,
    },
}

const _: () = assert!(size_of::<Body>() == 40);

impl Body {
    /// No peers.
    pub(super) const EMPTY: Self = Self::V4 {
        len: 0,
        seeders: 0,
        peers: [EntryV4::NONE; INLINE_V4],
    };

    /// Inserts or refreshes a peer. An unknown peer that would need memory is refused unless its list
    /// is shorter than `longest`.
    #[inline]
    pub(super) fn put<F: Family>(
        &mut self,
        wire: &F::Wire,
        role: Role,
        expiry: Tick,
        longest: usize,
        keys: &RandomState,
    ) -> Put {
        let entry = F::entry(wire, Meta::new(expiry, role == Role::Partial));
        if let Some(mut few) = F::few(self) {
            if let Some(at) = few.find(wire) {
                return Put {
                    before: Some(few.role(at)),
                    at: Some(few.update(at, entry, role)),
                };
            }
            if let Some(at) = few.insert(entry, role) {
                return Put {
                    before: None,
                    at: Some(at),
                };
            }
        }
        self.put_on_heap::<F>(wire, entry, role, longest, keys)
    }

    #[inline(never)] // keeps the common case above small
    fn put_on_heap<F: Family>(
        &mut self,
        wire: &F::Wire,
        entry: F::Entry,
        role: Role,
        longest: usize,
        keys: &RandomState,
    ) -> Put {
        if self.is_empty_inline() {
            *self = F::empty();
            let at = F::few(self).and_then(|mut few| few.insert(entry, role));
            return Put { before: None, at };
        }
        let may_grow = INLINE_V4 < longest;
        if may_grow {
            self.move_to_heap(keys);
        }
        let refused = Put {
            before: None,
            at: None,
        };
        match F::list(self) {
            Some(Some(list)) => list.put(wire, entry, role, longest, keys),
            Some(none) if may_grow => none
                .insert(Box::default())
                .put(wire, entry, role, longest, keys),
            _ => refused,
        }
    }

    /// Removes a peer and says what it was.
    pub(super) fn remove<F: Family>(&mut self, wire: &F::Wire, keys: &RandomState) -> Option<Role> {
        if let Some(mut few) = F::few(self) {
            let at = few.find(wire)?;
            return Some(few.remove(at));
        }
        let list = F::list(self)?.as_mut()?;
        let at = list.find(wire, keys)?;
        Some(list.remove(at, keys))
    }

    /// True when the peer is a member.
    pub(super) fn contains<F: Family>(&self, wire: &F::Wire, keys: &RandomState) -> bool {
        F::known_list(self).map_or_else(
            || F::view(self).entries.iter().any(|entry| F::is(entry, wire)),
            |list| list.find(wire, keys).is_some(),
        )
    }

    /// Counts over both families.
    #[inline]
    pub(super) fn totals(&self, completed: u32) -> Totals {
        let (len, seeders, partial) = match self {
            Self::V4 {
                len,
                seeders,
                peers,
            } => few_totals::<V4>(*len, *seeders, peers),
            Self::V6 { len, seeders, peer } => few_totals::<V6>(*len, *seeders, peer),
            Self::Heap { v4, v6 } => {
                let v4 = v4.as_ref().map_or((0, 0, 0), |list| list.totals());
                let v6 = v6.as_ref().map_or((0, 0, 0), |list| list.totals());
                (v4.0 + v6.0, v4.1 + v6.1, v4.2 + v6.2)
            }
        };
        Totals {
            seeders,
            leechers: len - seeders,
            partial,
            completed,
        }
    }

    /// Bytes that the lists of this body hold beside the record.
    #[inline]
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Heap { v4, v6 } => {
                v4.as_ref().map_or(0, |list| list.bytes())
                    + v6.as_ref().map_or(0, |list| list.bytes())
            }
            _ => 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::V4 { len, .. } | Self::V6 { len, .. } => *len == 0,
            Self::Heap { v4, v6 } => v4.is_none() && v6.is_none(),
        }
    }

    /// Removes what has expired among inline peers, and tells `gone` of each.
    pub(super) fn sweep_inline(&mut self, now: Tick, gone: &mut impl FnMut(PeerAddr, Role)) {
        match self {
            Self::V4 {
                len,
                seeders,
                peers,
            } => Few::<V4>::new(len, seeders, peers).sweep(now, gone),
            Self::V6 { len, seeders, peer } => {
                Few::<V6>::new(len, seeders, peer).sweep(now, gone);
            }
            Self::Heap { .. } => {}
        }
    }

    /// Gives memory back: lists that became short shrink, empty ones go, and the peers return into
    /// the record when they fit well.
    pub(super) fn settle(&mut self, keys: &RandomState) {
        let Self::Heap { v4, v6 } = self else { return };
        settle_list(v4, keys);
        settle_list(v6, keys);
        match (&v4, &v6) {
            (None, None) => *self = Self::EMPTY,
            (Some(list), None) => {
                if let Some(body) = moved_inline(list, RETURN_V4) {
                    *self = body;
                }
            }
            (None, Some(list)) => {
                if let Some(body) = moved_inline(list, RETURN_V6) {
                    *self = body;
                }
            }
            (Some(_), Some(_)) => {}
        }
    }

    fn is_empty_inline(&self) -> bool {
        !matches!(self, Self::Heap { .. }) && self.is_empty()
    }

    fn move_to_heap(&mut self, keys: &RandomState) {
        *self = match self {
            Self::V4 {
                len,
                seeders,
                peers,
            } => Self::Heap {
                v4: Some(Box::new(Peers::from_view(
                    &View::few(*len, *seeders, peers),
                    keys,
                ))),
                v6: None,
            },
            Self::V6 { len, seeders, peer } => Self::Heap {
                v4: None,
                v6: Some(Box::new(Peers::from_view(
                    &View::few(*len, *seeders, peer),
                    keys,
                ))),
            },
            Self::Heap { .. } => return,
        };
    }
}

fn few_totals<F: Family>(len: u8, seeders: u8, peers: &[F::Entry]) -> (u32, u32, u32) {
    let leechers = &peers[usize::from(seeders)..usize::from(len)];
    let partial = leechers.iter().filter(|entry| F::meta(entry).is_paused());
    (u32::from(len), u32::from(seeders), partial.count() as u32)
}

fn settle_list<F: Family>(slot: &mut Option<Box<Peers<F>>>, keys: &RandomState) {
    if let Some(list) = slot {
        if list.view().entries.is_empty() {
            *slot = None;
        } else {
            list.settle(keys);
        }
    }
}

fn moved_inline<F: Family>(list: &Peers<F>, most: usize) -> Option<Body> {
    let View { entries, seeders } = list.view();
    if entries.len() > most {
        return None;
    }
    let mut body = F::empty();
    let mut few = F::few(&mut body)?;
    for (at, entry) in entries.iter().enumerate() {
        let role = Role::of(at < seeders, F::meta(entry));
        few.insert(*entry, role)?;
    }
    debug_assert_eq!(few.view().seeders, seeders);
    Some(body)
}
