//! What each core and each HTTP thread counts. A thread writes its own counters with plain stores, a
//! cache line apart from the next one's; whoever reads them reads a moment, not a lock.

mod crowd;
mod histogram;
mod offenders;
mod reasons;
mod unique;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::http::tls::TlsFailure;
pub use crowd::{Crowd, SoftwareCounts};
pub use histogram::{Sizes, Turns};
pub use offenders::{Offender, Offenders, worst};
pub use reasons::{BadRequest, Discard, Fault};
pub use unique::UniqueSet;

/// One thing that is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Count {
    /// Requests that arrived. What HTTP calls a connection is counted as a connect.
    Received(Protocol, Family, Kind),
    /// Requests that were answered as asked.
    Answered(Protocol, Family, Kind),
    /// Requests that were answered with an error.
    Faulted(Fault),
    /// Datagrams that were dropped.
    Discarded(Discard),
    /// HTTP requests that reached no tracker, and connections that held none.
    BadRequest(BadRequest),
    /// TLS handshakes that came to nothing.
    TlsFailed(TlsFailure),
    /// Everything that needs no label.
    Plain(Tally),
}

/// How a request came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// A datagram.
    Udp,
    /// HTTP in the clear.
    Http,
    /// HTTP over TLS.
    Https,
}

/// Address family of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// IPv4.
    Ip4,
    /// IPv6.
    Ip6,
}

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A connection id; over HTTP, a connection.
    Connect,
    /// To join, stay in or leave a swarm.
    Announce,
    /// Totals.
    Scrape,
}

/// What is counted without a label. The last fifteen are gauges: they go down too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tally {
    /// Bytes of UDP payload received.
    BytesReceived,
    /// Bytes of UDP payload sent.
    BytesSent,
    /// Requests handed to the core that owns their torrent, by another core.
    HandedOver,
    /// Requests over UDP taken over from other cores.
    TakenOver,
    /// Replies that the kernel refused to send.
    SendFailed,
    /// Announces answered but not stored for `swarm.memory_budget`, because their swarm is large.
    NotStoredLongList,
    /// The same, because their source came with many new torrents; or with more than `flood.new_torrents`.
    NotStoredBusySource,
    /// The same, because their torrent is new.
    NotStoredNewTorrent,
    /// The same, because there is no room at all.
    NotStoredFull,
    /// Times that a leecher became a seeder.
    Completed,
    /// Peers forgotten because they went silent.
    Expired,
    /// Turns of the loop, each one wait for the kernel.
    Turns,
    /// Questions of HTTP threads that a core dealt with: a scrape over several cores counts at each.
    Asked,
    /// Bytes of HTTP received, within TLS where there is any.
    HttpBytesReceived,
    /// Bytes of HTTP sent, within TLS where there is any.
    HttpBytesSent,
    /// Bytes that compression kept from being sent.
    HttpBytesSaved,
    /// TLS handshakes that succeeded.
    TlsHandshakes,
    /// Those of them that resumed an earlier session.
    TlsResumed,
    /// Connections closed to make room for newer ones.
    ConnectionsEvicted,
    /// Connections that found no room.
    ConnectionsRefused,
    /// Connections closed because nothing came for `connections.idle_timeout`.
    ConnectionsIdledOut,
    /// Connections that their clients reset before they were looked at.
    ConnectionsAborted,
    /// Connections that could not be accepted.
    AcceptFailed,
    /// Full scrapes that were begun to be sent.
    FullScrapes,
    /// Requests that waited for a form to put their question on, because all of the HTTP thread's were in use.
    QuestionsPutOff,
    /// Errands that a core did not take, because it has as many as it keeps in mind.
    ErrandsRefused,
    /// As [`Refusals::credit_sessions`](crate::swarm::Refusals::credit_sessions).
    CreditSessionsRefused,
    /// As [`Refusals::credit_sums`](crate::swarm::Refusals::credit_sums).
    CreditSumsRefused,
    /// As [`Refusals::similar_older`](crate::swarm::Refusals::similar_older).
    SimilarOlderRefused,
    /// As [`Refusals::similar_newer`](crate::swarm::Refusals::similar_newer).
    SimilarNewerRefused,
    /// Datagrams that the kernel dropped while it sieved.
    Sieved,
    /// 1 while the kernel sieves for this core.
    Sieving,
    /// Torrents that this core knows.
    Torrents,
    /// IPv4 peers that have everything.
    SeedersV4,
    /// IPv4 peers that miss something.
    LeechersV4,
    /// IPv6 peers that have everything.
    SeedersV6,
    /// IPv6 peers that miss something.
    LeechersV6,
    /// Completed downloads of the torrents that this core knows, those before the start included.
    Downloads,
    /// Bytes of all swarms: the sum of the next six.
    SwarmBytes,
    /// Of that, bytes of the records of torrents.
    RecordBytes,
    /// Of that, bytes of the index that finds them.
    IndexBytes,
    /// Of that, bytes of lists of peers, with what finds a peer in them.
    PeerListBytes,
    /// Of that, bytes of what peers say of themselves.
    DetailBytes,
    /// Of that, bytes of what is to be credited to keys.
    LedgerBytes,
    /// Of that, bytes of what tells similar info-hashes.
    SimilarBytes,
    /// Connections that are open.
    ConnectionsOpen,
}

impl Protocol {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Udp, Self::Http, Self::Https];

    /// The word for it in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ip4, Self::Ip6];

    /// The word for it in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ip4 => "ip4",
            Self::Ip6 => "ip6",
        }
    }
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Connect, Self::Announce, Self::Scrape];

    /// The word for it in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Announce => "announce",
            Self::Scrape => "scrape",
        }
    }
}

impl Tally {
    const ALL: [(Self, &'static str); 46] = [
        (Self::BytesReceived, "bytes_received"),
        (Self::BytesSent, "bytes_sent"),
        (Self::HandedOver, "handed_over"),
        (Self::TakenOver, "taken_over"),
        (Self::SendFailed, "send_failed"),
        (Self::NotStoredLongList, "not_stored_long_list"),
        (Self::NotStoredBusySource, "not_stored_busy_source"),
        (Self::NotStoredNewTorrent, "not_stored_new_torrent"),
        (Self::NotStoredFull, "not_stored_full"),
        (Self::Completed, "completed"),
        (Self::Expired, "expired"),
        (Self::Turns, "turns"),
        (Self::Asked, "asked"),
        (Self::HttpBytesReceived, "http_bytes_received"),
        (Self::HttpBytesSent, "http_bytes_sent"),
        (Self::HttpBytesSaved, "http_bytes_saved"),
        (Self::TlsHandshakes, "tls_handshakes"),
        (Self::TlsResumed, "tls_resumed"),
        (Self::ConnectionsEvicted, "connections_evicted"),
        (Self::ConnectionsRefused, "connections_refused"),
        (Self::ConnectionsIdledOut, "connections_idled_out"),
        (Self::ConnectionsAborted, "connections_aborted"),
        (Self::AcceptFailed, "accept_failed"),
        (Self::FullScrapes, "full_scrapes"),
        (Self::QuestionsPutOff, "questions_put_off"),
        (Self::ErrandsRefused, "errands_refused"),
        (Self::CreditSessionsRefused, "credit_sessions_refused"),
        (Self::CreditSumsRefused, "credit_sums_refused"),
        (Self::SimilarOlderRefused, "similar_older_refused"),
        (Self::SimilarNewerRefused, "similar_newer_refused"),
        (Self::Sieved, "sieved"),
        (Self::Sieving, "sieving"),
        (Self::Torrents, "torrents"),
        (Self::SeedersV4, "seeders_ip4"),
        (Self::LeechersV4, "leechers_ip4"),
        (Self::SeedersV6, "seeders_ip6"),
        (Self::LeechersV6, "leechers_ip6"),
        (Self::Downloads, "downloads"),
        (Self::SwarmBytes, "swarm_bytes"),
        (Self::RecordBytes, "record_bytes"),
        (Self::IndexBytes, "index_bytes"),
        (Self::PeerListBytes, "peer_list_bytes"),
        (Self::DetailBytes, "detail_bytes"),
        (Self::LedgerBytes, "ledger_bytes"),
        (Self::SimilarBytes, "similar_bytes"),
        (Self::ConnectionsOpen, "connections_open"),
    ];
}

const REQUESTS: usize = Protocol::ALL.len() * Family::ALL.len() * Kind::ALL.len();
const FAULTS_AT: usize = 2 * REQUESTS;
const DISCARDS_AT: usize = FAULTS_AT + Fault::ALL.len();
const BAD_REQUESTS_AT: usize = DISCARDS_AT + Discard::ALL.len();
const TLS_FAILED_AT: usize = BAD_REQUESTS_AT + BadRequest::ALL.len();
const TALLIES_AT: usize = TLS_FAILED_AT + TlsFailure::ALL.len();
const CELLS: usize = TALLIES_AT + Tally::ALL.len();

impl Count {
    /// Everything that is counted, in the order of the cells.
    pub fn all() -> impl Iterator<Item = Self> {
        let requests = || {
            Protocol::ALL.into_iter().flat_map(|protocol| {
                Family::ALL
                    .into_iter()
                    .flat_map(move |family| Kind::ALL.map(|kind| (protocol, family, kind)))
            })
        };
        let received = requests().map(|(p, family, kind)| Self::Received(p, family, kind));
        let answered = requests().map(|(p, family, kind)| Self::Answered(p, family, kind));
        received
            .chain(answered)
            .chain(Fault::ALL.map(Self::Faulted))
            .chain(Discard::ALL.map(Self::Discarded))
            .chain(BadRequest::ALL.map(Self::BadRequest))
            .chain(TlsFailure::ALL.map(Self::TlsFailed))
            .chain(Tally::ALL.map(|(tally, _)| Self::Plain(tally)))
    }

    /// Constant wherever the count is, so that counting is one addition in memory.
    #[inline]
    fn cell(self) -> usize {
        match self {
            Self::Received(protocol, family, kind) => {
                let row = protocol as usize * Family::ALL.len() + family as usize;
                row * Kind::ALL.len() + kind as usize
            }
            Self::Answered(protocol, family, kind) => {
                REQUESTS + Self::Received(protocol, family, kind).cell()
            }
            Self::Faulted(fault) => FAULTS_AT + fault as usize,
            Self::Discarded(reason) => DISCARDS_AT + reason as usize,
            Self::BadRequest(reason) => BAD_REQUESTS_AT + reason as usize,
            Self::TlsFailed(reason) => TLS_FAILED_AT + reason as usize,
            Self::Plain(tally) => TALLIES_AT + tally as usize,
        }
    }

    /// The name for it in logs, such as `received_udp_announce_ip6`.
    pub fn name(self) -> String {
        let request = |what, protocol, family, kind| {
            format!("{what}_{protocol:?}_{kind:?}_{family:?}").to_ascii_lowercase()
        };
        match self {
            Self::Received(protocol, family, kind) => request("received", protocol, family, kind),
            Self::Answered(protocol, family, kind) => request("answered", protocol, family, kind),
            Self::Faulted(fault) => format!("error_{}", fault.name()),
            Self::Discarded(reason) => format!("discarded_{}", reason.name()),
            Self::BadRequest(reason) => format!("bad_request_{}", reason.name()),
            Self::TlsFailed(reason) => format!("tls_failed_{}", reason.name()),
            Self::Plain(tally) => Tally::ALL[tally as usize].1.to_owned(),
        }
    }
}

/// The counters of one thread.
#[derive(Debug)]
#[repr(align(128))]
pub struct ThreadCounters {
    cells: [AtomicU64; CELLS],
    turns: Turns,
    /// Who announces.
    pub crowd: Crowd,
    /// Who asks too often.
    pub offenders: Offenders,
}

impl Default for ThreadCounters {
    fn default() -> Self {
        Self {
            cells: [const { AtomicU64::new(0) }; CELLS],
            turns: Turns::default(),
            crowd: Crowd::default(),
            offenders: Offenders::default(),
        }
    }
}

impl ThreadCounters {
    /// Adds `n`. Only the owning thread calls this, so a load and a store are enough.
    #[inline]
    pub fn add(&self, count: Count, n: u64) {
        let cell = &self.cells[count.cell()];
        cell.store(
            cell.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }

    /// Adds `n` to what needs no label.
    #[inline]
    pub fn tally(&self, tally: Tally, n: u64) {
        self.add(Count::Plain(tally), n);
    }

    /// Replaces the value of a gauge, or of what is counted elsewhere.
    pub fn set(&self, gauge: Tally, value: u64) {
        self.cells[Count::Plain(gauge).cell()].store(value, Ordering::Relaxed);
    }

    /// One number.
    #[inline]
    pub fn get(&self, count: Count) -> u64 {
        self.cells[count.cell()].load(Ordering::Relaxed)
    }

    /// What these counters say now.
    pub fn read(&self) -> Totals {
        let cells = self.cells.each_ref();
        Totals(cells.map(|cell| cell.load(Ordering::Relaxed)))
    }

    /// How its turns went; a core has them, an HTTP thread has none.
    #[inline]
    pub fn turns(&self) -> &Turns {
        &self.turns
    }
}

/// A reading of the counters of one thread, or the sum of several.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Totals([u64; CELLS]);

impl Totals {
    /// One number.
    pub fn get(&self, count: Count) -> u64 {
        self.0[count.cell()]
    }

    /// One number that needs no label.
    pub fn tally(&self, tally: Tally) -> u64 {
        self.get(Count::Plain(tally))
    }

    /// The reading as `name value` words, what is zero left out.
    pub fn describe(&self) -> String {
        let said = Count::all()
            .map(|count| (count.name(), self.get(count)))
            .filter(|(_, n)| *n != 0);
        let words: Vec<String> = said.map(|(name, n)| format!("{name} {n}")).collect();
        if words.is_empty() {
            "nothing yet".to_owned()
        } else {
            words.join(", ")
        }
    }
}

impl Default for Totals {
    fn default() -> Self {
        Self([0; CELLS])
    }
}

impl std::iter::Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(cores: I) -> Self {
        cores.fold(Self::default(), |mut sum, core| {
            sum.0
                .iter_mut()
                .zip(core.0)
                .for_each(|(into, n)| *into += n);
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_has_a_cell_and_a_name_of_its_own() {
        let cells: Vec<usize> = Count::all().map(Count::cell).collect();
        assert_eq!(cells, (0..CELLS).collect::<Vec<_>>());
        let names: std::collections::BTreeSet<String> = Count::all().map(Count::name).collect();
        assert_eq!(names.len(), CELLS);
    }

    #[test]
    fn a_report_sums_the_cores_and_leaves_out_what_never_happened() {
        let cores = [ThreadCounters::default(), ThreadCounters::default()];
        for core in &cores {
            core.add(
                Count::Received(Protocol::Udp, Family::Ip6, Kind::Announce),
                2,
            );
        }
        cores[1].tally(Tally::HandedOver, 1);
        let sum: Totals = cores.iter().map(ThreadCounters::read).sum();
        assert_eq!(sum.describe(), "received_udp_announce_ip6 4, handed_over 1");
    }
}
