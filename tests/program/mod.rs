//! One run of the program, from its arguments to what it leaves behind.

#![allow(
    dead_code,
    reason = "each test program uses its own part of this module"
)]

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The program with `arguments`, in an environment that says nothing to it.
pub(crate) fn shoal(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.as_bytes().starts_with(b"SHOAL_") {
            command.env_remove(name);
        }
    }
    command
}

/// What a run of the program left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `command` to its end.
pub(crate) fn outcome(command: &mut Command) -> Outcome {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the program starts");
    Outcome {
        code: status.code(),
        stdout: String::from_utf8(stdout).expect("standard output is text"),
        stderr: String::from_utf8(stderr).expect("standard error is text"),
    }
}

/// The lines of standard error, after a look at the exit code.
pub(crate) fn refused(command: &mut Command) -> Vec<String> {
    let outcome = outcome(command);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(outcome.stdout, "", "{outcome:?}");
    outcome.stderr.lines().map(str::to_owned).collect()
}

/// Standard output, after a look at the exit code.
pub(crate) fn accepted(command: &mut Command) -> String {
    let outcome = outcome(command);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(outcome.stderr, "", "{outcome:?}");
    outcome.stdout
}

/// Whether a printed configuration has this line.
pub(crate) fn has_line(page: &str, line: &str) -> bool {
    page.lines().any(|printed| printed == line)
}

/// A file that goes away with the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn with(content: impl AsRef<[u8]>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("config-{}-{number}.toml", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, content).expect("the scratch directory takes a file");
        Self(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0
            .to_str()
            .expect("the scratch directory has a plain name")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The sentences about a file with this `content`, without the path before the line.
pub(crate) fn mistakes_in(content: &str) -> Vec<String> {
    let file = Scratch::with(content);
    let start = format!("{}:", file.path());
    refused(&mut shoal(&["config", "check", "--config", file.path()]))
        .iter()
        .map(|line| line.strip_prefix(&start).expect(line).to_owned())
        .collect()
}
