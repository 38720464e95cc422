//! Everything that is refused is refused for a reason that is counted, and harms nobody.

mod in_process;

use std::net::{Ipv4Addr, SocketAddr};

use in_process::{
    Announce, BACKENDS, Client, Server, config, connect_request, error_text, listener,
    scrape_request,
};
use shoal::counters::{Count, Discard, Family, Fault, Kind, Protocol, Tally};
use socket2::{Domain, Socket, Type};

#[test]
fn a_datagram_from_port_zero_is_not_answered() {
    for backend in BACKENDS {
        let mut config = config();
        config.workers.backend = backend;
        let server = Server::start(&config);
        // Only a raw socket can claim port 0: UDP header, then a connect.
        let raw = Socket::new(Domain::IPV4, Type::RAW, Some(socket2::Protocol::UDP))
            .expect("raw sockets need CAP_NET_RAW");
        let mut datagram = vec![0, 0];
        datagram.extend(server.address().port().to_be_bytes());
        datagram.extend([0, 24, 0, 0]);
        datagram.extend(connect_request(1));
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        for _ in 0..100 {
            raw.send_to(&datagram, &to.into()).unwrap();
        }
        server.wait_until("counted", |totals| {
            totals.get(Count::Discarded(Discard::UnanswerableSource)) == 100
        });
        assert_eq!(server.tally(Tally::BytesSent), 0);
    }
}

#[test]
fn a_datagram_to_a_broadcast_address_is_answered_by_nobody() {
    for backend in BACKENDS {
        let mut config = config();
        config.udp = vec![listener("0.0.0.0:0"), listener("[::]:0")];
        config.workers.backend = backend;
        config.workers.count = 3;
        let server = Server::start(&config);
        let [v4, v6] = *server.tracker.addresses() else {
            panic!("two listeners")
        };
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_broadcast(true).unwrap();
        let everybody = SocketAddr::from(([127, 255, 255, 255], v4.port()));
        for _ in 0..100 {
            client.send_to(&connect_request(1), everybody).unwrap();
        }
        server.wait_until("discarded the copies of every core", |totals| {
            totals.get(Count::Discarded(Discard::NotUnicast)) == 300
        });
        assert_eq!(server.tally(Tally::BytesSent), 0);
        assert_eq!(
            server.count(Count::Received(Protocol::Udp, Family::Ip4, Kind::Connect)),
            0
        );
        // What is sent to one address is answered as ever.
        Client::of(SocketAddr::from(([127, 0, 0, 1], v4.port()))).connect();
        Client::of(SocketAddr::new("::1".parse().unwrap(), v6.port())).connect();
    }
}

#[test]
fn an_expired_connection_id_in_the_shortest_scrape_gets_silence() {
    let server = Server::start(&config());
    let client = server.client();
    let id = client.connect();
    server.clock.advance(3 * 3600);
    client.expect_silence(&scrape_request(id, &[]));
    assert_eq!(
        server.count(Count::Discarded(Discard::ExpiredConnectionId)),
        1
    );
    let reply = client.ask(&scrape_request(id, &[[5; 20]]));
    assert_eq!(error_text(&reply), "connection id expired");
}

#[test]
fn an_ignored_network_gets_an_error_and_enters_no_swarm() {
    let mut config = config();
    config.announce.ignore_ip = vec!["127.0.0.8/30".parse().unwrap()];
    let server = Server::start(&config);
    let ignored = Client::at([127, 0, 0, 9].into(), server.address());
    let id = ignored.connect();
    let reply = ignored.ask(&Announce::leecher([5; 20], 6881).to_bytes(id));
    assert_eq!(error_text(&reply), "address not allowed");
    assert_eq!(ignored.scrape(id, &[[5; 20]]), [(0, 0, 0)]);
    assert_eq!(server.count(Count::Faulted(Fault::IgnoredAddress)), 1);
}

#[test]
fn a_private_address_is_refused_when_the_tracker_is_public() {
    let mut config = config();
    config.announce.allow_private_peers = false;
    let server = Server::start(&config);
    let client = server.client();
    let reply = client.ask(&Announce::leecher([5; 20], 6881).to_bytes(client.connect()));
    assert_eq!(error_text(&reply), "private address not allowed");
    assert_eq!(server.count(Count::Faulted(Fault::PrivateAddress)), 1);
}

#[test]
fn a_peer_on_loopback_is_handed_out_under_the_external_address() {
    let mut config = config();
    config.announce.allow_private_peers = false;
    config.announce.external_ip = vec!["93.184.216.34".parse().unwrap()];
    let server = Server::start(&config);
    let client = server.client();
    let id = client.connect();
    client.announce(id, Announce::seeder([5; 20], 6881));
    let reply = client.announce(id, Announce::leecher([5; 20], 6882));
    assert_eq!(reply.peers, [[93, 184, 216, 34, 0x1a, 0xe1]]);
}

#[test]
fn a_listener_bound_to_one_address_knows_peers_of_this_host_too() {
    // The first address of this host that is not loopback; a host without one has nothing to test.
    let outward = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let here = match outward
        .connect("192.0.2.1:9")
        .and_then(|()| outward.local_addr())
    {
        Ok(address) if !address.ip().is_loopback() => address.ip(),
        _ => return,
    };
    for listen in [format!("{here}:0"), "0.0.0.0:0".to_owned()] {
        let mut config = config();
        config.udp = vec![listener(&listen)];
        config.announce.external_ip = vec!["93.184.216.34".parse().unwrap()];
        let server = Server::start(&config);
        let client = Client::at(here, SocketAddr::new(here, server.address().port()));
        let id = client.connect();
        client.announce(id, Announce::seeder([5; 20], 6881));
        let reply = client.announce(id, Announce::leecher([5; 20], 6882));
        assert_eq!(reply.peers, [[93, 184, 216, 34, 0x1a, 0xe1]], "{listen}");
    }
}

#[test]
fn past_the_memory_budget_announces_are_answered_but_not_stored() {
    let mut config = config();
    config.swarm.memory_budget = 1 << 20;
    let server = Server::start(&config);
    let client = server.client();
    let id = client.connect();
    for number in 0..20_000_u32 {
        let mut info_hash = [3; 20];
        info_hash[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
        client.announce(id, Announce::seeder(info_hash, 6881));
    }
    // So small a budget is full before a source can be busy.
    assert!(server.tally(Tally::NotStoredFull) > 0);
    server.clock.advance(1);
    server.wait_until("measured its swarms", |totals| {
        totals.tally(Tally::SwarmBytes) > 0
    });
    let bytes = server.tally(Tally::SwarmBytes);
    assert!(
        bytes <= 1 << 20,
        "{bytes} bytes of swarms with a budget of a MiB"
    );
}

#[test]
fn random_truncated_and_flipped_datagrams_get_nothing_larger_than_they_may() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for backend in BACKENDS {
        let mut config = config();
        config.workers.backend = backend;
        config.workers.count = 2;
        let server = Server::start(&config);
        let client = server.client();
        let id = client.connect();
        let valid = [
            connect_request(1).to_vec(),
            Announce::leecher([5; 20], 6881).to_bytes(id),
            [
                &Announce::seeder([5; 20], 6882).to_bytes(id)[..],
                b"\x02\x09/announce",
            ]
            .concat(),
            scrape_request(id, &[[5; 20]; 74]),
        ];
        let mut sent = 0;
        for _ in 0..200 {
            for _ in 0..50 {
                let mut datagram = valid[random.usize(..valid.len())].clone();
                match random.u8(..3) {
                    0 => datagram.truncate(random.usize(..=datagram.len())),
                    1 => {
                        let bit = random.usize(..datagram.len() * 8);
                        datagram[bit / 8] ^= 1 << (bit % 8);
                    }
                    _ => {
                        datagram = vec![0; random.usize(..1800)];
                        random.fill(&mut datagram);
                    }
                }
                client.send(&datagram);
                sent += 1;
            }
            // Every one of them is received before the next ones go, so none is lost to a full
            // queue, and the counters must add up.
            server.wait_until("looked at all", |totals| looked_at(totals) >= sent);
        }
        client.socket.set_nonblocking(true).unwrap();
        let mut reply = [0; 2048];
        while let Ok(len) = client.socket.recv(&mut reply) {
            let action = reply[3];
            let allowed = match action {
                0 => 16,
                1 => 1220,
                2 => 896,
                3 => 8 + 64,
                _ => 0,
            };
            assert!(len <= allowed, "{len} bytes of action {action}");
        }
        // Somebody else asks: to the client a scrape may still come that travelled over both cores.
        let honest = server.client();
        let id = honest.connect();
        honest.announce(id, Announce::leecher([6; 20], 6881));
    }
}

/// Datagrams that are accounted for: parsed ones by kind, all others by reason.
fn looked_at(totals: &shoal::counters::Totals) -> u64 {
    let parsed: u64 = [Kind::Connect, Kind::Announce, Kind::Scrape]
        .map(|kind| totals.get(Count::Received(Protocol::Udp, Family::Ip4, kind)))
        .iter()
        .sum();
    let unparsed: u64 = [
        Discard::Runt,
        Discard::Truncated,
        Discard::WrongProtocolId,
        Discard::UnknownAction,
        Discard::ShortAnnounce,
        Discard::UnanswerableSource,
    ]
    .map(|reason| totals.get(Count::Discarded(reason)))
    .iter()
    .sum();
    parsed + unparsed
}

#[test]
fn nothing_larger_than_the_request_goes_to_an_unproven_source() {
    let server = Server::start(&config());
    let client = server.client();
    client
        .socket
        .set_read_timeout(Some(std::time::Duration::from_millis(1)))
        .unwrap();
    for len in 0..200 {
        for action in 0..6 {
            let mut datagram = connect_request(7).to_vec();
            datagram.resize(len.max(16), 0);
            datagram[11] = action;
            datagram.truncate(len);
            client.send(&datagram);
        }
    }
    let mut reply = [0; 2048];
    while let Ok(answered) = client.socket.recv(&mut reply) {
        assert_eq!(answered, 16, "only connects are answered");
    }
}

#[test]
fn a_second_tracker_on_the_same_port_is_refused_with_the_pid_of_the_first() {
    let first = Server::start(&config());
    let mut second = config();
    second.udp = vec![listener(&first.address().to_string())];
    let pid = format!("pid {}", std::process::id());
    let client = first.client();
    let id = client.connect();
    for port in 1..=20 {
        let Err(sentence) = Server::try_start(&second) else {
            panic!("two trackers on one port")
        };
        assert!(
            sentence.contains(&first.address().to_string()) && sentence.contains(&pid),
            "{sentence}"
        );
        // The first one has not lost a datagram to it.
        let reply = client.announce(id, Announce::leecher([5; 20], port));
        assert_eq!(reply.leechers, u32::from(port));
    }
}
