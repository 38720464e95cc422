//! Scrapes: rows without names, so that only their order says whose they are.

use super::reply::{Reply, Row};
use super::scene::{Answer, Udp, head};
use super::{Ruling, differs, fail, pass};
use crate::query::conformance::{Check, Need, count};
use crate::query::hash;
use crate::wire::InfoHash;
use crate::wire::udp::action;

/// One more than fit a request of 1500 bytes.
const MANY: usize = 75;

pub(super) const CHECKS: &[Check<Udp>] = &[
    Check {
        id: "udp.scrape.unknown",
        source: "BEP 15",
        title: "An unknown torrent has a row of zeros",
        sent: "a scrape of a torrent that nobody has",
        expected: "0, 0, 0",
        why: "clients find rows by their position",
        needs: Need::Answers,
        run: unknown,
    },
    Check {
        id: "udp.scrape.order",
        source: "BEP 15",
        title: "Rows stand in the order of the request",
        sent: "a scrape of an unknown torrent, ours, and another unknown one",
        expected: "three rows, ours the second",
        why: "clients find rows by their position",
        needs: Need::Alone,
        run: order,
    },
    Check {
        id: "udp.scrape.duplicates",
        source: "BEP 15",
        title: "A torrent that is named twice has two rows",
        sent: "a scrape of an unknown torrent, and ours twice",
        expected: "three rows, the last two the same",
        why: "clients find rows by their position",
        needs: Need::Alone,
        run: duplicates,
    },
    Check {
        id: "udp.scrape.tail",
        source: "BEP 15",
        title: "Bytes that make no whole info-hash are ignored",
        sent: "a scrape of our torrent with 5 bytes behind it",
        expected: "one row",
        why: "a row for them would be about a torrent that nobody named",
        needs: Need::Answers,
        run: tail,
    },
    Check {
        id: "udp.scrape.none",
        source: "BEP 15",
        title: "A scrape of nothing is refused in words",
        sent: "a scrape without an info-hash",
        expected: "an error",
        why: "there is no full scrape over UDP",
        needs: Need::Answers,
        run: none,
    },
    Check {
        id: "udp.scrape.cap",
        source: "BEP 15",
        title: "A scrape is answered up to 74 torrents",
        sent: "a scrape of 75 info-hashes, 1516 bytes, which travel in two fragments",
        expected: "74 rows",
        why: "BEP 15 says about 74; clients with many torrents send that many",
        needs: Need::Answers,
        run: cap,
    },
];

fn unknown(udp: &mut Udp) -> Ruling {
    match udp.scraped(&[hash::random()]) {
        Some(Reply::Scrape { rows, surplus: 0 }) if rows == [Row::ZERO] => pass("0, 0, 0"),
        Some(other) => fail(other.to_string()),
        None => fail("nothing"),
    }
}

fn order(udp: &mut Udp) -> Ruling {
    rows(
        udp,
        [hash::random(), udp.info_hash, hash::random()],
        |rows| rows[0] == Row::ZERO && rows[1].leechers > 0 && rows[2] == Row::ZERO,
    )
}

fn duplicates(udp: &mut Udp) -> Ruling {
    rows(
        udp,
        [hash::random(), udp.info_hash, udp.info_hash],
        |rows| rows[0] == Row::ZERO && rows[1].leechers > 0 && rows[1] == rows[2],
    )
}

fn rows(udp: &mut Udp, info_hashes: [InfoHash; 3], is_right: fn(&[Row]) -> bool) -> Ruling {
    match udp.scraped(&info_hashes) {
        Some(reply) => match &reply {
            Reply::Scrape { rows, surplus: 0 } if rows.len() == 3 && is_right(rows) => {
                pass(reply.to_string())
            }
            _ => fail(reply.to_string()),
        },
        None => fail("nothing"),
    }
}

fn tail(udp: &mut Udp) -> Ruling {
    let mut request = udp.scrape_bytes(&[udp.info_hash]);
    request.extend([1, 2, 3, 4, 5]);
    let answer = udp.hush(&request);
    let came_back = udp.describe(&answer);
    match udp.read(&answer) {
        Some(Reply::Scrape { rows, .. }) if rows.len() == 1 => pass(came_back),
        Some(Reply::Scrape { .. }) => fail(came_back),
        _ => differs(came_back),
    }
}

fn none(udp: &mut Udp) -> Ruling {
    let request = head(udp.id.0, action::SCRAPE);
    let answer = udp.hush(&request);
    let came_back = udp.describe(&answer);
    match udp.read(&answer) {
        Some(Reply::Error(_)) => pass(came_back),
        Some(Reply::Scrape { rows, .. }) if !rows.is_empty() => fail(came_back),
        _ => differs(came_back),
    }
}

/// The answer is 74 rows or it differs; silence may be that of a network which drops fragments.
fn cap(udp: &mut Udp) -> Ruling {
    let info_hashes: Vec<InfoHash> = std::iter::repeat_with(hash::random).take(MANY).collect();
    let request = udp.scrape_bytes(&info_hashes);
    let answer = udp.hush(&request);
    match (udp.read(&answer), answer) {
        (Some(Reply::Scrape { rows, .. }), _) => {
            let came_back = count(rows.len(), "row");
            match rows.len() {
                74 => pass(came_back),
                0 => fail(came_back),
                _ => differs(came_back),
            }
        }
        (_, Answer::Datagram(_)) => differs("no scrape reply"),
        (..) => differs("nothing"),
    }
}
