//! `shoal import`: what another tracker leaves behind, into the running one.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::api::{Api, Fault, complain, exit};
use super::say;
use crate::admin::calls::{self, List};
use crate::admin::client::Client;
use crate::admin::table::{self, word};
use crate::clock::Clock;
use crate::import::lists::Purpose;
use crate::import::records::{Key, Records};
use crate::import::state::Times;
use crate::import::{self, ini, lists, sqlite, state};
use crate::query::failure::{json_text, printable};

/// Most bytes of a file that is read whole.
const FILE_LEN_MAX: u64 = 1 << 30;

/// Most bytes of a database, which is read in place.
const DATABASE_LEN_MAX: u64 = 64 << 30;

/// Bytes by which the kind of a file is known.
const START_LEN: u64 = 4096;

/// The arguments of `shoal import`.
#[derive(Args, Debug)]
#[command(
    after_help = "docs/import.md says what is read of each kind. Files are only read. Importing again adds \
                  nothing twice.\nExit code: 0 when everything was taken, 1 when something was not, 2 when \
                  the command line is wrong."
)]
pub(super) struct Import {
    #[arg(
        required = true,
        value_name = "FILE",
        help = "tracker_state.json, config.ini or .env, a list, or an SQLite database"
    )]
    files: Vec<PathBuf>,
    /// What the files are
    #[arg(long, value_enum, default_value = "auto")]
    kind: Kind,
    /// Put the info-hashes of a list, or all torrents of a state file, on the allowlist
    #[arg(long, conflicts_with = "block")]
    allow: bool,
    /// Put the info-hashes, addresses and networks of a list on the blocklists
    #[arg(long)]
    block: bool,
    /// Why, for the journal and the log of takedowns [default: imported from FILE]
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Leave out peers that were silent for longer
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    peer_timeout: u64,
    #[command(flatten)]
    api: Api,
}

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Kind {
    /// As it looks
    Auto,
    #[value(help = "tracker_state.json of the Simple BitTorrent tracker")]
    State,
    /// config.ini or .env of retracker, or its database
    Ini,
    /// An info-hash a line; with --block also addresses and networks
    Lists,
    /// The SQLite database of Torrust Tracker
    Torrust,
    /// A white- or blacklist of opentracker
    Opentracker,
}

impl Kind {
    /// What a file of this kind is read as, when it begins with these bytes.
    fn of(self, start: &[u8]) -> import::Kind {
        let looks = import::kind_of(start);
        match self {
            Self::Auto => looks,
            Self::State => import::Kind::State,
            Self::Ini if looks == import::Kind::Sqlite => import::Kind::Sqlite,
            Self::Ini => import::Kind::Ini,
            Self::Lists | Self::Opentracker => import::Kind::Lists,
            Self::Torrust => import::Kind::Sqlite,
        }
    }
}

/// What was done with one file.
#[derive(Default)]
struct Done {
    /// How much of each sort was in the file.
    found: BTreeMap<&'static str, u64>,
    /// How much of it the tracker took as new, where it says so.
    new: BTreeMap<&'static str, u64>,
    notes: Vec<String>,
    mistakes: Vec<String>,
    settings: Option<String>,
}

impl Import {
    /// Imports, prints, and gives the exit code.
    pub(super) fn run(&self) -> ExitCode {
        exit(self.files())
    }

    fn files(&self) -> Result<ExitCode, Fault> {
        let client = self.api.client()?;
        let times = Times {
            now_unix_s: Clock::start().now().unix_s,
            peer_timeout_s: self.peer_timeout,
        };
        let (mut all, mut good) = (Vec::new(), true);
        for file in &self.files {
            let name = printable(file.as_os_str().as_encoded_bytes());
            let done = match self.read(file, times) {
                Ok(records) => self.hand_over(&client, &name, records, times),
                Err(Fault::Failed(why)) => Err(Fault::Failed(format!("{name}: {why}"))),
                Err(Fault::Usage(why)) => return Err(Fault::Usage(format!("{name}: {why}"))),
            };
            match done {
                Ok(done) => {
                    for sentence in &done.mistakes {
                        complain(&format!("{name}: {sentence}"));
                    }
                    good &= done.mistakes.is_empty();
                    if !self.api.json && say(&text(&name, &done)) != ExitCode::SUCCESS {
                        return Ok(ExitCode::FAILURE);
                    }
                    all.push(value(&name, &done));
                }
                Err(Fault::Failed(sentence)) => {
                    complain(&sentence);
                    good = false;
                    all.push(json!({ "file": name, "error": sentence }));
                }
                Err(fault @ Fault::Usage(_)) => return Err(fault),
            }
        }
        if self.api.json {
            say(&json_text(&json!({ "files": all })));
        }
        Ok(if good {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    /// What a file holds.
    fn read(&self, file: &Path, times: Times) -> Result<Records, Fault> {
        let unread = |error| Fault::Failed(format!("cannot be read: {error}"));
        let found = fs::metadata(file).map_err(unread)?;
        // What is no file may let its reader wait for ever.
        if !found.is_file() {
            return Err(Fault::Failed("is no file".to_owned()));
        }
        let open = File::open(file).map_err(unread)?;
        let mut bytes = Vec::new();
        let mut start = (&open).take(START_LEN);
        start.read_to_end(&mut bytes).map_err(unread)?;
        let kind = self.kind.of(&bytes);
        let len_max = match kind {
            import::Kind::Sqlite => DATABASE_LEN_MAX,
            _ => FILE_LEN_MAX,
        };
        if found.len() > len_max {
            let most = table::size(len_max);
            return Err(Fault::Failed(format!("is longer than {most}")));
        }
        if kind != import::Kind::Sqlite {
            let rest = (&open).take(FILE_LEN_MAX).read_to_end(&mut bytes);
            rest.map_err(unread)?;
        }
        self.look_at_purpose(kind)?;
        let read = match kind {
            import::Kind::State => state::read(&bytes, times),
            import::Kind::Ini => ini::read(&bytes),
            import::Kind::Lists if self.block => Ok(lists::read(&bytes, Purpose::Block)),
            import::Kind::Lists => Ok(lists::read(&bytes, Purpose::Allow)),
            import::Kind::Sqlite => sqlite::read(file, times),
        };
        let mut records = read.map_err(Fault::Failed)?;
        if kind == import::Kind::State && self.allow {
            let known = records.torrents.iter().map(|torrent| torrent.info_hash);
            let described = records
                .metadata
                .iter()
                .flat_map(|torrent| &torrent.info_hashes);
            let all: HashSet<_> = known.chain(described.copied()).collect();
            records.allowed.extend(all);
            records.allowed.sort_unstable();
        }
        Ok(records)
    }

    /// Whether `--allow` or `--block` fits to a file of this kind.
    fn look_at_purpose(&self, kind: import::Kind) -> Result<(), Fault> {
        let mistake = match (kind, self.allow, self.block) {
            (import::Kind::Lists, false, false) => {
                "it is a list: --allow or --block says what it is for"
            }
            (import::Kind::State, _, true) => "--block is for lists, and it is a state file",
            (import::Kind::Ini, true, _) | (import::Kind::Ini, _, true) => {
                "--allow and --block are for lists, and it holds settings"
            }
            (import::Kind::Sqlite, true, _) | (import::Kind::Sqlite, _, true) => {
                "--allow and --block are for lists; the tables of a database say what they are for"
            }
            _ => return Ok(()),
        };
        Err(Fault::Usage(mistake.to_owned()))
    }

    /// Gives the tracker what was found.
    fn hand_over(
        &self,
        client: &Client,
        name: &str,
        records: Records,
        times: Times,
    ) -> Result<Done, Fault> {
        let mut done = Done {
            notes: records.notes,
            mistakes: records.mistakes.sentences(),
            settings: records.settings,
            ..Done::default()
        };
        let fallback = self.reason.clone();
        let fallback = fallback.unwrap_or_else(|| format!("imported from {name}"));
        let reason = |given: &str| match given {
            "" => fallback.clone(),
            given => given.to_owned(),
        };
        // Lists first: who may not come in has no peers.
        if !records.allowed.is_empty() {
            let new = calls::add(client, List::Allowed, &records.allowed, &fallback)?;
            done.count("allowed", records.allowed.len(), Some(new));
        }
        for (given, hashes) in &records.blocked {
            let new = calls::add(client, List::Blocked, hashes, &reason(given))?;
            done.count("blocked", hashes.len(), Some(new));
        }
        for (given, networks) in &records.networks {
            let new = calls::add_networks(client, networks, &reason(given))?;
            done.count("networks", networks.len(), Some(new));
        }
        if !records.keys.is_empty() {
            add_keys(client, &records.keys, times.now_unix_s, &mut done)?;
        }
        if !records.metadata.is_empty() {
            calls::register(client, &records.metadata, false, &fallback)?;
            done.count("described", records.metadata.len(), None);
        }
        if !records.torrents.is_empty() {
            let peers = records.torrents.iter().map(|torrent| torrent.peers.len());
            let peers = peers.sum();
            let imported = calls::import(client, &records.torrents)?;
            done.count("torrents", records.torrents.len(), Some(imported.torrents));
            done.count("peers", peers, Some(imported.peers));
            if imported.refused_peers > 0 {
                done.notes.push(format!(
                    "peers left out because the tracker does not admit their addresses \
                     (announce.allow_private_peers, announce.ignore_ip, blocked sources): {}",
                    imported.refused_peers
                ));
            }
        }
        Ok(done)
    }
}

/// Adds the keys that are good and not there yet.
fn add_keys(client: &Client, keys: &[Key], now_unix_s: u64, done: &mut Done) -> Result<(), Fault> {
    let known = calls::all(client, "/api/v1/keys")?;
    let mut known: HashSet<String> = known.iter().map(|row| word(row, "key")).collect();
    let (mut new, mut ended) = (0, 0);
    for Key {
        key,
        valid_until_unix_s,
    } in keys
    {
        let left = valid_until_unix_s.map(|until| until.saturating_sub(now_unix_s));
        if left == Some(0) {
            ended += 1;
        } else if known.insert(key.to_string()) {
            match calls::add_key(client, Some(&key.to_string()), left) {
                Ok(_) => new += 1,
                Err(problem) if problem.is_about_the_request() => {
                    // A key opens the tracker, so it is not shown whole.
                    done.mistakes.push(format!("{key:?}: {problem}"));
                }
                Err(problem) => return Err(problem.into()),
            }
        }
    }
    done.count("keys", keys.len(), Some(new));
    if ended > 0 {
        done.notes
            .push(format!("keys left out because they have ended: {ended}"));
    }
    Ok(())
}

impl Done {
    fn count(&mut self, sort: &'static str, found: usize, new: Option<u64>) {
        *self.found.entry(sort).or_default() += found as u64;
        if let Some(new) = new {
            *self.new.entry(sort).or_default() += new;
        }
    }
}

fn value(name: &str, done: &Done) -> Value {
    json!({
        "file": name,
        "found": done.found,
        "taken": done.new,
        "notes": done.notes,
        "mistakes": done.mistakes,
        "settings": done.settings,
    })
}

fn text(name: &str, done: &Done) -> String {
    let mut text = String::new();
    // Settings go into a file as they are, so all that is no setting is a remark.
    let start = if done.settings.is_some() { "# " } else { "" };
    for note in &done.notes {
        let _ = writeln!(text, "{start}{name}: {note}");
    }
    let sorts = [
        ("allowed", "on the allowlist", "new"),
        ("blocked", "on the blocklist", "new"),
        ("networks", "networks blocked", "new"),
        ("keys", "keys", "new"),
        ("described", "torrents described", ""),
        ("torrents", "torrents", "taken"),
        ("peers", "peers", "taken"),
    ];
    let mut sums = Vec::new();
    for (sort, what, how) in sorts {
        let Some(found) = done.found.get(sort) else {
            continue;
        };
        let taken = done.new.get(sort);
        let taken = taken.map_or(String::new(), |taken| format!(" ({taken} {how})"));
        sums.push(format!("{what}: {found}{taken}"));
    }
    if !done.mistakes.is_empty() {
        sums.push(format!("left out: {}", done.mistakes.len()));
    }
    if let Some(settings) = &done.settings {
        text.push_str(settings);
    } else if sums.is_empty() {
        let _ = writeln!(text, "{name}: nothing to import");
    }
    if !sums.is_empty() {
        let _ = writeln!(text, "{start}{name}: {}", sums.join(", "));
    }
    text
}
