//! What a process costs when nobody asks it anything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::load::seconds;
use crate::process::{Look, Usage};

/// How often the watch looks whether it should end; it touches the watched process only twice.
const STEP: Duration = Duration::from_millis(50);

/// Watch a process for a while: CPU time, wake-ups, memory. With no load on a server this is what
/// it costs to be idle.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// The process
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: u32,

    /// Seconds to watch
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    duration: f64,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options, stop: &AtomicBool) -> Result<(), String> {
    let before = Look::at(options.pid)?;
    let start = Instant::now();
    let duration = Duration::from_secs_f64(options.duration);
    while start.elapsed() < duration && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(STEP.min(duration.saturating_sub(start.elapsed())));
    }
    let seconds = start.elapsed().as_secs_f64().max(1e-9);
    let after = Look::at(options.pid)?;
    let usage = Usage::between(&before, &after);
    let sleeps_per_s = usage.sleeps as f64 / seconds;
    let cpu_us_per_s = usage.cpu_ns as f64 / 1e3 / seconds;
    if options.json {
        let report = json!({
            "report": "watch",
            "seconds": seconds,
            "sleeps_per_s": sleeps_per_s,
            "preemptions_per_s": usage.preemptions as f64 / seconds,
            "cpu_us_per_s": cpu_us_per_s,
            "rss_kib": after.rss_kib,
            "rss_peak_kib": after.rss_peak_kib,
            "threads": after.threads,
        });
        println!("{report:#}");
    } else {
        println!(
            "{sleeps_per_s:.1} wake-ups/s, {cpu_us_per_s:.0} us CPU a second, {:.1} MiB resident, \
             {} threads, for {seconds:.1} s",
            after.rss_kib as f64 / 1024.0,
            after.threads
        );
    }
    Ok(())
}
