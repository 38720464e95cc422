//! The configuration becomes the rules and settings that every core gets a copy of. Secrets are drawn
//! anew with every start, but for the key that the store keeps.

use std::net::SocketAddr;
use std::path::Path;

use log::warn;

use crate::clock::Now;
use crate::config::Config;
use crate::gate::connection_id::ConnectionIds;
use crate::net::steering::Steering;
use crate::request_log::RequestLog;
use crate::shard::Rules;
use crate::store;
use crate::swarm::{self, Swarms};

/// The rules by which every core answers; `key` is that of the connection ids, which `now` begins to date.
pub(super) fn rules(
    config: &Config,
    listeners: &[SocketAddr],
    steering: Steering,
    key: [u8; store::KEY_LEN],
    now: Now,
) -> Rules {
    Rules {
        connection_ids: ConnectionIds::new(key, config.access.connection_id_lifetime),
        started_unix_s: now.unix_s.saturating_sub(now.uptime_s.into()),
        listeners: listeners.to_vec(),
        steering,
        interval_s: config.announce.interval,
        peer_timeout_s: config.announce.peer_timeout_s(),
        numwant: config.announce.numwant,
        numwant_max: config.announce.numwant_max,
        v4_mapped: config.announce.v4_mapped,
        scrape_hashes_max: config.scrape.max_hashes,
        prefetch: config.workers.prefetch,
        request_log: RequestLog::of(config.log.full_addresses),
    }
}

/// The key of this install, or one for this start alone when none can be kept: the tracker works all
/// the same. `given` is that of a process before this one.
pub(super) fn connection_id_key(
    config: &Config,
    given: Option<[u8; store::KEY_LEN]>,
) -> Result<[u8; store::KEY_LEN], String> {
    let mut fresh = given.unwrap_or_default();
    if given.is_none() {
        fill_with_secret(&mut fresh)?;
    }
    if config.store.path.is_empty() {
        return Ok(fresh);
    }
    let kept = store::connection_id_key(Path::new(&config.store.path), fresh);
    Ok(kept.unwrap_or_else(|sentence| {
        warn!("{sentence}; connection ids will not survive a restart");
        fresh
    }))
}

/// The swarms of one of `cores` cores, without a torrent.
pub(super) fn swarms(config: &Config, cores: usize) -> Result<Swarms, String> {
    let budget = usize::try_from(config.swarm.memory_budget).unwrap_or(usize::MAX);
    let mut swarms = Swarms::new(swarm::Settings {
        seeds: [secret()?, secret()?, secret()?, secret()?],
        peer_timeout_s: config.announce.peer_timeout_s(),
        remove_peerless: config.swarm.remove_peerless,
        peer_details: config.swarm.peer_details,
        memory_budget: (budget > 0).then_some(budget / cores),
    });
    if config.swarm.merge_similar {
        swarms.merge_similar(config.swarm.similarity_threshold);
    }
    Ok(swarms)
}

/// A number that nobody can guess.
pub(super) fn secret() -> Result<u64, String> {
    let mut bytes = [0; 8];
    fill_with_secret(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// The salt of a new store.
pub(super) fn salt() -> Result<[u8; store::SALT_LEN], String> {
    let mut salt = [0; store::SALT_LEN];
    fill_with_secret(&mut salt)?;
    Ok(salt)
}

fn fill_with_secret(bytes: &mut [u8]) -> Result<(), String> {
    getrandom::fill(bytes).map_err(|error| format!("the kernel gives no random numbers: {error}"))
}
