//! A wall clock that jumps. Only the tracker sees it jump: libfaketime stands between it and the C library.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{
    ANY_CONTROL, ANY_PORT, PATIENCE, control_of, expect_served_at, info_hash, metric, run, start,
    store_in, token,
};
use crate::in_process::{Announce, Client};
use crate::support::TrackerProcess;

const DAY_S: i64 = 86_400;

/// A wall clock that can be set.
struct WallClock {
    library: PathBuf,
    place: TempDir,
}

impl WallClock {
    fn find() -> Option<Self> {
        let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        let library = folders
            .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
            .find(|path| path.exists());
        if library.is_none() {
            println!("skipped: there is no libfaketime; scripts/test.sh installs it");
        }
        Some(Self {
            library: library?,
            place: TempDir::new().unwrap(),
        })
    }

    /// Sets it so many seconds before or after the real time.
    fn set(&self, offset_s: i64) {
        let draft = self.place.path().join("draft");
        fs::write(&draft, format!("{offset_s:+}\n")).unwrap();
        fs::rename(&draft, self.place.path().join("offset")).unwrap();
    }

    fn start(&self, store: &Path) -> TrackerProcess {
        let token = token();
        let mut command = run(&[
            ANY_PORT,
            ANY_CONTROL,
            &token,
            "workers.count=1",
            "store.snapshot_interval=1",
            // The library reads the time from a file of its own.
            "sandbox.files=false",
            &store_in(store),
        ]);
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", self.place.path().join("offset"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_DISABLE_SHM", "1");
        start(command)
    }
}

/// The day that the log says it is, in days of the year 0.
fn day(tracker: &mut TrackerProcess) -> String {
    let said = tracker.stderr_so_far();
    let lines = said.matches("total: ").count();
    tracker.signal(nix::sys::signal::Signal::SIGUSR1);
    super::until("reported", || {
        tracker.stderr_so_far().matches("total: ").count() > lines
    });
    let said = tracker.stderr_so_far();
    let line = said.lines().rfind(|line| line.contains("total: ")).unwrap();
    line[1..11].to_owned()
}

#[test]
fn a_clock_that_jumps_while_the_tracker_runs_expires_nothing() {
    let Some(clock) = WallClock::find() else {
        return;
    };
    clock.set(0);
    let place = TempDir::new().unwrap();
    let mut tracker = clock.start(place.path());
    let client = Client::of(tracker.address());
    let id = client.connect();
    expect_served_at(&client, id);
    let today = day(&mut tracker);
    for offset_s in [10 * DAY_S, -10 * DAY_S, 10_000 * DAY_S, 0] {
        clock.set(offset_s);
        if offset_s != 0 {
            assert_ne!(day(&mut tracker), today, "the clock has jumped");
        }
        let rows = client.scrape(id, &[info_hash(1), info_hash(2)]);
        assert_eq!(rows, [(0, 0, 1), (0, 0, 1)]);
        expect_served_at(&client, id);
    }
    tracker.wait_for_log("snapshot: 50 torrents with 50 peers", PATIENCE);
    tracker.stop();
}

#[test]
fn a_clock_that_is_set_right_after_the_start_is_believed_and_connection_ids_stay_good() {
    let Some(clock) = WallClock::find() else {
        return;
    };
    let real_s = || {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap();
        since.as_secs_f64()
    };
    let started_s = real_s();
    clock.set(-10 * DAY_S);
    let place = TempDir::new().unwrap();
    let mut tracker = clock.start(place.path());
    let control = control_of(&mut tracker);
    let client = Client::of(tracker.address());
    let id = client.connect();
    let at = |offset_s: i64| {
        let name = "shoal_start_time_seconds ";
        (metric(control, name) - started_s - offset_s as f64).abs() < 30.0
    };
    assert!(at(-10 * DAY_S));
    for offset_s in [0, DAY_S, -DAY_S, 0] {
        clock.set(offset_s);
        super::until("believed", || at(offset_s));
        expect_served_at(&client, id);
        expect_served_at(&client, client.connect());
    }
    tracker.stop();
}

#[test]
fn after_a_start_in_the_past_peers_are_there_and_in_the_future_only_counts() {
    let Some(clock) = WallClock::find() else {
        return;
    };
    let place = TempDir::new().unwrap();
    clock.set(0);
    let tracker = clock.start(place.path());
    let client = Client::of(tracker.address());
    let id = client.connect();
    client.announce(id, Announce::leecher(info_hash(1), 1001));
    let seeder = Announce::seeder(info_hash(1), 1001);
    let event = Announce::COMPLETED;
    client.announce(id, Announce { event, ..seeder });
    tracker.stop();
    // The host's clock was lost, is found again, and then somebody sets it wrong.
    for (offset_s, expected) in [
        (-10 * DAY_S, (1, 1, 0)),
        (0, (0, 1, 0)),
        (DAY_S, (0, 1, 0)),
        // Who announced in that future is young.
        (-DAY_S, (0, 1, 1)),
    ] {
        clock.set(offset_s);
        let tracker = clock.start(place.path());
        let client = Client::of(tracker.address());
        // An id of another time is none, and a new one is good.
        let id = client.connect();
        let rows = client.scrape(id, &[info_hash(1)]);
        assert_eq!(rows, [expected], "{offset_s}");
        expect_served_at(&client, id);
        tracker.stop();
    }
}
