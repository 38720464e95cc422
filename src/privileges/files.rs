//! Landlock: which folders are left, and for what; and no way out by TCP.
//!
//! A right belongs to a folder, so that a list that is written anew and a certificate that is replaced can be
//! read, and a log that is moved away can be begun again. What lies elsewhere stays out of reach until the next
//! start, and so does everything that could be run.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf, absolute};
use std::sync::OnceLock;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus,
    PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope, make_bitflags,
};

use crate::config::{Config, HttpAddress, TlsFiles};

/// The newest version of Landlock that this was tried with.
const TRIED: ABI = ABI::V7;

/// The first version of Landlock that restricts TCP.
pub const TCP_SINCE: u32 = ABI::V4 as u32;

/// What the tracker, and the libraries in it, read of the system: what the kernel counts, which CPUs and
/// network cards there are, the time zone, chance. It looks up neither names nor users once it runs, so there is
/// nothing else in /etc for it.
const OF_THE_SYSTEM: [&str; 8] = [
    "/proc",
    "/sys/devices",
    "/sys/class/net",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/dev/random",
    "/dev/urandom",
    // Tells the TLS library that a virtual machine was copied.
    "/dev/sysgenid",
];

/// What this process may still touch; absent where nothing was restricted.
static LEFT: OnceLock<Folders> = OnceLock::new();

/// Folders, and now and then single files, without symbolic links.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Folders {
    read: Vec<PathBuf>,
    written: Vec<PathBuf>,
    /// From which Unix sockets are removed at the end.
    of_sockets: Vec<PathBuf>,
}

impl Folders {
    /// Those that a tracker needs which is configured like this; `file` is where the configuration was read.
    /// The folder of the store is made if it is missing.
    pub fn of(config: &Config, file: Option<&Path>) -> Self {
        let mut folders = Self::default();
        let lists = &config.access;
        let lists = [&lists.allowlist, &lists.blocklist, &lists.ip_blocklist];
        let https = config.http.iter().filter_map(|http| http.tls.as_ref());
        let pairs = https.chain(&config.control.tls);
        let certificates = pairs.flat_map(
            |TlsFiles {
                 certificate,
                 private_key,
             }| { [certificate.as_path(), private_key.as_path()] },
        );
        let named = lists.into_iter().map(Path::new).chain(certificates);
        for path in named
            .chain(file)
            .filter(|path| !path.as_os_str().is_empty())
        {
            add_around(path, &mut folders.read);
        }
        if !config.store.path.is_empty() {
            let path = Path::new(&config.store.path);
            // Whoever opens the store makes it too, and says why it cannot be made.
            let _ = DirBuilder::new().recursive(true).mode(0o700).create(path);
            folders.written.extend(fs::canonicalize(path));
        }
        if !config.log.file.is_empty() {
            add_around(Path::new(&config.log.file), &mut folders.written);
        }
        for http in &config.http {
            if let HttpAddress::Unix(path) = &http.listen {
                add_around(path, &mut folders.of_sockets);
            }
        }
        for kind in [
            &mut folders.read,
            &mut folders.written,
            &mut folders.of_sockets,
        ] {
            kind.sort();
            kind.dedup();
        }
        folders
    }

    /// Leaves these to the calling thread and all that it starts from now on, and nothing else. What is open
    /// stays open. Returns what is in force, as a sentence; the error is half a sentence.
    pub fn restrict(self) -> Result<String, String> {
        let failed = |error: RulesetError| error.to_string();
        let status = self.rules().and_then(RulesetCreated::restrict_self);
        let status = status.map_err(failed)?;
        let version = version_of(&status.landlock)?;
        if status.ruleset == RulesetStatus::NotEnforced {
            return Err("the kernel did not take the rules".to_owned());
        }
        let network = if version < TCP_SINCE {
            ""
        } else {
            ", no TCP connection is opened"
        };
        let sentence = format!(
            "files are read below {} and written below {}{network}, and nothing can be run (Landlock {version})",
            listed(&self.read),
            listed(&self.written),
        );
        // Only a second call in one process finds it set, and both hold then.
        let _ = LEFT.set(self);
        Ok(sentence)
    }

    fn rules(&self) -> Result<RulesetCreated, RulesetError> {
        let reads = make_bitflags!(AccessFs::{ReadFile | ReadDir});
        let writes = make_bitflags!(AccessFs::{WriteFile | Truncate | MakeReg | RemoveFile});
        let rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(TRIED))?
            // No port of TCP is left: what listens does so already, and a tracker calls nobody.
            .handle_access(AccessNet::from_all(TRIED))?
            // Signals to others: the process that starts a successor ends it too.
            .scope(Scope::Signal)?
            .create()?;
        let rules = add(rules, OF_THE_SYSTEM.map(Path::new), reads)?;
        let rules = add(rules, &self.read, reads)?;
        let rules = add(rules, &self.written, reads | writes)?;
        let rules = add(rules, &self.of_sockets, AccessFs::RemoveFile.into())?;
        add(rules, ["/dev/null"], reads | AccessFs::WriteFile)
    }

    /// Whether one may be read that lies here, all links followed.
    fn hold(&self, path: &Path) -> bool {
        let real = fs::canonicalize(path).or_else(|_| absolute(path));
        let mut readable = self.read.iter().chain(&self.written);
        real.is_ok_and(|real| readable.any(|folder| real.starts_with(folder)))
    }
}

/// Adds a right for all of these that exist.
fn add(
    rules: RulesetCreated,
    paths: impl IntoIterator<Item = impl AsRef<Path>>,
    rights: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    paths.into_iter().try_fold(rules, |rules, path| {
        let Ok(opened) = PathFd::new(&path) else {
            return Ok(rules);
        };
        let rights = if path.as_ref().is_dir() {
            rights
        } else {
            rights & AccessFs::from_file(TRIED)
        };
        rules.add_rule(PathBeneath::new(opened, rights))
    })
}

/// Adds the folder in which a file is to be found, and the one where it really lies if the name is a link.
/// Of a file in the root of all folders only itself, and likewise of a device.
fn add_around(path: &Path, folders: &mut Vec<PathBuf>) {
    let named = absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let real = fs::canonicalize(&named);
    let is_plain = |real: &PathBuf| fs::metadata(real).is_ok_and(|file| file.is_file());
    let is_special = |real: &PathBuf| real.exists() && !is_plain(real) && !is_socket(real);
    if let Ok(real) = real.as_ref()
        && is_special(real)
    {
        folders.push(real.clone());
        return;
    }
    for path in [Some(&named), real.as_ref().ok()].into_iter().flatten() {
        let folder = path
            .parent()
            .and_then(|folder| fs::canonicalize(folder).ok());
        let around = folder.filter(|folder| folder.parent().is_some());
        folders.push(around.unwrap_or_else(|| path.clone()));
    }
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    fs::metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

fn listed(folders: &[PathBuf]) -> String {
    if folders.is_empty() {
        return "no folder".to_owned();
    }
    let names: Vec<_> = folders
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    names.join(", ")
}

/// The version of Landlock that the kernel has; the error is half a sentence. It is tried in a thread of its own, which
/// ends with what it gave up.
pub fn landlock_version() -> Result<u32, String> {
    let try_it = || {
        let rules = Ruleset::default().handle_access(AccessFs::from_all(ABI::V1));
        let rules = rules.and_then(Ruleset::create);
        let status = rules.and_then(RulesetCreated::restrict_self);
        version_of(&status.map_err(|error| error.to_string())?.landlock)
    };
    let tried = std::thread::spawn(try_it).join();
    tried.unwrap_or_else(|_| Err("it could not be tried".to_owned()))
}

fn version_of(status: &LandlockStatus) -> Result<u32, String> {
    match status {
        LandlockStatus::Available { effective_abi, .. } => Ok(*effective_abi as u32),
        LandlockStatus::NotEnabled => {
            Err("Landlock is switched off (see the kernel parameter lsm=)".to_owned())
        }
        LandlockStatus::NotImplemented => {
            Err("the kernel has no Landlock, or a filter hides it".to_owned())
        }
    }
}

/// Whether a file lies where this process may no longer touch anything.
pub fn is_out_of_reach(path: &Path) -> bool {
    LEFT.get().is_some_and(|left| !left.hold(path))
}

/// Why a file could not be opened, for the end of a sentence.
pub fn reason(path: &Path, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::PermissionDenied && is_out_of_reach(path) {
        "it is outside of what this process may touch since its start, which a restart changes"
            .into()
    } else {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::thread;

    use tempfile::TempDir;

    use super::*;

    fn around(path: &Path) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        add_around(path, &mut folders);
        folders
    }

    #[test]
    fn a_link_needs_its_own_folder_and_the_one_that_it_leads_to() {
        let folder = TempDir::new().unwrap();
        let [live, archive] = ["live", "archive"].map(|name| folder.path().join(name));
        fs::create_dir(&live).unwrap();
        fs::create_dir(&archive).unwrap();
        fs::write(archive.join("key1.pem"), "key").unwrap();
        symlink("../archive/key1.pem", live.join("key.pem")).unwrap();
        assert_eq!(around(&live.join("key.pem")), [live.clone(), archive]);
        assert_eq!(around(&live.join("missing.pem")), [live]);
    }

    #[test]
    fn a_file_in_the_root_and_a_device_stand_for_themselves() {
        for path in ["/no-such-file", "/dev/null"] {
            assert_eq!(around(Path::new(path)), [Path::new(path)]);
        }
    }

    #[test]
    fn a_thread_keeps_its_folders_and_nothing_else() {
        let folder = TempDir::new().unwrap();
        let [ours, elsewhere] = ["ours", "elsewhere"].map(|name| folder.path().join(name));
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("a"), "a").unwrap();
        let mut config = Config::default();
        config.store.path = ours.display().to_string();
        let folders = Folders::of(&config, None);
        assert!(folders.hold(&ours.join("new")) && !folders.hold(&elsewhere.join("a")));
        // Threads that begin later are the only ones that share its fate.
        let restricted = thread::spawn(move || {
            let rules = folders.rules().and_then(RulesetCreated::restrict_self);
            if rules.unwrap().ruleset == RulesetStatus::NotEnforced {
                return;
            }
            fs::write(ours.join("b"), "b").unwrap();
            let refused = fs::read(elsewhere.join("a")).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        });
        restricted.join().unwrap();
    }
}
