//! The machine in one line, because no figure means anything without it.

use std::fs;

pub(crate) fn describe() -> String {
    let cpus = read("/proc/cpuinfo");
    let model = value(&cpus, "model name").unwrap_or("unknown CPU");
    let cores = cpus
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = read("/proc/sys/kernel/osrelease");
    let memory = read("/proc/meminfo");
    let memory_kib: f64 = value(&memory, "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0);
    format!(
        "{model}, {cores} CPUs, {:.0} GiB memory, Linux {}",
        memory_kib / 1024.0 / 1024.0,
        kernel_version(kernel.trim())
    )
}

/// The version without what a distributor or a host put behind it.
fn kernel_version(release: &str) -> &str {
    release.split('-').next().unwrap_or(release)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What stands behind `name` and a colon.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_name() {
        let text = "processor\t: 0\nmodel name\t: Some CPU\nMemTotal:  8 kB\n";
        assert_eq!(value(text, "model name"), Some("Some CPU"));
        assert_eq!(value(text, "MemTotal"), Some("8 kB"));
        assert_eq!(value(text, "model"), None);
        assert_eq!(kernel_version("6.18.4-host-17"), "6.18.4");
    }
}
