//! What the tracker can be told to do. Each has a page of its own, which says what it means and asks
//! once more.

use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use maud::html;
use serde::Deserialize;

use super::shell;
use crate::control::api::operations::{reload, save, stop, sweep};
use crate::control::problem::Problem;
use crate::control::session::{Admin, Change, Notice};
use crate::control::state::State;

const PATH: &str = "/admin/operations";

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/admin/operations", get(all))
        .route("/admin/operations/{name}", get(ask).post(carry_out))
}

/// What can be done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Reload,
    Snapshot,
    Sweep,
    Stop,
}

impl Operation {
    const ALL: [Self; 4] = [Self::Reload, Self::Snapshot, Self::Sweep, Self::Stop];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// The end of its path.
    fn name(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Snapshot => "snapshot",
            Self::Sweep => "sweep",
            Self::Stop => "stop",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Reload => "Read the configuration again",
            Self::Snapshot => "Write a snapshot",
            Self::Sweep => "Forget silent peers",
            Self::Stop => "Stop the tracker",
        }
    }

    /// What happens then.
    fn meaning(self) -> &'static str {
        match self {
            Self::Reload => {
                "Lists, tokens, users, rules and certificates are read again. If the configuration has \
                 mistakes, everything stays as it is."
            }
            Self::Snapshot => {
                "All torrents and peers are written to the disk now, beside the snapshots that are \
                 written anyway. The tracker goes on serving meanwhile."
            }
            Self::Sweep => {
                "Peers that have not announced for too long are forgotten now in all torrents, instead \
                 of one torrent after the other."
            }
            Self::Stop => {
                "The tracker writes a snapshot and ends. Nobody is served until it is started again, which \
                 cannot be done from here. A service manager may start it at once."
            }
        }
    }

    async fn carry_out(self, state: &State, admin: &Admin) -> Result<Notice, Problem> {
        let by = admin.caller();
        Ok(match self {
            Self::Reload => {
                let warnings = reload(state, by).await?;
                let warnings = warnings.iter().map(|warning| format!(" {warning}."));
                let warnings: String = warnings.collect();
                Notice::done(format_args!("The configuration was read again.{warnings}"))
            }
            Self::Snapshot => {
                save(state, by).await?;
                Notice::done("The snapshot was written.")
            }
            Self::Sweep => {
                sweep(state, by).await?;
                Notice::done("Silent peers were forgotten.")
            }
            Self::Stop => {
                stop(state, by).await?;
                Notice::done("The tracker stops.")
            }
        })
    }
}

async fn all(admin: Admin, state: State) -> Response {
    let body = html! {
        @for operation in Operation::ALL {
            section.card.half aria-labelledby=(operation.name()) {
                h2 id=(operation.name()) { (operation.title()) }
                p { (operation.meaning()) }
                p.actions { a.button href={ (PATH) "/" (operation.name()) } { (operation.title()) "\u{2026}" } }
            }
        }
    };
    shell::page(&admin, &state, "Operations", &body)
}

fn unknown(admin: &Admin, state: &State) -> Response {
    let problem = Problem::not_found("There is no such operation.");
    shell::trouble(admin, state, "Operations", &problem)
}

async fn ask(admin: Admin, state: State, Path(name): Path<String>) -> Response {
    let Some(operation) = Operation::named(&name) else {
        return unknown(&admin, &state);
    };
    let body = html! {
        section.card {
            p { (operation.meaning()) }
            form method="post" {
                (admin.csrf())
                p.actions {
                    button.main.danger[operation == Operation::Stop] type="submit" { (operation.title()) }
                    " "
                    a.button href=(PATH) { "Cancel" }
                }
            }
        }
    };
    shell::page(&admin, &state, operation.title(), &body)
}

/// A form without fields of its own.
#[derive(Deserialize)]
struct Nothing {}

async fn carry_out(
    state: State,
    Path(name): Path<String>,
    Change {
        admin,
        form: Nothing {},
    }: Change<Nothing>,
) -> Response {
    let Some(operation) = Operation::named(&name) else {
        return unknown(&admin, &state);
    };
    match operation.carry_out(&state, &admin).await {
        // There is no page to come back to.
        Ok(_) if operation == Operation::Stop => {
            let body = html! { p role="status" { "The tracker stops. This page will answer again once it is started." } };
            shell::bare("Stopping", &body)
        }
        Ok(notice) => shell::done(&admin, PATH, notice),
        Err(problem) => shell::done(&admin, PATH, problem.into()),
    }
}
