//! An HTTP client that sends exactly the bytes it is told to, and reads replies one by one.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file uses its own part of this"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use bt_bencode::Value;
use shoal::config::{Backend, Config};
use shoal::counters::Tally;
use socket2::{Domain, Socket, Type};

use crate::in_process::{BACKENDS, PATIENCE, Server, config, http_listener};

/// Hash A of the test vectors: every byte that could be misread.
pub const AWKWARD_HASH: &str = "%00%01%7f%80%ff%20%25%26%2b-.%3d%3fA_az~%0a%0d";

/// One core and one HTTP thread on any port of 127.0.0.1, with the intervals of the test vectors and
/// nothing in replies that they do not show.
pub fn http_config(backend: Backend) -> Config {
    let mut config = config();
    config.workers.backend = backend;
    config.http = vec![http_listener("127.0.0.1:0")];
    config.announce.min_interval = Some(900);
    config.scrape.min_request_interval = 0;
    config.scrape.downloaders = false;
    config
}

/// A reply, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    pub status: u16,
    /// Names in lower case, in the order of the reply.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(known, _)| known == name);
        let value = named.next().map(|(_, value)| value.as_str());
        assert!(named.next().is_none(), "{name} comes twice");
        value
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The compact peers of both families.
    pub fn peers(&self) -> BTreeSet<SocketAddr> {
        let reply: Value = bt_bencode::from_slice(&self.body).expect("a bencoded reply");
        let packed = |key| {
            let peers = reply.get(key).and_then(Value::as_byte_str);
            peers.map_or(&[][..], |peers| peers.as_slice()).to_vec()
        };
        let (v4, v6) = (packed("peers"), packed("peers6"));
        let v4 = v4.chunks_exact(6).map(|peer| {
            let (ip, port) = peer.split_first_chunk::<4>().unwrap();
            SocketAddr::from((Ipv4Addr::from(*ip), u16::from_be_bytes([port[0], port[1]])))
        });
        let v6 = v6.chunks_exact(18).map(|peer| {
            let (ip, port) = peer.split_first_chunk::<16>().unwrap();
            SocketAddr::from((Ipv6Addr::from(*ip), u16::from_be_bytes([port[0], port[1]])))
        });
        v4.chain(v6).collect()
    }
}

/// A connection.
pub struct Browser<S = TcpStream> {
    pub stream: S,
    /// What came behind the last reply.
    ahead: Vec<u8>,
}

impl Browser {
    pub fn of(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    /// From an address of this host.
    pub fn at(local: IpAddr, server: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(local, 0).into()).unwrap();
        socket.connect(&server.into()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_tcp_nodelay(true).unwrap();
        Self::over(socket.into())
    }
}

impl Browser<UnixStream> {
    pub fn at_path(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::over(stream)
    }
}

impl<S: Read + Write> Browser<S> {
    /// Over a stream of any kind, which should have a read time-out.
    pub fn over(stream: S) -> Self {
        Self {
            stream,
            ahead: Vec::new(),
        }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Asks for a path and query with HTTP/1.1 and reads the reply.
    pub fn get(&mut self, target: &str) -> Response {
        self.get_with(target, "")
    }

    /// The same with more header lines, each with its line end.
    pub fn get_with(&mut self, target: &str, headers: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: t\r\n{headers}\r\n").as_bytes());
        self.response()
    }

    /// The next reply; its body is as long as its head says.
    pub fn response(&mut self) -> Response {
        let (status, headers) = self.head();
        let mut response = Response {
            status,
            headers,
            body: Vec::new(),
        };
        let len = response.header("content-length");
        let len: usize = len.expect("a length").parse().unwrap();
        while self.ahead.len() < len {
            assert!(self.read_more() > 0, "the body ends early");
        }
        response.body = self.ahead.drain(..len).collect();
        response
    }

    /// The next head, for a reply that has no body.
    pub fn head(&mut self) -> (u16, Vec<(String, String)>) {
        let end = loop {
            let end = self.ahead.windows(4).position(|end| end == b"\r\n\r\n");
            if let Some(end) = end {
                break end;
            }
            assert!(self.read_more() > 0, "the connection ends before a head");
        };
        let head: Vec<u8> = self.ahead.drain(..end + 4).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap();
        let status = status.strip_prefix("HTTP/1.1 ").expect("a status line");
        let field = |line: &str| {
            let (name, value) = line.split_once(": ").expect("name: value");
            (name.to_ascii_lowercase(), value.to_owned())
        };
        (status[..3].parse().unwrap(), lines.map(field).collect())
    }

    fn read_more(&mut self) -> usize {
        let mut bytes = [0; 16 << 10];
        let len = self.stream.read(&mut bytes).expect("the server answers");
        self.ahead.extend_from_slice(&bytes[..len]);
        len
    }

    /// Waits until the server closes, without another byte. A reset counts.
    pub fn expect_close(&mut self) {
        assert!(
            self.ahead.is_empty(),
            "more than was asked: {:?}",
            self.ahead
        );
        match self.stream.read(&mut [0; 64]) {
            Ok(0) => {}
            Ok(_) => panic!("more than was asked"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }

    /// Waits until the server closes, whatever it says before. A reset counts, and so does an end of
    /// TLS without a word.
    pub fn drain(&mut self) {
        let mut said = Vec::new();
        if let Err(error) = self.stream.read_to_end(&mut said) {
            use io::ErrorKind::{ConnectionReset, UnexpectedEof};
            let kind = error.kind();
            assert!(matches!(kind, ConnectionReset | UnexpectedEof), "{error}");
        }
    }
}

/// Path and query of an announce by a client that wants compact peers.
pub fn announce(info_hash: &str, port: u16, left: u64, event: &str) -> String {
    format!(
        "/announce?info_hash={info_hash}&peer_id=-SH0100-abcdefghijkl&port={port}\
         &uploaded=0&downloaded=0&left={left}&event={event}&compact=1"
    )
}

/// Both backends, on one core and one HTTP thread and on two of each.
pub fn shapes() -> impl Iterator<Item = Config> {
    BACKENDS.into_iter().flat_map(|backend| {
        [1, 2].map(|count| {
            let mut config = http_config(backend);
            config.workers.count = count;
            config
        })
    })
}

/// Waits until the server has read this many bytes of HTTP since its start.
pub fn wait_until_received(server: &Server, bytes: usize) {
    server.wait_until("all bytes read", |totals| {
        totals.tally(Tally::HttpBytesReceived) >= bytes as u64
    });
}

/// An info-hash as a client writes it that escapes every byte.
pub fn escaped(info_hash: &[u8]) -> String {
    let hex = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    let escape = |byte: &u8| ['%', hex(byte >> 4), hex(byte & 0xf)];
    info_hash.iter().flat_map(escape).collect()
}

/// Path and query of a scrape of these torrents.
pub fn scrape<T: AsRef<[u8]>>(info_hashes: impl IntoIterator<Item = T>) -> String {
    let pair = |hash: T| format!("info_hash={}", escaped(hash.as_ref()));
    let pairs: Vec<String> = info_hashes.into_iter().map(pair).collect();
    format!("/scrape?{}", pairs.join("&"))
}

/// A body that is one dictionary, and well-formed to its last byte.
pub fn dictionary(body: &[u8]) -> BTreeMap<String, Value> {
    let Ok(Value::Dict(entries)) = bt_bencode::from_slice(body) else {
        panic!("not a dictionary: {:?}", String::from_utf8_lossy(body));
    };
    let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
    let entries = entries.into_iter();
    entries.map(|(key, value)| (text(&key), value)).collect()
}

impl<S: Read + Write> Browser<S> {
    /// Everything that comes until the server closes.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.read_more() > 0 {}
        std::mem::take(&mut self.ahead)
    }

    /// Shows that the connection is open, and that nothing is under way on it.
    pub fn expect_open(&mut self) {
        let alive = self.get("/health_check");
        assert_eq!(
            (alive.status, alive.text().as_str()),
            (200, "{\"status\":\"Ok\"}")
        );
    }
}
