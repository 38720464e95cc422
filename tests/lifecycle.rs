//! The life of a process: how it starts, what it says, what it needs, and how it ends.

mod support;

use std::fs;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::panic;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag};
use nix::sys::signal::Signal;
use support::{NO_HTTP, TrackerProcess, forbid_io_uring, run_to_end, shoal};

const PATIENCE: Duration = Duration::from_secs(10);
const ANY_PORT: &str = "udp.listen=127.0.0.1:0";
/// A user without any rights that every Linux has.
const NOBODY: u32 = 65534;

const CONNECT: &[u8] = b"\x00\x00\x04\x17\x27\x10\x19\x80\x00\x00\x00\x00\x00\x00\x00\x01";

/// One connect, so that the counters have something to say.
fn connect(tracker: &TrackerProcess) {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.connect(tracker.address()).unwrap();
    client.send(CONNECT).unwrap();
    assert_eq!(client.recv(&mut [0; 64]).unwrap(), 16);
}

/// A port below those that the kernel hands out, so that no other test is given it meanwhile; another
/// one for each `number`, and for each run of these tests.
fn quiet_port(number: u16) -> u16 {
    20_000 + (std::process::id() % 1_000) as u16 * 10 + number
}

fn shoal_run(overrides: &[&str]) -> Command {
    let mut command = shoal();
    command.args(["run", "--set", "store.path="]).args(NO_HTTP);
    for text in overrides {
        command.args(["--set", text]);
    }
    command
}

#[test]
fn sigterm_and_sigint_stop_the_tracker_within_a_second() {
    for backend in ["workers.backend=io_uring", "workers.backend=mmsg"] {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let mut tracker = TrackerProcess::start(&[ANY_PORT, "workers.count=3", backend]);
            connect(&tracker);
            let asked = Instant::now();
            tracker.signal(signal);
            assert!(tracker.wait().success());
            assert!(
                asked.elapsed() < Duration::from_secs(1),
                "{:?}",
                asked.elapsed()
            );
            assert!(tracker.stderr_so_far().ends_with("stopped"));
        }
    }
}

#[test]
fn the_start_says_what_was_bound_on_how_many_cores_and_what_a_peer_costs() {
    let mut tracker = TrackerProcess::start(&["udp.listen=127.0.0.1:0,[::1]:0", "workers.count=2"]);
    tracker.wait_for_log("memory: ", PATIENCE);
    let said = tracker.stderr_so_far();
    for part in [
        "udp://127.0.0.1:",
        "udp://[::1]:",
        "2 cores",
        "backend",
        "bytes a torrent",
    ] {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
}

#[test]
fn sigusr1_logs_what_was_counted_and_sighup_ends_nothing() {
    let mut tracker = TrackerProcess::start(&[ANY_PORT, "workers.count=2"]);
    connect(&tracker);
    tracker.signal(Signal::SIGHUP);
    tracker.wait_for_log("SIGHUP: reloaded", PATIENCE);
    tracker.signal(Signal::SIGUSR1);
    let line = tracker.wait_for_log("total: ", PATIENCE);
    assert!(line.contains("answered_udp_connect_ip4 1"), "{line}");
    assert!(line.contains("kernel_drops 0"), "{line}");
}

#[test]
fn the_counters_are_logged_at_the_interval_that_was_asked_for() {
    let mut tracker = TrackerProcess::start(&[ANY_PORT, "log.stats_interval=1"]);
    tracker.wait_for_log("total: ", PATIENCE);
}

#[test]
fn a_second_shoal_on_the_port_is_refused_with_the_pid_of_the_first() {
    let first = TrackerProcess::start(&[ANY_PORT, "workers.count=2"]);
    let listen = format!("udp.listen={}", first.address());
    let (code, said) = run_to_end(shoal_run(&[&listen, "workers.count=2"]));
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains(&format!("shoal (pid {})", first.id())),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "one sentence: {said}");
    connect(&first);
}

#[test]
fn a_tracker_starts_again_on_its_port_the_moment_it_was_stopped_or_killed() {
    for backend in ["workers.backend=io_uring", "workers.backend=mmsg"] {
        let listen = format!("udp.listen=127.0.0.1:{}", quiet_port(3));
        let mut tracker = TrackerProcess::start(&[&listen, "workers.count=2", backend]);
        for signal in [Signal::SIGTERM, Signal::SIGKILL].repeat(5) {
            connect(&tracker);
            tracker.signal(signal);
            tracker.wait();
            tracker = TrackerProcess::start(&[&listen, "workers.count=2", backend]);
        }
    }
}

#[test]
fn a_connection_id_outlives_a_restart_and_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("store.path={}", folder.path().join("data").display());
    let listen = format!("udp.listen=127.0.0.1:{}", quiet_port(4));
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut scrape = Vec::new();
    for signal in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGTERM] {
        let mut tracker = TrackerProcess::start(&[&listen, &store, "workers.count=2"]);
        client.connect(tracker.address()).unwrap();
        let mut reply = [0; 64];
        if scrape.is_empty() {
            client.send(CONNECT).unwrap();
            client.recv(&mut reply).unwrap();
            scrape = [&reply[8..16], &[0, 0, 0, 2, 0, 0, 0, 9], &[7; 20]].concat();
        }
        client.send(&scrape).unwrap();
        assert_eq!(client.recv(&mut reply).unwrap(), 20, "the id is still good");
        tracker.signal(signal);
        tracker.wait();
    }
}

#[test]
fn a_store_that_cannot_be_written_is_a_warning_and_the_tracker_serves() {
    let mut tracker = TrackerProcess::start(&[ANY_PORT, "store.path=/proc/no-such-folder"]);
    connect(&tracker);
    let line = tracker.wait_for_log("connection ids will not survive", PATIENCE);
    assert!(
        line.contains("/proc/no-such-folder/connection-id.key"),
        "{line}"
    );
}

#[test]
fn one_listener_that_cannot_be_bound_ends_the_whole_start() {
    let taken = TrackerProcess::start(&[ANY_PORT]);
    let listen = format!("udp.listen=127.0.0.1:0,{}", taken.address());
    let (code, said) = run_to_end(shoal_run(&[&listen, "workers.count=2"]));
    assert_eq!(code, 1);
    assert!(!said.contains("listening"), "nothing half started: {said}");
}

#[test]
fn a_listener_that_another_one_covers_is_named_and_not_our_own_pid() {
    let port = quiet_port(2);
    let listen = format!("udp.listen=[::]:{port},0.0.0.0:{port},127.0.0.1:{port}");
    let (code, said) = run_to_end(shoal_run(&[&listen]));
    assert_eq!(code, 1);
    assert!(
        said.contains(&format!("listener on 0.0.0.0:{port} already covers it")),
        "{said}"
    );
}

#[test]
fn a_log_that_nobody_reads_does_not_keep_the_tracker_from_answering_or_from_stopping() {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_NONBLOCK).unwrap();
    while nix::unistd::write(&writer, &[b'x'; 512]).is_ok() {}
    nix::fcntl::fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();

    let address = SocketAddr::from(([127, 0, 0, 1], quiet_port(1)));
    let mut command = shoal_run(&[&format!("udp.listen={address}"), "workers.count=2"]);
    let mut tracker = command.stdin(Stdio::null()).stderr(writer).spawn().unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    let answered = || client.send_to(CONNECT, address).is_ok() && client.recv(&mut [0; 64]).is_ok();
    while !answered() {
        assert!(Instant::now() < deadline, "it never answers");
    }
    // The first signal is heard and waits for the log; the second waits for nothing.
    let pid = nix::unistd::Pid::from_raw(tracker.id().cast_signed());
    let deadline = Instant::now() + PATIENCE;
    while tracker.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it never stops");
        let _ = nix::sys::signal::kill(pid, Signal::SIGTERM);
        thread::sleep(Duration::from_millis(20));
    }
    drop(reader);
}

#[test]
fn an_address_of_another_host_is_one_sentence_and_exit_code_1() {
    let (code, said) = run_to_end(shoal_run(&["udp.listen=192.0.2.1:6969"]));
    assert_eq!(code, 1);
    assert!(
        said.contains("no interface of this host has that address"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "one sentence: {said}");
}

#[test]
fn an_idle_tracker_wakes_up_no_more_than_twice_a_second_and_core() {
    for backend in ["workers.backend=io_uring", "workers.backend=mmsg"] {
        let tracker = TrackerProcess::start(&[ANY_PORT, "workers.count=2", backend]);
        connect(&tracker);
        let wake_ups = || -> u64 {
            let tasks = fs::read_dir(format!("/proc/{}/task", tracker.id())).unwrap();
            let statuses =
                tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")));
            let switches = |status: io::Result<String>| -> u64 {
                let status = status.unwrap();
                let line = status
                    .lines()
                    .find(|line| line.starts_with("voluntary"))
                    .unwrap();
                line.split_whitespace().last().unwrap().parse().unwrap()
            };
            statuses.map(switches).sum()
        };
        let before = wake_ups();
        // Not a wait for something to happen: the time over which nothing may.
        thread::sleep(Duration::from_secs(4));
        let per_second = (wake_ups() - before) as f64 / 4.0;
        assert!(
            per_second <= 4.0,
            "{per_second} wake-ups a second on two cores with {backend}"
        );
    }
}

#[test]
fn a_tracker_started_by_root_becomes_the_user_that_it_is_told() {
    if !nix::unistd::Uid::effective().is_root() {
        let (code, said) = run_to_end(shoal_run(&[ANY_PORT, "workers.user=root"]));
        assert_eq!((code, said.contains("only root may")), (1, true), "{said}");
        return;
    }
    let tracker = TrackerProcess::start(&[ANY_PORT, "workers.user=nobody"]);
    connect(&tracker);
    let status = fs::read_to_string(format!("/proc/{}/status", tracker.id())).unwrap();
    let nobody = format!("Uid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}");
    assert!(status.contains(&nobody), "{status}");
}

#[test]
fn an_unknown_user_is_one_sentence_and_exit_code_1() {
    let (code, said) = run_to_end(shoal_run(&[ANY_PORT, "workers.user=nobody-of-that-name"]));
    assert_eq!(code, 1);
    assert!(
        said.contains("no such user") || said.contains("only root may"),
        "{said}"
    );
}

/// A copy of the program where any user may start it.
fn shoal_for_everybody(folder: &tempfile::TempDir) -> Command {
    let original = shoal().get_program().to_owned();
    let copy = folder.path().join("shoal");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // By a program of its own: a file that this process has open for writing cannot be started, and
    // every child that another test forks meanwhile would hold it open.
    let copied = Command::new("cp")
        .arg(original)
        .arg(&copy)
        .status()
        .unwrap();
    assert!(copied.success());
    let mut command = Command::new(copy);
    command.env_clear().current_dir("/").arg("run");
    if nix::unistd::Uid::effective().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

#[test]
fn a_user_without_rights_can_run_the_tracker_with_little_locked_memory() {
    let folder = tempfile::tempdir().unwrap();
    let program = shoal_for_everybody(&folder);
    let mut command = Command::new("/bin/sh");
    command.args([
        "-c",
        "ulimit -l 64; exec \"$0\" run --set udp.listen=127.0.0.1:0 --set http.listen=",
    ]);
    command
        .arg(program.get_program())
        .env_clear()
        .current_dir("/");
    if nix::unistd::Uid::effective().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let tracker = TrackerProcess::start_command(command, 1);
    connect(&tracker);
}

#[test]
fn a_port_below_1024_without_the_right_to_it_is_one_sentence_and_exit_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = shoal_for_everybody(&folder);
    command
        .args(NO_HTTP)
        .args(["--set", "udp.listen=127.0.0.1:81"]);
    let (code, said) = run_to_end(command);
    assert_eq!(code, 1);
    assert!(said.contains("CAP_NET_BIND_SERVICE"), "{said}");
}

#[test]
fn where_io_uring_is_forbidden_auto_falls_back_and_says_so_once() {
    let mut command = shoal_run(&[ANY_PORT, "workers.count=2"]);
    forbid_io_uring(&mut command);
    let mut tracker = TrackerProcess::start_command(command, 1);
    connect(&tracker);
    tracker.wait_for_log("with the mmsg backend", PATIENCE);
    let said = tracker.stderr_so_far();
    assert_eq!(
        said.matches("falling back to the mmsg backend").count(),
        1,
        "{said}"
    );
}

#[test]
fn where_io_uring_is_forbidden_asking_for_it_is_one_sentence_and_exit_code_1() {
    let mut command = shoal_run(&[ANY_PORT, "workers.backend=io_uring"]);
    forbid_io_uring(&mut command);
    let (code, said) = run_to_end(command);
    assert_eq!(code, 1);
    assert!(said.contains("this kernel refuses it"), "{said}");
    assert_eq!(said.lines().count(), 1, "one sentence: {said}");
}

/// Set for the child of the next test, which is this test program again.
const PANICKING: &str = "LIFECYCLE_TEST_PANICS";

#[test]
fn a_panic_in_any_thread_ends_the_process_with_a_message_and_exit_code_1() {
    let name = "a_panic_in_any_thread_ends_the_process_with_a_message_and_exit_code_1";
    if std::env::var_os(PANICKING).is_some() {
        env_logger::init();
        shoal::control::exit_on_panic();
        let _ = thread::Builder::new()
            .name("core-7".into())
            .spawn(|| panic!("on purpose"));
        // For ever, were it not for the hook.
        loop {
            thread::park();
        }
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again
        .args(["--exact", name, "--nocapture"])
        .env(PANICKING, "1");
    let (code, said) = run_to_end(again);
    assert_eq!(code, 1);
    assert!(
        said.contains("core-7") && said.contains("on purpose"),
        "{said}"
    );
    let _ = panic::take_hook();
}
