//! Small things that must never be lost: keys, lists, what is known of torrents, the journal, transfers and
//! statistics. Every change is on disk when its call returns.
//!
//! ```text
//! PATH/records.mdb    schema.rs
//!
//!   lists.rs          info-hashes and networks that are allowed or blocked, with who and why
//!   keys.rs           who may announce to a private tracker
//!   metadata.rs       what is known of torrents
//!   journal.rs        who did what, and when
//!   transfers.rs      what each key has uploaded and downloaded, as a feed of changes
//!   statistics.rs     history, by the hour and by the day
//!   pages.rs          the rows of a database from the n-th on
//!   verify.rs         whether a file makes sense, at the start
//! ```
//!
//! A file of its own, as that of the swarms is written all the time and could be thrown away. One
//! transaction at a time, behind a mutex; each call takes as long as the disk does, so it is no call for
//! a core. An error closes the file, and the next call opens it anew: after some errors LMDB refuses all
//! that follows.

mod error;
mod journal;
mod keys;
mod lists;
mod metadata;
mod pages;
mod schema;
mod statistics;
#[cfg(test)]
mod tests;
mod transfers;
mod verify;

use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use heed::{RoTxn, RwTxn};

pub use error::RecordsError;
use error::Result;
pub use journal::{Action, JournalEntry};
pub use lists::{List, Note};
pub use metadata::{Found, Metadata};
use pages::{Bookmarks, Paged};
use schema::{DATABASES, RECORDS, Tables};
pub use statistics::Span;
pub use transfers::{Credit, Transfer};

use super::claim::{Claim, Refusal};
use super::disk::{self, Disk};
use super::{OnDamage, Opened};

/// The records of a tracker. Keeps the folder claimed as long as it lives.
pub struct Records {
    // Closed before the claim ends.
    inner: Mutex<Inner>,
    claim: Arc<Claim>,
}

struct Inner {
    /// None when it could not be made, or was closed because of an error.
    disk: Option<Disk<DATABASES>>,
    bookmarks: Bookmarks,
    /// True while another process has the file.
    lent: bool,
}

impl Records {
    /// Opens the file in the folder of `claim`, or makes it. One that could not be made is tried again
    /// with every call; until then nothing is in it.
    pub fn open(
        claim: &Arc<Claim>,
        on_damage: OnDamage,
        now_unix_s: u64,
    ) -> std::result::Result<Opened<Self>, Refusal> {
        let path = claim.path(RECORDS.file);
        let open = || {
            let disk = Disk::open(claim, &RECORDS, &[])?;
            verify::verify(&disk).map_err(|error| match error {
                heed::Error::Io(error) => {
                    let shown = path.display();
                    Refusal::Unusable(format!("cannot read the store {shown}: {error}"))
                }
                heed::Error::Decoding(why) => {
                    Refusal::Damaged(disk::damage(&path, &why.to_string()))
                }
                error => Refusal::Damaged(disk::damage(&path, &error.to_string())),
            })?;
            Ok(disk)
        };
        let opened = disk::open_or_set_aside(claim, RECORDS.file, on_damage, now_unix_s, open)?;
        Ok(opened.map(|disk| Self {
            inner: Mutex::new(Inner {
                disk,
                bookmarks: Bookmarks::default(),
                lent: false,
            }),
            claim: Arc::clone(claim),
        }))
    }

    /// Bytes of the file; 0 while there is none. Waits for no call that is under way, as metrics must be told
    /// while a disk hangs.
    pub fn file_len(&self) -> u64 {
        let file = self.claim.path(RECORDS.file);
        fs::metadata(file).map_or(0, |file| file.len())
    }

    /// Closes the file and leaves it to another process: until it is taken back, every call is an error
    /// that says so.
    pub fn lend(&self) {
        let mut inner = self.lock();
        *inner = Inner {
            disk: None,
            bookmarks: Bookmarks::default(),
            lent: true,
        };
    }

    /// Uses the file again.
    pub fn take_back(&self) {
        self.lock().lent = false;
    }

    /// The claim to the folder.
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// True while another process has the file.
    pub fn is_lent(&self) -> bool {
        self.lock().lent
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What a panic leaves behind is a transaction that was not committed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads in a transaction. Without a file nothing is in it.
    fn read<T: Default>(
        &self,
        read: impl FnOnce(&Tables<'_>, &RoTxn<'_>, &mut Bookmarks) -> heed::Result<T>,
    ) -> Result<T> {
        let mut inner = self.lock();
        let (disk, bookmarks) = match self.opened(&mut inner) {
            Err(Refusal::Unmade { .. }) => return Ok(T::default()),
            opened => opened?,
        };
        let done = disk.databases().and_then(|databases| {
            let txn = disk.env().read_txn()?;
            read(&Tables::new(&databases), &txn, bookmarks)
        });
        self.end(&mut inner, done)
    }

    /// Changes in a transaction, which is on disk when this returns. `changed` may have other rows now.
    fn write<T>(
        &self,
        changed: Option<Paged>,
        change: impl Fn(&Tables<'_>, &mut RwTxn<'_>) -> heed::Result<T>,
    ) -> Result<T> {
        let mut inner = self.lock();
        let (disk, bookmarks) = self.opened(&mut inner)?;
        if let Some(changed) = changed {
            bookmarks.remove(changed);
        }
        let done = disk.write(|databases, txn| change(&Tables::new(databases), txn));
        self.end(&mut inner, done)
    }

    /// The file, opened anew if it was closed.
    fn opened<'i>(
        &self,
        inner: &'i mut Inner,
    ) -> std::result::Result<(&'i mut Disk<DATABASES>, &'i mut Bookmarks), Refusal> {
        let Inner {
            disk,
            bookmarks,
            lent,
        } = inner;
        if *lent {
            let sentence = "the store is being handed to a new process; try again in a moment";
            return Err(Refusal::Busy(sentence.to_owned()));
        }
        let disk = match disk {
            Some(disk) => disk,
            none => none.insert(Disk::open(&self.claim, &RECORDS, &[])?),
        };
        Ok((disk, bookmarks))
    }

    fn end<T>(&self, inner: &mut Inner, done: heed::Result<T>) -> Result<T> {
        done.map_err(|error| {
            inner.disk = None;
            inner.bookmarks = Bookmarks::default();
            RecordsError::new(&self.claim.path(RECORDS.file), &error)
        })
    }
}
