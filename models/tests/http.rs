//! HTTP threads that ask cores.

use std::sync::Arc;

use loom::model::Builder;
use loom::thread;
use shoal_models::clock::Clock;
use shoal_models::http::{self, Pause};
use shoal_models::net::{Doorbell, Net};
use shoal_models::shard::{Core, Mesh, Served, Shard};
use shoal_models::sync::{AtomicBool, Ordering};

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(model);
}

/// What the connections of a thread ask of one core or two, and how many questions are answered then.
fn ask(cores: usize, questions: [&'static [u8]; 2], leaves: bool, answers: u32) {
    let doorbells: Vec<_> = (0..cores)
        .map(|_| Arc::new(Doorbell::new().unwrap()))
        .collect();
    let (meshes, mut counters) = Mesh::between(&doorbells, 1);
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(Served::default());
    let threads: Vec<_> = meshes
        .into_iter()
        .zip(&doorbells)
        .map(|(mesh, doorbell)| {
            let net = Net::new(Arc::clone(doorbell));
            let core = Core::new(net, Shard::new(mesh, &served), Clock);
            let stop = Arc::clone(&stop);
            thread::spawn(move || core.run(&stop).1.unwrap())
        })
        .collect();
    let answered = http::serve(counters.remove(0), questions, leaves);
    assert_eq!(answered, answers);
    stop.store(true, Ordering::Relaxed);
    for doorbell in &doorbells {
        doorbell.ring();
    }
    for core in threads {
        core.join().unwrap();
    }
}

#[test]
fn two_questions_that_follow_each_other_are_answered_once_each() {
    check(3, || ask(1, [&[0, 0], &[]], false, 2));
}

#[test]
fn two_connections_that_ask_at_a_time_get_each_its_own_answer() {
    check(2, || ask(2, [&[0], &[1]], false, 2));
}

#[test]
fn the_answer_for_a_connection_that_is_gone_goes_to_nobody_else() {
    check(2, || ask(1, [&[0], &[0, 0]], true, 2));
}

#[test]
fn a_thread_that_sleeps_hears_that_it_is_to_pause_to_go_on_and_to_stop() {
    check(3, || {
        let doorbells = [Arc::new(Doorbell::new().unwrap())];
        let (_, counters) = Mesh::between(&doorbells, 1);
        let counter = counters[0].clone();
        let pause = Arc::new(Pause::default());
        let stop = Arc::new(AtomicBool::new(false));
        let paused = {
            let (pause, stop) = (Arc::clone(&pause), Arc::clone(&stop));
            thread::spawn(move || http::pause_and_go_on(counter, &pause, &stop))
        };
        let tell = |wanted, silent| {
            pause.set(wanted);
            counters[0].desk().ring();
            while pause.silent() != silent {
                thread::yield_now();
            }
        };
        tell(true, 1);
        tell(false, 0);
        stop.store(true, Ordering::Relaxed);
        counters[0].desk().ring();
        paused.join().unwrap();
    });
}
