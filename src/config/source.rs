//! Where a configuration comes from: a file, a variable that holds a whole file, and the variables
//! that give one key each.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::privileges::reason;

/// Bytes of the longest file that is read. A real one has a few thousand; what is longer is some
/// other file.
const FILE_LEN_MAX: u64 = 1 << 20;

/// How long a pipe may be silent: who writes the configuration into it has begun before the tracker, or begins with it.
const PIPE_PATIENCE_MS: u16 = if cfg!(test) { 100 } else { 10_000 };

/// What every environment variable of ours begins with.
pub(super) const PREFIX: &str = "SHOAL_";
/// The variable that names a file.
pub(super) const FILE_VARIABLE: &str = "SHOAL_CONFIG";
/// The variable that holds the text of a file.
pub(super) const TEXT_VARIABLE: &str = "SHOAL_CONFIG_TOML";

/// The variables that concern us.
#[derive(Default)]
pub(super) struct Environment {
    file: Option<PathBuf>,
    text: Option<OsString>,
    /// `SHOAL_SECTION__KEY` and its value, by name.
    pub(super) overrides: Vec<(String, OsString)>,
}

impl Environment {
    pub(super) fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            // A name that is not UTF-8 is none of ours, but it may be meant to be.
            let name = name.to_string_lossy();
            match &*name {
                // Empty is how a compose file or a unit leaves a variable out.
                FILE_VARIABLE | TEXT_VARIABLE if value.is_empty() => {}
                FILE_VARIABLE => environment.file = Some(value.into()),
                TEXT_VARIABLE => environment.text = Some(value),
                // Only what has "__" is taken for a key: where a service is called "shoal",
                // Kubernetes sets SHOAL_SERVICE_HOST, SHOAL_PORT and their like by itself.
                name if name.starts_with(PREFIX) && name.contains("__") => {
                    environment.overrides.push((name.to_owned(), value));
                }
                _ => {}
            }
        }
        environment.overrides.sort();
        environment
    }

    /// Where the text of the file comes from.
    pub(super) fn source(&mut self, file: Option<&Path>) -> Result<Source, String> {
        if let Some(file) = file {
            return Ok(Source::File(file.into()));
        }
        match (self.file.take(), self.text.take()) {
            (None, None) => Ok(Source::None),
            (Some(file), None) => Ok(Source::File(file)),
            (None, Some(text)) => text.into_string().map(Source::Text).map_err(|_| {
                format!("{TEXT_VARIABLE} is not UTF-8; write the configuration as UTF-8 text")
            }),
            (Some(_), Some(_)) => Err(format!(
                "{FILE_VARIABLE} and {TEXT_VARIABLE} are both set; unset one of them"
            )),
        }
    }
}

/// Where the text of the file comes from.
pub(super) enum Source {
    None,
    File(PathBuf),
    Text(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("built-in defaults"),
            Self::File(path) => path.display().fmt(f),
            Self::Text(_) => f.write_str(TEXT_VARIABLE),
        }
    }
}

impl Source {
    /// The text; none is an empty one.
    pub(super) fn read(&self) -> Result<Cow<'_, str>, String> {
        match self {
            Self::None => Ok("".into()),
            Self::File(path) => read_file(path).map(Cow::Owned),
            Self::Text(text) => Ok(text.into()),
        }
    }

    /// The text as it is now that the tracker runs.
    pub(super) fn read_again(&self) -> Result<Cow<'_, str>, String> {
        let Self::File(path) = self else {
            return self.read();
        };
        let name = path.display();
        // Before opening: a pipe would keep us waiting, and what came through one is gone.
        let kind = fs::metadata(path).map(|metadata| metadata.file_type());
        if kind.is_ok_and(|kind| !kind.is_file() && !kind.is_dir()) {
            return Err(format!(
                "{name} is no regular file and is not read again; restart the tracker to change its \
                 configuration"
            ));
        }
        let text = self.read()?;
        if text.trim().is_empty() {
            return Err(format!(
                "{name} is empty; write the configuration into it, or restart the tracker to have \
                 nothing but defaults"
            ));
        }
        Ok(text)
    }
}

/// A file that may be a pipe, which is waited for no longer than [`PIPE_PATIENCE_MS`] at a time.
struct Patient {
    file: File,
    patience: PollTimeout,
}

impl Patient {
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = options.read(true).custom_flags(flags.bits()).open(path)?;
        let patience = if file.metadata()?.file_type().is_fifo() {
            PIPE_PATIENCE_MS.into()
        } else {
            // Who types it may think.
            PollTimeout::NONE
        };
        Ok(Self { file, patience })
    }
}

impl io::Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut files = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        if poll(&mut files, self.patience)? == 0 {
            let seconds = PIPE_PATIENCE_MS.div_ceil(1000);
            let why = format!("it is a pipe, and nothing has come for {seconds} s");
            return Err(io::Error::other(why));
        }
        self.file.read(buffer)
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let name = path.display();
    let mut bytes = Vec::new();
    Patient::open(path)
        // One byte more than allowed tells a file that is too long, even one without an end.
        .and_then(|file| file.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| match error.kind() {
            io::ErrorKind::IsADirectory => {
                format!("{name} is a directory; name the configuration file in it")
            }
            _ => format!("cannot read {name}: {}", reason(path, &error)),
        })?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        return Err(format!(
            "{name} is longer than 1 MiB, so it cannot be a configuration; name another file"
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..good]
            .split(|&byte| byte == b'\n')
            .count();
        format!("{name}:{line}: this is not UTF-8; name a TOML file, or save it as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_that_nobody_writes_to_does_not_keep_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let sentence = read_file(&pipe).unwrap_err();
        assert!(sentence.contains("nothing has come for"), "{sentence}");
        let writer = pipe.clone();
        let written = std::thread::spawn(move || fs::write(writer, "[log]\n"));
        // What comes is read, however late the thread is.
        let read = std::iter::repeat_with(|| read_file(&pipe)).find(Result::is_ok);
        assert_eq!(read, Some(Ok("[log]\n".to_owned())));
        written.join().unwrap().unwrap();
    }
}
