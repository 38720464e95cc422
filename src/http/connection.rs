//! One connection, from its first byte to its last: opening, then request after request.
//!
//! ```text
//!   opening    PROXY protocol, TLS                         (opening.rs)
//!      |
//!   read       into the thread's inbox, parsed where it lies
//!      |
//!   handle     a request becomes a question for a core, or a reply at once   (handle.rs)
//!      |
//!   ask        wait for the core that owns the torrent     (asks.rs)
//!      |
//!   reply      written into a borrowed buffer, sent whole  (reply.rs)
//!      |
//!   and again, unless somebody wants to close
//! ```

use std::future::poll_fn;
use std::io;
use std::mem;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite};

use super::Door;
use super::connections::{Doom, Phase, Place};
use super::full_scrape::{Form, Snapshot};
use super::handle::{Handled, Terms};
use super::thread::Thread;
use crate::counters::{BadRequest, Count, Fault, Protocol, Tally};
use crate::limits::HEAD_LEN_MAX;
use crate::shard::Ask;

/// Bytes that a connection which was told to go may still send. They are read so that the kernel does
/// not answer them with a reset, which would take the reply back out of the client's hands.
const PARTING_LEN_MAX: usize = 256 << 10;

/// Bytes of a full scrape that are written at a time.
const PIECE_LEN: usize = 32 << 10;

/// Who is at the other end.
#[derive(Clone, Copy)]
pub(super) struct Client {
    /// Its address, or the proxy's; none for a Unix socket.
    pub(super) peer: Option<IpAddr>,
    /// The address of this host that it asked, where that matters.
    pub(super) local: Option<IpAddr>,
}

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// The client closed it, or it broke.
    Gone,
    /// We closed it, because of what came.
    Bad(BadRequest),
    /// We closed it, because of the time or the place that it took.
    Doomed(Doom),
}

impl From<Doom> for End {
    fn from(doom: Doom) -> Self {
        Self::Doomed(doom)
    }
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// An open connection, behind whatever opened it.
pub(super) struct Connection<S> {
    pub(super) thread: Rc<Thread>,
    pub(super) door: Arc<Door>,
    pub(super) place: Place,
    pub(super) client: Client,
    pub(super) protocol: Protocol,
    stream: S,
    /// What came behind the last request, or the beginning of a head.
    pending: Vec<u8>,
    /// What the request at the beginning of that has waited for, so it was counted and let in already.
    pub(super) form: Option<Box<Ask>>,
}

/// Closes our side, and reads what the client still sends, for a while.
pub(super) async fn part<S>(stream: &mut S, place: &Place, thread: &Thread)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let closed = place.unless_doomed(|cx| Pin::new(&mut *stream).poll_shutdown(cx));
    if !matches!(closed.await, Ok(Ok(()))) {
        return;
    }
    place.set(Phase::Parting);
    let mut left = PARTING_LEN_MAX;
    let ended = place.unless_doomed(|cx| {
        while left > 0 {
            let mut inbox = thread.inbox.borrow_mut();
            match ready!(inbox.poll_fill(stream, cx)) {
                Ok([]) | Err(_) => break,
                Ok(bytes) => left = left.saturating_sub(bytes.len()),
            }
        }
        Poll::Ready(())
    });
    // In time or not, this is the end.
    let _ = ended.await;
}

/// How a request was dealt with, and how many bytes of it there were.
type Consumed = (Handled, usize);

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(
        thread: Rc<Thread>,
        door: Arc<Door>,
        place: Place,
        client: Client,
        protocol: Protocol,
        stream: S,
    ) -> Self {
        Self {
            thread,
            door,
            place,
            client,
            protocol,
            stream,
            pending: Vec::new(),
            form: None,
        }
    }

    /// Serves until somebody ends it.
    pub(super) async fn serve(mut self) {
        let ended = self.serve_all().await;
        if matches!(ended, Err(End::Doomed(_))) && self.protocol == Protocol::Https {
            self.hang_up();
        }
        let counters = &self.thread.counters;
        match ended {
            Ok(()) | Err(End::Gone | End::Doomed(Doom::Evicted | Doom::Stopping)) => {}
            Err(End::Bad(reason)) => counters.add(Count::BadRequest(reason), 1),
            Err(End::Doomed(Doom::TimedOut(phase))) => match phase {
                Phase::Opening | Phase::Head => {
                    counters.add(Count::BadRequest(BadRequest::HeadTimedOut), 1);
                }
                Phase::Idle => counters.tally(Tally::ConnectionsIdledOut, 1),
                Phase::Reply | Phase::Asking => {
                    counters.add(Count::BadRequest(BadRequest::ReplyTimedOut), 1);
                }
                Phase::Parting => {}
            },
        }
        self.thread.buffers.give_back(mem::take(&mut self.pending));
    }

    async fn serve_all(&mut self) -> Result<(), End> {
        self.place.set(Phase::Head);
        loop {
            let handled = self.next_request().await?;
            let (reply, terms, bad) = match handled {
                Handled::Reply(reply, terms) => (reply, terms, None),
                Handled::Bad(reply, reason) => (reply, Terms::CLOSE, Some(reason)),
                Handled::Ask(ask, terms) => {
                    self.place.set(Phase::Asking);
                    let thread = Rc::clone(&self.thread);
                    let answer = match thread.asks.ask(ask) {
                        Ok(mut asking) => {
                            let asking = |cx: &mut Context<'_>| Pin::new(&mut asking).poll(cx);
                            self.place.unless_doomed(asking).await?
                        }
                        Err(unasked) => unasked,
                    };
                    (self.reply_to(answer, &terms), terms, None)
                }
                Handled::FullScrape(form, terms) => {
                    if let Some(reply) = self.full_scrape(form, &terms).await? {
                        (reply, terms, None)
                    } else if terms.keeps_alive() && !self.thread.pauses() {
                        self.await_next();
                        continue;
                    } else {
                        return self.say_goodbye(&terms).await;
                    }
                }
                Handled::Incomplete | Handled::NoRoom => continue,
            };
            self.send(reply).await?;
            if let Some(reason) = bad {
                self.part().await;
                return Err(End::Bad(reason));
            }
            if !terms.keeps_alive() || self.thread.pauses() {
                return self.say_goodbye(&terms).await;
            }
            self.await_next();
        }
    }

    /// Ends a connection whose client has all that it gets. Whoever has sent more than we read must not be
    /// answered with a reset, which would take the reply back.
    async fn say_goodbye(&mut self, terms: &Terms) -> Result<(), End> {
        if terms.has_body || !self.pending.is_empty() {
            self.part().await;
            return Ok(());
        }
        self.close().await
    }

    /// Says that nothing more comes, as far as it takes no waiting: an end of TLS without a word may be
    /// anybody's doing. A reply that breaks off is not to be taken for a whole one.
    fn hang_up(&mut self) {
        if self.place.phase() != Phase::Reply {
            let mut cx = Context::from_waker(Waker::noop());
            // Who takes nothing learns nothing.
            let _ = Pin::new(&mut self.stream).poll_shutdown(&mut cx);
        }
    }

    /// The next request has begun to come, or nothing has.
    fn await_next(&self) {
        let phase = if self.pending.is_empty() {
            Phase::Idle
        } else {
            Phase::Head
        };
        self.place.set(phase);
    }

    /// Reads until a request can be dealt with.
    async fn next_request(&mut self) -> Result<Handled, End> {
        loop {
            if !self.pending.is_empty() {
                match self.handle_pending() {
                    Handled::Incomplete => {}
                    Handled::NoRoom => {
                        self.await_room().await?;
                        continue;
                    }
                    handled => return Ok(handled),
                }
            }
            let handled = poll_fn(|cx| match self.poll_request(cx) {
                Poll::Pending => self.place.poll_doom(cx).map(|doom| Err(End::Doomed(doom))),
                ready @ Poll::Ready(_) => ready,
            });
            match handled.await? {
                Handled::Incomplete => self.place.set(Phase::Head),
                Handled::NoRoom => {
                    self.place.set(Phase::Head);
                    self.await_room().await?;
                }
                handled => return Ok(handled),
            }
        }
    }

    /// Deals with the request that is pending.
    fn handle_pending(&mut self) -> Handled {
        let mut pending = mem::take(&mut self.pending);
        let (handled, used) = self.handle(&pending);
        pending.drain(..used);
        if pending.is_empty() {
            self.thread.buffers.give_back(pending);
        } else {
            self.pending = pending;
        }
        // It may have been refused for what has changed meanwhile.
        if let Some(form) = self.form.take() {
            self.thread.asks.give_back(form);
        }
        handled
    }

    /// Waits for a form, which the request that is pending is then dealt with at once. It can be given up for
    /// others meanwhile, but that it takes long is not its client's fault.
    async fn await_room(&mut self) -> Result<(), Doom> {
        let thread = Rc::clone(&self.thread);
        thread.counters.tally(Tally::QuestionsPutOff, 1);
        let mut room = thread.asks.room();
        let room = |cx: &mut Context<'_>| Pin::new(&mut room).poll(cx);
        let form = self.place.unless_doomed(room).await;
        self.form = form.map_err(|doom| match doom {
            Doom::TimedOut(_) => Doom::TimedOut(Phase::Asking),
            doom => doom,
        })?;
        Ok(())
    }

    /// Reads and deals with what came, in place unless a part of it came before.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<Handled, End>> {
        let thread = Rc::clone(&self.thread);
        let mut inbox = thread.inbox.borrow_mut();
        loop {
            let bytes = ready!(inbox.poll_fill(&mut self.stream, cx))?;
            let len = bytes.len();
            if len == 0 {
                return Poll::Ready(Err(End::Gone));
            }
            thread.counters.tally(Tally::HttpBytesReceived, len as u64);
            if self.pending.is_empty() {
                let (handled, used): Consumed = self.handle(bytes);
                if used < len {
                    self.pending = thread.buffers.take();
                    self.pending.extend_from_slice(&bytes[used..]);
                }
                return Poll::Ready(Ok(handled));
            }
            let is_full = self.pending.len() + len > HEAD_LEN_MAX;
            self.pending.extend_from_slice(bytes);
            // Parsing anew for each of a trickle of bytes would be a gift to whoever sends them.
            if is_full || bytes.contains(&b'\n') {
                return Poll::Ready(Ok(Handled::Incomplete));
            }
        }
    }

    /// Sends a reply whole.
    async fn send(&mut self, reply: Vec<u8>) -> Result<(), End> {
        let thread = Rc::clone(&self.thread);
        self.write(&reply).await?;
        thread
            .counters
            .tally(Tally::HttpBytesSent, reply.len() as u64);
        thread.buffers.give_back(reply);
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        let mut left = bytes;
        self.place.set(Phase::Reply);
        let Self { stream, place, .. } = self;
        let sent = place.unless_doomed(|cx| {
            while !left.is_empty() {
                match ready!(Pin::new(&mut *stream).poll_write(cx, left)) {
                    Ok(0) => return Poll::Ready(Err(End::Gone)),
                    Ok(len) => left = &left[len..],
                    Err(error) => return Poll::Ready(Err(End::from(error))),
                }
            }
            Pin::new(&mut *stream).poll_flush(cx).map_err(End::from)
        });
        sent.await?
    }

    /// Tells the client that nothing more comes.
    async fn close(&mut self) -> Result<(), End> {
        let Self { stream, place, .. } = self;
        let closed = place.unless_doomed(|cx| Pin::new(&mut *stream).poll_shutdown(cx));
        Ok(closed.await??)
    }

    /// Ends a connection whose client may still be sending.
    async fn part(&mut self) {
        part(&mut self.stream, &self.place, &self.thread).await;
    }

    /// Streams a full scrape from a snapshot. What it returns is to be sent instead.
    async fn full_scrape(&mut self, form: Form, terms: &Terms) -> Result<Option<Vec<u8>>, End> {
        let thread = Rc::clone(&self.thread);
        let Some(scrapes) = &thread.full_scrapes else {
            return Ok(Some(self.failure(Fault::FullScrapeDisabled, terms)));
        };
        self.place.set(Phase::Asking);
        let now_s = thread.clock.now().uptime_s;
        let made = self.place.unless_doomed(|cx| scrapes.poll(form, now_s, cx));
        let Some(snapshot) = made.await? else {
            return Ok(Some(self.failure(Fault::Overloaded, terms)));
        };
        thread.counters.tally(Tally::FullScrapes, 1);
        self.count_answered(terms);
        let mut head = thread.buffers.take();
        Self::write_full_scrape_head(&mut head, &snapshot, form, terms);
        self.send(head).await?;
        self.stream_pieces(&snapshot, form).await?;
        Ok(None)
    }

    async fn stream_pieces(&mut self, snapshot: &Snapshot, form: Form) -> Result<(), End> {
        let thread = Rc::clone(&self.thread);
        let mut place = 0;
        loop {
            let mut piece = thread.buffers.take();
            place = snapshot.write_piece(form, place, PIECE_LEN, &mut piece);
            if piece.is_empty() {
                return Ok(());
            }
            if snapshot.is_given_up() {
                return Err(End::Doomed(Doom::TimedOut(Phase::Reply)));
            }
            // Whoever takes piece after piece may take long over all of them.
            self.place.renew();
            self.send(piece).await?;
        }
    }
}

#[cfg(test)]
mod tests;
