//! A tracker and those that came after it: processes that hand over to each other, watched through the log
//! that they share, all of which end with the test.

#![allow(
    dead_code,
    reason = "each test program uses its own part of this module"
)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::support::{LOOK_AGAIN, shoal, with_overrides};

const PATIENCE: Duration = Duration::from_secs(60);

/// The tracker, whichever process that is.
pub(crate) struct Lineage {
    first: Child,
    /// The process that serves.
    pid: u32,
    /// All that were started.
    pids: Vec<u32>,
    lines: Receiver<String>,
    seen: Vec<String>,
    /// Lines before this one belong to what is over.
    from: usize,
    udp: Vec<SocketAddr>,
    http: Vec<SocketAddr>,
    control: Vec<SocketAddr>,
    folder: TempDir,
}

impl Lineage {
    /// Runs `shoal run` with these overrides until it serves.
    pub(crate) fn start(overrides: &[&str]) -> Self {
        Self::start_with(overrides, |_| {})
    }

    /// The same, with something changed about the command.
    pub(crate) fn start_with(overrides: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let mut command = shoal();
        with_overrides(&mut command, overrides);
        change(&mut command);
        Self::run(command)
    }

    /// The same from another file of the program.
    pub(crate) fn start_program(program: &Path, overrides: &[&str]) -> Self {
        let template = shoal();
        let mut command = Command::new(program);
        for (name, value) in template.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        with_overrides(&mut command, overrides);
        Self::run(command)
    }

    /// Runs it with a file that says everything.
    pub(crate) fn start_configured(file: &Path) -> Self {
        let mut command = shoal();
        command.arg("run").arg("--config").arg(file);
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        let folder = TempDir::new().unwrap();
        command.current_dir(folder.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut first = command.spawn().unwrap();
        let stderr = first.stderr.take().unwrap();
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let pid = first.id();
        let mut lineage = Self {
            first,
            pid,
            pids: vec![pid],
            lines,
            seen: Vec::new(),
            from: 0,
            udp: Vec::new(),
            http: Vec::new(),
            control: Vec::new(),
            folder,
        };
        lineage.wait_until_it_answers();
        lineage
    }

    fn wait_until_it_answers(&mut self) {
        // The last line of a start differs; whoever answers is there.
        let deadline = Instant::now() + PATIENCE;
        let mut last_line = Instant::now();
        loop {
            match self.lines.recv_timeout(LOOK_AGAIN) {
                Ok(line) => {
                    for (scheme, addresses) in [
                        ("listening on udp://", &mut self.udp),
                        ("listening on http://", &mut self.http),
                    ] {
                        if let Some(rest) = line.split(scheme).nth(1) {
                            let is_control = rest.ends_with(" (control)");
                            let address = rest.trim_end_matches(" (control)").parse();
                            let Ok(address) = address else { continue };
                            let addresses = if is_control {
                                &mut self.control
                            } else {
                                addresses
                            };
                            addresses.push(address);
                        }
                    }
                    self.seen.push(line);
                    last_line = Instant::now();
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let quiet = last_line.elapsed() > Duration::from_millis(300);
                    if quiet && !(self.udp.is_empty() && self.http.is_empty()) {
                        self.from = self.seen.len();
                        return;
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => panic!("it ended: {:?}", self.seen),
            }
            assert!(Instant::now() < deadline, "it does not start");
        }
    }

    /// The first UDP address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.udp[0]
    }

    /// The first HTTP address.
    pub(crate) fn http_address(&self) -> SocketAddr {
        self.http[0]
    }

    /// The address of the control server.
    pub(crate) fn control_address(&self) -> SocketAddr {
        self.control[0]
    }

    /// The process that serves.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Where it runs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends a signal to the process that serves.
    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid, signal);
    }

    /// Has it restart, and says how that went.
    pub(crate) fn restart(&mut self) -> String {
        self.signal(Signal::SIGUSR2);
        let line = self.wait_for_log("serves: datagrams waited");
        self.pid = pid_in(&line, "process ");
        let gone = format!("stopped; process {} serves", self.pid);
        self.wait_for_log(&gone);
        self.from = self.seen.len();
        line
    }

    /// Begins a restart and says which process is to take over.
    pub(crate) fn begin_restart(&mut self) -> u32 {
        self.from = self.seen.len();
        self.signal(Signal::SIGUSR2);
        let line = self.wait_for_log("to take over");
        pid_in(&line, "started process ")
    }

    /// The process that was begun is the one that serves.
    pub(crate) fn follow(&mut self, pid: u32) {
        self.pid = pid;
        self.from = self.seen.len();
    }

    /// The first line since the last restart that contains `text`, written already or yet to come.
    pub(crate) fn wait_for_log(&mut self, text: &str) -> String {
        self.wait_for_either(text, text)
    }

    /// The first that contains one of two texts.
    pub(crate) fn wait_for_either(&mut self, text: &str, other: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut at = self.from;
        loop {
            while at < self.seen.len() {
                let line = &self.seen[at];
                if line.contains(text) || line.contains(other) {
                    return self.seen[at].clone();
                }
                at += 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("the log never said {text:?}:\n{}", self.seen.join("\n"));
            };
            if line.contains("to take over") {
                self.pids.push(pid_in(&line, "started process "));
            }
            self.seen.push(line);
        }
    }

    /// All that was said since the last restart.
    pub(crate) fn log(&mut self) -> String {
        self.seen.extend(self.lines.try_iter());
        self.seen[self.from..].join("\n")
    }

    /// Stops the tracker and returns its last line.
    pub(crate) fn stop(mut self) -> String {
        self.from = self.seen.len();
        self.signal(Signal::SIGTERM);
        self.wait_for_log("stopping");
        // The log ends when its last writer does.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end"),
            }
        }
        self.seen.last().cloned().unwrap_or_default()
    }
}

/// The number behind a word.
fn pid_in(line: &str, before: &str) -> u32 {
    let digits = line.split(before).nth(1).unwrap_or_default();
    let end = digits.find(|c: char| !c.is_ascii_digit());
    digits[..end.unwrap_or(digits.len())].parse().expect(line)
}

/// Sends a signal to a process that this test has started, or one of its.
pub(crate) fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap());
    kill(pid, signal).unwrap_or_else(|error| panic!("{signal} to {pid}: {error}"));
}

/// Where a path leads for a process.
pub(crate) fn executable_of(pid: u32) -> PathBuf {
    std::fs::read_link(format!("/proc/{pid}/exe")).unwrap()
}

impl Drop for Lineage {
    fn drop(&mut self) {
        if thread::panicking() {
            self.seen.extend(self.lines.try_iter());
            eprintln!("---- log of the trackers ----\n{}", self.seen.join("\n"));
        }
        for pid in &self.pids {
            let command = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            // A number may be somebody else's by now.
            if command.is_ok_and(|name| name.trim_end() == "shoal") {
                let pid = Pid::from_raw(i32::try_from(*pid).unwrap());
                let _ = kill(pid, Signal::SIGKILL);
            }
        }
        let _ = self.first.wait();
    }
}
