//! Who may use the API: whoever knows a token.
//!
//! A token comes as `?token=SECRET`, as Torrust has it, or as `Authorization: Bearer SECRET`, which stays
//! out of the logs of proxies. Whoever is logged in to the pages may look at everything without one, but
//! change nothing. What is missing or wrong is answered as Torrust answers it: 500, and
//! a text.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use form_urlencoded::parse;
use log::warn;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::server::Peer;
use super::session;
use super::state::State;
use crate::config::Secrets;

/// How often somebody is warned about tokens that are wrong, in seconds.
const WARN_EVERY_S: u32 = 60;

/// The tokens that are good.
#[derive(Clone, Debug, Default)]
pub struct Auth(Vec<(Arc<str>, [u8; 32])>);

/// Who asks: the name of the token that was shown, or of the user who is logged in. Handlers below the check can have it as an argument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller(Arc<str>);

/// Why somebody is turned away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Denied {
    /// No token at all.
    Missing,
    /// One that nobody was given.
    Wrong,
    /// Two where one should be.
    Twice,
}

impl Auth {
    /// The tokens of a configuration.
    pub fn new(tokens: &Secrets) -> Self {
        let tokens = tokens.iter();
        let digests = tokens.map(|(name, secret)| {
            let digest = Sha256::digest(secret.expose().as_bytes());
            (Arc::from(name.as_str()), digest.into())
        });
        Self(digests.collect())
    }

    /// Whose token the query or the header field has; the query counts where both have one.
    pub fn caller(&self, uri: &Uri, headers: &HeaderMap) -> Result<Caller, Denied> {
        let mut tokens = parse(uri.query().unwrap_or_default().as_bytes())
            .filter(|(name, _)| name == "token")
            .map(|(_, token)| token);
        match (tokens.next(), tokens.next()) {
            (Some(token), None) => self.whose(token.as_bytes()),
            (Some(_), Some(_)) => Err(Denied::Twice),
            (None, _) => match bearer(headers) {
                Some(token) => self.whose(token),
                None => Err(Denied::Missing),
            },
        }
    }

    /// Takes as long for every token of the same length: digests are compared whole, with all tokens.
    fn whose(&self, token: &[u8]) -> Result<Caller, Denied> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let mut found = None;
        for (name, known) in &self.0 {
            if bool::from(known.ct_eq(&digest)) {
                found = Some(Caller(Arc::clone(name)));
            }
        }
        found.ok_or(Denied::Wrong)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    (scheme.eq_ignore_ascii_case(b"Bearer ")).then(|| token.trim_ascii())
}

impl Caller {
    /// A user who is logged in.
    pub(super) fn named(name: Arc<str>) -> Self {
        Self(name)
    }

    /// The name of the token or the user: `by` in notes and in the journal.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl FromRequestParts<State> for Caller {
    type Rejection = Denied;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Denied> {
        match parts.extensions.get::<Self>() {
            Some(caller) => Ok(caller.clone()),
            // A route that is open to everybody, and may tell some more.
            None => state.auth().caller(&parts.uri, &parts.headers),
        }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        match self {
            Self::Missing => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Unhandled rejection: Err { reason: \"unauthorized\" }",
            ),
            Self::Wrong => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Unhandled rejection: Err { reason: \"token not valid\" }",
            ),
            Self::Twice => (
                StatusCode::BAD_REQUEST,
                "Failed to deserialize query string: duplicate field `token`",
            ),
        }
        .into_response()
    }
}

/// Who may look at what is not for everybody: whoever shows a token, or is logged in and shows none.
pub(super) fn onlooker(state: &State, uri: &Uri, headers: &HeaderMap) -> Result<Caller, Denied> {
    state.auth().caller(uri, headers).or_else(|denied| {
        let user = (denied == Denied::Missing).then(|| session::caller(state, headers));
        user.flatten().ok_or(denied)
    })
}

/// Whether a request does no more than look. Torrust has two that change something by a GET.
fn only_looks(method: &Method, uri: &Uri) -> bool {
    matches!(*method, Method::GET | Method::HEAD) && !uri.path().ends_with("/reload")
}

/// Lets nobody pass who does not show a token, and tells those behind who asks. Who is logged in may look
/// without one; what he wants to change he does on the pages.
pub(super) async fn require(state: State, mut request: Request, next: Next) -> Response {
    let (uri, headers) = (request.uri(), request.headers());
    let caller = if only_looks(request.method(), uri) {
        onlooker(&state, uri, headers)
    } else {
        state.auth().caller(uri, headers)
    };
    match caller {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(denied) => {
            let failures = state.counters.count_auth_failure();
            let now_s = state.clock.now().uptime_s;
            if denied == Denied::Wrong && state.auth_warning.is_due(now_s, WARN_EVERY_S) {
                let peer = request.extensions().get::<Peer>();
                let peer = peer.map_or_else(String::new, |peer| format!(" by {}", peer.0));
                warn!(
                    "a wrong token was shown to the control server{peer}; {failures} requests had none \
                     or a wrong one so far"
                );
            }
            denied.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn auth() -> Auth {
        let text = "[control.tokens]\nadmin = \"MyAccessToken\"\nbot = \"a+b&c%25=\"";
        let environment = [("SHOAL_CONFIG_TOML".into(), text.into())];
        let loaded = crate::config::load(None, environment, &[]).expect("no mistakes");
        Auth::new(&loaded.config.control.tokens)
    }

    fn asked(target: &str, bearer: Option<&str>) -> Result<String, Denied> {
        let mut headers = HeaderMap::new();
        if let Some(bearer) = bearer {
            headers.insert(
                header::AUTHORIZATION,
                HeaderValue::from_str(bearer).unwrap(),
            );
        }
        let caller = auth().caller(&target.parse().unwrap(), &headers);
        caller.map(|caller| caller.name().to_owned())
    }

    #[test]
    fn a_token_is_found_anywhere_in_the_query_and_in_the_header() {
        let admin = Ok("admin".to_owned());
        assert_eq!(asked("/?token=MyAccessToken", None), admin);
        assert_eq!(asked("/?a=b&token=MyAccessToken&limit=1", None), admin);
        assert_eq!(asked("/?token=%4dyAccessToken", None), admin);
        assert_eq!(asked("/", Some("Bearer MyAccessToken")), admin);
        let bot = Ok("bot".to_owned());
        assert_eq!(asked("/?token=a%2bb%26c%2525%3d", None), bot);
        assert_eq!(asked("/", Some("Bearer a+b&c%25=")), bot);
        assert_eq!(asked("/", Some("bearer  MyAccessToken ")), admin);
    }

    #[test]
    fn what_is_missing_is_told_from_what_is_wrong() {
        assert_eq!(asked("/", None), Err(Denied::Missing));
        assert_eq!(asked("/?Token=MyAccessToken", None), Err(Denied::Missing));
        assert_eq!(
            asked("/", Some("Basic MyAccessToken")),
            Err(Denied::Missing)
        );
        for wrong in [
            "/?token",
            "/?token=",
            "/?token=myaccesstoken",
            "/?token=%ff",
        ] {
            assert_eq!(asked(wrong, None), Err(Denied::Wrong));
        }
        assert_eq!(asked("/", Some("Bearer ")), Err(Denied::Wrong));
        let twice = "/?token=MyAccessToken&token=MyAccessToken";
        assert_eq!(asked(twice, None), Err(Denied::Twice));
    }

    #[test]
    fn the_query_counts_where_both_have_a_token() {
        let wrong = asked("/?token=x", Some("Bearer MyAccessToken"));
        assert_eq!(wrong, Err(Denied::Wrong));
    }
}
