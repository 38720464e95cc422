//! The body of a good answer, byte by byte: that of the second peer, which should name the first.

use super::reply::{Said, Served};
use super::scene::Http;
use super::{Ruling, differs, fail, pass, skipped};
use crate::query::conformance::bencode::{self, Item};
use crate::query::conformance::{Check, Need, count};
use crate::query::failure::printable;
use crate::query::wire::http::Framing;

/// Header fields from which on some clients give up.
const FIELDS_MAX: usize = 15;

pub(super) const CHECKS: &[Check<Http>] = &[
    Check {
        id: "http.framing.length",
        source: "RFC 9112, libtorrent",
        title: "Content-Length says where the body ends",
        sent: "an announce of the second peer",
        expected: "a Content-Length",
        why: "libtorrent waits for the end of the connection otherwise, for 30 s if need be",
        needs: Need::Served,
        run: length,
    },
    Check {
        id: "http.framing.chunked",
        source: "RFC 9112, small clients",
        title: "The body is not chunked",
        sent: "an announce of the second peer",
        expected: "no Transfer-Encoding",
        why: "small clients take the chunk sizes for bencode; to HTTP/1.0 chunks are forbidden",
        needs: Need::Served,
        run: chunked,
    },
    Check {
        id: "http.framing.fields",
        source: "small clients",
        title: "The head has fewer than 16 fields",
        sent: "an announce of the second peer",
        expected: "at most 15 header fields",
        why: "some clients parse no more, and nobody reads them",
        needs: Need::Served,
        run: fields,
    },
    Check {
        id: "http.body.trailing",
        source: "BEP 3",
        title: "Nothing follows the dictionary",
        sent: "an announce of the second peer",
        expected: "the body ends with its e",
        why: "strict decoders refuse a body with anything behind it, a line end included",
        needs: Need::Served,
        run: trailing,
    },
    Check {
        id: "http.body.sorted",
        source: "BEP 3",
        title: "Keys are sorted and come once",
        sent: "an announce of the second peer",
        expected: "keys in the order of their bytes",
        why: "strict decoders refuse anything else",
        needs: Need::Served,
        run: sorted,
    },
    Check {
        id: "http.body.peers",
        source: "BEP 3, rTorrent, newTrackon",
        title: "peers is there and whole",
        sent: "announces of both peers",
        expected: "peers, even when there is none; 6 bytes for each in the compact form, 18 in peers6",
        why: "rTorrent fails without peers, and WebTorrent when a peer is cut",
        needs: Need::Served,
        run: peers,
    },
    Check {
        id: "http.body.interval",
        source: "BEP 3, libtorrent",
        title: "interval is there and reasonable",
        sent: "an announce of the second peer",
        expected: "300 to 7200 s",
        why: "libtorrent raises less to 300 s; clients vanish from the swarm when it is much more",
        needs: Need::Served,
        run: interval,
    },
    Check {
        id: "http.body.min_interval",
        source: "aria2",
        title: "min interval is there, and at most interval",
        sent: "an announce of the second peer",
        expected: "60 s to interval",
        why: "aria2 announces at min interval: a small one multiplies its load",
        needs: Need::Served,
        run: min_interval,
    },
    Check {
        id: "http.body.counts",
        source: "BEP 3, rTorrent, newTrackon",
        title: "complete and incomplete are there",
        sent: "an announce of the second peer",
        expected: "two numbers that are not negative",
        why: "rTorrent takes them only when both are there; newTrackon asks for them",
        needs: Need::Served,
        run: counts,
    },
    Check {
        id: "http.body.text",
        source: "newTrackon",
        title: "Every other string is text",
        sent: "an announce of the second peer",
        expected: "UTF-8 in all top-level strings but peers, peers6 and external ip",
        why: "newTrackon calls the tracker down otherwise",
        needs: Need::Served,
        run: text,
    },
    Check {
        id: "http.body.external_ip",
        source: "BEP 24",
        title: "external ip is our address",
        sent: "an announce of the second peer",
        expected: "4 or 16 bytes, if it is sent at all",
        why: "clients vote with it on what their address is",
        needs: Need::Served,
        run: external_ip,
    },
];

fn length(http: &mut Http) -> Ruling {
    let Ok(response) = &http.second_answer else {
        return fail("no response");
    };
    match response.framing {
        Framing::Length => pass(count(response.body.len(), "byte")),
        Framing::UntilClose => differs("none; the connection closes behind the body"),
        Framing::Chunked | Framing::None => fail("none"),
    }
}

fn chunked(http: &mut Http) -> Ruling {
    let Ok(response) = &http.second_answer else {
        return fail("no response");
    };
    match response.framing {
        Framing::Chunked => fail("Transfer-Encoding: chunked"),
        _ => pass("no Transfer-Encoding"),
    }
}

fn fields(http: &mut Http) -> Ruling {
    let Ok(response) = &http.second_answer else {
        return fail("no response");
    };
    let came_back = count(response.fields.len(), "field");
    match response.fields.len() {
        0..=FIELDS_MAX => pass(came_back),
        _ => differs(came_back),
    }
}

fn trailing(http: &mut Http) -> Ruling {
    read(http, |_, rest| match rest {
        b"" => pass("nothing"),
        rest => fail(format!("\"{}\"", printable(&rest[..rest.len().min(40)]))),
    })
}

fn sorted(http: &mut Http) -> Ruling {
    read(http, |item, _| match item.misplaced_key() {
        None => pass("in order"),
        Some(misplaced) => fail(misplaced),
    })
}

fn peers(http: &mut Http) -> Ruling {
    for answer in [&http.first_answer, &http.second_answer] {
        let Said::Served(Served { is_ragged, .. }) = Said::read(answer) else {
            continue;
        };
        let content = answer
            .as_ref()
            .ok()
            .and_then(|response| response.content().ok());
        let content = content.unwrap_or_default();
        let has_peers = bencode::read(&content).is_ok_and(|(item, _)| item.get("peers").is_some());
        match (has_peers, is_ragged) {
            (false, _) => return fail("no peers"),
            (true, true) => return fail("a peer is cut"),
            (true, false) => {}
        }
    }
    pass(Said::read(&http.second_answer).to_string())
}

fn interval(http: &mut Http) -> Ruling {
    read(http, |item, _| {
        let Some(interval) = item.get("interval").and_then(Item::integer) else {
            return fail("no interval");
        };
        let came_back = format!("{interval} s");
        match interval {
            300..=7200 => pass(came_back),
            1..=86_400 => differs(came_back),
            _ => fail(came_back),
        }
    })
}

fn min_interval(http: &mut Http) -> Ruling {
    read(http, |item, _| {
        let number = |key| item.get(key).and_then(Item::integer);
        match (number("min interval"), number("interval")) {
            (None, _) => differs("no min interval"),
            (Some(min), Some(interval)) if (60..=interval).contains(&min) => {
                pass(format!("{min} s"))
            }
            (Some(min), _) => differs(format!("{min} s")),
        }
    })
}

fn counts(http: &mut Http) -> Ruling {
    read(http, |item, _| {
        let number = |key| item.get(key).and_then(Item::integer);
        match (number("complete"), number("incomplete")) {
            (Some(complete), Some(incomplete)) => {
                let came_back = format!("{complete} complete, {incomplete} incomplete");
                if complete < 0 || incomplete < 0 {
                    fail(came_back)
                } else {
                    pass(came_back)
                }
            }
            _ => differs("not both of them"),
        }
    })
}

fn text(http: &mut Http) -> Ruling {
    read(http, |item, _| {
        let Item::Dictionary(entries) = item else {
            return fail("no dictionary");
        };
        let binary: [&[u8]; 3] = [b"peers", b"peers6", b"external ip"];
        let odd = entries.iter().find(|(key, value)| {
            let is_text = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
            let is_odd = value.bytes().is_some_and(|bytes| !is_text(bytes));
            !is_text(key) || (is_odd && !binary.contains(key))
        });
        match odd {
            None => pass("all text"),
            Some((key, _)) => fail(format!("{} is not text", printable(key))),
        }
    })
}

fn external_ip(http: &mut Http) -> Ruling {
    let ours = http.address.ip().is_loopback().then_some(http.address.ip());
    read(http, |item, _| {
        let Some(told) = item.get("external ip") else {
            return skipped("it is not sent, and need not be");
        };
        let bytes = told.bytes().unwrap_or_default();
        let told = match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
            (Ok(v4), _) => std::net::IpAddr::from(v4),
            (_, Ok(v6)) => std::net::IpAddr::from(v6),
            _ => return fail(count(bytes.len(), "byte")),
        };
        // Who we are to a tracker that is far away only the tracker knows.
        match ours {
            Some(ours) if ours != told => fail(told.to_string()),
            _ => pass(told.to_string()),
        }
    })
}

fn read(http: &Http, judge: impl Fn(&Item<'_>, &[u8]) -> Ruling) -> Ruling {
    let Ok(response) = &http.second_answer else {
        return fail("no response");
    };
    let Ok(content) = response.content() else {
        return fail("a body that cannot be decompressed");
    };
    match bencode::read(&content) {
        Ok((item, rest)) => judge(&item, rest),
        Err(mistake) => fail(format!("no bencode: {mistake}")),
    }
}
