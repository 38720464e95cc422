//! Does anything drift? Each finding has its reason.

use std::fmt::Write as _;

use super::sample::{Answers, Sample};
use super::scene::{Figures, Way};

/// MiB that resident memory may grow, beside a hundredth of it, in an hour or in a shorter run.
const GROWTH_MIB: f64 = 4.0;
/// Files that may be open more at the end than at the beginning: clients come and go.
const FILES: f64 = 16.0;
/// Threads that there may be more: the control server has up to four that wait for the disk, which come when they
/// are needed and go when they are not.
const THREADS: f64 = 4.0;
/// Share of honest requests that may be lost.
const LOST: f64 = 0.001;
/// One sample in so many may disagree about who is known: the host may stand still for a while.
const DISAGREE: usize = 50;

/// One thing that was looked at.
pub(super) struct Finding {
    pub(super) is_good: bool,
    pub(super) text: String,
}

fn finding(is_good: bool, text: String) -> Finding {
    Finding { is_good, text }
}

/// What was seen beside the samples.
pub(super) struct Seen {
    pub(super) totals: [Figures; 3],
    pub(super) errors: Vec<String>,
    pub(super) warnings: usize,
    pub(super) api_failed: u64,
    pub(super) restarts: u64,
    /// How it ended.
    pub(super) ended: Result<(), String>,
}

/// What depends on the run and its host.
#[derive(Clone, Copy)]
pub(super) struct Allowed {
    /// Seconds at the beginning that do not count.
    pub(super) warm_up: f64,
    /// Milliseconds by which p99 may rise for other work of the host.
    pub(super) slack_ms: f64,
}

/// Holds `samples`, and what was seen beside, against what is allowed.
pub(super) fn judge(samples: &[Sample], allowed: &Allowed, seen: &Seen) -> Vec<Finding> {
    let settled: Vec<&Sample> = (samples.iter())
        .filter(|sample| sample.seconds >= allowed.warm_up)
        .collect();
    let mut findings = Vec::new();
    if settled.len() < 6 {
        let text = format!("{} samples after the warm-up are too few", settled.len());
        findings.push(finding(false, text));
    } else {
        findings.push(memory(&settled));
        let (first, last) = thirds(&settled);
        for (what, of, more) in [
            ("open files", (|it| it.files) as fn(&Sample) -> f64, FILES),
            ("threads", |it| it.threads, THREADS),
        ] {
            let (before, after) = (median(first, of), median(last, of));
            let text = format!("{what}: {before:.0} at first, {after:.0} at last");
            findings.push(finding(after <= before + more, text));
        }
        findings.extend(Way::ALL.map(|way| latency(first, last, way, allowed.slack_ms)));
        findings.push(counts(&settled));
    }
    for (way, figures) in Way::ALL.into_iter().zip(&seen.totals) {
        let all = figures.answered + figures.lost;
        let mut text = format!(
            "{}: {} of {all} honest requests lost",
            way.name(),
            figures.lost
        );
        if let Some(fault) = &figures.first_fault {
            // Writing to a String does not fail, here and below.
            let _ = write!(text, ", first: {fault}");
        }
        let most = all as f64 * LOST;
        findings.push(finding(all > 0 && figures.lost as f64 <= most, text));
    }
    let accepted: u64 = seen.totals.iter().map(|it| it.forged_accepted).sum();
    let text = format!("{accepted} requests with bad connection ids were answered");
    findings.push(finding(accepted == 0, text));
    let text = format!("{} calls of the API failed", seen.api_failed);
    findings.push(finding(seen.api_failed <= seen.restarts, text));
    let mut text = format!(
        "the log has {} errors and {} warnings",
        seen.errors.len(),
        seen.warnings
    );
    if let Some(first) = seen.errors.first() {
        let _ = write!(text, ", first: {first}");
    }
    findings.push(finding(seen.errors.is_empty(), text));
    findings.push(match &seen.ended {
        Ok(()) => finding(true, String::from("SIGTERM ended it as it should")),
        Err(error) => finding(false, error.clone()),
    });
    findings
}

/// Theil and Sen's slope: the middle of those between all pairs of samples, of one process each.
fn memory(settled: &[&Sample]) -> Finding {
    let mut slopes = Vec::new();
    for (at, later) in settled.iter().enumerate() {
        let earlier = settled[..at].iter().filter(|it| it.pid == later.pid);
        slopes.extend(earlier.map(|it| {
            let hours = (later.seconds - it.seconds) / 3600.0;
            (later.rss_mib - it.rss_mib) / hours.max(1e-9)
        }));
    }
    let slope = middle(slopes);
    let span_h = (settled[settled.len() - 1].seconds - settled[0].seconds) / 3600.0;
    let resident = median(settled, |it| it.rss_mib);
    let growth = slope * span_h.min(1.0);
    let allowed = GROWTH_MIB + resident / 100.0;
    let text = format!(
        "resident memory: {resident:.1} MiB, {slope:+.2} MiB an hour, seen for {:.1} minutes \
         ({growth:+.2} MiB of {allowed:.1} allowed)",
        span_h * 60.0
    );
    finding(growth <= allowed, text)
}

fn latency(first: &[&Sample], last: &[&Sample], way: Way, slack_ms: f64) -> Finding {
    let of = |part: &[&Sample], figure: fn(&Answers) -> f64| {
        middle(
            part.iter()
                .map(|it| figure(&it.ways[way as usize]))
                .collect(),
        )
    };
    let p50 = [first, last].map(|part| of(part, |it| it.p50_ms));
    let p99 = [first, last].map(|part| of(part, |it| it.p99_ms));
    let text = format!(
        "{}: p50 {:.2} ms at first, {:.2} at last; p99 {:.2} and {:.2}",
        way.name(),
        p50[0],
        p50[1],
        p99[0],
        p99[1]
    );
    // The host has other work, which the far end feels first.
    let is_good = p50[1] <= p50[0] * 2.0 + slack_ms / 10.0 && p99[1] <= p99[0] * 3.0 + slack_ms;
    finding(is_good, text)
}

fn counts(settled: &[&Sample]) -> Finding {
    let agrees = |it: &&&Sample| it.torrents.agrees() && it.peers.agrees();
    let wrong: Vec<&&Sample> = settled.iter().filter(|it| !agrees(it)).collect();
    let mut text = format!(
        "torrents and peers are those that should be known in {} of {} samples",
        settled.len() - wrong.len(),
        settled.len()
    );
    if let Some(it) = wrong.first() {
        let _ = write!(
            text,
            ", first not at {:.0} s: {:?}, {:?}",
            it.seconds, it.torrents, it.peers
        );
    }
    finding(wrong.len() <= settled.len() / DISAGREE, text)
}

fn thirds<'a, 'b>(settled: &'b [&'a Sample]) -> (&'b [&'a Sample], &'b [&'a Sample]) {
    let third = settled.len() / 3;
    (&settled[..third], &settled[settled.len() - third..])
}

/// The middle figure of some samples.
pub(super) fn median(samples: &[&Sample], of: fn(&Sample) -> f64) -> f64 {
    middle(samples.iter().map(|sample| of(sample)).collect())
}

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::super::sample::Told;
    use super::*;

    fn samples(change: impl Fn(usize, &mut Sample)) -> Vec<Sample> {
        (0..100)
            .map(|number| {
                let held = Told {
                    count: 1000,
                    least: 990,
                    most: 1010,
                };
                let mut sample = Sample {
                    seconds: 36.0 * number as f64,
                    pid: 7,
                    rss_mib: 100.0,
                    files: 40.0,
                    threads: 9.0,
                    torrents: held,
                    peers: held,
                    ..Sample::default()
                };
                change(number, &mut sample);
                sample
            })
            .collect()
    }

    fn seen() -> Seen {
        let mut totals: [Figures; 3] = Default::default();
        for figures in &mut totals {
            figures.answered = 10_000;
        }
        Seen {
            totals,
            errors: Vec::new(),
            warnings: 3,
            api_failed: 0,
            restarts: 0,
            ended: Ok(()),
        }
    }

    fn reasons(samples: &[Sample], seen: &Seen) -> Vec<String> {
        let allowed = Allowed {
            warm_up: 300.0,
            slack_ms: 5.0,
        };
        let findings = judge(samples, &allowed, seen);
        let bad = findings.into_iter().filter(|it| !it.is_good);
        bad.map(|it| it.text).collect()
    }

    #[test]
    fn what_stays_as_it_is_passes_whatever_was_before_the_warm_up() {
        let steady = samples(|number, it| {
            if number < 8 {
                it.rss_mib = 10.0;
                it.peers.count = 0;
            }
            // A sample that is far off moves nothing.
            it.ways[0].p99_ms = if number == 60 { 900.0 } else { 1.0 };
        });
        assert_eq!(reasons(&steady, &seen()), Vec::<String>::new());
    }

    #[test]
    fn each_drift_is_found_and_nothing_else() {
        type Change = fn(usize, &mut Sample);
        let drifts: [(&str, Change); 6] = [
            ("resident memory", |n, it| it.rss_mib += n as f64 / 15.0),
            ("open files", |n, it| it.files += n as f64 / 3.0),
            ("threads", |n, it| it.threads += (n / 10) as f64),
            ("udp: p50", |n, it| {
                it.ways[0].p50_ms = 1.0 + n as f64 / 20.0;
            }),
            ("https: p50", |n, it| {
                it.ways[2].p99_ms = (n / 10) as f64 * 4.0;
            }),
            ("torrents and peers", |n, it| {
                it.peers.count += 30 * (n as u64 / 20);
            }),
        ];
        for (name, change) in drifts {
            let found = reasons(&samples(change), &seen());
            assert!(
                found.len() == 1 && found[0].starts_with(name),
                "{name}: {found:?}"
            );
        }
    }

    #[test]
    fn memory_of_one_process_is_not_held_against_that_of_another() {
        let restarted = samples(|number, it| {
            it.pid = 1 + number as u32 / 50;
            it.rss_mib += 30.0 * f64::from(it.pid);
        });
        assert_eq!(reasons(&restarted, &seen()), Vec::<String>::new());
    }

    #[test]
    fn losses_errors_accepted_forgeries_and_a_bad_end_are_reasons() {
        let steady = samples(|_, _| {});
        let mut seen = seen();
        seen.totals[1].lost = 11;
        seen.totals[0].forged_accepted = 1;
        seen.errors.push(String::from("ERROR it broke"));
        seen.ended = Err(String::from("SIGTERM ended it with 1"));
        seen.api_failed = 1;
        assert_eq!(reasons(&steady, &seen).len(), 5);
        assert_eq!(reasons(&steady[..12], &seen).len(), 6);
    }
}
