//! The way of a datagram through a whole server: both families, both backends, one to three cores,
//! with and without the kernel's steering.

mod in_process;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use in_process::{
    Announce, BACKENDS, Client, Server, config, connect_request, info_hash, listener,
};
use shoal::config::Config;
use shoal::counters::{Count, Family, Kind, Protocol, Tally};

/// Every arrangement of cores that the tracker can be run in.
fn arrangements() -> Vec<Config> {
    let mut all = Vec::new();
    for backend in BACKENDS {
        for (count, steering) in [(1, true), (2, true), (2, false), (3, true), (3, false)] {
            let mut config = config();
            config.udp = vec![listener("127.0.0.1:0"), listener("[::1]:0")];
            config.workers.backend = backend;
            config.workers.count = count;
            config.workers.steering = steering;
            all.push(config);
        }
    }
    all
}

#[test]
fn peers_of_many_torrents_meet_in_every_arrangement() {
    for config in arrangements() {
        let server = Server::start(&config);
        for address in server.tracker.addresses() {
            let (first, second) = (Client::of(*address), Client::of(*address));
            let (first_id, second_id) = (first.connect(), second.connect());
            for torrent in 0..40 {
                let leecher = Announce::leecher(info_hash(torrent), 1000 + torrent as u16);
                let alone = first.announce(first_id, leecher);
                assert_eq!((alone.peers.len(), alone.interval), (0, 1800), "{config:?}");
                let seeder = Announce::seeder(info_hash(torrent), 2000);
                assert_eq!(
                    second.announce(second_id, seeder).ports(),
                    [1000 + torrent as u16]
                );
                let again = first.announce(first_id, leecher);
                assert_eq!(
                    (again.leechers, again.seeders, again.ports()),
                    (1, 1, vec![2000])
                );
                second.announce(second_id, seeder.stopped());
                first.announce(first_id, leecher.stopped());
            }
        }
    }
}

#[test]
fn a_scrape_over_several_cores_comes_back_whole_and_in_order() {
    for config in arrangements() {
        let server = Server::start(&config);
        let client = server.client();
        let id = client.connect();
        for torrent in (0..74).step_by(2) {
            client.announce(id, Announce::seeder(info_hash(torrent), 6881));
        }
        let hashes: Vec<[u8; 20]> = (0..74).map(info_hash).collect();
        let expected: Vec<_> = (0..74).map(|torrent| (1 - torrent % 2, 0, 0)).collect();
        for _ in 0..20 {
            assert_eq!(client.scrape(id, &hashes), expected, "{config:?}");
        }
        let reversed: Vec<_> = hashes.iter().rev().copied().collect();
        let expected: Vec<_> = expected.into_iter().rev().collect();
        assert_eq!(client.scrape(id, &reversed), expected);
        assert_eq!(
            client.scrape(id, &[hashes[0], hashes[0]]),
            [(1, 0, 0), (1, 0, 0)]
        );
    }
}

#[test]
fn steering_leaves_nothing_to_hand_over_and_without_it_the_mesh_carries_announces() {
    for config in arrangements() {
        let server = Server::start(&config);
        for source in 0..8 {
            // A new source port each time, so that the kernel's own hash spreads them too.
            let client = server.client();
            let id = client.connect();
            // So many that chance, which spreads them over the cores, leaves none of these without.
            for torrent in 0..100 {
                client.announce(id, Announce::leecher(info_hash(torrent), 100 + source));
            }
        }
        server.wait_until("answered everything", |totals| {
            totals.get(Count::Answered(Protocol::Udp, Family::Ip4, Kind::Announce)) == 800
        });
        server.wait_until("counted each handover on both sides", |totals| {
            totals.tally(Tally::HandedOver) == totals.tally(Tally::TakenOver)
        });
        let handed_over = server.tally(Tally::HandedOver);
        let expected = !config.workers.steering && config.workers.count > 1;
        assert_eq!(
            handed_over > 0,
            expected,
            "{handed_over} handed over with {config:?}"
        );
        let cores = server.tracker.cores();
        let answers = |core: &shoal::counters::Totals| {
            core.get(Count::Answered(Protocol::Udp, Family::Ip4, Kind::Announce))
        };
        assert!(
            cores.iter().all(|core| answers(core) > 0),
            "every core answers for its torrents"
        );
    }
}

#[test]
fn a_reply_leaves_from_the_address_that_was_asked() {
    for backend in BACKENDS {
        let mut config = config();
        config.udp = vec![listener("0.0.0.0:0"), listener("[::]:0")];
        config.workers.backend = backend;
        config.workers.count = 2;
        let server = Server::start(&config);
        let [v4, v6] = *server.tracker.addresses() else {
            panic!("two listeners")
        };
        for last in [1, 2, 77] {
            // The client's socket is connected: it would not hear an answer from elsewhere.
            let asked = SocketAddr::new(IpAddr::from([127, 0, 0, last]), v4.port());
            let client = Client::of(asked);
            let id = client.connect();
            client.announce(id, Announce::leecher(info_hash(1), 6881));
        }
        let asked = SocketAddr::new("::1".parse().unwrap(), v6.port());
        let client = Client::of(asked);
        client.announce(client.connect(), Announce::leecher(info_hash(1), 6881));
    }
}

#[test]
fn a_connection_id_is_good_at_every_listener_and_every_core() {
    for backend in BACKENDS {
        let mut config = config();
        config.udp = vec![listener("127.0.0.1:0"), listener("127.0.0.1:0")];
        config.workers.backend = backend;
        config.workers.count = 3;
        let server = Server::start(&config);
        let id = server.client().connect();
        for address in server.tracker.addresses() {
            for torrent in 0..20 {
                Client::of(*address).announce(id, Announce::leecher(info_hash(torrent), 6881));
            }
        }
    }
}

#[test]
fn a_burst_larger_than_a_turn_is_answered_to_the_last_datagram() {
    for backend in BACKENDS {
        let mut config = config();
        config.workers.backend = backend;
        config.workers.receive_buffer = 4 << 20;
        let server = Server::start(&config);
        let client = server.client();
        socket2::SockRef::from(&client.socket)
            .set_recv_buffer_size(4 << 20)
            .unwrap();
        for burst in 0..20 {
            let wanted: BTreeSet<u32> = (burst * 1000..burst * 1000 + 1000).collect();
            for number in &wanted {
                client.send(&connect_request(*number));
            }
            let transaction_id =
                |reply: Vec<u8>| u32::from_be_bytes(*reply[4..].first_chunk().unwrap());
            let answered: BTreeSet<u32> = wanted
                .iter()
                .map(|_| transaction_id(client.receive()))
                .collect();
            assert_eq!(answered, wanted);
        }
    }
}

#[test]
fn num_want_is_honoured_up_to_what_fits_one_packet() {
    for (address, most) in [("127.0.0.1:0", 200), ("[::1]:0", 66)] {
        let mut config = config();
        config.udp = vec![listener(address)];
        let server = Server::start(&config);
        let client = server.client();
        let id = client.connect();
        for port in 1..=300 {
            client.announce(
                id,
                Announce {
                    num_want: 0,
                    ..Announce::leecher([5; 20], port)
                },
            );
        }
        for (num_want, expected) in [
            (0, 0),
            (1, 1),
            (-1, 50),
            (i32::MIN, 50),
            (66, 66),
            (200, most),
            (201, most),
            (i32::MAX, most),
        ] {
            let asked = Announce {
                num_want,
                ..Announce::leecher([5; 20], 300)
            };
            let reply = client.announce(id, asked);
            assert_eq!(reply.peers.len(), expected, "num_want {num_want}");
            let ports: BTreeSet<u16> = reply.ports().into_iter().collect();
            assert_eq!(ports.len(), expected, "no peer twice");
            assert!(!ports.contains(&300), "nobody gets himself");
        }
    }
}

#[test]
fn a_seeder_is_told_of_leechers_only() {
    let server = Server::start(&config());
    let client = server.client();
    let id = client.connect();
    for port in 1..=60 {
        client.announce(id, Announce::seeder([5; 20], port));
    }
    for port in 61..=63 {
        client.announce(id, Announce::leecher([5; 20], port));
    }
    let reply = client.announce(id, Announce::seeder([5; 20], 1));
    assert_eq!(
        (reply.seeders, reply.leechers, reply.ports()),
        (60, 3, vec![61, 62, 63])
    );
}

#[test]
fn a_peer_that_falls_silent_is_forgotten_after_its_time_and_not_before() {
    let server = Server::start(&config());
    let client = server.client();
    let id = client.connect();
    client.announce(id, Announce::seeder([5; 20], 1));
    server.clock.advance(1800);
    let id = client.connect();
    client.announce(id, Announce::seeder([5; 20], 2));
    server.clock.advance(1800);
    server.wait_until("forgot the first", |totals| {
        totals.tally(Tally::Expired) == 1
    });
    let id = client.connect();
    assert_eq!(client.scrape(id, &[[5; 20]]), [(1, 0, 0)]);
    server.clock.advance(1810);
    server.wait_until("forgot the second, and the torrent with it", |totals| {
        totals.tally(Tally::Expired) == 2 && totals.tally(Tally::Torrents) == 0
    });
    assert_eq!(client.scrape(client.connect(), &[[5; 20]]), [(0, 0, 0)]);
}

#[test]
fn a_torrent_without_peers_keeps_its_count_when_it_is_asked_to() {
    let mut config = config();
    config.swarm.remove_peerless = false;
    let server = Server::start(&config);
    let client = server.client();
    let id = client.connect();
    client.announce(id, Announce::leecher([5; 20], 1));
    let completed = Announce {
        event: Announce::COMPLETED,
        ..Announce::seeder([5; 20], 1)
    };
    client.announce(id, completed);
    client.announce(id, completed.stopped());
    server.clock.advance(4000);
    // A turn a connect, and every turn sweeps.
    for _ in 0..20 {
        client.connect();
    }
    assert_eq!(client.scrape(client.connect(), &[[5; 20]]), [(0, 1, 0)]);
}
