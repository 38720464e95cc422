//! What is left to a tracker that serves, as the kernel tells it, and what becomes of an intruder.

mod in_process;
mod lineage;
mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::Duration;

use in_process::{Announce, Client};
use lineage::{Lineage, send};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::unistd::Uid;
use seccompiler::{SeccompAction, SeccompFilter, TargetArch, apply_filter};
use shoal::config::Config;
use shoal::privileges;
use support::{NO_HTTP, TrackerProcess, shoal};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);
const ANY_UDP: &str = "udp.listen=127.0.0.1:0";
const ANY_HTTP: &str = "http.listen=127.0.0.1:0";
const ANY_CONTROL: &str = "control.listen=127.0.0.1:0";

/// Whether this kernel has Landlock; seccomp is everywhere.
fn has_landlock() -> bool {
    // The version, asked for with a null pointer, is all that this call returns.
    fs::read_to_string("/sys/kernel/security/lsm").map_or_else(
        |_| fs::read_to_string("/proc/kallsyms").is_ok_and(|names| names.contains("landlock_")),
        |modules| modules.contains("landlock"),
    )
}

/// What the kernel says of each thread of a process, by its name.
fn threads(process: u32) -> Vec<BTreeMap<String, String>> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let read = |task: io::Result<fs::DirEntry>| {
        let text = fs::read_to_string(task.unwrap().path().join("status")).ok()?;
        let lines = text.lines().filter_map(|line| line.split_once(":\t"));
        Some(
            lines
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .collect(),
        )
    };
    tasks.filter_map(read).collect()
}

/// The process that a process has started.
fn child_of(process: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap();
    let first = children.split_whitespace().next().expect("it has a child");
    first.parse().unwrap()
}

#[test]
fn every_thread_of_a_server_is_restricted_under_each_backend() {
    for backend in ["io_uring", "mmsg"] {
        let backend = format!("workers.backend={backend}");
        let mut tracker = TrackerProcess::start(&[
            ANY_UDP,
            ANY_HTTP,
            ANY_CONTROL,
            "store.path=data",
            "workers.count=2",
            &backend,
        ]);
        tracker.wait_for_log("(control)", PATIENCE);
        let client = Client::of(tracker.address());
        let id = client.connect();
        client.announce(id, Announce::leecher([7; 20], 1000));
        let line = tracker.wait_for_log("system calls are left", PATIENCE);
        if cfg!(target_arch = "x86_64") {
            assert!(line.contains("sandbox: 151 system calls"), "{line}");
        }
        if has_landlock() {
            let line = tracker.wait_for_log("nothing can be run", PATIENCE);
            assert!(line.contains("written below /"), "{line}");
        }
        let threads = threads(tracker.id());
        assert!(threads.len() > 6, "{threads:?}");
        for thread in threads {
            assert_eq!(thread["Seccomp"], "2", "{thread:?}");
            assert_eq!(thread["NoNewPrivs"], "1", "{thread:?}");
        }
        let log = tracker.stderr_so_far();
        assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    }
}

#[test]
fn a_user_who_is_not_root_has_no_capability_and_knows_all_about_itself() {
    if !Uid::effective().is_root() {
        eprintln!("only root can become somebody else");
        return;
    }
    let mut tracker = TrackerProcess::start(&[
        ANY_UDP,
        ANY_HTTP,
        ANY_CONTROL,
        "store.path=",
        "workers.user=nobody",
        "workers.count=1",
    ]);
    let line = tracker.wait_for_log("(control)", PATIENCE);
    let address = line.split("http://").nth(1).unwrap();
    let address = address.trim_end_matches(" (control)").parse().unwrap();
    // Who answers has given up everything; who tells where he listens may be about to.
    let metrics = get(address, "/metrics");
    for thread in threads(tracker.id()) {
        assert_eq!(thread["CapEff"], "0000000000000000", "{thread:?}");
        assert_eq!(thread["CapPrm"], "0000000000000000", "{thread:?}");
    }
    let launcher = child_of(tracker.id());
    for thread in threads(launcher) {
        assert_eq!(thread["CapEff"], "0000000000000000", "{thread:?}");
        assert_ne!(thread["Uid"].split('\t').next(), Some("0"), "{thread:?}");
    }
    // Processes whose memory is nobody's business, and of which no core is dumped, belong to root in /proc.
    for process in [tracker.id(), launcher] {
        assert_eq!(
            fs::metadata(format!("/proc/{process}/environ"))
                .unwrap()
                .uid(),
            0
        );
    }
    for name in [
        "shoal_process_resident_memory_bytes ",
        "shoal_thread_cpu_seconds_total{",
        "shoal_socket_queue_bytes{",
    ] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
}

/// The body of an answer.
fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_list_is_renewed_in_its_folder_and_out_of_reach_elsewhere() {
    let (ours, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = ours.path().join("shoal.toml");
    let log = ours.path().join("log/shoal.log");
    fs::create_dir(log.parent().unwrap()).unwrap();
    let list = |folder: &Path| folder.join("blocked");
    let write = |list: &Path| {
        let text = format!(
            "store.path = \"\"\nlog.file = \"{}\"\naccess.blocklist = \"{}\"\n",
            log.display(),
            list.display()
        );
        fs::write(&file, text).unwrap();
    };
    let one = "00".repeat(20);
    fs::write(list(ours.path()), &one).unwrap();
    fs::write(
        list(elsewhere.path()),
        format!("{one}\n{}\n", "11".repeat(20)),
    )
    .unwrap();
    write(&list(ours.path()));
    let mut command = shoal();
    command
        .args(["run", "--set", ANY_UDP, "--config"])
        .arg(&file);
    command.args(NO_HTTP);
    command.current_dir(ours.path());
    let mut tracker = Logged::start(command, &log);
    tracker.wait_for("1 torrents are on the blocklist");

    write(&list(elsewhere.path()));
    tracker.signal(Signal::SIGHUP);
    if has_landlock() {
        tracker.wait_for(
            "it is outside of what this process may touch since its start, which a restart changes",
        );
    }
    // A new file under the old name, as editors write it, and a log that was moved away.
    let draft = ours.path().join("draft");
    fs::write(
        &draft,
        format!("{one}\n{}\n{}\n", "11".repeat(20), "22".repeat(20)),
    )
    .unwrap();
    fs::rename(&draft, list(ours.path())).unwrap();
    write(&list(ours.path()));
    fs::rename(&log, log.with_extension("old")).unwrap();
    tracker.signal(Signal::SIGHUP);
    tracker.wait_for("3 torrents are on the blocklist");
}

/// A tracker that is watched through a file.
struct Logged<'a> {
    process: std::process::Child,
    log: &'a Path,
}

impl<'a> Logged<'a> {
    fn start(mut command: Command, log: &'a Path) -> Self {
        let process = command.spawn().unwrap();
        Self { process, log }
    }

    fn signal(&self, signal: Signal) {
        send(self.process.id(), signal);
    }

    fn wait_for(&mut self, text: &str) {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let log = fs::read_to_string(self.log).unwrap_or_default();
            if log.contains(text) {
                return;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "never {text:?} in:\n{log}"
            );
            assert!(
                self.process.try_wait().unwrap().is_none(),
                "it ended:\n{log}"
            );
            thread::sleep(support::LOOK_AGAIN);
        }
    }
}

impl Drop for Logged<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_kernel_without_any_of_it_is_told_and_served_on() {
    // A filter of this thread is inherited by what it starts.
    let tracker = thread::spawn(|| {
        let calls = [
            libc::SYS_landlock_create_ruleset,
            libc::SYS_landlock_add_rule,
            libc::SYS_landlock_restrict_self,
            libc::SYS_seccomp,
        ];
        let filter = SeccompFilter::new(
            calls.into_iter().map(|call| (call, Vec::new())).collect(),
            SeccompAction::Allow,
            SeccompAction::Errno(libc::ENOSYS as u32),
            TargetArch::try_from(std::env::consts::ARCH).unwrap(),
        );
        let program: Vec<_> = filter.unwrap().try_into().unwrap();
        apply_filter(&program).unwrap();
        TrackerProcess::start(&[ANY_UDP, "store.path=", "workers.count=1"])
    });
    let mut tracker = tracker.join().unwrap();
    let client = Client::of(tracker.address());
    client.connect();
    tracker.wait_for_log(
        "may touch all files that its user may, as the kernel has no Landlock",
        PATIENCE,
    );
    tracker.wait_for_log(
        "all system calls are left, as the kernel takes no filter",
        PATIENCE,
    );
    tracker.signal(Signal::SIGTERM);
    assert!(tracker.wait().success());
}

#[test]
fn what_is_switched_off_is_not_in_force_and_no_warning() {
    let mut tracker = TrackerProcess::start(&[
        ANY_UDP,
        "store.path=",
        "workers.count=1",
        if Uid::effective().is_root() {
            "workers.user=nobody"
        } else {
            "workers.user="
        },
        "sandbox.files=false",
        "sandbox.system_calls=false",
        "sandbox.core_dumps=true",
    ]);
    for thread in threads(tracker.id()) {
        assert_eq!((&*thread["Seccomp"], &*thread["NoNewPrivs"]), ("0", "1"));
    }
    let user = threads(tracker.id())[0]["Uid"].clone();
    let owner = fs::metadata(format!("/proc/{}/environ", tracker.id()))
        .unwrap()
        .uid();
    assert_eq!(user.split('\t').next(), Some(&*owner.to_string()));
    assert!(!tracker.stderr_so_far().contains("sandbox"));
}

#[test]
fn a_successor_begins_without_the_filters_of_the_one_before() {
    let mut lineage = Lineage::start(&[ANY_UDP, "workers.count=1", "store.path=data"]);
    let first = threads(lineage.pid());
    let filters = |threads: &[BTreeMap<String, String>]| threads[0].get("Seccomp_filters").cloned();
    for _ in 0..2 {
        lineage.restart();
        let client = Client::of(lineage.address());
        client.connect();
        assert_eq!(filters(&threads(lineage.pid())), filters(&first));
    }
    assert!(lineage.stop().ends_with("stopped"));
}

#[test]
fn without_its_launcher_a_tracker_serves_on_and_says_why_it_is_not_restarted() {
    let mut lineage = Lineage::start(&[ANY_UDP, "workers.count=1", "store.path="]);
    let launcher = child_of(lineage.pid());
    // What is meant for the tracker and reaches all processes of a service.
    for signal in [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2] {
        send(launcher, signal);
    }
    lineage.restart();
    let launcher = child_of(lineage.pid());
    send(launcher, Signal::SIGKILL);
    lineage.signal(Signal::SIGUSR2);
    lineage.wait_for_log("cannot start a new process: the launcher has ended; this one serves on");
    Client::of(lineage.address()).connect();
    assert!(lineage.stop().ends_with("stopped"));
}

#[test]
fn nobody_can_type_the_launcher() {
    let mut command = shoal();
    command.args(["launcher", "/bin/true"]);
    let (code, said) = support::run_to_end(command);
    assert_eq!(code, 2, "{said}");
}

/// Set for a process that is to act as one who got into a tracker.
const DEED: &str = "SANDBOX_TEST_DEED";

/// What intruders do that ends the process.
const HOSTILE: [&str; 3] = ["execute", "trace", "unshare"];

/// Does this in a process of its own, with all restrictions, and says how that has ended.
fn intrude(deed: &str) -> ExitStatus {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("elsewhere")).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "an_intruder_finds_little"]);
    command.env(DEED, deed).current_dir(folder.path());
    command.output().unwrap().status
}

#[test]
fn an_intruder_finds_little() {
    if let Ok(deed) = std::env::var(DEED) {
        act(&deed);
        std::process::exit(0);
    }
    for deed in HOSTILE {
        assert_eq!(intrude(deed).signal(), Some(libc::SIGSYS), "{deed}");
    }
    assert_eq!(intrude("look around").code(), Some(0));
    assert_eq!(intrude("call somebody").code(), Some(0));
}

fn act(deed: &str) {
    let mut config = Config::default();
    config.store.path = String::from("ours/made");
    if deed == "call somebody" {
        return call_somebody(config);
    }
    privileges::restrict(&config, None);
    privileges::restrict_further(&config);
    match deed {
        "execute" => drop(Command::new("/bin/true").exec()),
        "trace" => drop(ptrace::traceme()),
        "unshare" => drop(nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER)),
        _ => look_around(Path::new(&config.store.path), Path::new("elsewhere")),
    }
}

/// With Landlock alone, as the filter of system calls leaves no socket to try it with.
fn call_somebody(mut config: Config) {
    config.sandbox.system_calls = false;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let open = TcpStream::connect(address).unwrap();
    let notes = privileges::restrict(&config, None);
    let restricted = |(_, sentence): &(_, String)| sentence.contains("no TCP connection is opened");
    if !notes.iter().any(restricted) {
        eprintln!("this kernel's Landlock knows nothing of TCP");
        return;
    }
    let refused = |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    assert!(TcpStream::connect(address).is_err_and(refused));
    assert!(TcpListener::bind("127.0.0.1:0").is_err_and(refused));
    // Who is there already is served on.
    let (served, _) = listener.accept().unwrap();
    (&served).write_all(b"a").unwrap();
    (&open).read_exact(&mut [0]).unwrap();
    UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .send_to(b"a", address)
        .unwrap();
}

fn look_around(ours: &Path, elsewhere: &Path) {
    let mut count = 0;
    let mut refused = |done: io::Result<()>, what: &str| {
        let kind = done.expect_err(what).kind();
        assert_eq!(kind, io::ErrorKind::PermissionDenied, "{what}");
        count += 1;
    };
    // Another process, even of this program; and a port that nobody has asked for.
    refused(Command::new("/bin/true").status().map(drop), "to fork");
    refused(TcpListener::bind("127.0.0.1:0").map(drop), "to listen");
    refused(
        TcpStream::connect("127.0.0.1:9").map(drop),
        "to call somebody",
    );
    refused(TcpStream::connect("[::1]:9").map(drop), "to call somebody");
    let packets = socket2::Socket::new(socket2::Domain::PACKET, socket2::Type::RAW, None);
    refused(packets.map(drop), "to read all packets");
    refused(io_uring::IoUring::new(8).map(drop), "to open a ring");
    if has_landlock() {
        refused(File::open("/etc/passwd").map(drop), "to read users");
        refused(fs::write(elsewhere.join("a"), "a"), "to write elsewhere");
        refused(fs::read_dir("/root").map(drop), "to list a home");
        refused(fs::create_dir(ours.join("a")), "to make folders");
    }
    assert_eq!(count, if has_landlock() { 10 } else { 6 });
    // All that a tracker does goes on.
    let file = ours.join("b");
    fs::write(&file, "b").unwrap();
    fs::rename(&file, ours.join("c")).unwrap();
    assert_eq!(fs::read_to_string(ours.join("c")).unwrap(), "b");
    fs::remove_file(ours.join("c")).unwrap();
    File::open("/proc/self/status").unwrap();
    UdpSocket::bind("127.0.0.1:0").unwrap();
    thread::spawn(|| vec![1; 1 << 20]).join().unwrap();
}
