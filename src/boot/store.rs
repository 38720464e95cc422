//! The store at the start: opened or refused, what it held, and the thread that keeps it.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use log::{info, warn};

use super::rules;
use super::takeover::{Estate, Heir, Inheritance, Kind};
use crate::clock::{Clock, Stopwatch};
use crate::config::Config;
use crate::counters::ThreadCounters;
use crate::gate::access::Access;
use crate::net::steering::Steering;
use crate::shard::Collector;
use crate::store::{self, Claim, Keeper, Opened, Records, Refusal, Store};
use crate::swarm::{Restored, Swarms};

/// What becomes of a file that cannot be made now.
const UNMADE_SWARMS: &str = "it will be tried again for the next snapshot";
const UNMADE_RECORDS: &str = "it will be tried again when a key or a list is changed";

/// A store that cores restore their swarms from.
pub(super) struct Shelf {
    claim: Arc<Claim>,
    store: Arc<Store>,
    records: Option<Arc<Records>>,
    stopwatch: Stopwatch,
    started_unix_s: u64,
}

/// What one core takes from it.
pub(super) struct Share {
    store: Arc<Store>,
    steering: Steering,
    core: usize,
    access: Arc<ArcSwap<Access>>,
    clock: Clock,
}

/// What a core got, and what was wrong with the file if that is damaged after all.
#[derive(Default)]
pub(super) struct Got {
    restored: Restored,
    damage: Option<String>,
}

impl Shelf {
    /// Opens the store, if there is to be one. Nothing is served when another tracker has it, when it is
    /// of a newer version, or when it is damaged and the configuration says so. A folder that cannot be
    /// used is only a warning, as the tracker works without.
    ///
    /// With a process before this one, `estate` has its claim to the folder.
    pub(super) fn open(
        config: &Config,
        clock: &Clock,
        estate: &mut Estate,
    ) -> Result<Option<Self>, String> {
        if config.store.path.is_empty() {
            return Ok(None);
        }
        let stopwatch = Stopwatch::start();
        let settings = store::Settings {
            snapshot_interval_s: config.store.snapshot_interval,
            keep_peers: config.store.keep_peers,
            on_damage: config.store.on_damage,
            peer_timeout_s: config.announce.peer_timeout_s(),
        };
        let started_unix_s = clock.now().unix_s;
        let salt = rules::salt()?;
        let path = Path::new(&config.store.path);
        let staked = match estate.take(Kind::Store, &path.display()).pop() {
            Some(descriptor) => Ok(Claim::share(path, descriptor)),
            None => Claim::stake(path),
        };
        let opened = staked.and_then(|claim| {
            let claim = Arc::new(claim);
            let opened = Store::open(&claim, settings, salt, started_unix_s)?;
            Ok((claim, opened))
        });
        let (claim, opened) = match opened {
            Ok(opened) => opened,
            Err(Refusal::Unusable(sentence)) => {
                warn!("{sentence}; torrents and peers will not survive a restart");
                return Ok(None);
            }
            Err(refusal) => return Err(refusal.sentence().to_owned()),
        };
        let store = Arc::new(told(opened, UNMADE_SWARMS));
        let records = match Records::open(&claim, config.store.on_damage, started_unix_s) {
            Ok(opened) => Some(Arc::new(told(opened, UNMADE_RECORDS))),
            Err(Refusal::Unusable(sentence)) => {
                warn!("{sentence}; keys and lists cannot be changed");
                None
            }
            Err(refusal) => return Err(refusal.sentence().to_owned()),
        };
        if let Ok(descriptor) = claim.descriptor() {
            estate.keep(Kind::Store, &path.display(), &descriptor);
        }
        Ok(Some(Self {
            claim,
            store,
            records,
            stopwatch,
            started_unix_s,
        }))
    }

    /// The records, unless their file cannot be used. They hold the folder until all who have them let
    /// go.
    pub(super) fn records(&self) -> Option<Arc<Records>> {
        self.records.clone()
    }

    /// Says in the folder that it is this process's.
    pub(super) fn sign(&self) {
        self.claim.sign();
    }

    /// The share of a core, as far as the rules about addresses admit peers.
    pub(super) fn share(
        &self,
        core: usize,
        steering: Steering,
        access: &Arc<ArcSwap<Access>>,
        clock: &Clock,
    ) -> Share {
        Share {
            store: Arc::clone(&self.store),
            steering,
            core,
            access: Arc::clone(access),
            clock: clock.clone(),
        }
    }

    /// Tells what the cores got, deals with damage that they found, and hands over the store, once every
    /// core has taken its share.
    pub(super) fn close(self, got: Vec<Got>, clock: &Clock) -> Result<Option<Store>, String> {
        // Not by those who have a process before them to ask.
        let was_read = !got.is_empty();
        let mut sum = Restored::default();
        let mut damage = None;
        for got in got {
            sum += got.restored;
            damage = damage.or(got.damage);
        }
        let ms = self.stopwatch.elapsed().as_millis();
        let unwelcome = match sum.unwelcome {
            0 => String::new(),
            n => format!(", {n} have addresses that are not admitted"),
        };
        if was_read && let Some(taken_unix_s) = self.store.taken_unix_s() {
            info!(
                "restored {} torrents with {} peers in {}.{:03} s from a snapshot {} s old; {} peers \
                 were silent for too long, {} found no room{unwelcome}",
                sum.torrents,
                sum.peers,
                ms / 1000,
                ms % 1000,
                self.started_unix_s.saturating_sub(taken_unix_s),
                sum.expired,
                sum.refused,
            );
        }
        // Every share has been dropped.
        let Some(store) = Arc::into_inner(self.store) else {
            return Ok(None);
        };
        match damage {
            None => Ok(Some(store)),
            Some(why) => match store.give_up_on_file(&why, clock.now().unix_s) {
                Ok(opened) => Ok(Some(told(opened, UNMADE_SWARMS))),
                Err(refusal) => Err(refusal.sentence().to_owned()),
            },
        }
    }
}

/// Where a core has its swarms from.
pub(super) enum Origin {
    /// It begins with none.
    Nothing,
    /// From the store.
    Store(Share),
    /// From the process before this one, as far as the rules about addresses admit peers.
    Process(Inheritance, Arc<ArcSwap<Access>>),
}

impl Origin {
    /// Fills the swarms of a core. The error is a sentence.
    pub(super) fn restore(
        self,
        core: usize,
        steering: Steering,
        clock: &Clock,
        swarms: &mut Swarms,
    ) -> Result<Got, String> {
        match self {
            Self::Nothing => Ok(Got::default()),
            Self::Store(share) => Ok(share.restore(swarms)),
            Self::Process(inheritance, access) => {
                let access = access.load_full();
                let admits = |address| access.admits_peer(address);
                let owns = |info_hash: &_| steering.core_of(info_hash) == core;
                let restored = inheritance.take(clock, owns, admits, swarms)?;
                Ok(Got {
                    restored,
                    damage: None,
                })
            }
        }
    }
}

/// Where each core has its swarms from: the process before this one, or else the store.
pub(super) fn origins(
    heir: &mut Option<&mut Heir>,
    shelf: Option<&Shelf>,
    (cores, steering): (usize, Steering),
    access: &Arc<ArcSwap<Access>>,
    clock: &Clock,
) -> Result<Vec<Origin>, String> {
    if let Some(heir) = heir {
        let inheritances = heir.begin(cores)?.into_iter();
        let origin = |inheritance| Origin::Process(inheritance, Arc::clone(access));
        return Ok(inheritances.map(origin).collect());
    }
    let origin = |core| match shelf {
        Some(shelf) => Origin::Store(shelf.share(core, steering, access, clock)),
        None => Origin::Nothing,
    };
    Ok((0..cores).map(origin).collect())
}

/// Tells what the cores got from the process before this one.
pub(super) fn tell_inherited(got: &[Got]) {
    let mut sum = Restored::default();
    for got in got {
        sum += got.restored;
    }
    info!(
        "took over {} torrents with {} peers; {} peers found no room",
        sum.torrents, sum.peers, sum.refused
    );
}

impl Share {
    /// Fills the swarms of a core. To be done on its thread, so that the memory is near it.
    pub(super) fn restore(self, swarms: &mut Swarms) -> Got {
        let owns = |info_hash: &_| self.steering.core_of(info_hash) == self.core;
        let access = self.access.load_full();
        let admits = |address| access.admits_peer(address);
        let now = self.clock.now();
        let (restored, read) = self.store.restore(now, owns, admits, swarms);
        Got {
            restored,
            damage: read.err(),
        }
    }
}

/// Starts the thread that writes snapshots.
pub(super) fn keep(
    store: Store,
    collector: Collector,
    counters: &[Arc<ThreadCounters>],
    clock: &Clock,
) -> Result<Keeper, String> {
    Keeper::start(store, collector, counters.to_vec(), clock.clone())
        .map_err(|error| format!("cannot start the thread of the store: {error}"))
}

/// Says what became of a damaged file, and that there is none.
fn told<T>(opened: Opened<T>, what_then: &str) -> T {
    if let Some(sentence) = opened.unmade {
        warn!("{sentence}; {what_then}");
    }
    if let Some((sentence, aside)) = opened.set_aside {
        let aside = aside.display();
        warn!("{sentence}; it is kept as {aside}, and the tracker starts with what could be read");
    }
    opened.store
}
