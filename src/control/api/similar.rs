//! Torrents whose info-hashes are nearly the same. `docs/similar-hashes.md` has what that means.

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::named;
use crate::control::problem::{Params, Problem};
use crate::control::similar;
use crate::control::state::State;
use crate::shard::Row;

pub(super) fn routes() -> Router<State> {
    Router::new().route("/api/v1/similar", get(groups))
}

/// How many groups.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Part {
    limit: Option<usize>,
}

/// A torrent of a group.
#[derive(Serialize)]
struct Member {
    info_hash: String,
    seeders: u32,
    completed: u32,
    leechers: u32,
}

impl From<Row> for Member {
    fn from((info_hash, totals): Row) -> Self {
        Self {
            info_hash: info_hash.to_string(),
            seeders: totals.seeders,
            completed: totals.completed,
            leechers: totals.leechers,
        }
    }
}

#[derive(Serialize)]
struct Groups {
    /// The share of equal digits from which on info-hashes are similar; 1 = none are.
    threshold: f64,
    groups: Vec<Vec<Member>>,
}

async fn groups(state: State, Params(part): Params<Part>) -> Result<Json<Groups>, Problem> {
    let threshold = state.config.swarm.similarity_threshold;
    let most = named::limit(part.limit);
    // Never closed.
    let turn = Arc::clone(&state.walks).acquire_owned().await;
    let found = state
        .on_disk(move |state| {
            let found = similar::find(&state.collector, threshold, most);
            drop(turn);
            found
        })
        .await;
    let found = found.map_err(|_| Problem::busy())?;
    let group = |group: Vec<Row>| group.into_iter().map(Member::from).collect();
    let groups = found.into_iter().map(group).collect();
    Ok(Json(Groups { threshold, groups }))
}
