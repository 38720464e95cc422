//! One value as somebody wrote it: in TOML, where it has a type, or as the bare text of an
//! environment variable or a `--set`, where the key that reads it decides.

use std::fmt::Write as _;

use toml::de::DeValue;

/// Most characters of somebody's text that a message repeats.
const SHOWN_LEN_MAX: usize = 64;

/// A value before a key has read it.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    /// From a file.
    Toml(&'a DeValue<'a>),
    /// From the environment or the command line: strings need no quotes, lists no brackets.
    Text(&'a str),
}

impl<'a> Value<'a> {
    /// A whole number that is not negative.
    pub(super) fn whole(self) -> Option<u64> {
        match self {
            Self::Toml(DeValue::Integer(integer)) => {
                u64::from_str_radix(integer.as_str(), integer.radix()).ok()
            }
            Self::Toml(_) => None,
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    /// A number with or without a fraction; may be infinite or NaN.
    pub(super) fn fraction(self) -> Option<f64> {
        match self {
            Self::Toml(DeValue::Float(float)) => float.as_str().parse().ok(),
            Self::Toml(_) => self.whole().map(|whole| whole as f64),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    /// `true` or `false`.
    pub(super) fn switch(self) -> Option<bool> {
        match self {
            Self::Toml(value) => value.as_bool(),
            Self::Text(text) => match text.trim() {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            },
        }
    }

    /// A string.
    pub(super) fn text(self) -> Option<&'a str> {
        match self {
            Self::Toml(value) => value.as_str(),
            Self::Text(text) => Some(unquoted(text)),
        }
    }

    /// A list of strings.
    pub(super) fn list(self) -> Option<Vec<&'a str>> {
        match self {
            Self::Toml(value) => value
                .as_array()?
                .iter()
                .map(|item| item.get_ref().as_str())
                .collect(),
            Self::Text(text) => Some(split(text)),
        }
    }

    /// Bytes: a whole number, or a text such as `8 MiB`.
    pub(super) fn size(self) -> Option<u64> {
        match self {
            Self::Toml(DeValue::Integer(_)) => self.whole(),
            _ => parse_size(self.text()?),
        }
    }

    /// The value as a message repeats it.
    pub(super) fn shown(self) -> String {
        match self {
            Self::Text(text) => shown(text),
            Self::Toml(DeValue::String(text)) => shown(text),
            Self::Toml(DeValue::Integer(integer)) => shortened(&integer.to_string()),
            Self::Toml(DeValue::Float(float)) => shortened(float.as_str()),
            Self::Toml(DeValue::Boolean(switch)) => switch.to_string(),
            Self::Toml(DeValue::Datetime(_)) => "a date or time".into(),
            Self::Toml(DeValue::Array(_)) => "a list".into(),
            Self::Toml(DeValue::Table(_)) => "a table".into(),
        }
    }
}

/// Somebody's text as a message repeats it: quoted, on one line, and no longer than a line.
pub(super) fn shown(text: &str) -> String {
    format!("\"{}\"", shortened(text))
}

/// Somebody's text without quotes, on one line, and no longer than a line.
pub(super) fn shortened(text: &str) -> String {
    let mut short: String = text
        .chars()
        .take(SHOWN_LEN_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN_LEN_MAX).is_some() {
        short.push_str("...");
    }
    short
}

/// The items of a bare list: between commas, with or without brackets and quotes. A text without
/// an item is the empty list.
pub(super) fn split(text: &str) -> Vec<&str> {
    let text = text.trim();
    let inner = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        // "[::]:6969,[::1]:6969" does not end in a bracket, "[::1]" is no list of ours.
        .filter(|inner| inner.is_empty() || inner.contains('"') || inner.contains('\''))
        .unwrap_or(text);
    if inner.trim().is_empty() {
        return Vec::new();
    }
    inner.split(',').map(unquoted).collect()
}

/// Whether the kernel could take `text` as a path; an empty one names nothing.
pub(super) fn is_path(text: &str) -> bool {
    text.len() <= 4096 && !text.contains('\0')
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(text)
}

/// What a size may end in, with the bits that it shifts by; the longest first, because the last is
/// the end of all the others.
const SIZE_UNITS: [(&str, u32); 5] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, shift) = SIZE_UNITS
        .into_iter()
        .find_map(|(unit, shift)| {
            let (digits, end) = text.split_at_checked(text.len().checked_sub(unit.len())?)?;
            end.eq_ignore_ascii_case(unit).then_some((digits, shift))
        })
        .unwrap_or((text, 0));
    let number: u64 = digits.trim_end().parse().ok()?;
    number.checked_mul(1 << shift)
}

/// `bytes` in the largest unit that leaves a whole number.
pub(super) fn print_size(bytes: u64) -> String {
    SIZE_UNITS
        .into_iter()
        .filter(|&(_, shift)| shift > 0 && bytes > 0)
        .find(|&(_, shift)| bytes.trailing_zeros() >= shift)
        .map_or_else(
            || bytes.to_string(),
            |(unit, shift)| format!("{} {unit}", bytes >> shift),
        )
}

/// `text` as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => {
                write!(quoted, "\\u{:04X}", u32::from(letter)).expect("a String takes everything");
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_in_every_unit_and_nothing_else() {
        for (text, bytes) in [
            ("0", 0),
            ("8 MiB", 8 << 20),
            ("64KiB", 64 << 10),
            (" 3 gib ", 3 << 30),
            ("1TiB", 1 << 40),
            ("17 B", 17),
            ("12345", 12345),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "MiB",
            "8 MB",
            "8 M",
            "1.5 GiB",
            "-1",
            "8 MiB x",
            "0x10",
            "99999999999 TiB",
            "18446744073709551616",
            "8 \u{212a}iB",
            "\u{e9}",
        ] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn a_printed_size_is_the_same_size() {
        for bytes in [0, 1, 1023, 1024, 1 << 20, (1 << 20) + 1, 3 << 40, u64::MAX] {
            assert_eq!(parse_size(&print_size(bytes)), Some(bytes));
        }
        assert_eq!(print_size(8 << 20), "8 MiB");
    }

    #[test]
    fn a_bare_list_needs_no_brackets_and_endures_them() {
        assert_eq!(split("a, b"), ["a", "b"]);
        assert_eq!(split(r#"["a", 'b']"#), ["a", "b"]);
        assert_eq!(split("[::]:6969,[::1]:6969"), ["[::]:6969", "[::1]:6969"]);
        assert_eq!(split("[::1]"), ["[::1]"]);
        assert_eq!(split(""), [""; 0]);
        assert_eq!(split("[]"), [""; 0]);
        assert_eq!(split("a,"), ["a", ""]);
    }

    #[test]
    fn what_a_message_repeats_stays_on_one_short_line() {
        assert_eq!(shown("a\nb\u{1b}[31m"), r#""a\nb\u{1b}[31m""#);
        assert!(shown(&"x".repeat(1 << 20)).len() < 80);
    }
}
