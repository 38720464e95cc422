//! The bodies of responses, bencoded. Each function appends a whole dictionary to the caller's
//! buffer, its keys in the order of their bytes, and nothing behind it.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::bencode::{Dictionary, write_bytes};
use crate::wire::udp::{PEER_V4_LEN, PEER_V6_LEN};
use crate::wire::{InfoHash, PeerId};

/// The answer to an announce.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnnounceReply<'a> {
    /// Peers that have everything.
    pub seeders: u32,
    /// Peers that miss something.
    pub leechers: u32,
    /// How often a leecher became a seeder, ever; 0 is left out.
    pub completed: u32,
    /// Seconds until the next announce.
    pub interval_s: u32,
    /// Least seconds until the next announce; 0 is left out.
    pub min_interval_s: u32,
    /// Other peers of the torrent.
    pub peers: PeerList<'a>,
    /// The client's own address, as the tracker sees it (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// What the client is to send along from now on; empty is left out.
    pub tracker_id: &'a str,
    /// A word to the user, beside success; empty is left out.
    pub warning: &'a str,
}

/// Peers in the form that the client asked for. `v4` and `v6` are packed entries of 6 and 18
/// bytes: address and port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerList<'a> {
    /// The packed entries as they are (BEP 23, BEP 7).
    Compact {
        /// Entries of 6 bytes.
        v4: &'a [u8],
        /// Entries of 18 bytes; `peers6` is left out when there are none.
        v6: &'a [u8],
    },
    /// A dictionary for each peer, both families in one list (BEP 3).
    Dictionaries {
        /// Entries of 6 bytes.
        v4: &'a [u8],
        /// Entries of 18 bytes.
        v6: &'a [u8],
        /// The peers' ids, those of `v4` first. A peer without one, also because this is shorter
        /// or empty, is listed without.
        ids: &'a [Option<PeerId>],
    },
}

/// One torrent of a scrape.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScrapeRow {
    /// Peers that have everything.
    pub seeders: u32,
    /// How often a leecher became a seeder, ever.
    pub completed: u32,
    /// Peers that miss something.
    pub leechers: u32,
    /// Leechers that still fetch: all but the partial seeds (BEP 21).
    pub downloaders: u32,
}

/// When a client that was refused may come back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    /// Later. The intervals say it to clients that do not know BEP 31.
    Later {
        /// Minutes to wait.
        minutes: u32,
        /// Seconds until the next announce.
        interval_s: u32,
        /// Least seconds until the next announce; 0 is left out.
        min_interval_s: u32,
    },
    /// Never: this is the wrong place.
    Never,
}

/// Appends the answer to an announce.
pub fn write_announce(out: &mut Vec<u8>, reply: &AnnounceReply<'_>) {
    let mut dictionary = Dictionary::open(out);
    dictionary.integer("complete", reply.seeders);
    if reply.completed > 0 {
        dictionary.integer("downloaded", reply.completed);
    }
    match reply.external_ip {
        Some(IpAddr::V4(ip)) => dictionary.bytes("external ip", &ip.octets()),
        Some(IpAddr::V6(ip)) => dictionary.bytes("external ip", &ip.octets()),
        None => {}
    }
    dictionary.integer("incomplete", reply.leechers);
    dictionary.integer("interval", reply.interval_s);
    if reply.min_interval_s > 0 {
        dictionary.integer("min interval", reply.min_interval_s);
    }
    match reply.peers {
        PeerList::Compact { v4, v6 } => {
            dictionary.bytes("peers", v4);
            if !v6.is_empty() {
                dictionary.bytes("peers6", v6);
            }
        }
        PeerList::Dictionaries { v4, v6, ids } => {
            write_peers(dictionary.key("peers"), v4, v6, ids);
        }
    }
    if !reply.tracker_id.is_empty() {
        dictionary.bytes("tracker id", reply.tracker_id.as_bytes());
    }
    if !reply.warning.is_empty() {
        dictionary.bytes("warning message", reply.warning.as_bytes());
    }
    dictionary.close();
}

fn write_peers(out: &mut Vec<u8>, v4: &[u8], v6: &[u8], ids: &[Option<PeerId>]) {
    out.push(b'l');
    let mut ids = ids.iter().copied();
    for [a, b, c, d, high, low] in v4.as_chunks::<PEER_V4_LEN>().0 {
        let ip = IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d));
        let port = u16::from_be_bytes([*high, *low]);
        write_peer(out, ip, port, ids.next().flatten());
    }
    for entry in v6.as_chunks::<PEER_V6_LEN>().0 {
        let [ip @ .., high, low] = *entry;
        let port = u16::from_be_bytes([high, low]);
        write_peer(
            out,
            IpAddr::V6(Ipv6Addr::from(ip)),
            port,
            ids.next().flatten(),
        );
    }
    out.push(b'e');
}

fn write_peer(out: &mut Vec<u8>, ip: IpAddr, port: u16, id: Option<PeerId>) {
    // Its length stands before the text, so it is written aside first. The longest one takes all.
    let mut text = [0; "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".len()];
    let mut free = text.as_mut_slice();
    write!(free, "{ip}").expect("no address is longer");
    let unused = free.len();
    let mut dictionary = Dictionary::open(out);
    dictionary.bytes("ip", &text[..text.len() - unused]);
    if let Some(id) = id {
        dictionary.bytes("peer id", &id.0);
    }
    dictionary.integer("port", u32::from(port));
    dictionary.close();
}

/// What a scrape begins with, before its rows.
pub const SCRAPE_HEAD: &[u8] = b"d5:filesd";

/// Appends the answer to a scrape whose rows come sorted by info-hash, each once. `downloaders`
/// tells BEP 21's number too; `min_request_interval_s` of 0 is left out.
pub fn write_scrape(
    out: &mut Vec<u8>,
    rows: impl Iterator<Item = (InfoHash, ScrapeRow)>,
    downloaders: bool,
    min_request_interval_s: u32,
) {
    out.extend_from_slice(SCRAPE_HEAD);
    for (info_hash, row) in rows {
        write_scrape_row(out, &info_hash, &row, downloaders);
    }
    write_scrape_tail(out, min_request_interval_s);
}

/// Appends one row of a scrape.
pub fn write_scrape_row(
    out: &mut Vec<u8>,
    info_hash: &InfoHash,
    row: &ScrapeRow,
    downloaders: bool,
) {
    write_bytes(out, &info_hash.0);
    let mut dictionary = Dictionary::open(out);
    dictionary.integer("complete", row.seeders);
    dictionary.integer("downloaded", row.completed);
    if downloaders {
        dictionary.integer("downloaders", row.downloaders);
    }
    dictionary.integer("incomplete", row.leechers);
    dictionary.close();
}

/// Appends what stands behind the rows of a scrape. A `min_request_interval_s` of 0 is left out.
pub fn write_scrape_tail(out: &mut Vec<u8>, min_request_interval_s: u32) {
    out.push(b'e');
    if min_request_interval_s > 0 {
        write_bytes(out, b"flags");
        let mut flags = Dictionary::open(out);
        flags.integer("min_request_interval", min_request_interval_s);
        flags.close();
    }
    out.push(b'e');
}

/// Bytes of one row of a scrape.
pub fn scrape_row_len(row: &ScrapeRow, downloaders: bool) -> usize {
    let counts = digits(row.seeders) + digits(row.completed) + digits(row.leechers);
    let fixed = "20:".len() + InfoHash::LEN + "d8:completeie10:downloadedie10:incompleteiee".len();
    if downloaders {
        fixed + counts + "11:downloadersie".len() + digits(row.downloaders)
    } else {
        fixed + counts
    }
}

/// Bytes of a scrape without its rows.
pub fn scrape_frame_len(min_request_interval_s: u32) -> usize {
    let flags = match min_request_interval_s {
        0 => 0,
        seconds => "5:flagsd20:min_request_intervaliee".len() + digits(seconds),
    };
    SCRAPE_HEAD.len() + "e".len() + flags + "e".len()
}

fn digits(number: u32) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// Appends a refusal: what the user is told, and when the client may come back.
pub fn write_failure(out: &mut Vec<u8>, reason: &str, retry: Option<Retry>) {
    let mut dictionary = Dictionary::open(out);
    dictionary.bytes("failure reason", reason.as_bytes());
    match retry {
        Some(Retry::Later {
            minutes,
            interval_s,
            min_interval_s,
        }) => {
            dictionary.integer("interval", interval_s);
            if min_interval_s > 0 {
                dictionary.integer("min interval", min_interval_s);
            }
            dictionary.integer("retry in", minutes);
        }
        Some(Retry::Never) => dictionary.bytes("retry in", b"never"),
        None => {}
    }
    dictionary.close();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announce(reply: AnnounceReply<'_>) -> String {
        let mut out = Vec::new();
        write_announce(&mut out, &reply);
        String::from_utf8_lossy(&out).into_owned()
    }

    const NOBODY: AnnounceReply<'static> = AnnounceReply {
        seeders: 0,
        leechers: 0,
        completed: 0,
        interval_s: 1800,
        min_interval_s: 0,
        peers: PeerList::Compact { v4: b"", v6: b"" },
        external_ip: None,
        tracker_id: "",
        warning: "",
    };

    #[test]
    fn what_is_empty_is_left_out_but_peers() {
        assert_eq!(
            announce(NOBODY),
            "d8:completei0e10:incompletei0e8:intervali1800e5:peers0:e"
        );
    }

    #[test]
    fn everything_that_is_there_is_told_in_order() {
        let reply = AnnounceReply {
            seeders: 1,
            leechers: 2,
            completed: 3,
            min_interval_s: 900,
            peers: PeerList::Compact {
                v4: b"aaaapp",
                v6: b"bbbbbbbbbbbbbbbbpp",
            },
            external_ip: Some("120.120.120.120".parse().unwrap()),
            tracker_id: "id",
            warning: "old",
            ..NOBODY
        };
        assert_eq!(
            announce(reply),
            "d8:completei1e10:downloadedi3e11:external ip4:xxxx10:incompletei2e8:intervali1800e\
             12:min intervali900e5:peers6:aaaapp6:peers618:bbbbbbbbbbbbbbbbpp10:tracker id2:id\
             15:warning message3:olde"
        );
    }

    #[test]
    fn dictionaries_list_both_families_and_the_ids_that_are_known() {
        let ids = [None, Some(PeerId(*b"-SH0001-abcdefghijkl"))];
        let v6: [u8; 18] = *b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\xff\xff";
        let reply = AnnounceReply {
            peers: PeerList::Dictionaries {
                v4: b"\x01\x02\x03\x04\x00\x50\xff\xff\xff\xff\x1a\xe1",
                v6: &v6,
                ids: &ids,
            },
            ..NOBODY
        };
        assert_eq!(
            announce(reply),
            "d8:completei0e10:incompletei0e8:intervali1800e5:peersl\
             d2:ip7:1.2.3.44:porti80ee\
             d2:ip15:255.255.255.2557:peer id20:-SH0001-abcdefghijkl4:porti6881ee\
             d2:ip11:2001:db8::14:porti65535eeee"
        );
    }

    #[test]
    fn the_longest_addresses_fit() {
        let mut v6 = [0xff; 36];
        v6[18..28].fill(0);
        let reply = AnnounceReply {
            peers: PeerList::Dictionaries {
                v4: b"",
                v6: &v6,
                ids: &[],
            },
            ..NOBODY
        };
        let text = announce(reply);
        assert!(text.contains("39:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff4:port"));
        assert!(text.contains("22:::ffff:255.255.255.2554:port"));
    }

    #[test]
    fn the_length_of_a_scrape_is_known_before_it_is_written() {
        let numbers = [0, 9, 10, 99_999, 100_000, u32::MAX];
        for downloaders in [false, true] {
            for interval_s in numbers {
                let rows = numbers.map(|number| ScrapeRow {
                    seeders: number,
                    completed: number / 3,
                    leechers: number / 7,
                    downloaders: number / 11,
                });
                let mut out = Vec::new();
                let named = (0..).map(|name| InfoHash([name; 20])).zip(rows);
                write_scrape(&mut out, named, downloaders, interval_s);
                let row_lens = rows.iter().map(|row| scrape_row_len(row, downloaders));
                let len = row_lens.sum::<usize>() + scrape_frame_len(interval_s);
                assert_eq!(out.len(), len);
            }
        }
    }

    #[test]
    fn a_failure_may_be_for_a_while_or_for_ever() {
        let failure = |retry| {
            let mut out = Vec::new();
            write_failure(&mut out, "no", retry);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(failure(None), "d14:failure reason2:noe");
        assert_eq!(
            failure(Some(Retry::Never)),
            "d14:failure reason2:no8:retry in5:nevere"
        );
        let later = Retry::Later {
            minutes: 5,
            interval_s: 300,
            min_interval_s: 0,
        };
        assert_eq!(
            failure(Some(later)),
            "d14:failure reason2:no8:intervali300e8:retry ini5ee"
        );
    }
}
