//! What the kernel has to keep whoever gets into the tracker small. No packet is lost without it.

use super::host::Host;
use super::report::{Finding, Verdict};
use crate::config::Config;
use crate::privileges::TCP_SINCE;

/// Where a kernel that has filters says what they can do.
const FILTERS: &str = "proc/sys/kernel/seccomp/actions_avail";

/// Whether files and TCP can be given up. `version` is what came of asking for Landlock.
pub(super) fn landlock(config: &Config, version: Result<u32, String>) -> Finding {
    const CHECK: &str = "landlock";
    let wanted = format!("version {TCP_SINCE} or newer");
    if !config.sandbox.files {
        let value = "not used: sandbox.files is false";
        return Finding::new(CHECK, Verdict::Good, value, wanted);
    }
    match version {
        Ok(version) if version >= TCP_SINCE => {
            let value =
                format!("version {version}: an intruder finds no files and calls nobody by TCP");
            Finding::new(CHECK, Verdict::Good, value, wanted)
        }
        Ok(version) => {
            let value =
                format!("version {version}: an intruder finds no files; TCP is up to seccomp");
            Finding::new(CHECK, Verdict::CouldBeBetter, value, wanted)
                .fix("apt install linux-image-amd64  # Linux 6.7 or newer; then reboot")
        }
        Err(why) => {
            let fix = if why.contains("lsm=") {
                "lsm=landlock,lockdown,yama,integrity,apparmor  # the kernel's command line; then reboot"
            } else {
                "apt install linux-image-amd64  # Linux 6.7 or newer; or a container that allows landlock_*"
            };
            let value = format!("an intruder may touch all files of the tracker's user, as {why}");
            Finding::new(CHECK, Verdict::CouldBeBetter, value, wanted).fix(fix)
        }
    }
}

/// Whether system calls can be given up.
pub(super) fn seccomp(host: &Host, config: &Config) -> Finding {
    const CHECK: &str = "seccomp";
    let wanted = "filters of system calls";
    if !config.sandbox.system_calls {
        let value = "not used: sandbox.system_calls is false";
        return Finding::new(CHECK, Verdict::Good, value, wanted);
    }
    match host.read(FILTERS) {
        Some(actions) if actions.contains("errno") => {
            let value = "available: an intruder starts no program and opens no TCP socket";
            Finding::new(CHECK, Verdict::Good, value, wanted)
        }
        Some(_) => Finding::new(
            CHECK,
            Verdict::CouldBeBetter,
            "an intruder may call all of the kernel, as it has no action \"errno\"",
            wanted,
        )
        .fix("apt install linux-image-amd64  # Linux 4.14 or newer; then reboot"),
        // /proc/sys may be hidden, and then the line says that there is something.
        None if host.status("Name").is_none() || host.status("Seccomp").is_some() => {
            Finding::not_known(CHECK, format!("/{FILTERS} cannot be read"), wanted)
        }
        None => Finding::new(
            CHECK,
            Verdict::CouldBeBetter,
            "an intruder may call all of the kernel, which has no seccomp",
            wanted,
        )
        .fix("CONFIG_SECCOMP_FILTER=y  # in the kernel's configuration, as distributions have it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::host::made_up::MadeUp;

    #[test]
    fn landlock_is_named_with_its_version_and_what_that_means() {
        let mut config = Config::default();
        let found = landlock(&config, Ok(7));
        assert_eq!(found.verdict, Verdict::Good);
        assert!(found.value.starts_with("version 7: "), "{}", found.value);
        let found = landlock(&config, Ok(3));
        assert_eq!(found.verdict, Verdict::CouldBeBetter);
        assert!(
            found.value.contains("TCP is up to seccomp"),
            "{}",
            found.value
        );
        assert!(found.fix.unwrap().contains("6.7"));
        for (why, fix) in [
            ("switched off (see lsm=)", "lsm=landlock"),
            ("hidden", "landlock_*"),
        ] {
            let found = landlock(&config, Err(why.to_owned()));
            assert_eq!(found.verdict, Verdict::CouldBeBetter);
            assert!(found.value.ends_with(why), "{}", found.value);
            assert!(found.fix.unwrap().contains(fix));
        }
        config.sandbox.files = false;
        assert_eq!(landlock(&config, Err(String::new())).verdict, Verdict::Good);
    }

    #[test]
    fn seccomp_is_judged_by_what_the_kernel_lists() {
        let mut config = Config::default();
        let judged = |files: &[(&str, &str)], config: &Config| {
            let found = seccomp(&MadeUp::with(files).host(), config);
            assert_eq!(found.fix.is_some(), found.verdict == Verdict::CouldBeBetter);
            found.verdict
        };
        let new = [(
            FILTERS,
            "kill_process kill_thread trap errno trace log allow\n",
        )];
        let hidden = [("proc/self/status", "Name:\ta\nSeccomp:\t0\n")];
        assert_eq!(judged(&new, &config), Verdict::Good);
        assert_eq!(judged(&[(FILTERS, "")], &config), Verdict::CouldBeBetter);
        assert_eq!(judged(&hidden, &config), Verdict::NotKnown);
        let without = [("proc/self/status", "Name:\ta\n")];
        assert_eq!(judged(&without, &config), Verdict::CouldBeBetter);
        assert_eq!(judged(&[], &config), Verdict::NotKnown);
        config.sandbox.system_calls = false;
        assert_eq!(judged(&[], &config), Verdict::Good);
    }
}
