//! How one core's swarms go to a successor while it still serves: first all of them, a slice a turn, and
//! with them whatever announces change meanwhile.
//!
//! ```text
//!   turn    changes of this turn | a slice of all torrents  ->  buffer  ->  channel
//! ```
//!
//! Both go into the same buffers, in the order in which they happen: so a change never comes before the
//! torrent as it was before.

use std::collections::VecDeque;

use crossbeam_channel::{Sender, TrySendError};

use crate::limits::{TURN_DATAGRAMS_MAX, TURN_HANDOVERS_MAX};
use crate::net::passage::WORD_LEN_MAX;
use crate::store::Legacy;
use crate::swarm::Swarms;

/// Records and peers that one turn tells at most: some microseconds of work.
const SLICE: usize = 512;

/// Most bytes that a turn adds.
const TURN_LEN_MAX: usize =
    Legacy::slice_len_max(SLICE) + (TURN_DATAGRAMS_MAX + TURN_HANDOVERS_MAX) * Legacy::NOTE_LEN_MAX;

/// Bytes of a buffer: a word through the passage, less one for its kind.
const BUFFER_LEN: usize = WORD_LEN_MAX - 1;

/// Buffers that may wait for a successor who takes them too slowly; then there is none: 64 MB.
const BEHIND_MAX: usize = 1024;

const _: () = assert!(TURN_LEN_MAX < BUFFER_LEN);

/// A part of what a core leaves.
pub struct Part {
    /// Frames of [`Legacy`], fewer than a word through the passage has bytes.
    pub frames: Vec<u8>,
    /// True once every torrent has been told.
    pub told: bool,
    /// True in the last part of a core.
    pub last: bool,
}

/// A succession under way on one core.
pub struct Succession {
    legacy: Legacy,
    buffer: Vec<u8>,
    full: VecDeque<Vec<u8>>,
    out: Sender<Part>,
    told: bool,
    told_so: bool,
    /// Nothing changes any more.
    over: bool,
}

impl Succession {
    /// A succession that sends what it has to tell over `out`. Whoever takes it from there rings the core.
    /// It ends with the last part, or when nobody takes it any more.
    pub fn new(legacy: Legacy, out: Sender<Part>) -> Self {
        Self {
            legacy,
            buffer: Vec::new(),
            full: VecDeque::new(),
            out,
            told: false,
            told_so: false,
            over: false,
        }
    }

    /// Nothing changes after this turn.
    pub(super) fn finish(&mut self) {
        self.over = true;
    }

    /// True when it could do more now.
    pub(super) fn can_go_on(&self) -> bool {
        let all_said = self.told_so && !self.over && self.full.is_empty();
        !(self.out.is_full() || all_said && self.buffer.is_empty())
    }

    /// Tells what this turn changed, and a slice more. True at its end.
    pub(super) fn go_on(&mut self, swarms: &mut Swarms) -> bool {
        for change in swarms.take_changes() {
            self.legacy.note(&change, &mut self.buffer);
        }
        if !self.told && self.full.is_empty() {
            self.told = self.legacy.tell(swarms, SLICE, &mut self.buffer);
        }
        if self.buffer.len() > BUFFER_LEN - TURN_LEN_MAX {
            self.full.push_back(std::mem::take(&mut self.buffer));
        }
        self.send() || self.full.len() > BEHIND_MAX
    }

    /// Sends as much as there is room for. True at the end.
    fn send(&mut self) -> bool {
        loop {
            // In part only when there is nothing to be waited for.
            let frames = match self.full.pop_front() {
                Some(frames) => frames,
                None if !self.told => return false,
                None if self.told_so && !self.over && self.buffer.is_empty() => return false,
                None => std::mem::take(&mut self.buffer),
            };
            let nothing_left = self.full.is_empty() && self.buffer.is_empty();
            let part = Part {
                frames,
                told: self.told && nothing_left,
                last: self.told && self.over && nothing_left,
            };
            let (told, last) = (part.told, part.last);
            match self.out.try_send(part) {
                Ok(()) if last => return true,
                Ok(()) => self.told_so |= told,
                Err(TrySendError::Full(part)) => {
                    self.full.push_front(part.frames);
                    return false;
                }
                Err(TrySendError::Disconnected(_)) => return true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;
    use crate::store::{Reading, inherit};
    use crate::swarm::{PeerAddr, PeerAnnounce, Restored, Settings, State};
    use crate::wire::InfoHash;

    fn swarms() -> Swarms {
        Swarms::new(Settings {
            seeds: [1, 2, 3, 4],
            peer_timeout_s: 3600,
            remove_peerless: true,
            memory_budget: None,
            peer_details: false,
        })
    }

    fn announce(swarms: &mut Swarms, torrent: u32, peer: u32) {
        let mut info_hash = InfoHash([1; 20]);
        info_hash.0[..4].copy_from_slice(&torrent.to_be_bytes());
        let [a, b, c, d] = peer.to_be_bytes();
        let announce = PeerAnnounce {
            info_hash,
            peer: PeerAddr::V4([10, b, c, d, a, 1]),
            state: State::Leeching,
            completed: false,
            wanted: 0,
        };
        let hash = swarms.hash(&info_hash);
        swarms.announce(hash, &announce, 0, 0, &mut []);
    }

    #[test]
    fn a_successor_that_takes_its_time_misses_nothing() {
        let mut old = swarms();
        for number in 0..20_000 {
            announce(&mut old, number % 700, number);
        }
        let (out, parts) = bounded(2);
        let mut succession = Succession::new(Legacy::new(0, 3600), out);
        old.write_changes(true);
        let mut heir = swarms();
        let mut restored = Restored::default();
        let reading = Reading {
            unit_s: Legacy::unit_s(3600),
            elapsed_s: 0,
            now_s: 0,
        };
        let mut take = |heir: &mut Swarms, last: &mut bool| {
            for part in parts.try_iter() {
                assert!(part.frames.len() < WORD_LEN_MAX);
                let (frames, restored) = (&part.frames, &mut restored);
                inherit(frames, reading, |_| true, |_| true, heir, restored).unwrap();
                *last = part.last;
            }
        };
        let (mut turns, mut over, mut last) = (0, false, false);
        while !over {
            for _ in 0..200 {
                announce(&mut old, turns % 900, 100_000 + turns);
            }
            turns += 1;
            if turns == 400 {
                succession.finish();
            }
            over = succession.go_on(&mut old);
            if turns % 3 == 0 {
                take(&mut heir, &mut last);
            }
        }
        take(&mut heir, &mut last);
        assert!(last && turns >= 400, "{turns}");
        assert_eq!(heir.gauges().v4, old.gauges().v4);
        assert!(heir.len() >= 700);
    }

    #[test]
    fn a_successor_that_takes_nothing_or_is_gone_is_given_up() {
        for gone in [false, true] {
            let (out, parts) = bounded(2);
            let mut succession = Succession::new(Legacy::new(0, 3600), out);
            let mut old = swarms();
            old.write_changes(true);
            let parts = (!gone).then_some(parts);
            let mut turns = 0;
            while !succession.go_on(&mut old) {
                for number in 0..250 {
                    announce(&mut old, number, turns);
                }
                turns += 1;
                assert!(turns < 100_000);
            }
            assert_eq!(turns < 10, gone, "{turns}");
            drop(parts);
        }
    }
}
