//! The operator's files of lists: read at the start and whenever he says so.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use log::info;

use crate::config::Config;
use crate::files;
use crate::gate::access::{Access, HashAccess};
use crate::gate::address_policy::AddressPolicy;
use crate::gate::hash_list::{self, HashList};
use crate::gate::networks::{self, Networks};
use crate::net::steering::Steering;
use crate::privileges::reason;

/// Bytes of the longest list: some 25 million info-hashes, which take 1.5 GB while they are read.
const LIST_LEN_MAX: u64 = 1 << 30;

/// Reads every file of the configuration. Those that cannot be read stay as they are in `old`, as does
/// what the store keeps; each is one sentence.
pub(super) fn read(
    config: &Config,
    cores: usize,
    steering: &Steering,
    old: &Access,
) -> (Access, Vec<String>) {
    let mut mistakes = Vec::new();
    let old_of = |core: usize| old.hashes.get(core).cloned().unwrap_or_default();
    let mut hashes: Vec<HashAccess> = (0..cores).map(old_of).collect();
    match read_hashes("allowlist", &config.access.allowlist, cores, steering) {
        Ok(lists) => {
            for (hashes, list) in hashes.iter_mut().zip(lists) {
                hashes.allowed.file = list;
            }
        }
        Err(sentence) => mistakes.push(sentence),
    }
    match read_hashes("blocklist", &config.access.blocklist, cores, steering) {
        Ok(lists) => {
            for (hashes, list) in hashes.iter_mut().zip(lists) {
                hashes.blocked.file = list;
            }
        }
        Err(sentence) => mistakes.push(sentence),
    }
    let blocked = read_networks(&config.access.ip_blocklist).unwrap_or_else(|sentence| {
        mistakes.push(sentence);
        Arc::clone(&old.blocked)
    });
    let clients = config.access.client_blocklist.iter();
    let access = Access {
        mode: config.access.mode,
        addresses: address_policy(config),
        blocked,
        blocked_by_store: Arc::clone(&old.blocked_by_store),
        clients: clients.map(|prefix| prefix.clone().into_bytes()).collect(),
        keys: old.keys.clone(),
        key_parameter: config.access.key_parameter.clone(),
        hashes,
        deny: config.access.deny,
        flood: config.flood,
    };
    (access.in_mode(config.access.mode), mistakes)
}

/// Logs how much is on the lists.
pub(super) fn report(access: &Access) {
    let blocked = access.sum(|hashes| hashes.blocked.len());
    if access.mode.is_listed() {
        let allowed = access.sum(|hashes| hashes.allowed.len());
        info!("only torrents on the allowlist are served: {allowed} of them");
    }
    if access.mode.is_private() {
        let keys = access.keys.len();
        info!("only those who have a key may announce: {keys} keys");
    }
    if blocked > 0 {
        info!("{blocked} torrents are on the blocklist");
    }
    let ranges = access.blocked.len() + access.blocked_by_store.len();
    if ranges > 0 {
        info!("sources in {ranges} ranges of addresses are turned away");
    }
}

fn read_hashes(
    key: &str,
    path: &str,
    cores: usize,
    steering: &Steering,
) -> Result<Vec<Arc<HashList>>, String> {
    let text = read_file(key, path)?;
    let lists = hash_list::read(&text, cores, |info_hash| steering.core_of(info_hash))
        .map_err(|line| format!("access.{key}: {path}, {line}; correct or remove it"))?;
    Ok(lists.into_iter().map(Arc::new).collect())
}

fn read_networks(path: &str) -> Result<Arc<Networks>, String> {
    let key = "ip_blocklist";
    let text = read_file(key, path)?;
    let networks = networks::read(&text)
        .map_err(|line| format!("access.{key}: {path}, {line}; correct or remove it"))?;
    Ok(Arc::new(networks))
}

/// An empty path names an empty list.
fn read_file(key: &str, path: &str) -> Result<Vec<u8>, String> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    files::read_regular(Path::new(path), LIST_LEN_MAX).map_err(|error| {
        let reason = reason(Path::new(path), &error);
        format!(
            "access.{key}: {path} cannot be read: {reason}; correct the path, or let the user that the \
             tracker runs as read it"
        )
    })
}

fn address_policy(config: &Config) -> AddressPolicy {
    let external = &config.announce.external_ip;
    AddressPolicy {
        allow_private: config.announce.allow_private_peers,
        ignored: config.announce.ignore_ip.iter().copied().collect(),
        external_v4: external.iter().find_map(|ip| match ip {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        }),
        external_v6: external.iter().find_map(|ip| match ip {
            IpAddr::V6(v6) => Some(*v6),
            IpAddr::V4(_) => None,
        }),
    }
}
