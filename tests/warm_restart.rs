//! What survives a restart, seen from outside: processes that are stopped, killed, started twice, given
//! files that they cannot read and disks that are full.

mod in_process;
mod support;

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use in_process::{Announce, Client, info_hash};
use nix::sys::signal::Signal;
use support::{NO_HTTP, TrackerProcess, shoal, store_in, with_overrides};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
const ANY_PORT: &str = "udp.listen=127.0.0.1:0";

/// A place for stores, and the options that name them.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn data(&self) -> PathBuf {
        self.folder().join("data.mdb")
    }

    fn option(&self) -> String {
        store_in(self.0.path())
    }

    fn start(&self, more: &[&str]) -> TrackerProcess {
        let option = self.option();
        TrackerProcess::start(&[&[ANY_PORT, option.as_str()], more].concat())
    }

    /// Runs a tracker that does not come up, and returns its only sentence.
    fn refusal(&self, more: &[&str]) -> String {
        let mut command = shoal();
        let option = self.option();
        with_overrides(&mut command, &[&[ANY_PORT, option.as_str()], more].concat());
        let ended = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert_eq!(said.lines().count(), 1, "one sentence: {said}");
        said
    }
}

fn kill(mut tracker: TrackerProcess) {
    tracker.signal(Signal::SIGKILL);
    tracker.wait();
}

/// The address of its first HTTP listener.
fn http_address(tracker: &mut TrackerProcess) -> SocketAddr {
    let line = tracker.wait_for_log("listening on http://", PATIENCE);
    line.rsplit("http://").next().unwrap().parse().unwrap()
}

fn http_get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    String::from_utf8_lossy(&reply).into_owned()
}

#[test]
fn sigterm_and_a_start_bring_peers_and_counts_back_over_udp_and_http() {
    let place = Place::new();
    let both = "udp.listen=127.0.0.1:0,[::1]:0";
    let option = place.option();
    let start = |workers: &str| {
        let options = [both, option.as_str(), "http.listen=127.0.0.1:0", workers];
        TrackerProcess::start(&options)
    };
    let tracker = start("workers.count=1");
    let client = Client::of(tracker.address());
    let id = client.connect();
    for number in 0..500 {
        let torrent = info_hash(number);
        for port in [1001, 1002, 1003] {
            client.announce(id, Announce::leecher(torrent, port));
        }
        let completed = Announce {
            event: Announce::COMPLETED,
            ..Announce::seeder(torrent, 1002)
        };
        client.announce(id, completed);
    }
    let said = tracker.stop();
    let told = "last snapshot: 500 torrents with 1500 peers";
    assert!(said.contains(told), "{said}");

    // Torrents belong to other cores now, and there are more of them.
    for workers in ["workers.count=3", "workers.count=2"] {
        let mut tracker = start(workers);
        tracker.wait_for_log("restored 500 torrents with 1500 peers", PATIENCE);
        let client = Client::of(tracker.address());
        let id = client.connect();
        for number in 0..500 {
            let rows = client.scrape(id, &[info_hash(number)]);
            assert_eq!(rows, [(1, 1, 2)], "{number}");
        }
        let guest = Announce::leecher(info_hash(7), 1009);
        let reply = client.announce(id, guest);
        assert_eq!(reply.ports(), [1001, 1002, 1003]);
        client.announce(id, guest.stopped());
        let address = http_address(&mut tracker);
        let escaped = info_hash(7).map(|byte| format!("%{byte:02x}")).concat();
        let scrape = http_get(address, &format!("/scrape?info_hash={escaped}"));
        let row = "8:completei1e10:downloadedi1e";
        assert!(
            scrape.contains(row) && scrape.contains("10:incompletei2e"),
            "{scrape}"
        );
        tracker.signal(Signal::SIGUSR1);
        let line = tracker.wait_for_log("store: snapshots_written 0", PATIENCE);
        assert!(
            line.contains("restored_torrents 500, restored_peers 1500"),
            "{line}"
        );
        tracker.stop();
    }
}

#[test]
fn without_peers_only_the_counts_return() {
    let place = Place::new();
    let tracker = place.start(&["store.keep_peers=false"]);
    let client = Client::of(tracker.address());
    let id = client.connect();
    for number in 0..2 {
        client.announce(id, Announce::leecher(info_hash(number), 1001));
    }
    let completed = Announce {
        event: Announce::COMPLETED,
        ..Announce::seeder(info_hash(1), 1001)
    };
    client.announce(id, completed);
    tracker.stop();
    let tracker = place.start(&["store.keep_peers=false"]);
    let client = Client::of(tracker.address());
    let id = client.connect();
    let rows = client.scrape(id, &[info_hash(0), info_hash(1)]);
    assert_eq!(rows, [(0, 0, 0), (0, 1, 0)]);
}

#[test]
fn an_empty_path_keeps_nothing() {
    let mut command = shoal();
    command
        .args(["run", "--set", ANY_PORT, "--set", "store.path="])
        .args(NO_HTTP);
    let mut tracker = TrackerProcess::start_command(command, 1);
    let cwd = fs::read_link(format!("/proc/{}/cwd", tracker.id())).unwrap();
    let client = Client::of(tracker.address());
    let id = client.connect();
    client.announce(id, Announce::leecher(info_hash(1), 1001));
    tracker.signal(Signal::SIGTERM);
    assert!(tracker.wait().success());
    assert_eq!(fs::read_dir(cwd).unwrap().count(), 0);
    assert!(!tracker.stderr_so_far().contains("snapshot"));
}

#[test]
fn a_second_process_on_the_same_store_is_refused_and_the_first_serves_on() {
    let place = Place::new();
    let first = place.start(&[]);
    let said = place.refusal(&[]);
    let pid = format!("shoal (pid {}) has the store in", first.id());
    assert!(said.contains(&pid) && said.contains("store.path"), "{said}");
    Client::of(first.address()).connect();
    first.stop();
    place.start(&[]).stop();
}

#[test]
fn a_store_of_a_newer_version_is_refused() {
    let place = Place::new();
    place.start(&[]).stop();
    let mut bytes = fs::read(place.data()).unwrap();
    let version = b"version\x01\0\0\0";
    while let Some(at) = bytes
        .windows(version.len())
        .position(|window| window == version)
    {
        bytes[at + 7] = 2;
    }
    fs::write(place.data(), &bytes).unwrap();
    let said = place.refusal(&[]);
    assert!(
        said.contains("has version 2 and this shoal knows 1 at most"),
        "{said}"
    );
    assert_eq!(fs::read(place.data()).unwrap(), bytes);
}

#[test]
fn a_damaged_store_is_set_aside_or_refused_and_never_overwritten() {
    let place = Place::new();
    let tracker = place.start(&[]);
    let client = Client::of(tracker.address());
    let id = client.connect();
    for number in 0..300 {
        client.announce(id, Announce::leecher(info_hash(number), 1001));
    }
    tracker.stop();
    let good = fs::read(place.data()).unwrap();
    let mut scribbled = good.clone();
    scribbled[8192..].fill(0xa5);
    for damaged in [
        scribbled,
        good[..good.len() / 2].to_vec(),
        b"#!/bin/sh\n".to_vec(),
    ] {
        fs::write(place.data(), &damaged).unwrap();
        let said = place.refusal(&["store.on_damage=refuse"]);
        assert!(
            said.contains("is damaged: ") && said.contains("set_aside"),
            "{said}"
        );
        assert_eq!(fs::read(place.data()).unwrap(), damaged);

        let mut tracker = place.start(&[]);
        let line = tracker.wait_for_log("is damaged: ", PATIENCE);
        let aside = line
            .split("it is kept as ")
            .nth(1)
            .unwrap()
            .split(',')
            .next()
            .unwrap();
        assert_eq!(fs::read(aside).unwrap(), damaged);
        let client = Client::of(tracker.address());
        client.announce(client.connect(), Announce::leecher(info_hash(1), 1001));
        let said = tracker.stop();
        assert!(said.contains("last snapshot: 1 torrents"), "{said}");
    }
    fs::write(place.data(), &good).unwrap();
    let mut tracker = place.start(&[]);
    tracker.wait_for_log("restored 300 torrents", PATIENCE);
}

/// Completions that were answered, each with the moment of the answer.
#[derive(Default)]
struct Load {
    answered: HashMap<u32, Vec<Instant>>,
    next_port: HashMap<u32, u16>,
}

impl Load {
    const TORRENTS: u32 = 200;

    /// New peers complete torrents until it is time, or the tracker is gone.
    fn run(&mut self, address: SocketAddr, until: Instant, rng: &mut fastrand::Rng) {
        let client = Client::of(address);
        let id = client.connect();
        while Instant::now() < until {
            let number = rng.u32(..Self::TORRENTS);
            let port = self.next_port.entry(number).or_insert(1024);
            *port += 1;
            client.announce(id, Announce::leecher(info_hash(number), *port));
            let seeder = Announce::seeder(info_hash(number), *port);
            client.announce(
                id,
                Announce {
                    event: Announce::COMPLETED,
                    ..seeder
                },
            );
            self.answered
                .entry(number)
                .or_default()
                .push(Instant::now());
        }
    }
}

#[test]
fn thirty_kills_under_load_never_take_more_than_the_interval_and_no_count_goes_back() {
    // Between a snapshot's beginning and its end, and for a machine that is busy with other tests.
    const SLACK: Duration = Duration::from_secs(3);
    const INTERVAL: Duration = Duration::from_secs(1);
    const KILLS: u32 = 30;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let place = Place::new();
    // By torrent: what a start has told, and what must have come to it by the next.
    let mut told: HashMap<u32, u32> = HashMap::new();
    let mut owed: HashMap<u32, u32> = HashMap::new();
    for round in 0..=KILLS {
        let tracker = place.start(&["store.snapshot_interval=1", "workers.count=2"]);
        let client = Client::of(tracker.address());
        let id = client.connect();
        for number in 0..Load::TORRENTS {
            let [(_, completed, _)] = client.scrape(id, &[info_hash(number)])[..] else {
                panic!("one torrent, one row");
            };
            let before = told.insert(number, completed).unwrap_or(0);
            assert!(
                completed >= before,
                "{completed} after {before} that were told, in round {round}"
            );
            let more = owed.remove(&number).unwrap_or(0);
            assert!(
                completed >= before + more,
                "{completed} after {before} and {more} more, in round {round}"
            );
        }
        if round == KILLS {
            break;
        }
        let mut load = Load::default();
        // Mostly at any moment, now and then so late that something must have been kept.
        let millis = if round % 8 == 7 {
            5000
        } else {
            rng.u64(50..1800)
        };
        let until = Instant::now() + Duration::from_millis(millis);
        load.run(tracker.address(), until, &mut rng);
        // It may take a while until it is gone.
        let killed = Instant::now();
        kill(tracker);
        for (number, moments) in load.answered {
            let old = moments
                .iter()
                .filter(|m| killed - **m > INTERVAL + SLACK)
                .count();
            owed.insert(number, old as u32);
        }
    }
    let sum: u32 = told.values().sum();
    println!("{sum} completions outlived {KILLS} kills");
    assert!(sum > 100, "{sum}");
}

/// Where a process that runs in a namespace of its own sees `path`.
fn seen_by(tracker: &TrackerProcess, path: &Path) -> PathBuf {
    PathBuf::from(format!("/proc/{}/root{}", tracker.id(), path.display()))
}

/// True when this test may mount something in a namespace of its own.
fn may_mount() -> bool {
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]);
    command.stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A tracker whose store is on a disk of 1 MiB, on which `before` was run.
fn on_a_small_disk(disk: &Path, before: &str) -> TrackerProcess {
    fs::create_dir(disk).unwrap();
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c"]);
    command.arg(format!(
        "mount -t tmpfs -o size=1m none \"$1\" && {before}; exec \"$0\" run \\
         --set udp.listen=127.0.0.1:0 --set http.listen= --set store.path=\"$1/data\" \\
         --set store.snapshot_interval=1"
    ));
    command.arg(shoal().get_program()).arg(disk);
    TrackerProcess::start_command(command, 1)
}

#[test]
fn a_disk_that_is_full_at_the_start_is_told_and_used_once_there_is_room() {
    if !may_mount() {
        println!("skipped: mounting a small disk takes root");
        return;
    }
    let place = TempDir::new().unwrap();
    let disk = place.path().join("disk");
    let fill = "cat /dev/zero > \"$1/filler\" 2> /dev/null";
    let mut tracker = on_a_small_disk(&disk, fill);
    let line = tracker.wait_for_log("cannot make the store", PATIENCE);
    assert!(
        line.contains("No space left") && line.contains("tried again"),
        "{line}"
    );
    let client = Client::of(tracker.address());
    let id = client.connect();
    client.announce(id, Announce::leecher(info_hash(1), 1001));
    tracker.wait_for_log("serving goes on", PATIENCE);
    fs::remove_file(seen_by(&tracker, &disk.join("filler"))).unwrap();
    tracker.wait_for_log("snapshot: 1 torrents with 1 peers", PATIENCE);
}

#[test]
fn a_full_disk_stops_no_answers_is_told_once_and_is_over_when_there_is_room() {
    if !may_mount() {
        println!("skipped: mounting a small disk takes root");
        return;
    }
    let place = TempDir::new().unwrap();
    let disk = place.path().join("disk");
    let mut tracker = on_a_small_disk(&disk, "true");
    let filler = seen_by(&tracker, &disk.join("filler"));
    let mut file = fs::File::create(&filler).unwrap();
    while file.write(&[1; 512]).is_ok_and(|written| written > 0) {}

    let client = Client::of(tracker.address());
    let id = client.connect();
    for number in 0..3000 {
        client.announce(id, Announce::leecher(info_hash(number), 1001));
    }
    let line = tracker.wait_for_log("could not be written", PATIENCE);
    assert!(
        line.contains("No space left") && line.contains("serving goes on"),
        "{line}"
    );
    // Several more come to nothing, without a word.
    let deadline = Instant::now() + PATIENCE;
    loop {
        tracker.signal(Signal::SIGUSR1);
        thread::sleep(support::LOOK_AGAIN * 10);
        let said = tracker.stderr_so_far();
        let line = said
            .lines()
            .rfind(|line| line.contains("store: snapshots_written"))
            .unwrap_or("");
        let failed = line
            .split("snapshots_failed ")
            .nth(1)
            .and_then(|rest| rest.split(',').next());
        if failed.is_some_and(|failed| failed.parse::<u32>().unwrap() >= 3) {
            assert_eq!(said.matches("could not be written").count(), 1, "{said}");
            break;
        }
        assert!(Instant::now() < deadline, "{said}");
    }
    client.announce(id, Announce::leecher(info_hash(1), 1002));

    drop(file);
    fs::remove_file(&filler).unwrap();
    tracker.wait_for_log("snapshot: 3000 torrents with 3001 peers", PATIENCE);
    tracker.signal(Signal::SIGTERM);
    assert!(tracker.wait().success());
}
