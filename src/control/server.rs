//! The thread that serves the API and the pages: one runtime, and a task a connection.
//!
//! ```text
//!   accept       a place among 256, or the oldest idle one goes        limits.rs
//!     |
//!   handshake    where there is a certificate; 5 seconds
//!     |
//!   head         5 seconds, 64 KiB                                     hyper
//!     |
//!   frame        x-request-id, 30 seconds, counted                     this file
//!     |
//!   require      a token                                               auth.rs
//!     |
//!   route        what waits for a disk does it on one of 4 threads     api/
//! ```
//!
//! Cores never wait for this thread: it reads their counters, and asks over their mailboxes.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use log::{debug, warn};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::api;
use super::limits::{
    CONNECTIONS_MAX, DISK_THREADS, HEAD_LEN_MAX, HEAD_PATIENCE, PARTING, Place, Places,
    REQUEST_PATIENCE, Taken, WRITE_PATIENCE,
};
use super::problem::Problem;
use super::state::State;
use crate::http::tls::Tls;
use crate::net::low_priority;
use crate::net::tcp::{accept_remedy, is_of_the_client};
use crate::request_log::without_keys;
use crate::seldom::Seldom;

/// How long it is waited when a connection cannot be accepted, mostly for lack of open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The name of a request, for those who look for it in several logs.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Most characters of such a name that are sent back.
const REQUEST_ID_LEN_MAX: usize = 128;

/// The address of whoever asks, among the extensions of every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// A listener before it is served.
pub struct Door {
    /// Bound, and listening.
    pub listener: std::net::TcpListener,
    /// The certificate of HTTPS.
    pub tls: Option<Arc<Tls>>,
}

/// A server that runs. To be stopped with [`Server::join`].
pub struct Server {
    state: State,
    stop: watch::Sender<bool>,
    pause: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Starts the thread; connections are taken from now on.
    pub fn start(door: Door, state: State) -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(DISK_THREADS)
            .thread_name("control-disk")
            .on_thread_start(low_priority)
            .build()?;
        door.listener.set_nonblocking(true)?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(door.listener)?
        };
        let (stop, stopped) = watch::channel(false);
        let (pause, paused) = watch::channel(false);
        let acceptor = door.tls.map(|tls| TlsAcceptor::from(tls.server_config()));
        let serving = Serving {
            acceptor,
            router: api::router(state.clone()),
            places: Arc::new(Places::new(CONNECTIONS_MAX)),
            state: state.clone(),
            stopped,
            paused,
        };
        let thread = thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || run(runtime, serving, &listener))?;
        Ok(Self {
            state,
            stop,
            pause,
            thread,
        })
    }

    /// What its routes see.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Tells it to stop, and does not wait.
    pub fn begin_to_stop(&self) {
        self.stop.send_replace(true);
        // Who listens to events would do so for ever.
        self.state.audience.close();
    }

    /// What lets nobody in while it is true, and leaves whoever connects in the kernel's queue. Who is in
    /// is answered.
    pub fn pause(&self) -> watch::Sender<bool> {
        self.pause.clone()
    }

    /// Stops it: requests that are under way have a second. False when it panicked.
    pub fn join(self) -> bool {
        self.begin_to_stop();
        self.thread.join().is_ok()
    }
}

/// The body of the thread.
fn run(runtime: Runtime, serving: Serving, listener: &TcpListener) {
    low_priority();
    runtime.block_on(serving.serve(listener));
    // A disk that hangs must not keep the process from ending.
    runtime.shutdown_timeout(PARTING);
}

/// What every connection shares.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) acceptor: Option<TlsAcceptor>,
    pub(super) router: Router,
    pub(super) places: Arc<Places>,
    pub(super) state: State,
    pub(super) stopped: watch::Receiver<bool>,
    pub(super) paused: watch::Receiver<bool>,
}

impl Serving {
    async fn serve(mut self, listener: &TcpListener) {
        let mut complaints = Seldom::default();
        let mut connections = JoinSet::new();
        loop {
            let is_open = !*self.paused.borrow_and_update();
            let accepted = tokio::select! {
                biased;
                () = stop(&mut self.stopped) => break,
                Ok(()) = self.paused.changed() => continue,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept(), if is_open => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    if let Some(place) = self.place() {
                        connections.spawn(self.clone().connection(stream, peer, place));
                    }
                }
                Err(error) if is_of_the_client(&error) => {
                    debug!("a control connection was not accepted: {error}");
                }
                Err(error) => {
                    self.state.counters.count_accept_failed();
                    if let Some(more) = complaints.pass(self.state.clock.now().uptime_s) {
                        let remedy = accept_remedy(&error);
                        warn!(
                            "the control server cannot accept a connection: {error}; {remedy}{more}"
                        );
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        let gone = async { while connections.join_next().await.is_some() {} };
        let _ = timeout(PARTING, gone).await;
    }

    /// A place for one more connection, if there is any.
    pub(super) fn place(&self) -> Option<Arc<Place>> {
        match self.places.take() {
            Taken::Free(place) => Some(place),
            Taken::Evicted(place) => {
                self.state.counters.count_evicted();
                Some(place)
            }
            Taken::Refused => {
                self.state.counters.count_refused();
                None
            }
        }
    }

    async fn connection(mut self, stream: TcpStream, peer: SocketAddr, place: Arc<Place>) {
        let places = Arc::clone(&self.places);
        let acceptor = self.acceptor.take();
        let served = async {
            let Some(acceptor) = acceptor else {
                return self.requests(stream, peer, &place).await;
            };
            match timeout(HEAD_PATIENCE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => self.requests(stream, peer, &place).await,
                Ok(Err(error)) => debug!("no TLS with {peer}: {error}"),
                Err(_) => debug!("no TLS with {peer}: it takes too long"),
            }
        };
        tokio::select! {
            () = served => {}
            () = place.evicted() => {}
        }
        places.give_back(&place);
    }

    /// Answers the requests of one connection, one after the other.
    pub(super) async fn requests(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        peer: SocketAddr,
        place: &Arc<Place>,
    ) {
        let service = TowerToHyperService::new(self.router);
        let answer = service_fn(|mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            let under_way = place.begin();
            let answer = service.call(request);
            async move {
                let answer = answer.await;
                drop(under_way);
                answer
            }
        });
        let io = TokioIo::new(Watched {
            stream,
            place: Arc::clone(place),
            stalled: None,
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_PATIENCE)
                .max_buf_size(HEAD_LEN_MAX)
                .serve_connection(io, answer)
        );
        tokio::select! {
            ended = &mut connection => told(peer, ended),
            () = stop(&mut self.stopped) => {
                connection.as_mut().graceful_shutdown();
                told(peer, connection.await);
            }
        }
    }
}

/// Waits until the server is to stop, or nobody is left who could say so.
async fn stop(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn told(peer: SocketAddr, ended: hyper::Result<()>) {
    if let Err(error) = ended {
        debug!("the control connection of {peer} ended: {error}");
    }
}

/// A stream whose client must take what it is sent, and whose place knows when it is idle.
struct Watched<S> {
    stream: S,
    place: Arc<Place>,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    fn watch<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.place.touch();
            self.stalled = None;
            return written;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(WRITE_PATIENCE)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.place.touch();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(shut, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.watch(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// What is around every request: a name, an end, a count.
pub(super) async fn frame(state: State, request: Request, next: Next) -> Response {
    let name = request.headers().get(&REQUEST_ID);
    let name = name.filter(|name| is_request_id(name)).cloned();
    let name = name.unwrap_or_else(fresh_request_id);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let changes = !request.method().is_safe();
    let mut response = if changes && state.is_handing_over() {
        Problem::handing_over().into_response()
    } else {
        match timeout(REQUEST_PATIENCE, next.run(request)).await {
            Ok(response) => response,
            Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
        }
    };
    let status = response.status();
    state.counters.count_answered(status);
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        let path = without_keys(path.as_bytes()).escape_ascii().to_string();
        debug!("{method} \"{path}\" was answered {status}");
    }
    response.headers_mut().insert(REQUEST_ID, name);
    response
}

fn is_request_id(name: &HeaderValue) -> bool {
    let name = name.as_bytes();
    (1..=REQUEST_ID_LEN_MAX).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic)
}

/// A random UUID, version 4.
fn fresh_request_id() -> HeaderValue {
    let bits = fastrand::u128(..) & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
    let hex = format!("{bits:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &hex[part]);
    let name = HeaderValue::try_from(parts.join("-"));
    name.unwrap_or(HeaderValue::from_static("-"))
}

/// An empty body with this status.
pub(super) fn bare(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_request_is_a_word_of_visible_letters() {
        for good in ["a", "2f1c-~!", &"x".repeat(128)] {
            assert!(
                is_request_id(&HeaderValue::from_str(good).unwrap()),
                "{good}"
            );
        }
        for bad in ["", "a b", "a\tb", &"x".repeat(129)] {
            assert!(
                !is_request_id(&HeaderValue::from_str(bad).unwrap()),
                "{bad}"
            );
        }
        assert!(!is_request_id(&HeaderValue::from_bytes(b"\xff").unwrap()));
    }

    #[test]
    fn a_fresh_name_is_a_uuid_of_version_4() {
        for _ in 0..100 {
            let name = fresh_request_id();
            let name = name.to_str().unwrap();
            assert_eq!(name.len(), 36);
            assert_eq!(name.as_bytes()[14], b'4', "{name}");
            assert!(b"89ab".contains(&name.as_bytes()[19]), "{name}");
        }
        assert_ne!(fresh_request_id(), fresh_request_id());
    }
}
