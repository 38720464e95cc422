//! The folder: one tracker's at a time, and where a damaged file goes.
//!
//! ```text
//! PATH/store.lock                     locked while a tracker has the files open; holds its pid
//! PATH/data.mdb.damaged-2026-11-21    a file that could not be read, out of the way
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;

use x509_cert::der::DateTime;

const LOCK_FILE: &str = "store.lock";

/// Why a store cannot be opened. Each holds one sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Another process has it open.
    Busy(String),
    /// A newer Shoal wrote it.
    Newer(String),
    /// It is not what any Shoal wrote.
    Damaged(String),
    /// There is none, and it cannot be made now.
    Unmade {
        /// What to tell.
        sentence: String,
        /// True when that is for lack of room.
        is_full_disk: bool,
    },
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
            | Self::Unmade { sentence: said, .. }
            | Self::Unusable(said) => said,
        }
    }
}

/// The right to use the folder: a lock that goes with the process, or with the last of those that have its
/// descriptor. Whoever has a file of the folder open holds it.
pub struct Claim {
    folder: PathBuf,
    lock: File,
}

impl Claim {
    /// Makes the folder if need be, and locks it.
    pub fn stake(folder: &Path) -> Result<Self, Refusal> {
        let path = folder.join(LOCK_FILE);
        let explain = |what: &str, path: &Path, error: &dyn std::fmt::Display| {
            Refusal::Unusable(format!(
                "cannot {what} {}: {error}; let the user that the tracker runs as write there, or give \
                 store.path another folder",
                path.display()
            ))
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
        match file.try_lock() {
            Ok(()) => {
                let claim = Self {
                    folder: folder.to_path_buf(),
                    lock: file,
                };
                claim.sign();
                Ok(claim)
            }
            Err(TryLockError::WouldBlock) => {
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
            Err(TryLockError::Error(error)) => Err(explain("lock", &path, &error)),
        }
    }

    /// The claim of another process to the same folder, which this one shares from now on: it ends with
    /// the last of both. They have to agree on who uses the files.
    pub fn share(folder: &Path, descriptor: OwnedFd) -> Self {
        Self {
            folder: folder.to_path_buf(),
            lock: descriptor.into(),
        }
    }

    /// What another process can share the claim by.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        self.lock.try_clone().map(OwnedFd::from)
    }

    /// Writes into the lock who has it: only for the other one's error message, so a full disk is no
    /// reason to stop.
    pub fn sign(&self) {
        use std::os::unix::fs::FileExt as _;
        let pid = process::id().to_string();
        // Whoever looks meanwhile sees a number.
        let _ = self.lock.write_all_at(pid.as_bytes(), 0);
        let _ = self.lock.set_len(pid.len() as u64);
    }

    /// Where a file of the folder lies.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// Renames a file, so that nothing of it is lost, and says what it is called now.
    pub(super) fn set_aside(&self, file: &str, now_unix_s: u64) -> Result<PathBuf, Refusal> {
        let path = self.path(file);
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
            self.folder.join(format!("{file}.damaged-{day}{number}"))
        };
        let free = (0..1000).map(named).find(|path| !path.exists());
        let aside = free.unwrap_or_else(|| named(1000));
        fs::rename(&path, &aside).map_err(|error| {
            let (path, aside) = (path.display(), aside.display());
            Refusal::Unusable(format!("cannot rename {path} to {aside}: {error}"))
        })?;
        Ok(aside)
    }
}
