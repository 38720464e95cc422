//! Stand-in until the file of records lands: the same calls, in memory.
#![allow(missing_docs, clippy::unnecessary_wraps)]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use ipnet::IpNet;

use crate::gate::keys::{AnnounceKey, KeyRow};
use crate::wire::InfoHash;

#[derive(Debug)]
pub struct RecordsError(String);
impl fmt::Display for RecordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
type Result<T> = std::result::Result<T, RecordsError>;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Note {
    pub at_unix_s: u64,
    pub by: String,
    pub reason: String,
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum List {
    Allowed,
    Blocked,
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    Allow,
    Disallow,
    Block,
    Unblock,
    BlockNetwork,
    UnblockNetwork,
    AddKey,
    RemoveKey,
    Forget,
    Metadata,
    Mode,
    Reload,
    Snapshot,
    Sweep,
    Shutdown,
    Login,
    LoginFailed,
    Import,
}
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalEntry {
    pub at_unix_s: u64,
    pub by: String,
    pub action: Action,
    pub subject: String,
    pub reason: String,
}
#[derive(Default)]
struct Tables {
    lists: [BTreeMap<InfoHash, Note>; 2],
    networks: BTreeMap<IpNet, Note>,
    keys: BTreeMap<AnnounceKey, KeyRow>,
    journal: Vec<JournalEntry>,
}
#[derive(Default)]
pub struct Records(Mutex<Tables>);

impl Records {
    fn tables(&self) -> std::sync::MutexGuard<'_, Tables> {
        self.0.lock().unwrap()
    }
    pub fn add(&self, list: List, hashes: &[InfoHash], note: &Note) -> Result<usize> {
        let map = &mut self.tables().lists[list as usize];
        Ok(hashes
            .iter()
            .filter(|h| map.insert(**h, note.clone()).is_none())
            .count())
    }
    pub fn remove(&self, list: List, hashes: &[InfoHash]) -> Result<usize> {
        let map = &mut self.tables().lists[list as usize];
        Ok(hashes.iter().filter(|h| map.remove(h).is_some()).count())
    }
    pub fn hashes(&self, list: List) -> Result<Vec<InfoHash>> {
        Ok(self.tables().lists[list as usize].keys().copied().collect())
    }
    pub fn page(
        &self,
        list: List,
        offset: u64,
        limit: usize,
    ) -> Result<(u64, Vec<(InfoHash, Note)>)> {
        let map = &self.tables().lists[list as usize];
        let rows = map
            .iter()
            .skip(offset as usize)
            .take(limit)
            .map(|(h, n)| (*h, n.clone()));
        Ok((map.len() as u64, rows.collect()))
    }
    pub fn note(&self, list: List, hash: &InfoHash) -> Result<Option<Note>> {
        Ok(self.tables().lists[list as usize].get(hash).cloned())
    }
    pub fn add_networks(&self, networks: &[IpNet], note: &Note) -> Result<usize> {
        let map = &mut self.tables().networks;
        Ok(networks
            .iter()
            .filter(|n| map.insert(**n, note.clone()).is_none())
            .count())
    }
    pub fn remove_networks(&self, networks: &[IpNet]) -> Result<usize> {
        let map = &mut self.tables().networks;
        Ok(networks.iter().filter(|n| map.remove(n).is_some()).count())
    }
    pub fn networks(&self) -> Result<Vec<(IpNet, Note)>> {
        Ok(self
            .tables()
            .networks
            .iter()
            .map(|(n, note)| (*n, note.clone()))
            .collect())
    }
    pub fn add_key(&self, key: &AnnounceKey, row: &KeyRow) -> Result<bool> {
        let map = &mut self.tables().keys;
        Ok(!map.contains_key(key) && map.insert(*key, *row).is_none())
    }
    pub fn remove_key(&self, key: &AnnounceKey) -> Result<bool> {
        Ok(self.tables().keys.remove(key).is_some())
    }
    pub fn keys(&self) -> Result<Vec<(AnnounceKey, KeyRow)>> {
        Ok(self.tables().keys.iter().map(|(k, r)| (*k, *r)).collect())
    }
    pub fn keys_page(
        &self,
        offset: u64,
        limit: usize,
    ) -> Result<(u64, Vec<(AnnounceKey, KeyRow)>)> {
        let rows = self.keys()?;
        let len = rows.len() as u64;
        Ok((
            len,
            rows.into_iter().skip(offset as usize).take(limit).collect(),
        ))
    }
    pub fn write_journal(&self, entries: &[JournalEntry]) -> Result<u64> {
        let journal = &mut self.tables().journal;
        journal.extend_from_slice(entries);
        Ok(journal.len() as u64)
    }
}
