//! What `/proc` tells about a process: its CPU time, memory, threads and sleeps.

use std::fs;

use crate::sys;

/// One look at a process.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Look {
    /// CPU time of all living threads as the scheduler counts it, exact to nanoseconds.
    pub(crate) cpu_ns: u64,
    /// The same split in two by the kernel's clock tick: right in the long run only.
    user_ticks: u64,
    system_ticks: u64,
    /// CPU time of the children that ended and were waited for.
    children_ticks: u64,
    pub(crate) rss_kib: u64,
    pub(crate) rss_peak_kib: u64,
    pub(crate) threads: u64,
    /// Times that a thread gave up its CPU to wait: each ends in a wake-up.
    pub(crate) sleeps: u64,
    /// Times that a thread lost its CPU to another.
    pub(crate) preemptions: u64,
}

impl Look {
    /// Reads the process `pid`, or this one when 0.
    pub(crate) fn at(pid: u32) -> Result<Self, String> {
        let home = match pid {
            0 => String::from("/proc/self"),
            pid => format!("/proc/{pid}"),
        };
        let gone = |error| format!("cannot read {home}: {error}");
        let mut look = Self::default();

        let stat = fs::read_to_string(format!("{home}/stat")).map_err(gone)?;
        // The command's name may contain spaces and parentheses; the fields start after the last.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse().ok());
        (look.user_ticks, look.system_ticks) = ticks(11)
            .zip(ticks(12))
            .ok_or_else(|| format!("cannot read the CPU time in {home}/stat"))?;
        look.children_ticks = ticks(13)
            .zip(ticks(14))
            .map_or(0, |(user, system)| user + system);

        let status = fs::read_to_string(format!("{home}/status")).map_err(gone)?;
        look.rss_kib = field(&status, "VmRSS:");
        look.rss_peak_kib = field(&status, "VmHWM:");
        look.threads = field(&status, "Threads:");

        for task in fs::read_dir(format!("{home}/task"))
            .map_err(gone)?
            .flatten()
        {
            // A thread may end between the listing and the reading; its time is then in no file.
            let read = |name| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let run_ns = read("schedstat");
            let run_ns = run_ns.split_whitespace().next();
            look.cpu_ns += run_ns.and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
            let status = read("status");
            look.sleeps += field(&status, "voluntary_ctxt_switches:");
            look.preemptions += field(&status, "nonvoluntary_ctxt_switches:");
        }
        if look.cpu_ns == 0 {
            // Kernels without scheduler statistics: the ticks are all there is.
            let tick_ns = 1_000_000_000 / sys::clock_ticks_per_s();
            look.cpu_ns = (look.user_ticks + look.system_ticks) * tick_ns;
        }
        Ok(look)
    }
}

/// Memory of a process in KiB, what it shares with others counted in parts.
pub(crate) fn pss_kib(pid: u32) -> Result<u64, String> {
    let file = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&file).map_err(|error| format!("cannot read {file}: {error}"))?;
    Ok(field(&text, "Pss:"))
}

/// Open files and sockets of a process.
pub(crate) fn open_files(pid: u32) -> Result<u64, String> {
    let folder = format!("/proc/{pid}/fd");
    let entries =
        fs::read_dir(&folder).map_err(|error| format!("cannot read {folder}: {error}"))?;
    Ok(entries.flatten().count() as u64)
}

/// From now on the peak of this process's memory is counted anew.
pub(crate) fn forget_peak() -> Result<(), String> {
    fs::write("/proc/self/clear_refs", "5")
        .map_err(|error| format!("cannot write /proc/self/clear_refs: {error}"))
}

fn field(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// What a process used between two looks.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(crate) struct Usage {
    pub(crate) cpu_ns: u64,
    /// CPU seconds of the children that ended meanwhile, counted by the clock tick.
    pub(crate) children_s: f64,
    /// Part of the CPU time spent in user space, 0 to 1.
    pub(crate) user_share: f64,
    pub(crate) sleeps: u64,
    pub(crate) preemptions: u64,
}

impl Usage {
    pub(crate) fn between(before: &Look, after: &Look) -> Self {
        let user = after.user_ticks.saturating_sub(before.user_ticks) as f64;
        let system = after.system_ticks.saturating_sub(before.system_ticks) as f64;
        let children = after.children_ticks.saturating_sub(before.children_ticks) as f64;
        Self {
            children_s: children / sys::clock_ticks_per_s() as f64,
            cpu_ns: after.cpu_ns.saturating_sub(before.cpu_ns),
            user_share: user / (user + system).max(1.0),
            sleeps: after.sleeps.saturating_sub(before.sleeps),
            preemptions: after.preemptions.saturating_sub(before.preemptions),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_busy_process_is_seen_to_be_busy() {
        let before = Look::at(0).unwrap();
        // On a machine with other work it may take a while to be given 10 ms.
        let deadline = Instant::now() + Duration::from_secs(20);
        let after = loop {
            let after = Look::at(0).unwrap();
            if Usage::between(&before, &after).cpu_ns > 10_000_000 {
                break after;
            }
            assert!(Instant::now() < deadline, "20 s of spinning are not seen");
        };
        assert!(after.rss_kib > 0 && after.rss_peak_kib >= after.rss_kib && after.threads > 0);
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = Look::at(u32::MAX).unwrap_err();
        assert!(
            error.starts_with("cannot read /proc/4294967295: "),
            "{error}"
        );
    }
}
