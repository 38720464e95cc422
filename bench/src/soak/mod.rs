//! Hours of mixed load with churn on one host, and a look every few seconds whether anything drifts.
//!
//! ```text
//!   tracker        its configuration, process and log
//!   lives          peers that come and go, and the book of who should be known
//!   clients        those who ask as they should, over UDP, HTTP and HTTPS
//!   trouble        those who do not, and those who look after the tracker
//!   scene          what they share
//!   sample         one look at everything
//!   verdict        does it drift?
//!   page           table, samples and pictures
//! ```

mod clients;
mod lives;
mod page;
mod sample;
mod scene;
mod tracker;
mod trouble;
mod verdict;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use shoal_bench::crowd::{Crowd, PEERS_MAX};

use crate::load::{Sampler, Spread};
use clients::HABITS;
use lives::{Book, Lives, World};
use sample::Looker;
use scene::{Scene, count};
use tracker::Tracker;
use verdict::{Allowed, Seen};

/// A peer is forgotten after so many intervals.
const TIMEOUT_INTERVALS: u64 = 3;
/// Share of the crowd that has everything from the beginning.
const SEEDERS: f64 = 0.4;

/// Start a tracker, load it for a long time with all that a tracker meets, and look whether memory,
/// files, threads, latency or the number of peers drift; exit code 1 when they do.
///
/// Three quarters of the requests are UDP, a quarter HTTP and HTTPS, a quarter of all over IPv6. Beside them
/// come garbage, slow clients, SIGHUPs with other lists, calls of the API, scrapes of /metrics and a
/// browser on the page of statistics. scripts/soak.sh builds all that is needed and calls this.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// The tracker's program
    #[arg(long, value_name = "FILE")]
    shoal: PathBuf,

    /// Certificate of this host for HTTPS, PEM
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,

    /// The key of that certificate, PEM
    #[arg(long, value_name = "FILE")]
    private_key: PathBuf,

    /// Folder for the result: soak.md, soak.csv, pictures, and below tracker/ its configuration, log and store
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// How long the load lasts
    #[arg(long, value_name = "N", default_value = "60", value_parser = minutes)]
    minutes: f64,

    /// Honest requests per second
    #[arg(long, value_name = "N", default_value_t = 5000,
          value_parser = clap::value_parser!(u64).range(40..=100_000))]
    rate: u64,

    /// Torrents
    #[arg(long, value_name = "N", default_value_t = 20_000,
          value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    torrents: u32,

    /// Seconds between two announces of a peer; with the rate it sets how many peers there are. Who
    /// falls silent is forgotten after three times as long
    #[arg(long, value_name = "S", default_value_t = 15,
          value_parser = clap::value_parser!(u64).range(2..=600))]
    interval: u64,

    /// Seconds between two looks
    #[arg(long, value_name = "S", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=600))]
    sample_every: u64,

    /// Seconds between two snapshots
    #[arg(long, value_name = "S", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    snapshot_every: u64,

    /// Seconds between two SIGHUPs
    #[arg(long, value_name = "S", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    reload_every: u64,

    /// Minutes between two restarts by SIGUSR2; 0 = none
    #[arg(long, value_name = "N", default_value = "0", value_parser = minutes_or_none)]
    restart_every: f64,

    /// Milliseconds by which p99 may rise, beside being three times as high; for p50 a tenth of it, beside twice.
    /// A host with much other work needs more
    #[arg(long, value_name = "MS", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(0..=60_000))]
    latency_slack: u32,

    /// Another key of the tracker's configuration
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Same seed, same torrents and lives
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

impl Options {
    fn peer_timeout(&self) -> u64 {
        self.interval * TIMEOUT_INTERVALS
    }

    fn allowed(&self) -> Allowed {
        Allowed {
            warm_up: self.warm_up(),
            slack_ms: self.latency_slack.into(),
        }
    }

    /// Who asks how often, and how many peers that takes: each announces once in an interval.
    fn shares(&self) -> Shares {
        let udp_rate = self.rate * 3 / 4;
        let http_rate = (self.rate - udp_rate) as f64 / HABITS.len() as f64;
        // A quarter less than would fit: who has to wait for replies may fall behind.
        let http_peers = http_rate * self.interval as f64 * 0.75;
        Shares {
            udp_rate,
            http_rate,
            // Four requests in five are announces.
            udp_peers: (udp_rate * 4 / 5 * self.interval) as u32,
            #[allow(clippy::cast_sign_loss)] // it is a product of what is not negative
            http_peers: http_peers.ceil() as u32,
        }
    }

    /// Seconds before anything is held against anything: silent peers must have been forgotten, and buffers
    /// be as large as they get.
    fn warm_up(&self) -> f64 {
        let seconds = self.minutes * 60.0;
        (seconds / 6.0)
            .min(600.0)
            .max((self.peer_timeout() + self.interval) as f64)
    }
}

struct Shares {
    udp_rate: u64,
    /// Of each client.
    http_rate: f64,
    udp_peers: u32,
    /// Of each client.
    http_peers: u32,
}

/// Up to a week: every run ends by itself.
fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(minutes) if (0.1..=10_080.0).contains(&minutes) => Ok(minutes),
        _ => Err(format!(
            "{text:?} is not a number of minutes from 0.1 to 10080"
        )),
    }
}

fn minutes_or_none(text: &str) -> Result<f64, String> {
    if text == "0" { Ok(0.0) } else { minutes(text) }
}

pub(crate) fn run(options: &Options, stop: &AtomicBool) -> Result<(), String> {
    let shares = options.shares();
    let peers = shares.udp_peers + shares.http_peers * HABITS.len() as u32;
    if peers > PEERS_MAX {
        return Err(format!(
            "{peers} peers are more than the {PEERS_MAX} ports of one address; lower --rate or --interval"
        ));
    }
    let folder = options.out.join("tracker");
    if folder.exists() {
        return Err(format!(
            "{} is there; choose another --out",
            folder.display()
        ));
    }
    let (mut tracker, places) = Tracker::start(options, &absolute(&folder)?)?;
    let world = World {
        crowd: Crowd::new(options.seed, SEEDERS),
        sampler: Sampler::new(Spread::Zipf(1.0), options.torrents),
    };
    let book = Book::new(options.torrents, options.peer_timeout());
    let scene = Scene::new(world, book, places, options.seed);
    scene.serves(tracker.pid());
    println!(
        "process {} serves; {} minutes, results in {}",
        tracker.pid(),
        options.minutes,
        options.out.display()
    );

    let mut looker = Looker::new();
    let watched = with_load(options, &scene, || {
        let watched = watch(options, &scene, &mut tracker, &mut looker, stop);
        scene.end();
        watched
    });
    let ended = watched.and_then(|()| tracker.stop());
    let said = tracker.said();
    let troubles = &scene.troubles;
    let seen = Seen {
        totals: looker.totals,
        errors: said.errors,
        warnings: said.warnings.len(),
        api_failed: troubles.api_failed.load(Ordering::Relaxed),
        restarts: troubles.restarts.load(Ordering::Relaxed),
        ended,
    };
    let findings = verdict::judge(&looker.samples, &options.allowed(), &seen);
    let page = page::page(&looker.samples, &findings, troubles);
    print!("{page}");
    page::write(&options.out, &page, &looker.samples)?;
    match findings.iter().filter(|finding| !finding.is_good).count() {
        0 => Ok(()),
        bad => Err(format!("{bad} of {} findings are bad", findings.len())),
    }
}

fn absolute(folder: &Path) -> Result<PathBuf, String> {
    std::path::absolute(folder)
        .map_err(|error| format!("cannot find {}: {error}", folder.display()))
}

/// Runs everybody who asks while `watch` lasts. What ends one of them ends all.
fn with_load(
    options: &Options,
    scene: &Scene,
    watch: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let Shares {
        udp_rate,
        http_rate,
        udp_peers,
        http_peers,
    } = options.shares();
    thread::scope(|scope| {
        let ending = |result: Result<(), String>| {
            scene.end();
            result
        };
        let begin =
            |work: fn(&Scene) -> Result<(), String>| scope.spawn(move || ending(work(scene)));
        let mut threads = [trouble::garbage, trouble::api]
            .map(begin)
            .into_iter()
            .collect::<Vec<_>>();
        for work in [trouble::slow, trouble::page] {
            scope.spawn(move || work(scene));
        }
        let lives = Lives::new(0, udp_peers);
        threads.push(scope.spawn(move || ending(clients::udp(scene, udp_rate, lives))));
        for (number, habit) in HABITS.into_iter().enumerate() {
            let lives = Lives::new(udp_peers + number as u32 * http_peers, http_peers);
            let number = number as u64;
            threads.push(
                scope.spawn(move || ending(clients::http(scene, number, habit, http_rate, lives))),
            );
        }
        let mut result = watch();
        for thread in threads {
            let ended = thread.join().map_err(|_| String::from("a client panicked"));
            result = result.and(ended.and_then(|ended| ended));
        }
        result
    })
}

/// The next time after now: what a restart held up is not made up for.
fn behind(mut due: Instant, every: Duration) -> Instant {
    while due <= Instant::now() {
        due += every;
    }
    due
}

/// Looks, reloads and restarts until the time is over.
fn watch(
    options: &Options,
    scene: &Scene,
    tracker: &mut Tracker,
    looker: &mut Looker,
    stop: &AtomicBool,
) -> Result<(), String> {
    let start = Instant::now();
    let until = start + Duration::from_secs_f64(options.minutes * 60.0);
    let sample_every = Duration::from_secs(options.sample_every);
    let reload_every = Duration::from_secs(options.reload_every);
    let restart_every = Duration::from_secs_f64(options.restart_every * 60.0);
    let mut next_sample = start + sample_every;
    let mut next_reload = start + reload_every;
    let mut next_restart = start + restart_every;
    let folder = options.out.join("tracker");
    let mut random = Rng::with_seed(options.seed);
    while Instant::now() < until && !scene.is_over() {
        if stop.load(Ordering::Relaxed) {
            return Err(String::from("stopped before the time was over"));
        }
        tracker.check()?;
        let now = Instant::now();
        if now >= next_sample {
            looker.look(scene, start.elapsed().as_secs_f64())?;
            next_sample = behind(next_sample, sample_every);
        }
        if now >= next_reload {
            trouble::write_lists(&folder, &mut random)?;
            tracker.reload()?;
            count(&scene.troubles.reloads);
            next_reload = behind(next_reload, reload_every);
        }
        if options.restart_every > 0.0 && now >= next_restart {
            tracker.restart()?;
            scene.serves(tracker.pid());
            count(&scene.troubles.restarts);
            next_restart = behind(next_restart, restart_every);
        }
        let next = next_sample.min(next_reload).min(until);
        let short = Duration::from_millis(200);
        scene.rest_until(next.min(Instant::now() + short));
    }
    Ok(())
}
