//! How much a client of the control server may ask of it, and for how long. Whoever may use it has all
//! rights; whoever may not can at most take a place away, for some seconds.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// Connections at once.
pub(super) const CONNECTIONS_MAX: usize = 256;

/// Bytes of a body; more is answered 413.
pub(super) const BODY_LEN_MAX: usize = 16 << 20;

/// Bytes of a head, at which hyper begins to find it too large; some are read beyond.
pub(super) const HEAD_LEN_MAX: usize = 64 << 10;

/// How long a TLS handshake may take, a head, and the pause between two requests.
pub(super) const HEAD_PATIENCE: Duration = Duration::from_secs(5);

/// How long a request may take from its head to the head of its answer; then it is answered 408.
pub(super) const REQUEST_PATIENCE: Duration = Duration::from_secs(30);

/// How long a client may take none of what it is sent.
pub(super) const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// How long requests that are under way may go on when the tracker stops.
pub(super) const PARTING: Duration = Duration::from_secs(1);

/// Threads that wait for the disk.
pub(super) const DISK_THREADS: usize = 4;

/// The connections that are open.
pub(super) struct Places {
    max: usize,
    open: Mutex<Vec<Arc<Place>>>,
    /// Counts what happens, in place of a clock.
    happened: Arc<AtomicU64>,
}

/// The place of one connection.
pub(super) struct Place {
    requests: AtomicUsize,
    /// When something happened last.
    last: AtomicU64,
    happened: Arc<AtomicU64>,
    left: Notify,
}

/// How a connection got its place.
pub(super) enum Taken {
    /// There was one.
    Free(Arc<Place>),
    /// One that had been idle for longest was closed.
    Evicted(Arc<Place>),
    /// All are busy.
    Refused,
}

impl Places {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            open: Mutex::default(),
            happened: Arc::default(),
        }
    }

    /// A place for one more connection.
    pub(super) fn take(&self) -> Taken {
        let mut open = self.open();
        let evicted = open.len() >= self.max;
        if evicted {
            let idle = open.iter().enumerate();
            let idle = idle.filter(|(_, place)| place.requests.load(Ordering::Relaxed) == 0);
            let oldest = idle.min_by_key(|(_, place)| place.last.load(Ordering::Relaxed));
            let Some((at, _)) = oldest else {
                return Taken::Refused;
            };
            open.swap_remove(at).left.notify_one();
        }
        let place = Arc::new(Place {
            requests: AtomicUsize::new(0),
            last: AtomicU64::new(self.happened.fetch_add(1, Ordering::Relaxed)),
            happened: Arc::clone(&self.happened),
            left: Notify::new(),
        });
        open.push(Arc::clone(&place));
        if evicted {
            Taken::Evicted(place)
        } else {
            Taken::Free(place)
        }
    }

    /// The connection has ended.
    pub(super) fn give_back(&self, place: &Arc<Place>) {
        self.open().retain(|open| !Arc::ptr_eq(open, place));
    }

    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.open().len()
    }

    fn open(&self) -> MutexGuard<'_, Vec<Arc<Place>>> {
        // Every change is one call, so the list is whole whatever became of the last holder.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// A request has come; it is under way until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.requests.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// Bytes have gone to the client or come from it.
    pub(super) fn touch(&self) {
        let now = self.happened.fetch_add(1, Ordering::Relaxed);
        self.last.store(now, Ordering::Relaxed);
    }

    /// Waits until somebody else needs the place.
    pub(super) async fn evicted(&self) {
        self.left.notified().await;
    }
}

/// A request that is under way.
pub(super) struct UnderWay(Arc<Place>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
        self.0.touch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(taken: Taken) -> Arc<Place> {
        match taken {
            Taken::Free(place) | Taken::Evicted(place) => place,
            Taken::Refused => panic!("refused"),
        }
    }

    #[test]
    fn the_connection_that_has_been_idle_for_longest_makes_room() {
        let places = Places::new(3);
        let [first, second, third] = [(); 3].map(|()| place(places.take()));
        let busy = first.begin();
        second.touch();
        let taken = places.take();
        assert!(matches!(taken, Taken::Evicted(_)));
        assert!(!places.open().iter().any(|open| Arc::ptr_eq(open, &third)));
        assert_eq!(places.taken(), 3);
        drop(busy);
    }

    #[test]
    fn nobody_who_is_served_makes_room() {
        let places = Places::new(2);
        let [first, second] = [(); 2].map(|()| place(places.take()));
        let (one, other) = (first.begin(), second.begin());
        assert!(matches!(places.take(), Taken::Refused));
        drop(one);
        assert!(matches!(places.take(), Taken::Evicted(_)));
        drop(other);
        places.give_back(&second);
        assert_eq!(places.taken(), 1);
        assert!(matches!(places.take(), Taken::Free(_)));
    }
}
