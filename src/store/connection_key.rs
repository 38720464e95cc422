//! The key of the connection ids: 16 random bytes in a file of their own.
//!
//! Clients keep connection ids for minutes. With the same key after a restart their next announce is
//! answered; with another one it meets silence, and they wait for a time-out before they connect anew.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process;

use crate::files;

/// Bytes of the key of connection ids.
pub const KEY_LEN: usize = 16;

const KEY_FILE: &str = "connection-id.key";

/// The key that this install keeps in the folder `path`; `fresh` becomes that key when there is none
/// yet. The error is one sentence; nothing that exists has been changed then.
pub fn connection_id_key(path: &Path, fresh: [u8; KEY_LEN]) -> Result<[u8; KEY_LEN], String> {
    let file = path.join(KEY_FILE);
    let explain =
        |what: &str, error: io::Error| format!("cannot {what} {}: {error}", file.display());
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    match read_key(&file) {
        Err(error) if missing(&error) => {
            create_key(path, &file, fresh).map_err(|error| explain("create", error))?;
            // Another tracker on the same folder may have been first: what lies there counts.
            read_key(&file).map_err(|error| explain("read", error))
        }
        key => key.map_err(|error| explain("read", error)),
    }
}

fn read_key(file: &Path) -> io::Result<[u8; KEY_LEN]> {
    let mut bytes = Vec::new();
    files::open_regular(file)?
        .take(KEY_LEN as u64 + 1)
        .read_to_end(&mut bytes)?;
    let wrong = |_| io::Error::other("it should have 16 bytes; remove it to get a new key");
    bytes.try_into().map_err(wrong)
}

/// The file appears whole or not at all, whatever happens meanwhile.
fn create_key(folder: &Path, file: &Path, key: [u8; KEY_LEN]) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    // Named after the process and the key, so that nobody else writes the same draft.
    let mark = u64::from_ne_bytes(*key.first_chunk().unwrap_or(&[0; 8])) >> 40;
    let draft = folder.join(format!("{KEY_FILE}.{}.{mark:x}", process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut draft| draft.write_all(&key).and_then(|()| draft.sync_all()));
    // A link, unlike a renaming, never replaces what is there.
    let placed = written.and_then(|()| fs::hard_link(&draft, file));
    let removed = fs::remove_file(&draft);
    match placed {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => removed,
        placed => placed.and(removed),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const FIRST: [u8; KEY_LEN] = [1; KEY_LEN];
    const SECOND: [u8; KEY_LEN] = [2; KEY_LEN];

    #[test]
    fn the_first_key_stays_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        assert_eq!(connection_id_key(&path, FIRST), Ok(FIRST));
        assert_eq!(connection_id_key(&path, SECOND), Ok(FIRST));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join(KEY_FILE))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_damaged_key_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(KEY_FILE);
        for damaged in [&b""[..], b"fifteen bytes..", b"seventeen bytes.."] {
            fs::write(&file, damaged).unwrap();
            let sentence = connection_id_key(folder.path(), FIRST).unwrap_err();
            assert!(
                sentence.contains(KEY_FILE) && sentence.contains("remove it"),
                "{sentence}"
            );
            assert_eq!(fs::read(&file).unwrap(), damaged);
        }
    }

    #[test]
    fn a_pipe_in_place_of_the_key_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let mode = nix::sys::stat::Mode::S_IRWXU;
        nix::unistd::mkfifo(&folder.path().join(KEY_FILE), mode).unwrap();
        let sentence = connection_id_key(folder.path(), FIRST).unwrap_err();
        assert!(sentence.ends_with("it is no regular file"), "{sentence}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_one_sentence() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let sentence = connection_id_key(&file.path().join("below"), FIRST).unwrap_err();
        assert!(sentence.starts_with("cannot "), "{sentence}");
    }

    #[test]
    fn trackers_that_start_at_once_agree_on_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let path = folder.path();
            let ask = |n| scope.spawn(move || connection_id_key(path, [n; KEY_LEN]).unwrap());
            let asked: Vec<_> = (0..8).map(ask).collect();
            asked
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    }
}
