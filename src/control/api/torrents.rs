//! What is known of torrents beside their swarms, and torrents as a whole: registered, forgotten, brought
//! over from another tracker.

use std::net::IpAddr;

use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::lists::Items;
use super::named::{self, Page};
use crate::control::auth::Caller;
use crate::control::changes;
use crate::control::problem::{Body, Params, Problem, Segment};
use crate::control::state::{Parts, State};
use crate::gate::address_policy::is_unicast;
use crate::registrar::RegistrarError;
use crate::shard::Returning;
use crate::store::{Action, Metadata};
use crate::swarm::{Known, PeerAddr, State as PeerState};
use crate::wire::InfoHash;

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/api/v1/torrents", post(register))
        .route("/api/v1/torrent/{info_hash}", delete(forget))
        .route(
            "/api/v1/torrent/{info_hash}/metadata",
            get(metadata).put(put_metadata).delete(remove_metadata),
        )
        .route("/api/v1/metadata", get(all_metadata))
        .route("/api/v1/import", post(import))
}

/// What its metainfo says of a torrent.
#[derive(Deserialize, Serialize, Default)]
#[serde(default)]
pub(super) struct About {
    name: String,
    size: u64,
    piece_length: u64,
    comment: String,
    created_by: String,
    /// In Unix seconds.
    creation_date: Option<u64>,
}

impl About {
    pub(super) fn into_metadata(self, now_unix_s: u64) -> Metadata {
        Metadata {
            name: self.name,
            size: self.size,
            piece_length: self.piece_length,
            comment: self.comment,
            created_by: self.created_by,
            creation_date: self.creation_date,
            at_unix_s: now_unix_s,
        }
    }
}

/// A torrent and what is known of it.
#[derive(Serialize)]
struct Told {
    info_hash: String,
    #[serde(flatten)]
    about: About,
    /// When this was written, in Unix seconds.
    updated: u64,
}

impl Told {
    fn new(info_hash: InfoHash, metadata: Metadata) -> Self {
        Self {
            info_hash: info_hash.to_string(),
            about: About {
                name: metadata.name,
                size: metadata.size,
                piece_length: metadata.piece_length,
                comment: metadata.comment,
                created_by: metadata.created_by,
                creation_date: metadata.creation_date,
            },
            updated: metadata.at_unix_s,
        }
    }
}

/// Torrents to register.
#[derive(Deserialize)]
struct Register {
    torrents: Vec<Registered>,
    /// Puts them on the allowlist too.
    #[serde(default)]
    allow: bool,
    #[serde(default)]
    reason: String,
}

/// A torrent to register, and what is known of it.
#[derive(Deserialize)]
struct Registered {
    info_hash: String,
    #[serde(flatten)]
    about: About,
}

#[derive(Serialize)]
struct RegisteredCount {
    registered: usize,
    /// How many are new on the allowlist.
    added: usize,
}

async fn register(
    state: State,
    caller: Caller,
    Body(body): Body<Register>,
) -> Result<Json<RegisteredCount>, Problem> {
    let now_unix_s = state.clock.now().unix_s;
    let read = |torrent: Registered| {
        let info_hash = named::info_hash(&torrent.info_hash)?;
        Ok::<_, Problem>((info_hash, torrent.about.into_metadata(now_unix_s)))
    };
    let all: Vec<_> = body
        .torrents
        .into_iter()
        .map(read)
        .collect::<Result<_, _>>()?;
    let (allow, reason) = (body.allow, body.reason);
    let work = move |state: &Parts| {
        let hashes: Vec<InfoHash> = all.iter().map(|(info_hash, _)| *info_hash).collect();
        keep(state, &all, &caller, &reason)?;
        let added = if allow {
            state.registrar.allow(&hashes, caller.name(), &reason)?
        } else {
            0
        };
        Ok::<_, RegistrarError>(RegisteredCount {
            registered: all.len(),
            added,
        })
    };
    Ok(Json(state.on_disk(work).await?))
}

/// Keeps what is known of torrents, and writes it into the journal.
pub(super) fn keep(
    state: &Parts,
    all: &[(InfoHash, Metadata)],
    caller: &Caller,
    reason: &str,
) -> Result<(), RegistrarError> {
    let records = state.registrar.records().ok_or(RegistrarError::NoStore)?;
    records.put_all_metadata(all)?;
    let subject = match all {
        [(info_hash, _)] => info_hash.to_string(),
        _ => format!("{} torrents", all.len()),
    };
    state
        .registrar
        .note_done(Action::Metadata, &subject, caller.name(), reason);
    Ok(())
}

#[derive(Serialize)]
struct Forgotten {
    forgotten: bool,
}

async fn forget(
    state: State,
    caller: Caller,
    Segment(text): Segment,
) -> Result<Json<Forgotten>, Problem> {
    let info_hash = named::info_hash(&text)?;
    let forgotten = changes::forget(&state, info_hash, caller.name()).await?;
    Ok(Json(Forgotten { forgotten }))
}

async fn metadata(state: State, Segment(text): Segment) -> Result<Json<Told>, Problem> {
    let info_hash = named::info_hash(&text)?;
    let found = state
        .on_disk(move |state| {
            let records = state.registrar.records().ok_or(RegistrarError::NoStore)?;
            records.metadata(&info_hash).map_err(RegistrarError::from)
        })
        .await?;
    let found = found.map(|metadata| Json(Told::new(info_hash, metadata)));
    found.ok_or_else(|| Problem::not_found(format_args!("nothing is known of {info_hash}")))
}

async fn put_metadata(
    state: State,
    caller: Caller,
    Segment(text): Segment,
    Body(about): Body<About>,
) -> Result<Json<Told>, Problem> {
    let info_hash = named::info_hash(&text)?;
    let metadata = about.into_metadata(state.clock.now().unix_s);
    let work = move |state: &Parts| {
        keep(state, &[(info_hash, metadata)], &caller, "")?;
        let records = state.registrar.records().ok_or(RegistrarError::NoStore)?;
        // As it was kept: too long a text is cut.
        records.metadata(&info_hash).map_err(RegistrarError::from)
    };
    let kept = state.on_disk(work).await?.unwrap_or_default();
    Ok(Json(Told::new(info_hash, kept)))
}

#[derive(Serialize)]
struct Removed {
    removed: bool,
}

async fn remove_metadata(
    state: State,
    caller: Caller,
    Segment(text): Segment,
) -> Result<Json<Removed>, Problem> {
    let info_hash = named::info_hash(&text)?;
    let work = move |state: &Parts| {
        let records = state.registrar.records().ok_or(RegistrarError::NoStore)?;
        let removed = records.remove_metadata(&info_hash)?;
        if removed {
            let subject = info_hash.to_string();
            state
                .registrar
                .note_done(Action::Metadata, &subject, caller.name(), "removed");
        }
        Ok::<_, RegistrarError>(removed)
    };
    let removed = state.on_disk(work).await?;
    Ok(Json(Removed { removed }))
}

async fn all_metadata(
    state: State,
    Params(page): Params<Page>,
) -> Result<Json<Items<Told>>, Problem> {
    let read = state
        .on_disk(move |state| {
            let records = state.registrar.records().ok_or(RegistrarError::NoStore)?;
            let read = records.metadata_page(page.offset, page.limit());
            read.map_err(RegistrarError::from)
        })
        .await;
    let (total, rows) = read?;
    let told = |(info_hash, metadata)| Told::new(info_hash, metadata);
    let items = rows.into_iter().map(told).collect();
    Ok(Json(Items { total, items }))
}

/// What another tracker knows.
#[derive(Deserialize)]
struct Import {
    torrents: Vec<Imported>,
}

/// A torrent of another tracker.
#[derive(Deserialize)]
struct Imported {
    info_hash: String,
    /// Downloads that were completed there.
    #[serde(default)]
    completed: u32,
    #[serde(default)]
    peers: Vec<ImportedPeer>,
}

/// A peer of another tracker.
#[derive(Deserialize)]
struct ImportedPeer {
    ip: IpAddr,
    port: u16,
    /// Bytes that it misses.
    #[serde(default)]
    left: u64,
    /// Seconds since it was heard of.
    #[serde(default)]
    age: u64,
}

impl ImportedPeer {
    fn known(&self) -> Result<Known, Problem> {
        let ip = self.ip.to_canonical();
        if self.port == 0 || !is_unicast(ip) {
            return Err(Problem::bad_request(format_args!(
                "{}:{} is no address of a peer",
                self.ip, self.port
            )));
        }
        let state = if self.left == 0 {
            PeerState::Seeding
        } else {
            PeerState::Leeching
        };
        let age_s = u32::try_from(self.age).unwrap_or(u32::MAX);
        Ok((PeerAddr::new(ip, self.port), state, age_s))
    }
}

#[derive(Serialize)]
struct ImportedCount {
    torrents: usize,
    peers: usize,
    /// Peers whose addresses the configuration does not admit.
    refused_peers: usize,
}

async fn import(
    state: State,
    caller: Caller,
    Body(body): Body<Import>,
) -> Result<Json<ImportedCount>, Problem> {
    let torrents = body.torrents.iter().map(|torrent| {
        let info_hash = named::info_hash(&torrent.info_hash)?;
        let peers = torrent.peers.iter().map(ImportedPeer::known);
        Ok((
            info_hash,
            torrent.completed,
            peers.collect::<Result<_, _>>()?,
        ))
    });
    let mut torrents: Vec<Returning> = torrents.collect::<Result<_, Problem>>()?;
    let count = torrents.len();
    let refused_peers = leave_out_unwelcome(&state, &mut torrents);
    let restored = state.errands.restore(torrents).await;
    let restored = restored.map_err(|_| Problem::busy())?;
    let work = move |state: &Parts| {
        let subject = format!("{count} torrents");
        state
            .registrar
            .note_done(Action::Import, &subject, caller.name(), "");
    };
    state.on_disk(work).await;
    Ok(Json(ImportedCount {
        torrents: restored.torrents,
        peers: restored.peers,
        refused_peers,
    }))
}

/// Leaves out peers that could not announce themselves, for where they are. Returns how many.
fn leave_out_unwelcome(state: &State, torrents: &mut [Returning]) -> usize {
    let access = state.registrar.access().load();
    let mut refused = 0;
    for (_, _, peers) in torrents {
        let before = peers.len();
        peers.retain(|(peer, ..)| access.admits_peer(peer.address()));
        refused += before - peers.len();
    }
    refused
}
