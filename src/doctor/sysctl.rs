//! The kernel's settings that are wanted. They and their reasons stand in `systemd/shoal-sysctl.conf`, which
//! packages install and `--fix` writes; here it is only read.

use std::fmt::Write as _;

use super::host::Host;
use crate::config::Config;

const DROP_IN: &str = include_str!("../../systemd/shoal-sysctl.conf");

/// Each setting of the drop-in with its value.
fn settings() -> impl Iterator<Item = (&'static str, u64)> {
    DROP_IN.lines().filter_map(setting)
}

/// A line that sets something.
fn setting(line: &str) -> Option<(&str, u64)> {
    let (key, value) = line.split_once('=')?;
    Some((key.trim(), value.trim().parse().ok()?)).filter(|(key, _)| !key.starts_with('#'))
}

/// The value that a setting should have for this configuration; nothing for one that is not in the drop-in.
pub(super) fn wanted(key: &str, config: &Config) -> Option<u64> {
    let (_, value) = settings().find(|(known, _)| *known == key)?;
    Some(match key {
        "net.core.rmem_max" => value.max(config.workers.receive_buffer),
        _ => value,
    })
}

/// The line that gives a setting its wanted value until the next boot.
pub(super) fn fix(key: &str, config: &Config) -> String {
    match wanted(key, config) {
        Some(value) => format!("sysctl -w {key}={value}"),
        None => format!("sysctl {key}"),
    }
}

/// The drop-in for this host: no value is less than what is wanted, nor than what the host has now.
pub(super) fn drop_in(config: &Config, host: &Host) -> String {
    let mut text = String::with_capacity(DROP_IN.len());
    for line in DROP_IN.lines() {
        match setting(line) {
            Some((key, value)) => {
                let wanted = wanted(key, config).unwrap_or(value);
                let value = wanted.max(host.sysctl(key).unwrap_or(0));
                let _ = write!(text, "{key} = {value}");
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::host::made_up::MadeUp;

    #[test]
    fn a_host_that_has_nothing_gets_what_packages_install() {
        let host = MadeUp::with(&[]).host();
        assert_eq!(drop_in(&Config::default(), &host), DROP_IN);
    }

    #[test]
    fn a_value_that_is_higher_stays_and_a_larger_buffer_is_heard() {
        let made_up = MadeUp::with(&[
            ("proc/sys/net/core/somaxconn", "65535\n"),
            ("proc/sys/net/core/netdev_budget", "300\n"),
        ]);
        let mut config = Config::default();
        config.workers.receive_buffer = 64 << 20;
        let text = drop_in(&config, &made_up.host());
        for line in [
            "net.core.somaxconn = 65535",
            "net.core.netdev_budget = 600",
            "net.core.rmem_max = 67108864",
            "#kernel.io_uring_disabled = 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert_eq!(
            fix("net.core.rmem_max", &config),
            "sysctl -w net.core.rmem_max=67108864"
        );
    }
}
