//! Databases of Torrust Tracker and of retracker. They are only read: SQLite opens the file read-only and as
//! one that nobody changes, so that no byte of it, and no file beside it, is written.
//!
//! ```text
//! Torrust     torrents(info_hash, completed), whitelist(info_hash), keys(key, valid_until); before 3.0
//!             valid_until was never null
//! retracker   tracker(info_hash, ip, port, left, update_time), blocklist(ip, info_hash, reason)
//! ```
//!
//! The file is not trusted: what SQLite itself calls a table is read, no view and nothing virtual; its pages
//! are checked first; values are limited; what is of the wrong type is named with its row.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};

use super::records::{Key, Peer, Records, Torrent};
use super::state::Times;
use super::text::{info_hash, shown};
use crate::gate::networks;
use crate::query::failure::printable;
use crate::wire::InfoHash;

/// What every such file begins with.
pub const MAGIC: &[u8] = b"SQLite format 3\0";

/// Most bytes of one value, and of the text of the schema.
const VALUE_LEN_MAX: i32 = 1 << 20;

/// Most bytes of a reason that is kept.
const REASON_LEN_MAX: usize = 1000;

/// Reads a database of either tracker. The error says why it cannot be.
pub fn read(file: &Path, times: Times) -> Result<Records, String> {
    for (ending, what) in [("-wal", "a write-ahead log"), ("-journal", "a journal")] {
        let beside = beside(file, ending);
        match fs::metadata(&beside) {
            Ok(found) if found.len() > 0 => {
                return Err(format!(
                    "it has {what} beside it, {}, with changes that are not in it; stop the tracker that \
                     writes it, and try again",
                    beside.display()
                ));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{} cannot be looked at: {error}", beside.display())),
        }
    }
    let mut reader = Reader {
        times,
        records: Records::default(),
    };
    open(file)
        .map_err(|error| error.to_string())
        .and_then(|database| reader.all(&database))
        .map_err(|error| {
            format!(
                "no database that can be read: {}",
                printable(error.as_bytes())
            )
        })?;
    Ok(reader.records)
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Opens the file so that nothing it says can do harm.
fn open(file: &Path) -> rusqlite::Result<Connection> {
    let mut url = "file:".to_owned();
    for byte in file.as_os_str().as_bytes() {
        let _ = write!(url, "%{byte:02x}");
    }
    url.push_str("?mode=ro&immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(url, flags)?;
    database.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_LEN_MAX)?;
    database.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, VALUE_LEN_MAX)?;
    database.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    database.pragma_update(None, "cell_size_check", true)?;
    database.pragma_update(None, "mmap_size", 0)?;
    Ok(database)
}

struct Reader {
    times: Times,
    records: Records,
}

type Told = Result<(), String>;

impl Reader {
    fn all(&mut self, database: &Connection) -> Told {
        let tables = tables(database).map_err(|error| error.to_string())?;
        let has = |name: &str| tables.iter().any(|table| table == name);
        let known = ["torrents", "whitelist", "keys", "tracker", "blocklist"];
        if !known.into_iter().any(has) {
            let tables: Vec<String> = tables.iter().map(|name| shown(name)).collect();
            return Err(format!(
                "it is neither of Torrust Tracker (torrents, whitelist, keys) nor of retracker (tracker, \
                 blocklist); its tables are: {}",
                tables.join(", ")
            ));
        }
        // A page that is in two places could be read for ever.
        let found = database.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
        match found {
            Ok(ok) if ok == "ok" => {}
            Ok(what) => return Err(format!("it is damaged: {what}")),
            Err(error) => return Err(error.to_string()),
        }
        let mut read = |table: &str, columns: &str, one: fn(&mut Self, &Row) -> Told| -> Told {
            if has(table) {
                self.rows(database, table, columns, one)?;
            }
            Ok(())
        };
        read("torrents", "info_hash, completed", Self::torrent)?;
        read("whitelist", "info_hash", Self::allowed)?;
        read("keys", "key, valid_until", Self::key)?;
        let peer = "info_hash, ip, port, \"left\", update_time";
        read("tracker", peer, Self::peer)?;
        read("blocklist", "info_hash, ip, reason", Self::blocked)?;
        self.join_peers();
        Ok(())
    }

    /// Goes through a table; the number of a row is its place in it, from 1.
    fn rows(
        &mut self,
        database: &Connection,
        table: &str,
        columns: &str,
        one: fn(&mut Self, &Row) -> Told,
    ) -> Told {
        let explain = |error: rusqlite::Error| format!("table {table}: {error}");
        let mut statement = database
            .prepare(&format!("SELECT {columns} FROM \"{table}\""))
            .map_err(explain)?;
        let mut rows = statement.query([]).map_err(explain)?;
        let mut number: u64 = 0;
        while let Some(row) = rows.next().map_err(explain)? {
            number += 1;
            if let Err(why) = one(self, row) {
                let sentence = || format!("row {number} of {table}: {why}");
                self.records.mistakes.push(sentence);
            }
        }
        Ok(())
    }

    fn torrent(&mut self, row: &Row) -> Told {
        let torrent = Torrent {
            info_hash: hash(row, 0)?,
            completed: u32::try_from(integer(row, 1)?)
                .map_err(|_| "\"completed\" is no number of downloads")?,
            peers: Vec::new(),
        };
        // Nothing else is known of it.
        if torrent.completed > 0 {
            self.records.torrents.push(torrent);
        }
        Ok(())
    }

    fn allowed(&mut self, row: &Row) -> Told {
        self.records.allowed.push(hash(row, 0)?);
        Ok(())
    }

    fn key(&mut self, row: &Row) -> Told {
        // Not shown: it may be nearly one.
        let key = text(row, 0)?
            .parse()
            .map_err(|_| "\"key\" is not of 32 characters of 0-9, A-Z, a-z")?;
        let valid_until_unix_s = match value(row, 1)? {
            ValueRef::Null => None,
            _ => Some(
                u64::try_from(integer(row, 1)?).map_err(|_| "\"valid_until\" is before 1970")?,
            ),
        };
        self.records.keys.push(Key {
            key,
            valid_until_unix_s,
        });
        Ok(())
    }

    fn peer(&mut self, row: &Row) -> Told {
        let info_hash = hash(row, 0)?;
        let ip = packed_ip(&text(row, 1)?)?;
        let port = u16::try_from(integer(row, 2)?);
        let port = port.map_err(|_| "\"port\" is not from 1 to 65535")?;
        let left = match value(row, 3)? {
            ValueRef::Null => 0,
            _ => integer(row, 3)?,
        };
        let seen = integer(row, 4)?;
        let age_s = self
            .times
            .now_unix_s
            .saturating_sub(u64::try_from(seen).unwrap_or(0));
        let peer = Peer::at(ip, port, u64::try_from(left).unwrap_or(0), age_s)?;
        if age_s <= self.times.peer_timeout_s {
            self.records.torrents.push(Torrent {
                info_hash,
                completed: 0,
                peers: vec![peer],
            });
        }
        Ok(())
    }

    fn blocked(&mut self, row: &Row) -> Told {
        let given = |at| match value(row, at)? {
            ValueRef::Null | ValueRef::Text(b"") => Ok(false),
            _ => Ok::<_, String>(true),
        };
        let reason = match value(row, 2)? {
            ValueRef::Null => String::new(),
            _ => crate::wire::metainfo::cut(text(row, 2)?, REASON_LEN_MAX),
        };
        if !given(0)? && !given(1)? {
            return Err("it has neither \"info_hash\" nor \"ip\"".to_owned());
        }
        if given(0)? {
            let of_reason = self.records.blocked.entry(reason.clone()).or_default();
            of_reason.push(hash(row, 0)?);
        }
        if given(1)? {
            let ip = text(row, 1)?;
            let network = networks::parse(ip.trim().as_bytes())
                .or_else(|| packed_ip(&ip).ok().map(Into::into));
            let network = network
                .ok_or_else(|| format!("\"{}\" is no address and no network", shown(&ip)))?;
            self.records
                .networks
                .entry(reason)
                .or_default()
                .push(network);
        }
        Ok(())
    }

    /// Makes one of the torrents that came a peer at a time.
    fn join_peers(&mut self) {
        let torrents = &mut self.records.torrents;
        torrents.sort_by_key(|torrent| torrent.info_hash);
        torrents.dedup_by(|next, kept| {
            let same = next.info_hash == kept.info_hash;
            if same {
                kept.completed = kept.completed.max(next.completed);
                kept.peers.append(&mut next.peers);
            }
            same
        });
    }
}

/// The names of what SQLite calls a table, shadows and its own left out.
fn tables(database: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = database.prepare(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' \
         AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' LIMIT 1000",
    )?;
    let names = statement.query_map([], |row| row.get(0))?;
    names.collect()
}

fn value<'r>(row: &'r Row, at: usize) -> Result<ValueRef<'r>, String> {
    row.get_ref(at).map_err(|error| error.to_string())
}

fn name<'r>(row: &'r Row, at: usize) -> &'r str {
    row.as_ref().column_name(at).unwrap_or("a value")
}

fn text(row: &Row, at: usize) -> Result<String, String> {
    match value(row, at)? {
        ValueRef::Text(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        other => Err(format!(
            "\"{}\" is {}, not text",
            name(row, at),
            other.data_type().to_string().to_lowercase()
        )),
    }
}

/// A whole number; times may come with a fraction.
fn integer(row: &Row, at: usize) -> Result<i64, String> {
    match value(row, at)? {
        ValueRef::Integer(number) => Ok(number),
        ValueRef::Real(number) if number.is_finite() => Ok(number as i64),
        other => Err(format!(
            "\"{}\" is {}, not a number",
            name(row, at),
            other.data_type().to_string().to_lowercase()
        )),
    }
}

fn hash(row: &Row, at: usize) -> Result<InfoHash, String> {
    if let ValueRef::Blob(bytes) = value(row, at)?
        && let Ok(bytes) = bytes.try_into()
    {
        return Ok(InfoHash(bytes));
    }
    let text = text(row, at)?;
    info_hash(&text).map_err(|why| format!("info-hash \"{}\" {why}", shown(&text)))
}

/// An address as retracker keeps it: 8 hexadecimal digits, or as people write it.
fn packed_ip(text: &str) -> Result<IpAddr, String> {
    let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u32::from_str_radix(text, 16) {
        Ok(bits) if digits => Ok(Ipv4Addr::from_bits(bits).into()),
        _ => match text.trim().parse::<IpAddr>() {
            Ok(ip) => Ok(ip.to_canonical()),
            Err(_) => Err(format!("\"{}\" is no address", shown(text))),
        },
    }
}
