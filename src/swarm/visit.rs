//! A walk over all torrents with their peers, in slices between which the swarms go on living: for
//! what survives a restart.
//!
//! It goes the way of an [export](super::export), from the last record to the first and for the same
//! reason. A torrent with more peers than a slice may tell is told in parts, its lists from the end to
//! the front.

use super::body::{Role, View};
use super::expiry::Calendar;
use super::family::{Family, V4, V6};
use super::{PeerAddr, State, Swarms};
use crate::wire::InfoHash;

/// Where a visit goes on. A new one begins with the default.
#[derive(Clone, Copy, Default, Debug)]
pub struct VisitCursor {
    /// Records that are to be visited, the last of them next; nothing before the first slice.
    left: Option<usize>,
    /// The torrent of which a part was told, when it is the next.
    part: Option<Part>,
}

/// How much of a torrent is still to be told: so many peers of each list, from its front.
#[derive(Clone, Copy, Debug)]
struct Part {
    info_hash: InfoHash,
    v4: usize,
    v6: usize,
}

/// A torrent with all its peers, or with a part of them.
pub struct Visited<'a> {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Downloads that were completed here.
    pub completed: u32,
    v4: View<'a, V4>,
    v6: View<'a, V6>,
    calendar: Calendar,
    now_s: u32,
}

/// A peer as it outlives a restart: its address, how it takes part (never [`State::Stopped`]), and
/// the seconds since it was heard of, to the tick of the swarms' clock and never too many.
pub type Known<A = PeerAddr> = (A, State, u32);

impl Visited<'_> {
    /// How many IPv4 and IPv6 peers are told.
    pub fn lens(&self) -> (usize, usize) {
        (self.v4.entries.len(), self.v6.entries.len())
    }

    /// The IPv4 peers, address and port as replies carry them. Those who have expired and are not
    /// swept away yet are among them.
    pub fn peers_v4(&self) -> impl Iterator<Item = Known<[u8; 6]>> + '_ {
        self.peers(&self.v4)
    }

    /// The IPv6 peers.
    pub fn peers_v6(&self) -> impl Iterator<Item = Known<[u8; 18]>> + '_ {
        self.peers(&self.v6)
    }

    /// The peers of both families.
    #[cfg(test)]
    pub(super) fn all_peers(&self) -> impl Iterator<Item = Known> + '_ {
        let v4 = self.peers_v4();
        let v6 = self.peers_v6();
        let v4 = v4.map(|(wire, state, age_s)| (PeerAddr::V4(wire), state, age_s));
        v4.chain(v6.map(|(wire, state, age_s)| (PeerAddr::V6(wire), state, age_s)))
    }

    fn peers<'v, F: Family>(
        &self,
        view: &'v View<'_, F>,
    ) -> impl Iterator<Item = Known<F::Wire>> + use<'v, F> {
        let (calendar, now_s, seeders) = (self.calendar, self.now_s, view.seeders);
        view.entries.iter().enumerate().map(move |(at, entry)| {
            let meta = F::meta(entry);
            let state = match Role::of(at < seeders, meta) {
                Role::Seeder => State::Seeding,
                Role::Leecher => State::Leeching,
                Role::Partial => State::Paused,
            };
            (F::wire(entry), state, calendar.age_s(meta.expiry(), now_s))
        })
    }
}

impl Swarms {
    /// Visits torrents from the cursor on for which `wants` is true, those without peers included,
    /// and returns true when the end is reached. Every record that is looked at and every peer that
    /// is told costs one of `budget`, which must not be 0. A torrent with fewer peers than that is
    /// told as a whole. `now_s` is the moment from which the age of a peer is counted.
    ///
    /// Everything may happen to the swarms between two slices, with the promise of
    /// [`Self::export`]: who stays is not missed, some come twice. Only within a torrent that is told
    /// in parts a peer may be missed, when it changes sides in the meantime or makes place for one
    /// that does.
    pub fn visit(
        &self,
        cursor: &mut VisitCursor,
        budget: usize,
        now_s: u32,
        wants: impl Fn(&InfoHash) -> bool,
        mut visit: impl FnMut(Visited<'_>),
    ) -> bool {
        let mut left = cursor.left.unwrap_or(usize::MAX).min(self.len());
        let mut spent = 0;
        while left > 0 && spent < budget {
            let swarm = self.records.get(left as u32 - 1);
            spent += 1;
            if !wants(&swarm.info_hash) {
                left -= 1;
                continue;
            }
            let (v4, v6) = (V4::view(&swarm.body), V6::view(&swarm.body));
            let (whole4, whole6) = (v4.entries.len(), v6.entries.len());
            let part = cursor.part.take();
            let (end4, end6) = match part.filter(|part| part.info_hash == swarm.info_hash) {
                Some(part) => (part.v4.min(whole4), part.v6.min(whole6)),
                None => (whole4, whole6),
            };
            let room = budget - spent;
            if end4 + end6 > room && spent > 1 {
                // A slice of its own for it, lest torrents be cut that need not be.
                break;
            }
            let from4 = end4 - end4.min(room);
            let from6 = end6 - end6.min(room - (end4 - from4));
            visit(Visited {
                info_hash: swarm.info_hash,
                completed: swarm.completed,
                v4: v4.part(from4, end4),
                v6: v6.part(from6, end6),
                calendar: self.calendar,
                now_s,
            });
            spent += (end4 - from4) + (end6 - from6);
            if from4 + from6 == 0 {
                left -= 1;
            } else {
                cursor.part = Some(Part {
                    info_hash: swarm.info_hash,
                    v4: from4,
                    v6: from6,
                });
            }
        }
        cursor.left = Some(left);
        left == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use fastrand::Rng;

    use super::super::model::settings;
    use super::super::model::{TIMEOUT_S, info_hash, leecher, peer_v4, peer_v6, random_state};
    use super::super::{PeerAnnounce, Settings};
    use super::*;

    type Peers = HashMap<PeerAddr, (State, u32)>;

    /// All that a whole visit tells, in slices of this budget.
    fn visited(swarms: &Swarms, budget: usize, now_s: u32) -> HashMap<InfoHash, (u32, Peers)> {
        let mut told: HashMap<InfoHash, (u32, Peers)> = HashMap::new();
        let mut cursor = VisitCursor::default();
        let mut ended = false;
        while !ended {
            ended = swarms.visit(
                &mut cursor,
                budget,
                now_s,
                |_| true,
                |torrent| {
                    let (v4, v6) = torrent.lens();
                    assert!(v4 + v6 < budget);
                    let entry = told.entry(torrent.info_hash).or_default();
                    entry.0 = torrent.completed;
                    for (peer, state, age_s) in torrent.all_peers() {
                        assert!(entry.1.insert(peer, (state, age_s)).is_none());
                    }
                },
            );
        }
        told
    }

    fn announce(swarms: &mut Swarms, what: &PeerAnnounce, now_s: u32) {
        let hash = swarms.hash(&what.info_hash);
        swarms.announce(hash, what, now_s, 0, &mut []);
    }

    #[test]
    fn every_peer_is_told_once_with_state_and_age_in_slices_of_any_size() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = Rng::with_seed(seed);
        for timeout_s in [60, TIMEOUT_S, 100_000] {
            let tick_s = timeout_s.div_ceil(4096);
            let mut swarms = Swarms::new(Settings {
                peer_timeout_s: timeout_s,
                ..settings()
            });
            let mut model: HashMap<InfoHash, Peers> = HashMap::new();
            // All within a time-out, so that nobody has expired at the end.
            let mut now_s = 1_000_000;
            for step in 0..timeout_s - 1 {
                now_s += u32::from(step % 2 == 0);
                let torrent = rng.u32(..40).saturating_sub(20);
                let number = rng.u32(..2000);
                let peer = if rng.bool() {
                    peer_v4(number)
                } else {
                    peer_v6(number)
                };
                let state = random_state(&mut rng);
                let what = PeerAnnounce {
                    state,
                    ..leecher(torrent, peer)
                };
                announce(&mut swarms, &what, now_s);
                let peers = model.entry(what.info_hash).or_default();
                match state {
                    State::Stopped => drop(peers.remove(&peer)),
                    _ => drop(peers.insert(peer, (state, now_s))),
                }
                if step > 20_000 {
                    break;
                }
            }
            for budget in [2, 3, 7, 100, 1_000_000] {
                let told = visited(&swarms, budget, now_s);
                for (info_hash, peers) in &model {
                    let none = (0, Peers::new());
                    let (_, told) = told.get(info_hash).unwrap_or(&none);
                    assert_eq!(told.len(), peers.len());
                    for (peer, (state, heard_s)) in peers {
                        let (told_state, age_s) = told[peer];
                        assert_eq!(told_state, *state);
                        let age = now_s - heard_s;
                        assert!(age_s <= age && age < age_s + tick_s, "{age_s} for {age}");
                    }
                }
            }
        }
    }

    #[test]
    fn only_what_is_wanted_is_told_and_a_slice_looks_at_no_more_than_its_budget() {
        let mut swarms = Swarms::new(settings());
        for number in 0..500 {
            announce(&mut swarms, &leecher(number, peer_v4(1)), 0);
        }
        let wanted: HashSet<InfoHash> = (0..500).step_by(50).map(info_hash).collect();
        let mut cursor = VisitCursor::default();
        let (mut slices, mut told) = (0, HashSet::new());
        let wants = |info_hash: &InfoHash| wanted.contains(info_hash);
        while !swarms.visit(&mut cursor, 20, 0, wants, |torrent| {
            assert!(told.insert(torrent.info_hash));
        }) {
            slices += 1;
        }
        assert_eq!(told, wanted);
        assert!((500 / 20..600 / 20).contains(&slices), "{slices}");
        assert!(swarms.visit(&mut cursor, 9, 0, |_| true, |_| panic!("after the end")));
    }

    #[test]
    fn a_torrent_that_stays_is_never_missed_whatever_happens_between_the_slices() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = Rng::with_seed(seed);
        let mut swarms = Swarms::new(settings());
        let (mut now_s, mut parts) = (0, 0);
        for round in 0..60 {
            let torrents = if round % 20 < 10 { 3000 } else { 30 };
            // These stay from the first slice to the last, with peers who announce nothing new.
            let steady: HashMap<InfoHash, u32> = (0..40)
                .map(|number| {
                    let count = if number == 0 { 300 } else { number % 6 + 1 };
                    for peer in 0..count {
                        let what = leecher(1_000_000 + number, peer_v4(peer));
                        announce(&mut swarms, &what, now_s);
                    }
                    (info_hash(1_000_000 + number), count)
                })
                .collect();
            let mut told: HashMap<InfoHash, HashSet<[u8; 6]>> = HashMap::new();
            let mut cursor = VisitCursor::default();
            let began_s = now_s;
            while !swarms.visit(
                &mut cursor,
                rng.usize(2..150),
                now_s,
                |_| true,
                |torrent| {
                    let peers = torrent.peers_v4().map(|(peer, ..)| peer);
                    told.entry(torrent.info_hash).or_default().extend(peers);
                },
            ) {
                parts += u32::from(cursor.part.is_some());
                for _ in 0..rng.u32(..100) {
                    let peer = peer_v4(rng.u32(..3));
                    let state = random_state(&mut rng);
                    let what = PeerAnnounce {
                        state,
                        ..leecher(rng.u32(..torrents), peer)
                    };
                    announce(&mut swarms, &what, now_s);
                }
                now_s = (now_s + rng.u32(..9)).min(began_s + TIMEOUT_S - 1);
                swarms.sweep(now_s, rng.usize(1..300));
            }
            for (info_hash, count) in steady {
                assert_eq!(told[&info_hash].len() as u32, count);
            }
            now_s += TIMEOUT_S / 2;
        }
        assert!(parts > 100, "{parts}");
    }
}
