//! A CPU that somebody else keeps busy.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

use super::{ANY_CONTROL, ANY_PORT, control_of, expect_served, metric, run, start, token};
use crate::support::Process;

#[test]
fn a_core_on_a_cpu_that_another_program_keeps_busy_answers_later_and_all_the_same() {
    let mut tracker = start(run(&[ANY_PORT, ANY_CONTROL, "workers.count=1", &token()]));
    let control = control_of(&mut tracker);
    let waited = || {
        metric(
            control,
            "shoal_thread_wait_seconds_total{thread=\"core-0\"}",
        )
    };
    let before = waited();
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let first = (0..CpuSet::count()).find(|&cpu| allowed.is_set(cpu).unwrap());
    let first = first.unwrap().to_string();
    let nice = ["-n", "-10", "taskset", "-c", &first];
    let mut busy = Command::new("nice");
    busy.args(nice).args(["sh", "-c", "while :; do :; done"]);
    busy.stderr(Stdio::null());
    let busy = Process::spawn("nice", &mut busy);
    let until = Instant::now() + Duration::from_secs(3);
    let mut rounds = 0;
    while Instant::now() < until {
        expect_served(tracker.address());
        rounds += 1;
    }
    drop(busy);
    println!(
        "{} announces, core 0 waited {} s",
        rounds * 50,
        waited() - before
    );
    if Path::new("/proc/self/schedstat").exists() {
        assert!(waited() > before);
    } else {
        println!("skipped: this kernel does not tell for how long threads wait");
    }
    tracker.stop();
}
