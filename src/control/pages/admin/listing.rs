//! A list that an operator keeps, of torrents or of networks: its rows, each with a button that removes it,
//! and a form for many at a time.

use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::parts::{self, ROWS, moment};
use crate::control::problem::Problem;
use crate::control::session::Admin;
use crate::control::state::State;
use crate::store::Note;

/// Which rows.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Part {
    pub(super) from: u64,
}

/// A change of a list: of one row, or of all that a text names.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Form {
    /// This row goes.
    pub(super) remove: Option<String>,
    /// Those in `text` go, instead of coming.
    pub(super) take: Option<String>,
    pub(super) text: String,
    pub(super) reason: String,
}

/// What is asked for.
pub(super) enum Asked<T> {
    Put(Vec<T>),
    Take(Vec<T>),
}

impl Form {
    /// What is asked for, or what is wrong with it.
    pub(super) fn read<T>(
        &self,
        read: impl Fn(&[u8]) -> Result<Vec<T>, String>,
    ) -> Result<Asked<T>, String> {
        if let Some(row) = &self.remove {
            return Ok(Asked::Take(read(row.as_bytes())?));
        }
        let all = read(self.text.as_bytes())?;
        if all.is_empty() {
            return Err("There is nothing in it.".to_owned());
        }
        Ok(match self.take {
            Some(_) => Asked::Take(all),
            None => Asked::Put(all),
        })
    }
}

/// A row: what the button sends, how it looks, and who put it there.
pub(super) struct Row {
    pub(super) value: String,
    pub(super) shown: Markup,
    pub(super) note: Note,
}

/// The words for a kind of list.
pub(super) struct Words {
    /// Where the page is.
    pub(super) path: &'static str,
    /// Its title.
    pub(super) title: &'static str,
    /// One of the rows.
    pub(super) one: &'static str,
    /// The label of the text.
    pub(super) label: &'static str,
    /// How it is to be written.
    pub(super) hint: &'static str,
    /// What the list does.
    pub(super) about: &'static str,
}

/// What a form had in it when it was wrong, and why it was.
#[derive(Default)]
pub(super) struct Entered {
    pub(super) form: Form,
    pub(super) mistake: Option<String>,
}

/// The sections of the rows and of the form.
pub(super) fn render(
    admin: &Admin,
    state: &State,
    words: &Words,
    (from, total, rows): (u64, u64, &[Row]),
    entered: &Entered,
) -> Markup {
    html! {
        section.card.wide aria-labelledby="rows" {
            h2 #rows { (parts::counted(usize::try_from(total).unwrap_or(usize::MAX), words.one)) }
            p.quiet { (words.about) }
            @if !rows.is_empty() {
                form method="post" action=(words.path) {
                    (admin.csrf())
                    (table(words, rows))
                }
            }
            (parts::pager(words.path, from, rows.len(), total, ROWS))
        }
        @if let Some(why_not) = parts::no_store(state) { section.card.wide { (why_not) } }
        @else { (entry(admin, words, entered)) }
    }
}

fn table(words: &Words, rows: &[Row]) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-labelledby="rows" {
            table.records {
                caption.unseen { (words.title) }
                thead { tr {
                    th scope="col" { (words.one) }
                    th scope="col" { "Since (UTC)" }
                    th scope="col" { "By" }
                    th scope="col" { "Why" }
                    td {}
                } }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" { (row.shown) }
                            td data-name="Since" { (moment(row.note.at_unix_s)) }
                            td data-name="By" { (row.note.by) }
                            td data-name="Why" { (row.note.reason) }
                            td.act { button name="remove" value=(row.value) aria-label={ "Remove " (row.value) } { "Remove" } }
                        }
                    }
                }
            }
        }
    }
}

fn entry(admin: &Admin, words: &Words, entered: &Entered) -> Markup {
    let described = match entered.mistake {
        Some(_) => "text-mistake text-hint",
        None => "text-hint",
    };
    html! {
        section.card.wide aria-labelledby="many" {
            h2 #many { "Add or remove" }
            form method="post" action=(words.path) {
                (admin.csrf())
                div.field {
                    label for="text" { (words.label) }
                    p.hint #text-hint { (words.hint) }
                    @if let Some(mistake) = &entered.mistake {
                        p.mistake #text-mistake role="alert" { (mistake) }
                    }
                    textarea #text name="text" rows="5" spellcheck="false" required aria-describedby=(described)
                        aria-invalid=[entered.mistake.as_ref().map(|_| "true")] { (entered.form.text) }
                }
                (parts::reason_field("reason", &entered.form.reason))
                div.buttons {
                    button.main { "Add" }
                    button name="take" value="yes" { "Remove" }
                }
            }
        }
    }
}

/// Back to the list, with what came of a change.
pub(super) fn after(
    admin: &Admin,
    state: &State,
    words: &Words,
    made: Result<String, Problem>,
) -> Response {
    match made {
        Ok(sentence) => parts::done(admin, words.path, sentence),
        Err(problem) => parts::trouble(admin, state, &problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_of(text: &[u8]) -> Result<Vec<String>, String> {
        let text = String::from_utf8_lossy(text);
        if text.contains('!') {
            return Err("no".to_owned());
        }
        Ok(text.split_whitespace().map(str::to_owned).collect())
    }

    fn form(remove: Option<&str>, take: Option<&str>, text: &str) -> Form {
        Form {
            remove: remove.map(str::to_owned),
            take: take.map(str::to_owned),
            text: text.to_owned(),
            reason: String::new(),
        }
    }

    #[test]
    fn a_form_asks_for_one_row_or_for_a_text() {
        let asked = form(Some("a"), None, "ignored").read(words_of);
        assert!(matches!(asked, Ok(Asked::Take(all)) if all == ["a"]));
        let asked = form(None, Some("yes"), "a b").read(words_of);
        assert!(matches!(asked, Ok(Asked::Take(all)) if all == ["a", "b"]));
        let asked = form(None, None, "a b").read(words_of);
        assert!(matches!(asked, Ok(Asked::Put(all)) if all == ["a", "b"]));
    }

    #[test]
    fn a_text_that_names_nothing_is_a_mistake() {
        assert!(form(None, None, " ").read(words_of).is_err());
        assert!(form(None, Some("yes"), "!").read(words_of).is_err());
        assert!(form(Some("!"), None, "").read(words_of).is_err());
    }
}
