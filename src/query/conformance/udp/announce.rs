//! Announces that real clients send, and some that none does.

use super::reply::Reply;
use super::scene::{Announce, Answer, NONE, PAUSED, Udp};
use super::{Ruling, differs, fail, pass, served, skipped};
use crate::query::conformance::{Check, Need, count};
use crate::wire::udp::ANNOUNCE_LEN;

/// The largest number of peers that the signed field holds.
const HUGE: i32 = i32::MAX;

/// libtorrent's URLData of a URL that ends in `/announce` (BEP 41).
const URL_DATA: &[u8] = b"\x02\x09/announce";

/// A NOP, an unknown option of 3 bytes, two URLData, the end, and junk behind it.
const ODD_OPTIONS: &[u8] = b"\x01\x7f\x03xyz\x02\x05/anno\x02\x04unce\x00\xff\xff";

/// Two bytes of a URLData of 255.
const CUT_OPTION: &[u8] = b"\x02\xff/a";

pub(super) const CHECKS: &[Check<Udp>] = &[
    Check {
        id: "udp.announce.answers",
        source: "BEP 15",
        title: "An announce is served",
        sent: "an announce of 98 bytes: started, 1000 bytes left, numwant -1",
        expected: "an announce reply",
        why: "an allow-list is lawful, but refuses in words: an error with a text",
        needs: Need::Answers,
        run: answers,
    },
    Check {
        id: "udp.announce.length",
        source: "BEP 15, libtorrent",
        title: "The reply has 20 bytes and whole peers",
        sent: "an announce of 98 bytes by a second peer",
        expected: "20 bytes and 6 for each IPv4 peer or 18 for each IPv6 peer, by the family of the datagram",
        why: "there is no count: libtorrent drops a reply whose length does not fit",
        needs: Need::Served,
        run: length,
    },
    Check {
        id: "udp.announce.interval",
        source: "BEP 15, libtorrent",
        title: "The interval is reasonable",
        sent: "an announce of 98 bytes",
        expected: "300 to 7200 s",
        why: "libtorrent raises less to 300 s; clients vanish from the swarm when it is much more",
        needs: Need::Served,
        run: interval,
    },
    Check {
        id: "udp.announce.aria2",
        source: "BEP 15, aria2",
        title: "aria2's announce of 100 bytes is served",
        sent: "an announce with two zero bytes behind it",
        expected: "an announce reply",
        why: "98 bytes are a minimum",
        needs: Need::Served,
        run: |udp| variant(udp, fail, |announce| announce.tail = &[0, 0]),
    },
    Check {
        id: "udp.announce.short",
        source: "BEP 15",
        title: "An announce of 97 bytes is refused",
        sent: "an announce without its last byte",
        expected: "silence, as for everything that is no request",
        why: "whoever serves it reads a port from where there is none",
        needs: Need::Served,
        run: short,
    },
    Check {
        id: "udp.options.url_data",
        source: "BEP 41, libtorrent",
        title: "libtorrent's URL option is served",
        sent: "an announce with URLData /announce",
        expected: "an announce reply",
        why: "every announce of libtorrent and uTorrent has this option",
        needs: Need::Served,
        run: |udp| variant(udp, fail, |announce| announce.tail = URL_DATA),
    },
    Check {
        id: "udp.options.unknown",
        source: "BEP 41",
        title: "Unknown options are skipped",
        sent: "an announce with NOP, an unknown option, URLData in two pieces, end and junk",
        expected: "an announce reply",
        why: "options are there so that clients can say more than a tracker knows",
        needs: Need::Served,
        run: |udp| variant(udp, fail, |announce| announce.tail = ODD_OPTIONS),
    },
    Check {
        id: "udp.options.cut",
        source: "BEP 41",
        title: "An option that is cut off does no harm",
        sent: "an announce with 2 of 255 bytes of URLData",
        expected: "an announce reply",
        why: "what is needed stands in the first 98 bytes",
        needs: Need::Served,
        run: |udp| variant(udp, differs, |announce| announce.tail = CUT_OPTION),
    },
    Check {
        id: "udp.event.paused",
        source: "BEP 21, libtorrent",
        title: "Event 4 is served",
        sent: "an announce with event 4",
        expected: "an announce reply",
        why: "libtorrent sends it in every announce of a torrent with deselected files",
        needs: Need::Served,
        run: |udp| variant(udp, fail, |announce| announce.event = PAUSED),
    },
    Check {
        id: "udp.event.unknown",
        source: "BEP 15",
        title: "An unknown event is a regular announce",
        sent: "an announce with event 0x7fffffff",
        expected: "an announce reply",
        why: "the next client with a new event should not lose its tracker",
        needs: Need::Served,
        run: |udp| variant(udp, differs, |announce| announce.event = 0x7fff_ffff),
    },
    Check {
        id: "udp.numwant.default",
        source: "BEP 15",
        title: "numwant -1 gets peers",
        sent: "an announce with numwant -1 while another peer is there",
        expected: "the other peer",
        why: "-1 is what most clients send",
        needs: Need::Meeting,
        run: |udp| wanting(udp, -1, |peers| if peers > 0 { pass } else { fail }),
    },
    Check {
        id: "udp.numwant.zero",
        source: "BEP 15",
        title: "numwant 0 gets no peers",
        sent: "an announce with numwant 0 while another peer is there",
        expected: "no peer",
        why: "a client that has enough peers says so, and the bytes are the tracker's",
        needs: Need::Meeting,
        run: |udp| wanting(udp, 0, |peers| if peers == 0 { pass } else { differs }),
    },
    Check {
        id: "udp.numwant.one",
        source: "BEP 15",
        title: "numwant 1 gets one peer",
        sent: "an announce with numwant 1 while two others are there",
        expected: "one peer",
        why: "numwant is the most that a client takes",
        needs: Need::Meeting,
        run: one,
    },
    Check {
        id: "udp.numwant.huge",
        source: "BEP 15",
        title: "numwant 2147483647 is served",
        sent: "an announce with the largest numwant",
        expected: "the other peer",
        why: "a number past the tracker's limit asks for that limit",
        needs: Need::Meeting,
        run: |udp| wanting(udp, HUGE, |peers| if peers > 0 { pass } else { fail }),
    },
    Check {
        id: "udp.port.zero",
        source: "BEP 15",
        title: "Port 0 is refused in words",
        sent: "an announce with port 0",
        expected: "an error",
        why: "nobody can connect to port 0, and everybody would be told to",
        needs: Need::Served,
        run: port_zero,
    },
];

fn answers(udp: &mut Udp) -> Ruling {
    let came_back = udp.describe(&udp.first_answer);
    match udp.read(&udp.first_answer) {
        Some(Reply::Announce { .. }) => pass(came_back),
        Some(Reply::Error(_)) => differs(came_back),
        _ => fail(came_back),
    }
}

fn length(udp: &mut Udp) -> Ruling {
    let came_back = udp.describe(&udp.second_answer);
    match udp.read(&udp.second_answer) {
        Some(Reply::Announce {
            surplus: 0, peers, ..
        }) => {
            // Padding of whole entries, and entries of the other family's length, show as addresses of zeros.
            let nobody = peers.iter().find(|peer| peer.ip().is_unspecified());
            match nobody {
                Some(peer) => fail(format!("{came_back}, one of them {peer}")),
                None => pass(came_back),
            }
        }
        _ => fail(came_back),
    }
}

fn interval(udp: &mut Udp) -> Ruling {
    let Some(Reply::Announce { interval, .. }) = udp.read(&udp.first_answer) else {
        return skipped("no reply had one");
    };
    let came_back = format!("{interval} s");
    match interval {
        300..=7200 => pass(came_back),
        1..=86_400 => differs(came_back),
        _ => fail(came_back),
    }
}

/// The second peer announces with a change, and should be served as ever.
fn variant(udp: &mut Udp, refused: fn(String) -> Ruling, change: fn(&mut Announce)) -> Ruling {
    let mut announce = udp.second();
    announce.event = NONE;
    change(&mut announce);
    let answer = udp.announce(&announce);
    served(udp, &answer, refused)
}

/// The second peer wants so many; how many it gets is judged.
fn wanting(udp: &mut Udp, num_want: i32, judge: fn(usize) -> fn(String) -> Ruling) -> Ruling {
    let announce = Announce {
        num_want,
        event: NONE,
        ..udp.second()
    };
    match udp.announced(&announce) {
        Some(Reply::Announce { peers, .. }) => judge(peers.len())(count(peers.len(), "peer")),
        Some(other) => fail(other.to_string()),
        None => fail("nothing"),
    }
}

fn one(udp: &mut Udp) -> Ruling {
    let third = udp.peer(2);
    udp.announce(&third);
    let ruling = wanting(udp, 1, |peers| if peers == 1 { pass } else { differs });
    udp.stop(&third);
    ruling
}

fn short(udp: &mut Udp) -> Ruling {
    let second = udp.second();
    let mut request = udp.announce_bytes(&second);
    request.truncate(ANNOUNCE_LEN - 1);
    let answer = udp.hush(&request);
    let came_back = udp.describe(&answer);
    match (udp.read(&answer), answer) {
        (Some(Reply::Error(_)), _) => differs(came_back),
        (Some(_), _) => fail(came_back),
        (None, Answer::Lost) => skipped("the connect behind it was not answered either"),
        (None, _) => pass(came_back),
    }
}

/// A peer on port 0 may be told of although the reply looked like any other.
fn port_zero(udp: &mut Udp) -> Ruling {
    let nowhere = Announce {
        port: 0,
        ..udp.peer(0)
    };
    let answer = udp.announce(&nowhere);
    let came_back = udp.describe(&answer);
    let is_refused = matches!(udp.read(&answer), Some(Reply::Error(_)));
    let second = udp.second();
    let seen = udp.announced(&second);
    udp.stop(&nowhere);
    if is_refused {
        return pass(came_back);
    }
    let Some(Reply::Announce { peers, .. }) = seen else {
        return differs(came_back);
    };
    let is_told = peers.iter().any(|peer| peer.port() == 0);
    if is_told {
        fail(format!("{came_back}; others are told of port 0"))
    } else {
        differs(came_back)
    }
}
