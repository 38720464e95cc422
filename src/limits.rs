//! Every fixed size, why it has that value, and the compile-time checks that tie them together.

use crate::wire::InfoHash;
use crate::wire::udp::{
    ANNOUNCE_REPLY_HEAD_LEN, PEER_V4_LEN, PEER_V6_LEN, SCRAPE_HEAD_LEN, SCRAPE_REPLY_HEAD_LEN,
    SCRAPE_ROW_LEN,
};

/// Bytes of a receive slot: the kernel's header and control data, then the datagram. The longest
/// request of BEP 15 (a scrape of 74 info-hashes) has 1496 bytes, an announce with 1024 bytes of
/// BEP 41 options 1130; what does not fit is discarded as truncated.
pub const RECEIVE_SLOT_LEN: usize = 2048;

/// Receive slots of one core, and so the most datagrams that one turn may hold. A power of two:
/// the kernel's ring of provided buffers asks for it.
pub const RECEIVE_SLOTS: usize = 512;

/// Most datagrams that one turn takes from the sockets. Large enough to share the price of a
/// system call, small enough that the requests of a turn stay in the first-level cache.
pub const TURN_DATAGRAMS_MAX: usize = 128;

/// Most handovers from other cores that one turn takes.
pub const TURN_HANDOVERS_MAX: usize = 128;

/// Bytes of UDP payload that cross the internet in one packet: IPv6 promises 1280 bytes, less 40
/// for its header and 8 for UDP's.
pub const REPLY_LEN_MAX: usize = 1232;

/// Replies that one turn can write: one for every request it takes.
pub const SEND_SLOTS: usize = TURN_DATAGRAMS_MAX + TURN_HANDOVERS_MAX;

/// Most IPv4 peers in a UDP announce reply: 20 + 200 * 6 = 1220 bytes.
pub const REPLY_PEERS_V4_MAX: usize = 200;

/// Most IPv6 peers in a UDP announce reply: 20 + 66 * 18 = 1208 bytes.
pub const REPLY_PEERS_V6_MAX: usize = 66;

/// Most info-hashes answered in one UDP scrape: "about 74" says BEP 15, (1500 - 16) / 20.
pub const SCRAPE_HASHES_MAX: usize = 74;

/// Handovers that may wait for one core. Past it they are dropped and counted: the client asks
/// again, and a queue that is this full would only add delay.
pub const HANDOVER_QUEUE_LEN: usize = 4096;

/// Requests of one HTTP thread that may wait for an answer at one time. What comes beyond waits in its
/// connection.
pub const ASKS_MAX: usize = 2048;

/// Most peers in an HTTP reply, both families together: as many as UDP carries, so that nobody gains by
/// the other protocol.
pub const HTTP_PEERS_MAX: usize = REPLY_PEERS_V4_MAX;

/// Bytes of the longest request head that is read. A scrape of [`SCRAPE_HASHES_MAX`] info-hashes with
/// every byte escaped has 5.3 KB.
pub const HEAD_LEN_MAX: usize = 8192;

/// Most HTTP threads.
pub const HTTP_THREADS_MAX: usize = CORES_MAX;

/// Scrapes over several shards that may be on their way between cores at one time.
pub const TRAVELLING_SCRAPES_MAX: usize = 256;

/// Bytes of path and query kept from the URLData options of one announce (BEP 41).
pub const URL_DATA_LEN_MAX: usize = 1024;

/// Most cores: the steering program multiplies a 16-bit hash by this number in 32 bits.
pub const CORES_MAX: usize = 1024;

/// Most `[[udp]]` listeners, and most `[[http]]` listeners.
pub const LISTENERS_MAX: usize = 64;

const _: () = assert!(RECEIVE_SLOTS.is_power_of_two() && TURN_DATAGRAMS_MAX < RECEIVE_SLOTS);
const _: () = assert!(ANNOUNCE_REPLY_HEAD_LEN + REPLY_PEERS_V4_MAX * PEER_V4_LEN <= REPLY_LEN_MAX);
const _: () = assert!(ANNOUNCE_REPLY_HEAD_LEN + REPLY_PEERS_V6_MAX * PEER_V6_LEN <= REPLY_LEN_MAX);
const _: () = assert!(SCRAPE_REPLY_HEAD_LEN + SCRAPE_HASHES_MAX * SCRAPE_ROW_LEN <= REPLY_LEN_MAX);
const _: () = assert!(SCRAPE_HEAD_LEN + SCRAPE_HASHES_MAX * InfoHash::LEN <= 1500);
const _: () = assert!(CORES_MAX <= 1 << 16);
