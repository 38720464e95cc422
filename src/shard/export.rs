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

/// What an export is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// It has more to do.
    Going,
    /// It waits for an empty buffer.
    Blocked,
    /// It is done, or nobody wants it any more.
    Ended,
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

    /// Visits a slice of the torrents, and takes those that are served.
    pub(super) fn go_on(&mut self, swarms: &Swarms, hashes: &HashAccess) -> Progress {
        if self.rows.capacity() == 0 {
            match self.spare.try_recv() {
                Ok(rows) => self.rows = rows,
                Err(TryRecvError::Empty) => return Progress::Blocked,
                Err(TryRecvError::Disconnected) => return Progress::Ended,
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
                return Progress::Ended;
            }
        }
        if last {
            Progress::Ended
        } else {
            Progress::Going
        }
    }
}
