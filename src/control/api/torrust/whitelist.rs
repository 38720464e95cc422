//! The allowlist, one torrent at a time. It can be changed in every mode; only some heed it.

use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{get, post};

use super::{Refusal, done, info_hash_of_path};
use crate::control::auth::Caller;
use crate::control::state::{Parts, State};

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/api/v1/whitelist/reload", get(reload))
        .route("/api/v1/whitelist/{info_hash}", post(add).delete(remove))
}

async fn add(state: State, caller: Caller, Path(text): Path<String>) -> Result<Response, Refusal> {
    let info_hash = info_hash_of_path(&text)?;
    let work = move |state: &Parts| state.registrar.allow(&[info_hash], caller.name(), "");
    let added = state.on_disk(work).await;
    added.map_err(|error| Refusal::failed("failed to whitelist torrent", error))?;
    Ok(done())
}

async fn remove(
    state: State,
    caller: Caller,
    Path(text): Path<String>,
) -> Result<Response, Refusal> {
    let info_hash = info_hash_of_path(&text)?;
    let work = move |state: &Parts| state.registrar.disallow(&[info_hash], caller.name(), "");
    let removed = state.on_disk(work).await;
    removed.map_err(|error| Refusal::failed("failed to remove torrent from whitelist", error))?;
    Ok(done())
}

async fn reload(state: State) -> Result<Response, Refusal> {
    let reloaded = state.on_disk(|state| state.registrar.reload_lists()).await;
    reloaded.map_err(|error| Refusal::failed("failed to reload whitelist", error))?;
    Ok(done())
}
