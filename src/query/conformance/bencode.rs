//! Bencode with its order kept: whoever judges a tracker must see keys that are unsorted or come twice,
//! which a map forgets.

use std::cmp::Ordering;

/// Dictionaries and lists inside each other that are followed; a tracker needs three.
const DEPTH_MAX: u8 = 16;

/// A value, borrowed from the body it stands in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Item<'a> {
    Bytes(&'a [u8]),
    Integer(i64),
    List(Vec<Item<'a>>),
    /// In the order of the body, whatever that is.
    Dictionary(Vec<(&'a [u8], Item<'a>)>),
}

impl<'a> Item<'a> {
    /// The first value of that key, if this is a dictionary.
    pub(super) fn get(&self, key: &str) -> Option<&Item<'a>> {
        let Self::Dictionary(entries) = self else {
            return None;
        };
        let mut named = entries.iter().filter(|(name, _)| *name == key.as_bytes());
        named.next().map(|(_, value)| value)
    }

    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The first key, here or deeper, that is not behind the one before it.
    pub(super) fn misplaced_key(&self) -> Option<String> {
        match self {
            Self::Bytes(_) | Self::Integer(_) => None,
            Self::List(items) => items.iter().find_map(Self::misplaced_key),
            Self::Dictionary(entries) => entries
                .windows(2)
                .find(|pair| pair[1].0 <= pair[0].0)
                .map(|pair| match pair[1].0.cmp(pair[0].0) {
                    Ordering::Equal => format!("{} comes twice", name(pair[1].0)),
                    _ => format!("{} stands behind {}", name(pair[1].0), name(pair[0].0)),
                })
                .or_else(|| entries.iter().find_map(|(_, item)| item.misplaced_key())),
        }
    }
}

fn name(key: &[u8]) -> String {
    format!("'{}'", key.escape_ascii())
}

/// The value that `body` begins with, and what follows it; or why there is none.
pub(super) fn read(body: &[u8]) -> Result<(Item<'_>, &[u8]), String> {
    let mut reader = Reader { body, at: 0 };
    let item = reader.item(0)?;
    Ok((item, &body[reader.at..]))
}

struct Reader<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn item(&mut self, depth: u8) -> Result<Item<'a>, String> {
        if depth > DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} levels"));
        }
        match self.peek()? {
            b'0'..=b'9' => self.string().map(Item::Bytes),
            b'i' => self.integer(),
            b'l' => {
                self.at += 1;
                let mut items = Vec::new();
                while self.peek()? != b'e' {
                    items.push(self.item(depth + 1)?);
                }
                self.at += 1;
                Ok(Item::List(items))
            }
            b'd' => {
                self.at += 1;
                let mut entries = Vec::new();
                while self.peek()? != b'e' {
                    entries.push((self.string()?, self.item(depth + 1)?));
                }
                self.at += 1;
                Ok(Item::Dictionary(entries))
            }
            byte => Err(format!(
                "'{}' at byte {} begins nothing",
                byte.escape_ascii(),
                self.at
            )),
        }
    }

    fn string(&mut self) -> Result<&'a [u8], String> {
        let begin = self.at;
        let digits = self.until(b':')?;
        let len = canonical(digits)
            .filter(|_| !digits.starts_with('-'))
            .and_then(|len| usize::try_from(len).ok())
            .ok_or_else(|| format!("no length at byte {begin}"))?;
        let rest = &self.body[self.at..];
        let bytes = rest
            .get(..len)
            .ok_or_else(|| format!("a string of {len} bytes, of which {} came", rest.len()))?;
        self.at += len;
        Ok(bytes)
    }

    fn integer(&mut self) -> Result<Item<'a>, String> {
        let begin = self.at;
        self.at += 1;
        let number = canonical(self.until(b'e')?);
        number
            .map(Item::Integer)
            .ok_or_else(|| format!("no number at byte {begin}"))
    }

    /// The text before `end`, which is passed. No number of 64 bits has more than 20 characters.
    fn until(&mut self, end: u8) -> Result<&'a str, String> {
        let rest = &self.body[self.at..];
        let len = rest.iter().take(21).position(|byte| *byte == end);
        let len = len.ok_or_else(|| format!("no '{}' behind byte {}", char::from(end), self.at))?;
        self.at += len + 1;
        std::str::from_utf8(&rest[..len]).map_err(|_| format!("no digits at byte {}", self.at))
    }

    fn peek(&self) -> Result<u8, String> {
        let byte = self.body.get(self.at).copied();
        byte.ok_or_else(|| "it ends too early".to_owned())
    }
}

/// A number written in the one way that bencode allows.
fn canonical(digits: &str) -> Option<i64> {
    let number: i64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_well_formed_is_read_with_its_order() {
        let (item, rest) = read(b"d1:bi-5e1:ali1e2:xyeed").unwrap();
        assert_eq!(item.get("b").and_then(Item::integer), Some(-5));
        let list = Item::List(vec![Item::Integer(1), Item::Bytes(b"xy")]);
        assert_eq!(item.get("a"), Some(&list));
        assert_eq!(item.get("c"), None);
        assert_eq!(rest, b"d");
        assert_eq!(item.misplaced_key().unwrap(), "'a' stands behind 'b'");
    }

    #[test]
    fn a_key_that_comes_twice_is_found_at_any_depth() {
        let (item, _) = read(b"d5:filesld1:xi0e1:xi1eeee").unwrap();
        assert_eq!(item.misplaced_key().unwrap(), "'x' comes twice");
        let (item, _) = read(b"d1:ad1:bi0e1:ci0ee1:b0:e").unwrap();
        assert_eq!(item.misplaced_key(), None);
    }

    #[test]
    fn what_is_not_bencode_is_refused() {
        for broken in [
            "",
            "d",
            "di1ei2ee",
            "i01e",
            "i-0e",
            "ie",
            "i1",
            "01:a",
            "-1:a",
            "3:ab",
            "x",
            "+1:a",
            "d1:a",
            "99999999999999999999:a",
            "i99999999999999999999e",
            "l",
        ] {
            assert!(read(broken.as_bytes()).is_err(), "{broken}");
        }
        let deep = vec![b'l'; 1 << 20];
        assert!(read(&deep).is_err());
    }

    #[test]
    fn random_bytes_never_panic() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..20_000 {
            let alphabet = b"0123456789dlie:-ab";
            let body: Vec<u8> = (0..rng.usize(..40))
                .map(|_| alphabet[rng.usize(..alphabet.len())])
                .collect();
            if let Ok((item, rest)) = read(&body) {
                assert!(rest.len() < body.len());
                let _ = item.misplaced_key();
            }
        }
    }
}
