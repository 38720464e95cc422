//! `shoal doctor`: what on this host loses packets or caps speed, and the line that mends it.
//!
//! ```text
//!   command line      cli/doctor.rs
//!     |
//!   Host              host.rs        the kernel's files below a root, and which process the tracker is
//!   Cores             cores.rs       how many there will be, on which CPUs
//!     | examine
//!     +-- kernel      kernel.rs      its version, rings, locked memory, open files
//!     +-- sandbox     sandbox.rs     what keeps an intruder small: Landlock, seccomp
//!     +-- network     network.rs     buffers and backlogs, against systemd/shoal-sysctl.conf (sysctl.rs)
//!     +-- conntrack   conntrack.rs   whether our ports are tracked
//!     +-- queues      queues.rs      who takes packets in: RX queues, RPS, interrupts
//!     +-- cpu         cpu.rs         governor, clock
//!     +-- disk        disk.rs        room and speed of the store
//!     +-- tls         tls.rs         certificates
//!     +-- URLs        bep34.rs       the record in DNS (dns.rs)
//!                     reach.rs       an announce as a client, and one as newTrackon
//!     |
//!   Finding           report.rs      text and JSON
//!     |
//!   DropIn            fix.rs         the files that --fix writes
//! ```
//!
//! Nothing here needs root, and nothing is changed but by [`fix::write`]; measuring the disk writes a few MiB
//! to a file without a name. What cannot be looked at is "not known".

mod bep34;
mod conntrack;
mod cores;
mod cpu;
mod disk;
mod dns;
pub mod fix;
pub mod host;
mod kernel;
mod network;
mod queues;
mod reach;
pub mod report;
mod sandbox;
mod sysctl;
mod tls;

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Backend, Config};
use crate::net::OpenRing;
use crate::privileges::landlock_version;
use crate::query::failure::Deadline;
use crate::query::target::Target;
use cores::Cores;
use host::Host;
use report::Finding;

/// How long all questions about one name may take.
const DNS_PATIENCE: Duration = Duration::from_secs(8);

/// Looks at everything that this configuration needs of the host, and at the announce URLs. A few seconds
/// at most, unless a URL keeps it waiting.
pub fn examine(config: &Config, host: &Host, urls: &[Target]) -> Vec<Finding> {
    let cores = Cores::of(host, config);
    let cores = cores.as_ref();
    let backend = config.workers.backend;
    let ring = match backend {
        Backend::Mmsg => Ok(()),
        Backend::Auto | Backend::IoUring => OpenRing::new().map(drop),
    };
    let mut findings = vec![
        kernel::version(host),
        kernel::io_uring(host, backend, ring.as_ref().copied()),
        kernel::locked_memory(host, config, cores),
        kernel::open_files(host, config, cores),
        sandbox::landlock(config, landlock_version()),
        sandbox::seccomp(host, config),
    ];
    findings.extend(network::check(host, config));
    let ports = network::udp_ports(config);
    findings.push(conntrack::check(host, &ports, conntrack::rules));
    findings.extend(queues::check(host, cores));
    findings.push(cpu::governor(host, cores));
    findings.push(cpu::clock(host));
    findings.extend(disk::check(&config.store.path));
    findings.extend(tls::check(&config.http, Clock::start().now().unix_s));
    findings.extend(look_from_outside(host, urls));
    findings
}

/// The URLs, all at once.
fn look_from_outside(host: &Host, urls: &[Target]) -> Vec<Finding> {
    if urls.is_empty() {
        let skipped = |check| {
            let why = "not asked: --url names no announce URL";
            Finding::not_known(check, why, "an announce URL")
                .fix("shoal doctor --url udp://your.host:6969/announce")
        };
        return ["bep34", "reach", "newtrackon"].map(skipped).into();
    }
    let servers = dns::servers(host);
    thread::scope(|scope| {
        let asked: Vec<_> = urls
            .iter()
            .map(|url| {
                let servers = &servers;
                scope.spawn(move || {
                    let texts = match url.host.parse::<IpAddr>() {
                        Ok(_) => Ok(Vec::new()),
                        Err(_) => dns::txt(&url.host, servers, Deadline::after(DNS_PATIENCE)),
                    };
                    let mut findings = vec![bep34::judge(url, texts)];
                    findings.extend(reach::check(url));
                    findings
                })
            })
            .collect();
        let findings = asked.into_iter().filter_map(|asked| asked.join().ok());
        findings.flatten().collect()
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::report::Verdict;
    use super::*;
    use crate::doctor::host::made_up::MadeUp;

    /// Every check that there is, in its order.
    const CHECKS: [&str; 20] = [
        "kernel",
        "io_uring",
        "memlock",
        "nofile",
        "landlock",
        "seccomp",
        "rmem",
        "drops",
        "wmem",
        "backlog",
        "conntrack",
        "rx_queues",
        "governor",
        "clock",
        "disk_space",
        "disk_speed",
        "tls",
        "bep34",
        "reach",
        "newtrackon",
    ];

    fn config() -> Config {
        let mut config = Config::default();
        config.store.path = String::new();
        config
    }

    #[test]
    fn a_host_that_tells_nothing_is_not_known_and_loses_nothing_for_that() {
        let findings = examine(&config(), &MadeUp::with(&[]).host(), &[]);
        let mut checks: Vec<&str> = findings.iter().map(|found| found.check).collect();
        checks.dedup();
        assert_eq!(checks, CHECKS);
        let worst = findings.iter().map(|found| found.verdict).max();
        // The ring is asked for from the kernel that runs the test.
        assert!(worst <= Some(Verdict::CouldBeBetter), "{findings:?}");
    }

    #[test]
    fn this_host_is_looked_at_whatever_it_is() {
        for found in examine(&config(), &Host::at(Path::new("/")), &[]) {
            assert!(!found.value.is_empty(), "{found:?}");
            let needs_fix = found.verdict >= Verdict::CouldBeBetter;
            assert!(!needs_fix || found.fix.is_some(), "{found:?}");
            assert!(
                found.verdict == Verdict::Good || !found.wanted.is_empty(),
                "{found:?}"
            );
        }
    }
}
