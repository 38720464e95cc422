//! One torrent: what is known of it, which lists it is on, who is in its swarm, and what may be done with it.

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use serde::Deserialize;

use super::parts::{self, badge, moment};
use super::peers;
use crate::control::changes;
use crate::control::pages::words;
use crate::control::problem::{Problem, Segment};
use crate::control::session::{Admin, Change};
use crate::control::state::State;
use crate::control::walk;
use crate::registrar::RegistrarError;
use crate::shard::{Row, SwarmView};
use crate::similar;
use crate::store::{List, Metadata, Note};
use crate::wire::InfoHash;

/// Most similar torrents that are shown.
const SIMILAR_MAX: usize = 20;

pub(super) fn routes() -> Router<State> {
    let put = |list| post(move |state, path, change| put(list, state, path, change));
    let take = |list| post(move |state, path, change| take(list, state, path, change));
    Router::new()
        .route("/admin/torrents/{info_hash}", get(page))
        .route("/admin/torrents/{info_hash}/block", put(List::Blocked))
        .route("/admin/torrents/{info_hash}/unblock", take(List::Blocked))
        .route("/admin/torrents/{info_hash}/allow", put(List::Allowed))
        .route("/admin/torrents/{info_hash}/disallow", take(List::Allowed))
        .route("/admin/torrents/{info_hash}/forget", post(forget))
}

/// Why.
#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    reason: String,
}

/// Whether it is meant.
#[derive(Deserialize)]
struct Sure {
    #[serde(default)]
    sure: String,
}

/// Which peers.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Part {
    from: usize,
}

/// How a torrent stands on a list.
struct Listed {
    in_file: bool,
    note: Option<Note>,
}

/// A torrent, read once.
struct View {
    info_hash: InfoHash,
    swarm: Option<SwarmView>,
    metadata: Option<Metadata>,
    allowed: Listed,
    blocked: Listed,
    similar: Vec<Row>,
}

async fn page(
    admin: Admin,
    state: State,
    Segment(text): Segment,
    parts::Asked(part): parts::Asked<Part>,
) -> Response {
    let info_hash = match parts::info_hash(&text) {
        Ok(info_hash) => info_hash,
        Err(problem) => return parts::trouble(&admin, &state, &problem),
    };
    let view = View::of(&state, info_hash).await;
    let body = view.map(|view| view.render(&admin, &state, part.from));
    parts::page(&admin, &state, "Torrent", body)
}

impl View {
    async fn of(state: &State, info_hash: InfoHash) -> Result<Self, Problem> {
        let swarm = state.errands.swarm(info_hash, peers::SEEN_MAX).await;
        let swarm = swarm.map_err(|_| Problem::busy())?;
        let similar = similar_to(state, info_hash).await?;
        let read = state
            .on_disk(move |state| {
                let records = state.registrar.records();
                let listed = |list| {
                    let note = records.map(|records| records.note(list, &info_hash));
                    Ok::<_, RegistrarError>(Listed {
                        in_file: changes::is_in_file(state, list, &info_hash),
                        note: note.transpose()?.flatten(),
                    })
                };
                let metadata = records.map(|records| records.metadata(&info_hash));
                let metadata = metadata.transpose()?.flatten();
                Ok::<_, RegistrarError>((metadata, listed(List::Allowed)?, listed(List::Blocked)?))
            })
            .await;
        let (metadata, allowed, blocked) = read?;
        Ok(Self {
            info_hash,
            swarm,
            metadata,
            allowed,
            blocked,
            similar,
        })
    }

    fn render(&self, admin: &Admin, state: &State, from: usize) -> Markup {
        let name = self.metadata.as_ref().map(|metadata| metadata.name.trim());
        let path = format!("/admin/torrents/{}", self.info_hash);
        html! {
            section.card.wide aria-labelledby="what" {
                h2.long #what {
                    @if let Some(name) = name.filter(|name| !name.is_empty()) { (name) } @else { "A torrent without a name" }
                }
                p.hash { code { (self.info_hash) } (self.badges()) }
                dl.facts { (self.facts()) (self.about()) }
            }
            section.card.half aria-labelledby="block" {
                h2 #block { "Blocklist" }
                (self.list(admin, state, &path, &BLOCKING))
            }
            section.card.half aria-labelledby="allow" {
                h2 #allow { "Allowlist" }
                (self.list(admin, state, &path, &ALLOWING))
            }
            @if let Some(swarm) = &self.swarm {
                (peers::section(swarm, state.clock.now(), &path, from))
            }
            @if !self.similar.is_empty() { (self.similar_ones()) }
            @if self.swarm.is_some() { (forget_form(admin, &path)) }
        }
    }

    fn badges(&self) -> Markup {
        html! {
            @if self.blocked.is_on() { (badge("bad", "blocked")) }
            @if self.allowed.is_on() { (badge("good", "allowed")) }
        }
    }

    fn facts(&self) -> Markup {
        let fact = |name: &str, n: u32| {
            html! { div { dt { (name) } dd { (words::number(n.into())) } } }
        };
        html! {
            @match &self.swarm {
                Some(swarm) => {
                    (fact("Seeders", swarm.totals.seeders))
                    (fact("Leechers", swarm.totals.leechers))
                    (fact("Completed", swarm.totals.completed))
                }
                None => { div { dt { "Swarm" } dd { "nobody has announced it" } } }
            }
        }
    }

    fn about(&self) -> Markup {
        let fact = |name: &str, value: &Markup| html! { div { dt { (name) } dd { (value) } } };
        let text = |name: &str, value: &str| {
            html! { @if !value.is_empty() { (fact(name, &html! { (value) })) } }
        };
        let size = |name: &str, bytes: u64| {
            html! { @if bytes > 0 { (text(name, &words::bytes(bytes))) } }
        };
        html! {
            @if let Some(metadata) = &self.metadata {
                (size("Size", metadata.size))
                (size("Piece", metadata.piece_length))
                @if let Some(date) = metadata.creation_date { (fact("Made", &moment(date))) }
                (text("Made with", &metadata.created_by))
                (text("Comment", &metadata.comment))
            }
        }
    }

    /// How the torrent stands on a list, and the form that changes it.
    fn list(&self, admin: &Admin, state: &State, path: &str, of: &Listing) -> Markup {
        let listed = match of.list {
            List::Allowed => &self.allowed,
            List::Blocked => &self.blocked,
        };
        html! {
            @if let Some(note) = &listed.note {
                p {
                    (of.is_on) " since " (moment(note.at_unix_s)) ", by " strong { (note.by) }
                    @if note.reason.is_empty() { "." } @else { ":" }
                }
                @if !note.reason.is_empty() { blockquote { (note.reason) } }
            } @else if listed.in_file {
                p { (of.is_on) ", by the file of " code { (of.file) } ". Take it from there and reload." }
            } @else {
                p.quiet { (of.is_off) }
            }
            @if let Some(why_not) = parts::no_store(state) { (why_not) }
            @else if !listed.in_file {
                @let (action, button) = if listed.is_on() { of.take } else { of.put };
                form method="post" action=(format!("{path}/{action}")) {
                    (admin.csrf())
                    (parts::reason_field(&format!("reason-{action}"), ""))
                    button.main { (button) }
                }
            }
        }
    }

    fn similar_ones(&self) -> Markup {
        html! {
            section.card.wide aria-labelledby="similar" {
                h2 #similar { "Similar info-hashes" }
                table.torrents {
                    caption.unseen { "Torrents whose info-hashes are nearly the same" }
                    thead { tr {
                        th scope="col" { "Torrent" }
                        th scope="col" { "Equal" }
                        th scope="col" { "Seeders" }
                        th scope="col" { "Leechers" }
                    } }
                    tbody {
                        @for (info_hash, totals) in &self.similar {
                            tr {
                                th scope="row" { (parts::torrent(info_hash, None)) }
                                td data-name="Equal" { (words::share(similar::share(info_hash, &self.info_hash))) }
                                td data-name="Seeders" { (words::number(totals.seeders.into())) }
                                td data-name="Leechers" { (words::number(totals.leechers.into())) }
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Listed {
    fn is_on(&self) -> bool {
        self.in_file || self.note.is_some()
    }
}

/// The words for a list, and the last part of a path with the word on the button for both changes.
struct Listing {
    list: List,
    file: &'static str,
    is_on: &'static str,
    is_off: &'static str,
    put: (&'static str, &'static str),
    take: (&'static str, &'static str),
}

const BLOCKING: Listing = Listing {
    list: List::Blocked,
    file: "access.blocklist",
    is_on: "Blocked",
    is_off: "Not blocked. Who announces a blocked torrent is turned away, in every mode.",
    put: ("block", "Block"),
    take: ("unblock", "Unblock"),
};

const ALLOWING: Listing = Listing {
    list: List::Allowed,
    file: "access.allowlist",
    is_on: "Allowed",
    is_off: "Not on the allowlist, which counts in the listed modes.",
    put: ("allow", "Allow"),
    take: ("disallow", "Remove from the allowlist"),
};

fn forget_form(admin: &Admin, path: &str) -> Markup {
    html! {
        section.card.wide aria-labelledby="forget" {
            h2 #forget { "Forget" }
            p.quiet { "Its peers and its count of completed downloads go. Peers come back when they announce again." }
            form method="post" action=(format!("{path}/forget")) {
                (admin.csrf())
                div.check {
                    input #sure type="checkbox" name="sure" value="yes" required;
                    label for="sure" { "Yes, forget this torrent" }
                }
                button.main.danger { "Forget" }
            }
        }
    }
}

/// Other torrents whose info-hashes are similar; none where the configuration does not look for them.
async fn similar_to(state: &State, info_hash: InfoHash) -> Result<Vec<Row>, Problem> {
    let threshold = state.config.swarm.similarity_threshold;
    if threshold >= 1.0 {
        return Ok(Vec::new());
    }
    // The first digits choose the core, so similar ones belong to the same.
    let core = state.steering.core_of(&info_hash);
    let is_wanted = move |other: &InfoHash| {
        *other != info_hash && similar::is_similar(&info_hash, other, threshold)
    };
    let rows = walk::matching(state, core..core + 1, SIMILAR_MAX, is_wanted).await;
    rows.map_err(|walk::Stuck| Problem::busy())
}

async fn put(list: List, state: State, Segment(text): Segment, change: Change<Reason>) -> Response {
    let done = |_| match list {
        List::Blocked => "The torrent is blocked.",
        List::Allowed => "The torrent is allowed.",
    };
    let by = change.admin.name();
    let made = match parts::info_hash(&text) {
        Ok(hash) => changes::put(&state, list, vec![hash], by, change.form.reason).await,
        Err(problem) => Err(problem),
    };
    after(&change.admin, &state, &text, made.map(done))
}

async fn take(
    list: List,
    state: State,
    Segment(text): Segment,
    change: Change<Reason>,
) -> Response {
    let done = |removed| match (list, removed) {
        (List::Blocked, 1..) => "The torrent is no longer blocked.",
        (List::Allowed, 1..) => "The torrent is no longer on the allowlist.",
        (_, 0) => "The torrent was not on the list.",
    };
    let by = change.admin.name();
    let made = match parts::info_hash(&text) {
        Ok(hash) => changes::take(&state, list, vec![hash], by, change.form.reason).await,
        Err(problem) => Err(problem),
    };
    after(&change.admin, &state, &text, made.map(done))
}

async fn forget(state: State, Segment(text): Segment, change: Change<Sure>) -> Response {
    let made = match parts::info_hash(&text) {
        Ok(_) if change.form.sure != "yes" => Err(Problem::bad_request(
            "Nothing was forgotten, as the box was not ticked",
        )),
        Ok(hash) => changes::forget(&state, hash, change.admin.name()).await,
        Err(problem) => Err(problem),
    };
    let done = |known| {
        if known {
            "The torrent is forgotten."
        } else {
            "The torrent was not known."
        }
    };
    after(&change.admin, &state, &text, made.map(done))
}

/// Back to the torrent, with what came of it.
fn after(
    admin: &Admin,
    state: &State,
    text: &str,
    made: Result<&'static str, Problem>,
) -> Response {
    match made {
        Ok(sentence) => parts::done(admin, &format!("/admin/torrents/{text}"), sentence),
        Err(problem) => parts::trouble(admin, state, &problem),
    }
}
