//! How all torrents leave a core, as totals or with their peers: a slice a turn, in buffers, to whoever
//! asked.

use std::collections::VecDeque;

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use super::similar::is_served;
use crate::gate::access::HashAccess;
use crate::store::Telling;
use crate::swarm::{ExportCursor, Swarms, Totals};
use crate::wire::InfoHash;

/// Torrents whose totals one turn tells at most: some microseconds of work.
const SLICE: usize = 256;

/// Records and peers that one turn tells at most: as much work.
const SLICE_PEERS: usize = 512;

/// A torrent and what is known of it.
pub type Row = (InfoHash, Totals);

/// What one core tells, in part.
pub struct Chunk<T = Row> {
    /// Rows of the torrents that are served, or bytes of all of them as the store has them. Each comes in
    /// one of the core's chunks; some may come twice.
    pub rows: Vec<T>,
    /// True in the last chunk of a core.
    pub last: bool,
}

/// An export under way on one core.
pub struct Export(Kind);

enum Kind {
    Totals(ExportCursor, Stream<Row>),
    Swarms(Telling, Stream<u8>),
}

/// The exports of a core that are under way, which take turns: however many come, each goes on.
#[derive(Default)]
pub(super) struct Exports(VecDeque<Export>);

/// Buffers that are filled and sent.
struct Stream<T> {
    buffer: Vec<T>,
    full: Sender<Chunk<T>>,
    /// Where empty buffers come from; whoever sends one rings the core.
    spare: Receiver<Vec<T>>,
}

impl Export {
    /// An export of totals that fills the buffers which come over `spare`, each up to its capacity, and
    /// sends them over `full`, which must have room for all of them.
    pub fn totals(full: Sender<Chunk>, spare: Receiver<Vec<Row>>) -> Self {
        Self(Kind::Totals(
            ExportCursor::default(),
            Stream::new(full, spare),
        ))
    }

    /// The same of swarms with their peers; a buffer must have room for several slices, of some 20 KB.
    pub fn swarms(telling: Telling, full: Sender<Chunk<u8>>, spare: Receiver<Vec<u8>>) -> Self {
        Self(Kind::Swarms(telling, Stream::new(full, spare)))
    }

    /// True when it can do nothing before it gets an empty buffer.
    pub(super) fn is_blocked(&self) -> bool {
        match &self.0 {
            Kind::Totals(_, stream) => stream.is_blocked(),
            Kind::Swarms(_, stream) => stream.is_blocked(),
        }
    }

    /// Visits a slice of the torrents. True when it is done, or nobody wants it any more.
    pub(super) fn go_on(&mut self, swarms: &Swarms, hashes: &HashAccess) -> bool {
        match &mut self.0 {
            Kind::Totals(cursor, stream) => stream.fill(1, |rows| {
                let room = rows.capacity() - rows.len();
                swarms.export(cursor, SLICE.min(room), |info_hash, totals| {
                    if is_served(swarms, hashes, info_hash) {
                        rows.push((*info_hash, totals));
                    }
                })
            }),
            Kind::Swarms(telling, stream) => {
                let room = const { Telling::slice_len_max(SLICE_PEERS) };
                stream.fill(room, |bytes| telling.go_on(swarms, SLICE_PEERS, bytes))
            }
        }
    }
}

impl Exports {
    pub(super) fn take(&mut self, export: Export) {
        self.0.push_back(export);
    }

    /// False when all wait for empty buffers.
    pub(super) fn can_go_on(&self) -> bool {
        self.0.iter().any(|export| !export.is_blocked())
    }

    /// Visits a slice of the torrents for the one whose turn it is. That may be one that waits for a buffer, or
    /// that nobody wants any more: only so is it noticed and let go.
    pub(super) fn go_on(&mut self, swarms: &Swarms, hashes: &HashAccess) {
        if let Some(mut export) = self.0.pop_front()
            && !export.go_on(swarms, hashes)
        {
            self.0.push_back(export);
        }
    }
}

impl<T> Stream<T> {
    fn new(full: Sender<Chunk<T>>, spare: Receiver<Vec<T>>) -> Self {
        Self {
            buffer: Vec::new(),
            full,
            spare,
        }
    }

    fn is_blocked(&self) -> bool {
        self.buffer.capacity() == 0 && self.spare.is_empty()
    }

    /// Lets `write` add to the buffer, and sends it when there is no `room` for as much again or `write`
    /// says that this was the last. True when it was, or nobody takes it.
    fn fill(&mut self, room: usize, write: impl FnOnce(&mut Vec<T>) -> bool) -> bool {
        if self.buffer.capacity() == 0 {
            match self.spare.try_recv() {
                Ok(buffer) => self.buffer = buffer,
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => return true,
            }
        }
        let last = write(&mut self.buffer);
        if last || self.buffer.capacity() - self.buffer.len() < room {
            let rows = std::mem::take(&mut self.buffer);
            if self.full.try_send(Chunk { rows, last }).is_err() {
                return true;
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;
    use crate::swarm::{PeerAddr, PeerAnnounce, Settings, State};

    fn some_swarms() -> Swarms {
        let mut swarms = Swarms::new(Settings {
            seeds: [1, 2, 3, 4],
            peer_timeout_s: 100,
            remove_peerless: true,
            memory_budget: None,
            peer_details: false,
        });
        for number in 0..4 * SLICE as u32 {
            let mut info_hash = InfoHash([0; InfoHash::LEN]);
            info_hash.0[..4].copy_from_slice(&number.to_be_bytes());
            let announce = PeerAnnounce {
                info_hash,
                peer: PeerAddr::V4([1, 2, 3, 4, 5, 6]),
                state: State::Seeding,
                completed: false,
                wanted: 0,
            };
            let hash = swarms.hash(&info_hash);
            swarms.announce(hash, &announce, 0, 0, &mut []);
        }
        swarms
    }

    #[test]
    fn an_export_ends_however_many_come_after_it() {
        let (swarms, hashes) = (some_swarms(), HashAccess::default());
        let mut exports = Exports::default();
        let (full, chunks) = bounded(1);
        let (spare, spares) = bounded(1);
        spare.send(Vec::with_capacity(8 * SLICE)).unwrap();
        exports.take(Export::totals(full, spares));
        // Those who are gone, those who take nothing, and those who begin all the time.
        let mut others = Vec::new();
        for turn in 0.. {
            assert!(turn < 100, "it never ends");
            if turn % 4 == 0 {
                let (full, chunks) = bounded(1);
                let (spare, spares) = bounded(1);
                match turn % 12 {
                    0 => {}
                    4 => others.push((chunks, spare)),
                    _ => {
                        spare.send(Vec::with_capacity(8 * SLICE)).unwrap();
                        others.push((chunks, spare));
                    }
                }
                exports.take(Export::totals(full, spares));
            }
            assert!(exports.can_go_on());
            exports.go_on(&swarms, &hashes);
            if let Ok(chunk) = chunks.try_recv() {
                assert!(chunk.last);
                assert_eq!(chunk.rows.len(), swarms.len());
                break;
            }
        }
        // Nobody wants any of them.
        drop(others);
        for _ in 0..100 {
            exports.go_on(&swarms, &hashes);
        }
        assert!(exports.0.is_empty());
    }

    #[test]
    fn a_buffer_that_comes_back_while_the_core_falls_asleep_keeps_it_awake() {
        let (full, _chunks) = bounded(1);
        let (spare, spares) = bounded(1);
        let mut export = Export::totals(full, spares);
        let swarms = Swarms::new(Settings {
            seeds: [1, 2, 3, 4],
            peer_timeout_s: 1,
            remove_peerless: true,
            memory_budget: None,
            peer_details: false,
        });
        assert!(!export.go_on(&swarms, &HashAccess::default()));
        assert!(export.is_blocked());
        spare.send(Vec::with_capacity(1)).unwrap();
        assert!(!export.is_blocked());
        assert!(export.go_on(&swarms, &HashAccess::default()));
    }
}
