//! The way there and back, and what hostile texts do on it.

mod control;
mod listeners;
mod random;

use std::ffi::OsString;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::limits::{CORES_MAX, LISTENERS_MAX};

fn load_text(text: &str) -> Result<Config, Mistakes> {
    let environment = [("SHOAL_CONFIG_TOML".into(), text.into())];
    load(None, environment, &[]).map(|loaded| loaded.config)
}

fn load_variables(variables: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let environment = variables
        .iter()
        .map(|&(name, value)| (OsString::from(name), OsString::from(value)));
    load(None, environment, &[]).map(|loaded| loaded.config)
}

/// The sentences about `text`, without the place where it stands.
fn mistakes_in(text: &str) -> Vec<String> {
    let mistakes = load_text(text).expect_err(text);
    let place = |sentence: &String| sentence.replacen("SHOAL_CONFIG_TOML:", "", 1);
    mistakes.sentences().iter().map(place).collect()
}

fn written_down(mut config: Config) -> Config {
    for listener in &mut config.udp {
        listener.required = true;
    }
    for listener in &mut config.http {
        listener.required = true;
    }
    config.control.required = true;
    config
}

#[test]
fn the_printed_defaults_are_the_defaults_written_down() {
    let read = load_text(&Config::default().print()).expect("the defaults are allowed");
    assert_eq!(read, written_down(Config::default()));
}

#[test]
fn every_printed_line_is_ascii_and_fits_the_page() {
    for line in Config::default().print().lines() {
        assert!(line.is_ascii() && line.len() <= 100, "{line}");
        assert_eq!(line, line.trim_end());
    }
}

#[test]
fn nothing_at_all_gives_the_defaults() {
    let none = load(None, [], &[]).expect("no mistakes");
    assert_eq!(none.config, Config::default());
    assert_eq!(none.source, "built-in defaults");
    for empty in ["", "\n", "# nothing\n", "[announce]\n", "\u{feff}"] {
        assert_eq!(load_text(empty).expect(empty), Config::default());
    }
    let Config { udp, http, .. } = Config::default();
    let udp: Vec<String> = udp.iter().map(|udp| udp.listen.to_string()).collect();
    let http: Vec<String> = http.iter().map(|http| http.listen.to_string()).collect();
    assert_eq!(udp, ["0.0.0.0:6969", "[::]:6969"]);
    assert_eq!(http, udp);
}

#[test]
fn every_key_can_be_given_by_its_variable_just_as_it_is_printed() {
    let mut variables = Vec::new();
    let page = Config::default().print();
    let mut section = "";
    for line in page.lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_matches(['[', ']']);
        } else if let Some((key, value)) = line.split_once(" = ")
            && !line.starts_with('#')
            && !["udp", "http"].contains(&section)
        {
            let name = format!("SHOAL_{section}__{key}").to_uppercase();
            variables.push((name, value.to_owned()));
        }
    }
    assert!(variables.len() > 25);
    let mut borrowed: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    borrowed.push(("SHOAL_UDP__LISTEN", "0.0.0.0:6969, [::]:6969"));
    borrowed.push(("SHOAL_HTTP__LISTEN", "0.0.0.0:6969,[::]:6969"));
    let config = load_variables(&borrowed).expect("no mistakes");
    assert_eq!(config, written_down(Config::default()));
}

#[test]
fn keys_that_disagree_are_told_with_the_reason() {
    assert_eq!(
        mistakes_in("[announce]\nnumwant_max = 20"),
        [
            "2: [announce] numwant is 50, more than numwant_max, which is 20; lower numwant or \
          raise numwant_max"
        ]
    );
    assert_eq!(
        mistakes_in("[announce]\npeer_timeout = 900"),
        [
            "2: [announce] peer_timeout is 900, shorter than interval, which is 1800: peers would \
          be forgotten between two announces; raise peer_timeout or lower interval"
        ]
    );
    assert_eq!(
        mistakes_in("[announce]\npeer_timeout = 9000\npeer_expire_factor = 3.0"),
        [
            "3: [announce] peer_expire_factor says what peer_timeout (SHOAL_CONFIG_TOML:2) says \
          too; remove one of them"
        ]
    );
    assert_eq!(
        mistakes_in("[announce]\ninterval = 86400\npeer_expire_factor = 99"),
        [
            "3: [announce] peer_expire_factor makes a peer timeout of 8553600 seconds, but it must \
          be from 2 to 604800; change peer_expire_factor or interval"
        ]
    );
    assert_eq!(
        mistakes_in("[announce]\nmin_interval = 1801"),
        [
            "2: [announce] min_interval is 1801, longer than interval, which is 1800; lower \
          min_interval or raise interval"
        ]
    );
    let merging = "[swarm]\nsimilarity_threshold = 1\nmerge_similar = true";
    assert_eq!(
        mistakes_in(merging),
        [
            "3: [swarm] merge_similar is true, but no info-hashes are similar while \
          similarity_threshold is 1.0; lower similarity_threshold or set merge_similar to false"
        ]
    );
    assert!(load_text(&merging.replace('1', "0.9")).is_ok());
    assert_eq!(
        mistakes_in("[[udp]]\nlisten = \"[::1]:1\"\n[[udp]]\nlisten = \"[0::1]:1\""),
        ["4: [[udp]] listen [::1]:1 is given already (SHOAL_CONFIG_TOML:2); remove one of them"]
    );
    let twice = "[[udp]]\nlisten = \"[::1]:0\"\n".repeat(2);
    assert_eq!(
        load_text(&twice)
            .expect("port 0 is a new one each time")
            .udp
            .len(),
        2
    );
}

#[test]
fn a_key_that_could_not_be_read_disagrees_with_nobody() {
    assert_eq!(
        mistakes_in("[announce]\ninterval = 0\npeer_timeout = 2\n").len(),
        1
    );
    assert_eq!(
        mistakes_in("[announce]\ninterval = 0\nmin_interval = 86400").len(),
        1
    );
    assert_eq!(mistakes_in("[[udp]]\n[[udp]]\n").len(), 2);
    assert_eq!(mistakes_in("[[http]]\n[[http]]\n").len(), 2);
    assert_eq!(
        mistakes_in("[[http]]\nlisten = \"[::]:1\"\nproxy = { header = \"Via\" }").len(),
        1
    );
}

#[test]
fn a_section_in_the_wrong_shape_is_told_how_to_look() {
    assert_eq!(
        mistakes_in("[udp]\nlisten = \"[::]:1\""),
        ["1: udp must be written as [[udp]], not as [udp]"]
    );
    assert_eq!(
        mistakes_in("[[announce]]\ninterval = 1"),
        ["1: announce must be written as [announce], not as a list"]
    );
    assert_eq!(
        mistakes_in("announce = 5\nudp = [5]"),
        [
            "1: announce must be written as [announce], not as 5",
            "2: udp must be written as [[udp]], not as a list that holds 5"
        ]
    );
    assert_eq!(
        mistakes_in("[[udp]]"),
        [
            "1: [[udp]] has no listen; give it an IP address with a port, such as \"0.0.0.0:6969\" \
          or \"[::]:6969\""
        ]
    );
}

#[test]
fn a_key_in_the_wrong_place_is_told_where_it_belongs() {
    assert_eq!(
        mistakes_in("interval = 5\n[scrape]\ninterval = 5"),
        [
            "1: interval stands outside its section; move it below [announce]",
            "3: [scrape] interval is not a known key; it belongs below [announce]"
        ]
    );
}

#[test]
fn addresses_that_could_never_match_are_refused() {
    for value in [
        "external_ip = [\"0.0.0.0\"]",
        "external_ip = [\"::ffff:192.0.2.1\"]",
        "external_ip = [\"224.0.0.1\"]",
        "external_ip = [\"192.0.2.1\", \"192.0.2.2\"]",
        "external_ip = [\"example.org\"]",
        "external_ip = \"192.0.2.1\"",
        "external_ip = [1]",
        "ignore_ip = [\"192.0.2.1/33\"]",
        "ignore_ip = [\"::ffff:192.0.2.0/120\"]",
        "ignore_ip = [\"\"]",
    ] {
        let mistakes = mistakes_in(&format!("[announce]\n{value}"));
        assert_eq!(mistakes.len(), 1, "{value}: {mistakes:?}");
        assert!(mistakes[0].starts_with("2: [announce] "), "{mistakes:?}");
    }
    assert_eq!(
        mistakes_in("[[udp]]\nlisten = \"[::ffff:127.0.0.1]:1\"").len(),
        1
    );
}

#[test]
fn a_size_too_large_for_the_machine_is_refused() {
    for value in [
        "18446744073709551616",
        "\"9 EiB\"",
        "\"1025 TiB\"",
        "-1",
        "1.5",
    ] {
        assert_eq!(
            mistakes_in(&format!("[swarm]\nmemory_budget = {value}")).len(),
            1,
            "{value}"
        );
    }
}

#[test]
fn a_file_full_of_mistakes_is_read_in_good_time() {
    let lines: Vec<String> = (0..60_000).map(|line| format!("x{line} = 1")).collect();
    let text = lines.join("\n");
    let started = std::time::Instant::now();
    assert_eq!(mistakes_in(&text).len(), 60_000);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn a_setting_needs_a_section_a_key_and_a_value() {
    for text in [
        "",
        "interval=5",
        "announce.interval",
        "=",
        "=announce.interval",
    ] {
        assert!(text.parse::<Setting>().is_err(), "{text}");
    }
    let setting: Setting = "announce.interval=900".parse().expect("well formed");
    let loaded = load(None, [], &[setting]).expect("no mistakes");
    assert_eq!(loaded.config.announce.interval, 900);
}

#[test]
fn the_peer_timeout_follows_the_interval_unless_it_is_given() {
    let mut announce = Announce::default();
    assert_eq!(announce.peer_timeout_s(), 3600);
    announce.peer_expire_factor = Some(1.5);
    assert_eq!(announce.peer_timeout_s(), 2700);
    announce.peer_timeout = Some(4000);
    assert_eq!(announce.peer_timeout_s(), 4000);
}

#[test]
fn the_least_interval_follows_the_interval_unless_it_is_given() {
    let mut announce = Announce::default();
    assert_eq!(announce.min_interval_s(), 1500);
    announce.interval = 600;
    assert_eq!(announce.min_interval_s(), 600);
    announce.min_interval = Some(0);
    assert_eq!(announce.min_interval_s(), 0);
    let config = load_text("[announce]\ninterval = 600").expect("min_interval follows");
    assert_eq!(config.announce.min_interval_s(), 600);
}

#[test]
fn what_goes_out_to_clients_has_a_size_and_no_control_characters() {
    for (key, longest) in [("tracker_id", 64), ("warning", 200)] {
        let text = |value: &str| format!("[announce]\n{key} = \"{value}\"");
        assert!(load_text(&text(&"x".repeat(longest))).is_ok());
        for value in [&*"x".repeat(longest + 1), "a\\nb", "\\u0085", "\\u007f"] {
            assert_eq!(mistakes_in(&text(value)).len(), 1, "{key} {value}");
        }
    }
    assert!(load_text("[announce]\nwarning = \"\u{e9}\"").is_ok());
    assert_eq!(mistakes_in("[announce]\ntracker_id = \"\u{e9}\"").len(), 1);
}
