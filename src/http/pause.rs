//! How all HTTP threads are told to let nobody in, and tell that they have answered all who were in.

use crate::sync::{AtomicBool, AtomicUsize, Ordering};

/// One for all threads of a tracker. Listening sockets stay as they are: whoever connects meanwhile waits
/// in the kernel's queue, for these threads or for those of another process.
#[derive(Default)]
pub struct Pause {
    wanted: AtomicBool,
    /// Threads that ask the cores nothing any more.
    silent: AtomicUsize,
}

impl Pause {
    /// Whoever sets it rings all desks.
    pub fn set(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Release);
    }

    /// Threads that have answered all who were in, or have given them up, and ask nothing any more.
    pub fn silent(&self) -> usize {
        self.silent.load(Ordering::Acquire)
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    pub(super) fn count_silent(&self, more: bool) {
        if more {
            self.silent.fetch_add(1, Ordering::AcqRel);
        } else {
            self.silent.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
