//! The questions that the connections of one thread have put before the cores.
//!
//! ```text
//!   connection   blank -> ask -> . . . . . . . . . . . . . . -> answer -> give back
//!   clerk                        ring the cores   take the answers, wake their connections
//! ```
//!
//! The clerk is a task of its own. It runs behind the connections that were ready with it, so one ring
//! tells a core of the questions of a whole turn.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::limits::ASKS_MAX;
use crate::net::steering::Steering;
use crate::shard::{Ask, Counter};

/// All questions of a thread.
pub(super) struct Asks {
    counter: Counter,
    steering: Steering,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// Who waits, by ticket.
    waiting: Vec<Waiting>,
    tickets: Vec<usize>,
    /// Forms that nobody uses, and how many there are in all.
    #[expect(clippy::vec_box, reason = "they go to the cores and back as they are")]
    spare: Vec<Box<Ask>>,
    made: usize,
    /// Connections that want a form when there is none, with their numbers in the queue.
    queue: VecDeque<(u64, Waker)>,
    /// Spare forms that are for those who were called and have not heard it yet.
    called: usize,
    next_number: u64,
    /// Cores that have a question and have not been told.
    unrung: Vec<usize>,
    clerk: Option<Waker>,
}

enum Waiting {
    /// The ticket is free.
    Nobody,
    /// A connection waits.
    Somebody(Option<Waker>),
    /// The answer waits.
    Answer(Box<Ask>),
    /// The connection ended; the answer is for nobody.
    Gone,
}

impl Asks {
    pub(super) fn new(counter: Counter, steering: Steering) -> Self {
        Self {
            counter,
            steering,
            state: RefCell::default(),
        }
    }

    /// A form to fill in, unless [`ASKS_MAX`] are in use.
    pub(super) fn blank(&self) -> Option<Box<Ask>> {
        let mut state = self.state.borrow_mut();
        if state.spare.len() > state.called {
            return state.spare.pop();
        }
        (state.made < ASKS_MAX).then(|| {
            state.made += 1;
            Box::new(Ask::blank(self.counter.me()))
        })
    }

    /// A form as soon as there is one: those who wait get theirs in turn, before anybody who comes later.
    pub(super) fn room(&self) -> Room<'_> {
        Room {
            asks: self,
            number: None,
        }
    }

    /// A form that is not needed any more.
    pub(super) fn give_back(&self, ask: Box<Ask>) {
        self.state.borrow_mut().give_back(ask);
    }

    /// Puts a question before the core that owns its torrent. It comes back at once when it names none,
    /// or when the core has more to do than it can.
    pub(super) fn ask(&self, mut ask: Box<Ask>) -> Result<Asking<'_>, Box<Ask>> {
        let Some(info_hash) = ask.next() else {
            return Err(ask);
        };
        let owner = self.steering.core_of(info_hash);
        let mut state = self.state.borrow_mut();
        let ticket = state.tickets.pop().unwrap_or(state.waiting.len());
        if ticket == state.waiting.len() {
            state.waiting.push(Waiting::Nobody);
        }
        ask.ticket = ticket;
        if let Err(refused) = self.counter.post(owner, ask) {
            state.tickets.push(ticket);
            return Err(refused);
        }
        state.waiting[ticket] = Waiting::Somebody(None);
        if let (true, Some(clerk)) = (state.unrung.is_empty(), &state.clerk) {
            clerk.wake_by_ref();
        }
        if !state.unrung.contains(&owner) {
            state.unrung.push(owner);
        }
        Ok(Asking { asks: self, ticket })
    }

    /// What the clerk does whenever it is woken.
    pub(super) fn work(&self, cx: &mut Context<'_>) {
        let desk = self.counter.desk();
        desk.listen(cx.waker());
        let mut state = self.state.borrow_mut();
        match &mut state.clerk {
            Some(clerk) => clerk.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        for owner in state.unrung.drain(..) {
            self.counter.ring(owner);
        }
        while let Some(answer) = desk.take() {
            let ticket = answer.ticket;
            match std::mem::replace(&mut state.waiting[ticket], Waiting::Nobody) {
                Waiting::Somebody(waker) => {
                    state.waiting[ticket] = Waiting::Answer(answer);
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                }
                // There is one answer a ticket, so nobody else can be here.
                Waiting::Gone | Waiting::Nobody | Waiting::Answer(_) => {
                    state.tickets.push(ticket);
                    state.give_back(answer);
                }
            }
        }
    }
}

impl State {
    fn give_back(&mut self, ask: Box<Ask>) {
        self.spare.push(ask);
        self.call_next();
    }

    /// Where in the queue this number stands; `None` when it was called. Numbers ascend.
    fn position(&self, number: u64) -> Option<usize> {
        let found = self
            .queue
            .binary_search_by_key(&number, |(other, _)| *other);
        found.ok()
    }

    /// Tells the next in the queue that there is a form, which nobody else gets from now on.
    fn call_next(&mut self) {
        if let Some((_, waker)) = self.queue.pop_front() {
            self.called += 1;
            waker.wake();
        }
    }

    /// What whoever was called came for.
    fn fetch(&mut self) -> Option<Box<Ask>> {
        self.called -= 1;
        self.spare.pop()
    }
}

/// A place in the queue for a form.
pub(super) struct Room<'a> {
    asks: &'a Asks,
    /// None before it stands there, and again when it was called and has heard it.
    number: Option<u64>,
}

impl Future for Room<'_> {
    type Output = Option<Box<Ask>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Box<Ask>>> {
        let asks = self.asks;
        let state = &mut *asks.state.borrow_mut();
        let Some(number) = self.number else {
            self.number = Some(state.next_number);
            let waker = cx.waker().clone();
            state.queue.push_back((state.next_number, waker));
            state.next_number += 1;
            return Poll::Pending;
        };
        if let Some(position) = state.position(number) {
            state.queue[position].1.clone_from(cx.waker());
            Poll::Pending
        } else {
            self.number = None;
            Poll::Ready(state.fetch())
        }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else {
            return;
        };
        let mut state = self.asks.state.borrow_mut();
        if let Some(position) = state.position(number) {
            state.queue.remove(position);
        } else if let Some(form) = state.fetch() {
            // It was called, and its connection ends instead: the form is for the one behind it.
            state.give_back(form);
        }
    }
}

/// The answer to come.
pub(super) struct Asking<'a> {
    asks: &'a Asks,
    ticket: usize,
}

impl Future for Asking<'_> {
    type Output = Box<Ask>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Box<Ask>> {
        let mut state = self.asks.state.borrow_mut();
        let waiting = &mut state.waiting[self.ticket];
        match std::mem::replace(waiting, Waiting::Nobody) {
            Waiting::Answer(ask) => Poll::Ready(ask),
            Waiting::Somebody(Some(waker)) if waker.will_wake(cx.waker()) => {
                *waiting = Waiting::Somebody(Some(waker));
                Poll::Pending
            }
            _ => {
                *waiting = Waiting::Somebody(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut state = self.asks.state.borrow_mut();
        let waiting = &mut state.waiting[self.ticket];
        match std::mem::replace(waiting, Waiting::Nobody) {
            Waiting::Somebody(_) => *waiting = Waiting::Gone,
            Waiting::Answer(ask) => {
                state.tickets.push(self.ticket);
                state.give_back(ask);
            }
            Waiting::Nobody | Waiting::Gone => state.tickets.push(self.ticket),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Doorbell;
    use crate::shard::Mesh;
    use std::sync::Arc;

    fn asks() -> Asks {
        let doorbells = [Arc::new(Doorbell::new().unwrap())];
        let (_, mut counters) = Mesh::between(&doorbells, 1);
        Asks::new(counters.remove(0), Steering::new(7, 1))
    }

    fn called(room: &mut Room<'_>) -> Option<Box<Ask>> {
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(room).poll(&mut cx) {
            Poll::Ready(form) => Some(form.expect("a form for whoever is called")),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_form_goes_to_the_next_in_the_queue_when_the_first_has_left() {
        let asks = asks();
        let mut forms: Vec<_> = std::iter::from_fn(|| asks.blank()).collect();
        assert_eq!(forms.len(), ASKS_MAX);
        let [mut first, mut second, mut third, mut fourth] = [(); 4].map(|()| asks.room());
        for room in [&mut first, &mut second, &mut third, &mut fourth] {
            assert!(called(room).is_none());
        }
        drop(first);
        asks.give_back(forms.pop().unwrap());
        assert!(called(&mut third).is_none());
        drop(second); // it was called and does not hear it
        let form = called(&mut third).unwrap();
        assert!(called(&mut fourth).is_none());
        asks.give_back(form); // it was not needed
        assert!(called(&mut fourth).is_some());
    }

    #[test]
    fn nobody_who_comes_later_gets_the_form_of_one_who_waits() {
        let asks = asks();
        let mut forms: Vec<_> = std::iter::from_fn(|| asks.blank()).collect();
        let [mut first, mut second] = [(); 2].map(|()| asks.room());
        for room in [&mut first, &mut second] {
            assert!(called(room).is_none());
        }
        for _ in 0..3 {
            asks.give_back(forms.pop().unwrap());
        }
        // Two of three are theirs.
        assert!(asks.blank().is_some());
        assert!(asks.blank().is_none());
        assert!(called(&mut first).is_some());
        drop(second);
        assert!(asks.blank().is_some());
    }
}
