//! The page as it changes: server-sent events, made once for all who listen.
//!
//! An event is JSON: `text` and `attr` by the id of an element, every two seconds, and every ten seconds
//! `html`, the parts that are replaced as a whole.

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use hyper::body::{Bytes, Frame};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{MissedTickBehavior, interval};

use super::stats::{Moving, parts};
use super::turned_away;
use super::view::View;
use crate::control::state::State;

/// How often there is an event.
const EVERY: Duration = Duration::from_secs(2);

/// How many events there are for one that has parts of the page too.
const EVENTS_A_PART: u32 = 5;

/// Who may listen at once; others are told to try again later.
pub(in crate::control) const LISTENERS_MAX: usize = 64;

/// Events that may wait for a listener. Whoever lets more of them wait is let go.
const WAITING_MAX: usize = 4;

/// Those who listen.
#[derive(Default)]
pub(in crate::control) struct Audience(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    listeners: Vec<Sender<Bytes>>,
    /// Whether there is a task that tells them.
    is_told: bool,
    /// The tracker stops, so nobody may listen any more.
    is_closed: bool,
}

impl Audience {
    /// A place for one more, with its first event; nothing when there is none.
    fn join(&self, first: Bytes) -> Option<(Receiver<Bytes>, bool)> {
        let mut inner = self.inner();
        inner.listeners.retain(|listener| !listener.is_closed());
        if inner.is_closed || inner.listeners.len() >= LISTENERS_MAX {
            return None;
        }
        let (sender, receiver) = channel(WAITING_MAX);
        // There is room: it is empty.
        drop(sender.try_send(first));
        inner.listeners.push(sender);
        let begins = !std::mem::replace(&mut inner.is_told, true);
        Some((receiver, begins))
    }

    /// Tells everybody; lets go of who has left, and of who does not keep up. False when nobody is left.
    fn tell(&self, event: &Bytes) -> bool {
        let mut inner = self.inner();
        inner
            .listeners
            .retain(|listener| listener.try_send(event.clone()).is_ok());
        inner.is_told = !inner.listeners.is_empty();
        inner.is_told
    }

    /// True when somebody listens; if not, the task that asks ends.
    fn is_there(&self) -> bool {
        let mut inner = self.inner();
        inner.listeners.retain(|listener| !listener.is_closed());
        inner.is_told = !inner.listeners.is_empty();
        inner.is_told
    }

    /// Sends everybody home.
    pub(in crate::control) fn close(&self) {
        let mut inner = self.inner();
        inner.is_closed = true;
        inner.listeners.clear();
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A list is whole after a panic too.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) async fn listen(state: State, uri: Uri, headers: HeaderMap) -> Response {
    if let Some(refused) = turned_away(&state, &uri, &headers) {
        return refused;
    }
    let Some((receiver, begins)) = state.audience.join(event(&state, false)) else {
        let later = [(header::RETRY_AFTER, "30")];
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            later,
            "Too many listen already.\n",
        )
            .into_response();
    };
    if begins {
        tokio::spawn(tell(state));
    }
    let fields = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    // nginx would keep events until it has a buffer full of them.
    let unbuffered = [("x-accel-buffering", "no")];
    (fields, unbuffered, Body::new(Events(receiver))).into_response()
}

/// Tells the audience while there is one.
async fn tell(state: State) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first one is now.
    ticks.tick().await;
    let mut events = 0_u32;
    loop {
        ticks.tick().await;
        if !state.audience.is_there() {
            return;
        }
        events = events.wrapping_add(1);
        let event = event(&state, events.is_multiple_of(EVENTS_A_PART));
        if !state.audience.tell(&event) {
            return;
        }
    }
}

fn event(state: &State, with_parts: bool) -> Bytes {
    let view = View::of(state);
    let moving = Moving::of(&view);
    let mut attributes = Map::new();
    for (id, name, value) in moving.attributes {
        attributes.insert(id, json!({ name: value }));
    }
    let mut told = json!({ "text": moving.texts, "attr": attributes });
    if with_parts {
        let parts = parts(&view).map(|(id, part)| (id.to_owned(), Value::from(part.into_string())));
        told["html"] = Map::from_iter(parts).into();
    }
    // JSON has no line break outside of strings, and within them they are escaped.
    Bytes::from(format!("data: {told}\n\n"))
}

/// A body that ends when its listener is let go.
struct Events(Receiver<Bytes>);

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let event = self.0.poll_recv(cx);
        event.map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_may_listen_and_whoever_leaves_makes_room() {
        let audience = Audience::default();
        let event = Bytes::from_static(b"data: 1\n\n");
        let (first, begins) = audience.join(event.clone()).unwrap();
        assert!(begins);
        let mut others: Vec<_> = (1..LISTENERS_MAX)
            .map(|_| audience.join(event.clone()).unwrap())
            .collect();
        assert!(others.iter().all(|(_, begins)| !begins));
        assert!(audience.join(event.clone()).is_none());
        drop(first);
        assert!(audience.join(event.clone()).is_some());
        others.clear();
        assert!(!audience.tell(&event), "nobody is left");
        let (_receiver, begins) = audience.join(event).unwrap();
        assert!(begins, "the next one needs a new task");
    }

    #[test]
    fn whoever_does_not_keep_up_is_let_go_and_the_others_stay() {
        let audience = Audience::default();
        let event = Bytes::from_static(b"data: 1\n\n");
        let (mut slow, _) = audience.join(event.clone()).unwrap();
        let (mut quick, _) = audience.join(event.clone()).unwrap();
        for _ in 0..10 {
            while quick.try_recv().is_ok() {}
            assert!(audience.tell(&event));
        }
        let mut got = 0;
        while slow.try_recv().is_ok() {
            got += 1;
        }
        assert_eq!(got, WAITING_MAX);
        assert!(slow.is_closed() || slow.try_recv().is_err());
        assert_eq!(audience.inner().listeners.len(), 1);
    }

    #[test]
    fn nobody_listens_to_a_tracker_that_stops() {
        let audience = Audience::default();
        let (mut receiver, _) = audience.join(Bytes::new()).unwrap();
        audience.close();
        assert!(audience.join(Bytes::new()).is_none());
        assert!(receiver.try_recv().is_ok() && receiver.try_recv().is_err());
    }
}
