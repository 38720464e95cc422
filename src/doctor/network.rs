//! What the kernel queues: datagrams for our sockets, replies on their way out, packets between the card
//! and the protocol, connections that nobody has accepted yet.

use std::net::SocketAddr;

use super::host::Host;
use super::report::{Finding, Verdict};
use super::sysctl;
use crate::config::Config;
use crate::limits::TURN_DATAGRAMS_MAX;

const RMEM_MAX: &str = "net.core.rmem_max";
const RMEM_DEFAULT: &str = "net.core.rmem_default";
const WMEM_DEFAULT: &str = "net.core.wmem_default";
const BACKLOG: &str = "net.core.netdev_max_backlog";
const BUDGETS: [&str; 2] = ["net.core.netdev_budget", "net.core.netdev_budget_usecs"];
const SOMAXCONN: &str = "net.core.somaxconn";

/// Bytes of receive buffer below which a core that pauses for a few milliseconds loses datagrams at a
/// million a second: the kernel doubles what it is asked for, and takes 768 for a short datagram.
const RECEIVE_BUFFER_MIN: u64 = 1 << 20;

/// What the kernel counts for a short reply that is on its way.
const SHORT_REPLY: u64 = 832;

/// All queues.
pub(super) fn check(host: &Host, config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !config.udp.is_empty() {
        findings.push(receive_buffer(host, config));
        findings.push(drops(host, config));
        findings.push(send_buffer(host, config));
    }
    findings.push(backlog(host, config));
    findings.extend(BUDGETS.map(|key| budget(host, config, key)));
    if !config.http.is_empty() {
        findings.push(at_least_wanted(host, config, SOMAXCONN));
    }
    findings
}

/// What a socket gets of `workers.receive_buffer`.
fn receive_buffer(host: &Host, config: &Config) -> Finding {
    let asked = config.workers.receive_buffer;
    if asked == 0 {
        let wanted = format!("{RECEIVE_BUFFER_MIN} or more");
        let Some(value) = host.sysctl(RMEM_DEFAULT) else {
            return unread("rmem", RMEM_DEFAULT, wanted);
        };
        let verdict = receive_verdict(value, RECEIVE_BUFFER_MIN);
        let value = format!("{value}, since workers.receive_buffer is 0");
        return Finding::new("rmem", verdict, value, wanted)
            .about(RMEM_DEFAULT)
            .fix("receive_buffer = \"8 MiB\"  # [workers] of the configuration");
    }
    let wanted = format!("{asked} or more, which is workers.receive_buffer");
    let Some(value) = host.sysctl(RMEM_MAX) else {
        return unread("rmem", RMEM_MAX, wanted);
    };
    let verdict = receive_verdict(value, asked);
    Finding::new("rmem", verdict, value.to_string(), wanted)
        .about(RMEM_MAX)
        .fix(sysctl::fix(RMEM_MAX, config))
}

fn receive_verdict(value: u64, asked: u64) -> Verdict {
    if value >= asked {
        Verdict::Good
    } else if value >= RECEIVE_BUFFER_MIN {
        Verdict::CouldBeBetter
    } else {
        Verdict::WillLosePackets
    }
}

/// What has been lost since the sockets on our ports were opened.
fn drops(host: &Host, config: &Config) -> Finding {
    const WANTED: &str = "0";
    let tables = ["proc/net/udp", "proc/net/udp6"];
    let texts: Vec<String> = tables.iter().filter_map(|path| host.read(path)).collect();
    if texts.is_empty() {
        return Finding::not_known("drops", "/proc/net/udp cannot be read", WANTED);
    }
    let ports = udp_ports(config);
    let rows = texts.iter().flat_map(|text| text.lines());
    let ours = rows
        .filter_map(port_and_drops)
        .filter(|(port, _)| ports.contains(port));
    let (sockets, lost) = ours.fold((0, 0_u64), |(sockets, lost), (_, drops)| {
        (sockets + 1, lost.saturating_add(drops))
    });
    let (verdict, value) = match (sockets, lost) {
        (0, _) => (Verdict::Good, "no socket is open on our ports".to_owned()),
        (_, 0) => (Verdict::Good, "0 since the start".to_owned()),
        // They may be long ago, so the buffers are judged and not this.
        _ => (
            Verdict::CouldBeBetter,
            format!("{lost} datagrams since the start: a core was not fast enough"),
        ),
    };
    Finding::new("drops", verdict, value, WANTED)
        .fix("receive_buffer = \"16 MiB\"  # [workers] of the configuration, and net.core.rmem_max")
}

/// The ports of the listeners that have a fixed one, each once.
pub(super) fn udp_ports(config: &Config) -> Vec<u16> {
    let ports = config.udp.iter().map(|udp| SocketAddr::port(&udp.listen));
    let mut ports: Vec<u16> = ports.filter(|port| *port != 0).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// `sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode ref pointer drops`
fn port_and_drops(line: &str) -> Option<(u16, u64)> {
    let mut words = line.split_whitespace();
    let (_, port) = words.nth(1)?.rsplit_once(':')?;
    Some((
        u16::from_str_radix(port, 16).ok()?,
        words.last()?.parse().ok()?,
    ))
}

/// What replies find, which no option of ours changes.
fn send_buffer(host: &Host, config: &Config) -> Finding {
    let found = at_least_wanted(host, config, WMEM_DEFAULT);
    // Not even the shortest replies of a turn have room.
    let turn = TURN_DATAGRAMS_MAX as u64 * SHORT_REPLY;
    let verdict = match host.sysctl(WMEM_DEFAULT) {
        Some(value) if value < turn => Verdict::WillLosePackets,
        _ => found.verdict,
    };
    Finding {
        check: "wmem",
        verdict,
        ..found
    }
}

/// Packets that wait for a CPU, and those for which there was no place.
fn backlog(host: &Host, config: &Config) -> Finding {
    let found = at_least_wanted(host, config, BACKLOG);
    let lost = softnet(host, 1).unwrap_or(0);
    if lost == 0 {
        return found;
    }
    let verdict = match found.verdict {
        Verdict::CouldBeBetter => Verdict::WillLosePackets,
        other => other,
    };
    Finding {
        verdict,
        value: format!("{}; {lost} packets lost since the boot", found.value),
        ..found
    }
}

/// What one round takes from the cards, and how often it ended too early.
fn budget(host: &Host, config: &Config, key: &'static str) -> Finding {
    let found = at_least_wanted(host, config, key);
    match softnet(host, 2) {
        Some(short) if short > 0 => Finding {
            value: format!("{}; {short} rounds ended early since the boot", found.value),
            ..found
        },
        _ => found,
    }
}

/// The sum over all CPUs of one column of `softnet_stat`: 1 is packets dropped, 2 rounds that ended early.
fn softnet(host: &Host, column: usize) -> Option<u64> {
    let text = host.read("proc/net/softnet_stat")?;
    let numbers = text.lines().filter_map(|line| {
        let word = line.split_whitespace().nth(column)?;
        u64::from_str_radix(word, 16).ok()
    });
    Some(numbers.sum())
}

/// A setting that should not be less than the drop-in has it.
fn at_least_wanted(host: &Host, config: &Config, key: &'static str) -> Finding {
    let wanted = sysctl::wanted(key, config).unwrap_or(0);
    let said = format!("{wanted} or more");
    let Some(value) = host.sysctl(key) else {
        return unread("backlog", key, said);
    };
    let verdict = if value >= wanted {
        Verdict::Good
    } else {
        Verdict::CouldBeBetter
    };
    Finding::new("backlog", verdict, value.to_string(), said)
        .about(key)
        .fix(sysctl::fix(key, config))
}

fn unread(check: &'static str, key: &'static str, wanted: String) -> Finding {
    Finding::not_known(check, "this kernel does not tell it", wanted).about(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::host::made_up::MadeUp;

    const UDP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
        \x20 83: 00000000:1B39 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 24541 2 0000000000000000 17\n\
        \x20 84: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 24542 2 0000000000000000 5\n";

    fn found(files: &[(&str, &str)], config: &Config, check: &str, about: &str) -> Finding {
        let findings = super::check(&MadeUp::with(files).host(), config);
        let mut named = findings.into_iter().filter(|found| {
            found.check == check && (about.is_empty() || found.about.as_deref() == Some(about))
        });
        named.next().unwrap()
    }

    #[test]
    fn a_receive_buffer_is_judged_by_what_the_configuration_asks_for() {
        let mut config = Config::default();
        let judged = |bytes: &str, config: &Config| {
            let files = [("proc/sys/net/core/rmem_max", bytes)];
            found(&files, config, "rmem", RMEM_MAX)
        };
        let small = judged("212992\n", &config);
        assert_eq!(small.verdict, Verdict::WillLosePackets);
        assert_eq!(small.fix.unwrap(), "sysctl -w net.core.rmem_max=16777216");
        assert_eq!(judged("4194304", &config).verdict, Verdict::CouldBeBetter);
        assert_eq!(judged("8388608", &config).verdict, Verdict::Good);
        config.workers.receive_buffer = 32 << 20;
        let small = judged("16777216", &config);
        assert_eq!(small.verdict, Verdict::CouldBeBetter);
        assert_eq!(small.fix.unwrap(), "sysctl -w net.core.rmem_max=33554432");
    }

    #[test]
    fn without_a_size_of_our_own_the_default_is_judged() {
        let mut config = Config::default();
        config.workers.receive_buffer = 0;
        let files = [("proc/sys/net/core/rmem_default", "212992")];
        let default = found(&files, &config, "rmem", RMEM_DEFAULT);
        assert_eq!(default.verdict, Verdict::WillLosePackets);
        assert!(default.fix.unwrap().contains("[workers]"));
        let files = [("proc/sys/net/core/rmem_default", "1048576")];
        assert_eq!(
            found(&files, &config, "rmem", RMEM_DEFAULT).verdict,
            Verdict::Good
        );
    }

    #[test]
    fn datagrams_that_were_lost_at_our_ports_are_told() {
        let mut config = Config::default();
        let files = [("proc/net/udp", UDP), ("proc/net/udp6", "header\n")];
        let lost = found(&files, &config, "drops", "");
        assert_eq!(lost.verdict, Verdict::CouldBeBetter);
        assert!(lost.value.starts_with("17 datagrams"), "{}", lost.value);
        config.udp[0].listen.set_port(7000);
        config.udp[1].listen.set_port(7000);
        assert_eq!(found(&files, &config, "drops", "").verdict, Verdict::Good);
        assert_eq!(found(&[], &config, "drops", "").verdict, Verdict::NotKnown);
    }

    #[test]
    fn replies_need_room_for_a_turn_at_least() {
        let config = Config::default();
        let judged = |bytes: &str| {
            let files = [("proc/sys/net/core/wmem_default", bytes)];
            found(&files, &config, "wmem", WMEM_DEFAULT).verdict
        };
        assert_eq!(judged("65536"), Verdict::WillLosePackets);
        assert_eq!(judged("212992"), Verdict::CouldBeBetter);
        assert_eq!(judged("1048576"), Verdict::Good);
        assert_eq!(
            found(&[], &config, "wmem", WMEM_DEFAULT).verdict,
            Verdict::NotKnown
        );
    }

    #[test]
    fn a_backlog_that_is_short_and_has_overflowed_loses_packets() {
        let config = Config::default();
        let judged = |len: &str, softnet: &str| {
            let files = [
                ("proc/sys/net/core/netdev_max_backlog", len),
                ("proc/net/softnet_stat", softnet),
            ];
            found(&files, &config, "backlog", BACKLOG)
        };
        let quiet = "00ff 00000000 00000003 0\n00ff 00000000 00000000 0\n";
        let lossy = "00ff 00000000 00000003 0\n00ff 00000010 00000000 0\n";
        assert_eq!(judged("1000", quiet).verdict, Verdict::CouldBeBetter);
        let lost = judged("1000", lossy);
        assert_eq!(lost.verdict, Verdict::WillLosePackets);
        assert_eq!(lost.value, "1000; 16 packets lost since the boot");
        assert_eq!(judged("16384", lossy).verdict, Verdict::Good);
        assert_eq!(judged("16384", "").verdict, Verdict::Good);
        assert_eq!(
            found(&[], &config, "backlog", BACKLOG).verdict,
            Verdict::NotKnown
        );
    }

    #[test]
    fn budgets_and_waiting_connections_are_judged_by_the_drop_in() {
        let mut config = Config::default();
        let files = [
            ("proc/sys/net/core/netdev_budget", "300"),
            ("proc/sys/net/core/netdev_budget_usecs", "8000"),
            ("proc/sys/net/core/somaxconn", "4096"),
            ("proc/net/softnet_stat", "00ff 00000000 00000003 0\n"),
        ];
        let budget = found(&files, &config, "backlog", BUDGETS[0]);
        assert_eq!(budget.verdict, Verdict::CouldBeBetter);
        assert_eq!(budget.value, "300; 3 rounds ended early since the boot");
        let usecs = found(&files, &config, "backlog", BUDGETS[1]);
        assert_eq!(usecs.verdict, Verdict::Good);
        let waiting = found(&files, &config, "backlog", SOMAXCONN);
        assert_eq!(waiting.fix.unwrap(), "sysctl -w net.core.somaxconn=16384");
        config.http.clear();
        let all = super::check(&MadeUp::with(&files).host(), &config);
        assert!(
            all.iter()
                .all(|found| found.about.as_deref() != Some(SOMAXCONN))
        );
    }

    #[test]
    fn what_is_judged_by_the_drop_in_stands_in_it() {
        let config = Config::default();
        let keys = [RMEM_MAX, WMEM_DEFAULT, BACKLOG, SOMAXCONN];
        for key in keys.into_iter().chain(BUDGETS) {
            let wanted = sysctl::wanted(key, &config);
            assert!(wanted.is_some_and(|value| value > 0), "{key}");
        }
        assert_eq!(sysctl::wanted("kernel.io_uring_disabled", &config), None);
        let asked = config.workers.receive_buffer;
        assert!(sysctl::wanted(RMEM_MAX, &config) >= Some(asked));
    }
}
