//! The cookie that a session is known by.

use axum::http::{HeaderMap, HeaderValue, header};
use sha2::{Digest as _, Sha256};

/// Bytes of a ticket: nobody guesses one.
const TICKET_LEN: usize = 32;

/// What a ticket is known by. Nothing else of it is kept.
pub(super) type Digest = [u8; 32];

/// What a cookie holds: random bytes, in hexadecimal digits. It opens the door, so it is never printed.
pub(super) struct Ticket([u8; TICKET_LEN]);

/// How cookies look here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Kind {
    /// Whether the control listener has a certificate.
    pub(super) has_tls: bool,
}

impl Ticket {
    /// A new one. Fails when the operating system has no randomness.
    pub(super) fn draw() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; TICKET_LEN];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    fn parse(digits: &[u8]) -> Option<Self> {
        let mut bytes = [0; TICKET_LEN];
        if digits.len() != 2 * TICKET_LEN {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = pair.iter().all(u8::is_ascii_hexdigit).then_some(pair)?;
            *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    pub(super) fn digest(&self) -> Digest {
        Sha256::digest(self.0).into()
    }

    /// Another secret that follows from this one, and from which this one does not.
    pub(super) fn derive(&self, purpose: &[u8]) -> Digest {
        let hash = Sha256::new().chain_update(purpose).chain_update(self.0);
        hash.finalize().into()
    }
}

/// The digits of some bytes.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    let digits = bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 0xf)]);
    digits.collect()
}

impl Kind {
    /// Browsers take `__Host-` from the host itself only, and over HTTPS only.
    fn name(self) -> &'static str {
        if self.has_tls {
            "__Host-shoal_session"
        } else {
            "shoal_session"
        }
    }

    /// The ticket among the cookies of a request. Two of them are none: somebody else has put one there.
    pub(super) fn find(self, headers: &HeaderMap) -> Option<Ticket> {
        let fields = headers.get_all(header::COOKIE).iter();
        let mut values = fields
            .flat_map(|field| field.as_bytes().split(|byte| *byte == b';'))
            .filter_map(|pair| {
                let pair = pair.trim_ascii().strip_prefix(self.name().as_bytes())?;
                pair.strip_prefix(b"=")
            });
        match (values.next(), values.next()) {
            (Some(value), None) => Ticket::parse(value),
            _ => None,
        }
    }

    /// Has a browser keep this ticket until it is closed.
    pub(super) fn set(self, ticket: &Ticket, headers: &HeaderMap) -> HeaderValue {
        self.field(&hex(&ticket.0), "", headers)
    }

    /// Has a browser forget its ticket.
    pub(super) fn clear(self, headers: &HeaderMap) -> HeaderValue {
        self.field("", "; Max-Age=0", headers)
    }

    fn field(self, value: &str, age: &str, headers: &HeaderMap) -> HeaderValue {
        let name = self.name();
        let secure = if self.is_secure(headers) {
            "; Secure"
        } else {
            ""
        };
        let field = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}");
        let field = HeaderValue::try_from(field);
        let mut field = field.expect("names, digits and attributes are visible ASCII");
        field.set_sensitive(true);
        field
    }

    /// A proxy in front of us may speak HTTPS with the browser. Whoever says so without one gets a
    /// cookie that his browser does not take.
    fn is_secure(self, headers: &HeaderMap) -> bool {
        let scheme = headers.get("x-forwarded-proto");
        self.has_tls || scheme.is_some_and(|scheme| scheme == "https")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Kind = Kind { has_tls: false };
    const TLS: Kind = Kind { has_tls: true };

    fn cookies(fields: &[&str]) -> HeaderMap {
        let fields = fields
            .iter()
            .map(|field| (header::COOKIE, HeaderValue::from_str(field).unwrap()));
        fields.collect()
    }

    #[test]
    fn a_ticket_comes_back_as_it_was_given() {
        let ticket = Ticket::draw().unwrap();
        for kind in [PLAIN, TLS] {
            let field = kind.set(&ticket, &HeaderMap::new());
            let pair = field.to_str().unwrap().split(';').next().unwrap();
            let found = kind.find(&cookies(&["a=b; c", &format!("x=y;{pair} ; z=")]));
            assert_eq!(found.unwrap().digest(), ticket.digest());
        }
        assert_ne!(ticket.digest(), Ticket::draw().unwrap().digest());
        assert_ne!(ticket.digest(), ticket.derive(b""[..].as_ref()).map(|b| !b));
        assert_ne!(ticket.derive(b"one"), ticket.derive(b"two"));
    }

    #[test]
    fn a_cookie_is_for_this_host_alone_and_for_no_script() {
        let ticket = Ticket([0xab; 32]);
        let digits = "ab".repeat(32);
        let rest = "Path=/; HttpOnly; SameSite=Strict";
        let none = HeaderMap::new();
        assert_eq!(
            PLAIN.set(&ticket, &none),
            format!("shoal_session={digits}; {rest}")
        );
        assert_eq!(
            TLS.set(&ticket, &none),
            format!("__Host-shoal_session={digits}; {rest}; Secure")
        );
        assert_eq!(
            TLS.clear(&none),
            format!("__Host-shoal_session=; {rest}; Secure; Max-Age=0")
        );
        assert!(TLS.set(&ticket, &none).is_sensitive());
        let proxied = HeaderMap::from_iter([(
            header::HeaderName::from_static("x-forwarded-proto"),
            HeaderValue::from_static("https"),
        )]);
        let field = PLAIN.set(&ticket, &proxied);
        assert!(field.to_str().unwrap().ends_with("; Secure"));
    }

    #[test]
    fn what_is_no_ticket_or_comes_twice_is_not_taken() {
        let good = "0".repeat(64);
        assert!(
            PLAIN
                .find(&cookies(&[&format!("shoal_session={good}")]))
                .is_some()
        );
        for bad in [
            String::new(),
            "shoal_session".to_owned(),
            "shoal_session=".to_owned(),
            format!("shoal_session={}", &good[1..]),
            format!("shoal_session={good}0"),
            format!("shoal_session={}+0", &good[2..]),
            format!("shoal_session={}\u{e9}", &good[2..]),
            format!("Shoal_session={good}"),
            format!("__Host-shoal_session={good}"),
            format!("shoal_session={good}; shoal_session={good}"),
        ] {
            assert!(PLAIN.find(&cookies(&[&bad])).is_none(), "{bad}");
        }
        let field = format!("shoal_session={good}");
        assert!(PLAIN.find(&cookies(&[&field, &field])).is_none());
        assert!(TLS.find(&cookies(&[&field])).is_none());
    }
}
