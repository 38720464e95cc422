//! The numbers of an hour, of a day, or of any other span.

use std::array;

use crate::counters::{BadRequest, Count, Discard, Family, Fault, Kind, Protocol, Tally, Totals};
use crate::http::tls::TlsFailure;

/// One number of a [`Bucket`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Figure {
    /// Requests that arrived.
    Received(Protocol, Family, Kind),
    /// Requests that were answered as asked.
    Answered(Protocol, Family, Kind),
    /// Requests that were answered with an error.
    Faulted,
    /// Datagrams that were dropped.
    Discarded,
    /// HTTP requests that reached no tracker, and TLS handshakes that came to nothing.
    Bad,
    /// Bytes of UDP payload and of HTTP that were received.
    BytesReceived,
    /// The same that were sent.
    BytesSent,
    /// Bytes that compression kept from being sent.
    BytesSaved,
    /// Times that a leecher became a seeder.
    Completed,
    /// About how many addresses announced, an IPv6 network of 64 bits being one. Over several spans it is
    /// the greatest of them, as what they have in common is not known.
    Addresses,
}

const REQUESTS: usize = Protocol::ALL.len() * Family::ALL.len() * Kind::ALL.len();

/// How many numbers there are.
pub(super) const FIGURES: usize = 2 * REQUESTS + 8;

/// The numbers of a span of time. They are kept in this order, so a new one goes to the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bucket([u64; FIGURES]);

impl Default for Bucket {
    fn default() -> Self {
        Self([0; FIGURES])
    }
}

impl Figure {
    fn place(self) -> usize {
        let request = |protocol, family, kind| {
            let row = protocol as usize * Family::ALL.len() + family as usize;
            row * Kind::ALL.len() + kind as usize
        };
        match self {
            Self::Received(protocol, family, kind) => request(protocol, family, kind),
            Self::Answered(protocol, family, kind) => REQUESTS + request(protocol, family, kind),
            Self::Faulted => 2 * REQUESTS,
            Self::Discarded => 2 * REQUESTS + 1,
            Self::Bad => 2 * REQUESTS + 2,
            Self::BytesReceived => 2 * REQUESTS + 3,
            Self::BytesSent => 2 * REQUESTS + 4,
            Self::BytesSaved => 2 * REQUESTS + 5,
            Self::Completed => 2 * REQUESTS + 6,
            Self::Addresses => 2 * REQUESTS + 7,
        }
    }
}

/// Every way in which a request may come.
fn ways() -> impl Iterator<Item = (Protocol, Family)> {
    let families = |protocol| Family::ALL.map(|family| (protocol, family));
    Protocol::ALL.into_iter().flat_map(families)
}

impl Bucket {
    /// What has been counted since the start. Addresses are not counters.
    pub(super) fn of(totals: &Totals) -> Self {
        let mut bucket = Self::default();
        let mut set = |figure: Figure, n| bucket.0[figure.place()] = n;
        for (protocol, family) in ways() {
            for kind in Kind::ALL {
                let received = totals.get(Count::Received(protocol, family, kind));
                let answered = totals.get(Count::Answered(protocol, family, kind));
                set(Figure::Received(protocol, family, kind), received);
                set(Figure::Answered(protocol, family, kind), answered);
            }
        }
        let sum =
            |counts: &mut dyn Iterator<Item = Count>| counts.map(|count| totals.get(count)).sum();
        let bad = BadRequest::ALL.into_iter().map(Count::BadRequest);
        let mut bad = bad.chain(TlsFailure::ALL.into_iter().map(Count::TlsFailed));
        set(
            Figure::Faulted,
            sum(&mut Fault::ALL.into_iter().map(Count::Faulted)),
        );
        set(
            Figure::Discarded,
            sum(&mut Discard::ALL.into_iter().map(Count::Discarded)),
        );
        set(Figure::Bad, sum(&mut bad));
        let both = |udp, http| totals.tally(udp) + totals.tally(http);
        set(
            Figure::BytesReceived,
            both(Tally::BytesReceived, Tally::HttpBytesReceived),
        );
        set(
            Figure::BytesSent,
            both(Tally::BytesSent, Tally::HttpBytesSent),
        );
        set(Figure::BytesSaved, totals.tally(Tally::HttpBytesSaved));
        set(Figure::Completed, totals.tally(Tally::Completed));
        bucket
    }

    /// What was kept. Numbers that did not exist then are 0, and numbers of a newer version are passed over.
    pub(super) fn from_values(values: &[u64]) -> Self {
        Self(array::from_fn(|at| values.get(at).copied().unwrap_or(0)))
    }

    /// What is to be kept.
    pub(super) fn values(&self) -> &[u64] {
        &self.0
    }

    /// What has been counted since `before`. A counter that is smaller has begun anew.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self(array::from_fn(|at| {
            self.0[at].checked_sub(before.0[at]).unwrap_or(self.0[at])
        }))
    }

    /// Adds the numbers of another span.
    pub(super) fn add(&mut self, other: &Self) {
        let addresses = self
            .get(Figure::Addresses)
            .max(other.get(Figure::Addresses));
        for (into, n) in self.0.iter_mut().zip(other.0) {
            *into = into.saturating_add(n);
        }
        self.set_addresses(addresses);
    }

    pub(super) fn set_addresses(&mut self, addresses: u64) {
        self.0[Figure::Addresses.place()] = addresses;
    }

    /// True when nothing happened.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// One number.
    pub fn get(&self, figure: Figure) -> u64 {
        self.0[figure.place()]
    }

    /// Requests of a kind, in whatever way they came.
    pub fn received(&self, kind: Kind) -> u64 {
        ways()
            .map(|(protocol, family)| self.get(Figure::Received(protocol, family, kind)))
            .sum()
    }

    /// Announces and scrapes over this protocol from this family, and over UDP connects too.
    pub fn requests_by(&self, protocol: Protocol, family: Family) -> u64 {
        let received = |kind| self.get(Figure::Received(protocol, family, kind));
        // A connection of HTTP asks for nothing.
        let connects = match protocol {
            Protocol::Udp => received(Kind::Connect),
            Protocol::Http | Protocol::Https => 0,
        };
        connects + received(Kind::Announce) + received(Kind::Scrape)
    }

    /// Announces and scrapes, and over UDP connects too.
    pub fn requests(&self) -> u64 {
        ways()
            .map(|(protocol, family)| self.requests_by(protocol, family))
            .sum()
    }

    /// Those that were answered as asked.
    pub fn answers(&self) -> u64 {
        let answered = |protocol, family, kind| self.get(Figure::Answered(protocol, family, kind));
        let of = |(protocol, family)| {
            let connects = match protocol {
                Protocol::Udp => answered(protocol, family, Kind::Connect),
                Protocol::Http | Protocol::Https => 0,
            };
            connects
                + answered(protocol, family, Kind::Announce)
                + answered(protocol, family, Kind::Scrape)
        };
        ways().map(of).sum()
    }

    /// Everything that was not answered as asked: dropped, refused with an error, or no request at all.
    pub fn failures(&self) -> u64 {
        [Figure::Discarded, Figure::Faulted, Figure::Bad]
            .map(|figure| self.get(figure))
            .iter()
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::ThreadCounters;

    fn all() -> Vec<Figure> {
        let mut figures = Vec::new();
        for make in [Figure::Received, Figure::Answered] {
            for (protocol, family) in ways() {
                figures.extend(Kind::ALL.map(|kind| make(protocol, family, kind)));
            }
        }
        figures.extend([Figure::Faulted, Figure::Discarded, Figure::Bad]);
        figures.extend([Figure::BytesReceived, Figure::BytesSent, Figure::BytesSaved]);
        figures.extend([Figure::Completed, Figure::Addresses]);
        figures
    }

    #[test]
    fn every_figure_has_the_place_in_which_it_is_kept() {
        let places: Vec<usize> = all().into_iter().map(Figure::place).collect();
        assert_eq!(places, (0..FIGURES).collect::<Vec<_>>());
        // These stand in files: a change of them makes nonsense of what was kept.
        let row = Figure::Received(Protocol::Https, Family::Ip6, Kind::Scrape);
        assert_eq!((row.place(), Figure::Faulted.place()), (17, 36));
        assert_eq!(Figure::Addresses.place(), 43);
    }

    #[test]
    fn kept_values_of_other_versions_are_read_as_far_as_they_go() {
        let values: Vec<u64> = (1..=FIGURES as u64).collect();
        let bucket = Bucket::from_values(&values);
        assert_eq!(bucket.values(), values);
        assert_eq!(
            Bucket::from_values(&[&values[..], &[7, 8]].concat()),
            bucket
        );
        let short = Bucket::from_values(&values[..2]);
        assert_eq!(short.values().iter().sum::<u64>(), 3);
        assert!(Bucket::from_values(&[]).is_empty());
    }

    #[test]
    fn a_connection_of_http_is_no_request_but_one_of_udp_is() {
        let counters = ThreadCounters::default();
        for protocol in Protocol::ALL {
            for kind in Kind::ALL {
                counters.add(Count::Received(protocol, Family::Ip4, kind), 1);
                counters.add(Count::Answered(protocol, Family::Ip4, kind), 1);
            }
        }
        let bucket = Bucket::of(&counters.read());
        assert_eq!((bucket.requests(), bucket.answers()), (7, 7));
        assert_eq!(bucket.received(Kind::Connect), 3);
    }

    #[test]
    fn a_counter_that_is_smaller_has_begun_anew_and_addresses_are_not_added() {
        let mut before = Bucket::default();
        let mut now = Bucket::default();
        (before.0[0], now.0[0]) = (10, 15);
        (before.0[1], now.0[1]) = (10, 4);
        let mut since = now.since(&before);
        assert_eq!(since.0[..2], [5, 4]);
        since.set_addresses(9);
        now.set_addresses(7);
        since.add(&now);
        assert_eq!(since.0[..2], [20, 8]);
        assert_eq!(since.get(Figure::Addresses), 9);
    }
}
