//! Buffers that connections borrow while they need them: a thread has as many as it ever needed at one
//! time, and a connection that idles has none.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::limits::HEAD_LEN_MAX;

/// Buffers that are kept, and bytes that one may have and be kept.
const KEPT_MAX: usize = 512;
const KEPT_LEN_MAX: usize = 16 << 10;

/// The buffers of one thread that nobody uses.
#[derive(Default)]
pub(super) struct Buffers(RefCell<Vec<Vec<u8>>>);

impl Buffers {
    /// An empty buffer.
    pub(super) fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// A buffer that is not needed any more.
    pub(super) fn give_back(&self, mut buffer: Vec<u8>) {
        let mut kept = self.0.borrow_mut();
        if (1..=KEPT_LEN_MAX).contains(&buffer.capacity()) && kept.len() < KEPT_MAX {
            buffer.clear();
            kept.push(buffer);
        }
    }
}

/// What is read lies here until it is parsed: one a thread, so that an idle connection holds no memory for it.
pub(super) struct Inbox(Box<[u8]>);

impl Default for Inbox {
    fn default() -> Self {
        // One byte more than a head may have shows that it has more.
        Self(vec![0; HEAD_LEN_MAX + 1].into())
    }
}

impl Inbox {
    /// What has come next, as much as there is room for; nothing at its end.
    pub(super) fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<&[u8]>> {
        // What comes short of the buffer was all there is: tokio then waits without asking for more.
        let mut buffer = ReadBuf::new(&mut self.0);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        let len = buffer.filled().len();
        Poll::Ready(Ok(&self.0[..len]))
    }
}
