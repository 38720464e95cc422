//! The log in a file that stays below a size and keeps so many of its predecessors. Whatever befalls it,
//! the tracker goes on: what cannot be written waits in a small buffer or is lost, and standard error is
//! told once a minute.

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{Uid, User};

use crate::clock::Clock;
use crate::config;
use crate::seldom::Seldom;

/// A log file that the logger writes to, and that may be opened anew meanwhile.
#[derive(Clone)]
pub(super) struct LogFile(Arc<Mutex<Open>>);

/// The file as it is open.
struct Open {
    place: Place,
    file: BufWriter<File>,
    /// Bytes in it.
    len: u64,
    /// Bytes that it may have; 0 = any number.
    len_max: u64,
    backups: usize,
    complaints: Seldom,
    clock: Clock,
}

/// Where the file is, and whose it becomes.
struct Place {
    path: PathBuf,
    /// User and group that root gives it to.
    owner: Option<(u32, u32)>,
}

impl LogFile {
    /// Opens the file, and gives it to `user` where root is about to become that user. The error is one
    /// sentence.
    pub(super) fn open(log: &config::Log, user: &str) -> Result<Self, String> {
        let mut place = Place {
            path: PathBuf::from(&log.file),
            owner: None,
        };
        if Uid::effective().is_root()
            && let Ok(Some(user)) = User::from_name(user)
        {
            place.owner = Some((user.uid.as_raw(), user.gid.as_raw()));
        }
        let (file, len) = place.open().map_err(|error| {
            let path = place.path.display();
            format!(
                "cannot write to log.file = \"{path}\": {error}; name a file in a folder that is there \
                 and may be written to"
            )
        })?;
        Ok(Self(Arc::new(Mutex::new(Open {
            place,
            file,
            len,
            len_max: log.max_bytes,
            backups: log.backup_count,
            complaints: Seldom::default(),
            clock: Clock::start(),
        }))))
    }

    /// Opens the path anew, as somebody may have moved the file away. When that fails the open file
    /// stays in use.
    pub(super) fn reopen(&self) -> Result<(), String> {
        let mut open = self.lock();
        let (file, len) = open.place.open().map_err(|error| {
            let path = open.place.path.display();
            format!("log.file = \"{path}\" cannot be opened anew: {error}")
        })?;
        open.replace(file, len);
        Ok(())
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
        let mut open = self.lock();
        if let Err(error) = open.file.flush() {
            open.complain("is not written", &error);
        }
        Ok(())
    }
}

impl Open {
    fn write(&mut self, line: &[u8]) {
        let len = line.len() as u64;
        if self.len_max > 0 && self.len > 0 && self.len + len > self.len_max {
            if let Err(error) = self.turn_over() {
                self.complain("cannot make room for a new one", &error);
            }
            // Even then: else it would be tried again with every line.
            self.len = 0;
        }
        match self.file.write_all(line) {
            Ok(()) => self.len += len,
            Err(error) => self.complain("is not written", &error),
        }
    }

    /// Makes the file the first of its predecessors, and each of them the next; the last one goes. When that
    /// fails the open file stays in use, whatever it is called now.
    fn turn_over(&mut self) -> io::Result<()> {
        // What waits is to be in the file that it was written to.
        self.file.flush()?;
        let mut moved = Ok(());
        for number in (0..self.backups.max(1)).rev() {
            match fs::rename(self.place.numbered(number), self.place.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => moved = Err(error),
                _ => {}
            }
        }
        moved?;
        let (file, len) = self.place.open()?;
        self.replace(file, len);
        Ok(())
    }

    fn replace(&mut self, file: BufWriter<File>, len: u64) {
        // What the old one still holds goes to the old file.
        let _ = self.file.flush();
        (self.file, self.len) = (file, len);
    }

    /// Tells standard error, if anybody is there to read it.
    fn complain(&mut self, what: &str, error: &dyn Display) {
        if let Some(more) = self.complaints.pass(self.clock.now().uptime_s) {
            let path = self.place.path.display();
            let _ = writeln!(io::stderr(), "the log file {path} {what}: {error}{more}");
        }
    }
}

impl Place {
    /// The path of a predecessor; 0 is the file itself.
    fn numbered(&self, number: usize) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut path = OsString::from(&self.path);
        path.push(format!(".{number}"));
        path.into()
    }

    /// Opens the file to append to it, and says how long it is; makes it if need be. Where it is given away
    /// its new owner may write to the folder, and may have put something in its place: through a link he would
    /// be given any file of the system, or have lines written into it. So all that is looked at, given and
    /// written to is the one descriptor that was opened, and links are refused.
    fn open(&self) -> io::Result<(BufWriter<File>, u64)> {
        // Without O_NONBLOCK a pipe that nobody reads would keep us waiting.
        let mut flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        if self.owner.is_some() {
            flags |= OFlag::O_NOFOLLOW;
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true).custom_flags(flags.bits());
        let file = match options.open(&self.path) {
            Err(error) if self.owner.is_some() && is(&error, Errno::ELOOP) => {
                return refused("a link; name the file itself, or remove the link");
            }
            Err(error) if is(&error, Errno::ENXIO) => {
                return refused("a pipe that nobody reads, or a socket; remove it");
            }
            opened => opened?,
        };
        let found = file.metadata()?;
        if let Some((uid, gid)) = self.owner {
            // A device is everybody's.
            if found.is_file() && found.nlink() > 1 {
                return refused("a file with several names; remove the others");
            }
            // Later we are that user ourselves.
            if found.is_file() && Uid::effective().is_root() {
                fchown(&file, Some(uid), Some(gid))?;
            }
        }
        if found.file_type().is_fifo() {
            // A reader that is slow is waited for no more than one that is gone: what it does not take is lost.
            return Ok((BufWriter::new(file), 0));
        }
        Ok((BufWriter::new(file), found.len()))
    }
}

fn refused<T>(what: &str) -> io::Result<T> {
    Err(io::Error::other(format!("it is {what}")))
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;

    /// A place that is given to whoever runs the test.
    fn given(path: PathBuf) -> Place {
        let owner = (Uid::effective().as_raw(), nix::unistd::getegid().as_raw());
        Place {
            path,
            owner: Some(owner),
        }
    }

    fn log_of(place: &Place, max_bytes: u64) -> LogFile {
        let (file, len) = place.open().unwrap();
        LogFile(Arc::new(Mutex::new(Open {
            place: Place {
                path: place.path.clone(),
                owner: place.owner,
            },
            file,
            len,
            len_max: max_bytes,
            backups: 2,
            complaints: Seldom::default(),
            clock: Clock::start(),
        })))
    }

    #[test]
    fn a_link_in_place_of_the_log_gives_nobody_the_file_that_it_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let (log, secret) = (folder.path().join("log"), folder.path().join("shadow"));
        fs::write(&secret, "root").unwrap();
        let place = given(log.clone());
        symlink(&secret, &log).unwrap();
        let sentence = place.open().unwrap_err().to_string();
        assert!(sentence.starts_with("it is a link; "), "{sentence}");
        fs::remove_file(&log).unwrap();
        fs::hard_link(&secret, &log).unwrap();
        let sentence = place.open().unwrap_err().to_string();
        assert!(sentence.contains("several names"), "{sentence}");
        fs::remove_file(&log).unwrap();
        place.open().unwrap();
        assert!(fs::symlink_metadata(&log).unwrap().is_file());
        assert_eq!(fs::read_to_string(&secret).unwrap(), "root");
    }

    #[test]
    fn a_link_that_comes_once_the_log_is_open_has_nothing_written_through_it() {
        let folder = tempfile::tempdir().unwrap();
        let (log, secret) = (folder.path().join("log"), folder.path().join("shadow"));
        fs::write(&secret, "root").unwrap();
        let place = given(log.clone());
        let mut open = log_of(&place, 10);
        fs::remove_file(&log).unwrap();
        symlink(&secret, &log).unwrap();
        // The second line turns the file over, so the link is moved and not followed; then it is laid anew.
        for _ in 0..4 {
            open.write_all(b"a line\n").unwrap();
            open.flush().unwrap();
            let _ = fs::remove_file(&log);
            symlink(&secret, &log).unwrap();
        }
        let sentence = open.reopen().unwrap_err();
        assert!(sentence.contains("it is a link; "), "{sentence}");
        assert_eq!(fs::read_to_string(&secret).unwrap(), "root");
    }

    #[test]
    fn a_device_may_be_the_log_and_stays_whose_it_is() {
        let before = fs::metadata("/dev/null").unwrap().uid();
        let place = Place {
            path: "/dev/null".into(),
            owner: Some((12_345, 12_345)),
        };
        place.open().unwrap();
        assert_eq!(fs::metadata("/dev/null").unwrap().uid(), before);
    }

    #[test]
    fn a_pipe_is_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        nix::unistd::mkfifo(&log, Mode::S_IRWXU).unwrap();
        let place = Place {
            path: log.clone(),
            owner: None,
        };
        let sentence = place.open().unwrap_err().to_string();
        assert!(
            sentence.starts_with("it is a pipe that nobody reads"),
            "{sentence}"
        );
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
        let mut reader = options.open(&log).unwrap();
        let mut open = log_of(&place, 0);
        // Much more than a pipe holds.
        for _ in 0..100_000 {
            open.write_all(b"a line\n").unwrap();
            open.flush().unwrap();
        }
        let mut read = [0; 7];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"a line\n");
    }

    #[test]
    fn a_file_that_cannot_be_moved_stays_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        fs::create_dir_all(folder.path().join("log.1/full")).unwrap();
        fs::create_dir_all(folder.path().join("log.2/full")).unwrap();
        let place = given(log.clone());
        let mut open = log_of(&place, 10);
        for _ in 0..3 {
            open.write_all(b"a line\n").unwrap();
        }
        open.flush().unwrap();
        assert_eq!(fs::read_to_string(&log).unwrap(), "a line\n".repeat(3));
    }
}
