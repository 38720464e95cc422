//! The CPUs: how fast they are willing to run, and what it costs to ask for the time.

use std::collections::BTreeSet;

use super::cores::Cores;
use super::host::Host;
use super::report::{Finding, Verdict};

/// Clocks that the kernel maps into the process, so that reading them is no system call.
const MAPPED_CLOCKS: [&str; 6] = [
    "tsc",
    "kvm-clock",
    "hyperv_clocksource_tsc_page",
    "xen",
    "arch_sys_counter",
    "riscv_clocksource",
];

/// The governor of our CPUs.
pub(super) fn governor(host: &Host, cores: Option<&Cores>) -> Finding {
    const CHECK: &str = "governor";
    const WANTED: &str = "performance";
    let folder = "sys/devices/system/cpu";
    let cpus = cores.map_or_else(|| vec![0], |cores| cores.cpus.clone());
    let governors: BTreeSet<String> = cpus
        .iter()
        .filter_map(|cpu| host.read(&format!("{folder}/cpu{cpu}/cpufreq/scaling_governor")))
        .collect();
    if governors.is_empty() {
        let why = "the kernel does not steer frequencies here, as in most virtual machines";
        return Finding::not_known(CHECK, why, WANTED);
    }
    let verdict = if governors.iter().all(|governor| governor == WANTED) {
        Verdict::Good
    } else {
        Verdict::CouldBeBetter
    };
    let value = governors.into_iter().collect::<Vec<_>>().join(", ");
    Finding::new(CHECK, verdict, value, WANTED).fix(format!(
        "echo {WANTED} | tee /{folder}/cpu*/cpufreq/scaling_governor"
    ))
}

/// The source of the time.
pub(super) fn clock(host: &Host) -> Finding {
    const CHECK: &str = "clock";
    let folder = "sys/devices/system/clocksource/clocksource0";
    let available = host.read(&format!("{folder}/available_clocksource"));
    let available = available.unwrap_or_default();
    let mut choices = available.split_whitespace();
    // In the kernel's own order, so the best of them.
    let better = choices.find(|clock| MAPPED_CLOCKS.contains(clock));
    let wanted = match better {
        Some(clock) => clock.to_owned(),
        None => "tsc or another that needs no system call".to_owned(),
    };
    let Some(current) = host.read(&format!("{folder}/current_clocksource")) else {
        return Finding::not_known(CHECK, "the kernel does not tell its clock", wanted);
    };
    if MAPPED_CLOCKS.contains(&current.as_str()) {
        return Finding::new(CHECK, Verdict::Good, current, wanted);
    }
    let value = format!("{current}: each look at it is a system call");
    Finding::new(CHECK, Verdict::CouldBeBetter, value, wanted).fix(match better {
        Some(clock) => format!("echo {clock} > /{folder}/current_clocksource"),
        None => {
            "tsc=reliable  # on the kernel's command line, where the CPU's counter is".to_owned()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::host::made_up::MadeUp;

    #[test]
    fn the_governor_of_our_cpus_is_judged() {
        let path = |cpu: usize| format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor");
        let (first, second) = (path(0), path(1));
        let cores = Cores {
            cpus: vec![0, 1],
            count: 2,
        };
        let judged = |made_up: &MadeUp| governor(&made_up.host(), Some(&cores));
        let made_up = MadeUp::with(&[(&first, "performance\n"), (&second, "performance\n")]);
        assert_eq!(judged(&made_up).verdict, Verdict::Good);
        made_up.write(&second, "powersave\n");
        let mixed = judged(&made_up);
        assert_eq!(mixed.verdict, Verdict::CouldBeBetter);
        assert_eq!(mixed.value, "performance, powersave");
        assert!(mixed.fix.unwrap().starts_with("echo performance | tee"));
        assert_eq!(governor(&made_up.host(), None).verdict, Verdict::Good);
        assert_eq!(judged(&MadeUp::with(&[])).verdict, Verdict::NotKnown);
    }

    #[test]
    fn a_clock_is_judged_by_whether_it_is_mapped() {
        let folder = "sys/devices/system/clocksource/clocksource0";
        let judged = |current: &str, available: &str| {
            let (now, all) = (
                format!("{folder}/current_clocksource"),
                format!("{folder}/available_clocksource"),
            );
            clock(&MadeUp::with(&[(&now, current), (&all, available)]).host())
        };
        assert_eq!(judged("tsc\n", "tsc hpet acpi_pm").verdict, Verdict::Good);
        let slow = judged("hpet\n", "tsc hpet acpi_pm\n");
        assert_eq!(slow.verdict, Verdict::CouldBeBetter);
        assert!(slow.fix.unwrap().starts_with("echo tsc > /sys"));
        let stuck = judged("acpi_pm", "acpi_pm");
        assert!(stuck.fix.unwrap().contains("command line"));
        let unknown = clock(&MadeUp::with(&[]).host());
        assert_eq!(unknown.verdict, Verdict::NotKnown);
    }
}
