//! Connects, and the ids they give: BEP 15's only defence against forged sources.

use std::time::{Duration, Instant};

use super::reply::Reply;
use super::scene::{Answer, Udp, head, socket_elsewhere};
use super::{Ruling, differs, fail, pass, silence, skipped};
use crate::query::conformance::{Check, Need};
use crate::query::wire::udp::Socket;
use crate::wire::udp::{CONNECT_LEN, ConnectionId, PROTOCOL_ID, action};

pub(super) const CHECKS: &[Check<Udp>] = &[
    Check {
        id: "udp.connect.answers",
        source: "BEP 15",
        title: "A connect is answered",
        sent: "a connect of 16 bytes, twice if need be",
        expected: "a connect reply",
        why: "nothing works without a connection id",
        needs: Need::Nothing,
        run: answers,
    },
    Check {
        id: "udp.connect.length",
        source: "BEP 15, aria2, Transmission",
        title: "The reply to a connect has exactly 16 bytes",
        sent: "a connect of 16 bytes",
        expected: "16 bytes",
        why: "aria2 and Transmission take no other length, and a longer one amplifies forged requests",
        needs: Need::Answers,
        run: length,
    },
    Check {
        id: "udp.connect.id",
        source: "BEP 15, Transmission",
        title: "The connection id is neither 0 nor the protocol's constant",
        sent: "a connect of 16 bytes",
        expected: "8 bytes that cannot be guessed",
        why: "Transmission reads 0 as not connected; an id that everybody knows proves nothing",
        needs: Need::Answers,
        run: id,
    },
    Check {
        id: "udp.connect.transaction_zero",
        source: "BEP 15, newTrackon",
        title: "Transaction id 0 is as good as any",
        sent: "a connect with transaction id 0",
        expected: "a connect reply of 16 bytes",
        why: "newTrackon draws its transaction ids from 0 to 254",
        needs: Need::Answers,
        run: transaction_zero,
    },
    Check {
        id: "udp.connect.surplus",
        source: "BEP 15",
        title: "A connect with surplus bytes is served",
        sent: "a connect with 4 more bytes",
        expected: "a connect reply of 16 bytes",
        why: "a length is a minimum: later extensions append to requests",
        needs: Need::Answers,
        run: surplus,
    },
    Check {
        id: "udp.id.reuse",
        source: "BEP 15",
        title: "One id serves several requests",
        sent: "two announces and a scrape with the same id",
        expected: "three answers",
        why: "clients keep an id for a minute and announce all their torrents with it",
        needs: Need::Answers,
        run: reuse,
    },
    Check {
        id: "udp.id.other_port",
        source: "BEP 15, libtorrent",
        title: "The id is good from another port of the same address",
        sent: "a scrape with our id from another socket",
        expected: "a scrape reply",
        why: "NATs change ports, and libtorrent shares an id among all its sockets",
        needs: Need::Answers,
        run: other_port,
    },
    Check {
        id: "udp.id.other_address",
        source: "BEP 15",
        title: "The id is worthless at another address",
        sent: "a scrape with our id from another address of this host",
        expected: "silence",
        why: "an id that is good anywhere lets anybody announce in a stranger's name",
        needs: Need::Answers,
        run: other_address,
    },
    Check {
        id: "udp.id.forged",
        source: "BEP 15",
        title: "An announce with a forged id gets silence",
        sent: "an announce whose id differs from ours in the last bit",
        expected: "silence",
        why: "whoever answers an unproven source sends to strangers what others asked for",
        needs: Need::Answers,
        run: forged,
    },
    Check {
        id: "udp.id.forged_scrape",
        source: "BEP 15",
        title: "A scrape with a forged id gets silence",
        sent: "a scrape with a made-up id",
        expected: "silence",
        why: "some trackers check the id of announces only",
        needs: Need::Answers,
        run: forged_scrape,
    },
    Check {
        id: "udp.id.magic",
        source: "BEP 15",
        title: "The protocol's constant is no id",
        sent: "an announce with 0x41727101980 as its id",
        expected: "silence",
        why: "a tracker that echoes the constant protects nobody",
        needs: Need::Answers,
        run: magic,
    },
    Check {
        id: "udp.id.stale",
        source: "BEP 15",
        title: "An old id is refused in words",
        sent: "a scrape with an id of the age that was asked for (--stale)",
        expected: "an error, so that the client need not wait for a time-out",
        why: "an id that is good for hours can be replayed by whoever had the address before",
        needs: Need::Answers,
        run: stale,
    },
];

fn answers(udp: &mut Udp) -> Ruling {
    let came_back = udp.describe(&udp.connected);
    match udp.read(&udp.connected) {
        Some(Reply::Connect(_)) => pass(came_back),
        None => fail("nothing"),
        Some(_) => fail(came_back),
    }
}

fn length(udp: &mut Udp) -> Ruling {
    let Answer::Datagram(reply) = &udp.connected else {
        return fail("nothing");
    };
    let came_back = format!("{} bytes", reply.len());
    if reply.len() == CONNECT_LEN {
        pass(came_back)
    } else {
        fail(came_back)
    }
}

fn id(udp: &mut Udp) -> Ruling {
    let came_back = format!("{:016x}", udp.id.0);
    match udp.id.0 {
        0 | PROTOCOL_ID => fail(came_back),
        _ => pass(came_back),
    }
}

fn transaction_zero(udp: &mut Udp) -> Ruling {
    let mut request = head(PROTOCOL_ID, action::CONNECT);
    request[12..].fill(0);
    let answer = udp.probe(&request);
    connect_ruling(udp, &answer, fail)
}

fn surplus(udp: &mut Udp) -> Ruling {
    let mut request = head(PROTOCOL_ID, action::CONNECT);
    request.extend([0; 4]);
    let answer = udp.probe(&request);
    connect_ruling(udp, &answer, differs)
}

fn connect_ruling(udp: &Udp, answer: &Answer, otherwise: fn(String) -> Ruling) -> Ruling {
    let came_back = udp.describe(answer);
    match (udp.read(answer), answer) {
        (Some(Reply::Connect(_)), Answer::Datagram(reply)) if reply.len() == CONNECT_LEN => {
            pass(came_back)
        }
        _ => otherwise(came_back),
    }
}

fn reuse(udp: &mut Udp) -> Ruling {
    let scraped = udp.scraped(&[udp.info_hash]);
    match scraped {
        Some(reply @ Reply::Scrape { .. }) => pass(format!("the last answer: {reply}")),
        Some(reply) => fail(reply.to_string()),
        None => fail("nothing"),
    }
}

fn other_port(udp: &mut Udp) -> Ruling {
    let Ok(socket) = Socket::of(udp.target) else {
        return skipped("this host has no other socket");
    };
    let request = udp.scrape_bytes(&[udp.info_hash]);
    let answer = udp.ask_from(&socket, &request);
    let came_back = udp.describe(&answer);
    match udp.read(&answer) {
        Some(Reply::Scrape { .. }) => pass(came_back),
        _ => fail(came_back),
    }
}

fn other_address(udp: &mut Udp) -> Ruling {
    let Some(socket) = socket_elsewhere(udp.target) else {
        return match udp.other_target {
            Some(_) => skipped("see udp.families.id"),
            None => skipped("no other address of this host reaches the tracker"),
        };
    };
    let request = udp.scrape_bytes(&[udp.info_hash]);
    let answer = udp.ask_from(&socket, &request);
    udp.note_unproven(&request, &answer);
    silence(udp, &answer, fail)
}

fn forged(udp: &mut Udp) -> Ruling {
    let second = udp.second();
    let mut request = udp.announce_bytes(&second);
    request[7] ^= 1;
    let answer = udp.probe(&request);
    silence(udp, &answer, fail)
}

fn forged_scrape(udp: &mut Udp) -> Ruling {
    let mut request = udp.scrape_bytes(&[udp.info_hash]);
    request[..8].copy_from_slice(&fastrand::u64(1 << 60..).to_be_bytes());
    let answer = udp.probe(&request);
    silence(udp, &answer, fail)
}

fn magic(udp: &mut Udp) -> Ruling {
    let second = udp.second();
    let mut request = udp.announce_bytes(&second);
    request[..8].copy_from_slice(&PROTOCOL_ID.to_be_bytes());
    let answer = udp.probe(&request);
    silence(udp, &answer, fail)
}

/// Waits until the first id of this run is old enough, tries it, and takes a new one.
fn stale(udp: &mut Udp) -> Ruling {
    let Some(age) = udp.options.stale_after else {
        return skipped("it would take minutes; ask for it with --stale SECONDS");
    };
    let old: ConnectionId = udp.id;
    let due = udp.id_since + age;
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
    let request = udp.scrape_bytes(&[udp.info_hash]);
    debug_assert_eq!(request[..8], old.0.to_be_bytes());
    let answer = udp.hush(&request);
    udp.reconnect();
    let came_back = format!("{} after {}", udp.describe(&answer), whole_seconds(age));
    match udp.read(&answer) {
        Some(Reply::Error(_)) => pass(came_back),
        _ => differs(came_back),
    }
}

fn whole_seconds(age: Duration) -> String {
    format!("{} s", age.as_secs())
}
