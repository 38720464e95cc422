//! The page of Shoal beside other trackers: every load and shape, who comes first in it, and what Shoal set
//! out to reach.

mod bars;
mod pictures;
#[cfg(test)]
mod tests;

use std::fmt::Write;

pub(super) use bars::svg;
pub(super) use pictures::draw;

use super::page::{self, heading, percent, ratio, tenths, whole};
use super::{ECHO, Results, SHOAL, http};

const PER_S: &str = "/requests/all/responses_per_s";
const CPU: &str = "/server/cpu_ns_per_response/all";
const USER: &str = "/server/cpu_ns_per_response/user";
const SYSTEM: &str = "/server/cpu_ns_per_response/system";
const LOSS: &str = "/requests/all/loss_share";
const RSS: &str = "/server/rss_kib";
/// Who loses more than this share of the requests may be quick with the others; that is no merit.
const LOSS_MAX: f64 = 0.01;
const LATENCIES: [(&str, &str); 3] = [
    ("p50", "/requests/all/latency_us/p50"),
    ("p99", "/requests/all/latency_us/p99"),
    ("p99.9", "/requests/all/latency_us/p99.9"),
];

const HTTP_PER_S: &str = "/requests_per_s";
const HTTP_CPU: &str = "/server/cpu_us_per_request/all";
const HTTP_USER: &str = "/server/cpu_us_per_request/user";
const HTTP_SYSTEM: &str = "/server/cpu_us_per_request/system";

/// The phases over UDP by family: saturated, and by the clock.
const FAMILIES: [(&str, &str, &str); 2] = [
    ("UDP over IPv4", "udp4-saturated", "udp4-paced"),
    ("UDP over IPv6", "udp6-saturated", "udp6-paced"),
];

const SHAPES: [(&str, &str); 4] = [
    ("memory-1Mx4", "1M x 4"),
    ("memory-10kx400", "10k x 400"),
    ("memory-2Mx1", "2M x 1"),
    ("memory-zipf", "Zipf"),
];

pub(super) fn page(results: &Results, machine: &str, date: &str, about: &str) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = write_page(&mut out, results, machine, date, about);
    out
}

fn write_page(
    out: &mut String,
    results: &Results,
    machine: &str,
    date: &str,
    about: &str,
) -> std::fmt::Result {
    heading(out, results, machine, date)?;
    if !about.is_empty() {
        writeln!(out, "{}\n", about.trim())?;
    }
    saturated(out, results)?;
    paced(out, results)?;
    memory(out, results)?;
    http_loads(out, results)?;
    firsts(out, results)?;
    targets(out, results)?;
    doubts(out, results)
}

fn saturated(out: &mut String, results: &Results) -> std::fmt::Result {
    let Some(shape) = FAMILIES
        .iter()
        .find_map(|(_, phase, _)| page::shape(results, phase))
    else {
        return Ok(());
    };
    writeln!(out, "Saturated, {shape}; CPU of a response in ns:\n")?;
    pictures(out, &["udp-rate", "udp-cpu"])?;
    writeln!(
        out,
        "| over | server | responses/s | lowest to highest | x echo | x shoal | user | system | CPU | x echo | x shoal | lost | peers a reply |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|---|---|---|")?;
    for (over, phase, _) in FAMILIES {
        for server in results.servers() {
            let Some((lowest, highest)) = results.extremes(server, phase, PER_S) else {
                continue;
            };
            let number = |pointer| results.median(server, phase, pointer);
            let times = |of, pointer| ratio(results.times(of, server, phase, pointer));
            writeln!(
                out,
                "| {over} | {server} | {} | {} to {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                whole(number(PER_S)),
                whole(Some(lowest)),
                whole(Some(highest)),
                times(ECHO, PER_S),
                times(SHOAL, PER_S),
                whole(number(USER)),
                whole(number(SYSTEM)),
                whole(number(CPU)),
                times(ECHO, CPU),
                times(SHOAL, CPU),
                percent(number(LOSS)),
                tenths(number("/peers_per_announce")),
            )?;
        }
    }
    writeln!(out)
}

fn paced(out: &mut String, results: &Results) -> std::fmt::Result {
    let rates = FAMILIES.map(|(_, _, phase)| results.median(SHOAL, phase, "/options/rate"));
    let Some(rate) = rates.into_iter().flatten().next() else {
        return Ok(());
    };
    writeln!(
        out,
        "At {} requests/s, latency in us from the intended time, CPU of a response in ns:\n",
        whole(Some(rate))
    )?;
    pictures(out, &["udp-latency"])?;
    writeln!(
        out,
        "| over | server | p50 | p99 | p99.9 | p99, x shoal | user | system | CPU | x echo | x shoal | lost |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|---|---|")?;
    for (over, _, phase) in FAMILIES {
        for server in results.servers() {
            let number = |pointer| results.median(server, phase, pointer);
            if number(PER_S).is_none() {
                continue;
            }
            let [p50, p99, p999] = LATENCIES.map(|(_, pointer)| whole(number(pointer)));
            let times = |of, pointer| ratio(results.times(of, server, phase, pointer));
            writeln!(
                out,
                "| {over} | {server} | {p50} | {p99} | {p999} | {} | {} | {} | {} | {} | {} | {} |",
                times(SHOAL, LATENCIES[1].1),
                whole(number(USER)),
                whole(number(SYSTEM)),
                whole(number(CPU)),
                times(ECHO, CPU),
                times(SHOAL, CPU),
                percent(number(LOSS)),
            )?;
        }
    }
    writeln!(out)
}

/// The share of a shape's peers that a server took within the time; 1 where nothing was said.
fn filled(results: &Results, server: &str, phase: &str) -> f64 {
    let number = |pointer| results.median(server, phase, pointer);
    number("/fill/peers")
        .zip(number("/fill/total"))
        .map_or(1.0, |(peers, total)| peers / total.max(1.0))
}

/// Memory with all peers of a shape; `None` where they were not all taken.
fn resident(results: &Results, server: &str, phase: &str) -> Option<f64> {
    let rss = results.median(server, phase, RSS);
    rss.filter(|_| filled(results, server, phase) >= 1.0)
}

fn memory(out: &mut String, results: &Results) -> std::fmt::Result {
    let servers: Vec<&str> = results
        .servers()
        .into_iter()
        .filter(|server| {
            SHAPES
                .iter()
                .any(|(phase, _)| results.median(server, phase, RSS).is_some())
        })
        .collect();
    if servers.is_empty() {
        return Ok(());
    }
    let zipf = |pointer| results.median(SHOAL, "memory-zipf", pointer);
    let what = match (zipf("/fill/total"), zipf("/options/torrents")) {
        (Some(peers), Some(torrents)) => format!(
            "; Zipf: {} peers in {} torrents, 64 512 in one at most",
            whole(Some(peers)),
            whole(Some(torrents))
        ),
        _ => String::new(),
    };
    writeln!(
        out,
        "Resident MiB, torrents x peers of each{what}. In brackets how many times Shoal's, or how many of the \
         peers a server had taken when the time was over:\n"
    )?;
    pictures(out, &["memory"])?;
    writeln!(out, "| server | 1M x 4 | 10k x 400 | 2M x 1 | Zipf |")?;
    writeln!(out, "|---|---|---|---|---|")?;
    for server in servers {
        let cells = SHAPES.map(|(phase, _)| {
            let mib = results
                .median(server, phase, RSS)
                .map(|kib| tenths(Some(kib / 1024.0)));
            let share = filled(results, server, phase);
            let times = resident(results, server, phase).zip(resident(results, SHOAL, phase));
            match (mib, times) {
                (None, _) => String::from("-"),
                (Some(mib), _) if share < 1.0 => {
                    format!("{mib} ({} of the peers)", percent(Some(share)))
                }
                (Some(mib), Some((theirs, ours))) if server != SHOAL => {
                    format!("{mib} ({})", ratio(Some(theirs / ours)))
                }
                (Some(mib), _) => mib,
            }
        });
        writeln!(out, "| {server} | {} |", cells.join(" | "))?;
    }
    writeln!(out)
}

fn http_loads(out: &mut String, results: &Results) -> std::fmt::Result {
    let measured = |load: &str| {
        let mut servers = results.servers().into_iter();
        servers.any(|server| results.median(server, load, HTTP_PER_S).is_some())
    };
    if !http::LOADS.iter().any(|(load, _)| measured(load)) {
        return Ok(());
    }
    writeln!(
        out,
        "Over HTTP and HTTPS, saturated, one CPU for all of the server, CPU and latency in us:\n"
    )?;
    pictures(out, &["http-rate", "http-cpu"])?;
    writeln!(
        out,
        "| asked | server | requests/s | lowest to highest | x shoal | user | system | CPU a request | x shoal | p50 | p99 | p99.9 |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|---|---|")?;
    for (load, asked) in http::LOADS {
        for server in results.servers() {
            let Some((slowest, fastest)) = results.extremes(server, load, HTTP_PER_S) else {
                continue;
            };
            let number = |pointer| results.median(server, load, pointer);
            let times = |pointer| ratio(results.times(SHOAL, server, load, pointer));
            writeln!(
                out,
                "| {asked} | {server} | {} | {} to {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                whole(number(HTTP_PER_S)),
                whole(Some(slowest)),
                whole(Some(fastest)),
                times(HTTP_PER_S),
                tenths(number(HTTP_USER)),
                tenths(number(HTTP_SYSTEM)),
                tenths(number(HTTP_CPU)),
                times(HTTP_CPU),
                whole(number("/load/latency_us/p50")),
                whole(number("/load/latency_us/p99")),
                whole(number("/load/latency_us/p99.9")),
            )?;
        }
    }
    writeln!(out)
}

/// What the trackers contend for.
struct Contest {
    what: String,
    more_is_better: bool,
    /// Servers and their figures; the echo is no tracker.
    figures: Vec<(String, f64)>,
}

fn contests(results: &Results) -> Vec<Contest> {
    let trackers = || results.servers().into_iter().filter(|&it| it != ECHO);
    let contest = |what: String, more_is_better, phase: &str, pointer: &str| Contest {
        what,
        more_is_better,
        figures: trackers()
            .filter_map(|server| {
                let figure = match pointer {
                    RSS => resident(results, server, phase),
                    _ => results.median(server, phase, pointer),
                };
                let lost = results.median(server, phase, LOSS).unwrap_or(0.0);
                Some((server.into(), figure.filter(|_| lost <= LOSS_MAX)?))
            })
            .collect(),
    };
    let mut contests = Vec::new();
    for (over, saturated, paced) in FAMILIES {
        contests.push(contest(
            format!("{over}, responses/s"),
            true,
            saturated,
            PER_S,
        ));
        contests.push(contest(
            format!("{over}, CPU saturated"),
            false,
            saturated,
            CPU,
        ));
        for (name, pointer) in LATENCIES {
            contests.push(contest(format!("{over}, {name}"), false, paced, pointer));
        }
        contests.push(contest(
            format!("{over}, CPU by the clock"),
            false,
            paced,
            CPU,
        ));
    }
    for (phase, shape) in SHAPES {
        contests.push(contest(format!("memory, {shape}"), false, phase, RSS));
    }
    for (load, asked) in http::LOADS {
        contests.push(contest(
            format!("{asked}, requests/s"),
            true,
            load,
            HTTP_PER_S,
        ));
        contests.push(contest(
            format!("{asked}, CPU a request"),
            false,
            load,
            HTTP_CPU,
        ));
    }
    contests.retain(|contest| contest.figures.len() > 1);
    contests
}

/// Says where Shoal does not come first.
fn firsts(out: &mut String, results: &Results) -> std::fmt::Result {
    let contests = contests(results);
    let lost: Vec<String> =
        contests
            .iter()
            .filter_map(|contest| {
                let shoal = contest.figures.iter().find(|(name, _)| name == SHOAL)?;
                let beats = |one: f64, other: f64| {
                    if contest.more_is_better {
                        one > other
                    } else {
                        one < other
                    }
                };
                // From Shoal on, so that who is just as good does not come before it.
                let (winner, theirs) = contest.figures.iter().fold(shoal, |best, next| {
                    if beats(next.1, best.1) { next } else { best }
                });
                let times = ratio(Some(theirs / shoal.1));
                (winner != SHOAL).then(|| format!("- {}: {winner}, {times} x shoal", contest.what))
            })
            .collect();
    match (contests.len(), lost.len()) {
        (0, _) => Ok(()),
        (all, 0) => writeln!(out, "In all {all} comparisons Shoal comes first.\n"),
        (all, behind) => writeln!(
            out,
            "In {} of {all} comparisons Shoal comes first. Another comes first in:\n\n{}\n",
            all - behind,
            lost.join("\n")
        ),
    }
}

/// What Shoal is held against, and what was measured. The figures are goals of the project.
fn targets(out: &mut String, results: &Results) -> std::fmt::Result {
    const UDP: &str = "udp4-saturated";
    let shoal = |phase, pointer| results.median(SHOAL, phase, pointer);
    let mib = |phase| resident(results, SHOAL, phase).map(|kib| kib / 1024.0);
    // Shoal is compared with the others here, so the ratio is the other way round than in the tables.
    let rate = results.times("aquatic", SHOAL, UDP, PER_S);
    let rows = [
        ("responses/s, times aquatic's", true, 1.5, rate),
        ("user ns a response", false, 300.0, shoal(UDP, USER)),
        (
            "CPU a response, times the echo's",
            false,
            1.15,
            results.times(ECHO, SHOAL, UDP, CPU),
        ),
        ("MiB, 1M x 4", false, 120.0, mib("memory-1Mx4")),
        ("MiB, 10k x 400", false, 48.0, mib("memory-10kx400")),
        ("MiB, 2M x 1", false, 160.0, mib("memory-2Mx1")),
        (
            "HTTP keep-alive, CPU us a request",
            false,
            35.0,
            shoal("http-keepalive", HTTP_CPU),
        ),
    ];
    if rows.iter().all(|(.., measured)| measured.is_none()) {
        return Ok(());
    }
    writeln!(out, "What Shoal set out to reach:\n")?;
    writeln!(out, "| | target | measured | reached |")?;
    writeln!(out, "|---|---|---|---|")?;
    for (what, at_least, target, measured) in rows {
        let Some(measured) = measured else { continue };
        let (bound, reached) = if at_least {
            (">=", measured >= target)
        } else {
            ("<=", measured <= target)
        };
        // Ratios need their hundredths, and hundreds of nanoseconds do not.
        let measured = if target < 10.0 {
            ratio(Some(measured))
        } else {
            tenths(Some(measured))
        };
        let reached = if reached { "yes" } else { "no" };
        writeln!(
            out,
            "| {what} | {bound} {target} | {measured} | {reached} |"
        )?;
    }
    writeln!(out)
}

fn doubts(out: &mut String, results: &Results) -> std::fmt::Result {
    let mut doubts = Vec::new();
    for ((server, phase), runs) in &results.runs {
        let of_run = if phase.starts_with("http") {
            http::doubts_of
        } else {
            page::doubts_of
        };
        for (round, result) in runs {
            for doubt in of_run(server, phase, result) {
                doubts.push(format!("- {server}, {phase}, round {round}: {doubt}"));
            }
        }
    }
    if doubts.is_empty() {
        return writeln!(out, "No run gave reason for doubt.");
    }
    writeln!(out, "To be taken into account:\n\n{}", doubts.join("\n"))
}

/// Puts pictures into the page, which lies beside their folder.
fn pictures(out: &mut String, names: &[&str]) -> std::fmt::Result {
    for name in names {
        writeln!(out, "![{name}](plots/{name}.svg)\n")?;
    }
    Ok(())
}
