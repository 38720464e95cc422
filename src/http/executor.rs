//! What a thread of connections runs on: glommio over `io_uring`, or tokio over epoll where the kernel
//! refuses rings. Everything else in `http/` is written once, against [`Executor`].

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use nix::sys::socket::{SockaddrLike, SockaddrStorage, getpeername, getsockname};
use socket2::Socket;

use crate::config::Backend;
use crate::net::OpenRing;

mod epoll;
mod ring;

pub(super) use epoll::Epoll;
pub(super) use ring::Ring;

/// A thread's way to run many tasks, and to wait for sockets and time.
pub(super) trait Executor: 'static {
    /// An accepted connection.
    type Stream: AsyncRead + AsyncWrite + AsRawFd + Unpin + 'static;
    /// A socket that listens.
    type Listener: 'static;
    /// A task; dropping it ends it.
    type Task: 'static;

    /// Whether a connection may be accepted for a task that waits for one before the task runs again.
    /// If such a task ends meanwhile, nobody closes the connection.
    const ACCEPTS_AHEAD: bool;

    /// Takes a listening socket over.
    fn listener(socket: Socket) -> io::Result<Self::Listener>;

    /// The next connection.
    fn accept(listener: &Self::Listener) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Runs a task beside all others.
    fn spawn(task: impl Future<Output = ()> + 'static) -> Self::Task;

    /// Lets a task run to its own end.
    fn detach(task: Self::Task);

    /// Waits.
    fn sleep(duration: Duration) -> impl Future<Output = ()>;
}

/// The executor of one thread, before it runs. It cannot leave its thread.
pub enum Engine {
    /// glommio.
    Ring(Box<glommio::LocalExecutor>),
    /// tokio.
    Epoll(Box<tokio::runtime::Runtime>),
}

/// Bytes of glommio's registered memory. It is for files, which there are none of: the least that it
/// accepts, because it is locked and three rings count it.
const IO_MEMORY: usize = 64 << 10;

/// Entries of each of glommio's three rings: how many sockets one system call can begin to wait for.
const RING_DEPTH: usize = 256;

/// How long tasks that always have something to do may keep glommio from asking the kernel what else
/// there is.
const LOOK_UP: Duration = Duration::from_millis(5);

impl Engine {
    /// Opens an executor on the calling thread: with "auto", glommio where this kernel and this user's
    /// limits allow it. The error says why there is no ring.
    pub fn open(backend: Backend) -> (Result<Self, String>, Option<String>) {
        let ring = match backend {
            Backend::Mmsg => return (Self::epoll(), None),
            // glommio panics on kernels without rings, so it is only tried when one can be had.
            Backend::Auto | Backend::IoUring => OpenRing::new()
                .map_err(|error| error.to_string())
                .and_then(|probe| {
                    drop(probe);
                    glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound)
                        .io_memory(IO_MEMORY)
                        .ring_depth(RING_DEPTH)
                        .preempt_timer(LOOK_UP)
                        .make()
                        .map_err(|error| error.to_string())
                }),
        };
        match ring {
            Ok(ring) => (Ok(Self::Ring(Box::new(ring))), None),
            Err(why) if backend == Backend::IoUring => (Err(why), None),
            Err(why) => (Self::epoll(), Some(why)),
        }
    }

    fn epoll() -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| format!("epoll is not available: {error}"))?;
        Ok(Self::Epoll(Box::new(runtime)))
    }

    /// The word for it in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ring(_) => "glommio",
            Self::Epoll(_) => "epoll",
        }
    }
}

/// Who is at the other end; nobody with an address for a Unix socket. An error for a connection that
/// was reset: what it has sent can still be read, but nobody knows who did.
pub(super) fn peer_of(socket: RawFd) -> io::Result<Option<SocketAddr>> {
    Ok(to_std(&getpeername(socket)?))
}

/// Which address of this host was asked.
pub(super) fn local_of(socket: RawFd) -> Option<SocketAddr> {
    to_std(&getsockname(socket).ok()?)
}

fn to_std(address: &SockaddrStorage) -> Option<SocketAddr> {
    match address.family()? {
        nix::sys::socket::AddressFamily::Inet => {
            let address = address.as_sockaddr_in()?;
            Some(SocketAddr::from((address.ip(), address.port())))
        }
        nix::sys::socket::AddressFamily::Inet6 => {
            let address = address.as_sockaddr_in6()?;
            Some(SocketAddr::from((address.ip(), address.port())))
        }
        _ => None,
    }
}
