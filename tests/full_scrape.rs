//! All torrents at once: complete, exact, shared, and no burden to anybody else.

mod http;
mod in_process;

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bt_bencode::Value;
use http::{Browser, Response, announce, http_config};
use in_process::{Announce, BACKENDS, Client, PATIENCE, Server, http_listener, listener};
use shoal::config::{Backend, Config};
use shoal::counters::{BadRequest, Count, Tally};

/// Torrents of a tracker that is worth the trouble.
const MANY: u32 = 100_000;

/// Announces that are sent at a time; as many fit into a socket of any size.
const BURST: usize = 100;

/// Seconds after which no snapshot is good any more when `scrape.min_request_interval` is 0.
const STALE_S: u32 = 6;

/// Pause between two looks at a state that has no event to wait for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How a client asks, and the header line for it.
const FORMS: [(Option<&str>, &str); 3] = [
    (None, ""),
    (Some("gzip"), "Accept-Encoding: gzip, deflate\r\n"),
    (Some("zstd"), "Accept-Encoding: gzip, br, zstd\r\n"),
];

/// What a scrape says of one torrent: a dictionary of counts.
type Row = Value;

/// One test at a time: some measure time, some memory, and all of them load the machine.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn config(backend: Backend, cores: usize) -> Config {
    let mut config = http_config(backend);
    config.workers.count = cores;
    config.scrape.full = true;
    config.scrape.downloaders = true;
    config
}

fn server_with_many(backend: Backend, cores: usize) -> Server {
    let server = Server::start(&config(backend, cores));
    announce_all(&server, 0..MANY, |n| Announce {
        left: u64::from(n % 3),
        ..Announce::seeder(info_hash(n), 6881)
    });
    server.wait_until("all torrents known", |totals| {
        totals.tally(Tally::Torrents) == u64::from(MANY)
    });
    server
}

/// Sets a flag when it goes, so that a test that fails does not wait for those who wait for the flag.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The info-hash of a number: evenly spread, like those of torrents.
fn info_hash(number: u32) -> [u8; 20] {
    let mut hash = [0; 20];
    fastrand::Rng::with_seed(number.into()).fill(&mut hash);
    hash
}

/// Sends announces over UDP, many at a time, and waits for all answers.
fn announce_all(
    server: &Server,
    numbers: impl IntoIterator<Item = u32>,
    announce: impl Fn(u32) -> Announce,
) {
    let client = server.client();
    let id = client.connect();
    let mut numbers = numbers.into_iter();
    loop {
        let mut sent = 0;
        for number in numbers.by_ref().take(BURST) {
            client.send(&announce(number).to_bytes(id));
            sent += 1;
        }
        if sent == 0 {
            return;
        }
        (0..sent).for_each(|_| drop(client.receive()));
    }
}

fn escaped(info_hash: &[u8]) -> String {
    info_hash.iter().fold(String::new(), |mut text, byte| {
        write!(text, "%{byte:02x}").unwrap();
        text
    })
}

/// The body as it is without compression, which must be the one that was asked for.
fn unpacked(response: &Response, encoding: Option<&str>) -> Vec<u8> {
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-encoding"), encoding);
    match encoding {
        None => response.body.clone(),
        Some("gzip") => {
            let mut body = Vec::new();
            flate2::read::GzDecoder::new(&response.body[..])
                .read_to_end(&mut body)
                .unwrap();
            body
        }
        Some(_) => zstd::stream::decode_all(&response.body[..]).unwrap(),
    }
}

/// The rows of a scrape by info-hash, after a look at its form: every key once, and sorted.
fn rows(body: &[u8]) -> BTreeMap<Vec<u8>, Row> {
    let value: Value = bt_bencode::from_slice(body).unwrap();
    let again = bt_bencode::to_vec(&value).unwrap();
    assert!(again == body, "not in the one form that bencode has");
    let Value::Dict(mut scrape) = value else {
        panic!("a dictionary");
    };
    let Some(Value::Dict(files)) = scrape.remove(&b"files"[..]) else {
        panic!("a dictionary of files");
    };
    let row = |(hash, row): (bt_bencode::ByteString, Row)| (hash.to_vec(), row);
    files.into_iter().map(row).collect()
}

/// What single scrapes say of these torrents.
fn single_rows<'a>(
    browser: &mut Browser,
    info_hashes: impl IntoIterator<Item = &'a Vec<u8>>,
) -> BTreeMap<Vec<u8>, Row> {
    let info_hashes: Vec<_> = info_hashes.into_iter().collect();
    let mut said = BTreeMap::new();
    for some in info_hashes.chunks(74) {
        let mut target = String::from("/scrape?");
        for hash in some {
            write!(target, "&info_hash={}", escaped(hash)).unwrap();
        }
        said.extend(rows(&browser.get(&target).body));
    }
    said
}

/// Asks for all torrents and takes them in pieces; returns how many bytes came.
fn drain(server: &Server, headers: &str) -> usize {
    let mut stream = ask_and_wait(server, headers);
    let mut piece = vec![0; 64 << 10];
    let mut all = 0;
    loop {
        match stream.read(&mut piece).expect("the reply goes on") {
            0 => return all,
            len => all += len,
        }
    }
}

/// Asks for all torrents, and reads nothing.
fn ask_and_wait(server: &Server, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.http_address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET /scrape HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{headers}\r\n"
    )
    .unwrap();
    stream
}

/// Fetches all torrents in every form over one connection, and compares with single scrapes.
fn expect_all_torrents(server: &Server, torrents: usize) {
    let mut browser = Browser::of(server.http_address());
    let bodies = FORMS.map(|(encoding, header)| {
        // The reply that comes behind shows that the length was exact.
        let response = browser.get_with("/scrape", header);
        assert_eq!(browser.get("/health_check").text(), r#"{"status":"Ok"}"#);
        unpacked(&response, encoding)
    });
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    let all = rows(&bodies[0]);
    assert_eq!(all.len(), torrents);
    assert!(single_rows(&mut browser, all.keys()) == all);
}

#[test]
fn every_torrent_comes_once_with_what_a_scrape_of_its_own_tells() {
    let _alone = alone();
    for (backend, cores) in BACKENDS.into_iter().flat_map(|b| [(b, 1), (b, 2)]) {
        let mut config = config(backend, cores);
        config.udp.push(listener("[::1]:0"));
        config.http.push(http_listener("[::1]:0"));
        config.swarm.remove_peerless = false;
        config.scrape.min_request_interval = 900;
        let server = Server::start(&config);

        // From none to six peers of every kind a torrent.
        announce_all(&server, 0..2000, |n| Announce {
            left: u64::from(n % 2),
            ..Announce::leecher(info_hash(n), 1)
        });
        for port in 2..6 {
            let some = (0..2000).filter(|n| n % u32::from(port) == 0);
            announce_all(&server, some, |n| Announce {
                left: u64::from(port % 2),
                ..Announce::seeder(info_hash(n), port)
            });
        }
        announce_all(&server, 1000..1500, |n| {
            Announce::leecher(info_hash(n), 1).stopped()
        });
        announce_all(&server, 500..700, |n| Announce {
            event: Announce::COMPLETED,
            ..Announce::seeder(info_hash(n), 1)
        });
        let over_ip6 = Client::of(server.tracker.addresses()[1]);
        let id = over_ip6.connect();
        let mut browser = Browser::of(server.tracker.http_addresses()[1]);
        for n in 0..100 {
            over_ip6.announce(id, Announce::seeder(info_hash(n * 17), 7));
            let hash = escaped(&info_hash(n * 19));
            assert_eq!(browser.get(&announce(&hash, 8, 5, "paused")).status, 200);
        }
        expect_all_torrents(&server, 2000);
    }
}

#[test]
fn a_hundred_thousand_torrents_come_in_every_form() {
    let _alone = alone();
    for (backend, cores) in [(Backend::IoUring, 2), (Backend::Mmsg, 1)] {
        let server = server_with_many(backend, cores);
        let begun = Instant::now();
        let lens = FORMS.map(|(_, header)| drain(&server, header));
        println!(
            "{backend:?}, {cores} cores: bytes {lens:?} in {:?}",
            begun.elapsed()
        );
        expect_all_torrents(&server, MANY as usize);
    }
}

#[test]
fn without_permission_there_is_no_full_scrape() {
    let _alone = alone();
    for backend in BACKENDS {
        let server = Server::start(&http_config(backend));
        let mut browser = Browser::of(server.http_address());
        for target in ["/scrape", "/scrape?", "/KEY/scrape?passkey=1"] {
            let refused = browser.get(target);
            assert_eq!(refused.status, 200);
            assert_eq!(refused.text(), "d14:failure reason20:full scrape disablede");
        }
        assert_eq!(server.tally(Tally::FullScrapes), 0);
    }
}

#[test]
fn a_tracker_without_torrents_tells_so() {
    let _alone = alone();
    for backend in BACKENDS {
        let server = Server::start(&config(backend, 2));
        for (encoding, header) in FORMS {
            let mut browser = Browser::of(server.http_address());
            let response = browser.get_with("/scrape", header);
            assert_eq!(unpacked(&response, encoding), b"d5:filesdee");
        }
    }
}

#[test]
fn a_body_behind_the_request_does_not_take_the_scrape_back() {
    let _alone = alone();
    for backend in BACKENDS {
        let server = Server::start(&config(backend, 2));
        announce_all(&server, 0..5000, |n| Announce::seeder(info_hash(n), 1));
        let mut stream = ask_and_wait(&server, "Content-Length: 10000\r\n");
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap();
        assert!(said.ends_with(b"ee"));
        for _ in 0..10 {
            stream.write_all(&[b'x'; 1000]).expect("no reset");
        }
    }
}

#[test]
fn twenty_clients_at_once_get_the_same_snapshot() {
    let _alone = alone();
    for backend in BACKENDS {
        let mut config = config(backend, 2);
        config.scrape.min_request_interval = 900;
        let server = Server::start(&config);
        announce_all(&server, 0..5000, |n| Announce::seeder(info_hash(n), 1));
        let (start, over) = (Barrier::new(21), AtomicBool::new(false));
        let bodies: Vec<Vec<u8>> = thread::scope(|scope| {
            // Were there more than one snapshot, new torrents would show it.
            scope.spawn(|| {
                let new = (5000..).take_while(|_| !over.load(Ordering::Relaxed));
                announce_all(&server, new, |n| Announce::seeder(info_hash(n), 1));
            });
            let clients: Vec<_> = (0..20)
                .map(|n| {
                    let (server, start) = (&server, &start);
                    scope.spawn(move || {
                        let (encoding, header) = FORMS[n % FORMS.len()];
                        let mut browser = Browser::of(server.http_address());
                        start.wait();
                        unpacked(&browser.get_with("/scrape", header), encoding)
                    })
                })
                .collect();
            let _over = Over(&over);
            start.wait();
            clients.into_iter().map(|c| c.join().unwrap()).collect()
        });
        assert!(bodies.iter().all(|body| *body == bodies[0]));
        assert!(rows(&bodies[0]).len() >= 5000);
        assert_eq!(server.tally(Tally::FullScrapes), 20);
    }
}

#[test]
fn a_snapshot_is_made_anew_when_it_is_old_and_has_the_new_torrents() {
    let _alone = alone();
    for backend in BACKENDS {
        let mut config = config(backend, 2);
        config.scrape.min_request_interval = 600;
        let server = Server::start(&config);
        let scraped = |header| {
            let response = Browser::of(server.http_address()).get_with("/scrape", header);
            let encoding = response.header("content-encoding").map(str::to_owned);
            unpacked(&response, encoding.as_deref())
        };
        announce_all(&server, 0..10, |n| Announce::seeder(info_hash(n), 1));
        let first = scraped("");
        assert!(first.ends_with(b"5:flagsd20:min_request_intervali600eee"));
        assert_eq!(rows(&first).len(), 10);

        announce_all(&server, 10..20, |n| Announce::seeder(info_hash(n), 1));
        server.clock.advance(500);
        // A form that nobody has asked for yet is of the same snapshot.
        for (_, header) in FORMS {
            assert_eq!(scraped(header), first);
        }
        server.clock.advance(100);
        for (_, header) in FORMS {
            assert_eq!(rows(&scraped(header)).len(), 20);
        }
    }
}

#[test]
fn torrents_that_come_and_go_meanwhile_never_break_a_reply() {
    let _alone = alone();
    for (backend, cores) in BACKENDS.into_iter().flat_map(|b| [(b, 1), (b, 2)]) {
        let server = Server::start(&config(backend, cores));
        // These stay, between others that come and go.
        let stays = |n: u32| n.is_multiple_of(4);
        announce_all(&server, 0..12_000, |n| Announce::seeder(info_hash(n), 1));
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut rng = fastrand::Rng::with_seed(1);
                while !over.load(Ordering::Relaxed) {
                    let events: Vec<_> = std::iter::repeat_with(|| rng.u32(..24_000))
                        .filter(|n| !stays(*n))
                        .take(512)
                        .collect();
                    let leave = rng.bool();
                    announce_all(&server, events, |n| {
                        let seeder = Announce::seeder(info_hash(n), 1);
                        if leave { seeder.stopped() } else { seeder }
                    });
                }
            });
            let _over = Over(&over);
            for round in 0..6 {
                let (encoding, header) = FORMS[round % FORMS.len()];
                let mut browser = Browser::of(server.http_address());
                let response = browser.get_with("/scrape", header);
                let all = rows(&unpacked(&response, encoding));
                for n in (0..12_000).filter(|n| stays(*n)) {
                    assert!(all.contains_key(&info_hash(n)[..]), "{n} is missing");
                }
                server.clock.advance(STALE_S);
            }
        });
    }
}

/// How long each of many announces waits for its answer.
struct Latencies(Vec<Duration>);

impl Latencies {
    /// Asks again and again, one after the other, until `done`.
    fn of(mut ask: impl FnMut(), done: impl Fn(usize) -> bool) -> Self {
        let mut taken = Vec::new();
        while !done(taken.len()) {
            let begun = Instant::now();
            ask();
            taken.push(begun.elapsed());
        }
        taken.sort_unstable();
        Self(taken)
    }

    fn per_mille(&self, place: usize) -> Duration {
        self.0[(self.0.len() - 1) * place / 1000]
    }

    fn describe(&self) -> String {
        let [p50, p99, max] = [500, 990, 1000].map(|place| self.per_mille(place));
        format!(
            "{} answers, p50 {p50:?}, p99 {p99:?}, slowest {max:?}",
            self.0.len()
        )
    }
}

/// Asks with `ask` alone, then while full scrapes are made and taken all the time.
fn expect_low_latency(server: &Server, name: &str, mut ask: impl FnMut() + Send) {
    let alone = Latencies::of(&mut ask, |asked| asked == 3000);
    println!("{name} alone: {}", alone.describe());
    let over = AtomicBool::new(false);
    let beside = thread::scope(|scope| {
        let asking = scope.spawn(|| Latencies::of(&mut ask, |_| over.load(Ordering::Relaxed)));
        let stop_asking = Over(&over);
        for (_, header) in FORMS {
            drain(server, header);
            server.clock.advance(STALE_S);
        }
        drop(stop_asking);
        asking.join().unwrap()
    });
    println!("{name} beside full scrapes: {}", beside.describe());
    let slowest = beside.per_mille(1000);
    assert!(slowest < Duration::from_millis(250), "{slowest:?}");
}

#[test]
fn announces_are_answered_soon_while_everything_is_told_to_somebody() {
    let _alone = alone();
    for backend in BACKENDS {
        let server = server_with_many(backend, 2);
        let client = server.client();
        let id = client.connect();
        let mut rng = fastrand::Rng::with_seed(1);
        expect_low_latency(&server, &format!("{backend:?}, UDP"), || {
            client.announce(id, Announce::leecher(info_hash(rng.u32(..MANY)), 2));
        });
        let mut browser = Browser::of(server.http_address());
        let mut rng = fastrand::Rng::with_seed(2);
        expect_low_latency(&server, &format!("{backend:?}, HTTP"), || {
            let hash = escaped(&info_hash(rng.u32(..MANY)));
            browser.get(&announce(&hash, 3, 1, "started"));
        });
    }
}

#[test]
fn who_does_not_take_the_reply_is_given_up_and_others_get_theirs() {
    let _alone = alone();
    for backend in BACKENDS {
        let server = server_with_many(backend, 2);
        let slow = ask_and_wait(&server, "");
        server.wait_until("a full scrape begun", |t| t.tally(Tally::FullScrapes) == 1);
        let whole = drain(&server, "");
        assert!(whole > 5 << 20, "more than sockets hold: {whole}");
        server.wait_until("only the slow one left", |totals| {
            totals.tally(Tally::ConnectionsOpen) == 1
        });
        // The kernel may take another piece of the reply late, which gives it new time.
        let timed_out = Count::BadRequest(BadRequest::ReplyTimedOut);
        let deadline = Instant::now() + PATIENCE;
        while server.count(timed_out) == 0 {
            assert!(Instant::now() < deadline, "the slow one is never given up");
            server.clock.advance(10);
            thread::sleep(LOOK_AGAIN);
        }
        server.wait_until("nobody left", |t| t.tally(Tally::ConnectionsOpen) == 0);
        assert_eq!(server.count(timed_out), 1);
        assert_eq!(drain(&server, ""), whole);
        drop(slow);
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_leaves_nothing_behind() {
    let _alone = alone();
    for backend in BACKENDS {
        let server = server_with_many(backend, 2);
        let whole = drain(&server, "");
        server.clock.advance(STALE_S);
        // One while the snapshot is made, one while it is sent.
        drop(ask_and_wait(&server, FORMS[1].1));
        let mut reader = ask_and_wait(&server, "");
        reader.read_exact(&mut [0; 10_000]).unwrap();
        drop(reader);
        server.wait_until("everybody gone", |totals| {
            totals.tally(Tally::ConnectionsOpen) == 0
        });
        assert_eq!(drain(&server, ""), whole);
    }
}

#[test]
fn a_stop_in_the_middle_is_quick() {
    let _alone = alone();
    for backend in BACKENDS {
        let server = server_with_many(backend, 2);
        let sending = ask_and_wait(&server, "");
        server.wait_until("a full scrape begun", |t| t.tally(Tally::FullScrapes) == 1);
        server.clock.advance(STALE_S);
        let making = ask_and_wait(&server, FORMS[1].1);
        let begun = Instant::now();
        server.tracker.stop().unwrap();
        let taken = begun.elapsed();
        println!("{backend:?}: stopped in {taken:?}");
        assert!(taken < Duration::from_secs(5), "{taken:?}");
        drop((sending, making));
    }
}

/// Bytes of memory that this process holds.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Says to the test's own program that it is there for one test alone.
const OWN_PROCESS: &str = "FULL_SCRAPE_TEST_ALONE";

#[test]
fn ten_snapshots_take_no_more_memory_than_two_and_an_old_one_is_given_back() {
    let _alone = alone();
    // What other tests left to the allocator would hide what a snapshot takes.
    if env::var_os(OWN_PROCESS).is_none() {
        let name = thread::current()
            .name()
            .expect("tests have names")
            .to_owned();
        let mut again = Command::new(env::current_exe().unwrap());
        again.args(["--exact", &name, "--nocapture", "--test-threads=2"]);
        assert!(again.env(OWN_PROCESS, "").status().unwrap().success());
        return;
    }
    let server = server_with_many(Backend::IoUring, 2);
    let before = resident();
    let held: Vec<usize> = (0..10)
        .map(|_| {
            for (_, header) in FORMS {
                drain(&server, header);
            }
            server.clock.advance(STALE_S);
            resident()
        })
        .collect();
    println!("before {before}, with snapshots {held:?}");
    assert!(
        held[9] < held[1] + (8 << 20),
        "before {before}, then {held:?}"
    );

    // A snapshot of these is some 9 MB, for which nobody asks any more.
    let deadline = Instant::now() + PATIENCE;
    while resident() > held[9] - (4 << 20) {
        assert!(
            Instant::now() < deadline,
            "{held:?}, and now {}",
            resident()
        );
        thread::sleep(LOOK_AGAIN);
    }
    println!("after {}", resident());
}
