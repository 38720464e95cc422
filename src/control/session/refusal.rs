//! Why what a page sends is refused.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::html;

use crate::control::pages::admin::shell;
use crate::control::pages::login;
use crate::control::problem::Problem;

/// Why; nothing has changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// Nobody is logged in.
    NoSession,
    /// Another site made the browser ask.
    CrossSite,
    /// More than 64 KiB.
    TooLarge,
    /// Something else than a form.
    WrongType,
    /// The token is missing, or belongs to another session.
    Forged,
    /// A field is missing or cannot be read.
    BadForm(String),
    /// It did not arrive in time.
    TooSlow,
    /// Too many others log in.
    Crowded,
}

impl Refusal {
    /// How many there are.
    pub(crate) const COUNT: usize = Self::NAMES.len();

    /// Their names in metrics, by [`Refusal::number`].
    pub(crate) const NAMES: [&str; 8] = [
        "no_session",
        "cross_site",
        "too_large",
        "wrong_type",
        "forged",
        "bad_form",
        "too_slow",
        "crowded",
    ];

    /// Its place among [`Refusal::NAMES`].
    pub(crate) fn number(&self) -> usize {
        match self {
            Self::NoSession => 0,
            Self::CrossSite => 1,
            Self::TooLarge => 2,
            Self::WrongType => 3,
            Self::Forged => 4,
            Self::BadForm(_) => 5,
            Self::TooSlow => 6,
            Self::Crowded => 7,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NoSession => StatusCode::SEE_OTHER,
            Self::CrossSite | Self::Forged => StatusCode::FORBIDDEN,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::WrongType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BadForm(_) => StatusCode::BAD_REQUEST,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Crowded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What happened, and what to do.
    fn sentences(&self) -> (&str, &'static str) {
        match self {
            Self::NoSession => ("You are not logged in.", "Log in and try again."),
            Self::CrossSite => (
                "Your browser says that another site has sent this.",
                "Open the page here and send its form. Behind a proxy, the proxy must pass on the Host header.",
            ),
            Self::TooLarge => (
                "This form has more than 64 KiB.",
                "Send it in parts; for large lists there is the API.",
            ),
            Self::WrongType => (
                "This is no form that one of our pages has sent.",
                "Programs use the API with a token.",
            ),
            Self::Forged => (
                "This form is too old, or is not from one of our pages.",
                "Go back, load the page again and fill in its form once more.",
            ),
            Self::BadForm(why) => (why, "Go back and correct it."),
            Self::TooSlow => ("Your form took too long to arrive.", "Try again."),
            Self::Crowded => (
                "Too many try to log in at this moment.",
                "Try again in a few seconds.",
            ),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if self == Self::NoSession {
            return login::lead_there_after_a_form();
        }
        let (what, then) = self.sentences();
        // Without control characters, and not too long.
        let what = Problem::bad_request(what);
        let body = html! {
            p { (what.detail()) }
            p { "Nothing was changed. " (then) }
            p { a href="/admin" { "To the overview" } }
        };
        (self.status(), shell::bare("Refused", &body)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_has_a_number_and_a_name_of_its_own() {
        let all = [
            Refusal::NoSession,
            Refusal::CrossSite,
            Refusal::TooLarge,
            Refusal::WrongType,
            Refusal::Forged,
            Refusal::BadForm(String::new()),
            Refusal::TooSlow,
            Refusal::Crowded,
        ];
        let numbers = all.iter().map(Refusal::number);
        assert!(numbers.eq(0..Refusal::COUNT));
        let names: BTreeSet<_> = Refusal::NAMES.iter().collect();
        assert_eq!(names.len(), Refusal::COUNT);
    }
}
