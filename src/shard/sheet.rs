//! The rows of a scrape whose torrents may belong to several cores.
//!
//! Such a scrape *travels*: each core fills in the rows of its own torrents and passes it on, the
//! last one sees to the answer. It visits a core at most once, and there is nothing to gather, to
//! time out or to lose track of.

use crate::limits::SCRAPE_HASHES_MAX;
use crate::swarm::Totals;
use crate::wire::InfoHash;

/// Info-hashes and what is known of them.
pub struct Sheet {
    len: usize,
    /// One bit a row.
    filled: u128,
    info_hashes: [InfoHash; SCRAPE_HASHES_MAX],
    rows: [Totals; SCRAPE_HASHES_MAX],
}

const _: () = assert!(SCRAPE_HASHES_MAX <= u128::BITS as usize);

impl Sheet {
    /// A sheet without a row.
    pub fn empty() -> Self {
        const NOTHING: Totals = Totals {
            seeders: 0,
            leechers: 0,
            partial: 0,
            completed: 0,
        };
        Self {
            len: 0,
            filled: 0,
            info_hashes: [InfoHash([0; InfoHash::LEN]); SCRAPE_HASHES_MAX],
            rows: [NOTHING; SCRAPE_HASHES_MAX],
        }
    }

    /// Begins anew: `write` puts up to [`SCRAPE_HASHES_MAX`] info-hashes in place and says how many.
    pub fn begin(&mut self, write: impl FnOnce(&mut [InfoHash; SCRAPE_HASHES_MAX]) -> usize) {
        self.filled = 0;
        self.len = write(&mut self.info_hashes).min(SCRAPE_HASHES_MAX);
    }

    /// Fills in the rows for which `row` has an answer.
    pub fn fill(&mut self, mut row: impl FnMut(&InfoHash) -> Option<Totals>) {
        for position in 0..self.len {
            if let Some(row) = row(&self.info_hashes[position]) {
                self.rows[position] = row;
                self.filled |= 1 << position;
            }
        }
    }

    /// The first torrent without a row: its owner comes next. `None` when all is filled in.
    pub fn next(&self) -> Option<&InfoHash> {
        let position = self.filled.trailing_ones() as usize;
        self.info_hashes[..self.len].get(position)
    }

    /// The rows in the order of the request.
    pub fn rows(&self) -> impl Iterator<Item = (&InfoHash, &Totals)> {
        self.info_hashes[..self.len].iter().zip(&self.rows)
    }
}
