//! Scrapes (BEP 48).

use super::reply::Said;
use super::scene::{CLOSE, Http};
use super::{Ruling, differs, fail, pass, skipped};
use crate::query::conformance::bencode::{self, Item};
use crate::query::conformance::{Check, Need, count};
use crate::query::hash;
use crate::wire::InfoHash;

/// As many as Transmission asks for at once.
const MANY: usize = 60;

pub(super) const CHECKS: &[Check<Http>] = &[
    Check {
        id: "http.scrape.unknown",
        source: "BEP 48, libtorrent, rTorrent",
        title: "An unknown torrent has a row of zeros",
        sent: "a scrape of a torrent that nobody has",
        expected: "its row, all zeros",
        why: "libtorrent and rTorrent fail when the row is missing",
        needs: Need::Answers,
        run: unknown,
    },
    Check {
        id: "http.scrape.sorted",
        source: "BEP 3, BEP 48",
        title: "Rows are sorted and come once",
        sent: "a scrape of our torrent twice and of two that nobody has, in descending order",
        expected: "ascending keys, each once",
        why: "they are keys of a dictionary; strict decoders refuse any other order",
        needs: Need::Served,
        run: sorted,
    },
    Check {
        id: "http.scrape.many",
        source: "BEP 48, Transmission",
        title: "60 torrents are scraped at once",
        sent: "a scrape of 60 info-hashes, 4 KB of query",
        expected: "60 rows",
        why: "Transmission asks for that many, in a line of 4 KB",
        needs: Need::Answers,
        run: many,
    },
    Check {
        id: "http.scrape.gzip",
        source: "RFC 9110",
        title: "A large answer is compressed when asked",
        sent: "a scrape of 60 info-hashes with Accept-Encoding: gzip",
        expected: "gzip, shorter than without",
        why: "rows are nearly alike, and most clients can",
        needs: Need::Answers,
        run: gzip,
    },
    Check {
        id: "http.scrape.full",
        source: "BEP 48",
        title: "A scrape of everything is refused",
        sent: "a scrape without info_hash",
        expected: "a failure",
        why: "it tells everybody what everybody else fetches, and is as large as the tracker",
        needs: Need::Answers,
        run: full,
    },
    Check {
        id: "http.scrape.malformed",
        source: "BEP 48",
        title: "A scrape with an info-hash of 19 bytes is refused in words",
        sent: "a scrape with 19 bytes of info_hash",
        expected: "200 and a failure reason",
        why: "whoever wrote it needs to learn why",
        needs: Need::Answers,
        run: malformed,
    },
];

fn unknown(http: &mut Http) -> Ruling {
    let hash = hash::random();
    let said = Said::read(&http.scrape(&[hash], ""));
    match &said {
        Said::Scraped(rows) => match rows.as_slice() {
            [(key, row)] if *key == hash.0 && row.is_zero() => pass(row.to_string()),
            [] => differs("no row"),
            _ => fail(said.to_string()),
        },
        _ => differs(said.to_string()),
    }
}

fn sorted(http: &mut Http) -> Ruling {
    let mut hashes = [
        http.info_hash,
        hash::random(),
        http.info_hash,
        hash::random(),
    ];
    hashes.sort_unstable();
    hashes.reverse();
    let answer = http.scrape(&hashes, "");
    let said = Said::read(&answer);
    let Said::Scraped(_) = said else {
        return differs(said.to_string());
    };
    let content = answer
        .and_then(|response| response.content())
        .unwrap_or_default();
    match bencode::read(&content).map(|(item, _)| item.misplaced_key()) {
        Ok(None) => pass(format!("{said}, in order")),
        Ok(Some(_)) if comes_twice(&content) => fail("one row comes twice"),
        Ok(Some(_)) => fail("rows in another order"),
        Err(mistake) => fail(mistake),
    }
}

fn comes_twice(content: &[u8]) -> bool {
    let Ok((item, _)) = bencode::read(content) else {
        return false;
    };
    match item.get("files") {
        Some(Item::Dictionary(rows)) => rows.windows(2).any(|pair| pair[0].0 == pair[1].0),
        _ => false,
    }
}

fn many(http: &mut Http) -> Ruling {
    let said = Said::read(&http.scrape(&sixty(), ""));
    match &said {
        Said::Scraped(rows) if rows.len() == MANY => pass(said.to_string()),
        Said::Nothing(_) => fail(said.to_string()),
        _ => differs(said.to_string()),
    }
}

fn gzip(http: &mut Http) -> Ruling {
    let answer = http.scrape(&sixty(), "Accept-Encoding: gzip\r\n");
    let said = Said::read(&answer);
    let (Ok(response), Said::Scraped(rows)) = (&answer, &said) else {
        return skipped(format!("there is no such answer: {said}"));
    };
    if rows.is_empty() {
        return skipped("the answer is not large: unknown torrents have no rows");
    }
    let content = response.content().unwrap_or_default();
    let came_back = format!("{} bytes for {}", response.body.len(), content.len());
    match response.field("content-encoding") {
        Some(_) if response.body.len() < content.len() => pass(came_back),
        _ => differs(came_back),
    }
}

/// A body past 1 MiB is a full scrape as well.
fn full(http: &mut Http) -> Ruling {
    let Ok(scrape) = http.target.scrape() else {
        return skipped("the URL has no scrape");
    };
    let request = http.request("GET", scrape.path_and_query().as_bytes(), "1.1", CLOSE);
    let answer = http.ask_malformed(&request);
    let said = Said::read(&answer);
    match (&said, &answer) {
        (Said::Refused(_), _) => pass(said.to_string()),
        (Said::Scraped(rows), _) => {
            differs(format!("{} of whatever there is", count(rows.len(), "row")))
        }
        _ => differs(said.to_string()),
    }
}

fn malformed(http: &mut Http) -> Ruling {
    let Ok(scrape) = http.target.scrape() else {
        return skipped("the URL has no scrape");
    };
    let goal = scrape.path_and_query_with("info_hash=%01%02%03aaaaaaaaaaaaaaaa");
    let request = http.request("GET", goal.as_bytes(), "1.1", CLOSE);
    let said = Said::read(&http.ask_malformed(&request));
    match &said {
        Said::Refused(_) => pass(said.to_string()),
        Said::Scraped(rows) if !rows.is_empty() => fail(said.to_string()),
        _ => differs(said.to_string()),
    }
}

fn sixty() -> Vec<InfoHash> {
    std::iter::repeat_with(hash::random).take(MANY).collect()
}
