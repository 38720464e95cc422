//! What is told of a soak: a table by quarters, the verdict, and pictures.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::sample::{Sample, csv};
use super::scene::{Troubles, Way};
use super::verdict::{Finding, median};
use crate::curves::sample::Cost;
use crate::curves::{Axis, Curve, Series, plot};

/// A row of the table or a line of a picture: what it is, and the figure of a sample.
type Line = (&'static str, fn(&Sample) -> f64);

const ROWS: [Line; 14] = [
    ("resident MiB", |it| it.rss_mib),
    ("of its own MiB", |it| it.pss_mib),
    ("open files", |it| it.files),
    ("threads", |it| it.threads),
    ("CPUs", |it| it.cpus),
    ("UDP p50 ms", |it| it.ways[Way::Udp as usize].p50_ms),
    ("UDP p99 ms", |it| it.ways[Way::Udp as usize].p99_ms),
    ("HTTP p50 ms", |it| it.ways[Way::Http as usize].p50_ms),
    ("HTTP p99 ms", |it| it.ways[Way::Http as usize].p99_ms),
    ("HTTPS p50 ms", |it| it.ways[Way::Https as usize].p50_ms),
    ("HTTPS p99 ms", |it| it.ways[Way::Https as usize].p99_ms),
    ("torrents", |it| it.torrents.count as f64),
    ("peers", |it| it.peers.count as f64),
    ("peers that should be there", |it| {
        u64::midpoint(it.peers.least, it.peers.most) as f64
    }),
];

/// The middle figures of each quarter, the sums, and every finding.
pub(super) fn page(samples: &[Sample], findings: &[Finding], troubles: &Troubles) -> String {
    let quarter = samples.len().div_ceil(4).max(1);
    let quarters: Vec<Vec<&Sample>> = (samples.chunks(quarter))
        .map(|part| part.iter().collect())
        .collect();
    let mut out = String::from("| |");
    for part in &quarters {
        let minutes = |at: Option<&&Sample>| at.map_or(0.0, |it| it.seconds / 60.0);
        // Writing to a String does not fail, here and below.
        let _ = write!(
            out,
            " {:.1} to {:.1} min |",
            minutes(part.first()),
            minutes(part.last())
        );
    }
    let _ = writeln!(out, "\n|---|{}", "---:|".repeat(quarters.len()));
    for (name, figure) in ROWS {
        let _ = write!(out, "| {name} |");
        for part in &quarters {
            let figure = median(part, figure);
            let _ = match figure {
                ..10.0 if figure.fract() != 0.0 => write!(out, " {figure:.2} |"),
                ..1000.0 if figure.fract() != 0.0 => write!(out, " {figure:.1} |"),
                _ => write!(out, " {figure:.0} |"),
            };
        }
        out.push('\n');
    }
    for (name, figure) in [
        (
            "honest requests",
            (|it| it.answered + it.lost) as fn(&super::sample::Answers) -> u64,
        ),
        ("of them lost", |it| it.lost),
    ] {
        let _ = write!(out, "| {name} |");
        for part in &quarters {
            let sum: u64 = part.iter().flat_map(|it| it.ways.iter().map(figure)).sum();
            let _ = write!(out, " {sum} |");
        }
        out.push('\n');
    }
    let read = |of: &std::sync::atomic::AtomicU64| of.load(std::sync::atomic::Ordering::Relaxed);
    let _ = writeln!(
        out,
        "\nBeside them {} datagrams of garbage, {} slow connections, {} bad requests, {} pieces of the \
         page of statistics, {} calls of the API, {} SIGHUPs with other lists and {} restarts.\n",
        read(&troubles.garbage),
        read(&troubles.slow_connections),
        read(&troubles.bad_requests),
        read(&troubles.events),
        read(&troubles.api_calls),
        read(&troubles.reloads),
        read(&troubles.restarts),
    );
    for Finding { is_good, text } in findings {
        let _ = writeln!(out, "- {}: {text}", if *is_good { "good" } else { "BAD" });
    }
    out
}

/// Writes the page, the samples and the pictures into `folder`.
pub(super) fn write(folder: &Path, page: &str, samples: &[Sample]) -> Result<(), String> {
    let mut files = vec![
        (String::from("soak.md"), page.to_owned()),
        (String::from("soak.csv"), csv(samples)),
    ];
    for curve in curves(samples) {
        files.push((format!("{}.svg", curve.name), plot::svg(&curve)));
    }
    for (name, text) in files {
        let file = folder.join(name);
        fs::write(&file, text)
            .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    Ok(())
}

fn curves(samples: &[Sample]) -> [Curve; 3] {
    let curve = |name, title, unit, lines: &[Line]| Curve {
        name,
        title,
        text: String::new(),
        x: Axis::linear("minutes"),
        y: Axis::linear(unit),
        series: lines.iter().map(|line| series(samples, line)).collect(),
    };
    [
        curve(
            "soak-memory",
            "Memory over time",
            "MiB",
            &[
                ("resident", |it| it.rss_mib),
                ("of its own", |it| it.pss_mib),
            ],
        ),
        curve(
            "soak-latency",
            "Latency over time, p99",
            "ms",
            &[
                ("UDP", |it| it.ways[Way::Udp as usize].p99_ms),
                ("HTTP", |it| it.ways[Way::Http as usize].p99_ms),
                ("HTTPS", |it| it.ways[Way::Https as usize].p99_ms),
            ],
        ),
        curve(
            "soak-peers",
            "Who is known over time",
            "peers",
            &[
                ("told by the tracker", |it| it.peers.count as f64),
                ("at least", |it| it.peers.least as f64),
                ("at most", |it| it.peers.most as f64),
            ],
        ),
    ]
}

/// Points for a picture: of a long run the middle of a few samples each, for nobody can tell more apart.
fn series(samples: &[Sample], (name, figure): &Line) -> Series {
    let mut series = Series::new(name);
    for part in samples.chunks(samples.len().div_ceil(120).max(1)) {
        let minutes = part[part.len() / 2].seconds / 60.0;
        series.add(minutes, Cost::of(part.iter().map(figure).collect()));
    }
    series
}
