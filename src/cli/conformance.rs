//! `shoal query --conformance`: what each tracker does, check by check.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{fail, say};
use crate::query::ask::Manner;
use crate::query::conformance::{self, Options, Report};
use crate::query::failure::{Deadline, Failure, json_text};
use crate::query::target::Target;
use crate::wire::InfoHash;

/// The arguments that only the checks of conformance have.
#[derive(Args, Debug)]
pub(super) struct Conformance {
    /// Check what the trackers do against the BEPs and the needs of real clients, with some 100 requests
    /// each; exit code 1 when a check fails. Of the other options, those of connections and outputs and
    /// --hash count
    #[arg(
        id = "conformance",
        long,
        conflicts_with_all = ["scrape", "full_scrape", "csv", "repeat", "until_success", "client",
                              "random_client", "proxy_header"]
    )]
    wanted: bool,
    /// Also try a connection id after so many seconds (UDP); 190 tells whether it is forgotten
    #[arg(long, value_name = "SECONDS", requires = "conformance")]
    stale: Option<u64>,
    /// How many seconds to wait for the end of a request that is never finished (HTTP)
    #[arg(
        long,
        value_name = "SECONDS",
        requires = "conformance",
        default_value_t = 35
    )]
    patience: u64,
}

/// What is printed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Show {
    pub(super) output: Output,
    pub(super) hex: bool,
    pub(super) colour: bool,
}

/// In which form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Output {
    Table,
    Json,
    Quiet,
}

impl Conformance {
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Checks one tracker after the other. The error is that of a wrong command line.
    pub(super) fn run(
        &self,
        urls: &[String],
        info_hash: Option<InfoHash>,
        manner: &Manner,
        timeout: Duration,
        show: Show,
    ) -> Result<ExitCode, String> {
        let targets: Vec<Target> = urls
            .iter()
            .map(|url| url.parse().map_err(|mistake| format!("{url}: {mistake}")))
            .collect::<Result<_, _>>()?;
        let options = Options {
            info_hash,
            trust: Arc::clone(&manner.trust),
            // That of a whole query is long for one answer, of which some never come.
            timeout: timeout.min(Options::default().timeout),
            head_timeout: Duration::from_secs(self.patience),
            stale_after: self.stale.map(Duration::from_secs),
            ..Options::default()
        };
        let mut code = ExitCode::SUCCESS;
        let mut reports = Vec::new();
        for target in &targets {
            match check(target, manner, &options, timeout, show.output) {
                Ok(report) => {
                    if !report.is_good() {
                        code = ExitCode::FAILURE;
                    }
                    if show.output == Output::Table {
                        let said = say(&report.table(show.colour, show.hex).to_string());
                        if said != ExitCode::SUCCESS {
                            return Ok(said);
                        }
                    }
                    reports.push(report.to_json(show.hex));
                }
                Err(failure) => {
                    code = ExitCode::FAILURE;
                    if show.output == Output::Table {
                        fail(&format_args!("{target}: {failure}"));
                    }
                    let text = failure.to_string();
                    reports.push(json!({ "target": target.to_string(), "failure": text }));
                }
            }
        }
        if show.output == Output::Json {
            let all = json!({ "version": 1, "reports": reports });
            let said = say(&json_text(&all));
            if said != ExitCode::SUCCESS {
                return Ok(said);
            }
        }
        Ok(code)
    }
}

fn check(
    target: &Target,
    manner: &Manner,
    options: &Options,
    timeout: Duration,
    output: Output,
) -> Result<Report, Failure> {
    let addresses = target.resolve(manner.family, Deadline::after(timeout))?;
    let shows_progress = output != Output::Quiet && io::stderr().is_terminal();
    let report = conformance::run(target, &addresses, options, &mut |id| {
        if shows_progress {
            let _ = write!(io::stderr(), "\r\x1b[K{id} ");
        }
    });
    if shows_progress {
        // The line is taken away again.
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    report
}
