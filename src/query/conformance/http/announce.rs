//! Announces as real clients send them, with all they may say.

use super::reply::{Said, Served};
use super::scene::{Announce, Http};
use super::{Ruling, differs, fail, pass, same_torrent, served, skipped};
use crate::query::conformance::{Check, Need, count};

pub(super) const CHECKS: &[Check<Http>] = &[
    Check {
        id: "http.announce.answers",
        source: "BEP 3",
        title: "An announce is served",
        sent: "GET with the keys of libtorrent: started, 1000 bytes left",
        expected: "200 and a dictionary with interval and peers",
        why: "libtorrent and Transmission read no body but that of a 200",
        needs: Need::Nothing,
        run: answers,
    },
    Check {
        id: "http.event.paused",
        source: "BEP 21",
        title: "event=paused is served",
        sent: "an announce with event=paused",
        expected: "a regular answer",
        why: "a partial seed sends it in every announce",
        needs: Need::Served,
        run: |http| variant(http, fail, |announce| announce.event = Some("paused")),
    },
    Check {
        id: "http.event.blank",
        source: "BEP 3",
        title: "event= without a value is served",
        sent: "an announce with event=",
        expected: "a regular answer",
        why: "several clients write the key although nothing happened",
        needs: Need::Served,
        run: |http| variant(http, fail, |announce| announce.event = Some("")),
    },
    Check {
        id: "http.event.empty",
        source: "BEP 3",
        title: "event=empty is served",
        sent: "an announce with event=empty",
        expected: "a regular answer",
        why: "BEP 3 names it as the same as no event",
        needs: Need::Served,
        run: |http| variant(http, fail, |announce| announce.event = Some("empty")),
    },
    Check {
        id: "http.event.unknown",
        source: "BEP 3",
        title: "An unknown event is a regular announce",
        sent: "an announce with event=foo",
        expected: "a regular answer",
        why: "the next client with a new event should not lose its tracker",
        needs: Need::Served,
        run: |http| variant(http, differs, |announce| announce.event = Some("foo")),
    },
    Check {
        id: "http.compact.missing",
        source: "BEP 23",
        title: "Without compact the answer is compact",
        sent: "an announce without compact",
        expected: "a string of 6 bytes for each peer",
        why: "every client reads it, and the other form is ten times as long",
        needs: Need::Meeting,
        run: compact_missing,
    },
    Check {
        id: "http.compact.zero",
        source: "BEP 23, BEP 3",
        title: "compact=0 gets dictionaries",
        sent: "an announce with compact=0",
        expected: "a list of dictionaries; BEP 23 leaves it to the tracker",
        why: "whoever asks for it may be unable to read the other form",
        needs: Need::Meeting,
        run: compact_zero,
    },
    Check {
        id: "http.compact.no_peer_id",
        source: "BEP 23",
        title: "no_peer_id=1 leaves the peer ids out",
        sent: "an announce with compact=0 and no_peer_id=1",
        expected: "dictionaries without peer id",
        why: "the client said that it does not need them",
        needs: Need::Meeting,
        run: no_peer_id,
    },
    Check {
        id: "http.left.missing",
        source: "BEP 3",
        title: "An announce without left is served",
        sent: "an announce without left",
        expected: "a regular answer, as for a leecher",
        why: "BEP 3 asks for the key, but nothing is lost without it",
        needs: Need::Served,
        run: |http| variant(http, differs, |announce| announce.left = None),
    },
    Check {
        id: "http.left.huge",
        source: "BEP 3, Transmission",
        title: "A left past 63 bits is served",
        sent: "an announce with left=18446744073709551615",
        expected: "a regular answer, as for a leecher",
        why: "clients write a huge number as long as they do not know the size",
        needs: Need::Served,
        run: |http| {
            variant(http, fail, |announce| {
                announce.left = Some("18446744073709551615");
            })
        },
    },
    Check {
        id: "http.totals.missing",
        source: "BEP 3",
        title: "An announce without uploaded and downloaded is served",
        sent: "an announce with info_hash, peer_id, port and left only",
        expected: "a regular answer",
        why: "a tracker needs neither",
        needs: Need::Served,
        run: totals_missing,
    },
    Check {
        id: "http.numwant.zero",
        source: "BEP 3",
        title: "numwant=0 gets no peers",
        sent: "an announce with numwant=0 while another peer is there",
        expected: "no peer",
        why: "a client that has enough peers says so, and the bytes are the tracker's",
        needs: Need::Meeting,
        run: |http| {
            wanting(
                http,
                "0",
                fail,
                |peers| if peers == 0 { pass } else { differs },
            )
        },
    },
    Check {
        id: "http.numwant.negative",
        source: "BEP 3",
        title: "numwant=-1 gets as many as by default",
        sent: "an announce with numwant=-1 while another peer is there",
        expected: "the other peer",
        why: "-1 is the default of UDP, and clients share the code",
        needs: Need::Meeting,
        run: |http| {
            wanting(
                http,
                "-1",
                differs,
                |peers| if peers > 0 { pass } else { differs },
            )
        },
    },
    Check {
        id: "http.numwant.huge",
        source: "BEP 3",
        title: "numwant=99999999999 is served",
        sent: "an announce with a numwant past 32 bits",
        expected: "the other peer",
        why: "a number past the tracker's limit asks for that limit",
        needs: Need::Meeting,
        run: |http| {
            wanting(http, "99999999999", differs, |peers| {
                if peers > 0 { pass } else { differs }
            })
        },
    },
    Check {
        id: "http.numwant.one",
        source: "BEP 3",
        title: "numwant=1 gets one peer",
        sent: "an announce with numwant=1 while two others are there",
        expected: "one peer",
        why: "numwant is the most that a client takes",
        needs: Need::Meeting,
        run: one,
    },
    Check {
        id: "http.gzip.unasked",
        source: "RFC 9110",
        title: "Nothing is compressed unasked",
        sent: "an announce without Accept-Encoding",
        expected: "no Content-Encoding",
        why: "small clients cannot decompress",
        needs: Need::Answers,
        run: gzip_unasked,
    },
    Check {
        id: "http.gzip.small",
        source: "RFC 9110",
        title: "A small answer does not grow by compression",
        sent: "an announce with Accept-Encoding: gzip",
        expected: "as it is, or compressed and shorter",
        why: "gzip adds 18 bytes to what cannot be compressed, and work to all",
        needs: Need::Served,
        run: gzip_small,
    },
];

fn answers(http: &mut Http) -> Ruling {
    let said = Said::read(&http.first_answer);
    match said {
        Said::Served(_) => pass(said.to_string()),
        Said::Refused(_) => differs(format!("{said}; it serves only what it knows")),
        _ => fail(said.to_string()),
    }
}

/// The second peer announces with a change, and should be served as ever.
fn variant(http: &mut Http, otherwise: fn(String) -> Ruling, change: fn(&mut Announce)) -> Ruling {
    let mut announce = http.second_again();
    change(&mut announce);
    let answer = http.announce(&announce);
    served(&answer, otherwise)
}

fn compact_missing(http: &mut Http) -> Ruling {
    let announce = Announce {
        compact: None,
        ..http.second_again()
    };
    let said = http.said(&announce);
    match &said {
        Said::Served(Served { is_list: true, .. }) => differs(said.to_string()),
        _ => same_torrent(http, &said, fail),
    }
}

fn compact_zero(http: &mut Http) -> Ruling {
    let announce = Announce {
        compact: Some("0"),
        ..http.second_again()
    };
    let said = http.said(&announce);
    match &said {
        Said::Served(Served { is_list: true, .. }) => same_torrent(http, &said, fail),
        Said::Served(_) | Said::Refused(_) | Said::Status(..) => differs(said.to_string()),
        _ => fail(said.to_string()),
    }
}

fn no_peer_id(http: &mut Http) -> Ruling {
    let announce = Announce {
        compact: Some("0"),
        more: "&no_peer_id=1".to_owned(),
        ..http.second_again()
    };
    match http.said(&announce) {
        Said::Served(Served {
            is_list: true,
            peer_ids: 0,
            ..
        }) => pass("none of them has one"),
        Said::Served(Served {
            is_list: true,
            peer_ids,
            ..
        }) => differs(format!("{} with a peer id", count(peer_ids, "peer"))),
        _ => skipped("there are no dictionaries to be had"),
    }
}

fn totals_missing(http: &mut Http) -> Ruling {
    let query = http.second_again().query();
    let text = String::from_utf8_lossy(&query).replace("&uploaded=0&downloaded=0", "");
    let request = http.get(text.as_bytes(), super::scene::CLOSE);
    let answer = http.ask(&request);
    served(&answer, differs)
}

/// The second peer wants so many; how many it gets is judged.
fn wanting(
    http: &mut Http,
    number: &'static str,
    otherwise: fn(String) -> Ruling,
    judge: fn(usize) -> fn(String) -> Ruling,
) -> Ruling {
    let announce = Announce {
        num_want: Some(number),
        ..http.second_again()
    };
    match http.said(&announce) {
        Said::Served(served) => judge(served.peers.len())(count(served.peers.len(), "peer")),
        said => otherwise(said.to_string()),
    }
}

fn one(http: &mut Http) -> Ruling {
    let third = http.peer(2);
    http.said(&third);
    let ruling = wanting(
        http,
        "1",
        fail,
        |peers| if peers == 1 { pass } else { differs },
    );
    http.stop(&third);
    ruling
}

fn gzip_unasked(http: &mut Http) -> Ruling {
    let Ok(response) = &http.first_answer else {
        return skipped("no answer");
    };
    match response.field_text("content-encoding") {
        None => pass("no Content-Encoding"),
        Some(encoding) if encoding == "identity" => pass("identity"),
        Some(encoding) => fail(encoding),
    }
}

fn gzip_small(http: &mut Http) -> Ruling {
    let query = http.second_again().query();
    let request = http.get(&query, "Accept-Encoding: gzip\r\nConnection: close\r\n");
    let answer = http.ask(&request);
    let Ok(response) = &answer else {
        return fail(Said::read(&answer).to_string());
    };
    let Ok(content) = response.content() else {
        return fail("it cannot be decompressed");
    };
    let came_back = format!("{} bytes for {}", response.body.len(), content.len());
    match response.field("content-encoding") {
        None => pass(came_back),
        Some(_) if response.body.len() < content.len() => pass(came_back),
        Some(_) => differs(came_back),
    }
}
