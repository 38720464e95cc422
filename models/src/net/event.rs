//! An eventfd without the kernel.

use std::io;

use loom::sync::{Condvar, Mutex};

pub struct Event {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Event {
    #[allow(clippy::unnecessary_wraps, reason = "the real one asks the kernel")]
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            is_set: Mutex::new(false),
            changed: Condvar::new(),
        })
    }

    pub fn set(&self) {
        *self.is_set.lock().expect("nobody panics with it") = true;
        self.changed.notify_one();
    }

    pub fn clear(&self) {
        *self.is_set.lock().expect("nobody panics with it") = false;
    }

    /// Waits until it is set, and clears it.
    pub fn wait(&self) {
        let mut is_set = self.is_set.lock().expect("nobody panics with it");
        while !*is_set {
            is_set = self.changed.wait(is_set).expect("nobody panics with it");
        }
        *is_set = false;
    }
}
