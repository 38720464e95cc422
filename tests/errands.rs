//! What the control side asks of running cores: to look at swarms, to forget some, to bring some back, to
//! sweep, and to hand over what is to be credited.

mod http;
mod in_process;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use http::Browser;
use in_process::{Announce, BACKENDS, Client, Server, config, http_listener, listener};
use shoal::config::Config;
use shoal::counters::Tally;
use shoal::gate::access::Mode;
use shoal::shard::{Busy, Errands, Returning};
use shoal::swarm::{PeerAddr, State, Totals, Transfers};
use shoal::wire::{InfoHash, PeerId};
use tempfile::TempDir;

/// Both backends, on one core and on three, with details of peers.
fn arrangements() -> Vec<Config> {
    let mut all = Vec::new();
    for backend in BACKENDS {
        for count in [1, 3] {
            let mut config = config();
            config.udp = vec![listener("127.0.0.1:0"), listener("[::1]:0")];
            config.workers.backend = backend;
            config.workers.count = count;
            config.swarm.peer_details = true;
            all.push(config);
        }
    }
    all
}

fn wait<T>(task: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(task)
}

fn info_hash(number: u32) -> InfoHash {
    let mut info_hash = [number as u8; 20];
    info_hash[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
    InfoHash(info_hash)
}

fn peer(number: u32) -> PeerAddr {
    let [_, b, c, d] = number.to_be_bytes();
    if number.is_multiple_of(2) {
        PeerAddr::V4([10, b, c, d, 26, 225])
    } else {
        let mut wire = [0x20; 18];
        wire[10..14].copy_from_slice(&number.to_be_bytes());
        PeerAddr::V6(wire)
    }
}

/// A torrent with so many peers, every third of which has everything.
fn crowd(torrent: u32, peers: u32) -> Returning {
    let state = |number: u32| match number % 3 {
        0 => State::Seeding,
        _ => State::Leeching,
    };
    let known = (0..peers).map(|number| (peer(number), state(number), number % 60));
    (info_hash(torrent), 7, known.collect())
}

fn totals(errands: &Errands, torrent: u32) -> Option<Totals> {
    let view = wait(errands.swarm(info_hash(torrent), 0)).unwrap();
    view.map(|view| view.totals)
}

#[test]
fn a_large_swarm_is_told_whole_while_announces_are_answered() {
    for config in arrangements() {
        let server = Server::start(&config);
        let errands = server.tracker.errands();
        let restored = wait(errands.restore(vec![crowd(1, 20_000)])).unwrap();
        assert_eq!((restored.torrents, restored.peers), (1, 20_000));
        let done = AtomicBool::new(false);
        let answered = thread::scope(|scope| {
            let announcer = scope.spawn(|| {
                let client = server.client();
                let id = client.connect();
                let mut answered = 0;
                while !done.load(Ordering::Relaxed) {
                    let announce = Announce::leecher(info_hash(1).0, 9999);
                    assert_eq!(client.announce(id, announce).peers.len(), 50);
                    answered += 1;
                }
                answered
            });
            for _ in 0..20 {
                let view = wait(errands.swarm(info_hash(1), 100_000)).unwrap().unwrap();
                let addresses: BTreeSet<SocketAddr> = view.peers.iter().map(|p| p.addr).collect();
                assert_eq!(addresses.len(), view.peers.len());
                assert!((20_000..=20_001).contains(&addresses.len()));
                assert_eq!(view.totals.seeders, 6667);
                let seeders = view.peers.iter().filter(|peer| peer.seeder).count();
                assert_eq!(seeders, 6667);
            }
            done.store(true, Ordering::Relaxed);
            announcer.join().unwrap()
        });
        assert!(answered > 20, "{answered}");
        let few = wait(errands.swarm(info_hash(1), 30)).unwrap().unwrap();
        assert_eq!(few.peers.len(), 30);
        assert_eq!(wait(errands.swarm(info_hash(2), 30)), Ok(None));
    }
}

#[test]
fn peers_are_told_with_what_they_say_of_themselves() {
    for config in arrangements() {
        let server = Server::start(&config);
        let errands = server.tracker.errands();
        for (address, port) in server.tracker.addresses().iter().zip([1000, 2000]) {
            let client = Client::of(*address);
            let id = client.connect();
            client.announce(id, Announce::leecher(info_hash(1).0, port));
            client.announce(id, Announce::seeder(info_hash(1).0, port + 1));
        }
        server.clock.advance(40);
        let view = wait(errands.swarm(info_hash(1), 9)).unwrap().unwrap();
        assert_eq!((view.totals.seeders, view.totals.leechers), (2, 2));
        let mut ports = BTreeMap::new();
        for peer in &view.peers {
            assert!(peer.addr.ip().is_loopback());
            assert!((39..=45).contains(&peer.age_s), "{peer:?}");
            let details = peer.details.unwrap();
            assert_eq!(details.peer_id, PeerId(*b"-SH0100-abcdefghijkl"));
            assert_eq!(details.left == 0, peer.seeder);
            assert_eq!((details.key, peer.paused), (0, false));
            ports.insert(peer.addr.port(), peer.addr.is_ipv4() && !peer.seeder);
        }
        let expected = [(1000, true), (1001, false), (2000, false), (2001, false)];
        assert_eq!(ports, BTreeMap::from(expected));
    }
}

#[test]
fn forgotten_torrents_are_gone_with_their_counts_and_begin_anew() {
    for config in arrangements() {
        let server = Server::start(&config);
        let errands = server.tracker.errands();
        let torrents = (0..3000).map(|number| crowd(number, if number < 3 { 9000 } else { 2 }));
        let restored = wait(errands.restore(torrents.collect())).unwrap();
        assert_eq!(
            (restored.torrents, restored.peers),
            (3000, 3 * 9000 + 2 * 2997)
        );
        let seven = totals(&errands, 1).unwrap();
        assert_eq!((seven.completed, seven.seeders), (7, 3000));
        server.wait_until("all are counted", |totals| {
            totals.tally(Tally::Torrents) == 3000
        });

        let some: Vec<InfoHash> = (0..2500).chain(7000..7100).map(info_hash).collect();
        assert_eq!(wait(errands.forget(&some)), Ok(2500));
        assert_eq!(wait(errands.forget(&some)), Ok(0));
        server.wait_until("most are gone", |totals| {
            totals.tally(Tally::Torrents) == 500
        });
        assert_eq!((totals(&errands, 1), totals(&errands, 2499)), (None, None));
        assert_eq!(totals(&errands, 2500).unwrap().completed, 7);
        let client = server.client();
        let id = client.connect();
        let reply = client.announce(id, Announce::seeder(info_hash(1).0, 6881));
        assert_eq!((reply.seeders, reply.leechers), (1, 0));
        assert_eq!(client.scrape(id, &[info_hash(1).0]), [(1, 0, 0)]);
    }
}

#[test]
fn torrents_come_back_but_for_peers_that_are_too_old() {
    for config in arrangements() {
        let server = Server::start(&config);
        let errands = server.tracker.errands();
        let timeout_s = config.announce.peer_timeout_s();
        let peers = [
            (peer(2), State::Seeding, 5),
            (peer(3), State::Paused, timeout_s),
        ];
        let other = [(peer(4), State::Leeching, 1)];
        let torrents = vec![
            (info_hash(1), 3, peers.to_vec()),
            (info_hash(2), 0, Vec::new()),
            (info_hash(1), 2, other.to_vec()),
        ];
        let restored = wait(errands.restore(torrents)).unwrap();
        assert_eq!(
            (restored.torrents, restored.peers, restored.expired),
            (1, 2, 1)
        );
        let seen = totals(&errands, 1).unwrap();
        assert_eq!((seen.completed, seen.seeders, seen.leechers), (3, 1, 1));
        assert_eq!(totals(&errands, 2), None);
    }
}

#[test]
fn a_sweep_on_demand_has_looked_at_everything_when_it_answers() {
    for config in arrangements() {
        let server = Server::start(&config);
        let errands = server.tracker.errands();
        let torrents = (0..2000).map(|number| crowd(number, 9)).collect();
        wait(errands.restore(torrents)).unwrap();
        let peers = |server: &Server| {
            let totals = server.totals();
            let tallies = [
                Tally::SeedersV4,
                Tally::LeechersV4,
                Tally::SeedersV6,
                Tally::LeechersV6,
            ];
            tallies.map(|tally| totals.tally(tally)).iter().sum::<u64>()
        };
        wait(errands.sweep_all()).unwrap();
        assert_eq!(peers(&server), 18_000);
        server.clock.advance(config.announce.peer_timeout_s() + 1);
        wait(errands.sweep_all()).unwrap();
        assert_eq!(peers(&server), 0);
    }
}

/// A private tracker with one key.
fn private(mut config: Config) -> (Server, String, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    path.clone_into(&mut config.store.path);
    config.access.mode = Mode::Private;
    config.http = vec![http_listener("127.0.0.1:0"), http_listener("[::1]:0")];
    let server = Server::start(&config);
    let (key, _) = server
        .tracker
        .registrar()
        .add_key(None, None, "the test")
        .unwrap();
    (server, key.to_string(), folder)
}

/// Announces with a key in the options of BEP 41, and what was sent and received.
fn announce(client: &Client, key: &str, announce: Announce, uploaded: u64, downloaded: u64) {
    let mut datagram = announce.to_bytes(client.connect());
    datagram[56..64].copy_from_slice(&downloaded.to_be_bytes());
    datagram[72..80].copy_from_slice(&uploaded.to_be_bytes());
    let path = format!("/announce/{key}");
    datagram.extend([2, path.len() as u8]);
    datagram.extend(path.as_bytes());
    let reply = client.ask(&datagram);
    assert_eq!(reply[..4], [0, 0, 0, 1], "{reply:02x?}");
}

#[test]
fn a_client_is_credited_once_over_both_families_and_protocols() {
    for config in arrangements() {
        let (server, key, _folder) = private(config);
        let errands = server.tracker.errands();
        let addresses = server.tracker.addresses();
        let clients = [Client::of(addresses[0]), Client::of(addresses[1])];
        let regular = |left: u64| Announce {
            left,
            event: Announce::REGULAR,
            ..Announce::leecher(info_hash(1).0, 6881)
        };
        for client in &clients {
            announce(client, &key, Announce::leecher(info_hash(1).0, 6881), 0, 0);
        }
        server.clock.advance(100);
        announce(&clients[1], &key, regular(500), 3000, 500);
        announce(&clients[0], &key, regular(500), 3000, 500);
        server.clock.advance(100);
        for client in &clients {
            announce(client, &key, regular(0), 5000, 1000);
        }
        // The same client over HTTP, as its fallback.
        server.clock.advance(100);
        for address in server.tracker.http_addresses() {
            let query = format!(
                "/{key}/announce?info_hash={}&peer_id=-SH0100-abcdefghijkl&port=6881&left=0&uploaded=6000\
                 &downloaded=1000&compact=1",
                http::escaped(&info_hash(1).0)
            );
            let reply = Browser::of(*address).get(&query).text();
            assert!(reply.starts_with("d8:complete"), "{reply}");
        }
        for client in &clients {
            announce(client, &key, regular(0).stopped(), 6000, 1000);
        }
        let sums: Vec<_> = wait(errands.transfers())
            .iter()
            .flat_map(|transfers| transfers.iter().copied().collect::<Vec<_>>())
            .collect();
        assert_eq!(sums.len(), 1);
        assert_eq!(sums[0].info_hash, info_hash(1));
        let named = server.tracker.registrar().key_of(sums[0].key).unwrap();
        assert_eq!(named.to_string(), key);
        assert_eq!(
            (sums[0].uploaded, sums[0].downloaded, sums[0].left),
            (6000, 1000, 0)
        );
        assert!((100..=110).contains(&sums[0].seed_s), "{}", sums[0].seed_s);
        let again = wait(errands.transfers());
        assert!(
            again.len() == server.tracker.cores().len() && again.iter().all(Transfers::is_empty)
        );
    }
}

#[test]
fn without_keys_or_details_nothing_is_credited() {
    let mut public = config();
    public.swarm.peer_details = true;
    let server = Server::start(&public);
    let client = server.client();
    let id = client.connect();
    for _ in 0..3 {
        client.announce(id, Announce::leecher(info_hash(1).0, 6881));
    }
    let all = wait(server.tracker.errands().transfers());
    assert!(all.len() == 1 && all[0].is_empty());

    let (server, key, _folder) = private(config());
    let client = server.client();
    for uploaded in [0, 5000] {
        announce(
            &client,
            &key,
            Announce::leecher(info_hash(1).0, 6881),
            uploaded,
            0,
        );
    }
    let errands = server.tracker.errands();
    assert!(wait(errands.transfers())[0].is_empty());
    let view = wait(errands.swarm(info_hash(1), 5)).unwrap().unwrap();
    assert_eq!(view.peers[0].details, None);
    assert_eq!(view.peers[0].addr.ip(), IpAddr::from([127, 0, 0, 1]));
}

#[test]
fn a_tracker_that_has_ended_is_busy_and_nobody_waits_for_ever() {
    let server = Server::start(&config());
    let errands = server.tracker.errands();
    drop(server);
    assert_eq!(wait(errands.swarm(info_hash(1), 5)), Err(Busy));
}
