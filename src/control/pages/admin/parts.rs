//! What several admin pages are made of.

use std::convert::Infallible;
use std::fmt::Display;

use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts as Request;
use axum::response::Response;
use maud::{Markup, html};
use serde::de::DeserializeOwned;

use super::shell;
use crate::control::pages::words;
use crate::control::problem::Problem;
use crate::control::session::{Admin, Notice};
use crate::control::state::{Parts, State};
use crate::gate::hash_list;
use crate::store::{JournalEntry, Note};
use crate::wire::InfoHash;

/// Rows of a page.
pub(super) const ROWS: usize = 50;

/// What the address of a page asks for beside its path. What cannot be read counts as not given.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned + Default> FromRequestParts<State> for Asked<T> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Request, _: &State) -> Result<Self, Infallible> {
        let read = Query::try_from_uri(&parts.uri);
        Ok(Self(
            read.map_or_else(|_| T::default(), |Query(asked)| asked),
        ))
    }
}

/// The info-hash that a path names.
pub(super) fn info_hash(text: &str) -> Result<InfoHash, Problem> {
    hash_list::parse(text.as_bytes())
        .ok_or_else(|| Problem::not_found("This is no info-hash: one has 40 hexadecimal digits."))
}

/// A page, or another that says why there is none.
pub(super) fn page(
    admin: &Admin,
    state: &State,
    title: &str,
    body: Result<Markup, Problem>,
) -> Response {
    match body {
        Ok(body) => shell::page(admin, state, title, &body),
        Err(problem) => trouble(admin, state, &problem),
    }
}

/// The page that says what went wrong.
pub(super) fn trouble(admin: &Admin, state: &State, problem: &Problem) -> Response {
    let problem = Problem::new(problem.status(), sentence(problem.detail()));
    shell::trouble(admin, state, "That did not work", &problem)
}

/// Back to a page that says what was done.
pub(super) fn done(admin: &Admin, next: &str, sentence: impl Display) -> Response {
    shell::done(admin, next, Notice::done(sentence))
}

/// A page whose form has a mistake.
pub(super) fn mistaken(mut page: Response) -> Response {
    if page.status() == StatusCode::OK {
        *page.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    page
}

/// A text that begins with a capital letter and ends with a full stop.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    let mut text: String = first.into_iter().chain(letters).collect();
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

/// `1 torrent`, `1,234 torrents`.
pub(super) fn counted(count: usize, one: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {one}{ending}", words::number(count as u64))
}

/// A moment, to the minute.
pub(super) fn moment(unix_s: u64) -> Markup {
    let (date, time) = (words::date(unix_s), words::time(unix_s));
    html! { time.whole datetime=(format!("{date}T{time}Z")) { (date) " " (time) } }
}

/// A torrent by its name, where it has one, and by its info-hash.
pub(super) fn torrent(info_hash: &InfoHash, name: Option<&str>) -> Markup {
    let name = name.map(str::trim).filter(|name| !name.is_empty());
    html! {
        a.torrent href=(format!("/admin/torrents/{info_hash}")) {
            @if let Some(name) = name { span.name { (name) } }
            code { (info_hash) }
        }
    }
}

/// A word with a colour, for what must be seen at once.
pub(super) fn badge(kind: &'static str, word: &str) -> Markup {
    html! { span.badge.(kind) { (word) } }
}

/// The field for a reason.
pub(super) fn reason_field(id: &str, value: &str) -> Markup {
    html! {
        div.field {
            label for=(id) { "Reason" }
            input #(id) name="reason" value=(value) maxlength=(Note::REASON_LEN_MAX) autocomplete="off";
        }
    }
}

/// What is said where nothing can be changed.
pub(super) fn no_store(state: &Parts) -> Option<Markup> {
    state.registrar.records().is_none().then(|| {
        html! {
            p.note { "This tracker keeps nothing, because " code { "store.path" } " is empty. Give it a path and restart it, to make changes here." }
        }
    })
}

/// Entries of the journal, the newest first.
pub(super) fn journal(entries: &[(u64, JournalEntry)]) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label="Journal" {
            table.records.journal {
                caption.unseen { "Who did what, the newest first" }
                thead { tr {
                    th scope="col" { "When (UTC)" }
                    th scope="col" { "Who" }
                    th scope="col" { "What" }
                    th scope="col" { "To what" }
                    th scope="col" { "Why" }
                } }
                tbody {
                    @for (_, entry) in entries {
                        tr {
                            td { (moment(entry.at_unix_s)) }
                            td { (entry.by) }
                            td { (entry.action.name().replace('_', " ")) }
                            td data-name="To what" { (subject(&entry.subject)) }
                            td data-name="Why" { (entry.reason) }
                        }
                    }
                }
            }
        }
    }
}

fn subject(text: &str) -> Markup {
    let info_hash = hash_list::parse(text.as_bytes());
    html! {
        @if let Some(info_hash) = info_hash { (torrent(&info_hash, None)) } @else { (text) }
    }
}

/// Links to the pages before and behind this one, of rows that are numbered.
pub(super) fn pager(path: &str, from: u64, shown: usize, total: u64, rows: usize) -> Markup {
    let rows = rows as u64;
    // Whoever asks names it.
    let from = from.min(total);
    let next = from + shown as u64;
    let before = from.saturating_sub(rows);
    html! {
        @if from > 0 || next < total {
            nav.pager aria-label="Pages" {
                @if from > 0 { a rel="prev" href=(format!("{path}?from={before}")) { "Previous" } }
                span { (words::number((from + 1).min(total))) " to " (words::number(next)) " of " (words::number(total)) }
                @if next < total && shown > 0 { a rel="next" href=(format!("{path}?from={next}")) { "Next" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_is_a_sentence() {
        assert_eq!(sentence("the key exists"), "The key exists.");
        assert_eq!(sentence("No!"), "No!");
        assert_eq!(sentence(""), ".");
    }

    #[test]
    fn one_is_told_from_many() {
        assert_eq!(counted(1, "torrent"), "1 torrent");
        assert_eq!(counted(1234, "torrent"), "1,234 torrents");
    }

    #[test]
    fn names_and_subjects_are_text_and_nothing_else() {
        let shown = torrent(&InfoHash([0xab; 20]), Some("<script>alert(1)</script>")).into_string();
        assert!(!shown.contains("<script"), "{shown}");
        assert!(subject("<b>x").into_string().contains("&lt;b&gt;x"));
        assert!(
            subject(&"ab".repeat(20))
                .into_string()
                .contains("href=\"/admin/torrents/abab")
        );
    }

    #[test]
    fn a_pager_leads_to_the_pages_on_both_sides() {
        let middle = pager("/x", 50, 50, 120, 50).into_string();
        assert!(
            middle.contains("/x?from=0") && middle.contains("/x?from=100"),
            "{middle}"
        );
        let last = pager("/x", 100, 20, 120, 50).into_string();
        assert!(
            last.contains("101 to 120 of 120") && !last.contains("Next"),
            "{last}"
        );
        assert_eq!(pager("/x", 0, 20, 20, 50).into_string(), "");
    }

    #[test]
    fn a_page_behind_all_rows_leads_back() {
        let shown = pager("/keys", u64::MAX, 0, 7, 50).into_string();
        assert!(shown.contains("rel=\"prev\""), "{shown}");
        assert!(!shown.contains("rel=\"next\""), "{shown}");
    }
}
