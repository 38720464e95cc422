//! Which CPUs the cores run on, and how each opens its way to the kernel.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use log::warn;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

use crate::config::{Backend, Config};
use crate::limits::CORES_MAX;
use crate::net::OpenRing;

/// The CPUs that cores run on: the first `workers.count` of those that this process may use.
pub(super) fn choose_cpus(config: &Config) -> Result<Vec<usize>, String> {
    let allowed = sched_getaffinity(Pid::from_raw(0))
        .map_err(|error| format!("cannot ask which CPUs this process may use: {error}"))?;
    let allowed: Vec<usize> = (0..CpuSet::count())
        .filter(|&cpu| allowed.is_set(cpu).unwrap_or(false))
        .collect();
    let count = match config.workers.count {
        0 => allowed.len().min(CORES_MAX),
        count => count,
    };
    if count > allowed.len() {
        warn!(
            "workers.count is {count}, but this process may use only {} CPUs: cores will share them",
            allowed.len()
        );
    }
    Ok(allowed.into_iter().cycle().take(count).collect())
}

/// Lets this process lock as much memory as it may: rings are counted against it.
pub(super) fn raise_locked_memory() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_MEMLOCK)
        && soft < hard
    {
        // Without it the rings that do not fit are done without.
        let _ = setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard);
    }
}

/// Binds the calling thread to a CPU. One that may not is only slower.
pub(super) fn pin(thread: &str, cpu: usize) {
    let mut set = CpuSet::new();
    let pinned = set
        .set(cpu)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
    if let Err(error) = pinned {
        warn!("{thread} is not pinned to CPU {cpu}: {error}");
    }
}

/// Opens a ring, on the thread of a core that will use it. With "auto" a core that cannot have a ring does
/// without; the first to do so says it for all. The error is a sentence.
pub(super) fn open_ring(
    backend: Backend,
    fell_back: &AtomicBool,
) -> Result<Option<OpenRing>, String> {
    Ok(match backend {
        Backend::Mmsg => None,
        Backend::IoUring | Backend::Auto => match OpenRing::new() {
            Ok(ring) => Some(ring),
            Err(error) if backend == Backend::IoUring => {
                return Err(format!(
                    "workers.backend is \"io_uring\", but this kernel refuses it: {}; \
                     set \"auto\" or \"mmsg\"",
                    why_no_ring(&error)
                ));
            }
            Err(error) => {
                if !fell_back.swap(true, Ordering::Relaxed) {
                    let why = why_no_ring(&error);
                    warn!("io_uring is not available: {why}; falling back to the mmsg backend");
                }
                None
            }
        },
    })
}

fn why_no_ring(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOMEM) => format!("{error}, more locked memory (RLIMIT_MEMLOCK) may help"),
        Some(libc::EPERM) => format!("{error}, by seccomp or the sysctl kernel.io_uring_disabled"),
        Some(libc::ENOSYS | libc::EINVAL) => format!("{error}, it takes Linux 6.1"),
        _ => error.to_string(),
    }
}
