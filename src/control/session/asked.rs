//! What handlers of pages have as arguments: who asks, and what for.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::Response;
use serde::de::DeserializeOwned;

use super::cookie::Digest;
use super::csrf::{Csrf, is_same_origin};
use super::form;
use super::notice::Notice;
use super::refusal::Refusal;
use crate::control::auth::Caller;
use crate::control::pages::login;
use crate::control::state::State;

/// Who is logged in: an argument of handlers of pages. Without a session the answer is the log-in page,
/// which leads back. It may be asked for by GET, and by forms within a [`Change`].
#[derive(Clone)]
pub(crate) struct Admin {
    state: State,
    id: Digest,
    caller: Caller,
    csrf: Csrf,
    path: String,
}

impl Admin {
    /// Whose session a request belongs to.
    fn of(parts: &Parts, state: &State) -> Option<Self> {
        let ticket = state.sessions.cookies.find(&parts.headers)?;
        let id = ticket.digest();
        let now_s = state.clock.now().uptime_s;
        let user = state.sessions.table().see(&id, now_s)?;
        Some(Self {
            state: state.clone(),
            id,
            caller: Caller::named(user),
            csrf: Csrf::of(&ticket),
            path: parts.uri.path().to_owned(),
        })
    }

    /// The name of the user.
    pub(crate) fn name(&self) -> &str {
        self.caller.name()
    }

    /// The user as the API knows callers: whose name stands in notes and in the journal.
    pub(crate) fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// The field that every form with `method="post"` needs.
    pub(crate) fn csrf(&self) -> Csrf {
        self.csrf.clone()
    }

    /// The path that was asked for.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn id(&self) -> &Digest {
        &self.id
    }

    /// Something to be shown at the top of the next page, once.
    pub(crate) fn notify(&self, notice: Notice) {
        self.state.sessions.table().notify(&self.id, notice);
    }

    /// What is to be shown now.
    pub(crate) fn take_notices(&self) -> Vec<Notice> {
        self.state.sessions.table().take_notices(&self.id)
    }
}

impl FromRequestParts<State> for Admin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Response> {
        Self::of(parts, state).ok_or_else(|| login::lead_there(&parts.uri))
    }
}

/// A change that somebody asks for who is logged in: the last argument of handlers of POST. The form is
/// `application/x-www-form-urlencoded`, 64 KiB at most, and has the field that [`Admin::csrf`] renders.
/// What is no such thing is refused with a page that says why, and counted.
pub(crate) struct Change<F> {
    /// Who wants it.
    pub(crate) admin: Admin,
    /// What he wants. A field that is missing or cannot be read is refused, and named.
    pub(crate) form: F,
}

impl<F: DeserializeOwned> FromRequest<State> for Change<F> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &State) -> Result<Self, Refusal> {
        let changed = Self::read(request, state).await;
        if let Err(refusal) = &changed {
            state.counters.count_refusal(refusal);
        }
        changed
    }
}

impl<F: DeserializeOwned> Change<F> {
    async fn read(request: Request, state: &State) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let admin = Admin::of(&parts, state).ok_or(Refusal::NoSession)?;
        if !is_same_origin(&parts.headers) {
            return Err(Refusal::CrossSite);
        }
        let bytes = form::bytes(&parts.headers, body).await?;
        if !admin.csrf.is_in(&bytes) {
            return Err(Refusal::Forged);
        }
        let form = form::parse(bytes).await?;
        Ok(Self { admin, form })
    }
}
