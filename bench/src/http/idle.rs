//! What connections cost while nothing passes over them.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::client::ClientConfig;
use serde_json::json;

use super::announce::{After, ask, request};
use super::{connect, https, tls};
use crate::load::{loopback, seconds};
use crate::process::Look;

/// How often the wait looks whether it should end.
const STEP: Duration = Duration::from_millis(50);
/// Connections that are opened at the same time: a server that takes its time for each, as some do
/// that poll, would otherwise close the first while the last is on its way.
const OPENERS: u32 = 64;
/// Peers that announce, again and again, so that the swarm does not grow with the connections.
const PEERS: u16 = 64;
/// Their first port.
const PORT: u16 = 20_000;
const INFO_HASH: [u8; 20] = *b"a shoal of idle fish";

/// Open connections, announce once over each, leave them open, and tell how much more memory the
/// server holds for it. Memory of the kernel is not in it.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// Tracker to ask, on loopback only
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = loopback)]
    target: SocketAddr,

    /// Its process
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: u32,

    /// Connections to open; both sides need a file descriptor for each
    #[arg(long, value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..=25_000))]
    connections: u32,

    /// Over TLS: the server's certificate, PEM; no other is trusted
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,

    /// Seconds between the last announce and the look at the memory
    #[arg(long, value_name = "S", default_value = "3", value_parser = seconds)]
    hold: f64,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options, stop: &AtomicBool) -> Result<(), String> {
    let config = match &options.certificate {
        Some(file) => Some(tls::client(file, false)?),
        None => None,
    };
    // What the server makes once, for the first who come, is no cost of a connection.
    drop(open(options, config.as_ref(), u32::from(PEERS), stop)?);
    let before = Look::at(options.pid)?;
    let connections = open(options, config.as_ref(), options.connections, stop)?;
    let until = Instant::now() + Duration::from_secs_f64(options.hold);
    while Instant::now() < until && !stop.load(Ordering::Relaxed) {
        thread::sleep(STEP.min(until.saturating_duration_since(Instant::now())));
    }
    let after = Look::at(options.pid)?;
    let closed = connections.iter().filter(|stream| !is_open(stream)).count();
    if closed > 0 {
        return Err(format!(
            "the server closed {closed} of the idle connections"
        ));
    }
    let bytes = after.rss_kib.saturating_sub(before.rss_kib) * 1024;
    let bytes_each = bytes as f64 / f64::from(options.connections);
    if options.json {
        let report = json!({
            "report": "http-idle",
            "connections": options.connections,
            "tls": config.is_some(),
            "rss_kib": {"before": before.rss_kib, "after": after.rss_kib},
            "bytes_per_connection": bytes_each,
        });
        println!("{report:#}");
    } else {
        println!(
            "{} idle connections, {bytes_each:.0} bytes each: {:.1} MiB resident before, {:.1} \
             with them",
            options.connections,
            before.rss_kib as f64 / 1024.0,
            after.rss_kib as f64 / 1024.0
        );
    }
    Ok(())
}

/// So many connections, each with one announce answered.
fn open(
    options: &Options,
    config: Option<&Arc<ClientConfig>>,
    count: u32,
    stop: &AtomicBool,
) -> Result<Vec<TcpStream>, String> {
    let target = options.target;
    let openers = OPENERS.min(count);
    let next = |opener: u32| {
        let mut streams = Vec::new();
        for number in (opener..count).step_by(openers as usize) {
            if stop.load(Ordering::Relaxed) {
                return Err(String::from("stopped before all connections were open"));
            }
            let port = PORT + (number % u32::from(PEERS)) as u16;
            let stream = announced(target, config, port)
                .map_err(|error| format!("connection {number} to {target}: {error}"))?;
            streams.push(stream);
        }
        Ok(streams)
    };
    thread::scope(|scope| {
        let openers: Vec<_> = (0..openers)
            .map(|opener| scope.spawn(move || next(opener)))
            .collect();
        let mut all = Vec::with_capacity(count as usize);
        for opener in openers {
            let opened = opener.join();
            all.extend(opened.map_err(|_| String::from("an opener panicked"))??);
        }
        Ok(all)
    })
}

/// A connection over which one announce was answered. Of TLS only the socket is kept: this side
/// has nothing more to say.
fn announced(
    target: SocketAddr,
    config: Option<&Arc<ClientConfig>>,
    port: u16,
) -> io::Result<TcpStream> {
    let text = request(target, INFO_HASH, port, After::KeepAlive);
    let Some(config) = config else {
        let mut stream = connect(target)?;
        ask(&mut stream, &text)?;
        return Ok(stream);
    };
    let mut stream = https::handshaken(target, config)?;
    ask(&mut stream, &text)?;
    Ok(stream.sock)
}

/// Nothing is to be read from an open connection, not even its end.
fn is_open(stream: &TcpStream) -> bool {
    let peeked = stream
        .set_nonblocking(true)
        .and_then(|()| stream.peek(&mut [0]));
    matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
