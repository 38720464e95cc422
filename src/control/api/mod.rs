//! The routes. Those of Torrust answer exactly as it does; all others tell errors as
//! [`Problem`](super::problem::Problem)s. `docs/api.md` lists them.
//!
//! A file beside this one has `pub(super) fn routes() -> Router<State>` and stands in one of the two
//! lists below: with a token, or without.

mod health;
mod journal;
mod keys;
mod lists;
mod named;
mod offenders;
mod openapi;
pub(super) mod operations;
mod similar;
mod small;
mod torrents;
mod torrust;
mod transfers;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::auth;
use super::limits::BODY_LEN_MAX;
use super::metrics;
use super::pages;
use super::problem::Problem;
use super::server::{bare, frame};
use super::state::State;

/// All routes.
pub(super) fn router(state: State) -> Router {
    let open = Router::new()
        .merge(health::routes())
        .merge(journal::open_routes())
        .merge(metrics::routes(state.clone()))
        .merge(openapi::open_routes())
        .merge(pages::routes());
    let require = || from_fn_with_state(state.clone(), auth::require);
    let shared = small::stats_route()
        .layer(from_fn(bounded))
        .layer(require())
        .layer(from_fn_with_state(state.clone(), pages::page_or_json));
    // With a token even what does not exist: nobody else learns what does.
    let guarded = Router::new()
        .merge(torrust::routes())
        .merge(lists::routes())
        .merge(keys::routes())
        .merge(torrents::routes())
        .merge(journal::routes())
        .merge(transfers::routes())
        .merge(offenders::routes())
        .merge(operations::routes())
        .merge(similar::routes())
        .merge(small::routes())
        .fallback(unknown)
        .layer(from_fn(bounded))
        .layer(require());
    open.merge(shared)
        .merge(guarded)
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .layer(from_fn_with_state(state.clone(), frame))
        .with_state(state)
}

async fn unknown() -> Response {
    bare(StatusCode::NOT_FOUND)
}

/// Refuses a body that says it is too large, before any of it is read. One that does not say so is
/// refused when it is.
async fn bounded(request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > BODY_LEN_MAX as u64) {
        let detail = format!("a body may have {BODY_LEN_MAX} bytes");
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).into_response();
    }
    next.run(request).await
}
