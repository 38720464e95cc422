//! The host that is looked at: what its kernel says in files, and which process the tracker is.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process;

/// Most bytes that are read of one file; /proc/net/udp of a busy host has some.
const FILE_LEN_MAX: u64 = 16 << 20;

/// A host, as its files below a root tell of it. What they do not tell is not known, and no mistake.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
    process: Process,
}

/// The process whose limits count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Process {
    /// The only tracker that runs here, by its pid.
    Tracker(u32),
    /// None runs, or several do: this process stands for the one that will.
    Ours,
}

impl Process {
    /// Such as "pid 4711" or "this shell".
    pub fn name(self) -> String {
        match self {
            Self::Tracker(pid) => format!("pid {pid}"),
            Self::Ours => "this shell".to_owned(),
        }
    }
}

impl Host {
    /// The host whose files begin at `root`: `/`, unless it is made up.
    pub fn at(root: &Path) -> Self {
        let mut host = Self {
            root: root.to_path_buf(),
            process: Process::Ours,
        };
        host.process = host.find_tracker();
        host
    }

    /// The same, seen by the tracker itself: its own limits count.
    pub fn of_ourselves(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            process: Process::Ours,
        }
    }

    /// Whose limits count.
    pub fn process(&self) -> Process {
        self.process
    }

    /// A file's text without the white space around it; nothing if there is none that can be read.
    pub fn read(&self, path: &str) -> Option<String> {
        let text = self.try_read(path).ok()?;
        Some(text.trim().to_owned())
    }

    /// A file that holds a number.
    pub fn number(&self, path: &str) -> Option<u64> {
        self.read(path)?.parse().ok()
    }

    /// A setting of the kernel, such as `net.core.rmem_max`.
    pub fn sysctl(&self, key: &str) -> Option<u64> {
        self.number(&format!("proc/sys/{}", key.replace('.', "/")))
    }

    /// The names in a folder, sorted; none if it cannot be read.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(folder));
        let entries = entries.into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// How many names a folder has; nothing if it cannot be read.
    pub fn count(&self, folder: &str) -> Option<usize> {
        Some(fs::read_dir(self.root.join(folder)).ok()?.count())
    }

    /// Whether there is such a file or folder.
    pub fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// A line of the process's `status`, such as that of `Cpus_allowed_list`.
    pub fn status(&self, name: &str) -> Option<String> {
        let text = self.read(&self.of_process("status"))?;
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(found, _)| *found == name)?;
        Some(value.trim().to_owned())
    }

    /// The hard limit of the process, such as that of "Max open files"; [`u64::MAX`] is no limit. A tracker
    /// raises its limits as far as they go, so only the hard ones matter.
    pub fn limit(&self, name: &str) -> Option<u64> {
        self.limit_in(name, 1)
    }

    /// The soft limit: what the process may have now.
    pub fn soft_limit(&self, name: &str) -> Option<u64> {
        self.limit_in(name, 0)
    }

    fn limit_in(&self, name: &str, column: usize) -> Option<u64> {
        let text = self.read(&self.of_process("limits"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        match line.split_whitespace().nth(column)? {
            "unlimited" => Some(u64::MAX),
            number => number.parse().ok(),
        }
    }

    /// The CPUs that the process may use.
    pub fn cpus(&self) -> Option<Vec<usize>> {
        cpu_list(&self.status("Cpus_allowed_list")?)
    }

    fn of_process(&self, file: &str) -> String {
        match self.process {
            Process::Tracker(pid) => format!("proc/{pid}/{file}"),
            Process::Ours => format!("proc/self/{file}"),
        }
    }

    fn try_read(&self, path: &str) -> io::Result<String> {
        let mut bytes = Vec::new();
        fs::File::open(self.root.join(path))?
            .take(FILE_LEN_MAX)
            .read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn find_tracker(&self) -> Process {
        let names = self.names("proc");
        let pids = names.iter().filter_map(|name| name.parse::<u32>().ok());
        let mut trackers = pids.filter(|pid| *pid != process::id() && self.is_tracker(*pid));
        match (trackers.next(), trackers.next()) {
            (Some(pid), None) => Process::Tracker(pid),
            _ => Process::Ours,
        }
    }

    /// Whether this is `shoal` or `shoal run`, and no question to a tracker.
    fn is_tracker(&self, pid: u32) -> bool {
        if self.read(&format!("proc/{pid}/comm")).as_deref() != Some("shoal") {
            return false;
        }
        // What has ended and waits for its parent has no arguments, not even a name.
        let Some(arguments) = self.read(&format!("proc/{pid}/cmdline")) else {
            return false;
        };
        let mut arguments = arguments.split('\0').filter(|text| !text.is_empty());
        let is_named = arguments.next().is_some();
        is_named
            && arguments
                .next()
                .is_none_or(|verb| verb == "run" || verb.starts_with('-'))
    }
}

/// A list as the kernel writes it, such as `0-3,8`.
pub fn cpu_list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for piece in text.trim().split(',').filter(|piece| !piece.is_empty()) {
        let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        // No kernel has more CPUs.
        if last > 1 << 16 {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

#[cfg(test)]
pub(crate) mod made_up {
    use std::fs;
    use std::path::Path;

    use tempfile::TempDir;

    use super::Host;

    /// A host of files that a test has thought of.
    pub(crate) struct MadeUp {
        folder: TempDir,
    }

    impl MadeUp {
        pub(crate) fn with(files: &[(&str, &str)]) -> Self {
            let made_up = Self {
                folder: TempDir::new().unwrap(),
            };
            for (path, text) in files {
                made_up.write(path, text);
            }
            made_up
        }

        pub(crate) fn write(&self, path: &str, text: &str) {
            let path = self.root().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        pub(crate) fn root(&self) -> &Path {
            self.folder.path()
        }

        pub(crate) fn host(&self) -> Host {
            Host::at(self.root())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::made_up::MadeUp;
    use super::*;

    const LIMITS: &str = "Limit                     Soft Limit           Hard Limit           Units\n\
                          Max open files            1024                 524288               files\n\
                          Max locked memory         8388608              unlimited            bytes\n";

    #[test]
    fn an_empty_host_is_not_known_and_no_mistake() {
        let host = MadeUp::with(&[]).host();
        assert_eq!(host.process(), Process::Ours);
        assert_eq!(host.sysctl("net.core.rmem_max"), None);
        assert_eq!(host.limit("Max open files"), None);
        assert_eq!(host.cpus(), None);
        assert_eq!(host.names("sys/class/net"), Vec::<String>::new());
    }

    #[test]
    fn the_hard_limit_counts() {
        let made_up = MadeUp::with(&[("proc/self/limits", LIMITS)]);
        let host = made_up.host();
        assert_eq!(host.limit("Max open files"), Some(524_288));
        assert_eq!(host.soft_limit("Max open files"), Some(1024));
        assert_eq!(host.limit("Max locked memory"), Some(u64::MAX));
        assert_eq!(host.limit("Max nice priority"), None);
    }

    #[test]
    fn the_only_tracker_is_the_one_whose_limits_count() {
        let made_up = MadeUp::with(&[
            ("proc/self/limits", "Max open files 1 1 files"),
            ("proc/70/comm", "shoal\n"),
            ("proc/70/cmdline", "/usr/bin/shoal\0run\0--config\0x\0"),
            ("proc/70/limits", LIMITS),
            (
                "proc/70/status",
                "Name:\tshoal\nCpus_allowed_list:\t0-1,4\n",
            ),
            ("proc/71/comm", "shoal"),
            ("proc/71/cmdline", "shoal\0query\0udp://t\0"),
            ("proc/72/comm", "shoal"),
            ("proc/72/cmdline", ""),
            ("proc/73/comm", "bash"),
            ("proc/73/cmdline", "bash\0run\0"),
        ]);
        let host = made_up.host();
        assert_eq!(host.process(), Process::Tracker(70));
        assert_eq!(host.process().name(), "pid 70");
        assert_eq!(host.limit("Max open files"), Some(524_288));
        assert_eq!(host.cpus(), Some(vec![0, 1, 4]));
        made_up.write("proc/74/comm", "shoal");
        made_up.write("proc/74/cmdline", "shoal\0--set\0udp.listen=\0");
        assert_eq!(made_up.host().process(), Process::Ours);
    }

    #[test]
    fn lists_of_cpus_are_read_as_the_kernel_writes_them() {
        assert_eq!(cpu_list("0-2,7\n"), Some(vec![0, 1, 2, 7]));
        assert_eq!(cpu_list(""), Some(vec![]));
        assert_eq!(cpu_list("0-9999999"), None);
        assert_eq!(cpu_list("a"), None);
    }
}
