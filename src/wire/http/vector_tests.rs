//! Requests of real clients and broken ones, and the bodies that answer them, byte for byte.

use super::announce::AnnounceQuery;
use super::head::{self, Encodings, Head, HeadFault, Method};
use super::query::QueryFault;
use super::reply::{
    AnnounceReply, PeerList, Retry, ScrapeRow, write_announce, write_failure, write_scrape,
};
use super::response::{Connection, ResponseHead, Status, write_response};
use super::route::{Route, route};
use super::scrape;
use crate::wire::{Event, InfoHash, NumWant, PeerId};

/// Every awkward byte: NUL, controls, `%`, `&`, `+`, `=`, `?`, line ends, 0xff.
const HASH: InfoHash = InfoHash(*b"\x00\x01\x7f\x80\xff %&+-.=?A_az~\n\r");
const QBITTORRENT: PeerId = PeerId(*b"-qB5240-abcdefghijkl");
const QBITTORRENT_V4: &[u8] = b"\x7f\0\0\x01\x1a\xe1";
const QBITTORRENT_V6: &[u8] = b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1";

const NO_PEERS: PeerList<'_> = PeerList::Compact { v4: b"", v6: b"" };

const FIRST: &[u8] = b"GET /announce?info_hash=%00%01%7f%80%ff%20%25%26%2b-.%3d%3fA_az~%0a%0d\
    &peer_id=-qB5240-abcdefghijkl&port=6881&uploaded=0&downloaded=0&left=1000&corrupt=0\
    &key=DEADBEEF&event=started&numwant=200&compact=1&no_peer_id=1&supportcrypto=1&redundant=0 \
    HTTP/1.1\r\nHost: 127.0.0.1:6969\r\nUser-Agent: qBittorrent/5.2.4\r\n\
    Accept-Encoding: gzip\r\nConnection: close\r\n\r\n";
const FIRST_BODY: &[u8] =
    b"d8:completei0e10:incompletei1e8:intervali1800e12:min intervali900e5:peers0:e";

const SECOND: &[u8] = b"GET /announce?info_hash=%00%01%7f%80%ff%20%25%26%2b-.%3d%3fA_az~%0a%0d\
    &peer_id=-TR4100-0123456789ab&port=51413&uploaded=0&downloaded=0&left=0&numwant=80\
    &key=01020304&compact=1&supportcrypto=1&event=started HTTP/1.1\r\n\
    Host: 127.0.0.1:6969\r\nUser-Agent: Transmission/4.1.0\r\nAccept: */*\r\n\
    Accept-Encoding: deflate, gzip\r\n\r\n";

fn head(request: &[u8]) -> Head<'_> {
    let (head, len) = head::parse(request).unwrap().unwrap();
    assert_eq!(len, request.len());
    head
}

fn announce(request: &[u8]) -> Result<AnnounceQuery, QueryFault> {
    let target = head(request).target;
    assert_eq!(route(&target), Route::Announce { key: None });
    AnnounceQuery::parse(target.query.unwrap_or_default())
}

fn scraped(request: &[u8]) -> Vec<InfoHash> {
    let target = head(request).target;
    assert_eq!(route(&target), Route::Scrape { key: None });
    let mut out = [InfoHash([0; 20]); 4];
    let count = scrape::parse(target.query, &mut out).unwrap();
    out[..count].to_vec()
}

fn body(seeders: u32, leechers: u32, peers: PeerList<'_>) -> AnnounceReply<'_> {
    AnnounceReply {
        seeders,
        leechers,
        completed: 0,
        interval_s: 1800,
        min_interval_s: 900,
        peers,
        external_ip: None,
        tracker_id: "",
        warning: "",
    }
}

fn written(reply: &AnnounceReply<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write_announce(&mut out, reply);
    out
}

fn failure(reason: &str, retry: Option<Retry>) -> Vec<u8> {
    let mut out = Vec::new();
    write_failure(&mut out, reason, retry);
    out
}

#[test]
fn h1_a_leecher_starts_and_closes() {
    let asked = head(FIRST);
    assert!(!asked.keep_alive && !asked.has_body);
    assert!(asked.accepts.gzip && !asked.accepts.zstd);
    let expected = AnnounceQuery {
        info_hash: HASH,
        peer_id: QBITTORRENT,
        port: 6881,
        uploaded: 0,
        downloaded: 0,
        left: Some(1000),
        event: Event::Started,
        num_want: NumWant::AtMost(200),
        compact: true,
        peer_ids: false,
    };
    assert_eq!(announce(FIRST), Ok(expected));
    assert_eq!(written(&body(0, 1, NO_PEERS)), FIRST_BODY);

    let mut response = Vec::new();
    let head = ResponseHead::new(Status::Ok, Connection::Close);
    write_response(&mut response, &head, FIRST_BODY);
    assert_eq!(
        response,
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 76\r\n\
          Connection: close\r\n\r\n\
          d8:completei0e10:incompletei1e8:intervali1800e12:min intervali900e5:peers0:e"
    );
}

#[test]
fn h2_a_seeder_starts_and_the_connection_stays_open() {
    assert!(head(SECOND).keep_alive && !head(SECOND).announce_keep_alive);
    let query = announce(SECOND).unwrap();
    assert_eq!(query.info_hash, HASH);
    assert_eq!(query.peer_id, PeerId(*b"-TR4100-0123456789ab"));
    assert_eq!((query.port, query.left), (51413, Some(0)));
    assert_eq!(query.num_want, NumWant::AtMost(80));
    let peers = PeerList::Compact {
        v4: QBITTORRENT_V4,
        v6: b"",
    };
    assert_eq!(
        written(&body(1, 1, peers)),
        b"d8:completei1e10:incompletei1e8:intervali1800e12:min intervali900e\
          5:peers6:\x7f\x00\x00\x01\x1a\xe1e"
    );
}

#[test]
fn h3_dictionaries_with_and_without_peer_ids() {
    let asking = |compact: &str| {
        let request = str::from_utf8(SECOND).unwrap();
        announce(request.replace("compact=1", compact).as_bytes()).unwrap()
    };
    let query = asking("compact=0");
    assert!(!query.compact && query.peer_ids);
    let query = asking("compact=0&no_peer_id=1");
    assert!(!query.compact && !query.peer_ids);
    let listed = |ids| PeerList::Dictionaries {
        v4: QBITTORRENT_V4,
        v6: b"",
        ids,
    };
    assert_eq!(
        written(&body(1, 1, listed(&[Some(QBITTORRENT)]))),
        b"d8:completei1e10:incompletei1e8:intervali1800e12:min intervali900e\
          5:peersld2:ip9:127.0.0.17:peer id20:-qB5240-abcdefghijkl4:porti6881eeee"
    );
    assert_eq!(
        written(&body(1, 1, listed(&[]))),
        b"d8:completei1e10:incompletei1e8:intervali1800e12:min intervali900e\
          5:peersld2:ip9:127.0.0.14:porti6881eeee"
    );
}

#[test]
fn h4_the_clients_own_address_in_both_families() {
    let (v4, v6) = (QBITTORRENT_V4, QBITTORRENT_V6);
    let reply = AnnounceReply {
        external_ip: Some("127.0.0.1".parse().unwrap()),
        ..body(1, 1, PeerList::Compact { v4, v6: b"" })
    };
    assert_eq!(
        written(&reply),
        b"d8:completei1e11:external ip4:\x7f\x00\x00\x0110:incompletei1e8:intervali1800e\
          12:min intervali900e5:peers6:\x7f\x00\x00\x01\x1a\xe1e"
    );
    let reply = AnnounceReply {
        external_ip: Some("::1".parse().unwrap()),
        ..body(1, 1, PeerList::Compact { v4: b"", v6 })
    };
    assert_eq!(
        written(&reply),
        b"d8:completei1e11:external ip16:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0110:incompletei1e\
          8:intervali1800e12:min intervali900e5:peers0:\
          6:peers618:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1e"
    );
}

#[test]
fn h5_a_sloppy_client_that_leaves_bytes_raw() {
    let request = b"GET /announce?info_hash=%00%01%7f\x80\xff%20%25%26+-.=?A_az~%0a%0d\
        &peer_id=-XX0000-a=b+c/d?e:fg&port=6881&uploaded=0&downloaded=0&left=1 HTTP/1.0\r\n\r\n";
    assert!(!head(request).keep_alive);
    let query = announce(request).unwrap();
    assert_eq!(query.info_hash, HASH);
    assert_eq!(query.peer_id, PeerId(*b"-XX0000-a=b+c/d?e:fg"));
    assert_eq!(query.left, Some(1));
}

#[test]
fn h6_a_plus_and_addresses_that_nobody_believes() {
    let request = b"GET /announce?info_hash=%00%01%7F%80%FF+%25%26%2B-.%3D%3FA_az~%0A%0D\
        &peer_id=-qB5230-abc_~.DEF012&port=6881&uploaded=0&downloaded=0&left=0&compact=1\
        &ipv6=None&ipv4=203.0.113.9 HTTP/1.1\r\nHost: 127.0.0.1:6969\r\n\
        User-Agent: qBittorrent/4.3.9\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n";
    let query = announce(request).unwrap();
    assert_eq!(query.info_hash.0, *b"\x00\x01\x7f\x80\xff+%&+-.=?A_az~\n\r");
    assert_eq!(
        written(&body(1, 0, NO_PEERS)),
        b"d8:completei1e10:incompletei0e8:intervali1800e12:min intervali900e5:peers0:e"
    );
}

#[test]
fn h7_a_partial_seed() {
    let request = b"GET /announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-qB5240-abcdefghijkl\
        &port=6881&uploaded=0&downloaded=0&left=500&event=paused&compact=1 HTTP/1.1\r\n\
        Host: t\r\n\r\n";
    let query = announce(request).unwrap();
    assert_eq!((query.event, query.left), (Event::Paused, Some(500)));
}

#[test]
fn h8_a_scrape_is_answered_in_the_order_of_bytes() {
    let request =
        b"GET /scrape?info_hash=%bb%bb%bb%bb%bb%bb%bb%bb%bb%bb%bb%bb%bb%bb%bb%bb%bb%bb%bb\
        %bb&info_hash=%00%01%7f%80%ff%20%25%26%2b-.%3d%3fA_az~%0a%0d HTTP/1.1\r\nHost: t\r\n\
        Connection: close\r\n\r\n";
    let asked = scraped(request);
    assert_eq!(asked, [HASH, InfoHash([0xbb; 20])]);
    let (first, second) = (
        ScrapeRow {
            seeders: 1,
            ..ScrapeRow::default()
        },
        ScrapeRow {
            seeders: 2,
            completed: 7,
            leechers: 3,
            downloaders: 3,
        },
    );
    let mut out = Vec::new();
    write_scrape(&mut out, asked.into_iter().zip([first, second]), false, 0);
    assert_eq!(
        out,
        b"d5:filesd20:\x00\x01\x7f\x80\xff %&+-.=?A_az~\x0a\x0d\
          d8:completei1e10:downloadedi0e10:incompletei0ee\
          20:\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\
          d8:completei2e10:downloadedi7e10:incompletei3eeee"
    );
    out.clear();
    write_scrape(&mut out, [(HASH, first)].into_iter(), true, 900);
    assert_eq!(
        out,
        b"d5:filesd20:\x00\x01\x7f\x80\xff %&+-.=?A_az~\x0a\x0d\
          d8:completei1e10:downloadedi0e11:downloadersi0e10:incompletei0eee\
          5:flagsd20:min_request_intervali900eee"
    );
}

#[test]
fn h9_an_unknown_torrent_has_a_row_of_zeros() {
    let mut out = Vec::new();
    let row = (InfoHash([0xcc; 20]), ScrapeRow::default());
    write_scrape(&mut out, [row].into_iter(), false, 0);
    assert_eq!(
        out,
        b"d5:filesd20:\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\
          \xccd8:completei0e10:downloadedi0e10:incompletei0eeee"
    );
}

#[test]
fn h10_success_with_a_warning() {
    let reply = AnnounceReply {
        warning: "client too old",
        ..body(0, 1, NO_PEERS)
    };
    assert_eq!(
        written(&reply),
        b"d8:completei0e10:incompletei1e8:intervali1800e12:min intervali900e5:peers0:\
          15:warning message14:client too olde"
    );
}

#[test]
fn h11_come_back_later_or_never() {
    let later = Retry::Later {
        minutes: 30,
        interval_s: 1800,
        min_interval_s: 900,
    };
    assert_eq!(
        failure("overloaded", Some(later)),
        b"d14:failure reason10:overloaded8:intervali1800e12:min intervali900e8:retry ini30ee"
    );
    assert_eq!(
        failure("not a tracker", Some(Retry::Never)),
        b"d14:failure reason13:not a tracker8:retry in5:nevere"
    );
}

#[test]
fn n1_to_n9_and_n11_faulty_announces_are_told_what_is_wrong() {
    let hash = "d14:failure reason17:invalid info_hashe";
    let no_hash = "d14:failure reason17:missing info_hashe";
    let no_peer = "d14:failure reason15:missing peer_ide";
    let peer = "d14:failure reason15:invalid peer_ide";
    let port = "d14:failure reason12:invalid porte";
    let a = "info_hash=aaaaaaaaaaaaaaaaaaaa";
    let id = "peer_id=-qB5240-abcdefghijkl";
    let rest = format!("{id}&port=6881&left=0");
    let requests = [
        (format!("?info_hash=%01%02%03aaaaaaaaaaaaaaaa&{rest}"), hash),
        (format!("?info_hash=%G1aaaaaaaaaaaaaaaaaaa&{rest}"), hash),
        (format!("?{rest}&info_hash=aaaaaaaaaaaaaaaaaaa%4"), hash),
        (
            format!("?info_hash=3b245504cf5f11bbdbe1201cea6a6bf45aee1bc0&{rest}"),
            hash,
        ),
        (format!("?{rest}"), no_hash),
        (format!("?{a}&info_hash=bbbbbbbbbbbbbbbbbbbb&{rest}"), hash),
        (format!("?{a}&port=6881&left=0"), no_peer),
        (format!("?{a}&peer_id=short&port=6881&left=0"), peer),
        (format!("?{a}&{id}&port=0&left=0"), port),
        (format!("?{a}&{id}&port=65536&left=0"), port),
        (format!("?{a}&{id}&port=-1&left=0"), port),
        (format!("?{a}&{id}&port=&left=0"), port),
        (format!("?{a}&{id}&left=0"), port),
        (String::new(), no_hash),
    ];
    for (query, expected) in requests {
        let request = format!("GET /announce{query} HTTP/1.1\r\nHost: t\r\n\r\n");
        let fault = announce(request.as_bytes()).unwrap_err();
        assert_eq!(
            failure(fault.text(), None),
            expected.as_bytes(),
            "{request}"
        );
    }
}

#[test]
fn n10_junk_in_every_optional_key_is_a_leechers_regular_announce() {
    let request = b"GET /announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-qB5240-abcdefghijkl\
        &port=6881&left=-5&numwant=abc&event=foo&compact=&key=&ipv6=%5B%5D HTTP/1.1\r\n\
        Host: t\r\n\r\n";
    let query = announce(request).unwrap();
    assert_eq!((query.left, query.event), (None, Event::None));
    assert_eq!((query.num_want, query.compact), (NumWant::Default, true));
}

#[test]
fn n12_a_scrape_of_everything_is_known_as_such() {
    assert_eq!(scraped(b"GET /scrape HTTP/1.1\r\nHost: t\r\n\r\n"), []);
    assert_eq!(
        failure("full scrape disabled", None),
        b"d14:failure reason20:full scrape disablede"
    );
}

#[test]
fn n13_and_n14_other_paths_and_methods() {
    let request = head(b"GET /favicon.ico HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(route(&request.target), Route::Unknown);
    assert!(request.keep_alive);
    let request = head(b"POST /announce HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(request.method, Method::Other);
}

#[test]
fn n15_another_protocol_is_never_waited_for() {
    assert_eq!(head::parse(b"d1:ad2:id20:"), Err(HeadFault::NotHttp));
    assert_eq!(head::parse(b"\x13BitTorrent"), Err(HeadFault::NotHttp));
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    assert_eq!(head::parse(hello), Err(HeadFault::TlsHello));
}

#[test]
fn n16_and_n17_an_endless_head_is_left_to_the_callers_patience() {
    let unfinished = b"GET /announce?info_hash=aaaaaaaaaa";
    assert_eq!(head::parse(unfinished), Ok(None));
    let endless = [b"GET /".as_slice(), &[b'a'; 16 * 1024]].concat();
    assert_eq!(head::parse(&endless), Ok(None));
}

#[test]
fn n18_two_requests_in_one_segment_are_read_one_after_the_other() {
    let bytes = [SECOND, SECOND].concat();
    let (first, len) = head::parse(&bytes).unwrap().unwrap();
    let (second, rest) = head::parse(&bytes[len..]).unwrap().unwrap();
    assert_eq!((len, rest), (SECOND.len(), SECOND.len()));
    assert_eq!(first, second);
    let gzip = Encodings {
        gzip: true,
        zstd: false,
    };
    assert_eq!(first.accepts, gzip);
}
