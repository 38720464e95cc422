//! A core's way to the kernel: an event to sleep on, and sockets through which nothing comes.

#[path = "../../src/net/doorbell.rs"]
mod doorbell;
mod event;
pub mod steering;

use std::io;
use std::sync::Arc;
use std::time::Duration;

pub use doorbell::Doorbell;

/// Who asked, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin(pub u8);

impl Origin {
    pub const NOBODY: Self = Self(0);
}

/// Nothing came.
pub struct Inbox;

/// What never comes.
pub struct Datagram;

impl Inbox {
    pub fn iter(&self) -> impl Iterator<Item = Datagram> {
        std::iter::empty()
    }
}

/// To whom something was answered, in their order.
#[derive(Default)]
pub struct Outbox(pub Vec<Origin>);

pub struct Net {
    doorbell: Arc<Doorbell>,
    boxes: (Inbox, Outbox),
    held: bool,
    /// Turns until nothing comes any more that had been received before it was held.
    late: u32,
}

impl Net {
    pub fn new(doorbell: Arc<Doorbell>) -> Self {
        Self {
            doorbell,
            boxes: (Inbox, Outbox::default()),
            held: false,
            late: 0,
        }
    }

    /// Whoever sleeps is woken by the doorbell or never.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        if timeout.is_zero() {
            self.doorbell.event().clear();
        } else {
            self.doorbell.event().wait();
        }
        Ok(())
    }

    pub fn receive(&mut self) -> io::Result<()> {
        self.late = self.late.saturating_sub(1);
        Ok(())
    }

    pub fn boxes(&mut self) -> (&Inbox, &mut Outbox) {
        (&self.boxes.0, &mut self.boxes.1)
    }

    pub fn send(&mut self) -> io::Result<()> {
        Ok(())
    }

    pub fn hold(&mut self, held: bool) -> io::Result<()> {
        self.late = u32::from(held && !self.held) * 2;
        self.held = held;
        Ok(())
    }

    pub fn is_held(&self) -> bool {
        self.held
    }

    pub fn is_quiet(&mut self) -> bool {
        self.held && self.late == 0
    }

    pub fn take_send_failures(&mut self) -> u64 {
        0
    }
}
