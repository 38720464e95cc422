//! Whether the tracker lives: for whoever restarts it.

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::control::state::State;

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/api/health_check", get(health_check))
        .route("/health_check", get(health_check))
}

async fn health_check() -> Json<Value> {
    Json(json!({ "status": "Ok" }))
}
