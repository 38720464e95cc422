//! Disks that are full, read-only, slow or gone.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{
    ANY_CONTROL, ANY_PORT, PATIENCE, allow, control_of, expect_served, host_allows, metric,
    run_after, start, store_in, token,
};
use crate::http::Browser;
use crate::support::TrackerProcess;

const OWN_MOUNTS: [&str; 2] = ["--mount", "--"];
const FAILED: &str = "shoal_snapshots_total{result=\"failed\"}";
const WRITTEN: &str = "shoal_snapshots_total{result=\"written\"}";

/// A tracker whose store is on a disk of its own, which nobody else sees.
struct OnDisk {
    tracker: TrackerProcess,
    control: std::net::SocketAddr,
    /// Where this process sees that disk.
    disk: PathBuf,
    _place: TempDir,
}

impl OnDisk {
    /// `mount` is a script that mounts something on `$1`, beside which there is `image`.
    fn start(mount: &str) -> Self {
        let place = TempDir::new().unwrap();
        let disk = place.path().join("disk");
        fs::create_dir(&disk).unwrap();
        let mut tracker = start(run_after(
            mount,
            &OWN_MOUNTS,
            &disk,
            &[
                ANY_PORT,
                ANY_CONTROL,
                "workers.count=1",
                "store.snapshot_interval=1",
                &store_in(&disk),
                &token(),
            ],
        ));
        let control = control_of(&mut tracker);
        let seen = format!("/proc/{}/root{}", tracker.id(), disk.display());
        Self {
            tracker,
            control,
            disk: seen.into(),
            _place: place,
        }
    }

    fn address(&self) -> std::net::SocketAddr {
        self.tracker.address()
    }

    /// Waits for one more snapshot with this result.
    fn wait_for_snapshot(&self, result: &str) {
        let before = metric(self.control, result);
        super::until(result, || metric(self.control, result) > before);
    }
}

/// An image of a file system that can be frozen and shut down, mounted.
const MOUNT_EXT4: &str = "truncate -s 16M \"$1.image\" && mkfs.ext4 -q \"$1.image\" && mount -o loop \"$1.image\" \"$1\"";

fn may_mount_ext4() -> bool {
    let place = TempDir::new().unwrap();
    let disk = place.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let script = format!("set -- {}; {MOUNT_EXT4}", disk.display());
    let wants = "mount a file system of its own";
    host_allows(wants, &["--mount", "--"], &script)
}

fn may_mount_tmpfs() -> bool {
    let script = "mount -t tmpfs none /mnt";
    host_allows("mount a small disk", &["--mount", "--"], script)
}

#[test]
fn on_a_full_disk_changes_are_refused_and_on_a_free_one_they_are_made() {
    if !may_mount_tmpfs() {
        return;
    }
    let mut it = OnDisk::start("mount -t tmpfs -o size=1m none \"$1\"");
    assert_eq!(allow(it.control, 1).status, 200);
    let filler = it.disk.join("filler");
    let mut file = File::create(&filler).unwrap();
    while file.write(&[1; 512]).is_ok_and(|written| written > 0) {}
    drop(file);

    // A page that is free in the file may take some.
    let mut changes = 2..2000;
    let refused = changes
        .by_ref()
        .map(|number| allow(it.control, number))
        .find(|answer| answer.status != 200);
    let refused = refused.expect("a full disk");
    assert_eq!(refused.status, 500, "{}", refused.text());
    expect_served(it.address());
    it.tracker.wait_for_log("No space left on device", PATIENCE);
    it.wait_for_snapshot(FAILED);
    assert!(metric(it.control, "shoal_store_free_bytes") < 4096.0);
    assert!(metric(it.control, "shoal_control_answers_total{status=\"5xx\"}") > 0.0);

    fs::remove_file(&filler).unwrap();
    assert_eq!(allow(it.control, changes.start).status, 200);
    it.wait_for_snapshot(WRITTEN);
    it.tracker.stop();
}

#[test]
fn a_disk_that_is_read_only_at_the_start_is_told_and_the_tracker_serves() {
    if !may_mount_tmpfs() {
        return;
    }
    let mut it = OnDisk::start(
        "mount -t tmpfs none \"$1\" && mkdir \"$1/data\" && mount -o remount,ro \"$1\"",
    );
    let told = it.tracker.wait_for_log("Read-only file system", PATIENCE);
    assert!(told.contains("WARN"), "{told}");
    expect_served(it.address());
    assert_ne!(allow(it.control, 1).status, 200);
    assert_eq!(Browser::of(it.control).get("/health_check").status, 200);
    it.tracker.stop();
}

/// `EXT4_IOC_SHUTDOWN`, and the way that writes nothing more.
const SHUTDOWN: libc::Ioctl = 0x8004_587d;
static NO_LOG_FLUSH: u32 = 2;

/// Ends a file system under those who use it: every call fails, as when a disk is pulled out.
#[allow(unsafe_code, reason = "there is no other way to ask for it")]
fn shut_down(disk: &Path) {
    let folder = File::open(disk).unwrap();
    // SAFETY: the call reads four bytes that are there, of a descriptor that is open.
    let done = unsafe { libc::ioctl(folder.as_raw_fd(), SHUTDOWN, &raw const NO_LOG_FLUSH) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn when_the_disk_is_gone_clients_and_the_control_server_are_answered() {
    if !may_mount_ext4() {
        return;
    }
    let mut it = OnDisk::start(MOUNT_EXT4);
    assert_eq!(allow(it.control, 1).status, 200);
    expect_served(it.address());
    it.wait_for_snapshot(WRITTEN);
    shut_down(&it.disk);
    it.wait_for_snapshot(FAILED);
    let told = it.tracker.wait_for_log("could not be written", PATIENCE);
    assert!(told.contains("serving goes on"), "{told}");
    for number in 2..10 {
        let refused = allow(it.control, number);
        assert_eq!(refused.status, 500, "{}", refused.text());
    }
    expect_served(it.address());
    for path in ["/health_check", "/stats.json", "/"] {
        assert_eq!(Browser::of(it.control).get(path).status, 200, "{path}");
    }
    // It ends with what it could not write.
    it.tracker.stop();
}

/// A file system that lets nobody write, until this is dropped, or this process is gone.
struct Frozen(Child);

impl Frozen {
    fn freeze(tracker: &TrackerProcess, disk: &Path) -> Self {
        let mut command = Command::new("nsenter");
        command.args(["-m", "-t", &tracker.id().to_string(), "sh", "-c"]);
        command.arg("fsfreeze -f \"$0\" && echo frozen && cat; fsfreeze -u \"$0\"");
        // Its path in the namespace of the tracker.
        let disk = disk.display().to_string();
        let inside = disk.split_once("/root").unwrap().1;
        command.arg(inside);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut said).unwrap();
        assert_eq!(said, "frozen\n");
        Self(child)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn a_disk_that_hangs_for_seconds_delays_what_is_written_and_nothing_else() {
    if !may_mount_ext4() {
        return;
    }
    let it = OnDisk::start(MOUNT_EXT4);
    assert_eq!(allow(it.control, 1).status, 200);
    it.wait_for_snapshot(WRITTEN);
    let frozen = Frozen::freeze(&it.tracker, &it.disk);
    let control = it.control;
    let change = thread::spawn(move || allow(control, 2).status);
    let until = Instant::now() + Duration::from_secs(4);
    let mut slowest = Duration::ZERO;
    while Instant::now() < until {
        let asked = Instant::now();
        expect_served(it.address());
        slowest = slowest.max(asked.elapsed());
        assert_eq!(Browser::of(control).get("/health_check").status, 200);
        let _ = metric(control, WRITTEN);
    }
    println!("50 announces took {slowest:?} at most");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert!(
        !change.is_finished(),
        "nothing is acknowledged before it is on disk"
    );
    let written = metric(control, WRITTEN);
    drop(frozen);
    assert_eq!(change.join().unwrap(), 200);
    super::until("snapshots again", || metric(control, WRITTEN) > written);
    it.tracker.stop();
}
