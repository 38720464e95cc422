//! Whether somebody who has a session asks for a change himself, or a page of somebody else makes his
//! browser do so.

use axum::http::{HeaderMap, HeaderValue, header};
use maud::{Markup, Render, html};
use subtle::ConstantTimeEq;

use super::cookie::{Ticket, hex};

/// The name of the field that holds the token.
pub(super) const FIELD: &str = "csrf";

/// What every form of a session carries: only our own pages know it. Renders as a hidden field.
#[derive(Clone)]
pub(crate) struct Csrf(String);

impl Csrf {
    /// The one of a session.
    pub(super) fn of(ticket: &Ticket) -> Self {
        Self(hex(&ticket.derive(b"shoal csrf")))
    }

    /// Compares in a time that does not depend on how much of it is right.
    pub(super) fn is(&self, shown: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(shown).into()
    }

    /// Whether a form has this token, once.
    pub(super) fn is_in(&self, form: &[u8]) -> bool {
        let pairs = form_urlencoded::parse(form);
        let mut shown = pairs
            .filter(|(name, _)| name == FIELD)
            .map(|(_, value)| value);
        match (shown.next(), shown.next()) {
            (Some(shown), None) => self.is(shown.as_bytes()),
            _ => false,
        }
    }
}

impl Render for Csrf {
    fn render(&self) -> Markup {
        html! { input type="hidden" name=(FIELD) value=(self.0); }
    }
}

/// Whether a request comes from our own pages, or from no page at all, as far as a browser says.
/// `Sec-Fetch-Site` counts where there is one, as no page can forge it and no proxy changes what it is
/// about; older browsers tell by `Origin`, whose host must then be the one that was asked for.
pub(super) fn is_same_origin(headers: &HeaderMap) -> bool {
    let get = |name| headers.get(name).map(HeaderValue::as_bytes);
    if let Some(site) = get(header::HeaderName::from_static("sec-fetch-site")) {
        return matches!(site, b"same-origin" | b"none");
    }
    let Some(origin) = get(header::ORIGIN) else {
        return true;
    };
    let host = ["http://", "https://"]
        .iter()
        .find_map(|scheme| origin.strip_prefix(scheme.as_bytes()));
    match (host, get(header::HOST)) {
        (Some(host), Some(asked)) => host.eq_ignore_ascii_case(asked),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    fn is_same(fields: &[(&'static str, &'static str)]) -> bool {
        let fields = fields.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        is_same_origin(&fields.collect())
    }

    #[test]
    fn a_browser_says_where_a_request_comes_from() {
        let host = ("host", "tracker.example:1212");
        assert!(is_same(&[host]));
        for site in ["same-origin", "none"] {
            assert!(is_same(&[host, ("sec-fetch-site", site)]));
        }
        for site in ["cross-site", "same-site", "", "Same-Origin"] {
            assert!(!is_same(&[host, ("sec-fetch-site", site)]), "{site}");
        }
        let good = ("origin", "https://Tracker.example:1212");
        assert!(is_same(&[host, good]));
        for origin in [
            "null",
            "",
            "https://tracker.example",
            "https://tracker.example:1212.evil.example",
            "https://evil.example",
            "ftp://tracker.example:1212",
            "tracker.example:1212",
        ] {
            assert!(!is_same(&[host, ("origin", origin)]), "{origin}");
        }
        assert!(!is_same(&[good]), "without a host nothing can be compared");
        let cross = ("sec-fetch-site", "cross-site");
        assert!(!is_same(&[host, good, cross]));
    }

    #[test]
    fn a_token_belongs_to_one_session_and_comes_once() {
        let [one, other] = [(); 2].map(|()| Csrf::of(&Ticket::draw().unwrap()));
        let form = |value: &str| format!("a=b&csrf={value}&c=d").into_bytes();
        assert!(one.is_in(&form(&one.0)));
        assert!(!one.is_in(&form(&other.0)));
        for bad in [
            "",
            &one.0[1..],
            &format!("{}0", one.0),
            &one.0.to_uppercase(),
        ] {
            assert!(!one.is_in(&form(bad)), "{bad}");
        }
        assert!(!one.is_in(b"a=b") && !one.is_in(b""));
        assert!(!one.is_in(&form(&format!("{0}&csrf={0}", one.0))));
    }

    #[test]
    fn a_token_renders_as_a_hidden_field() {
        let csrf = Csrf("ab".to_owned());
        let field = r#"<input type="hidden" name="csrf" value="ab">"#;
        assert_eq!(csrf.render().into_string(), field);
    }
}
