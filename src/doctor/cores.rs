//! How many cores the tracker will have, and on which CPUs.

use super::host::Host;
use crate::config::Config;
use crate::limits::CORES_MAX;

/// The cores of the tracker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cores {
    /// The CPUs that they run on, each once.
    pub(super) cpus: Vec<usize>,
    /// How many cores there are; more than CPUs where `workers.count` says so.
    pub(super) count: usize,
}

impl Cores {
    /// As the tracker chooses them at its start; nothing if the host does not tell its CPUs.
    pub(super) fn of(host: &Host, config: &Config) -> Option<Self> {
        let mut cpus = host.cpus().filter(|cpus| !cpus.is_empty())?;
        let count = match config.workers.count {
            0 => cpus.len().min(CORES_MAX),
            count => count,
        };
        cpus.truncate(count);
        Some(Self { cpus, count })
    }

    /// How many threads serve HTTP.
    pub(super) fn http_threads(&self, config: &Config) -> usize {
        match config.workers.http_threads {
            _ if config.http.is_empty() => 0,
            0 => self.count,
            count => count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::host::made_up::MadeUp;

    #[test]
    fn cores_are_chosen_as_the_tracker_chooses_them() {
        let made_up = MadeUp::with(&[("proc/self/status", "Cpus_allowed_list:\t2-5\n")]);
        let mut config = Config::default();
        let cores = Cores::of(&made_up.host(), &config).unwrap();
        assert_eq!((cores.count, cores.http_threads(&config)), (4, 4));
        config.workers.count = 2;
        config.workers.http_threads = 1;
        let cores = Cores::of(&made_up.host(), &config).unwrap();
        assert_eq!(cores.cpus, [2, 3]);
        assert_eq!(cores.http_threads(&config), 1);
        config.workers.count = 9;
        config.http.clear();
        let cores = Cores::of(&made_up.host(), &config).unwrap();
        assert_eq!((cores.cpus.len(), cores.count), (4, 9));
        assert_eq!(cores.http_threads(&config), 0);
        assert_eq!(Cores::of(&MadeUp::with(&[]).host(), &config), None);
    }
}
