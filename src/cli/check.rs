//! `shoal check`: a list that must be well.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::query::Connection;
use super::{fail, say};
use crate::query::check::{self, Checker, List};
use crate::query::hash;

/// The arguments of `shoal check`.
#[derive(Args, Debug)]
#[command(after_help = "FILE holds JSON, or TOML with the same keys:\n\n  \
                        udp_trackers = [\"127.0.0.1:6969\"]\n  \
                        http_trackers = [\"http://127.0.0.1:6969\"]\n  \
                        health_checks = [\"http://127.0.0.1:6969/health_check\"]\n\n\
                        Exit code: 0 when all is well, 1 when something is not, 2 when the file or the \
                        command line is wrong.")]
pub(super) struct Check {
    /// What must be well
    file: PathBuf,
    /// Info-hash to announce and scrape; random when not given
    #[arg(short = 'H', long, value_name = "HASH")]
    hash: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Check {
    /// Checks, prints, and gives the exit code.
    pub(super) fn run(&self) -> ExitCode {
        let name = self.file.display();
        let list = fs::read_to_string(&self.file)
            .map_err(|error| format!("{name} cannot be read: {error}"))
            .and_then(|text| List::parse(&text).map_err(|error| format!("{name}: {error}")));
        let hash = self.hash.as_deref().map(hash::read).transpose();
        let (list, hash) = match list.and_then(|list| Ok((list, hash?))) {
            Ok(found) => found,
            Err(sentence) => {
                fail(&sentence);
                return ExitCode::from(2);
            }
        };
        let checker = Checker {
            manner: self.connection.manner(),
            info_hash: hash.and_then(|hashes| hashes.first().copied()),
            timeout: self.connection.timeout,
            at_once: self.connection.at_once(),
        };
        let verdicts = checker.check(&list);
        let said = say(&check::text(&verdicts));
        if said == ExitCode::SUCCESS && !verdicts.iter().all(|verdict| verdict.ok) {
            return ExitCode::FAILURE;
        }
        said
    }
}
