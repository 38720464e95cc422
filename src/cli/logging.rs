//! The log: to standard error, where a terminal, a container and the journal all look for it.

use std::env;
use std::ffi::OsStr;
use std::io;

use env_logger::{Builder, Target, TimestampPrecision};
use log::LevelFilter;
use nix::sys::stat::fstat;

/// Starts the log. What is written is up to the configuration alone, so `RUST_LOG` has no say.
pub(super) fn start(level: LevelFilter) {
    let journal = is_journal(env::var_os("JOURNAL_STREAM").as_deref());
    let timestamp = (!journal).then_some(TimestampPrecision::Millis);
    let started = builder(level)
        .target(Target::Stderr)
        .format_target(false)
        .format_timestamp(timestamp)
        .try_init();
    // Whoever embeds us may have a log already; then that one is used.
    drop(started);
}

/// What is logged. rustls warns of what clients send, such as an address where a name should be: they
/// would fill the log as fast as they like.
fn builder(level: LevelFilter) -> Builder {
    let mut builder = Builder::new();
    builder.filter_level(level);
    if level < LevelFilter::Debug {
        builder.filter_module("rustls", LevelFilter::Off);
    }
    builder
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
    use log::{Level, Log, Metadata};

    #[test]
    fn clients_write_nothing_into_the_log_unless_somebody_looks_for_faults() {
        let is_logged = |level, target| {
            let warning = Metadata::builder()
                .level(Level::Warn)
                .target(target)
                .build();
            builder(level).build().enabled(&warning)
        };
        assert!(is_logged(LevelFilter::Info, "shoal::http"));
        assert!(!is_logged(LevelFilter::Info, "rustls::msgs::handshake"));
        assert!(is_logged(LevelFilter::Debug, "rustls::msgs::handshake"));
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
