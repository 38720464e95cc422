//! Regular files, opened without waiting for what lies in their place: a pipe that nobody writes to would keep
//! its reader, and a device may have no end.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;

/// Opens a regular file to read it; anything else is an error at once.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = options.read(true).custom_flags(flags.bits()).open(path);
    let other = || io::Error::other("it is no regular file");
    match file {
        // What the kernel says of sockets.
        Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) => Err(other()),
        Err(error) => Err(error),
        Ok(file) if file.metadata()?.is_file() => Ok(file),
        Ok(_) => Err(other()),
    }
}

/// Reads a regular file of at most `len_max` bytes; a longer one is an error, and no more of it is read.
pub fn read_regular(path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
    let file = open_regular(path)?;
    let mut bytes = Vec::new();
    if file.metadata()?.len() <= len_max {
        file.take(len_max + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 <= len_max {
            return Ok(bytes);
        }
    }
    let len_max = len_max >> 20;
    let why = format!("it is longer than {len_max} MiB");
    Err(io::Error::new(io::ErrorKind::FileTooLarge, why))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_told_at_once() {
        let folder = TempDir::new().unwrap();
        let (pipe, socket) = (folder.path().join("pipe"), folder.path().join("socket"));
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let _socket = UnixListener::bind(&socket).unwrap();
        for path in [&pipe, &socket, folder.path(), Path::new("/dev/zero")] {
            let error = open_regular(path).unwrap_err().to_string();
            assert_eq!(error, "it is no regular file", "{}", path.display());
        }
        let missing = open_regular(&folder.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_that_is_too_long_is_told_so_and_not_read() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("long");
        let file = File::create(&path).unwrap();
        file.set_len((1 << 20) + 1).unwrap();
        let error = read_regular(&path, 1 << 20).unwrap_err().to_string();
        assert_eq!(error, "it is longer than 1 MiB");
        fs::write(&path, "short").unwrap();
        assert_eq!(read_regular(&path, 1 << 20).unwrap(), b"short");
        // It says that it has no length, and has some.
        let error = read_regular(Path::new("/proc/self/mountinfo"), 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
