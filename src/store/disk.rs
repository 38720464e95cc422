//! An LMDB file of the folder: looked through before it is trusted, grown when it is full, and kept aside
//! when it is damaged.
//!
//! LMDB keeps locks of its own in a file that is mapped and written in place, which on a full disk ends
//! the process by a signal. They are for several processes, or readers beside a writer; here the first is
//! ruled out by our lock and the second by order. Of `data.mdb` cores read before the first snapshot is
//! written, and `records.mdb` is behind a mutex.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, MdbError, RwTxn, WithoutTls};
use nix::errno::Errno;
use nix::sys::statvfs::statvfs;

use super::check::{self, Fault};
use super::claim::{Claim, Refusal};
use super::{OnDamage, Opened};
use crate::files;

/// Least size of the map, and what it is rounded up to: address space, not memory. Tests are to see it
/// grow.
const MAP_STEP: u64 = if cfg!(test) { 1 << 20 } else { 64 << 20 };

/// More than LMDB writes at one time: when less is left after such a write, there was no room for it.
const WRITE_BYTES_MAX: u64 = 1 << 18;

/// The database that every file has, and the version of its schema in it.
const META: &str = "meta";
const KEY_VERSION: &[u8] = b"version";

/// A database: bytes to bytes.
pub(super) type Bytewise<'e> = Database<'e, Bytes, Bytes>;

/// What a file is called and what it has: a database `meta` with the version, and `N` others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout<const N: usize> {
    /// Its name in the folder.
    pub(super) file: &'static str,
    /// The version of its schema.
    pub(super) version: u32,
    /// Its databases beside `meta`. All are made with the file.
    pub(super) databases: [&'static str; N],
    /// A key of `meta` that every file has beside the version, and how long its value is.
    pub(super) mark: Option<(&'static [u8], usize)>,
}

/// The file, open.
pub(super) struct Disk<const N: usize> {
    env: Env<WithoutTls>,
    layout: &'static Layout<N>,
}

/// The databases of a file.
#[derive(Clone, Copy)]
pub(super) struct Databases<'e, const N: usize> {
    /// What there is once.
    pub(super) meta: Bytewise<'e>,
    /// The others, in the order of the layout.
    pub(super) others: [Bytewise<'e>; N],
}

impl<const N: usize> Disk<N> {
    /// Opens the file, or makes one; `mark` is the value of that key in a new file.
    pub(super) fn open(
        claim: &Claim,
        layout: &'static Layout<N>,
        mark: &[u8],
    ) -> Result<Self, Refusal> {
        let path = claim.path(layout.file);
        let shown = path.display();
        let unusable = |error: &dyn std::fmt::Display| {
            Refusal::Unusable(format!(
                "cannot open the store {shown}: {error}; let the user that the tracker runs as read and \
                 write it, or move it away"
            ))
        };
        let len = match files::open_regular(&path) {
            Ok(file) => {
                let len = file.metadata().map_err(|error| unusable(&error))?.len();
                if len > 0 {
                    check::check(&file).map_err(|fault| match fault {
                        Fault::Unreadable(error) => unusable(&error),
                        Fault::Damaged(why) => broken(&path, &why),
                    })?;
                }
                len
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(unusable(&error)),
        };
        let explain = |error: heed::Error| match error {
            // What the kernel says comes as an error of input and output, what LMDB finds does not.
            heed::Error::Mdb(error) if len > 0 => broken(&path, &error.to_string()),
            error if len > 0 => unusable(&error),
            error => Refusal::Unmade {
                sentence: format!("cannot make the store {shown}: {error}"),
                is_full_disk: matches!(&error, heed::Error::Io(error) if is_full(error)),
            },
        };
        let env = map(&path, len, N as u32 + 1).map_err(explain)?;
        let disk = Self { env, layout };
        let made = if len == 0 {
            disk.make(mark)
                .map_err(|error| disk.with_cause(error).into())
        } else {
            disk.read(&path, mark)
        };
        match made {
            Ok(()) if len == 0 => {
                // That there is a file must outlive a loss of power as much as what is in it.
                let folder = path.parent().map(File::open);
                let _ = folder.map(|folder| folder.and_then(|folder| folder.sync_all()));
                Ok(disk)
            }
            Ok(()) => Ok(disk),
            Err(reading) => {
                drop(disk);
                if len == 0 {
                    // Nothing but what we have just begun.
                    let _ = fs::remove_file(&path);
                }
                Err(match reading {
                    Reading::Failed(error) => explain(error),
                    Reading::Refused(refusal) => refusal,
                })
            }
        }
    }

    /// Makes all databases, in one transaction.
    fn make(&self, mark: &[u8]) -> heed::Result<()> {
        let txn = self.env.write_txn()?;
        self.env.create_databases_and_commit(txn, |make, txn| {
            let meta = make.create_database::<Bytes, Bytes>(txn, Some(META))?;
            for name in self.layout.databases {
                make.create_database::<Bytes, Bytes>(txn, Some(name))?;
            }
            if let Some((key, _)) = self.layout.mark {
                meta.put(txn, key, mark)?;
            }
            meta.put(txn, KEY_VERSION, &self.layout.version.to_le_bytes())?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(()))
        })?;
        Ok(())
    }

    /// Makes sure that it is a file of a version that we know.
    fn read(&self, path: &Path, mark: &[u8]) -> Result<(), Reading> {
        if self.env.info().last_txn_id == 0 && self.env.unnamed_database_stat().entries == 0 {
            // A kill came between the first page and the first transaction.
            return Ok(self.make(mark)?);
        }
        let known = self.layout.version;
        match self.version()? {
            Some(version) if version == known && self.databases_if_all()?.is_some() => Ok(()),
            Some(newer) if newer > known => {
                let path = path.display();
                Err(Reading::Refused(Refusal::Newer(format!(
                    "the store {path} has version {newer} and this shoal knows {known} at most; \
                     run the newer shoal, or give this one another store.path"
                ))))
            }
            _ => Err(Reading::Refused(broken(
                path,
                "it has no version that shoal has ever written",
            ))),
        }
    }

    /// The version, unless that or the mark is missing.
    fn version(&self) -> heed::Result<Option<u32>> {
        let txn = self.env.read_txn()?;
        let opened = self.env.open_databases_and_commit(txn, |open, txn| {
            let meta = open.open_database::<Bytes, Bytes>(txn, Some(META))?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(meta))
        })?;
        let Some(meta) = opened.commit().flatten() else {
            return Ok(None);
        };
        let txn = self.env.read_txn()?;
        if let Some((key, len)) = self.layout.mark
            && meta.get(&txn, key)?.is_none_or(|mark| mark.len() != len)
        {
            return Ok(None);
        }
        let version = meta.get(&txn, KEY_VERSION)?;
        Ok(version
            .and_then(|bytes| bytes.try_into().ok())
            .map(u32::from_le_bytes))
    }

    pub(super) fn env(&self) -> &Env<WithoutTls> {
        &self.env
    }

    /// The databases; every file that was opened has them.
    pub(super) fn databases(&self) -> heed::Result<Databases<'_, N>> {
        let databases = self.databases_if_all()?;
        databases.ok_or(heed::Error::Mdb(MdbError::NotFound))
    }

    fn databases_if_all(&self) -> heed::Result<Option<Databases<'_, N>>> {
        let txn = self.env.read_txn()?;
        let opened = self.env.open_databases_and_commit(txn, |open, txn| {
            let Some(meta) = open.open_database::<Bytes, Bytes>(txn, Some(META))? else {
                return Ok(CommitOrAbort::Abort(()));
            };
            let mut others = [meta; N];
            for (database, name) in others.iter_mut().zip(self.layout.databases) {
                match open.open_database(txn, Some(name))? {
                    Some(found) => *database = found,
                    None => return Ok(CommitOrAbort::Abort(())),
                }
            }
            Ok::<_, heed::Error>(CommitOrAbort::Commit((meta, others)))
        })?;
        Ok(opened
            .commit()
            .map(|(meta, others)| Databases { meta, others }))
    }

    /// Runs `change` in a transaction; again in a larger map when it finds no room.
    pub(super) fn write<T>(
        &mut self,
        change: impl Fn(&Databases<'_, N>, &mut RwTxn<'_>) -> heed::Result<T>,
    ) -> heed::Result<T> {
        loop {
            match self.transact(&change) {
                Err(heed::Error::Mdb(MdbError::MapFull)) => self.grow()?,
                done => return done.map_err(|error| self.with_cause(error)),
            }
        }
    }

    fn transact<T>(
        &self,
        change: impl Fn(&Databases<'_, N>, &mut RwTxn<'_>) -> heed::Result<T>,
    ) -> heed::Result<T> {
        let databases = self.databases()?;
        let mut txn = self.env.write_txn()?;
        let done = change(&databases, &mut txn)?;
        txn.commit()?;
        Ok(done)
    }

    /// A write that was cut short for lack of room is an error of input and output to LMDB.
    fn with_cause(&self, error: heed::Error) -> heed::Error {
        match error {
            heed::Error::Io(error)
                if error.raw_os_error() == Some(Errno::EIO as i32)
                    && room(self.env.path()).is_ok_and(|room| room < WRITE_BYTES_MAX) =>
            {
                heed::Error::Io(Errno::ENOSPC.into())
            }
            error => error,
        }
    }

    /// Makes room for as much again. Nobody else may use the file meanwhile, hence the exclusive access.
    fn grow(&mut self) -> heed::Result<()> {
        let size = map_size(self.env.info().map_size as u64 + 1);
        #[allow(
            unsafe_code,
            reason = "LMDB cannot see who still reads from the old map"
        )]
        // SAFETY: every transaction borrows from `self`, which nobody else does now, and the
        // environment is never cloned.
        unsafe {
            self.env.resize(size)
        }
    }

    /// Bytes of the file.
    pub(super) fn file_len(&self) -> u64 {
        self.env.real_disk_size().unwrap_or(0)
    }
}

fn map(path: &Path, file_len: u64, databases_max: u32) -> heed::Result<Env<WithoutTls>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.max_dbs(databases_max).map_size(map_size(file_len));
    #[allow(
        unsafe_code,
        reason = "the file is mapped, and nobody else may change it meanwhile"
    )]
    // SAFETY: the folder is claimed by a lock, so no other tracker has the file open, and it has been
    // looked through, so LMDB follows no number out of the map. Without LMDB's own locks readers and
    // the writer must not overlap: `Store` gives out readers before it gives out the writer, and
    // `Records` has one transaction at a time.
    unsafe {
        let flags = EnvFlags::NO_LOCK | EnvFlags::NO_SUB_DIR;
        options.flags(flags).open(path)
    }
}

/// Twice what the file has, in whole steps.
fn map_size(file_len: u64) -> usize {
    let size = file_len.saturating_mul(2).div_ceil(MAP_STEP).max(1) * MAP_STEP;
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// Opens a file with `open`; one that is damaged is dealt with as the configuration says.
pub(super) fn open_or_set_aside<D>(
    claim: &Claim,
    file: &str,
    on_damage: OnDamage,
    now_unix_s: u64,
    open: impl Fn() -> Result<D, Refusal>,
) -> Result<Opened<Option<D>>, Refusal> {
    let mut set_aside = None;
    let mut opened = open();
    if let Err(Refusal::Damaged(why)) = opened {
        set_aside = Some(put_aside(claim, file, on_damage, now_unix_s, why)?);
        opened = open();
    }
    let (store, unmade) = match opened {
        Ok(disk) => (Some(disk), None),
        Err(Refusal::Unmade { sentence, .. }) => (None, Some(sentence)),
        Err(refusal) => return Err(refusal),
    };
    Ok(Opened {
        store,
        set_aside,
        unmade,
    })
}

/// Sets a damaged file aside and says what it is called now; or refuses, and it stays.
pub(super) fn put_aside(
    claim: &Claim,
    file: &str,
    on_damage: OnDamage,
    now_unix_s: u64,
    why: String,
) -> Result<(String, PathBuf), Refusal> {
    match on_damage {
        OnDamage::Refuse => Err(Refusal::Damaged(format!(
            "{why}; move it away or set store.on_damage = \"set_aside\""
        ))),
        OnDamage::SetAside => {
            let aside = claim.set_aside(file, now_unix_s)?;
            Ok((why, aside))
        }
    }
}

/// Bytes that this user may still write to the disk that a file is on.
fn room(path: &Path) -> nix::Result<u64> {
    let disk = statvfs(path)?;
    Ok(disk.blocks_available().saturating_mul(disk.fragment_size()))
}

/// True when there is no room on the disk, or none that is left to this user.
pub(super) fn is_full(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ENOSPC | Errno::EDQUOT))
}

/// What to say of a file in which there is damage.
pub(super) fn damage(path: &Path, why: &str) -> String {
    format!("the store {} is damaged: {why}", path.display())
}

fn broken(path: &Path, why: &str) -> Refusal {
    Refusal::Damaged(damage(path, why))
}

/// What came of reading a file that is open.
enum Reading {
    Failed(heed::Error),
    Refused(Refusal),
}

impl From<heed::Error> for Reading {
    fn from(error: heed::Error) -> Self {
        Self::Failed(error)
    }
}
