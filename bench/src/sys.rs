//! The calls that std does not know: batches of datagrams, socket buffers beyond the usual, waiting for
//! several sockets, a CPU of one's own, signals. All `unsafe` of this crate is in this file, behind safe functions.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::Duration;

use libc::{c_int, c_uint, c_void, iovec, mmsghdr, sockaddr_storage, socklen_t};

/// Most datagrams that the kernel cuts out of one send (`UDP_MAX_SEGMENTS` before Linux 6.9).
pub(crate) const SEGMENTS_MAX: usize = 64;

/// Room for one `UDP_SEGMENT` control message, in words so that it is aligned as `cmsghdr` asks.
type Control = [u64; 4];

// SAFETY: CMSG_SPACE only computes; it is unsafe because libc declares all its macros so.
const CONTROL_LEN: usize = unsafe { libc::CMSG_SPACE(mem::size_of::<u16>() as c_uint) } as usize;
const _: () = assert!(CONTROL_LEN <= mem::size_of::<Control>());

/// Whether `receive` may sleep until something arrives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Until the first datagram, a signal, or the socket's read timeout.
    ForOne,
    /// Not at all.
    Never,
}

/// Receives up to so many datagrams with one call, each into its own slot.
pub(crate) struct Inbox {
    bytes: Box<[u8]>,
    slot_len: usize,
    names: Box<[sockaddr_storage]>,
    // Read by the kernel through `headers` only.
    _iovecs: Box<[iovec]>,
    headers: Box<[mmsghdr]>,
}

impl Inbox {
    pub(crate) fn new(slots: usize, slot_len: usize) -> Self {
        let mut bytes = vec![0_u8; slots * slot_len].into_boxed_slice();
        // SAFETY: sockaddr_storage is plain integers, for which all zeroes is a value.
        let mut names =
            vec![unsafe { mem::zeroed::<sockaddr_storage>() }; slots].into_boxed_slice();
        let mut iovecs: Box<[iovec]> = bytes
            .chunks_exact_mut(slot_len)
            .map(|slot| iovec {
                iov_base: slot.as_mut_ptr().cast(),
                iov_len: slot_len,
            })
            .collect();
        let headers = iovecs
            .iter_mut()
            .zip(&mut names)
            .map(|(iovec, name)| header(iovec, Some(name)))
            .collect();
        Self {
            bytes,
            slot_len,
            names,
            _iovecs: iovecs,
            headers,
        }
    }

    /// Returns how many datagrams arrived; 0 when there are none, or when the wait was cut short.
    pub(crate) fn receive(&mut self, socket: &UdpSocket, wait: Wait) -> io::Result<usize> {
        for header in &mut self.headers {
            // The kernel wrote the length of the last sender's address here.
            header.msg_hdr.msg_namelen = mem::size_of::<sockaddr_storage>() as socklen_t;
        }
        let flags = match wait {
            Wait::ForOne => libc::MSG_WAITFORONE,
            Wait::Never => libc::MSG_DONTWAIT,
        };
        // SAFETY: every header points at one iovec and one name, and every iovec at its own slot of
        // `bytes`; `new` built these pointers into boxes that `self` owns and never replaces, and
        // `&mut self` keeps everybody else away until the call returns.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as c_uint,
                flags as _,
                ptr::null_mut(),
            )
        };
        match usize::try_from(count) {
            Ok(count) => Ok(count),
            Err(_) => match io::Error::last_os_error() {
                error if is_nothing_yet(&error) => Ok(0),
                error => Err(error),
            },
        }
    }

    /// Datagram `slot` of the last batch.
    pub(crate) fn datagram(&self, slot: usize) -> &[u8] {
        let at = slot * self.slot_len;
        let len = (self.headers[slot].msg_len as usize).min(self.slot_len);
        &self.bytes[at..at + len]
    }
}

/// A refused connection tells that an earlier datagram found the port closed; whoever sent it will
/// find out by the missing reply.
fn is_nothing_yet(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused
    )
}

/// A message header over one iovec; `name` is where the other side's address is or goes.
fn header(iovec: &mut iovec, name: Option<&mut sockaddr_storage>) -> mmsghdr {
    // SAFETY: mmsghdr is integers and pointers, for which all zeroes is a value.
    let mut header: mmsghdr = unsafe { mem::zeroed() };
    header.msg_hdr.msg_iov = iovec;
    header.msg_hdr.msg_iovlen = 1;
    if let Some(name) = name {
        header.msg_hdr.msg_name = ptr::from_mut(name).cast();
        header.msg_hdr.msg_namelen = mem::size_of::<sockaddr_storage>() as socklen_t;
    }
    header
}

/// Datagrams of one length that lie one behind the other.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) datagram_len: usize,
}

/// What became of a batch.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Sent {
    pub(crate) datagrams: usize,
    pub(crate) refused: usize,
}

/// Sends batches with one call. The headers are kept between calls so that none is allocated.
pub(crate) struct Outbox {
    iovecs: Vec<iovec>,
    controls: Vec<Control>,
    /// Bytes of a datagram where the kernel cuts; 0 where it does not.
    segment_lens: Vec<u16>,
    /// Where each goes; none for connected sockets.
    names: Vec<(*mut c_void, socklen_t)>,
    headers: Vec<mmsghdr>,
    segmented: bool,
}

impl Outbox {
    /// `segmented` hands up to [`SEGMENTS_MAX`] datagrams of a run to the kernel as one.
    pub(crate) fn new(segmented: bool) -> Self {
        Self {
            iovecs: Vec::new(),
            controls: Vec::new(),
            segment_lens: Vec::new(),
            names: Vec::new(),
            headers: Vec::new(),
            segmented,
        }
    }

    /// Sends over a connected socket.
    pub(crate) fn send(&mut self, socket: &UdpSocket, runs: &[Run<'_>]) -> Sent {
        self.clear();
        for run in runs {
            let step = if self.segmented {
                run.datagram_len * SEGMENTS_MAX
            } else {
                run.datagram_len
            };
            for piece in run.bytes.chunks(step) {
                let cut = piece.len() > run.datagram_len;
                self.push(piece, if cut { run.datagram_len as u16 } else { 0 });
            }
        }
        self.link();
        self.hand_over(socket)
    }

    /// Sends `replies`, each a slot of `inbox` and the bytes for whoever wrote to it.
    pub(crate) fn answer<'a>(
        &mut self,
        socket: &UdpSocket,
        inbox: &Inbox,
        replies: impl Iterator<Item = (usize, &'a [u8])>,
    ) -> Sent {
        self.clear();
        for (slot, reply) in replies {
            // The kernel only reads the name, though the header's field is a pointer to mut.
            let name = ptr::from_ref(&inbox.names[slot]).cast_mut().cast();
            self.names
                .push((name, inbox.headers[slot].msg_hdr.msg_namelen));
            self.push(reply, 0);
        }
        self.link();
        self.hand_over(socket)
    }

    fn clear(&mut self) {
        self.iovecs.clear();
        self.controls.clear();
        self.segment_lens.clear();
        self.names.clear();
        self.headers.clear();
    }

    fn push(&mut self, bytes: &[u8], segment_len: u16) {
        self.iovecs.push(iovec {
            // The kernel only reads what is sent, though the field is a pointer to mut.
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        });
        self.controls.push(match segment_len {
            0 => [0; 4],
            len => segment_control(len),
        });
        self.segment_lens.push(segment_len);
    }

    /// Builds the headers once nothing is pushed any more, because a push may move the vectors.
    fn link(&mut self) {
        for (position, iovec) in self.iovecs.iter_mut().enumerate() {
            let mut header = header(iovec, None);
            if let Some(&name) = self.names.get(position) {
                (header.msg_hdr.msg_name, header.msg_hdr.msg_namelen) = name;
            }
            if self.segment_lens[position] != 0 {
                let control = &mut self.controls[position];
                header.msg_hdr.msg_control = control.as_mut_ptr().cast();
                header.msg_hdr.msg_controllen = CONTROL_LEN as _;
            }
            self.headers.push(header);
        }
    }

    /// A header that the kernel refuses is tried again twice: a connected socket first reports the
    /// errors of earlier datagrams, such as a port that was closed for a moment.
    fn hand_over(&mut self, socket: &UdpSocket) -> Sent {
        const TRIES: usize = 3;
        let mut sent = Sent::default();
        let mut at = 0;
        let mut tries = 0;
        while at < self.headers.len() {
            let rest = &mut self.headers[at..];
            // SAFETY: `link` pointed every header at an iovec and a control of this Outbox, and
            // nothing was pushed since; the iovecs point at bytes, and the headers at names, that
            // the caller of `send` or `answer` still lends, because both end only after this.
            let count = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    rest.as_mut_ptr(),
                    rest.len() as c_uint,
                    0,
                )
            };
            let (passed, delivered) = match usize::try_from(count) {
                Ok(count) if count > 0 => (count, true),
                _ if tries < TRIES => (0, true),
                _ => (1, false),
            };
            tries = if passed == 0 { tries + 1 } else { 0 };
            let datagrams = (at..at + passed).map(|i| self.datagrams(i)).sum::<usize>();
            if delivered {
                sent.datagrams += datagrams;
            } else {
                sent.refused += datagrams;
            }
            at += passed;
        }
        sent
    }

    fn datagrams(&self, position: usize) -> usize {
        match self.segment_lens[position] {
            0 => 1,
            len => self.iovecs[position].iov_len.div_ceil(usize::from(len)),
        }
    }
}

/// A control message that asks the kernel to cut a send into datagrams of `segment_len` bytes.
fn segment_control(segment_len: u16) -> Control {
    // SAFETY: CMSG_LEN only computes.
    let len = unsafe { libc::CMSG_LEN(mem::size_of::<u16>() as c_uint) };
    let mut control = [0; 4];
    let message: *mut libc::cmsghdr = control.as_mut_ptr().cast();
    // SAFETY: `control` is aligned as u64 and has, by the assertion above, room for the header and
    // the two bytes behind it; `message` is the only way to it inside this block.
    unsafe {
        (*message).cmsg_len = len as _;
        (*message).cmsg_level = libc::SOL_UDP;
        (*message).cmsg_type = libc::UDP_SEGMENT;
        libc::CMSG_DATA(message)
            .cast::<u16>()
            .write_unaligned(segment_len);
    }
    control
}

/// Asks for a receive buffer of `bytes` and returns what the kernel granted. Only root may pass
/// `net.core.rmem_max`.
pub(crate) fn set_receive_buffer(socket: &UdpSocket, bytes: usize) -> io::Result<usize> {
    let wanted = c_int::try_from(bytes).unwrap_or(c_int::MAX);
    if set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, wanted).is_err() {
        set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, wanted)?;
    }
    let granted = get_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF)?;
    Ok(usize::try_from(granted).unwrap_or(0))
}

/// True when the kernel can cut one send into datagrams (since Linux 4.18).
pub(crate) fn can_segment(socket: &UdpSocket) -> bool {
    get_option(socket, libc::SOL_UDP, libc::UDP_SEGMENT).is_ok()
}

fn set_option(socket: &UdpSocket, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of `value`, which lives until the call returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_ref(&value).cast(),
            mem::size_of::<c_int>() as socklen_t,
        )
    };
    checked(result)
}

fn get_option(socket: &UdpSocket, level: c_int, name: c_int) -> io::Result<c_int> {
    let mut value: c_int = 0;
    let mut len = mem::size_of::<c_int>() as socklen_t;
    // SAFETY: `value` has the `len` bytes that the kernel may write; both live until it returns.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_mut(&mut value).cast(),
            &raw mut len,
        )
    };
    checked(result).map(|()| value)
}

/// Binds the calling thread, and those it starts, to one CPU.
pub(crate) fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: cpu_set_t is an array of integers, for which all zeroes is a value; CPU_SET writes
    // inside it because `cpu` was compared with its size; the kernel only reads it.
    let result = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, mem::size_of::<libc::cpu_set_t>(), &raw const set)
    };
    checked(result)
}

/// Sleeps until one of the sockets has something to read, or for so long.
pub(crate) fn wait_for_any<'a>(
    sockets: impl IntoIterator<Item = &'a UdpSocket>,
    most: Duration,
) -> io::Result<()> {
    let mut watched: Vec<libc::pollfd> = sockets
        .into_iter()
        .map(|socket| libc::pollfd {
            fd: socket.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    let most = libc::timespec {
        tv_sec: most.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: most.subsec_nanos().into(),
    };
    // SAFETY: the kernel writes `revents` of the entries of `watched`, whose number it is told, and reads
    // `most`; both live through the call. No signal mask is given.
    let count = unsafe {
        libc::ppoll(
            watched.as_mut_ptr(),
            watched.len() as libc::nfds_t,
            &raw const most,
            ptr::null(),
        )
    };
    match count {
        0.. => Ok(()),
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            error => Err(error),
        },
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: u32, signal: c_int) -> io::Result<()> {
    // Neither 0 nor a negative number: those are groups of processes.
    let pid = libc::pid_t::try_from(pid)
        .ok()
        .filter(|pid| *pid > 0)
        .ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: kill takes numbers and touches no memory of ours.
    checked(unsafe { libc::kill(pid, signal) })
}

fn checked(result: c_int) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Ticks per second in which the kernel tells CPU time.
pub(crate) fn clock_ticks_per_s() -> u64 {
    // SAFETY: sysconf takes a number and touches no memory of ours.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).unwrap_or(100).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn pair() -> (UdpSocket, UdpSocket) {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        server
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        (server, client)
    }

    #[test]
    fn runs_arrive_as_single_datagrams_with_and_without_segmentation() {
        for segmented in [false, true] {
            let (server, client) = pair();
            let long: Vec<u8> = (0..70).flat_map(|number| [number; 98]).collect();
            let runs = [
                Run {
                    bytes: &long,
                    datagram_len: 98,
                },
                Run {
                    bytes: &[200; 16],
                    datagram_len: 16,
                },
            ];
            let sent = Outbox::new(segmented).send(&client, &runs);
            assert_eq!((sent.datagrams, sent.refused), (71, 0));
            let mut inbox = Inbox::new(128, 256);
            let mut seen = Vec::new();
            while seen.len() < 71 {
                let count = inbox.receive(&server, Wait::ForOne).unwrap();
                assert!(count > 0, "a datagram is missing");
                seen.extend((0..count).map(|slot| inbox.datagram(slot).to_vec()));
            }
            for (number, datagram) in seen.iter().take(70).enumerate() {
                assert_eq!(datagram[..], [number as u8; 98]);
            }
            assert_eq!(seen[70], [200; 16]);
        }
    }

    #[test]
    fn answers_go_to_whoever_wrote_to_the_slot() {
        let (server, client) = pair();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        other.connect(server.local_addr().unwrap()).unwrap();
        other
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        client.send(b"a").unwrap();
        other.send(b"b").unwrap();
        let mut inbox = Inbox::new(8, 64);
        let mut got = 0;
        while got < 2 {
            let count = inbox.receive(&server, Wait::ForOne).unwrap();
            assert!(count > 0, "a datagram is missing");
            let replies = (0..count).map(|slot| (slot, inbox.datagram(slot)));
            let sent = Outbox::new(false).answer(&server, &inbox, replies);
            assert_eq!(sent.datagrams, count);
            got += count;
        }
        let mut out = [0; 8];
        assert_eq!(
            client
                .recv(&mut out)
                .map(|len| out[..len].to_vec())
                .unwrap(),
            b"a"
        );
        assert_eq!(
            other.recv(&mut out).map(|len| out[..len].to_vec()).unwrap(),
            b"b"
        );
    }

    #[test]
    fn an_empty_socket_is_not_an_error() {
        let (server, _client) = pair();
        assert_eq!(Inbox::new(4, 64).receive(&server, Wait::Never).unwrap(), 0);
    }
}
