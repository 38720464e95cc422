//! The sockets that requests leave by, and what waits to leave.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use shoal::limits::SCRAPE_HASHES_MAX;
use shoal::wire::InfoHash;
use shoal::wire::udp::{
    ANNOUNCE_LEN, CONNECT_LEN, ConnectionId, SCRAPE_HEAD_LEN, TransactionId, ask,
};

use super::options::Options;
use crate::sys::{self, Outbox, Run, Sent};

/// Receive buffer of a source. The kernel charges a datagram of 300 bytes with over a kilobyte;
/// what this generator cannot take in time must not look like a loss of the server.
const RECEIVE_BUFFER_LEN: usize = 32 << 20;

/// One socket with an address and port of its own, connected to its target.
pub(crate) struct Source {
    pub(crate) socket: UdpSocket,
    pub(crate) target: SocketAddr,
    /// Trackers may bind a connection id to the address only or to the port too, so every socket
    /// has its own.
    pub(crate) id: Option<ConnectionId>,
    /// The first one that it was ever given, and when, for requests that should be refused.
    pub(crate) first_id: Option<(ConnectionId, u64)>,
    pub(crate) id_since_ns: u64,
    pub(crate) id_asked_ns: Option<u64>,
    /// Requests that an answer may still come for: an idle socket costs no system call.
    pub(crate) waiting: u32,
}

/// Sources with the same address and target. A peer always announces by the same lane, because
/// trackers know it by its address; inside the lane its port may differ.
pub(crate) struct Lane {
    sources: Vec<u16>,
    turn: usize,
    staged: Staged,
}

/// Requests of one turn, those of a kind one behind the other so that they leave as one run.
#[derive(Default)]
struct Staged {
    connects: Vec<u8>,
    announces: Vec<u8>,
    scrapes: Vec<u8>,
    scrape_len: usize,
}

impl Lane {
    /// The source by which everything leaves that is staged before the next flush.
    pub(crate) fn source(&self) -> u16 {
        self.sources[self.turn]
    }

    pub(crate) fn is_idle(&self) -> bool {
        let Staged {
            connects,
            announces,
            scrapes,
            ..
        } = &self.staged;
        connects.is_empty() && announces.is_empty() && scrapes.is_empty()
    }

    pub(crate) fn stage_connect(&mut self, transaction: TransactionId) {
        let out = grown(&mut self.staged.connects, CONNECT_LEN);
        ask::write_connect(out, transaction);
    }

    pub(crate) fn stage_announce(
        &mut self,
        id: ConnectionId,
        transaction: TransactionId,
        announce: &ask::Announce,
    ) {
        let out = grown(&mut self.staged.announces, ANNOUNCE_LEN);
        ask::write_announce(out, id, transaction, announce);
    }

    /// All scrapes of a turn name equally many torrents.
    pub(crate) fn stage_scrape(
        &mut self,
        id: ConnectionId,
        transaction: TransactionId,
        hashes: &[InfoHash],
    ) {
        debug_assert!(hashes.len() <= SCRAPE_HASHES_MAX);
        self.staged.scrape_len = SCRAPE_HEAD_LEN + hashes.len() * InfoHash::LEN;
        let out = grown(&mut self.staged.scrapes, self.staged.scrape_len);
        ask::write_scrape(out, id, transaction, hashes);
    }

    /// Sends what is staged by the lane's source and passes the turn to the next.
    pub(crate) fn flush(&mut self, sources: &[Source], outbox: &mut Outbox) -> Sent {
        let staged = &mut self.staged;
        let runs = [
            (&staged.announces, ANNOUNCE_LEN),
            (&staged.connects, CONNECT_LEN),
            (&staged.scrapes, staged.scrape_len.max(1)),
        ]
        .map(|(bytes, datagram_len)| Run {
            bytes,
            datagram_len,
        });
        let sent = outbox.send(&sources[usize::from(self.sources[self.turn])].socket, &runs);
        staged.connects.clear();
        staged.announces.clear();
        staged.scrapes.clear();
        self.skip();
        sent
    }

    /// Passes the turn to the next source.
    pub(crate) fn skip(&mut self) {
        self.turn = (self.turn + 1) % self.sources.len();
    }
}

/// `len` more bytes at the end of `bytes`, which keeps its room from turn to turn.
fn grown(bytes: &mut Vec<u8>, len: usize) -> &mut [u8] {
    let at = bytes.len();
    bytes.resize(at + len, 0);
    &mut bytes[at..]
}

/// Opens all sources and sorts them into lanes.
pub(crate) fn open(options: &Options) -> Result<(Vec<Source>, Vec<Lane>), String> {
    let mut sources: Vec<Source> = Vec::new();
    let mut lanes = Vec::new();
    for &target in &options.target {
        let addresses = match target {
            SocketAddr::V4(_) => options.source_addresses,
            SocketAddr::V6(_) => 1,
        };
        for number in 0..addresses {
            let mut lane = Lane {
                sources: Vec::new(),
                turn: 0,
                staged: Staged::default(),
            };
            // The first addresses get one source more when the sources do not come out even.
            let share = (options.sources + addresses - 1 - number) / addresses;
            for _ in 0..share {
                lane.sources.push(sources.len() as u16);
                sources.push(open_source(
                    source_address(target, addresses, number),
                    target,
                )?);
            }
            lanes.push(lane);
        }
    }
    Ok((sources, lanes))
}

fn source_address(target: SocketAddr, addresses: u32, number: u32) -> IpAddr {
    match target {
        SocketAddr::V4(_) if addresses == 1 => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V4(_) => Ipv4Addr::from_bits(0x7f00_0002 + number).into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

fn open_source(address: IpAddr, target: SocketAddr) -> Result<Source, String> {
    let failed = |error| format!("cannot open a socket from {address} to {target}: {error}");
    let socket = UdpSocket::bind((address, 0)).map_err(failed)?;
    // Connected, so that the kernel drops what anybody else sends here.
    socket.connect(target).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    sys::set_receive_buffer(&socket, RECEIVE_BUFFER_LEN).map_err(failed)?;
    Ok(Source {
        socket,
        target,
        id: None,
        first_id: None,
        id_since_ns: 0,
        id_asked_ns: None,
        waiting: 0,
    })
}
