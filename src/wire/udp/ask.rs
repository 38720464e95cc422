//! Requests, written into the caller's buffer: the other side of [`super::parse`], for whoever asks
//! a tracker. Every function returns how many bytes it wrote and panics when the buffer is shorter.

use super::{
    ANNOUNCE_LEN, CONNECT_LEN, ConnectionId, PROTOCOL_ID, SCRAPE_HEAD_LEN, TransactionId, action,
};
use crate::wire::{Event, InfoHash, NumWant, PeerId};

/// Kind of the option that carries path and query (BEP 41), and the most bytes of one piece.
const URL_DATA: u8 = 2;
const URL_DATA_PIECE_LEN_MAX: usize = 255;

/// What an announce says. The address field is always written as 0, "use the sender's": trackers
/// read no other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Announce {
    /// The torrent.
    pub info_hash: InfoHash,
    /// How the client names itself.
    pub peer_id: PeerId,
    /// Bytes fetched since `started`.
    pub downloaded: u64,
    /// Bytes still missing; 0 for a seeder.
    pub left: u64,
    /// Bytes given since `started`.
    pub uploaded: u64,
    /// What happened since the last announce.
    pub event: Event,
    /// Lets a tracker know a client again whose address changed; few read it.
    pub key: u32,
    /// How many peers are wanted.
    pub num_want: NumWant,
    /// The port the client listens on.
    pub port: u16,
}

/// The 16 bytes of a connect.
pub fn write_connect(out: &mut [u8], transaction: TransactionId) -> usize {
    write_head(out, PROTOCOL_ID, action::CONNECT, transaction);
    CONNECT_LEN
}

/// The 98 bytes of an announce; options may follow.
pub fn write_announce(
    out: &mut [u8],
    id: ConnectionId,
    transaction: TransactionId,
    announce: &Announce,
) -> usize {
    // One length check here instead of one for each field below.
    let out = &mut out[..ANNOUNCE_LEN];
    write_head(out, id.0, action::ANNOUNCE, transaction);
    put(out, 16, announce.info_hash.0);
    put(out, 36, announce.peer_id.0);
    put(out, 56, announce.downloaded.to_be_bytes());
    put(out, 64, announce.left.to_be_bytes());
    put(out, 72, announce.uploaded.to_be_bytes());
    put(out, 80, event_number(announce.event).to_be_bytes());
    put(out, 84, [0; 4]);
    put(out, 88, announce.key.to_be_bytes());
    put(out, 92, num_want_number(announce.num_want).to_be_bytes());
    put(out, 96, announce.port.to_be_bytes());
    ANNOUNCE_LEN
}

/// The option behind an announce that carries path and query of the announce URL, in pieces of up
/// to 255 bytes, as trackers with keys in their URLs read it.
pub fn write_url_data(out: &mut [u8], path_and_query: &[u8]) -> usize {
    let mut at = 0;
    for piece in path_and_query.chunks(URL_DATA_PIECE_LEN_MAX) {
        out[at] = URL_DATA;
        out[at + 1] = piece.len() as u8;
        out[at + 2..at + 2 + piece.len()].copy_from_slice(piece);
        at += 2 + piece.len();
    }
    at
}

/// A scrape: 16 bytes and 20 for each info-hash. How many a tracker answers is its own affair;
/// more than [`crate::limits::SCRAPE_HASHES_MAX`] do not fit one packet.
pub fn write_scrape(
    out: &mut [u8],
    id: ConnectionId,
    transaction: TransactionId,
    info_hashes: &[InfoHash],
) -> usize {
    write_head(out, id.0, action::SCRAPE, transaction);
    for (position, info_hash) in info_hashes.iter().enumerate() {
        put(out, SCRAPE_HEAD_LEN + position * InfoHash::LEN, info_hash.0);
    }
    SCRAPE_HEAD_LEN + info_hashes.len() * InfoHash::LEN
}

fn event_number(event: Event) -> u32 {
    match event {
        Event::None => 0,
        Event::Completed => 1,
        Event::Started => 2,
        Event::Stopped => 3,
        Event::Paused => 4,
    }
}

/// A number that the signed field cannot hold is written as the largest that it can.
fn num_want_number(num_want: NumWant) -> i32 {
    match num_want {
        NumWant::Default => -1,
        NumWant::AtMost(number) => i32::try_from(number).unwrap_or(i32::MAX),
    }
}

fn write_head(out: &mut [u8], first: u64, action: u32, transaction: TransactionId) {
    put(out, 0, first.to_be_bytes());
    put(out, 8, action.to_be_bytes());
    put(out, 12, transaction.0.to_be_bytes());
}

fn put<const N: usize>(out: &mut [u8], at: usize, bytes: [u8; N]) {
    out[at..at + N].copy_from_slice(&bytes);
}

#[cfg(test)]
mod tests {
    use super::super::{Request, parse};
    use super::*;

    const TRANSACTION: TransactionId = TransactionId(0x0102_0304);
    const ID: ConnectionId = ConnectionId(0xfeed_face_dead_beef);

    fn announce(event: Event, num_want: NumWant) -> Announce {
        Announce {
            info_hash: InfoHash(*b"0123456789abcdefghij"),
            peer_id: PeerId(*b"-SH0001-klmnopqrstuv"),
            downloaded: 1 << 40,
            left: 2,
            uploaded: 3 << 33,
            event,
            key: 0xaabb_ccdd,
            num_want,
            port: 6881,
        }
    }

    #[test]
    fn a_written_connect_is_read_back() {
        let mut out = [0xee; 32];
        let len = write_connect(&mut out, TRANSACTION);
        assert_eq!(parse(&out[..len]), Ok(Request::Connect(TRANSACTION)));
        assert_eq!(out[len..], [0xee; 16]);
    }

    #[test]
    fn every_field_of_a_written_announce_is_read_back() {
        let events = [
            Event::None,
            Event::Completed,
            Event::Started,
            Event::Stopped,
            Event::Paused,
        ];
        for event in events {
            for num_want in [NumWant::Default, NumWant::AtMost(0), NumWant::AtMost(200)] {
                let said = announce(event, num_want);
                let mut out = [0xee; ANNOUNCE_LEN + 2];
                let len = write_announce(&mut out, ID, TRANSACTION, &said);
                let Ok(Request::Announce(ID, read)) = parse(&out[..len]) else {
                    panic!("not an announce with our id");
                };
                assert_eq!(read.transaction_id, TRANSACTION);
                assert_eq!(read.info_hash, said.info_hash);
                assert_eq!(read.peer_id, said.peer_id);
                assert_eq!(read.downloaded, said.downloaded);
                assert_eq!(read.left, said.left);
                assert_eq!(read.uploaded, said.uploaded);
                assert_eq!(read.event, said.event);
                assert_eq!(read.num_want, said.num_want);
                assert_eq!(read.port, said.port);
                assert_eq!(out[84..92], [0, 0, 0, 0, 0xaa, 0xbb, 0xcc, 0xdd]);
                assert_eq!(out[len..], [0xee; 2]);
            }
        }
    }

    #[test]
    fn a_num_want_beyond_the_field_is_the_largest_number_in_it() {
        let mut out = [0; ANNOUNCE_LEN];
        let said = announce(Event::None, NumWant::AtMost(u32::MAX));
        write_announce(&mut out, ID, TRANSACTION, &said);
        assert_eq!(out[92..96], i32::MAX.to_be_bytes());
    }

    #[test]
    fn url_data_of_any_length_is_read_back_behind_an_announce() {
        for len in [0, 1, 255, 256, 700] {
            let path: Vec<u8> = (b'a'..=b'z').cycle().take(len).collect();
            let mut out = [0; 2048];
            let said = announce(Event::Started, NumWant::Default);
            let mut end = write_announce(&mut out, ID, TRANSACTION, &said);
            end += write_url_data(&mut out[end..], &path);
            let Ok(Request::Announce(_, read)) = parse(&out[..end]) else {
                panic!("not an announce");
            };
            assert_eq!(read.url_data().as_bytes(), path);
        }
    }

    #[test]
    fn the_hashes_of_a_written_scrape_are_read_back_in_order() {
        let hashes = [1, 2, 3].map(|number| InfoHash([number; 20]));
        for count in 0..=3 {
            let mut out = [0; 16 + 60];
            let len = write_scrape(&mut out, ID, TRANSACTION, &hashes[..count]);
            let Ok(Request::Scrape(ID, TRANSACTION, read)) = parse(&out[..len]) else {
                panic!("not a scrape with our id");
            };
            assert!(read.iter().eq(hashes[..count].iter().copied()));
        }
    }
}
