//! Honest clients: one thread for all of UDP, a few for HTTP and HTTPS.

use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use fastrand::Rng;
use rustls::client::ClientConfig;
use shoal::wire::Event;

use super::lives::{Lives, Said};
use super::scene::{Scene, Way};
use crate::http::announce::{After, ask, worded};
use crate::http::{connect, https, tls};
use crate::load::{self, Generator};

/// A connect for every so many announces, as clients are seen to ask.
const ANNOUNCES_A_CONNECT: u64 = 4;
/// A scrape for every so many requests over UDP.
const REQUESTS_A_SCRAPE: u64 = 100;
/// A request with a bad connection id for every so many good ones, on top.
const REQUESTS_A_FORGED: u64 = 50;
/// Most that one turn sends, and how long one without work sleeps at most.
const BURST: u64 = 64;
const NAP: Duration = Duration::from_millis(5);
/// How often the thread of UDP tells what it has counted.
const TELL_MS: u64 = 500;

/// The generator's options, which are those of its command line.
#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    options: load::Options,
}

/// `rate` requests a second, four announces to one connect, a quarter of them over IPv6.
pub(super) fn udp(scene: &Scene, rate: u64, mut lives: Lives) -> Result<(), String> {
    let mut line = format!("load --seed {} --sources 4 --id-lifetime 50", scene.seed);
    line += " --timeout 3000 --scrape-hashes 5 --no-gso";
    // Three in four over the first family.
    let (first, last) = (scene.places.udp.first(), scene.places.udp.last());
    for target in first.into_iter().cycle().take(3).chain(last) {
        // Writing to a String does not fail.
        let _ = write!(line, " --target {target}");
    }
    let options = CommandLine::try_parse_from(line.split(' '))
        .map_err(|error| error.to_string())?
        .options;
    let mut generator = Generator::new(&options, scene.over())?;
    generator.connect()?;
    let mut random = Rng::with_seed(scene.seed);
    let start_ns = generator.now_ns();
    let (mut sent, mut told_ms) = (0, scene.now_ms());
    while !scene.is_over() {
        let now_ns = generator.begin_turn();
        generator.receive(now_ns)?;
        let now_ns = generator.now_ns();
        let due = (u128::from(now_ns - start_ns) * u128::from(rate) / 1_000_000_000) as u64;
        for _ in 0..(due - sent).min(BURST) {
            stage(&mut generator, scene, &mut lives, &mut random, sent, now_ns);
            sent += 1;
        }
        generator.flush();
        if scene.now_ms() > told_ms + TELL_MS {
            scene.figures(Way::Udp).add(&generator.take_tally());
            told_ms = scene.now_ms();
        }
        generator.sleep(NAP.min(Duration::from_nanos(1_000_000_000 / rate)))?;
    }
    scene.figures(Way::Udp).add(&generator.take_tally());
    Ok(())
}

/// One request. Its time counts from when it leaves: whether this thread was late says nothing of the tracker.
fn stage(
    generator: &mut Generator<'_>,
    scene: &Scene,
    lives: &mut Lives,
    random: &mut Rng,
    number: u64,
    now_ns: u64,
) {
    if number % REQUESTS_A_SCRAPE == 3 {
        let torrents: [u32; 5] = std::array::from_fn(|_| scene.world.sampler.draw(random));
        generator.stage_scrape(&torrents, false, now_ns, now_ns);
    } else if number.is_multiple_of(ANNOUNCES_A_CONNECT + 1) {
        generator.stage_next_connect(now_ns, now_ns);
    } else {
        let Said { member, announce } = scene.next(lives, random);
        if number % REQUESTS_A_FORGED == 1 {
            generator.stage_said(member, &announce, true, now_ns, now_ns);
        }
        generator.stage_said(member, &announce, false, now_ns, now_ns);
    }
}

/// What a client over HTTP does with its connections.
#[derive(Clone, Copy, Debug)]
pub(super) enum Habit {
    Close,
    KeepAlive,
    Tls { resume: bool },
}

/// Clients over HTTP, a thread each, which share the rate evenly.
pub(super) const HABITS: [Habit; 8] = [
    Habit::Close,
    Habit::Close,
    Habit::Close,
    Habit::KeepAlive,
    Habit::KeepAlive,
    Habit::Tls { resume: true },
    Habit::Tls { resume: true },
    Habit::Tls { resume: false },
];

/// `rate` announces a second, one after the other, a quarter of them over IPv6.
pub(super) fn http(
    scene: &Scene,
    number: u64,
    habit: Habit,
    rate: f64,
    mut lives: Lives,
) -> Result<(), String> {
    let mut client = Client {
        config: match habit {
            Habit::Tls { resume } => Some(tls::client(&scene.places.certificate, resume)?),
            Habit::Close | Habit::KeepAlive => None,
        },
        after: match habit {
            Habit::KeepAlive => After::KeepAlive,
            Habit::Close | Habit::Tls { .. } => After::Close,
        },
        open: [None, None],
    };
    let (way, places) = match client.config {
        Some(_) => (Way::Https, &scene.places.https),
        None => (Way::Http, &scene.places.http),
    };
    let mut random = Rng::with_seed(scene.seed << 8 ^ number);
    let gap = Duration::from_secs_f64(1.0 / rate);
    let mut next = Instant::now();
    while !scene.is_over() {
        scene.rest_until(next);
        // Who is late does not hurry: the tracker is to be looked at, not this thread.
        next = (next + gap).max(Instant::now());
        let Said { member, announce } = scene.next(&mut lives, &mut random);
        let family = usize::from(member.peer.is_multiple_of(4)).min(places.len() - 1);
        let event = match announce.event {
            Event::None => "",
            Event::Completed => "&event=completed",
            Event::Started => "&event=started",
            Event::Stopped => "&event=stopped",
            Event::Paused => "&event=paused",
        };
        let (host, hash) = (places[family], announce.info_hash.0);
        let text = worded(
            host,
            hash,
            announce.port,
            announce.left,
            event,
            client.after,
        );
        let begin = Instant::now();
        let result = client.announce(host, family, &text);
        scene.figures(way).one(result, begin.elapsed());
    }
    Ok(())
}

struct Client {
    config: Option<Arc<ClientConfig>>,
    after: After,
    /// Connections that are kept, by family.
    open: [Option<TcpStream>; 2],
}

impl Client {
    fn announce(&mut self, host: SocketAddr, family: usize, text: &str) -> io::Result<()> {
        if let Some(config) = &self.config {
            return ask(&mut https::handshaken(host, config)?, text);
        }
        if let Some(mut kept) = self.open[family].take()
            && ask(&mut kept, text).is_ok()
        {
            self.open[family] = Some(kept);
            return Ok(());
        }
        // None was kept, or the tracker has closed it meanwhile, as it may.
        let mut stream = connect(host)?;
        ask(&mut stream, text)?;
        if self.after == After::KeepAlive {
            self.open[family] = Some(stream);
        }
        Ok(())
    }
}
