//! What announces change, written down while somebody wants to know: for a successor that has been told
//! of all torrents and must not miss what comes after.

use super::{PeerAddr, PeerAnnounce, State, Swarms};
use crate::wire::InfoHash;

/// What has become of a peer and of its torrent. It says how things are, not what happened, so the last
/// one counts, however often one is repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// The torrent.
    pub info_hash: InfoHash,
    /// The peer.
    pub peer: PeerAddr,
    /// How it takes part now, or that it has left.
    pub state: State,
    /// Downloads of the torrent that were completed here.
    pub completed: u32,
}

impl Change {
    /// What an announce has changed.
    #[cold]
    pub(super) fn by(announce: &PeerAnnounce, completed: u32) -> Self {
        Self {
            info_hash: announce.info_hash,
            peer: announce.peer,
            state: announce.state,
            completed,
        }
    }
}

impl Swarms {
    /// Writes changes down from now on, or no longer. Those that announces make are: a torrent that is
    /// forgotten, and peers who return by [`Self::restore`] or time out, are not.
    pub fn write_changes(&mut self, wanted: bool) {
        self.changes = wanted.then(Vec::new);
    }

    /// The changes since the last call, in order.
    pub fn take_changes(&mut self) -> impl Iterator<Item = Change> + '_ {
        self.changes
            .iter_mut()
            .flat_map(|changes| changes.drain(..))
    }

    /// Does to these swarms what was done to others.
    pub fn repeat(&mut self, change: &Change, now_s: u32) {
        let Change {
            info_hash,
            peer,
            state,
            completed,
        } = *change;
        if state == State::Stopped {
            let hash = self.hash(&info_hash);
            let announce = PeerAnnounce {
                info_hash,
                peer,
                state,
                completed: false,
                wanted: 0,
            };
            self.announce(hash, &announce, now_s, 0, &mut []);
        } else {
            let peer = (peer, state, 0);
            self.restore(info_hash, completed, now_s, [peer].into_iter());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::VisitCursor;
    use super::super::model::{Trial, info_hash, settings};
    use super::*;

    #[test]
    fn who_is_told_all_and_then_the_changes_knows_what_there_is() {
        let mut trial = Trial::new(settings());
        let mut heir = Swarms::new(super::super::Settings {
            seeds: [9, 8, 7, 6],
            ..settings()
        });
        let announce = |trial: &mut Trial| {
            let torrents = if trial.rng.bool() { 2 } else { 300 };
            let announce = trial.chance(torrents, 400, 3);
            trial.announce(announce, false);
        };
        for _ in 0..20_000 {
            announce(&mut trial);
        }
        assert_eq!(trial.swarms.take_changes().count(), 0, "nobody wants them");
        trial.swarms.write_changes(true);
        let mut cursor = VisitCursor::default();
        let mut told = false;
        while !told {
            told = trial.swarms.visit(
                &mut cursor,
                50,
                trial.now_s,
                |_| true,
                |torrent| {
                    let peers = torrent.all_peers();
                    heir.restore(torrent.info_hash, torrent.completed, 0, peers);
                },
            );
            for _ in 0..trial.rng.u32(..60) {
                announce(&mut trial);
            }
            for change in trial.swarms.take_changes() {
                heir.repeat(&change, 0);
            }
        }
        for number in 0..300 {
            let info_hash = info_hash(number);
            assert_eq!(heir.totals(&info_hash), trial.swarms.totals(&info_hash));
        }
        let (mine, theirs) = (heir.gauges(), trial.swarms.gauges());
        assert_eq!((mine.v4, mine.v6), (theirs.v4, theirs.v6));
        assert!(theirs.completed > 100, "{theirs:?}");
    }
}
