//! Signals by the hundred.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{PATIENCE, expect_served, hex, start};
use crate::support::{TrackerProcess, shoal};
use crate::tls::{Files, Root};

/// So many that reading them takes some milliseconds.
const LISTED: u32 = 20_000;

fn start_with(config: &std::path::Path, text: &str) -> TrackerProcess {
    fs::write(config, text).unwrap();
    let mut command = shoal();
    command.args(["run", "--config"]).arg(config);
    start(command)
}

fn listed(first: u32) -> String {
    (first..first + LISTED).map(|n| hex(n) + "\n").collect()
}

#[test]
fn a_storm_of_sighup_under_load_with_files_that_change_loses_no_answer() {
    let folder = TempDir::new().unwrap();
    let (config, list) = (folder.path().join("config"), folder.path().join("blocked"));
    let root = Root::new();
    let issued = [root.issue(), root.issue()];
    let files = Files::of(&issued[0]);
    fs::write(&list, listed(1000)).unwrap();
    let good = format!(
        "udp = [{{ listen = \"127.0.0.1:0\" }}]\nstore.path = \"\"\nworkers.count = 2\n\
         access.blocklist = \"{}\"\n{}",
        list.display(),
        files.table()
    );
    let mut tracker = start_with(&config, &good);
    let address = tracker.address();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut rounds = 0;
            let began = Instant::now();
            while !is_over.load(Ordering::Relaxed) && began.elapsed() < 2 * PATIENCE {
                // A reply that is missing is a panic.
                expect_served(address);
                rounds += 1;
            }
            rounds
        });
        for round in 0..400_u32 {
            match round % 40 {
                10 => fs::write(&list, listed(2000)).unwrap(),
                15 => files.renew(&issued[1]),
                20 => fs::write(&config, "nonsense = [[").unwrap(),
                25 => fs::write(&list, "no info-hash").unwrap(),
                30 => fs::write(&config, &good).unwrap(),
                35 => fs::write(&list, listed(1000)).unwrap(),
                _ => {}
            }
            tracker.signal(Signal::SIGHUP);
            thread::sleep(Duration::from_millis(2));
        }
        let before = tracker.stderr_so_far().matches("SIGHUP: reloaded").count();
        tracker.signal(Signal::SIGHUP);
        super::until("reloaded once more", || {
            tracker.stderr_so_far().matches("SIGHUP: reloaded").count() > before
        });
        is_over.store(true, Ordering::Relaxed);
        assert!(load.join().unwrap() > 0);
    });
    let said = tracker.stop();
    assert!(said.contains("the configuration stays as it was"), "{said}");
}

#[test]
fn an_end_is_not_kept_waiting_by_a_storm_before_it() {
    let folder = TempDir::new().unwrap();
    let (config, list) = (folder.path().join("config"), folder.path().join("blocked"));
    // So long that hundreds of times would take minutes.
    let long: String = (0..10).map(|n| listed(n * LISTED)).collect();
    fs::write(&list, long).unwrap();
    let text = format!(
        "udp = [{{ listen = \"127.0.0.1:0\" }}]\nhttp = []\nstore.path = \"\"\n\
         access.blocklist = \"{}\"\n",
        list.display()
    );
    let mut tracker = start_with(&config, &text);
    for _ in 0..2000 {
        tracker.signal(Signal::SIGHUP);
        tracker.signal(Signal::SIGUSR1);
        // The kernel keeps one of a kind: give the tracker a chance to take it.
        thread::sleep(Duration::from_micros(200));
    }
    let asked = Instant::now();
    tracker.signal(Signal::SIGTERM);
    assert!(tracker.wait().success());
    println!("stopped after {:?}", asked.elapsed());
    assert!(asked.elapsed() < PATIENCE / 4, "{:?}", asked.elapsed());
    let said = tracker.stderr_so_far();
    assert!(said.contains("SIGHUP: reloaded") && said.ends_with("stopped"));
}
