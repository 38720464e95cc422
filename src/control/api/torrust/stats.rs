//! Sixteen numbers.

use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::control::state::State;
use crate::counters::{Count, Family, Kind, Protocol, Tally, Totals};

pub(super) fn routes() -> Router<State> {
    Router::new().route("/api/v1/stats", get(stats))
}

/// What of TCP is told holds for HTTP and HTTPS together.
#[derive(Serialize, PartialEq, Eq, Debug)]
struct Stats {
    torrents: u64,
    seeders: u64,
    completed: u64,
    leechers: u64,
    tcp4_connections_handled: u64,
    tcp4_announces_handled: u64,
    tcp4_scrapes_handled: u64,
    tcp6_connections_handled: u64,
    tcp6_announces_handled: u64,
    tcp6_scrapes_handled: u64,
    udp4_connections_handled: u64,
    udp4_announces_handled: u64,
    udp4_scrapes_handled: u64,
    udp6_connections_handled: u64,
    udp6_announces_handled: u64,
    udp6_scrapes_handled: u64,
}

impl Stats {
    fn of(totals: &Totals) -> Self {
        use Family::{Ip4, Ip6};
        use Kind::{Announce, Connect, Scrape};
        let udp = |family, kind| totals.get(Count::Answered(Protocol::Udp, family, kind));
        let tcp = |family, kind| {
            let both = [Protocol::Http, Protocol::Https];
            let answered = both.map(|protocol| totals.get(Count::Answered(protocol, family, kind)));
            answered.iter().sum()
        };
        // Torrust counts a connection with each request that it answers.
        let connections = |family| tcp(family, Announce) + tcp(family, Scrape);
        Self {
            torrents: totals.tally(Tally::Torrents),
            seeders: totals.tally(Tally::SeedersV4) + totals.tally(Tally::SeedersV6),
            completed: totals.tally(Tally::Downloads),
            leechers: totals.tally(Tally::LeechersV4) + totals.tally(Tally::LeechersV6),
            tcp4_connections_handled: connections(Ip4),
            tcp4_announces_handled: tcp(Ip4, Announce),
            tcp4_scrapes_handled: tcp(Ip4, Scrape),
            tcp6_connections_handled: connections(Ip6),
            tcp6_announces_handled: tcp(Ip6, Announce),
            tcp6_scrapes_handled: tcp(Ip6, Scrape),
            udp4_connections_handled: udp(Ip4, Connect),
            udp4_announces_handled: udp(Ip4, Announce),
            udp4_scrapes_handled: udp(Ip4, Scrape),
            udp6_connections_handled: udp(Ip6, Connect),
            udp6_announces_handled: udp(Ip6, Announce),
            udp6_scrapes_handled: udp(Ip6, Scrape),
        }
    }
}

async fn stats(state: State) -> Json<Stats> {
    // Cores that have no time for it tell what was so a second ago.
    let _ = state.errands.gauges().await;
    Json(Stats::of(&state.totals()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::ThreadCounters;

    #[test]
    fn http_and_https_are_one_and_each_request_is_a_connection() {
        let counters = ThreadCounters::default();
        for (protocol, n) in [
            (Protocol::Http, 1),
            (Protocol::Https, 10),
            (Protocol::Udp, 100),
        ] {
            counters.add(Count::Answered(protocol, Family::Ip6, Kind::Announce), n);
            counters.add(Count::Answered(protocol, Family::Ip6, Kind::Scrape), 3 * n);
            counters.add(Count::Received(protocol, Family::Ip6, Kind::Connect), 1000);
        }
        let stats = Stats::of(&counters.read());
        assert_eq!(stats.tcp6_announces_handled, 11);
        assert_eq!(stats.tcp6_scrapes_handled, 33);
        assert_eq!(stats.tcp6_connections_handled, 44);
        assert_eq!(stats.udp6_announces_handled, 100);
        assert_eq!(stats.udp6_connections_handled, 0);
        assert_eq!(stats.tcp4_connections_handled, 0);
    }
}
