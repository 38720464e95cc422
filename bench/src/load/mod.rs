//! The load generator: connect, fill, measure, report.
//!
//! ```text
//!   options        what is asked for; nothing but loopback
//!   zipf           which torrents, when few have most of the peers
//!   shape          who is there after a fill, and in which order they come
//!   lanes          sockets; requests staged as runs of equal length
//!   generator      the turn: receive, expire, send
//!   pending        what is on its way, by transaction id
//!   check          every reply held against its request
//!   tally          what is counted and timed
//!   report         the table for people, the JSON for programs
//! ```

mod check;
mod fill;
mod generator;
mod lanes;
mod measure;
mod options;
mod pending;
mod report;
mod shape;
mod tally;
#[cfg(test)]
mod tests;
mod zipf;

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

pub(crate) use generator::Generator;
pub(crate) use options::{Options, loopback, loopback_any_port, seconds};
pub(crate) use tally::Tally;
pub(crate) use zipf::{Sampler, Spread};

use report::Report;

/// Runs the whole and prints the result.
pub(crate) fn run(options: &Options, stop: &AtomicBool) -> Result<(), String> {
    let report = measured(options, stop)?;
    let json = options.json.as_deref();
    if json != Some(Path::new("-")) {
        print!("{}", report.table());
    }
    let Some(file) = json else { return Ok(()) };
    let text = format!("{:#}\n", report.json());
    if file == Path::new("-") {
        print!("{text}");
        return Ok(());
    }
    fs::write(file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))
}

fn measured(options: &Options, stop: &AtomicBool) -> Result<Report, String> {
    let mut generator = Generator::new(options, stop)?;
    generator.connect()?;
    let filled = if options.fill {
        Some(generator.fill()?)
    } else {
        None
    };
    let measured = generator.measure()?;
    Ok(Report::new(options, &measured, filled))
}
