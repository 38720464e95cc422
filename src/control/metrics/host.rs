//! What the kernel says in files: what it lost, and what this process uses. A file that is not there has no
//! metric.

use std::collections::BTreeMap;

use nix::unistd::{SysconfVar, sysconf};

use super::page::{Metric, Page};
use crate::doctor::host::Host;
use crate::net::port_owner::sockets_in;

static SOCKET_DROPS: Metric = Metric::counter(
    "shoal_socket_drops_total",
    &["core", "family"],
    "Datagrams that the kernel dropped at a core's sockets, because a queue was full or because of the sieve",
);
static SOCKET_QUEUE: Metric = Metric::gauge(
    "shoal_socket_queue_bytes",
    &["core", "family"],
    "Memory of datagrams that wait in the queue of a core's sockets",
);
static UDP_DATAGRAMS: Metric = Metric::counter(
    "shoal_kernel_udp_datagrams_total",
    &["family", "direction"],
    "Datagrams of all programs of this host",
);
static UDP_ERRORS: Metric = Metric::counter(
    "shoal_kernel_udp_errors_total",
    &["family", "reason"],
    "Datagrams of all programs of this host that the kernel dropped; receive_buffer is RcvbufErrors",
);
static LISTEN_DROPS: Metric = Metric::counter(
    "shoal_kernel_listen_drops_total",
    &["reason"],
    "TCP connections of all programs of this host that found no room: overflow is of the queue of accept, \
     drop is for any reason",
);
static SOFTNET_DROPPED: Metric = Metric::counter(
    "shoal_kernel_softnet_dropped_total",
    &["cpu"],
    "Packets for which a CPU's backlog had no room (net.core.netdev_max_backlog)",
);
static SOFTNET_SQUEEZED: Metric = Metric::counter(
    "shoal_kernel_softnet_squeezed_total",
    &["cpu"],
    "Rounds of a CPU that ended with packets left (net.core.netdev_budget)",
);
static CONNTRACK: Metric = Metric::gauge(
    "shoal_kernel_conntrack_entries",
    &[],
    "Entries in the table of connection tracking",
);
static CONNTRACK_MAX: Metric = Metric::gauge(
    "shoal_kernel_conntrack_entries_limit",
    &[],
    "Entries that the table of connection tracking has room for",
);
static CONNTRACK_LOST: Metric = Metric::counter(
    "shoal_kernel_conntrack_lost_total",
    &["reason"],
    "Packets dropped, or entries not made or made way, for a full table of connection tracking",
);
static NIC_LOST: Metric = Metric::counter(
    "shoal_nic_lost_total",
    &["interface", "reason"],
    "Packets that a network card or its driver lost; rx_missed is for lack of room in its ring",
);
static NIC_PACKETS: Metric = Metric::counter(
    "shoal_nic_packets_total",
    &["interface", "direction"],
    "Packets of a network card",
);
static NIC_BYTES: Metric = Metric::counter(
    "shoal_nic_bytes_total",
    &["interface", "direction"],
    "Bytes of a network card",
);
static THREAD_CPU: Metric = Metric::counter(
    "shoal_thread_cpu_seconds_total",
    &["thread"],
    "CPU time of threads of this name, in the kernel too",
);
static THREAD_WAIT: Metric = Metric::counter(
    "shoal_thread_wait_seconds_total",
    &["thread"],
    "Time that threads of this name could have run, but others had the CPU",
);
static CPU: Metric = Metric::counter(
    "shoal_process_cpu_seconds_total",
    &["mode"],
    "CPU time of this process",
);
static RESIDENT: Metric = Metric::gauge(
    "shoal_process_resident_memory_bytes",
    &[],
    "Memory of this process that is in RAM",
);
static VIRTUAL: Metric = Metric::gauge(
    "shoal_process_virtual_memory_bytes",
    &[],
    "Address space of this process",
);
static LOCKED: Metric = Metric::gauge(
    "shoal_process_locked_memory_bytes",
    &[],
    "Memory of this process that is locked",
);
static FILES: Metric = Metric::gauge(
    "shoal_process_open_files",
    &[],
    "Open files and sockets of this process",
);
static FILES_MAX: Metric = Metric::gauge(
    "shoal_process_open_files_limit",
    &[],
    "Files that this process may open",
);
static THREADS: Metric = Metric::gauge("shoal_process_threads", &[], "Threads of this process");

/// All of this file.
pub(super) static METRICS: [&Metric; 22] = [
    &SOCKET_DROPS,
    &SOCKET_QUEUE,
    &UDP_DATAGRAMS,
    &UDP_ERRORS,
    &LISTEN_DROPS,
    &SOFTNET_DROPPED,
    &SOFTNET_SQUEEZED,
    &CONNTRACK,
    &CONNTRACK_MAX,
    &CONNTRACK_LOST,
    &NIC_LOST,
    &NIC_PACKETS,
    &NIC_BYTES,
    &THREAD_CPU,
    &THREAD_WAIT,
    &CPU,
    &RESIDENT,
    &VIRTUAL,
    &LOCKED,
    &FILES,
    &FILES_MAX,
    &THREADS,
];

/// How the kernel names what befalls datagrams, and how we do.
const UDP_REASONS: [(&str, &str); 5] = [
    ("RcvbufErrors", "receive_buffer"),
    ("SndbufErrors", "send_buffer"),
    ("InCsumErrors", "checksum"),
    ("MemErrors", "memory"),
    ("NoPorts", "no_port"),
];

/// What a card counts of what it lost.
const NIC_REASONS: [&str; 9] = [
    "rx_missed_errors",
    "rx_fifo_errors",
    "rx_over_errors",
    "rx_dropped",
    "rx_errors",
    "rx_nohandler",
    "tx_fifo_errors",
    "tx_dropped",
    "tx_errors",
];

/// Cards that are told of, at most: a host of containers has thousands of something like cards.
const CARDS_MAX: usize = 32;

/// Everything that the files of `host` say; `sockets` are core and inode of the tracker's own.
pub(super) fn collect(host: &Host, sockets: &[(usize, u64)], page: &mut Page) {
    our_sockets(host, sockets, page);
    udp(host, page);
    if let Some(text) = host.read("proc/net/netstat") {
        let table = paired(&text, "TcpExt:");
        for (name, reason) in [("ListenOverflows", "overflow"), ("ListenDrops", "drop")] {
            if let Some(n) = table.get(name) {
                page.family(&LISTEN_DROPS).add(&[reason], *n);
            }
        }
    }
    softnet(host, page);
    conntrack(host, page);
    cards(host, page);
    threads(host, page);
    process(host, page);
}

fn our_sockets(host: &Host, sockets: &[(usize, u64)], page: &mut Page) {
    for (table, family) in [("proc/net/udp", "ip4"), ("proc/net/udp6", "ip6")] {
        let text = host.read(table).unwrap_or_default();
        let mut by_core: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
        for socket in sockets_in(&text) {
            let ours = sockets.iter().find(|(_, inode)| *inode == socket.inode);
            if let Some((core, _)) = ours {
                let (drops, queued) = by_core.entry(*core).or_default();
                *drops += socket.drops;
                *queued += socket.queued_bytes;
            }
        }
        for (core, (drops, queued)) in by_core {
            let core = core.to_string();
            page.family(&SOCKET_DROPS).add(&[&core, family], drops);
            page.family(&SOCKET_QUEUE).add(&[&core, family], queued);
        }
    }
}

fn udp(host: &Host, page: &mut Page) {
    let v4 = host.read("proc/net/snmp").unwrap_or_default();
    let v6 = host.read("proc/net/snmp6").unwrap_or_default();
    let tables = [("ip4", paired(&v4, "Udp:")), ("ip6", listed(&v6, "Udp6"))];
    for (family, table) in tables {
        for (name, direction) in [("InDatagrams", "in"), ("OutDatagrams", "out")] {
            if let Some(n) = table.get(name) {
                page.family(&UDP_DATAGRAMS).add(&[family, direction], *n);
            }
        }
        for (name, reason) in UDP_REASONS {
            if let Some(n) = table.get(name) {
                page.family(&UDP_ERRORS).add(&[family, reason], *n);
            }
        }
    }
}

/// A line of names and a line of numbers, which begin alike.
fn paired<'a>(text: &'a str, start: &str) -> BTreeMap<&'a str, u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(start));
    let (names, numbers) = (lines.next(), lines.next());
    let names = names.unwrap_or_default().split_whitespace();
    let numbers = numbers.unwrap_or_default().split_whitespace();
    let pairs = names.zip(numbers);
    pairs
        .filter_map(|(name, n)| Some((name, n.parse().ok()?)))
        .collect()
}

/// A line a name, of which those that begin alike.
fn listed<'a>(text: &'a str, start: &str) -> BTreeMap<&'a str, u64> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(start));
    let pairs = lines.filter_map(|line| {
        let (name, n) = line.split_once(char::is_whitespace)?;
        Some((name, n.trim().parse().ok()?))
    });
    pairs.collect()
}

/// A line a CPU that is online: packets, dropped, squeezed, and in the 13th column which CPU it is.
fn softnet(host: &Host, page: &mut Page) {
    let text = host.read("proc/net/softnet_stat").unwrap_or_default();
    for (row, line) in text.lines().enumerate() {
        let number = |word: &str| u64::from_str_radix(word, 16).ok();
        let columns: Vec<u64> = line.split_whitespace().filter_map(number).collect();
        let cpu = columns.get(12).copied().unwrap_or(row as u64).to_string();
        if let [_, dropped, squeezed, ..] = columns[..] {
            page.family(&SOFTNET_DROPPED).add(&[&cpu], dropped);
            page.family(&SOFTNET_SQUEEZED).add(&[&cpu], squeezed);
        }
    }
}

fn conntrack(host: &Host, page: &mut Page) {
    page.set_known(&CONNTRACK, host.sysctl("net.netfilter.nf_conntrack_count"));
    let max = host.sysctl("net.netfilter.nf_conntrack_max");
    page.set_known(&CONNTRACK_MAX, max);
    // A row a CPU, below the names of the columns.
    let Some(text) = host.read("proc/net/stat/nf_conntrack") else {
        return;
    };
    let mut lines = text.lines();
    let names: Vec<&str> = lines
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let rows: Vec<Vec<&str>> = lines
        .map(|line| line.split_whitespace().collect())
        .collect();
    for reason in ["drop", "early_drop", "insert_failed"] {
        if let Some(column) = names.iter().position(|name| *name == reason) {
            let words = rows.iter().filter_map(|row| row.get(column));
            let sum = words.filter_map(|word| u64::from_str_radix(word, 16).ok());
            page.family(&CONNTRACK_LOST)
                .add(&[reason], sum.sum::<u64>());
        }
    }
}

/// Cards with a device behind them; where there are none, as in a container, whatever is not loopback.
fn cards(host: &Host, page: &mut Page) {
    let mut names = host.names("sys/class/net");
    names.retain(|name| name != "lo");
    let is_card = |name: &String| host.has(&format!("sys/class/net/{name}/device"));
    if names.iter().any(is_card) {
        names.retain(is_card);
    }
    names.truncate(CARDS_MAX);
    for name in &names {
        let counted = |what: &str| host.number(&format!("sys/class/net/{name}/statistics/{what}"));
        for reason in NIC_REASONS {
            if let Some(n) = counted(reason) {
                let word = reason.strip_suffix("_errors").unwrap_or(reason);
                page.family(&NIC_LOST).add(&[name, word], n);
            }
        }
        for (metric, unit) in [(&NIC_PACKETS, "packets"), (&NIC_BYTES, "bytes")] {
            for (prefix, direction) in [("rx", "in"), ("tx", "out")] {
                if let Some(n) = counted(&format!("{prefix}_{unit}")) {
                    page.family(metric).add(&[name, direction], n);
                }
            }
        }
    }
}

/// What each thread had of the CPU, in nanoseconds; those of one name together.
fn threads(host: &Host, page: &mut Page) {
    let mut by_name: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for task in host.names("proc/self/task") {
        let read = |file| host.read(&format!("proc/self/task/{task}/{file}"));
        // A thread may end meanwhile.
        let (Some(name), Some(times)) = (read("comm"), read("schedstat")) else {
            continue;
        };
        let mut times = times.split_whitespace().map(str::parse::<u64>);
        if let (Some(Ok(ran)), Some(Ok(waited))) = (times.next(), times.next()) {
            let sums = by_name.entry(name).or_default();
            sums.0 += ran;
            sums.1 += waited;
        }
    }
    for (name, (ran, waited)) in &by_name {
        page.family(&THREAD_CPU).add(&[name], *ran as f64 / 1e9);
        page.family(&THREAD_WAIT).add(&[name], *waited as f64 / 1e9);
    }
}

fn process(host: &Host, page: &mut Page) {
    let kibibytes = |name| {
        let value = host.status(name)?;
        let number = value.strip_suffix("kB")?.trim().parse::<u64>().ok()?;
        Some(number * 1024)
    };
    page.set_known(&RESIDENT, kibibytes("VmRSS"));
    page.set_known(&VIRTUAL, kibibytes("VmSize"));
    page.set_known(&LOCKED, kibibytes("VmLck"));
    let threads = host.status("Threads").and_then(|n| n.parse::<u64>().ok());
    page.set_known(&THREADS, threads);
    page.set_known(&FILES, host.count("proc/self/fd"));
    page.set_known(&FILES_MAX, host.soft_limit("Max open files"));
    let Some(stat) = host.read("proc/self/stat") else {
        return;
    };
    // The name may hold anything; behind it come state, the 3rd field, and numbers.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let mut fields = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100) as f64;
    for mode in ["user", "system"] {
        if let Some(Ok(used)) = fields.next() {
            page.family(&CPU).add(&[mode], used as f64 / ticks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::Format;
    use super::*;
    use crate::doctor::host::made_up::MadeUp;

    const FILES: [(&str, &str); 24] = [
        (
            "proc/net/udp",
            "  sl  local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode ref pointer drops\n\
             83: 00000000:1B39 00000000:0000 07 00000000:00000A00 00:0 0 0 0 501 2 0 17\n\
             84: 00000000:1B39 00000000:0000 07 00000000:00000000 00:0 0 0 0 502 2 0 3\n\
             85: 00000000:1B3A 00000000:0000 07 00000000:00000000 00:0 0 0 0 503 2 0 4\n\
             86: 00000000:0035 00000000:0000 07 00000000:00000000 00:0 0 0 0 999 2 0 1000\n",
        ),
        ("proc/net/udp6", "header\n"),
        (
            "proc/net/snmp",
            "Ip: Forwarding\nIp: 1\n\
             Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors\n\
             Udp: 100 2 3 90 33 4 5 6 7\nUdpLite: InDatagrams\nUdpLite: 0\n",
        ),
        (
            "proc/net/snmp6",
            "Ip6InReceives 5\nUdp6InDatagrams                 \t11\nUdp6RcvbufErrors \t12\n",
        ),
        (
            "proc/net/netstat",
            "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 0 8 9\n",
        ),
        (
            "proc/net/softnet_stat",
            "00ff 0000000a 00000003 0 0 0 0 0 0 0 0 0 00000000\n\
             00ff 00000000 00000010 0 0 0 0 0 0 0 0 0 00000005\n",
        ),
        ("proc/sys/net/netfilter/nf_conntrack_count", "1000\n"),
        ("proc/sys/net/netfilter/nf_conntrack_max", "262144\n"),
        (
            "proc/net/stat/nf_conntrack",
            "entries clashres found insert insert_failed drop early_drop\n\
             00000100 0 0 0 00000001 0000000a 0\n00000100 0 0 0 00000002 00000010 0\n",
        ),
        ("sys/class/net/lo/statistics/rx_packets", "1\n"),
        ("sys/class/net/docker0/statistics/rx_packets", "2\n"),
        ("sys/class/net/eth0/device/vendor", "x\n"),
        ("sys/class/net/eth0/statistics/rx_missed_errors", "42\n"),
        ("sys/class/net/eth0/statistics/rx_packets", "4000\n"),
        ("sys/class/net/eth0/statistics/tx_bytes", "5000\n"),
        ("proc/self/task/10/comm", "core-0\n"),
        ("proc/self/task/10/schedstat", "1500000000 250000000 7\n"),
        ("proc/self/task/11/comm", "odd \"\\\nname\n"),
        ("proc/self/task/11/schedstat", "1 2 3\n"),
        (
            "proc/self/status",
            "Name:\tshoal\nVmSize:\t 2048 kB\nVmLck:\t  8 kB\nVmRSS:\t 1024 kB\nThreads:\t9\n",
        ),
        (
            "proc/self/stat",
            "10 (a) b) S 1 1 1 0 -1 0 0 0 0 0 250 50 0 0 20 0 9 0 100 0 0\n",
        ),
        (
            "proc/self/limits",
            "Limit  Soft Limit  Hard Limit  Units\nMax open files   1024   524288   files\n",
        ),
        ("proc/self/fd/0", ""),
        ("proc/self/fd/1", ""),
    ];

    fn text(files: &[(&str, &str)]) -> String {
        let made_up = MadeUp::with(files);
        let mut page = Page::default();
        let sockets = [(0, 501), (1, 502), (0, 503)];
        collect(&Host::of_ourselves(made_up.root()), &sockets, &mut page);
        page.write(Format::Classic).unwrap()
    }

    #[test]
    fn every_file_of_the_kernel_is_read() {
        let text = text(&FILES);
        for line in [
            "shoal_socket_drops_total{core=\"0\",family=\"ip4\"} 21",
            "shoal_socket_drops_total{core=\"1\",family=\"ip4\"} 3",
            "shoal_socket_queue_bytes{core=\"0\",family=\"ip4\"} 2560",
            "shoal_kernel_udp_datagrams_total{family=\"ip4\",direction=\"in\"} 100",
            "shoal_kernel_udp_errors_total{family=\"ip4\",reason=\"receive_buffer\"} 33",
            "shoal_kernel_udp_errors_total{family=\"ip6\",reason=\"receive_buffer\"} 12",
            "shoal_kernel_listen_drops_total{reason=\"overflow\"} 8",
            "shoal_kernel_softnet_dropped_total{cpu=\"0\"} 10",
            "shoal_kernel_softnet_squeezed_total{cpu=\"5\"} 16",
            "shoal_kernel_conntrack_entries 1000",
            "shoal_kernel_conntrack_entries_limit 262144",
            "shoal_kernel_conntrack_lost_total{reason=\"drop\"} 26",
            "shoal_kernel_conntrack_lost_total{reason=\"insert_failed\"} 3",
            "shoal_nic_lost_total{interface=\"eth0\",reason=\"rx_missed\"} 42",
            "shoal_nic_packets_total{interface=\"eth0\",direction=\"in\"} 4000",
            "shoal_nic_bytes_total{interface=\"eth0\",direction=\"out\"} 5000",
            "shoal_thread_cpu_seconds_total{thread=\"core-0\"} 1.5",
            "shoal_thread_wait_seconds_total{thread=\"core-0\"} 0.25",
            "shoal_thread_cpu_seconds_total{thread=\"odd \\\"\\\\\\nname\"} 1e-9",
            "shoal_process_cpu_seconds_total{mode=\"user\"} 2.5",
            "shoal_process_cpu_seconds_total{mode=\"system\"} 0.5",
            "shoal_process_resident_memory_bytes 1048576",
            "shoal_process_virtual_memory_bytes 2097152",
            "shoal_process_locked_memory_bytes 8192",
            "shoal_process_open_files 2",
            "shoal_process_open_files_limit 1024",
            "shoal_process_threads 9",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        for other in ["\"lo\"", "docker0", "udplite"] {
            assert!(!text.contains(other), "{other}");
        }
        for metric in METRICS {
            assert!(
                text.contains(&format!("# TYPE {} ", metric.name)),
                "{}",
                metric.name
            );
        }
    }

    #[test]
    fn where_there_is_no_card_everything_but_loopback_is_told() {
        let files: Vec<_> = FILES
            .into_iter()
            .filter(|(path, _)| !path.contains("/device/"))
            .collect();
        let text = text(&files);
        assert!(text.contains("docker0") && text.contains("eth0") && !text.contains("\"lo\""));
    }

    #[test]
    fn a_kernel_that_tells_nothing_has_no_metrics() {
        assert_eq!(text(&[]), "");
    }

    #[test]
    fn files_that_are_cut_short_or_hold_something_else_are_passed_over() {
        for (path, whole) in FILES {
            for len in (0..whole.len()).step_by(7) {
                text(&[(path, &whole[..len])]);
            }
            text(&[(path, "\u{1f41f}: ) \u{0} -1 99999999999999999999 x")]);
        }
    }
}
