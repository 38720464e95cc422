//! What a browser sends, as far as it may go.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Form, FromRequest, Request};
use axum::http::{HeaderMap, Method, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::csrf::is_same_origin;
use super::refusal::Refusal;
use crate::control::state::State;

/// Bytes of a form.
const FORM_LEN_MAX: usize = 64 << 10;

/// How long somebody may take to send a form to log in.
const LOGIN_PATIENCE: Duration = Duration::from_secs(5);

/// Forms to log in that arrive together: whoever sends one may be anybody, and takes a connection away
/// meanwhile.
const READERS_MAX: usize = 32;

const FORM_TYPE: &str = "application/x-www-form-urlencoded";

/// Those who may still send a form to log in.
pub(crate) struct Readers(Semaphore);

impl Default for Readers {
    fn default() -> Self {
        Self(Semaphore::new(READERS_MAX))
    }
}

/// What somebody logs in with.
#[derive(Deserialize)]
pub(crate) struct LoginForm {
    /// The name of a user, or not.
    pub(crate) name: String,
    /// What may be his password.
    pub(crate) password: String,
    /// Where he wanted to go.
    #[serde(default)]
    pub(crate) next: String,
}

impl FromRequest<State> for LoginForm {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &State) -> Result<Self, Refusal> {
        let read = Self::read(request, state).await;
        if read.is_err() {
            state
                .counters
                .count_login(crate::control::counters::Login::Refused);
        }
        read
    }
}

impl LoginForm {
    async fn read(request: Request, state: &State) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        if !is_same_origin(&parts.headers) {
            return Err(Refusal::CrossSite);
        }
        let readers = &state.sessions.readers.0;
        let _reader = readers.try_acquire().map_err(|_| Refusal::Crowded)?;
        let bytes = timeout(LOGIN_PATIENCE, bytes(&parts.headers, body)).await;
        parse(bytes.map_err(|_| Refusal::TooSlow)??).await
    }
}

/// The bytes of a form. One that says that it is too large, or another thing, is refused before any of it
/// is read.
pub(super) async fn bytes(headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > FORM_LEN_MAX as u64) {
        return Err(Refusal::TooLarge);
    }
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    if !kind.eq_ignore_ascii_case(FORM_TYPE) {
        return Err(Refusal::WrongType);
    }
    // What fails otherwise is a connection that has ended, so nobody reads why.
    let read = to_bytes(body, FORM_LEN_MAX).await;
    read.map_err(|_| Refusal::TooLarge)
}

/// The fields of a form.
pub(super) async fn parse<F: DeserializeOwned>(bytes: Bytes) -> Result<F, Refusal> {
    let mut request = Request::new(Body::from(bytes));
    *request.method_mut() = Method::POST;
    let kind = header::HeaderValue::from_static(FORM_TYPE);
    request.headers_mut().insert(header::CONTENT_TYPE, kind);
    let Form(form) = Form::from_request(request, &())
        .await
        .map_err(|error| Refusal::BadForm(error.body_text()))?;
    Ok(form)
}
