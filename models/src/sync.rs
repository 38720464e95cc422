//! Loom's atomics, and twins of the two types that Shoal shares beside them.
//!
//! The queue is written like crossbeam's, with weaker orderings: what holds here holds there. A lock around a
//! list would not do, as it would order what must be ordered by whoever uses it.

use std::sync::Mutex as Cell;
use std::task::Waker;

pub use loom::sync::atomic::{AtomicUsize, Ordering, fence};
use loom::sync::{Mutex, atomic};
use loom::thread;

/// Loom's, but that a store is a swap here. Otherwise loom would leave open which of a store and a swap by two
/// threads comes first, though each swap stands right behind what it has read, and would find sleepers whom
/// no computer lets sleep.
pub struct AtomicBool(atomic::AtomicBool);

impl AtomicBool {
    pub fn new(value: bool) -> Self {
        Self(atomic::AtomicBool::new(value))
    }

    pub fn load(&self, order: Ordering) -> bool {
        self.0.load(order)
    }

    pub fn store(&self, value: bool, order: Ordering) {
        self.0.swap(value, order);
    }

    pub fn swap(&self, value: bool, order: Ordering) -> bool {
        self.0.swap(value, order)
    }
}

impl Default for AtomicBool {
    fn default() -> Self {
        Self::new(false)
    }
}

/// A bounded queue for any number of threads.
pub struct ArrayQueue<T> {
    slots: Box<[Slot<T>]>,
    head: AtomicUsize,
    tail: AtomicUsize,
}

struct Slot<T> {
    /// Its own number while it is empty, one more while it is full, and its number in the next round then.
    stamp: AtomicUsize,
    /// Not loom's, so that it orders nothing; the stamp says whose it is.
    value: Cell<Option<T>>,
}

impl<T> ArrayQueue<T> {
    /// Room for `capacity` values, of which it takes two at least.
    pub fn new(capacity: usize) -> Self {
        assert!(capacity >= 2, "one stamp would mean two things");
        let slot = |number| Slot {
            stamp: AtomicUsize::new(number),
            value: Cell::new(None),
        };
        Self {
            slots: (0..capacity).map(slot).collect(),
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
        }
    }

    pub fn push(&self, value: T) -> Result<(), T> {
        let mut tail = self.tail.load(Ordering::Relaxed);
        loop {
            let slot = &self.slots[tail % self.slots.len()];
            let stamp = slot.stamp.load(Ordering::Acquire);
            if stamp == tail {
                let moved = self.tail.compare_exchange(
                    tail,
                    tail + 1,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
                match moved {
                    Ok(_) => {
                        let before = slot.value.lock().expect("one thread").replace(value);
                        assert!(before.is_none(), "a value was overwritten");
                        slot.stamp.store(tail + 1, Ordering::Release);
                        return Ok(());
                    }
                    Err(newer) => tail = newer,
                }
            } else {
                fence(Ordering::SeqCst);
                if self.head.load(Ordering::Relaxed) + self.slots.len() == tail {
                    return Err(value);
                }
                thread::yield_now();
                tail = self.tail.load(Ordering::Relaxed);
            }
        }
    }

    pub fn pop(&self) -> Option<T> {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            let slot = &self.slots[head % self.slots.len()];
            let stamp = slot.stamp.load(Ordering::Acquire);
            if stamp == head + 1 {
                let moved = self.head.compare_exchange(
                    head,
                    head + 1,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
                match moved {
                    Ok(_) => {
                        let value = slot.value.lock().expect("one thread").take();
                        slot.stamp.store(head + self.slots.len(), Ordering::Release);
                        return Some(value.expect("a full slot has a value"));
                    }
                    Err(newer) => head = newer,
                }
            } else {
                fence(Ordering::SeqCst);
                if self.tail.load(Ordering::Relaxed) == head {
                    return None;
                }
                thread::yield_now();
                head = self.head.load(Ordering::Relaxed);
            }
        }
    }

    pub fn len(&self) -> usize {
        let head = self.head.load(Ordering::Relaxed);
        self.tail.load(Ordering::Relaxed).saturating_sub(head)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The waker of a task. The real one promises that of a wake and a registration one comes first and the other
/// sees what was done before it; a lock does the same.
#[derive(Default)]
pub struct AtomicWaker(Mutex<Option<Waker>>);

impl AtomicWaker {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn register(&self, waker: &Waker) {
        *self.0.lock().expect("nobody panics with it") = Some(waker.clone());
    }

    pub fn wake(&self) {
        let waker = self.0.lock().expect("nobody panics with it").take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
