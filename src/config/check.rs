//! What several keys must agree on.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::place::Given;
use super::schema::PEER_TIMEOUT_S;
use super::{Config, HttpAddress};
use crate::gate::access::Mode;
use crate::limits::LISTENERS_MAX;

/// One sentence for each disagreement in `config`. What is at fault is looked up in `given`; keys
/// that could not be read there are left alone, because they hold no value to compare.
pub(super) fn check(config: &Config, given: &Given) -> Vec<String> {
    let mut mistakes = Vec::new();
    mistakes.extend(numwant(config, given));
    mistakes.extend(peer_timeout(config, given));
    mistakes.extend(min_interval(config, given));
    mistakes.extend(lists(config, given));
    mistakes.extend(nothing_to_merge(config, given));
    mistakes.extend(no_listener(config, given));
    mistakes.extend(too_many("udp", config.udp.len(), given));
    mistakes.extend(too_many("http", config.http.len(), given));
    // The kernel chooses another port for every 0.
    let udp = config.udp.iter().map(|listener| {
        let listen = listener.listen;
        (listen.port() != 0).then_some(listen)
    });
    mistakes.extend(twice("udp", udp, given));
    let http = config.http.iter().map(|listener| {
        let any_port = matches!(listener.listen, HttpAddress::Tcp(listen) if listen.port() == 0);
        (!any_port).then_some(&listener.listen)
    });
    mistakes.extend(twice("http", http, given));
    mistakes.extend(idle_proxies(config, given));
    mistakes.extend(half_a_certificate(config, given));
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

fn lists(config: &Config, given: &Given) -> Option<String> {
    const KEYS: [&str; 2] = ["mode", "allowlist"];
    let mode = config.access.mode;
    let from_file = mode == Mode::Listed && !config.access.allowlist.is_empty();
    if mode == Mode::Public
        || from_file
        || !config.store.path.is_empty()
        || !given.all_read("access", &KEYS)
        || !given.all_read("store", &["path"])
    {
        return None;
    }
    let place = given.place("access", &KEYS);
    let missing = if mode.is_private() {
        "keys"
    } else {
        "the allowlist"
    };
    Some(format!(
        "{place}: [access] mode is \"{}\", but without a [store] path there is nowhere to keep {missing}, \
         so nobody would be served; give [store] a path",
        mode.name()
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

fn min_interval(config: &Config, given: &Given) -> Option<String> {
    const KEYS: [&str; 2] = ["min_interval", "interval"];
    let (least, interval) = (config.announce.min_interval_s(), config.announce.interval);
    if least <= interval || !given.all_read("announce", &KEYS) {
        return None;
    }
    let place = given.place("announce", &KEYS);
    Some(format!(
        "{place}: [announce] min_interval is {least}, longer than interval, which is {interval}; \
         lower min_interval or raise interval"
    ))
}

fn nothing_to_merge(config: &Config, given: &Given) -> Option<String> {
    const KEYS: [&str; 2] = ["merge_similar", "similarity_threshold"];
    let off = config.swarm.similarity_threshold >= 1.0;
    if !config.swarm.merge_similar || !off || !given.all_read("swarm", &KEYS) {
        return None;
    }
    let place = given.place("swarm", &KEYS);
    Some(format!(
        "{place}: [swarm] merge_similar is true, but no info-hashes are similar while \
         similarity_threshold is 1.0; lower similarity_threshold or set merge_similar to false"
    ))
}

fn no_listener(config: &Config, given: &Given) -> Option<String> {
    if !config.udp.is_empty() || !config.http.is_empty() {
        return None;
    }
    let place = given.row_place("udp", "listen", 0);
    let other = given.row_place("http", "listen", 0);
    Some(format!(
        "{place}: there is nothing to listen on, because [[http]] is empty too ({other}); give one \
         of [[udp]] and [[http]] a listener"
    ))
}

fn too_many(section: &'static str, count: usize, given: &Given) -> Option<String> {
    if count <= LISTENERS_MAX {
        return None;
    }
    let place = given.row_place(section, "listen", LISTENERS_MAX);
    Some(format!(
        "{place}: [[{section}]] must be given at most {LISTENERS_MAX} times, not {count}"
    ))
}

/// Each row of `addresses` that another row holds already; `None` is like no other.
fn twice<T: Ord + Display>(
    section: &'static str,
    addresses: impl Iterator<Item = Option<T>>,
    given: &Given,
) -> Vec<String> {
    let mut seen: BTreeMap<T, usize> = BTreeMap::new();
    let mut mistakes = Vec::new();
    for (row, address) in addresses.enumerate() {
        let Some(address) = address.filter(|_| given.was_read(section, "listen", row)) else {
            continue;
        };
        let Some(first) = seen.get(&address) else {
            seen.insert(address, row);
            continue;
        };
        let (place, other) = (
            given.row_place(section, "listen", row),
            given.row_place(section, "listen", *first),
        );
        mistakes.push(format!(
            "{place}: [[{section}]] listen {address} is given already ({other}); remove one of them"
        ));
    }
    mistakes
}

/// What the environment or the command line left out of `tls` of `[control]`.
fn half_a_certificate(config: &Config, given: &Given) -> Option<String> {
    const KEYS: [&str; 2] = ["certificate", "private_key"];
    let tls = config.control.tls.as_ref()?;
    let files = [&tls.certificate, &tls.private_key];
    let missing = files.iter().position(|file| file.as_os_str().is_empty())?;
    if !given.all_read("control", &KEYS) {
        return None;
    }
    let place = given.place("control", &KEYS);
    let (has, lacks) = (KEYS[1 - missing], KEYS[missing]);
    Some(format!(
        "{place}: [control] tls has {has} but no {lacks}; give it both or none"
    ))
}

/// Each `proxy` that could say nothing.
fn idle_proxies(config: &Config, given: &Given) -> Vec<String> {
    let rows = config.http.iter().enumerate();
    rows.filter(|(row, listener)| {
        let proxy = listener.proxy.as_ref();
        proxy.is_some_and(|proxy| proxy.header.is_none())
            && !listener.proxy_protocol
            && given.was_read("http", "proxy", *row)
            && given.was_read("http", "proxy_protocol", *row)
    })
    .map(|(row, _)| {
        let place = given.row_place("http", "proxy", row);
        format!(
            "{place}: [[http]] proxy has no header, and proxy_protocol is not true, so that \
             nothing would name the clients; give it one of them"
        )
    })
    .collect()
}
