//! What ends the sleep of a core from outside: an eventfd.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Readable from the moment it was set until it is cleared.
pub(super) struct Event(OwnedFd);

impl Event {
    /// One that is not set.
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointer.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and belongs to nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Sets it, for whoever sleeps on it or comes to.
    pub(super) fn set(&self) {
        let one = 1_u64;
        // SAFETY: the pointer is to eight bytes that live through the call.
        // The only error of a full eventfd is that it is already readable, which is what we want.
        unsafe { libc::write(self.fd(), (&raw const one).cast(), size_of::<u64>()) };
    }

    /// Forgets that it was set.
    pub(super) fn clear(&self) {
        let mut count = 0_u64;
        // SAFETY: the pointer is to eight bytes that live through the call; the descriptor does not
        // block.
        unsafe { libc::read(self.fd(), (&raw mut count).cast(), size_of::<u64>()) };
    }

    pub(super) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
