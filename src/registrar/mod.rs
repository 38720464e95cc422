//! The one writer of the operator's lists, keys and mode.
//!
//! ```text
//!   files, configuration   --- at the start, on SIGHUP --->  read.rs  --\
//!                                                                        >-- Access, in force at once
//!   the API   --- a change --->  Records (on disk)  --- then --->  --/
//! ```
//!
//! Cores and HTTP threads only ever see a whole [`Access`]: each change makes a new one, which shares
//! nearly all of its memory with the one before.

mod change;
mod credit;
mod read;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use arc_swap::ArcSwap;
pub use credit::Credits;

use crate::clock::Clock;
use crate::config::Config;
use crate::gate::access::{Access, Mode};
use crate::gate::keys::AnnounceKey;
use crate::net::steering::Steering;
use crate::store::{Records, RecordsError};
use crate::wire::InfoHash;

/// Changes lists, keys and mode. Whatever it changes is first on disk, then in force, then in the
/// journal. Its calls wait for the disk, so no core and no HTTP thread makes them.
pub struct Registrar {
    access: Arc<ArcSwap<Access>>,
    steering: Steering,
    cores: usize,
    records: Option<Arc<Records>>,
    clock: Clock,
    desk: Mutex<Desk>,
}

/// What only one at a time may touch.
struct Desk {
    /// The configuration in force, with the parts of a newer one that were taken over.
    config: Config,
    /// Lists that were replaced and may still be in somebody's hands: freeing many of them is work
    /// that no core should do.
    retired: Vec<Arc<Access>>,
    /// Whose number is whose.
    keys: HashMap<u32, AnnounceKey>,
    last_key_id: u32,
}

/// Why a change did not happen. Nothing has changed then.
#[derive(Debug)]
pub enum RegistrarError {
    /// There is no store to keep it in.
    NoStore,
    /// The key exists.
    KeyExists,
    /// A key cannot be good for that long.
    Overflow,
    /// The system has no randomness to make a key of.
    NoRandomness(String),
    /// The store failed.
    Records(RecordsError),
}

impl fmt::Display for RegistrarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStore => f.write_str(
                "this tracker keeps nothing, because store.path is empty or could not be used at the \
                 start; mend that and restart",
            ),
            Self::KeyExists => f.write_str("the key exists already; remove it first"),
            Self::Overflow => f.write_str("a key cannot be good for that many seconds"),
            Self::NoRandomness(error) => write!(f, "cannot make a key: {error}"),
            Self::Records(error) => error.fmt(f),
        }
    }
}

impl From<RecordsError> for RegistrarError {
    fn from(error: RecordsError) -> Self {
        Self::Records(error)
    }
}

impl Registrar {
    /// Reads all files, and all that the store keeps. The error is a sentence a line for each mistake.
    pub fn start(
        config: &Config,
        cores: usize,
        steering: Steering,
        records: Option<Arc<Records>>,
        clock: &Clock,
    ) -> Result<Self, String> {
        let (access, mistakes) = read::read(config, cores, &steering, &Access::default());
        if !mistakes.is_empty() {
            return Err(mistakes.join("\n"));
        }
        let registrar = Self {
            access: Arc::new(ArcSwap::from_pointee(access)),
            steering,
            cores,
            records,
            clock: clock.clone(),
            desk: Mutex::new(Desk {
                config: config.clone(),
                retired: Vec::new(),
                keys: HashMap::new(),
                last_key_id: 0,
            }),
        };
        if registrar.records.is_some() {
            let read = registrar
                .reload_lists()
                .and_then(|()| registrar.reload_keys());
            read.map_err(|error| format!("cannot read lists and keys from the store: {error}"))?;
        }
        read::report(&registrar.access.load());
        Ok(registrar)
    }

    /// What is in force, and where what comes after it appears.
    pub fn access(&self) -> &Arc<ArcSwap<Access>> {
        &self.access
    }

    /// What survives a restart, where anything does.
    pub fn records(&self) -> Option<&Arc<Records>> {
        self.records.as_ref()
    }

    /// The mode in force.
    pub fn mode(&self) -> Mode {
        self.access.load().mode
    }

    /// Whether a torrent is on the allowlist, of the file or of the store.
    pub fn is_allowed(&self, info_hash: &InfoHash) -> bool {
        let core = self.steering.core_of(info_hash);
        self.access.load().hashes[core].allowed.contains(info_hash)
    }

    /// Whether a torrent is on the blocklist, of the file or of the store.
    pub fn is_blocked(&self, info_hash: &InfoHash) -> bool {
        let core = self.steering.core_of(info_hash);
        self.access.load().hashes[core].blocked.contains(info_hash)
    }

    /// Whether the operator's files, which only he can change, have a torrent on the allowlist and on the
    /// blocklist.
    pub fn in_files(&self, info_hash: &InfoHash) -> (bool, bool) {
        let hashes = &self.access.load().hashes[self.steering.core_of(info_hash)];
        let (allowed, blocked) = (&hashes.allowed.file, &hashes.blocked.file);
        (allowed.contains(info_hash), blocked.contains(info_hash))
    }

    /// Reads the files again, and what else may change while the tracker runs, as `config` says. Every
    /// file that cannot be read stays as it is; the sentences say which, and what takes a restart.
    pub fn reload(&self, config: &Config) -> Vec<String> {
        let mut desk = self.desk();
        let mut live = desk.config.clone();
        live.access = config.access.clone();
        live.flood = config.flood;
        live.access.connection_id_lifetime = desk.config.access.connection_id_lifetime;
        live.announce
            .ignore_ip
            .clone_from(&config.announce.ignore_ip);
        live.control.tokens.clone_from(&config.control.tokens);
        live.control.users.clone_from(&config.control.users);
        live.announce.allow_private_peers = config.announce.allow_private_peers;
        let old = self.access.load_full();
        let (access, mut sentences) = read::read(&live, self.cores, &self.steering, &old);
        read::report(&access);
        drop(old);
        self.enforce(&mut desk, access);
        if live != *config {
            sentences.push(
                "the lists, the mode, address rules and [flood] were read again; the other changes in the \
                 configuration take a restart"
                    .to_owned(),
            );
        }
        desk.config = live;
        sentences
    }

    /// Frees the lists that nobody holds any more. True when some are still held.
    ///
    /// It waits for nobody: a change that is under way may take as long as a disk that hangs.
    pub fn free_retired(&self) -> bool {
        match self.desk.try_lock() {
            Ok(mut desk) => desk.free_retired(),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().free_retired(),
            Err(TryLockError::WouldBlock) => true,
        }
    }

    /// Leaves the records to another process, once a change that is under way is done.
    pub fn lend(&self) {
        let _desk = self.desk();
        if let Some(records) = &self.records {
            records.lend();
        }
    }

    /// Uses them again.
    pub fn take_back(&self) {
        if let Some(records) = &self.records {
            records.take_back();
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // A panic ends the process, so nobody sees what one has left half done.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enforce(&self, desk: &mut Desk, access: Access) {
        desk.retired.push(self.access.swap(Arc::new(access)));
        desk.free_retired();
    }
}

impl Desk {
    fn free_retired(&mut self) -> bool {
        self.retired.retain(|access| Arc::strong_count(access) > 1);
        !self.retired.is_empty()
    }
}
