//! Known datagrams, byte for byte, on every backend: what clients send and what they must get.

mod in_process;

use in_process::{Announce, BACKENDS, Client, Server, config, connect_request, listener};
use shoal::counters::{Count, Discard};

/// Where the vectors show a connection id, a real one goes.
const SHOWN_ID: [u8; 8] = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88];
/// NUL, control bytes, `%`, `&`, `+`, `=`, `?`, CR, LF and 0xff: awkward on purpose.
const HASH_A: [u8; 20] = *b"\x00\x01\x7f\x80\xff %&+-.=?A_az~\n\r";
const HASH_B: [u8; 20] = [0xbb; 20];

/// Title, request and reply, in an order that builds up torrent A on an empty tracker.
const IN_ORDER: &[(&str, &str, &str)] = &[
    (
        "U3: peer 1 starts, 1000 bytes left, num_want -1",
        "1122334455667788000000010000001000017f80ff2025262b2d2e3d3f415f617a7e0a0d2d71\
             42353234302d6162636465666768696a6b6c000000000000000000000000000003e800000000\
             000000000000000200000000deadbeefffffffff1ae1",
        "0000000100000010000007080000000100000000",
    ),
    (
        "U4: peer 2 starts as seeder, gets peer 1",
        "1122334455667788000000010000001100017f80ff2025262b2d2e3d3f415f617a7e0a0d2d54\
             52343130302d3031323334353637383961620000000000000000000000000000000000000000\
             00000000000000020000000001020304ffffffffc8d5",
        "00000001000000110000070800000001000000017f0000011ae1",
    ),
    (
        "U5: peer 1 again in aria2's 100-byte form, gets peer 2",
        "1122334455667788000000010000001200017f80ff2025262b2d2e3d3f415f617a7e0a0d2d71\
             42353234302d6162636465666768696a6b6c000000000000000000000000000003e800000000\
             000000000000000200000000deadbeefffffffff1ae10000",
        "00000001000000120000070800000001000000017f000001c8d5",
    ),
    (
        "U6: with libtorrent's URLData `/announce`",
        "1122334455667788000000010000001300017f80ff2025262b2d2e3d3f415f617a7e0a0d2d71\
             42353234302d6162636465666768696a6b6c000000000000000000000000000003e800000000\
             000000000000000200000000deadbeefffffffff1ae102092f616e6e6f756e6365",
        "00000001000000130000070800000001000000017f000001c8d5",
    ),
    (
        "U7: a private path in two URLData options among others",
        "1122334455667788000000010000001400017f80ff2025262b2d2e3d3f415f617a7e0a0d2d71\
             42353234302d6162636465666768696a6b6c000000000000000000000000000003e800000000\
             000000000000000200000000deadbeefffffffff1ae102142f30313233343536373839616263\
             646566303132017f0378797a0216333435363738396162636465662f616e6e6f756e636500ff\
             ff",
        "00000001000000140000070800000001000000017f000001c8d5",
    ),
    (
        "U8: event 4 (paused): a partial seed",
        "1122334455667788000000010000001600017f80ff2025262b2d2e3d3f415f617a7e0a0d2d71\
             42353234302d6162636465666768696a6b6c000000000000000000000000000001f400000000\
             000000000000000400000000deadbeefffffffff1ae1",
        "00000001000000160000070800000001000000017f000001c8d5",
    ),
    (
        "U9: event 0x7fffffff counts as none",
        "1122334455667788000000010000002800017f80ff2025262b2d2e3d3f415f617a7e0a0d2d71\
             42353234302d6162636465666768696a6b6c000000000000000000000000000003e800000000\
             000000007fffffff00000000deadbeefffffffff1ae1",
        "00000001000000280000070800000001000000017f000001c8d5",
    ),
    (
        "U10: num_want 0: no peers",
        "1122334455667788000000010000001700017f80ff2025262b2d2e3d3f415f617a7e0a0d2d71\
             42353234302d6162636465666768696a6b6c000000000000000000000000000003e800000000\
             000000000000000000000000deadbeef000000001ae1",
        "0000000100000017000007080000000100000001",
    ),
    (
        "U11: left all ones: a leecher",
        "1122334455667788000000010000002700017f80ff2025262b2d2e3d3f415f617a7e0a0d2d71\
             42353234302d6162636465666768696a6b6c0000000000000000ffffffffffffffff00000000\
             000000000000000200000000deadbeefffffffff1ae1",
        "00000001000000270000070800000001000000017f000001c8d5",
    ),
    (
        "U12: IP field 8.8.8.8: ignored",
        "1122334455667788000000010000002600017f80ff2025262b2d2e3d3f415f617a7e0a0d2d71\
             42353234302d6162636465666768696a6b6c000000000000000000000000000003e800000000\
             000000000000000208080808deadbeefffffffff1ae1",
        "00000001000000260000070800000001000000017f000001c8d5",
    ),
    (
        "U14: scrape with five trailing bytes: one row",
        "1122334455667788000000020000002200017f80ff2025262b2d2e3d3f415f617a7e0a0d0102\
             030405",
        "0000000200000022000000010000000000000001",
    ),
    (
        "U15: peer 1 completes",
        "1122334455667788000000010000002a00017f80ff2025262b2d2e3d3f415f617a7e0a0d2d71\
             42353234302d6162636465666768696a6b6c00000000000003e8000000000000000000000000\
             000000000000000100000000deadbeef000000001ae1",
        "000000010000002a000007080000000000000002",
    ),
    (
        "U16: peer 1 stops",
        "1122334455667788000000010000001800017f80ff2025262b2d2e3d3f415f617a7e0a0d2d71\
             42353234302d6162636465666768696a6b6c0000000000000000000000000000000000000000\
             000000000000000300000000deadbeef000000001ae1",
        "0000000100000018000007080000000000000001",
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn with_id(hex: &str, id: [u8; 8]) -> Vec<u8> {
    let mut datagram = bytes(hex);
    assert_eq!(datagram[..8], SHOWN_ID);
    datagram[..8].copy_from_slice(&id);
    datagram
}

fn servers() -> impl Iterator<Item = Server> {
    BACKENDS.into_iter().map(|backend| {
        let mut config = config();
        config.workers.backend = backend;
        Server::start(&config)
    })
}

#[test]
fn connects_get_exactly_sixteen_bytes_whatever_follows_the_request() {
    for server in servers() {
        let client = server.client();
        for (request, head) in [
            ("00000417271019800000000000000001", "0000000000000001"),
            (
                "0000041727101980000000000000000000000000",
                "0000000000000000",
            ),
        ] {
            let reply = client.ask(&bytes(request));
            assert_eq!(reply.len(), 16);
            assert_eq!(reply[..8], bytes(head));
        }
    }
}

#[test]
fn announces_and_scrapes_of_known_clients_are_answered_byte_for_byte() {
    for server in servers() {
        let client = server.client();
        let id = client.connect();
        prepare_torrent_b(&client, id);
        for (title, request, reply) in IN_ORDER {
            assert_eq!(client.ask(&with_id(request, id)), bytes(reply), "{title}");
            if title.starts_with("U12") {
                the_seeder_still_sees_where_the_leecher_came_from(&client, id);
                scrape_rows_come_in_the_order_of_the_request(&client, id);
            }
            if title.starts_with("U15") {
                assert_eq!(
                    client.ask(&with_id(request, id)),
                    bytes(reply),
                    "{title}, again"
                );
                assert_eq!(client.scrape(id, &[HASH_A]), [(2, 1, 0)]);
            }
        }
    }
}

/// Two seeders, seven completed downloads, three leechers.
fn prepare_torrent_b(client: &Client, id: [u8; 8]) {
    for port in 1..=7 {
        client.announce(id, Announce::leecher(HASH_B, port));
        let completed = Announce {
            event: Announce::COMPLETED,
            ..Announce::seeder(HASH_B, port)
        };
        client.announce(id, completed);
    }
    for port in 3..=7 {
        client.announce(id, Announce::seeder(HASH_B, port).stopped());
    }
    for port in 8..=10 {
        client.announce(id, Announce::leecher(HASH_B, port));
    }
}

fn the_seeder_still_sees_where_the_leecher_came_from(client: &Client, id: [u8; 8]) {
    let seeder = Announce {
        event: Announce::REGULAR,
        ..Announce::seeder(HASH_A, 51413)
    };
    assert_eq!(
        client.announce(id, seeder).peers,
        [[127, 0, 0, 1, 0x1a, 0xe1]]
    );
}

/// U13: B, A, then one that was never announced.
fn scrape_rows_come_in_the_order_of_the_request(client: &Client, id: [u8; 8]) {
    let request = "11223344556677880000000200000020bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb00017f80ff\
                   2025262b2d2e3d3f415f617a7e0a0dcccccccccccccccccccccccccccccccccccccccc";
    let reply = "000000020000002000000002000000070000000300000001000000000000000100000000\
                 0000000000000000";
    assert_eq!(client.ask(&with_id(request, id)), bytes(reply), "U13");
}

#[test]
fn peers_over_ipv6_are_eighteen_bytes() {
    for backend in BACKENDS {
        let mut config = config();
        config.udp = vec![listener("[::1]:0")];
        config.workers.backend = backend;
        let server = Server::start(&config);
        let client = server.client();
        let id = client.connect();
        for (title, request, reply) in &IN_ORDER[..2] {
            let answer = client.ask(&with_id(request, id));
            if title.starts_with("U4") {
                let peer = "000000000000000000000000000000011ae1";
                let head = &reply[..40];
                assert_eq!(answer, bytes(&format!("{head}{peer}")), "U17");
            }
        }
    }
}

#[test]
fn a_scrape_of_seventy_five_torrents_gets_seventy_four_rows() {
    for server in servers() {
        let client = server.client();
        let mut request = client.connect().to_vec();
        request.extend(bytes("0000000200000023"));
        request.extend([7; 75 * 20]);
        let reply = client.ask(&request);
        assert_eq!(reply.len(), 896);
        assert_eq!(reply[..8], bytes("0000000200000023"));
    }
}

const U3: &str = IN_ORDER[0].1;

#[test]
fn malformed_and_hostile_datagrams_get_silence_or_the_right_error() {
    for server in servers() {
        let client = server.client();
        let id = client.connect();
        let announce = with_id(U3, id);
        let scrape_head = with_id("11223344556677880000000200000021", id);

        let silent: [(&str, Vec<u8>, Discard); 13] = [
            (
                "M1",
                bytes("00000417271019810000000000000002"),
                Discard::WrongProtocolId,
            ),
            ("M2", bytes("000004172710198000000000000000"), Discard::Runt),
            ("M3", Vec::new(), Discard::Runt),
            ("M4", announce[..97].to_vec(), Discard::ShortAnnounce),
            ("M6", flipped(&announce), Discard::ForgedConnectionId),
            ("M8", magic_as_id(&announce), Discard::ForgedConnectionId),
            (
                "M14",
                with_id("11223344556677880000000300000024626f6f6d", id),
                Discard::UnknownAction,
            ),
            ("M15", old_ipv6_announce(id), Discard::UnknownAction),
            (
                "M16",
                with_id("1122334455667788ffffffff0000002d", id),
                Discard::UnknownAction,
            ),
            (
                "M17",
                bytes("00000000000000011122334455667788"),
                Discard::UnknownAction,
            ),
            ("short", vec![0; 1], Discard::Runt),
            (
                "a forged scrape",
                flipped(&scrape_head),
                Discard::ForgedConnectionId,
            ),
            ("a jumbo", vec![1; 4000], Discard::Truncated),
        ];
        for (title, datagram, reason) in silent {
            let before = server.count(Count::Discarded(reason));
            client.expect_silence(&datagram);
            server.wait_until(title, |totals| {
                totals.get(Count::Discarded(reason)) == before + 1
            });
        }

        let mut port_zero = announce.clone();
        port_zero[12..16].copy_from_slice(&[0, 0, 0, 0x19]);
        port_zero[96..98].fill(0);
        assert_eq!(
            client.ask(&port_zero),
            bytes("0000000300000019696e76616c696420706f7274"),
            "M5"
        );
        let no_hash = bytes("00000003000000216e6f20696e666f5f68617368");
        assert_eq!(client.ask(&scrape_head), no_hash, "M13");

        for tail in [&[2, 0xff, b'/', b'a'][..], &[2]] {
            let with_broken_option = [&announce[..], tail].concat();
            assert_eq!(
                client.ask(&with_broken_option)[..4],
                [0, 0, 0, 1],
                "M11, M12"
            );
        }
    }
}

#[test]
fn a_connection_id_is_worth_nothing_at_another_address() {
    for server in servers() {
        let id = server.client().connect();
        let elsewhere = Client::at([127, 0, 0, 9].into(), server.address());
        elsewhere.expect_silence(&with_id(U3, id));
        server.wait_until("counted as forged", |totals| {
            totals.get(Count::Discarded(Discard::ForgedConnectionId)) == 1
        });
    }
}

#[test]
fn a_connection_id_that_is_too_old_gets_an_error() {
    for server in servers() {
        let client = server.client();
        let id = client.connect();
        server.clock.advance(900);
        assert_eq!(
            client.ask(&with_id(U3, id))[..4],
            [0, 0, 0, 1],
            "still accepted after 900 s"
        );
        server.clock.advance(60);
        let mut request = with_id(U3, id);
        request[15] = 0x1b;
        let expired = "000000030000001b636f6e6e656374696f6e2069642065787069726564";
        assert_eq!(client.ask(&request), bytes(expired), "M7");
        client.connect();
    }
}

fn flipped(datagram: &[u8]) -> Vec<u8> {
    let mut flipped = datagram.to_vec();
    flipped[7] ^= 1;
    flipped
}

fn magic_as_id(datagram: &[u8]) -> Vec<u8> {
    [&connect_request(0)[..8], &datagram[8..]].concat()
}

fn old_ipv6_announce(id: [u8; 8]) -> Vec<u8> {
    let mut datagram = id.to_vec();
    datagram.extend([0, 0, 0, 4]);
    datagram.resize(110, 0);
    datagram
}
