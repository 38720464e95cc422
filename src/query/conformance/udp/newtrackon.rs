//! What newTrackon asks every few minutes, and what it makes of the answer.

use super::reply::Reply;
use super::scene::{Answer, Udp, head};
use super::{Ruling, differs, fail, pass, skipped};
use crate::query::conformance::{Check, NEWTRACKON_PEERS_MAX, Need};
use crate::query::hash;
use crate::wire::PeerId;
use crate::wire::udp::{ANNOUNCE_REPLY_HEAD_LEN, CONNECT_LEN, PROTOCOL_ID, action};

/// The port that newTrackon announces.
const PORT: u16 = 30461;

pub(super) const CHECKS: &[Check<Udp>] = &[
    Check {
        id: "udp.newtrackon.up",
        source: "newTrackon",
        title: "newTrackon would say: working",
        sent: "its connect and its announce of a random torrent: small transaction ids, a seeder, port 30461",
        expected: "16 bytes or more, then 20 or more, with the actions and the transaction ids of the requests",
        why: "most public lists of trackers are made from what newTrackon finds",
        needs: Need::Answers,
        run: up,
    },
    Check {
        id: "udp.newtrackon.sane",
        source: "newTrackon",
        title: "newTrackon would find no made-up peers",
        sent: "the same announce",
        expected: "peers, leechers and seeders of a random torrent add up to 10 at most",
        why: "newTrackon calls a tracker down that invents peers",
        needs: Need::Answers,
        run: sane,
    },
];

fn up(udp: &mut Udp) -> Ruling {
    let mut connect = head(PROTOCOL_ID, action::CONNECT);
    connect[12..].copy_from_slice(&small_number(0));
    let connected = udp.ask(&connect);
    if !is_answer(&connected, &connect, CONNECT_LEN) {
        return fail(format!("to its connect: {}", udp.describe(&connected)));
    }
    let Some(Reply::Connect(id)) = udp.read(&connected) else {
        return fail("no connect reply");
    };
    let mut announce = head(id.0, action::ANNOUNCE);
    announce[12..].copy_from_slice(&small_number(1));
    announce.extend(hash::random().0);
    announce.extend(PeerId(*b"-qB5230-2Lbx1T6e8YvK").0);
    announce.extend([0; 24]);
    announce.extend(2_u32.to_be_bytes());
    announce.extend([0; 4]);
    announce.extend(small_number(0));
    announce.extend((-1_i32).to_be_bytes());
    announce.extend(PORT.to_be_bytes());
    let answer = udp.ask(&announce);
    let came_back = format!("to its announce: {}", udp.describe(&answer));
    let ruling = match udp.read(&answer) {
        _ if is_answer(&answer, &announce, ANNOUNCE_REPLY_HEAD_LEN) => pass(came_back),
        Some(Reply::Error(_)) => differs(format!("{came_back}; it would say: down")),
        _ => fail(format!("{came_back}; it would say: down")),
    };
    if let Some(Reply::Announce { .. }) = udp.read(&answer) {
        announce[80..84].copy_from_slice(&3_u32.to_be_bytes());
        announce[12..16].copy_from_slice(&small_number(2));
        udp.ask(&announce);
    }
    udp.probed_by_newtrackon = Some(answer);
    ruling
}

fn sane(udp: &mut Udp) -> Ruling {
    let answer = udp.probed_by_newtrackon.clone();
    let reply = answer.and_then(|answer| udp.read(&answer));
    let Some(Reply::Announce {
        leechers,
        seeders,
        peers,
        ..
    }) = reply
    else {
        return skipped("its announce got no reply that could be counted");
    };
    let total = peers.len() as u64 + u64::from(leechers) + u64::from(seeders);
    let came_back = format!("{total} altogether");
    if total <= NEWTRACKON_PEERS_MAX {
        pass(came_back)
    } else {
        fail(came_back)
    }
}

fn is_answer(answer: &Answer, request: &[u8], len_min: usize) -> bool {
    match answer {
        Answer::Datagram(reply) => {
            reply.len() >= len_min && reply[..4] == request[8..12] && reply[4..8] == request[12..16]
        }
        Answer::Silence | Answer::Lost => false,
    }
}

/// Its transaction ids and keys are 0 to 254: the n-th of three, of which no two are the same, since what
/// comes for an earlier one is taken for late.
fn small_number(nth: u8) -> [u8; 4] {
    u32::from(fastrand::u8(..85) + 85 * nth).to_be_bytes()
}
