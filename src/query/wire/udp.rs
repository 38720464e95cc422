//! Datagrams to one tracker.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};

use crate::query::failure::{Deadline, Failure};

/// The largest payload of UDP, so that nothing is cut.
const DATAGRAM_LEN_MAX: usize = 65_535;

/// What came, and from where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Datagram {
    /// The sender.
    pub from: SocketAddr,
    /// The payload.
    pub bytes: Vec<u8>,
}

/// A socket for the questions to one tracker. It is not connected, so that a reply from another
/// address is not lost in the kernel but seen and told.
#[derive(Debug)]
pub struct Socket {
    socket: UdpSocket,
    to: SocketAddr,
}

impl Socket {
    /// A socket with a port of its own, on any local address of the tracker's family.
    pub fn of(to: SocketAddr) -> Result<Self, Failure> {
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        Self::from_local(SocketAddr::new(any, 0), to)
    }

    /// A socket at a local address, which must be of the tracker's family.
    pub fn from_local(local: SocketAddr, to: SocketAddr) -> Result<Self, Failure> {
        let open = || -> io::Result<UdpSocket> {
            let socket = UdpSocket::bind(local)?;
            // Without a connection the kernel tells of refused datagrams only when asked to.
            if to.is_ipv4() {
                setsockopt(&socket, Ipv4RecvErr, &true)?;
            } else {
                setsockopt(&socket, Ipv6RecvErr, &true)?;
            }
            Ok(socket)
        };
        let socket = open().map_err(|error| Failure::of_io(&error, "a socket"))?;
        Ok(Self { socket, to })
    }

    /// Where questions go.
    pub fn to(&self) -> SocketAddr {
        self.to
    }

    /// Where this socket is; the address is unspecified unless one was named.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    /// Sends to the tracker.
    pub fn send(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.send_to(bytes, self.to)
    }

    /// Sends to another address.
    pub fn send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<(), Failure> {
        match self.socket.send_to(bytes, to) {
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::of_io(&error, "the request")),
        }
    }

    /// The next datagram from anywhere; a port that nobody listens on is an error at once.
    pub fn receive(&self, deadline: Deadline) -> Result<Datagram, Failure> {
        let mut bytes = vec![0; DATAGRAM_LEN_MAX];
        loop {
            let Some(left) = deadline.left() else {
                return Err(Failure::timed_out("a reply"));
            };
            let received = self
                .socket
                .set_read_timeout(Some(left))
                .and_then(|()| self.socket.recv_from(&mut bytes));
            match received {
                Ok((len, from)) => {
                    bytes.truncate(len);
                    return Ok(Datagram { from, bytes });
                }
                Err(error) if is_early(&error) => {}
                Err(error) => return Err(Failure::of_io(&error, "a reply")),
            }
        }
    }
}

/// Whether it is worth looking again: the kernel's clock may be a little ahead of ours.
fn is_early(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::query::failure::Kind;

    const LOCAL: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

    #[test]
    fn a_reply_is_received_with_its_source_even_from_another_address() {
        let tracker = UdpSocket::bind(LOCAL).unwrap();
        let other = UdpSocket::bind(LOCAL).unwrap();
        let socket = Socket::of(tracker.local_addr().unwrap()).unwrap();
        socket.send(b"a question").unwrap();
        let mut question = [0; 16];
        let (len, client) = tracker.recv_from(&mut question).unwrap();
        assert_eq!(&question[..len], b"a question");
        other.send_to(b"an answer", client).unwrap();
        let deadline = Deadline::after(Duration::from_secs(10));
        let reply = socket.receive(deadline).unwrap();
        assert_eq!(reply.bytes, b"an answer");
        assert_eq!(reply.from, other.local_addr().unwrap());
    }

    #[test]
    fn a_port_that_nobody_listens_on_is_refused_without_waiting() {
        let gone = UdpSocket::bind(LOCAL).unwrap().local_addr().unwrap();
        let socket = Socket::of(gone).unwrap();
        socket.send(b"anybody?").unwrap();
        let deadline = Deadline::after(Duration::from_secs(60));
        let failure = socket.receive(deadline).unwrap_err();
        assert_eq!(failure.kind, Kind::Refused);
    }

    #[test]
    fn a_silent_tracker_is_left_at_the_deadline() {
        let silent = UdpSocket::bind(LOCAL).unwrap();
        let socket = Socket::of(silent.local_addr().unwrap()).unwrap();
        socket.send(b"anybody?").unwrap();
        let deadline = Deadline::after(Duration::from_millis(20));
        let failure = socket.receive(deadline).unwrap_err();
        assert_eq!(failure.kind, Kind::TimedOut);
    }
}
