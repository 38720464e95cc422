//! Configurations and texts that nobody would think of.

use ::log::LevelFilter;

use super::*;
use crate::gate::access::{Deny, Mode};

fn random_v4(rng: &mut fastrand::Rng) -> IpAddr {
    Ipv4Addr::from(rng.u32(0x0100_0000..0xe000_0000)).into()
}

fn random_v6(rng: &mut fastrand::Rng) -> IpAddr {
    Ipv6Addr::from(rng.u128(1 << 125..1 << 126)).into()
}

fn random_network(rng: &mut fastrand::Rng) -> IpNet {
    let (address, bits) = if rng.bool() {
        (random_v4(rng), rng.u8(0..=32))
    } else {
        (random_v6(rng), rng.u8(0..=128))
    };
    let network = IpNet::new(address, bits).expect("no more bits than the address has");
    network.trunc()
}

fn random_address(port: usize, rng: &mut fastrand::Rng) -> SocketAddr {
    let address = if rng.bool() {
        random_v4(rng)
    } else {
        random_v6(rng)
    };
    SocketAddr::new(address, port as u16)
}

/// One of `odd`, which are hard to write in TOML.
fn odd_text(odd: &[&str], rng: &mut fastrand::Rng) -> String {
    odd[rng.usize(0..odd.len())].to_owned()
}

fn random_http(port: usize, rng: &mut fastrand::Rng) -> HttpListener {
    let listen = if rng.u8(0..4) > 0 {
        HttpAddress::Tcp(random_address(port, rng))
    } else {
        HttpAddress::Unix(format!("/run/\"{port}\" \\#\u{e9}").into())
    };
    let files = ["fullchain.pem", "/etc/\"a\" {b}", "a, b\t\u{e9}"];
    let proxy_protocol = rng.bool();
    let headers = [
        Some(ProxyHeader::XForwardedFor),
        Some(ProxyHeader::XRealIp),
        Some(ProxyHeader::Forwarded),
        None,
    ];
    HttpListener {
        listen,
        required: true,
        tls: rng.bool().then(|| TlsFiles {
            certificate: odd_text(&files, rng).into(),
            private_key: odd_text(&files, rng).into(),
        }),
        redirect_to: rng.bool().then(|| format!("https://[::1]:{}", port + 1)),
        proxy: rng.bool().then(|| Proxy {
            header: headers[rng.usize(0..if proxy_protocol { 4 } else { 3 })],
            trusted: (0..rng.usize(0..4)).map(|_| random_network(rng)).collect(),
        }),
        proxy_protocol,
    }
}

fn random_access(rng: &mut fastrand::Rng) -> Access {
    let paths = ["", "/etc/\"a\" {b}", "a, b\t\u{e9}"];
    Access {
        connection_id_lifetime: rng.u32(60..=7200),
        mode: Mode::ALL[rng.usize(..Mode::ALL.len())],
        key_parameter: ["", "key", "a.b-C_9"][rng.usize(..3)].to_owned(),
        allowlist: odd_text(&paths, rng),
        blocklist: odd_text(&paths, rng),
        ip_blocklist: odd_text(&paths, rng),
        client_blocklist: (0..rng.usize(0..3))
            .map(|_| odd_text(&["-XL", "\"", "a, b"], rng))
            .collect(),
        deny: if rng.bool() { Deny::Soft } else { Deny::Error },
        publish_blocklist: rng.bool(),
    }
}

fn random_secrets(secrets: &[&str], rng: &mut fastrand::Rng) -> Secrets {
    let names = ["admin", "a", "A-Z_09", "5"];
    (0..rng.usize(0..4))
        .map(|_| {
            let name = names[rng.usize(0..names.len())].to_owned();
            (name, Secret::new(&odd_text(secrets, rng)))
        })
        .collect()
}

fn random_control(rng: &mut fastrand::Rng) -> Control {
    let files = ["fullchain.pem", "/etc/\"a\" {b}", "a, b\t\u{e9}"];
    Control {
        listen: rng.bool().then(|| random_address(rng.usize(..65_536), rng)),
        required: true,
        tls: rng.bool().then(|| TlsFiles {
            certificate: odd_text(&files, rng).into(),
            private_key: odd_text(&files, rng).into(),
        }),
        public_stats: rng.bool(),
        run_gc_key: Secret::new(&odd_text(&["", "sweep_-09AZ"], rng)),
        tokens: random_secrets(&["MyAccessToken", "'\"\\#[]{}=", "~~~~~~~~"], rng),
        users: random_secrets(
            &["$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+/"],
            rng,
        ),
    }
}

fn random_swarm(rng: &mut fastrand::Rng) -> Swarm {
    let similarity_threshold = if rng.bool() { 1.0 } else { rng.f64() };
    Swarm {
        memory_budget: rng.u64(0..=1 << 50) >> rng.u32(0..51) << rng.u32(0..10),
        remove_peerless: rng.bool(),
        peer_details: rng.bool(),
        similarity_threshold,
        merge_similar: similarity_threshold < 1.0 && rng.bool(),
    }
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
    let udp = |port: usize, rng: &mut fastrand::Rng| UdpListener {
        listen: random_address(port, rng),
        required: true,
    };
    // Each list may be empty, but not both.
    let (udp_count, http_count) = match rng.u8(0..4) {
        0 => (0, rng.usize(1..=LISTENERS_MAX)),
        1 => (rng.usize(1..=LISTENERS_MAX), 0),
        _ => (rng.usize(1..9), rng.usize(1..9)),
    };
    Config {
        workers: Workers {
            count: rng.usize(0..=CORES_MAX),
            pin: rng.bool(),
            backend: [Backend::Auto, Backend::IoUring, Backend::Mmsg][rng.usize(0..3)],
            steering: rng.bool(),
            prefetch: rng.bool(),
            http_threads: rng.usize(0..=CORES_MAX),
            receive_buffer: rng.u64(0..=1 << 30) >> rng.u32(0..31),
            user: (0..rng.usize(0..20))
                .map(|_| {
                    ['a', 'Z', '-', '_', '9', '"', '\\', '\'', '#', '\u{e9}'][rng.usize(0..10)]
                })
                .collect(),
        },
        udp: (0..udp_count).map(|port| udp(port, rng)).collect(),
        http: (0..http_count).map(|port| random_http(port, rng)).collect(),
        connections: Connections {
            max: rng.usize(16..=1_000_000),
            idle_timeout: rng.u32(1..=3600),
            request_timeout: rng.u32(1..=300),
        },
        announce: Announce {
            interval,
            min_interval: rng.bool().then(|| rng.u32(0..=interval)),
            numwant: rng.u32(0..=numwant_max),
            numwant_max,
            peer_timeout,
            peer_expire_factor,
            external_ip,
            allow_private_peers: rng.bool(),
            ignore_ip: (0..rng.usize(0..9)).map(|_| random_network(rng)).collect(),
            tracker_id: odd_text(&["", "a \"b\" \\ ~", "'#[]{}="], rng),
            warning: odd_text(&["", "moves to \"b\" soon, \u{e9}\u{1f600} \\", "#"], rng),
            tell_external_ip: rng.bool(),
            v4_mapped: rng.bool(),
        },
        scrape: Scrape {
            max_hashes: rng.usize(1..=74),
            full: rng.bool(),
            min_request_interval: rng.u32(0..=86_400),
            downloaders: rng.bool(),
        },
        swarm: random_swarm(rng),
        flood: Flood {
            busy_from: rng.u32(0..=10_000_000),
            sieve_from: rng.u32(0..=10_000_000),
            per_source: rng.u32(0..=1_000_000),
            per_network: rng.u32(0..=1_000_000),
            burst_s: rng.u32(1..=60),
            new_torrents: rng.u32(0..=60_000),
        },
        access: random_access(rng),
        control: random_control(rng),
        store: Store {
            path: odd_text(
                // Some modes need a place for their lists.
                &["shoal-data", "/var/lib/\"shoal\"", "a b\t\u{e9}"],
                rng,
            ),
            snapshot_interval: rng.u32(0..=86_400),
            keep_peers: rng.bool(),
            on_damage: [OnDamage::SetAside, OnDamage::Refuse][rng.usize(0..2)],
        },
        log: random_log(rng),
        sandbox: Sandbox {
            system_calls: rng.bool(),
            files: rng.bool(),
            core_dumps: rng.bool(),
        },
    }
}

fn random_log(rng: &mut fastrand::Rng) -> Log {
    Log {
        level: random_levels(rng),
        format: [LogFormat::Text, LogFormat::Json][rng.usize(0..2)],
        file: odd_text(&["", "shoal.log", "/var/log/\"shoal\"/log"], rng),
        max_bytes: rng.u64(0..=1 << 40) >> rng.u32(0..41),
        backup_count: rng.usize(1..=1000),
        full_addresses: rng.bool(),
        stats_interval: rng.u32(0..=86_400),
    }
}

fn random_levels(rng: &mut fastrand::Rng) -> Levels {
    let levels = [LevelFilter::Off, LevelFilter::Warn, LevelFilter::Trace];
    let mut modules = vec!["shoal", "shoal::http", "rustls"];
    modules.truncate(rng.usize(0..=3));
    let level_of = |module: &str| (module.to_owned(), levels[rng.usize(0..3)]);
    Levels {
        modules: modules.into_iter().map(level_of).collect(),
        others: levels[rng.usize(0..3)],
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
