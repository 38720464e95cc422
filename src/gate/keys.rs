//! The keys of a private tracker (BEP 27): who has one in his announce URL may announce.

use std::fmt;
use std::str::FromStr;

use super::layered::Layered;
use crate::wire::http::head::Target;
use crate::wire::http::query::pairs;
use crate::wire::http::route::{Route, route};

/// The letters of a key.
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A secret that an announce URL holds: 32 letters and digits of ASCII.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnnounceKey([u8; Self::LEN]);

/// Why a text is no key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadKey {
    /// Not 32 bytes.
    Length,
    /// Something beside letters and digits.
    Letters,
}

impl AnnounceKey {
    /// Bytes of a key.
    pub const LEN: usize = 32;

    /// A key that nobody can guess, of some 190 random bits. An error means that the system has no
    /// randomness to give.
    pub fn random() -> Result<Self, String> {
        let mut key = [0; Self::LEN];
        let mut found = 0;
        let mut bytes = [0; 2 * Self::LEN];
        while found < key.len() {
            getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
            // The greatest multiple of 62 in a byte: every letter is as likely as the next.
            for byte in bytes.iter().filter(|&&byte| byte < 248) {
                if let Some(place) = key.get_mut(found) {
                    *place = LETTERS[usize::from(*byte) % LETTERS.len()];
                    found += 1;
                }
            }
        }
        Ok(Self(key))
    }

    /// The letters.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl TryFrom<&[u8]> for AnnounceKey {
    type Error = BadKey;

    fn try_from(bytes: &[u8]) -> Result<Self, BadKey> {
        let key = bytes.try_into().map_err(|_| BadKey::Length)?;
        if bytes.iter().all(u8::is_ascii_alphanumeric) {
            Ok(Self(key))
        } else {
            Err(BadKey::Letters)
        }
    }
}

impl FromStr for AnnounceKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        text.as_bytes().try_into()
    }
}

impl fmt::Display for AnnounceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|&letter| fmt::Write::write_char(f, letter.into()))
    }
}

/// Not the secret: what is printed for developers ends up in logs.
impl fmt::Debug for AnnounceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = str::from_utf8(&self.0[..4]).unwrap_or_default();
        write!(f, "AnnounceKey({shown}..)")
    }
}

/// What is known of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyRow {
    /// A number for it that no other key of this install has had since the tracker started; not 0.
    pub id: u32,
    /// Until when it is good, in Unix seconds; none = forever.
    pub expires_unix_s: Option<u64>,
    /// When it was made, in Unix seconds.
    pub created_unix_s: u64,
}

/// Why somebody may not announce.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyFault {
    /// His URL has no key.
    Missing,
    /// What stands in its place is no key.
    Malformed,
    /// Nobody was given this key.
    Unknown,
    /// It was good until lately.
    Expired,
}

/// The keys that are good.
#[derive(Clone, Debug, Default)]
pub struct Keys(Layered<AnnounceKey, (u32, Option<u64>)>);

impl Keys {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is this key, expired or not.
    pub fn contains(&self, key: &AnnounceKey) -> bool {
        self.0.contains(key)
    }

    /// The keys with this one, or without it where there is no row.
    #[must_use]
    pub fn changed(&self, key: AnnounceKey, row: Option<&KeyRow>) -> Self {
        let in_force = row.map(|row| (row.id, row.expires_unix_s));
        Self(self.0.changed([(key, in_force)]))
    }

    /// The number of a key that is good now.
    pub fn verify(&self, key: &AnnounceKey, now_unix_s: u64) -> Result<u32, KeyFault> {
        match self.0.get(key) {
            None => Err(KeyFault::Unknown),
            Some(&(_, Some(expires))) if expires < now_unix_s => Err(KeyFault::Expired),
            Some(&(id, _)) => Ok(id),
        }
    }
}

impl FromIterator<(AnnounceKey, KeyRow)> for Keys {
    fn from_iter<I: IntoIterator<Item = (AnnounceKey, KeyRow)>>(rows: I) -> Self {
        let rows = rows.into_iter();
        Self(
            rows.map(|(key, row)| (key, (row.id, row.expires_unix_s)))
                .collect(),
        )
    }
}

/// The key in an announce URL: a segment of its path (`/KEY/announce`, `/announce/KEY`), or the query's
/// `parameter`, unless that is empty. What looks like a key wins over what does not.
pub fn find(target: &Target<'_>, parameter: &[u8]) -> Result<AnnounceKey, KeyFault> {
    let in_path = match route(target) {
        Route::Announce { key } | Route::Scrape { key } => key,
        _ => None,
    };
    let query = target.query.filter(|_| !parameter.is_empty());
    let in_query = query.and_then(|query| pairs(query).find(|(name, _)| *name == parameter));
    let mut fault = KeyFault::Missing;
    for given in [in_path, in_query.map(|(_, value)| value)]
        .into_iter()
        .flatten()
    {
        match AnnounceKey::try_from(given) {
            Ok(key) => return Ok(key),
            Err(_) => fault = KeyFault::Malformed,
        }
    }
    Err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdefghijKLMNOPQRSTUV";

    fn found(target: &str) -> Result<String, KeyFault> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let target = Target {
            path: path.as_bytes(),
            query: Some(query.as_bytes()),
        };
        find(&target, b"passkey").map(|key| key.to_string())
    }

    #[test]
    fn a_key_is_found_in_the_path_and_in_the_query() {
        for target in [
            format!("/{KEY}/announce"),
            format!("/announce/{KEY}?passkey=x"),
            format!("/{KEY}/scrape?info_hash=a"),
            format!("/announce?a=b&passkey={KEY}&c"),
            format!("/tracker/announce?passkey={KEY}"),
            format!("/?passkey={KEY}"),
        ] {
            assert_eq!(found(&target).as_deref(), Ok(KEY), "{target}");
        }
    }

    #[test]
    fn a_url_without_a_key_and_one_with_something_else_are_told_apart() {
        for target in ["/announce", "/announce?key=1", "/", "", "/a/b/announce"] {
            assert_eq!(found(target), Err(KeyFault::Missing), "{target}");
        }
        for target in [
            "/x/announce".to_owned(),
            "/announce?passkey=".to_owned(),
            format!("/{}/announce", &KEY[1..]),
            format!("/announce?passkey={KEY}0"),
            format!("/announce/{}-", &KEY[1..]),
        ] {
            assert_eq!(found(&target), Err(KeyFault::Malformed), "{target}");
        }
        let target = Target {
            path: b"/announce",
            query: Some(b"=x"),
        };
        assert_eq!(find(&target, b""), Err(KeyFault::Missing));
    }

    #[test]
    fn a_key_is_good_until_the_second_in_which_it_expires() {
        let key: AnnounceKey = KEY.parse().unwrap();
        let other = AnnounceKey::random().unwrap();
        let row = |id, expires_unix_s| KeyRow {
            id,
            expires_unix_s,
            created_unix_s: 0,
        };
        let keys: Keys = [(key, row(7, Some(100)))].into_iter().collect();
        assert_eq!(keys.verify(&key, 100), Ok(7));
        assert_eq!(keys.verify(&key, 101), Err(KeyFault::Expired));
        assert_eq!(keys.verify(&other, 0), Err(KeyFault::Unknown));
        let keys = keys.changed(other, Some(&row(8, None)));
        assert_eq!(keys.verify(&other, u64::MAX), Ok(8));
        assert_eq!(
            keys.changed(key, None).verify(&key, 0),
            Err(KeyFault::Unknown)
        );
        assert_eq!(keys.len(), 2);
    }

    #[test]
    fn a_random_key_reads_back_and_its_debug_form_does_not_give_it_away() {
        let key = AnnounceKey::random().unwrap();
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_ne!(AnnounceKey::random().unwrap(), key);
        assert!(!format!("{key:?}").contains(&key.to_string()[4..8]));
        assert_eq!("abc".parse::<AnnounceKey>(), Err(BadKey::Length));
        let umlaut = format!("{}\u{e4}", &KEY[2..]);
        assert_eq!(umlaut.parse::<AnnounceKey>(), Err(BadKey::Letters));
    }
}
