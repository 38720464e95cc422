//! The bare echo: answers every request with what a tracker would send, in size and shape, without
//! a look at any torrent. What it costs is the kernel's price, so it is the floor for every tracker.

mod mmsg;
mod replies;

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use shoal::limits::{REPLY_PEERS_V4_MAX, REPLY_PEERS_V6_MAX};

use crate::load::{loopback_any_port, seconds};
use crate::sys;
use mmsg::Mmsg;

/// Bytes of requests that may wait, as in Shoal's own configuration.
const RECEIVE_BUFFER_LEN: usize = 8 << 20;
/// The engine looks up this often from an idle socket to see whether it should end.
const LOOK_UP: Duration = Duration::from_secs(1);

/// Answer every request with a reply of the right size, made before it came: the floor for every
/// tracker on this machine. Ends on SIGTERM, SIGINT or after --duration.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// Where to listen, on loopback only; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = loopback_any_port)]
    listen: SocketAddr,

    /// How datagrams come and go
    #[arg(long, value_enum, default_value_t = EngineName::Mmsg)]
    engine: EngineName,

    /// Most datagrams taken with one call
    #[arg(long, value_name = "N", default_value_t = 128,
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: u32,

    /// Peers in an announce reply, or fewer when fewer are wanted
    #[arg(long, value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(0..=REPLY_PEERS_V4_MAX as i64))]
    peers: u32,

    /// Run on this CPU
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,

    /// End after so many seconds
    #[arg(long, value_name = "S", default_value = "600", value_parser = seconds)]
    duration: f64,
}

/// The ways in which datagrams may come and go.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum EngineName {
    /// recvmmsg and sendmmsg
    Mmsg,
}

/// One way of receiving and sending. Another one is another file beside this.
trait Engine {
    /// Waits for requests, answers them, returns how many replies left. Returns 0 now and then
    /// when nothing comes.
    fn turn(&mut self) -> Result<u64, String>;
}

/// Serves until told to stop and says how many replies were sent.
pub(crate) fn run(options: &Options, stop: &AtomicBool) -> Result<(), String> {
    if let Some(cpu) = options.cpu {
        sys::pin_to_cpu(cpu).map_err(|error| format!("cannot run on CPU {cpu}: {error}"))?;
    }
    let listen = options.listen;
    let socket =
        UdpSocket::bind(listen).map_err(|error| format!("cannot bind {listen}: {error}"))?;
    let bound = socket
        .local_addr()
        .map_err(|error| format!("cannot bind {listen}: {error}"))?;
    println!("listening on udp://{bound}");
    let sent = serve(socket, options, stop)?;
    println!("sent {sent} replies");
    Ok(())
}

fn serve(socket: UdpSocket, options: &Options, stop: &AtomicBool) -> Result<u64, String> {
    let v6 = options.listen.is_ipv6();
    let prepared = socket
        .set_read_timeout(Some(LOOK_UP))
        .and_then(|()| sys::set_receive_buffer(&socket, RECEIVE_BUFFER_LEN));
    prepared.map_err(|error| format!("cannot set up the socket of {}: {error}", options.listen))?;
    let peers = if v6 {
        (options.peers as usize).min(REPLY_PEERS_V6_MAX)
    } else {
        options.peers as usize
    };
    let mut engine: Box<dyn Engine> = match options.engine {
        EngineName::Mmsg => Box::new(Mmsg::new(socket, options.batch as usize, peers, v6)),
    };
    let until = Instant::now() + Duration::from_secs_f64(options.duration);
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) && Instant::now() < until {
        sent += engine.turn()?;
    }
    Ok(sent)
}
