//! What an announce says in its query (BEP 3, 7, 23). Unknown keys are ignored, and so are `ip`,
//! `ipv4` and `ipv6`: a peer's address is where its request comes from.

use super::query::{QueryFault, decode, number, pairs};
use crate::wire::{Event, InfoHash, NumWant, PeerId};

/// An announce. The order of keys does not matter; of keys given twice the first counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnnounceQuery {
    /// The torrent.
    pub info_hash: InfoHash,
    /// How the client names itself.
    pub peer_id: PeerId,
    /// The port it listens on, never 0.
    pub port: u16,
    /// Bytes given since `started`; 0 when not said or not a number.
    pub uploaded: u64,
    /// Bytes fetched since `started`; 0 when not said or not a number.
    pub downloaded: u64,
    /// Bytes still missing, 0 for a seeder. None when not said or not a number: a leecher.
    pub left: Option<u64>,
    /// What happened since the last announce.
    pub event: Event,
    /// How many peers are wanted.
    pub num_want: NumWant,
    /// Peers as packed bytes (BEP 23), which only `compact=0` declines.
    pub compact: bool,
    /// Each peer with its `peer id`: only a list of dictionaries has room for it, and
    /// `no_peer_id=1` declines it.
    pub peer_ids: bool,
}

impl AnnounceQuery {
    /// Reads the query, which is empty when the request has none. Of several faults the first in
    /// the order of [`QueryFault`] is told.
    pub fn parse(query: &[u8]) -> Result<Self, QueryFault> {
        let mut said = Said::default();
        for (key, value) in pairs(query) {
            said.note(key, value)?;
        }
        let info_hash = said.info_hash.ok_or(QueryFault::MissingInfoHash)?;
        let info_hash = decode(info_hash).ok_or(QueryFault::InvalidInfoHash)?;
        let peer_id = said.peer_id.ok_or(QueryFault::MissingPeerId)?;
        let peer_id = decode(peer_id).ok_or(QueryFault::InvalidPeerId)?;
        let port = said.port.and_then(port).ok_or(QueryFault::InvalidPort)?;
        let compact = said.compact != Some(b"0");
        Ok(Self {
            info_hash: InfoHash(info_hash),
            peer_id: PeerId(peer_id),
            port,
            uploaded: said.uploaded.and_then(number).unwrap_or(0),
            downloaded: said.downloaded.and_then(number).unwrap_or(0),
            left: said.left.and_then(number),
            event: said.event.map_or(Event::None, event),
            num_want: num_want(said.num_want.and_then(number)),
            compact,
            peer_ids: !compact && said.no_peer_id != Some(b"1"),
        })
    }
}

/// The first value of every key that matters, still escaped.
#[derive(Default)]
struct Said<'a> {
    info_hash: Option<&'a [u8]>,
    peer_id: Option<&'a [u8]>,
    port: Option<&'a [u8]>,
    uploaded: Option<&'a [u8]>,
    downloaded: Option<&'a [u8]>,
    left: Option<&'a [u8]>,
    event: Option<&'a [u8]>,
    num_want: Option<&'a [u8]>,
    compact: Option<&'a [u8]>,
    no_peer_id: Option<&'a [u8]>,
}

impl<'a> Said<'a> {
    /// Two torrents in one announce leave open which is meant, so that is a fault.
    fn note(&mut self, key: &[u8], value: &'a [u8]) -> Result<(), QueryFault> {
        let place = match key {
            b"info_hash" if self.info_hash.is_some() => return Err(QueryFault::InvalidInfoHash),
            b"info_hash" => &mut self.info_hash,
            b"peer_id" => &mut self.peer_id,
            b"port" => &mut self.port,
            b"uploaded" => &mut self.uploaded,
            b"downloaded" => &mut self.downloaded,
            b"left" => &mut self.left,
            b"event" => &mut self.event,
            b"numwant" => &mut self.num_want,
            b"compact" => &mut self.compact,
            b"no_peer_id" => &mut self.no_peer_id,
            _ => return Ok(()),
        };
        place.get_or_insert(value);
        Ok(())
    }
}

fn port(raw: &[u8]) -> Option<u16> {
    let port = u16::try_from(number(raw)?).ok()?;
    (port != 0).then_some(port)
}

fn event(raw: &[u8]) -> Event {
    match raw {
        b"started" => Event::Started,
        b"completed" => Event::Completed,
        b"stopped" => Event::Stopped,
        b"paused" => Event::Paused,
        _ => Event::None,
    }
}

fn num_want(number: Option<u64>) -> NumWant {
    number.map_or(NumWant::Default, |number| {
        NumWant::AtMost(u32::try_from(number).unwrap_or(u32::MAX))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-qB5240-abcdefghijkl&port=6881";

    fn parse(query: &str) -> Result<AnnounceQuery, QueryFault> {
        AnnounceQuery::parse(query.as_bytes())
    }

    fn with(more: &str) -> AnnounceQuery {
        parse(&format!("{LEAST}&{more}")).unwrap()
    }

    #[test]
    fn three_keys_are_enough() {
        assert_eq!(
            parse(LEAST),
            Ok(AnnounceQuery {
                info_hash: InfoHash([b'a'; 20]),
                peer_id: PeerId(*b"-qB5240-abcdefghijkl"),
                port: 6881,
                uploaded: 0,
                downloaded: 0,
                left: None,
                event: Event::None,
                num_want: NumWant::Default,
                compact: true,
                peer_ids: false,
            })
        );
    }

    #[test]
    fn the_order_of_keys_does_not_matter() {
        let webtorrent = "numwant=50&uploaded=1&downloaded=2&left=3&event=completed&compact=1&\
                          info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-qB5240-abcdefghijkl&port=6881";
        assert_eq!(
            parse(webtorrent),
            Ok(AnnounceQuery {
                uploaded: 1,
                downloaded: 2,
                left: Some(3),
                event: Event::Completed,
                num_want: NumWant::AtMost(50),
                ..parse(LEAST).unwrap()
            })
        );
    }

    #[test]
    fn junk_in_optional_keys_means_that_nothing_was_said() {
        let junk = "left=-5&uploaded=x&downloaded=&numwant=abc&event=foo&compact=&key=&no_peer_id&\
                    ip=10.0.0.1&ipv4=nonsense&ipv6=%5B%5D&ipv6=None&passkey=a=b";
        assert_eq!(with(junk), parse(LEAST).unwrap());
    }

    #[test]
    fn a_port_that_none_can_listen_on_is_refused() {
        for port in ["0", "65536", "-1", "", "http", "18446744073709558497"] {
            let query =
                format!("info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-qB5240-abcdefghijkl&port={port}");
            assert_eq!(parse(&query), Err(QueryFault::InvalidPort), "{port}");
        }
        let without = "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-qB5240-abcdefghijkl";
        assert_eq!(parse(without), Err(QueryFault::InvalidPort));
        assert_eq!(parse(&format!("{without}&port=65535")).unwrap().port, 65535);
    }

    #[test]
    fn of_several_faults_the_torrents_is_told_first_and_the_ports_last() {
        assert_eq!(parse(""), Err(QueryFault::MissingInfoHash));
        assert_eq!(parse("info_hash=x"), Err(QueryFault::InvalidInfoHash));
        let query = "info_hash=aaaaaaaaaaaaaaaaaaaa";
        assert_eq!(parse(query), Err(QueryFault::MissingPeerId));
        let query = "port=0&peer_id=x&info_hash=aaaaaaaaaaaaaaaaaaaa";
        assert_eq!(parse(query), Err(QueryFault::InvalidPeerId));
    }

    #[test]
    fn the_first_of_two_values_counts_but_two_torrents_are_refused() {
        let query = with("port=1&peer_id=x&event=stopped&event=started&left=0&left=9");
        assert_eq!(query.port, 6881);
        assert_eq!(query.peer_id, PeerId(*b"-qB5240-abcdefghijkl"));
        assert_eq!(query.event, Event::Stopped);
        assert_eq!(query.left, Some(0));
        let twice = format!("{LEAST}&info_hash=aaaaaaaaaaaaaaaaaaaa");
        assert_eq!(parse(&twice), Err(QueryFault::InvalidInfoHash));
    }

    #[test]
    fn events_are_known_in_lower_case_only() {
        let events = [
            ("started", Event::Started),
            ("completed", Event::Completed),
            ("stopped", Event::Stopped),
            ("paused", Event::Paused),
            ("empty", Event::None),
            ("", Event::None),
            ("Stopped", Event::None),
            ("%73topped", Event::None),
        ];
        for (text, event) in events {
            assert_eq!(with(&format!("event={text}")).event, event, "{text}");
        }
    }

    #[test]
    fn numbers_beyond_their_type_are_its_largest() {
        let query =
            with("numwant=4294967296&left=99999999999999999999&uploaded=18446744073709551615");
        assert_eq!(query.num_want, NumWant::AtMost(u32::MAX));
        assert_eq!(query.left, Some(u64::MAX));
        assert_eq!(query.uploaded, u64::MAX);
        assert_eq!(with("numwant=0").num_want, NumWant::AtMost(0));
        assert_eq!(with("numwant=-1").num_want, NumWant::Default);
        assert_eq!(with("numwant=").num_want, NumWant::Default);
    }

    #[test]
    fn only_a_zero_declines_compact_peers_and_only_a_one_declines_peer_ids() {
        let forms = [
            ("compact=0", false, true),
            ("compact=0&no_peer_id=1", false, false),
            ("compact=0&no_peer_id=0", false, true),
            ("compact=00", true, false),
            ("compact=1&no_peer_id=0", true, false),
            ("no_peer_id=0", true, false),
        ];
        for (text, compact, peer_ids) in forms {
            let query = with(text);
            assert_eq!(
                (query.compact, query.peer_ids),
                (compact, peer_ids),
                "{text}"
            );
        }
    }
}
