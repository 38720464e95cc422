//! What comes before the first request: the PROXY protocol's header, then the TLS handshake.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::HandshakeKind;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;

use super::Door;
use super::buffers::Inbox;
use super::connection::{Client, Connection, part};
use super::connections::{Doom, Phase, Place};
use super::fair::Fair;
use super::thread::Thread;
use super::tls::TlsFailure;
use crate::counters::{BadRequest, Count, Family, Kind, Protocol, Tally};
use crate::wire::http::proxy_protocol::{self, Proxied};

/// Requests that a TLS handshake counts as. It is as much work as twenty, but five thousand clients behind one
/// address, each on a connection of its own, are to stay below the rate that is set for an address.
const HANDSHAKE_REQUESTS: u8 = 4;

/// Opens a connection and serves it to its end.
pub(super) async fn open<S>(
    thread: Rc<Thread>,
    door: Arc<Door>,
    place: Place,
    mut client: Client,
    stream: S,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = Ahead::of(Fair::of(stream));
    if door.proxy_protocol {
        // In boxes of their own, here and below: every connection would have their size otherwise.
        let header = Box::pin(proxied(&thread, &door, &place, client, &mut stream));
        match header.await {
            Some(Proxied::Client(address)) => {
                client = Client {
                    peer: Some(address.ip().to_canonical()),
                    local: None,
                };
            }
            // The proxy speaks for itself, to see whether we live.
            Some(Proxied::Local) => {}
            None => return,
        }
    }
    let protocol = match door.tls {
        None => Protocol::Http,
        Some(_) => Protocol::Https,
    };
    let family = match client.peer {
        Some(peer) if peer.is_ipv6() => Family::Ip6,
        _ => Family::Ip4,
    };
    let count = Count::Received(protocol, family, Kind::Connect);
    thread.counters.add(count, 1);
    let acceptor = door.tls.as_ref().map(|tls| tls.server_config());
    match acceptor {
        None => {
            let connection = Connection::new(thread, door, place, client, protocol, stream);
            connection.serve().await;
        }
        Some(config) => {
            let acceptor = TlsAcceptor::from(config);
            Box::pin(open_tls(thread, door, place, client, stream, acceptor)).await;
        }
    }
}

/// Shakes hands, unless the client does so too often, then serves.
async fn open_tls<S>(
    thread: Rc<Thread>,
    door: Arc<Door>,
    place: Place,
    client: Client,
    stream: Ahead<S>,
    acceptor: TlsAcceptor,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // Before it costs anything, which is why nothing is said: an answer would have to be encrypted.
    if let Some(source) = client.peer.filter(|&peer| !door.speaks_for_others(peer))
        && let Err(over) = thread.admit(source, HANDSHAKE_REQUESTS)
    {
        thread.counters.add(Count::TlsFailed(over.into()), 1);
        return;
    }
    let mut handshake = acceptor.accept(stream).into_fallible();
    let shaken = place
        .unless_doomed(|cx: &mut Context<'_>| Pin::new(&mut handshake).poll(cx))
        .await;
    drop(handshake);
    let failed = match shaken {
        Ok(Ok(stream)) => {
            thread.counters.tally(Tally::TlsHandshakes, 1);
            let kind = stream.get_ref().1.handshake_kind();
            let resumed = kind == Some(HandshakeKind::Resumed);
            thread.counters.tally(Tally::TlsResumed, u64::from(resumed));
            let https = Protocol::Https;
            let connection = Connection::new(thread, door, place, client, https, stream);
            connection.serve().await;
            return;
        }
        Ok(Err((error, mut stream))) => {
            // The alert says why; a reset would overtake it.
            part(&mut stream, &place, &thread).await;
            TlsFailure::of(&error)
        }
        Err(Doom::TimedOut(_)) => TlsFailure::TimedOut,
        Err(Doom::Evicted | Doom::Stopping) => return,
    };
    thread.counters.add(Count::TlsFailed(failed), 1);
}

/// Reads the PROXY protocol's header, which must come, and only from a trusted peer.
async fn proxied<S: AsyncRead + Unpin>(
    thread: &Thread,
    door: &Door,
    place: &Place,
    client: Client,
    stream: &mut Ahead<S>,
) -> Option<Proxied> {
    place.set(Phase::Opening);
    let refuse = || {
        let count = Count::BadRequest(BadRequest::BadProxyHeader);
        thread.counters.add(count, 1);
    };
    if client.peer.is_some_and(|peer| !door.trusts(peer)) {
        refuse();
        return None;
    }
    loop {
        match proxy_protocol::parse(stream.ahead()) {
            Ok(Some((proxied, len))) => {
                stream.consume(len);
                return Some(proxied);
            }
            Ok(None) => {}
            Err(_) => {
                refuse();
                return None;
            }
        }
        let more = |cx: &mut Context<'_>| {
            let mut inbox = thread.inbox.borrow_mut();
            stream.poll_more(cx, &mut inbox)
        };
        match place.unless_doomed(more).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) | Err(Doom::Evicted | Doom::Stopping) => return None,
            Err(Doom::TimedOut(_)) => {
                refuse();
                return None;
            }
        }
    }
}

/// A stream of which some bytes were read ahead of their reader.
struct Ahead<S> {
    stream: S,
    bytes: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Ahead<S> {
    fn of(stream: S) -> Self {
        Self {
            stream,
            bytes: Vec::new(),
        }
    }

    /// What was read ahead.
    fn ahead(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets the first of these bytes.
    fn consume(&mut self, len: usize) {
        self.bytes.drain(..len);
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }

    /// Reads more ahead, by way of `inbox`.
    fn poll_more(&mut self, cx: &mut Context<'_>, inbox: &mut Inbox) -> Poll<io::Result<usize>> {
        let bytes = ready!(inbox.poll_fill(&mut self.stream, cx))?;
        self.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Ahead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let len = self.bytes.len().min(buffer.remaining());
        buffer.put_slice(&self.bytes[..len]);
        self.consume(len);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ahead<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    /// The records of a handshake come as many pieces, and an alert among them gets a single try: all
    /// of them must leave at once, which is one packet too.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
