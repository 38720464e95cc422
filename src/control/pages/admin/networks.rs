//! Networks whose announces are turned away.

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use ipnet::IpNet;
use maud::{Markup, html};

use super::listing::{self, Asked, Entered, Form, Part, Row, Words};
use super::parts::{self, ROWS};
use crate::control::changes;
use crate::control::pages::words;
use crate::control::problem::Problem;
use crate::control::session::{Admin, Change};
use crate::control::state::State;
use crate::counters::Offender;
use crate::gate::networks;
use crate::registrar::RegistrarError;
use crate::store::Note;

const WORDS: Words = Words {
    path: "/admin/networks",
    title: "Networks",
    one: "network",
    label: "Networks",
    hint: "One on each line: an address, or a network such as 192.0.2.0/24 or 2001:db8::/32.",
    about: "Announces from these networks are turned away.",
};

/// Offenders that are shown.
const OFFENDERS: usize = 10;

pub(super) fn routes() -> Router<State> {
    Router::new().route("/admin/networks", get(page).post(change))
}

async fn page(admin: Admin, state: State, parts::Asked(part): parts::Asked<Part>) -> Response {
    show(&admin, &state, part.from, &Entered::default()).await
}

async fn show(admin: &Admin, state: &State, from: u64, entered: &Entered) -> Response {
    let body = rows(state, from).await.map(|(total, rows)| {
        html! {
            (listing::render(admin, state, &WORDS, (from, total, &rows), entered))
            (offenders(admin, state))
            (of_configuration(state))
        }
    });
    parts::page(admin, state, WORDS.title, body)
}

async fn rows(state: &State, from: u64) -> Result<(u64, Vec<Row>), Problem> {
    let read = state
        .on_disk(|state| match state.registrar.records() {
            Some(records) => records.networks().map_err(RegistrarError::from),
            None => Ok(Vec::new()),
        })
        .await;
    let all = read?;
    let total = all.len() as u64;
    let row = |(network, note): (IpNet, Note)| Row {
        value: network.to_string(),
        shown: html! { code { (network) } },
        note,
    };
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    let rows = all.into_iter().skip(from).take(ROWS).map(row);
    Ok((total, rows.collect()))
}

/// Who asked too often, each with a button that puts it on the list.
fn offenders(admin: &Admin, state: &State) -> Markup {
    let now_s = state.clock.now().uptime_s;
    let worst = state.offenders(OFFENDERS);
    html! {
        section.card.wide aria-labelledby="offenders" {
            h2 #offenders { "Too many requests" }
            p.quiet {
                "Turned away lately for asking more often than " code { "[flood]" } " allows. They are served again as soon as \
                 they ask less; counts are halved every minute."
            }
            @if worst.is_empty() { p { "Nobody." } }
            @else {
                form method="post" action=(WORDS.path) {
                    (admin.csrf())
                    input type="hidden" name="reason" value="too many requests";
                    div.scroll tabindex="0" role="group" aria-labelledby="offenders" {
                        table.records {
                            caption.unseen { "Networks that asked too often" }
                            thead { tr {
                                th scope="col" { (WORDS.one) }
                                th scope="col" { "Turned away" }
                                th scope="col" { "Last" }
                                td {}
                            } }
                            tbody { @for offender in &worst { (offender_row(state, offender, now_s)) } }
                        }
                    }
                }
            }
        }
    }
}

fn offender_row(state: &State, offender: &Offender, now_s: u32) -> Markup {
    let network = offender.prefix.to_string();
    let ago_s = now_s.saturating_sub(offender.last_s);
    html! {
        tr {
            th scope="row" { code { (network) } }
            td data-name="Turned away" { (words::number(offender.refused)) }
            td data-name="Last" { (ago_s) " s ago" }
            td.act {
                @if parts::no_store(state).is_none() {
                    button name="text" value=(network) aria-label={ "Block " (network) } { "Block" }
                }
            }
        }
    }
}

/// What the configuration turns away beside the list.
fn of_configuration(state: &State) -> Markup {
    let access = state.registrar.access().load();
    let row = |key: &str, ranges: usize, what: &str| {
        html! {
            tr {
                th scope="row" { code { (key) } }
                td data-name="In force" { (parts::counted(ranges, "range")) }
                td data-name="What happens" { (what) }
            }
        }
    };
    html! {
        section.card.wide aria-labelledby="configured" {
            h2 #configured { "From the configuration" }
            div.scroll tabindex="0" role="group" aria-labelledby="configured" {
                table.records {
                    caption.unseen { "Networks that the configuration turns away" }
                    thead { tr {
                        th scope="col" { "Key" }
                        th scope="col" { "In force" }
                        th scope="col" { "What happens" }
                    } }
                    tbody {
                        (row("access.ip_blocklist", access.blocked.len(), "Turned away, as those above."))
                        (row("announce.ignore_ip", access.addresses.ignored.len(), "Refused with an error."))
                    }
                }
            }
            p.quiet { "To change them, change the file or the configuration and reload." }
        }
    }
}

async fn change(state: State, Change { admin, form }: Change<Form>) -> Response {
    let asked = form
        .read(|text| networks::read_each(text).map_err(|line| parts::sentence(&line.to_string())));
    let (reason, by) = (form.reason.clone(), admin.name());
    let made = match asked {
        Ok(Asked::Put(all)) => changes::block_networks(&state, all, by, reason)
            .await
            .map(|added| format!("{} added.", parts::counted(added, WORDS.one))),
        Ok(Asked::Take(all)) => changes::unblock_networks(&state, all, by, reason)
            .await
            .map(|removed| format!("{} removed.", parts::counted(removed, WORDS.one))),
        Err(mistake) => {
            let mistake = Some(mistake);
            let entered = Entered { form, mistake };
            return parts::mistaken(show(&admin, &state, 0, &entered).await);
        }
    };
    listing::after(&admin, &state, &WORDS, made)
}
