//! Letting others have their turn.
//!
//! Whoever sends faster than he is answered never lets his task wait, and tasks of a thread take turns
//! only where they wait: without this, one connection could keep the thread from all others, and from
//! seeing that it takes too long itself.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads and writes in a row after which others come first.
const TURN: u32 = 32;

/// A stream that waits now and then although it need not.
pub(super) struct Fair<S> {
    stream: S,
    /// Reads and writes since it last waited.
    in_a_row: u32,
}

impl<S: Unpin> Fair<S> {
    pub(super) fn of(stream: S) -> Self {
        Self {
            stream,
            in_a_row: 0,
        }
    }

    fn turn<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if self.in_a_row >= TURN {
            self.in_a_row = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = poll(Pin::new(&mut self.stream), cx);
        self.in_a_row = match polled {
            Poll::Ready(_) => self.in_a_row + 1,
            Poll::Pending => 0,
        };
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Fair<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.turn(cx, |stream, cx| stream.poll_read(cx, buffer))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Fair<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.turn(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.turn(cx, |stream, cx| stream.poll_write_vectored(cx, pieces))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Lets every other task that is ready have its turn.
pub(super) async fn others_first() {
    let mut waited = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Wake, Waker};

    /// A client that always has sent more.
    struct Endless;

    impl AsyncRead for Endless {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            buffer.put_slice(b"more");
            Poll::Ready(Ok(()))
        }
    }

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_client_that_never_stops_sending_waits_for_others_and_is_woken_at_once() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut stream = Fair::of(Endless);
        let mut read = || {
            let mut buffer = [0; 8];
            let mut buffer = ReadBuf::new(&mut buffer);
            let read = Pin::new(&mut stream).poll_read(&mut cx, &mut buffer);
            read.map_ok(|()| buffer.filled().len())
        };
        for round in 1..=3 {
            for _ in 0..TURN {
                assert!(matches!(read(), Poll::Ready(Ok(4))));
            }
            assert!(read().is_pending());
            assert_eq!(woken.0.load(Ordering::Relaxed), round);
        }
    }
}
