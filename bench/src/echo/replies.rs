//! Replies of the size and shape that a tracker would send, made once, with only the transaction
//! id and the length to change.

use shoal::limits::SCRAPE_HASHES_MAX;
use shoal::wire::NumWant;
use shoal::wire::udp::{
    ANNOUNCE_REPLY_HEAD_LEN, ConnectionId, PEER_V4_LEN, PEER_V6_LEN, Request,
    SCRAPE_REPLY_HEAD_LEN, SCRAPE_ROW_LEN, TransactionId, parse, write_announce_head,
    write_connect, write_scrape_head,
};

/// Everybody gets this one.
const ID: ConnectionId = ConnectionId(0x0123_4567_89ab_cdef);
const INTERVAL_S: u32 = 1800;
/// Peers for an announce that leaves the number to the tracker.
const PEERS_DEFAULT: usize = 50;

/// The replies of one slot, one of each kind, so that answering copies nothing.
pub(super) struct Replies {
    connect: [u8; 16],
    announce: Vec<u8>,
    scrape: Vec<u8>,
    peers: usize,
    peer_len: usize,
}

impl Replies {
    /// `peers` are handed out to whoever wants as many.
    pub(super) fn new(peers: usize, v6: bool) -> Self {
        let peer: &[u8] = if v6 {
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x1a, 0xe1]
        } else {
            &[127, 0, 0, 1, 0x1a, 0xe1]
        };
        let mut announce = vec![0; ANNOUNCE_REPLY_HEAD_LEN];
        // One peer more than is handed out, the one who asks.
        let total = peers as u32 + 1;
        write_announce_head(
            &mut announce,
            TransactionId(0),
            INTERVAL_S,
            total / 2,
            total.div_ceil(2),
        );
        announce.extend(peer.repeat(peers));
        let mut scrape = vec![0; SCRAPE_REPLY_HEAD_LEN + SCRAPE_HASHES_MAX * SCRAPE_ROW_LEN];
        write_scrape_head(&mut scrape, TransactionId(0));
        let mut connect = [0; 16];
        write_connect(&mut connect, TransactionId(0), ID);
        Self {
            connect,
            announce,
            scrape,
            peers,
            peer_len: if v6 { PEER_V6_LEN } else { PEER_V4_LEN },
        }
    }

    /// The reply to `request`; empty when it gets none.
    pub(super) fn answer(&mut self, request: &[u8]) -> &[u8] {
        match parse(request) {
            Ok(Request::Connect(transaction)) => patched(&mut self.connect, transaction, 16),
            Ok(Request::Announce(_, announce)) => {
                let wanted = match announce.num_want {
                    NumWant::Default => PEERS_DEFAULT,
                    NumWant::AtMost(most) => most as usize,
                };
                let len = ANNOUNCE_REPLY_HEAD_LEN + wanted.min(self.peers) * self.peer_len;
                patched(&mut self.announce, announce.transaction_id, len)
            }
            Ok(Request::Scrape(_, transaction, hashes)) => {
                let rows = hashes.len().min(SCRAPE_HASHES_MAX);
                let len = SCRAPE_REPLY_HEAD_LEN + rows * SCRAPE_ROW_LEN;
                patched(&mut self.scrape, transaction, len)
            }
            Err(_) => &[],
        }
    }
}

fn patched(reply: &mut [u8], transaction: TransactionId, len: usize) -> &[u8] {
    reply[4..8].copy_from_slice(&transaction.0.to_be_bytes());
    &reply[..len]
}
