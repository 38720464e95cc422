//! Texts that open a door, and the tables that hold them.

use std::collections::BTreeMap;
use std::fmt;

/// Most characters of the name of a secret.
pub(super) const NAME_LEN_MAX: usize = 64;

/// Most secrets in a table: each is compared with whatever a client shows.
pub(super) const SECRETS_MAX: usize = 64;

/// What a log says instead.
pub(super) const MASK: &str = "***";

/// Secrets by name, in the order of their names.
pub type Secrets = BTreeMap<String, Secret>;

/// A text that opens a door. It can be printed only on purpose. Comparing two of them takes longer the
/// more they agree, so what a client shows is compared in another way.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// A secret, whatever it is.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Whether a secret may have this name: 1 to 64 of A-Z, a-z, 0-9, `_` and `-`.
pub(super) fn is_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(known)
}

/// Whether `text` can be a token: 8 to 256 visible ASCII characters.
pub(super) fn is_token(text: &str) -> bool {
    (8..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether `text` looks like a hash of Argon2 as a PHC string: `$argon2id$v=19$m=..,t=..,p=..$salt$hash`.
pub(super) fn is_argon2(text: &str) -> bool {
    let mut parts = text.split('$');
    let mut next = || parts.next().unwrap_or_default();
    let known = ["argon2id", "argon2i", "argon2d"];
    let starts_well = next().is_empty() && known.contains(&next()) && next() == "v=19";
    let costs = next();
    let costs_well = ["m=", "t=", "p="]
        .into_iter()
        .zip(costs.split(','))
        .all(|(name, cost)| {
            cost.strip_prefix(name).is_some_and(|n| {
                n.len() <= 10 && !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit())
            })
        });
    let is_base64 = |part: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
        part.len() >= 8 && part.bytes().all(known)
    };
    let ends_well = is_base64(next()) && is_base64(next()) && parts.next().is_none();
    text.len() <= 512 && starts_well && costs_well && costs.split(',').count() == 3 && ends_well
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_in_what_is_logged() {
        let secret = Secret::new("correct horse");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(secret.expose(), "correct horse");
    }

    #[test]
    fn a_token_is_long_enough_and_can_stand_in_a_header() {
        for good in ["12345678", "MyAccessToken", "~!$%&/()=?", &"x".repeat(256)] {
            assert!(is_token(good), "{good}");
        }
        for bad in [
            "",
            "1234567",
            "two words",
            "tab\tbed!",
            "gr\u{fc}ezi!!",
            &"x".repeat(257),
        ] {
            assert!(!is_token(bad), "{bad}");
        }
    }

    #[test]
    fn a_hash_of_argon2_is_told_from_a_password() {
        let good = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub";
        assert!(is_argon2(good));
        for bad in [
            "",
            "correct horse battery staple",
            "$2b$12$abcdefghijklmnopqrstuv",
            "$argon2id$v=16$m=19456,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub",
            "$argon2id$v=19$m=19456,t=2$c29tZXNhbHQ$RdescudvJCsgt3ub",
            "$argon2id$v=19$m=x,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub",
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ",
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub$",
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$Rdescudv JCsgt3ub",
        ] {
            assert!(!is_argon2(bad), "{bad}");
        }
    }
}
