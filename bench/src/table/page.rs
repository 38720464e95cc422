//! The page: what was measured on which machine, and whatever casts doubt on it.

use std::fmt::Write;

use serde_json::Value;

use super::{ECHO, Results, Rounds};

/// Above this the generator was at work nearly all the time, and may itself have been the limit.
pub(super) const BUSY_MAX: f64 = 0.95;
/// A saturated server that ran for less of the time was kept from its CPU, or had nothing to do.
pub(super) const SERVER_CPUS_MIN: f64 = 0.9;
/// Share of lost requests that need no explanation at saturation.
const LOSS_MAX: f64 = 0.001;

const ALL_PER_S: &str = "/requests/all/responses_per_s";
const CPU: &str = "/server/cpu_ns_per_response/all";

pub(super) fn page(results: &Results, machine: &str, date: &str) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = write_page(&mut out, results, machine, date);
    out
}

fn write_page(out: &mut String, results: &Results, machine: &str, date: &str) -> std::fmt::Result {
    heading(out, results, machine, date)?;
    saturated(out, results)?;
    paced(out, results)?;
    memory(out, results)?;
    doubts(out, results)
}

/// What every page begins with.
pub(super) fn heading(
    out: &mut String,
    results: &Results,
    machine: &str,
    date: &str,
) -> std::fmt::Result {
    let rounds = results.runs.values().map(Rounds::len).max().unwrap_or(0);
    let date = if date.is_empty() {
        String::new()
    } else {
        format!("{date}. ")
    };
    writeln!(
        out,
        "{date}{machine}. Medians of {rounds} rounds, taken in turn.\n"
    )
}

fn saturated(out: &mut String, results: &Results) -> std::fmt::Result {
    const PHASE: &str = "saturated";
    let shape = shape(results, PHASE).map_or_else(String::new, |shape| format!(", {shape}"));
    writeln!(out, "Saturated{shape}:\n")?;
    writeln!(
        out,
        "| server | responses/s | lowest to highest | x echo | user ns | system ns | CPU ns | x echo | peers a reply |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
    for server in results.servers() {
        let Some((lowest, highest)) = results.extremes(server, PHASE, ALL_PER_S) else {
            continue;
        };
        writeln!(
            out,
            "| {server} | {} | {} to {} | {} | {} | {} | {} | {} | {} |",
            whole(results.median(server, PHASE, ALL_PER_S)),
            whole(Some(lowest)),
            whole(Some(highest)),
            ratio(results.times(ECHO, server, PHASE, ALL_PER_S)),
            whole(results.median(server, PHASE, "/server/cpu_ns_per_response/user")),
            whole(results.median(server, PHASE, "/server/cpu_ns_per_response/system")),
            whole(results.median(server, PHASE, CPU)),
            ratio(results.times(ECHO, server, PHASE, CPU)),
            tenths(results.median(server, PHASE, "/peers_per_announce")),
        )?;
    }
    writeln!(out)
}

/// What was asked for, as the runs of a phase tell it.
pub(super) fn shape(results: &Results, phase: &str) -> Option<String> {
    let first = |((_, of), runs): (&(String, String), &Rounds)| {
        let run = runs.values().next().filter(|_| of == phase);
        run.and_then(|run| run.get("options").cloned())
    };
    let options = results.runs.iter().find_map(first)?;
    let mix = |position: usize| &options["mix"][position];
    Some(format!(
        "{} torrents x {} peers, {}, connects:announces:scrapes {}:{}:{}, numwant {}",
        whole(options["torrents"].as_f64()),
        options["peers_per_torrent"],
        options["dist"].as_str().unwrap_or("?"),
        mix(0),
        mix(1),
        mix(2),
        options["numwant"]
    ))
}

fn paced(out: &mut String, results: &Results) -> std::fmt::Result {
    const PHASE: &str = "paced";
    let rate = results
        .servers()
        .iter()
        .find_map(|server| results.median(server, PHASE, "/options/rate"));
    let Some(rate) = rate else { return Ok(()) };
    writeln!(
        out,
        "At {} requests/s, latency in us from the intended time:\n",
        whole(Some(rate))
    )?;
    writeln!(
        out,
        "| server | p50 | p99 | p99.9 | user ns | system ns | CPU ns | x echo | sleeps/s |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
    for server in results.servers() {
        let number = |pointer| results.median(server, PHASE, pointer);
        if number(ALL_PER_S).is_none() {
            continue;
        }
        writeln!(
            out,
            "| {server} | {} | {} | {} | {} | {} | {} | {} | {} |",
            whole(number("/requests/all/latency_us/p50")),
            whole(number("/requests/all/latency_us/p99")),
            whole(number("/requests/all/latency_us/p99.9")),
            whole(number("/server/cpu_ns_per_response/user")),
            whole(number("/server/cpu_ns_per_response/system")),
            whole(number(CPU)),
            ratio(results.times(ECHO, server, PHASE, CPU)),
            whole(number("/server/sleeps_per_s")),
        )?;
    }
    writeln!(out)
}

fn memory(out: &mut String, results: &Results) -> std::fmt::Result {
    const SHAPES: [&str; 3] = ["memory-1Mx4", "memory-10kx400", "memory-2Mx1"];
    let rows: Vec<String> = results
        .servers()
        .into_iter()
        .filter_map(|server| {
            let rss = |shape| results.median(server, shape, "/server/rss_kib");
            let idle = |name| results.median(server, "idle", name);
            let shapes = SHAPES.map(rss);
            let wake_ups = idle("/sleeps_per_s");
            if shapes.iter().all(Option::is_none) && wake_ups.is_none() {
                return None;
            }
            let [first, second, third] = shapes.map(|kib| tenths(kib.map(|kib| kib / 1024.0)));
            let cpu = tenths(idle("/cpu_us_per_s"));
            let wake_ups = tenths(wake_ups);
            Some(format!(
                "| {server} | {first} | {second} | {third} | {wake_ups} | {cpu} |"
            ))
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "Resident MiB, torrents x peers of each; and with no load at all:\n"
    )?;
    writeln!(
        out,
        "| server | 1M x 4 | 10k x 400 | 2M x 1 | idle wake-ups/s | idle CPU us/s |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for row in rows {
        writeln!(out, "{row}")?;
    }
    writeln!(out)
}

/// A table is only as good as its worst run: what went wrong stands below it.
fn doubts(out: &mut String, results: &Results) -> std::fmt::Result {
    let mut doubts = Vec::new();
    for ((server, phase), runs) in &results.runs {
        for (round, result) in runs {
            for doubt in doubts_of(server, phase, result) {
                doubts.push(format!("- {server}, {phase}, round {round}: {doubt}"));
            }
        }
    }
    if doubts.is_empty() {
        return writeln!(
            out,
            "Every reply was checked; none was invalid, and no more than {}% lost.",
            LOSS_MAX * 100.0
        );
    }
    writeln!(out, "To be taken into account:\n\n{}", doubts.join("\n"))
}

/// What a reader must know of one run.
pub(super) fn doubts_of(server: &str, phase: &str, result: &Value) -> Vec<String> {
    let number = |pointer| result.pointer(pointer).and_then(Value::as_f64);
    let number = |pointer| number(pointer).unwrap_or(0.0);
    let mut doubts = Vec::new();
    for (pointer, what) in [
        ("/requests/all/invalid", "invalid replies"),
        ("/requests/all/refused", "error replies"),
        ("/unexpected", "unexpected replies"),
        ("/unreadable", "unreadable replies"),
        ("/send_errors", "requests that the kernel did not take"),
        ("/unsent", "requests due but not sent"),
        ("/fill/wrong", "torrents without all their peers"),
    ] {
        // The echo keeps no peers, so nobody expects it to find them again.
        if number(pointer) > 0.0 && !(server == ECHO && pointer == "/fill/wrong") {
            doubts.push(format!("{} {what}", number(pointer)));
        }
    }
    let lost = number("/requests/all/loss_share");
    if lost > LOSS_MAX {
        doubts.push(format!("{:.2}% of the requests lost", lost * 100.0));
    }
    let is_saturated = phase.ends_with("saturated");
    let cpus = number("/server/cpus");
    if is_saturated && cpus > 0.0 && cpus < SERVER_CPUS_MIN {
        doubts.push(format!(
            "the server ran for {:.0}% of the time only: it shared its CPU, or was not saturated",
            cpus * 100.0
        ));
    }
    let busy = number("/generator/busy_share");
    if is_saturated && busy > BUSY_MAX {
        doubts.push(format!(
            "the generator was at work {:.0}% of the time and may have been the limit",
            busy * 100.0
        ));
    }
    doubts
}

/// A whole number in groups of three digits; a dash where nothing was measured.
pub(super) fn whole(number: Option<f64>) -> String {
    let Some(number) = number else {
        return String::from("-");
    };
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position) % 3 == 0 {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

pub(super) fn tenths(number: Option<f64>) -> String {
    number.map_or_else(|| String::from("-"), |number| format!("{number:.1}"))
}

pub(super) fn percent(share: Option<f64>) -> String {
    let digits = |share: f64| if share < 0.1 { 2 } else { 0 };
    share.map_or_else(
        || String::from("-"),
        |share| format!("{:.*}%", digits(share), share * 100.0),
    )
}

pub(super) fn ratio(number: Option<f64>) -> String {
    number.map_or_else(|| String::from("-"), |number| format!("{number:.2}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn saturated(rate: f64, cpu: f64, invalid: u32, busy: f64) -> Value {
        json!({
            "requests": {"all": {"responses_per_s": rate, "invalid": invalid, "loss_share": 0.0}},
            "server": {"cpu_ns_per_response": {"user": 20.0, "system": cpu - 20.0, "all": cpu}},
            "generator": {"busy_share": busy},
            "peers_per_announce": 3.0,
        })
    }

    #[test]
    fn a_page_has_a_row_for_every_server_and_leaves_out_what_was_not_measured() {
        let mut results = Results::default();
        results.insert("echo", "saturated", 1, saturated(200_000.0, 4000.0, 0, 0.5));
        results.insert(
            "a-tracker",
            "saturated",
            1,
            saturated(150_000.0, 5000.0, 0, 0.5),
        );
        let page = page(&results, "A machine", "2000-01-01");
        assert!(
            page.starts_with("2000-01-01. A machine. Medians of 1 rounds"),
            "{page}"
        );
        let echo =
            "| echo | 200 000 | 200 000 to 200 000 | 1.00 | 20 | 3 980 | 4 000 | 1.00 | 3.0 |";
        let other =
            "| a-tracker | 150 000 | 150 000 to 150 000 | 0.75 | 20 | 4 980 | 5 000 | 1.25 | 3.0 |";
        assert!(page.contains(&format!("{echo}\n{other}\n")), "{page}");
        assert!(
            !page.contains("Resident") && !page.contains("latency"),
            "{page}"
        );
        assert!(page.contains("none was invalid"), "{page}");
    }

    #[test]
    fn whatever_casts_doubt_on_a_run_stands_below_the_table() {
        let mut results = Results::default();
        results.insert(
            "echo",
            "saturated",
            2,
            saturated(200_000.0, 4000.0, 3, 0.99),
        );
        let page = page(&results, "A machine", "");
        assert!(
            page.contains("- echo, saturated, round 2: 3 invalid replies\n"),
            "{page}"
        );
        assert!(page.contains("at work 99% of the time"), "{page}");
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        assert_eq!(whole(Some(0.4)), "0");
        assert_eq!(whole(Some(999.6)), "1 000");
        assert_eq!(whole(Some(1_234_567.0)), "1 234 567");
        assert_eq!(whole(None), "-");
    }
}
