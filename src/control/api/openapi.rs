//! What there is to ask for, for programs: an OpenAPI 3.1 document. `tests/api_document.rs` holds it to the
//! routes, in both directions.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::control::state::State;

/// Part of the program, so that it is never that of another version.
const DOCUMENT: &str = include_str!("openapi.json");

/// The route, which needs no token.
pub(super) fn open_routes() -> Router<State> {
    Router::new().route("/api/openapi.json", get(document))
}

async fn document() -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, DOCUMENT).into_response()
}
