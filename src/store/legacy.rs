//! What a tracker leaves to its successor, from memory to memory: all torrents with their peers, and
//! whatever changes from then on, in the rows of the file of the swarms.
//!
//! ```text
//!   frame    u16 | length u32 | row, as the schema has it
//!
//!            below 0x8000    a torrent, or a part of it; the peers' ages as of the beginning
//!            CHANGED         a peer as it is now, and its torrent's count
//!            GONE            a peer that has left
//! ```
//!
//! Frames of one core are to be read in their order: each tells how things were when it was written.

use std::net::IpAddr;

use super::schema::{self, Buckets, ROW_HEAD_LEN_MAX};
use super::telling::{self, Telling, Wanted};
use crate::swarm::{Change, PeerAddr, Restored, State, Swarms};
use crate::wire::InfoHash;

const CHANGED: u16 = 0xffff;
const GONE: u16 = 0xfffe;

/// The telling of one core.
pub struct Legacy {
    telling: Telling,
    unit_s: u32,
}

/// How the frames are to be read.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Seconds of a unit of age: [`Legacy::unit_s`] of whoever wrote them.
    pub unit_s: u32,
    /// Seconds since the beginning.
    pub elapsed_s: u32,
    /// Seconds since this tracker started.
    pub now_s: u32,
}

impl Legacy {
    /// A legacy that begins `taken_s` after the start.
    pub fn new(taken_s: u32, peer_timeout_s: u32) -> Self {
        let unit_s = Self::unit_s(peer_timeout_s);
        let wanted = Wanted {
            // Nobody sorts by them.
            buckets: Buckets::new(&[0; schema::SALT_LEN]),
            range: 0..schema::BUCKETS,
            taken_s,
            unit_s,
            peers: true,
        };
        Self {
            telling: Telling::new(wanted),
            unit_s,
        }
    }

    /// Seconds of a unit of age.
    pub fn unit_s(peer_timeout_s: u32) -> u32 {
        schema::unit_s(peer_timeout_s)
    }

    /// Most bytes that a slice of this budget writes.
    pub const fn slice_len_max(budget: usize) -> usize {
        Telling::slice_len_max(budget)
    }

    /// Writes the frames of a slice: of so many records and peers at most. True at the end.
    pub fn tell(&mut self, swarms: &Swarms, budget: usize, out: &mut Vec<u8>) -> bool {
        self.telling.go_on(swarms, budget, out)
    }

    /// Writes the frame of a change.
    pub fn note(&self, change: &Change, out: &mut Vec<u8>) {
        let tag = match change.state {
            State::Stopped => GONE,
            State::Seeding | State::Leeching | State::Paused => CHANGED,
        };
        let state = schema::state_bytes(change.state, 0, self.unit_s);
        telling::frame(out, tag, |out| {
            let (v4, v6, wire): (_, _, &[u8]) = match &change.peer {
                PeerAddr::V4(wire) => (1, 0, wire),
                PeerAddr::V6(wire) => (0, 1, wire),
            };
            schema::write_row_head(out, &change.info_hash, change.completed, v4, v6);
            out.extend_from_slice(wire);
            out.extend_from_slice(&state);
        });
    }

    /// Most bytes of the frame of a change.
    pub const NOTE_LEN_MAX: usize =
        telling::FRAME_HEAD_LEN + ROW_HEAD_LEN_MAX + schema::PEER_LEN_MAX;
}

/// Reads the frames of those torrents that `owns` is true for into `swarms`, with those peers that `admits`
/// is true for. An error says that the bytes are not what they should be; what was read before stays.
pub fn inherit(
    frames: &[u8],
    reading: Reading,
    owns: impl Fn(&InfoHash) -> bool,
    admits: impl Fn(IpAddr) -> bool,
    swarms: &mut Swarms,
    restored: &mut Restored,
) -> Result<(), &'static str> {
    let malformed = "what the other process tells makes no sense";
    let Reading {
        unit_s,
        elapsed_s,
        now_s,
    } = reading;
    let mut rest = frames;
    while !rest.is_empty() {
        let (tag, row) = telling::split_frame(&mut rest).ok_or(malformed)?;
        let row = schema::read_row(row).map_err(|_| malformed)?;
        if !owns(&row.info_hash) {
            continue;
        }
        if tag != CHANGED && tag != GONE {
            let peers = row.peers(unit_s, elapsed_s);
            *restored += super::bring_back(&row, peers, now_s, &admits, swarms);
            continue;
        }
        let (peer, state, _) = row.peers(unit_s, 0).next().ok_or(malformed)?;
        if !admits(peer.address()) {
            continue;
        }
        let change = Change {
            info_hash: row.info_hash,
            peer,
            state: if tag == GONE { State::Stopped } else { state },
            completed: row.completed,
        };
        swarms.repeat(&change, now_s);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::{PeerAnnounce, Settings, Totals};

    const ONE: InfoHash = InfoHash([0x11; 20]);
    const TWO: InfoHash = InfoHash([0x22; 20]);
    const V4: PeerAddr = PeerAddr::V4([192, 0, 2, 1, 0x1a, 0xe1]);
    const V6: PeerAddr = PeerAddr::V6([0x20; 18]);

    fn swarms() -> Swarms {
        Swarms::new(Settings {
            seeds: [1, 2, 3, 4],
            peer_timeout_s: 20_000,
            remove_peerless: true,
            memory_budget: None,
            peer_details: false,
        })
    }

    fn told() -> Vec<u8> {
        let mut old = swarms();
        old.write_changes(true);
        let mut out = Vec::new();
        let mut legacy = Legacy::new(5, 20_000);
        old.restore(ONE, 7, 5, [(V4, State::Leeching, 100)].into_iter());
        old.restore(TWO, 0, 5, [(V4, State::Seeding, 0)].into_iter());
        while !legacy.tell(&old, 10, &mut out) {}
        let announces = [
            (ONE, V4, State::Seeding),
            (ONE, V6, State::Paused),
            (TWO, V4, State::Stopped),
        ];
        for (info_hash, peer, state) in announces {
            let announce = PeerAnnounce {
                info_hash,
                peer,
                state,
                completed: true,
                wanted: 0,
            };
            let hash = old.hash(&info_hash);
            old.announce(hash, &announce, 6, 0, &mut []);
        }
        for change in old.take_changes() {
            let before = out.len();
            legacy.note(&change, &mut out);
            assert!(out.len() - before <= Legacy::NOTE_LEN_MAX);
        }
        out
    }

    fn reading() -> Reading {
        Reading {
            unit_s: Legacy::unit_s(20_000),
            elapsed_s: 1,
            now_s: 3,
        }
    }

    #[test]
    fn a_successor_knows_what_its_predecessor_knew() {
        let mut heir = swarms();
        let mut restored = Restored::default();
        inherit(
            &told(),
            reading(),
            |_| true,
            |_| true,
            &mut heir,
            &mut restored,
        )
        .unwrap();
        assert_eq!((restored.torrents, restored.peers), (2, 2));
        let one = Totals {
            seeders: 1,
            leechers: 1,
            partial: 1,
            completed: 8,
        };
        assert_eq!(heir.totals(&ONE), one);
        assert_eq!(heir.totals(&TWO), Totals::default());
        let mut other = swarms();
        inherit(
            &told(),
            reading(),
            |hash| *hash == TWO,
            |_| true,
            &mut other,
            &mut restored,
        )
        .unwrap();
        assert_eq!(other.totals(&ONE), Totals::default());
    }

    #[test]
    fn bytes_that_were_cut_or_mangled_are_an_error_or_something_else_but_never_a_panic() {
        let bytes = told();
        let read = |bytes: &[u8]| {
            let mut restored = Restored::default();
            inherit(
                bytes,
                reading(),
                |_| true,
                |_| true,
                &mut swarms(),
                &mut restored,
            )
        };
        let whole = (0..bytes.len()).filter(|len| read(&bytes[..*len]).is_ok());
        assert_eq!(whole.count(), 5, "between the frames, and before the first");
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..20_000 {
            let mut mangled = bytes.clone();
            for _ in 0..rng.usize(1..5) {
                let at = rng.usize(..mangled.len());
                mangled[at] = rng.u8(..);
            }
            let _ = read(&mangled);
        }
    }
}
