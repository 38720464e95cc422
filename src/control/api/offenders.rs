//! Who was turned away lately for asking too often. `docs/floods.md` has what that means.

use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::named;
use crate::control::problem::{Params, Problem};
use crate::control::state::State;

pub(super) fn routes() -> Router<State> {
    Router::new().route("/api/v1/offenders", get(offenders))
}

/// How many of them.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Part {
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Offenders {
    offenders: Vec<Offender>,
}

#[derive(Serialize)]
struct Offender {
    /// As the list of unwanted networks takes it.
    network: String,
    /// True when it is a network of several sources.
    is_network: bool,
    /// Requests that were turned away, halved each minute.
    refused: u64,
    /// Seconds since the last of them.
    last_seconds_ago: u32,
}

async fn offenders(state: State, Params(part): Params<Part>) -> Result<Json<Offenders>, Problem> {
    let now_s = state.clock.now().uptime_s;
    let worst = state.offenders(named::limit(part.limit)).into_iter();
    let row = |offender: crate::counters::Offender| Offender {
        network: offender.prefix.to_string(),
        is_network: offender.prefix.is_network(),
        refused: offender.refused,
        last_seconds_ago: now_s.saturating_sub(offender.last_s),
    };
    let offenders = worst.map(row).collect();
    Ok(Json(Offenders { offenders }))
}
