//! The log in a file that stays below a size and keeps so many of its predecessors. Whatever befalls it,
//! the tracker goes on: what cannot be written waits in a small buffer or is lost, and standard error is
//! told once a minute.

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::unistd::{Uid, User};
use rolling_file::{RollingConditionBasic, RollingFileAppender};

use crate::clock::Clock;
use crate::config;
use crate::seldom::Seldom;

/// A log file that the logger writes to, and that may be opened anew meanwhile.
#[derive(Clone)]
pub(super) struct LogFile(Arc<Mutex<Open>>);

/// The file as it is open. Its predecessors are moved when this says so, and never because of the
/// appender's own condition, which complains in a way that can end the process.
struct Open {
    path: PathBuf,
    appender: RollingFileAppender<RollingConditionBasic>,
    /// Bytes in it.
    len: u64,
    /// Bytes that it may have; 0 = any number.
    len_max: u64,
    backups: usize,
    complaints: Seldom,
    clock: Clock,
}

impl LogFile {
    /// Opens the file, and gives it to `user` where root is about to become that user. The error is one
    /// sentence.
    pub(super) fn open(log: &config::Log, user: &str) -> Result<Self, String> {
        let path = PathBuf::from(&log.file);
        let refused = |error: io::Error| {
            let path = path.display();
            format!("cannot write to log.file = \"{path}\": {error}")
        };
        let (appender, len) = open(&path, log.backup_count).map_err(refused)?;
        if Uid::effective().is_root()
            && let Ok(Some(user)) = User::from_name(user)
        {
            chown(&path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).map_err(refused)?;
        }
        Ok(Self(Arc::new(Mutex::new(Open {
            appender,
            len,
            len_max: log.max_bytes,
            backups: log.backup_count,
            complaints: Seldom::default(),
            clock: Clock::start(),
            path,
        }))))
    }

    /// Opens the path anew, as somebody may have moved the file away. When that fails the open file
    /// stays in use.
    pub(super) fn reopen(&self) -> Result<(), String> {
        let mut file = self.lock();
        match open(&file.path, file.backups) {
            Ok((appender, len)) => {
                // What the old one still holds goes to the old file.
                let _ = file.appender.flush();
                (file.appender, file.len) = (appender, len);
                Ok(())
            }
            Err(error) => {
                let path = file.path.display();
                Err(format!(
                    "log.file = \"{path}\" cannot be opened anew: {error}"
                ))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for LogFile {
    /// Takes a line, which is then written, kept for later or lost.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lock().write(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut file = self.lock();
        if let Err(error) = file.appender.flush() {
            file.complain("is not written", &error);
        }
        Ok(())
    }
}

impl Open {
    fn write(&mut self, line: &[u8]) {
        let len = line.len() as u64;
        if self.len_max > 0 && self.len > 0 && self.len + len > self.len_max {
            if let Err(error) = self.appender.rollover() {
                self.complain("cannot make room for a new one", &error);
            }
            // Even then: else it would be tried again with every line.
            self.len = 0;
        }
        match self.appender.write_all(line) {
            Ok(()) => self.len += len,
            Err(error) => self.complain("is not written", &error),
        }
    }

    /// Tells standard error, if anybody is there to read it.
    fn complain(&mut self, what: &str, error: &dyn Display) {
        if let Some(more) = self.complaints.pass(self.clock.now().uptime_s) {
            let path = self.path.display();
            let _ = writeln!(io::stderr(), "the log file {path} {what}: {error}{more}");
        }
    }
}

type Appender = RollingFileAppender<RollingConditionBasic>;

fn open(path: &PathBuf, backups: usize) -> io::Result<(Appender, u64)> {
    let appender = RollingFileAppender::new(path, RollingConditionBasic::new(), backups)?;
    Ok((appender, fs::metadata(path)?.len()))
}
