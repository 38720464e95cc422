//! The folder of the store: how much room there is, and how fast it takes what is written.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::statvfs::statvfs;

use super::report::{Finding, Verdict};
use crate::clock::Stopwatch;

const SPACE: &str = "disk_space";
const SPEED: &str = "disk_speed";

const MIB: u64 = 1 << 20;

/// Less room than this stops snapshots soon: a database takes new pages before it gives old ones back.
const SPACE_MIN: u64 = 64 * MIB;

/// Room for some hundred million peers.
const SPACE_WANTED: u64 = 1024 * MIB;

/// What is written to measure, in pieces.
const SAMPLE: usize = 4 << 20;
const PIECE: usize = 256 << 10;

/// How long the measuring may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// MiB a second that keep a snapshot of a hundred million peers within a minute.
const SPEED_WANTED: u64 = 20;

/// Room and speed of the folder in `store.path`; empty is no store.
pub(super) fn check(path: &str) -> Vec<Finding> {
    if path.is_empty() {
        let nothing = |check| Finding::new(check, Verdict::Good, "store.path is empty", "nothing");
        return vec![nothing(SPACE), nothing(SPEED)];
    }
    let folder = Path::new(path);
    vec![space(folder), speed(folder)]
}

fn space(folder: &Path) -> Finding {
    let stored = fs::metadata(folder.join("data.mdb")).map_or(0, |data| data.len());
    let shown = folder.display().to_string();
    let Some(there) = existing(folder) else {
        let wanted = judge_space(0, stored).1;
        return Finding::not_known(SPACE, "it cannot be looked at", wanted).about(shown);
    };
    let free = statvfs(&there).map(|disk| {
        #[allow(
            clippy::useless_conversion,
            reason = "these numbers have another width on some architectures"
        )]
        u64::from(disk.blocks_available()).saturating_mul(u64::from(disk.fragment_size()))
    });
    let (verdict, wanted) = judge_space(free.unwrap_or(0), stored);
    let found = match free {
        Ok(free) => Finding::new(SPACE, verdict, format!("{} MiB free", free / MIB), wanted),
        Err(error) => Finding::not_known(SPACE, format!("it cannot be asked: {error}"), wanted),
    };
    found
        .about(&shown)
        .fix("path = \"/a/larger/disk\"  # [store] of the configuration, or make room")
}

/// What this much room means for a file of this length, and how much is wanted.
fn judge_space(free: u64, stored: u64) -> (Verdict, String) {
    let wanted = SPACE_WANTED.max(2 * stored);
    let verdict = match free {
        _ if free >= wanted => Verdict::Good,
        _ if free >= SPACE_MIN => Verdict::CouldBeBetter,
        _ => Verdict::WillLosePackets,
    };
    (verdict, format!("{} MiB or more", wanted / MIB))
}

/// The folder, or the nearest one above it that exists: the tracker makes the others.
fn existing(folder: &Path) -> Option<PathBuf> {
    let whole = if folder.is_relative() {
        Path::new(".").join(folder)
    } else {
        folder.to_path_buf()
    };
    let mut above = whole.ancestors();
    above.find(|path| path.is_dir()).map(Path::to_path_buf)
}

fn speed(folder: &Path) -> Finding {
    let wanted = format!("{SPEED_WANTED} MiB/s or more");
    let shown = folder.display().to_string();
    if !folder.is_dir() {
        let why = "the folder is not there yet";
        return Finding::not_known(SPEED, why, wanted).about(shown);
    }
    let found = match measure(folder) {
        Ok(Some(took)) => {
            let speed = (SAMPLE as f64 / MIB as f64 / took.as_secs_f64().max(1e-6)) as u64;
            Finding::new(SPEED, judge_speed(speed), format!("{speed} MiB/s"), wanted)
        }
        Ok(None) => {
            let value = format!("less than {} MiB/s", SAMPLE as u64 / MIB);
            Finding::new(SPEED, Verdict::CouldBeBetter, value, wanted)
        }
        Err(error) => Finding::not_known(SPEED, format!("nothing can be written: {error}"), wanted),
    };
    found
        .about(&shown)
        .fix("path = \"/a/faster/disk\"  # [store] of the configuration")
}

/// A slow disk loses no packets: cores never wait for it.
fn judge_speed(speed: u64) -> Verdict {
    if speed >= SPEED_WANTED {
        Verdict::Good
    } else {
        Verdict::CouldBeBetter
    }
}

/// Writes a few MiB until they are on the disk; nothing if that takes too long. The file has lost its name
/// before anything is written to it, so nothing is left behind, whatever happens.
fn measure(folder: &Path) -> io::Result<Option<Duration>> {
    let path = folder.join(format!(".shoal-doctor-{}", process::id()));
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    fs::remove_file(&path)?;
    let (sender, receiver) = mpsc::channel();
    // A disk may keep us waiting for as long as it likes; the thread then waits alone.
    thread::Builder::new().spawn(move || {
        let piece = vec![0x5a; PIECE];
        let stopwatch = Stopwatch::start();
        let written = (0..SAMPLE / PIECE)
            .try_for_each(|_| file.write_all(&piece))
            .and_then(|()| file.sync_all());
        // Nobody may be left to hear it.
        let _ = sender.send(written.map(|()| stopwatch.elapsed()));
    })?;
    receiver.recv_timeout(PATIENCE).ok().transpose()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn room_is_judged_by_what_is_stored() {
        let judged =
            |free_mib: u64, stored_mib: u64| judge_space(free_mib * MIB, stored_mib * MIB).0;
        assert_eq!(judged(2000, 0), Verdict::Good);
        assert_eq!(judged(2000, 1500), Verdict::CouldBeBetter);
        assert_eq!(judged(3000, 1500), Verdict::Good);
        assert_eq!(judged(100, 0), Verdict::CouldBeBetter);
        assert_eq!(judged(63, 0), Verdict::WillLosePackets);
    }

    #[test]
    fn speed_is_judged_and_never_loses_packets() {
        assert_eq!(judge_speed(20), Verdict::Good);
        assert_eq!(judge_speed(0), Verdict::CouldBeBetter);
    }

    #[test]
    fn measuring_leaves_nothing_behind() {
        let folder = TempDir::new().unwrap();
        let findings = check(folder.path().to_str().unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(
            findings
                .iter()
                .all(|found| found.verdict != Verdict::NotKnown)
        );
        assert!(findings[1].value.contains("MiB/s"), "{findings:?}");
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_measured_above_and_not_made() {
        let folder = TempDir::new().unwrap();
        let missing = folder.path().join("a/b");
        let findings = check(missing.to_str().unwrap());
        assert!(findings[0].value.ends_with("MiB free"), "{findings:?}");
        assert_eq!(findings[1].verdict, Verdict::NotKnown);
        assert!(!missing.exists());
        assert_eq!(
            check("a-folder-that-nobody-has")[1].verdict,
            Verdict::NotKnown
        );
    }

    #[test]
    fn without_a_store_there_is_nothing_to_want() {
        let findings = check("");
        assert!(findings.iter().all(|found| found.verdict == Verdict::Good));
    }
}
