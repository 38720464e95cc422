//! The folder and the LMDB file in it: opened by one process at a time, looked through before it is
//! trusted, grown when it is full, and kept aside when it is damaged.
//!
//! ```text
//! PATH/store.lock                     locked while a tracker has the file open; holds its pid
//! PATH/data.mdb                       the file
//! PATH/data.mdb.damaged-2026-11-21    one that could not be read, out of the way
//! ```
//!
//! LMDB keeps locks of its own in a file that is mapped and written in place, which on a full disk ends
//! the process by a signal. They are for several processes, or readers beside a writer; here the first is
//! ruled out by our lock and the second by order: cores read before the first snapshot is written.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, MdbError, WithoutTls};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use x509_cert::der::DateTime;

use super::check::{self, Fault};
use super::schema::{DATABASES_MAX, KEY_SALT, KEY_VERSION, META, SALT_LEN, SWARMS, VERSION};

const LOCK_FILE: &str = "store.lock";
const DATA_FILE: &str = "data.mdb";

/// Least size of the map, and what it is rounded up to: address space, not memory. Tests are to see it
/// grow.
const MAP_STEP: u64 = if cfg!(test) { 1 << 20 } else { 64 << 20 };

/// Why the store cannot be opened. Each holds one sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Another process has it open.
    Busy(String),
    /// A newer Shoal wrote it.
    Newer(String),
    /// It is not what any Shoal wrote.
    Damaged(String),
    /// There is none, and it cannot be made now: a full disk.
    Unmade(String),
    /// It cannot be read, or there is no folder for it: rights.
    Unusable(String),
}

impl Refusal {
    /// What to tell.
    pub fn sentence(&self) -> &str {
        match self {
            Self::Busy(said)
            | Self::Newer(said)
            | Self::Damaged(said)
            | Self::Unmade(said)
            | Self::Unusable(said) => said,
        }
    }
}

/// The right to use the folder: a lock that goes with the process.
pub(super) struct Claim {
    folder: PathBuf,
    _lock: Flock<File>,
}

impl Claim {
    /// Makes the folder if need be, and locks it.
    pub(super) fn stake(folder: &Path) -> Result<Self, Refusal> {
        let path = folder.join(LOCK_FILE);
        let explain = |what: &str, path: &Path, error: &dyn std::fmt::Display| {
            Refusal::Unusable(format!("cannot {what} {}: {error}", path.display()))
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| explain("create", folder, &error))?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| explain("open", &path, &error))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => {
                // Only for the other one's error message, so a full disk is no reason to stop.
                let _ = lock.set_len(0);
                let _ = (&*lock).write_all(process::id().to_string().as_bytes());
                let folder = folder.to_path_buf();
                Ok(Self {
                    folder,
                    _lock: lock,
                })
            }
            Err((file, Errno::EWOULDBLOCK)) => {
                let mut pid = String::new();
                let told = file.take(20).read_to_string(&mut pid).is_ok() && !pid.is_empty();
                let who = if told {
                    format!(" (pid {pid})")
                } else {
                    String::new()
                };
                Err(Refusal::Busy(format!(
                    "another shoal{who} has the store in {} open; stop it, or give this one \
                     another store.path",
                    folder.display()
                )))
            }
            Err((_, error)) => Err(explain("lock", &path, &error)),
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.join(DATA_FILE)
    }

    /// What to say of the file when reading it finds damage.
    pub(super) fn damaged(&self, why: &str) -> Refusal {
        broken(&self.data(), why)
    }

    /// Renames the file, so that nothing of it is lost, and says what it is called now.
    pub(super) fn set_aside(&self, now_unix_s: u64) -> Result<PathBuf, Refusal> {
        let data = self.data();
        let since_1970 = std::time::Duration::from_secs(now_unix_s);
        let day = DateTime::from_unix_duration(since_1970).map_or_else(
            |_| now_unix_s.to_string(),
            |date| date.to_string().replace(':', ""),
        );
        let named = |number: u32| {
            let number = if number == 0 {
                String::new()
            } else {
                format!(".{number}")
            };
            self.folder
                .join(format!("{DATA_FILE}.damaged-{day}{number}"))
        };
        let free = (0..1000).map(named).find(|path| !path.exists());
        let aside = free.unwrap_or_else(|| named(1000));
        fs::rename(&data, &aside).map_err(|error| {
            let (data, aside) = (data.display(), aside.display());
            Refusal::Unusable(format!("cannot rename {data} to {aside}: {error}"))
        })?;
        Ok(aside)
    }
}

/// The file, open.
pub(super) struct Disk {
    env: Env<WithoutTls>,
    salt: [u8; SALT_LEN],
}

/// The databases that are in use.
#[derive(Clone, Copy)]
pub(super) struct Databases<'e> {
    pub(super) meta: Database<'e, Bytes, Bytes>,
    pub(super) swarms: Database<'e, Bytes, Bytes>,
}

impl Disk {
    /// Opens the file, or makes one with a salt.
    pub(super) fn open(claim: &Claim, fresh_salt: [u8; SALT_LEN]) -> Result<Self, Refusal> {
        let path = claim.data();
        let shown = path.display();
        let unusable = |error: &dyn std::fmt::Display| {
            Refusal::Unusable(format!("cannot open the store {shown}: {error}"))
        };
        let len = match File::open(&path) {
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
            error => Refusal::Unmade(format!("cannot make the store {shown}: {error}")),
        };
        let env = map(&claim.folder, len).map_err(explain)?;
        let made = if len == 0 {
            Self::make(env, fresh_salt)
        } else {
            Self::read(env, &path)
        };
        if len == 0 && made.is_err() {
            // Nothing but what we have just begun.
            let _ = fs::remove_file(&path);
        }
        made.map_err(|error| match error {
            Reading::Failed(error) => explain(error),
            Reading::Refused(refusal) => refusal,
        })
    }

    fn make(env: Env<WithoutTls>, salt: [u8; SALT_LEN]) -> Result<Self, Reading> {
        let mut txn = env.write_txn()?;
        let made = env.create_databases_and_commit(txn, |make, txn| {
            let meta = make.create_database::<Bytes, Bytes>(txn, Some(META))?;
            let swarms = make.create_database::<Bytes, Bytes>(txn, Some(SWARMS))?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit((meta, swarms)))
        })?;
        let Some((meta, _)) = made.commit() else {
            return Err(heed::Error::Mdb(MdbError::Problem).into());
        };
        txn = env.write_txn()?;
        meta.put(&mut txn, KEY_SALT, &salt)?;
        meta.put(&mut txn, KEY_VERSION, &VERSION.to_le_bytes())?;
        txn.commit()?;
        Ok(Self { env, salt })
    }

    fn read(env: Env<WithoutTls>, path: &Path) -> Result<Self, Reading> {
        let mut salt = [0; SALT_LEN];
        let mut version = None;
        if let Some(Databases { meta, .. }) = databases(&env)? {
            let txn = env.read_txn()?;
            version = meta
                .get(&txn, KEY_VERSION)?
                .and_then(|bytes| bytes.try_into().ok());
            match meta.get(&txn, KEY_SALT)?.and_then(<[u8]>::first_chunk) {
                Some(kept) => salt = *kept,
                None => version = None,
            }
        }
        match version.map(u32::from_le_bytes) {
            Some(VERSION) => Ok(Self { env, salt }),
            Some(newer) if newer > VERSION => {
                let path = path.display();
                Err(Reading::Refused(Refusal::Newer(format!(
                    "the store {path} has version {newer} and this shoal knows {VERSION} at most; \
                     run the newer shoal, or give this one another store.path"
                ))))
            }
            _ => Err(Reading::Refused(broken(
                path,
                "it has no version that shoal has ever written",
            ))),
        }
    }

    /// The salt of this file.
    pub(super) fn salt(&self) -> &[u8; SALT_LEN] {
        &self.salt
    }

    pub(super) fn env(&self) -> &Env<WithoutTls> {
        &self.env
    }

    /// The databases; every file that was opened has them.
    pub(super) fn databases(&self) -> heed::Result<Databases<'_>> {
        databases(&self.env)?.ok_or(heed::Error::Mdb(MdbError::NotFound))
    }

    /// Makes room for as much again. Nobody else may use the file meanwhile, hence the exclusive access.
    pub(super) fn grow(&mut self) -> heed::Result<()> {
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

fn databases(env: &Env<WithoutTls>) -> heed::Result<Option<Databases<'_>>> {
    let txn = env.read_txn()?;
    let opened = env.open_databases_and_commit(txn, |open, txn| {
        let meta = open.open_database::<Bytes, Bytes>(txn, Some(META))?;
        let swarms = open.open_database::<Bytes, Bytes>(txn, Some(SWARMS))?;
        let (Some(meta), Some(swarms)) = (meta, swarms) else {
            return Ok::<_, heed::Error>(CommitOrAbort::Abort(()));
        };
        Ok(CommitOrAbort::Commit((meta, swarms)))
    })?;
    Ok(opened
        .commit()
        .map(|(meta, swarms)| Databases { meta, swarms }))
}

fn map(folder: &Path, file_len: u64) -> heed::Result<Env<WithoutTls>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.max_dbs(DATABASES_MAX).map_size(map_size(file_len));
    #[allow(
        unsafe_code,
        reason = "the file is mapped, and nobody else may change it meanwhile"
    )]
    // SAFETY: the folder is claimed by a lock, so no other tracker has the file open, and it has been
    // looked through, so LMDB follows no number out of the map. Without LMDB's own locks readers and
    // the writer must not overlap: `Store` gives out readers before it gives out the writer.
    unsafe {
        options.flags(EnvFlags::NO_LOCK).open(folder)
    }
}

/// Twice what the file has, in whole steps.
fn map_size(file_len: u64) -> usize {
    let size = file_len.saturating_mul(2).div_ceil(MAP_STEP).max(1) * MAP_STEP;
    usize::try_from(size).unwrap_or(usize::MAX)
}

fn broken(path: &Path, why: &str) -> Refusal {
    let path = path.display();
    Refusal::Damaged(format!("the store {path} is damaged: {why}"))
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
