//! `shoal doctor`: the host and the announce URLs, looked at.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{Sources, fail, say};
use crate::config::Loaded;
use crate::doctor::host::Host;
use crate::doctor::report::{self, Verdict};
use crate::doctor::{examine, fix};
use crate::query::target::Target;

/// The arguments of `shoal doctor`.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit code: 0 when nothing will lose packets, 1 when something will or a file could not be \
                  written, 2 when the configuration or the command line is wrong."
)]
pub(super) struct Doctor {
    #[command(flatten)]
    sources: Sources,
    #[arg(
        long = "url",
        value_name = "URL",
        value_parser = target,
        help = "Announce URL to look at as strangers do, such as \
                udp://tracker.example.org:6969/announce; may be repeated"
    )]
    urls: Vec<Target>,
    /// Write /etc/sysctl.d/60-shoal.conf and /etc/nftables.d/60-shoal.nft after showing them
    #[arg(long)]
    fix: bool,
    /// Write below this folder instead, as for the image of another host
    #[arg(long, value_name = "DIR", requires = "fix", default_value = "/")]
    root: PathBuf,
    /// Print JSON, as docs/doctor.md describes it
    #[arg(long)]
    json: bool,
}

/// Without the place of the mistake, which clap names.
fn target(url: &str) -> Result<Target, String> {
    url.parse()
}

impl Doctor {
    /// Looks, prints, writes if that is wanted, and gives the exit code.
    pub(super) fn run(&self) -> ExitCode {
        let Loaded { config, source, .. } = match self.sources.load() {
            Ok(loaded) => loaded,
            Err(mistakes) => {
                fail(&mistakes);
                return ExitCode::from(2);
            }
        };
        let host = Host::at(Path::new("/"));
        let findings = examine(&config, &host, &self.urls);
        let files = if self.fix {
            fix::drop_ins(&config, &host)
        } else {
            Vec::new()
        };
        if !self.json {
            let said = say(&format!(
                "{}{}",
                report::text(&findings),
                fix::shown(&files)
            ));
            if said != ExitCode::SUCCESS {
                return said;
            }
        }
        let written = fix::write(files, &self.root);
        let said = say(&if self.json {
            report::json(&source, &findings, &written)
        } else {
            fix::told(&written)
        });
        for sentence in written.iter().filter_map(|one| one.result.as_ref().err()) {
            fail(sentence);
        }
        let is_written = written.iter().all(|one| one.result.is_ok());
        if !is_written || report::worst(&findings) == Verdict::WillLosePackets {
            return ExitCode::FAILURE;
        }
        said
    }
}
