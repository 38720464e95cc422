//! Answers out of bytes. What clients can live with becomes a note; what makes them drop the whole answer
//! is a failure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::query::failure::{Failure, Kind, printable};
use crate::query::outcome::{AnnounceAnswer, Peer, PeerForm, RetryIn, ScrapeAnswer, ScrapeRow};
use crate::wire::InfoHash;
use crate::wire::bencode::{self, Value};
use crate::wire::udp::{
    ANNOUNCE_REPLY_HEAD_LEN, PEER_V4_LEN, PEER_V6_LEN, SCRAPE_REPLY_HEAD_LEN, SCRAPE_ROW_LEN,
    action,
};

/// An answer with what is odd about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decoded<T> {
    /// The answer.
    pub answer: T,
    /// A sentence each.
    pub notes: Vec<String>,
}

/// A refusal, or bytes that are no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Why.
    pub failure: Failure,
    /// When to ask again, if the tracker says so (BEP 31).
    pub retry_in: Option<RetryIn>,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        let retry_in = None;
        Self { failure, retry_in }
    }
}

fn malformed(text: impl Into<String>) -> Failure {
    Failure::new(Kind::Malformed, text)
}

/// The dictionary that every answer over HTTP is, unless it is a refusal.
fn dictionary(body: &[u8]) -> Result<Value, Refused> {
    if body.is_empty() {
        return Err(malformed("the body is empty").into());
    }
    let value = bencode::parse(body).map_err(|mistake| {
        let start = printable(&body[..body.len().min(40)]);
        malformed(format!(
            "the body is no bencode ({mistake}); it begins with \"{start}\""
        ))
    })?;
    if !value.is_dict() {
        return Err(malformed("the body is bencode but no dictionary").into());
    }
    if let Some(reason) = value.get("failure reason") {
        let reason = text(reason).unwrap_or_else(|| "not a text".to_owned());
        let retry_in = value.get("retry in").and_then(retry_in);
        let failure = Failure::new(Kind::FailureReason, reason);
        return Err(Refused { failure, retry_in });
    }
    Ok(value)
}

fn retry_in(value: &Value) -> Option<RetryIn> {
    match value.as_byte_str() {
        Some(word) if word.as_slice() == b"never" => Some(RetryIn::Never),
        Some(digits) => std::str::from_utf8(digits)
            .ok()?
            .parse()
            .ok()
            .map(RetryIn::Minutes),
        None => whole(value).map(RetryIn::Minutes),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_byte_str().map(|bytes| printable(bytes))
}

/// A whole number; the library tells those without a sign from those with one.
fn whole(value: &Value) -> Option<i64> {
    match value.as_u64() {
        Some(number) => i64::try_from(number).ok(),
        None => value.as_i64(),
    }
}

/// The whole number at `key`. Something else there is worth a note.
fn number(dictionary: &Value, key: &str, notes: &mut Vec<String>) -> Option<i64> {
    let value = dictionary.get(key)?;
    let number = whole(value);
    match number {
        None => notes.push(format!("\"{key}\" is no whole number")),
        Some(negative) if negative < 0 => notes.push(format!("\"{key}\" is negative")),
        Some(_) => {}
    }
    number
}

/// An announce's answer over HTTP (BEP 3, 7, 23, 24, 31).
pub fn http_announce(body: &[u8]) -> Result<Decoded<AnnounceAnswer>, Refused> {
    let dictionary = dictionary(body)?;
    let mut notes = Vec::new();
    let mut answer = AnnounceAnswer {
        interval: number(&dictionary, "interval", &mut notes),
        min_interval: number(&dictionary, "min interval", &mut notes),
        complete: number(&dictionary, "complete", &mut notes),
        incomplete: number(&dictionary, "incomplete", &mut notes),
        downloaded: number(&dictionary, "downloaded", &mut notes),
        tracker_id: dictionary.get("tracker id").and_then(text),
        warning: dictionary.get("warning message").and_then(text),
        ..AnnounceAnswer::default()
    };
    if answer.interval.is_none() {
        notes.push("no \"interval\": clients announce when they like".to_owned());
    }
    let (peers, peers6) = (dictionary.get("peers"), dictionary.get("peers6"));
    if peers.is_none() && peers6.is_none() {
        notes.push(
            "neither \"peers\" nor \"peers6\": some clients take that for an error".to_owned(),
        );
    }
    match peers {
        Some(Value::ByteStr(bytes)) => {
            answer.v4_bytes = bytes.len();
            note_rest("peers", bytes, PEER_V4_LEN, &mut notes);
            answer.peers.extend(v4_peers(bytes));
        }
        Some(Value::List(list)) => {
            let read: Vec<_> = list.iter().filter_map(peer_in_dictionary).collect();
            if read.len() < list.len() {
                let broken = list.len() - read.len();
                notes.push(format!("{broken} of {} peers cannot be read", list.len()));
            }
            answer.peers.extend(read);
        }
        Some(_) => notes.push("\"peers\" is neither a string nor a list".to_owned()),
        None => {}
    }
    match peers6 {
        Some(Value::ByteStr(bytes)) => {
            answer.v6_bytes = bytes.len();
            note_rest("peers6", bytes, PEER_V6_LEN, &mut notes);
            answer.peers.extend(v6_peers(bytes));
        }
        Some(_) => notes.push("\"peers6\" is no string".to_owned()),
        None => {}
    }
    if let Some(external) = dictionary.get("external ip") {
        answer.external_ip = external.as_byte_str().and_then(|bytes| ip(bytes));
        if answer.external_ip.is_none() {
            notes.push("\"external ip\" has neither 4 nor 16 bytes".to_owned());
        }
    }
    Ok(Decoded { answer, notes })
}

fn note_rest(key: &str, bytes: &[u8], len: usize, notes: &mut Vec<String>) {
    if !bytes.len().is_multiple_of(len) {
        notes.push(format!(
            "\"{key}\" has {} bytes, no multiple of {len}; the last are left out",
            bytes.len()
        ));
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

fn v4_peers(bytes: &[u8]) -> impl Iterator<Item = Peer> {
    bytes.as_chunks::<PEER_V4_LEN>().0.iter().map(|peer| {
        let [a, b, c, d, high, low] = *peer;
        Peer {
            host: Ipv4Addr::new(a, b, c, d).to_string(),
            port: u16::from_be_bytes([high, low]),
            form: PeerForm::V4,
            peer_id: None,
            name: None,
        }
    })
}

fn v6_peers(bytes: &[u8]) -> impl Iterator<Item = Peer> {
    bytes.as_chunks::<PEER_V6_LEN>().0.iter().map(|peer| {
        let mut address = [0; 16];
        address.copy_from_slice(&peer[..16]);
        let address = Ipv6Addr::from(address);
        Peer {
            host: address.to_string(),
            port: u16::from_be_bytes([peer[16], peer[17]]),
            form: match address.to_ipv4_mapped() {
                Some(_) => PeerForm::Mapped,
                None => PeerForm::V6,
            },
            peer_id: None,
            name: None,
        }
    })
}

fn peer_in_dictionary(value: &Value) -> Option<Peer> {
    let port = value.get("port")?.as_u64()?;
    Some(Peer {
        host: text(value.get("ip")?)?,
        port: u16::try_from(port).ok()?,
        form: PeerForm::Dictionary,
        peer_id: value
            .get("peer id")
            .and_then(Value::as_byte_str)
            .map(|id| id.to_vec()),
        name: None,
    })
}

/// A scrape's answer over HTTP (BEP 48, BEP 21) to a question for these torrents; for none of them when
/// all were asked for.
pub fn http_scrape(body: &[u8], asked: &[InfoHash]) -> Result<Decoded<ScrapeAnswer>, Refused> {
    let dictionary = dictionary(body)?;
    let mut notes = Vec::new();
    let Some(files) = dictionary.get("files").and_then(Value::as_dict) else {
        return Err(malformed("the body has no dictionary \"files\"").into());
    };
    let mut rows = Vec::new();
    for (key, totals) in files {
        if !totals.is_dict() {
            notes.push("a torrent in \"files\" is no dictionary".to_owned());
            continue;
        }
        rows.push(ScrapeRow {
            info_hash: if let Ok(hash) = <[u8; InfoHash::LEN]>::try_from(key.as_slice()) {
                InfoHash(hash).to_string()
            } else {
                notes.push("a key of \"files\" has not 20 bytes".to_owned());
                printable(key)
            },
            complete: number(totals, "complete", &mut notes),
            incomplete: number(totals, "incomplete", &mut notes),
            downloaded: number(totals, "downloaded", &mut notes),
            downloaders: number(totals, "downloaders", &mut notes),
            name: totals.get("name").and_then(text),
        });
    }
    let has = |hash: &&InfoHash| rows.iter().any(|row| row.info_hash == hash.to_string());
    let missing = asked.iter().filter(|hash| !has(hash)).count();
    if missing > 0 {
        let of = asked.len();
        notes.push(format!(
            "{missing} of {of} torrents are missing in the answer"
        ));
    }
    // One sentence for a thousand torrents.
    notes.dedup();
    let flags = dictionary.get("flags");
    let min_request_interval =
        flags.and_then(|flags| number(flags, "min_request_interval", &mut notes));
    let answer = ScrapeAnswer {
        min_request_interval,
        rows,
    };
    Ok(Decoded { answer, notes })
}

fn word(reply: &[u8], at: usize) -> Option<u32> {
    let bytes = reply.get(at..at.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_be_bytes)
}

/// Looks at the head of a reply over UDP: whether it is the one to this request. An error is a refusal.
pub fn udp_head(reply: &[u8], expected: u32, transaction: u32) -> Result<(), Failure> {
    let (Some(action), Some(id)) = (word(reply, 0), word(reply, 4)) else {
        let len = reply.len();
        return Err(malformed(format!("the reply has only {len} bytes")));
    };
    let rest = printable(&reply[8..]);
    if id != transaction {
        let says = if action == action::ERROR {
            format!(", with the error \"{rest}\"")
        } else {
            String::new()
        };
        return Err(malformed(format!(
            "the reply has the transaction id {id:08x}, not {transaction:08x}{says}"
        )));
    }
    match action {
        action::ERROR => Err(Failure::new(Kind::FailureReason, rest)),
        _ if action == expected => Ok(()),
        _ => Err(malformed(format!(
            "the reply has the action {action}, not {expected}"
        ))),
    }
}

/// The connection id in a reply whose head is right.
pub fn udp_connect(reply: &[u8]) -> Result<u64, Failure> {
    match reply.get(8..16).map(<[u8; 8]>::try_from) {
        Some(Ok(id)) => Ok(u64::from_be_bytes(id)),
        _ => Err(malformed(format!(
            "the reply to a connect has {} bytes, not 16",
            reply.len()
        ))),
    }
}

/// An announce's answer whose head is right, from an address of one family or the other.
pub fn udp_announce(reply: &[u8], is_v6: bool) -> Result<Decoded<AnnounceAnswer>, Failure> {
    let fields = (word(reply, 8), word(reply, 12), word(reply, 16));
    let (Some(interval), Some(leechers), Some(seeders)) = fields else {
        return Err(malformed(format!(
            "the reply to an announce has {} bytes, fewer than {ANNOUNCE_REPLY_HEAD_LEN}",
            reply.len()
        )));
    };
    let peers = &reply[ANNOUNCE_REPLY_HEAD_LEN..];
    let peer_len = if is_v6 { PEER_V6_LEN } else { PEER_V4_LEN };
    if !peers.len().is_multiple_of(peer_len) {
        let hint = if is_v6 && peers.len().is_multiple_of(PEER_V4_LEN) {
            "; they look like IPv4 peers in a reply over IPv6"
        } else {
            ""
        };
        return Err(malformed(format!(
            "the peers have {} bytes, no multiple of {peer_len}: clients drop the whole reply{hint}",
            peers.len()
        )));
    }
    let mut notes = Vec::new();
    if interval > i32::MAX as u32 {
        notes.push("the interval is negative".to_owned());
    }
    let mut answer = AnnounceAnswer {
        interval: Some(i64::from(interval)),
        complete: Some(i64::from(seeders)),
        incomplete: Some(i64::from(leechers)),
        ..AnnounceAnswer::default()
    };
    if is_v6 {
        answer.v6_bytes = peers.len();
        answer.peers = v6_peers(peers).collect();
    } else {
        answer.v4_bytes = peers.len();
        answer.peers = v4_peers(peers).collect();
    }
    Ok(Decoded { answer, notes })
}

/// A scrape's answer whose head is right, to a question for these torrents.
pub fn udp_scrape(reply: &[u8], asked: &[InfoHash]) -> Result<Decoded<ScrapeAnswer>, Failure> {
    let totals = reply.get(SCRAPE_REPLY_HEAD_LEN..).unwrap_or_default();
    let (read, rest) = totals.as_chunks::<SCRAPE_ROW_LEN>();
    if !rest.is_empty() {
        return Err(malformed(format!(
            "the totals have {} bytes, no multiple of {SCRAPE_ROW_LEN}",
            totals.len()
        )));
    }
    let mut notes = Vec::new();
    if read.len() != asked.len() {
        notes.push(format!(
            "{} torrents are in the answer, {} were asked for",
            read.len(),
            asked.len()
        ));
    }
    let rows = asked.iter().zip(read).map(|(hash, row)| ScrapeRow {
        info_hash: hash.to_string(),
        complete: word(row, 0).map(i64::from),
        downloaded: word(row, 4).map(i64::from),
        incomplete: word(row, 8).map(i64::from),
        downloaders: None,
        name: None,
    });
    let answer = ScrapeAnswer {
        min_request_interval: None,
        rows: rows.collect(),
    };
    Ok(Decoded { answer, notes })
}

#[cfg(test)]
mod tests;
