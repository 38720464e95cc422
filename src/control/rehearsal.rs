//! A connection to the control server that is only in memory: what comes from a client is given to the same
//! parser, limits, checks and routes, without a socket. For fuzzers and tests.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::timeout;

use super::api;
use super::limits::{CONNECTIONS_MAX, DISK_THREADS, Places};
use super::server::Serving;
use super::state::State;

/// A control server without a listener.
pub struct Rehearsal {
    runtime: Runtime,
    serving: Serving,
    /// Whoever drops these stops the server.
    _running: [watch::Sender<bool>; 2],
}

impl Rehearsal {
    /// The routes of the API and the pages, before this tracker.
    pub fn new(state: State) -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(DISK_THREADS)
            .build()?;
        let (stop, stopped) = watch::channel(false);
        let (pause, paused) = watch::channel(false);
        Ok(Self {
            runtime,
            serving: Serving {
                acceptor: None,
                router: api::router(state.clone()),
                places: Arc::new(Places::new(CONNECTIONS_MAX)),
                state,
                stopped,
                paused,
            },
            _running: [stop, pause],
        })
    }

    /// What a client that sends these bytes is sent, until the server closes, or it has begun to answer and
    /// `patience` is over.
    pub fn converse(&self, sent: &[u8], patience: Duration) -> Vec<u8> {
        let has_begun = AtomicBool::new(false);
        let mut line = Line {
            sent,
            answer: Vec::new(),
            has_begun: &has_begun,
        };
        let Some(place) = self.serving.place() else {
            return Vec::new();
        };
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1024));
        let requests = self.serving.clone().requests(&mut line, peer, &place);
        self.runtime.block_on(async {
            let mut requests = pin!(requests);
            // Some answers go on until the client leaves; others come late on a busy machine.
            while timeout(patience, &mut requests).await.is_err() {
                if has_begun.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        self.serving.places.give_back(&place);
        line.answer
    }
}

/// Both directions. A client that has sent all waits for the answer.
struct Line<'a> {
    sent: &'a [u8],
    answer: Vec<u8>,
    has_begun: &'a AtomicBool,
}

impl AsyncRead for Line<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = self.sent.len().min(buffer.remaining());
        if len == 0 {
            return Poll::Pending;
        }
        let (now, later) = self.sent.split_at(len);
        buffer.put_slice(now);
        self.sent = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.answer.extend_from_slice(bytes);
        self.has_begun.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
