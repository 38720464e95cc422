//! The operator's lists: read at the start and whenever he says so.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

use log::info;

use crate::config::Config;
use crate::gate::access::{Access, HashAccess, Mode};
use crate::gate::address_policy::AddressPolicy;
use crate::gate::hash_list::{self, HashList};
use crate::gate::networks::{self, Networks};
use crate::net::steering::Steering;

/// Reads every list of the configuration. Those that cannot be read stay as they are in `old`; each is
/// one sentence.
pub(super) fn read(
    config: &Config,
    cores: usize,
    steering: &Steering,
    old: &Access,
) -> (Access, Vec<String>) {
    let mut mistakes = Vec::new();
    let old_of = |core: usize| old.hashes.get(core).cloned().unwrap_or_default();
    let allowed = match config.access.mode {
        Mode::Public => None,
        Mode::Listed => Some(
            read_hashes("allowlist", &config.access.allowlist, cores, steering).unwrap_or_else(
                |sentence| {
                    mistakes.push(sentence);
                    let old = |core| old_of(core).allowed.unwrap_or_default();
                    (0..cores).map(old).collect()
                },
            ),
        ),
    };
    let blocked = read_hashes("blocklist", &config.access.blocklist, cores, steering)
        .unwrap_or_else(|sentence| {
            mistakes.push(sentence);
            (0..cores).map(|core| old_of(core).blocked).collect()
        });
    let networks = read_networks(&config.access.ip_blocklist).unwrap_or_else(|sentence| {
        mistakes.push(sentence);
        Arc::clone(&old.blocked)
    });
    let hashes = blocked.into_iter().enumerate().map(|(core, blocked)| {
        let allowed = allowed.as_ref().map(|lists| Arc::clone(&lists[core]));
        HashAccess { allowed, blocked }
    });
    let access = Access {
        addresses: address_policy(config),
        blocked: networks,
        clients: config
            .access
            .client_blocklist
            .iter()
            .map(|prefix| prefix.clone().into_bytes())
            .collect(),
        hashes: hashes.collect(),
        deny: config.access.deny,
    };
    (access, mistakes)
}

/// Logs how much is on the lists.
pub(super) fn report(config: &Config, access: &Access) {
    let sum = |len: fn(&HashAccess) -> usize| access.hashes.iter().map(len).sum::<usize>();
    let allowed = sum(|hashes| hashes.allowed.as_ref().map_or(0, |list| list.len()));
    let blocked = sum(|hashes| hashes.blocked.len());
    if config.access.mode == Mode::Listed {
        info!("only torrents on the allowlist are served: {allowed} of them");
    }
    if blocked > 0 {
        info!("{blocked} torrents are on the blocklist");
    }
    if !access.blocked.is_empty() {
        let ranges = access.blocked.len();
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
    fs::read(path).map_err(|error| format!("access.{key}: {path} cannot be read: {error}"))
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
