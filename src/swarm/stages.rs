//! Asking for the memory of a batch of announces before the first is answered.
//!
//! Each stage reads what the one before asked for, and asks for what the next will read. A turn
//! runs a stage for all its requests before it begins the next stage, so that the waits of a batch
//! happen at one time. None changes anything; leaving any out costs time only.

use super::body::{Body, View};
use super::family::{Family, V4, V6};
use super::peers::Peers;
use super::{PeerAddr, PeerAnnounce, State, Swarms, sample};

/// Where a torrent probably is: what one stage of prefetching hands to the next. Good until the
/// next sweep, worth nothing as an answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Likely(Option<u32>);

/// The lists of a swarm that are on the heap.
type Lists<'a> = (Option<&'a Peers<V4>>, Option<&'a Peers<V6>>);

impl Swarms {
    /// First stage: asks for the bucket of the index.
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Second stage: reads the bucket, asks for the record.
    #[inline]
    pub fn prefetch_record(&self, hash: u64) -> Likely {
        let candidate = self.index.candidate(hash);
        if let Some(position) = candidate {
            self.records.prefetch(position);
        }
        Likely(candidate)
    }

    /// Third stage: reads the record, asks for its lists if it has any; the next stages have
    /// nothing to do otherwise. For both families: the counts in a reply are over both.
    #[inline]
    pub fn prefetch_peers(&self, likely: Likely) -> Likely {
        let Some((v4, v6)) = self.likely_lists(likely) else {
            return Likely(None);
        };
        if let Some(list) = v4 {
            list.prefetch();
        }
        if let Some(list) = v6 {
            list.prefetch();
        }
        likely
    }

    /// Fourth stage: reads the list, asks for the line where the search for the peer begins.
    #[inline]
    pub fn prefetch_search(&self, likely: Likely, peer: &PeerAddr) {
        match (peer, self.likely_lists(likely)) {
            (PeerAddr::V4(wire), Some((Some(list), _))) => list.prefetch_search(wire, &self.keys),
            (PeerAddr::V6(wire), Some((_, Some(list)))) => list.prefetch_search(wire, &self.keys),
            _ => {}
        }
    }

    /// Fifth stage: reads the peer's slot in the index of its list, asks for its entry, and for
    /// the peers that it will be told of if `turn` is the one that the announce is given.
    #[inline]
    pub fn prefetch_entries(&self, likely: Likely, announce: &PeerAnnounce, turn: u64) {
        match (&announce.peer, self.likely_lists(likely)) {
            (PeerAddr::V4(wire), Some((Some(list), _))) => {
                self.prefetch_reply(list, wire, announce, turn);
            }
            (PeerAddr::V6(wire), Some((_, Some(list)))) => {
                self.prefetch_reply(list, wire, announce, turn);
            }
            _ => {}
        }
    }

    #[inline]
    fn prefetch_reply<F: Family>(
        &self,
        list: &Peers<F>,
        wire: &F::Wire,
        announce: &PeerAnnounce,
        turn: u64,
    ) {
        list.prefetch_entry(wire, &self.keys);
        let View { entries, seeders } = list.view();
        match announce.state {
            State::Seeding => sample::prefetch::<F>(&entries[seeders..], announce.wanted, turn),
            State::Leeching | State::Paused => {
                sample::prefetch::<F>(entries, announce.wanted, turn);
            }
            State::Stopped => {}
        }
    }

    #[inline]
    fn likely_lists(&self, likely: Likely) -> Option<Lists<'_>> {
        match &self.records.get(likely.0?).body {
            Body::Heap { v4, v6 } => Some((v4.as_deref(), v6.as_deref())),
            _ => None,
        }
    }
}
