//! Info-hashes and words as other trackers write them.

use crate::gate::hash_list;
use crate::query::failure::printable;
use crate::wire::InfoHash;

/// What some editors put before the first character of a file in UTF-8.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Most characters of a word from a file that are shown.
const SHOWN_MAX: usize = 80;

/// A word from outside, short and printable, to be put between quotes.
pub fn shown(word: &str) -> String {
    let start: String = word.chars().take(SHOWN_MAX).collect();
    let dots = if start.len() < word.len() { "..." } else { "" };
    format!("{}{dots}", printable(start.as_bytes()))
}

/// An info-hash in hexadecimal digits, percent-encoded, or in the mixture that Python trackers make of the
/// 20 bytes: printable characters as they are, the others as `%XX`.
pub fn info_hash(text: &str) -> Result<InfoHash, &'static str> {
    if let Some(info_hash) = hash_list::parse(text.as_bytes()) {
        return Ok(info_hash);
    }
    // Whoever decoded the bytes as text put this in place of those that were none: they are lost.
    if text.contains('\u{fffd}') {
        return Err("has lost bytes (U+FFFD) when it was written");
    }
    let mut bytes = Vec::with_capacity(InfoHash::LEN);
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let escaped = behind.first_chunk().filter(|_| *first == b'%');
        if let Some(byte) = escaped.and_then(|digits| byte(*digits)) {
            bytes.push(byte);
            rest = &behind[2..];
        } else {
            bytes.push(*first);
            rest = behind;
        }
        if bytes.len() > InfoHash::LEN {
            break;
        }
    }
    let bytes = bytes.try_into();
    bytes.map(InfoHash).map_err(|_| "is not of 20 bytes")
}

fn byte(digits: [u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    Some((high? << 4 | low?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_info_hash_is_read_in_every_form() {
        let bytes = *b"a%\x00\x7f\xffzzzz zzzzz\xc3\xa4+/~";
        let expected = InfoHash(bytes);
        let hex = expected.to_string();
        let all = bytes.map(|byte| format!("%{byte:02x}")).concat();
        let mixed = "a%25%00%7F%FFzzzz zzzzz\u{e4}+/~";
        for text in [hex.as_str(), &hex.to_uppercase(), &all, mixed] {
            assert_eq!(info_hash(text).unwrap(), expected, "{text}");
        }
        // Forty digits are hexadecimal; twenty are the bytes themselves.
        assert_eq!(info_hash(&"a".repeat(20)).unwrap(), InfoHash([0x61; 20]));
        assert_eq!(info_hash(&"a".repeat(40)).unwrap(), InfoHash([0xaa; 20]));
        // A percent sign that begins no escape is itself.
        assert_eq!(info_hash("%zzzzzzzzzzzzzzzzzz%").unwrap().0[0], b'%');
    }

    #[test]
    fn what_is_no_info_hash_is_said() {
        assert_eq!(info_hash(""), Err("is not of 20 bytes"));
        assert_eq!(info_hash(&"z".repeat(40)), Err("is not of 20 bytes"));
        assert!(
            info_hash(&"\u{fffd}".repeat(20))
                .unwrap_err()
                .contains("lost")
        );
    }

    #[test]
    fn a_word_is_shown_short_and_without_control_characters() {
        assert_eq!(shown("a\nb"), "a\\nb");
        assert_eq!(shown(&"x".repeat(100)), format!("{}...", "x".repeat(80)));
    }
}
