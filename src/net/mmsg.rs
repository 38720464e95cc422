//! The `mmsg` backend: poll, recvmmsg and sendmmsg, for kernels and containers without `io_uring`.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use super::Origin;
use super::addr::{CONTROL_LEN, Control, NAME_LEN, read_local, read_name};
use super::batch::{Inbox, Outbox};
use super::doorbell::Doorbell;
use crate::limits::{RECEIVE_SLOT_LEN, SEND_SLOTS, TURN_DATAGRAMS_MAX};

pub(super) struct Mmsg {
    sockets: Vec<UdpSocket>,
    doorbell: Arc<Doorbell>,
    /// One descriptor a socket, then the doorbell's.
    polled: Vec<libc::pollfd>,
    arrivals: Box<[Arrival]>,
    /// Headers for recvmmsg; number `i` points into slot `i` of the inbox and into `arrivals[i]`.
    receives: Box<[libc::mmsghdr]>,
    /// Headers for sendmmsg, of one listener at a time.
    sends: Vec<libc::mmsghdr>,
    /// The listener to be read first, so that a busy one cannot starve the others.
    first: usize,
    held: bool,
    pub(super) send_failures: u64,
}

/// Where the kernel writes what it knows about a datagram.
struct Arrival {
    part: libc::iovec,
    name: [u8; NAME_LEN],
    control: Control,
}

impl Mmsg {
    pub(super) fn new(
        sockets: Vec<UdpSocket>,
        doorbell: Arc<Doorbell>,
        inbox: &Inbox,
    ) -> io::Result<Self> {
        for socket in &sockets {
            socket.set_nonblocking(true)?;
        }
        let descriptors = sockets
            .iter()
            .map(AsRawFd::as_raw_fd)
            .chain([doorbell.event().fd()]);
        let polled = descriptors
            .map(|fd| libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            })
            .collect();
        let arrivals = (0..TURN_DATAGRAMS_MAX).map(|slot| Arrival {
            part: libc::iovec {
                iov_base: inbox.slot_ptr(slot as u16).cast(),
                iov_len: RECEIVE_SLOT_LEN,
            },
            name: [0; NAME_LEN],
            control: Control([0; CONTROL_LEN]),
        });
        // SAFETY: an mmsghdr of zeros is valid: null pointers with length 0.
        let receives = (0..TURN_DATAGRAMS_MAX).map(|_| unsafe { std::mem::zeroed() });
        Ok(Self {
            sockets,
            doorbell,
            polled,
            arrivals: arrivals.collect(),
            receives: receives.collect(),
            sends: Vec::with_capacity(SEND_SLOTS),
            first: 0,
            held: false,
            send_failures: 0,
        })
    }

    pub(super) fn sockets(&self) -> &[UdpSocket] {
        &self.sockets
    }

    /// Leaves the sockets alone, or returns to them. poll passes over descriptors below 0.
    pub(super) fn hold(&mut self, held: bool) {
        self.held = held;
        for (polled, socket) in self.polled.iter_mut().zip(&self.sockets) {
            polled.fd = if held { -1 } else { socket.as_raw_fd() };
            polled.revents = 0;
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    pub(super) fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        // Rounded up, or the last millisecond before a deadline would be spent spinning.
        let timeout_ms = timeout
            .as_nanos()
            .div_ceil(1_000_000)
            .try_into()
            .unwrap_or(i32::MAX);
        // SAFETY: the pointer and the length are those of a vector that lives through the call.
        let ready = unsafe {
            libc::poll(
                self.polled.as_mut_ptr(),
                self.polled.len() as libc::nfds_t,
                timeout_ms,
            )
        };
        if ready < 0 {
            // What poll wrote is not to be trusted; receive will find the sockets empty.
            self.polled.iter_mut().for_each(|polled| polled.revents = 0);
            return pass_over(io::Error::last_os_error());
        }
        if self.polled.last().is_some_and(|polled| polled.revents != 0) {
            self.doorbell.event().clear();
        }
        Ok(())
    }

    pub(super) fn receive(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        inbox.clear().for_each(drop);
        // Without a socket there is no first either: a tracker may serve HTTP alone.
        let listeners = self.sockets.len();
        for step in 0..listeners {
            let listener = (self.first + step) % listeners;
            if self.polled[listener].revents != 0 && !inbox.is_full() {
                self.receive_from(listener, inbox)?;
            }
        }
        self.first = (self.first + 1) % listeners.max(1);
        Ok(())
    }

    fn receive_from(&mut self, listener: usize, inbox: &mut Inbox) -> io::Result<()> {
        let taken = TURN_DATAGRAMS_MAX - inbox.room();
        for (head, arrival) in self.receives[taken..]
            .iter_mut()
            .zip(&mut self.arrivals[taken..])
        {
            let message = &mut head.msg_hdr;
            message.msg_name = arrival.name.as_mut_ptr().cast();
            message.msg_namelen = NAME_LEN as libc::socklen_t;
            message.msg_iov = &raw mut arrival.part;
            message.msg_iovlen = 1;
            message.msg_control = arrival.control.0.as_mut_ptr().cast();
            message.msg_controllen = CONTROL_LEN;
        }
        // SAFETY: the headers point into `arrivals` and into the inbox, which both outlive the call;
        // slots from `taken` on are not lent out, since only `taken` datagrams lie in the inbox.
        let received = unsafe {
            libc::recvmmsg(
                self.sockets[listener].as_raw_fd(),
                self.receives[taken..].as_mut_ptr(),
                inbox.room() as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let Ok(received) = usize::try_from(received) else {
            return pass_over(io::Error::last_os_error());
        };
        for slot in taken..taken + received {
            let (head, arrival) = (&self.receives[slot], &self.arrivals[slot]);
            let name = &arrival.name[..head.msg_hdr.msg_namelen as usize];
            let control = &arrival.control.0[..head.msg_hdr.msg_controllen];
            // A datagram without a sender cannot come from these sockets; were one to come, it is
            // kept as unanswerable, because the slots are filled in order.
            let origin = Origin {
                listener: listener as u8,
                peer: read_name(name).unwrap_or(Origin::NOBODY.peer),
                local: read_local(control),
            };
            let truncated = head.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            inbox.fill(slot as u16, 0, head.msg_len as usize, truncated, origin);
        }
        Ok(())
    }

    pub(super) fn send(&mut self, outbox: &mut Outbox) {
        if outbox.is_empty() {
            return;
        }
        for listener in 0..self.sockets.len() {
            let of_listener = outbox
                .heads()
                .filter(|head| usize::from(head.listener) == listener);
            self.sends.clear();
            self.sends.extend(of_listener.map(|head| libc::mmsghdr {
                msg_hdr: head.message,
                msg_len: 0,
            }));
            self.send_all(listener);
        }
        outbox.clear();
    }

    /// Sends `sends`; a reply that the kernel refuses is skipped, the client will ask again.
    fn send_all(&mut self, listener: usize) {
        let socket = self.sockets[listener].as_raw_fd();
        let mut rest = self.sends.as_mut_slice();
        while !rest.is_empty() {
            // SAFETY: the headers are copies of those in the outbox, which lives through the call.
            let sent = unsafe {
                let len = rest.len() as libc::c_uint;
                libc::sendmmsg(
                    socket,
                    rest.as_mut_ptr(),
                    len,
                    libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
                )
            };
            let done = usize::try_from(sent).unwrap_or_else(|_| {
                self.send_failures += 1;
                1
            });
            rest = rest.get_mut(done.max(1)..).unwrap_or_default();
        }
    }
}

/// Nothing came: nobody sent, a signal did, or the kernel is short of memory for the moment, as the ring takes
/// it too. Anything else ends the core.
fn pass_over(error: io::Error) -> io::Result<()> {
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR | libc::ENOBUFS | libc::ENOMEM) => Ok(()),
        _ => Err(error),
    }
}
