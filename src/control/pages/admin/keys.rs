//! The keys of a private tracker.

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use serde::Deserialize;

use super::listing::Part;
use super::parts::{self, ROWS, badge, moment};
use crate::control::problem::Problem;
use crate::control::session::{Admin, Change};
use crate::control::state::State;
use crate::gate::keys::{AnnounceKey, BadKey, KeyRow};
use crate::registrar::RegistrarError;

const PATH: &str = "/admin/keys";

/// Units of a lifetime, the first one chosen, with their seconds.
const UNITS: [(&str, u64); 4] = [
    ("days", 86_400),
    ("hours", 3600),
    ("weeks", 7 * 86_400),
    ("years", 365 * 86_400),
];

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/admin/keys", get(page).post(add))
        .route("/admin/keys/remove", post(remove))
}

/// A key to add.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Add {
    key: String,
    lifetime: String,
    unit: String,
}

/// A key to remove.
#[derive(Deserialize)]
struct Remove {
    remove: String,
}

/// What is wrong with a form, at each of its fields.
#[derive(Default, PartialEq, Eq, Debug)]
struct Mistakes {
    key: Option<String>,
    lifetime: Option<String>,
}

impl Add {
    /// The key, where one was chosen, and for how many seconds it is to be good.
    fn read(&self) -> Result<(Option<AnnounceKey>, Option<u64>), Mistakes> {
        let key = match self.key.trim() {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|bad| match bad {
                BadKey::Length => "A key has 32 letters and digits.".to_owned(),
                BadKey::Letters => {
                    "A key has only the letters a to z, A to Z and digits.".to_owned()
                }
            }),
        };
        let seconds = match self.lifetime.trim() {
            "" => Ok(None),
            text => self.seconds(text).map(Some).ok_or_else(|| {
                "The lifetime is a whole number from 1 on, not too large.".to_owned()
            }),
        };
        match (key, seconds) {
            (Ok(key), Ok(seconds)) => Ok((key, seconds)),
            (key, seconds) => Err(Mistakes {
                key: key.err(),
                lifetime: seconds.err(),
            }),
        }
    }

    fn seconds(&self, number: &str) -> Option<u64> {
        let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
        let (_, unit) = UNITS.into_iter().find(|(name, _)| *name == self.unit)?;
        number.checked_mul(unit)
    }
}

async fn page(admin: Admin, state: State, parts::Asked(part): parts::Asked<Part>) -> Response {
    show(
        &admin,
        &state,
        part.from,
        &Add::default(),
        &Mistakes::default(),
    )
    .await
}

async fn show(
    admin: &Admin,
    state: &State,
    from: u64,
    entered: &Add,
    mistakes: &Mistakes,
) -> Response {
    let read = state
        .on_disk(move |state| match state.registrar.records() {
            Some(records) => records.keys_page(from, ROWS),
            None => Ok((0, Vec::new())),
        })
        .await;
    let read = read.map_err(|error| Problem::from(RegistrarError::from(error)));
    let body = read.map(|(total, rows)| {
        html! {
            section.card.wide aria-labelledby="rows" {
                h2 #rows { (parts::counted(usize::try_from(total).unwrap_or(usize::MAX), "key")) }
                @if state.registrar.mode().is_private() {
                    p.quiet { "Only clients with a key in their announce URL are served." }
                } @else {
                    p.quiet { "Keys count in the private modes; the mode now is " strong { (state.registrar.mode().name()) } "." }
                }
                @if !rows.is_empty() {
                    form method="post" action="/admin/keys/remove" {
                        (admin.csrf())
                        (table(&rows, state.clock.now().unix_s))
                    }
                }
                (parts::pager(PATH, from, rows.len(), total, ROWS))
            }
            @if let Some(why_not) = parts::no_store(state) { section.card.wide { (why_not) } }
            @else { (entry(admin, entered, mistakes)) }
        }
    });
    parts::page(admin, state, "Keys", body)
}

fn table(rows: &[(AnnounceKey, KeyRow)], now_unix_s: u64) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-labelledby="rows" {
            table.records {
                caption.unseen { "Keys" }
                thead { tr {
                    th scope="col" { "Key" }
                    th scope="col" { "Made (UTC)" }
                    th scope="col" { "Good until" }
                    td {}
                } }
                tbody {
                    @for (key, row) in rows {
                        tr {
                            th scope="row" { code { (key) } }
                            td data-name="Made" { (moment(row.created_unix_s)) }
                            td data-name="Good until" { (until(row.expires_unix_s, now_unix_s)) }
                            td.act { button name="remove" value=(key) aria-label={ "Remove " (key) } { "Remove" } }
                        }
                    }
                }
            }
        }
    }
}

fn until(expires_unix_s: Option<u64>, now_unix_s: u64) -> Markup {
    html! {
        @match expires_unix_s {
            None => "for ever",
            Some(expires) => {
                (moment(expires))
                @if expires <= now_unix_s { " " (badge("bad", "expired")) }
            }
        }
    }
}

fn entry(admin: &Admin, entered: &Add, mistakes: &Mistakes) -> Markup {
    let mistake = |id: &str, mistake: &Option<String>| {
        html! { @if let Some(text) = mistake { p.mistake id=(id) role="alert" { (text) } } }
    };
    let described = |field: &str, mistake: &Option<String>| match mistake {
        Some(_) => format!("{field}-mistake {field}-hint"),
        None => format!("{field}-hint"),
    };
    let invalid = |mistake: &Option<String>| mistake.as_ref().map(|_| "true");
    html! {
        section.card.wide aria-labelledby="add" {
            h2 #add { "Add a key" }
            form method="post" action=(PATH) {
                (admin.csrf())
                div.field {
                    label for="lifetime" { "Good for" }
                    p.hint #lifetime-hint { "Leave it empty for a key that is good for ever." }
                    (mistake("lifetime-mistake", &mistakes.lifetime))
                    div.line {
                        input #lifetime.short name="lifetime" inputmode="numeric" autocomplete="off" value=(entered.lifetime)
                            aria-describedby=(described("lifetime", &mistakes.lifetime)) aria-invalid=[invalid(&mistakes.lifetime)];
                        select name="unit" aria-label="Unit" {
                            @for (unit, _) in UNITS { option value=(unit) selected[entered.unit == unit] { (unit) } }
                        }
                    }
                }
                div.field {
                    label for="key" { "Key" }
                    p.hint #key-hint { "32 letters and digits. Leave it empty for one that nobody can guess." }
                    (mistake("key-mistake", &mistakes.key))
                    input #key name="key" value=(entered.key) maxlength="64" autocomplete="off" spellcheck="false"
                        aria-describedby=(described("key", &mistakes.key)) aria-invalid=[invalid(&mistakes.key)];
                }
                button.main { "Add" }
            }
        }
    }
}

async fn add(state: State, Change { admin, form }: Change<Add>) -> Response {
    let (key, seconds) = match form.read() {
        Ok(read) => read,
        Err(mistakes) => {
            return parts::mistaken(show(&admin, &state, 0, &form, &mistakes).await);
        }
    };
    let by = admin.name().to_owned();
    let made = state
        .on_disk(move |state| state.registrar.add_key(key, seconds, &by))
        .await;
    let mistakes = match made {
        Ok((key, _)) => return parts::done(&admin, PATH, format!("The key {key} is good now.")),
        Err(error @ RegistrarError::KeyExists) => Mistakes {
            key: Some(parts::sentence(&error.to_string())),
            ..Mistakes::default()
        },
        Err(error @ RegistrarError::Overflow) => Mistakes {
            lifetime: Some(parts::sentence(&error.to_string())),
            ..Mistakes::default()
        },
        Err(error) => return parts::trouble(&admin, &state, &error.into()),
    };
    parts::mistaken(show(&admin, &state, 0, &form, &mistakes).await)
}

async fn remove(state: State, Change { admin, form }: Change<Remove>) -> Response {
    let Ok(key) = form.remove.parse::<AnnounceKey>() else {
        let problem = Problem::bad_request("This is no key.");
        return parts::trouble(&admin, &state, &problem);
    };
    let by = admin.name().to_owned();
    let removed = state
        .on_disk(move |state| state.registrar.remove_key(&key, &by))
        .await;
    match removed {
        Ok(true) => parts::done(&admin, PATH, format!("The key {key} is good no more.")),
        Ok(false) => parts::done(&admin, PATH, "There was no such key."),
        Err(error) => parts::trouble(&admin, &state, &error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(key: &str, lifetime: &str, unit: &str) -> Add {
        Add {
            key: key.to_owned(),
            lifetime: lifetime.to_owned(),
            unit: unit.to_owned(),
        }
    }

    #[test]
    fn a_key_is_chosen_or_not_and_good_for_a_while_or_for_ever() {
        assert_eq!(add("", "", "days").read(), Ok((None, None)));
        assert_eq!(add("", " 2 ", "hours").read(), Ok((None, Some(7200))));
        let text = "abcdefghijklmnopqrstuvwxyz012345";
        let chosen = (Some(text.parse().unwrap()), Some(86_400));
        assert_eq!(add(text, "1", "days").read(), Ok(chosen));
    }

    #[test]
    fn each_mistake_stands_at_its_field() {
        let mistakes = add("short", "0", "days").read().unwrap_err();
        assert!(mistakes.key.is_some() && mistakes.lifetime.is_some());
        for lifetime in ["-1", "1.5", "x", &u64::MAX.to_string()] {
            let mistakes = add("", lifetime, "weeks").read().unwrap_err();
            assert!(mistakes.key.is_none() && mistakes.lifetime.is_some());
        }
        assert!(add("", "1", "eons").read().is_err());
        let letters = add("!bcdefghijklmnopqrstuvwxyz012345", "", "days").read();
        assert!(letters.unwrap_err().key.is_some());
    }
}
