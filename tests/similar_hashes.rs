//! Torrents whose info-hashes are similar: reported together, and in one swarm when the operator wants it.

mod http;
mod in_process;

use std::fs;
use std::net::SocketAddr;

use http::{Browser, announce, dictionary, escaped, http_config, scrape, shapes};
use in_process::{Announce, BACKENDS, Server, error_text, scrape_request};
use shoal::config::Config;
use shoal::control::similar::find;
use shoal::counters::Tally;
use shoal::gate::access::{Deny, Mode};
use shoal::wire::InfoHash;

/// The older torrent, one that differs in two digits, and one that somebody ground: it agrees in the first
/// 10 and the last 5 digits, and in 5 of the other 25.
const OLDER: [u8; 20] = *b"older and first here";
const NEWER: [u8; 20] = with(with(OLDER, 7, 0x40), 12, 0x0f);
const GROUND: [u8; 20] = *b"older........... ere";

const fn with(mut info_hash: [u8; 20], at: usize, flipped: u8) -> [u8; 20] {
    info_hash[at] ^= flipped;
    info_hash
}

fn merging(mut config: Config) -> Config {
    config.swarm.similarity_threshold = 0.95;
    config.swarm.merge_similar = true;
    config
}

fn two_cores() -> Config {
    let mut config = http_config(BACKENDS[0]);
    config.workers.count = 2;
    config
}

/// Info-hashes of the groups, with the seeders and leechers of each.
fn report(server: &Server, threshold: f64) -> Vec<Vec<([u8; 20], u32, u32)>> {
    let groups = find(server.tracker.collector(), threshold, 100).unwrap();
    let row = |(info_hash, totals): &(InfoHash, shoal::swarm::Totals)| {
        (info_hash.0, totals.seeders, totals.leechers)
    };
    let rows = |group: &Vec<_>| group.iter().map(row).collect();
    groups.iter().map(rows).collect()
}

fn complete_and_incomplete(body: &[u8]) -> (u64, u64) {
    let entries = dictionary(body);
    let number = |key| entries[key].as_u64().unwrap();
    (number("complete"), number("incomplete"))
}

#[test]
fn merged_torrents_share_a_swarm_over_udp_and_http_on_one_core_and_two() {
    for config in shapes() {
        for steering in [true, false] {
            let mut config = merging(config.clone());
            config.workers.steering = steering;
            let server = Server::start(&config);
            let client = server.client();
            let id = client.connect();
            let mut browser = Browser::of(server.http_address());

            client.announce(id, Announce::seeder(OLDER, 1001));
            let told = client.announce(id, Announce::leecher(NEWER, 1002));
            assert_eq!((told.seeders, told.leechers), (1, 1));
            assert_eq!(told.ports(), [1001]);
            let told = browser.get(&announce(&escaped(&NEWER), 1003, 9, "started"));
            assert_eq!(complete_and_incomplete(&told.body), (1, 2));
            let mut ports: Vec<u16> = told.peers().iter().map(SocketAddr::port).collect();
            ports.sort_unstable();
            assert_eq!(ports, [1001, 1002]);
            let told = client.announce(id, Announce::seeder(OLDER, 1001));
            assert_eq!(told.ports(), [1002, 1003]);

            let told = client.announce(id, Announce::leecher(GROUND, 1004));
            assert_eq!((told.seeders, told.leechers), (0, 1));
            assert!(told.peers.is_empty());

            // A scrape of torrents of several cores, too.
            let others: Vec<[u8; 20]> = (0..8).map(|n| [n * 31; 20]).collect();
            let asked = [&[NEWER, OLDER, GROUND][..], &others].concat();
            let rows = client.scrape(id, &asked);
            assert_eq!(rows[..3], [(1, 0, 2), (1, 0, 2), (0, 0, 1)]);
            let scraped = browser.get(&scrape([NEWER])).body;
            let row = b"8:completei1e10:downloadedi0e10:incompletei2e";
            assert!(scraped.windows(20).any(|bytes| bytes == NEWER));
            assert!(scraped.windows(row.len()).any(|bytes| bytes == row));

            // Who leaves the newer one has left.
            client.announce(id, Announce::leecher(NEWER, 1002).stopped());
            browser.get(&announce(&escaped(&NEWER), 1003, 9, "stopped"));
            assert_eq!(client.scrape(id, &[OLDER, NEWER]), [(1, 0, 0); 2]);
            server.wait_until("two torrents", |totals| totals.tally(Tally::Torrents) == 2);
        }
    }
}

#[test]
fn torrents_are_told_apart_unless_merging_is_asked_for_and_similar_ones_are_reported() {
    for threshold in [1.0, 0.95] {
        let mut config = two_cores();
        config.swarm.similarity_threshold = threshold;
        let server = Server::start(&config);
        let client = server.client();
        let id = client.connect();
        client.announce(id, Announce::seeder(OLDER, 1001));
        for torrent in [NEWER, GROUND, [9; 20]] {
            let told = client.announce(id, Announce::leecher(torrent, 1002));
            assert_eq!((told.seeders, told.leechers), (0, 1));
        }
        let rows = client.scrape(id, &[OLDER, NEWER, GROUND]);
        assert_eq!(rows, [(1, 0, 0), (0, 0, 1), (0, 0, 1)]);
        let (older, newer, ground) = ((OLDER, 1, 0), (NEWER, 0, 1), (GROUND, 0, 1));
        let mut group = vec![older, newer];
        group.sort_unstable();
        let expected = if threshold < 1.0 {
            vec![group.clone()]
        } else {
            vec![]
        };
        assert_eq!(report(&server, threshold), expected);
        assert_eq!(
            report(&server, 0.951),
            [[]; 0] as [[([u8; 20], u32, u32); 0]; 0]
        );
        group.push(ground);
        group.sort_unstable();
        assert_eq!(report(&server, 0.375), [group]);
    }
}

#[test]
fn merged_torrents_are_reported_together_with_the_counts_of_the_older() {
    let server = Server::start(&merging(two_cores()));
    let client = server.client();
    let id = client.connect();
    client.announce(id, Announce::seeder(OLDER, 1001));
    client.announce(id, Announce::leecher(NEWER, 1002));
    let mut group = [(OLDER, 1, 1), (NEWER, 1, 1)];
    group.sort_unstable();
    assert_eq!(report(&server, 0.95), [group]);
}

#[test]
fn many_torrents_on_several_cores_are_all_compared() {
    let mut config = two_cores();
    config.workers.count = 3;
    let server = Server::start(&config);
    let client = server.client();
    let id = client.connect();
    let mut expected = Vec::new();
    for n in 0..20_000_u32 {
        let mut info_hash = [3; 20];
        info_hash[..4].copy_from_slice(&n.wrapping_mul(0x9e37_79b9).to_be_bytes());
        client.announce(id, Announce::seeder(info_hash, 1001));
        if n % 1000 == 0 {
            let like = with(info_hash, 9, 0x10);
            client.announce(id, Announce::leecher(like, 1001));
            expected.push(vec![(info_hash, 1, 0), (like, 0, 1)]);
        }
    }
    expected.sort_unstable();
    assert_eq!(report(&server, 0.95), expected);
    let some = find(server.tracker.collector(), 0.95, 7).unwrap();
    assert_eq!(some.len(), 7);
}

#[test]
fn a_blocked_torrent_is_not_reached_through_a_newer_one_nor_a_newer_one_served_that_is_blocked() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("blocked");
    fs::write(&list, "").unwrap();
    let mut config = merging(two_cores());
    config.access.deny = Deny::Error;
    config.access.blocklist = list.to_str().unwrap().to_owned();
    config.scrape.full = true;
    let server = Server::start(&config);
    let client = server.client();
    let id = client.connect();
    let mut browser = Browser::of(server.http_address());
    client.announce(id, Announce::seeder(OLDER, 1001));
    client.announce(id, Announce::leecher(NEWER, 1002));
    let refused = |torrent| {
        let reply = client.ask(&Announce::leecher(torrent, 1003).to_bytes(id));
        assert_eq!(error_text(&reply), "info_hash not allowed");
        assert_eq!(client.scrape(id, &[torrent]), [(0, 0, 0)]);
        let others = [torrent, [1; 20], [2; 20], [77; 20], [200; 20]];
        assert_eq!(client.scrape(id, &others)[0], (0, 0, 0));
    };

    fs::write(&list, InfoHash(OLDER).to_string()).unwrap();
    assert_eq!(server.tracker.reload(&config), [""; 0]);
    refused(OLDER);
    refused(NEWER);
    let told = browser.get(&announce(&escaped(&NEWER), 1003, 9, "started"));
    assert_eq!(told.text(), "d14:failure reason21:info_hash not allowede");
    assert!(report(&server, 0.95).is_empty());
    let scraped = browser.get("/scrape").body;
    assert!(
        !scraped
            .windows(20)
            .any(|bytes| bytes == NEWER || bytes == OLDER)
    );

    fs::write(&list, InfoHash(NEWER).to_string()).unwrap();
    assert_eq!(server.tracker.reload(&config), [""; 0]);
    refused(NEWER);
    let told = client.announce(id, Announce::seeder(OLDER, 1001));
    assert_eq!(told.ports(), [1002]);

    fs::write(&list, "").unwrap();
    assert_eq!(server.tracker.reload(&config), [""; 0]);
    let told = client.announce(id, Announce::leecher(NEWER, 1002));
    assert_eq!(told.ports(), [1001]);
}

#[test]
fn a_newer_torrent_has_a_swarm_of_its_own_when_the_older_was_forgotten() {
    for config in shapes().map(merging) {
        let server = Server::start(&config);
        let client = server.client();
        let id = client.connect();
        client.announce(id, Announce::seeder(OLDER, 1001));
        client.announce(id, Announce::leecher(NEWER, 1002));
        server.clock.advance(2 * config.announce.peer_timeout_s());
        server.wait_until("the torrents gone", |totals| {
            totals.tally(Tally::Expired) == 2 && totals.tally(Tally::Torrents) == 0
        });
        let id = client.connect();
        let told = client.announce(id, Announce::seeder(NEWER, 1003));
        assert_eq!((told.seeders, told.leechers), (1, 0));
        let told = client.announce(id, Announce::leecher(OLDER, 1004));
        assert_eq!(told.ports(), [1003]);
        assert_eq!(client.scrape(id, &[OLDER, NEWER]), [(1, 0, 1); 2]);
    }
}

#[test]
fn a_torrent_that_was_restored_is_the_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = merging(two_cores());
    config.store.path = folder.path().join("store").to_str().unwrap().to_owned();
    let server = Server::start(&config);
    let client = server.client();
    let id = client.connect();
    client.announce(id, Announce::seeder(OLDER, 1001));
    client.announce(id, Announce::leecher(NEWER, 1002));
    server.tracker.stop().unwrap();

    let server = Server::start(&config);
    let client = server.client();
    let id = client.connect();
    let told = client.announce(id, Announce::leecher(NEWER, 1003));
    assert_eq!((told.seeders, told.leechers), (1, 2));
    assert_eq!(told.ports(), [1001, 1002]);
    server.wait_until("one torrent", |totals| totals.tally(Tally::Torrents) == 1);
}

#[test]
fn peers_of_a_newer_torrent_keep_their_ids_and_a_long_scrape_its_order() {
    let mut config = merging(two_cores());
    config.swarm.peer_details = true;
    let server = Server::start(&config);
    let mut browser = Browser::of(server.http_address());
    let dictionaries = |torrent, port, left| {
        announce(&escaped(torrent), port, left, "started").replace("compact=1", "compact=0")
    };
    browser.get(&dictionaries(&OLDER, 1001, 0));
    let told = browser.get(&dictionaries(&NEWER, 1002, 9)).text();
    assert!(told.contains("7:peer id20:-SH0100-abcdefghijkl"), "{told}");
    let told = browser.get(&dictionaries(&OLDER, 1003, 9)).text();
    assert_eq!(told.matches("-SH0100-abcdefghijkl").count(), 2, "{told}");

    let client = server.client();
    let id = client.connect();
    let asked: Vec<[u8; 20]> = (0..37).flat_map(|n| [[n * 7; 20], NEWER]).collect();
    let reply = client.ask(&scrape_request(id, &asked));
    let rows: Vec<&[u8]> = reply[8..].chunks(12).collect();
    assert_eq!(rows.len(), 74);
    for pair in rows.chunks(2) {
        assert_eq!((pair[0], pair[1][3], pair[1][11]), (&[0; 12][..], 1, 2));
    }
}

#[test]
fn what_is_credited_is_credited_to_the_torrent_that_was_announced() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = merging(two_cores());
    config.store.path = folder.path().to_str().unwrap().to_owned();
    config.access.mode = Mode::Private;
    config.swarm.peer_details = true;
    let server = Server::start(&config);
    let registrar = server.tracker.registrar();
    let (key, _) = registrar.add_key(None, None, "the test").unwrap();
    let client = server.client();
    let mut browser = Browser::of(server.http_address());
    // One client with both, whose counters have nothing to do with each other.
    for step in 0..4_u64 {
        for (torrent, uploaded) in [(OLDER, 1_000_000 + step * 30), (NEWER, step * 7)] {
            let path = format!("/announce/{key}");
            if step % 2 == 0 {
                let regular = Announce {
                    event: Announce::REGULAR,
                    ..Announce::leecher(torrent, 1001)
                };
                let mut datagram = regular.to_bytes(client.connect());
                datagram[72..80].copy_from_slice(&uploaded.to_be_bytes());
                datagram.extend([2, path.len() as u8]);
                datagram.extend(path.as_bytes());
                assert_eq!(client.ask(&datagram)[..4], [0, 0, 0, 1]);
            } else {
                let target = announce(&escaped(&torrent), 1001, 9, "")
                    .replace("/announce", &path)
                    .replace("uploaded=0", &format!("uploaded={uploaded}"));
                let told = browser.get(&target);
                assert_eq!(complete_and_incomplete(&told.body), (0, 1));
            }
        }
        server.clock.advance(100);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let all = runtime.block_on(server.tracker.errands().transfers());
    let mut credited: Vec<_> = all
        .iter()
        .flat_map(|transfers| transfers.iter().copied().collect::<Vec<_>>())
        .map(|credited| (credited.info_hash.0, credited.uploaded))
        .collect();
    credited.sort_unstable();
    let mut expected = [(OLDER, 90), (NEWER, 21)];
    expected.sort_unstable();
    assert_eq!(credited, expected);
}
