//! What the control side wants of the cores.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crossbeam_channel::{Receiver, bounded};
use shoal::shard::{Busy, Chunk, Export, Row, SwarmView};
use shoal::swarm::{PeerAddr, State};
use shoal::wire::InfoHash;

use crate::model::Swarm;
use crate::world::World;

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Busy>>>>;

/// An errand under way.
pub(crate) enum Going {
    /// This torrent is to be forgotten.
    Forget(InfoHash, Answer<usize>),
    /// This one is looked at.
    Look(InfoHash, Answer<Option<SwarmView>>),
    /// All peers are looked at, since this second.
    Sweep(u32, Answer<()>),
    /// Gauges are brought up to date.
    Gauges(Answer<()>),
}

/// An export of a core under way, and what has come of it.
pub(crate) struct Exporting {
    core: usize,
    chunks: Receiver<Chunk>,
    rows: Vec<Row>,
}

/// More rows than there are torrents, so that a core tells all of them in one turn.
const ROWS: usize = 64;

fn poll<T>(answer: &mut Answer<T>) -> Option<Result<T, Busy>> {
    match answer
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

impl fmt::Debug for Going {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forget(torrent, _) => write!(f, "to forget {torrent:?}"),
            Self::Look(torrent, _) => write!(f, "to look at {torrent:?}"),
            Self::Sweep(since_s, _) => write!(f, "to sweep, since {since_s}"),
            Self::Gauges(_) => write!(f, "to bring gauges up to date"),
        }
    }
}

impl World {
    /// Sends a core, or all of them, on an errand.
    pub(crate) fn begin_errand(&mut self) {
        let errands = self.errands.clone();
        let torrent = self.hashes[self.random.usize(..self.hashes.len())];
        let going = match self.random.u32(..8) {
            0..2 => {
                // One with few peers: so it is forgotten in the turn in which that is told.
                let answer = Box::pin(async move { errands.forget(&[torrent]).await });
                Going::Forget(torrent, answer)
            }
            2..5 => {
                let answer = Box::pin(async move { errands.swarm(torrent, 1000).await });
                Going::Look(torrent, answer)
            }
            5 => {
                let answer = Box::pin(async move { errands.sweep_all().await });
                Going::Sweep(self.now.uptime_s, answer)
            }
            _ => {
                let core = self.random.usize(..self.cores.len());
                self.begin_export(core);
                return;
            }
        };
        self.send_errand(going);
    }

    /// Sends it now, unless a full queue refuses it.
    fn send_errand(&mut self, mut going: Going) -> bool {
        let refused = match &mut going {
            Going::Forget(_, answer) => poll(answer).map(|answer| answer.is_err()),
            Going::Look(_, answer) => poll(answer).map(|answer| answer.is_err()),
            Going::Sweep(_, answer) | Going::Gauges(answer) => {
                poll(answer).map(|answer| answer.is_err())
            }
        };
        assert_ne!(refused, Some(false), "nobody answers before his turn");
        let is_sent = refused.is_none();
        if is_sent {
            self.going.push(going);
        }
        is_sent
    }

    /// Has all peers looked at. The queues must be empty.
    pub(crate) fn begin_sweep(&mut self) {
        let errands = self.errands.clone();
        let answer = Box::pin(async move { errands.sweep_all().await });
        assert!(self.send_errand(Going::Sweep(self.now.uptime_s, answer)));
    }

    /// Has all gauges brought up to date. The queues must be empty.
    pub(crate) fn begin_gauges(&mut self) {
        let errands = self.errands.clone();
        let answer = Box::pin(async move { errands.gauges().await });
        assert!(self.send_errand(Going::Gauges(answer)));
    }

    /// Looks at a torrent. Its core's queue must be empty.
    pub(crate) fn begin_look(&mut self, torrent: InfoHash) {
        let errands = self.errands.clone();
        let answer = Box::pin(async move { errands.swarm(torrent, 1000).await });
        assert!(self.send_errand(Going::Look(torrent, answer)));
    }

    /// Asks a core for all its torrents. True when its queue had room.
    pub(crate) fn begin_export(&mut self, core: usize) -> bool {
        let (full, chunks) = bounded(2);
        let (spare, spares) = bounded(2);
        spare.send(Vec::with_capacity(ROWS)).expect("room for two");
        spare.send(Vec::with_capacity(ROWS)).expect("room for two");
        let sent = self.collector.export(core, Export::totals(full, spares));
        let is_sent = sent.is_ok();
        if is_sent {
            self.exports.push(Exporting {
                core,
                chunks,
                rows: Vec::new(),
            });
        }
        is_sent
    }

    /// Looks at what has been done for the control side at the end of a turn of `core`.
    pub(crate) fn look_at_errands(&mut self, core: usize) {
        for mut going in std::mem::take(&mut self.going) {
            let is_over = match &mut going {
                Going::Forget(torrent, answer) => match poll(answer) {
                    Some(Ok(known)) => {
                        let torrent = *torrent;
                        self.forget(torrent, known);
                        true
                    }
                    Some(Err(Busy)) => panic!("an errand was dropped"),
                    None => false,
                },
                Going::Look(torrent, answer) => match poll(answer) {
                    Some(Ok(view)) => {
                        let torrent = *torrent;
                        self.check_view(torrent, view.as_ref());
                        true
                    }
                    Some(Err(Busy)) => panic!("an errand was dropped"),
                    None => false,
                },
                // A sweep that found one queue full has begun at the others.
                Going::Sweep(since_s, answer) => match poll(answer) {
                    Some(Ok(())) => {
                        let since_s = *since_s;
                        for torrent in self.torrents.values_mut() {
                            torrent.swarm.swept(since_s);
                        }
                        true
                    }
                    Some(Err(Busy)) => true,
                    None => false,
                },
                Going::Gauges(answer) => poll(answer).is_some(),
            };
            if is_over {
                self.summary.errands += 1;
            } else {
                self.going.push(going);
            }
        }
        self.look_at_exports(core);
    }

    fn forget(&mut self, torrent: InfoHash, known: usize) {
        let torrent = self.torrents.get_mut(&torrent.0).expect("one of ours");
        let least = usize::from(torrent.swarm.is_known());
        assert!((least..=1).contains(&known), "{known} were known");
        torrent.swarm = Swarm::default();
    }

    pub(crate) fn check_view(&self, torrent: InfoHash, view: Option<&SwarmView>) {
        let swarm = &self.torrents[&torrent.0].swarm;
        let Some(view) = view else {
            assert!(!swarm.is_known(), "{torrent:?} is unknown, but {swarm:?}");
            return;
        };
        let peers = view.peers.iter().map(|peer| {
            let state = match (peer.seeder, peer.paused) {
                (true, _) => State::Seeding,
                (_, true) => State::Paused,
                _ => State::Leeching,
            };
            (PeerAddr::new(peer.addr.ip(), peer.addr.port()), state)
        });
        swarm.check_view(&view.totals, &peers.collect::<Vec<_>>());
    }

    fn look_at_exports(&mut self, core: usize) {
        for mut export in std::mem::take(&mut self.exports) {
            let mut is_over = false;
            for chunk in export.chunks.try_iter() {
                assert_eq!(export.core, core, "another core's export");
                export.rows.extend(chunk.rows);
                is_over |= chunk.last;
            }
            if is_over {
                self.summary.errands += 1;
                self.check_export(core, &export.rows);
            } else {
                self.exports.push(export);
            }
        }
    }

    fn check_export(&self, core: usize, rows: &[Row]) {
        for (info_hash, torrent) in &self.torrents {
            let info_hash = InfoHash(*info_hash);
            if self.steering.core_of(&info_hash) != core {
                continue;
            }
            let told: Vec<_> = rows.iter().filter(|(hash, _)| *hash == info_hash).collect();
            let swarm = &torrent.swarm;
            assert!(
                told.len() == 1 || !swarm.is_known() && told.is_empty(),
                "{told:?}"
            );
            for (_, totals) in told {
                let totals = (totals.seeders, totals.completed, totals.leechers);
                assert!(swarm.bounds().explain(totals), "{totals:?}, but {swarm:?}");
            }
        }
        let is_ours = |(hash, _): &Row| self.torrents.contains_key(&hash.0);
        assert!(rows.iter().all(is_ours), "a torrent that nobody knows");
    }
}
