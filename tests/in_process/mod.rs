//! A real tracker on port 0 inside the test's process, and a client that speaks UDP to it over a real
//! socket. HTTP clients are in `tests/http/`.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file uses its own part of this"
)]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use shoal::boot::Tracker;
use shoal::clock::Clock;
use shoal::config::{Backend, Config, Flood, HttpAddress, HttpListener, UdpListener};
use shoal::control::Event;
use shoal::counters::{Count, Tally, Totals};

/// Long enough for a loaded machine, short enough to fail in time.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Both backends, by name.
pub const BACKENDS: [Backend; 2] = [Backend::IoUring, Backend::Mmsg];

/// The info-hash of a number, spread like real ones, so that every core owns some.
pub fn info_hash(number: u32) -> [u8; 20] {
    let mut bytes = [0x5a; 20];
    bytes[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
    bytes[16..].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// The same as text.
pub fn hex(number: u32) -> String {
    info_hash(number).map(|byte| format!("{byte:02x}")).concat()
}

/// A tracker that stops when it is dropped.
pub struct Server {
    pub tracker: Tracker,
    pub clock: Clock,
    /// What the main thread of a process would learn.
    pub events: Receiver<Event>,
}

/// The defaults, on one core and any UDP port of 127.0.0.1.
pub fn config() -> Config {
    let mut config = Config {
        udp: vec![listener("127.0.0.1:0")],
        http: Vec::new(),
        ..Config::default()
    };
    config.workers.count = 1;
    config.store.path = String::new();
    config.control.listen = None;
    config.workers.receive_buffer = 1 << 20;
    // All that a test sends comes from one address.
    config.flood = Flood::default();
    config
}

/// One `[[udp]]` table.
pub fn listener(address: &str) -> UdpListener {
    UdpListener {
        listen: address.parse().unwrap(),
        required: true,
    }
}

/// One `[[http]]` table, plain HTTP.
pub fn http_listener(address: &str) -> HttpListener {
    HttpListener::plain(HttpAddress::Tcp(address.parse().unwrap()))
}

impl Server {
    pub fn start(config: &Config) -> Self {
        Self::try_start(config).unwrap_or_else(|sentence| panic!("{sentence}"))
    }

    pub fn try_start(config: &Config) -> Result<Self, String> {
        let clock = Clock::start();
        let (events, receiver) = unbounded();
        let tracker = Tracker::start(config, &clock, &events)?;
        Ok(Self {
            tracker,
            clock,
            events: receiver,
        })
    }

    /// Where the first listener is.
    pub fn address(&self) -> SocketAddr {
        self.tracker.addresses()[0]
    }

    /// Where the first HTTP listener is.
    pub fn http_address(&self) -> SocketAddr {
        self.tracker.http_addresses()[0]
    }

    pub fn client(&self) -> Client {
        Client::of(self.address())
    }

    pub fn totals(&self) -> Totals {
        self.tracker.totals()
    }

    pub fn count(&self, count: Count) -> u64 {
        self.totals().get(count)
    }

    pub fn tally(&self, tally: Tally) -> u64 {
        self.totals().tally(tally)
    }

    /// Waits until the counters say what they should; counters are written a moment after a reply.
    pub fn wait_until(&self, what: &str, holds: impl Fn(&Totals) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(&self.totals()) {
            assert!(
                Instant::now() < deadline,
                "never {what}: {}",
                self.totals().describe()
            );
            std::thread::yield_now();
        }
    }
}

/// A client with a socket of its own.
pub struct Client {
    pub socket: UdpSocket,
    pub server: SocketAddr,
}

impl Client {
    /// A client on loopback, connected: it receives only what comes from the address it asked.
    pub fn of(server: SocketAddr) -> Self {
        let local: IpAddr = if server.is_ipv4() {
            IpAddr::from([127, 0, 0, 1])
        } else {
            IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])
        };
        Self::at(local, server)
    }

    /// A client at an address of this host.
    pub fn at(local: IpAddr, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind(SocketAddr::new(local, 0)).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, server }
    }

    pub fn send(&self, datagram: &[u8]) {
        self.socket.send(datagram).unwrap();
    }

    pub fn receive(&self) -> Vec<u8> {
        let mut reply = [0; 2048];
        let len = self.socket.recv(&mut reply).expect("the tracker answers");
        reply[..len].to_vec()
    }

    pub fn ask(&self, datagram: &[u8]) -> Vec<u8> {
        self.send(datagram);
        self.receive()
    }

    /// A connection id for this client's address.
    pub fn connect(&self) -> [u8; 8] {
        let reply = self.ask(&connect_request(1));
        assert_eq!(reply.len(), 16);
        assert_eq!(reply[..8], [0, 0, 0, 0, 0, 0, 0, 1]);
        reply[8..].try_into().unwrap()
    }

    /// Sends what must not be answered. One core answers in order, so the reply to a connect behind
    /// it shows that there was none.
    pub fn expect_silence(&self, datagram: &[u8]) {
        self.send(datagram);
        let reply = self.ask(&connect_request(0x5eed));
        assert_eq!(
            reply[..8],
            [0, 0, 0, 0, 0, 0, 0x5e, 0xed],
            "silence, not {reply:02x?}"
        );
    }
}

pub fn connect_request(transaction_id: u32) -> [u8; 16] {
    let mut request = [0; 16];
    request[..8].copy_from_slice(&0x0417_2710_1980_u64.to_be_bytes());
    request[12..].copy_from_slice(&transaction_id.to_be_bytes());
    request
}

/// An announce whose fields a test may change before it is sent.
#[derive(Clone, Copy)]
pub struct Announce {
    pub transaction_id: u32,
    pub info_hash: [u8; 20],
    pub left: u64,
    pub event: u32,
    pub num_want: i32,
    pub port: u16,
}

impl Announce {
    pub const REGULAR: u32 = 0;
    pub const COMPLETED: u32 = 1;
    pub const STARTED: u32 = 2;
    pub const STOPPED: u32 = 3;

    /// A leecher that starts.
    pub fn leecher(info_hash: [u8; 20], port: u16) -> Self {
        let event = Self::STARTED;
        Self {
            transaction_id: 7,
            info_hash,
            left: 1000,
            event,
            num_want: -1,
            port,
        }
    }

    /// A seeder that starts.
    pub fn seeder(info_hash: [u8; 20], port: u16) -> Self {
        Self {
            left: 0,
            ..Self::leecher(info_hash, port)
        }
    }

    pub fn stopped(self) -> Self {
        Self {
            event: Self::STOPPED,
            ..self
        }
    }

    pub fn to_bytes(self, id: [u8; 8]) -> Vec<u8> {
        let mut bytes = id.to_vec();
        bytes.extend(1_u32.to_be_bytes());
        bytes.extend(self.transaction_id.to_be_bytes());
        bytes.extend(self.info_hash);
        bytes.extend(b"-SH0100-abcdefghijkl");
        bytes.extend(0_u64.to_be_bytes());
        bytes.extend(self.left.to_be_bytes());
        bytes.extend(0_u64.to_be_bytes());
        bytes.extend(self.event.to_be_bytes());
        bytes.extend([0; 8]);
        bytes.extend(self.num_want.to_be_bytes());
        bytes.extend(self.port.to_be_bytes());
        assert_eq!(bytes.len(), 98);
        bytes
    }
}

/// What an announce reply says.
#[derive(Debug, PartialEq, Eq)]
pub struct AnnounceReply {
    pub interval: u32,
    pub leechers: u32,
    pub seeders: u32,
    /// Address and port of each peer, as on the wire.
    pub peers: Vec<Vec<u8>>,
}

impl AnnounceReply {
    pub fn read(reply: &[u8], peer_len: usize) -> Self {
        assert_eq!(word(reply, 0), 1, "an announce reply, not {reply:02x?}");
        assert_eq!((reply.len() - 20) % peer_len, 0);
        let peers = reply[20..].chunks(peer_len).map(<[u8]>::to_vec).collect();
        let (leechers, seeders) = (word(reply, 12), word(reply, 16));
        Self {
            interval: word(reply, 8),
            leechers,
            seeders,
            peers,
        }
    }

    pub fn ports(&self) -> Vec<u16> {
        let port = |peer: &Vec<u8>| u16::from_be_bytes(*peer.last_chunk().unwrap());
        let mut ports: Vec<u16> = self.peers.iter().map(port).collect();
        ports.sort_unstable();
        ports
    }
}

impl Client {
    pub fn announce(&self, id: [u8; 8], announce: Announce) -> AnnounceReply {
        let peer_len = if self.server.is_ipv4() { 6 } else { 18 };
        AnnounceReply::read(&self.ask(&announce.to_bytes(id)), peer_len)
    }

    /// Seeders, completed and leechers of each torrent.
    pub fn scrape(&self, id: [u8; 8], info_hashes: &[[u8; 20]]) -> Vec<(u32, u32, u32)> {
        let reply = self.ask(&scrape_request(id, info_hashes));
        assert_eq!(word(&reply, 0), 2, "a scrape reply, not {reply:02x?}");
        reply[8..]
            .chunks(12)
            .map(|row| (word(row, 0), word(row, 4), word(row, 8)))
            .collect()
    }
}

pub fn scrape_request(id: [u8; 8], info_hashes: &[[u8; 20]]) -> Vec<u8> {
    let mut request = id.to_vec();
    request.extend([0, 0, 0, 2, 0, 0, 0, 9]);
    request.extend(info_hashes.as_flattened());
    request
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(*bytes[at..].first_chunk().unwrap())
}

/// The text of an error reply.
pub fn error_text(reply: &[u8]) -> &str {
    assert_eq!(word(reply, 0), 3, "an error, not {reply:02x?}");
    std::str::from_utf8(&reply[8..]).unwrap()
}
