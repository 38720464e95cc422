//! What wrk cannot measure of an HTTP tracker: handshakes with and without resumption, and
//! connections that do nothing.
//!
//! ```text
//!   announce       the request, and what counts as a good reply
//!   tls            this side of TLS: one pinned certificate, one key exchange
//!   https          a handshake and an announce for each connection
//!   idle           what a connection costs while it waits
//! ```

pub(crate) mod announce;
pub(crate) mod https;
pub(crate) mod idle;
#[cfg(test)]
mod tests;
pub(crate) mod tls;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a server may take for anything before the run fails.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&target, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}
