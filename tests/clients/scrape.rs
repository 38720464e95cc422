//! What the tracker itself says about a swarm: a scrape (BEP 15), written out byte by byte so that
//! it shares no code with the server it asks.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

const PROTOCOL_ID: u64 = 0x0417_2710_1980;
const CONNECT: u32 = 0;
const SCRAPE: u32 = 2;

/// What a scrape tells about one torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Counts {
    pub(crate) seeders: u32,
    pub(crate) completed: u32,
    pub(crate) leechers: u32,
}

impl Counts {
    /// The three counts in the order of the reply.
    pub(crate) fn of(seeders: u32, completed: u32, leechers: u32) -> Self {
        Self {
            seeders,
            completed,
            leechers,
        }
    }
}

/// Asks the tracker once; an answer that does not come within a second is an error.
pub(crate) fn scrape(tracker: SocketAddr, info_hash: [u8; 20]) -> io::Result<Counts> {
    let socket = match tracker {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::LOCALHOST, 0))?,
    };
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    socket.connect(tracker)?;

    let connected: [u8; 8] = ask(&socket, PROTOCOL_ID.to_be_bytes(), CONNECT, &[])?;
    let counts: [u8; 12] = ask(&socket, connected, SCRAPE, &info_hash)?;
    let (words, _) = counts.as_chunks();
    let [seeders, completed, leechers] = [0, 1, 2].map(|place| u32::from_be_bytes(words[place]));
    Ok(Counts::of(seeders, completed, leechers))
}

/// Sends one request and returns what follows action and transaction id in the reply.
fn ask<const LEN: usize>(
    socket: &UdpSocket,
    connection_id: [u8; 8],
    action: u32,
    body: &[u8],
) -> io::Result<[u8; LEN]> {
    let transaction_id = fastrand::u32(..).to_be_bytes();
    let head = [action.to_be_bytes(), transaction_id].concat();
    socket.send(&[&connection_id[..], &head, body].concat())?;
    let mut reply = [0; 2048];
    let len = socket.recv(&mut reply)?;
    reply[..len]
        .strip_prefix(&head[..])
        .and_then(|rest| rest.try_into().ok())
        .ok_or_else(|| io::Error::other(format!("unexpected reply {:02x?}", &reply[..len])))
}
