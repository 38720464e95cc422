//! Where an HTTP thread finds the answers to what it asked, and how it is woken for them.

use std::task::Waker;

use super::ask::Ask;
use crate::limits::ASKS_MAX;
use crate::sync::{ArrayQueue, AtomicWaker};

/// Where the cores put the answers for one HTTP thread.
pub struct Desk {
    answers: ArrayQueue<Box<Ask>>,
    bell: AtomicWaker,
}

impl Desk {
    /// An empty desk.
    pub fn new() -> Self {
        Self {
            answers: ArrayQueue::new(ASKS_MAX),
            bell: AtomicWaker::new(),
        }
    }

    /// Puts an answer there. Nobody is told before [`Desk::ring`].
    pub(super) fn put(&self, ask: Box<Ask>) {
        // A thread has no more forms than fit, so there is room.
        drop(self.answers.push(ask));
    }

    /// Wakes the thread, if it sleeps.
    pub fn ring(&self) {
        self.bell.wake();
    }

    /// The thread is about to wait; it must take what is there after this.
    pub fn listen(&self, waker: &Waker) {
        self.bell.register(waker);
    }

    /// The next answer.
    pub fn take(&self) -> Option<Box<Ask>> {
        self.answers.pop()
    }
}

impl Default for Desk {
    fn default() -> Self {
        Self::new()
    }
}
