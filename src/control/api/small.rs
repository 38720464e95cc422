//! What the small Flask tracker has, for its users' scripts: the same paths and bodies, but never without
//! a token, and nothing that changes by a GET.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::named::{self, Page};
use super::operations::{save, stop};
use super::torrents::{About, keep};
use crate::control::auth::Caller;
use crate::control::problem::{Body, Params, Problem};
use crate::control::state::{Parts, State};
use crate::control::walk;
use crate::registrar::RegistrarError;

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/add_torrent_info", post(add_torrent_info))
        .route("/save_state", post(save_state))
        .route("/shutdown", post(shutdown))
}

/// Shares its path with a page for people: see `page_or_json`.
pub(super) fn stats_route() -> Router<State> {
    Router::new().route("/stats", get(stats))
}

/// What went well.
#[derive(Serialize)]
struct Message {
    message: &'static str,
}

/// What did not.
#[derive(Serialize)]
struct Failure {
    error: String,
}

/// An error in the way of that tracker.
struct Refusal(StatusCode, String);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem.status(), problem.detail().to_owned())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, error) = self;
        (status, Json(Failure { error })).into_response()
    }
}

#[derive(Deserialize)]
struct Info {
    info_hash: String,
    #[serde(flatten)]
    about: About,
}

/// Keeps what is known of a torrent, announced or not.
async fn add_torrent_info(
    state: State,
    caller: Caller,
    body: Result<Body<Info>, Problem>,
) -> Result<Json<Message>, Refusal> {
    let Body(info) = body?;
    let info_hash = named::info_hash(&info.info_hash)?;
    let metadata = info.about.into_metadata(state.clock.now().unix_s);
    let work = move |state: &Parts| keep(state, &[(info_hash, metadata)], &caller, "");
    state.on_disk(work).await.map_err(Problem::from)?;
    let message = "Torrent info added";
    Ok(Json(Message { message }))
}

/// A torrent and its counts.
#[derive(Serialize)]
struct Torrent {
    name: Option<String>,
    size: Option<u64>,
    creation_date: Option<u64>,
    stats: Counts,
}

#[derive(Serialize)]
struct Counts {
    complete: u32,
    incomplete: u32,
    /// Downloads that were completed.
    downloaded: u32,
    peers: u32,
}

/// The torrents of a page, by info-hash. There, they come all at once and with sums of bytes that
/// clients claim; here they come in pages, and such sums are in the transfers.
async fn stats(
    state: State,
    page: Result<Params<Page>, Problem>,
) -> Result<Json<BTreeMap<String, Torrent>>, Refusal> {
    let Params(page) = page?;
    let walked = walk::torrents(&state, page.offset, page.limit() as u64).await;
    let rows = walked.map_err(|_| Problem::busy())?;
    let known = state
        .on_disk(move |state| {
            let records = state.registrar.records();
            let rows = rows.into_iter().map(|(info_hash, totals)| {
                let about = records.map(|records| records.metadata(&info_hash));
                Ok((info_hash, totals, about.transpose()?.flatten()))
            });
            rows.collect::<Result<Vec<_>, RegistrarError>>()
        })
        .await;
    let torrents = known.map_err(Problem::from)?.into_iter();
    let told = torrents.map(|(info_hash, totals, about)| {
        let torrent = Torrent {
            name: about.as_ref().map(|about| about.name.clone()),
            size: about.as_ref().map(|about| about.size),
            creation_date: about.as_ref().and_then(|about| about.creation_date),
            stats: Counts {
                complete: totals.seeders,
                incomplete: totals.leechers,
                downloaded: totals.completed,
                peers: totals.seeders + totals.leechers,
            },
        };
        (info_hash.to_string(), torrent)
    });
    Ok(Json(told.collect()))
}

async fn save_state(state: State, caller: Caller) -> Result<Json<Message>, Refusal> {
    save(&state, caller).await?;
    let message = "State saved";
    Ok(Json(Message { message }))
}

async fn shutdown(state: State, caller: Caller) -> Result<Json<Message>, Refusal> {
    stop(&state, caller).await?;
    let message = "Server is shutting down";
    Ok(Json(Message { message }))
}
