//! What the holders of keys have uploaded and downloaded, as a feed: whoever reads it asks each time for
//! what has changed since.

use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::named;
use crate::control::problem::{Params, Problem};
use crate::control::state::State;
use crate::registrar::RegistrarError;
use crate::store::Transfer;

pub(super) fn routes() -> Router<State> {
    Router::new().route("/api/v1/transfers", get(transfers))
}

/// Which part of the feed.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Part {
    since: u64,
    limit: Option<usize>,
}

/// What a key has done with a torrent altogether. To add up twice what is read twice does no harm: these
/// are totals.
#[derive(Serialize)]
struct Told {
    key: String,
    info_hash: String,
    uploaded: u64,
    downloaded: u64,
    left: u64,
    seed_seconds: u64,
    /// In Unix seconds.
    updated: u64,
    number: u64,
}

impl From<Transfer> for Told {
    fn from(transfer: Transfer) -> Self {
        Self {
            key: transfer.key.to_string(),
            info_hash: transfer.info_hash.to_string(),
            uploaded: transfer.uploaded,
            downloaded: transfer.downloaded,
            left: transfer.left,
            seed_seconds: transfer.seed_s,
            updated: transfer.at_unix_s,
            number: transfer.number,
        }
    }
}

#[derive(Serialize)]
struct Feed {
    /// `since` of the next request.
    next: u64,
    items: Vec<Told>,
}

async fn transfers(state: State, Params(part): Params<Part>) -> Result<Json<Feed>, Problem> {
    let read = state
        .on_disk(move |state| {
            let records = state.registrar.records().ok_or(RegistrarError::NoStore)?;
            let read = records.transfers(part.since, named::limit(part.limit));
            read.map_err(RegistrarError::from)
        })
        .await;
    let (next, transfers) = read?;
    let items = transfers.into_iter().map(Told::from).collect();
    Ok(Json(Feed { next, items }))
}
