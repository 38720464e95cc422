//! How real clients word their requests: names, order and escaping of the query, header fields, user
//! agents and peer ids. Trackers that let only known clients in look at these, and parsers that some
//! order or escaping upsets are found by them.
//!
//! The orders are those of the clients' sources and of recordings. Of the encodings that libcurl offers
//! only those are named that can be read here, so no brotli.

mod clients;

use std::fmt::Write as _;

use crate::wire::udp::ask::Announce;
use crate::wire::{Event, InfoHash, NumWant, PeerId};
use clients::{CLIENTS, Client, Field as F, Key};

/// A client as it shows itself: one kind of software in one version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    client: &'static Client,
    user_agent: String,
    peer_id_start: String,
}

impl Default for Profile {
    fn default() -> Self {
        Self::of(&CLIENTS[0], 0)
    }
}

impl Profile {
    /// The names that [`Profile::named`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        CLIENTS.iter().map(|client| client.name)
    }

    /// The newest version of the client of this name.
    pub fn named(name: &str) -> Option<Self> {
        let mut clients = CLIENTS.iter();
        let client = clients.find(|client| client.name.eq_ignore_ascii_case(name))?;
        Some(Self::of(client, 0))
    }

    /// Any version of any real client.
    pub fn random() -> Self {
        let client = &CLIENTS[fastrand::usize(1..CLIENTS.len())];
        Self::of(client, fastrand::usize(..client.versions.len()))
    }

    fn of(client: &'static Client, version: usize) -> Self {
        let (user_agent, peer_id_start) = client.versions[version];
        Self {
            client,
            user_agent: user_agent.to_owned(),
            peer_id_start: peer_id_start.to_owned(),
        }
    }

    /// The same client under another user agent.
    #[must_use]
    pub fn with_user_agent(self, user_agent: String) -> Self {
        Self { user_agent, ..self }
    }

    /// The same client with another start of its peer ids, of which the first 20 bytes count.
    #[must_use]
    pub fn with_peer_id_start(self, peer_id_start: String) -> Self {
        Self {
            peer_id_start,
            ..self
        }
    }

    /// As `--client` takes it.
    pub fn name(&self) -> &'static str {
        self.client.name
    }

    /// As the header says it.
    pub fn user_agent(&self) -> &str {
        &self.user_agent
    }

    /// How many peers this client asks for by itself, unless it stops.
    pub fn num_want(&self) -> NumWant {
        self.client
            .num_want
            .map_or(NumWant::Default, NumWant::AtMost)
    }

    /// A new peer id of this client.
    pub fn peer_id(&self) -> PeerId {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut id = [0; PeerId::LEN];
        let start = self.peer_id_start.as_bytes();
        let start = &start[..start.len().min(id.len())];
        let (head, tail) = id.split_at_mut(start.len());
        head.copy_from_slice(start);
        let mut sum = 0;
        for byte in tail.iter_mut() {
            let digit = fastrand::usize(..36);
            sum += digit;
            *byte = DIGITS[digit];
        }
        // Transmission's last digit makes the sum of the others a multiple of 36.
        if self.client.name == "transmission"
            && let Some(last) = tail.last_mut()
        {
            let digit = DIGITS.iter().position(|digit| digit == last).unwrap_or(0);
            *last = DIGITS[(36 - (sum - digit) % 36) % 36];
        }
        PeerId(id)
    }

    /// The query of an announce, without `?`.
    pub fn announce_query(&self, announce: &Announce, compact: bool) -> String {
        let mut query = String::new();
        for field in self.client.fields {
            if let Some((name, value)) = self.parameter(*field, announce, compact) {
                let and = if query.is_empty() { "" } else { "&" };
                query.push_str(and);
                query.push_str(name);
                query.push('=');
                query.push_str(&value);
            }
        }
        query
    }

    fn parameter(
        &self,
        field: F,
        announce: &Announce,
        compact: bool,
    ) -> Option<(&'static str, String)> {
        let value = match field {
            F::InfoHash => ("info_hash", self.escape(&announce.info_hash.0)),
            F::PeerId => ("peer_id", self.escape(&announce.peer_id.0)),
            F::Port => ("port", announce.port.to_string()),
            F::Uploaded => ("uploaded", announce.uploaded.to_string()),
            F::Downloaded => ("downloaded", announce.downloaded.to_string()),
            F::Left => ("left", announce.left.to_string()),
            F::Corrupt => ("corrupt", "0".to_owned()),
            F::Redundant => ("redundant", "0".to_owned()),
            F::SupportCrypto => ("supportcrypto", "1".to_owned()),
            F::Key => ("key", self.key(announce)),
            F::Event => ("event", event_name(announce.event)?.to_owned()),
            F::NumWant => match announce.num_want {
                NumWant::AtMost(number) => ("numwant", number.to_string()),
                NumWant::Default => return None,
            },
            F::Compact => ("compact", u8::from(compact).to_string()),
            // Whoever asks for dictionaries wants to see peer ids.
            F::NoPeerId if compact => ("no_peer_id", "1".to_owned()),
            F::NoPeerId => return None,
        };
        Some(value)
    }

    fn key(&self, announce: &Announce) -> String {
        match self.client.key {
            Key::UpperHex => format!("{:08X}", announce.key),
            Key::LowerHex => format!("{:08x}", announce.key),
            Key::PeerId => self.escape(&announce.peer_id.0[PeerId::LEN - 8..]),
        }
    }

    /// The query of a scrape, without `?`.
    pub fn scrape_query(&self, info_hashes: &[InfoHash]) -> String {
        let hashes = info_hashes.iter().map(|hash| self.escape(&hash.0));
        let pieces: Vec<_> = hashes.map(|hash| format!("info_hash={hash}")).collect();
        pieces.join("&")
    }

    /// Bytes in a query, as this client writes them.
    pub fn escape(&self, bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len() * 3);
        for byte in bytes {
            if byte.is_ascii_alphanumeric() || self.client.literal.contains(byte) {
                text.push(char::from(*byte));
            } else if self.client.upper_case {
                let _ = write!(text, "%{byte:02X}");
            } else {
                let _ = write!(text, "%{byte:02x}");
            }
        }
        text
    }

    /// A request, from its first line to the empty one. `more` are header fields without line ends.
    pub fn request(&self, path_and_query: &str, host: &str, more: &[String]) -> Vec<u8> {
        let mut request = format!("GET {path_and_query} HTTP/1.1\r\n");
        for field in self.client.head.split_inclusive("\r\n") {
            // Filled in line by line, so that nothing is looked for in what comes from outside.
            match field {
                "Host: HOST\r\n" => request.extend(["Host: ", host, "\r\n"]),
                "User-Agent: AGENT\r\n" => {
                    request.extend(["User-Agent: ", &self.user_agent, "\r\n"]);
                }
                _ => request.push_str(field),
            }
        }
        for field in more {
            request.push_str(field);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        request.into_bytes()
    }
}

/// As in a query; the regular announce has none.
pub fn event_name(event: Event) -> Option<&'static str> {
    match event {
        Event::None => None,
        Event::Completed => Some("completed"),
        Event::Started => Some("started"),
        Event::Stopped => Some("stopped"),
        Event::Paused => Some("paused"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWKWARD: &[u8] = b"\0\x01\x7f\x80\xff %&+-.=?A_az~\n\r";

    fn announce(profile: &Profile) -> Announce {
        Announce {
            info_hash: InfoHash(*b"aaaaaaaaaaaaaaaaaaaa"),
            peer_id: profile.peer_id(),
            downloaded: 0,
            left: 5,
            uploaded: 0,
            event: Event::Started,
            key: 0xab,
            num_want: profile.num_want(),
            port: 6881,
        }
    }

    #[test]
    fn every_client_escapes_in_its_own_way() {
        let escaped = |name: &str| Profile::named(name).unwrap().escape(AWKWARD);
        let lower = "%00%01%7f%80%ff%20%25%26%2b-.%3d%3fA_az~%0a%0d";
        assert_eq!(escaped("libtorrent"), lower);
        assert_eq!(escaped("transmission"), lower);
        assert_eq!(
            escaped("utorrent"),
            "%00%01%7f%80%ff%20%25%26%2b-%2e%3d%3fA%5faz%7e%0a%0d"
        );
        assert_eq!(
            escaped("rtorrent"),
            "%00%01%7F%80%FF%20%25%26%2B-%2E%3D%3FA%5Faz%7E%0A%0D"
        );
    }

    #[test]
    fn queries_have_the_order_of_the_client() {
        let profile = Profile::named("rTorrent").unwrap();
        let query = profile.announce_query(&announce(&profile), true);
        let names: Vec<&str> = query
            .split('&')
            .map(|piece| piece.split('=').next().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "info_hash",
                "peer_id",
                "key",
                "compact",
                "port",
                "uploaded",
                "downloaded",
                "left",
                "event"
            ]
        );
        assert!(query.contains("&key=000000ab&"), "{query}");
    }

    #[test]
    fn every_version_of_every_client_makes_peer_ids_that_begin_as_they_should() {
        for client in &CLIENTS {
            for version in 0..client.versions.len() {
                let profile = Profile::of(client, version);
                let id = profile.peer_id();
                assert!(id.0.starts_with(profile.peer_id_start.as_bytes()));
                assert!(id.0.iter().all(u8::is_ascii_graphic));
                assert!(Profile::named(profile.name()).is_some());
            }
        }
        let long = Profile::default().with_peer_id_start("x".repeat(30));
        assert_eq!(long.peer_id(), PeerId([b'x'; 20]));
    }

    #[test]
    fn the_digits_of_a_transmission_sum_up_to_a_multiple_of_36() {
        let id = Profile::named("transmission").unwrap().peer_id();
        let digits = id.0[8..].iter().map(|byte| char::from(*byte).to_digit(36));
        assert_eq!(digits.map(Option::unwrap).sum::<u32>() % 36, 0);
    }

    #[test]
    fn a_request_is_a_head_with_all_its_fields() {
        let more = ["X-Forwarded-For: 1.2.3.4".to_owned()];
        let request = Profile::default().request("/announce?a=b", "t:81", &more);
        let expected = format!(
            "GET /announce?a=b HTTP/1.1\r\nHost: t:81\r\nUser-Agent: Shoal/{}\r\n\
             Accept-Encoding: gzip\r\nConnection: close\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(String::from_utf8(request).unwrap(), expected);
    }
}
