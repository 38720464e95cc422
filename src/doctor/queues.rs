//! Who takes packets in: receive queues of the network cards (RSS), the kernel's own spreading (RPS), and
//! the CPUs that are interrupted.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::cores::Cores;
use super::host::{Host, cpu_list};
use super::report::{Finding, Verdict};

const CHECK: &str = "rx_queues";

/// Cores that one CPU can feed before it is the bottleneck: it takes in about a million packets a second,
/// and a core answers a few hundred thousand.
const CORES_A_CPU: usize = 4;

/// Every network card that is up.
pub(super) fn check(host: &Host, cores: Option<&Cores>) -> Vec<Finding> {
    let wanted = match cores {
        Some(cores) => format!("CPUs that take packets in: {}", cores.cpus.len()),
        None => "every CPU takes packets in".to_owned(),
    };
    let cards: Vec<String> = host
        .names("sys/class/net")
        .into_iter()
        .filter(|name| is_card(host, name))
        .collect();
    let Some(cores) = cores.filter(|_| !cards.is_empty()) else {
        let why = if cards.is_empty() {
            "no network card is seen here, as in a container; look at its host"
        } else {
            "how many CPUs the tracker may use is not known"
        };
        return vec![Finding::not_known(CHECK, why, wanted)];
    };
    let judged = cards.iter().map(|name| card(host, name, cores, &wanted));
    judged.collect()
}

/// Loopback, bridges and the like have no device behind them.
fn is_card(host: &Host, name: &str) -> bool {
    let folder = format!("sys/class/net/{name}");
    let state = host.read(&format!("{folder}/operstate"));
    host.has(&format!("{folder}/device")) && state.as_deref() != Some("down")
}

fn card(host: &Host, name: &str, cores: &Cores, wanted: &str) -> Finding {
    let cpus = cores.cpus.len();
    let names = host.names(&format!("sys/class/net/{name}/queues"));
    let queues: Vec<&String> = names
        .iter()
        .filter(|queue| queue.starts_with("rx-"))
        .collect();
    if queues.is_empty() {
        return Finding::not_known(CHECK, "its queues cannot be read", wanted).about(name);
    }
    let spread = queues
        .iter()
        .filter_map(|queue| host.read(&format!("sys/class/net/{name}/queues/{queue}/rps_cpus")))
        .flat_map(|mask| cpu_mask(&mask))
        .collect::<BTreeSet<usize>>()
        .len();
    let interrupted = interrupted_cpus(host, name);
    // Several queues are worth no more than the CPUs that serve them.
    let served = match interrupted {
        Some(count) if count > 0 => queues.len().min(count),
        _ => queues.len(),
    };
    let takers = served.max(spread);
    let verdict = if takers >= cpus {
        Verdict::Good
    } else if takers * CORES_A_CPU >= cpus {
        Verdict::CouldBeBetter
    } else {
        Verdict::WillLosePackets
    };
    let mut value = match queues.len() {
        1 => "1 queue".to_owned(),
        many => format!("{many} queues"),
    };
    if let Some(count) = interrupted {
        let _ = write!(value, ", interrupts on {count} of the CPUs");
    }
    let _ = match spread {
        0 => write!(value, ", no RPS"),
        spread => write!(value, ", RPS to {spread} CPUs"),
    };
    let fix = if queues.len() >= cpus && served < queues.len() {
        "systemctl enable --now irqbalance  # apt install irqbalance".to_owned()
    } else {
        let mask = mask_of(&cores.cpus);
        format!(
            "ethtool -L {name} combined {cpus} || echo {mask} | tee \
             /sys/class/net/{name}/queues/rx-*/rps_cpus"
        )
    };
    Finding::new(CHECK, verdict, value, wanted)
        .about(name)
        .fix(fix)
}

/// How many CPUs the interrupts of a card go to, where it has several and the kernel says so.
fn interrupted_cpus(host: &Host, name: &str) -> Option<usize> {
    let interrupts = host.names(&format!("sys/class/net/{name}/device/msi_irqs"));
    let lists: Vec<Vec<usize>> = interrupts
        .iter()
        .filter_map(|number| host.read(&format!("proc/irq/{number}/effective_affinity_list")))
        .filter_map(|list| cpu_list(&list))
        .collect();
    let cpus: BTreeSet<usize> = lists.iter().flatten().copied().collect();
    (lists.len() > 1 && !cpus.is_empty()).then_some(cpus.len())
}

/// The CPUs in a mask such as `00000000,000000ff`, the lowest last.
fn cpu_mask(mask: &str) -> Vec<usize> {
    let digits = mask.chars().rev().filter_map(|digit| digit.to_digit(16));
    let bits = digits
        .enumerate()
        .flat_map(|(at, digit)| (0..4).map(move |bit| (at * 4 + bit, digit >> bit & 1)));
    let set = bits.filter(|(_, bit)| *bit == 1).map(|(cpu, _)| cpu);
    set.collect()
}

/// The same the other way round: words of 32 CPUs.
fn mask_of(cpus: &[usize]) -> String {
    let words = cpus.iter().max().map_or(1, |last| last / 32 + 1);
    let word = |at: usize| {
        let here = cpus.iter().filter(|cpu| *cpu / 32 == at);
        here.fold(0_u32, |word, cpu| word | 1 << (cpu % 32))
    };
    let mut text = format!("{:x}", word(words - 1));
    for at in (0..words - 1).rev() {
        let _ = write!(text, ",{:08x}", word(at));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::host::made_up::MadeUp;

    fn cores(count: usize) -> Cores {
        Cores {
            cpus: (0..count).collect(),
            count,
        }
    }

    /// A host with a card of so many queues, each with this mask of RPS.
    fn card_of(queues: usize, rps: &str) -> MadeUp {
        let made_up = MadeUp::with(&[
            ("sys/class/net/lo/operstate", "unknown"),
            ("sys/class/net/eth0/operstate", "up\n"),
            ("sys/class/net/eth0/device/vendor", "0x1af4"),
            ("sys/class/net/eth1/operstate", "down\n"),
            ("sys/class/net/eth1/device/vendor", "0x1af4"),
            ("sys/class/net/eth0/queues/tx-0/xps_cpus", "f"),
        ]);
        for queue in 0..queues {
            let path = format!("sys/class/net/eth0/queues/rx-{queue}/rps_cpus");
            made_up.write(&path, rps);
        }
        made_up
    }

    fn only(made_up: &MadeUp, count: usize) -> Finding {
        let mut findings = check(&made_up.host(), Some(&cores(count)));
        assert_eq!(findings.len(), 1, "{findings:?}");
        findings.remove(0)
    }

    #[test]
    fn queues_are_judged_by_the_cores_that_they_feed() {
        assert_eq!(only(&card_of(8, "00"), 8).verdict, Verdict::Good);
        assert_eq!(only(&card_of(2, "00"), 8).verdict, Verdict::CouldBeBetter);
        let starved = only(&card_of(1, "00"), 8);
        assert_eq!(starved.verdict, Verdict::WillLosePackets);
        assert_eq!(starved.about.as_deref(), Some("eth0"));
        assert_eq!(
            starved.fix.unwrap(),
            "ethtool -L eth0 combined 8 || echo ff | tee /sys/class/net/eth0/queues/rx-*/rps_cpus"
        );
        assert_eq!(only(&card_of(1, "00"), 1).verdict, Verdict::Good);
    }

    #[test]
    fn one_queue_is_enough_when_the_kernel_spreads_it() {
        let spread = only(&card_of(1, "00000000,000000ff\n"), 8);
        assert_eq!(spread.verdict, Verdict::Good);
        assert_eq!(spread.value, "1 queue, RPS to 8 CPUs");
    }

    #[test]
    fn queues_whose_interrupts_share_a_cpu_count_once() {
        let made_up = card_of(4, "0");
        for irq in 40..44 {
            made_up.write(&format!("sys/class/net/eth0/device/msi_irqs/{irq}"), "msix");
            made_up.write(&format!("proc/irq/{irq}/effective_affinity_list"), "0\n");
        }
        let crowded = only(&made_up, 4);
        assert_eq!(crowded.verdict, Verdict::CouldBeBetter);
        assert!(crowded.fix.unwrap().contains("irqbalance"));
        for irq in 40..44 {
            let cpu = (irq - 40).to_string();
            made_up.write(&format!("proc/irq/{irq}/effective_affinity_list"), &cpu);
        }
        assert_eq!(only(&made_up, 4).verdict, Verdict::Good);
    }

    #[test]
    fn a_host_without_cards_is_not_known() {
        let none = MadeUp::with(&[("sys/class/net/lo/operstate", "unknown")]);
        assert_eq!(only(&none, 4).verdict, Verdict::NotKnown);
        assert_eq!(only(&MadeUp::with(&[]), 4).verdict, Verdict::NotKnown);
        let unread = MadeUp::with(&[("sys/class/net/eth0/device/vendor", "x")]);
        assert_eq!(only(&unread, 4).verdict, Verdict::NotKnown);
        let findings = check(&card_of(1, "0").host(), None);
        assert_eq!(findings[0].verdict, Verdict::NotKnown);
    }

    #[test]
    fn masks_are_words_of_32_cpus() {
        assert_eq!(cpu_mask("3,00000001"), [0, 32, 33]);
        assert_eq!(mask_of(&[0, 32, 33]), "3,00000001");
        assert_eq!(mask_of(&[]), "0");
        assert_eq!(cpu_mask("0"), Vec::<usize>::new());
    }
}
