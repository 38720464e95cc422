//! A UDP tracker with a twist.

#![allow(
    clippy::needless_pass_by_value,
    reason = "all twists have one signature"
)]

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::in_process::{PATIENCE, connect_request};

/// What a tracker makes of a datagram: the datagrams it answers.
pub type Twist = fn(&mut Relay, Vec<u8>) -> Vec<Vec<u8>>;

/// The transaction of the relay's own connects, which no client uses.
const MARKER: u32 = 0xffff_fff0;

/// How long an answer may be behind that to a connect which was sent after its request.
const OVERTAKING: Duration = Duration::from_millis(30);

/// The way to the real tracker, and what a twist remembers.
pub struct Relay {
    socket: UdpSocket,
    /// Who sent the datagram.
    pub from: SocketAddr,
    /// For the twist's own use.
    pub seen: HashMap<Vec<u8>, Vec<u8>>,
    /// Whether the answer is to come from another port.
    pub elsewhere: bool,
}

impl Relay {
    /// What the real tracker answers; nothing when it is silent, which the reply to a connect behind the
    /// request shows. Announces of the same turn may be answered after that one.
    pub fn ask(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        self.socket.send(request).ok()?;
        self.socket.send(&connect_request(MARKER)).ok()?;
        let (mut answer, mut is_marked) = (None, false);
        while answer.is_none() || !is_marked {
            let patience = if is_marked { OVERTAKING } else { PATIENCE };
            self.socket.set_read_timeout(Some(patience)).unwrap();
            let mut reply = [0; 4096];
            let Ok(len) = self.socket.recv(&mut reply) else {
                break;
            };
            if reply[4..8] == MARKER.to_be_bytes() {
                is_marked = true;
            } else {
                answer = Some(reply[..len].to_vec());
            }
        }
        answer
    }

    /// A good connection id, whatever the client has.
    pub fn id(&mut self) -> [u8; 8] {
        let reply = self
            .ask(&connect_request(1))
            .expect("the real tracker answers a connect");
        reply[8..16].try_into().unwrap()
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
        let ip = real.ip();
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let other = UdpSocket::bind((ip, 0)).unwrap();
        let way = UdpSocket::bind((ip, 0)).unwrap();
        way.connect(real).unwrap();
        let address = socket.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut relay = Relay {
            socket: way,
            from: address,
            seen: HashMap::new(),
            elsewhere: false,
        };
        let thread = thread::spawn(move || {
            let mut request = [0; 4096];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((len, from)) = socket.recv_from(&mut request) else {
                    continue;
                };
                relay.from = from;
                for reply in twist(&mut relay, request[..len].to_vec()) {
                    let by = if relay.elsewhere { &other } else { &socket };
                    by.send_to(&reply, from).unwrap();
                }
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
        if let Some(thread) = self.thread.take() {
            // A fake that broke has already said so.
            let _ = thread.join();
        }
    }
}

const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const SCRAPE: u32 = 2;
const ERROR: u32 = 3;

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(u32::MAX, |word| {
        u32::from_be_bytes(word.try_into().unwrap())
    })
}

fn put(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
}

fn is_connect(request: &[u8]) -> bool {
    request.len() >= 16 && request.starts_with(&0x0417_2710_1980_u64.to_be_bytes())
}

/// What a whole request asks for; nothing for anything else.
fn action(request: &[u8]) -> Option<u32> {
    match request.len() {
        16.. if is_connect(request) && word(request, 8) == CONNECT => Some(CONNECT),
        98.. if word(request, 8) == ANNOUNCE => Some(ANNOUNCE),
        16.. if word(request, 8) == SCRAPE => Some(SCRAPE),
        _ => None,
    }
}

fn error(request: &[u8], text: &[u8]) -> Vec<u8> {
    let mut reply = ERROR.to_be_bytes().to_vec();
    reply.extend(request.get(12..16).unwrap_or(&[0; 4]));
    reply.extend(text);
    reply
}

fn pass_on(relay: &mut Relay, request: &[u8]) -> Vec<Vec<u8>> {
    relay.ask(request).into_iter().collect()
}

/// Passes on, and changes the replies to one action.
fn changed(
    relay: &mut Relay,
    request: &[u8],
    of: u32,
    change: impl Fn(&mut Vec<u8>),
) -> Vec<Vec<u8>> {
    let mut replies = pass_on(relay, request);
    if action(request) == Some(of) {
        for reply in replies.iter_mut().filter(|reply| word(reply, 0) == of) {
            change(reply);
        }
    }
    replies
}

/// Answers nothing.
pub fn mute(_: &mut Relay, _: Vec<u8>) -> Vec<Vec<u8>> {
    Vec::new()
}

/// Echoes the constant as the connection id, and takes any.
pub fn open_door(relay: &mut Relay, mut request: Vec<u8>) -> Vec<Vec<u8>> {
    if !is_connect(&request) && matches!(action(&request), Some(ANNOUNCE | SCRAPE)) {
        let id = relay.id();
        request[..8].copy_from_slice(&id);
    }
    if request.len() >= 16
        && request[..8] == 0x0417_2710_1980_u64.to_be_bytes()
        && word(&request, 8) != CONNECT
    {
        let id = relay.id();
        request[..8].copy_from_slice(&id);
    }
    changed(relay, &request, CONNECT, |reply| {
        reply[8..16].copy_from_slice(&0x0417_2710_1980_u64.to_be_bytes());
    })
}

/// Sends 6 zero bytes more than it should.
pub fn padder(relay: &mut Relay, request: Vec<u8>) -> Vec<Vec<u8>> {
    let mut replies = pass_on(relay, &request);
    for reply in &mut replies {
        reply.extend([0; 6]);
    }
    replies
}

/// Answers everything it cannot read with a long error of transaction 0.
pub fn chatterbox(relay: &mut Relay, request: Vec<u8>) -> Vec<Vec<u8>> {
    let replies = pass_on(relay, &request);
    if replies.is_empty() {
        return vec![error(
            &[],
            &[b"cannot parse request: ".as_slice(), &[b'.'; 60], b"\0"].concat(),
        )];
    }
    replies
}

/// Answers what it cannot read, announces of 97 bytes among it, as if it were an announce.
pub fn careless(relay: &mut Relay, mut request: Vec<u8>) -> Vec<Vec<u8>> {
    if request.len() == 97 {
        request.push(1);
    }
    // A half info-hash is one, and none is one of zeros.
    if action(&request) == Some(SCRAPE) {
        let rest = (request.len() - 16) % 20;
        if rest > 0 || request.len() == 16 {
            request.resize(request.len() + 20 - rest, 0);
        }
    }
    pass_on(relay, &request)
}

/// Answers from another port.
pub fn elsewhere(relay: &mut Relay, request: Vec<u8>) -> Vec<Vec<u8>> {
    relay.elsewhere = true;
    pass_on(relay, &request)
}

/// Takes requests of exactly the length of BEP 15, the events it lists and no transaction of 0.
pub fn strict(relay: &mut Relay, request: Vec<u8>) -> Vec<Vec<u8>> {
    let is_right = match action(&request) {
        Some(CONNECT) => request.len() == 16 && word(&request, 12) != 0,
        Some(ANNOUNCE) => request.len() == 98 && word(&request, 80) <= 3,
        _ => true,
    };
    if is_right {
        pass_on(relay, &request)
    } else {
        Vec::new()
    }
}

/// Misreads numwant: what is not a small number is none, and 0 and 1 are all.
pub fn numwant(relay: &mut Relay, mut request: Vec<u8>) -> Vec<Vec<u8>> {
    if action(&request) == Some(ANNOUNCE) && word(&request, 80) == 0 {
        let number = match word(&request, 92) {
            0 | 1 => 50,
            _ => 0,
        };
        put(&mut request, 92, number);
    }
    pass_on(relay, &request)
}

/// Believes every field: the address, port 0, and that whoever does not say what is left has it all.
pub fn believer(relay: &mut Relay, mut request: Vec<u8>) -> Vec<Vec<u8>> {
    if action(&request) == Some(ANNOUNCE) {
        if request[96..98] == [0, 0] {
            request[97] = 1;
        }
        if request[64..72] == [0xff; 8] {
            request[64..72].fill(0);
        }
        if word(&request, 84) != 0 {
            relay
                .seen
                .insert(request[96..98].to_vec(), request[84..88].to_vec());
        }
    }
    let seen = relay.seen.clone();
    changed(relay, &request, ANNOUNCE, |reply| {
        for peer in reply[20..].chunks_mut(6) {
            if peer[4..] == [0, 1] {
                peer[5] = 0;
            }
            if let Some(claimed) = seen.get(&peer[4..]) {
                peer[..4].copy_from_slice(claimed);
            }
        }
    })
}

/// Confuses leechers and seeders, and the order of rows.
pub fn muddler(relay: &mut Relay, request: Vec<u8>) -> Vec<Vec<u8>> {
    match action(&request) {
        Some(ANNOUNCE) => changed(relay, &request, ANNOUNCE, |reply| {
            reply[12..20].rotate_left(4);
        }),
        Some(SCRAPE) => changed(relay, &request, SCRAPE, |reply| {
            for row in reply[8..].chunks_mut(12) {
                row.rotate_left(4);
            }
            let rows: Vec<Vec<u8>> = reply[8..].rchunks(12).map(<[u8]>::to_vec).collect();
            reply.truncate(8);
            reply.extend(rows.concat());
        }),
        _ => pass_on(relay, &request),
    }
}

/// Counts every announce, keeps who stops, counts every download, and tells peers of themselves.
pub fn hoarder(relay: &mut Relay, mut request: Vec<u8>) -> Vec<Vec<u8>> {
    if action(&request) == Some(ANNOUNCE) {
        let key = b"announces".to_vec();
        let announces = relay.seen.get(&key).map_or(0, |bytes| word(bytes, 0)) + 1;
        relay.seen.insert(key, announces.to_be_bytes().to_vec());
        if word(&request, 80) == 1 {
            let key = b"completed".to_vec();
            let completed = relay.seen.get(&key).map_or(0, |bytes| word(bytes, 0)) + 1;
            relay.seen.insert(key, completed.to_be_bytes().to_vec());
        }
        if word(&request, 80) == 3 {
            put(&mut request, 80, 0);
        }
        let own = request[96..98].to_vec();
        return changed(relay, &request, ANNOUNCE, |reply| {
            // From the fourth on, so that the run begins as with anybody.
            if announces > 3 {
                put(reply, 12, announces);
            }
            reply.extend([127, 0, 0, 1]);
            reply.extend(&own);
        });
    }
    let completed = relay
        .seen
        .get(b"completed".as_slice())
        .map_or(0, |bytes| word(bytes, 0));
    changed(relay, &request, SCRAPE, |reply| {
        for row in reply[8..].chunks_mut(12) {
            put(row, 4, completed);
        }
    })
}

/// Leaves rows of zeros out, and answers no more than a few.
pub fn miser(relay: &mut Relay, request: Vec<u8>) -> Vec<Vec<u8>> {
    changed(relay, &request, SCRAPE, |reply| {
        let rows: Vec<u8> = reply[8..]
            .chunks(12)
            .filter(|row| **row != [0; 12])
            .flatten()
            .copied()
            .collect();
        reply.truncate(8);
        reply.extend(rows);
    })
}

/// Scrapes up to 70.
pub fn seventy(relay: &mut Relay, request: Vec<u8>) -> Vec<Vec<u8>> {
    changed(relay, &request, SCRAPE, |reply| reply.truncate(8 + 70 * 12))
}

/// Serves nobody, in words.
pub fn bouncer(relay: &mut Relay, request: Vec<u8>) -> Vec<Vec<u8>> {
    match action(&request) {
        Some(ANNOUNCE) => vec![error(&request, b"info_hash not allowed")],
        _ => pass_on(relay, &request),
    }
}

/// Makes up peers, more than fit a packet, and announces every 5 seconds.
pub fn inventor(relay: &mut Relay, request: Vec<u8>) -> Vec<Vec<u8>> {
    changed(relay, &request, ANNOUNCE, |reply| {
        put(reply, 8, 5);
        for number in 0..=250 {
            reply.extend([198, 51, 100, number, 0x1a, 0xe1]);
        }
    })
}

/// Tells nobody of anybody.
pub fn hermit(relay: &mut Relay, request: Vec<u8>) -> Vec<Vec<u8>> {
    changed(relay, &request, ANNOUNCE, |reply| reply.truncate(20))
}

/// Ties an id to the port that asked for it, and takes it three times.
pub fn binder(relay: &mut Relay, request: Vec<u8>) -> Vec<Vec<u8>> {
    let port = relay.from.port().to_be_bytes().to_vec();
    if action(&request) == Some(CONNECT) {
        relay.seen.entry(port).or_insert_with(|| vec![0]);
    } else if matches!(action(&request), Some(ANNOUNCE | SCRAPE)) {
        match relay.seen.get_mut(&port) {
            Some(uses) if uses[0] < 2 => uses[0] += 1,
            _ => return Vec::new(),
        }
    }
    pass_on(relay, &request)
}

/// Writes peers of IPv4 whatever the family.
pub fn short_strided(relay: &mut Relay, request: Vec<u8>) -> Vec<Vec<u8>> {
    changed(relay, &request, ANNOUNCE, |reply| {
        let peers: Vec<u8> = reply[20..]
            .chunks(18)
            .flat_map(|peer| peer[12..].to_vec())
            .collect();
        reply.truncate(20);
        reply.extend(peers);
    })
}

/// Serves those that carry its key in the option of BEP 41.
pub fn private(relay: &mut Relay, request: Vec<u8>) -> Vec<Vec<u8>> {
    let option = b"\x02\x0d/KEY/announce";
    let is_member = request.len() >= 98 && request[98..].starts_with(option);
    match action(&request) {
        Some(ANNOUNCE) if !is_member => vec![error(&request, b"unknown key")],
        _ => pass_on(relay, &request),
    }
}
