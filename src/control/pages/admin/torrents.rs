//! All torrents, and those among them that somebody looks for.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use axum::Router;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;

use super::parts::{self, ROWS, badge};
use crate::control::pages::words;
use crate::control::problem::Problem;
use crate::control::session::Admin;
use crate::control::state::State;
use crate::control::walk;
use crate::gate::hash_list;
use crate::registrar::RegistrarError;
use crate::store::{self, Metadata};
use crate::swarm::Totals;
use crate::wire::InfoHash;

/// Torrents whose names are looked at for one page.
const LOOKS: usize = 100_000;

pub(super) fn routes() -> Router<State> {
    Router::new().route("/admin/torrents", get(page))
}

/// What is looked for, and behind which info-hash.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Search {
    q: String,
    after: String,
}

/// A torrent on the page.
#[derive(Default)]
struct Line {
    name: Option<String>,
    totals: Option<Totals>,
}

/// Torrents in the order of their info-hashes, and where it goes on.
struct Found {
    lines: BTreeMap<InfoHash, Line>,
    more_after: Option<InfoHash>,
}

async fn page(admin: Admin, state: State, parts::Asked(search): parts::Asked<Search>) -> Response {
    let q = search.q.trim();
    if let Some(info_hash) = hash_list::parse(q.as_bytes()) {
        return Redirect::to(&format!("/admin/torrents/{info_hash}")).into_response();
    }
    let after = hash_list::parse(search.after.as_bytes());
    let body = find(&state, q, after)
        .await
        .map(|found| render(&state, q, after.is_some(), &found));
    parts::page(&admin, &state, "Torrents", body)
}

/// The torrents whose info-hash begins with `q` and those that have it in their name, from both of which
/// a page is put together.
async fn find(state: &State, q: &str, after: Option<InfoHash>) -> Result<Found, Problem> {
    let mut lines = BTreeMap::<InfoHash, Line>::new();
    let mut known_until = None;
    let range = beginning_with(q);
    if let Some(range) = range.clone() {
        let cores = 0..state.collector.cores();
        let is_wanted =
            move |hash: &InfoHash| range.contains(hash) && after.is_none_or(|after| after < *hash);
        let rows = walk::matching(state, cores, ROWS + 1, is_wanted).await;
        let rows = rows.map_err(|walk::Stuck| Problem::busy())?;
        known_until = rows.get(ROWS).map(|(last, _)| *last);
        for (info_hash, totals) in rows {
            lines.entry(info_hash).or_default().totals = Some(totals);
        }
    }
    let described = describe(state, q, range, after).await?;
    for (info_hash, metadata) in described.rows {
        lines.entry(info_hash).or_default().name = Some(metadata.name);
    }
    // Beyond the place where either of the two ended, the other alone says too little.
    known_until = [known_until, described.more_after]
        .into_iter()
        .flatten()
        .min();
    lines.retain(|info_hash, _| known_until.is_none_or(|until| *info_hash <= until));
    if let Some(first_over) = lines.keys().nth(ROWS).copied() {
        lines.split_off(&first_over);
        known_until = lines.keys().last().copied();
    }
    let mut found = Found {
        lines,
        more_after: known_until,
    };
    found.complete(state).await?;
    Ok(found)
}

/// Those of which more is known than their peers.
async fn describe(
    state: &State,
    q: &str,
    range: Option<RangeInclusive<InfoHash>>,
    after: Option<InfoHash>,
) -> Result<store::Found, Problem> {
    let part = q.to_lowercase();
    let is_wanted = move |info_hash: &InfoHash, metadata: &Metadata| {
        let begins = range
            .as_ref()
            .is_some_and(|range| range.contains(info_hash));
        begins || metadata.name.to_lowercase().contains(&part)
    };
    let read = state
        .on_disk(move |state| match state.registrar.records() {
            Some(records) => records.find_metadata(after.as_ref(), ROWS + 1, LOOKS, is_wanted),
            None => Ok(store::Found::default()),
        })
        .await;
    Ok(read.map_err(RegistrarError::from)?)
}

impl Found {
    /// Adds the names of torrents that were found by their info-hash, and the counts of the others.
    async fn complete(&mut self, state: &State) -> Result<(), Problem> {
        let nameless = self.lines.iter().filter(|(_, line)| line.name.is_none());
        let nameless: Vec<InfoHash> = nameless.map(|(info_hash, _)| *info_hash).collect();
        let names = state
            .on_disk(move |state| {
                let name = |info_hash| match state.registrar.records() {
                    Some(records) => Ok((info_hash, records.metadata(&info_hash)?)),
                    None => Ok((info_hash, None)),
                };
                let names = nameless.into_iter().map(name);
                names.collect::<Result<Vec<_>, RegistrarError>>()
            })
            .await?;
        for (info_hash, metadata) in names {
            let line = self.lines.entry(info_hash).or_default();
            line.name = metadata.map(|metadata| metadata.name);
        }
        for (info_hash, line) in &mut self.lines {
            if line.totals.is_none() {
                let view = state.errands.swarm(*info_hash, 0).await;
                let view = view.map_err(|_| Problem::busy())?;
                line.totals = view.map(|view| view.totals);
            }
        }
        Ok(())
    }
}

/// The info-hashes that begin with these hexadecimal digits.
fn beginning_with(digits: &str) -> Option<RangeInclusive<InfoHash>> {
    const DIGITS: usize = 2 * InfoHash::LEN;
    let filled = |digit: &str| {
        let missing = DIGITS.checked_sub(digits.len())?;
        hash_list::parse(format!("{digits}{}", digit.repeat(missing)).as_bytes())
    };
    Some(filled("0")?..=filled("f")?)
}

fn render(state: &State, q: &str, goes_on: bool, found: &Found) -> Markup {
    html! {
        section.card.wide {
            form.search role="search" action="/admin/torrents" {
                label for="q" { "Beginning of an info-hash, or part of a name" }
                div.line {
                    input #q type="search" name="q" value=(q) maxlength="200" autocomplete="off" spellcheck="false";
                    button.main { "Search" }
                }
            }
        }
        section.card.wide aria-labelledby="found" {
            h2 #found {
                @if q.is_empty() { "All torrents" } @else { "Torrents that match" }
            }
            @if found.lines.is_empty() { (nothing(q, found.more_after.is_some())) }
            @else { (table(state, &found.lines)) }
            @if goes_on || found.more_after.is_some() {
                nav.pager aria-label="Pages" {
                    @if goes_on { a href=(link(q, None)) { "First page" } }
                    @if let Some(after) = &found.more_after { a rel="next" href=(link(q, Some(after))) { "Next" } }
                }
            }
        }
    }
}

fn link(q: &str, after: Option<&InfoHash>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("q", q);
    if let Some(after) = after {
        query.append_pair("after", &after.to_string());
    }
    format!("/admin/torrents?{}", query.finish())
}

fn nothing(q: &str, more: bool) -> Markup {
    html! {
        p.quiet {
            @if more { "Nothing so far; the next page looks further." }
            @else if q.is_empty() { "Nobody has announced a torrent yet." }
            @else { "No torrent. Names are known of torrents that were registered or uploaded." }
        }
    }
}

fn table(state: &State, lines: &BTreeMap<InfoHash, Line>) -> Markup {
    let count = |line: &Line, of: fn(&Totals) -> u32| match &line.totals {
        Some(totals) => words::number(of(totals).into()),
        None => "-".to_owned(),
    };
    html! {
        div.scroll tabindex="0" role="group" aria-labelledby="found" {
            table.torrents {
                caption.unseen { "Torrents, in the order of their info-hashes" }
                thead { tr {
                    th scope="col" { "Torrent" }
                    th scope="col" { "Seeders" }
                    th scope="col" { "Leechers" }
                    th scope="col" { "Completed" }
                } }
                tbody {
                    @for (info_hash, line) in lines {
                        tr {
                            th scope="row" {
                                (parts::torrent(info_hash, line.name.as_deref()))
                                @if state.registrar.is_blocked(info_hash) { (badge("bad", "blocked")) }
                                @if state.registrar.is_allowed(info_hash) { (badge("good", "allowed")) }
                            }
                            td data-name="Seeders" { (count(line, |totals| totals.seeders)) }
                            td data-name="Leechers" { (count(line, |totals| totals.leechers)) }
                            td data-name="Completed" { (count(line, |totals| totals.completed)) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_any_number_are_the_beginning_of_info_hashes() {
        let range = beginning_with("aB3").unwrap();
        let hash = |text: &str| hash_list::parse(text.as_bytes()).unwrap();
        let (low, high) = (
            format!("ab3{}", "0".repeat(37)),
            format!("ab3{}", "f".repeat(37)),
        );
        assert_eq!((*range.start(), *range.end()), (hash(&low), hash(&high)));
        assert!(beginning_with("").unwrap().contains(&InfoHash([0x77; 20])));
        for bad in ["g", "ab ", "\u{e9}\u{e9}", &"a".repeat(41)] {
            assert!(beginning_with(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn what_is_looked_for_survives_in_links() {
        assert_eq!(link("a&b=\"", None), "/admin/torrents?q=a%26b%3D%22");
        let next = link("", Some(&InfoHash([1; 20])));
        assert_eq!(
            next,
            format!("/admin/torrents?q=&after={}", "01".repeat(20))
        );
    }
}
