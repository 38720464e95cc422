//! The control side's way to the cores: asks, waits, and puts together what comes back.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use tokio::sync::oneshot::Receiver;
use tokio::time::timeout;

use super::errand::{Errand, PeerView, Returning};
use super::mesh::{Collector, Full};
use crate::net::steering::Steering;
use crate::swarm::{LookCursor, Restored, Totals, Transfers};
use crate::wire::InfoHash;

/// How long a core may take over an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it may take to look at everything it has.
const SWEEP_PATIENCE: Duration = Duration::from_secs(60);

/// Most peers of a swarm, and most torrents with their peers, that one errand deals with.
const PAGE: usize = 1024;

/// Most torrents that one errand forgets.
const FORGET_PAGE: usize = 1024;

/// A core has no time, or is about to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the tracker is busy, try again")
    }
}

impl std::error::Error for Busy {}

impl From<Full> for Busy {
    fn from(Full: Full) -> Self {
        Self
    }
}

/// A swarm as the control side sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SwarmView {
    /// Its counts.
    pub totals: Totals,
    /// Its peers, in no particular order, as many as were asked for.
    pub peers: Vec<PeerView>,
}

/// Asks cores for this and that. Cheap to clone, for any thread with a runtime of tokio that keeps time.
#[derive(Clone)]
pub struct Errands {
    collector: Collector,
    steering: Steering,
}

impl Errands {
    /// `steering` says which core owns which torrent.
    pub fn new(collector: Collector, steering: Steering) -> Self {
        Self {
            collector,
            steering,
        }
    }

    /// A torrent's counts and up to `peers_max` of its peers, each once; `None` for one that is not known.
    /// A large swarm goes on living while it is told: who changes from leecher to seeder meanwhile may be
    /// missed.
    pub async fn swarm(
        &self,
        info_hash: InfoHash,
        peers_max: usize,
    ) -> Result<Option<SwarmView>, Busy> {
        let core = self.steering.core_of(&info_hash);
        let mut cursor = LookCursor::default();
        let mut seen = HashSet::new();
        let mut peers = Vec::new();
        loop {
            let room = Vec::with_capacity(peers_max.saturating_sub(peers.len()).min(PAGE));
            let page = self
                .ask(core, Errand::swarm(info_hash, cursor, room))
                .await?;
            let Some(page) = page else {
                return Ok(None);
            };
            peers.extend(page.peers.into_iter().filter(|peer| seen.insert(peer.addr)));
            cursor = page.cursor;
            // The allocator may give more room than was asked for.
            if cursor.is_at_end() || peers.len() >= peers_max {
                peers.truncate(peers_max);
                let totals = page.totals;
                return Ok(Some(SwarmView { totals, peers }));
            }
        }
    }

    /// Forgets torrents with their peers, what these say of themselves, and their counts of completed
    /// downloads. Returns how many of them were known. On an error some are forgotten and some are not;
    /// it does no harm to ask again.
    pub async fn forget(&self, info_hashes: &[InfoHash]) -> Result<usize, Busy> {
        let mut torrents = 0;
        for part in info_hashes.chunks(FORGET_PAGE) {
            let shares = self.shares(part.iter().copied(), |info_hash| info_hash);
            let asked = shares.into_iter().map(|(core, share)| {
                let (errand, answer) = Errand::forget(share);
                self.send(core, errand).map(|()| answer)
            });
            // Sent to all cores before the first is waited for.
            for answer in asked.collect::<Vec<_>>() {
                torrents += patient(PATIENCE, answer?).await?.torrents;
            }
        }
        Ok(torrents)
    }

    /// Brings torrents back, as [`Swarms::restore`](crate::swarm::Swarms::restore) does it. On an error
    /// some have come back and some have not; it does no harm to ask again.
    pub async fn restore(&self, torrents: Vec<Returning>) -> Result<Restored, Busy> {
        let mut restored = Restored::default();
        for piece in Pieces::of(torrents) {
            let shares = self.shares(piece.into_iter(), |(info_hash, ..)| info_hash);
            let asked = shares.into_iter().map(|(core, share)| {
                let (errand, answer) = Errand::restore(share);
                self.send(core, errand).map(|()| answer)
            });
            for answer in asked.collect::<Vec<_>>() {
                let (of_core, _) = patient(PATIENCE, answer?).await?;
                restored += of_core;
            }
        }
        Ok(restored)
    }

    /// Looks at all peers of all cores now and forgets those who were silent for too long.
    pub async fn sweep_all(&self) -> Result<(), Busy> {
        let asked = (0..self.collector.cores()).map(|core| {
            let (errand, answer) = Errand::sweep_all();
            self.send(core, errand).map(|()| answer)
        });
        for answer in asked.collect::<Vec<_>>() {
            patient(SWEEP_PATIENCE, answer?).await?;
        }
        Ok(())
    }

    /// Brings the gauges of all cores up to date: a reading of their counters knows then of everything that
    /// was answered before this was asked.
    pub async fn gauges(&self) -> Result<(), Busy> {
        let asked = (0..self.collector.cores()).map(|core| {
            let (errand, answer) = Errand::gauges();
            self.send(core, errand).map(|()| answer)
        });
        for answer in asked.collect::<Vec<_>>() {
            patient(PATIENCE, answer?).await?;
        }
        Ok(())
    }

    /// What is to be credited since the last time, from every core that answers; the others are asked again
    /// next time. A key and torrent are in one of them at most. To be awaited to its end: what was handed
    /// over to somebody who has gone is lost.
    pub async fn transfers(&self) -> Vec<Transfers> {
        let mut all = Vec::with_capacity(self.collector.cores());
        for core in 0..self.collector.cores() {
            let (errand, mut answer) = Errand::transfers();
            if self.send(core, errand).is_err() {
                continue;
            }
            let transfers = if let Ok(answered) = timeout(PATIENCE, &mut answer).await {
                answered.ok()
            } else {
                // From here on the core keeps them; if it has answered just now, that is here.
                answer.close();
                answer.try_recv().ok()
            };
            all.extend(transfers);
        }
        all
    }

    /// Sends an errand and waits for its answer.
    async fn ask<T>(
        &self,
        core: usize,
        (errand, answer): (Errand, Receiver<T>),
    ) -> Result<T, Busy> {
        self.send(core, errand)?;
        patient(PATIENCE, answer).await
    }

    fn send(&self, core: usize, errand: Errand) -> Result<(), Busy> {
        Ok(self.collector.send(core, errand)?)
    }

    /// What belongs to which core.
    fn shares<T>(
        &self,
        all: impl Iterator<Item = T>,
        info_hash: impl Fn(&T) -> &InfoHash,
    ) -> Vec<(usize, Vec<T>)> {
        let mut shares: Vec<(usize, Vec<T>)> = (0..self.collector.cores())
            .map(|core| (core, Vec::new()))
            .collect();
        for one in all {
            let core = self.steering.core_of(info_hash(&one));
            shares[core].1.push(one);
        }
        shares.retain(|(_, share)| !share.is_empty());
        shares
    }
}

/// Waits for an answer, but not for ever.
async fn patient<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, tokio::sync::oneshot::error::RecvError>>,
) -> Result<T, Busy> {
    match timeout(patience, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        // Too late, or the core dropped it.
        Ok(Err(_)) | Err(_) => Err(Busy),
    }
}

/// Torrents that are to return, in pieces that a core can take at one time. A torrent with too many peers
/// comes in parts.
struct Pieces {
    rest: std::vec::IntoIter<Returning>,
    /// What is left of a large torrent.
    cut: Option<Returning>,
}

impl Pieces {
    fn of(torrents: Vec<Returning>) -> Self {
        let rest = torrents.into_iter();
        Self { rest, cut: None }
    }
}

impl Iterator for Pieces {
    type Item = Vec<Returning>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut piece = Vec::new();
        let mut room = PAGE;
        while room > 0
            && let Some((info_hash, completed, mut peers)) =
                self.cut.take().or_else(|| self.rest.next())
        {
            room -= 1;
            if peers.len() > room {
                // The end of the list, as the rest need not move then.
                let end = peers.split_off(peers.len() - room);
                self.cut = Some((info_hash, completed, std::mem::replace(&mut peers, end)));
            }
            room -= peers.len();
            piece.push((info_hash, completed, peers));
        }
        (!piece.is_empty()).then_some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::{Known, PeerAddr, State};

    fn returning(number: u32, peers: u32) -> Returning {
        let mut info_hash = InfoHash([0; InfoHash::LEN]);
        info_hash.0[..4].copy_from_slice(&number.to_be_bytes());
        let peer = |at: u32| {
            let [a, b, c, d] = at.to_be_bytes();
            (PeerAddr::V4([10, a, b, c, d, 1]), State::Seeding, number)
        };
        (info_hash, number, (0..peers).map(peer).collect())
    }

    #[test]
    fn pieces_are_small_and_hold_every_peer_once() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..100 {
            let torrents: Vec<Returning> = (0..rng.u32(..3000))
                .map(|number| {
                    let peers = match rng.u32(..200) {
                        0 => rng.u32(..5000),
                        1 => PAGE as u32 - rng.u32(..3),
                        _ => rng.u32(..6),
                    };
                    returning(number, peers)
                })
                .collect();
            let mut again: Vec<Returning> = Vec::new();
            for piece in Pieces::of(torrents.clone()) {
                let cost = piece.iter().map(|(.., peers)| 1 + peers.len());
                assert!((1..=PAGE).contains(&cost.sum()));
                for (info_hash, completed, peers) in piece {
                    match again.last_mut() {
                        Some(last) if last.0 == info_hash => {
                            assert_eq!(last.1, completed);
                            last.2.splice(0..0, peers);
                        }
                        _ => again.push((info_hash, completed, peers)),
                    }
                }
            }
            assert_eq!(again, torrents);
        }
    }

    #[test]
    fn no_torrents_are_no_pieces() {
        assert!(Pieces::of(Vec::new()).next().is_none());
        let nobody: Vec<Known> = Vec::new();
        let one = vec![(InfoHash([1; 20]), 7, nobody)];
        assert_eq!(Pieces::of(one.clone()).collect::<Vec<_>>(), [one]);
    }
}
