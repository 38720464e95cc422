//! Pages for people. They work without scripts; with them, numbers move.
//!
//! ```text
//!   stats.rs       the page of statistics: / /stat /stats
//!     view.rs      what it shows, read once
//!     charts.rs    bars and lines as SVG
//!     words.rs     numbers, bytes and times as people read them
//!     urls.rs      where clients announce
//!   json.rs        the same for programs: /stats.json
//!   events.rs      the same as it changes: /events
//!   login.rs       the way in and out: /login /logout
//!   admin/         for those who are logged in: /admin
//!   assets.rs      style sheet, script and icon
//! ```
//!
//! `docs/stats.md` describes what programs may rely on.

pub(super) mod admin;
mod assets;
mod charts;
pub(super) mod events;
mod json;
pub(super) mod login;
mod stats;
mod urls;
mod view;
mod words;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::auth;
use super::state::State;

/// Nothing from elsewhere, and nothing that stands within the page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'";

/// What is said to whoever may not see the statistics.
const NOT_PUBLIC: &str = "The statistics of this tracker are not public. Show a token: ?token=SECRET, or the \
     header Authorization: Bearer SECRET.\n";

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/", get(stats::page))
        .route("/stat", get(stats::page))
        .route("/stats.json", get(json::stats))
        .route("/events", get(events::listen))
        .merge(assets::routes())
        .merge(login::routes())
        .merge(admin::routes())
        .layer(from_fn(guard_headers))
}

/// What keeps a browser from doing more with a page than is meant.
async fn guard_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    add_guards(response.headers_mut());
    response
}

fn add_guards(headers: &mut HeaderMap) {
    let guards: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With no-referrer browsers would not say where our own forms come from.
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in guards {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Whether somebody may see the statistics.
fn may_look(state: &State, uri: &Uri, headers: &HeaderMap) -> bool {
    state.config.control.public_stats || auth::onlooker(state, uri, headers).is_ok()
}

/// The answer to somebody who may not see the statistics.
fn turned_away(state: &State, uri: &Uri, headers: &HeaderMap) -> Option<Response> {
    if may_look(state, uri, headers) {
        return None;
    }
    state.counters.count_auth_failure();
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    Some((StatusCode::UNAUTHORIZED, challenge, NOT_PUBLIC).into_response())
}

/// `/stats` has two meanings: the page, and the torrents in JSON for scripts of the small tracker. It is
/// JSON for whoever asks for it (`Accept: application/json`, `?format=json`), and for whoever shows a
/// token and does not ask for HTML, as a browser does.
pub(super) async fn page_or_json(state: State, request: Request, next: Next) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_read || wants_json(request.uri(), request.headers()) {
        return next.run(request).await;
    }
    let (parts, _) = request.into_parts();
    let mut response = stats::page(state, parts.uri, parts.headers).await;
    add_guards(response.headers_mut());
    response
}

/// What somebody can read, in lower case.
fn accepted(headers: &HeaderMap) -> String {
    let accept = headers
        .get(header::ACCEPT)
        .map_or(&b""[..], HeaderValue::as_bytes);
    String::from_utf8_lossy(accept).to_ascii_lowercase()
}

/// Whether a browser asks, which can be led to another page.
fn wants_html(headers: &HeaderMap) -> bool {
    accepted(headers).contains("text/html")
}

fn wants_json(uri: &Uri, headers: &HeaderMap) -> bool {
    let accept = accepted(headers);
    if accept.contains("text/html") {
        return false;
    }
    let query = uri.query().unwrap_or_default().as_bytes();
    let mut query = form_urlencoded::parse(query);
    accept.contains("application/json")
        || headers.contains_key(header::AUTHORIZATION)
        || query.any(|(name, value)| name == "token" || name == "format" && value == "json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(target: &str, fields: &[(&'static str, &'static str)]) -> bool {
        let fields = fields.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        wants_json(&target.parse().unwrap(), &fields.collect())
    }

    #[test]
    fn scripts_get_json_and_people_get_the_page() {
        assert!(wants("/stats", &[("accept", "application/json")]));
        assert!(wants("/stats?format=json", &[]));
        assert!(wants("/stats?token=x", &[("accept", "*/*")]));
        assert!(wants("/stats", &[("authorization", "Bearer x")]));
        assert!(!wants("/stats", &[]));
        assert!(!wants("/stats?format=html", &[("accept", "*/*")]));
        let browser = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        assert!(!wants("/stats?token=x", &[browser]));
    }
}
