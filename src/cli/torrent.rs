//! `shoal torrent`: registering torrents from their files, and what the tracker knows of them.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::api::{Api, Fault, complain, counted, exit};
use crate::admin::calls::{self, List as HashList};
use crate::admin::client::{Client, Method};
use crate::admin::problem::Problem;
use crate::admin::table::{Side, columns, date_of, facts, size, word};
use crate::query::failure::printable;
use crate::query::hash;
use crate::wire::InfoHash;
use crate::wire::metainfo::{FILE_LEN_MAX, Metainfo};

/// Most folders in each other that are searched.
const DEPTH_MAX: usize = 32;

/// Torrents that are read before they are sent.
const READ_AHEAD: usize = 500;

/// What is done with torrents.
#[derive(Subcommand, Debug)]
pub(super) enum Torrent {
    /// Register .torrent files: allow them, and keep what they say
    Add(Add),
    /// Take torrents off the allowlist, and forget their peers and what is known of them
    #[command(alias = "rm")]
    Remove(Remove),
    /// Show the torrents that have peers
    #[command(alias = "ls")]
    List(List),
    /// Show one torrent with its peers and what its file says
    Show(Show),
}

#[derive(Args, Debug)]
pub(super) struct Add {
    /// .torrent files of version 1, 2 or both, and folders that are searched for them
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Keep what the files say, but leave the allowlist alone
    #[arg(long)]
    no_allow: bool,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    api: Api,
}

#[derive(Args, Debug)]
pub(super) struct Remove {
    /// Info-hashes in hexadecimal or base32, magnet links or .torrent files
    #[arg(required = true, value_name = "HASH")]
    hashes: Vec<String>,
    #[command(flatten)]
    api: Api,
}

#[derive(Args, Debug)]
pub(super) struct List {
    /// How many to pass over
    #[arg(long, value_name = "N", default_value_t = 0)]
    offset: u32,
    /// How many to show at most
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: u32,
    #[command(flatten)]
    api: Api,
}

#[derive(Args, Debug)]
pub(super) struct Show {
    /// Info-hash in hexadecimal or base32, magnet link or .torrent file
    #[arg(value_name = "HASH")]
    hash: String,
    #[command(flatten)]
    api: Api,
}

impl Torrent {
    /// Does it, prints, and gives the exit code.
    pub(super) fn run(&self) -> ExitCode {
        exit(match self {
            Self::Add(add) => add.run(),
            Self::Remove(remove) => remove.run(),
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
        })
    }
}

/// Where the tracker has a torrent.
fn path_of(hash: &InfoHash) -> String {
    format!("/api/v1/torrent/{hash}")
}

/// How far registering has come.
#[derive(Default)]
struct Registered {
    torrents: Vec<(String, Metainfo)>,
    failures: Vec<Value>,
    /// Info-hashes that are new on the allowlist.
    new: u64,
}

impl Registered {
    fn fail(&mut self, file: &str, why: &str) {
        complain(&format!("{file}: {why}"));
        self.failures.push(json!({ "file": file, "error": why }));
    }
}

impl Add {
    fn run(&self) -> Result<ExitCode, Fault> {
        let client = self.api.client()?;
        let mut done = Registered::default();
        let mut files = Vec::new();
        for path in &self.paths {
            find(path, &mut files, &mut done);
        }
        for part in files.chunks(READ_AHEAD) {
            let mut read = Vec::new();
            for file in part {
                let name = printable(file.as_os_str().as_encoded_bytes());
                match metainfo(file) {
                    Ok(torrent) => read.push((name, torrent)),
                    Err(why) => done.fail(&name, &why),
                }
            }
            self.register(&client, read, &mut done)?;
        }
        let said = self.api.show(&value(&done), || text(&done));
        Ok(if done.failures.is_empty() {
            said
        } else {
            ExitCode::FAILURE
        })
    }

    fn register(
        &self,
        client: &Client,
        read: Vec<(String, Metainfo)>,
        done: &mut Registered,
    ) -> Result<(), Problem> {
        let (names, torrents): (Vec<String>, Vec<Metainfo>) = read.into_iter().unzip();
        let (mut names, mut rest) = (names.into_iter(), torrents.as_slice());
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at(calls::batch_len(rest));
            rest = behind;
            let together = self.send(client, batch);
            match together {
                Ok(new) => {
                    done.new = done.new.saturating_add(new);
                    done.torrents
                        .extend(names.by_ref().zip(batch.iter().cloned()));
                }
                // One of them may be to blame: each for itself.
                Err(problem) if problem.is_about_the_request() => {
                    for (torrent, name) in batch.iter().zip(names.by_ref()) {
                        match self.send(client, std::slice::from_ref(torrent)) {
                            Ok(new) => {
                                done.new = done.new.saturating_add(new);
                                done.torrents.push((name, torrent.clone()));
                            }
                            Err(problem) if problem.is_about_the_request() => {
                                done.fail(&name, &problem.text);
                            }
                            Err(problem) => return Err(problem),
                        }
                    }
                }
                Err(problem) => return Err(problem),
            }
        }
        Ok(())
    }

    fn send(&self, client: &Client, torrents: &[Metainfo]) -> Result<u64, Problem> {
        calls::register(client, torrents, !self.no_allow, &self.reason)
    }
}

/// The `.torrent` files that a path means: itself, or those in a folder. Links in a folder count when they
/// lead to a file below it; other folders are not entered through them.
fn find(path: &Path, files: &mut Vec<PathBuf>, done: &mut Registered) {
    let name = printable(path.as_os_str().as_encoded_bytes());
    match fs::metadata(path) {
        Err(error) => done.fail(&name, &format!("cannot be read: {error}")),
        Ok(found) if found.is_dir() => match path.canonicalize() {
            Ok(root) => {
                let before = files.len();
                search(path, &root, 0, files, done);
                if files.len() == before {
                    done.fail(&name, "holds no .torrent file");
                }
            }
            Err(error) => done.fail(&name, &format!("cannot be read: {error}")),
        },
        Ok(_) => files.push(path.to_owned()),
    }
}

fn search(
    folder: &Path,
    root: &Path,
    depth: usize,
    files: &mut Vec<PathBuf>,
    done: &mut Registered,
) {
    let name = printable(folder.as_os_str().as_encoded_bytes());
    if depth == DEPTH_MAX {
        return done.fail(&name, &format!("is deeper than {DEPTH_MAX} folders"));
    }
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => return done.fail(&name, &format!("cannot be read: {error}")),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() {
            search(&path, root, depth + 1, files, done);
            continue;
        }
        let extension = path.extension().unwrap_or_default();
        let stays = || {
            let target = path.canonicalize();
            target.is_ok_and(|target| target.starts_with(root) && target.is_file())
        };
        if extension.eq_ignore_ascii_case("torrent")
            && (kind.is_file() || kind.is_symlink() && stays())
        {
            files.push(path);
        }
    }
}

/// Reads one file. The error says what is wrong with it.
fn metainfo(file: &Path) -> Result<Metainfo, String> {
    let unread = |error| format!("cannot be read: {error}");
    // What is no file may let its reader wait for ever.
    if !fs::metadata(file).map_err(unread)?.is_file() {
        return Err("is no file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(file).map_err(unread)?;
    file.take(FILE_LEN_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unread)?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        return Err(format!("is longer than {}", size(FILE_LEN_MAX)));
    }
    Metainfo::parse(&bytes).map_err(|mistake| format!("is no .torrent file: {mistake}"))
}

fn value(done: &Registered) -> Value {
    let torrents = done.torrents.iter().map(|(file, torrent)| {
        json!({
            "file": file,
            "info_hashes": texts(&torrent.info_hashes),
            "name": torrent.name,
            "size": torrent.size,
        })
    });
    json!({
        "torrents": torrents.collect::<Vec<_>>(),
        "failures": done.failures,
        "added": done.new,
    })
}

fn text(done: &Registered) -> String {
    let mut rows = Vec::new();
    for (_, torrent) in &done.torrents {
        for hash in &torrent.info_hashes {
            let name = printable(torrent.name.as_bytes());
            rows.push([hash.to_string(), size(torrent.size), name]);
        }
    }
    let heads = [
        ("INFO-HASH", Side::Left),
        ("SIZE", Side::Right),
        ("NAME", Side::Left),
    ];
    let mut text = String::new();
    if !rows.is_empty() {
        text = columns(heads, &rows);
    }
    let torrents = counted(done.torrents.len() as u64, "torrent");
    let new = done.new;
    let _ = write!(text, "{torrents} registered, new on the allowlist: {new}");
    if !done.failures.is_empty() {
        let _ = write!(text, ", {} failed", done.failures.len());
    }
    text.push('\n');
    text
}

fn texts(hashes: &[InfoHash]) -> Vec<String> {
    hashes.iter().map(InfoHash::to_string).collect()
}

fn read(text: &str) -> Result<Vec<InfoHash>, Fault> {
    hash::read(text).map_err(Fault::Usage)
}

impl Remove {
    fn run(&self) -> Result<ExitCode, Fault> {
        let mut hashes = Vec::new();
        for text in &self.hashes {
            hashes.extend(read(text)?);
        }
        let client = self.api.client()?;
        let removed = calls::remove(&client, HashList::Allowed, &hashes)?;
        let mut rows = Vec::new();
        for hash in &hashes {
            let path = path_of(hash);
            let had_metadata = match client.send(Method::Delete, &format!("{path}/metadata"), None)
            {
                Ok(answer) => answer["removed"].as_bool().unwrap_or(true),
                Err(problem) if problem.status == Some(404) => false,
                Err(problem) => return Err(problem.into()),
            };
            let answer = client.send(Method::Delete, &path, None)?;
            rows.push(json!({
                "info_hash": hash.to_string(),
                "had_metadata": had_metadata,
                "had_peers": answer["forgotten"].as_bool().unwrap_or(false),
            }));
        }
        let value = json!({ "torrents": rows, "removed": removed });
        Ok(self.api.show(&value, || {
            let mut text = String::new();
            for hash in &hashes {
                let _ = writeln!(text, "{hash}  removed");
            }
            let torrents = counted(hashes.len() as u64, "torrent");
            let _ = writeln!(
                text,
                "{torrents} removed, {removed} of them had been on the allowlist"
            );
            text
        }))
    }
}

impl List {
    fn run(&self) -> Result<ExitCode, Fault> {
        let client = self.api.client()?;
        let Self { offset, limit, .. } = self;
        let list = client.get(&format!("/api/v1/torrents?offset={offset}&limit={limit}"))?;
        let rows = list.as_array().cloned().unwrap_or_default();
        Ok(self.api.show(&json!({ "torrents": rows }), || {
            let heads = [
                ("INFO-HASH", Side::Left),
                ("SEEDERS", Side::Right),
                ("LEECHERS", Side::Right),
                ("COMPLETED", Side::Right),
            ];
            let keys = ["info_hash", "seeders", "leechers", "completed"];
            let row = |row: &Value| keys.map(|key| word(row, key));
            columns(heads, &rows.iter().map(row).collect::<Vec<_>>())
        }))
    }
}

impl Show {
    fn run(&self) -> Result<ExitCode, Fault> {
        let hashes = read(&self.hash)?;
        let client = self.api.client()?;
        let mut found = Vec::new();
        for hash in &hashes {
            let path = path_of(hash);
            // Torrust's API, and so ours, answers a torrent that it does not know with a text.
            let swarm = client.get(&path)?;
            let swarm = if swarm.is_object() {
                swarm
            } else {
                Value::Null
            };
            let metadata = match client.get(&format!("{path}/metadata")) {
                Ok(metadata) => metadata,
                // Nothing is known of it, or the tracker keeps nothing.
                Err(problem) if matches!(problem.status, Some(404 | 409)) => Value::Null,
                Err(problem) => return Err(problem.into()),
            };
            if !swarm.is_null() || !metadata.is_null() {
                found.push(json!({
                    "info_hash": hash.to_string(), "swarm": swarm, "metadata": metadata,
                }));
            }
        }
        if found.is_empty() {
            let hashes = texts(&hashes).join(", ");
            return Err(Fault::Failed(format!("the tracker does not know {hashes}")));
        }
        let value = json!({ "torrents": found });
        Ok(self.api.show(&value, || {
            let parts: Vec<String> = found.iter().map(described).collect();
            parts.join("\n")
        }))
    }
}

fn described(torrent: &Value) -> String {
    let (swarm, metadata) = (&torrent["swarm"], &torrent["metadata"]);
    let bytes = |key: &str| metadata[key].as_u64().filter(|bytes| *bytes > 0);
    let bytes = |key: &str| bytes(key).map_or(String::new(), size);
    let mut text = facts(&[
        ("info-hash", word(torrent, "info_hash")),
        ("name", word(metadata, "name")),
        ("size", bytes("size")),
        ("piece length", bytes("piece_length")),
        ("comment", word(metadata, "comment")),
        ("created by", word(metadata, "created_by")),
        ("created", date_of(metadata, "creation_date")),
        ("seeders", word(swarm, "seeders")),
        ("leechers", word(swarm, "leechers")),
        ("completed", word(swarm, "completed")),
    ]);
    let peers = swarm["peers"].as_array().cloned().unwrap_or_default();
    if !peers.is_empty() {
        let heads = [
            ("PEER", Side::Left),
            ("LEFT", Side::Right),
            ("EVENT", Side::Left),
            ("CLIENT", Side::Left),
        ];
        let row = |peer: &Value| {
            [
                word(peer, "peer_addr"),
                word(peer, "left"),
                word(peer, "event"),
                word(&peer["peer_id"], "client"),
            ]
        };
        text.push_str(&columns(heads, &peers.iter().map(row).collect::<Vec<_>>()));
    }
    text
}
