//! Errors of the routes that Torrust does not have, as RFC 9457 says; and arguments of handlers that are
//! refused in this way.

use std::fmt::Display;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::state::State;
use crate::registrar::RegistrarError;

/// Bytes of a sentence that are told: it may repeat what a client has sent.
const DETAIL_LEN_MAX: usize = 2000;

/// What went wrong, as `application/problem+json`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    retry: bool,
}

impl Problem {
    /// A problem with this status, and a sentence about it, of which the first 2000 bytes are told.
    pub fn new(status: StatusCode, detail: impl Display) -> Self {
        let mut detail = detail.to_string();
        if detail.contains(char::is_control) {
            // Whoever reads it may read it in a terminal.
            detail = detail.replace(char::is_control, " ");
        }
        if detail.len() > DETAIL_LEN_MAX {
            let mut ends = (0..=DETAIL_LEN_MAX).rev();
            let end = ends.find(|&at| detail.is_char_boundary(at));
            detail.truncate(end.unwrap_or(0));
            detail.push_str("..");
        }
        Self {
            status,
            detail,
            retry: false,
        }
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The sentence.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The client asked for what makes no sense: 400.
    pub fn bad_request(detail: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// There is no such thing: 404.
    pub fn not_found(detail: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// It cannot be done as things are: 409.
    pub fn conflict(detail: impl Display) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// The tracker has too much to do: 503.
    pub fn busy() -> Self {
        let detail = "the tracker is busy; try again in a moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// A new process is about to serve: 503, which with a `Retry-After` of two seconds is a promise.
    pub fn handing_over() -> Self {
        let detail = "this tracker is being handed to a new process; try again in a moment";
        Self {
            retry: true,
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
    }

    /// The tracker failed: 500.
    pub fn internal(detail: impl Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body<'a> {
            r#type: &'static str,
            title: &'static str,
            status: u16,
            detail: &'a str,
        }
        let body = Json(Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
        });
        let mut response = (self.status, body).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.retry {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}

impl From<RegistrarError> for Problem {
    fn from(error: RegistrarError) -> Self {
        match error {
            RegistrarError::NoStore | RegistrarError::KeyExists => Self::conflict(error),
            RegistrarError::Overflow => Self::bad_request(error),
            RegistrarError::Records(error) if error.is_lent() => Self::handing_over(),
            RegistrarError::NoRandomness(_) | RegistrarError::Records(_) => Self::internal(error),
        }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

/// A body in JSON.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<State> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &State) -> Result<Self, Problem> {
        let Json(body) = <Json<T> as FromRequest<State>>::from_request(request, state).await?;
        Ok(Self(body))
    }
}

impl<T: DeserializeOwned> OptionalFromRequest<State> for Body<T> {
    type Rejection = Problem;

    /// None without a body. One that does not say what it is, is refused: what it tells, such as a
    /// reason, would else be lost without a word.
    async fn from_request(request: Request, state: &State) -> Result<Option<Self>, Problem> {
        if request.headers().contains_key(header::CONTENT_TYPE) {
            let json = <Self as FromRequest<State>>::from_request(request, state).await?;
            return Ok(Some(json));
        }
        let body = Bytes::from_request(request, state).await?;
        if body.is_empty() {
            return Ok(None);
        }
        let detail = "a body needs the header `Content-Type: application/json`";
        Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
    }
}

/// The parameters of a query. `token` is one of them, so `T` must not refuse what it does not know.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<State> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let Query(params) = Query::from_request_parts(parts, state).await?;
        Ok(Self(params))
    }
}

/// The part of the path that names something.
pub struct Segment(pub String);

impl FromRequestParts<State> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let Path(text) = Path::from_request_parts(parts, state).await?;
        Ok(Self(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_one_line_without_control_characters() {
        let told = Problem::bad_request("a\r\nb\u{1b}[31mc\0\u{9b}").detail;
        assert_eq!(told, "a  b [31mc  ");
    }

    #[test]
    fn a_long_sentence_is_cut_between_characters() {
        let short = "\u{e9}".repeat(DETAIL_LEN_MAX / 2);
        assert_eq!(Problem::bad_request(&short).detail(), short);
        let long = format!("x{}", "\u{e9}".repeat(DETAIL_LEN_MAX));
        let told = Problem::bad_request(&long).detail;
        assert_eq!(told, format!("{}..", &long[..DETAIL_LEN_MAX - 1]));
    }
}
