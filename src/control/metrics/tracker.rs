//! What the tracker knows beside its counters: turns, queues, the store, lists, certificates.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::path::Path;

use ipnet::IpNet;
use nix::sys::statvfs::statvfs;

use super::page::{Metric, Page, Value};
use super::requests::NO_ROOM;
use crate::control::counters::Login;
use crate::control::state::Parts;
use crate::counters::UniqueSet;
use crate::gate::access::HashAccess;
use crate::limits::HANDOVER_QUEUE_LEN;

/// Values of a label that strangers can make must be few.
const OFFENDERS_TOLD: usize = 10;

static BUILD: Metric = Metric::gauge(
    "shoal_build_info",
    &["version", "arch", "backend"],
    "Always 1: which shoal runs here, and how datagrams come and go",
);
static MODE: Metric = Metric::gauge(
    "shoal_access_mode_info",
    &["mode"],
    "Always 1: which torrents are served, and to whom",
);
static STARTED: Metric = Metric::gauge(
    "shoal_start_time_seconds",
    &[],
    "When the tracker started, in Unix time",
);
static INTERVAL: Metric = Metric::gauge(
    "shoal_announce_interval_seconds",
    &[],
    "What announce.interval asks clients to wait",
);
static BUDGET: Metric = Metric::gauge(
    "shoal_swarm_memory_budget_bytes",
    &[],
    "What swarm.memory_budget allows all swarms together; absent without a budget",
);
static CONNECTIONS_MAX: Metric = Metric::gauge(
    "shoal_http_connections_limit",
    &[],
    "What connections.max allows all HTTP threads together",
);
static TURN_TIME: Metric = Metric::histogram(
    "shoal_turn_seconds",
    &["core"],
    "Time of a turn, from behind one wait for the kernel to the next",
);
static TURN_BATCH: Metric = Metric::histogram(
    "shoal_turn_datagrams",
    &["core"],
    "Datagrams that a turn brought; above the last bound it took all there was room for",
);
static QUEUE: Metric = Metric::gauge(
    "shoal_queue_length",
    &["core"],
    "Requests of other threads that wait in front of a core",
);
static QUEUE_MAX: Metric = Metric::gauge(
    "shoal_queue_limit",
    &[],
    "Requests that may wait in front of a core; further ones are dropped as handover_full or answered as overloaded",
);
static ADDRESSES: Metric = Metric::gauge(
    "shoal_unique_addresses",
    &[],
    "About how many addresses have announced in this hour of UTC, of IPv6 networks of 64 bits",
);
static SOFTWARE: Metric = Metric::counter(
    "shoal_client_announces_total",
    &["client"],
    "Announces that were admitted, by the software that the peer id names; what has no name is other",
);
static OFFENDERS: Metric = Metric::gauge(
    "shoal_offender_refused",
    &["network"],
    "Requests of the ten networks that were turned away most lately for asking too often, halved each minute",
);
static SNAPSHOTS: Metric = Metric::counter(
    "shoal_snapshots_total",
    &["result"],
    "Snapshots of the swarms",
);
static SNAPSHOT_BYTES: Metric = Metric::counter(
    "shoal_snapshot_written_bytes_total",
    &[],
    "Bytes of blocks that were written for snapshots",
);
static SNAPSHOT_INTERVAL: Metric = Metric::gauge(
    "shoal_snapshot_interval_seconds",
    &[],
    "What store.snapshot_interval says; 0 is only at the end",
);
static SNAPSHOT_TIME: Metric = Metric::gauge(
    "shoal_snapshot_last_timestamp_seconds",
    &[],
    "When the last good snapshot was begun, in Unix time; absent before the first",
);
static SNAPSHOT_TOOK: Metric = Metric::gauge(
    "shoal_snapshot_last_duration_seconds",
    &[],
    "How long the last good snapshot took",
);
static SNAPSHOT_TORRENTS: Metric = Metric::gauge(
    "shoal_snapshot_last_torrents",
    &[],
    "Torrents in the last good snapshot",
);
static SNAPSHOT_PEERS: Metric = Metric::gauge(
    "shoal_snapshot_last_peers",
    &[],
    "Peers in the last good snapshot",
);
static RESTORED_TORRENTS: Metric = Metric::gauge(
    "shoal_restored_torrents",
    &[],
    "Torrents that came back at the start",
);
static RESTORED_PEERS: Metric = Metric::gauge(
    "shoal_restored_peers",
    &["result"],
    "Peers that were to come back at the start",
);
static STORE_FILES: Metric = Metric::gauge(
    "shoal_store_file_bytes",
    &["file"],
    "Bytes of the files of the store",
);
static STORE_FREE: Metric = Metric::gauge(
    "shoal_store_free_bytes",
    &[],
    "Bytes that are free on the disk of the store",
);
static LISTS: Metric = Metric::gauge(
    "shoal_list_entries",
    &["list"],
    "Entries of lists; what both a file and the store have counts twice",
);
static CERTIFICATE: Metric = Metric::gauge(
    "shoal_certificate_expiry_timestamp_seconds",
    &["certificate"],
    "When the certificate in use runs out, in Unix time",
);
static CONTROL_ANSWERS: Metric = Metric::counter(
    "shoal_control_answers_total",
    &["status"],
    "Requests that the control server answered, by the first digit of the status",
);
static CONTROL_DENIED: Metric = Metric::counter(
    "shoal_control_auth_failures_total",
    &[],
    "Requests to the control server without a token that is good where one was needed",
);
static CONTROL_CONNECTIONS: Metric = Metric::counter(
    "shoal_control_connections_lost_total",
    &["reason"],
    "Connections of the control server that were closed to make room, found none, or could not be accepted",
);
static LOGINS: Metric = Metric::counter(
    "shoal_control_logins_total",
    &["result"],
    "Attempts to log in to the pages; delayed ones had to wait after too many that were wrong",
);
static LOGOUTS: Metric =
    Metric::counter("shoal_control_logouts_total", &[], "Users who logged out");
static SESSIONS: Metric = Metric::gauge(
    "shoal_control_sessions",
    &[],
    "Sessions of users who are logged in to the pages",
);
static REFUSALS: Metric = Metric::counter(
    "shoal_control_changes_refused_total",
    &["reason"],
    "Forms of the pages that were refused before anything was changed",
);

/// All of this file.
pub(super) static METRICS: [&Metric; 33] = [
    &BUILD,
    &MODE,
    &STARTED,
    &INTERVAL,
    &BUDGET,
    &CONNECTIONS_MAX,
    &TURN_TIME,
    &TURN_BATCH,
    &QUEUE,
    &QUEUE_MAX,
    &ADDRESSES,
    &SOFTWARE,
    &OFFENDERS,
    &SNAPSHOTS,
    &SNAPSHOT_BYTES,
    &SNAPSHOT_INTERVAL,
    &SNAPSHOT_TIME,
    &SNAPSHOT_TOOK,
    &SNAPSHOT_TORRENTS,
    &SNAPSHOT_PEERS,
    &RESTORED_TORRENTS,
    &RESTORED_PEERS,
    &STORE_FILES,
    &STORE_FREE,
    &LISTS,
    &CERTIFICATE,
    &CONTROL_ANSWERS,
    &CONTROL_DENIED,
    &CONTROL_CONNECTIONS,
    &LOGINS,
    &LOGOUTS,
    &SESSIONS,
    &REFUSALS,
];

/// Everything of this file.
pub(super) fn collect(state: &Parts, page: &mut Page) {
    let config = &state.config;
    let version = env!("CARGO_PKG_VERSION");
    page.family(&BUILD)
        .add(&[version, ARCH, state.backend], 1_u64);
    let now = state.clock.now();
    page.set(&STARTED, now.unix_s.saturating_sub(now.uptime_s.into()));
    page.set(&INTERVAL, u64::from(config.announce.interval));
    let budget = config.swarm.memory_budget;
    page.set_known(&BUDGET, (budget > 0).then_some(budget));
    if !state.http_threads.is_empty() {
        page.set(&CONNECTIONS_MAX, config.connections.max);
    }
    turns(state, page);
    crowd(state, page);
    offenders(state, page);
    if let Some(totals) = state.store_totals() {
        page.family(&SNAPSHOTS)
            .add(&["written"], totals.written)
            .add(&["failed"], totals.failed);
        page.set(&SNAPSHOT_BYTES, totals.bytes_written);
        page.set(
            &SNAPSHOT_INTERVAL,
            u64::from(config.store.snapshot_interval),
        );
        if totals.last_unix_s > 0 {
            page.set(&SNAPSHOT_TIME, totals.last_unix_s);
            page.set(&SNAPSHOT_TOOK, totals.last_ms as f64 / 1000.0);
            page.set(&SNAPSHOT_TORRENTS, totals.last_torrents);
            page.set(&SNAPSHOT_PEERS, totals.last_peers);
        }
        page.set(&RESTORED_TORRENTS, totals.restored_torrents);
        page.family(&RESTORED_PEERS)
            .add(&["restored"], totals.restored_peers)
            .add(&["expired"], totals.expired_peers)
            .add(&["refused"], totals.refused_peers)
            .add(&["not_admitted"], totals.unwelcome_peers);
        page.family(&STORE_FILES)
            .add(&["swarms"], totals.file_bytes);
        let disk = statvfs(Path::new(&config.store.path));
        // `fsblkcnt_t` is smaller on some systems.
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
        let free = disk.map(|disk| disk.blocks_available() as u64 * disk.fragment_size() as u64);
        page.set_known(&STORE_FREE, free.ok());
    }
    if let Some(records) = state.registrar.records() {
        page.family(&STORE_FILES)
            .add(&["records"], records.file_len());
    }
    access(state, page);
    let control = state.counters.read();
    for (class, n) in ["1xx", "2xx", "3xx", "4xx", "5xx"]
        .iter()
        .zip(control.answered)
    {
        page.family(&CONTROL_ANSWERS).add(&[class], n);
    }
    page.set(&CONTROL_DENIED, control.auth_failures);
    page.family(&CONTROL_CONNECTIONS)
        .add(&["evicted"], control.evicted)
        .add(&["refused"], control.refused)
        .add(&["accept_failed"], control.accept_failed);
    for login in Login::ALL {
        page.family(&LOGINS)
            .add(&[login.name()], control.logins(login));
    }
    page.set(&LOGOUTS, control.logouts);
    page.set(&SESSIONS, state.sessions.open(now.uptime_s) as u64);
    for (table, n) in state.sessions.let_go() {
        page.family(&NO_ROOM).add(&[table], n);
    }
    for (reason, n) in control.refusals() {
        page.family(&REFUSALS).add(&[reason], n);
    }
}

/// What goes through the cores.
fn turns(state: &Parts, page: &mut Page) {
    for (number, counters) in state.cores.iter().enumerate() {
        let (core, turns) = (number.to_string(), counters.turns());
        let time = Value::Sizes(turns.time_ns(), 1e9);
        page.family(&TURN_TIME).add(&[&core], time);
        let batch = Value::Sizes(turns.batch(), 1.0);
        page.family(&TURN_BATCH).add(&[&core], batch);
        let waiting = state.collector.waiting(number);
        page.family(&QUEUE).add(&[&core], waiting);
    }
    page.set(&QUEUE_MAX, HANDOVER_QUEUE_LEN);
}

/// Who announces.
fn crowd(state: &Parts, page: &mut Page) {
    let mut addresses = UniqueSet::default();
    for counters in state.cores.iter().chain(&state.http_threads) {
        counters.crowd.read_addresses(&mut addresses);
    }
    page.set(&ADDRESSES, addresses.estimate());
    // Letters of a peer id are for anybody to choose; only names that we gave are few.
    let mut other = 0;
    for (name, announces) in state.history.software().by_name() {
        if name.starts_with('-') || name == "other" {
            other += announces;
        } else {
            page.family(&SOFTWARE).add(&[&name], announces);
        }
    }
    page.family(&SOFTWARE).add(&["other"], other);
}

/// Who asks too often. Addresses are whole only where nobody else reads the page.
fn offenders(state: &Parts, page: &mut Page) {
    let is_whole = state.config.log.full_addresses && !state.config.control.public_stats;
    let mut networks: BTreeMap<IpNet, u64> = BTreeMap::new();
    for offender in state.offenders(OFFENDERS_TOLD) {
        let prefix = offender.prefix;
        let network = if is_whole {
            prefix.net()
        } else {
            prefix.masked()
        };
        *networks.entry(network).or_default() += offender.refused;
    }
    for (network, refused) in networks {
        page.family(&OFFENDERS)
            .add(&[&network.to_string()], refused);
    }
}

/// Who may use the tracker.
fn access(state: &Parts, page: &mut Page) {
    let access = state.registrar.access().load();
    page.family(&MODE).add(&[access.mode.name()], 1_u64);
    let sum = |len: fn(&HashAccess) -> usize| access.hashes.iter().map(len).sum::<usize>();
    let networks = access.blocked.len() + access.blocked_by_store.len();
    page.family(&LISTS)
        .add(&["allowed_torrents"], sum(|hashes| hashes.allowed.len()))
        .add(&["blocked_torrents"], sum(|hashes| hashes.blocked.len()))
        .add(&["blocked_networks"], networks)
        .add(&["blocked_clients"], access.clients.len())
        .add(&["keys"], access.keys.len());
    let mut seen = Vec::new();
    for tls in &state.certificates {
        let path = &tls.files().certificate;
        // Several listeners may have one.
        if !seen.contains(&path) {
            let name = path.to_string_lossy();
            page.family(&CERTIFICATE)
                .add(&[&name], tls.expires_unix_s());
            seen.push(path);
        }
    }
}
