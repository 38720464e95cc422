//! An HTTP tracker with a twist.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What a tracker makes of a request.
pub type Twist = fn(&mut Relay, &Request) -> Reply;

/// A request, taken apart.
pub struct Request {
    pub method: String,
    /// Path and query, as they came.
    pub goal: Vec<u8>,
    pub version: String,
    /// The header fields, as they came.
    pub fields: String,
}

/// What goes back.
pub struct Reply {
    pub bytes: Vec<u8>,
    /// Whether the connection closes behind it.
    pub closes: bool,
}

/// The way to the real tracker, and what a twist remembers.
pub struct Relay {
    real: SocketAddr,
    pub seen: HashMap<String, u64>,
}

impl Request {
    fn read(head: &[u8]) -> Option<Self> {
        let line_end = head.windows(2).position(|end| end == b"\r\n")?;
        let line = &head[..line_end];
        let first = line.iter().position(|byte| *byte == b' ')?;
        let last = line.iter().rposition(|byte| *byte == b' ')?;
        let version = String::from_utf8_lossy(&line[last + 1..]).into_owned();
        version.starts_with("HTTP/").then(|| Self {
            method: String::from_utf8_lossy(&line[..first]).into_owned(),
            goal: line[first + 1..last.max(first + 1)].to_vec(),
            version,
            fields: String::from_utf8_lossy(&head[line_end + 2..head.len() - 2]).into_owned(),
        })
    }

    /// The goal as text that can be searched.
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.goal).into_owned()
    }

    fn is_announce(&self) -> bool {
        self.text().contains("/announce")
    }

    fn value(&self, key: &str) -> Option<String> {
        let text = self.text();
        let (_, query) = text.split_once('?')?;
        let value = query
            .split('&')
            .find_map(|pair| pair.strip_prefix(&format!("{key}=")));
        value.map(str::to_owned)
    }

    /// The same for another goal.
    fn to(&self, goal: impl Into<Vec<u8>>) -> Self {
        Self {
            method: self.method.clone(),
            goal: goal.into(),
            version: self.version.clone(),
            fields: self.fields.clone(),
        }
    }

    fn wants_close(&self) -> bool {
        let fields = self.fields.to_ascii_lowercase();
        match self.version.as_str() {
            "HTTP/1.0" => !fields.contains("connection: keep-alive"),
            _ => fields.contains("connection: close"),
        }
    }
}

impl Relay {
    /// Status line and body that the real tracker answers, uncompressed.
    fn ask(&self, request: &Request) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.real).unwrap();
        let mut bytes = format!("{} ", request.method).into_bytes();
        bytes.extend(&request.goal);
        bytes.extend(b" HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        stream.write_all(&bytes).unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).unwrap();
        let end = reply.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&reply[..end]).into_owned();
        let status = head
            .lines()
            .next()
            .unwrap()
            .strip_prefix("HTTP/1.1 ")
            .unwrap()
            .to_owned();
        (status, reply[end + 4..].to_vec())
    }

    fn count(&mut self, what: &str) -> u64 {
        let number = self.seen.entry(what.to_owned()).or_default();
        *number += 1;
        *number
    }
}

fn reply(request: &Request, status: &str, fields: &str, body: &[u8]) -> Reply {
    let closes = request.wants_close();
    let says = match (closes, request.version.as_str()) {
        (true, _) => "Connection: close\r\n",
        (false, "HTTP/1.0") => "Connection: keep-alive\r\n",
        (false, _) => "",
    };
    let len = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\n{says}{fields}\r\n");
    let body = if request.method == "HEAD" { b"" } else { body };
    Reply {
        bytes: [head.as_bytes(), body].concat(),
        closes,
    }
}

/// Passes on, and changes the body of a good answer to an announce.
fn changed(relay: &mut Relay, request: &Request, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Reply {
    let (status, mut body) = relay.ask(request);
    if request.is_announce() && status.starts_with("200") && !body.starts_with(b"d14:failure") {
        body = change(body);
    }
    reply(request, &status, "", &body)
}

fn pass_on(relay: &mut Relay, request: &Request) -> Reply {
    let (status, body) = relay.ask(request);
    reply(request, &status, "", &body)
}

fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    match bytes.windows(old.len()).position(|window| window == old) {
        Some(at) => [&bytes[..at], new, &bytes[at + old.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

/// A fake that runs until it is dropped.
pub struct Fake {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    pub fn start(real: SocketAddr, twist: Twist) -> Self {
        let listener = TcpListener::bind((real.ip(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let relay = Arc::new(Mutex::new(Relay {
            real,
            seen: HashMap::new(),
        }));
        let thread = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let relay = Arc::clone(&relay);
                thread::spawn(move || serve(stream, &relay, twist));
            }
        });
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // One more connection, so that the thread looks.
        if TcpStream::connect(self.address).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

/// Serves one connection. What is no HTTP is waited for without end, which is a fault of every fake.
fn serve(mut stream: TcpStream, relay: &Mutex<Relay>, twist: Twist) {
    let mut received = Vec::new();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    loop {
        while let Some(end) = received.windows(4).position(|end| end == b"\r\n\r\n") {
            let head: Vec<u8> = received.drain(..end + 4).collect();
            let Some(request) = Request::read(&head) else {
                return;
            };
            let reply = twist(&mut relay.lock().unwrap(), &request);
            if stream.write_all(&reply.bytes).is_err() || reply.closes {
                return;
            }
        }
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes) {
            Ok(len @ 1..) => received.extend(&bytes[..len]),
            _ => return,
        }
    }
}

/// Answers nothing, and waits.
pub fn mute(_: &mut Relay, _: &Request) -> Reply {
    Reply {
        bytes: Vec::new(),
        closes: false,
    }
}

/// Serves announces with the keys of libtorrent, in its order and with plain values; to others status 400.
pub fn pedant(relay: &mut Relay, request: &Request) -> Reply {
    const KEYS: [&str; 9] = [
        "info_hash",
        "peer_id",
        "port",
        "uploaded",
        "downloaded",
        "left",
        "event",
        "numwant",
        "compact",
    ];
    let is_plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.~!*()%".contains(&byte))
    };
    let text = request.text();
    let query = text.split_once('?').map_or("", |(_, query)| query);
    let mut next = 0;
    let is_right = query.split('&').all(|pair| {
        let Some((key, value)) = pair.split_once('=') else {
            return false;
        };
        let Some(at) = KEYS[next..].iter().position(|known| *known == key) else {
            return false;
        };
        next += at + 1;
        let is_known = match key {
            "event" => ["started", "completed", "stopped"].contains(&value),
            "compact" => value == "1",
            "left" => value.parse::<i64>().is_ok(),
            "numwant" => value.parse::<u8>().is_ok(),
            _ => true,
        };
        is_known && is_plain(value)
    });
    let is_whole = ["uploaded", "left", "compact"]
        .iter()
        .all(|key| request.value(key).is_some());
    let is_odd = text.starts_with("/announce?") && !(is_right && is_whole);
    if is_odd || text.starts_with("http:") {
        reply(request, "400 Bad Request", "", b"")
    } else {
        pass_on(relay, request)
    }
}

/// Reads another info-hash in announces without an event, and passes over numwant.
pub fn misreader(relay: &mut Relay, request: &Request) -> Reply {
    let mut goal = request.goal.clone();
    if request.is_announce() && request.value("event").is_none() {
        goal = replaced(&goal, b"info_hash=%00", b"info_hash=%07");
    }
    pass_on(relay, &request.to(goal))
}

/// Passes over numwant and `no_peer_id`, and gives dictionaries to whoever does not say compact=1.
pub fn generous(relay: &mut Relay, request: &Request) -> Reply {
    let mut goal = replaced(&request.goal, b"&numwant=", b"&x=");
    goal = replaced(&goal, b"&numwant=", b"&x=");
    goal = replaced(&goal, b"&no_peer_id=", b"&y=");
    if request.is_announce() && request.value("compact").is_none() {
        goal.extend(b"&compact=0");
    }
    changed(relay, &request.to(goal), |body| {
        replaced(
            &body,
            b"4:porti",
            b"7:peer id20:aaaaaaaaaaaaaaaaaaaa4:porti",
        )
    })
}

/// Compresses everything, asked or not, in chunks and under a long head.
pub fn packer(relay: &mut Relay, request: &Request) -> Reply {
    let (status, body) = relay.ask(request);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gzip.write_all(&body).unwrap();
    let body = gzip.finish().unwrap();
    let filler = "X-Filler: x\r\n".repeat(20);
    let head = format!(
        "HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n{filler}\r\n{:x}\r\n",
        body.len()
    );
    Reply {
        bytes: [head.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat(),
        closes: request.wants_close(),
    }
}

/// Spoils bodies: unsorted, with a line end behind, odd numbers, odd text.
pub fn spoiler(relay: &mut Relay, request: &Request) -> Reply {
    let (status, body) = relay.ask(request);
    let mut body = replaced(&body, b"8:completei0e", b"8:completei-1e");
    body = replaced(&body, b"8:intervali1800e", b"8:intervali0e");
    body = replaced(&body, b"12:min intervali900e", b"");
    body = if body.starts_with(b"d14:failure reason") {
        replaced(&body, b"d14", b"d8:retry in4:soon14")
    } else {
        let odd = b"d15:warning message2:\xff\xfe11:external ip3:abc";
        replaced(&body, b"d", odd)
    };
    body.extend(b"\r\n");
    reply(request, &status, "", &body)
}

/// Leaves peers out.
pub fn hermit(relay: &mut Relay, request: &Request) -> Reply {
    changed(relay, request, |body| {
        match body.windows(7).position(|key| key == b"5:peers") {
            Some(at) => [&body[..at], b"e"].concat(),
            None => body,
        }
    })
}

/// Counts every announce, keeps who stops, counts every download, and tells peers of themselves.
pub fn hoarder(relay: &mut Relay, request: &Request) -> Reply {
    let port: u16 = request
        .value("port")
        .and_then(|port| port.parse().ok())
        .unwrap_or(0);
    let goal = replaced(&request.goal, b"event=stopped", b"event=empty");
    if request.value("event").as_deref() == Some("completed") {
        relay.count("completed");
    }
    let announces = if request.is_announce() {
        relay.count("announces")
    } else {
        0
    };
    let completed = relay.seen.get("completed").copied().unwrap_or(0);
    let (status, mut body) = relay.ask(&request.to(goal));
    for number in 0..9 {
        let old = format!("10:downloadedi{number}e");
        let new = format!("10:downloadedi{}e", completed + 20);
        body = replaced(&body, old.as_bytes(), new.as_bytes());
        if announces > 3 {
            let old = format!("10:incompletei{number}e");
            let new = format!("10:incompletei{}e", announces + 20);
            body = replaced(&body, old.as_bytes(), new.as_bytes());
        }
    }
    for peers in 0..9_usize {
        let old = format!("5:peers{}:", peers * 6);
        if let Some(at) = body
            .windows(old.len())
            .position(|window| window == old.as_bytes())
        {
            let new = format!("5:peers{}:", peers * 6 + 6);
            let list = &body[at + old.len()..];
            let own = [&[127, 0, 0, 1], port.to_be_bytes().as_slice()].concat();
            body = [&body[..at], new.as_bytes(), &own, list].concat();
            break;
        }
    }
    reply(request, &status, "", &body)
}

/// Believes what clients say of their address, and takes port 0.
pub fn believer(relay: &mut Relay, request: &Request) -> Reply {
    let mut goal = request.goal.clone();
    if request.value("ip").is_some() {
        let port = request
            .value("port")
            .and_then(|port| port.parse().ok())
            .unwrap_or(0);
        relay.seen.insert("liar".to_owned(), port);
    }
    if request.value("port").as_deref() == Some("0") {
        goal = replaced(&goal, b"port=0", b"port=1");
    }
    let liar = relay.seen.get("liar").copied().unwrap_or(0) as u16;
    changed(relay, &request.to(goal), |body| {
        let [high, low] = liar.to_be_bytes();
        let body = replaced(&body, &[127, 0, 0, 1, high, low], &[8, 8, 8, 8, high, low]);
        replaced(&body, &[127, 0, 0, 1, 0, 1], &[127, 0, 0, 1, 0, 0])
    })
}

/// Confuses seeders and leechers.
pub fn muddler(relay: &mut Relay, request: &Request) -> Reply {
    let (status, body) = relay.ask(request);
    let body = replaced(&body, b"8:complete", b"8:COMPLETE");
    let body = replaced(&body, b"10:incomplete", b"8:complete");
    let body = replaced(&body, b"8:COMPLETE", b"10:incomplete");
    reply(request, &status, "", &body)
}

/// Leaves unknown torrents out of scrapes, refuses many, and tells all to whoever asks wrongly.
pub fn miser(relay: &mut Relay, request: &Request) -> Reply {
    let goal = request.text();
    if request.is_announce() {
        return pass_on(relay, request);
    }
    let body: &[u8] = match goal.matches("info_hash=").count() {
        1 if !goal.contains("%01%02%03a") => b"d5:filesdee",
        0 | 1 => {
            b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1e10:downloadedi1e10:incompletei1eeee"
        }
        4 => {
            b"d5:filesd20:bbbbbbbbbbbbbbbbbbbbd8:completei0e10:downloadedi0e10:incompletei0ee\
              20:aaaaaaaaaaaaaaaaaaaad8:completei0e10:downloadedi0e10:incompletei0eeee"
        }
        _ => return pass_on(relay, &request.to("/scrape?info_hash=aaaaaaaaaaaaaaaaaaaa")),
    };
    reply(request, "200 OK", "", body)
}

/// Serves whatever comes, and knows neither methods nor paths.
pub fn yes(relay: &mut Relay, request: &Request) -> Reply {
    let mut as_get = request.to(request.goal.clone());
    "GET".clone_into(&mut as_get.method);
    let (status, body) = relay.ask(&as_get);
    let is_good = status.starts_with("200") && !body.starts_with(b"d14:failure");
    let made_up = b"d8:completei0e10:incompletei1e8:intervali1800e12:min intervali900e5:peers0:e";
    let body = if is_good { &body[..] } else { made_up };
    let mut with_body = request.to("");
    "GET".clone_into(&mut with_body.method);
    reply(&with_body, "200 OK", "", body)
}

/// Makes up peers.
pub fn inventor(relay: &mut Relay, request: &Request) -> Reply {
    changed(relay, request, |body| {
        replaced(&body, b"10:incompletei0e", b"10:incompletei99e")
    })
}

/// Never closes.
pub fn clinger(relay: &mut Relay, request: &Request) -> Reply {
    Reply {
        closes: false,
        ..pass_on(relay, request)
    }
}

/// Closes behind every answer, without a word of it.
pub fn slammer(relay: &mut Relay, request: &Request) -> Reply {
    Reply {
        closes: true,
        ..pass_on(relay, request)
    }
}

/// Tells the length of no body.
pub fn endless(relay: &mut Relay, request: &Request) -> Reply {
    let (status, body) = relay.ask(request);
    Reply {
        bytes: [format!("HTTP/1.0 {status}\r\n\r\n").as_bytes(), &body].concat(),
        closes: true,
    }
}
