//! Buffers that connections borrow while they need them: a thread has as many as it ever needed at one
//! time, and a connection that idles has none.

use std::cell::RefCell;

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
