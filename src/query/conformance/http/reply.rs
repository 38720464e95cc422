//! What a response says, read with mistrust.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::scene::Answer;
use crate::query::conformance::bencode::{self, Item};
use crate::query::conformance::count;
use crate::query::failure::printable;

/// An answer by what it means to a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Said {
    /// 200 and a dictionary with `interval` or `peers`.
    Served(Served),
    /// 200 and a dictionary with `failure reason`, which this is.
    Refused(String),
    /// 200 and a dictionary with `files`: rows of a scrape, in the order of the body.
    Scraped(Vec<(Vec<u8>, Row)>),
    /// Another status, with its reason and where it leads.
    Status(u16, String),
    /// 200 and something else.
    Odd(String),
    /// No response, and why.
    Nothing(String),
}

/// An announce that was served.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Served {
    pub(super) interval: Option<i64>,
    pub(super) complete: Option<i64>,
    pub(super) incomplete: Option<i64>,
    /// Of `peers` and `peers6`.
    pub(super) peers: Vec<SocketAddr>,
    /// Whether `peers` is a list of dictionaries.
    pub(super) is_list: bool,
    /// How many of those dictionaries have a peer id.
    pub(super) peer_ids: usize,
    /// Whether a compact string was cut within a peer.
    pub(super) is_ragged: bool,
}

/// What a scrape says of one torrent; `None` for a key that is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Row {
    pub(super) complete: Option<i64>,
    pub(super) downloaded: Option<i64>,
    pub(super) incomplete: Option<i64>,
}

impl Said {
    pub(super) fn read(answer: &Answer) -> Self {
        let response = match answer {
            Ok(response) => response,
            Err(failure) => return Self::Nothing(failure.to_string()),
        };
        if response.status != 200 {
            let mut reason = response.reason.clone();
            if let Some(location) = response.field_text("location") {
                reason = format!("{reason} to {location}");
            }
            return Self::Status(response.status, reason);
        }
        let content = match response.content() {
            Ok(content) => content,
            Err(failure) => return Self::Odd(failure.to_string()),
        };
        match bencode::read(&content) {
            Ok((item, _)) => Self::of(&item),
            Err(mistake) => Self::Odd(format!(
                "no bencode ({mistake}): \"{}\"",
                printable(&content[..content.len().min(40)])
            )),
        }
    }

    fn of(item: &Item<'_>) -> Self {
        if let Some(reason) = item.get("failure reason") {
            return Self::Refused(printable(reason.bytes().unwrap_or_default()));
        }
        if let Some(Item::Dictionary(files)) = item.get("files") {
            let rows = files
                .iter()
                .map(|(hash, row)| (hash.to_vec(), Row::read(row)));
            return Self::Scraped(rows.collect());
        }
        if item.get("interval").is_some() || item.get("peers").is_some() {
            return Self::Served(Served::read(item));
        }
        Self::Odd("a dictionary without interval, peers, files or failure reason".to_owned())
    }

    /// Whether it is the answer of a tracker that knows no such request: another status or silence.
    pub(super) fn has_peer(&self, port: u16) -> bool {
        match self {
            Self::Served(served) => served.peers.iter().any(|peer| peer.port() == port),
            _ => false,
        }
    }
}

impl Served {
    fn read(item: &Item<'_>) -> Self {
        let number = |key| item.get(key).and_then(Item::integer);
        let mut served = Self {
            interval: number("interval"),
            complete: number("complete"),
            incomplete: number("incomplete"),
            ..Self::default()
        };
        match item.get("peers") {
            Some(Item::Bytes(peers)) => served.add_compact(peers, 6),
            Some(Item::List(peers)) => {
                served.is_list = true;
                for peer in peers {
                    served.peer_ids += usize::from(peer.get("peer id").is_some());
                    served.peers.extend(of_dictionary(peer));
                }
            }
            _ => {}
        }
        if let Some(Item::Bytes(peers)) = item.get("peers6") {
            served.add_compact(peers, 18);
        }
        served
    }

    fn add_compact(&mut self, peers: &[u8], len: usize) {
        let peers = peers.chunks_exact(len);
        self.is_ragged |= !peers.remainder().is_empty();
        self.peers.extend(peers.filter_map(of_compact));
    }
}

fn of_compact(peer: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = peer.split_last_chunk::<2>()?;
    let ip: IpAddr = match <[u8; 4]>::try_from(ip) {
        Ok(v4) => Ipv4Addr::from(v4).into(),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?).into(),
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

/// A name in place of an address is lawful; it is nobody's here.
fn of_dictionary(peer: &Item<'_>) -> Option<SocketAddr> {
    let ip = std::str::from_utf8(peer.get("ip")?.bytes()?).ok()?;
    let port = u16::try_from(peer.get("port")?.integer()?).ok()?;
    let ip = ip.parse().unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    Some(SocketAddr::new(ip, port))
}

impl Row {
    fn read(row: &Item<'_>) -> Self {
        let number = |key| row.get(key).and_then(Item::integer);
        Self {
            complete: number("complete"),
            downloaded: number("downloaded"),
            incomplete: number("incomplete"),
        }
    }

    /// Whether every number that is there is 0.
    pub(super) fn is_zero(&self) -> bool {
        [self.complete, self.downloaded, self.incomplete]
            .iter()
            .all(|number| number.unwrap_or(0) == 0)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number =
            |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
        write!(
            f,
            "{} complete, {} downloaded, {} incomplete",
            number(self.complete),
            number(self.downloaded),
            number(self.incomplete)
        )
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Served(served) => {
                let number = |number: Option<i64>| number.map_or("-".to_owned(), |n| n.to_string());
                write!(
                    f,
                    "200: {} complete, {} incomplete, {}{}, interval {} s",
                    number(served.complete),
                    number(served.incomplete),
                    count(served.peers.len(), "peer"),
                    if served.is_list {
                        " in dictionaries"
                    } else {
                        ""
                    },
                    number(served.interval),
                )
            }
            Self::Refused(reason) => write!(f, "failure \"{reason}\""),
            Self::Scraped(rows) => {
                write!(f, "200: {}", count(rows.len(), "row"))?;
                if let [(_, row)] = rows.as_slice() {
                    write!(f, " ({row})")?;
                }
                Ok(())
            }
            Self::Status(status, reason) => write!(f, "status {status} {reason}"),
            Self::Odd(what) => write!(f, "200, but {what}"),
            Self::Nothing(failure) => write!(f, "no answer: {failure}"),
        }
    }
}
