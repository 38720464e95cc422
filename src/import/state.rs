//! `tracker_state.json` of the Simple BitTorrent tracker:
//!
//! ```text
//! {"torrents": {HASH: {"info": {"name", "size", "piece_length", ..},
//!                      "peers_info": [{"peer_id", "ip", "port", "last_seen", "left", "is_seeder", ..}],
//!                      "stats": {..}}}}
//! ```
//!
//! HASH is in any form of [`super::text::info_hash`]. Its `downloaded` counts bytes, not downloads, so the
//! torrents come without a count of completed downloads.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::records::{Peer, Records, Torrent};
use super::text::{BYTE_ORDER_MARK, info_hash, shown};
use crate::query::failure::printable;
use crate::wire::InfoHash;
use crate::wire::metainfo::{Metainfo, NAME_LEN_MAX, TEXT_LEN_MAX, cut};

/// What the ages of peers are judged by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// Now, in seconds since 1970.
    pub now_unix_s: u64,
    /// Peers that were silent for longer are left out.
    pub peer_timeout_s: u64,
}

/// Reads a state file. The error says why it is none.
pub fn read(bytes: &[u8], times: Times) -> Result<Records, String> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let mut reader = Reader {
        times,
        torrents: BTreeMap::new(),
        late: 0,
        records: Records::default(),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let found = Whole(&mut reader)
        .deserialize(&mut deserializer)
        .and_then(|found| deserializer.end().map(|()| found))
        .map_err(|error| {
            format!(
                "no state of a tracker: {}",
                printable(error.to_string().as_bytes())
            )
        })?;
    if !found {
        return Err("no state of a tracker: it has no \"torrents\"".to_owned());
    }
    let Reader {
        torrents,
        late,
        mut records,
        ..
    } = reader;
    records.torrents = torrents
        .into_iter()
        .map(|(info_hash, peers)| Torrent {
            info_hash,
            completed: 0,
            peers: peers.into_values().map(|known| known.peer).collect(),
        })
        .filter(|torrent| !torrent.peers.is_empty())
        .collect();
    if late > 0 {
        let timeout = times.peer_timeout_s;
        records.notes.push(format!(
            "peers left out because they were silent for more than {timeout} s (--peer-timeout): {late}"
        ));
    }
    Ok(records)
}

/// A peer by its address, and the id that it had.
struct Known {
    peer: Peer,
    peer_id: String,
}

struct Reader {
    times: Times,
    torrents: BTreeMap<InfoHash, BTreeMap<SocketAddr, Known>>,
    late: u64,
    records: Records,
}

impl Reader {
    fn torrent(&mut self, key: &str, torrent: &Value) {
        let inside = torrent["info"]["info_hash"].as_str();
        let found =
            info_hash(key).or_else(|why| inside.and_then(|text| info_hash(text).ok()).ok_or(why));
        let hash = match found {
            Ok(hash) => hash,
            Err(why) => {
                let key = shown(key);
                return self
                    .records
                    .mistakes
                    .push(|| format!("torrent \"{key}\": its info-hash {why}"));
            }
        };
        if !torrent.is_object() {
            return self
                .records
                .mistakes
                .push(|| format!("torrent {hash} is no object"));
        }
        self.info(hash, &torrent["info"]);
        match &torrent["peers_info"] {
            Value::Null => {}
            Value::Array(peers) => {
                for (at, value) in peers.iter().enumerate() {
                    match self.peer(value) {
                        Ok(known) => self.add(hash, known),
                        Err(why) => self
                            .records
                            .mistakes
                            .push(|| format!("torrent {hash}: peer {} is left out: {why}", at + 1)),
                    }
                }
            }
            _ => self
                .records
                .mistakes
                .push(|| format!("torrent {hash}: \"peers_info\" is no list")),
        }
    }

    fn info(&mut self, hash: InfoHash, info: &Value) {
        let text = |key: &str, len_max| {
            let text = info[key].as_str().unwrap_or_default();
            cut(text.to_owned(), len_max)
        };
        let count = |key: &str| number(&info[key]).map_or(0, |number| number as u64);
        let metadata = Metainfo {
            info_hashes: vec![hash],
            name: text("name", NAME_LEN_MAX),
            size: count("size"),
            piece_length: count("piece_length"),
            comment: text("comment", TEXT_LEN_MAX),
            created_by: text("created_by", TEXT_LEN_MAX),
            creation_date: number(&info["creation_date"]).map(|date| date as u64),
        };
        if !metadata.name.is_empty() || metadata.size > 0 {
            self.records.metadata.push(metadata);
        }
    }

    fn peer(&self, value: &Value) -> Result<Known, String> {
        if !value.is_object() {
            return Err("it is no object".to_owned());
        }
        let ip = value["ip"].as_str().ok_or("it has no \"ip\"")?;
        let ip: IpAddr = ip
            .parse()
            .map_err(|_| format!("\"{}\" is no IP address", shown(ip)))?;
        let port = number(&value["port"]).filter(|port| (1.0..=65535.0).contains(port));
        let port = port.ok_or("its \"port\" is not from 1 to 65535")? as u16;
        let seen = number(&value["last_seen"]).ok_or("it has no \"last_seen\"")?;
        let left = match (&value["is_seeder"], number(&value["left"])) {
            (Value::Bool(true), _) => 0,
            (_, Some(left)) => left as u64,
            (Value::Bool(false), None) => 1,
            // As that tracker has it.
            (_, None) => 0,
        };
        // What is told from the future has just been heard of.
        let age_s = self.times.now_unix_s.saturating_sub(seen as u64);
        Ok(Known {
            peer: Peer::at(ip, port, left, age_s)?,
            peer_id: value["peer_id"].as_str().unwrap_or_default().to_owned(),
        })
    }

    /// Keeps the newest of an address; [`Reader::forget_moved`] does the same for peer ids.
    fn add(&mut self, hash: InfoHash, known: Known) {
        if known.peer.age_s > self.times.peer_timeout_s {
            self.late += 1;
            return;
        }
        match self
            .torrents
            .entry(hash)
            .or_default()
            .entry(known.peer.address)
        {
            Entry::Occupied(mut there) if known.peer.age_s < there.get().peer.age_s => {
                there.insert(known);
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(free) => {
                free.insert(known);
            }
        }
    }

    /// A peer id that came from several addresses is at the one where it was last.
    fn forget_moved(&mut self) {
        for peers in self.torrents.values_mut() {
            let mut newest: BTreeMap<String, u64> = BTreeMap::new();
            for Known { peer, peer_id } in peers.values() {
                let age_s = newest.entry(peer_id.clone()).or_insert(peer.age_s);
                *age_s = peer.age_s.min(*age_s);
            }
            peers.retain(|_, known| {
                known.peer_id.is_empty() || newest.get(&known.peer_id) == Some(&known.peer.age_s)
            });
        }
    }
}

/// A number, or a text that is one; none below 0.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number.max(0.0))
}

/// The object around everything; tells whether it has torrents.
struct Whole<'r>(&'r mut Reader);

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with \"torrents\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut found = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == "torrents" {
                map.next_value_seed(Torrents(self.0))?;
                found = true;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        self.0.forget_moved();
        Ok(found)
    }
}

/// The torrents, of which only one at a time is held as JSON.
struct Torrents<'r>(&'r mut Reader);

impl<'de> DeserializeSeed<'de> for Torrents<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Torrents<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a key for each torrent")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, torrent)) = map.next_entry::<String, Value>()? {
            self.0.torrent(&key, &torrent);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times {
        now_unix_s: 1_700_000_000,
        peer_timeout_s: 1800,
    };

    const HEX: &str = "00017f80ff2025262b2d2e3d3f415f617a7e0a0d";

    fn records(json: &str) -> Records {
        read(json.as_bytes(), TIMES).expect(json)
    }

    fn peers(json: &str) -> Vec<Peer> {
        let torrents = records(json).torrents;
        torrents
            .into_iter()
            .flat_map(|torrent| torrent.peers)
            .collect()
    }

    /// A state of one torrent with these peers.
    fn with_peers(peers: &str) -> String {
        format!(r#"{{"torrents":{{"{HEX}":{{"peers_info":[{peers}]}}}}}}"#)
    }

    #[test]
    fn a_torrent_with_everything_is_read() {
        let found = records(&format!(
            r#"{{"saved": 1.5, "torrents": {{"{HEX}": {{
                "info": {{"info_hash": "?", "name": "a.iso", "size": 7, "piece_length": 16384,
                          "creation_date": 1600000000.7, "comment": "c", "created_by": "me"}},
                "peers_info": [{{"peer_id": "-XX0001-", "ip": "192.0.2.1", "port": 6881,
                    "last_seen": 1699999990.4, "uploaded": 1, "downloaded": 2, "left": 3, "is_seeder": false}}],
                "stats": {{"complete": 0, "incomplete": 1, "downloaded": 99, "uploaded": 0, "peers": 1}}}}}}}}"#
        ));
        assert_eq!(found.mistakes.count(), 0, "{:?}", found.mistakes);
        let [torrent] = &found.torrents[..] else {
            panic!("{found:?}")
        };
        assert_eq!(torrent.info_hash.to_string(), HEX);
        assert_eq!(torrent.completed, 0);
        let peer = Peer {
            address: "192.0.2.1:6881".parse().unwrap(),
            left: 3,
            age_s: 10,
        };
        assert_eq!(torrent.peers, [peer]);
        let [metadata] = &found.metadata[..] else {
            panic!("{found:?}")
        };
        assert_eq!((metadata.name.as_str(), metadata.size), ("a.iso", 7));
        assert_eq!(metadata.creation_date, Some(1_600_000_000));
    }

    #[test]
    fn the_short_layout_and_mixed_hashes_are_read() {
        let found = records(
            r#"{"torrents": {"aaaa%FFaaaa aaaaaaaaa%0A": {"info": {"name": "n", "size": 1, "piece_length": 2},
                "peers_info": [], "stats": {}}, "bbbbbbbbbbbbbbbbbbbb": {}}}"#,
        );
        assert_eq!(found.mistakes.count(), 0);
        assert_eq!(found.metadata.len(), 1);
        assert!(found.torrents.is_empty(), "nobody is there");
        assert_eq!(found.metadata[0].info_hashes[0].0[4], 0xff);
    }

    #[test]
    fn peers_that_were_silent_for_too_long_are_left_out() {
        let found = records(&with_peers(
            r#"{"ip":"192.0.2.1","port":1,"last_seen":1699998200},
               {"ip":"192.0.2.2","port":1,"last_seen":1699998199.9},
               {"ip":"192.0.2.3","port":1,"last_seen":1800000000}"#,
        ));
        let ages: Vec<u64> = found.torrents[0]
            .peers
            .iter()
            .map(|peer| peer.age_s)
            .collect();
        assert_eq!(ages, [1800, 0]);
        assert!(
            found.notes[0].ends_with("(--peer-timeout): 1"),
            "{:?}",
            found.notes
        );
    }

    #[test]
    fn of_one_peer_id_and_of_one_address_the_newest_counts() {
        let found = peers(&with_peers(
            r#"{"peer_id":"a","ip":"192.0.2.1","port":1,"last_seen":1699999000},
               {"peer_id":"a","ip":"192.0.2.2","port":1,"last_seen":1699999900},
               {"peer_id":"b","ip":"192.0.2.2","port":1,"last_seen":1699999100},
               {"peer_id":"","ip":"192.0.2.4","port":1,"last_seen":1699999100},
               {"ip":"::ffff:192.0.2.5","port":"7","last_seen":"1699999100"}"#,
        ));
        let shown: Vec<_> = found.iter().map(|peer| peer.address.to_string()).collect();
        assert_eq!(shown, ["192.0.2.2:1", "192.0.2.4:1", "192.0.2.5:7"]);
        assert_eq!(found[0].age_s, 100);
    }

    #[test]
    fn a_seeder_is_who_says_so_or_wants_nothing() {
        let lefts = |fields: &str| {
            let peer = format!(r#"{{"ip":"192.0.2.1","port":1,"last_seen":1700000000{fields}}}"#);
            peers(&with_peers(&peer))[0].left
        };
        assert_eq!(lefts(""), 0);
        assert_eq!(lefts(r#","left":5"#), 5);
        assert_eq!(lefts(r#","left":-5"#), 0);
        assert_eq!(lefts(r#","left":5,"is_seeder":true"#), 0);
        assert_eq!(lefts(r#","is_seeder":false"#), 1);
    }

    #[test]
    fn bad_rows_are_named_and_the_others_go_on() {
        let found = records(&format!(
            r#"{{"torrents":{{"short":{{}}, "{}":5, "{HEX}":{{"peers_info":[1,
                {{"ip":"\u001b[2J","port":1,"last_seen":1}}, {{"ip":"::1","port":0,"last_seen":1}},
                {{"ip":"::1","port":65536,"last_seen":1}}, {{"ip":"::1","port":1}},
                {{"port":1}}, {{"ip":"0.0.0.0","port":1,"last_seen":1}},
                {{"ip":"::1","port":1,"last_seen":1700000000}}]}}}}}}"#,
            "b".repeat(20),
        ));
        assert_eq!(found.torrents[0].peers.len(), 1);
        let said = found.mistakes.sentences().join("\n");
        for part in [
            "torrent \"short\": its info-hash is not of 20 bytes",
            "is no object",
            "peer 1 is left out: it is no object",
            "peer 2 is left out: \"\\u{1b}[2J\" is no IP address",
            "peer 3 is left out: its \"port\"",
            "peer 4 is left out: its \"port\"",
            "peer 5 is left out: it has no \"last_seen\"",
            "peer 6 is left out: it has no \"ip\"",
            "peer 7 is left out: 0.0.0.0 port 1 is no address of a peer",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
        assert_eq!(found.mistakes.count(), 9);
    }

    #[test]
    fn what_is_no_state_is_said() {
        for (text, said) in [
            ("", "EOF"),
            ("[]", "an object with \"torrents\""),
            ("{}", "no \"torrents\""),
            (r#"{"torrents":[]}"#, "a key for each torrent"),
            (r#"{"torrents":{}} x"#, "trailing characters"),
            (r#"{"torrents":{"a":"#, "EOF while parsing"),
        ] {
            let why = read(text.as_bytes(), TIMES).unwrap_err();
            assert!(why.contains(said), "{why}");
        }
        let deep = format!(r#"{{"torrents":{{"a":{}"#, "[".repeat(100_000));
        assert!(
            read(deep.as_bytes(), TIMES)
                .unwrap_err()
                .contains("recursion")
        );
    }
}
