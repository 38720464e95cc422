//! What other trackers leave behind, read into [`records::Records`]: bytes in, records out. Nothing here
//! talks to a tracker or asks for the time.
//!
//! ```text
//!   state.rs      tracker_state.json of the Simple BitTorrent tracker: torrents, peers, metadata
//!   ini.rs        config.ini and .env of retracker, variables of the Simple tracker: settings
//!   lists.rs      an info-hash, address or network a line: opentracker's white- and blacklists
//!   sqlite.rs     databases of Torrust Tracker and of retracker, only read
//!   text.rs       info-hashes as such trackers write them
//! ```
//!
//! Everything comes from strangers: what cannot be read is a sentence among the mistakes that names its
//! place, and the rest goes on.

pub mod ini;
pub mod lists;
pub mod records;
pub mod sqlite;
pub mod state;
pub mod text;

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `tracker_state.json` of the Simple BitTorrent tracker.
    State,
    /// Settings: an INI file, or `NAME=VALUE` lines.
    Ini,
    /// An entry a line.
    Lists,
    /// An SQLite database, of Torrust Tracker or of retracker.
    Sqlite,
}

/// The kind of the file that begins with these bytes: some hundreds of them, or all.
pub fn kind_of(start: &[u8]) -> Kind {
    if start.starts_with(sqlite::MAGIC) {
        return Kind::Sqlite;
    }
    let start = start.strip_prefix(text::BYTE_ORDER_MARK).unwrap_or(start);
    if start.trim_ascii_start().starts_with(b"{") {
        return Kind::State;
    }
    let mut lines = start.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.find(|line| !line.is_empty() && !b"#;".contains(&line[0]));
    match first {
        Some(line) if line.starts_with(b"[") || line.contains(&b'=') => Kind::Ini,
        _ => Kind::Lists,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_how_it_begins() {
        for (start, kind) in [
            (&b"SQLite format 3\0\x10"[..], Kind::Sqlite),
            (b" \n{\"torrents\"", Kind::State),
            (b"\xef\xbb\xbf{}", Kind::State),
            (b"# remark\n; another\n[TRACKER]\n", Kind::Ini),
            (b"TRACKER_MODE=proxy", Kind::Ini),
            (
                b"# ours\n0123456789abcdef0123456789abcdef01234567\n",
                Kind::Lists,
            ),
            (b"", Kind::Lists),
        ] {
            assert_eq!(kind_of(start), kind, "{}", start.escape_ascii());
        }
    }
}
