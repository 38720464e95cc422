//! What newTrackon asks every few minutes, and what it makes of the answer.

use super::reply::{Said, Served};
use super::scene::{Http, escape};
use super::{Ruling, differs, fail, pass, skipped};
use crate::query::conformance::bencode::{self, Item};
use crate::query::conformance::{Check, NEWTRACKON_PEERS_MAX, Need};
use crate::query::hash;

pub(super) const CHECKS: &[Check<Http>] = &[
    Check {
        id: "http.newtrackon.up",
        source: "newTrackon",
        title: "newTrackon would say: working",
        sent: "its announce of a random torrent: a seeder on port 6881, form encoding, ipv6=None",
        expected: "200, a dictionary with peers, complete, incomplete and interval, and all strings text",
        why: "most public lists of trackers are made from what newTrackon finds",
        needs: Need::Answers,
        run: up,
    },
    Check {
        id: "http.newtrackon.sane",
        source: "newTrackon",
        title: "newTrackon would find no made-up peers",
        sent: "the same announce",
        expected: "peers, complete and incomplete of a random torrent add up to 10 at most",
        why: "newTrackon calls a tracker down that invents peers",
        needs: Need::Answers,
        run: sane,
    },
];

const FIELDS: &str =
    "User-Agent: qBittorrent/4.3.9\r\nAccept-Encoding: gzip\r\nConnection: close\r\n";

fn up(http: &mut Http) -> Ruling {
    let hash = escape(&hash::random().0, b"-_.", true);
    let hash = String::from_utf8_lossy(&hash).replace("%20", "+");
    let query = format!(
        "info_hash={hash}&peer_id=-qB5230-2Lbx1T6e8YvK&port=6881&uploaded=0&downloaded=0&left=0\
         &compact=1&ipv6=None&ipv4=None"
    );
    let request = http.get(query.as_bytes(), FIELDS);
    let answer = http.ask(&request);
    let said = Said::read(&answer);
    if let Said::Served(_) = said {
        let request = http.get(format!("{query}&event=stopped").as_bytes(), FIELDS);
        // The answer to the probe is what counts.
        let _ = http.ask(&request);
    }
    let ruling = match (&said, demand_unmet(&answer)) {
        (Said::Served(_), None) => pass(said.to_string()),
        (Said::Served(_), Some(unmet)) => fail(format!("{said}; it would say: down, {unmet}")),
        (Said::Refused(_), _) => differs(format!("{said}; it would say: down")),
        _ => fail(format!("{said}; it would say: down")),
    };
    http.probed_by_newtrackon = Some(answer);
    ruling
}

/// What newTrackon asks for and this body has not.
fn demand_unmet(answer: &super::Answer) -> Option<String> {
    let content = answer.as_ref().ok()?.content().ok()?;
    let (item, _) = bencode::read(&content).ok()?;
    let Item::Dictionary(entries) = &item else {
        return Some("it is no dictionary".to_owned());
    };
    let is_number = |key| {
        item.get(key)
            .and_then(Item::integer)
            .is_some_and(|number| number >= 0)
    };
    for key in ["complete", "incomplete", "interval"] {
        if !is_number(key) {
            return Some(format!("{key} is missing or no number"));
        }
    }
    if item.get("peers").is_none() && item.get("peers6").is_none() {
        return Some("peers is missing".to_owned());
    }
    let external = item
        .get("external ip")
        .map(|ip| ip.bytes().map_or(0, <[u8]>::len));
    if external.is_some_and(|len| len != 4 && len != 16) {
        return Some("external ip has another length than an address".to_owned());
    }
    let binary: [&[u8]; 3] = [b"peers", b"peers6", b"external ip"];
    let odd = entries.iter().find(|(key, value)| {
        let is_text = value
            .bytes()
            .is_none_or(|bytes| std::str::from_utf8(bytes).is_ok());
        !is_text && !binary.contains(key)
    });
    odd.map(|(key, _)| format!("{} is not text", key.escape_ascii()))
}

fn sane(http: &mut Http) -> Ruling {
    let said = http.probed_by_newtrackon.as_ref().map(Said::read);
    let Some(Said::Served(Served {
        peers,
        complete,
        incomplete,
        ..
    })) = said
    else {
        return skipped("its announce got no answer that could be counted");
    };
    let number = |number: Option<i64>| u64::try_from(number.unwrap_or(0)).unwrap_or(0);
    let total = (peers.len() as u64)
        .saturating_add(number(complete))
        .saturating_add(number(incomplete));
    let came_back = format!("{total} altogether");
    if total <= NEWTRACKON_PEERS_MAX {
        pass(came_back)
    } else {
        fail(came_back)
    }
}
