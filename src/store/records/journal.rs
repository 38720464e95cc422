//! Who did what, and when: what people and their scripts have changed.

use std::ops::Bound;

use heed::RwTxn;
use serde::{Deserialize, Serialize};

use super::schema::{
    self, Tables, malformed, next_number, number_key, read_journal_action, read_journal_entry,
    read_number_key,
};
use super::{Records, Result};

/// Entries that are kept; the oldest go, so many at a time.
const ENTRIES_MAX: u64 = if cfg!(test) { 5000 } else { 1_000_000 };
const ENTRIES_STEP: u64 = 1000;

/// An entry of the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalEntry {
    /// When, in Unix seconds.
    pub at_unix_s: u64,
    /// Who: the label of a token, the name of a user, or where a request came from. The first 64 bytes
    /// are kept.
    pub by: String,
    /// What was done.
    pub action: Action,
    /// To what: an info-hash, a network. The first 256 bytes are kept.
    pub subject: String,
    /// Why. The first 1000 bytes are kept.
    pub reason: String,
}

impl JournalEntry {
    /// Bytes that are kept of a subject.
    pub const SUBJECT_LEN_MAX: u16 = 256;
}

/// What was done. On disk each is its place in [`Action::ALL`], so new ones go to the end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// An info-hash came onto the list of those that are allowed.
    Allow,
    /// An info-hash was taken off that list.
    Disallow,
    /// An info-hash was blocked.
    Block,
    /// An info-hash is no longer blocked.
    Unblock,
    /// A network was blocked.
    BlockNetwork,
    /// A network is no longer blocked.
    UnblockNetwork,
    /// A key was made.
    AddKey,
    /// A key was removed.
    RemoveKey,
    /// A torrent was forgotten with its peers.
    Forget,
    /// What is known of a torrent was changed.
    Metadata,
    /// The mode was changed.
    Mode,
    /// The configuration or the lists were read again.
    Reload,
    /// A snapshot was asked for.
    Snapshot,
    /// A sweep was asked for.
    Sweep,
    /// The end was asked for.
    Shutdown,
    /// Somebody logged in.
    Login,
    /// Somebody tried to log in and could not.
    LoginFailed,
    /// Torrents came from another tracker.
    Import,
}

impl Action {
    /// All of them, in the order of their numbers on disk.
    pub const ALL: [Self; 18] = [
        Self::Allow,
        Self::Disallow,
        Self::Block,
        Self::Unblock,
        Self::BlockNetwork,
        Self::UnblockNetwork,
        Self::AddKey,
        Self::RemoveKey,
        Self::Forget,
        Self::Metadata,
        Self::Mode,
        Self::Reload,
        Self::Snapshot,
        Self::Sweep,
        Self::Shutdown,
        Self::Login,
        Self::LoginFailed,
        Self::Import,
    ];

    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Disallow => "disallow",
            Self::Block => "block",
            Self::Unblock => "unblock",
            Self::BlockNetwork => "block_network",
            Self::UnblockNetwork => "unblock_network",
            Self::AddKey => "add_key",
            Self::RemoveKey => "remove_key",
            Self::Forget => "forget",
            Self::Metadata => "metadata",
            Self::Mode => "mode",
            Self::Reload => "reload",
            Self::Snapshot => "snapshot",
            Self::Sweep => "sweep",
            Self::Shutdown => "shutdown",
            Self::Login => "login",
            Self::LoginFailed => "login_failed",
            Self::Import => "import",
        }
    }

    pub(super) fn number(self) -> u8 {
        self as u8
    }

    pub(super) fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl Records {
    /// Writes entries, all or none, and returns the number of the last. Numbers ascend, from 1 on; 0 while
    /// there are none.
    pub fn write_journal(&self, entries: &[JournalEntry]) -> Result<u64> {
        self.write(None, |tables, txn| {
            let last = tables.journal.last(txn)?.map(|(key, _)| key);
            let mut number = last.map_or(Ok(0), number_of)?;
            for entry in entries {
                number = next_number(number, "the journal")?;
                let value = schema::write_journal_entry(entry);
                tables.journal.put(txn, &number_key(number), &value)?;
            }
            drop_oldest(tables, txn)?;
            Ok(number)
        })
    }

    /// The newest entries with numbers below `before`, `limit` at most, the newest first; with `only`,
    /// those of these actions.
    pub fn journal(
        &self,
        before: Option<u64>,
        limit: usize,
        only: Option<&[Action]>,
    ) -> Result<Vec<(u64, JournalEntry)>> {
        self.read(|tables, txn, _| {
            let mut entries = Vec::new();
            let before = before.map(number_key);
            let end = before.as_ref().map_or(Bound::Unbounded, |before| {
                Bound::Excluded(before.as_slice())
            });
            let mut rows = tables.journal.rev_range(txn, &(Bound::Unbounded, end))?;
            while entries.len() < limit {
                let Some((key, value)) = rows.next().transpose()? else {
                    break;
                };
                let is_wanted = only.is_none_or(|only| {
                    read_journal_action(value).is_some_and(|action| only.contains(&action))
                });
                if is_wanted && let Some(entry) = read_journal_entry(value) {
                    entries.push((number_of(key)?, entry));
                }
            }
            Ok(entries)
        })
    }
}

fn number_of(key: &[u8]) -> heed::Result<u64> {
    read_number_key(key).ok_or_else(|| malformed("the journal"))
}

fn drop_oldest(tables: &Tables<'_>, txn: &mut RwTxn<'_>) -> heed::Result<()> {
    let over = tables.journal.len(txn)?.saturating_sub(ENTRIES_MAX);
    if over == 0 {
        return Ok(());
    }
    let Some((first, _)) = tables.journal.first(txn)? else {
        return Ok(());
    };
    // Numbers have no gaps.
    let end = number_of(first)?.saturating_add(over.next_multiple_of(ENTRIES_STEP));
    let end = number_key(end);
    let oldest = (Bound::Unbounded, Bound::Excluded(end.as_slice()));
    tables.journal.delete_range(txn, &oldest)?;
    Ok(())
}
