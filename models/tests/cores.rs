//! Cores that sleep, and those who wake them.

use std::sync::Arc;

use loom::model::Builder;
use loom::thread;
use shoal_models::clock::Clock;
use shoal_models::net::{Doorbell, Net};
use shoal_models::shard::export::Export;
use shoal_models::shard::{Core, Hold, Mesh, Served, Shard};
use shoal_models::sync::{AtomicBool, Ordering};

/// Every order in which a thread is interrupted so many times at most where it could go on.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(model);
}

/// So many cores that share a mesh, and what they have in common.
struct Stage {
    doorbells: Vec<Arc<Doorbell>>,
    meshes: Vec<Mesh>,
    served: Arc<Served>,
    stop: Arc<AtomicBool>,
}

impl Stage {
    fn of(cores: usize) -> Self {
        let doorbells: Vec<_> = (0..cores)
            .map(|_| Arc::new(Doorbell::new().unwrap()))
            .collect();
        let (meshes, _) = Mesh::between(&doorbells, 0);
        Self {
            doorbells,
            meshes,
            served: Arc::default(),
            stop: Arc::new(AtomicBool::new(false)),
        }
    }

    fn shard(&self, core: usize) -> Shard {
        Shard::new(self.meshes[core].clone(), &self.served)
    }

    fn start(&self, core: usize, shard: Shard, hold: Option<Arc<Hold>>) -> thread::JoinHandle<()> {
        let net = Net::new(Arc::clone(&self.doorbells[core]));
        let stop = Arc::clone(&self.stop);
        let core = Core::new(net, shard, Clock);
        let core = match hold {
            Some(hold) => core.with_hold(hold),
            None => core,
        };
        thread::spawn(move || core.run(&stop).1.unwrap())
    }

    /// As `Tracker::stop_cores`.
    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        for doorbell in &self.doorbells {
            doorbell.ring();
        }
    }
}

#[test]
fn a_core_never_sleeps_through_what_it_is_asked_nor_through_its_stop() {
    check(3, || {
        let stage = Stage::of(1);
        let core = stage.start(0, stage.shard(0), None);
        let collector = stage.meshes[0].collector();
        assert!(collector.export(0, Export).is_ok());
        stage.served.wait(1);
        stage.stop();
        core.join().unwrap();
    });
}

#[test]
fn a_stop_that_comes_with_a_question_is_not_slept_through() {
    check(4, || {
        let stage = Stage::of(1);
        let core = stage.start(0, stage.shard(0), None);
        let _ = stage.meshes[0].collector().export(0, Export);
        stage.stop();
        core.join().unwrap();
    });
}

#[test]
fn of_what_two_threads_ask_everything_is_done_once() {
    check(3, || {
        let stage = Stage::of(1);
        let core = stage.start(0, stage.shard(0), None);
        let collector = stage.meshes[0].collector();
        let other = {
            let collector = collector.clone();
            thread::spawn(move || assert!(collector.export(0, Export).is_ok()))
        };
        assert!(collector.export(0, Export).is_ok());
        stage.served.wait(2);
        other.join().unwrap();
        stage.stop();
        core.join().unwrap();
    });
}

#[test]
fn what_a_full_queue_refuses_is_known_and_the_rest_is_done() {
    check(2, || {
        let stage = Stage::of(1);
        let collector = stage.meshes[0].collector();
        let core = stage.start(0, stage.shard(0), None);
        let taken = (0..4)
            .filter(|_| collector.export(0, Export).is_ok())
            .count();
        stage.served.wait(taken);
        stage.stop();
        core.join().unwrap();
    });
}

#[test]
fn scrapes_that_cross_each_other_come_to_an_end_and_leave_their_boxes_behind() {
    check(2, || {
        let stage = Stage::of(2);
        let threads: Vec<_> = (0..2)
            .map(|core| stage.start(core, stage.shard(core).where_a_scrape_begins(), None))
            .collect();
        stage.served.wait(2);
        stage.stop();
        for core in threads {
            core.join().unwrap();
        }
        assert_eq!(stage.meshes[0].idle_scrapes(), 2);
    });
}

#[test]
fn a_scrape_that_finds_a_full_queue_leaves_its_box_behind() {
    check(2, || {
        let stage = Stage::of(2);
        let collector = stage.meshes[0].collector();
        for _ in 0..2 {
            assert!(collector.export(1, Export).is_ok());
        }
        let first = stage.start(0, stage.shard(0).where_a_scrape_begins(), None);
        stage.served.wait(1);
        assert_eq!(stage.meshes[0].idle_scrapes(), 2);
        stage.stop();
        first.join().unwrap();
    });
}

#[test]
fn a_core_that_is_held_tells_when_it_is_quiet_and_returns_when_it_is_let_go() {
    check(3, || {
        let stage = Stage::of(1);
        let hold = Arc::new(Hold::new(Arc::clone(&stage.doorbells[0])));
        let core = stage.start(0, stage.shard(0), Some(Arc::clone(&hold)));
        hold.set(true);
        while !hold.is_quiet() {
            thread::yield_now();
        }
        hold.set(false);
        assert!(stage.meshes[0].collector().export(0, Export).is_ok());
        stage.served.wait(1);
        stage.stop();
        core.join().unwrap();
    });
}
