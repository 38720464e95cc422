//! Swarms in memory: who takes part in which torrent. No socket, no clock, no randomness of its
//! own; one core owns a [`Swarms`] outright, so there is nothing to lock.
//!
//! At a million torrents an announce is a handful of waits for memory and little else, so the shape
//! of everything here follows from counting cache lines (64 bytes):
//!
//! ```text
//!   info-hash
//!      | keyed hash
//!   Index      [ tags 12 | overflow | positions 12 ]   1 line; grows a bucket at a time
//!      | position
//!   Records    [ info-hash | completed | body ]        1 line; up to 4 IPv4 peers or 1 IPv6 peer
//!      |                                               live in it, and then this is all
//!   Peers      [ entries, seeders, partial, index ]    1 or 2 lines; one list per family
//!      |   \
//!      |    PeerIndex   [ tags or slots ]              1 line, or a few in a row; none below 33
//!      |                                               peers
//!      |
//!   entries    [ seeder .. seeder | leecher .. leecher ]
//!                each the 6 or 18 bytes that are sent, and 2 of expiry and flag
//!
//!   Details    [ info-hash, peer | peer id, uploaded .. ]    beside it all, and only on demand
//!   Ledger     [ key, info-hash, peer id | counters .. ]     what is credited to the holders of keys
//!   Similar    [ signature of an info-hash ]                 whose swarms others share
//! ```
//!
//! None of the waits depends on another request, so a turn asks for a line of all its requests
//! before it reads that line of the first: [`Swarms::prefetch_bucket`] and its sisters, then
//! [`Swarms::announce`].
//!
//! Nothing grows by doubling and nothing is ever moved as a whole while others wait: records and
//! buckets come in chunks, lists grow by a sixteenth. What is empty is given back by the sweep.

mod beginners;
mod body;
mod buckets;
mod budget;
mod changes;
mod details;
mod expiry;
mod export;
mod family;
mod forget;
mod index;
mod ledger;
mod look;
#[cfg(test)]
mod model;
#[cfg(test)]
mod model_tests;
mod other_family;
mod peer_index;
mod peers;
mod records;
mod restore;
mod sample;
mod session;
mod similar;
mod slots;
mod stages;
mod sweep;
mod table;
mod tags;
mod visit;

use ahash::RandomState;
use std::hash::{BuildHasher, Hasher};

use std::net::IpAddr;

use crate::wire::InfoHash;
use beginners::Beginners;
use body::{Body, Role, View};
use budget::Budget;
pub use budget::Refusal;
pub use changes::Change;
use details::Details;
pub use details::PeerDetails;
use expiry::Calendar;
pub use export::ExportCursor;
use family::{Family, V4, V6};
pub use forget::Remains;
use index::Index;
use ledger::Ledger;
pub use ledger::{Credited, Transfers};
pub use look::LookCursor;
use records::{Records, Swarm};
pub use restore::Restored;
use similar::Similar;
pub use stages::Likely;
pub use sweep::Swept;
pub use visit::{Known, VisitCursor, Visited};

/// IPv4 peers that a torrent may have before it needs more than [`TORRENT_BYTES`].
pub const INLINE_PEERS_V4: usize = body::INLINE_V4;

/// Bytes of a torrent: its record and its part of the index.
pub const TORRENT_BYTES: usize = size_of::<Swarm>() + index::ENTRY_BYTES;

/// Bytes of an IPv4 peer in a larger swarm: its entry and a byte to find it by. Lists have up to a
/// sixteenth of room beside.
pub const PEER_V4_BYTES: usize = size_of::<family::EntryV4>() + 1;

/// Bytes of an IPv6 peer in a larger swarm.
pub const PEER_V6_BYTES: usize = size_of::<family::EntryV6>() + 1;

/// What the swarms of a core are told once.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Keys of all hashes. Drawn at random for each start: torrents and ports are chosen by
    /// strangers, who must not be able to make them meet in one bucket.
    pub seeds: [u64; 4],
    /// A peer that is silent for longer is forgotten.
    pub peer_timeout_s: u32,
    /// Whether a torrent without peers is forgotten too, with its count of completed downloads.
    pub remove_peerless: bool,
    /// Bytes that these swarms may allocate. Near it, newcomers are answered but not stored, for the
    /// reasons that [`Refusal`] names in this order.
    pub memory_budget: Option<usize>,
    /// Whether [`PeerDetails`] of the peers are kept, at some 110 bytes each, and what is to be credited
    /// to those who announce with a key.
    pub peer_details: bool,
}

/// Address and port of a peer, as replies carry them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PeerAddr {
    /// Four bytes of address, two of port.
    V4([u8; 6]),
    /// Sixteen bytes of address, two of port.
    V6([u8; 18]),
}

impl PeerAddr {
    /// Address and port in the bytes that replies carry.
    pub fn new(address: IpAddr, port: u16) -> Self {
        fn join<const N: usize>(octets: &[u8], port: u16) -> [u8; N] {
            let mut bytes = [0; N];
            bytes[..N - 2].copy_from_slice(octets);
            bytes[N - 2..].copy_from_slice(&port.to_be_bytes());
            bytes
        }
        match address {
            IpAddr::V4(v4) => Self::V4(join(&v4.octets(), port)),
            IpAddr::V6(v6) => Self::V6(join(&v6.octets(), port)),
        }
    }

    /// The address.
    pub fn address(&self) -> IpAddr {
        fn cut<const N: usize>(wire: &[u8]) -> [u8; N] {
            let mut octets = [0; N];
            octets.copy_from_slice(&wire[..N]);
            octets
        }
        match self {
            Self::V4(wire) => IpAddr::from(cut::<4>(wire)),
            Self::V6(wire) => IpAddr::from(cut::<16>(wire)),
        }
    }
}

/// How a peer takes part, or that it no longer does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It has everything.
    Seeding,
    /// It wants something.
    Leeching,
    /// It misses something but wants no more: a partial seed (BEP 21).
    Paused,
    /// It leaves.
    Stopped,
}

/// An announce, as far as the swarm cares.
#[derive(Clone, Copy, Debug)]
pub struct PeerAnnounce {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Who announces.
    pub peer: PeerAddr,
    /// How it takes part.
    pub state: State,
    /// True when it says that it completed the download just now.
    pub completed: bool,
    /// Most peers that it is to be told; the buffer bounds them too.
    pub wanted: usize,
}

/// The counts of a swarm, over both families.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Peers that have everything.
    pub seeders: u32,
    /// Peers that miss something, partial seeds among them.
    pub leechers: u32,
    /// Partial seeds.
    pub partial: u32,
    /// Downloads that were completed here.
    pub completed: u32,
}

/// What came of an announce.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Announced {
    /// The counts after the announce, the announcer included.
    pub totals: Totals,
    /// Bytes of peers that were written.
    pub written: usize,
    /// True when the announcer is a member of the swarm now. False for one who stopped, and for a
    /// newcomer whom the memory budget refused.
    pub stored: bool,
    /// Why a newcomer was not stored.
    pub refused: Option<Refusal>,
    /// True when this announce counted as a completed download.
    pub completed: bool,
}

/// How many peers of one family there are in all swarms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Gauge {
    /// Peers that have everything.
    pub seeders: usize,
    /// All others.
    pub leechers: usize,
}

impl Gauge {
    /// Seeders and leechers.
    pub fn peers(&self) -> usize {
        self.seeders + self.leechers
    }

    fn side(&mut self, role: Role) -> &mut usize {
        if role.is_seeder() {
            &mut self.seeders
        } else {
            &mut self.leechers
        }
    }

    fn count(&mut self, role: Role) {
        *self.side(role) += 1;
    }

    fn discount(&mut self, role: Role) {
        *self.side(role) -= 1;
    }
}

/// How many peers there are in all swarms, and how often these were completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Gauges {
    /// Peers of IPv4.
    pub v4: Gauge,
    /// Peers of IPv6.
    pub v6: Gauge,
    /// Completed downloads of the torrents that are known, over all of them.
    pub completed: u64,
}

impl Gauges {
    /// The gauge that counts this peer.
    fn of(&mut self, peer: &PeerAddr) -> &mut Gauge {
        match peer {
            PeerAddr::V4(_) => &mut self.v4,
            PeerAddr::V6(_) => &mut self.v6,
        }
    }

    fn subtract(&mut self, gone: &Self) {
        self.v4.seeders -= gone.v4.seeders;
        self.v4.leechers -= gone.v4.leechers;
        self.v6.seeders -= gone.v6.seeders;
        self.v6.leechers -= gone.v6.leechers;
    }
}

/// Bytes that swarms have allocated, by what for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Memory {
    /// Records of torrents, in chunks whether full or not.
    pub records: usize,
    /// The index that finds them.
    pub index: usize,
    /// Lists of peers that do not fit a record, with their room and what finds a peer in them.
    pub peers: usize,
    /// What peers say of themselves.
    pub details: usize,
    /// What is to be credited to keys.
    pub ledger: usize,
    /// What tells similar info-hashes.
    pub similar: usize,
}

/// How often a table had no room for something, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Refusals {
    /// Clients of a key that got no session, or another's place, as a core has room for no more sessions.
    pub credit_sessions: u64,
    /// Announces that were not credited, because what was credited before is not fetched.
    pub credit_sums: u64,
    /// Torrents that do not stand for those that are similar, as others with the same signature do.
    pub similar_older: u64,
    /// Announces for info-hashes that a similar one stands for, of which nobody is told.
    pub similar_newer: u64,
}

/// All swarms of a core.
pub struct Swarms {
    records: Records,
    index: Index,
    keys: RandomState,
    calendar: Calendar,
    cursor: sweep::Cursor,
    gauges: Gauges,
    /// Bytes of all lists, of the details and of the ledger; kept up to date by whoever changes them.
    heap_bytes: usize,
    remove_peerless: bool,
    /// Before this second no torrent is forgotten for lack of peers; 0 unless some were restored.
    peerless_stay_until_s: u32,
    budget: Option<Box<Budget>>,
    beginners: Beginners,
    details: Option<Box<Details>>,
    /// There when there are details.
    ledger: Option<Box<Ledger>>,
    /// Only where similar torrents share a swarm.
    similar: Option<Box<Similar>>,
    /// Only while somebody wants to know.
    changes: Option<Vec<Change>>,
}

impl Swarms {
    /// No swarms yet.
    pub fn new(settings: Settings) -> Self {
        let [a, b, c, d] = settings.seeds;
        let mut swarms = Self {
            records: Records::default(),
            index: Index::for_entries(0),
            keys: RandomState::with_seeds(a, b, c, d),
            calendar: Calendar::new(settings.peer_timeout_s),
            cursor: sweep::Cursor::default(),
            gauges: Gauges::default(),
            heap_bytes: 0,
            remove_peerless: settings.remove_peerless,
            peerless_stay_until_s: 0,
            budget: settings
                .memory_budget
                .map(|bytes| Box::new(Budget::new(bytes))),
            beginners: Beginners::default(),
            details: settings.peer_details.then(Box::default),
            ledger: settings.peer_details.then(Box::default),
            similar: None,
            changes: None,
        };
        swarms.heap_bytes = swarms.side_bytes();
        swarms
    }

    /// Applies an announce and writes the peers that answer it into `peers_out`.
    ///
    /// `hash` comes from [`Self::hash`]; `turn` is a random number, any at all. A seeder is told of leechers only; everybody else of
    /// anyone; nobody of himself, nor of peers whose family he did not announce with.
    #[inline]
    pub fn announce(
        &mut self,
        hash: u64,
        announce: &PeerAnnounce,
        now_s: u32,
        turn: u64,
        peers_out: &mut [u8],
    ) -> Announced {
        match &announce.peer {
            PeerAddr::V4(wire) => {
                self.announce_as::<V4>(hash, wire, announce, now_s, turn, peers_out)
            }
            PeerAddr::V6(wire) => {
                self.announce_as::<V6>(hash, wire, announce, now_s, turn, peers_out)
            }
        }
    }

    /// The hash under which a torrent is kept. Computed once per request, for all stages.
    #[inline]
    pub fn hash(&self, info_hash: &InfoHash) -> u64 {
        hash(info_hash, &self.keys)
    }

    /// The counts of a swarm; all zero for one that is not known.
    pub fn totals(&self, info_hash: &InfoHash) -> Totals {
        let found = self.find(self.hash(info_hash), info_hash);
        found.map_or(Totals::default(), |position| {
            let swarm = self.records.get(position);
            swarm.body.totals(swarm.completed)
        })
    }

    /// Number of swarms, those without peers included.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True when no swarm is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of peers, by family and by side, and of completed downloads.
    pub fn gauges(&self) -> Gauges {
        self.gauges
    }

    /// Records, peers and sessions: what a pass of [`Self::sweep`] looks at, at most.
    pub fn entries(&self) -> usize {
        let sessions = self.ledger.as_ref().map_or(0, |ledger| ledger.sessions());
        self.len() + self.gauges.v4.peers() + self.gauges.v6.peers() + sessions
    }

    /// Bytes allocated: chunks whether full or not, lists with their room, indexes, and what stands beside.
    pub fn memory_bytes(&self) -> usize {
        self.records.bytes() + self.index.bytes() + self.heap_bytes + self.similar_bytes()
    }

    /// The same, by what they are allocated for.
    pub fn memory(&self) -> Memory {
        Memory {
            records: self.records.bytes(),
            index: self.index.bytes(),
            peers: self.heap_bytes - self.side_bytes(),
            details: self.details.as_ref().map_or(0, |table| table.bytes()),
            ledger: self.ledger.as_ref().map_or(0, |ledger| ledger.bytes()),
            similar: self.similar_bytes(),
        }
    }

    /// How often a table had no room for something.
    pub fn refusals(&self) -> Refusals {
        let (ledger, similar) = (self.ledger.as_ref(), self.similar.as_ref());
        Refusals {
            credit_sessions: ledger.map_or(0, |ledger| ledger.sessions_refused),
            credit_sums: ledger.map_or(0, |ledger| ledger.sums_refused),
            similar_older: similar.map_or(0, |similar| similar.older_refused),
            similar_newer: similar.map_or(0, |similar| similar.newer_refused),
        }
    }

    fn similar_bytes(&self) -> usize {
        self.similar.as_ref().map_or(0, |similar| similar.bytes())
    }

    /// Bytes of the details and of the ledger; none when they are not kept.
    fn side_bytes(&self) -> usize {
        self.details.as_ref().map_or(0, |table| table.bytes())
            + self.ledger.as_ref().map_or(0, |ledger| ledger.bytes())
    }

    /// True while the memory budget is not used up.
    #[inline]
    fn may_grow(&self) -> bool {
        let budget = self.budget.as_ref();
        budget.is_none_or(|budget| budget.has_room(self.memory_bytes()))
    }

    /// A list of peers may grow while it is shorter than this.
    #[inline]
    fn longest_list(&self) -> usize {
        match &self.budget {
            None => usize::MAX,
            Some(budget) => self.longest_list_within(budget),
        }
    }

    #[inline(never)] // keeps the way without a budget small
    fn longest_list_within(&self, budget: &Budget) -> usize {
        budget.longest_list(self.memory_bytes())
    }

    fn announce_as<F: Family>(
        &mut self,
        hash: u64,
        wire: &F::Wire,
        announce: &PeerAnnounce,
        now_s: u32,
        turn: u64,
        peers_out: &mut [u8],
    ) -> Announced {
        let found = self.find(hash, &announce.info_hash);
        let role = match announce.state {
            State::Seeding => Role::Seeder,
            State::Leeching => Role::Leecher,
            State::Paused => Role::Partial,
            State::Stopped => return self.stop::<F>(found, wire, announce),
        };
        let position = match found {
            Some(position) => position,
            None => match self.begin(hash, announce) {
                Ok(position) => position,
                Err(refusal) => return refused(refusal),
            },
        };
        let longest = self.longest_list();
        let expiry = self.calendar.expiry(now_s);
        let swarm = self.records.get_mut(position);
        let bytes_before = swarm.body.heap_bytes();
        let put = swarm.body.put::<F>(wire, role, expiry, longest, &self.keys);
        self.heap_bytes = self.heap_bytes - bytes_before + swarm.body.heap_bytes();
        if put.at.is_some() && put.before != Some(role) {
            let gauge = F::gauge(&mut self.gauges);
            if let Some(before) = put.before {
                gauge.discount(before);
            }
            gauge.count(role);
        }
        // Only who was seen to want something can have completed it: the count would be worth
        // nothing if a single `completed` sufficed.
        let was_leecher = put.before.is_some_and(|before| !before.is_seeder());
        let completed = announce.completed && role.is_seeder() && was_leecher;
        let completed_before = swarm.completed;
        swarm.completed = swarm.completed.saturating_add(u32::from(completed));
        self.gauges.completed += u64::from(swarm.completed - completed_before);
        if let Some(changes) = &mut self.changes
            && put.at.is_some()
        {
            changes.push(Change::by(announce, swarm.completed));
        }
        let View { entries, seeders } = F::view(&swarm.body);
        let (range, me) = if role.is_seeder() {
            (&entries[seeders..], None)
        } else {
            (entries, put.at)
        };
        Announced {
            totals: swarm.body.totals(swarm.completed),
            written: sample::sample::<F>(range, me, announce.wanted, turn, peers_out),
            stored: put.at.is_some(),
            refused: match put.at {
                Some(_) => None,
                None => self.why_no_longer(),
            },
            completed,
        }
    }

    #[cold]
    fn why_no_longer(&self) -> Option<Refusal> {
        let budget = self.budget.as_ref()?;
        Some(budget.why_no_longer(self.memory_bytes()))
    }

    /// Removes a peer. Its record stays until the sweep comes by: it may well be needed again.
    #[cold]
    fn stop<F: Family>(
        &mut self,
        found: Option<u32>,
        wire: &F::Wire,
        announce: &PeerAnnounce,
    ) -> Announced {
        let Some(position) = found else {
            return Announced::default();
        };
        let swarm = self.records.get_mut(position);
        let bytes_before = swarm.body.heap_bytes();
        if let Some(role) = swarm.body.remove::<F>(wire, &self.keys) {
            F::gauge(&mut self.gauges).discount(role);
        }
        self.heap_bytes = self.heap_bytes - bytes_before + swarm.body.heap_bytes();
        let totals = swarm.body.totals(swarm.completed);
        if let Some(changes) = &mut self.changes {
            changes.push(Change::by(announce, totals.completed));
        }
        self.forget_details(announce);
        Announced {
            totals,
            ..Announced::default()
        }
    }

    /// Lets one source begin so many torrents, halved each minute; 0 is any number. Whoever has more is
    /// answered and not stored, for [`Refusal::BusySource`].
    pub fn limit_new_torrents(&mut self, most: u32) {
        self.beginners.limit(most);
    }

    /// Makes a torrent that nobody knew, if the memory budget and its source's other torrents allow it.
    #[inline(never)] // as most torrents are known
    fn begin(&mut self, hash: u64, announce: &PeerAnnounce) -> Result<u32, Refusal> {
        let taken = self.memory_bytes();
        if let Some(budget) = &self.budget {
            budget.may_begin(taken)?;
        }
        let begun = self.beginners.count(&announce.peer, &self.keys);
        let budget = self.budget.as_ref();
        if !self.beginners.admits(begun) || budget.is_some_and(|b| !b.admits(begun, taken)) {
            return Err(Refusal::BusySource);
        }
        Ok(self.create(hash, announce.info_hash))
    }

    fn create(&mut self, hash: u64, info_hash: InfoHash) -> u32 {
        let position = self.records.push(Swarm {
            info_hash,
            completed: 0,
            body: Body::EMPTY,
        });
        let (records, keys) = (&self.records, &self.keys);
        self.index.insert(hash, position, |at| {
            self::hash(&records.get(at).info_hash, keys)
        });
        if let Some(similar) = &mut self.similar {
            similar.add(position, records, keys);
        }
        position
    }

    #[inline]
    fn find(&self, hash: u64, info_hash: &InfoHash) -> Option<u32> {
        self.index.find(hash, |position| {
            self.records.get(position).info_hash == *info_hash
        })
    }
}

/// The answer to a newcomer with a torrent that is not known and stays so.
#[cold]
fn refused(refusal: Refusal) -> Announced {
    Announced {
        refused: Some(refusal),
        ..Announced::default()
    }
}

#[inline]
fn hash(info_hash: &InfoHash, keys: &RandomState) -> u64 {
    let mut hasher = keys.build_hasher();
    hasher.write(&info_hash.0);
    hasher.finish()
}
