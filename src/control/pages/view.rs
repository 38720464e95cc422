//! What the page shows, read once.

use axum::http::{HeaderMap, Uri};

use super::urls::{announce_urls, host_of};
use crate::control::history::{Bucket, Live};
use crate::control::state::State;
use crate::counters::{BadRequest, Count, Discard, Family, Fault, Protocol, Tally};
use crate::http::tls::TlsFailure;

/// Days that are shown.
const DAYS: u64 = 30;

/// What of BitTorrent's proposals is served: the number, and what it is called.
pub(super) const BEPS: &[(u8, &str)] = &[
    (3, "Trackers over HTTP"),
    (7, "IPv6"),
    (15, "UDP trackers"),
    (20, "Peer id conventions"),
    (21, "Partial seeds"),
    (23, "Compact peer lists"),
    (24, "External IP"),
    (31, "Retry in"),
    (41, "UDP URL data"),
    (48, "Scrape"),
    (52, "BitTorrent v2 info-hashes"),
];

/// The moment, the past, and what is around.
pub(super) struct View {
    pub(super) live: Live,
    pub(super) today: [Bucket; 24],
    pub(super) yesterday: [Bucket; 24],
    /// When each day began, in Unix seconds; today is the last one.
    pub(super) days: Vec<(u64, Bucket)>,
    pub(super) all_time: (u64, Bucket),
    /// Announces by software since the start, the most first.
    pub(super) software: Vec<(String, u64)>,
    /// Datagrams that never reached a core, because the queue of its socket was full.
    pub(super) kernel_drops: u64,
}

/// What stands in front of some requests that were not answered as asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// No answer at all.
    Dropped,
    /// An error that says why.
    Refused,
    /// It reached no tracker.
    Bad,
}

impl View {
    pub(super) fn of(state: &State) -> Self {
        let history = &state.history;
        Self {
            live: history.live(),
            today: history.hours(0),
            yesterday: history.hours(1),
            days: history.days(DAYS),
            all_time: history.all_time(),
            software: history.software().by_name(),
            kernel_drops: state.kernel_drops(),
        }
    }

    /// The numbers of today, and of yesterday.
    pub(super) fn last_days(&self) -> [Bucket; 2] {
        let mut days = self.days.iter().rev().map(|(_, day)| *day);
        [(); 2].map(|()| days.next().unwrap_or_default())
    }

    /// Everything that was not answered as asked since the start, by reason, the most first.
    pub(super) fn failures(&self) -> Vec<(Failure, &'static str, u64)> {
        let dropped = Discard::ALL.map(|why| (Failure::Dropped, why.name(), Count::Discarded(why)));
        let refused = Fault::ALL.map(|why| (Failure::Refused, why.name(), Count::Faulted(why)));
        let bad = BadRequest::ALL.map(|why| (Failure::Bad, why.name(), Count::BadRequest(why)));
        let tls = TlsFailure::ALL.map(|why| (Failure::Bad, why.name(), Count::TlsFailed(why)));
        let all = dropped.into_iter().chain(refused).chain(bad).chain(tls);
        let counted = all.map(|(kind, name, count)| (kind, name, self.live.totals.get(count)));
        let mut failures: Vec<_> = counted.filter(|(_, _, n)| *n > 0).collect();
        failures.sort_by_key(|(_, _, n)| std::cmp::Reverse(*n));
        failures
    }

    pub(super) fn gauge(&self, gauge: Tally) -> u64 {
        self.live.totals.tally(gauge)
    }

    pub(super) fn seeders(&self, family: Family) -> u64 {
        self.gauge(match family {
            Family::Ip4 => Tally::SeedersV4,
            Family::Ip6 => Tally::SeedersV6,
        })
    }

    pub(super) fn leechers(&self, family: Family) -> u64 {
        self.gauge(match family {
            Family::Ip4 => Tally::LeechersV4,
            Family::Ip6 => Tally::LeechersV6,
        })
    }
}

impl Failure {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Refused => "refused",
            Self::Bad => "bad request",
        }
    }
}

/// Requests of a span by the way they came, in the order of [`Protocol::ALL`].
pub(super) fn by_protocol(bucket: &Bucket) -> [(Protocol, u64); 3] {
    Protocol::ALL.map(|protocol| {
        let families = Family::ALL.map(|family| bucket.requests_by(protocol, family));
        (protocol, families.iter().sum())
    })
}

/// Requests of a span by where they came from.
pub(super) fn by_family(bucket: &Bucket) -> [(Family, u64); 2] {
    Family::ALL.map(|family| {
        let protocols = Protocol::ALL.map(|protocol| bucket.requests_by(protocol, family));
        (family, protocols.iter().sum())
    })
}

/// Where clients announce, for whoever asks like this.
pub(super) fn urls(state: &State, uri: &Uri, headers: &HeaderMap) -> Vec<String> {
    // The last one is the control server's own.
    let trackers = state.listeners.len().saturating_sub(1);
    let host = host_of(uri, headers);
    announce_urls(
        &state.listeners[..trackers],
        host,
        state.registrar.mode().is_private(),
    )
}
