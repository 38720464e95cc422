//! The frame of the pages for those who are logged in, and of the few that lead there.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use crate::control::pages::assets::{ICON, STYLE};
use crate::control::problem::Problem;
use crate::control::session::{Admin, Notice};
use crate::control::state::State;

/// Where one can go, in this order. A page below one of them belongs to it.
const PLACES: [(&str, &str); 8] = [
    ("/admin", "Overview"),
    ("/admin/torrents", "Torrents"),
    ("/admin/lists/allowlist", "Allowlist"),
    ("/admin/lists/blocklist", "Blocklist"),
    ("/admin/keys", "Keys"),
    ("/admin/networks", "Networks"),
    ("/admin/journal", "Journal"),
    ("/admin/operations", "Operations"),
];

/// A page: `title` is its heading, `body` what stands below it. What the last form came to is shown between
/// them, once. For another status than 200 answer `(status, page(..))`.
pub(in crate::control) fn page(
    admin: &Admin,
    state: &State,
    title: &str,
    body: &Markup,
) -> Response {
    let head = html! {
        nav aria-label="Admin" {
            ul {
                @for (path, name) in PLACES {
                    li {
                        @if is_at(admin.path(), path) {
                            a href=(path) aria-current="page" { (name) }
                        } @else {
                            a href=(path) { (name) }
                        }
                    }
                }
            }
        }
        div.who {
            span { strong { (admin.name()) } ", mode " (state.registrar.mode().name()) }
            form method="post" action="/logout" {
                (admin.csrf())
                button type="submit" { "Log out" }
            }
        }
    };
    let body = html! {
        @for notice in admin.take_notices() {
            (shown(&notice))
        }
        (body)
    };
    answer(title, &head, &body)
}

/// A page without what only those see who are logged in.
pub(in crate::control) fn bare(title: &str, body: &Markup) -> Response {
    let body = html! { section.card.narrow { (body) } };
    answer(title, &html! {}, &body)
}

/// After a form: the way to the page at `next`, a path of our own, which shows `what` once.
pub(in crate::control) fn done(admin: &Admin, next: &str, what: Notice) -> Response {
    admin.notify(what);
    see_other(next)
}

/// A page that tells why something cannot be shown or done, with the status of the problem.
pub(in crate::control) fn trouble(
    admin: &Admin,
    state: &State,
    title: &str,
    problem: &Problem,
) -> Response {
    let notice = Notice::failed(problem.detail());
    (problem.status(), page(admin, state, title, &shown(&notice))).into_response()
}

/// The way to another page of ours, by GET.
pub(in crate::control) fn see_other(path: &str) -> Response {
    let path = HeaderValue::try_from(path);
    let path = path.unwrap_or(HeaderValue::from_static("/admin"));
    let fields = [
        (header::LOCATION, path),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (StatusCode::SEE_OTHER, fields).into_response()
}

fn shown(notice: &Notice) -> Markup {
    html! {
        @if notice.is_done {
            p.notice.done role="status" { (notice.text) }
        } @else {
            p.notice.failed role="alert" { (notice.text) }
        }
    }
}

/// Whether a path belongs to one of the places: the overview is not above the others.
fn is_at(path: &str, place: &str) -> bool {
    let below = path.strip_prefix(place);
    below.is_some_and(|below| below.is_empty() || place != "/admin" && below.starts_with('/'))
}

fn answer(title: &str, head: &Markup, body: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html.admin lang="en" {
            head {
                meta charset="utf-8";
                title { (title) " - Shoal" }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                link rel="icon" href=(ICON.path) type="image/svg+xml";
                link rel="stylesheet" href=(STYLE.path);
            }
            body {
                a.skip href="#content" { "To the content" }
                header {
                    a.brand href="/" { img src=(ICON.path) alt="" width="32" height="32"; "Shoal" }
                    (head)
                }
                main #content tabindex="-1" {
                    h1 { (title) }
                    (body)
                }
            }
        }
    };
    let cache = [(header::CACHE_CONTROL, "no-store")];
    (cache, Html(page.into_string())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_belongs_to_one_place() {
        let at = |path: &str| {
            let places = PLACES.iter().filter(|(place, _)| is_at(path, place));
            places.map(|(_, name)| *name).collect::<Vec<_>>()
        };
        assert_eq!(at("/admin"), ["Overview"]);
        assert_eq!(at("/admin/torrents"), ["Torrents"]);
        assert_eq!(at("/admin/torrents/00"), ["Torrents"]);
        assert_eq!(at("/admin/operations/stop"), ["Operations"]);
        assert_eq!(at("/admin/torrentsx"), [""; 0]);
        assert_eq!(at("/login"), [""; 0]);
    }

    #[test]
    fn a_path_that_can_be_in_no_header_leads_to_the_overview() {
        let to = |path| see_other(path).headers()[header::LOCATION].clone();
        assert_eq!(to("/admin/keys"), "/admin/keys");
        assert_eq!(to("/a\r\nSet-Cookie: b"), "/admin");
    }
}
