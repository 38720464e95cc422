//! What an admin sees first.

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use serde::Deserialize;

use super::{journal, parts};
use crate::control::changes;
use crate::control::pages::words;
use crate::control::session::{Admin, Change};
use crate::control::state::State;
use crate::counters::{Tally, Totals};
use crate::gate::access::{Access, Mode};

/// Entries of the journal that are shown.
const ENTRIES: usize = 10;

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/admin", get(page))
        .route("/admin/mode", post(set_mode))
}

/// The mode to serve in.
#[derive(Deserialize)]
struct Modus {
    mode: String,
}

async fn page(admin: Admin, state: State) -> Response {
    // Cores that have no time for it tell what was so a second ago.
    let _ = state.errands.gauges().await;
    let body = journal::entries(&state, None, ENTRIES).await.map(|last| {
        html! {
            section.tiles aria-label="Now" { (tiles(&state.totals(), &state.registrar.access().load())) }
            (mode(&admin, state.registrar.mode()))
            section.card.wide aria-labelledby="last" {
                div.title { h2 #last { "Last changes" } a href="/admin/journal" { "Journal" } }
                @if let Some(why) = parts::no_store(&state) { (why) }
                @else if last.is_empty() { p.quiet { "Nobody has changed anything yet." } }
                @else { (parts::journal(&last)) }
            }
        }
    });
    parts::page(&admin, &state, "Overview", body)
}

fn tiles(totals: &Totals, access: &Access) -> Markup {
    let tile = |path: &str, name: &str, value: u64, below: &str| {
        html! {
            div.tile {
                h2 { a href=(path) { (name) } }
                p.value { (words::number(value)) }
                p.below { (below) }
            }
        }
    };
    let gauge = |tally| totals.tally(tally);
    let seeders = gauge(Tally::SeedersV4) + gauge(Tally::SeedersV6);
    let leechers = gauge(Tally::LeechersV4) + gauge(Tally::LeechersV6);
    let sides = format!(
        "{} seeders \u{b7} {} leechers",
        words::number(seeders),
        words::number(leechers)
    );
    let memory = format!("{} of memory", words::bytes(gauge(Tally::SwarmBytes)));
    let networks = access.blocked.len() + access.blocked_by_store.len();
    let networks = format!("and {}", parts::counted(networks, "address range"));
    let keys = format!("and {}", parts::counted(access.keys.len(), "key"));
    let allowed = access.sum(|lists| lists.allowed.len()) as u64;
    let blocked = access.sum(|lists| lists.blocked.len()) as u64;
    html! {
        (tile("/admin/torrents", "Torrents", gauge(Tally::Torrents), &memory))
        (tile("/", "Peers", seeders + leechers, &sides))
        (tile("/admin/lists/blocklist", "Blocked torrents", blocked, &networks))
        (tile("/admin/lists/allowlist", "Allowed torrents", allowed, &keys))
    }
}

/// A mode in some words.
fn meaning(mode: Mode) -> &'static str {
    match mode {
        Mode::Public => "All torrents that are not blocked, to everybody.",
        Mode::Listed => "Only torrents on the allowlist, to everybody.",
        Mode::Private => "All torrents that are not blocked, to clients with a key.",
        Mode::PrivateListed => "Only torrents on the allowlist, to clients with a key.",
    }
}

fn mode(admin: &Admin, now: Mode) -> Markup {
    html! {
        section.card.wide aria-labelledby="mode" {
            h2 #mode { "Mode" }
            form method="post" action="/admin/mode" {
                (admin.csrf())
                fieldset {
                    legend.unseen { "What is served, and to whom" }
                    @for mode in Mode::ALL {
                        @let id = format!("mode-{}", mode.name());
                        div.check {
                            input id=(id) type="radio" name="mode" value=(mode.name()) checked[mode == now];
                            label for=(id) { strong { (mode.name().replace('_', " ")) } " " span.quiet { (meaning(mode)) } }
                        }
                    }
                }
                button.main { "Serve in this mode" }
                p.hint { "It stays until the configuration is read again." }
            }
        }
    }
}

async fn set_mode(state: State, Change { admin, form }: Change<Modus>) -> Response {
    match changes::set_mode(&state, &form.mode, admin.name()).await {
        Ok(mode) => {
            let name = mode.name().replace('_', " ");
            parts::done(&admin, "/admin", format!("The mode is {name} now."))
        }
        Err(problem) => parts::trouble(&admin, &state, &problem),
    }
}
