//! Torrents whose info-hashes are similar ([`crate::similar`]) in one swarm: that of the older one.
//!
//! ```text
//!   older      Index over the records    keyed hash of the signature -> torrents that stand for it
//!   newer      Table                     info-hashes that are answered from one of those
//! ```
//!
//! A torrent that becomes known stands for its signature, unless one that is similar does so already. It
//! does so until its record goes, which is when its last peer has gone; its place is then open. So there
//! is nothing to clean up, and a torrent that was restored counts as old.
//!
//! Strangers choose info-hashes. No more than [`OLDER_MAX`] torrents stand for one signature, so that
//! nobody makes a chain of thousands that are no likes of each other; any more stand for themselves only.
//! Of the newer ones, which are kept only to be told of, there are [`NEWER_MAX`] at most, and each goes
//! when it was not announced for as long as a peer may be silent.

use ahash::RandomState;

use super::index::Index;
use super::records::{Records, Swarm};
use super::table::{Entry, Table};
use super::{Swarms, Totals};
use crate::similar::{is_similar, share, signature};
use crate::wire::InfoHash;

/// Torrents that stand for one signature: as many as a look-up may have to read.
const OLDER_MAX: usize = 8;

/// Info-hashes that a core keeps to tell of them: 2 MiB with their part of an index.
const NEWER_MAX: usize = 1 << 16;

/// Newer info-hashes that one step of the sweep looks at.
const NEWER_A_SWEEP: usize = 64;

/// Which torrents share their swarm with others.
pub(super) struct Similar {
    threshold: f64,
    /// Records that stand for their signature.
    older: Index,
    newer: Table<Newer>,
    /// Newer ones that this pass of the sweep has not seen; the last of them is next.
    unswept: usize,
    /// Torrents and announces that found [`OLDER_MAX`] or [`NEWER_MAX`] reached.
    pub(super) older_refused: u64,
    pub(super) newer_refused: u64,
}

/// An info-hash that is answered from the swarm of another, and when it was announced last.
struct Newer {
    info_hash: InfoHash,
    heard_s: u32,
}

impl Entry for Newer {
    fn hash(&self, keys: &RandomState) -> u64 {
        super::hash(&self.info_hash, keys)
    }
}

/// For whom a torrent stands.
enum Standing {
    /// For itself, and for those that are similar.
    Older,
    /// This one stands for it.
    Newer(InfoHash),
    /// Nobody stands for it, nor it for others.
    Alone,
}

impl Similar {
    fn new(threshold: f64) -> Self {
        Self {
            threshold,
            older: Index::for_entries(0),
            newer: Table::default(),
            unswept: 0,
            older_refused: 0,
            newer_refused: 0,
        }
    }

    /// The most similar torrent decides, among equals the one with the smallest info-hash, so that it is
    /// the same each time.
    fn standing(&self, info_hash: &InfoHash, records: &Records, keys: &RandomState) -> Standing {
        let mut nearest: Option<(f64, InfoHash)> = None;
        let found = self.older.find(key(info_hash, keys), |position| {
            let other = records.get(position).info_hash;
            if is_similar(info_hash, &other, self.threshold) {
                let share = share(info_hash, &other);
                let is_nearer = |&(most, smallest): &(f64, InfoHash)| {
                    share > most || share >= most && other < smallest
                };
                if nearest.as_ref().is_none_or(is_nearer) {
                    nearest = Some((share, other));
                }
            }
            other == *info_hash
        });
        match (found, nearest) {
            (Some(_), _) => Standing::Older,
            (None, Some((_, older))) => Standing::Newer(older),
            (None, None) => Standing::Alone,
        }
    }

    /// Lets a torrent stand for its signature, unless a similar one or too many others do.
    pub(super) fn add(&mut self, position: u32, records: &Records, keys: &RandomState) {
        let info_hash = records.get(position).info_hash;
        if !matches!(self.standing(&info_hash, records, keys), Standing::Alone) {
            return;
        }
        let mut others = 0;
        let own = signature(&info_hash);
        let hash_of = |at: u32| key_of(records.get(at), keys);
        self.older.find(hash_of(position), |at| {
            others += usize::from(signature(&records.get(at).info_hash) == own);
            false
        });
        if others < OLDER_MAX {
            self.older.insert(hash_of(position), position, hash_of);
        } else {
            self.older_refused += 1;
        }
    }

    /// A record goes, and the last one takes its place. To be called before that happens.
    pub(super) fn remove(&mut self, position: u32, records: &Records, keys: &RandomState) {
        let hash_of = |at: u32| key_of(records.get(at), keys);
        if self.has(position, hash_of(position)) {
            self.older.remove(hash_of(position), position, hash_of);
        }
        let last = records.len() as u32 - 1;
        if position != last && self.has(last, hash_of(last)) {
            self.older.relocate(hash_of(last), last, position);
        }
    }

    fn has(&self, position: u32, hash: u64) -> bool {
        self.older.find(hash, |at| at == position).is_some()
    }

    /// An announce for a newer info-hash came.
    fn note_newer(&mut self, info_hash: &InfoHash, now_s: u32, keys: &RandomState) {
        let hash = super::hash(info_hash, keys);
        let is_it = |_, newer: &Newer| newer.info_hash == *info_hash;
        if let Some(position) = self.newer.find(hash, is_it) {
            self.newer.get_mut(position).heard_s = now_s;
        } else if self.newer.len() < NEWER_MAX {
            let newer = Newer {
                info_hash: *info_hash,
                heard_s: now_s,
            };
            self.newer.push(newer, keys);
        } else {
            self.newer_refused += 1;
        }
    }

    /// Looks at some of the newer ones and forgets those that nobody announced for `timeout_s`, or whose
    /// older one has gone.
    pub(super) fn sweep(
        &mut self,
        now_s: u32,
        timeout_s: u32,
        records: &Records,
        keys: &RandomState,
    ) {
        if records.len() == 0 {
            // The next step comes when there are torrents again.
            (self.newer, self.unswept) = (Table::default(), 0);
        }
        if self.unswept == 0 {
            self.unswept = self.newer.len();
        }
        for _ in 0..NEWER_A_SWEEP.min(self.unswept) {
            self.unswept -= 1;
            let position = self.unswept as u32;
            let Newer { info_hash, heard_s } = self.newer.get(position);
            let silent = now_s.saturating_sub(*heard_s) >= timeout_s;
            let standing = || self.standing(info_hash, records, keys);
            if silent || !matches!(standing(), Standing::Newer(_)) {
                self.newer.swap_remove(position, keys);
            }
        }
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.older.bytes() + self.newer.bytes()
    }
}

/// What a torrent is found by for all that are similar.
fn key(info_hash: &InfoHash, keys: &RandomState) -> u64 {
    keys.hash_one(signature(info_hash))
}

fn key_of(swarm: &Swarm, keys: &RandomState) -> u64 {
    key(&swarm.info_hash, keys)
}

impl Swarms {
    /// From now on an announce for a torrent may be answered from the swarm of an older one whose info-hash
    /// is similar, with the threshold of [`is_similar`]. All that are known already count as older ones.
    pub fn merge_similar(&mut self, threshold: f64) {
        let mut similar = Box::new(Similar::new(threshold));
        for position in 0..self.records.len() as u32 {
            similar.add(position, &self.records, &self.keys);
        }
        self.similar = Some(similar);
    }

    /// The older torrent in whose swarm the peers of this one are; `None` for one that has a swarm of its
    /// own, or none.
    #[inline]
    pub fn older(&self, info_hash: &InfoHash) -> Option<InfoHash> {
        let similar = self.similar.as_ref()?;
        match similar.standing(info_hash, &self.records, &self.keys) {
            Standing::Newer(older) => Some(older),
            Standing::Older | Standing::Alone => None,
        }
    }

    /// The same for an announce, which must then name that torrent: the newer one is remembered, so that
    /// [`Self::export`] tells of it.
    #[inline]
    pub fn follow(&mut self, info_hash: &InfoHash, now_s: u32) -> Option<InfoHash> {
        let similar = self.similar.as_mut()?;
        match similar.standing(info_hash, &self.records, &self.keys) {
            Standing::Newer(older) => {
                similar.note_newer(info_hash, now_s, &self.keys);
                Some(older)
            }
            Standing::Older => None,
            Standing::Alone => {
                // It has lost the one that stood for it, or there were too many.
                let hash = super::hash(info_hash, &self.keys);
                let find = |at| self.records.get(at).info_hash == *info_hash;
                if let Some(position) = self.index.find(hash, find) {
                    similar.add(position, &self.records, &self.keys);
                }
                None
            }
        }
    }

    /// Visits newer info-hashes as [`Self::export`] does with records, each with the counts of the older
    /// torrent. `left` is its cursor.
    pub(super) fn export_newer(
        &self,
        left: &mut Option<usize>,
        budget: usize,
        mut visit: impl FnMut(&InfoHash, Totals),
    ) -> bool {
        let Some(similar) = &self.similar else {
            return true;
        };
        let from = left.unwrap_or(usize::MAX).min(similar.newer.len());
        let end = from.saturating_sub(budget);
        for position in (end..from).rev() {
            let info_hash = similar.newer.get(position as u32).info_hash;
            if let Some(older) = self.older(&info_hash) {
                visit(&info_hash, self.totals(&older));
            }
        }
        *left = Some(end);
        end == 0
    }
}

#[cfg(test)]
mod tests;
