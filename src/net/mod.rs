//! The shell: sockets, rings and batches, and nearly all `unsafe` of the crate.
//!
//! A core owns one [`Net`]. Its verbs are the same whichever way datagrams come and go:
//!
//! ```text
//! net.wait(timeout)   hand pending replies to the kernel, sleep until something arrives
//! net.receive()       the datagrams of this turn lie in the inbox
//! net.boxes()         read the inbox, write the outbox
//! net.send()          the replies of this turn may go
//! ```
//!
//! `ring.rs` (`io_uring`) and `mmsg.rs` (poll, recvmmsg, sendmmsg) fill them; another way is one more file
//! beside those two.

#![allow(unsafe_code, reason = "system calls and memory that the kernel writes")]

mod addr;
mod batch;
mod bpf;
mod doorbell;
mod event;
mod memory;
mod mmsg;
pub mod passage;
pub mod port_owner;
mod priority;
mod ring;
pub mod sieve;
pub mod socket;
pub mod steering;
pub mod tcp;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

pub use batch::{Datagram, Inbox, Outbox};
pub use doorbell::Doorbell;
pub use priority::{background, low_priority};
pub use ring::OpenRing;

use mmsg::Mmsg;
use ring::Ring;
use sieve::Sieve;

/// Where a datagram came from and where it was sent to: all that is needed to answer it, by any
/// core, from the address that was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Which listener it arrived at, counted in the order of the configuration.
    pub listener: u8,
    /// Who sent it; a v4-mapped address is IPv4 here.
    pub peer: SocketAddr,
    /// The address of this host it was sent to, where the listener is bound to every address.
    pub local: Option<IpAddr>,
}

impl Origin {
    /// From no address at all: what stands where no datagram has come from yet.
    pub const NOBODY: Self = Self {
        listener: 0,
        peer: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        local: None,
    };
}

/// The two ways of talking to the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engine {
    /// One `io_uring` a core.
    IoUring,
    /// poll, recvmmsg and sendmmsg.
    Mmsg,
}

impl Engine {
    /// Its name in the configuration and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::IoUring => "io_uring",
            Self::Mmsg => "mmsg",
        }
    }
}

/// The sockets of one core and everything that moves datagrams through them.
pub struct Net {
    // Dropped first: the kernel must let go of the boxes before they are freed.
    backend: Backend,
    inbox: Inbox,
    outbox: Outbox,
}

#[allow(
    clippy::large_enum_variant,
    reason = "one a core, and the larger one is the usual one"
)]
enum Backend {
    Ring(Ring),
    Mmsg(Mmsg),
}

impl Net {
    /// Takes over one socket a listener, in the order of the listeners, and moves datagrams by
    /// `ring`, or by recvmmsg and sendmmsg without one. Must be called on the thread that opened the
    /// ring and will use it.
    pub fn new(
        ring: Option<OpenRing>,
        sockets: Vec<UdpSocket>,
        doorbell: Arc<Doorbell>,
    ) -> io::Result<Self> {
        let inbox = Inbox::new()?;
        let outbox = Outbox::new()?;
        let backend = match ring {
            Some(ring) => Backend::Ring(Ring::new(ring, sockets, doorbell, &inbox)?),
            None => Backend::Mmsg(Mmsg::new(sockets, doorbell, &inbox)?),
        };
        Ok(Self {
            backend,
            inbox,
            outbox,
        })
    }

    /// How datagrams come and go.
    pub fn engine(&self) -> Engine {
        match self.backend {
            Backend::Ring(_) => Engine::IoUring,
            Backend::Mmsg(_) => Engine::Mmsg,
        }
    }

    /// Lets replies go and sleeps until a datagram arrives, the doorbell rings, or `timeout` passes.
    /// With a timeout of zero it does not sleep.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        match &mut self.backend {
            Backend::Ring(ring) => ring.wait(timeout, &mut self.inbox),
            Backend::Mmsg(mmsg) => mmsg.wait(timeout),
        }
    }

    /// Fills the inbox with what has arrived, at most [`crate::limits::TURN_DATAGRAMS_MAX`].
    pub fn receive(&mut self) -> io::Result<()> {
        match &mut self.backend {
            Backend::Ring(ring) => ring.receive(&mut self.inbox),
            Backend::Mmsg(mmsg) => mmsg.receive(&mut self.inbox),
        }
    }

    /// What arrived, and room for the answers.
    pub fn boxes(&mut self) -> (&Inbox, &mut Outbox) {
        (&self.inbox, &mut self.outbox)
    }

    /// Sends what the outbox holds, at the latest when the next wait begins. The outbox is empty
    /// afterwards.
    pub fn send(&mut self) -> io::Result<()> {
        match &mut self.backend {
            Backend::Ring(ring) => ring.send(&mut self.outbox),
            Backend::Mmsg(mmsg) => {
                mmsg.send(&mut self.outbox);
                Ok(())
            }
        }
    }

    /// Leaves what arrives at the sockets to the kernel's queue, or to another process that has them too,
    /// until it is called with false. What has been received already still comes: see
    /// [`Self::is_quiet`]. Replies leave as ever.
    pub fn hold(&mut self, held: bool) -> io::Result<()> {
        match &mut self.backend {
            Backend::Ring(ring) => ring.hold(held),
            Backend::Mmsg(mmsg) => {
                mmsg.hold(held);
                Ok(())
            }
        }
    }

    /// True while it leaves the sockets alone.
    pub fn is_held(&self) -> bool {
        match &self.backend {
            Backend::Ring(ring) => ring.is_held(),
            Backend::Mmsg(mmsg) => mmsg.is_held(),
        }
    }

    /// True when it leaves the sockets alone and has received nothing that no turn has seen yet. Asked
    /// at the end of a turn.
    pub fn is_quiet(&mut self) -> bool {
        match &mut self.backend {
            Backend::Ring(ring) => ring.is_quiet(),
            Backend::Mmsg(mmsg) => mmsg.is_held(),
        }
    }

    /// Has the kernel drop datagrams whose connection ids are surely forged, from now on.
    pub fn sieve(&self, sieve: &Sieve) -> io::Result<()> {
        let mut sockets = self.sockets().iter();
        sockets.try_for_each(|socket| sieve.attach(socket))
    }

    /// Lets everything come again.
    pub fn unsieve(&self) -> io::Result<()> {
        let mut sockets = self.sockets().iter();
        sockets.try_for_each(|socket| sieve::detach(socket.as_raw_fd()))
    }

    /// Datagrams that the kernel has dropped before a turn saw them, because of the sieve or because a queue
    /// was full, since the sockets were bound; mod 2^32.
    pub fn kernel_drops(&self) -> io::Result<u32> {
        let mut drops = 0_u32;
        for socket in self.sockets() {
            drops = drops.wrapping_add(socket::kernel_drops(socket)?);
        }
        Ok(drops)
    }

    fn sockets(&self) -> &[UdpSocket] {
        match &self.backend {
            Backend::Ring(ring) => ring.sockets(),
            Backend::Mmsg(mmsg) => mmsg.sockets(),
        }
    }

    /// Replies that the kernel refused since the last call.
    pub fn take_send_failures(&mut self) -> u64 {
        let failures = match &mut self.backend {
            Backend::Ring(ring) => &mut ring.send_failures,
            Backend::Mmsg(mmsg) => &mut mmsg.send_failures,
        };
        std::mem::take(failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::socket::{SocketOptions, bind};

    /// What a turn finds, as numbers.
    fn turn(net: &mut Net) -> Vec<u8> {
        net.wait(Duration::from_millis(1)).unwrap();
        net.receive().unwrap();
        let found = net.boxes().0.iter().map(|datagram| datagram.bytes[0]);
        let found = found.collect();
        net.send().unwrap();
        found
    }

    #[test]
    fn what_arrives_while_a_core_is_held_is_another_ones_and_nothing_is_lost() {
        for with_ring in [true, false] {
            let options = SocketOptions {
                cores: 1,
                receive_buffer: 1 << 20,
                steering: None,
            };
            let net = |socket| {
                let ring = with_ring.then(|| OpenRing::new().unwrap());
                let doorbell = Arc::new(Doorbell::new().unwrap());
                Net::new(ring, vec![socket], doorbell).unwrap()
            };
            let mut listener = bind("127.0.0.1:0".parse().unwrap(), &options).unwrap();
            let address = listener.address;
            let socket = listener.sockets.pop().unwrap();
            let others = socket.try_clone().unwrap();
            let (mut old, client) = (net(socket), UdpSocket::bind("127.0.0.1:0").unwrap());
            let send = |numbers: std::ops::Range<u8>| {
                for number in numbers {
                    client.send_to(&[number; 20], address).unwrap();
                }
            };
            for _ in 0..20 {
                send(0..100);
                let mut found = turn(&mut old);
                old.hold(true).unwrap();
                while !old.is_quiet() {
                    found.extend(turn(&mut old));
                }
                send(100..150);
                for _ in 0..5 {
                    assert!(turn(&mut old).is_empty() && old.is_quiet());
                }
                let mut new = net(others.try_clone().unwrap());
                for _ in 0..1000 {
                    found.extend(turn(&mut new));
                    if found.len() == 150 {
                        break;
                    }
                }
                assert!(found.into_iter().eq(0..150), "each once, in order");
                drop(new);
                old.hold(false).unwrap();
                assert!(!old.is_held() && !old.is_quiet());
            }
        }
    }
}
