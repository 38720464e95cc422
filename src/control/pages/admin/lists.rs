//! The allowlist and the blocklist.

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};

use super::listing::{self, Asked, Entered, Form, Part, Row, Words};
use super::parts::{self, ROWS};
use crate::control::changes;
use crate::control::problem::Problem;
use crate::control::session::{Admin, Change};
use crate::control::state::State;
use crate::gate::hash_list;
use crate::registrar::RegistrarError;
use crate::store::List;
use crate::wire::InfoHash;

pub(super) fn routes() -> Router<State> {
    let both = |list| {
        get(move |admin, state, part| page(list, admin, state, part))
            .post(move |state, change| change_list(list, state, change))
    };
    Router::new()
        .route("/admin/lists/allowlist", both(List::Allowed))
        .route("/admin/lists/blocklist", both(List::Blocked))
}

const HINT: &str = "One on each line, 40 or 64 hexadecimal digits. At most 1,400 at a time.";

const ALLOWLIST: Words = Words {
    path: "/admin/lists/allowlist",
    title: "Allowlist",
    one: "torrent",
    label: "Info-hashes",
    hint: HINT,
    about: "In the listed modes only these torrents are served.",
};

const BLOCKLIST: Words = Words {
    path: "/admin/lists/blocklist",
    title: "Blocklist",
    about: "These torrents are not served, in any mode.",
    ..ALLOWLIST
};

fn words_of(list: List) -> &'static Words {
    match list {
        List::Allowed => &ALLOWLIST,
        List::Blocked => &BLOCKLIST,
    }
}

async fn page(
    list: List,
    admin: Admin,
    state: State,
    parts::Asked(part): parts::Asked<Part>,
) -> Response {
    show(list, &admin, &state, part.from, &Entered::default()).await
}

async fn show(list: List, admin: &Admin, state: &State, from: u64, entered: &Entered) -> Response {
    let words = words_of(list);
    let body = rows(list, state, from).await.map(|(total, rows)| {
        html! {
            (listing::render(admin, state, words, (from, total, &rows), entered))
            (of_file(list, state))
        }
    });
    parts::page(admin, state, words.title, body)
}

/// The rows that the store keeps, with the names of torrents that have one.
async fn rows(list: List, state: &State, from: u64) -> Result<(u64, Vec<Row>), Problem> {
    let read = state
        .on_disk(move |state| {
            let Some(records) = state.registrar.records() else {
                return Ok((0, Vec::new()));
            };
            let (total, rows) = records.page(list, from, ROWS)?;
            let row = |(info_hash, note): (InfoHash, _)| {
                let metadata = records.metadata(&info_hash)?;
                let name = metadata.as_ref().map(|metadata| metadata.name.as_str());
                Ok(Row {
                    value: info_hash.to_string(),
                    shown: parts::torrent(&info_hash, name),
                    note,
                })
            };
            let rows = rows.into_iter().map(row);
            Ok::<_, RegistrarError>((total, rows.collect::<Result<_, RegistrarError>>()?))
        })
        .await;
    Ok(read?)
}

/// What the operator's file adds.
fn of_file(list: List, state: &State) -> Markup {
    let access = state.registrar.access().load();
    let (key, count) = match list {
        List::Allowed => (
            "access.allowlist",
            access.sum(|lists| lists.allowed.file.len()),
        ),
        List::Blocked => (
            "access.blocklist",
            access.sum(|lists| lists.blocked.file.len()),
        ),
    };
    html! {
        @if count > 0 {
            section.card.wide {
                p { "The file of " code { (key) } " has " (parts::counted(count, "torrent")) " more. Change the file and reload to change them." }
            }
        }
    }
}

async fn change_list(list: List, state: State, change: Change<Form>) -> Response {
    let words = words_of(list);
    let Change { admin, form } = change;
    let asked = form.read(|text| {
        let read = hash_list::read(text, 1, |_| 0);
        let all = read.map_err(|line| parts::sentence(&line.to_string()))?;
        Ok(all.into_iter().flatten().collect())
    });
    let (reason, by) = (form.reason.clone(), admin.name());
    let made = match asked {
        Ok(Asked::Put(all)) => changes::put(&state, list, all, by, reason)
            .await
            .map(|added| format!("{} added.", parts::counted(added, words.one))),
        Ok(Asked::Take(all)) => changes::take(&state, list, all, by, reason)
            .await
            .map(|removed| format!("{} removed.", parts::counted(removed, words.one))),
        Err(mistake) => {
            let mistake = Some(mistake);
            let entered = Entered { form, mistake };
            return parts::mistaken(show(list, &admin, &state, 0, &entered).await);
        }
    };
    listing::after(&admin, &state, words, made)
}
