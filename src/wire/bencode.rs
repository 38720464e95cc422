//! Bencode from strangers. `bt_bencode` reads it, but goes one level deeper for each nested list, so the
//! depth is looked at before.

pub use bt_bencode::Value;
use serde::Deserialize;

/// Most lists and dictionaries in each other. A scrape has four, the files of a torrent of version 2 as
/// many as its folders.
const DEPTH_MAX: usize = 64;

/// Reads the one value that `bytes` are. The error says what is wrong with them.
pub fn parse(bytes: &[u8]) -> Result<Value, String> {
    read(bytes)
}

/// The same for a type of its own, which takes what it knows and passes over the rest.
pub fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    let end = skip(bytes, 0)?;
    if end < bytes.len() {
        return Err(format!("{} bytes follow behind the end", bytes.len() - end));
    }
    bt_bencode::from_slice(bytes).map_err(|error| {
        let text = error.to_string();
        let text = text.replace("unexpected type error. invalid_type=", "found ");
        let text = text.replace(", expected_type=", " in place of ");
        text.replace(" of u64", " of a number from 0 on")
    })
}

/// The bytes of the value of `key` in the dictionary that `bytes` are, as they are there.
pub fn value_of<'a>(bytes: &'a [u8], key: &[u8]) -> Result<Option<&'a [u8]>, String> {
    if bytes.first() != Some(&b'd') {
        return Err("it is no dictionary".to_owned());
    }
    let mut at = 1;
    while bytes.get(at).is_some_and(|byte| *byte != b'e') {
        let value = skip(bytes, at)?;
        let end = skip(bytes, value)?;
        let name = &bytes[at..value];
        if name.ends_with(key) && name.len() == key.len() + key.len().to_string().len() + 1 {
            return Ok(Some(&bytes[value..end]));
        }
        at = end;
    }
    Ok(None)
}

/// Where the value at `start` ends.
fn skip(bytes: &[u8], start: usize) -> Result<usize, String> {
    let (mut at, mut depth) = (start, 0_usize);
    loop {
        match bytes.get(at) {
            Some(b'd' | b'l') => {
                at += 1;
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(format!("it is nested deeper than {DEPTH_MAX} levels"));
                }
            }
            Some(b'e') if depth > 0 => {
                at += 1;
                depth -= 1;
            }
            Some(b'i') => at = end_of(bytes, at + 1, b'e')? + 1,
            Some(b'0'..=b'9') => {
                let colon = end_of(bytes, at, b':')?;
                let len = std::str::from_utf8(&bytes[at..colon]).ok();
                let len: Option<usize> = len.and_then(|digits| digits.parse().ok());
                let end = len.and_then(|len| colon.checked_add(1)?.checked_add(len));
                at = end
                    .filter(|end| *end <= bytes.len())
                    .ok_or_else(|| format!("the string at byte {at} runs past the end"))?;
            }
            Some(_) => return Err(format!("no value begins at byte {at}")),
            None => return Err("it ends in the middle".to_owned()),
        }
        if depth == 0 {
            return Ok(at);
        }
    }
}

/// Where the next `end` is, within the length of the longest number.
fn end_of(bytes: &[u8], at: usize, end: u8) -> Result<usize, String> {
    let number = bytes.iter().skip(at).take(24);
    match number.into_iter().position(|byte| *byte == end) {
        Some(len) => Ok(at + len),
        None if bytes.len() < at + 24 => Err("it ends in the middle".to_owned()),
        None => Err(format!("no number begins at byte {at}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_of_lists_is_refused_before_it_costs_a_stack() {
        let bomb = vec![b'l'; 1 << 20];
        assert!(parse(&bomb).unwrap_err().contains("nested"));
    }

    #[test]
    fn a_value_is_found_as_it_is_written() {
        let bytes = b"d1:ai1e4:infol1:xee";
        assert_eq!(value_of(bytes, b"info").unwrap(), Some(&b"l1:xe"[..]));
        assert_eq!(value_of(bytes, b"nfo").unwrap(), None);
        assert!(value_of(b"le", b"a").is_err());
    }

    #[test]
    fn what_is_no_bencode_is_said() {
        for bytes in [
            &b""[..],
            b"x",
            b"e",
            b"d",
            b"i",
            b"ie",
            b"i1",
            b"5:abc",
            b"99999999999999999999:",
            b"18446744073709551615:",
            b"de ",
            b"d1:ae",
            b"di1ei1ee",
            b"<html>",
        ] {
            assert!(parse(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn random_and_mutated_bytes_never_panic() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let good = b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1eee4:infol1:xee";
        for _ in 0..50_000 {
            let mut bytes = good.to_vec();
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..bytes.len());
                match random.u8(..3) {
                    0 => bytes[at] = random.u8(..),
                    1 => bytes[at] = *random.choice(b"dlei0123456789:").unwrap(),
                    _ => bytes.truncate(at + 1),
                }
            }
            let _ = parse(&bytes);
            let _ = value_of(&bytes, b"info");
        }
    }
}
