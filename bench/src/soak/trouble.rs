//! Those who are no honest clients, and those who look after the tracker.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;
use shoal::admin::client::{Client, Method, Patience};
use shoal::query::wire::tls::Trust;

use super::scene::{Scene, count};
use super::tracker::TOKEN;
use crate::http::connect;

/// Datagrams of garbage a second.
const GARBAGE_A_SECOND: u32 = 50;
/// Connections that send a request byte by byte, each second one byte: none lives to the end of it.
const SLOW: usize = 16;
const SLOW_REQUEST: &[u8] = b"GET /announce?info_hash=aaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n";
/// Seconds after which those that are mute give up.
const MUTE_S: usize = 30;
/// What makes no request, or none that is known.
const BAD_REQUESTS: [&[u8]; 5] = [
    b"GET /nothing HTTP/1.1\r\n\r\n",
    b"GET /announce HTTP/1.1\r\nConnection: close\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET  HTTP\r\n\r\n",
    b"\r\n\r\n\r\n\0\0\0\0",
];

/// Datagrams that mean nothing, or nearly something.
pub(super) fn garbage(scene: &Scene) -> Result<(), String> {
    let mut random = Rng::with_seed(scene.seed ^ 0x6a5b);
    let failed = |error: io::Error| format!("cannot send garbage: {error}");
    let sockets: Result<Vec<UdpSocket>, _> = (scene.places.udp.iter())
        .map(|target| {
            let socket = UdpSocket::bind(if target.is_ipv4() {
                "127.0.0.1:0"
            } else {
                "[::1]:0"
            })?;
            socket.connect(target)?;
            Ok(socket)
        })
        .collect();
    let sockets = sockets.map_err(failed)?;
    let mut next = Instant::now();
    let mut bytes = [0; 1400];
    while !scene.is_over() {
        random.fill(&mut bytes);
        if random.bool() {
            // An action that there is, with an id that there is not.
            bytes[8..12].copy_from_slice(&random.u32(..5).to_be_bytes());
        }
        let most = if random.bool() { bytes.len() } else { 120 };
        let len = random.usize(..=most);
        // The kernel may be told that a reply of an error found nobody.
        let _ = sockets[random.usize(..sockets.len())].send(&bytes[..len]);
        count(&scene.troubles.garbage);
        next += Duration::from_secs(1) / GARBAGE_A_SECOND;
        scene.rest_until(next);
    }
    Ok(())
}

struct Slow {
    stream: TcpStream,
    /// Bytes behind the first, or the seconds in which there were none.
    sent: usize,
    /// One in four says nothing after its first byte.
    is_mute: bool,
}

/// Connections that take their time, that say nothing, and that talk nonsense.
pub(super) fn slow(scene: &Scene) {
    let mut random = Rng::with_seed(scene.seed ^ 0x510);
    let mut open: Vec<Slow> = Vec::new();
    let mut next = Instant::now();
    let places: Vec<_> = scene
        .places
        .http
        .iter()
        .chain(&scene.places.https)
        .collect();
    while !scene.is_over() {
        open.retain_mut(|slow| {
            slow.sent += 1;
            if slow.is_mute {
                return slow.sent < MUTE_S;
            }
            let byte = SLOW_REQUEST[slow.sent % SLOW_REQUEST.len()];
            slow.stream.write_all(&[byte]).is_ok()
        });
        while open.len() < SLOW {
            let place = *places[random.usize(..places.len())];
            let Ok(mut stream) = connect(place) else {
                break;
            };
            if stream.write_all(&SLOW_REQUEST[..1]).is_err() {
                break;
            }
            open.push(Slow {
                stream,
                sent: 0,
                is_mute: random.u8(..4) == 0,
            });
            count(&scene.troubles.slow_connections);
        }
        let place = *places[random.usize(..places.len())];
        if let Ok(mut stream) = connect(place) {
            let _ = stream.write_all(BAD_REQUESTS[random.usize(..BAD_REQUESTS.len())]);
            // Half of them do not even wait for what they are told.
            if random.bool() {
                let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
                let _ = stream.read(&mut [0; 512]);
            }
            count(&scene.troubles.bad_requests);
        }
        next += Duration::from_secs(1);
        scene.rest_until(next);
    }
}

/// Calls of the API that read and that change, each second one.
pub(super) fn api(scene: &Scene) -> Result<(), String> {
    let url = format!("http://{}", scene.places.control);
    let client = Client::new(
        &url,
        Some(TOKEN.to_owned()),
        Trust::default(),
        Patience::default(),
    )?;
    let mut random = Rng::with_seed(scene.seed ^ 0xa91);
    let mut next = Instant::now();
    while !scene.is_over() {
        let torrent = format!("/api/v1/whitelist/{}", some_hash(&mut random));
        let called = match random.u8(..5) {
            0 => client.get("/api/v1/stats").map(drop),
            1 => client.get("/api/v1/torrents?limit=200").map(drop),
            2 => client.get("/stats.json").map(drop),
            3 => client
                .send(Method::Post, &torrent, None)
                .and_then(|_| client.send(Method::Delete, &torrent, None))
                .map(drop),
            _ => client
                .send_once(Method::Post, "/api/v1/key/3600", None)
                .and_then(|made| {
                    let key = made["key"].as_str().unwrap_or_default().to_owned();
                    client.send(Method::Delete, &format!("/api/v1/key/{key}"), None)
                })
                .map(drop),
        };
        count(&scene.troubles.api_calls);
        if let Err(problem) = called {
            eprintln!("a call of the API failed: {problem}");
            count(&scene.troubles.api_failed);
        }
        next += Duration::from_secs(1);
        scene.rest_until(next);
    }
    Ok(())
}

/// The page of statistics in a browser: the page, and then what the server sends by itself.
pub(super) fn page(scene: &Scene) {
    let mut buffer = [0; 4096];
    while !scene.is_over() {
        let begin = Instant::now();
        for path in ["/", "/events"] {
            let Ok(mut stream) = connect(scene.places.control) else {
                continue;
            };
            let wanted = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let asked = stream
                .write_all(wanted.as_bytes())
                .and_then(|()| stream.set_read_timeout(Some(Duration::from_secs(5))));
            // It comes again every minute, as people do.
            while asked.is_ok() && !scene.is_over() && begin.elapsed() < Duration::from_secs(60) {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(_) => count(&scene.troubles.events),
                }
            }
        }
        scene.rest_until(Instant::now() + Duration::from_secs(1));
    }
}

/// Of a torrent that nobody has.
fn some_hash(random: &mut Rng) -> String {
    format!("{:032x}{:08x}", random.u128(..), random.u32(..))
}

/// Lists that are never the same twice; they turn away nobody who is honest.
pub(super) fn write_lists(folder: &Path, random: &mut Rng) -> Result<(), String> {
    let mut torrents = String::new();
    for _ in 0..random.u32(100..2000) {
        torrents += &some_hash(random);
        torrents.push('\n');
    }
    let mut sources = String::new();
    for _ in 0..random.u32(10..200) {
        let (one, two) = (random.u8(..), random.u8(..) & 0xfe);
        // Writing to a String does not fail.
        let _ = writeln!(sources, "198.51.100.{one}\n192.0.2.{two}/31");
    }
    std::fs::write(folder.join("blocklist"), torrents)
        .and_then(|()| std::fs::write(folder.join("ip-blocklist"), sources))
        .map_err(|error| format!("cannot write the lists: {error}"))
}
