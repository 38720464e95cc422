//! Who starts the new process: a small one that was started before this process gave up its rights, and so can
//! do what this one no longer can.
//!
//! It is the same program, waits for a word, and knows one thing to do: start the program that the tracker was
//! started from, by its path, with the same arguments and environment. So a new process begins without the
//! restrictions of the old one, perhaps as a newer version that wants others, and nobody who gets into the
//! tracker can have anything else started.
//!
//! ```text
//!   tracker                         launcher
//!   Start, with a passage   ---->   starts the program, its standard input the passage
//!                           <----   Started, or why not
//!   Kill                    ---->   ends it
//!                           <----   Ended, as soon as it has, asked or not
//!   LetGo                   ---->   ends; the new process goes on
//! ```

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sys::prctl;
use signal_hook::consts::{SIGHUP, SIGUSR1, SIGUSR2};

use super::VARIABLE;
use crate::clock::Stopwatch;
use crate::net::passage::{Passage, Passed, WORD_LEN_MAX, close_inherited};

/// What the launcher's command line says instead of a command of `shoal`.
const ARGUMENT: &str = "launcher";

/// Its name, where processes are listed by what they call themselves.
const NAME: &std::ffi::CStr = c"shoal-launcher";

/// How long the launcher may take for what it is told, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the launcher looks whether what it started has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long a new process may go on, or end by itself, when the tracker has ended without a word.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(30);

/// The first byte of a word.
const START: u8 = 1;
const KILL: u8 = 2;
const LET_GO: u8 = 3;
/// With the id of the process.
const STARTED: u8 = 4;
/// With the reason.
const FAILED: u8 = 5;
/// With the status, as the kernel tells it.
const ENDED: u8 = 6;

/// The tracker's end. The launcher ends when this is dropped.
pub(in crate::boot) struct Launcher {
    passage: Passage,
}

impl Launcher {
    /// Starts the launcher. To be called by the user who is to serve, and with the rights that a new process
    /// is to begin with.
    pub(in crate::boot) fn start() -> io::Result<Self> {
        let (passage, theirs) = Passage::dig()?;
        passage.set_patience(PATIENCE, PATIENCE)?;
        // The very file that runs here, whatever lies at its path by now: both are of one version.
        let mut command = Command::new("/proc/self/exe");
        if let Some(name) = env::args_os().next() {
            command.arg0(name);
        }
        // Its standard output and errors are those of the processes to come.
        command.arg(ARGUMENT).args(env::args_os()).stdin(theirs);
        // It ends with the passage and is waited for by nobody.
        command.spawn()?;
        Ok(Self { passage })
    }

    /// Has the program started, with this end of a passage. Returns the id of the process; the error is a
    /// sentence.
    pub(super) fn launch(&self, end: &OwnedFd) -> Result<u32, String> {
        let gone = || "cannot start a new process: the launcher has ended".to_owned();
        let said = self.passage.send(&[&[START]], Some(end.as_fd()));
        said.map_err(|_| gone())?;
        match self.hear(PATIENCE) {
            Some((STARTED, body)) => {
                let pid = body.first_chunk().ok_or_else(gone)?;
                Ok(u32::from_ne_bytes(*pid))
            }
            Some((FAILED, why)) => {
                let why = String::from_utf8_lossy(&why).into_owned();
                Err(format!("cannot start a new process: {why}"))
            }
            _ => Err(gone()),
        }
    }

    /// How the process that was launched has ended, if it does so within the patience.
    pub(super) fn await_end(&self, patience: Duration) -> Option<ExitStatus> {
        match self.hear(patience) {
            Some((ENDED, body)) => body
                .first_chunk()
                .map(|status| ExitStatus::from_raw(i32::from_ne_bytes(*status))),
            _ => None,
        }
    }

    /// Ends that process, and waits until it has.
    pub(super) fn kill(&self) {
        // Without a launcher it is gone too: see `Heir::from_environment`.
        if self.passage.send(&[&[KILL]], None).is_ok() {
            self.await_end(PATIENCE);
        }
    }

    /// Has the launcher end, and the process that was launched go on.
    pub(super) fn let_go(&self) {
        // One that is gone needs not be told.
        let _ = self.passage.send(&[&[LET_GO]], None);
    }

    fn hear(&self, patience: Duration) -> Option<(u8, Vec<u8>)> {
        let mut buffer = buffer()?;
        self.passage.set_patience(patience, PATIENCE).ok()?;
        match self.passage.receive(&mut buffer) {
            Ok(Passed::Word(len, _)) => {
                let (kind, body) = buffer[..len].split_first()?;
                Some((*kind, body.to_vec()))
            }
            _ => None,
        }
    }
}

fn buffer() -> Option<Box<[u8; WORD_LEN_MAX]>> {
    vec![0; WORD_LEN_MAX].try_into().ok()
}

/// Does the work of the launcher, if that is what this process was started for: returns when there is no
/// tracker any more. To be called before anything else.
pub(crate) fn launch_if_asked() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next()? != ARGUMENT {
        return None;
    }
    // Connections of clients, which libraries may leave open to children.
    close_inherited();
    // Whoever types this has no passage there, and is told that there is no such command.
    let passage = Passage::from_stdin().ok()?;
    let program = arguments.next()?;
    let mut work = Work {
        passage,
        program,
        arguments: arguments.collect(),
        child: None,
    };
    // What concerns the tracker and is sent to all its processes. A program that is started does not inherit
    // this, as it would if they were ignored.
    for signal in [SIGHUP, SIGUSR1, SIGUSR2] {
        let _ = signal_hook::flag::register(signal, Arc::default());
    }
    // Its arguments and environment may have secrets in them.
    let _ = prctl::set_dumpable(false);
    let _ = prctl::set_name(NAME);
    Some(match work.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

struct Work {
    passage: Passage,
    program: OsString,
    arguments: Vec<OsString>,
    child: Option<Child>,
}

impl Work {
    fn run(&mut self) -> io::Result<()> {
        let mut buffer = buffer().ok_or(io::ErrorKind::OutOfMemory)?;
        loop {
            // Without an end, while there is nobody to look after.
            let patience = self.child.as_ref().map_or(Duration::ZERO, |_| LOOK_AGAIN);
            self.passage.set_patience(patience, PATIENCE)?;
            match self.passage.receive(&mut buffer)? {
                Passed::Gone => return self.outlive_tracker(),
                Passed::Nothing => {}
                Passed::Word(_, Some(end)) if buffer[0] == START => self.start(end)?,
                Passed::Word(..) if buffer[0] == LET_GO => return Ok(()),
                Passed::Word(..) if buffer[0] == KILL => {
                    if let Some(child) = &mut self.child {
                        // It may have ended by itself.
                        let _ = child.kill();
                        child.wait()?;
                    }
                }
                Passed::Word(..) => return Err(io::ErrorKind::InvalidData.into()),
            }
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait()?
            {
                self.child = None;
                let status = status.into_raw().to_ne_bytes();
                self.passage.send(&[&[ENDED], &status], None)?;
            }
        }
    }

    /// A new process that does not serve yet ends with the launcher; this leaves it the time to find out for
    /// itself whether it can.
    fn outlive_tracker(&mut self) -> io::Result<()> {
        let stopwatch = Stopwatch::start();
        if let Some(child) = &mut self.child {
            while child.try_wait()?.is_none() && stopwatch.elapsed() < ORPHAN_PATIENCE {
                thread::sleep(LOOK_AGAIN);
            }
        }
        Ok(())
    }

    fn start(&mut self, end: OwnedFd) -> io::Result<()> {
        if self.child.is_some() {
            return self
                .passage
                .send(&[&[FAILED], b"there is one already"], None);
        }
        let started = Command::new(&self.program)
            .args(&self.arguments)
            .env(VARIABLE, "0")
            // It names the tracker; without it, whoever is asked for signs of life gives them.
            .env_remove("WATCHDOG_PID")
            .stdin(Stdio::from(end))
            .spawn();
        match started {
            Ok(child) => {
                let pid = child.id().to_ne_bytes();
                self.child = Some(child);
                self.passage.send(&[&[STARTED], &pid], None)
            }
            Err(error) => {
                let why = error.to_string();
                self.passage.send(&[&[FAILED], why.as_bytes()], None)
            }
        }
    }
}
