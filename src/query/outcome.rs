//! What one question to one address gave.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::query::failure::Failure;
use crate::query::target::Target;
use crate::wire::udp::ask::Announce;
use crate::wire::{Event, InfoHash, NumWant};

/// What a tracker is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question {
    /// To take a peer in, or let it go, and to name others.
    Announce(Announce),
    /// For the totals of these torrents.
    Scrape(Vec<InfoHash>),
    /// For the totals of all torrents; over HTTP only.
    FullScrape,
}

impl Question {
    /// As in `--json`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Announce(_) => "announce",
            Self::Scrape(_) => "scrape",
            Self::FullScrape => "full_scrape",
        }
    }

    /// The torrents that are asked about.
    pub fn info_hashes(&self) -> &[InfoHash] {
        match self {
            Self::Announce(announce) => std::slice::from_ref(&announce.info_hash),
            Self::Scrape(info_hashes) => info_hashes,
            Self::FullScrape => &[],
        }
    }

    /// How many peers are wanted, if a number is named.
    pub fn num_want(&self) -> Option<u32> {
        match self {
            Self::Announce(Announce {
                num_want: NumWant::AtMost(number),
                ..
            }) => Some(*number),
            _ => None,
        }
    }

    /// Whether a tracker that grants this lists the asker as a peer afterwards.
    pub fn leaves_a_peer(&self) -> bool {
        matches!(self, Self::Announce(announce) if announce.event != Event::Stopped)
    }
}

/// One question to one address, and what became of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// The URL as it was given.
    pub url: String,
    /// The same taken apart; nothing if it is none.
    pub target: Option<Target>,
    /// The address that was asked; nothing if the name has none.
    pub address: Option<SocketAddr>,
    /// What was asked.
    pub question: Question,
    /// Which client it was asked as.
    pub client: &'static str,
    /// Which try this was, from 1.
    pub attempt: u32,
    /// How long it took until the answer was whole, or until it was clear that none comes.
    pub took: Duration,
    /// The answer, or why there is none.
    pub result: Result<Answer, Failure>,
    /// When to ask again, as a refusal has it (BEP 31).
    pub retry_in: Option<RetryIn>,
    /// The HTTP status of the last response.
    pub status: Option<u16>,
    /// Where redirects led to, in order.
    pub redirects: Vec<String>,
    /// What is odd but does not make the answer useless, a sentence each.
    pub notes: Vec<String>,
    /// How the tracker took the `stopped` that followed, if one did.
    pub farewell: Option<Result<(), Failure>>,
    /// Whether a header that names another client was believed, if there was one.
    pub proxy: Option<Believed>,
    /// What went over the wire, if that is kept.
    pub exchanges: Vec<Exchange>,
}

impl Outcome {
    /// A question that is about to be asked.
    pub fn new(url: &str, question: Question) -> Self {
        Self {
            url: url.to_owned(),
            target: None,
            address: None,
            question,
            client: "shoal",
            attempt: 1,
            took: Duration::ZERO,
            result: Ok(Answer::Nothing),
            retry_in: None,
            status: None,
            redirects: Vec::new(),
            notes: Vec::new(),
            farewell: None,
            proxy: None,
            exchanges: Vec::new(),
        }
    }

    /// A question that came to nothing.
    pub fn failed(url: &str, question: Question, failure: Failure) -> Self {
        Self {
            result: Err(failure),
            ..Self::new(url, question)
        }
    }

    /// Whether the tracker gave what was asked for.
    pub fn is_good(&self) -> bool {
        self.result.is_ok()
    }

    /// Milliseconds with their fraction.
    pub fn took_ms(&self) -> f64 {
        self.took.as_secs_f64() * 1000.0
    }
}

/// A tracker's answer that is no refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// None yet.
    Nothing,
    /// To an announce.
    Announce(AnnounceAnswer),
    /// To a scrape.
    Scrape(ScrapeAnswer),
}

/// What an announce gave. Numbers are as sent, negative ones too; what was not sent is nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AnnounceAnswer {
    /// Seconds until the next announce.
    pub interval: Option<i64>,
    /// Seconds before which none is welcome.
    pub min_interval: Option<i64>,
    /// Seeders.
    pub complete: Option<i64>,
    /// Leechers.
    pub incomplete: Option<i64>,
    /// Completed downloads.
    pub downloaded: Option<i64>,
    /// The peers, in the order of the answer.
    pub peers: Vec<Peer>,
    /// Bytes of compact IPv4 peers.
    pub v4_bytes: usize,
    /// Bytes of compact IPv6 peers.
    pub v6_bytes: usize,
    /// The address under which the tracker sees the asker (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// What a client sends back as `trackerid`.
    pub tracker_id: Option<String>,
    /// A text for the user of the client.
    pub warning: Option<String>,
}

impl AnnounceAnswer {
    /// How many peers are of this form.
    pub fn count(&self, form: PeerForm) -> usize {
        self.peers.iter().filter(|peer| peer.form == form).count()
    }
}

/// A peer that a tracker names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// The address; a dictionary may hold a name.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How it was written.
    pub form: PeerForm,
    /// Only dictionaries have one.
    pub peer_id: Option<Vec<u8>>,
    /// The name of the address, if it was looked up and there is one.
    pub name: Option<String>,
}

impl Peer {
    /// The address, with IPv4 addresses out of their IPv6 clothes; nothing if it is a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
    }
}

/// How a peer was written in an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerForm {
    /// Six bytes.
    V4,
    /// Eighteen bytes.
    V6,
    /// Eighteen bytes that hold an IPv4 address.
    Mapped,
    /// A dictionary.
    Dictionary,
}

impl PeerForm {
    /// As in `--json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
            Self::Mapped => "ipv4-mapped",
            Self::Dictionary => "dict",
        }
    }
}

/// What a scrape gave.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScrapeAnswer {
    /// Seconds before which no other scrape is welcome.
    pub min_request_interval: Option<i64>,
    /// The torrents, in the order of the answer.
    pub rows: Vec<ScrapeRow>,
}

/// The totals of one torrent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScrapeRow {
    /// In hexadecimal; whatever a tracker names a torrent by, if it is not 20 bytes.
    pub info_hash: String,
    /// Seeders.
    pub complete: Option<i64>,
    /// Leechers.
    pub incomplete: Option<i64>,
    /// Completed downloads.
    pub downloaded: Option<i64>,
    /// Leechers that want the whole torrent (BEP 21).
    pub downloaders: Option<i64>,
    /// What the tracker calls it.
    pub name: Option<String>,
}

/// When to ask again (BEP 31).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetryIn {
    /// Not at all.
    Never,
    /// In so many minutes.
    Minutes(i64),
}

/// Whether a tracker took the address in a header for the client's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Believed {
    /// Nothing: it cannot be told.
    pub believed: Option<bool>,
    /// What shows it, as a sentence.
    pub because: String,
}

/// Bytes that went over the wire, and those that came back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exchange {
    /// What for: "connect", "announce", "scrape", "stopped".
    pub what: &'static str,
    /// To and from which address.
    pub with: SocketAddr,
    /// As sent; inside TLS if there was TLS.
    pub sent: Vec<u8>,
    /// As received. Empty if nothing came.
    pub received: Vec<u8>,
}
