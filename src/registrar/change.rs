//! Changes that come over the API: on disk, in force, in the journal, in this order.

use std::collections::HashSet;

use ipnet::IpNet;
use log::warn;

use super::{Desk, Registrar, RegistrarError};
use crate::gate::access::{Access, HashAccess, HashLists, Mode};
use crate::gate::keys::{AnnounceKey, KeyRow};
use crate::store::{Action, JournalEntry, List, Note, Records};
use crate::wire::InfoHash;

/// Torrents of one change that the journal names one by one; of a greater change it tells the number.
const NAMED_MAX: usize = 1000;

impl Registrar {
    /// Puts torrents on the allowlist; tells how many are new there.
    pub fn allow(
        &self,
        info_hashes: &[InfoHash],
        by: &str,
        reason: &str,
    ) -> Result<usize, RegistrarError> {
        self.put(List::Allowed, Action::Allow, info_hashes, by, reason)
    }

    /// Takes torrents from the allowlist of the store; tells how many were there.
    pub fn disallow(
        &self,
        info_hashes: &[InfoHash],
        by: &str,
        reason: &str,
    ) -> Result<usize, RegistrarError> {
        self.take(List::Allowed, Action::Disallow, info_hashes, by, reason)
    }

    /// Puts torrents on the blocklist; tells how many are new there.
    pub fn block(
        &self,
        info_hashes: &[InfoHash],
        by: &str,
        reason: &str,
    ) -> Result<usize, RegistrarError> {
        self.put(List::Blocked, Action::Block, info_hashes, by, reason)
    }

    /// Takes torrents from the blocklist of the store; tells how many were there.
    pub fn unblock(
        &self,
        info_hashes: &[InfoHash],
        by: &str,
        reason: &str,
    ) -> Result<usize, RegistrarError> {
        self.take(List::Blocked, Action::Unblock, info_hashes, by, reason)
    }

    fn put(
        &self,
        list: List,
        action: Action,
        info_hashes: &[InfoHash],
        by: &str,
        reason: &str,
    ) -> Result<usize, RegistrarError> {
        let mut desk = self.desk();
        let info_hashes = each_once(info_hashes.iter().copied());
        let note = self.note(by, reason);
        let added = self.kept()?.add(list, &info_hashes, &note)?;
        self.enforce_hashes(&mut desk, list, &info_hashes, true);
        self.journal_hashes(action, &info_hashes, by, reason);
        Ok(added)
    }

    fn take(
        &self,
        list: List,
        action: Action,
        info_hashes: &[InfoHash],
        by: &str,
        reason: &str,
    ) -> Result<usize, RegistrarError> {
        let mut desk = self.desk();
        let access = self.access.load_full();
        let stored = info_hashes.iter().copied().filter(|info_hash| {
            let hashes = &access.hashes[self.steering.core_of(info_hash)];
            let list = match list {
                List::Allowed => &hashes.allowed,
                List::Blocked => &hashes.blocked,
            };
            list.stored.contains(info_hash)
        });
        let stored = each_once(stored);
        drop(access);
        // All that are asked for: the store knows best what it has.
        let removed = self.kept()?.remove(list, info_hashes)?;
        if !stored.is_empty() {
            self.enforce_hashes(&mut desk, list, &stored, false);
            self.journal_hashes(action, &stored, by, reason);
        }
        Ok(removed)
    }

    fn enforce_hashes(&self, desk: &mut Desk, list: List, info_hashes: &[InfoHash], on: bool) {
        let mut by_core = vec![Vec::new(); self.cores];
        for info_hash in info_hashes {
            let change = (*info_hash, on.then_some(()));
            by_core[self.steering.core_of(info_hash)].push(change);
        }
        let mut access = Access::clone(&self.access.load());
        for (hashes, changes) in access.hashes.iter_mut().zip(by_core) {
            if !changes.is_empty() {
                let list = list_of(hashes, list);
                list.stored = list.stored.changed(changes);
            }
        }
        self.enforce(desk, access);
    }

    /// Turns sources away; tells how many of the networks are new.
    pub fn block_networks(
        &self,
        networks: &[IpNet],
        by: &str,
        reason: &str,
    ) -> Result<usize, RegistrarError> {
        let mut desk = self.desk();
        let records = self.kept()?;
        let networks = each_once(networks.iter().map(IpNet::trunc));
        let added = records.add_networks(&networks, &self.note(by, reason))?;
        self.enforce_networks(&mut desk, records)?;
        self.journal_networks(Action::BlockNetwork, &networks, by, reason);
        Ok(added)
    }

    /// Turns sources away no more; tells how many of the networks were on the list.
    pub fn unblock_networks(
        &self,
        networks: &[IpNet],
        by: &str,
        reason: &str,
    ) -> Result<usize, RegistrarError> {
        let mut desk = self.desk();
        let records = self.kept()?;
        let blocked: HashSet<IpNet> = records.networks()?.into_iter().map(|row| row.0).collect();
        let networks = networks.iter().map(IpNet::trunc);
        let networks = each_once(networks.filter(|network| blocked.contains(network)));
        let removed = records.remove_networks(&networks)?;
        if removed > 0 {
            self.enforce_networks(&mut desk, records)?;
            self.journal_networks(Action::UnblockNetwork, &networks, by, reason);
        }
        Ok(removed)
    }

    fn enforce_networks(&self, desk: &mut Desk, records: &Records) -> Result<(), RegistrarError> {
        let networks = records.networks()?;
        let mut access = Access::clone(&self.access.load());
        let networks = networks.into_iter().map(|(network, _)| network);
        access.blocked_by_store = std::sync::Arc::new(networks.collect());
        self.enforce(desk, access);
        Ok(())
    }

    /// Makes a key good: this one, or a new one that nobody can guess; for so many seconds, or forever.
    pub fn add_key(
        &self,
        key: Option<AnnounceKey>,
        seconds_valid: Option<u64>,
        by: &str,
    ) -> Result<(AnnounceKey, KeyRow), RegistrarError> {
        let mut desk = self.desk();
        let records = self.kept()?;
        let now_unix_s = self.clock.now().unix_s;
        let expires_unix_s = seconds_valid
            .map(|seconds| {
                now_unix_s
                    .checked_add(seconds)
                    .ok_or(RegistrarError::Overflow)
            })
            .transpose()?;
        let key = match key {
            Some(key) => key,
            None => AnnounceKey::random().map_err(RegistrarError::NoRandomness)?,
        };
        let id = desk
            .last_key_id
            .checked_add(1)
            .ok_or(RegistrarError::Overflow)?;
        let row = KeyRow {
            id,
            expires_unix_s,
            created_unix_s: now_unix_s,
        };
        if !records.add_key(&key, &row)? {
            return Err(RegistrarError::KeyExists);
        }
        desk.last_key_id = id;
        desk.keys.insert(id, key);
        self.enforce_key(&mut desk, key, Some(&row));
        self.journal(&[self.entry(Action::AddKey, shown(&key), by, "")]);
        Ok((key, row))
    }

    /// Makes a key good no more, and forgets what was credited to it; tells whether it was there.
    pub fn remove_key(&self, key: &AnnounceKey, by: &str) -> Result<bool, RegistrarError> {
        let mut desk = self.desk();
        let removed = self.kept()?.remove_key(key)?;
        if removed {
            desk.keys.retain(|_, other| other != key);
            self.enforce_key(&mut desk, *key, None);
            self.journal(&[self.entry(Action::RemoveKey, shown(key), by, "")]);
        }
        Ok(removed)
    }

    fn enforce_key(&self, desk: &mut Desk, key: AnnounceKey, row: Option<&KeyRow>) {
        let mut access = Access::clone(&self.access.load());
        access.keys = access.keys.changed(key, row);
        self.enforce(desk, access);
    }

    /// The key that has this number, unless it was removed.
    pub fn key_of(&self, id: u32) -> Option<AnnounceKey> {
        self.desk().keys.get(&id).copied()
    }

    /// Whether a key is known, expired or not.
    pub fn has_key(&self, key: &AnnounceKey) -> bool {
        self.access.load().keys.contains(key)
    }

    /// Takes the lists that the store keeps in place of those in force.
    pub fn reload_lists(&self) -> Result<(), RegistrarError> {
        let mut desk = self.desk();
        let records = self.kept()?;
        let mut access = Access::clone(&self.access.load());
        for list in [List::Allowed, List::Blocked] {
            let mut by_core = vec![Vec::new(); self.cores];
            for info_hash in records.hashes(list)? {
                by_core[self.steering.core_of(&info_hash)].push((info_hash, ()));
            }
            for (hashes, stored) in access.hashes.iter_mut().zip(by_core) {
                list_of(hashes, list).stored = stored.into_iter().collect();
            }
        }
        let networks = records.networks()?.into_iter();
        let networks = networks.map(|(network, _)| network).collect();
        access.blocked_by_store = std::sync::Arc::new(networks);
        self.enforce(&mut desk, access);
        Ok(())
    }

    /// Takes the keys that the store keeps in place of those in force.
    pub fn reload_keys(&self) -> Result<(), RegistrarError> {
        let mut desk = self.desk();
        let rows = self.kept()?.keys()?;
        desk.keys = rows.iter().map(|(key, row)| (row.id, *key)).collect();
        let greatest = desk.keys.keys().copied().max().unwrap_or(0);
        desk.last_key_id = desk.last_key_id.max(greatest);
        let mut access = Access::clone(&self.access.load());
        access.keys = rows.into_iter().collect();
        self.enforce(&mut desk, access);
        Ok(())
    }

    /// Serves in another mode, until the configuration is read again: then that decides.
    pub fn set_mode(&self, mode: Mode, by: &str) {
        let mut desk = self.desk();
        let access = Access::clone(&self.access.load()).in_mode(mode);
        self.enforce(&mut desk, access);
        self.journal(&[self.entry(Action::Mode, mode.name().to_owned(), by, "")]);
    }

    /// Writes into the journal that something was done.
    pub fn note_done(&self, action: Action, subject: &str, by: &str, reason: &str) {
        self.journal(&[self.entry(action, subject.to_owned(), by, reason)]);
    }

    fn kept(&self) -> Result<&Records, RegistrarError> {
        self.records.as_deref().ok_or(RegistrarError::NoStore)
    }

    fn note(&self, by: &str, reason: &str) -> Note {
        Note {
            at_unix_s: self.clock.now().unix_s,
            by: by.to_owned(),
            reason: reason.to_owned(),
        }
    }

    fn entry(&self, action: Action, subject: String, by: &str, reason: &str) -> JournalEntry {
        JournalEntry {
            at_unix_s: self.clock.now().unix_s,
            by: by.to_owned(),
            action,
            subject,
            reason: reason.to_owned(),
        }
    }

    fn journal_hashes(&self, action: Action, info_hashes: &[InfoHash], by: &str, reason: &str) {
        let takedown = matches!(action, Action::Block | Action::Unblock);
        if takedown || info_hashes.len() <= NAMED_MAX {
            let entry = |hash: &InfoHash| self.entry(action, hash.to_string(), by, reason);
            let entries: Vec<_> = info_hashes.iter().map(entry).collect();
            self.journal(&entries);
        } else {
            let subject = format!("{} info-hashes", info_hashes.len());
            self.journal(&[self.entry(action, subject, by, reason)]);
        }
    }

    fn journal_networks(&self, action: Action, networks: &[IpNet], by: &str, reason: &str) {
        let entry = |network: &IpNet| self.entry(action, network.to_string(), by, reason);
        let entries: Vec<_> = networks.iter().map(entry).collect();
        self.journal(&entries);
    }

    /// The change itself is done, so a journal that cannot be written is told and no more.
    fn journal(&self, entries: &[JournalEntry]) {
        if let Some(records) = &self.records
            && let Err(error) = records.write_journal(entries)
        {
            warn!("the journal misses {} entries: {error}", entries.len());
        }
    }
}

fn list_of(hashes: &mut HashAccess, list: List) -> &mut HashLists {
    match list {
        List::Allowed => &mut hashes.allowed,
        List::Blocked => &mut hashes.blocked,
    }
}

/// In order, and no thing twice.
fn each_once<T: Ord>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut all: Vec<T> = all.collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// A key as the journal names it: enough to know it again, too little to use it.
fn shown(key: &AnnounceKey) -> String {
    format!("{}..", &key.to_string()[..8])
}
