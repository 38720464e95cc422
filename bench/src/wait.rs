//! Waits until trackers answer.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use shoal::wire::udp::{CONNECT_LEN, TransactionId, action, ask};

use crate::load::{loopback, seconds};

/// How long one connect request may take before the next is sent.
const TRY: Duration = Duration::from_millis(50);

/// Wait until every target answers a connect request; exit code 1 when one does not in time.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// Tracker to ask, on loopback only; may be given several times
    #[arg(long, required = true, value_name = "ADDRESS:PORT", value_parser = loopback)]
    target: Vec<SocketAddr>,

    /// Give up after so many seconds
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    timeout: f64,
}

pub(crate) fn run(options: &Options, stop: &AtomicBool) -> Result<(), String> {
    let until = Instant::now() + Duration::from_secs_f64(options.timeout);
    for &target in &options.target {
        while !answers(target).map_err(|error| format!("cannot ask {target}: {error}"))? {
            if stop.load(Ordering::Relaxed) || Instant::now() >= until {
                let waited = options.timeout;
                return Err(format!(
                    "{target} does not answer connect requests after {waited} s"
                ));
            }
        }
    }
    Ok(())
}

fn answers(target: SocketAddr) -> std::io::Result<bool> {
    let local: SocketAddr = match target {
        SocketAddr::V4(_) => ([127, 0, 0, 1], 0).into(),
        SocketAddr::V6(_) => ([0, 0, 0, 0, 0, 0, 0, 1], 0).into(),
    };
    let socket = UdpSocket::bind(local)?;
    socket.connect(target)?;
    socket.set_read_timeout(Some(TRY))?;
    let transaction = TransactionId(fastrand::u32(..));
    let mut request = [0; CONNECT_LEN];
    ask::write_connect(&mut request, transaction);
    let mut reply = [0; 64];
    let Ok(len) = socket.send(&request).and_then(|_| socket.recv(&mut reply)) else {
        // A closed port answers at once, by an error; do not ask it in a tight loop.
        std::thread::sleep(TRY);
        return Ok(false);
    };
    Ok(len == 16
        && reply[..4] == action::CONNECT.to_be_bytes()
        && reply[4..8] == transaction.0.to_be_bytes())
}
