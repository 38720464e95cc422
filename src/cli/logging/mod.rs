//! The log: to standard error, where a terminal, a container and the journal all look for it, or to a
//! file.

mod file;

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write as _};

use env_logger::fmt::Formatter;
use env_logger::{Builder, Target, TimestampPrecision};
use log::{LevelFilter, Record};
use nix::sys::stat::fstat;
use serde::Serialize;

use crate::config::{Levels, Log, LogFormat};
use crate::request_log;
use file::LogFile;

/// A log that was started.
pub(super) struct Logging {
    file: Option<LogFile>,
}

impl Logging {
    /// Opens the file anew, if there is one, as somebody may have moved it away. The error is one
    /// sentence, and then the file that is open stays in use.
    pub(super) fn reopen(&self) -> Result<(), String> {
        self.file.as_ref().map_or(Ok(()), LogFile::reopen)
    }
}

/// Starts the log. What is written is up to the configuration alone, so `RUST_LOG` has no say;
/// `verbose` adds a line for each request. A file is given to `user` where root is about to become
/// that user. The error is one sentence.
pub(super) fn start(log: &Log, verbose: bool, user: &str) -> Result<Logging, String> {
    let mut builder = builder(&log.level, verbose);
    let file = if log.file.is_empty() {
        builder.target(Target::Stderr);
        None
    } else {
        let file = LogFile::open(log, user)?;
        builder.target(Target::Pipe(Box::new(file.clone())));
        Some(file)
    };
    match log.format {
        LogFormat::Json => {
            builder.format(write_json);
        }
        LogFormat::Text => {
            let journal = file.is_none() && is_journal(env::var_os("JOURNAL_STREAM").as_deref());
            let timestamp = (!journal).then_some(TimestampPrecision::Millis);
            builder.format_target(false).format_timestamp(timestamp);
        }
    }
    // Whoever embeds us may have a log already; then that one is used.
    drop(builder.try_init());
    Ok(Logging { file })
}

/// What is logged. rustls warns of what clients send, such as an address where a name should be: they
/// would fill the log as fast as they like.
fn builder(levels: &Levels, verbose: bool) -> Builder {
    let mut builder = Builder::new();
    builder.filter_level(levels.others);
    if levels.others < LevelFilter::Debug {
        builder.filter_module("rustls", LevelFilter::Off);
    }
    for (module, level) in &levels.modules {
        builder.filter_module(module, *level);
    }
    if verbose {
        builder.filter_module(request_log::TARGET, LevelFilter::Debug);
    }
    builder
}

/// A line for programs.
#[derive(Serialize)]
struct Line<'a> {
    /// RFC 3339, to the millisecond, UTC.
    time: String,
    level: &'static str,
    target: &'a str,
    message: String,
}

fn write_json(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let line = Line {
        time: out.timestamp_millis().to_string(),
        level: record.level().as_str(),
        target: record.target(),
        message: record.args().to_string(),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

/// Whether standard error is the journal, which writes the time beside each line itself. systemd
/// names the device and inode of the stream; a process further down may have inherited the variable
/// and write elsewhere, so both are compared.
fn is_journal(journal_stream: Option<&OsStr>) -> bool {
    let named = journal_stream
        .and_then(OsStr::to_str)
        .and_then(|stream| stream.split_once(':'));
    match (named, fstat(io::stderr())) {
        (Some((device, inode)), Ok(stderr)) => {
            device.parse() == Ok(stderr.st_dev) && inode.parse() == Ok(stderr.st_ino)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::{Level, Log as _, Metadata};

    fn is_logged(levels: &str, verbose: bool, level: Level, target: &str) -> bool {
        let levels = Levels::parse(levels).expect("levels");
        let record = Metadata::builder().level(level).target(target).build();
        builder(&levels, verbose).build().enabled(&record)
    }

    #[test]
    fn clients_write_nothing_into_the_log_unless_somebody_looks_for_faults() {
        let warns = |levels, target| is_logged(levels, false, Level::Warn, target);
        assert!(warns("info", "shoal::http"));
        assert!(!warns("info", "rustls::msgs::handshake"));
        assert!(warns("debug", "rustls::msgs::handshake"));
        assert!(warns("info,rustls=warn", "rustls::msgs::handshake"));
    }

    #[test]
    fn a_module_has_the_level_of_the_longest_name_that_fits_it() {
        let levels = "warn,shoal=info,shoal::http=debug";
        for (target, level, expected) in [
            ("elsewhere", Level::Info, false),
            ("shoal::boot", Level::Info, true),
            ("shoal::boot", Level::Debug, false),
            ("shoal::http::thread", Level::Debug, true),
        ] {
            let logged = is_logged(levels, false, level, target);
            assert_eq!(logged, expected, "{target} {level}");
        }
    }

    #[test]
    fn requests_are_logged_when_asked_for_in_either_way() {
        let told = |levels, verbose| is_logged(levels, verbose, Level::Debug, request_log::TARGET);
        assert!(!told("info", false));
        assert!(told("info", true));
        assert!(told("error", true));
        assert!(told("debug", false));
        assert!(told("info,shoal::requests=debug", false));
    }

    #[test]
    fn only_the_very_stream_of_the_journal_goes_without_the_time() {
        let stderr = fstat(io::stderr()).expect("standard error is open");
        let ours = format!("{}:{}", stderr.st_dev, stderr.st_ino);
        let other = format!("{}:{}", stderr.st_dev, stderr.st_ino + 1);
        assert!(is_journal(Some(OsStr::new(&ours))));
        assert!(!is_journal(Some(OsStr::new(&other))));
        for hostile in ["", ":", "8", "a:b", "99999999999999999999999:1"] {
            assert!(!is_journal(Some(OsStr::new(hostile))));
        }
        assert!(!is_journal(None));
    }
}
