//! Schedules of random seeds. `SHOAL_SCHEDULES=100000` runs so many of them, `SHOAL_SCHEDULES=seed:7` the one
//! of this seed.

use shoal_simulator::{Summary, run};

/// As many as a test may take seconds for.
const SCHEDULES: u64 = 2000;

/// Says which seed it was, if something panics.
struct Name(u64);

impl Drop for Name {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("run it again with SHOAL_SCHEDULES=seed:{}", self.0);
        }
    }
}

fn schedule(seed: u64) -> Summary {
    let _name = Name(seed);
    run(seed)
}

#[test]
fn whatever_the_order_of_events_a_model_explains_all_that_the_cores_say() {
    let wish = std::env::var("SHOAL_SCHEDULES").unwrap_or_default();
    if let Some(seed) = wish.strip_prefix("seed:") {
        println!("{:?}", schedule(seed.parse().expect("a number")));
        return;
    }
    let schedules = match wish.as_str() {
        "" => SCHEDULES,
        number => number.parse().expect("a number, or seed: and a number"),
    };
    let first = fastrand::u64(..);
    println!("{schedules} schedules from seed {first} on");
    let mut all = Summary::default();
    for number in 0..schedules {
        let summary = schedule(first.wrapping_add(number));
        all.turns += summary.turns;
        all.datagrams += summary.datagrams;
        all.replies += summary.replies;
        all.answers += summary.answers;
        all.drops += summary.drops;
        all.errands += summary.errands;
    }
    println!("{all:?}");
    // What never happens is not tested.
    for times in [all.replies, all.answers, all.drops, all.errands] {
        assert!(times > schedules, "{all:?}");
    }
}

#[test]
fn the_same_seed_makes_the_same_schedule() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    assert_eq!(format!("{:?}", run(seed)), format!("{:?}", run(seed)));
}
