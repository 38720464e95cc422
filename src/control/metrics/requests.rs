//! What the threads count: every [`Count`] there is.

use super::page::{Metric, Page};
use crate::control::state::Parts;
use crate::counters::{Count, Discard, Fault, Tally, Totals};

static REQUESTS: Metric = Metric::counter(
    "shoal_requests_total",
    &["protocol", "family", "kind"],
    "Requests that arrived; a connect over HTTP is a connection",
);
static ANSWERS: Metric = Metric::counter(
    "shoal_answers_total",
    &["protocol", "family", "kind"],
    "Requests that were answered as asked",
);
static ERRORS: Metric = Metric::counter(
    "shoal_errors_total",
    &["reason"],
    "Requests that were answered with an error",
);
static DROPPED: Metric = Metric::counter(
    "shoal_datagrams_dropped_total",
    &["reason"],
    "Datagrams that got no answer",
);
static IDS_REJECTED: Metric = Metric::counter(
    "shoal_connection_ids_rejected_total",
    &["reason"],
    "Connection ids that were refused; dropped datagrams and errors have them too",
);
static BAD_REQUESTS: Metric = Metric::counter(
    "shoal_http_bad_requests_total",
    &["reason"],
    "HTTP requests that reached no tracker, and connections that held none",
);
static TLS_FAILURES: Metric = Metric::counter(
    "shoal_tls_failures_total",
    &["reason"],
    "TLS handshakes that came to nothing",
);

static UDP_RECEIVED: Metric = Metric::counter(
    "shoal_udp_received_bytes_total",
    &["core"],
    "Bytes of UDP payload received",
);
static UDP_SENT: Metric = Metric::counter(
    "shoal_udp_sent_bytes_total",
    &["core"],
    "Bytes of UDP payload sent",
);
static HANDED_OVER: Metric = Metric::counter(
    "shoal_handed_over_total",
    &["core"],
    "Requests over UDP that this core gave to the one that owns their torrent",
);
static TAKEN_OVER: Metric = Metric::counter(
    "shoal_taken_over_total",
    &["core"],
    "Requests over UDP that this core took over from others",
);
static SEND_FAILURES: Metric = Metric::counter(
    "shoal_send_failures_total",
    &["core"],
    "Replies that the kernel refused to send",
);
static NOT_STORED: Metric = Metric::counter(
    "shoal_announces_not_stored_total",
    &["core", "reason"],
    "Announces answered but not stored, because of swarm.memory_budget: the swarm is large, the source came with many new torrents (or with more than flood.new_torrents), the torrent is new, or there is no room at all",
);
static COMPLETED: Metric = Metric::counter(
    "shoal_downloads_completed_total",
    &["core"],
    "Times that a leecher became a seeder",
);
static EXPIRED: Metric = Metric::counter(
    "shoal_peers_expired_total",
    &["core"],
    "Peers forgotten because they went silent",
);
static TURNS: Metric = Metric::counter(
    "shoal_turns_total",
    &["core"],
    "Turns of the loop, each one wait for the kernel",
);
static ASKED: Metric = Metric::counter(
    "shoal_http_questions_total",
    &["core"],
    "Questions of HTTP threads that a core dealt with; a scrape over several cores counts at each",
);
static HTTP_RECEIVED: Metric = Metric::counter(
    "shoal_http_received_bytes_total",
    &[],
    "Bytes of HTTP received, within TLS where there is any",
);
static HTTP_SENT: Metric = Metric::counter(
    "shoal_http_sent_bytes_total",
    &[],
    "Bytes of HTTP sent, within TLS where there is any",
);
static HTTP_SAVED: Metric = Metric::counter(
    "shoal_http_saved_bytes_total",
    &[],
    "Bytes that compression kept from being sent",
);
static TLS_HANDSHAKES: Metric = Metric::counter(
    "shoal_tls_handshakes_total",
    &[],
    "TLS handshakes that succeeded",
);
static TLS_RESUMED: Metric = Metric::counter(
    "shoal_tls_resumed_total",
    &[],
    "TLS handshakes that resumed an earlier session",
);
static CONNECTIONS_EVICTED: Metric = Metric::counter(
    "shoal_http_connections_evicted_total",
    &[],
    "Connections closed to make room for newer ones",
);
static CONNECTIONS_REFUSED: Metric = Metric::counter(
    "shoal_http_connections_refused_total",
    &[],
    "Connections that found no room",
);
static CONNECTIONS_IDLED_OUT: Metric = Metric::counter(
    "shoal_http_connections_idled_out_total",
    &[],
    "Connections closed because nothing came for connections.idle_timeout",
);
static CONNECTIONS_ABORTED: Metric = Metric::counter(
    "shoal_http_connections_aborted_total",
    &[],
    "Connections that their clients reset before they were looked at",
);
static SIEVED: Metric = Metric::counter(
    "shoal_datagrams_sieved_total",
    &["core"],
    "Datagrams that the kernel dropped while it sieved forged connection ids, those for which a queue had no room included",
);
static SIEVING: Metric = Metric::gauge(
    "shoal_sieve_active",
    &["core"],
    "1 while the kernel drops forged connection ids before it queues them, else 0",
);
static ACCEPT_FAILED: Metric = Metric::counter(
    "shoal_http_accept_failures_total",
    &[],
    "Connections that could not be accepted",
);
static FULL_SCRAPES: Metric = Metric::counter(
    "shoal_full_scrapes_total",
    &[],
    "Full scrapes that were begun to be sent",
);
pub(super) static NO_ROOM: Metric = Metric::counter(
    "shoal_table_full_total",
    &["table"],
    "Times that a table of fixed size had no room, so that something was left out or the oldest entry went",
);
static TORRENTS: Metric = Metric::gauge(
    "shoal_torrents",
    &["core"],
    "Torrents that are known; renewed once a second",
);
static PEERS: Metric = Metric::gauge(
    "shoal_peers",
    &["core", "family", "state"],
    "Peers that are known; renewed once a second",
);
static DOWNLOADS: Metric = Metric::gauge(
    "shoal_downloads",
    &["core"],
    "Completed downloads of the torrents that are known, those before the start included",
);
static MEMORY: Metric = Metric::gauge(
    "shoal_swarm_memory_bytes",
    &["core", "structure"],
    "Bytes that swarms have allocated, by what for; renewed once a second",
);
static CONNECTIONS_OPEN: Metric = Metric::gauge(
    "shoal_http_connections_open",
    &["thread"],
    "Connections that an HTTP thread has open",
);

/// All of this file.
pub(super) static METRICS: [&Metric; 36] = [
    &REQUESTS,
    &ANSWERS,
    &ERRORS,
    &DROPPED,
    &IDS_REJECTED,
    &BAD_REQUESTS,
    &TLS_FAILURES,
    &UDP_RECEIVED,
    &UDP_SENT,
    &HANDED_OVER,
    &TAKEN_OVER,
    &SEND_FAILURES,
    &SIEVED,
    &SIEVING,
    &NOT_STORED,
    &COMPLETED,
    &EXPIRED,
    &TURNS,
    &ASKED,
    &HTTP_RECEIVED,
    &HTTP_SENT,
    &HTTP_SAVED,
    &TLS_HANDSHAKES,
    &TLS_RESUMED,
    &CONNECTIONS_EVICTED,
    &CONNECTIONS_REFUSED,
    &CONNECTIONS_IDLED_OUT,
    &CONNECTIONS_ABORTED,
    &ACCEPT_FAILED,
    &FULL_SCRAPES,
    &NO_ROOM,
    &TORRENTS,
    &PEERS,
    &DOWNLOADS,
    &MEMORY,
    &CONNECTIONS_OPEN,
];

/// Who counts it, and so what there is a value for each of.
enum Place {
    /// A value a core, with these labels behind its number.
    Core(&'static Metric, &'static [&'static str]),
    /// A value an HTTP thread.
    Thread(&'static Metric),
    /// One value over all threads.
    All(&'static Metric),
    /// The same of a table of this name.
    Table(&'static str),
    /// The sum of others.
    Nowhere,
}

/// Everything that threads count.
pub(super) fn collect(state: &Parts, page: &mut Page) {
    let cores: Vec<Totals> = state.cores.iter().map(|core| core.read()).collect();
    let threads: Vec<Totals> = state.http_threads.iter().map(|http| http.read()).collect();
    let all: Totals = cores.iter().chain(&threads).cloned().sum();
    for count in Count::all() {
        let n = all.get(count);
        match count {
            Count::Received(protocol, family, kind) => {
                let labels = [protocol.name(), family.name(), kind.name()];
                page.family(&REQUESTS).add(&labels, n);
            }
            Count::Answered(protocol, family, kind) => {
                let labels = [protocol.name(), family.name(), kind.name()];
                page.family(&ANSWERS).add(&labels, n);
            }
            Count::Faulted(fault) => {
                page.family(&ERRORS).add(&[fault.name()], n);
            }
            Count::Discarded(reason) => {
                page.family(&DROPPED).add(&[reason.name()], n);
            }
            Count::BadRequest(reason) => {
                page.family(&BAD_REQUESTS).add(&[reason.name()], n);
            }
            Count::TlsFailed(reason) => {
                page.family(&TLS_FAILURES).add(&[reason.name()], n);
            }
            Count::Plain(tally) => match place(tally) {
                Place::Core(metric, labels) => by_number(page, metric, labels, &cores, tally),
                Place::Thread(metric) => by_number(page, metric, &[], &threads, tally),
                Place::All(metric) => page.set(metric, n),
                Place::Table(name) => {
                    page.family(&NO_ROOM).add(&[name], n);
                }
                Place::Nowhere => {}
            },
        }
    }
    let forged = all.get(Count::Discarded(Discard::ForgedConnectionId));
    let expired = all.get(Count::Discarded(Discard::ExpiredConnectionId))
        + all.get(Count::Faulted(Fault::ExpiredConnectionId));
    page.family(&IDS_REJECTED)
        .add(&["forged"], forged)
        .add(&["expired"], expired);
}

fn by_number(
    page: &mut Page,
    metric: &'static Metric,
    labels: &[&str],
    threads: &[Totals],
    tally: Tally,
) {
    let family = page.family(metric);
    for (number, totals) in threads.iter().enumerate() {
        let number = number.to_string();
        let labels: Vec<&str> = [number.as_str()].iter().chain(labels).copied().collect();
        family.add(&labels, totals.tally(tally));
    }
}

fn place(tally: Tally) -> Place {
    let core = |metric| Place::Core(metric, &[]);
    match tally {
        Tally::BytesReceived => core(&UDP_RECEIVED),
        Tally::BytesSent => core(&UDP_SENT),
        Tally::HandedOver => core(&HANDED_OVER),
        Tally::TakenOver => core(&TAKEN_OVER),
        Tally::SendFailed => core(&SEND_FAILURES),
        Tally::NotStoredLongList => Place::Core(&NOT_STORED, &["long_list"]),
        Tally::NotStoredBusySource => Place::Core(&NOT_STORED, &["busy_source"]),
        Tally::NotStoredNewTorrent => Place::Core(&NOT_STORED, &["new_torrent"]),
        Tally::NotStoredFull => Place::Core(&NOT_STORED, &["full"]),
        Tally::Completed => core(&COMPLETED),
        Tally::Expired => core(&EXPIRED),
        Tally::Turns => core(&TURNS),
        Tally::Asked => core(&ASKED),
        Tally::HttpBytesReceived => Place::All(&HTTP_RECEIVED),
        Tally::HttpBytesSent => Place::All(&HTTP_SENT),
        Tally::HttpBytesSaved => Place::All(&HTTP_SAVED),
        Tally::TlsHandshakes => Place::All(&TLS_HANDSHAKES),
        Tally::TlsResumed => Place::All(&TLS_RESUMED),
        Tally::ConnectionsEvicted => Place::All(&CONNECTIONS_EVICTED),
        Tally::ConnectionsRefused => Place::All(&CONNECTIONS_REFUSED),
        Tally::ConnectionsIdledOut => Place::All(&CONNECTIONS_IDLED_OUT),
        Tally::ConnectionsAborted => Place::All(&CONNECTIONS_ABORTED),
        Tally::AcceptFailed => Place::All(&ACCEPT_FAILED),
        Tally::FullScrapes => Place::All(&FULL_SCRAPES),
        Tally::QuestionsPutOff => Place::Table("http_questions"),
        Tally::ErrandsRefused => Place::Table("errands"),
        Tally::CreditSessionsRefused => Place::Table("credit_sessions"),
        Tally::CreditSumsRefused => Place::Table("credit_sums"),
        Tally::SimilarOlderRefused => Place::Table("similar_older"),
        Tally::SimilarNewerRefused => Place::Table("similar_newer"),
        Tally::Sieved => core(&SIEVED),
        Tally::Sieving => core(&SIEVING),
        Tally::Torrents => core(&TORRENTS),
        Tally::SeedersV4 => Place::Core(&PEERS, &["ip4", "seeder"]),
        Tally::LeechersV4 => Place::Core(&PEERS, &["ip4", "leecher"]),
        Tally::SeedersV6 => Place::Core(&PEERS, &["ip6", "seeder"]),
        Tally::LeechersV6 => Place::Core(&PEERS, &["ip6", "leecher"]),
        Tally::Downloads => core(&DOWNLOADS),
        Tally::SwarmBytes => Place::Nowhere,
        Tally::RecordBytes => Place::Core(&MEMORY, &["records"]),
        Tally::IndexBytes => Place::Core(&MEMORY, &["index"]),
        Tally::PeerListBytes => Place::Core(&MEMORY, &["peers"]),
        Tally::DetailBytes => Place::Core(&MEMORY, &["details"]),
        Tally::LedgerBytes => Place::Core(&MEMORY, &["ledger"]),
        Tally::SimilarBytes => Place::Core(&MEMORY, &["similar"]),
        Tally::ConnectionsOpen => Place::Thread(&CONNECTIONS_OPEN),
    }
}
