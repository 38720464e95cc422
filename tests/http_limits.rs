//! How many connections there may be, how long each may take, and how they end with the tracker.

mod http;
mod in_process;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{Browser, announce, http_config, shapes, wait_until_received};
use in_process::{BACKENDS, PATIENCE, Server, http_listener};
use shoal::config::{Config, HttpAddress, HttpListener};
use shoal::counters::{BadRequest, Count, Tally};
use socket2::{Domain, SockRef, Socket, Type};

const HASH: &str = "aaaaaaaaaaaaaaaaaaaa";

/// Waits until the server counts so many open connections.
fn wait_until_open(server: &Server, connections: u64) {
    server.wait_until(&format!("{connections} open"), |totals| {
        totals.tally(Tally::ConnectionsOpen) == connections
    });
}

/// A connection that idles: it has asked, was answered, and the next one did not come before that was
/// over.
fn idle(server: &Server) -> Browser {
    let mut browser = Browser::of(server.http_address());
    browser.expect_open();
    browser
}

/// Lets `seconds` pass until the server closes, and again if it had not got to the state that is to be
/// ended when they passed.
fn expect_close_in_time(server: &Server, browser: &mut Browser, seconds: u32) {
    let wait = Duration::from_millis(2500);
    browser.stream.set_read_timeout(Some(wait)).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        server.clock.advance(seconds);
        let mut byte = [0];
        match browser.stream.peek(&mut byte) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(Instant::now() < deadline, "it is never closed");
            }
            _ => return browser.expect_close(),
        }
    }
}

#[test]
fn the_connection_that_idles_longest_makes_room_for_a_new_one() {
    for backend in BACKENDS {
        let mut config = http_config(backend);
        config.connections.max = 3;
        let server = Server::start(&config);
        let [mut first, mut second, mut third] = [(); 3].map(|()| idle(&server));
        // The first one is now the one that was last busy.
        first.expect_open();
        third.expect_open();
        let mut fourth = idle(&server);
        second.expect_close();
        assert_eq!(server.tally(Tally::ConnectionsEvicted), 1);
        for browser in [&mut third, &mut fourth, &mut first] {
            browser.expect_open();
        }
        wait_until_open(&server, 3);
        assert_eq!(server.tally(Tally::ConnectionsRefused), 0);
    }
}

#[test]
fn whoever_sends_a_request_outstays_those_who_idle() {
    for backend in BACKENDS {
        let mut config = http_config(backend);
        config.connections.max = 2;
        let server = Server::start(&config);
        let mut busy = Browser::of(server.http_address());
        let request = format!("GET {} HTTP/1.1\r\n\r\n", announce(HASH, 1, 0, ""));
        let (half, rest) = request.split_at(request.len() / 2);
        busy.send(half.as_bytes());
        wait_until_received(&server, half.len());
        for _ in 0..10 {
            // Each takes the place of the one before.
            let mut newcomer = Browser::of(server.http_address());
            newcomer.expect_open();
        }
        busy.send(rest.as_bytes());
        assert_eq!(busy.response().status, 200);
        busy.expect_open();
    }
}

#[test]
fn more_clients_than_there_is_room_for_are_all_served() {
    for mut config in shapes() {
        config.connections.max = 16;
        let server = Server::start(&config);
        // None goes by itself; the oldest is gone when the next needs its place.
        let mut browsers: Vec<Browser> = Vec::new();
        for _ in 0..300 {
            browsers.push(idle(&server));
        }
        let open = server.tally(Tally::ConnectionsOpen);
        assert!(open <= 16, "{open}");
        let evicted = server.tally(Tally::ConnectionsEvicted);
        assert_eq!(evicted, 300 - 16);
        browsers.last_mut().unwrap().expect_open();
        drop(browsers);
        wait_until_open(&server, 0);
    }
}

#[test]
fn an_idle_connection_is_kept_for_its_time_and_no_longer() {
    for backend in BACKENDS {
        let config = http_config(backend);
        let limits = &config.connections;
        assert!(limits.request_timeout < limits.idle_timeout);
        let server = Server::start(&config);
        let mut patient = idle(&server);
        let mut late = Browser::of(server.http_address());
        let half = b"GET /announce";
        late.send(half);
        let head = "GET /health_check HTTP/1.1\r\nHost: t\r\n\r\n".len();
        wait_until_received(&server, head + half.len());
        server.clock.advance(limits.request_timeout);
        // Whoever closed the one has looked at the other too.
        late.expect_close();
        patient.expect_open();
        expect_close_in_time(&server, &mut patient, limits.idle_timeout);
        wait_until_open(&server, 0);
        assert_eq!(server.tally(Tally::ConnectionsIdledOut), 1);
        assert_eq!(server.count(Count::BadRequest(BadRequest::HeadTimedOut)), 1);
    }
}

#[test]
fn who_connects_and_says_nothing_is_closed() {
    for backend in BACKENDS {
        // The kernel keeps silent connections for itself, for as long as a head may take; so that this
        // test need not wait for that, it may take a second only.
        let mut config = http_config(backend);
        config.connections.request_timeout = 1;
        let server = Server::start(&config);
        let mut browser = Browser::of(server.http_address());
        browser.expect_close();
        wait_until_open(&server, 0);
        idle(&server);
    }
}

/// A connection whose client can take next to nothing, with requests for more than every buffer
/// between them holds; what could be sent of them.
fn never_reads(server: &Server) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    socket.connect(&server.http_address().into()).unwrap();
    let mut stream = TcpStream::from(socket);
    let wait = Duration::from_millis(500);
    stream.set_write_timeout(Some(wait)).unwrap();
    let target = announce(HASH, 999, 5, "").replace("compact=1", "compact=0") + "&numwant=200";
    let requests = format!("GET {target} HTTP/1.1\r\n\r\n").repeat(1000);
    // The server stops reading where it must stop writing, so not all of it need fit.
    let _ = stream.write_all(requests.as_bytes());
    stream
}

/// Waits until the server has stopped sending, although there is more to send.
fn wait_until_stuck(server: &Server) {
    let deadline = Instant::now() + PATIENCE;
    let (mut before, mut times) = (0, 0);
    while times < 5 {
        std::thread::sleep(Duration::from_millis(50));
        let sent = server.tally(Tally::HttpBytesSent);
        times = if sent == before { times + 1 } else { 0 };
        before = sent;
        assert!(Instant::now() < deadline, "it goes on sending");
    }
}

fn with_many_peers(config: &Config) -> Server {
    let server = Server::start(config);
    let mut browser = Browser::of(server.http_address());
    for port in 1..=200 {
        browser.get(&announce(HASH, port, 5, "started"));
    }
    drop(browser);
    wait_until_open(&server, 0);
    server
}

#[test]
fn a_client_that_never_reads_is_given_up() {
    for backend in BACKENDS {
        let config = http_config(backend);
        let server = with_many_peers(&config);
        let lazy = never_reads(&server);
        wait_until_stuck(&server);
        wait_until_open(&server, 1);
        // Others are served meanwhile.
        let mut other = idle(&server);
        server.clock.advance(config.connections.request_timeout);
        server.wait_until("given up", |totals| {
            totals.get(Count::BadRequest(BadRequest::ReplyTimedOut)) == 1
        });
        other.expect_open();
        drop((other, lazy));
        wait_until_open(&server, 0);
    }
}

#[test]
fn a_client_that_never_reads_makes_room_when_nobody_idles() {
    for backend in BACKENDS {
        let mut config = http_config(backend);
        config.connections.max = 1;
        let server = with_many_peers(&config);
        let _lazy = never_reads(&server);
        wait_until_stuck(&server);
        idle(&server);
        assert_eq!(server.tally(Tally::ConnectionsEvicted), 1);
    }
}

/// Stops a tracker and starts another on the same port.
fn restart(server: Server, config: &Config) -> Server {
    let mut config = config.clone();
    let address: SocketAddr = server.http_address();
    config.http[0] = http_listener(&address.to_string());
    let asked = Instant::now();
    drop(server);
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(2), "it took {took:?} to stop");
    Server::start(&config)
}

#[test]
fn a_stop_does_not_wait_for_those_who_idle_and_frees_the_port() {
    let folder = tempfile::tempdir().unwrap();
    for mut config in shapes() {
        let path = folder.path().join("http.sock");
        let unix = HttpListener::plain(HttpAddress::Unix(path));
        config.http.push(unix);
        let mut server = Server::start(&config);
        for _ in 0..5 {
            let mut browsers: Vec<Browser> = (0..50).map(|_| idle(&server)).collect();
            browsers[0].send(b"GET /announce?info");
            browsers[1].send(b"GET ");
            server = restart(server, &config);
            for browser in &mut browsers {
                browser.expect_close();
            }
        }
        idle(&server);
    }
}

#[test]
fn a_stop_does_not_wait_for_who_never_reads() {
    for config in shapes() {
        let server = with_many_peers(&config);
        let _lazy = [never_reads(&server), never_reads(&server)];
        wait_until_stuck(&server);
        idle(&restart(server, &config));
    }
}

#[test]
fn a_stop_in_the_middle_of_requests_ends_each_with_a_whole_answer_or_none() {
    for config in shapes() {
        for _ in 0..3 {
            let server = Server::start(&config);
            let address = server.http_address();
            let rounds = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        while ask_once(address) {
                            rounds.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
                let deadline = Instant::now() + PATIENCE;
                while rounds.load(Ordering::Relaxed) < 200 {
                    assert!(Instant::now() < deadline, "nobody is served");
                    std::thread::yield_now();
                }
                let asked = Instant::now();
                drop(server);
                assert!(asked.elapsed() < Duration::from_secs(2));
            });
        }
    }
}

/// A few requests over one connection; false when the server is gone.
fn ask_once(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    let request = format!("GET {} HTTP/1.1\r\n\r\n", announce(HASH, 1, 0, ""));
    for _ in 0..5 {
        if stream.write_all(request.as_bytes()).is_err() {
            return false;
        }
        let mut reply = [0; 1024];
        match stream.read(&mut reply) {
            Ok(0) => return false,
            Ok(len) => {
                let reply = reply[..len].escape_ascii().to_string();
                assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
                assert!(reply.ends_with("5:peers0:e"), "{reply}");
            }
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::WouldBlock, "left alone");
                return false;
            }
        }
    }
    true
}
