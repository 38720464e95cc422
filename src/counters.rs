//! What each core counts. A core writes its own counters with plain stores, a cache line apart from
//! the next core's; whoever reads them reads a moment, not a lock.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::gate::address_policy::Refusal;
use crate::wire::udp::Silence;

/// One thing that is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Count {
    /// Requests that arrived.
    Received(Family, Kind),
    /// Requests that were answered as asked.
    Answered(Family, Kind),
    /// Requests that were answered with an error.
    Faulted(Fault),
    /// Datagrams that were dropped.
    Discarded(Discard),
    /// Everything that needs no label.
    Plain(Tally),
}

/// Address family of a datagram.
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
    /// A connection id.
    Connect,
    /// To join, stay in or leave a swarm.
    Announce,
    /// Totals.
    Scrape,
}

/// Why a datagram got no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Discard {
    /// Shorter than any request.
    Runt,
    /// Longer than any request: it did not fit a receive slot.
    Truncated,
    /// A connect without the protocol's number.
    WrongProtocolId,
    /// An action that no client sends.
    UnknownAction,
    /// An announce of fewer than 98 bytes.
    ShortAnnounce,
    /// From port 0, or from an address that no answer reaches.
    UnanswerableSource,
    /// Sent to a broadcast or multicast address: every core gets a copy, and each would answer.
    NotUnicast,
    /// A connection id that was never issued to its source.
    ForgedConnectionId,
    /// A connection id that is too old, in a datagram shorter than the error that would say so.
    ExpiredConnectionId,
    /// The queue of the owning core was full.
    HandoverFull,
    /// More replies in one turn than there are slots to send them.
    OutboxFull,
}

impl Discard {
    const ALL: [Self; 11] = [
        Self::Runt,
        Self::Truncated,
        Self::WrongProtocolId,
        Self::UnknownAction,
        Self::ShortAnnounce,
        Self::UnanswerableSource,
        Self::NotUnicast,
        Self::ForgedConnectionId,
        Self::ExpiredConnectionId,
        Self::HandoverFull,
        Self::OutboxFull,
    ];

    /// The word for it in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Runt => "runt",
            Self::Truncated => "truncated",
            Self::WrongProtocolId => "wrong_protocol_id",
            Self::UnknownAction => "unknown_action",
            Self::ShortAnnounce => "short_announce",
            Self::UnanswerableSource => "unanswerable_source",
            Self::NotUnicast => "not_unicast",
            Self::ExpiredConnectionId => "expired_connection_id",
            Self::ForgedConnectionId => "forged_connection_id",
            Self::HandoverFull => "handover_full",
            Self::OutboxFull => "outbox_full",
        }
    }
}

impl From<Silence> for Discard {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::Runt => Self::Runt,
            Silence::WrongProtocolId => Self::WrongProtocolId,
            Silence::UnknownAction => Self::UnknownAction,
            Silence::ShortAnnounce => Self::ShortAnnounce,
        }
    }
}

/// Why a proven source got an error reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Its connection id is too old.
    ExpiredConnectionId,
    /// It announced port 0.
    InvalidPort,
    /// It scraped no torrent.
    NoInfoHash,
    /// The operator refuses its address.
    IgnoredAddress,
    /// It announced from an address that nobody on the internet reaches.
    PrivateAddress,
}

impl Fault {
    const ALL: [Self; 5] = [
        Self::ExpiredConnectionId,
        Self::InvalidPort,
        Self::NoInfoHash,
        Self::IgnoredAddress,
        Self::PrivateAddress,
    ];

    /// What the client is told; fewer than 64 bytes.
    pub fn text(self) -> &'static str {
        match self {
            Self::ExpiredConnectionId => "connection id expired",
            Self::InvalidPort => "invalid port",
            Self::NoInfoHash => "no info_hash",
            Self::IgnoredAddress => "address not allowed",
            Self::PrivateAddress => "private address not allowed",
        }
    }

    /// The word for it in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::ExpiredConnectionId => "expired_connection_id",
            Self::InvalidPort => "invalid_port",
            Self::NoInfoHash => "no_info_hash",
            Self::IgnoredAddress => "ignored_address",
            Self::PrivateAddress => "private_address",
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Ignored => Self::IgnoredAddress,
            Refusal::NotPublic => Self::PrivateAddress,
        }
    }
}

/// What is counted without a label. The last six are gauges: they go down too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tally {
    /// Bytes of UDP payload received.
    BytesReceived,
    /// Bytes of UDP payload sent.
    BytesSent,
    /// Requests handed to the core that owns their torrent.
    HandedOver,
    /// Requests taken over from other cores.
    TakenOver,
    /// Replies that the kernel refused to send.
    SendFailed,
    /// Announces answered but not stored, because of `swarm.memory_budget`.
    NotStored,
    /// Times that a leecher became a seeder.
    Completed,
    /// Peers forgotten because they went silent.
    Expired,
    /// Turns of the loop, each one wait for the kernel.
    Turns,
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
    /// Bytes of all swarms.
    SwarmBytes,
}

impl Family {
    const ALL: [Self; 2] = [Self::Ip4, Self::Ip6];
}

impl Kind {
    const ALL: [Self; 3] = [Self::Connect, Self::Announce, Self::Scrape];
}

impl Tally {
    const ALL: [(Self, &'static str); 15] = [
        (Self::BytesReceived, "bytes_received"),
        (Self::BytesSent, "bytes_sent"),
        (Self::HandedOver, "handed_over"),
        (Self::TakenOver, "taken_over"),
        (Self::SendFailed, "send_failed"),
        (Self::NotStored, "not_stored"),
        (Self::Completed, "completed"),
        (Self::Expired, "expired"),
        (Self::Turns, "turns"),
        (Self::Torrents, "torrents"),
        (Self::SeedersV4, "seeders_ip4"),
        (Self::LeechersV4, "leechers_ip4"),
        (Self::SeedersV6, "seeders_ip6"),
        (Self::LeechersV6, "leechers_ip6"),
        (Self::SwarmBytes, "swarm_bytes"),
    ];
}

const REQUESTS: usize = Family::ALL.len() * Kind::ALL.len();
const FAULTS_AT: usize = 2 * REQUESTS;
const DISCARDS_AT: usize = FAULTS_AT + Fault::ALL.len();
const TALLIES_AT: usize = DISCARDS_AT + Discard::ALL.len();
const CELLS: usize = TALLIES_AT + Tally::ALL.len();

impl Count {
    /// Everything that is counted, in the order of the cells.
    pub fn all() -> impl Iterator<Item = Self> {
        let requests = || {
            Family::ALL
                .into_iter()
                .flat_map(|f| Kind::ALL.map(|kind| (f, kind)))
        };
        let received = requests().map(|(family, kind)| Self::Received(family, kind));
        let answered = requests().map(|(family, kind)| Self::Answered(family, kind));
        received
            .chain(answered)
            .chain(Fault::ALL.map(Self::Faulted))
            .chain(Discard::ALL.map(Self::Discarded))
            .chain(Tally::ALL.map(|(tally, _)| Self::Plain(tally)))
    }

    /// Constant wherever the count is, so that counting is one addition in memory.
    #[inline]
    fn cell(self) -> usize {
        match self {
            Self::Received(family, kind) => family as usize * Kind::ALL.len() + kind as usize,
            Self::Answered(family, kind) => REQUESTS + Self::Received(family, kind).cell(),
            Self::Faulted(fault) => FAULTS_AT + fault as usize,
            Self::Discarded(reason) => DISCARDS_AT + reason as usize,
            Self::Plain(tally) => TALLIES_AT + tally as usize,
        }
    }

    /// The name for it in logs, such as `received_announce_ip6`.
    pub fn name(self) -> String {
        let request =
            |what, family, kind| format!("{what}_{kind:?}_{family:?}").to_ascii_lowercase();
        match self {
            Self::Received(family, kind) => request("received", family, kind),
            Self::Answered(family, kind) => request("answered", family, kind),
            Self::Faulted(fault) => format!("error_{}", fault.name()),
            Self::Discarded(reason) => format!("discarded_{}", reason.name()),
            Self::Plain(tally) => Tally::ALL[tally as usize].1.to_owned(),
        }
    }
}

/// The counters of one core.
#[derive(Debug)]
#[repr(align(128))]
pub struct CoreCounters([AtomicU64; CELLS]);

impl Default for CoreCounters {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; CELLS])
    }
}

impl CoreCounters {
    /// Adds `n`. Only the owning core calls this, so a load and a store are enough.
    #[inline]
    pub fn add(&self, count: Count, n: u64) {
        let cell = &self.0[count.cell()];
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

    /// Replaces the value of a gauge.
    pub fn set(&self, gauge: Tally, value: u64) {
        self.0[Count::Plain(gauge).cell()].store(value, Ordering::Relaxed);
    }

    /// What these counters say now.
    pub fn read(&self) -> Totals {
        Totals(self.0.each_ref().map(|cell| cell.load(Ordering::Relaxed)))
    }
}

/// A reading of the counters of one core, or the sum of several.
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

impl std::iter::Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(cores: I) -> Self {
        cores.fold(Self([0; CELLS]), |mut sum, core| {
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
        let cores = [CoreCounters::default(), CoreCounters::default()];
        for core in &cores {
            core.add(Count::Received(Family::Ip6, Kind::Announce), 2);
        }
        cores[1].tally(Tally::HandedOver, 1);
        let sum: Totals = cores.iter().map(CoreCounters::read).sum();
        assert_eq!(sum.describe(), "received_announce_ip6 4, handed_over 1");
    }
}
