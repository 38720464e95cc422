//! A tracker with addresses of both families: two swarms that know nothing of each other over UDP.

use super::reply::Reply;
use super::scene::{Answer, Udp};
use super::{Ruling, fail, pass, silence, skipped};
use crate::query::conformance::{Check, Need};

pub(super) const CHECKS: &[Check<Udp>] = &[
    Check {
        id: "udp.families.id",
        source: "BEP 15",
        title: "An id of one family is worthless in the other",
        sent: "a scrape to the address of the other family, with the id of this one",
        expected: "silence",
        why: "the id stands for an address, and that is another one",
        needs: Need::Answers,
        run: id,
    },
    Check {
        id: "udp.families.stride",
        source: "BEP 15, BEP 7",
        title: "Peers of the other family have that family's length",
        sent: "announces of two peers to the address of the other family",
        expected: "the second is told of the first, in 6 bytes over IPv4 and in 18 over IPv6",
        why: "the family of the datagram alone decides how long a peer is",
        needs: Need::Served,
        run: stride,
    },
];

fn id(udp: &mut Udp) -> Ruling {
    let request = udp.scrape_bytes(&[udp.info_hash]);
    with_other(udp, &|other| {
        let answer = other.probe(&request);
        silence(other, &answer, fail)
    })
}

fn stride(udp: &mut Udp) -> Ruling {
    with_other(udp, &|other| {
        let first = other.first().port;
        let came_back = other.describe(&other.second_answer);
        match other.read(&other.second_answer) {
            Some(Reply::Announce {
                surplus: 0, peers, ..
            }) if peers.iter().any(|peer| peer.port() == first) => pass(came_back),
            _ => fail(came_back),
        }
    })
}

fn with_other(udp: &mut Udp, judge: &dyn Fn(&mut Udp) -> Ruling) -> Ruling {
    let ruling = udp.with_other(|other| match (&other.connected, &other.unsent) {
        (Answer::Datagram(_), _) => judge(other),
        (_, Some(failure)) => skipped(format!(
            "this host cannot send to {}: {failure}",
            other.target
        )),
        (_, None) => fail(format!("{} does not answer a connect", other.target)),
    });
    ruling.unwrap_or_else(|| skipped("the tracker has no address of the other family"))
}
