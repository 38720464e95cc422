//! What an operator has the tracker do: serve in another mode, read its configuration again, write a
//! snapshot, forget the silent, stop.

use std::time::Duration;

use axum::routing::{get, post};
use axum::{Json, Router};
use crossbeam_channel::bounded;
use serde::{Deserialize, Serialize};

use crate::control::auth::Caller;
use crate::control::changes;
use crate::control::problem::{Body, Problem};
use crate::control::state::{Parts, State};
use crate::control::{Answer, Event};
use crate::store::Action;

/// How long a reload may take.
const RELOAD_PATIENCE: Duration = Duration::from_secs(25);

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/api/v1/mode", get(mode).put(set_mode))
        .route("/api/v1/reload", post(reload_now))
        .route("/api/v1/snapshot", post(snapshot))
        .route("/api/v1/sweep", post(sweep_now))
        .route("/api/v1/shutdown", post(shutdown))
}

/// Who is served what.
#[derive(Serialize, Deserialize)]
struct Modus {
    mode: String,
}

async fn mode(state: State) -> Json<Modus> {
    let mode = state.registrar.mode().name().to_owned();
    Json(Modus { mode })
}

async fn set_mode(
    state: State,
    caller: Caller,
    Body(body): Body<Modus>,
) -> Result<Json<Modus>, Problem> {
    let mode = changes::set_mode(&state, &body.mode, caller.name()).await?;
    Ok(Json(Modus {
        mode: mode.name().to_owned(),
    }))
}

/// What was done.
#[derive(Serialize)]
struct Done {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

const DONE: Done = Done {
    status: "ok",
    warnings: Vec::new(),
};

async fn reload_now(state: State, caller: Caller) -> Result<Json<Done>, Problem> {
    let warnings = reload(&state, caller).await?;
    Ok(Json(Done { warnings, ..DONE }))
}

/// Has the configuration read again, and tells what takes more than that.
pub(in crate::control) async fn reload(
    state: &State,
    caller: Caller,
) -> Result<Vec<String>, Problem> {
    let work = move |state: &Parts| {
        let (answer, answered) = bounded(1);
        let event = Event::ReloadFor(Answer(answer));
        state.events.try_send(event).ok()?;
        let reloaded = answered.recv_timeout(RELOAD_PATIENCE).ok()?;
        let outcome = if reloaded.done { "" } else { "failed" };
        let registrar = &state.registrar;
        registrar.note_done(Action::Reload, "configuration", caller.name(), outcome);
        Some(reloaded)
    };
    let reloaded = state.on_disk(work).await.ok_or_else(Problem::busy)?;
    if !reloaded.done {
        return Err(Problem::conflict(reloaded.sentences.join("; ")));
    }
    Ok(reloaded.sentences)
}

async fn snapshot(state: State, caller: Caller) -> Result<Json<Done>, Problem> {
    save(&state, caller).await?;
    Ok(Json(DONE))
}

/// Writes a snapshot of all swarms and waits for it.
pub(in crate::control) async fn save(state: &State, caller: Caller) -> Result<(), Problem> {
    let Some(snapshots) = state.snapshots.clone() else {
        let detail = "this tracker keeps nothing, because store.path is empty or could not be used";
        return Err(Problem::conflict(detail));
    };
    let work = move |state: &Parts| {
        let written = snapshots.now();
        let registrar = &state.registrar;
        let outcome = if written == Some(true) { "" } else { "failed" };
        registrar.note_done(Action::Snapshot, "swarms", caller.name(), outcome);
        written
    };
    match state.on_disk(work).await {
        Some(true) => Ok(()),
        Some(false) => Err(Problem::internal(
            "the snapshot was not written; the log says why",
        )),
        None => Err(Problem::busy()),
    }
}

async fn sweep_now(state: State, caller: Caller) -> Result<Json<Done>, Problem> {
    sweep(&state, caller).await?;
    Ok(Json(DONE))
}

/// Forgets all silent peers, and waits for it.
pub(in crate::control) async fn sweep(state: &State, caller: Caller) -> Result<(), Problem> {
    let swept = state.errands.sweep_all().await;
    swept.map_err(|_| Problem::busy())?;
    let work = move |state: &Parts| {
        let registrar = &state.registrar;
        registrar.note_done(Action::Sweep, "swarms", caller.name(), "");
    };
    state.on_disk(work).await;
    Ok(())
}

async fn shutdown(state: State, caller: Caller) -> Result<Json<Done>, Problem> {
    stop(&state, caller).await?;
    Ok(Json(DONE))
}

/// Stops the tracker, once it is in the journal.
pub(in crate::control) async fn stop(state: &State, caller: Caller) -> Result<(), Problem> {
    let work = move |state: &Parts| {
        let registrar = &state.registrar;
        registrar.note_done(Action::Shutdown, "tracker", caller.name(), "");
        state.events.try_send(Event::Stop("API"))
    };
    let sent = state.on_disk(work).await;
    sent.map_err(|_| Problem::busy())
}
