//! What threads wake each other and hand things over with. Named in one place, so that `models/` can put
//! others here which try every order of events.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

pub(crate) use atomic_waker::AtomicWaker;
pub(crate) use crossbeam_queue::ArrayQueue;
