//! Lists of info-hashes that an operator keeps: which torrents are served, which are not.

use std::collections::HashSet;

use ahash::RandomState;

use super::{BadLine, first_words};
use crate::wire::InfoHash;

/// Digits of an info-hash of version 1, and of version 2, which trackers know by its first half.
const V1_DIGITS: usize = 2 * InfoHash::LEN;
const V2_DIGITS: usize = 64;

const WANTED: &str = "an info-hash of 40 or 64 hexadecimal digits";

/// The info-hashes of a list that belong to one core.
pub type HashList = HashSet<InfoHash, RandomState>;

/// Reads a list: an info-hash a line, 40 hexadecimal digits (BEP 3) or 64 (BEP 52), of which the first
/// 40 count. Remarks follow a blank or a comma, or a `#` at the beginning of a line. Each info-hash goes into the list of the core that `core_of` names.
pub fn read(
    text: &[u8],
    cores: usize,
    core_of: impl Fn(&InfoHash) -> usize,
) -> Result<Vec<HashList>, BadLine> {
    let mut lists = vec![HashList::default(); cores];
    for (at, word) in first_words(text) {
        let info_hash = parse(word).ok_or_else(|| BadLine::new(at, WANTED, word))?;
        lists[core_of(&info_hash)].insert(info_hash);
    }
    Ok(lists)
}

/// An info-hash in hexadecimal digits of either case.
pub fn parse(digits: &[u8]) -> Option<InfoHash> {
    if digits.len() != V1_DIGITS && digits.len() != V2_DIGITS {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; InfoHash::LEN];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (nibble(pair[0])? << 4 | nibble(pair[1])?) as u8;
    }
    Some(InfoHash(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_core(text: &str) -> Result<HashList, BadLine> {
        read(text.as_bytes(), 1, |_| 0).map(|mut lists| lists.remove(0))
    }

    #[test]
    fn info_hashes_of_both_versions_are_read_in_either_case() {
        let v1 = "0123456789abcdef0123456789ABCDEF01234567";
        let v2 = format!("{}{}", "ab".repeat(20), "cd".repeat(12));
        let list = one_core(&format!("{v1}\n{v2}\n")).unwrap();
        assert_eq!(list.len(), 2);
        assert!(list.contains(&InfoHash([0xab; 20])));
        let hex = format!("{}", parse(v1.as_bytes()).unwrap());
        assert_eq!(hex, v1.to_ascii_lowercase());
    }

    #[test]
    fn remarks_and_empty_lines_and_line_ends_of_windows_are_no_mistakes() {
        let hash = "aa".repeat(20);
        let text = format!("# list of today\r\n\r\n{hash} by court order\r\n{hash},again");
        assert_eq!(one_core(&text).unwrap().len(), 1);
    }

    #[test]
    fn a_bad_line_is_named_with_its_number() {
        let hash = "aa".repeat(20);
        for (bad, shown) in [
            ("zz", "zz"),
            (&hash[..39], &hash[..39]),
            ("\u{1b}[31m", "\\u{1b}[31m"),
        ] {
            let said = one_core(&format!("{hash}\n{bad}\n"))
                .unwrap_err()
                .to_string();
            assert!(said.starts_with("line 2 is not an info-hash"), "{said}");
            assert!(said.ends_with(&format!("\"{shown}\"")), "{said}");
        }
    }

    #[test]
    fn each_core_gets_its_own_share() {
        let text: String = (0..=255_u8).fold(String::new(), |text, byte| {
            format!("{text}{}\n", InfoHash([byte; 20]))
        });
        let lists = read(text.as_bytes(), 3, |info_hash| {
            usize::from(info_hash.0[0]) % 3
        })
        .unwrap();
        for (core, list) in lists.iter().enumerate() {
            assert!(
                list.iter()
                    .all(|info_hash| usize::from(info_hash.0[0]) % 3 == core)
            );
        }
        assert_eq!(lists.iter().map(HashList::len).sum::<usize>(), 256);
    }
}
