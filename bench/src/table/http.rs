//! The page about HTTP: what a request costs, by what is asked of the connection, and what a
//! connection costs that nobody asks anything.

use std::fmt::Write;

use serde_json::Value;

use super::Results;
use super::page::{BUSY_MAX, SERVER_CPUS_MIN, heading, tenths, whole};

/// What was asked, as files and as readers call it.
pub(super) const LOADS: [(&str, &str); 5] = [
    ("http-keepalive", "HTTP, keep-alive"),
    ("http-close", "HTTP, a connection each"),
    ("https-keepalive", "HTTPS, keep-alive"),
    ("https-full", "HTTPS, a full handshake each"),
    ("https-resumed", "HTTPS, a resumed session each"),
];
const IDLE: [&str; 2] = ["http-idle", "https-idle"];

const PER_S: &str = "/requests_per_s";
const CPU: &str = "/server/cpu_us_per_request/all";
/// A run counts as resumed, or as not, when nearly all of its handshakes were.
const RESUMED_MIN: f64 = 0.95;

pub(super) fn page(results: &Results, machine: &str, date: &str) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = heading(&mut out, results, machine, date)
        .and_then(|()| loads(&mut out, results))
        .and_then(|()| idle(&mut out, results))
        .and_then(|()| doubts(&mut out, results));
    out
}

fn loads(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(
        out,
        "Saturated, one CPU for all of the server, CPU and latency in us:\n"
    )?;
    writeln!(
        out,
        "| asked | server | requests/s | lowest to highest | user | system | CPU a request | lowest to highest | p50 | p99 |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|")?;
    for (load, asked) in LOADS {
        for server in results.servers() {
            let number = |pointer| results.median(server, load, pointer);
            let range = |pointer| results.extremes(server, load, pointer);
            let Some((slowest, fastest)) = range(PER_S) else {
                continue;
            };
            let (cheapest, dearest) = range(CPU).unzip();
            writeln!(
                out,
                "| {asked} | {server} | {} | {} to {} | {} | {} | {} | {} to {} | {} | {} |",
                whole(number(PER_S)),
                whole(Some(slowest)),
                whole(Some(fastest)),
                tenths(number("/server/cpu_us_per_request/user")),
                tenths(number("/server/cpu_us_per_request/system")),
                tenths(number(CPU)),
                tenths(cheapest),
                tenths(dearest),
                whole(number("/load/latency_us/p50")),
                whole(number("/load/latency_us/p99")),
            )?;
        }
    }
    writeln!(out)
}

fn idle(out: &mut String, results: &Results) -> std::fmt::Result {
    let mut rows = Vec::new();
    for load in IDLE {
        for server in results.servers() {
            let number = |pointer| results.median(server, load, pointer);
            let Some(connections) = number("/connections") else {
                continue;
            };
            let kib = number("/bytes_per_connection").map(|bytes| bytes / 1024.0);
            let mib = |pointer| tenths(number(pointer).map(|kib| kib / 1024.0));
            rows.push(format!(
                "| {} | {server} | {} | {} | {} | {} |",
                if load == "http-idle" { "HTTP" } else { "HTTPS" },
                whole(Some(connections)),
                mib("/rss_kib/before"),
                mib("/rss_kib/after"),
                tenths(kib),
            ));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "Idle connections, one announce over each:\n")?;
    writeln!(
        out,
        "| over | server | connections | resident MiB before | with them | KiB each |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    writeln!(out, "{}\n", rows.join("\n"))
}

/// What a reader must know of single runs.
fn doubts(out: &mut String, results: &Results) -> std::fmt::Result {
    let mut doubts = Vec::new();
    for ((server, load), runs) in &results.runs {
        for (round, result) in runs {
            for doubt in doubts_of(server, load, result) {
                doubts.push(format!("- {server}, {load}, round {round}: {doubt}"));
            }
        }
    }
    if doubts.is_empty() {
        return writeln!(out, "No run gave reason for doubt.");
    }
    writeln!(out, "To be taken into account:\n\n{}", doubts.join("\n"))
}

/// The same of one run, whatever the server.
pub(super) fn doubts_of(_server: &str, load: &str, result: &Value) -> Vec<String> {
    let number = |pointer| result.pointer(pointer).and_then(Value::as_f64);
    let mut doubts = Vec::new();
    if let Some(cpus) = number("/server/cpus").filter(|&cpus| cpus < SERVER_CPUS_MIN) {
        doubts.push(format!(
            "the server ran for {:.0}% of the time only: it shared its CPU, or was not saturated",
            cpus * 100.0
        ));
    }
    if let Some(busy) = number("/generator/busy_share").filter(|&busy| busy > BUSY_MAX) {
        doubts.push(format!(
            "the generator was at work {:.0}% of the time and may have been the limit",
            busy * 100.0
        ));
    }
    let resumed = number("/load/resumed")
        .zip(number("/load/requests"))
        .map(|(resumed, requests)| resumed / requests.max(1.0));
    let wrong = match (load, resumed) {
        ("https-resumed", Some(share)) => share < RESUMED_MIN,
        ("https-full", Some(share)) => share > 0.0,
        _ => false,
    };
    if wrong {
        let percent = resumed.unwrap_or(0.0) * 100.0;
        doubts.push(format!("{percent:.0}% of the sessions were resumed"));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cost(rate: f64, cpu: f64, resumed: f64) -> Value {
        json!({
            "requests_per_s": rate,
            "load": {"requests": 1000, "resumed": resumed, "latency_us": {"p50": 900, "p99": 2000}},
            "server": {"cpu_us_per_request": {"user": 5.0, "system": cpu - 5.0, "all": cpu}, "cpus": 1.0},
            "generator": {"busy_share": 0.5},
        })
    }

    #[test]
    fn a_page_has_a_row_for_what_was_measured_and_for_nothing_else() {
        let mut results = Results::default();
        for (round, rate, cpu) in [(1, 9000.0, 50.0), (2, 11_000.0, 30.0), (3, 10_000.0, 40.0)] {
            results.insert("a", "http-keepalive", round, cost(rate, cpu, 0.0));
        }
        results.insert(
            "b",
            "http-idle",
            1,
            json!({
                "connections": 10_000,
                "rss_kib": {"before": 10_240, "after": 71_680},
                "bytes_per_connection": 6291.456,
            }),
        );
        let page = page(&results, "A machine", "2000-01-01");
        assert!(
            page.starts_with("2000-01-01. A machine. Medians of 3 rounds"),
            "{page}"
        );
        let row = "| HTTP, keep-alive | a | 10 000 | 9 000 to 11 000 | 5.0 | 35.0 | 40.0 | 30.0 to 50.0 | 900 | 2 000 |\n";
        assert!(page.contains(row), "{page}");
        assert!(
            page.contains("| HTTP | b | 10 000 | 10.0 | 70.0 | 6.1 |\n"),
            "{page}"
        );
        assert!(
            !page.contains("HTTPS") && page.ends_with("reason for doubt.\n"),
            "{page}"
        );
    }

    #[test]
    fn handshakes_of_the_other_kind_are_told() {
        let mut results = Results::default();
        results.insert("a", "https-resumed", 1, cost(1000.0, 100.0, 990.0));
        results.insert("a", "https-resumed", 2, cost(1000.0, 100.0, 500.0));
        results.insert("a", "https-full", 1, cost(1000.0, 100.0, 0.0));
        results.insert("a", "https-full", 2, cost(1000.0, 100.0, 10.0));
        let page = page(&results, "A machine", "");
        let doubts = "To be taken into account:\n\n\
                      - a, https-full, round 2: 1% of the sessions were resumed\n\
                      - a, https-resumed, round 2: 50% of the sessions were resumed\n";
        assert!(page.ends_with(doubts), "{page}");
    }
}
