//! `shoal key`: the announce keys of a private tracker.

use std::process::ExitCode;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::api::{Api, Fault, complain, exit};
use crate::admin::calls;
use crate::admin::client::{Method, escaped};
use crate::admin::table::{Side, columns, date_of, word};

/// What is done with keys.
#[derive(Subcommand, Debug)]
pub(super) enum Key {
    /// Make a key, or add one of your own
    Add(Add),
    /// Take keys away: their holders are refused from now on
    #[command(alias = "rm")]
    Remove(Remove),
    /// Show all keys
    #[command(alias = "ls")]
    List(List),
}

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("life").required(true).args(["seconds", "permanent"])))]
pub(super) struct Add {
    /// The key: 32 of 0-9, A-Z and a-z; random when not given
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Seconds for which it is good
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// It is good until it is taken away
    #[arg(long)]
    permanent: bool,
    #[command(flatten)]
    api: Api,
}

#[derive(Args, Debug)]
pub(super) struct Remove {
    /// The keys
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    #[command(flatten)]
    api: Api,
}

#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    api: Api,
}

impl Key {
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
        let client = self.api.client()?;
        let row = calls::add_key(&client, self.key.as_deref(), self.seconds)?;
        Ok(self.api.show(&row, || {
            let end = match until(&row).as_str() {
                "never" => "good until it is taken away".to_owned(),
                date => format!("good until {date}"),
            };
            format!("{}  {end}\n", word(&row, "key"))
        }))
    }
}

/// When a key ends.
fn until(row: &Value) -> String {
    let date = date_of(row, "valid_until");
    if date.is_empty() {
        "never".to_owned()
    } else {
        date
    }
}

impl Remove {
    fn run(&self) -> Result<ExitCode, Fault> {
        let client = self.api.client()?;
        let mut removed = Vec::new();
        for key in &self.keys {
            let path = format!("/api/v1/key/{}", escaped(key));
            match client.send(Method::Delete, &path, None) {
                Ok(_) => removed.push(key),
                // The next one may be known, if there is a tracker that knows.
                Err(problem) if problem.status.is_some_and(|status| status != 401) => {
                    complain(&problem.text);
                }
                Err(problem) => return Err(problem.into()),
            }
        }
        let said = self.api.show(&json!({ "removed": removed }), || {
            let lines = removed.iter().map(|key| format!("{key}  removed\n"));
            lines.collect()
        });
        Ok(if removed.len() < self.keys.len() {
            ExitCode::FAILURE
        } else {
            said
        })
    }
}

impl List {
    fn run(&self) -> Result<ExitCode, Fault> {
        let client = self.api.client()?;
        let keys = calls::all(&client, "/api/v1/keys")?;
        Ok(self.api.show(&json!({ "keys": keys }), || {
            let heads = [("KEY", Side::Left), ("UNTIL", Side::Left)];
            let row = |row: &Value| [word(row, "key"), until(row)];
            columns(heads, &keys.iter().map(row).collect::<Vec<_>>())
        }))
    }
}
