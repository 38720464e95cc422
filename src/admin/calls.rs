//! What can be asked of the API, one function each. Long lists go in batches, so that no body comes near
//! the tracker's limit of 16 MiB and no request near its time-out.

use ipnet::IpNet;
use serde_json::{Value, json};

use super::client::{Client, Method};
use super::problem::Problem;
use crate::import::records::{Peer, Torrent};
use crate::wire::InfoHash;
use crate::wire::metainfo::Metainfo;

/// Most info-hashes or networks in a request.
const LISTED_MAX: usize = 10_000;

/// Most torrents in a request that registers them, and about the most bytes.
const REGISTERED_MAX: usize = 500;
const REGISTERED_LEN_MAX: usize = 1 << 20;

/// Most torrents and most peers in a request that imports them.
const IMPORTED_MAX: usize = 2000;
const PEERS_MAX: usize = 5000;

/// Entries asked for in one page of a list.
const PAGE_LEN: usize = 1000;

/// Most pages of a list: ten million entries. A server that sends more, or little at a time, has no end.
const PAGES_MAX: usize = 10_000;

/// A list of info-hashes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum List {
    /// Those that are served in the modes `listed` and `private_listed`.
    Allowed,
    /// Those that are never served.
    Blocked,
}

impl List {
    /// Where the API has it.
    pub fn path(self) -> &'static str {
        match self {
            Self::Allowed => "/api/v1/whitelist",
            Self::Blocked => "/api/v1/blocklist",
        }
    }
}

/// Where the API has the networks whose announces are refused.
pub const NETWORKS: &str = "/api/v1/ip_blocklist";

/// Puts info-hashes on a list. Gives how many are new there.
pub fn add(client: &Client, list: List, hashes: &[InfoHash], reason: &str) -> Result<u64, Problem> {
    in_batches(hashes, |batch| {
        let body = json!({"info_hashes": texts(batch), "reason": reason});
        let answer = client.send(Method::Post, list.path(), Some(&body))?;
        Ok(number(&answer, "added"))
    })
}

/// Takes info-hashes off a list. Gives how many were there.
pub fn remove(client: &Client, list: List, hashes: &[InfoHash]) -> Result<u64, Problem> {
    in_batches(hashes, |batch| {
        let body = json!({"info_hashes": texts(batch)});
        let answer = client.send(Method::Delete, list.path(), Some(&body))?;
        Ok(number(&answer, "removed"))
    })
}

/// Refuses networks. Gives how many are new.
pub fn add_networks(client: &Client, networks: &[IpNet], reason: &str) -> Result<u64, Problem> {
    in_batches(networks, |batch| {
        let body = json!({"networks": texts(batch), "reason": reason});
        let answer = client.send(Method::Post, NETWORKS, Some(&body))?;
        Ok(number(&answer, "added"))
    })
}

/// Refuses networks no longer. Gives how many were refused.
pub fn remove_networks(client: &Client, networks: &[IpNet]) -> Result<u64, Problem> {
    in_batches(networks, |batch| {
        let body = json!({"networks": texts(batch)});
        let answer = client.send(Method::Delete, NETWORKS, Some(&body))?;
        Ok(number(&answer, "removed"))
    })
}

/// Registers torrents with what their files say, each under all its info-hashes, and allows them if they
/// are to be. Gives how many info-hashes are new on the allowlist.
pub fn register(
    client: &Client,
    torrents: &[Metainfo],
    allow: bool,
    reason: &str,
) -> Result<u64, Problem> {
    let mut added = 0_u64;
    let mut rest = torrents;
    while !rest.is_empty() {
        let (batch, behind) = rest.split_at(batch_len(rest));
        let items: Vec<Value> = batch.iter().flat_map(described).collect();
        let body = json!({"torrents": items, "allow": allow, "reason": reason});
        let answer = client.send(Method::Post, "/api/v1/torrents", Some(&body))?;
        added = number(&answer, "added").saturating_add(added);
        rest = behind;
    }
    Ok(added)
}

/// How many of these go into the next request; at least one.
pub fn batch_len(torrents: &[Metainfo]) -> usize {
    let mut len = 0;
    let fits = |torrent: &&Metainfo| {
        len += 300 + torrent.name.len() + torrent.comment.len() + torrent.created_by.len();
        len <= REGISTERED_LEN_MAX
    };
    let fitting = torrents.iter().take(REGISTERED_MAX).take_while(fits);
    fitting.count().max(1)
}

fn described(torrent: &Metainfo) -> impl Iterator<Item = Value> {
    torrent.info_hashes.iter().map(|info_hash| {
        json!({
            "info_hash": info_hash.to_string(),
            "name": torrent.name,
            "size": torrent.size,
            "piece_length": torrent.piece_length,
            "comment": torrent.comment,
            "created_by": torrent.created_by,
            "creation_date": torrent.creation_date,
        })
    })
}

/// What became of torrents and peers that were handed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Imported {
    /// Torrents that the tracker took.
    pub torrents: u64,
    /// Peers that it took.
    pub peers: u64,
    /// Peers that it left out because its rules do not admit their addresses.
    pub refused_peers: u64,
}

/// Hands over torrents with their peers and counts of completed downloads.
pub fn import(client: &Client, torrents: &[Torrent]) -> Result<Imported, Problem> {
    let mut imported = Imported::default();
    let mut batch: Vec<Value> = Vec::new();
    let mut peers_in_batch = 0;
    let mut send = |batch: &mut Vec<Value>| -> Result<(), Problem> {
        if !batch.is_empty() {
            let body = json!({"torrents": std::mem::take(batch)});
            let answer = client.send(Method::Post, "/api/v1/import", Some(&body))?;
            let add = |sum: &mut u64, key| *sum = sum.saturating_add(number(&answer, key));
            add(&mut imported.torrents, "torrents");
            add(&mut imported.peers, "peers");
            add(&mut imported.refused_peers, "refused_peers");
        }
        Ok(())
    };
    for torrent in torrents {
        let mut parts = torrent.peers.chunks(PEERS_MAX);
        let mut part = parts.next().unwrap_or_default();
        loop {
            if batch.len() == IMPORTED_MAX || peers_in_batch + part.len() > PEERS_MAX {
                send(&mut batch)?;
                peers_in_batch = 0;
            }
            peers_in_batch += part.len();
            batch.push(json!({
                "info_hash": torrent.info_hash.to_string(),
                "completed": torrent.completed,
                "peers": part.iter().map(peer).collect::<Vec<_>>(),
            }));
            match parts.next() {
                Some(next) => part = next,
                None => break,
            }
        }
    }
    send(&mut batch)?;
    Ok(imported)
}

fn peer(peer: &Peer) -> Value {
    json!({
        "ip": peer.address.ip().to_string(),
        "port": peer.address.port(),
        "left": peer.left,
        "age": peer.age_s,
    })
}

/// A new key, or `key` itself, for so many seconds or for ever. Gives the tracker's row.
pub fn add_key(
    client: &Client,
    key: Option<&str>,
    seconds_valid: Option<u64>,
) -> Result<Value, Problem> {
    let body = json!({"key": key, "seconds_valid": seconds_valid});
    // Sent again, it would make another key.
    client.send_once(Method::Post, "/api/v1/keys", Some(&body))
}

/// All entries of a list that comes in pages; one without an end is a problem.
pub fn all(client: &Client, path: &str) -> Result<Vec<Value>, Problem> {
    let mut found = Vec::new();
    for _ in 0..PAGES_MAX {
        let page = client.get(&format!("{path}?offset={}&limit={PAGE_LEN}", found.len()))?;
        let (total, items) = entries(&page);
        if total > (PAGES_MAX * PAGE_LEN) as u64 {
            break;
        }
        let is_last = items.is_empty();
        found.extend(items);
        if is_last || found.len() as u64 >= total {
            return Ok(found);
        }
    }
    Err(Problem::endless(path, PAGES_MAX))
}

/// The number of entries and those on this page; a list without pages is one page.
fn entries(page: &Value) -> (u64, Vec<Value>) {
    let items = match page {
        Value::Array(items) => items.clone(),
        page => page["items"].as_array().cloned().unwrap_or_default(),
    };
    let total = page["total"].as_u64().unwrap_or(items.len() as u64);
    (total, items)
}

fn in_batches<T>(
    all: &[T],
    mut call: impl FnMut(&[T]) -> Result<u64, Problem>,
) -> Result<u64, Problem> {
    let mut sum = 0_u64;
    for batch in all.chunks(LISTED_MAX) {
        sum = sum.saturating_add(call(batch)?);
    }
    Ok(sum)
}

fn texts<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(T::to_string).collect()
}

fn number(answer: &Value, key: &str) -> u64 {
    answer[key].as_u64().unwrap_or(0)
}
