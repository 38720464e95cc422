//! A restart that no client notices: real processes that hand over to each other under load, and what is
//! left when the new one dies on the way.

mod in_process;
mod lineage;
mod support;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use in_process::{Announce, Client, info_hash, scrape_request};
use lineage::Lineage;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(*bytes[at..].first_chunk().unwrap())
}

/// What all clients of a test share.
#[derive(Default)]
struct Scene {
    over: AtomicBool,
    answered: AtomicU64,
}

impl Scene {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn count(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Announces new peers at a steady rate and misses no answer. Peers of even torrents complete them, those of
/// the torrents from 1000 on leave as soon as they have come.
struct Announcer {
    socket: UdpSocket,
    id: [u8; 8],
    first_port: u16,
    /// What is not answered yet, and when it was asked.
    asked: HashMap<u32, Instant>,
    next: u32,
    longest: Duration,
    peers: BTreeMap<u32, HashSet<u16>>,
}

impl Announcer {
    const TORRENTS: u32 = 60;
    const PEERS_A_TORRENT: u32 = 75;

    fn of(tracker: SocketAddr, number: u16) -> Self {
        let client = Client::of(tracker);
        let id = client.connect();
        let socket = client.socket;
        // Room for what is answered while this thread has no CPU.
        socket2::SockRef::from(&socket)
            .set_recv_buffer_size(1 << 20)
            .unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            socket,
            id,
            first_port: 1000 * (number + 1),
            asked: HashMap::new(),
            next: u32::from(number) << 24,
            longest: Duration::ZERO,
            peers: BTreeMap::new(),
        }
    }

    fn run(mut self, scene: &Scene, every: Duration) -> Self {
        let mut due = Instant::now();
        while !scene.is_over() {
            while due <= Instant::now() {
                self.announce();
                due += every;
            }
            self.hear(scene);
            thread::sleep(Duration::from_micros(500));
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.asked.is_empty() && Instant::now() < deadline {
            self.hear(scene);
            thread::sleep(Duration::from_millis(1));
        }
        self
    }

    fn announce(&mut self) {
        let number = self.next & 0x00ff_ffff;
        let torrent = number % Self::TORRENTS;
        let port = self.first_port + (number / Self::TORRENTS % Self::PEERS_A_TORRENT) as u16;
        let leecher = Announce {
            transaction_id: self.next,
            num_want: 3,
            ..Announce::leecher(info_hash(torrent), port)
        };
        // First it starts, and in the next round it has all.
        let announce = match (number / Self::TORRENTS / Self::PEERS_A_TORRENT, torrent % 2) {
            (0, _) | (_, 1) => leecher,
            (1, _) => Announce {
                event: Announce::COMPLETED,
                left: 0,
                ..leecher
            },
            _ => Announce {
                event: Announce::REGULAR,
                left: 0,
                ..leecher
            },
        };
        self.send(announce);
        self.peers.entry(torrent).or_default().insert(port);
        if number.is_multiple_of(7) {
            let visitor = Announce {
                info_hash: info_hash(1000 + torrent),
                transaction_id: self.next | 1 << 22,
                ..leecher
            };
            self.send(visitor);
            self.send(Announce {
                transaction_id: self.next | 1 << 23,
                ..visitor.stopped()
            });
        }
        self.next += 1;
    }

    fn send(&mut self, announce: Announce) {
        self.asked.insert(announce.transaction_id, Instant::now());
        let sent = self.socket.send(&announce.to_bytes(self.id));
        sent.expect("nobody refuses a datagram");
    }

    fn hear(&mut self, scene: &Scene) {
        let mut reply = [0; 2048];
        loop {
            match self.socket.recv(&mut reply) {
                Ok(len) => {
                    assert_eq!(word(&reply, 0), 1, "{:02x?}", &reply[..len]);
                    let asked = self.asked.remove(&word(&reply, 4));
                    let waited = asked.expect("an answer to a question").elapsed();
                    self.longest = self.longest.max(waited);
                    scene.count();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => panic!("nobody refuses a datagram: {error}"),
            }
        }
    }
}

/// Scrapes one torrent after the other; neither seeders nor completed downloads may become fewer.
fn scrape_on(tracker: SocketAddr, scene: &Scene) -> Duration {
    let client = Client::of(tracker);
    let id = client.connect();
    let mut known: HashMap<u32, (u32, u32, u32)> = HashMap::new();
    let mut longest = Duration::ZERO;
    while !scene.is_over() {
        for first in (0..Announcer::TORRENTS).step_by(10) {
            let hashes: Vec<_> = (first..first + 10).map(info_hash).collect();
            let stopwatch = Instant::now();
            let reply = client.ask(&scrape_request(id, &hashes));
            longest = longest.max(stopwatch.elapsed());
            assert_eq!(word(&reply, 0), 2);
            for (torrent, row) in (first..).zip(reply[8..].chunks(12)) {
                let row = (word(row, 0), word(row, 4), word(row, 8));
                let before = known.insert(torrent, row).unwrap_or_default();
                let peers = |row: (u32, u32, u32)| row.0 + row.2;
                assert!(
                    row.0 >= before.0 && row.1 >= before.1 && peers(row) >= peers(before),
                    "torrent {torrent} had {before:?} and has {row:?}"
                );
            }
            scene.count();
        }
        thread::sleep(Duration::from_millis(5));
    }
    longest
}

fn http_announce(torrent: u32, port: u16, connection: &str) -> String {
    let escaped = info_hash(torrent)
        .map(|byte| format!("%{byte:02x}"))
        .concat();
    format!(
        "GET /announce?info_hash={escaped}&peer_id=-SH0100-abcdefghijkl&port={port}&left=5&compact=1 \
         HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\n\r\n"
    )
}

/// Announces over a new connection each time; every one is to be let in and answered.
fn connect_on(tracker: SocketAddr, scene: &Scene) -> (Duration, Vec<u16>) {
    let mut longest = Duration::ZERO;
    let mut ports = Vec::new();
    while !scene.is_over() {
        let port = 1024 + (ports.len() % 150) as u16;
        let stopwatch = Instant::now();
        let mut stream = TcpStream::connect(tracker).expect("nobody is refused");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
            .write_all(http_announce(2000, port, "close").as_bytes())
            .expect("nobody is sent away");
        let mut reply = Vec::new();
        stream
            .read_to_end(&mut reply)
            .expect("everybody is answered");
        let reply = String::from_utf8_lossy(&reply);
        assert!(
            reply.starts_with("HTTP/1.1 200") && reply.contains("8:interval"),
            "{reply:?}"
        );
        longest = longest.max(stopwatch.elapsed());
        ports.push(port);
        scene.count();
        thread::sleep(Duration::from_millis(3));
    }
    (longest, ports)
}

/// Announces over one connection as long as that stays open. It may be closed, but not between a question
/// and its answer, unless that is the first byte of what crossed the end on its way.
fn keep_alive_on(tracker: SocketAddr, scene: &Scene) -> u32 {
    let mut connections = 0;
    while !scene.is_over() {
        let mut stream = TcpStream::connect(tracker).expect("nobody is refused");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        connections += 1;
        let mut answers = 0;
        while !scene.is_over() {
            let request = http_announce(2001, 1024, "keep-alive");
            if stream.write_all(request.as_bytes()).is_err() {
                break;
            }
            let mut reply = [0; 4096];
            match stream.read(&mut reply) {
                Ok(len) if len > 0 => {
                    let reply = String::from_utf8_lossy(&reply[..len]);
                    assert!(reply.starts_with("HTTP/1.1 200"), "{reply:?}");
                    answers += 1;
                    scene.count();
                    if reply.contains("Connection: close") {
                        break;
                    }
                }
                // An end that crossed a question. The first question is always answered.
                _ => {
                    assert!(answers > 0, "a fresh connection is answered");
                    break;
                }
            }
            thread::sleep(Duration::from_millis(3));
        }
    }
    connections
}

/// Three restarts with everybody about; the first peers of all torrents are there in the end.
fn three_restarts(backend: &str) {
    let place = TempDir::new().unwrap();
    let store = format!("store.path={}", place.path().join("data").display());
    let backend = format!("workers.backend={backend}");
    let mut lineage = Lineage::start(&[
        "udp.listen=127.0.0.1:0",
        "http.listen=127.0.0.1:0",
        "workers.count=2",
        &store,
        &backend,
    ]);
    let (udp, http) = (lineage.address(), lineage.http_address());
    let scene = Scene::default();
    let keep_open = Client::of(udp);
    let old_id = keep_open.connect();
    thread::scope(|scope| {
        let every = Duration::from_micros(800);
        let announcers = [1, 2].map(|number| {
            let scene = &scene;
            scope.spawn(move || Announcer::of(udp, number).run(scene, every))
        });
        let scraper = scope.spawn(|| scrape_on(udp, &scene));
        let connecting = [(); 2].map(|()| scope.spawn(|| connect_on(http, &scene)));
        let keeping = scope.spawn(|| keep_alive_on(http, &scene));
        let restarted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            thread::sleep(Duration::from_secs(2));
            for _ in 0..3 {
                let before = scene.answered.load(Ordering::Relaxed);
                println!("{}", lineage.restart());
                thread::sleep(Duration::from_secs(2));
                let after = scene.answered.load(Ordering::Relaxed);
                assert!(after > before + 1000, "{before} and {after} answers");
            }
        }));
        scene.over.store(true, Ordering::Relaxed);
        if let Err(panic) = restarted {
            std::panic::resume_unwind(panic);
        }
        let mut peers: BTreeMap<u32, HashSet<u16>> = BTreeMap::new();
        for announcer in announcers {
            let announcer = announcer.join().unwrap();
            let lost = announcer.asked.len();
            assert_eq!(lost, 0, "datagrams without an answer");
            println!(
                "{} announces, the longest took {:?}",
                announcer.next & 0x00ff_ffff,
                announcer.longest
            );
            for (torrent, ports) in announcer.peers {
                peers.entry(torrent).or_default().extend(ports);
            }
        }
        println!("the longest scrape took {:?}", scraper.join().unwrap());
        for connecting in connecting {
            let (longest, ports) = connecting.join().unwrap();
            println!("{} connections, the longest took {longest:?}", ports.len());
            peers.entry(2000).or_default().extend(ports);
        }
        println!("{} connections were kept open", keeping.join().unwrap());
        for (torrent, ports) in peers {
            let guest = Announce {
                num_want: 200,
                ..Announce::leecher(info_hash(torrent), 1023)
            };
            let reply = keep_open.announce(old_id, guest);
            let told: HashSet<u16> = reply.ports().into_iter().collect();
            let missing: Vec<_> = ports.difference(&told).collect();
            assert!(missing.is_empty(), "torrent {torrent} misses {missing:?}");
        }
        for torrent in 1000..1000 + Announcer::TORRENTS {
            let rows = keep_open.scrape(old_id, &[info_hash(torrent)]);
            assert_eq!(rows, [(0, 0, 0)], "all have left torrent {torrent}");
        }
    });
    assert!(lineage.stop().ends_with("stopped"));
}

#[test]
fn nobody_notices_three_restarts_with_io_uring() {
    three_restarts("io_uring");
}

#[test]
fn nobody_notices_three_restarts_with_mmsg() {
    three_restarts("mmsg");
}
