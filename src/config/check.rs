//! What several keys must agree on.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Config;
use super::place::Given;
use super::schema::PEER_TIMEOUT_S;
use crate::limits::LISTENERS_MAX;

/// One sentence for each disagreement in `config`. What is at fault is looked up in `given`; keys
/// that could not be read there are left alone, because they hold no value to compare.
pub(super) fn check(config: &Config, given: &Given) -> Vec<String> {
    let mut mistakes = Vec::new();
    mistakes.extend(numwant(config, given));
    mistakes.extend(peer_timeout(config, given));
    mistakes.extend(listener_count(config, given));
    mistakes.extend(listeners_twice(config, given));
    mistakes
}

fn numwant(config: &Config, given: &Given) -> Option<String> {
    let (numwant, most) = (config.announce.numwant, config.announce.numwant_max);
    if numwant <= most || !given.all_read("announce", &["numwant", "numwant_max"]) {
        return None;
    }
    let place = given.place("announce", &["numwant", "numwant_max"]);
    Some(format!(
        "{place}: [announce] numwant is {numwant}, more than numwant_max, which is {most}; lower \
         numwant or raise numwant_max"
    ))
}

fn peer_timeout(config: &Config, given: &Given) -> Option<String> {
    const KEYS: [&str; 3] = ["peer_timeout", "peer_expire_factor", "interval"];
    let announce = &config.announce;
    if !given.all_read("announce", &KEYS) {
        return None;
    }
    if announce.peer_timeout.is_some() && announce.peer_expire_factor.is_some() {
        let place = given.place("announce", &["peer_expire_factor"]);
        let other = given.place("announce", &["peer_timeout"]);
        return Some(format!(
            "{place}: [announce] peer_expire_factor says what peer_timeout ({other}) says too; \
             remove one of them"
        ));
    }
    let place = given.place("announce", &KEYS);
    let (seconds, interval) = (announce.peer_timeout_s(), announce.interval);
    if seconds < interval {
        return Some(format!(
            "{place}: [announce] peer_timeout is {seconds}, shorter than interval, which is \
             {interval}: peers would be forgotten between two announces; raise peer_timeout or \
             lower interval"
        ));
    }
    let (least, most) = PEER_TIMEOUT_S;
    if !(least..=most).contains(&seconds.into()) {
        return Some(format!(
            "{place}: [announce] peer_expire_factor makes a peer timeout of {seconds} seconds, but \
             it must be from {least} to {most}; change peer_expire_factor or interval"
        ));
    }
    None
}

fn listener_count(config: &Config, given: &Given) -> Option<String> {
    let count = config.udp.len();
    if (1..=LISTENERS_MAX).contains(&count) {
        return None;
    }
    let first_too_many = count.min(LISTENERS_MAX);
    let place = given.row_place("udp", "listen", first_too_many);
    Some(format!(
        "{place}: [[udp]] must be given from 1 to {LISTENERS_MAX} times, not {count}"
    ))
}

fn listeners_twice(config: &Config, given: &Given) -> Vec<String> {
    let mut seen: BTreeMap<SocketAddr, usize> = BTreeMap::new();
    let mut mistakes = Vec::new();
    for (row, listener) in config.udp.iter().enumerate() {
        // The kernel chooses another port for every 0.
        if listener.listen.port() == 0 || !given.was_read("udp", "listen", row) {
            continue;
        }
        let Some(first) = seen.insert(listener.listen, row) else {
            continue;
        };
        let (place, other) = (
            given.row_place("udp", "listen", row),
            given.row_place("udp", "listen", first),
        );
        mistakes.push(format!(
            "{place}: [[udp]] listen {} is given already ({other}); remove one of them",
            listener.listen
        ));
    }
    mistakes
}
