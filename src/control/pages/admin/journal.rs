//! Who did what, and when.

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;

use super::parts::{self, ROWS};
use crate::control::problem::Problem;
use crate::control::session::Admin;
use crate::control::state::State;
use crate::registrar::RegistrarError;
use crate::store::JournalEntry;

pub(super) fn routes() -> Router<State> {
    Router::new().route("/admin/journal", get(page))
}

/// The entries before this number.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Part {
    before: Option<u64>,
}

/// The newest entries of the journal before one of them.
pub(super) async fn entries(
    state: &State,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<(u64, JournalEntry)>, Problem> {
    let read = state
        .on_disk(move |state| match state.registrar.records() {
            Some(records) => records.journal(before, limit, None),
            None => Ok(Vec::new()),
        })
        .await;
    Ok(read.map_err(RegistrarError::from)?)
}

async fn page(admin: Admin, state: State, parts::Asked(part): parts::Asked<Part>) -> Response {
    let read = entries(&state, part.before, ROWS + 1).await;
    let body = read.map(|mut entries| {
        let is_last = entries.len() <= ROWS;
        entries.truncate(ROWS);
        render(&state, &part, &entries, is_last)
    });
    parts::page(&admin, &state, "Journal", body)
}

fn render(state: &State, part: &Part, entries: &[(u64, JournalEntry)], is_last: bool) -> Markup {
    html! {
        section.card.wide {
            @if let Some(why) = parts::no_store(state) { (why) }
            @else if entries.is_empty() { p.quiet { "Nothing is in the journal here." } }
            @else { (parts::journal(entries)) }
            @if part.before.is_some() || !is_last {
                nav.pager aria-label="Pages" {
                    @if part.before.is_some() { a href="/admin/journal" { "Newest" } }
                    @if let (false, Some((number, _))) = (is_last, entries.last()) {
                        a rel="next" href=(format!("/admin/journal?before={number}")) { "Older" }
                    }
                }
            }
        }
    }
}
