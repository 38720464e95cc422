//! What survives a restart. Nothing on the way of a datagram ever waits for it.
//!
//! ```text
//! PATH/connection-id.key    16 random bytes, readable by the owner alone     connection_key.rs
//! PATH/data.mdb             swarms and counts of completed downloads         schema.rs
//! PATH/records.mdb          keys, lists, metadata, journal, transfers, ..    records/
//! PATH/store.lock           one tracker a folder, for both files             claim.rs
//!
//!   start     Claim::stake  the folder is ours, or somebody else's           claim.rs
//!             Store::open   look through the file, open it                   disk.rs, check.rs
//!             Records::open the same, and its rows too                       disk.rs, check.rs, records/
//!             restore       each core reads all blocks and keeps its own     this file
//!   running   Keeper        a thread: every so often a snapshot              keeper.rs
//!               collect     cores tell their swarms, a slice a turn          telling.rs
//!               write       whole buckets in transactions                    snapshot.rs
//!             Records       a call is on disk when it returns                records/
//!   end       finish        the swarms come back, a last snapshot            keeper.rs
//! ```
//!
//! Two files, as what is written all the time is what may be lost: a damaged one goes aside alone.
//!
//! A torrent belongs to a core by a hash that is new with every start, so what is on disk knows of no
//! core. Every core reads the whole file instead and takes what is its own: passing over a torrent costs
//! some nanoseconds, the pages are read once for all, and nothing need be handed around.

mod check;
mod claim;
mod connection_key;
mod counters;
mod disk;
mod keeper;
mod legacy;
mod records;
mod schema;
mod snapshot;
mod telling;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::clock::Now;
use crate::swarm::{Known, Restored, Swarms};
use crate::wire::InfoHash;
pub use claim::{Claim, Refusal};
pub use connection_key::{KEY_LEN, connection_id_key};
pub use counters::{StoreCounters, StoreTotals};
use disk::Disk;
pub use keeper::{Keeper, Loan, Snapshots};
pub use legacy::{Legacy, Reading, inherit};
pub use records::{
    Action, Credit, Found, JournalEntry, List, Metadata, Note, Records, RecordsError, Span,
    Transfer,
};
use schema::{Block, Malformed, Row, Taken};
pub use schema::{SALT_LEN, VERSION};
pub use telling::Telling;

/// Reads a block of a snapshot as a restore does, and counts its torrents and peers. `None` when it is no
/// block.
pub fn count_block(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut block = Block::read(bytes).ok()?;
    let (mut torrents, mut peers) = (0, 0);
    while let Some(row) = block.next().ok()? {
        torrents += 1;
        peers += row.peers(block.unit_s, 0).count();
    }
    Some((torrents, peers))
}

/// Brings a torrent back, with those of its `peers` that `admits` is true for.
fn bring_back(
    row: &Row<'_>,
    peers: impl Iterator<Item = Known>,
    now_s: u32,
    admits: impl Fn(IpAddr) -> bool,
    swarms: &mut Swarms,
) -> Restored {
    let mut unwelcome = 0;
    let peers = peers.filter(|peer| {
        let is_welcome = admits(peer.0.address());
        unwelcome += usize::from(!is_welcome);
        is_welcome
    });
    let mut restored = swarms.restore(row.info_hash, row.completed, now_s, peers);
    restored.unwelcome += unwelcome;
    restored
}

/// What becomes of a file that cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnDamage {
    /// It is kept under another name, and the tracker starts with nothing.
    #[default]
    SetAside,
    /// The tracker does not start.
    Refuse,
}

/// What a store is told once.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Seconds between two snapshots; 0 = only at the end.
    pub snapshot_interval_s: u32,
    /// False if only counts of completed downloads are kept.
    pub keep_peers: bool,
    /// What becomes of a file that cannot be read.
    pub on_damage: OnDamage,
    /// A peer that is silent for longer is forgotten.
    pub peer_timeout_s: u32,
}

/// A store that was opened and not written to yet: what cores restore their swarms from.
pub struct Store {
    // Closed before the claim ends. None when it could not be made, which the keeper tries again.
    disk: Option<SwarmsFile>,
    claim: Arc<Claim>,
    settings: Settings,
    fresh_salt: [u8; SALT_LEN],
    counters: Arc<StoreCounters>,
}

/// Which torrents come back, and which of their peers.
struct Choice<O, A> {
    owns: O,
    admits: A,
}

/// The file of the swarms, open.
type SwarmsFile = Disk<1>;

/// What was opened, and where a damaged file has gone that stood in its way.
pub struct Opened<T> {
    /// What was opened.
    pub store: T,
    /// What was wrong, and how the damaged file is called now.
    pub set_aside: Option<(String, PathBuf)>,
    /// Why there is no file yet, as a sentence: it could not be made.
    pub unmade: Option<String>,
}

impl<T> Opened<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Opened<U> {
        let Self {
            store,
            set_aside,
            unmade,
        } = self;
        Opened {
            store: change(store),
            set_aside,
            unmade,
        }
    }
}

impl Store {
    /// Opens the swarms' file in the folder of `claim`, or makes it. `fresh_salt` is 16 random bytes for a
    /// new file.
    pub fn open(
        claim: &Arc<Claim>,
        settings: Settings,
        fresh_salt: [u8; SALT_LEN],
        now_unix_s: u64,
    ) -> Result<Opened<Self>, Refusal> {
        let opened = open(claim, settings.on_damage, &fresh_salt, now_unix_s)?;
        Ok(opened.map(|disk| Self {
            disk,
            claim: Arc::clone(claim),
            settings,
            fresh_salt,
            counters: Arc::default(),
        }))
    }

    /// When the last whole snapshot was begun, in Unix seconds, if there is one.
    pub fn taken_unix_s(&self) -> Option<u64> {
        let disk = self.disk.as_ref()?;
        let databases = disk.databases().ok()?;
        let txn = disk.env().read_txn().ok()?;
        let bytes = databases.meta.get(&txn, schema::KEY_SNAPSHOT).ok()??;
        Some(Taken::read(bytes).ok()?.unix_s)
    }

    /// Brings back those torrents that `owns` is true for, with those peers that `admits` is true for. An
    /// error is a phrase that says what is wrong with the file; what was read before it has been restored.
    pub fn restore(
        &self,
        now: Now,
        owns: impl Fn(&InfoHash) -> bool,
        admits: impl Fn(IpAddr) -> bool,
        swarms: &mut Swarms,
    ) -> (Restored, Result<(), String>) {
        let mut restored = Restored::default();
        let read = self.read_all(now, &Choice { owns, admits }, swarms, &mut restored);
        self.counters.count_restored(&restored);
        (restored, read)
    }

    fn read_all(
        &self,
        now: Now,
        choice: &Choice<impl Fn(&InfoHash) -> bool, impl Fn(IpAddr) -> bool>,
        swarms: &mut Swarms,
        restored: &mut Restored,
    ) -> Result<(), String> {
        let failed = |error: heed::Error| error.to_string();
        let Some(disk) = &self.disk else {
            return Ok(());
        };
        let txn = disk.env().read_txn().map_err(failed)?;
        let databases = disk.databases().map_err(failed)?;
        let [swarms_on_disk] = databases.others;
        for block in swarms_on_disk.iter(&txn).map_err(failed)? {
            let (key, block) = block.map_err(failed)?;
            self.read_block(key, block, now, choice, swarms, restored)
                .map_err(|Malformed| format!("the block {key:02x?} is malformed"))?;
        }
        Ok(())
    }

    fn read_block(
        &self,
        key: &[u8],
        block: &[u8],
        now: Now,
        choice: &Choice<impl Fn(&InfoHash) -> bool, impl Fn(IpAddr) -> bool>,
        swarms: &mut Swarms,
        restored: &mut Restored,
    ) -> Result<(), Malformed> {
        schema::read_block_key(key)?;
        let mut block = Block::read(block)?;
        // A wall clock that was set back makes nobody younger than he was.
        let elapsed_s = now.unix_s.saturating_sub(block.taken_unix_s);
        let elapsed_s = u32::try_from(elapsed_s).unwrap_or(u32::MAX);
        while let Some(row) = block.next()? {
            if (choice.owns)(&row.info_hash) {
                let peers = row.peers(block.unit_s, elapsed_s);
                let peers = peers.filter(|_| self.settings.keep_peers);
                *restored += bring_back(&row, peers, now.uptime_s, &choice.admits, swarms);
            }
        }
        Ok(())
    }

    /// Sets the file aside after all, because reading it found damage, and begins a new one. Under
    /// [`OnDamage::Refuse`] it stays, and that is the error.
    pub fn give_up_on_file(self, why: &str, now_unix_s: u64) -> Result<Opened<Self>, Refusal> {
        let Self {
            disk,
            claim,
            settings,
            fresh_salt,
            counters,
        } = self;
        drop(disk);
        let why = disk::damage(&claim.path(schema::SWARMS.file), why);
        let set_aside = disk::put_aside(
            &claim,
            schema::SWARMS.file,
            settings.on_damage,
            now_unix_s,
            why,
        )?;
        let (disk, unmade) = match Disk::open(&claim, &schema::SWARMS, &fresh_salt) {
            Ok(disk) => (Some(disk), None),
            Err(refusal) => (None, Some(refusal.sentence().to_owned())),
        };
        Ok(Opened {
            store: Self {
                disk,
                claim,
                settings,
                fresh_salt,
                counters,
            },
            set_aside: Some(set_aside),
            unmade,
        })
    }
}

/// Opens the swarms' file; one that is damaged is dealt with as the configuration says.
fn open(
    claim: &Claim,
    on_damage: OnDamage,
    fresh_salt: &[u8; SALT_LEN],
    now_unix_s: u64,
) -> Result<Opened<Option<SwarmsFile>>, Refusal> {
    let layout = &schema::SWARMS;
    disk::open_or_set_aside(claim, layout.file, on_damage, now_unix_s, || {
        Disk::open(claim, layout, fresh_salt)
    })
}
