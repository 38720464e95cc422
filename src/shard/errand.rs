//! What the control side asks of one core beside totals: to look at a swarm, to forget one, to bring some
//! back, to sweep, and to hand over what is to be credited.
//!
//! Errands come through the mailbox like everything else and are worked at a slice a turn, one after the
//! other, so that no request ever waits for a large swarm. Whoever asks waits at a channel for one
//! answer; when it has gone, the errand is dropped.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use tokio::sync::oneshot::{Receiver, Sender, channel};

use super::answer::Shard;
use crate::clock::Now;
use crate::swarm::{
    Known, LookCursor, PeerAddr, PeerDetails, Remains, Restored, State, Swarms, Totals, Transfers,
};
use crate::wire::InfoHash;

/// Peers, or torrents, that one turn works at: each takes some waits for memory, all together less than
/// a tenth of a millisecond.
const SLICE: usize = 128;

/// Peers of forgotten torrents, or such torrents, that one turn works at: each is looked up in three
/// tables and removed from two.
const FORGET_SLICE: usize = 64;

/// Errands that may wait in a core beside its mailbox. More are dropped: their askers see it.
const ERRANDS_MAX: usize = 256;

/// Bytes of a forgotten torrent's lists that a core frees by itself.
const FREE_MAX: usize = 64 << 10;

/// A peer of a swarm as the control side sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerView {
    /// Where it listens.
    pub addr: SocketAddr,
    /// True when it has everything.
    pub seeder: bool,
    /// True when it misses something but wants no more: a partial seed (BEP 21).
    pub paused: bool,
    /// Seconds since it was heard of, to the tick of the swarms' clock and never too many.
    pub age_s: u32,
    /// What it says of itself, where that is kept.
    pub details: Option<PeerDetails>,
}

/// A torrent that is to return, with its count of completed downloads and its peers: address, state and
/// seconds since they were heard of.
pub type Returning = (InfoHash, u32, Vec<Known>);

/// A part of a swarm.
pub(super) struct Page {
    pub(super) totals: Totals,
    pub(super) peers: Vec<PeerView>,
    /// Where the next part begins.
    pub(super) cursor: LookCursor,
}

/// How many torrents were forgotten, and what is left of the large ones, to be freed elsewhere.
#[derive(Default)]
pub(super) struct Forgotten {
    pub(super) torrents: usize,
    remains: Vec<Remains>,
}

/// Something that a core is asked to do.
pub struct Errand(Kind);

enum Kind {
    Swarm {
        info_hash: InfoHash,
        page: Page,
        answer: Sender<Option<Page>>,
    },
    Forget {
        info_hashes: std::vec::IntoIter<InfoHash>,
        at: Option<Remains>,
        forgotten: Forgotten,
        answer: Sender<Forgotten>,
    },
    Restore {
        torrents: Vec<Returning>,
        at: (usize, usize),
        restored: Restored,
        /// The torrents go back to whoever brought them, to be freed there.
        answer: Sender<(Restored, Vec<Returning>)>,
    },
    SweepAll {
        /// The pass that is under way, and a whole one.
        passes: u32,
        answer: Sender<()>,
    },
    Gauges {
        answer: Sender<()>,
    },
    Transfers {
        spare: Transfers,
        answer: Sender<Transfers>,
    },
}

impl Errand {
    /// To tell of the peers of a torrent from `cursor` on, as many as `peers`, an empty list, has room
    /// for.
    pub(super) fn swarm(
        info_hash: InfoHash,
        cursor: LookCursor,
        peers: Vec<PeerView>,
    ) -> (Self, Receiver<Option<Page>>) {
        let (answer, receiver) = channel();
        let page = Page {
            totals: Totals::default(),
            peers,
            cursor,
        };
        let kind = Kind::Swarm {
            info_hash,
            page,
            answer,
        };
        (Self(kind), receiver)
    }

    /// To forget torrents.
    pub(super) fn forget(info_hashes: Vec<InfoHash>) -> (Self, Receiver<Forgotten>) {
        let (answer, receiver) = channel();
        let kind = Kind::Forget {
            info_hashes: info_hashes.into_iter(),
            at: None,
            forgotten: Forgotten::default(),
            answer,
        };
        (Self(kind), receiver)
    }

    /// To bring torrents back. Not more than some hundreds of them: if the asker goes, the core has to
    /// free them at one go.
    pub(super) fn restore(
        torrents: Vec<Returning>,
    ) -> (Self, Receiver<(Restored, Vec<Returning>)>) {
        let (answer, receiver) = channel();
        let kind = Kind::Restore {
            torrents,
            at: (0, 0),
            restored: Restored::default(),
            answer,
        };
        (Self(kind), receiver)
    }

    /// To look at all peers now and forget the silent ones.
    pub(super) fn sweep_all() -> (Self, Receiver<()>) {
        let (answer, receiver) = channel();
        (Self(Kind::SweepAll { passes: 2, answer }), receiver)
    }

    /// To bring the gauges up to date, which it else does once a second.
    pub(super) fn gauges() -> (Self, Receiver<()>) {
        let (answer, receiver) = channel();
        (Self(Kind::Gauges { answer }), receiver)
    }

    /// To hand over what is to be credited.
    pub(super) fn transfers() -> (Self, Receiver<Transfers>) {
        let (answer, receiver) = channel();
        let spare = Transfers::default();
        (Self(Kind::Transfers { spare, answer }), receiver)
    }

    /// Does a slice of it. What is left to do comes back; nothing when it is done or nobody waits for it.
    fn go_on(mut self, swarms: &mut Swarms, now_s: u32) -> Option<Self> {
        match &mut self.0 {
            Kind::Swarm { answer, .. } if answer.is_closed() => return None,
            Kind::Restore { answer, .. } if answer.is_closed() => return None,
            Kind::SweepAll { answer, .. } if answer.is_closed() => return None,
            Kind::Swarm {
                info_hash, page, ..
            } => {
                match page.go_on(swarms, info_hash, now_s) {
                    Some(false) => return Some(self),
                    Some(true) => {}
                    // Nothing is known of it, or no more: as if it had never begun.
                    None => page.cursor = LookCursor::default(),
                }
            }
            Kind::Forget {
                info_hashes,
                at,
                forgotten,
                answer,
            } => {
                // A torrent that was begun is brought to its end, lest details stay of nobody.
                let is_wanted = !answer.is_closed();
                if !forgotten.go_on(swarms, info_hashes, at, is_wanted) {
                    return Some(self);
                }
            }
            Kind::Restore {
                torrents,
                at,
                restored,
                ..
            } => {
                *restored += restore(swarms, torrents, at, now_s);
                if at.0 < torrents.len() {
                    return Some(self);
                }
            }
            Kind::SweepAll { passes, .. } => {
                if *passes > 0 {
                    return Some(self);
                }
            }
            Kind::Gauges { .. } | Kind::Transfers { .. } => {}
        }
        self.finish(swarms);
        None
    }

    /// Answers. The asker may have gone meanwhile.
    fn finish(self, swarms: &mut Swarms) {
        match self.0 {
            Kind::Swarm { page, answer, .. } => {
                let is_known = page.cursor != LookCursor::default();
                let _ = answer.send(is_known.then_some(page));
            }
            Kind::Forget {
                forgotten, answer, ..
            } => {
                let _ = answer.send(forgotten);
            }
            Kind::Restore {
                torrents,
                restored,
                answer,
                ..
            } => {
                let _ = answer.send((restored, torrents));
            }
            Kind::SweepAll { answer, .. } | Kind::Gauges { answer } => {
                let _ = answer.send(());
            }
            Kind::Transfers { spare, answer } => {
                let taken = swarms.take_transfers(spare);
                if let Err(taken) = answer.send(taken) {
                    // For the next one who asks.
                    swarms.take_transfers(taken);
                }
            }
        }
    }
}

impl Page {
    /// Tells of a slice. True when there is no more room or nobody left; `None` when the torrent is not
    /// known, or no more.
    fn go_on(&mut self, swarms: &Swarms, info_hash: &InfoHash, now_s: u32) -> Option<bool> {
        let Self {
            totals,
            peers,
            cursor,
        } = self;
        let room = peers.capacity() - peers.len();
        let tell = |(peer, state, age_s): Known, details: Option<&PeerDetails>| {
            peers.push(PeerView {
                addr: socket_addr(peer),
                seeder: state == State::Seeding,
                paused: state == State::Paused,
                age_s,
                details: details.copied(),
            });
        };
        *totals = swarms.look(info_hash, cursor, room.min(SLICE), now_s, tell)?;
        Some(cursor.is_at_end() || peers.len() == peers.capacity())
    }
}

impl Forgotten {
    /// Forgets a slice: of the torrent at hand first, and more of them as long as they are wanted. True
    /// when none is left.
    fn go_on(
        &mut self,
        swarms: &mut Swarms,
        info_hashes: &mut impl Iterator<Item = InfoHash>,
        at: &mut Option<Remains>,
        is_wanted: bool,
    ) -> bool {
        let mut left = FORGET_SLICE;
        while left > 0 {
            if let Some(remains) = at {
                match swarms.clear_up(remains, left) {
                    0 => self.keep_large(at.take()),
                    spent => left -= spent,
                }
            } else {
                left -= 1;
                let Some(info_hash) = is_wanted.then(|| info_hashes.next()).flatten() else {
                    return true;
                };
                *at = swarms.forget(&info_hash);
                self.torrents += usize::from(at.is_some());
            }
        }
        false
    }

    fn keep_large(&mut self, remains: Option<Remains>) {
        let is_large = |remains: &Remains| remains.bytes() > FREE_MAX;
        self.remains.extend(remains.filter(is_large));
    }
}

/// Brings back a slice of some torrents, from a torrent and a peer of it on.
fn restore(
    swarms: &mut Swarms,
    torrents: &[Returning],
    at: &mut (usize, usize),
    now_s: u32,
) -> Restored {
    let mut restored = Restored::default();
    let mut left = SLICE;
    while left > 0
        && let Some((info_hash, completed, peers)) = torrents.get(at.0)
    {
        left -= 1;
        let end = peers.len().min(at.1 + left);
        let slice = peers[at.1..end].iter().copied();
        left -= slice.len();
        restored += swarms.restore(*info_hash, *completed, now_s, slice);
        *at = if end == peers.len() {
            (at.0 + 1, 0)
        } else {
            (at.0, end)
        };
    }
    restored
}

fn socket_addr(peer: PeerAddr) -> SocketAddr {
    fn read<const N: usize>(wire: &[u8]) -> SocketAddr
    where
        IpAddr: From<[u8; N]>,
    {
        let mut octets = [0; N];
        octets.copy_from_slice(&wire[..N]);
        let port = u16::from_be_bytes([wire[N], wire[N + 1]]);
        SocketAddr::new(IpAddr::from(octets), port)
    }
    match peer {
        PeerAddr::V4(wire) => read::<4>(&wire),
        PeerAddr::V6(wire) => read::<16>(&wire),
    }
}

/// The errands of a core that are under way.
#[derive(Default)]
pub(super) struct UnderWay(VecDeque<Errand>);

impl UnderWay {
    /// Takes one more; false when there are too many, and whoever asked hears that nobody does it.
    pub(super) fn take(&mut self, errand: Errand) -> bool {
        let has_room = self.0.len() < ERRANDS_MAX;
        if has_room {
            self.0.push_back(errand);
        }
        has_room
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when the sweep is to go on without a rest.
    pub(super) fn wants_sweep(&self) -> bool {
        let is_sweep = |errand: &Errand| matches!(errand.0, Kind::SweepAll { .. });
        self.0.iter().any(is_sweep)
    }

    /// Hears that a pass of the sweep has ended.
    pub(super) fn pass_ended(&mut self) {
        for errand in &mut self.0 {
            if let Kind::SweepAll { passes, .. } = &mut errand.0 {
                *passes = passes.saturating_sub(1);
            }
        }
    }
}

impl Shard {
    /// Goes on with an errand, a bounded part of it; the next turn with the next.
    pub fn run_errand(&mut self, now: Now) {
        if let Some(errand) = self.errands.0.pop_front() {
            // Before whoever asked hears of it.
            if matches!(errand.0, Kind::Gauges { .. }) {
                self.publish_gauges();
            }
            match errand.go_on(&mut self.swarms, now.uptime_s) {
                Some(rest) => self.errands.0.push_back(rest),
                None => self.publish_gauges(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;
    use crate::shard::NO_DETAILS;
    use crate::swarm::{PeerAnnounce, Settings};

    const TORRENT: InfoHash = InfoHash([1; InfoHash::LEN]);

    fn swarms() -> Swarms {
        Swarms::new(Settings {
            seeds: [1, 2, 3, 4],
            peer_timeout_s: 100,
            remove_peerless: true,
            memory_budget: None,
            peer_details: true,
        })
    }

    fn peer(number: u32) -> PeerAddr {
        let [a, b, c, d] = number.to_be_bytes();
        PeerAddr::V4([a, b, c, d, 26, 225])
    }

    fn announce(swarms: &mut Swarms, number: u32, uploaded: u64) {
        let announce = PeerAnnounce {
            info_hash: TORRENT,
            peer: peer(number),
            state: State::Seeding,
            completed: false,
            wanted: 0,
        };
        let said = PeerDetails {
            uploaded,
            key: 1,
            ..NO_DETAILS
        };
        swarms.announce(swarms.hash(&TORRENT), &announce, 0, 0, &mut []);
        swarms.note_details(&announce, said);
        swarms.credit(&announce, &said, 0);
    }

    /// Turns until the errand is done; how many it took.
    fn run(errand: Errand, swarms: &mut Swarms) -> usize {
        let (mut rest, mut turns) = (Some(errand), 0);
        while let Some(errand) = rest {
            rest = errand.go_on(swarms, 0);
            turns += 1;
        }
        turns
    }

    #[test]
    fn a_page_is_told_in_slices_and_the_next_begins_where_it_ended() {
        let mut swarms = swarms();
        for number in 0..1000 {
            announce(&mut swarms, number, 0);
        }
        let mut cursor = LookCursor::default();
        let mut told = Vec::new();
        for (room, turns) in [(300, 3), (300, 3), (500, 4)] {
            let (errand, mut answer) = Errand::swarm(TORRENT, cursor, Vec::with_capacity(room));
            assert_eq!(run(errand, &mut swarms), turns);
            let page = answer.try_recv().unwrap().unwrap();
            assert_eq!(page.totals.seeders, 1000);
            told.extend(page.peers.iter().map(|peer| peer.addr));
            cursor = page.cursor;
        }
        assert!(cursor.is_at_end());
        told.sort_unstable();
        let all = (0..1000).map(|number| socket_addr(peer(number)));
        assert_eq!(told, all.collect::<Vec<_>>());
        let last = SocketAddr::from(([0, 0, 3, 231], 6881));
        assert_eq!(told.last(), Some(&last));
    }

    #[test]
    fn a_torrent_that_is_unknown_or_gone_meanwhile_is_none() {
        let mut swarms = swarms();
        let (errand, mut answer) = Errand::swarm(TORRENT, LookCursor::default(), Vec::new());
        run(errand, &mut swarms);
        assert!(answer.try_recv().unwrap().is_none());
        for number in 0..1000 {
            announce(&mut swarms, number, 0);
        }
        let room = Vec::with_capacity(1000);
        let (errand, mut answer) = Errand::swarm(TORRENT, LookCursor::default(), room);
        let errand = errand.go_on(&mut swarms, 0).unwrap();
        swarms.forget(&TORRENT);
        run(errand, &mut swarms);
        assert!(answer.try_recv().unwrap().is_none());
    }

    #[test]
    fn whoever_goes_leaves_no_work_behind_but_a_torrent_that_is_half_forgotten() {
        let mut swarms = swarms();
        let torrent = || (TORRENT, 3, vec![(peer(1), State::Seeding, 0); 1000]);
        let (errand, answer) = Errand::restore(vec![torrent()]);
        let errand = errand.go_on(&mut swarms, 0).unwrap();
        drop(answer);
        assert_eq!(run(errand, &mut swarms), 1);
        for number in 0..1000 {
            announce(&mut swarms, number, 0);
        }
        let other = InfoHash([2; InfoHash::LEN]);
        swarms.restore(other, 1, 0, std::iter::empty());
        let (errand, answer) = Errand::forget(vec![TORRENT, other]);
        let errand = errand.go_on(&mut swarms, 0).unwrap();
        drop(answer);
        assert!(run(errand, &mut swarms) > 5);
        assert!((0..1000).all(|number| swarms.details(&TORRENT, peer(number)).is_none()));
        assert_eq!(swarms.len(), 1);
    }

    #[test]
    fn what_is_to_be_credited_stays_when_nobody_takes_it() {
        let mut swarms = swarms();
        for uploaded in [0, 70] {
            announce(&mut swarms, 1, uploaded);
        }
        let (errand, answer) = Errand::transfers();
        drop(answer);
        run(errand, &mut swarms);
        for uploaded in [70, 0] {
            let (errand, mut answer) = Errand::transfers();
            assert_eq!(run(errand, &mut swarms), 1);
            let transfers = answer.try_recv().unwrap();
            let sum: u64 = transfers.iter().map(|sum| sum.uploaded).sum();
            assert_eq!(sum, uploaded);
        }
    }

    #[test]
    fn torrents_come_back_in_slices_with_all_their_peers() {
        let mut swarms = swarms();
        let torrents: Vec<Returning> = (0..200_u8)
            .map(|number| {
                let peers = (0..u32::from(number)).map(|at| (peer(at), State::Leeching, 5));
                (InfoHash([number; 20]), 1, peers.collect())
            })
            .collect();
        let (errand, mut answer) = Errand::restore(torrents);
        let cost = 200 + 199 * 200 / 2;
        let turns = run(errand, &mut swarms);
        assert!(
            (cost / SLICE..cost / SLICE + 200).contains(&turns),
            "{turns}"
        );
        let (restored, torrents) = answer.try_recv().unwrap();
        assert_eq!((restored.torrents, restored.peers), (200, 199 * 200 / 2));
        assert_eq!(torrents.len(), 200);
        assert_eq!(swarms.totals(&InfoHash([150; 20])).leechers, 150);
    }

    #[test]
    fn no_more_errands_are_taken_than_a_core_can_keep_in_mind() {
        let mut under_way = UnderWay::default();
        let mut taken = 0;
        let mut answers: Vec<_> = (0..ERRANDS_MAX + 5)
            .map(|_| {
                let (errand, answer) = Errand::sweep_all();
                taken += usize::from(under_way.take(errand));
                answer
            })
            .collect();
        let gone = answers.iter_mut().map(Receiver::try_recv);
        let gone = gone.filter(|answer| *answer == Err(TryRecvError::Closed));
        assert_eq!((taken, gone.count()), (ERRANDS_MAX, 5));
    }
}
