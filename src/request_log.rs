//! A line for each request, for whoever looks for a fault: `--verbose`. Without it a request costs
//! nothing here but the look at one byte of the rules.
//!
//! ```text
//! udp announce of 61626364 (started, 1000 left, client "-qB4650-") from 203.0.113.x: 2 peers of 1 seeder and 2 leechers
//! http request "/nowhere" from 2001:db8:7:x: 404
//! udp datagram of 16 bytes from 203.0.113.x: dropped, forged_connection_id
//! ```
//!
//! What a client chose is escaped, and keys in paths are not told.

use std::fmt::{self, Display};
use std::net::IpAddr;

use log::{Level, debug, log_enabled};

use crate::counters::Protocol;
use crate::gate::keys::AnnounceKey;
use crate::wire::{Event, InfoHash, PeerId};

/// The name under which the levels of the log know these lines.
pub const TARGET: &str = "shoal::requests";

/// Bytes of a peer id that name the client and its version.
const CLIENT_LEN: usize = 8;

/// Most bytes of a path that are told.
const PATH_LEN_MAX: usize = 64;

/// Whether requests are logged, and how much of an address is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RequestLog {
    /// They are not.
    #[default]
    Off,
    /// Addresses without what tells apart the customers of one provider: 24 bits of IPv4, 48 of IPv6.
    Short,
    /// Whole addresses.
    Full,
}

impl RequestLog {
    /// As the levels of the log will have it, which is asked once and not with every request.
    pub fn of(full_addresses: bool) -> Self {
        match (log_enabled!(target: TARGET, Level::Debug), full_addresses) {
            (false, _) => Self::Off,
            (true, false) => Self::Short,
            (true, true) => Self::Full,
        }
    }

    /// Whether requests are logged.
    #[inline]
    pub fn is_on(self) -> bool {
        self != Self::Off
    }

    /// Writes a line: `what` was asked by `source`, and what came of it. A client without an address
    /// came through a Unix socket.
    #[cold]
    pub fn write(
        self,
        protocol: Protocol,
        what: impl Display,
        source: Option<IpAddr>,
        outcome: impl Display,
    ) {
        let protocol = match protocol {
            Protocol::Udp => "udp",
            Protocol::Http => "http",
            Protocol::Https => "https",
        };
        match source {
            Some(address) => {
                let source = Source(address, self);
                debug!(target: TARGET, "{protocol} {what} from {source}: {outcome}");
            }
            None => debug!(target: TARGET, "{protocol} {what} from somebody: {outcome}"),
        }
    }
}

/// An address as it is told.
struct Source(IpAddr, RequestLog);

impl Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(address, RequestLog::Full) => write!(f, "{address}"),
            Self(IpAddr::V4(v4), _) => {
                let [a, b, c, _] = v4.octets();
                write!(f, "{a}.{b}.{c}.x")
            }
            Self(IpAddr::V6(v6), _) => {
                let [a, b, c, ..] = v6.segments();
                write!(f, "{a:x}:{b:x}:{c:x}:x")
            }
        }
    }
}

/// An announce as it is told.
pub struct Announce<'a> {
    /// The torrent, of which eight digits are told.
    pub info_hash: &'a InfoHash,
    /// What happened to the client.
    pub event: Event,
    /// Bytes that it misses; all ones where it did not say.
    pub left: u64,
    /// How it names itself, of which the client and its version are told.
    pub peer_id: &'a PeerId,
}

impl Display for Announce<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let event = match self.event {
            Event::None => "regular",
            Event::Completed => "completed",
            Event::Started => "started",
            Event::Stopped => "stopped",
            Event::Paused => "paused",
        };
        write!(
            f,
            "announce of {:08x} ({event}, ",
            self.info_hash.first_word()
        )?;
        match self.left {
            u64::MAX => write!(f, "left unknown")?,
            left => write!(f, "{left} left")?,
        }
        let client = self.peer_id.0[..CLIENT_LEN].escape_ascii();
        write!(f, ", client \"{client}\")")
    }
}

/// A scrape as it is told.
pub struct Scrape<'a> {
    /// How many torrents it names.
    pub torrents: usize,
    /// The first of them.
    pub first: Option<&'a InfoHash>,
}

impl Display for Scrape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.torrents, self.first) {
            (1, Some(first)) => write!(f, "scrape of {:08x}", first.first_word()),
            (torrents, Some(first)) => {
                write!(
                    f,
                    "scrape of {torrents} torrents, the first {:08x}",
                    first.first_word()
                )
            }
            (_, None) => write!(f, "scrape of nothing"),
        }
    }
}

/// A path without what looks like a key in it, whatever else stands there.
pub fn without_keys(path: &[u8]) -> Vec<u8> {
    let pieces = path.split(|&byte| byte == b'/').map(|piece| {
        if AnnounceKey::try_from(piece).is_ok() {
            b"***"
        } else {
            piece
        }
    });
    pieces.collect::<Vec<&[u8]>>().join(&b'/')
}

/// A path that somebody sent.
pub struct Path<'a>(pub &'a [u8]);

impl Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = without_keys(self.0);
        let told = &path[..path.len().min(PATH_LEN_MAX)];
        let more = if told.len() < path.len() { "..." } else { "" };
        write!(f, "request \"{}{more}\"", told.escape_ascii())
    }
}

/// What an announce was answered.
pub struct Answer {
    /// Peers in the reply.
    pub peers: usize,
    /// Seeders of the torrent.
    pub seeders: u32,
    /// Leechers of the torrent.
    pub leechers: u32,
}

impl Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = |count: u32| if count == 1 { "" } else { "s" };
        let Self {
            peers,
            seeders,
            leechers,
        } = *self;
        write!(
            f,
            "{peers} peer{} of {seeders} seeder{} and {leechers} leecher{}",
            s(peers as u32),
            s(seeders),
            s(leechers)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_24_bits_of_ipv4_and_48_of_ipv6_are_told_unless_all_is_wanted() {
        let told = |text: &str, log| Source(text.parse().expect("an address"), log).to_string();
        for (address, short) in [
            ("203.0.113.7", "203.0.113.x"),
            ("2001:db8:7:8::9", "2001:db8:7:x"),
            ("::1", "0:0:0:x"),
        ] {
            assert_eq!(told(address, RequestLog::Short), short);
            assert_eq!(told(address, RequestLog::Full), address);
        }
    }

    #[test]
    fn what_a_client_chose_cannot_end_a_line_or_a_quotation() {
        let peer_id = PeerId(*b"\n\x1b[31m\"\\\xff-the-rest\r\n");
        let announce = Announce {
            info_hash: &InfoHash([0xab; 20]),
            event: Event::Paused,
            left: u64::MAX,
            peer_id: &peer_id,
        };
        assert_eq!(
            announce.to_string(),
            r#"announce of abababab (paused, left unknown, client "\n\x1b[31m\"\\")"#
        );
        let path = Path(b"/a\r\n\"\x00\xc3\xa4");
        assert_eq!(path.to_string(), r#"request "/a\r\n\"\x00\xc3\xa4""#);
        let long = Path(&[b'/'; 1000]).to_string();
        assert_eq!(long, format!("request \"{}...\"", "/".repeat(64)));
    }

    #[test]
    fn of_all_bytes_and_pairs_of_bytes_none_is_a_control_character_in_the_log() {
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                let line = Path(&[b'/', first, second]).to_string();
                assert!(!line.contains(char::is_control), "{line:?}");
                assert!(line.is_ascii(), "{line:?}");
            }
        }
    }

    #[test]
    fn a_key_is_not_told_where_its_path_has_a_slip() {
        let key = "0123456789abcdefghijklmnopqrstuv";
        for path in [
            format!("/{key}/anounce"),
            format!("/announce/{key}/x"),
            format!("/{key}"),
            format!("//{key}//scrap"),
        ] {
            let told = Path(path.as_bytes()).to_string();
            assert!(!told.contains(&key[8..]), "{told}");
        }
    }
}
