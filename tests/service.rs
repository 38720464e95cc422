//! Shoal as a service: what systemd is told, and the files that a package takes from the program.

mod program;
mod support;

use std::fs;
use std::io::{self, Write as _};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use support::{NO_HTTP, TrackerProcess, shoal};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);
const CONNECT: &[u8] = b"\x00\x00\x04\x17\x27\x10\x19\x80\x00\x00\x00\x00\x00\x00\x00\x01";

/// Stands where systemd listens.
struct Manager {
    socket: UnixDatagram,
    _folder: TempDir,
}

impl Manager {
    fn new() -> (Self, String) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let path = path.to_str().unwrap().to_owned();
        let manager = Self {
            socket,
            _folder: folder,
        };
        (manager, path)
    }

    fn hear(&self) -> io::Result<String> {
        let mut heard = [0; 4096];
        let len = self.socket.recv(&mut heard)?;
        Ok(String::from_utf8(heard[..len].to_vec()).unwrap())
    }

    /// The next thing said that is no sign of life.
    fn hear_news(&self) -> String {
        loop {
            let heard = self.hear().expect("something is said in time");
            if heard != "WATCHDOG=1\n" {
                return heard;
            }
        }
    }
}

fn run(socket: &str) -> Command {
    let mut command = shoal();
    command
        .args(["run", "--set", "store.path=", "--set", "workers.count=2"])
        .args(["--set", "udp.listen=127.0.0.1:0"])
        .args(NO_HTTP)
        .env("NOTIFY_SOCKET", socket)
        .env_remove("WATCHDOG_USEC")
        .env_remove("WATCHDOG_PID");
    command
}

#[test]
fn systemd_is_told_when_the_tracker_is_ready_reloading_and_stopping() {
    let (manager, socket) = Manager::new();
    let mut tracker = TrackerProcess::start_command(run(&socket), 1);
    assert_eq!(manager.hear().unwrap(), "READY=1\n");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(CONNECT, tracker.address()).unwrap();
    assert_eq!(client.recv(&mut [0; 64]).unwrap(), 16, "ready is ready");

    let uptime_us = || {
        let uptime = fs::read_to_string("/proc/uptime").unwrap();
        let seconds = uptime.split(' ').next().unwrap();
        (seconds.parse::<f64>().unwrap() * 1e6) as u64
    };
    let before = uptime_us();
    tracker.signal(Signal::SIGHUP);
    let reloading = manager.hear().unwrap();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    let since: u64 = since.expect(&reloading).trim_end().parse().unwrap();
    // A host that was suspended has more uptime than monotonic time.
    assert!(since <= uptime_us() + 20_000, "{since} after {before}");
    assert_eq!(manager.hear().unwrap(), "READY=1\n");

    tracker.signal(Signal::SIGTERM);
    assert_eq!(manager.hear().unwrap(), "STOPPING=1\n");
    assert!(tracker.wait().success());
    manager.socket.set_nonblocking(true).unwrap();
    assert!(manager.hear().is_err(), "nothing else was said");
}

#[test]
fn a_reload_with_a_mistake_ends_too() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("shoal.toml");
    fs::write(&file, "").unwrap();
    let (manager, socket) = Manager::new();
    let mut command = run(&socket);
    command.arg("--config").arg(&file);
    let mut tracker = TrackerProcess::start_command(command, 1);
    assert_eq!(manager.hear().unwrap(), "READY=1\n");
    fs::write(&file, "nonsense").unwrap();
    tracker.signal(Signal::SIGHUP);
    assert!(manager.hear().unwrap().starts_with("RELOADING=1\n"));
    assert_eq!(manager.hear().unwrap(), "READY=1\n");
    tracker.wait_for_log("the configuration stays as it was", PATIENCE);
}

#[test]
fn a_start_that_fails_is_never_ready() {
    let (manager, socket) = Manager::new();
    let mut command = run(&socket);
    command.args(["--set", "udp.listen=192.0.2.1:6969"]);
    assert_eq!(support::run_to_end(command).0, 1);
    manager.socket.set_nonblocking(true).unwrap();
    assert!(manager.hear().is_err());
}

#[test]
fn without_a_socket_that_listens_the_tracker_serves_and_says_why_it_is_not_heard() {
    let mut tracker = TrackerProcess::start_command(run("/no-such-folder/notify"), 1);
    tracker.wait_for_log("systemd cannot be told", PATIENCE);
    tracker.signal(Signal::SIGTERM);
    assert!(tracker.wait().success());
}

/// The thread of this name.
fn thread_of(process: u32, name: &str) -> Pid {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let mut tasks = tasks.map(|task| task.unwrap().path());
    let is_named = |task: &Path| {
        let comm = fs::read_to_string(task.join("comm"));
        comm.is_ok_and(|comm| comm.trim_end() == name)
    };
    let task = tasks.find(|task| is_named(task)).expect(name);
    let id = task.file_name().unwrap().to_str().unwrap();
    Pid::from_raw(id.parse().unwrap())
}

/// A tracker with HTTP whose watchdog wants to be fed every two seconds, and has been for four.
fn watched(manager: &Manager, socket: &str) -> TrackerProcess {
    let mut command = run(socket);
    command
        .args(["--set", "http.listen=127.0.0.1:0"])
        .args(["--set", "workers.http_threads=2"])
        .env("WATCHDOG_USEC", "2000000");
    let tracker = TrackerProcess::start_command(command, 1);
    assert_eq!(manager.hear().unwrap(), "READY=1\n");
    // Nobody asks for anything meanwhile.
    for _ in 0..8 {
        assert_eq!(manager.hear().unwrap(), "WATCHDOG=1\n");
    }
    tracker
}

/// Holds a thread and expects that the watchdog is not fed until it is let go.
fn expect_watched(thread: &str, called: &str) {
    let (manager, socket) = Manager::new();
    let mut tracker = watched(&manager, &socket);
    let held = thread_of(tracker.id(), thread);
    if ptrace::seize(held, ptrace::Options::empty()).is_err() {
        eprintln!("this host lets nobody hold a thread");
        return;
    }
    ptrace::interrupt(held).unwrap();
    waitpid(held, Some(WaitPidFlag::__WALL)).unwrap();
    // It is fed every half second, until the thread has stood still for three.
    let pause = Duration::from_secs(2);
    manager.socket.set_read_timeout(Some(pause)).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while manager.hear().is_ok() {
        assert!(Instant::now() < deadline, "it is fed for ever");
    }
    tracker.wait_for_log(&format!("{called} stands still"), PATIENCE);

    ptrace::detach(held, None).unwrap();
    manager.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(manager.hear().unwrap(), "WATCHDOG=1\n");
    tracker.signal(Signal::SIGTERM);
    assert_eq!(manager.hear_news(), "STOPPING=1\n");
}

#[test]
fn the_watchdog_is_fed_while_all_cores_turn_and_no_longer() {
    expect_watched("core-1", "core 1");
}

#[test]
fn the_watchdog_is_not_fed_while_an_http_thread_hangs() {
    expect_watched("http-1", "HTTP thread 1");
}

#[test]
fn a_watchdog_of_another_process_is_none_of_ours() {
    let (manager, socket) = Manager::new();
    let mut command = run(&socket);
    command
        .env("WATCHDOG_USEC", "100000")
        .env("WATCHDOG_PID", "1");
    let tracker = TrackerProcess::start_command(command, 1);
    assert_eq!(manager.hear().unwrap(), "READY=1\n");
    let pause = Duration::from_millis(500);
    manager.socket.set_read_timeout(Some(pause)).unwrap();
    assert!(manager.hear().is_err());
    drop(tracker);
}

/// Whether the host has a program.
fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

/// Gives `text` to a command and expects that it neither fails nor complains.
fn check_with(command: &mut Command, text: &str) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = text.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let ended = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_manual_page_has_every_command_and_man_does_not_complain() {
    let page = program::accepted(&mut program::shoal(&["man"]));
    assert!(page.contains(".TH SHOAL 1"), "{page}");
    for command in ["run", "config print", "config check", "query", "check"] {
        assert!(
            page.contains(&format!(".SS \"shoal {command}\"")),
            "{command}"
        );
    }
    for hidden in ["shoal man", "shoal completions", "shoal help"] {
        assert!(!page.contains(hidden), "{hidden}");
    }
    if has("man") {
        let mut man = Command::new("man");
        man.args(["--warnings", "-l", "-"]).env("MANWIDTH", "80");
        check_with(man.env("LC_ALL", "C.UTF-8"), &page);
    }
}

#[test]
fn shells_take_their_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let script = program::accepted(&mut program::shoal(&["completions", shell]));
        assert!(script.contains("config"), "{shell}");
        assert!(script.contains("verbose"), "{shell}");
        if has(shell) {
            check_with(Command::new(shell).arg("-n"), &script);
        }
    }
}

#[test]
fn help_does_not_speak_of_what_only_a_package_needs() {
    let help = program::accepted(&mut program::shoal(&["--help"]));
    let names = ["man", "completions"];
    let begins = |line: &str| names.iter().any(|name| line.trim_start().starts_with(name));
    assert!(!help.lines().any(begins), "{help}");
}
