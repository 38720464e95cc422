//! The lists of torrents and of networks: all rows, and many changes at a time. What Torrust has of the
//! allowlist is in `torrust/whitelist.rs`.

use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::named::{self, Page};
use crate::control::auth::Caller;
use crate::control::changes;
use crate::control::problem::{Body, Params, Problem, Segment};
use crate::control::state::State;
use crate::registrar::RegistrarError;
use crate::store::{List, Note};
use crate::wire::InfoHash;

pub(super) fn routes() -> Router<State> {
    let allowed = get(|state, page| page_of(List::Allowed, state, page))
        .post(|state, caller, body| add(List::Allowed, state, caller, body))
        .delete(|state, caller, body| remove(List::Allowed, state, caller, body));
    let blocked = get(|state, page| page_of(List::Blocked, state, page))
        .post(|state, caller, body| add(List::Blocked, state, caller, body))
        .delete(|state, caller, body| remove(List::Blocked, state, caller, body));
    Router::new()
        .route("/api/v1/whitelist", allowed)
        .route("/api/v1/blocklist", blocked)
        .route(
            "/api/v1/whitelist/{info_hash}",
            get(|state, path| show(List::Allowed, state, path)),
        )
        .route(
            "/api/v1/blocklist/{info_hash}",
            get(|state, path| show(List::Blocked, state, path))
                .post(block)
                .delete(unblock),
        )
        .route(
            "/api/v1/ip_blocklist",
            get(networks).post(block_networks).delete(unblock_networks),
        )
}

/// A torrent on a list.
#[derive(Serialize)]
struct Row {
    info_hash: String,
    /// True when the operator's file has it, which only he can change.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    in_file: bool,
    #[serde(flatten)]
    note: Option<Noted>,
}

/// Who put something on a list, when and why.
#[derive(Serialize)]
struct Noted {
    /// In Unix seconds.
    added: u64,
    by: String,
    reason: String,
}

impl From<Note> for Noted {
    fn from(note: Note) -> Self {
        Self {
            added: note.at_unix_s,
            by: note.by,
            reason: note.reason,
        }
    }
}

/// A part of a list.
#[derive(Serialize)]
pub(super) struct Items<T> {
    /// Rows of the whole list.
    pub(super) total: u64,
    pub(super) items: Vec<T>,
}

/// Torrents to put on a list, or to take from it.
#[derive(Deserialize)]
struct Hashes {
    info_hashes: Vec<String>,
    #[serde(default)]
    reason: String,
}

/// Why.
#[derive(Deserialize, Default)]
struct Reason {
    #[serde(default)]
    reason: String,
}

/// Networks to put on the list, or to take from it.
#[derive(Deserialize)]
struct Networks {
    networks: Vec<String>,
    #[serde(default)]
    reason: String,
}

#[derive(Serialize)]
struct Added {
    added: usize,
}

#[derive(Serialize)]
struct Removed {
    removed: usize,
}

async fn page_of(
    list: List,
    state: State,
    Params(page): Params<Page>,
) -> Result<Json<Items<Row>>, Problem> {
    let read = state
        .on_disk(move |state| {
            let records = state.registrar.records().ok_or(RegistrarError::NoStore)?;
            let page = records.page(list, page.offset, page.limit());
            page.map_err(RegistrarError::from)
        })
        .await;
    let (total, rows) = read?;
    let row = |(info_hash, note): (InfoHash, Note)| Row {
        info_hash: info_hash.to_string(),
        in_file: false,
        note: Some(note.into()),
    };
    let items = rows.into_iter().map(row).collect();
    Ok(Json(Items { total, items }))
}

async fn show(list: List, state: State, Segment(text): Segment) -> Result<Json<Row>, Problem> {
    let info_hash = named::info_hash(&text)?;
    let found = state
        .on_disk(move |state| {
            let in_file = changes::is_in_file(state, list, &info_hash);
            let records = state.registrar.records();
            let note = records.map(|records| records.note(list, &info_hash));
            Ok::<_, RegistrarError>((in_file, note.transpose()?.flatten()))
        })
        .await;
    let (in_file, note) = found?;
    if !in_file && note.is_none() {
        return Err(Problem::not_found(format_args!(
            "{info_hash} is not on this list"
        )));
    }
    Ok(Json(Row {
        info_hash: info_hash.to_string(),
        in_file,
        note: note.map(Noted::from),
    }))
}

async fn add(
    list: List,
    state: State,
    caller: Caller,
    Body(body): Body<Hashes>,
) -> Result<Json<Added>, Problem> {
    let hashes = named::info_hashes(&body.info_hashes)?;
    let added = changes::put(&state, list, hashes, caller.name(), body.reason).await?;
    Ok(Json(Added { added }))
}

async fn block(
    state: State,
    caller: Caller,
    Segment(text): Segment,
    body: Option<Body<Reason>>,
) -> Result<Json<Added>, Problem> {
    let info_hash = named::info_hash(&text)?;
    let reason = body.map(|Body(body)| body.reason).unwrap_or_default();
    let added = changes::put(
        &state,
        List::Blocked,
        vec![info_hash],
        caller.name(),
        reason,
    )
    .await?;
    Ok(Json(Added { added }))
}

async fn remove(
    list: List,
    state: State,
    caller: Caller,
    Body(body): Body<Hashes>,
) -> Result<Json<Removed>, Problem> {
    let hashes = named::info_hashes(&body.info_hashes)?;
    let removed = changes::take(&state, list, hashes, caller.name(), body.reason).await?;
    Ok(Json(Removed { removed }))
}

async fn unblock(
    state: State,
    caller: Caller,
    Segment(text): Segment,
    body: Option<Body<Reason>>,
) -> Result<Json<Removed>, Problem> {
    let info_hash = named::info_hash(&text)?;
    let reason = body.map(|Body(body)| body.reason).unwrap_or_default();
    let removed = changes::take(
        &state,
        List::Blocked,
        vec![info_hash],
        caller.name(),
        reason,
    )
    .await?;
    Ok(Json(Removed { removed }))
}

/// A network on the list.
#[derive(Serialize)]
struct NetworkRow {
    network: String,
    #[serde(flatten)]
    note: Noted,
}

async fn networks(
    state: State,
    Params(page): Params<Page>,
) -> Result<Json<Items<NetworkRow>>, Problem> {
    let read = state
        .on_disk(|state| {
            let records = state.registrar.records().ok_or(RegistrarError::NoStore)?;
            records.networks().map_err(RegistrarError::from)
        })
        .await;
    let rows = read?;
    let total = rows.len() as u64;
    let offset = usize::try_from(page.offset).unwrap_or(usize::MAX);
    let rows = rows.into_iter().skip(offset).take(page.limit());
    let items = rows.map(|(network, note)| NetworkRow {
        network: network.to_string(),
        note: note.into(),
    });
    let items = items.collect();
    Ok(Json(Items { total, items }))
}

async fn block_networks(
    state: State,
    caller: Caller,
    Body(body): Body<Networks>,
) -> Result<Json<Added>, Problem> {
    let networks = named::networks(&body.networks)?;
    let added = changes::block_networks(&state, networks, caller.name(), body.reason).await?;
    Ok(Json(Added { added }))
}

async fn unblock_networks(
    state: State,
    caller: Caller,
    Body(body): Body<Networks>,
) -> Result<Json<Removed>, Problem> {
    let networks = named::networks(&body.networks)?;
    let removed = changes::unblock_networks(&state, networks, caller.name(), body.reason).await?;
    Ok(Json(Removed { removed }))
}
