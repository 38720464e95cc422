//! The way there and back, and what hostile texts do on it.

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
    config
}

fn random_v4(rng: &mut fastrand::Rng) -> IpAddr {
    Ipv4Addr::from(rng.u32(0x0100_0000..0xe000_0000)).into()
}

fn random_v6(rng: &mut fastrand::Rng) -> IpAddr {
    Ipv6Addr::from(rng.u128(1 << 125..1 << 126)).into()
}

fn random_config(rng: &mut fastrand::Rng) -> Config {
    let interval = rng.u32(1..=86_400);
    let numwant_max = rng.u32(1..=200);
    let (peer_timeout, peer_expire_factor) = match rng.u8(0..3) {
        0 => (None, None),
        1 => (Some(rng.u32(interval.max(2)..=604_800)), None),
        _ => (None, Some(2.0 + 5.0 * rng.f64())),
    };
    let mut external_ip = Vec::new();
    if rng.bool() {
        external_ip.push(random_v4(rng));
    }
    if rng.bool() {
        external_ip.push(random_v6(rng));
    }
    rng.shuffle(&mut external_ip);
    let listener = |port: usize, rng: &mut fastrand::Rng| UdpListener {
        listen: SocketAddr::new(
            if rng.bool() {
                random_v4(rng)
            } else {
                random_v6(rng)
            },
            port as u16,
        ),
        required: true,
    };
    let network = |rng: &mut fastrand::Rng| {
        let (address, bits) = if rng.bool() {
            (random_v4(rng), rng.u8(0..=32))
        } else {
            (random_v6(rng), rng.u8(0..=128))
        };
        let network = IpNet::new(address, bits).expect("no more bits than the address has");
        network.trunc()
    };
    Config {
        workers: Workers {
            count: rng.usize(0..=CORES_MAX),
            pin: rng.bool(),
            backend: [Backend::Auto, Backend::IoUring, Backend::Mmsg][rng.usize(0..3)],
            steering: rng.bool(),
            prefetch: rng.bool(),
            receive_buffer: rng.u64(0..=1 << 30) >> rng.u32(0..31),
            user: (0..rng.usize(0..20))
                .map(|_| {
                    ['a', 'Z', '-', '_', '9', '"', '\\', '\'', '#', '\u{e9}'][rng.usize(0..10)]
                })
                .collect(),
        },
        udp: (0..rng.usize(1..=LISTENERS_MAX))
            .map(|port| listener(port, rng))
            .collect(),
        announce: Announce {
            interval,
            numwant: rng.u32(0..=numwant_max),
            numwant_max,
            peer_timeout,
            peer_expire_factor,
            external_ip,
            allow_private_peers: rng.bool(),
            ignore_ip: (0..rng.usize(0..9)).map(|_| network(rng)).collect(),
        },
        scrape: Scrape {
            max_hashes: rng.usize(1..=74),
        },
        swarm: Swarm {
            memory_budget: rng.u64(0..=1 << 50) >> rng.u32(0..51) << rng.u32(0..10),
            remove_peerless: rng.bool(),
        },
        access: Access {
            connection_id_lifetime: rng.u32(60..=7200),
        },
        store: Store {
            path: ["", "shoal-data", "/var/lib/\"shoal\"", "a b\t\u{e9}"][rng.usize(0..4)]
                .to_owned(),
        },
        log: Log {
            level: [LevelFilter::Off, LevelFilter::Warn, LevelFilter::Trace][rng.usize(0..3)],
            stats_interval: rng.u32(0..=86_400),
        },
    }
}

#[test]
fn what_is_printed_reads_back_as_the_same_configuration() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..300 {
        let mut config = random_config(&mut rng);
        config.swarm.memory_budget = config.swarm.memory_budget.min(1 << 50);
        let page = config.print();
        match load_text(&page) {
            Ok(read) => assert_eq!(read, config, "{page}"),
            Err(mistakes) => panic!("{mistakes}\n{page}"),
        }
    }
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
    let listeners: Vec<String> = Config::default()
        .udp
        .iter()
        .map(|listener| listener.listen.to_string())
        .collect();
    assert_eq!(listeners, ["0.0.0.0:6969", "[::]:6969"]);
}

#[test]
fn a_listener_of_a_file_is_required_and_replaces_the_defaults() {
    let config = load_text("[[udp]]\nlisten = \"127.0.0.1:0\"\n").expect("no mistakes");
    assert_eq!(
        config.udp,
        [UdpListener {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            required: true,
        }]
    );
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
            && section != "udp"
        {
            let name = format!("SHOAL_{section}__{key}").to_uppercase();
            variables.push((name, value.to_owned()));
        }
    }
    assert!(variables.len() > 15);
    let mut borrowed: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    borrowed.push(("SHOAL_UDP__LISTEN", "0.0.0.0:6969, [::]:6969"));
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
    assert_eq!(mistakes_in("[[udp]]\n[[udp]]\n").len(), 2);
}

#[test]
fn there_is_at_least_one_listener_and_not_more_than_the_limit() {
    assert_eq!(
        mistakes_in("udp = []"),
        ["1: [[udp]] must be given from 1 to 64 times, not 0"]
    );
    let many = |count: usize| "[[udp]]\nlisten = \"[::1]:0\"\n".repeat(count);
    assert!(load_text(&many(LISTENERS_MAX)).is_ok());
    assert_eq!(
        mistakes_in(&many(LISTENERS_MAX + 1)),
        ["130: [[udp]] must be given from 1 to 64 times, not 65"]
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
fn no_text_however_mangled_brings_the_reader_down() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let page: Vec<u8> = random_config(&mut rng)
        .print()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect::<Vec<_>>()
        .join("\n")
        .into_bytes();
    for _ in 0..3000 {
        let mut mangled = page.clone();
        for _ in 0..rng.usize(1..6) {
            let at = rng.usize(0..mangled.len());
            match rng.u8(0..4) {
                0 => mangled[at] = rng.u8(..),
                1 => drop(mangled.remove(at)),
                2 => mangled.insert(at, b"[]\"'=.,#\n-9{}"[rng.usize(0..13)]),
                _ => mangled.truncate(mangled.len() - rng.usize(0..mangled.len() / 8)),
            }
        }
        let mangled = String::from_utf8_lossy(&mangled);
        if let Err(mistakes) = load_text(&mangled) {
            for sentence in mistakes.sentences() {
                assert!(!sentence.contains(char::is_control), "{sentence:?}");
                assert!(sentence.len() < 600, "{sentence}");
            }
        }
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
