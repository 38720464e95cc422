//! The server under test as a process of its own: started with overrides, watched through its log,
//! stopped by signals, and gone when its owner is, whatever became of the test.
//!
//! ```text
//! let mut tracker = TrackerProcess::start(&["udp.listen=127.0.0.1:0", "workers.count=2"]);
//! let address = tracker.address();
//! tracker.signal(Signal::SIGTERM);
//! assert!(tracker.wait().success());
//! ```

#![allow(
    dead_code,
    reason = "each test program uses its own part of this module"
)]

use std::env;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long a tracker may take to bind its sockets or to end. Far more than it needs: it only
/// decides how late a failure is noticed on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pause between two looks at a state that has no event to wait for.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Keeps a test that is not about HTTP away from the default port.
pub(crate) const NO_HTTP: [&str; 2] = ["--set", "http.listen="];

/// A test asks as fast as it is answered, from one source.
const UNLIMITED: [&str; 2] = ["flood.per_source=0", "flood.per_network=0"];

/// The binary under test, free of the settings of whoever runs the tests, and away from the default
/// port of the control server.
pub(crate) fn shoal() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
    for (name, _) in env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("SHOAL_") || name_text.starts_with("RUST_LOG") {
            command.env_remove(&name);
        }
    }
    command.env("SHOAL_CONTROL__LISTEN", "");
    command
}

/// Adds `run` and these `key=value` overrides, without HTTP unless they say where, and without limits for
/// each source unless they set them.
pub(crate) fn with_overrides(command: &mut Command, overrides: &[&str]) {
    command.arg("run");
    if !overrides
        .iter()
        .any(|text| text.starts_with("http.listen="))
    {
        command.args(NO_HTTP);
    }
    for text in UNLIMITED.iter().chain(overrides) {
        command.args(["--set", text]);
    }
}

/// The override that puts the store into this folder.
pub(crate) fn store_in(place: impl AsRef<Path>) -> String {
    format!("store.path={}", place.as_ref().join("data").display())
}

/// `shoal run` with a configuration as text, which leaves nothing behind.
pub(crate) fn shoal_configured(toml: &str) -> Command {
    let mut command = shoal();
    command.env("SHOAL_CONFIG_TOML", toml);
    command.args(["run", "--set", "store.path="]);
    command
}

/// Runs `shoal run` to its end and returns its exit code and what it said.
pub(crate) fn run_to_end(mut command: Command) -> (i32, String) {
    let ended = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    (ended.status.code().expect("it exits by itself"), said)
}

/// Lets `command` run where `io_uring_setup` is forbidden, as in many containers.
#[allow(
    unsafe_code,
    reason = "a seccomp filter must be set in the child, between fork and exec"
)]
pub(crate) fn forbid_io_uring(command: &mut Command) {
    let step = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let mut filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0), // the number of the call
        step(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            libc::SYS_io_uring_setup as u32,
        ),
        step(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
        ),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let install = move || {
        let program = libc::sock_fprog {
            len: filter.len() as u16,
            filter: filter.as_mut_ptr(),
        };
        // SAFETY: prctl reads the program, which lives through the calls, and nothing else.
        let set = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER,
                    &raw const program,
                ) == 0
        };
        if set {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SAFETY: `install` makes two system calls and allocates nothing, as is right after a fork.
    unsafe { command.pre_exec(install) };
}

/// A running tracker in an empty folder of its own.
pub(crate) struct TrackerProcess {
    process: Process,
    lines: Receiver<String>,
    seen: Vec<String>,
    addresses: Vec<SocketAddr>,
    folder: TempDir,
}

impl TrackerProcess {
    /// Runs `shoal run` with these `key=value` overrides, until it listens on every `udp.listen`
    /// among them (or on one address when there is none).
    pub(crate) fn start(overrides: &[&str]) -> Self {
        let listeners = overrides
            .iter()
            .filter(|text| text.starts_with("udp.listen="))
            .count();
        let mut command = shoal();
        with_overrides(&mut command, overrides);
        Self::start_command(command, listeners.max(1))
    }

    /// Runs a command that the test put together from [`shoal`], until it listens on this many UDP
    /// addresses.
    pub(crate) fn start_command(command: Command, listeners: usize) -> Self {
        let mut tracker = Self::spawn(command);
        let deadline = Instant::now() + PATIENCE;
        while tracker.addresses.len() < listeners {
            let line = tracker.next_line(deadline).unwrap_or_else(|| {
                panic!(
                    "the tracker ended or fell silent with {} of {listeners} addresses told",
                    tracker.addresses.len()
                )
            });
            for address in addresses_behind("udp://", &line) {
                if !tracker.addresses.contains(&address) {
                    tracker.addresses.push(address);
                }
            }
        }
        tracker
    }

    /// Runs a command until it serves HTTP.
    pub(crate) fn start_http(command: Command) -> Self {
        let mut tracker = Self::spawn(command);
        tracker.wait_for_log("HTTP runs on", PATIENCE);
        tracker
    }

    fn spawn(mut command: Command) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        command.current_dir(folder.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = Process::spawn("shoal", &mut command);
        let stderr = process.child.stderr.take().expect("stderr is piped");

        // Read by a thread of its own, so that the tracker never waits for a test to read its log.
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });

        Self {
            process,
            lines,
            seen: Vec::new(),
            addresses: Vec::new(),
            folder,
        }
    }

    /// The first address that it listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Every address that it listens on, in the order of its log.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where it listens for HTTP and HTTPS over TCP, in the order of its log.
    pub(crate) fn http_addresses(&mut self) -> Vec<SocketAddr> {
        let said = self.stderr_so_far();
        let behind = |line| {
            let http = addresses_behind("listening on http://", line);
            let https = addresses_behind("listening on https://", line);
            http.into_iter().chain(https)
        };
        said.lines().flat_map(behind).collect()
    }

    /// The first of these.
    pub(crate) fn http_address(&mut self) -> SocketAddr {
        self.http_addresses()[0]
    }

    /// The folder in which it runs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// The first line of its log, written already or yet to come, that contains `text`.
    pub(crate) fn wait_for_log(&mut self, text: &str, timeout: Duration) -> String {
        if let Some(line) = self.seen.iter().find(|line| line.contains(text)) {
            return line.clone();
        }
        let deadline = Instant::now() + timeout;
        loop {
            match self.next_line(deadline) {
                Some(line) if line.contains(text) => return line,
                Some(_) => {}
                None => panic!("the tracker's log never said {text:?}"),
            }
        }
    }

    /// Waits until it ends and all that it wrote is read.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = self.process.wait(PATIENCE);
        let deadline = Instant::now() + PATIENCE;
        while self.next_line(deadline).is_some() {}
        status
    }

    /// Stops it as systemd does, and returns all that it wrote to stderr.
    pub(crate) fn stop(mut self) -> String {
        self.signal(Signal::SIGTERM);
        assert!(self.wait().success());
        let said = self.stderr_so_far();
        assert!(said.ends_with("stopped"), "{said}");
        said
    }

    /// All that it wrote to stderr until now.
    pub(crate) fn stderr_so_far(&mut self) -> String {
        self.seen.extend(self.lines.try_iter());
        self.seen.join("\n")
    }

    /// The next line of its log, or `None` when time is up or the log has ended.
    fn next_line(&mut self, deadline: Instant) -> Option<String> {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = self.lines.recv_timeout(left).ok()?;
        self.seen.push(line.clone());
        Some(line)
    }
}

impl Drop for TrackerProcess {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("---- log of the tracker ----\n{}", self.stderr_so_far());
        }
    }
}

/// A child process that is killed, by its own handle, when its owner goes.
pub(crate) struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts the command.
    pub(crate) fn spawn(name: &str, command: &mut Command) -> Self {
        let child = command.spawn().unwrap_or_else(|error| {
            panic!(
                "{name} cannot be started ({error}); scripts/test.sh installs what the tests need"
            )
        });
        Self {
            name: name.to_owned(),
            child,
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("process ids are small");
        kill(Pid::from_raw(id), signal)
            .unwrap_or_else(|error| panic!("{signal} cannot be sent to {}: {error}", self.name));
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child
            .try_wait()
            .expect("a child of our own can be waited for")
    }

    /// Waits until it ends, for this long at most.
    pub(crate) fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "{} still runs after {timeout:?}",
                self.name
            );
            thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Neither can fail in a way that matters here: whoever has ended needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The addresses behind every `scheme` of a log line; port 0 is a wish and not an address.
fn addresses_behind(scheme: &str, line: &str) -> Vec<SocketAddr> {
    line.split(scheme)
        .skip(1)
        .filter_map(|rest| {
            let is_address = |c: char| c.is_ascii_hexdigit() || ".:[]".contains(c);
            let end = rest.find(|c: char| !is_address(c)).unwrap_or(rest.len());
            rest[..end].trim_end_matches(['.', ':']).parse().ok()
        })
        .filter(|address: &SocketAddr| address.port() != 0)
        .collect()
}
