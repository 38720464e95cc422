//! Announces that are none. A tracker should say so in a way that a client shows to its user.

use super::reply::Said;
use super::scene::{Announce, CLOSE, Http};
use super::{Ruling, differs, fail, pass, skipped};
use crate::query::conformance::bencode::{self, Item};
use crate::query::conformance::{Check, Need, count};

const EXPECTED: &str = "200 and a failure reason";
const WHY: &str =
    "a client shows the reason to whoever can mend it; without an answer it waits in vain";

pub(super) const CHECKS: &[Check<Http>] = &[
    refusal(
        "http.malformed.no_query",
        "An announce without a query is refused in words",
        "GET /announce",
        |http| refused(http, &no_query(http), fail),
    ),
    refusal(
        "http.malformed.hash_missing",
        "An announce without info_hash is refused in words",
        "no info_hash",
        |http| refused(http, &hash_missing(http), fail),
    ),
    refusal(
        "http.malformed.hash_short",
        "An info-hash of 19 bytes is refused in words",
        "19 bytes of info_hash",
        |http| refused(http, &hash_short(http), fail),
    ),
    refusal(
        "http.malformed.hash_escape",
        "A broken escape is refused in words",
        "info_hash with %G1",
        |http| refused(http, &hash_escape(http), fail),
    ),
    refusal(
        "http.malformed.hash_cut",
        "An escape that is cut off is refused in words",
        "info_hash at the end of the query, with %4",
        |http| refused(http, &hash_cut(http), fail),
    ),
    refusal(
        "http.malformed.hash_hex",
        "An info-hash of 40 digits is refused in words",
        "info_hash in hex",
        |http| refused(http, &hash_hex(http), differs),
    ),
    refusal(
        "http.malformed.hash_twice",
        "Two info-hashes are refused in words",
        "info_hash two times",
        |http| refused(http, &hash_twice(http), differs),
    ),
    refusal(
        "http.malformed.peer_id_missing",
        "An announce without peer_id is refused in words",
        "no peer_id",
        |http| refused(http, &peer_id_missing(http), differs),
    ),
    refusal(
        "http.malformed.peer_id_short",
        "A peer id of 5 bytes is refused in words",
        "peer_id=short",
        |http| refused(http, &peer_id_short(http), differs),
    ),
    refusal(
        "http.malformed.port_missing",
        "An announce without port is refused in words",
        "no port",
        |http| refused(http, &port_missing(http), differs),
    ),
    refusal(
        "http.malformed.port_large",
        "Port 65536 is refused in words",
        "port=65536",
        |http| refused(http, &port_large(http), differs),
    ),
    Check {
        id: "http.malformed.port_zero",
        source: "BEP 3",
        title: "Port 0 is refused in words",
        sent: "port=0",
        expected: EXPECTED,
        why: "nobody can connect to port 0, and everybody would be told to",
        needs: Need::Served,
        run: port_zero,
    },
    Check {
        id: "http.malformed.optional",
        source: "BEP 3",
        title: "Junk in optional keys does no harm",
        sent: "left=-5, numwant=abc, event=foo, compact=, key=, ipv6=[]",
        expected: "a regular answer, as for a leecher",
        why: "what is not needed is no reason to send a client away",
        needs: Need::Served,
        run: optional,
    },
    Check {
        id: "http.malformed.retry_in",
        source: "BEP 31",
        title: "retry in is minutes or never",
        sent: "all requests of this run that got a failure",
        expected: "a number or the word never, if it is sent at all",
        why: "a client that reads it would otherwise wait for nothing",
        needs: Need::Answers,
        run: retry_in,
    },
];

/// A query that should get a failure in words.
const fn refusal(
    id: &'static str,
    title: &'static str,
    sent: &'static str,
    run: fn(&mut Http) -> Ruling,
) -> Check<Http> {
    Check {
        id,
        source: "BEP 3",
        title,
        sent,
        expected: EXPECTED,
        why: WHY,
        needs: Need::Served,
        run,
    }
}

/// `accepted` says what it means when the query is served.
fn refused(http: &mut Http, query: &[u8], accepted: fn(String) -> Ruling) -> Ruling {
    let request = http.get(query, CLOSE);
    let said = Said::read(&http.ask_malformed(&request));
    match &said {
        Said::Refused(_) => pass(said.to_string()),
        Said::Served(_) => {
            let stop = [query, b"&event=stopped"].concat();
            let request = http.get(&stop, CLOSE);
            // Whatever was served, the peer should not stay.
            let _ = http.ask_malformed(&request);
            accepted(said.to_string())
        }
        _ => differs(said.to_string()),
    }
}

/// An announce of a peer of its own without an event, so that one can be added; its pieces are those of
/// [`Announce::query`], by their number.
fn without(http: &Http, key: &str) -> Vec<u8> {
    let query = stranger(http).query();
    let pairs = query.split(|byte| *byte == b'&');
    let kept: Vec<&[u8]> = pairs
        .filter(|pair| !pair.starts_with(key.as_bytes()))
        .collect();
    kept.join(&b'&')
}

fn with(http: &Http, pair: &[u8]) -> Vec<u8> {
    let end = pair
        .iter()
        .position(|byte| *byte == b'=')
        .unwrap_or(pair.len());
    let key = String::from_utf8_lossy(&pair[..=end.min(pair.len() - 1)]);
    [pair, &without(http, &key)].join(&b'&')
}

fn stranger(http: &Http) -> Announce {
    Announce {
        event: None,
        ..http.peer(6)
    }
}

fn no_query(_: &Http) -> Vec<u8> {
    Vec::new()
}

fn hash_missing(http: &Http) -> Vec<u8> {
    without(http, "info_hash=")
}

fn hash_short(http: &Http) -> Vec<u8> {
    with(http, b"info_hash=%01%02%03aaaaaaaaaaaaaaaa")
}

fn hash_escape(http: &Http) -> Vec<u8> {
    with(http, b"info_hash=%G1aaaaaaaaaaaaaaaaaaa")
}

fn hash_cut(http: &Http) -> Vec<u8> {
    [
        &without(http, "info_hash="),
        &b"info_hash=aaaaaaaaaaaaaaaaaaa%4"[..],
    ]
    .join(&b'&')
}

fn hash_hex(http: &Http) -> Vec<u8> {
    with(http, b"info_hash=3b245504cf5f11bbdbe1201cea6a6bf45aee1bc0")
}

fn hash_twice(http: &Http) -> Vec<u8> {
    [
        &stranger(http).query(),
        &b"info_hash=bbbbbbbbbbbbbbbbbbbb"[..],
    ]
    .join(&b'&')
}

fn peer_id_missing(http: &Http) -> Vec<u8> {
    without(http, "peer_id=")
}

fn peer_id_short(http: &Http) -> Vec<u8> {
    with(http, b"peer_id=short")
}

fn port_missing(http: &Http) -> Vec<u8> {
    without(http, "port=")
}

fn port_large(http: &Http) -> Vec<u8> {
    with(http, b"port=65536")
}

/// A peer on port 0 may be told of although the answer looked like any other.
fn port_zero(http: &mut Http) -> Ruling {
    let nowhere = Announce {
        port: "0".to_owned(),
        ..http.peer(6)
    };
    let said = http.said(&nowhere);
    if let Said::Refused(_) = said {
        return pass(said.to_string());
    }
    let second = http.second_again();
    let seen = http.said(&second);
    if let Said::Served(_) = said {
        http.stop(&nowhere);
    }
    if seen.has_peer(0) {
        fail(format!("{said}; others are told of port 0"))
    } else {
        differs(said.to_string())
    }
}

fn optional(http: &mut Http) -> Ruling {
    let announce = Announce {
        left: Some("-5"),
        event: Some("foo"),
        num_want: Some("abc"),
        compact: Some(""),
        more: "&key=&ipv6=%5B%5D".to_owned(),
        ..http.second()
    };
    let answer = http.announce(&announce);
    super::served(&answer, differs)
}

fn retry_in(http: &mut Http) -> Ruling {
    let mut came_back = None;
    for body in &http.refusals {
        let Ok((item, _)) = bencode::read(body) else {
            continue;
        };
        let Some(value) = item.get("retry in") else {
            continue;
        };
        let text = match value {
            Item::Integer(minutes) if *minutes >= 0 => count(*minutes as usize, "minute"),
            Item::Bytes(b"never") => "never".to_owned(),
            odd => return fail(format!("{odd:?}")),
        };
        came_back = Some(text);
    }
    match came_back {
        Some(text) => pass(text),
        None => skipped("no failure had it, and none need have"),
    }
}
