//! Files that an operator's tools leave behind in place of good ones, read again while the tracker runs.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::{PATIENCE, expect_served, info_hash, run, start};
use crate::in_process::{Announce, Client, error_text};
use crate::support::{TrackerProcess, shoal};

const STAYS: &str = "SIGHUP: the configuration stays as it was";

/// Lists and a configuration that serves only what is listed.
struct Setup {
    folder: TempDir,
}

impl Setup {
    fn new() -> Self {
        let setup = Self {
            folder: TempDir::new().unwrap(),
        };
        setup.write_all();
        setup
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_all(&self) {
        let listed: String = (0..100).map(|n| super::hex(n) + "\n").collect();
        let allowlist = self.path("allowed");
        let text = format!(
            "udp = [{{ listen = \"127.0.0.1:0\" }}]\nhttp = []\nstore.path = \"\"\n\
             workers.count = 1\naccess = {{ mode = \"listed\", deny = \"error\", allowlist = \"{}\" }}\n",
            allowlist.display(),
        );
        fs::write(&allowlist, listed).unwrap();
        fs::write(self.path("config"), text).unwrap();
    }

    fn start(&self) -> TrackerProcess {
        let mut command = shoal();
        command.args(["run", "--config"]).arg(self.path("config"));
        start(command)
    }
}

/// Everything that is no file with a text in it, by name.
fn put_wrong_things(place: &Path, wrong: &str) {
    let _ = fs::remove_file(place);
    let _ = fs::remove_dir(place);
    match wrong {
        "garbage" => fs::write(place, b"\x7fELF\x02\x01\x01\0\xff\xfe[[[").unwrap(),
        "nothing" => {}
        "an empty file" => fs::write(place, "").unwrap(),
        "blank lines" => fs::write(place, "\n \n\n").unwrap(),
        "a folder" => fs::create_dir(place).unwrap(),
        "a pipe" => mkfifo(place, Mode::S_IRWXU).unwrap(),
        "a socket" => drop(UnixListener::bind(place).unwrap()),
        "zeros without end" => symlink("/dev/zero", place).unwrap(),
        "a gibibyte" => File::create(place).unwrap().set_len(1 << 30).unwrap(),
        _ => unreachable!("{wrong}"),
    }
}

fn expect_still_listed(address: std::net::SocketAddr) {
    expect_served(address);
    let client = Client::of(address);
    let id = client.connect();
    let unlisted = Announce::leecher(info_hash(1000), 1001).to_bytes(id);
    assert!(!error_text(&client.ask(&unlisted)).is_empty());
}

#[test]
fn a_configuration_that_became_something_else_changes_nothing() {
    let setup = Setup::new();
    let mut tracker = setup.start();
    let address = tracker.address();
    let config = setup.path("config");
    let mut refused = 0;
    for (wrong, said) in [
        ("garbage", "this is not UTF-8"),
        ("nothing", "cannot read "),
        ("an empty file", "is empty"),
        ("blank lines", "is empty"),
        ("a folder", "is a directory"),
        ("a pipe", "is no regular file"),
        ("a socket", "is no regular file"),
        ("zeros without end", "is no regular file"),
        ("a gibibyte", "is longer than 1 MiB"),
    ] {
        println!("{wrong}");
        put_wrong_things(&config, wrong);
        let before = tracker.stderr_so_far().matches(STAYS).count();
        tracker.signal(Signal::SIGHUP);
        super::until("read again", || {
            tracker.stderr_so_far().matches(STAYS).count() > before
        });
        let line = tracker.stderr_so_far();
        let line = line.lines().rev().nth(1).unwrap();
        assert!(line.contains(said), "{line}");
        expect_still_listed(address);
        refused += 1;
    }
    assert_eq!(refused, 9);
    fs::remove_file(&config).unwrap();
    setup.write_all();
    tracker.signal(Signal::SIGHUP);
    tracker.wait_for_log("SIGHUP: reloaded", PATIENCE);
    expect_still_listed(address);
    tracker.stop();
}

#[test]
fn a_list_that_became_something_else_stays_as_it_was() {
    let setup = Setup::new();
    let mut tracker = setup.start();
    let address = tracker.address();
    let list = setup.path("allowed");
    for wrong in [
        "garbage",
        "nothing",
        "a folder",
        "a pipe",
        "a socket",
        "zeros without end",
        "a gibibyte",
    ] {
        println!("{wrong}");
        put_wrong_things(&list, wrong);
        let told = |tracker: &mut TrackerProcess| {
            let said = tracker.stderr_so_far();
            (
                said.matches("SIGHUP: reloaded").count(),
                said.matches("access.allowlist: ").count(),
            )
        };
        let before = told(&mut tracker);
        tracker.signal(Signal::SIGHUP);
        super::until("read again", || told(&mut tracker).0 > before.0);
        assert_eq!(told(&mut tracker).1, before.1 + 1, "one sentence");
        expect_still_listed(address);
    }
    tracker.stop();
}

#[test]
fn a_log_file_that_became_a_pipe_is_not_waited_for() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = udp.local_addr().unwrap();
    drop(udp);
    let listen = format!("udp.listen={address}");
    let mut command = run(&[&listen, &format!("log.file={}", log.display())]);
    let mut child = crate::support::Process::spawn("shoal", &mut command);
    super::until("serves", || {
        fs::read_to_string(&log).is_ok_and(|said| said.contains("listening on udp://"))
    });
    let kept = folder.path().join("kept");
    fs::rename(&log, &kept).unwrap();
    mkfifo(&log, Mode::S_IRWXU).unwrap();
    child.signal(Signal::SIGHUP);
    super::until("reloaded", || {
        let said = fs::read_to_string(&kept).unwrap();
        said.contains("it is a pipe") && said.contains("SIGHUP: reloaded")
    });
    expect_served(address);
    child.signal(Signal::SIGTERM);
    assert!(child.wait(PATIENCE).success());
}
