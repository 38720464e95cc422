//! Who did what and when; of that the takedowns, and the blocked torrents, which may be public.

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::lists::Items;
use super::named::{self, Page};
use crate::control::problem::{Params, Problem};
use crate::control::state::State;
use crate::registrar::RegistrarError;
use crate::store::{Action, JournalEntry, List, Note};
use crate::wire::InfoHash;

/// What takedowns are about.
const TAKEDOWNS: [Action; 2] = [Action::Block, Action::Unblock];

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route(
            "/api/v1/journal",
            get(|state, part| entries(state, part, None)),
        )
        .route(
            "/api/v1/takedowns",
            get(|state, part| entries(state, part, Some(&TAKEDOWNS))),
        )
}

/// The routes that need no token.
pub(super) fn open_routes() -> Router<State> {
    Router::new().route("/api/blocklist.json", get(published))
}

/// Which part of the journal: the entries before this number, the newest first.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Part {
    before: Option<u64>,
    limit: Option<usize>,
}

/// An entry of the journal.
#[derive(Serialize)]
struct Entry {
    number: u64,
    /// In Unix seconds.
    at: u64,
    action: &'static str,
    subject: String,
    reason: String,
    by: String,
}

#[derive(Serialize)]
struct Entries {
    items: Vec<Entry>,
}

async fn entries(
    state: State,
    Params(part): Params<Part>,
    only: Option<&'static [Action]>,
) -> Result<Json<Entries>, Problem> {
    let read = state
        .on_disk(move |state| {
            let records = state.registrar.records().ok_or(RegistrarError::NoStore)?;
            let read = records.journal(part.before, named::limit(part.limit), only);
            read.map_err(RegistrarError::from)
        })
        .await;
    let entry = |(number, entry): (u64, JournalEntry)| Entry {
        number,
        at: entry.at_unix_s,
        action: entry.action.name(),
        subject: entry.subject,
        reason: entry.reason,
        by: entry.by,
    };
    let items = read?.into_iter().map(entry).collect();
    Ok(Json(Entries { items }))
}

/// A torrent that was taken down, as the public sees it: not by whom.
#[derive(Serialize)]
struct Blocked {
    info_hash: String,
    /// In Unix seconds.
    since: u64,
    reason: String,
}

async fn published(
    state: State,
    Params(page): Params<Page>,
) -> Result<Json<Items<Blocked>>, Problem> {
    if !state.publishes_blocklist() {
        return Err(Problem::not_found(
            "this tracker does not publish its blocklist",
        ));
    }
    // Anybody may ask for the middle of a long list, which is counted from its end. Never closed.
    let turn = Arc::clone(&state.published).acquire_owned().await;
    let read = state
        .on_disk(move |state| {
            let _turn = turn;
            let records = state.registrar.records().ok_or(RegistrarError::NoStore)?;
            let read = records.page(List::Blocked, page.offset, page.limit());
            read.map_err(RegistrarError::from)
        })
        .await;
    let (total, rows) = read?;
    let row = |(info_hash, note): (InfoHash, Note)| Blocked {
        info_hash: info_hash.to_string(),
        since: note.at_unix_s,
        reason: note.reason,
    };
    let items = rows.into_iter().map(row).collect();
    Ok(Json(Items { total, items }))
}
