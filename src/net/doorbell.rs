//! How another thread wakes a core that sleeps, and costs nothing while it is awake.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// An eventfd and whether somebody sleeps on it.
///
/// The sleeper says that it will sleep and *then* looks at its queues once more; the ringer fills a
/// queue and *then* looks whether somebody sleeps. A full fence between the two steps on both sides
/// means that at least one of them sees the other, so no wake-up is lost.
pub struct Doorbell {
    event: OwnedFd,
    sleeping: AtomicBool,
}

impl Doorbell {
    /// A doorbell that nobody waits at.
    pub fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointer.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and belongs to nobody else.
        let event = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self {
            event,
            sleeping: AtomicBool::new(false),
        })
    }

    /// Wakes the owner if it sleeps. Call after the work is in its queue.
    pub fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::Relaxed) {
            let one = 1_u64;
            // SAFETY: the pointer is to eight bytes that live through the call.
            // The only error of a full eventfd is that it is already readable, which is what we want.
            unsafe { libc::write(self.fd(), (&raw const one).cast(), size_of::<u64>()) };
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

    /// Forgets that it rang.
    pub(super) fn silence(&self) {
        let mut count = 0_u64;
        // SAFETY: the pointer is to eight bytes that live through the call; the descriptor does not
        // block.
        unsafe { libc::read(self.fd(), (&raw mut count).cast(), size_of::<u64>()) };
    }

    pub(super) fn fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}
