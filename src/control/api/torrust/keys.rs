//! Keys of private trackers.

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Refusal, done};
use crate::control::auth::Caller;
use crate::control::state::State;
use crate::gate::keys::{AnnounceKey, BadKey, KeyRow};
use crate::registrar::RegistrarError;

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/api/v1/keys", post(add))
        .route("/api/v1/keys/reload", get(reload))
        .route(
            "/api/v1/key/{seconds_or_key}",
            post(add_for_seconds).delete(remove),
        )
}

/// A key as the API tells it.
#[derive(Serialize, PartialEq, Eq, Debug)]
pub(in crate::control::api) struct AuthKey {
    key: String,
    valid_until: Option<u64>,
    expiry_time: Option<String>,
}

impl AuthKey {
    /// What is told of a key.
    pub(in crate::control::api) fn new(key: &AnnounceKey, row: &KeyRow) -> Self {
        Self {
            key: key.to_string(),
            valid_until: row.expires_unix_s,
            expiry_time: row.expires_unix_s.map(utc),
        }
    }
}

/// Both members must be there; each may be null.
#[derive(Deserialize)]
struct AddKey {
    #[serde(deserialize_with = "present")]
    key: Option<String>,
    #[serde(deserialize_with = "present")]
    seconds_valid: Option<u64>,
}

fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

async fn add(state: State, caller: Caller, Json(body): Json<AddKey>) -> Result<Response, Refusal> {
    let key = body.key.map(|text| parse(&text)).transpose()?;
    make(&state, key, body.seconds_valid, caller).await
}

async fn add_for_seconds(
    state: State,
    caller: Caller,
    Path(text): Path<String>,
) -> Result<Response, Refusal> {
    let seconds = text.parse().map_err(|_| {
        Refusal::bad_request(format!("Invalid URL: Cannot parse `{text:?}` to a `u64`"))
    })?;
    make(&state, None, Some(seconds), caller).await
}

async fn make(
    state: &State,
    key: Option<AnnounceKey>,
    seconds: Option<u64>,
    caller: Caller,
) -> Result<Response, Refusal> {
    let made = state
        .on_disk(move |state| state.registrar.add_key(key, seconds, caller.name()))
        .await;
    match made {
        Ok((key, row)) => {
            // Of all answers in JSON only this one names its letters.
            let json = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
            Ok((json, Json(AuthKey::new(&key, &row))).into_response())
        }
        Err(RegistrarError::Overflow) => Err(Refusal::bad_request(format!(
            "Invalid URL: invalid auth key duration: \"{}\"",
            seconds.unwrap_or_default()
        ))),
        Err(error) => Err(Refusal::failed("failed to generate key", error)),
    }
}

async fn remove(
    state: State,
    caller: Caller,
    Path(text): Path<String>,
) -> Result<Response, Refusal> {
    let key: AnnounceKey = text
        .parse()
        .map_err(|_| Refusal::bad_request(format!("Invalid auth key id param \"{text}\"")))?;
    let failed = "failed to delete key";
    let removed = state
        .on_disk(move |state| state.registrar.remove_key(&key, caller.name()))
        .await;
    match removed {
        Ok(true) => Ok(done()),
        Ok(false) => Err(Refusal::failed(failed, "there is no such key")),
        Err(error) => Err(Refusal::failed(failed, error)),
    }
}

async fn reload(state: State) -> Result<Response, Refusal> {
    let reloaded = state.on_disk(|state| state.registrar.reload_keys()).await;
    reloaded.map_err(|error| Refusal::failed("failed to reload keys", error))?;
    Ok(done())
}

fn parse(text: &str) -> Result<AnnounceKey, Refusal> {
    text.parse().map_err(|bad| {
        let why = match bad {
            BadKey::Length => "Invalid key length. Key must be have 32 chars",
            BadKey::Letters => {
                "Invalid chars for key. Key can only alphanumeric chars (0-9, a-z, A-Z)"
            }
        };
        Refusal::bad_request(format!(
            "Invalid URL: invalid auth key: string \"{text}\", {why}"
        ))
    })
}

/// A time as `2023-11-15 00:13:20 UTC`.
fn utc(unix_s: u64) -> String {
    let (days, second) = (unix_s / 86_400, unix_s % 86_400);
    // Years that begin in March have the day that is not always there at their end.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let plus = if year > 9999 { "+" } else { "" };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{plus}{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_write_them() {
        for (unix_s, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_700_007_200, "2023-11-15 00:13:20 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (253_402_300_799, "9999-12-31 23:59:59 UTC"),
            (253_402_300_800, "+10000-01-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(unix_s), text);
        }
        assert!(utc(u64::MAX).starts_with("+584554"));
    }

    #[test]
    fn both_members_must_be_there() {
        let read = serde_json::from_str::<AddKey>;
        assert!(read(r#"{"key":null,"seconds_valid":null}"#).is_ok());
        assert!(read(r#"{"seconds_valid":60}"#).is_err());
        assert!(read(r#"{"key":null}"#).is_err());
        assert!(read(r#"{"key":null,"seconds_valid":-1}"#).is_err());
    }

    #[test]
    fn a_bad_key_is_told_with_what_is_wrong() {
        let short = parse("QAVDMQXdCKrp7G5fNz6RLVJNN7vqRYd").unwrap_err();
        assert_eq!(
            short.1,
            "Invalid URL: invalid auth key: string \"QAVDMQXdCKrp7G5fNz6RLVJNN7vqRYd\", Invalid key \
             length. Key must be have 32 chars"
        );
        let letters = parse("%QAVDMQXdCKrp7G5fNz6RLVJNN7vqRYd").unwrap_err();
        assert!(letters.1.ends_with("(0-9, a-z, A-Z)"));
    }
}
