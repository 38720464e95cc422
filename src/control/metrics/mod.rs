//! `/metrics`: everything that is counted anywhere, for Prometheus.
//!
//! ```text
//!   requests.rs    what the threads count                \
//!   tracker.rs     turns, queues, store, lists            } Page    page.rs    text
//!   host.rs        what the kernel lost, this process    /
//! ```
//!
//! Everything is read when somebody asks, on a thread of low priority; cores are not disturbed.
//! `docs/metrics.md` has the table of them, made from what stands here.

mod host;
mod page;
mod requests;
mod tracker;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use log::error;

use super::auth;
use super::state::{Parts, State};
use crate::doctor::host::Host;
use page::{Format, Page};
pub use page::{Kind, Metric};

/// The route. Open to everybody with `control.public_stats`, else to those who show a token.
pub(super) fn routes(state: State) -> Router<State> {
    Router::new()
        .route("/metrics", get(metrics))
        .layer(from_fn_with_state(state, guard))
}

async fn guard(state: State, request: Request, next: Next) -> Response {
    if state.config.control.public_stats {
        next.run(request).await
    } else {
        auth::require(state, request, next).await
    }
}

async fn metrics(state: State, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT);
    let format = Format::of(accept.and_then(|value| value.to_str().ok()).unwrap_or(""));
    // It is never closed.
    let turn = Arc::clone(&state.metrics).acquire_owned().await;
    let written = state
        .on_disk(move |parts| {
            // Until it is written, whether anybody still waits for it or not.
            let _turn = turn;
            collect(parts, &Host::of_ourselves(Path::new("/"))).write(format)
        })
        .await;
    match written {
        Ok(text) => ([(header::CONTENT_TYPE, format.content_type())], text).into_response(),
        Err(why) => {
            error!("the page of metrics cannot be written: {why}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn collect(state: &Parts, host: &Host) -> Page {
    let mut page = Page::default();
    requests::collect(state, &mut page);
    tracker::collect(state, &mut page);
    host::collect(host, &state.sockets, &mut page);
    page
}

/// Everything that the page may have, in its order. What this host or configuration lacks is absent.
pub fn catalog() -> impl Iterator<Item = &'static Metric> {
    let all = requests::METRICS.iter().chain(&tracker::METRICS);
    all.chain(&host::METRICS).copied()
}

/// The catalog as a table of Markdown.
pub fn table() -> String {
    let mut table = "| metric | kind | labels | what |\n|---|---|---|---|\n".to_owned();
    for metric in catalog() {
        let Metric { name, help, .. } = metric;
        let (kind, labels) = (metric.kind.name(), metric.labels.join(", "));
        // A string takes whatever is written.
        let _ = writeln!(table, "| `{name}` | {kind} | {labels} | {help} |");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_metric_has_a_name_of_its_own_that_says_what_it_is() {
        let names: BTreeSet<&str> = catalog().map(|metric| metric.name).collect();
        assert_eq!(names.len(), catalog().count());
        for Metric {
            name, kind, help, ..
        } in catalog()
        {
            assert!(name.starts_with("shoal_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(!help.ends_with('.') && !help.is_empty(), "{name}");
            assert!(!help.contains(['\n', '\\', '|']), "{name}");
        }
    }
}
