//! How another thread wakes a core that sleeps, and costs nothing while it is awake.

use std::io;

use super::event::Event;
use crate::sync::{AtomicBool, Ordering, fence};

/// An event and whether somebody sleeps on it.
///
/// The sleeper says that it will sleep and *then* looks at its queues once more; the ringer fills a
/// queue and *then* looks whether somebody sleeps. A full fence between the two steps on both sides
/// means that at least one of them sees the other, so no wake-up is lost.
pub struct Doorbell {
    event: Event,
    sleeping: AtomicBool,
}

impl Doorbell {
    /// A doorbell that nobody waits at.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            event: Event::new()?,
            sleeping: AtomicBool::new(false),
        })
    }

    /// Wakes the owner if it sleeps. Call after the work is in its queue.
    pub fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::Relaxed) {
            self.event.set();
        }
    }

    /// The owner is about to sleep. It must look at its queues after this, before it does.
    pub fn about_to_sleep(&self) {
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The owner is awake: nobody need ring.
    pub fn awake(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
    }

    /// True while the owner sleeps, or is about to, and nobody has rung.
    pub fn is_unrung(&self) -> bool {
        self.sleeping.load(Ordering::Relaxed)
    }

    /// What the owner sleeps on.
    pub(super) fn event(&self) -> &Event {
        &self.event
    }
}
