//! Where people log in, and out.

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use maud::{Markup, html};
use serde::Deserialize;

use super::admin::shell;
use crate::control::server::Peer;
use crate::control::session::{self, Change, Failure, LoginForm, Refusal};
use crate::control::state::State;

/// Where those go who did not say where they want to go.
const HOME: &str = "/admin";

/// Most bytes of where somebody wants to go.
const NEXT_LEN_MAX: usize = 2048;

/// Seconds after which a crowd may have gone.
const CROWD_S: u32 = 2;

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/login", get(page).post(log_in))
        .route("/logout", post(log_out))
}

/// What the address of the page says.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Asked {
    /// Where to go then.
    next: String,
    /// A form was sent without a session.
    unsent: Option<String>,
    /// Somebody has just logged out.
    left: Option<String>,
}

/// The way to the log-in page, and from there to where somebody wanted to go.
pub(in crate::control) fn lead_there(wanted: &Uri) -> Response {
    let wanted = wanted
        .path_and_query()
        .map_or(HOME, |wanted| wanted.as_str());
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("next", wanted)
        .finish();
    shell::see_other(&format!("/login?{query}"))
}

/// The same for somebody who has sent a form, which is lost.
pub(in crate::control) fn lead_there_after_a_form() -> Response {
    shell::see_other("/login?unsent=1")
}

/// A path of this server; what may lead elsewhere is the overview.
fn safe(next: &str) -> &str {
    let is_ours = next.strip_prefix('/').is_some_and(|rest| {
        next.len() <= NEXT_LEN_MAX
            && !rest.starts_with('/')
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    });
    if is_ours { next } else { HOME }
}

async fn page(
    state: State,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let asked = asked.map_or_else(|_| Asked::default(), |Query(asked)| asked);
    if session::caller(&state, &headers).is_some() {
        return shell::see_other(safe(&asked.next));
    }
    let said = if asked.unsent.is_some() {
        Some("You were not logged in any more, so nothing was changed.")
    } else {
        asked.left.map(|_| "You have logged out.")
    };
    let said = said.map(|said| html! { p.notice.done role="status" { (said) } });
    form(&state, safe(&asked.next), "", said.as_ref())
}

/// The form, with what is to be said about the last time.
fn form(state: &State, next: &str, name: &str, said: Option<&Markup>) -> Response {
    if !state.sessions.has_users() {
        let body = html! {
            p { "Nobody can log in, because this tracker has no user." }
            p { "Make the line of one with " code { "shoal user hash" } ", write it below "
                code { "[control.users]" } " and have the configuration read again, by "
                code { "systemctl reload shoal" } " or SIGHUP." }
            p { a href="/" { "To the statistics" } }
        };
        return shell::bare("Log in", &body);
    }
    let described = said.map(|_| "said");
    let body = html! {
        @if let Some(said) = said {
            div #said { (said) }
        }
        form.stack method="post" action="/login" {
            input type="hidden" name="next" value=(next);
            p {
                label for="name" { "Name" }
                input #name name="name" value=(name) required autocomplete="username"
                    autocapitalize="none" spellcheck="false" maxlength="64" aria-describedby=[described];
            }
            p {
                label for="password" { "Password" }
                input #password type="password" name="password" required
                    autocomplete="current-password" maxlength="1024" aria-describedby=[described];
            }
            p { button.main type="submit" { "Log in" } }
        }
    };
    shell::bare("Log in", &body)
}

async fn log_in(
    state: State,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    sent: Result<LoginForm, Refusal>,
) -> Response {
    let sent = match sent {
        Ok(sent) => sent,
        Err(refusal) => return refusal.into_response(),
    };
    let (next, name) = (safe(&sent.next).to_owned(), sent.name.clone());
    let failure = match session::log_in(&state, sent, peer.ip(), &headers).await {
        Ok(cookie) => {
            let mut response = shell::see_other(&next);
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            return response;
        }
        Err(failure) => failure,
    };
    let (status, wait_s, sentence) = match failure {
        Failure::Wrong => (
            StatusCode::FORBIDDEN,
            None,
            "The name or the password is wrong.".to_owned(),
        ),
        Failure::Delayed(wait_s) => {
            let unit = if wait_s == 1 { "second" } else { "seconds" };
            let sentence = format!("Too many attempts have failed. Try again in {wait_s} {unit}.");
            (StatusCode::TOO_MANY_REQUESTS, Some(wait_s), sentence)
        }
        Failure::Busy => (
            StatusCode::SERVICE_UNAVAILABLE,
            Some(CROWD_S),
            "Too many log in at this moment. Try again in a few seconds.".to_owned(),
        ),
        Failure::NoRandomness => (
            StatusCode::INTERNAL_SERVER_ERROR,
            None,
            "The tracker has failed; its log says why.".to_owned(),
        ),
    };
    let said = html! { p.notice.failed role="alert" { (sentence) } };
    let mut response = (status, form(&state, &next, &name, Some(&said))).into_response();
    if let Some(wait_s) = wait_s {
        let fields = response.headers_mut();
        fields.insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
    }
    response
}

/// A form without fields of its own.
#[derive(Deserialize)]
struct Nothing {}

async fn log_out(
    state: State,
    headers: HeaderMap,
    Change {
        admin,
        form: Nothing {},
    }: Change<Nothing>,
) -> Response {
    let cookie = session::log_out(&state, &admin, &headers);
    let mut response = shell::see_other("/login?left=1");
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_on_leads_nowhere_else() {
        for ours in [
            "/",
            "/admin",
            "/admin/torrents?q=%2F%2Fevil&page=2",
            "/a//b",
            "/login",
        ] {
            assert_eq!(safe(ours), ours);
        }
        let long = format!("/{}", "x".repeat(NEXT_LEN_MAX));
        for elsewhere in [
            "",
            "admin",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "/a\\b",
            "\\\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/\t/evil.example",
            "/a b",
            "/a\r\nSet-Cookie: x=y",
            "/\u{e9}",
            " /admin",
            &long,
        ] {
            assert_eq!(safe(elsewhere), HOME, "{elsewhere:?}");
        }
    }

    #[test]
    fn who_wanted_to_go_somewhere_is_led_there() {
        let uri: Uri = "/admin/torrents?q=a&page=2".parse().unwrap();
        let response = lead_there(&uri);
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        let to = response.headers()[header::LOCATION].to_str().unwrap();
        assert_eq!(to, "/login?next=%2Fadmin%2Ftorrents%3Fq%3Da%26page%3D2");
    }
}
