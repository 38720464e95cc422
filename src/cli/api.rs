//! What all verbs that talk to the API of a running tracker share.

use std::env;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{fail, say};
use crate::admin::client::{Client, DEFAULT_URL, Patience};
use crate::admin::problem::Problem;
use crate::query::failure::json_text;
use crate::query::wire::tls::Trust;

/// Most bytes of a file that holds a token.
const TOKEN_LEN_MAX: u64 = 4096;

/// How the API is reached, and how its answers are printed.
#[derive(Args, Debug)]
pub(super) struct Api {
    #[arg(
        long = "api",
        value_name = "URL",
        help = "The tracker's API (control.listen); without it SHOAL_API, or http://127.0.0.1:1212"
    )]
    url: Option<String>,
    #[arg(
        long,
        value_name = "TOKEN",
        conflicts_with = "token_file",
        help = "Its token; better is SHOAL_TOKEN, since everybody on this host can read a command line in \
                the list of processes"
    )]
    token: Option<String>,
    /// A file that holds the token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Trust the authorities in this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print JSON, as docs/admin.md describes it
    #[arg(long)]
    pub(super) json: bool,
}

/// Why a verb did not do all that it should.
#[derive(Debug)]
pub(super) enum Fault {
    /// It was asked for wrongly.
    Usage(String),
    /// It failed.
    Failed(String),
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::Failed(problem.text)
    }
}

/// The exit code of a verb, with its sentence on standard error.
pub(super) fn exit(done: Result<ExitCode, Fault>) -> ExitCode {
    match done {
        Ok(code) => code,
        Err(Fault::Failed(sentence)) => fail(&sentence),
        Err(Fault::Usage(sentence)) => {
            fail(&sentence);
            ExitCode::from(2)
        }
    }
}

impl Api {
    /// The client that these arguments ask for.
    pub(super) fn client(&self) -> Result<Client, Fault> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let url = self.url.clone().or_else(|| variable("SHOAL_API"));
        let token = match (&self.token, &self.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(_)) => Some(self.token_of_file()?),
            (None, None) => variable("SHOAL_TOKEN"),
        };
        let trust = Trust::new(false, self.ca.clone());
        let url = url.as_deref().unwrap_or(DEFAULT_URL);
        Client::new(url, token, trust, Patience::default()).map_err(Fault::Usage)
    }

    fn token_of_file(&self) -> Result<String, Fault> {
        let file = self.token_file.as_deref().unwrap_or_else(|| "".as_ref());
        let name = file.display();
        let mut text = String::new();
        File::open(file)
            .and_then(|file| file.take(TOKEN_LEN_MAX).read_to_string(&mut text))
            .map_err(|error| Fault::Usage(format!("{name} cannot be read: {error}")))?;
        match text.trim() {
            "" => Err(Fault::Usage(format!("{name} holds no token"))),
            token => Ok(token.to_owned()),
        }
    }

    /// Prints for scripts or for people.
    pub(super) fn show(&self, value: &Value, text: impl FnOnce() -> String) -> ExitCode {
        if self.json {
            say(&json_text(value))
        } else {
            say(&text())
        }
    }
}

/// A sentence on standard error about one of many, which does not end the others.
pub(super) fn complain(sentence: &str) {
    use io::Write as _;
    let _ = writeln!(io::stderr(), "{sentence}");
}

/// "1 torrent", "2 torrents".
pub(super) fn counted(count: u64, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}
