//! Is this reply what its request may be answered with?

use shoal::limits::REPLY_PEERS_V4_MAX;
use shoal::wire::udp::{
    ANNOUNCE_REPLY_HEAD_LEN, ConnectionId, ERROR_HEAD_LEN, PEER_V4_LEN, PEER_V6_LEN,
    SCRAPE_REPLY_HEAD_LEN, SCRAPE_ROW_LEN, TransactionId, action,
};

use super::pending::Kind;

/// Totals above this are taken for rubbish: no swarm has ever had as many.
const TOTAL_MAX: u32 = 100_000_000;
/// A week, in seconds.
const INTERVAL_MAX_S: u32 = 7 * 86_400;

/// A reply that fits its request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    Connected(ConnectionId),
    /// Peers handed out.
    Announced {
        peers: usize,
    },
    /// Seeders and leechers of all rows together.
    Scraped {
        peers: u64,
    },
    /// An error packet: valid on the wire, but not what was asked for.
    Refused,
}

/// What is wrong with a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// It came to another socket than the one that asked.
    Source,
    Action,
    Length,
    TooManyPeers,
    Implausible,
}

/// What a reply is held against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) kind: Kind,
    pub(crate) v6: bool,
    /// As it was written in the announce; -1 leaves the number to the tracker.
    pub(crate) numwant: i32,
    pub(crate) scrape_hashes: u32,
    /// All peers that a torrent can have, where that is known.
    pub(crate) swarm_max: Option<u32>,
}

/// Transaction id of a datagram long enough to have one.
pub(crate) fn transaction_id(reply: &[u8]) -> Option<TransactionId> {
    Some(TransactionId(word(reply, 4)?))
}

/// Holds `reply` against what was asked.
pub(crate) fn check(reply: &[u8], expected: &Expected) -> Result<Reply, Fault> {
    let action = word(reply, 0).ok_or(Fault::Length)?;
    if action == action::ERROR {
        return match reply.len() {
            ERROR_HEAD_LEN.. => Ok(Reply::Refused),
            _ => Err(Fault::Length),
        };
    }
    match (expected.kind, action) {
        (Kind::Connect, action::CONNECT) => match <[u8; 16]>::try_from(reply) {
            Ok([_, _, _, _, _, _, _, _, id @ ..]) => {
                Ok(Reply::Connected(ConnectionId(u64::from_be_bytes(id))))
            }
            Err(_) => Err(Fault::Length),
        },
        (Kind::Announce, action::ANNOUNCE) => announced(reply, expected),
        (Kind::Scrape, action::SCRAPE) => scraped(reply, expected),
        _ => Err(Fault::Action),
    }
}

fn announced(reply: &[u8], expected: &Expected) -> Result<Reply, Fault> {
    let (Some(interval), Some(leechers), Some(seeders)) =
        (word(reply, 8), word(reply, 12), word(reply, 16))
    else {
        return Err(Fault::Length);
    };
    let stride = if expected.v6 {
        PEER_V6_LEN
    } else {
        PEER_V4_LEN
    };
    let peers_bytes = &reply[ANNOUNCE_REPLY_HEAD_LEN..];
    if !peers_bytes.len().is_multiple_of(stride) {
        return Err(Fault::Length);
    }
    let peers = peers_bytes.len() / stride;
    // What a tracker gives by itself is its own affair, but more does not fit a packet.
    if peers > usize::try_from(expected.numwant).unwrap_or(REPLY_PEERS_V4_MAX) {
        return Err(Fault::TooManyPeers);
    }
    let total = u64::from(leechers) + u64::from(seeders);
    if interval == 0
        || interval > INTERVAL_MAX_S
        || leechers > TOTAL_MAX
        || seeders > TOTAL_MAX
        || peers as u64 > total
    {
        return Err(Fault::Implausible);
    }
    if let Some(swarm_max) = expected.swarm_max {
        let known = |peer: &[u8]| {
            let (address, port) = peer.split_at(stride - 2);
            let loopback = if expected.v6 {
                address[..15] == [0; 15] && address[15] == 1
            } else {
                address[0] == 127
            };
            loopback && u16::from_be_bytes([port[0], port[1]]) >= 1024
        };
        if total > u64::from(swarm_max) || !peers_bytes.chunks_exact(stride).all(known) {
            return Err(Fault::Implausible);
        }
    }
    Ok(Reply::Announced { peers })
}

fn scraped(reply: &[u8], expected: &Expected) -> Result<Reply, Fault> {
    if reply.len() != SCRAPE_REPLY_HEAD_LEN + expected.scrape_hashes as usize * SCRAPE_ROW_LEN {
        return Err(Fault::Length);
    }
    let mut peers = 0;
    for at in (SCRAPE_REPLY_HEAD_LEN..reply.len()).step_by(SCRAPE_ROW_LEN) {
        let (Some(seeders), Some(leechers)) = (word(reply, at), word(reply, at + 8)) else {
            return Err(Fault::Length);
        };
        let total = u64::from(seeders) + u64::from(leechers);
        if seeders > TOTAL_MAX
            || leechers > TOTAL_MAX
            || expected
                .swarm_max
                .is_some_and(|most| total > u64::from(most))
        {
            return Err(Fault::Implausible);
        }
        peers += total;
    }
    Ok(Reply::Scraped { peers })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal::wire::udp::{
        ScrapeRow, write_announce_head, write_connect, write_error, write_scrape_head,
        write_scrape_row,
    };

    const ID: TransactionId = TransactionId(5);

    fn expected(kind: Kind) -> Expected {
        Expected {
            kind,
            v6: false,
            numwant: 3,
            scrape_hashes: 2,
            swarm_max: None,
        }
    }

    /// An announce reply with peers on loopback.
    fn announce_reply(peers: usize, leechers: u32, seeders: u32) -> Vec<u8> {
        let mut out = vec![0; 20];
        write_announce_head(&mut out, ID, 1800, leechers, seeders);
        for _ in 0..peers {
            out.extend([127, 0, 0, 1, 0x1a, 0xe1]);
        }
        out
    }

    #[test]
    fn a_connect_reply_has_sixteen_bytes_and_an_id() {
        let mut out = [0; 17];
        write_connect(&mut out, ID, ConnectionId(9));
        let expected = expected(Kind::Connect);
        assert_eq!(
            check(&out[..16], &expected),
            Ok(Reply::Connected(ConnectionId(9)))
        );
        assert_eq!(check(&out, &expected), Err(Fault::Length));
        assert_eq!(check(&out[..15], &expected), Err(Fault::Length));
    }

    #[test]
    fn an_announce_reply_never_has_more_peers_than_wanted_or_than_it_tells_of() {
        let mut expected = expected(Kind::Announce);
        assert_eq!(
            check(&announce_reply(3, 2, 2), &expected),
            Ok(Reply::Announced { peers: 3 })
        );
        assert_eq!(
            check(&announce_reply(4, 2, 2), &expected),
            Err(Fault::TooManyPeers)
        );
        assert_eq!(
            check(&announce_reply(3, 1, 1), &expected),
            Err(Fault::Implausible)
        );
        assert_eq!(
            check(&announce_reply(3, 2, 2)[..25], &expected),
            Err(Fault::Length)
        );
        assert_eq!(
            check(&announce_reply(0, 0, u32::MAX), &expected),
            Err(Fault::Implausible)
        );
        expected.numwant = -1;
        assert!(check(&announce_reply(200, 200, 0), &expected).is_ok());
        assert_eq!(
            check(&announce_reply(201, 201, 0), &expected),
            Err(Fault::TooManyPeers)
        );
        expected.numwant = 0;
        assert!(check(&announce_reply(0, 5, 5), &expected).is_ok());
        assert_eq!(
            check(&announce_reply(1, 5, 5), &expected),
            Err(Fault::TooManyPeers)
        );
    }

    #[test]
    fn strictness_knows_how_many_peers_there_are_and_where_they_live() {
        let mut expected = expected(Kind::Announce);
        expected.swarm_max = Some(4);
        assert!(check(&announce_reply(3, 2, 2), &expected).is_ok());
        assert_eq!(
            check(&announce_reply(3, 3, 2), &expected),
            Err(Fault::Implausible)
        );
        let mut stranger = announce_reply(1, 2, 2);
        stranger[20] = 192;
        assert_eq!(check(&stranger, &expected), Err(Fault::Implausible));
        let mut portless = announce_reply(1, 2, 2);
        portless[24..26].fill(0);
        assert_eq!(check(&portless, &expected), Err(Fault::Implausible));
    }

    #[test]
    fn a_scrape_reply_has_a_row_for_every_hash() {
        let row = ScrapeRow {
            seeders: 3,
            completed: 9,
            leechers: 4,
        };
        let mut out = [0; 8 + 24];
        write_scrape_head(&mut out, ID);
        write_scrape_row(&mut out, 0, row);
        write_scrape_row(&mut out, 1, row);
        let mut expected = expected(Kind::Scrape);
        assert_eq!(check(&out, &expected), Ok(Reply::Scraped { peers: 14 }));
        assert_eq!(check(&out[..20], &expected), Err(Fault::Length));
        expected.swarm_max = Some(6);
        assert_eq!(check(&out, &expected), Err(Fault::Implausible));
    }

    #[test]
    fn an_error_is_a_refusal_and_another_action_a_fault() {
        let mut out = [0; 16];
        let len = write_error(&mut out, ID, "no");
        for kind in Kind::ALL {
            assert_eq!(check(&out[..len], &expected(kind)), Ok(Reply::Refused));
        }
        write_connect(&mut out, ID, ConnectionId(9));
        assert_eq!(check(&out, &expected(Kind::Scrape)), Err(Fault::Action));
        assert_eq!(
            check(&[0, 0, 0], &expected(Kind::Scrape)),
            Err(Fault::Length)
        );
        assert_eq!(transaction_id(&out), Some(ID));
        assert_eq!(transaction_id(&out[..7]), None);
    }
}
