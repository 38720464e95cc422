//! The log in a file that stays below a size and keeps so many of its predecessors. Whatever befalls it,
//! the tracker goes on: what cannot be written waits in a small buffer or is lost, and standard error is
//! told once a minute.

use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::fcntl::OFlag;
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
            format!(
                "cannot write to log.file = \"{path}\": {error}; name a file in a folder that is there \
                 and may be written to"
            )
        };
        if Uid::effective().is_root()
            && let Ok(Some(user)) = User::from_name(user)
        {
            give(&path, user.uid.as_raw(), user.gid.as_raw()).map_err(refused)?;
        }
        let (appender, len) = open(&path, log.backup_count).map_err(refused)?;
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
        // A pipe that nobody reads would keep us waiting.
        let is_pipe = fs::metadata(&file.path).is_ok_and(|there| there.file_type().is_fifo());
        let opened = if is_pipe {
            Err(io::Error::other("it is a pipe"))
        } else {
            open(&file.path, file.backups)
        };
        match opened {
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

/// Makes the file, if need be, and gives it to a user. What he may have put in its place himself is refused:
/// through a link he would be given any file of the system.
fn give(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let refused = |what: &str| {
        let why = format!("it is {what}; name the file itself, or remove the link");
        Err(io::Error::other(why))
    };
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    let file = match options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(path) {
        Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
            return refused("a link");
        }
        opened => opened?,
    };
    let found = file.metadata()?;
    match (found.is_file(), found.nlink()) {
        (true, 1) => fchown(&file, Some(uid), Some(gid)),
        (true, _) => refused("a file with several names"),
        // A device is everybody's.
        (false, _) => Ok(()),
    }
}
type Appender = RollingFileAppender<RollingConditionBasic>;

fn open(path: &PathBuf, backups: usize) -> io::Result<(Appender, u64)> {
    let appender = RollingFileAppender::new(path, RollingConditionBasic::new(), backups)?;
    Ok((appender, fs::metadata(path)?.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_in_place_of_the_log_gives_nobody_the_file_that_it_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let (log, secret) = (folder.path().join("log"), folder.path().join("shadow"));
        fs::write(&secret, "root").unwrap();
        let (uid, gid) = (Uid::effective().as_raw(), nix::unistd::getegid().as_raw());
        symlink(&secret, &log).unwrap();
        let sentence = give(&log, uid, gid).unwrap_err().to_string();
        assert!(sentence.starts_with("it is a link; "), "{sentence}");
        fs::remove_file(&log).unwrap();
        fs::hard_link(&secret, &log).unwrap();
        let sentence = give(&log, uid, gid).unwrap_err().to_string();
        assert!(sentence.contains("several names"), "{sentence}");
        fs::remove_file(&log).unwrap();
        give(&log, uid, gid).unwrap();
        assert!(fs::symlink_metadata(&log).unwrap().is_file());
        assert_eq!(fs::read_to_string(&secret).unwrap(), "root");
    }

    #[test]
    fn a_device_may_be_the_log_and_stays_whose_it_is() {
        let before = fs::metadata("/dev/null").unwrap().uid();
        give(Path::new("/dev/null"), 12_345, 12_345).unwrap();
        assert_eq!(fs::metadata("/dev/null").unwrap().uid(), before);
    }
}
