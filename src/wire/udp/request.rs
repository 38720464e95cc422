//! A datagram becomes a [`Request`] or a [`Silence`]. Nothing here allocates, and no length or
//! content can make it panic.

use super::options::UrlData;
use super::{ConnectionId, PROTOCOL_ID, TransactionId, action};
use crate::wire::{Event, InfoHash, NumWant, PeerId};

/// Bytes of a connect request; longer ones are answered too.
pub const CONNECT_LEN: usize = 16;

/// Least bytes of an announce. More may follow: aria2 sends 100, BEP 41 options follow from here.
pub const ANNOUNCE_LEN: usize = 98;

/// Bytes of a scrape before its first info-hash.
pub const SCRAPE_HEAD_LEN: usize = 16;

/// What a client asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request<'a> {
    /// A connection id, please.
    Connect(TransactionId),
    /// Here is a peer of a torrent, who else is there?
    Announce(ConnectionId, Announce<'a>),
    /// How many peers do these torrents have?
    Scrape(ConnectionId, TransactionId, InfoHashes<'a>),
}

/// Why a datagram that does not parse gets no answer at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Silence {
    /// Fewer than the 16 bytes of the shortest request.
    Runt,
    /// A connect that does not begin with the protocol's number.
    WrongProtocolId,
    /// Action 3 or above. Answering would let two servers exchange errors for ever.
    UnknownAction,
    /// An announce of fewer than 98 bytes.
    ShortAnnounce,
}

/// An announce. Fields that the swarm does not need are left in the datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Announce<'a> {
    /// Echoed in the reply.
    pub transaction_id: TransactionId,
    /// The torrent.
    pub info_hash: InfoHash,
    /// How the client names itself.
    pub peer_id: PeerId,
    /// Bytes the client has fetched since `started`.
    pub downloaded: u64,
    /// Bytes that the client still misses; 0 makes it a seeder, all ones means "unknown".
    pub left: u64,
    /// Bytes the client has given since `started`.
    pub uploaded: u64,
    /// What happened to the client.
    pub event: Event,
    /// How many peers it would like.
    pub num_want: NumWant,
    /// The port it listens on; the address is the datagram's, never a field.
    pub port: u16,
    options: &'a [u8],
}

impl Announce<'_> {
    /// Path and query of the URL that the client announces to, as its BEP 41 options tell.
    pub fn url_data(&self) -> UrlData {
        UrlData::collect(self.options)
    }
}

impl From<u32> for Event {
    fn from(number: u32) -> Self {
        match number {
            1 => Self::Completed,
            2 => Self::Started,
            3 => Self::Stopped,
            4 => Self::Paused,
            _ => Self::None,
        }
    }
}

impl From<i32> for NumWant {
    fn from(number: i32) -> Self {
        u32::try_from(number).map_or(Self::Default, Self::AtMost)
    }
}

/// The info-hashes of a scrape, in the order they were asked. Bytes that do not fill a whole hash
/// at the end are ignored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InfoHashes<'a>(&'a [[u8; InfoHash::LEN]]);

impl<'a> InfoHashes<'a> {
    /// Whole info-hashes in the request.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when the request names no torrent. There is no full scrape over UDP.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The info-hashes in the order of the request.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = InfoHash> + use<'a> {
        self.0.iter().map(|bytes| InfoHash(*bytes))
    }
}

/// Reads one datagram.
pub fn parse(datagram: &[u8]) -> Result<Request<'_>, Silence> {
    let Some((head, body)) = datagram.split_first_chunk::<16>() else {
        return Err(Silence::Runt);
    };
    let first = u64::from_be_bytes(field(head, 0));
    let transaction_id = TransactionId(u32::from_be_bytes(field(head, 12)));
    match u32::from_be_bytes(field(head, 8)) {
        action::CONNECT if first == PROTOCOL_ID => Ok(Request::Connect(transaction_id)),
        action::CONNECT => Err(Silence::WrongProtocolId),
        action::ANNOUNCE => {
            let Some((body, options)) = body.split_first_chunk::<{ ANNOUNCE_LEN - 16 }>() else {
                return Err(Silence::ShortAnnounce);
            };
            let announce = read_announce(transaction_id, body, options);
            Ok(Request::Announce(ConnectionId(first), announce))
        }
        action::SCRAPE => {
            let (hashes, _) = body.as_chunks::<{ InfoHash::LEN }>();
            Ok(Request::Scrape(
                ConnectionId(first),
                transaction_id,
                InfoHashes(hashes),
            ))
        }
        _ => Err(Silence::UnknownAction),
    }
}

/// The announce after its 16-byte head. The IP address field (offset 84 of the datagram) is not
/// read: whoever could name an address there could make a swarm call a stranger.
fn read_announce<'a>(
    transaction_id: TransactionId,
    body: &[u8; ANNOUNCE_LEN - 16],
    options: &'a [u8],
) -> Announce<'a> {
    Announce {
        transaction_id,
        info_hash: InfoHash(field(body, 0)),
        peer_id: PeerId(field(body, 20)),
        downloaded: u64::from_be_bytes(field(body, 40)),
        left: u64::from_be_bytes(field(body, 48)),
        uploaded: u64::from_be_bytes(field(body, 56)),
        event: Event::from(u32::from_be_bytes(field(body, 64))),
        num_want: NumWant::from(i32::from_be_bytes(field(body, 76))),
        port: u16::from_be_bytes(field(body, 80)),
        options,
    }
}

/// `N` bytes at `offset`; both are constants at every call, so the check is gone in the binary.
fn field<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[offset..offset + N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_of_any_length_make_the_parser_panic() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bytes = [0_u8; 2048];
        for _ in 0..200_000 {
            let len = random.usize(..=bytes.len());
            random.fill(&mut bytes[..len.min(160)]);
            if len >= 12 && random.bool() {
                bytes[8..12].copy_from_slice(&random.u32(0..5).to_be_bytes());
            }
            match parse(&bytes[..len]) {
                Ok(Request::Announce(_, announce)) => {
                    assert!(len >= ANNOUNCE_LEN);
                    let _ = announce.url_data();
                }
                Ok(Request::Scrape(_, _, hashes)) => assert_eq!(hashes.len(), (len - 16) / 20),
                Ok(Request::Connect(_)) => assert!(len >= CONNECT_LEN),
                Err(Silence::Runt) => assert!(len < CONNECT_LEN),
                Err(Silence::ShortAnnounce) => assert!(len < ANNOUNCE_LEN),
                Err(Silence::WrongProtocolId | Silence::UnknownAction) => {}
            }
        }
    }

    #[test]
    fn a_negative_num_want_is_the_default_and_zero_is_zero() {
        assert_eq!(NumWant::from(-1), NumWant::Default);
        assert_eq!(NumWant::from(i32::MIN), NumWant::Default);
        assert_eq!(NumWant::from(0), NumWant::AtMost(0));
        assert_eq!(
            NumWant::from(i32::MAX),
            NumWant::AtMost(i32::MAX.unsigned_abs())
        );
    }
}
