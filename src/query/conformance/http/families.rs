//! A tracker with addresses of both families.

use super::reply::Said;
use super::scene::Http;
use super::{Ruling, differs, fail, pass, skipped};
use crate::query::conformance::{Check, Need};
use crate::query::failure::Kind;

pub(super) const CHECKS: &[Check<Http>] = &[
    Check {
        id: "http.families.answers",
        source: "BEP 7",
        title: "The address of the other family is served",
        sent: "announces of two peers to the address of the other family",
        expected: "the second is told of the first",
        why: "clients announce to each address of a name",
        needs: Need::Meeting,
        run: answers,
    },
    Check {
        id: "http.families.meet",
        source: "BEP 7",
        title: "Each family is told of the other",
        sent: "the same announces, while a peer of this family is in the torrent",
        expected: "it is told of too: IPv4 in peers, IPv6 in peers6",
        why: "rTorrent announces once, over one of them",
        needs: Need::Meeting,
        run: meet,
    },
];

fn answers(http: &mut Http) -> Ruling {
    judge(http, fail, |said, here, _| said.has_peer(here))
}

fn meet(http: &mut Http) -> Ruling {
    judge(http, differs, |said, _, there| said.has_peer(there))
}

/// Judges the second of two announces over the other family, given the port of the first and the port of a
/// peer of this family.
fn judge(
    http: &mut Http,
    otherwise: fn(String) -> Ruling,
    is_right: fn(&Said, u16, u16) -> bool,
) -> Ruling {
    let Some(other) = http.other_address else {
        return skipped("the tracker has no address of the other family");
    };
    let there = http.first_port();
    http.at_other(other, |http| {
        let first = http.peer(7);
        let second = http.peer(8);
        let answer = http.announce(&first);
        if let Err(failure) = &answer
            && matches!(failure.kind, Kind::NoRoute | Kind::Unreachable)
        {
            return skipped(format!("this host cannot reach {other}: {failure}"));
        }
        let said = http.said(&second);
        http.stop(&first);
        http.stop(&second);
        let here = first.port.parse().unwrap_or(0);
        if is_right(&said, here, there) {
            pass(said.to_string())
        } else {
            otherwise(said.to_string())
        }
    })
}
