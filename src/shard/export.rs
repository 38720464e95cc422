//! How the totals of every torrent leave a core: a slice a turn, in chunks, to whoever asked.

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use crate::gate::access::HashAccess;
use crate::swarm::{ExportCursor, Swarms, Totals};
use crate::wire::InfoHash;

/// Torrents that one turn visits at most: some microseconds of work.
const SLICE: usize = 256;

/// A torrent and what is known of it.
pub type Row = (InfoHash, Totals);

/// Rows of one core.
pub struct Chunk {
    /// Every torrent of the core that is served comes in one of its chunks; some may come twice.
    pub rows: Vec<Row>,
    /// True in the last chunk of a core.
    pub last: bool,
}

/// An export under way on one core.
pub struct Export {
    cursor: ExportCursor,
    rows: Vec<Row>,
    full: Sender<Chunk>,
    /// Where empty buffers come from; whoever sends one rings the core.
    spare: Receiver<Vec<Row>>,
}

impl Export {
    /// An export that fills the buffers which come over `spare`, each up to its capacity, and sends them
    /// over `full`, which must have room for all of them.
    pub fn new(full: Sender<Chunk>, spare: Receiver<Vec<Row>>) -> Self {
        Self {
            cursor: ExportCursor::default(),
            rows: Vec::new(),
            full,
            spare,
        }
    }

    /// True when it can do nothing before it gets an empty buffer.
    pub(super) fn is_blocked(&self) -> bool {
        self.rows.capacity() == 0 && self.spare.is_empty()
    }

    /// Visits a slice of the torrents, and takes those that are served. True when it is done, or nobody
    /// wants it any more.
    pub(super) fn go_on(&mut self, swarms: &Swarms, hashes: &HashAccess) -> bool {
        if self.rows.capacity() == 0 {
            match self.spare.try_recv() {
                Ok(rows) => self.rows = rows,
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => return true,
            }
        }
        let Self { cursor, rows, .. } = self;
        let room = rows.capacity() - rows.len();
        let restricts = hashes.restricts();
        let last = swarms.export(cursor, SLICE.min(room), |info_hash, totals| {
            if !restricts || hashes.permits(info_hash) {
                rows.push((*info_hash, totals));
            }
        });
        if last || rows.len() == rows.capacity() {
            let rows = std::mem::take(rows);
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
    use crate::swarm::Settings;

    #[test]
    fn a_buffer_that_comes_back_while_the_core_falls_asleep_keeps_it_awake() {
        let (full, _chunks) = bounded(1);
        let (spare, spares) = bounded(1);
        let mut export = Export::new(full, spares);
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
