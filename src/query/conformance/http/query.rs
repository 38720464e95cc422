//! Queries in every style that clients write them: the second peer must reach the torrent of the first.

use super::reply::{Said, Served};
use super::scene::{Announce, CLOSE, Http, LIBTORRENT, escape};
use super::{Ruling, differs, fail, pass, same_torrent, served, skipped};
use crate::query::conformance::{Check, Need};

const SAME: &str = "the torrent that the first peer is in";
const WHY_STYLE: &str = "each client escapes other bytes, and all must end up in one torrent";

pub(super) const CHECKS: &[Check<Http>] = &[
    style(
        "http.encoding.libtorrent",
        "libtorrent, qBittorrent",
        "-_!.~*() as they are, hex in lower case",
        |http| encoded(http, LIBTORRENT, false),
    ),
    style(
        "http.encoding.transmission",
        "Transmission 4",
        "-_.~ as they are, hex in lower case",
        |http| encoded(http, b"-_.~", false),
    ),
    style(
        "http.encoding.utorrent",
        "uTorrent",
        "letters, digits and - as they are, hex in lower case",
        |http| encoded(http, b"-", false),
    ),
    style(
        "http.encoding.rtorrent",
        "rTorrent",
        "letters, digits and - as they are, hex in upper case",
        |http| encoded(http, b"-", true),
    ),
    style(
        "http.encoding.all",
        "BEP 3",
        "every byte escaped",
        every_byte,
    ),
    Check {
        id: "http.encoding.raw",
        source: "sloppy clients",
        title: "Raw bytes are taken as they are",
        sent: "an info_hash with = and ? and bytes past ASCII left as they are",
        expected: SAME,
        why: "a query is bytes: text that must be UTF-8 loses clients",
        needs: Need::Meeting,
        run: raw,
    },
    Check {
        id: "http.encoding.plus",
        source: "aquatic, opentracker",
        title: "+ is a plus, not a blank",
        sent: "an info_hash with + in place of %2b",
        expected: SAME,
        why: "info-hashes are no forms; clients that leave a + alone mean it",
        needs: Need::Meeting,
        run: plus,
    },
    Check {
        id: "http.query.order",
        source: "BEP 3, WebTorrent",
        title: "Keys come in any order",
        sent: "WebTorrent's order: numwant first, info_hash, peer_id and port last",
        expected: SAME,
        why: "clients agree on no order",
        needs: Need::Meeting,
        run: order,
    },
    Check {
        id: "http.query.unknown",
        source: "BEP 3",
        title: "Unknown keys are passed over",
        sent: "an announce with corrupt, redundant, supportcrypto, azver, port_type, lognet and more",
        expected: SAME,
        why: "every client has some of its own",
        needs: Need::Meeting,
        run: |http| {
            with(
                http,
                fail,
                "&corrupt=0&redundant=0&supportcrypto=1&requirecrypto=1&azver=3\
            &azudp=0&port_type=lan&lognet=1&compact6=1&no_peer_id=1&trackerid=x",
            )
        },
    },
    Check {
        id: "http.query.key",
        source: "aria2",
        title: "A key of binary bytes is passed over",
        sent: "an announce with key=%00%ff%26-aria2",
        expected: SAME,
        why: "aria2 sends the end of its peer id, others hex or decimal numbers",
        needs: Need::Meeting,
        run: |http| with(http, fail, "&key=%00%ff%26-aria2"),
    },
    Check {
        id: "http.query.no_value",
        source: "URLs",
        title: "A key without = and an empty pair are passed over",
        sent: "an announce with &supportcrypto&&x=",
        expected: SAME,
        why: "a parser that counts = and & in pairs takes every later key for another",
        needs: Need::Meeting,
        run: |http| with(http, differs, "&supportcrypto&&x="),
    },
    Check {
        id: "http.query.equals",
        source: "URLs",
        title: "A value may hold =, ?, / and :",
        sent: "an announce with key=a=b?c/d:e",
        expected: SAME,
        why: "only the first = of a pair divides it",
        needs: Need::Meeting,
        run: |http| with(http, differs, "&key=a=b?c/d:e"),
    },
    Check {
        id: "http.query.duplicate",
        source: "URLs",
        title: "Of a key that comes twice the first rules",
        sent: "an announce with numwant=0 and then numwant=50",
        expected: "no peer",
        why: "an announce URL may hold keys of its own; nobody should be able to add a second meaning",
        needs: Need::Meeting,
        run: duplicate,
    },
    Check {
        id: "http.query.absolute",
        source: "RFC 9112",
        title: "The target may be a whole URL",
        sent: "GET http://HOST/announce?...",
        expected: SAME,
        why: "that is what comes through a proxy, and a server must take it",
        needs: Need::Meeting,
        run: absolute,
    },
    Check {
        id: "http.ip.malformed",
        source: "newTrackon",
        title: "An address parameter that is none is passed over",
        sent: "an announce with ipv6=None",
        expected: SAME,
        why: "newTrackon sends that when it has no IPv6",
        needs: Need::Meeting,
        run: |http| with(http, fail, "&ipv6=None"),
    },
    Check {
        id: "http.ip.claimed",
        source: "BEP 3, BEP 7",
        title: "Claimed addresses are not believed",
        sent: "an announce with ip=, ipv4= and ipv6= of others, then one by another peer",
        expected: "the other is told of the address that the connection came from",
        why: "whoever believes them lets anybody point a swarm at a victim",
        needs: Need::Meeting,
        run: claimed,
    },
];

const fn style(
    id: &'static str,
    source: &'static str,
    sent: &'static str,
    run: fn(&mut Http) -> Ruling,
) -> Check<Http> {
    Check {
        id,
        source,
        title: "An info-hash is read in this client's escaping",
        sent,
        expected: SAME,
        why: WHY_STYLE,
        needs: Need::Meeting,
        run,
    }
}

fn encoded(http: &mut Http, literal: &[u8], upper: bool) -> Ruling {
    let info_hash = escape(&http.info_hash.0, literal, upper);
    reaches(http, info_hash, fail)
}

fn every_byte(http: &mut Http) -> Ruling {
    let info_hash = http
        .info_hash
        .0
        .iter()
        .flat_map(|byte| format!("%{byte:02x}").into_bytes());
    let info_hash = info_hash.collect();
    reaches(http, info_hash, fail)
}

/// All but what would end the query, the request, or a byte of it.
fn raw(http: &mut Http) -> Ruling {
    let literal: Vec<u8> = (0x80..=0xff).chain(*b"-_.~=?").collect();
    let info_hash = escape(&http.info_hash.0, &literal, false);
    reaches(http, info_hash, differs)
}

fn plus(http: &mut Http) -> Ruling {
    if !http.info_hash.0.contains(&b'+') {
        return skipped("the info-hash has no +");
    }
    let info_hash = escape(&http.info_hash.0, b"+", false);
    reaches(http, info_hash, differs)
}

/// The second peer announces with that text. Where it ends up in another torrent it is taken out of it.
fn reaches(http: &mut Http, info_hash: Vec<u8>, otherwise: fn(String) -> Ruling) -> Ruling {
    let announce = Announce {
        info_hash,
        ..http.second_again()
    };
    let said = Said::read(&http.announce_unseen(&announce));
    let ruling = same_torrent(http, &said, otherwise);
    if matches!(said, Said::Served(_)) && !said.has_peer(http.first_port()) {
        // It is gone or it is not: neither changes what was found.
        let _ = http.announce_unseen(&Announce {
            event: Some("stopped"),
            ..announce
        });
    }
    ruling
}

fn with(http: &mut Http, otherwise: fn(String) -> Ruling, more: &str) -> Ruling {
    let announce = Announce {
        more: more.to_owned(),
        ..http.second_again()
    };
    let said = http.said(&announce);
    same_torrent(http, &said, otherwise)
}

fn order(http: &mut Http) -> Ruling {
    let second = http.second();
    let mut query = b"numwant=50&uploaded=0&downloaded=0&left=1000&compact=1&info_hash=".to_vec();
    query.extend(second.info_hash);
    query.extend(b"&peer_id=");
    query.extend(second.peer_id);
    query.extend(format!("&port={}", second.port).bytes());
    let request = http.get(&query, CLOSE);
    let said = Said::read(&http.ask(&request));
    same_torrent(http, &said, fail)
}

fn duplicate(http: &mut Http) -> Ruling {
    let announce = Announce {
        num_want: Some("0"),
        more: "&numwant=50".to_owned(),
        ..http.second_again()
    };
    let said = http.said(&announce);
    match &said {
        Said::Served(Served { peers, .. }) if peers.is_empty() => pass(said.to_string()),
        _ => differs(said.to_string()),
    }
}

fn absolute(http: &mut Http) -> Ruling {
    let scheme = http.target.scheme.name();
    let goal = http
        .target
        .path_and_query_with(&String::from_utf8_lossy(&http.second_again().query()));
    let goal = format!("{scheme}://{}{goal}", http.target.authority());
    let request = http.request("GET", goal.as_bytes(), "1.1", CLOSE);
    let answer = http.ask_malformed(&request);
    served(&answer, differs)
}

fn claimed(http: &mut Http) -> Ruling {
    let liar = Announce {
        more: "&ip=8.8.8.8&ipv4=8.8.8.8&ipv6=2001:4860:4860::8888".to_owned(),
        ..http.peer(3)
    };
    let port: u16 = liar.port.parse().unwrap_or(0);
    let answer = Said::read(&http.announce(&liar));
    let first = http.first();
    let seen = http.said(&first);
    http.stop(&liar);
    let Said::Served(Served { peers, .. }) = seen else {
        return fail(seen.to_string());
    };
    let mut told: Vec<_> = peers.iter().filter(|peer| peer.port() == port).collect();
    told.sort_by_key(|peer| {
        !["8.8.8.8", "2001:4860:4860::8888"].contains(&peer.ip().to_string().as_str())
    });
    match told.first() {
        Some(peer)
            if ["8.8.8.8", "2001:4860:4860::8888"].contains(&peer.ip().to_string().as_str()) =>
        {
            fail(peer.to_string())
        }
        Some(peer) => pass(peer.to_string()),
        None => differs(format!("that peer is not told of; it got {answer}")),
    }
}
