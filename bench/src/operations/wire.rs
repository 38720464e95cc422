//! Bytes in, bytes out, over UDP and HTTP.

use std::fmt::Write as _;
use std::hint::black_box;

use shoal::wire::http::announce::AnnounceQuery;
use shoal::wire::http::reply::{AnnounceReply, PeerList};
use shoal::wire::http::response::{Connection, ResponseHead, Status};
use shoal::wire::http::{head, reply, response, route};
use shoal::wire::udp::{self, TransactionId, ask};
use shoal::wire::{Event, NumWant};

use super::{MEMBERS, Operation, Work, crowd, in_turn, members};
use crate::bare_core::{Letter, NOW, connection_ids};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "udp-parse-announce",
        cycle: MEMBERS,
        prepare: parse_announce,
    },
    Operation {
        name: "udp-parse-scrape-of-74",
        cycle: 1,
        prepare: parse_scrape,
    },
    Operation {
        name: "udp-write-announce-head",
        cycle: MEMBERS,
        prepare: write_announce_head,
    },
    Operation {
        name: "udp-write-scrape-of-74",
        cycle: 1,
        prepare: write_scrape,
    },
    Operation {
        name: "http-read-announce",
        cycle: MEMBERS,
        prepare: read_http_announce,
    },
    Operation {
        name: "http-write-50-peers",
        cycle: 1,
        prepare: write_http_announce,
    },
];

fn parse_announce() -> Work {
    let crowd = crowd();
    let letters = members(1000, 50).map(|member| Letter::announce(&crowd, member, 50));
    in_turn(letters.collect(), |letter: &Letter| {
        let _ = black_box(udp::parse(letter.bytes()));
    })
}

fn parse_scrape() -> Work {
    let info_hashes: Vec<_> = (0..74).map(|torrent| crowd().info_hash(torrent)).collect();
    let id = connection_ids().issue([127, 0, 0, 1].into(), NOW.unix_s);
    let mut datagram = vec![0; 1500];
    let len = ask::write_scrape(&mut datagram, id, TransactionId(1), &info_hashes);
    datagram.truncate(len);
    in_turn(vec![datagram], |datagram: &Vec<u8>| {
        if let Ok(udp::Request::Scrape(_, _, info_hashes)) = udp::parse(datagram) {
            info_hashes.iter().for_each(|info_hash| {
                black_box(info_hash);
            });
        }
    })
}

fn write_announce_head() -> Work {
    let mut out = [0; udp::ANNOUNCE_REPLY_HEAD_LEN];
    in_turn((0..MEMBERS).collect(), move |number: &u32| {
        let transaction = TransactionId(*number);
        udp::write_announce_head(&mut out, transaction, 1800, *number, number / 2);
        black_box(&out);
    })
}

fn write_scrape() -> Work {
    let rows: Vec<udp::ScrapeRow> = (0..74)
        .map(|number| udp::ScrapeRow {
            seeders: number,
            completed: number * 3,
            leechers: number + 1,
        })
        .collect();
    let mut out = [0; 1232];
    in_turn(vec![rows], move |rows: &Vec<udp::ScrapeRow>| {
        udp::write_scrape_head(&mut out, TransactionId(1));
        for (position, row) in rows.iter().enumerate() {
            udp::write_scrape_row(&mut out, position, *row);
        }
        black_box(&out);
    })
}

/// The head of a request, its path and its query, worded as libtorrent words them.
fn read_http_announce() -> Work {
    let crowd = crowd();
    let requests = members(1000, 50).map(|member| {
        let said = crowd.announce(member, Event::None, NumWant::AtMost(50));
        let mut text = String::from("GET /announce?info_hash=");
        for byte in said.info_hash.0 {
            // Writing to a String does not fail.
            let _ = write!(text, "%{byte:02x}");
        }
        let _ = write!(
            text,
            "&peer_id=-LT20B0-{:012}&port={}&uploaded=0&downloaded=0&left={}&corrupt=0&key={:08X}\
             &numwant=50&compact=1&no_peer_id=1&supportcrypto=1&redundant=0 HTTP/1.1\r\n\
             Host: tracker.example:6969\r\nUser-Agent: libtorrent/2.0.11.0\r\n\
             Accept-Encoding: gzip\r\nConnection: close\r\n\r\n",
            member.peer, said.port, said.left, said.key
        );
        text.into_bytes()
    });
    in_turn(requests.collect(), |request: &Vec<u8>| {
        let Ok(Some((head, _))) = head::parse(request) else {
            unreachable!("the request is whole and well-formed");
        };
        black_box(route::route(&head.target));
        let _ = black_box(AnnounceQuery::parse(head.target.query.unwrap_or_default()));
    })
}

/// A compact body and the response around it.
fn write_http_announce() -> Work {
    let peers: Vec<u8> = (0..=u8::MAX).cycle().take(50 * 6).collect();
    let (mut body, mut out) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    in_turn(vec![peers], move |peers: &Vec<u8>| {
        body.clear();
        out.clear();
        let answer = AnnounceReply {
            seeders: 20,
            leechers: 31,
            completed: 7,
            interval_s: 1800,
            min_interval_s: 900,
            peers: PeerList::Compact { v4: peers, v6: &[] },
            external_ip: Some([192, 0, 2, 1].into()),
            tracker_id: "",
            warning: "",
        };
        reply::write_announce(&mut body, &answer);
        let head = ResponseHead::new(Status::Ok, Connection::KeepAliveImplied);
        response::write_response(&mut out, &head, &body);
        black_box(&out);
    })
}
