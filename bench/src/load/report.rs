//! The result, as a table for people and as JSON for programs.

use std::fmt::Write;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::fill::Filled;
use super::measure::Measured;
use super::options::Options;
use super::pending::Kind;
use super::tally::{Forged, KindTally};
use crate::process::{Look, Usage};

/// Quantiles that are told, with their names.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// Everything that is told, as numbers; both ways of telling it read from here.
pub(crate) struct Report {
    seconds: f64,
    options: Value,
    kinds: Vec<Line>,
    all: Line,
    forged: Forged,
    unexpected: u64,
    unreadable: u64,
    send_errors: u64,
    unsent: u64,
    peers_per_announce: f64,
    first_fault: Option<String>,
    generator: Cost,
    busy_share: f64,
    server: Option<(Look, Cost)>,
    filled: Option<Filled>,
}

struct Line {
    name: &'static str,
    replies_per_s: f64,
    sent: u64,
    answered: u64,
    refused: u64,
    invalid: u64,
    lost: u64,
    open: u64,
    latency: Histogram<u64>,
}

/// What a process paid for each good reply.
struct Cost {
    user_ns: f64,
    system_ns: f64,
    cpus: f64,
    sleeps_per_s: f64,
    preemptions_per_s: f64,
}

impl Cost {
    fn new(usage: &Usage, replies: u64, seconds: f64) -> Self {
        let each = usage.cpu_ns as f64 / (replies as f64).max(1.0);
        let seconds = seconds.max(1e-9);
        Self {
            user_ns: each * usage.user_share,
            system_ns: each * (1.0 - usage.user_share),
            cpus: usage.cpu_ns as f64 / 1e9 / seconds,
            sleeps_per_s: usage.sleeps as f64 / seconds,
            preemptions_per_s: usage.preemptions as f64 / seconds,
        }
    }

    fn json(&self) -> Value {
        json!({
            "cpu_ns_per_response": {
                "user": self.user_ns,
                "system": self.system_ns,
                "all": self.user_ns + self.system_ns,
            },
            "cpus": self.cpus,
            "sleeps_per_s": self.sleeps_per_s,
            "preemptions_per_s": self.preemptions_per_s,
        })
    }
}

impl Line {
    fn new(kind: Kind, tally: &KindTally, seconds: f64) -> Self {
        Self {
            name: kind.name(),
            replies_per_s: tally.replies as f64 / seconds.max(1e-9),
            sent: tally.sent,
            answered: tally.answered,
            refused: tally.refused,
            invalid: tally.invalid,
            lost: tally.lost,
            open: tally.open(),
            latency: tally.latency.clone(),
        }
    }

    fn latency_us(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }

    fn json(&self) -> Value {
        let mut latency = serde_json::Map::new();
        for (name, quantile) in QUANTILES {
            latency.insert(name.into(), self.latency_us(quantile).into());
        }
        latency.insert("max".into(), (self.latency.max() as f64 / 1e3).into());
        latency.insert("mean".into(), (self.latency.mean() / 1e3).into());
        json!({
            "responses_per_s": self.replies_per_s,
            "sent": self.sent,
            "answered": self.answered,
            "refused": self.refused,
            "invalid": self.invalid,
            "lost": self.lost,
            "open": self.open,
            "loss_share": self.lost as f64 / (self.sent as f64).max(1.0),
            "latency_us": latency,
        })
    }

    fn row(&self) -> String {
        let mut row = format!(
            "{:<9} {:>11.0} {:>10} {:>8} {:>8} {:>8}",
            self.name, self.replies_per_s, self.sent, self.lost, self.refused, self.invalid
        );
        for (_, quantile) in QUANTILES {
            let _ = write!(row, " {:>9.1}", self.latency_us(quantile));
        }
        let _ = writeln!(row, " {:>9.1}", self.latency.max() as f64 / 1e3);
        row
    }
}

impl Report {
    pub(crate) fn new(options: &Options, measured: &Measured, filled: Option<Filled>) -> Self {
        let tally = &measured.tally;
        let seconds = measured.seconds;
        let replies = tally.replies();
        let announces = &tally.kinds[Kind::Announce as usize];
        let all = Line {
            name: "all",
            replies_per_s: replies as f64 / seconds.max(1e-9),
            sent: tally.sum(|kind| kind.sent),
            answered: tally.sum(|kind| kind.answered),
            refused: tally.sum(|kind| kind.refused),
            invalid: tally.sum(|kind| kind.invalid),
            lost: tally.sum(|kind| kind.lost),
            open: tally.sum(KindTally::open),
            latency: tally.latency(),
        };
        Self {
            seconds,
            options: told(options),
            kinds: Kind::ALL
                .into_iter()
                .map(|kind| Line::new(kind, &tally.kinds[kind as usize], seconds))
                .collect(),
            all,
            forged: tally.forged,
            unexpected: tally.unexpected,
            unreadable: tally.unreadable,
            send_errors: tally.send_errors,
            unsent: measured.unsent,
            peers_per_announce: tally.peers as f64 / (announces.replies as f64).max(1.0),
            first_fault: tally
                .first_fault
                .map(|(kind, fault)| format!("{} reply: {fault:?}", kind.name())),
            generator: Cost::new(&measured.generator, replies, seconds),
            busy_share: measured.busy_share,
            server: measured
                .server
                .map(|(look, usage)| (look, Cost::new(&usage, replies, seconds))),
            filled,
        }
    }

    pub(crate) fn json(&self) -> Value {
        let mut kinds = serde_json::Map::new();
        for line in self.kinds.iter().chain([&self.all]) {
            kinds.insert(line.name.into(), line.json());
        }
        let mut generator = self.generator.json();
        generator["busy_share"] = self.busy_share.into();
        let server = self.server.as_ref().map(|(look, cost)| {
            let mut server = cost.json();
            server["rss_kib"] = look.rss_kib.into();
            server["rss_peak_kib"] = look.rss_peak_kib.into();
            server["threads"] = look.threads.into();
            server
        });
        let filled = self.filled.map(|filled| {
            json!({
                "peers": filled.peers,
                "total": filled.total,
                "repeated": filled.repeated,
                "seconds": filled.seconds,
                "verified": filled.verified,
                "wrong": filled.wrong,
            })
        });
        json!({
            "report": "load",
            "options": self.options,
            "seconds": self.seconds,
            "requests": kinds,
            "unexpected": self.unexpected,
            "unreadable": self.unreadable,
            "send_errors": self.send_errors,
            "unsent": self.unsent,
            "peers_per_announce": self.peers_per_announce,
            "first_fault": self.first_fault,
            "forged": {
                "sent": self.forged.sent,
                "silent": self.forged.silent,
                "refused": self.forged.refused,
                "accepted": self.forged.accepted,
            },
            "generator": generator,
            "server": server,
            "fill": filled,
        })
    }

    pub(crate) fn table(&self) -> String {
        let mut out = String::new();
        let _ = self.write_table(&mut out);
        out
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        if let Some(filled) = &self.filled {
            writeln!(
                out,
                "filled {} peers in {:.1} s, {:.0}/s, {} announced again",
                filled.peers,
                filled.seconds,
                filled.peers as f64 / filled.seconds.max(1e-9),
                filled.repeated
            )?;
            if filled.peers < filled.total {
                writeln!(
                    out,
                    "the time was over with {:.0}% of {} peers",
                    filled.peers as f64 / filled.total as f64 * 100.0,
                    filled.total
                )?;
            }
            if filled.verified > 0 {
                let (verified, wrong) = (filled.verified, filled.wrong);
                writeln!(
                    out,
                    "scraped {verified} torrents, {wrong} without all their peers"
                )?;
            }
        }
        if self.seconds > 0.0 {
            self.write_load(out)?;
        }
        if let Some((look, _)) = &self.server {
            writeln!(
                out,
                "server: {:.1} MiB resident, {:.1} MiB at most, {} threads",
                look.rss_kib as f64 / 1024.0,
                look.rss_peak_kib as f64 / 1024.0,
                look.threads
            )?;
        }
        Ok(())
    }

    fn write_load(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "measured for {:.1} s; latency in us", self.seconds)?;
        writeln!(
            out,
            "{:<9} {:>11} {:>10} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "",
            "responses/s",
            "sent",
            "lost",
            "refused",
            "invalid",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "max"
        )?;
        for line in self.kinds.iter().chain([&self.all]) {
            out.push_str(&line.row());
        }
        writeln!(
            out,
            "{:.1} peers in an announce reply; {} replies unexpected, {} unreadable; {} requests \
             that the kernel did not take",
            self.peers_per_announce, self.unexpected, self.unreadable, self.send_errors
        )?;
        if self.all.open > 0 {
            writeln!(
                out,
                "{} requests were still open when the run was cut short",
                self.all.open
            )?;
        }
        if self.unsent > 0 {
            writeln!(
                out,
                "{} requests were due but not sent: the rate is beyond the generator",
                self.unsent
            )?;
        }
        if let Some(fault) = &self.first_fault {
            writeln!(out, "first invalid {fault}")?;
        }
        if self.forged.sent > 0 {
            let forged = &self.forged;
            writeln!(
                out,
                "made-up connection ids: {} sent, {} met silence, {} errors, {} were accepted",
                forged.sent, forged.silent, forged.refused, forged.accepted
            )?;
        }
        if let Some((_, cost)) = &self.server {
            write_cost(out, "server", cost)?;
        }
        write_cost(out, "generator", &self.generator)?;
        writeln!(
            out,
            "generator: at work {:.0}% of the time",
            self.busy_share * 100.0
        )
    }
}

fn write_cost(out: &mut String, name: &str, cost: &Cost) -> std::fmt::Result {
    writeln!(
        out,
        "{name}: {:.0} ns CPU a response ({:.0} user, {:.0} system), {:.2} CPUs, {:.0} sleeps/s, \
         {:.0} preemptions/s",
        cost.user_ns + cost.system_ns,
        cost.user_ns,
        cost.system_ns,
        cost.cpus,
        cost.sleeps_per_s,
        cost.preemptions_per_s
    )
}

/// The options that a later reader needs to repeat the run.
fn told(options: &Options) -> Value {
    let targets: Vec<String> = options.target.iter().map(ToString::to_string).collect();
    json!({
        "target": targets,
        "rate": options.rate,
        "window": options.window,
        "duration": options.duration,
        "warmup": options.warmup,
        "mix": [options.mix.connects, options.mix.announces, options.mix.scrapes],
        "torrents": options.torrents,
        "peers_per_torrent": options.peers_per_torrent,
        "fill_peers": options.fill_peers,
        "dist": options.dist.to_string(),
        "seeder_share": options.seeder_share,
        "numwant": options.numwant,
        "scrape_hashes": options.scrape_hashes,
        "sources": options.sources,
        "source_addresses": options.source_addresses,
        "stale_share": options.stale_share,
        "strict": options.strict,
        "gso": !options.no_gso,
        "sleep": options.sleep,
        "seed": options.seed,
    })
}
