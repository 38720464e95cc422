//! The kernel: its version, rings, and what it lets the process have.

use std::io;

use super::cores::Cores;
use super::host::{Host, Process};
use super::report::{Finding, Verdict};
use crate::config::{Backend, Config};

/// The first kernel with all that our rings ask for: deferred task run, and multishot recvmsg.
const RINGS_SINCE: (u32, u32) = (6, 1);

/// What the rings of one core lock, rounded up: entries, completions and the ring of slots.
const CORE_LOCKED: u64 = 96 << 10;

/// Files that the process has open beside sockets of cores: those of the store, of logs, signals.
const FILES: u64 = 64;

/// Files of a core beside its sockets, and of a thread that serves HTTP.
const CORE_FILES: u64 = 8;
const HTTP_THREAD_FILES: u64 = 16;

/// What systemd should grant, as our unit has it.
const FILES_GRANTED: u64 = 1 << 20;

/// Whether the kernel is young enough.
pub(super) fn version(host: &Host) -> Finding {
    let wanted = format!("{}.{} or newer", RINGS_SINCE.0, RINGS_SINCE.1);
    let release = host.read("proc/sys/kernel/osrelease");
    let Some(release) = release.filter(|release| !release.is_empty()) else {
        return Finding::not_known(
            "kernel",
            "/proc/sys/kernel/osrelease cannot be read",
            wanted,
        );
    };
    let verdict = match release_number(&release) {
        Some(number) if number >= RINGS_SINCE => Verdict::Good,
        Some(_) => Verdict::CouldBeBetter,
        None => Verdict::NotKnown,
    };
    Finding::new("kernel", verdict, release, wanted)
        .fix("apt install linux-image-amd64  # Debian 12 or newer; then reboot")
}

/// `6.1.0-18-amd64` is 6.1.
fn release_number(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Whether a ring can be had. `probe` is what came of opening one.
pub(super) fn io_uring(host: &Host, backend: Backend, probe: Result<(), &io::Error>) -> Finding {
    let wanted = "a ring for each core";
    if backend == Backend::Mmsg {
        let value = "not used: workers.backend is \"mmsg\"";
        return Finding::new("io_uring", Verdict::Good, value, wanted);
    }
    let Err(error) = probe else {
        return Finding::new("io_uring", Verdict::Good, "available", wanted);
    };
    let (verdict, instead) = match backend {
        // The tracker will not start.
        Backend::IoUring => (
            Verdict::WillLosePackets,
            "and workers.backend insists on it",
        ),
        _ => (Verdict::CouldBeBetter, "mmsg stands in for it"),
    };
    let disabled = host.sysctl("kernel.io_uring_disabled").unwrap_or(0);
    let fix = match error.raw_os_error() {
        Some(libc::EPERM) if disabled > 0 => "sysctl -w kernel.io_uring_disabled=0",
        Some(libc::EPERM) => {
            "podman run --security-opt seccomp=unconfined  # or a profile that allows io_uring_setup"
        }
        Some(libc::ENOMEM) => "LimitMEMLOCK=infinity  # [Service] of `systemctl edit shoal`",
        _ => "apt install linux-image-amd64  # Linux 6.1 or newer; then reboot",
    };
    let value = format!("refused ({error}), {instead}");
    Finding::new("io_uring", verdict, value, wanted).fix(fix)
}

/// Whether the process may lock what rings take.
pub(super) fn locked_memory(host: &Host, config: &Config, cores: Option<&Cores>) -> Finding {
    const CHECK: &str = "memlock";
    let Some(cores) = cores else {
        return Finding::not_known(CHECK, "how many cores there will be is not known", "");
    };
    if config.workers.backend == Backend::Mmsg {
        let value = "not used: workers.backend is \"mmsg\"";
        return Finding::new(CHECK, Verdict::Good, value, "nothing");
    }
    let needed = cores.count as u64 * CORE_LOCKED;
    let wanted = format!("{} KiB or more", needed >> 10);
    let Some(limit) = host.limit("Max locked memory") else {
        return Finding::not_known(CHECK, "the limits of the process cannot be read", wanted);
    };
    let verdict = match config.workers.backend {
        _ if limit >= needed => Verdict::Good,
        Backend::IoUring => Verdict::WillLosePackets,
        _ => Verdict::CouldBeBetter,
    };
    let said = match limit {
        u64::MAX => "unlimited".to_owned(),
        bytes => format!("{} KiB", bytes >> 10),
    };
    let value = format!("{said} ({})", host.process().name());
    Finding::new(CHECK, verdict, value, wanted).fix(match host.process() {
        Process::Tracker(_) => "LimitMEMLOCK=infinity  # [Service] of `systemctl edit shoal`",
        Process::Ours => "ulimit -Hl unlimited  # as root; our unit for systemd has LimitMEMLOCK",
    })
}

/// Whether the process may open a file for every connection.
pub(super) fn open_files(host: &Host, config: &Config, cores: Option<&Cores>) -> Finding {
    const CHECK: &str = "nofile";
    let Some(cores) = cores else {
        return Finding::not_known(CHECK, "how many cores there will be is not known", "");
    };
    let threads = cores.http_threads(config) as u64;
    let core_files = config.udp.len() as u64 + CORE_FILES;
    let thread_files = config.http.len() as u64 + HTTP_THREAD_FILES;
    let base = FILES + cores.count as u64 * core_files + threads * thread_files;
    let connections = if config.http.is_empty() {
        0
    } else {
        config.connections.max as u64
    };
    let needed = base + connections;
    let wanted = format!("{needed} or more, {connections} of them for connections");
    let Some(limit) = host.limit("Max open files") else {
        return Finding::not_known(CHECK, "the limits of the process cannot be read", wanted);
    };
    let verdict = if limit >= needed {
        Verdict::Good
    } else if limit > base {
        // Idle connections are closed earlier.
        Verdict::CouldBeBetter
    } else {
        Verdict::WillLosePackets
    };
    let granted = needed.max(FILES_GRANTED);
    let said = match limit {
        u64::MAX => "unlimited".to_owned(),
        files => files.to_string(),
    };
    let value = format!("{said} ({})", host.process().name());
    Finding::new(CHECK, verdict, value, wanted).fix(match host.process() {
        Process::Tracker(_) => {
            format!("LimitNOFILE={granted}  # [Service] of `systemctl edit shoal`")
        }
        Process::Ours => {
            format!("ulimit -Hn {granted}  # as root; our unit for systemd has LimitNOFILE")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::host::made_up::MadeUp;

    fn of_release(release: &str) -> Verdict {
        let made_up = MadeUp::with(&[("proc/sys/kernel/osrelease", release)]);
        version(&made_up.host()).verdict
    }

    #[test]
    fn a_kernel_is_judged_by_its_release() {
        assert_eq!(of_release("6.1.0-18-amd64\n"), Verdict::Good);
        assert_eq!(of_release("7.0"), Verdict::Good);
        assert_eq!(
            of_release("5.15.167.4-microsoft-standard"),
            Verdict::CouldBeBetter
        );
        assert_eq!(of_release("plan9"), Verdict::NotKnown);
        assert_eq!(of_release(""), Verdict::NotKnown);
        let nothing = version(&MadeUp::with(&[]).host());
        assert_eq!(nothing.verdict, Verdict::NotKnown);
    }

    #[test]
    fn a_ring_that_is_refused_names_what_refuses_it() {
        let made_up = MadeUp::with(&[("proc/sys/kernel/io_uring_disabled", "2\n")]);
        let off = made_up.host();
        let on = MadeUp::with(&[]).host();
        let refused = |host: &Host, backend, code| {
            io_uring(host, backend, Err(&io::Error::from_raw_os_error(code)))
        };
        let found = refused(&off, Backend::Auto, libc::EPERM);
        assert_eq!(found.verdict, Verdict::CouldBeBetter);
        let fix = found.fix.unwrap();
        assert_eq!(fix, "sysctl -w kernel.io_uring_disabled=0");
        let found = refused(&on, Backend::Auto, libc::EPERM);
        assert!(found.fix.unwrap().contains("seccomp"));
        let found = refused(&on, Backend::IoUring, libc::ENOMEM);
        assert_eq!(found.verdict, Verdict::WillLosePackets);
        assert!(found.fix.unwrap().contains("LimitMEMLOCK"));
        let found = refused(&on, Backend::Auto, libc::ENOSYS);
        assert!(found.fix.unwrap().contains("6.1"));
        assert_eq!(
            refused(&off, Backend::Mmsg, libc::EPERM).verdict,
            Verdict::Good
        );
        assert_eq!(
            io_uring(&on, Backend::IoUring, Ok(())).verdict,
            Verdict::Good
        );
    }

    fn with_limit(line: &str) -> MadeUp {
        MadeUp::with(&[("proc/self/limits", line)])
    }

    fn four() -> Cores {
        Cores {
            cpus: vec![0, 1, 2, 3],
            count: 4,
        }
    }

    #[test]
    fn locked_memory_is_judged_by_what_rings_take() {
        let mut config = Config::default();
        let judged = |made_up: &MadeUp, config: &Config| {
            locked_memory(&made_up.host(), config, Some(&four())).verdict
        };
        let enough = with_limit("Max locked memory 65536 8388608 bytes");
        let little = with_limit("Max locked memory 65536 65536 bytes");
        let unlimited = with_limit("Max locked memory 65536 unlimited bytes");
        assert_eq!(judged(&enough, &config), Verdict::Good);
        assert_eq!(judged(&unlimited, &config), Verdict::Good);
        assert_eq!(judged(&little, &config), Verdict::CouldBeBetter);
        assert_eq!(judged(&MadeUp::with(&[]), &config), Verdict::NotKnown);
        config.workers.backend = Backend::IoUring;
        assert_eq!(judged(&little, &config), Verdict::WillLosePackets);
        config.workers.backend = Backend::Mmsg;
        assert_eq!(judged(&little, &config), Verdict::Good);
        let found = locked_memory(&enough.host(), &Config::default(), None);
        assert_eq!(found.verdict, Verdict::NotKnown);
    }

    #[test]
    fn open_files_are_judged_by_connections_and_by_what_a_start_takes() {
        let mut config = Config::default();
        let judged =
            |made_up: &MadeUp, config: &Config| open_files(&made_up.host(), config, Some(&four()));
        let few = with_limit("Max open files 1024 4096 files");
        let found = judged(&few, &config);
        assert_eq!(found.verdict, Verdict::CouldBeBetter);
        assert!(found.fix.unwrap().contains("1048576"));
        let many = with_limit("Max open files 1024 524288 files");
        assert_eq!(judged(&many, &config).verdict, Verdict::Good);
        let hardly = with_limit("Max open files 64 64 files");
        assert_eq!(judged(&hardly, &config).verdict, Verdict::WillLosePackets);
        config.http.clear();
        assert_eq!(judged(&few, &config).verdict, Verdict::Good);
        let nothing = MadeUp::with(&[]);
        assert_eq!(judged(&nothing, &config).verdict, Verdict::NotKnown);
    }
}
