//! Who asks too often is turned away, nobody else is, and it passes.

mod api;
mod http;
mod in_process;
mod logged_in;

use std::net::IpAddr;

use api::{Api, json};
use http::{Browser, announce, escaped, http_config, scrape};
use in_process::{Announce, BACKENDS, Client, Server, config};
use logged_in::{LoggedIn, add_user};
use shoal::config::{Config, Flood};
use shoal::counters::{Count, Discard, Family, Fault, Kind, Protocol, Tally};

const LOUD: [u8; 4] = [127, 0, 0, 2];
const QUIET: [u8; 4] = [127, 0, 0, 3];
const HASH: [u8; 20] = [7; 20];

/// Ten requests a second and a burst of forty, of whoever asks.
const STRICT: Flood = Flood {
    busy_from: 0,
    per_source: 10,
    per_network: 0,
    burst_s: 4,
    new_torrents: 0,
    sieve_from: 0,
};

fn udp(backend: shoal::config::Backend, flood: Flood) -> Config {
    let mut config = config();
    config.workers.backend = backend;
    config.flood = flood;
    config
}

fn at(server: &Server, address: [u8; 4]) -> Client {
    Client::at(IpAddr::from(address), server.address())
}

fn answered(server: &Server) -> u64 {
    server.count(Count::Answered(Protocol::Udp, Family::Ip4, Kind::Announce))
}

/// Sends so many announces and tells how many of them were answered.
fn ask(server: &Server, client: &Client, id: [u8; 8], times: u64, drop: Discard) -> u64 {
    let dropped = || server.count(Count::Discarded(drop));
    let before = (answered(server), dropped());
    for _ in 0..times {
        client.send(&Announce::leecher(HASH, 1).to_bytes(id));
    }
    server.wait_until("dealt with them all", |totals| {
        let count = Count::Answered(Protocol::Udp, Family::Ip4, Kind::Announce);
        totals.get(count) + totals.get(Count::Discarded(drop)) == before.0 + before.1 + times
    });
    answered(server) - before.0
}

#[test]
fn a_source_over_its_rate_is_turned_away_and_its_neighbour_is_not() {
    for backend in BACKENDS {
        let server = Server::start(&udp(backend, STRICT));
        let (loud, quiet) = (at(&server, LOUD), at(&server, QUIET));
        let (loud_id, quiet_id) = (loud.connect(), quiet.connect());
        let answers = ask(&server, &loud, loud_id, 200, Discard::SourceOverRate);
        // As many more as seconds began while it asked.
        assert!((40..=100).contains(&answers), "{answers}");
        assert_eq!(
            quiet
                .announce(quiet_id, Announce::leecher(HASH, 2))
                .leechers,
            2
        );
        assert_eq!(quiet.scrape(quiet_id, &[HASH]), [(0, 0, 2)]);
        // Its connection id is as good as ever, and a pause is all it takes.
        server.clock.advance(10);
        let answers = ask(&server, &loud, loud_id, 40, Discard::SourceOverRate);
        assert_eq!(answers, 40);
    }
}

#[test]
fn scrapes_count_as_announces_do() {
    for backend in BACKENDS {
        let server = Server::start(&udp(backend, STRICT));
        let loud = at(&server, LOUD);
        let id = loud.connect();
        for _ in 0..200 {
            loud.send(&in_process::scrape_request(id, &[HASH]));
        }
        let scrapes = Count::Answered(Protocol::Udp, Family::Ip4, Kind::Scrape);
        server.wait_until("dealt with them all", |totals| {
            totals.get(scrapes) + totals.get(Count::Discarded(Discard::SourceOverRate)) == 200
        });
        assert!((40..=100).contains(&server.count(scrapes)));
    }
}

#[test]
fn forged_datagrams_in_the_name_of_a_source_spend_nothing_of_its_rate() {
    for backend in BACKENDS {
        let server = Server::start(&udp(backend, STRICT));
        let client = at(&server, LOUD);
        let id = client.connect();
        let mut forged = id;
        forged[7] ^= 1;
        let forgeries = Count::Discarded(Discard::ForgedConnectionId);
        for sent in 1..=1000 {
            client.send(&Announce::leecher(HASH, 1).to_bytes(forged));
            if sent % 100 == 0 {
                server.wait_until("dropped them", |totals| totals.get(forgeries) == sent);
            }
        }
        // Nor do connects, which prove nothing.
        for _ in 0..100 {
            client.connect();
        }
        let answers = ask(&server, &client, id, 40, Discard::SourceOverRate);
        assert_eq!(answers, 40);
    }
}

/// An id with the slot of a good one, and nothing else that is right.
fn forge(id: [u8; 8], number: u32) -> [u8; 8] {
    let mut forged = id;
    forged[1] ^= 1; // in the tag
    forged[4..].copy_from_slice(&number.to_be_bytes());
    forged
}

#[test]
fn while_forged_ids_come_in_numbers_the_kernel_drops_them_and_nobody_else_notices() {
    for backend in BACKENDS {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let sieve_from = 100;
            let mut config = udp(
                backend,
                Flood {
                    sieve_from,
                    ..Flood::default()
                },
            );
            config.udp = vec![in_process::listener(address)];
            let server = Server::start(&config);
            let spoofer = Client::of(server.address());
            let honest = Client::of(server.address());
            let id = honest.connect();
            let forged = Count::Discarded(Discard::ForgedConnectionId);
            // A few are nobody's business, and a second may begin among them.
            for number in 0..50 {
                spoofer.send(&Announce::leecher(HASH, 1).to_bytes(forge(id, number)));
            }
            server.wait_until("dropped them", |totals| totals.get(forged) == 50);
            assert_eq!(server.tally(Tally::Sieving), 0);
            for number in 50.. {
                spoofer.send(&Announce::leecher(HASH, 1).to_bytes(forge(id, number)));
                if server.tally(Tally::Sieving) == 1 {
                    break;
                }
            }
            // Whatever waits in the queue came before this.
            assert_eq!(honest.announce(id, Announce::leecher(HASH, 1)).leechers, 1);
            let seen = server.count(forged);
            for number in 0..5000 {
                spoofer.send(&Announce::leecher(HASH, 1).to_bytes(forge(id, number)));
            }
            // Ids from before go on, and new ones are as good.
            for port in 2..20 {
                let id = if port % 2 == 0 { id } else { honest.connect() };
                honest.announce(id, Announce::leecher(HASH, port));
                honest.scrape(id, &[HASH]);
            }
            assert_eq!(server.count(forged), seen, "none came to the core");
            server.clock.advance(1);
            server.wait_until("counted them", |totals| totals.tally(Tally::Sieved) >= 5000);
            server.clock.advance(10);
            server.wait_until("let all come again", |totals| {
                totals.tally(Tally::Sieving) == 0
            });
            let seen = server.count(forged);
            for number in 0..50 {
                spoofer.send(&Announce::leecher(HASH, 1).to_bytes(forge(id, number)));
            }
            server.wait_until("dropped them", |totals| totals.get(forged) == seen + 50);
            let reports = server.tracker.kernel_drops();
            assert_eq!(reports, 0, "nothing was dropped for want of room");
        }
    }
}

#[test]
fn a_tracker_that_is_told_never_to_sieve_checks_each_forged_id_itself() {
    for backend in BACKENDS {
        let server = Server::start(&udp(backend, Flood::default()));
        let spoofer = at(&server, LOUD);
        let forged = Count::Discarded(Discard::ForgedConnectionId);
        for sent in 1..=1000 {
            spoofer.send(&Announce::leecher(HASH, 1).to_bytes(forge([0; 8], sent)));
            if sent % 100 == 0 {
                server.wait_until("dropped them", |totals| {
                    totals.get(forged) == u64::from(sent)
                });
            }
        }
        assert_eq!(
            server.tally(Tally::Sieving) + server.tally(Tally::Sieved),
            0
        );
    }
}

#[test]
fn a_network_over_its_rate_is_turned_away_and_the_next_one_is_not() {
    let server = Server::start(&udp(
        BACKENDS[1],
        Flood {
            per_network: 15,
            ..STRICT
        },
    ));
    let mut answers = 0;
    for host in 10..20 {
        let client = at(&server, [127, 0, 0, host]);
        let id = client.connect();
        answers += ask(&server, &client, id, 20, Discard::NetworkOverRate);
    }
    // Of 200, each from a source that is within its own.
    assert!((60..=180).contains(&answers), "{answers}");
    assert!(server.count(Count::Discarded(Discard::NetworkOverRate)) > 0);
    assert_eq!(server.count(Count::Discarded(Discard::SourceOverRate)), 0);
    let far = at(&server, [127, 0, 1, 10]);
    assert_eq!(
        ask(&server, &far, far.connect(), 20, Discard::NetworkOverRate),
        20
    );
}

#[test]
fn a_calm_core_serves_everybody() {
    let server = Server::start(&udp(
        BACKENDS[1],
        Flood {
            busy_from: 5000,
            ..STRICT
        },
    ));
    let loud = at(&server, LOUD);
    let id = loud.connect();
    for _ in 0..10 {
        assert_eq!(ask(&server, &loud, id, 100, Discard::SourceOverRate), 100);
    }
}

#[test]
fn limits_that_are_read_again_rule_from_then_on() {
    let mut config = udp(BACKENDS[1], Flood::default());
    let server = Server::start(&config);
    let loud = at(&server, LOUD);
    let id = loud.connect();
    assert_eq!(ask(&server, &loud, id, 200, Discard::SourceOverRate), 200);
    config.flood = STRICT;
    assert_eq!(server.tracker.reload(&config), [""; 0]);
    assert!(ask(&server, &loud, id, 200, Discard::SourceOverRate) <= 100);
    config.flood.per_source = 0;
    assert_eq!(server.tracker.reload(&config), [""; 0]);
    assert_eq!(ask(&server, &loud, id, 200, Discard::SourceOverRate), 200);
}

#[test]
fn a_sprayer_of_info_hashes_begins_no_more_than_its_share_and_others_go_on() {
    for backend in BACKENDS {
        let server = Server::start(&udp(
            backend,
            Flood {
                new_torrents: 50,
                ..Flood::default()
            },
        ));
        let (sprayer, other) = (at(&server, LOUD), at(&server, QUIET));
        let id = sprayer.connect();
        let hash = |number: u8| {
            let mut hash = [1; 20];
            hash[0] = number;
            hash
        };
        for number in 0..200 {
            let reply = sprayer.announce(id, Announce::leecher(hash(number), 1));
            assert_eq!(reply.leechers, u32::from(number < 50), "{number}");
        }
        assert_eq!(server.tally(Tally::NotStoredBusySource), 150);
        // What is known he may join, and others may begin what he could not.
        assert_eq!(
            sprayer.announce(id, Announce::leecher(hash(3), 1)).leechers,
            1
        );
        let id = other.connect();
        assert_eq!(
            other.announce(id, Announce::leecher(hash(100), 1)).leechers,
            1
        );
    }
}

#[test]
fn ten_thousand_torrents_of_one_address_pass_at_a_start_with_the_defaults() {
    let mut config = udp(BACKENDS[0], Config::default().flood);
    // Even if all cores were busy already.
    config.flood.busy_from = 0;
    config.workers.count = 2;
    config.workers.receive_buffer = 4 << 20;
    let server = Server::start(&config);
    let seedbox = at(&server, LOUD);
    let id = seedbox.connect();
    for batch in 0..100_u32 {
        for number in batch * 100..batch * 100 + 100 {
            let mut hash = [9; 20];
            hash[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
            seedbox.send(&Announce::seeder(hash, 1).to_bytes(id));
        }
        for _ in 0..100 {
            seedbox.receive();
        }
    }
    assert_eq!(answered(&server), 10_000);
    assert_eq!(server.tally(Tally::NotStoredBusySource), 0);
    server.wait_until("keeps them all", |totals| {
        totals.tally(Tally::Torrents) == 10_000
    });
}

#[test]
fn over_http_too_many_requests_are_told_so_with_a_time_to_wait() {
    for backend in BACKENDS {
        let mut config = http_config(backend);
        config.flood = STRICT;
        let server = Server::start(&config);
        let to = server.http_address();
        let targets = [announce(&escaped(&HASH), 1, 1, ""), scrape([HASH])];
        let target = &targets[0];
        let mut loud = Browser::at(LOUD.into(), to);
        let (mut answers, mut refused) = (0, 0);
        for number in 0..200 {
            let response = loud.get(&targets[number % 2]);
            if response.status == 200 {
                answers += 1;
                continue;
            }
            assert_eq!(response.status, 429);
            assert_eq!(response.header("retry-after"), Some("60"));
            let text = response.text();
            assert!(
                text.contains("too many requests from your address"),
                "{text}"
            );
            assert!(text.contains("8:retry ini1e"), "{text}");
            refused += 1;
        }
        assert!((40..=160).contains(&answers), "{answers}");
        assert_eq!(server.count(Count::Faulted(Fault::SourceOverRate)), refused);
        assert_eq!(Browser::at(QUIET.into(), to).get(target).status, 200);
        server.clock.advance(10);
        assert_eq!(Browser::at(LOUD.into(), to).get(target).status, 200);
    }
}

#[test]
fn whoever_was_turned_away_stands_in_the_api_and_masked_in_the_metrics() {
    let api = Api::start_with(|config| config.flood = STRICT);
    let loud = at(&api.server, LOUD);
    let answers = ask(
        &api.server,
        &loud,
        loud.connect(),
        300,
        Discard::SourceOverRate,
    );
    let told = json(&api.get("/api/v1/offenders"));
    let [offender] = &told["offenders"].as_array().expect("a list")[..] else {
        panic!("{told}");
    };
    assert_eq!(offender["network"], "127.0.0.2/32");
    assert_eq!(offender["is_network"], false);
    assert_eq!(offender["refused"], 300 - answers);
    let metrics = api.browser().get("/metrics").text();
    let line = format!(
        "shoal_offender_refused{{network=\"127.0.0.0/24\"}} {}",
        300 - answers
    );
    assert!(metrics.contains(&line), "{metrics}");
    assert!(metrics.contains("shoal_datagrams_dropped_total{reason=\"source_over_rate\"}"));
    // A minute halves it, an hour forgets it.
    api.server.clock.advance(3600);
    let told = json(&api.get("/api/v1/offenders"));
    assert_eq!(told["offenders"], serde_json::json!([]));
}

#[test]
fn an_operator_sees_who_asks_too_often_and_blocks_him_with_a_button() {
    let api = Api::start_with(|config| {
        add_user(config);
        config.flood = STRICT;
    });
    let user = LoggedIn::at(api.address());
    assert!(user.page("/admin/networks").contains("Nobody."));
    let loud = at(&api.server, LOUD);
    let id = loud.connect();
    ask(&api.server, &loud, id, 300, Discard::SourceOverRate);
    let page = user.page("/admin/networks");
    let button = "<button name=\"text\" value=\"127.0.0.2/32\"";
    assert!(page.contains(button), "{page}");
    let page = user.change(
        "/admin/networks",
        &[("text", "127.0.0.2/32"), ("reason", "too many requests")],
    );
    assert!(page.contains("1 network added."), "{page}");
    api.server.clock.advance(10);
    loud.announce(id, Announce::leecher(HASH, 1));
    api.server.wait_until("turned away", |totals| {
        totals.get(Count::Faulted(Fault::BlockedAddress)) == 1
    });
}

#[test]
fn honest_announces_are_all_answered_beside_a_flood_as_large_as_the_core_can_take() {
    for backend in BACKENDS {
        let mut config = udp(backend, Config::default().flood);
        config.flood.busy_from = 0;
        config.flood.sieve_from = 0; // the kernel would see to nearly all of it
        let server = Server::start(&config);
        let (spoofer, honest) = (at(&server, LOUD), at(&server, QUIET));
        let id = honest.connect();
        let forgeries = Count::Discarded(Discard::ForgedConnectionId);
        let mut sent = 0;
        // A hundred forged ones lie in the queue before and behind each honest one.
        for port in 1..=1000 {
            for _ in 0..100 {
                spoofer.send(&Announce::leecher(HASH, 1).to_bytes([0xab; 8]));
            }
            sent += 100;
            honest.announce(id, Announce::leecher(HASH, port));
            if port % 10 == 0 {
                // No more than the socket has room for, on however slow a machine.
                server.wait_until("dropped them", |totals| totals.get(forgeries) == sent);
            }
        }
        assert_eq!(answered(&server), 1000);
        assert_eq!(server.count(Count::Discarded(Discard::SourceOverRate)), 0);
    }
}
