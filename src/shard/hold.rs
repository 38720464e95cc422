//! How a core is told to leave its sockets alone, and tells that it does: before another process reads
//! them.

use std::sync::Arc;

use crate::net::Doorbell;
use crate::sync::{AtomicBool, Ordering};

/// One core's. It serves all who ask over its mailbox meanwhile.
pub struct Hold {
    wanted: AtomicBool,
    quiet: AtomicBool,
    doorbell: Arc<Doorbell>,
}

impl Hold {
    /// A core that reads its sockets; `doorbell` wakes it.
    pub fn new(doorbell: Arc<Doorbell>) -> Self {
        Self {
            wanted: AtomicBool::new(false),
            quiet: AtomicBool::new(false),
            doorbell,
        }
    }

    /// Has the core leave its sockets alone, or return to them.
    pub fn set(&self, wanted: bool) {
        self.quiet.store(false, Ordering::Relaxed);
        self.wanted.store(wanted, Ordering::Release);
        self.doorbell.ring();
    }

    /// True when it leaves them alone, and has admitted all that it had received.
    pub fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Acquire)
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    pub(super) fn tell_quiet(&self) {
        self.quiet.store(true, Ordering::Release);
    }
}
