//! The routes of Torrust Tracker 3.0, version 1: the same statuses, types and texts, whatever one thinks
//! of them. Its `200` for a torrent that is not known and its `500` for a token that is missing are
//! what its clients look for.

pub(super) mod keys;
mod list;
mod stats;
mod torrent;
mod whitelist;

use std::borrow::Cow;
use std::fmt::Display;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::control::state::State;
use crate::gate::hash_list;
use crate::wire::InfoHash;

pub(super) fn routes() -> Router<State> {
    Router::new()
        .merge(stats::routes())
        .merge(list::routes())
        .merge(torrent::routes())
        .merge(whitelist::routes())
        .merge(keys::routes())
}

/// Digits of an info-hash in a path.
const DIGITS: usize = 2 * InfoHash::LEN;

/// An error, as plain text.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Refusal(StatusCode, Cow<'static, str>);

impl Refusal {
    fn bad_request(text: String) -> Self {
        Self(StatusCode::BAD_REQUEST, text.into())
    }

    /// A path that names nothing, as if there were no such route.
    fn nothing_named() -> Self {
        Self(StatusCode::NOT_FOUND, "".into())
    }

    /// The tracker tried to do `what` and failed.
    fn failed(what: &str, why: impl Display) -> Self {
        let reason = format!("{what}: {why}");
        let text = format!("Unhandled rejection: Err {{ reason: {reason:?} }}");
        Self(StatusCode::INTERNAL_SERVER_ERROR, text.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, text) = self;
        if text.is_empty() {
            return status.into_response();
        }
        (status, text).into_response()
    }
}

/// What a change that was made is answered.
fn done() -> Response {
    json(r#"{"status":"ok"}"#)
}

/// A text that is JSON already.
fn json(text: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// The info-hash that a path or a query names.
fn info_hash(text: &str) -> Result<InfoHash, Refusal> {
    let found = (text.len() == DIGITS).then(|| hash_list::parse(text.as_bytes()));
    found.flatten().ok_or_else(|| {
        Refusal::bad_request(format!(
            "Invalid URL: invalid infohash param: string \"{text}\", expected a 40 character long \
             string"
        ))
    })
}

/// The info-hash that the last part of a path names; blanks are no name.
fn info_hash_of_path(text: &str) -> Result<InfoHash, Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::nothing_named());
    }
    info_hash(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_info_hash_has_forty_digits_of_either_case() {
        let digits = "9e0217d0fa71c87332cd8bf9dbeabcb2c2CF3C4D";
        let hash = info_hash(digits).unwrap();
        assert_eq!(hash.to_string(), digits.to_lowercase());
        let long = digits.repeat(2);
        for bad in [
            "0",
            "-1",
            "1.1",
            "INVALID INFOHASH",
            &digits[1..],
            &long[..64],
            &long,
        ] {
            assert_eq!(
                info_hash(bad).unwrap_err().1,
                format!(
                    "Invalid URL: invalid infohash param: string \"{bad}\", expected a 40 character \
                     long string"
                )
            );
        }
        assert_eq!(info_hash_of_path(" ").unwrap_err().0, StatusCode::NOT_FOUND);
    }

    #[test]
    fn a_reason_is_told_in_quotes_that_nothing_in_it_can_end() {
        let refusal = Refusal::failed("failed to reload keys", "no \"x\"\n");
        assert_eq!(
            refusal.1,
            "Unhandled rejection: Err { reason: \"failed to reload keys: no \\\"x\\\"\\n\" }"
        );
    }
}
