//! One look at everything, every few seconds.

use std::fmt::Write as _;
use std::time::Duration;

use shoal::query::failure::Deadline;
use shoal::query::wire::http::Connection;

use super::lives::Bounds;
use super::scene::{Figures, Scene, Way};
use crate::process::{Look, Usage, open_files, pss_kib};

/// What is allowed for beside the bounds: what is on its way, and what the tracker tells once a second.
const SLACK: u64 = 50;
const SLACK_SHARE: u64 = 100;

/// What the tracker and its process are like, and how it answered since the look before.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// Since the start of the load.
    pub(super) seconds: f64,
    pub(super) pid: u32,
    pub(super) rss_mib: f64,
    pub(super) pss_mib: f64,
    pub(super) files: f64,
    pub(super) threads: f64,
    /// CPUs that it was busy on.
    pub(super) cpus: f64,
    pub(super) ways: [Answers; 3],
    pub(super) torrents: Told,
    pub(super) peers: Told,
}

/// How honest requests were answered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answers {
    pub(super) answered: u64,
    pub(super) lost: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

/// How many the tracker says it holds, and how many it should.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) count: u64,
    pub(super) least: u64,
    pub(super) most: u64,
}

impl Told {
    fn new(count: u64, bounds: Bounds) -> Self {
        Self {
            count,
            least: bounds.least,
            most: bounds.most,
        }
    }

    /// Within the bounds, or so near that what is on its way explains it.
    pub(super) fn agrees(&self) -> bool {
        let slack = |of: u64| SLACK + of / SLACK_SHARE;
        self.count + slack(self.least) >= self.least && self.count <= self.most + slack(self.most)
    }
}

/// Looks again and again, and adds up what it saw.
pub(super) struct Looker {
    before: Option<(u32, f64, Look)>,
    pub(super) totals: [Figures; 3],
    pub(super) samples: Vec<Sample>,
}

impl Looker {
    pub(super) fn new() -> Self {
        Self {
            before: None,
            totals: Default::default(),
            samples: Vec::new(),
        }
    }

    pub(super) fn look(&mut self, scene: &Scene, seconds: f64) -> Result<(), String> {
        let pid = scene.pid();
        let look = Look::at(pid)?;
        let (torrents, peers) = held(scene)?;
        let (should_torrents, should_peers) = scene.bounds();
        let cpus = match &self.before {
            Some((same, then, before)) if *same == pid => {
                let usage = Usage::between(before, &look);
                usage.cpu_ns as f64 / 1e9 / (seconds - then).max(1e-9)
            }
            _ => 0.0,
        };
        let ways = Way::ALL.map(|way| {
            let figures = std::mem::take(&mut *scene.figures(way));
            let answers = Answers {
                answered: figures.answered,
                lost: figures.lost,
                p50_ms: figures.latency_ms(0.5),
                p99_ms: figures.latency_ms(0.99),
            };
            self.totals[way as usize].sum(figures);
            answers
        });
        self.samples.push(Sample {
            seconds,
            pid,
            rss_mib: look.rss_kib as f64 / 1024.0,
            pss_mib: pss_kib(pid)? as f64 / 1024.0,
            files: open_files(pid)? as f64,
            threads: look.threads as f64,
            cpus,
            ways,
            torrents: Told::new(torrents, should_torrents),
            peers: Told::new(peers, should_peers),
        });
        self.before = Some((pid, seconds, look));
        Ok(())
    }
}

impl Figures {
    fn sum(&mut self, other: Self) {
        self.answered += other.answered;
        self.lost += other.lost;
        self.forged_accepted += other.forged_accepted;
        self.latency
            .add(&other.latency)
            .expect("both have the same bounds");
        if self.first_fault.is_none() {
            self.first_fault = other.first_fault;
        }
    }
}

/// Torrents and peers that the tracker tells Prometheus of.
fn held(scene: &Scene) -> Result<(u64, u64), String> {
    let deadline = Deadline::after(Duration::from_secs(30));
    let page = Connection::open(scene.places.control, None, deadline)
        .and_then(|mut connection| {
            let wanted = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            connection.send(wanted, deadline)?;
            connection.response(deadline)?.content()
        })
        .map_err(|failure| format!("cannot read /metrics: {failure}"))?;
    let page = String::from_utf8_lossy(&page);
    let sum = |name: &str| {
        let values = page.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?.strip_prefix('{')?;
            rest.rsplit(' ').next()?.parse::<u64>().ok()
        });
        values.sum::<u64>()
    };
    Ok((sum("shoal_torrents"), sum("shoal_peers")))
}

/// All samples as comma-separated values.
pub(super) fn csv(samples: &[Sample]) -> String {
    let mut out = String::from("seconds,pid,rss_mib,pss_mib,files,threads,cpus");
    for way in Way::ALL {
        let name = way.name();
        let _ = write!(
            out,
            ",{name}_answered,{name}_lost,{name}_p50_ms,{name}_p99_ms"
        );
    }
    out += ",torrents,torrents_least,torrents_most,peers,peers_least,peers_most\n";
    for it in samples {
        let _ = write!(
            out,
            "{:.1},{},{:.2},{:.2},{},{},{:.3}",
            it.seconds, it.pid, it.rss_mib, it.pss_mib, it.files, it.threads, it.cpus
        );
        for answers in &it.ways {
            let Answers {
                answered,
                lost,
                p50_ms,
                p99_ms,
            } = answers;
            let _ = write!(out, ",{answered},{lost},{p50_ms:.3},{p99_ms:.3}");
        }
        for Told { count, least, most } in [it.torrents, it.peers] {
            let _ = write!(out, ",{count},{least},{most}");
        }
        out.push('\n');
    }
    out
}
