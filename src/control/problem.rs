//! Errors of the routes that Torrust does not have, as RFC 9457 says; and arguments of handlers that are
//! refused in this way.

use std::fmt::Display;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::state::State;
use crate::registrar::RegistrarError;

/// What went wrong, as `application/problem+json`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    /// A problem with this status, and a sentence about it.
    pub fn new(status: StatusCode, detail: impl Display) -> Self {
        Self {
            status,
            detail: detail.to_string(),
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
        response
    }
}

impl From<RegistrarError> for Problem {
    fn from(error: RegistrarError) -> Self {
        match error {
            RegistrarError::NoStore | RegistrarError::KeyExists => Self::conflict(error),
            RegistrarError::Overflow => Self::bad_request(error),
            RegistrarError::NoRandomness(_) | RegistrarError::Records(_) => Self::internal(error),
        }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
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

    /// None without a `Content-Type`.
    async fn from_request(request: Request, state: &State) -> Result<Option<Self>, Problem> {
        let json = <Json<T> as OptionalFromRequest<State>>::from_request(request, state).await?;
        Ok(json.map(|Json(body)| Self(body)))
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
