//! `shoal block`: torrents and sources that are not served.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use ipnet::IpNet;
use serde_json::{Value, json};

use super::api::{Api, Fault, counted, exit};
use crate::admin::calls::{self, List as HashList, NETWORKS};
use crate::admin::table::{Side, columns, date_of, word};
use crate::gate::networks;
use crate::query::hash;
use crate::wire::InfoHash;

/// What is done with the blocklists.
#[derive(Subcommand, Debug)]
pub(super) enum Block {
    /// Serve these torrents and sources no longer
    Add(Add),
    /// Serve them again
    #[command(alias = "rm")]
    Remove(Remove),
    /// Show both blocklists, that of torrents and that of sources
    #[command(alias = "ls")]
    List(List),
}

#[derive(Args, Debug)]
pub(super) struct Add {
    #[command(flatten)]
    what: What,
    /// Why, for the log of takedowns
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    api: Api,
}

#[derive(Args, Debug)]
pub(super) struct Remove {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    api: Api,
}

#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    api: Api,
}

#[derive(Args, Debug)]
struct What {
    /// Info-hashes (hexadecimal, base32, magnet link or .torrent file), addresses and networks
    #[arg(required = true, value_name = "HASH|ADDRESS|NETWORK")]
    what: Vec<String>,
}

impl What {
    fn read(&self) -> Result<(Vec<InfoHash>, Vec<IpNet>), Fault> {
        let (mut hashes, mut sources) = (Vec::new(), Vec::new());
        for text in &self.what {
            if let Some(network) = networks::parse(text.as_bytes()) {
                sources.push(network);
            } else {
                let found = hash::read(text).map_err(|why| {
                    Fault::Usage(format!("{why}; nor is it an address or a network"))
                })?;
                hashes.extend(found);
            }
        }
        Ok((hashes, sources))
    }
}

impl Block {
    /// Does it, prints, and gives the exit code.
    pub(super) fn run(&self) -> ExitCode {
        exit(match self {
            Self::Add(add) => add.run(),
            Self::Remove(remove) => remove.run(),
            Self::List(list) => list.run(),
        })
    }
}

impl Add {
    fn run(&self) -> Result<ExitCode, Fault> {
        let (hashes, sources) = self.what.read()?;
        let client = self.api.client()?;
        let torrents = calls::add(&client, HashList::Blocked, &hashes, &self.reason)?;
        let networks = calls::add_networks(&client, &sources, &self.reason)?;
        let value = json!({
            "info_hashes": texts(&hashes), "networks": texts(&sources), "added": torrents.saturating_add(networks),
        });
        Ok(self.api.show(&value, || {
            let new = torrents.saturating_add(networks);
            lines(&hashes, &sources, "blocked", &format!("{new} of them new"))
        }))
    }
}

impl Remove {
    fn run(&self) -> Result<ExitCode, Fault> {
        let (hashes, sources) = self.what.read()?;
        let client = self.api.client()?;
        let torrents = calls::remove(&client, HashList::Blocked, &hashes)?;
        let networks = calls::remove_networks(&client, &sources)?;
        let value = json!({
            "info_hashes": texts(&hashes), "networks": texts(&sources), "removed": torrents.saturating_add(networks),
        });
        Ok(self.api.show(&value, || {
            let were = torrents.saturating_add(networks);
            let remark = format!("{were} of them had been blocked");
            lines(&hashes, &sources, "no longer blocked", &remark)
        }))
    }
}

fn texts<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(T::to_string).collect()
}

fn lines(hashes: &[InfoHash], sources: &[IpNet], done: &str, remark: &str) -> String {
    let words = texts(hashes).into_iter().chain(texts(sources));
    let mut text = String::new();
    for word in words {
        let _ = writeln!(text, "{word}  {done}");
    }
    let torrents = counted(hashes.len() as u64, "torrent");
    let networks = counted(sources.len() as u64, "source");
    let _ = writeln!(text, "{torrents} and {networks} {done}, {remark}");
    text
}

impl List {
    fn run(&self) -> Result<ExitCode, Fault> {
        let client = self.api.client()?;
        let torrents = calls::all(&client, HashList::Blocked.path())?;
        let sources = calls::all(&client, NETWORKS)?;
        let value = json!({ "torrents": torrents, "sources": sources });
        Ok(self.api.show(&value, || {
            let heads = [
                ("BLOCKED", Side::Left),
                ("SINCE", Side::Left),
                ("BY", Side::Left),
                ("REASON", Side::Left),
            ];
            let row = |row: &Value| {
                let what = ["info_hash", "network"].map(|key| word(row, key)).concat();
                [
                    what,
                    date_of(row, "added"),
                    word(row, "by"),
                    word(row, "reason"),
                ]
            };
            let all = torrents.iter().chain(&sources);
            columns(heads, &all.map(row).collect::<Vec<_>>())
        }))
    }
}
