//! A TCP connection, a TLS handshake and one announce, again and again.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustls::client::{ClientConfig, ClientConnection};
use rustls::pki_types::ServerName;
use rustls::{HandshakeKind, StreamOwned};
use serde_json::json;

use super::announce::{After, ask, request};
use super::{connect, tls};
use crate::load::{loopback, seconds};
use crate::sys;

/// Longer than that is counted as that; everything gives up sooner.
const LATENCY_MAX_NS: u64 = 100_000_000_000;
/// Quantiles of the report.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// Ask a tracker over HTTPS, each announce over a connection of its own. Unlike wrk, which resumes
/// whenever the server lets it, this does so on request, and counts how often it could.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// Tracker to ask, on loopback only
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = loopback)]
    target: SocketAddr,

    /// The server's certificate, PEM; no other is trusted
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,

    /// Resume the session of the connection before
    #[arg(
        long,
        conflicts_with = "no_resume",
        required_unless_present = "no_resume"
    )]
    resume: bool,

    /// Do every handshake in full
    #[arg(long)]
    no_resume: bool,

    /// Connections at the same time
    #[arg(long, value_name = "N", default_value_t = 48,
          value_parser = clap::value_parser!(u32).range(1..=512))]
    connections: u32,

    /// Torrents to draw from
    #[arg(long, value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    torrents: u32,

    /// Seconds
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    duration: f64,

    /// Run on this CPU
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,

    /// Same seed, same torrents and peers
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What one or all of the clients did.
pub(super) struct Done {
    pub(super) requests: u64,
    pub(super) resumed: u64,
    /// Nanoseconds from the first packet of a connection to the last byte of its reply.
    pub(super) latency: Histogram<u64>,
}

impl Done {
    fn new() -> Self {
        Self {
            requests: 0,
            resumed: 0,
            latency: Histogram::new_with_bounds(1000, LATENCY_MAX_NS, 3)
                .expect("1 us to 100 s to three digits is a range that histograms have"),
        }
    }
}

pub(crate) fn run(options: &Options, stop: &AtomicBool) -> Result<(), String> {
    if let Some(cpu) = options.cpu {
        // The threads below inherit it.
        sys::pin_to_cpu(cpu).map_err(|error| format!("cannot run on CPU {cpu}: {error}"))?;
    }
    let start = Instant::now();
    let done = all_clients(options, stop)?;
    let seconds = start.elapsed().as_secs_f64().max(1e-9);
    let us = |quantile| done.latency.value_at_quantile(quantile) as f64 / 1e3;
    if options.json {
        let quantiles: serde_json::Map<_, _> = QUANTILES
            .into_iter()
            .map(|(name, quantile)| (String::from(name), us(quantile).into()))
            .collect();
        let report = json!({
            "report": "https",
            "requests": done.requests,
            "resumed": done.resumed,
            "seconds": seconds,
            "latency_us": quantiles,
            "options": {"connections": options.connections, "resume": options.resume},
        });
        println!("{report:#}");
    } else {
        println!(
            "{:.0} connections/s, {} of {} resumed, p50 {:.0} us, p99 {:.0} us, for {seconds:.1} s",
            done.requests as f64 / seconds,
            done.resumed,
            done.requests,
            us(0.5),
            us(0.99)
        );
    }
    Ok(())
}

/// Blocking clients, a thread each: they share one CPU, so the kernel is their event loop.
pub(super) fn all_clients(options: &Options, stop: &AtomicBool) -> Result<Done, String> {
    let until = Instant::now() + Duration::from_secs_f64(options.duration);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..options.connections)
            .map(|number| scope.spawn(move || client(options, number, until, stop)))
            .collect();
        let mut sum = Done::new();
        for client in clients {
            let done = client
                .join()
                .map_err(|_| String::from("a client panicked"))??;
            sum.requests += done.requests;
            sum.resumed += done.resumed;
            sum.latency += &done.latency;
        }
        Ok(sum)
    })
}

/// A client has its own sessions, as everybody's have: it resumes what it began.
fn client(
    options: &Options,
    number: u32,
    until: Instant,
    stop: &AtomicBool,
) -> Result<Done, String> {
    let target = options.target;
    let config = tls::client(&options.certificate, options.resume)?;
    let mut rng = fastrand::Rng::with_seed(options.seed << 16 ^ u64::from(number));
    let mut done = Done::new();
    while Instant::now() < until && !stop.load(Ordering::Relaxed) {
        let info_hash = info_hash(options.seed, rng.u32(..options.torrents));
        let text = request(target, info_hash, rng.u16(1024..), After::Close);
        announce(target, &config, &text, &mut done)
            .map_err(|error| format!("{target}: {error}"))?;
    }
    Ok(done)
}

/// One connection, from its first packet to its end.
fn announce(
    target: SocketAddr,
    config: &Arc<ClientConfig>,
    text: &str,
    done: &mut Done,
) -> io::Result<()> {
    let start = Instant::now();
    let mut stream = handshaken(target, config)?;
    ask(&mut stream, text)?;
    done.latency
        .saturating_record(start.elapsed().as_nanos() as u64);
    done.requests += 1;
    done.resumed += u64::from(stream.conn.handshake_kind() == Some(HandshakeKind::Resumed));
    // The server was asked to close; one that ends without a word of TLS has closed too.
    match stream.read(&mut [0; 16]) {
        Ok(0) => Ok(()),
        Err(error) if is_end(&error) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other("there is more behind the reply")),
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
    )
}

/// Connects; the handshake is done by the first that is read or written.
pub(crate) fn handshaken(
    target: SocketAddr,
    config: &Arc<ClientConfig>,
) -> io::Result<StreamOwned<ClientConnection, std::net::TcpStream>> {
    let name = ServerName::from(target.ip());
    let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, connect(target)?))
}

/// The same torrents for every client of a seed.
fn info_hash(seed: u64, torrent: u32) -> [u8; 20] {
    let mut rng = fastrand::Rng::with_seed(seed ^ (u64::from(torrent) << 32));
    std::array::from_fn(|_| rng.u8(..))
}
