//! Columns and plain words for people.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use x509_cert::der::DateTime;

use crate::query::failure::printable;

/// On which side of its column a word stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A headline and rows, each column as wide as its widest word. Ends no line with blanks.
pub fn columns<const N: usize>(heads: [(&str, Side); N], rows: &[[String; N]]) -> String {
    let widths: Vec<usize> = (0..N)
        .map(|column| {
            let words = rows.iter().map(|row| row[column].chars().count());
            words.max().unwrap_or(0).max(heads[column].0.len())
        })
        .collect();
    let mut text = String::new();
    let mut line = |words: [&str; N]| {
        let mut line = String::new();
        for (column, word) in words.iter().enumerate() {
            let width = widths[column];
            let _ = match heads[column].1 {
                Side::Left => write!(line, "{word:<width$}  "),
                Side::Right => write!(line, "{word:>width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    line(heads.map(|(head, _)| head));
    for row in rows {
        line(row.each_ref().map(String::as_str));
    }
    text
}

/// Names and values, one a line; what is empty is left out.
pub fn facts(facts: &[(&str, String)]) -> String {
    let said = || facts.iter().filter(|(_, value)| !value.is_empty());
    let width = said().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in said() {
        let _ = writeln!(text, "{name:<width$}  {value}");
    }
    text
}

/// What `key` says in `object`, as one line that a terminal can take; empty when it says nothing.
pub fn word(object: &Value, key: &str) -> String {
    match object.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => printable(text.as_bytes()),
        Some(other) => printable(other.to_string().as_bytes()),
    }
}

/// Seconds since 1970 as a date in UTC, or as they are when they are out of reach.
pub fn date(unix_s: u64) -> String {
    DateTime::from_unix_duration(Duration::from_secs(unix_s))
        .map_or_else(|_| unix_s.to_string(), |date| date.to_string())
}

/// The date that `key` says in seconds, or its words when it is no number.
pub fn date_of(object: &Value, key: &str) -> String {
    match object.get(key).and_then(Value::as_u64) {
        Some(unix_s) => date(unix_s),
        None => word(object, key),
    }
}

/// A number of bytes in the unit that suits it: "1.4 GiB".
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 999.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_words() {
        let rows = [
            ["a".to_owned(), "1".to_owned(), String::new()],
            ["longer".to_owned(), "12345".to_owned(), "x".to_owned()],
        ];
        let heads = [
            ("NAME", Side::Left),
            ("N", Side::Right),
            ("REASON", Side::Left),
        ];
        assert_eq!(
            columns(heads, &rows),
            "NAME        N  REASON\na           1\nlonger  12345  x\n"
        );
    }

    #[test]
    fn facts_without_a_value_are_left_out() {
        let lines = [
            ("name", "x".to_owned()),
            ("size", String::new()),
            ("n", "1".to_owned()),
        ];
        assert_eq!(facts(&lines), "name  x\nn     1\n");
    }

    #[test]
    fn words_from_outside_cannot_steer_a_terminal() {
        let object = serde_json::json!({"name": "a\u{1b}[2J", "n": 5, "none": null});
        assert_eq!(word(&object, "name"), "a\\u{1b}[2J");
        assert_eq!(word(&object, "n"), "5");
        assert_eq!(word(&object, "none"), "");
        assert_eq!(word(&object, "other"), "");
    }

    #[test]
    fn dates_and_sizes_are_told_in_the_unit_that_suits_them() {
        assert_eq!(date(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(date(u64::MAX), u64::MAX.to_string());
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(1 << 30), "1.0 GiB");
        assert_eq!(size(u64::MAX), "16.0 EiB");
    }
}
