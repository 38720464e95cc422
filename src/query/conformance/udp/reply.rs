//! What a datagram from a tracker says, read with mistrust: every length is looked at, nothing is refused.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::query::conformance::count;
use crate::wire::udp::{
    ANNOUNCE_REPLY_HEAD_LEN, CONNECT_LEN, ConnectionId, ERROR_HEAD_LEN, PEER_V4_LEN, PEER_V6_LEN,
    SCRAPE_REPLY_HEAD_LEN, SCRAPE_ROW_LEN, action,
};

/// A reply by its action; `len` is the length of the datagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Reply {
    /// 16 bytes or more that answer a connect.
    Connect(ConnectionId),
    /// 20 bytes or more that answer an announce.
    Announce {
        interval: u32,
        leechers: u32,
        seeders: u32,
        peers: Vec<SocketAddr>,
        /// Bytes behind the last whole peer.
        surplus: usize,
    },
    /// 8 bytes or more that answer a scrape.
    Scrape {
        rows: Vec<Row>,
        /// Bytes behind the last whole row.
        surplus: usize,
    },
    /// 8 bytes or more that are an error.
    Error(Vec<u8>),
    /// Too short for its action, or no action that a tracker may send.
    Other { len: usize, action: Option<u32> },
}

/// What a scrape says of one torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Row {
    pub(super) seeders: u32,
    pub(super) completed: u32,
    pub(super) leechers: u32,
}

impl Row {
    pub(super) const ZERO: Self = Self {
        seeders: 0,
        completed: 0,
        leechers: 0,
    };
}

impl Reply {
    /// `is_v4` is the family of the datagram, which decides how long a peer is.
    pub(super) fn read(datagram: &[u8], is_v4: bool) -> Self {
        let len = datagram.len();
        let word = |at: usize| {
            let bytes = datagram.get(at..).and_then(|rest| rest.first_chunk());
            bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
        };
        let action = (len >= 4).then(|| word(0));
        match action {
            Some(action::CONNECT) if len >= CONNECT_LEN => {
                Self::Connect(ConnectionId(u64::from(word(8)) << 32 | u64::from(word(12))))
            }
            Some(action::ANNOUNCE) if len >= ANNOUNCE_REPLY_HEAD_LEN => {
                let stride = if is_v4 { PEER_V4_LEN } else { PEER_V6_LEN };
                let entries = datagram[ANNOUNCE_REPLY_HEAD_LEN..].chunks_exact(stride);
                let surplus = entries.remainder().len();
                Self::Announce {
                    interval: word(8),
                    leechers: word(12),
                    seeders: word(16),
                    peers: entries.filter_map(peer).collect(),
                    surplus,
                }
            }
            Some(action::SCRAPE) if len >= SCRAPE_REPLY_HEAD_LEN => {
                let rows = (SCRAPE_REPLY_HEAD_LEN..).step_by(SCRAPE_ROW_LEN);
                let rows = rows
                    .take_while(|at| at + SCRAPE_ROW_LEN <= len)
                    .map(|at| Row {
                        seeders: word(at),
                        completed: word(at + 4),
                        leechers: word(at + 8),
                    });
                Self::Scrape {
                    rows: rows.collect(),
                    surplus: (len - SCRAPE_REPLY_HEAD_LEN) % SCRAPE_ROW_LEN,
                }
            }
            Some(action::ERROR) if len >= ERROR_HEAD_LEN => {
                Self::Error(datagram[ERROR_HEAD_LEN..].to_vec())
            }
            action => Self::Other { len, action },
        }
    }
}

/// The peer that an entry of 6 or 18 bytes names.
fn peer(entry: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = entry.split_last_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    if let Ok(v4) = <[u8; 4]>::try_from(ip) {
        return Some((Ipv4Addr::from(v4), port).into());
    }
    let v6 = <[u8; 16]>::try_from(ip).ok()?;
    Some((Ipv6Addr::from(v6), port).into())
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(id) => write!(f, "connection id {:016x}", id.0),
            Self::Announce {
                interval,
                leechers,
                seeders,
                peers,
                surplus,
            } => {
                write!(
                    f,
                    "announce reply: {}, {}, {}, interval {interval} s",
                    count(*leechers as usize, "leecher"),
                    count(*seeders as usize, "seeder"),
                    count(peers.len(), "peer"),
                )?;
                write_surplus(f, *surplus)
            }
            Self::Scrape { rows, surplus } => {
                write!(f, "scrape reply: {}", count(rows.len(), "row"))?;
                for row in rows.iter().take(4) {
                    write!(f, " ({} {} {})", row.seeders, row.completed, row.leechers)?;
                }
                write_surplus(f, *surplus)
            }
            Self::Error(text) => write!(f, "error \"{}\"", text.escape_ascii()),
            Self::Other {
                len,
                action: Some(action),
            } => {
                write!(f, "{} with action {action}", count(*len, "byte"))
            }
            Self::Other { len, action: None } => write!(f, "{}", count(*len, "byte")),
        }
    }
}

fn write_surplus(f: &mut fmt::Formatter<'_>, surplus: usize) -> fmt::Result {
    match surplus {
        0 => Ok(()),
        surplus => write!(f, ", and {} over", count(surplus, "byte")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_by_their_action_and_the_family() {
        let mut reply = vec![0, 0, 0, 1, 9, 9, 9, 9, 0, 0, 7, 8, 0, 0, 0, 2, 0, 0, 0, 3];
        reply.extend([127, 0, 0, 1, 0x1a, 0xe1, 5]);
        let Reply::Announce {
            peers,
            surplus,
            leechers,
            ..
        } = Reply::read(&reply, true)
        else {
            panic!("an announce reply");
        };
        assert_eq!(peers, ["127.0.0.1:6881".parse().unwrap()]);
        assert_eq!((surplus, leechers), (1, 2));
        assert!(matches!(
            Reply::read(&reply, false),
            Reply::Announce { surplus: 7, .. }
        ));
    }

    #[test]
    fn what_is_too_short_is_no_reply() {
        for len in 0..20 {
            let datagram = &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..len];
            assert!(matches!(Reply::read(datagram, true), Reply::Other { .. }));
        }
    }

    #[test]
    fn random_datagrams_never_panic() {
        for len in 0..200 {
            for action in 0..5 {
                let mut datagram: Vec<u8> = (0..len).map(|_| fastrand::u8(..)).collect();
                if let Some(head) = datagram.first_chunk_mut() {
                    *head = u32::to_be_bytes(action);
                }
                let _ = Reply::read(&datagram, len % 2 == 0).to_string();
            }
        }
    }
}
