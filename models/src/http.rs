//! An HTTP thread: its questions and its pause are real, its tasks are polled by a few lines.

#[path = "../../src/http/asks.rs"]
mod asks;
#[path = "../../src/http/pause.rs"]
mod pause;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::{Condvar, Mutex};

use crate::net::steering::Steering;
use crate::shard::Counter;
use crate::sync::{AtomicBool, Ordering};
use crate::wire::InfoHash;
use asks::Asks;
pub use pause::Pause;

/// The tasks of a thread that are ready, by number.
#[derive(Default)]
struct Ready {
    tasks: Mutex<[bool; 3]>,
    some: Condvar,
}

/// Makes one of them ready.
struct Task {
    number: usize,
    ready: Arc<Ready>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.ready.tasks.lock().expect("nobody panics with it")[self.number] = true;
        self.ready.some.notify_one();
    }
}

impl Ready {
    fn waker(self: &Arc<Self>, number: usize) -> Waker {
        self.tasks.lock().expect("nobody panics with it")[number] = true;
        let ready = Arc::clone(self);
        Waker::from(Arc::new(Task { number, ready }))
    }

    /// Waits until one is ready, and takes all that are.
    fn take(&self) -> [bool; 3] {
        let mut tasks = self.tasks.lock().expect("nobody panics with it");
        while !tasks.contains(&true) {
            tasks = self.some.wait(tasks).expect("nobody panics with it");
        }
        std::mem::take(&mut *tasks)
    }
}

/// A connection that asks for one thing after the other and gets each answered once. How many.
async fn connection(asks: &Asks, me: u8, questions: &[u8]) -> u32 {
    let (mut asked, mut answered) = (0, 0);
    for core in questions {
        let mut ask = match asks.blank() {
            Some(ask) => ask,
            None => asks.room().await.expect("a form for whoever is called"),
        };
        let mut about = InfoHash::of(*core);
        (about.0[1], about.0[2]) = (me, asked);
        asked += 1;
        ask.begin(about);
        match asks.ask(ask) {
            Ok(asking) => {
                let ask = asking.await;
                assert_eq!(ask.answers(), 1, "answered once");
                assert_eq!(ask.about(), Some(&about), "another one's answer");
                answered += 1;
                asks.give_back(ask);
            }
            Err(refused) => asks.give_back(refused),
        }
    }
    answered
}

/// A thread whose two connections ask these questions one after the other; how many were answered. The first
/// connection ends while it waits, if it `leaves`.
pub fn serve(counter: Counter, questions: [&[u8]; 2], leaves: bool) -> u32 {
    let ready = Arc::new(Ready::default());
    let [first, second, clerk] = [0, 1, 2].map(|number| ready.waker(number));
    let asks = Asks::new(counter, Steering);
    let mut tasks = [
        (Some(Box::pin(connection(&asks, 1, questions[0]))), first),
        (Some(Box::pin(connection(&asks, 2, questions[1]))), second),
    ];
    let mut answered = 0;
    while tasks.iter().any(|(task, _)| task.is_some()) {
        let is_ready = ready.take();
        for (number, (place, waker)) in tasks.iter_mut().enumerate() {
            if let (true, Some(task)) = (is_ready[number], place.as_mut()) {
                match task.as_mut().poll(&mut Context::from_waker(waker)) {
                    Poll::Ready(answers) => {
                        answered += answers;
                        *place = None;
                    }
                    Poll::Pending if leaves && number == 0 => *place = None,
                    Poll::Pending => {}
                }
            }
        }
        if is_ready[2] {
            asks.work(&mut Context::from_waker(&clerk));
        }
    }
    answered
}

/// A thread that has nothing to do but to see when it is to pause, and when to go on; until it is stopped.
pub fn pause_and_go_on(counter: Counter, pause: &Pause, stop: &AtomicBool) {
    let asks = Asks::new(counter, Steering);
    let ready = Arc::new(Ready::default());
    let clerk = ready.waker(2);
    let stops = || stop.load(Ordering::Relaxed);
    let work_until = |is_true: &dyn Fn() -> bool| {
        let mut work = pin!(std::future::poll_fn(|cx| {
            asks.work(cx);
            if is_true() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));
        let mut cx = Context::from_waker(&clerk);
        while work.as_mut().poll(&mut cx).is_pending() {
            ready.take();
        }
    };
    loop {
        work_until(&|| stops() || pause.is_wanted());
        if stops() {
            return;
        }
        pause.count_silent(true);
        work_until(&|| stops() || !pause.is_wanted());
        pause.count_silent(false);
        if stops() {
            return;
        }
    }
}
