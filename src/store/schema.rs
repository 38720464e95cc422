//! What lies in the file of the swarms, byte by byte. Numbers are little-endian, but in keys big-endian, so that
//! LMDB sorts them.
//!
//! ```text
//! data.mdb                LMDB, with the databases below
//!
//! meta      "version"     u32     version of this page, VERSION
//!           "salt"        16      key of the hash that spreads torrents over buckets
//!           "snapshot"    u64     when the last whole snapshot was begun, in Unix seconds
//!                         u64     torrents in it
//!                         u64     peers in it
//!
//! swarms    bucket u16, part u32  ->  a block: some torrents of that bucket
//!
//!   block   taken       u64       when the ages below were counted, in Unix seconds
//!           unit        u32       seconds of a unit of age, at least 1
//!           rows        ..        to the end
//!
//!   row     info-hash   20
//!           completed   varint    downloads that were completed here
//!           v4, v6      varint    how many peers follow
//!           v4 peers    8 each    address 4, port 2 (as on the wire), u16 of state
//!           v6 peers    20 each   address 16, port 2, u16 of state
//!
//!   state   bit 15 seeder, bit 14 partial seed, bits 0 to 13 units since it was heard of
//!   varint  7 bits a byte, the lowest first, bit 7 set in all but the last
//! ```
//!
//! The bucket of a torrent is the low 6 bits of SipHash-1-3 of its info-hash under the salt, which
//! nobody outside knows: torrents cannot be aimed at one bucket. All blocks of a bucket change in one
//! transaction, so a file is a mixture of whole buckets, each as it was at some time. A torrent may
//! have several rows in its bucket; they add up, with the greatest `completed`.
//!
//! Blocks instead of an entry for each torrent: a block fills pages of its own, whereas LMDB leaves a
//! third or more of a page of small entries empty, and writes all of it again for each that changes.
//!
//! Both databases are made with the file; a change of what stands above needs a new version. What must
//! never be lost is in a file of its own, `records/schema.rs`.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::disk::Layout;
use crate::swarm::{Known, PeerAddr, State, Visited};
use crate::wire::InfoHash;

/// The version of the schema that this program reads and writes.
pub const VERSION: u32 = 1;

/// The file of the swarms.
pub(super) const SWARMS: Layout<1> = Layout {
    file: "data.mdb",
    version: VERSION,
    databases: ["swarms"],
    mark: Some((KEY_SALT, SALT_LEN)),
};

pub(super) const KEY_SALT: &[u8] = b"salt";
pub(super) const KEY_SNAPSHOT: &[u8] = b"snapshot";

/// Bytes of the salt.
pub const SALT_LEN: usize = 16;

/// How many buckets there are: enough for a transaction to be a small part of all, few enough for a bucket
/// to have blocks that fill their pages.
pub(super) const BUCKETS: u16 = 1 << 6;

/// Greatest age that a peer's state can hold, in units.
const AGE_MAX: u32 = (1 << 14) - 1;
const SEEDER: u16 = 1 << 15;
const PAUSED: u16 = 1 << 14;

const ENTRY_V4_LEN: usize = 8;
const ENTRY_V6_LEN: usize = 20;

/// Most bytes of a number.
const VARINT_LEN_MAX: usize = 5;

/// Bytes of a block before its rows.
pub(super) const BLOCK_HEAD_LEN: usize = 12;

/// Most bytes of a row without its peers.
pub(super) const ROW_HEAD_LEN_MAX: usize = InfoHash::LEN + 3 * VARINT_LEN_MAX;

/// Most bytes of a peer.
pub(super) const PEER_LEN_MAX: usize = ENTRY_V6_LEN;

/// Bytes that torrents and peers take, about: what is needed to divide the work.
pub(super) fn estimate(torrents: u64, peers_v4: u64, peers_v6: u64) -> u64 {
    (InfoHash::LEN as u64 + 3) * torrents
        + ENTRY_V4_LEN as u64 * peers_v4
        + ENTRY_V6_LEN as u64 * peers_v6
}

/// The bytes are not what they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed;

/// How torrents are spread over buckets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buckets(SipHasher13);

impl Buckets {
    /// The rule under this salt.
    pub(super) fn new(salt: &[u8; SALT_LEN]) -> Self {
        Self(SipHasher13::new_with_key(salt))
    }

    /// The bucket of a torrent.
    #[inline]
    pub(super) fn of(&self, info_hash: &InfoHash) -> u16 {
        let mut hasher = self.0;
        hasher.write(&info_hash.0);
        hasher.finish() as u16 % BUCKETS
    }
}

/// The key of a block.
pub(super) fn block_key(bucket: u16, part: u32) -> [u8; 6] {
    let mut key = [0; 6];
    key[..2].copy_from_slice(&bucket.to_be_bytes());
    key[2..].copy_from_slice(&part.to_be_bytes());
    key
}

/// Bucket and part of a key.
pub(super) fn read_block_key(key: &[u8]) -> Result<(u16, u32), Malformed> {
    let (bucket, part) = key.split_first_chunk().ok_or(Malformed)?;
    let bucket = u16::from_be_bytes(*bucket);
    match part.try_into() {
        Ok(part) if bucket < BUCKETS => Ok((bucket, u32::from_be_bytes(part))),
        _ => Err(Malformed),
    }
}

/// Seconds of a unit of age, so that every age up to the time-out can be told.
pub(super) fn unit_s(peer_timeout_s: u32) -> u32 {
    peer_timeout_s / AGE_MAX + 1
}

/// Begins a block.
pub(super) fn write_block_head(out: &mut Vec<u8>, taken_unix_s: u64, unit_s: u32) {
    out.extend_from_slice(&taken_unix_s.to_le_bytes());
    out.extend_from_slice(&unit_s.to_le_bytes());
}

/// A block, to read.
pub(super) struct Block<'a> {
    pub(super) taken_unix_s: u64,
    pub(super) unit_s: u32,
    rows: &'a [u8],
}

impl<'a> Block<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (head, rows) = bytes.split_first_chunk::<8>().ok_or(Malformed)?;
        let (unit, rows) = rows.split_first_chunk::<4>().ok_or(Malformed)?;
        Ok(Self {
            taken_unix_s: u64::from_le_bytes(*head),
            unit_s: u32::from_le_bytes(*unit),
            rows,
        })
    }

    /// The next row; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Row<'a>>, Malformed> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        let (info_hash, rest) = self.rows.split_first_chunk().ok_or(Malformed)?;
        let (completed, rest) = read_varint(rest)?;
        let (v4, rest) = read_varint(rest)?;
        let (v6, rest) = read_varint(rest)?;
        let (v4, rest) = split::<ENTRY_V4_LEN>(rest, v4)?;
        let (v6, rest) = split::<ENTRY_V6_LEN>(rest, v6)?;
        self.rows = rest;
        Ok(Some(Row {
            info_hash: InfoHash(*info_hash),
            completed,
            v4,
            v6,
        }))
    }
}

/// A row that stands alone.
pub(super) fn read_row(row: &[u8]) -> Result<Row<'_>, Malformed> {
    let mut block = Block {
        taken_unix_s: 0,
        unit_s: 1,
        rows: row,
    };
    let row = block.next()?.ok_or(Malformed)?;
    if block.rows.is_empty() {
        Ok(row)
    } else {
        Err(Malformed)
    }
}

fn split<const LEN: usize>(bytes: &[u8], count: u32) -> Result<(&[[u8; LEN]], &[u8]), Malformed> {
    let len = (count as usize).checked_mul(LEN).ok_or(Malformed)?;
    let (entries, rest) = bytes.split_at_checked(len).ok_or(Malformed)?;
    Ok((entries.as_chunks().0, rest))
}

/// A torrent in a block, to read.
pub(super) struct Row<'a> {
    pub(super) info_hash: InfoHash,
    pub(super) completed: u32,
    v4: &'a [[u8; ENTRY_V4_LEN]],
    v6: &'a [[u8; ENTRY_V6_LEN]],
}

impl<'a> Row<'a> {
    pub(super) fn peers_len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// The peers, `elapsed_s` after the block was taken.
    pub(super) fn peers(
        &self,
        unit_s: u32,
        elapsed_s: u32,
    ) -> impl Iterator<Item = Known> + use<'a> {
        let read = move |wire, state: [u8; 2]| {
            let state = u16::from_le_bytes(state);
            let age_s = (u32::from(state) & AGE_MAX).saturating_mul(unit_s);
            let how = match (state & SEEDER, state & PAUSED) {
                (0, 0) => State::Leeching,
                (0, _) => State::Paused,
                _ => State::Seeding,
            };
            (wire, how, age_s.saturating_add(elapsed_s))
        };
        let v4 = self
            .v4
            .iter()
            .map(move |&[a, b, c, d, e, f, x, y]| read(PeerAddr::V4([a, b, c, d, e, f]), [x, y]));
        let v6 = self.v6.iter().map(move |entry| {
            let mut wire = [0; 18];
            wire.copy_from_slice(&entry[..18]);
            read(PeerAddr::V6(wire), [entry[18], entry[19]])
        });
        v4.chain(v6)
    }
}

/// Writes a torrent with its peers.
pub(super) fn write_row(out: &mut Vec<u8>, torrent: &Visited<'_>, unit_s: u32) {
    let (v4, v6) = torrent.lens();
    write_row_head(out, &torrent.info_hash, torrent.completed, v4, v6);
    for (wire, state, age_s) in torrent.peers_v4() {
        out.extend_from_slice(&wire);
        out.extend_from_slice(&state_bytes(state, age_s, unit_s));
    }
    for (wire, state, age_s) in torrent.peers_v6() {
        out.extend_from_slice(&wire);
        out.extend_from_slice(&state_bytes(state, age_s, unit_s));
    }
}

/// Writes a torrent up to its peers; without any, this is all.
pub(super) fn write_row_head(
    out: &mut Vec<u8>,
    info_hash: &InfoHash,
    completed: u32,
    v4: usize,
    v6: usize,
) {
    out.extend_from_slice(&info_hash.0);
    write_varint(out, completed);
    write_varint(out, v4 as u32);
    write_varint(out, v6 as u32);
}

pub(super) fn state_bytes(state: State, age_s: u32, unit_s: u32) -> [u8; 2] {
    let how = match state {
        State::Seeding => SEEDER,
        State::Paused => PAUSED,
        State::Leeching | State::Stopped => 0,
    };
    ((age_s / unit_s).min(AGE_MAX) as u16 | how).to_le_bytes()
}

fn write_varint(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_varint(bytes: &[u8]) -> Result<(u32, &[u8]), Malformed> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().take(VARINT_LEN_MAX).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let number = u32::try_from(number).map_err(|_| Malformed)?;
            return Ok((number, &bytes[at + 1..]));
        }
    }
    Err(Malformed)
}

/// What the key "snapshot" holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Taken {
    pub(super) unix_s: u64,
    pub(super) torrents: u64,
    pub(super) peers: u64,
}

impl Taken {
    pub(super) fn bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.unix_s.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.torrents.to_le_bytes());
        bytes[16..].copy_from_slice(&self.peers.to_le_bytes());
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let ([unix_s, torrents, peers], []) = bytes.as_chunks::<8>() else {
            return Err(Malformed);
        };
        Ok(Self {
            unix_s: u64::from_le_bytes(*unix_s),
            torrents: u64::from_le_bytes(*torrents),
            peers: u64::from_le_bytes(*peers),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::{Settings, Swarms, VisitCursor};

    const ONE: InfoHash = InfoHash([0x11; 20]);
    const SEEDER_V4: PeerAddr = PeerAddr::V4([192, 0, 2, 1, 0x1a, 0xe1]);
    const PARTIAL_V4: PeerAddr = PeerAddr::V4([192, 0, 2, 2, 0x1a, 0xe1]);
    const LEECHER_V6: PeerAddr = PeerAddr::V6([0x20; 18]);

    fn one_block() -> Vec<u8> {
        let mut swarms = Swarms::new(Settings {
            seeds: [1, 2, 3, 4],
            peer_timeout_s: 20_000,
            remove_peerless: true,
            memory_budget: None,
            peer_details: false,
        });
        let peers = [
            (SEEDER_V4, State::Seeding, 0),
            (PARTIAL_V4, State::Paused, 10_000),
            (LEECHER_V6, State::Leeching, 100),
        ];
        swarms.restore(ONE, 300, 0, peers.into_iter());
        let mut block = Vec::new();
        let unit_s = unit_s(20_000);
        write_block_head(&mut block, 1_700_000_000, unit_s);
        let mut cursor = VisitCursor::default();
        swarms.visit(
            &mut cursor,
            9,
            0,
            |_| true,
            |torrent| write_row(&mut block, &torrent, unit_s),
        );
        block
    }

    #[test]
    fn a_block_has_the_bytes_that_the_picture_shows() {
        let mut expected = Vec::new();
        expected.extend([0x00, 0xf1, 0x53, 0x65, 0, 0, 0, 0, 2, 0, 0, 0]);
        expected.extend([0x11; 20]);
        expected.extend([0xac, 0x02, 2, 1]);
        expected.extend([192, 0, 2, 1, 0x1a, 0xe1, 0x00, 0x80]);
        expected.extend([192, 0, 2, 2, 0x1a, 0xe1, 0x88, 0x53]);
        expected.extend([0x20; 18]);
        expected.extend([50, 0]);
        assert_eq!(one_block(), expected);
        assert_eq!(block_key(0x0123, 0x4567), [0x01, 0x23, 0, 0, 0x45, 0x67]);
        let taken = Taken {
            unix_s: 1,
            torrents: 2,
            peers: 3,
        };
        assert_eq!(Taken::read(&taken.bytes()), Ok(taken));
    }

    #[test]
    fn what_was_written_reads_back_and_the_time_between_counts() {
        let bytes = one_block();
        let mut block = Block::read(&bytes).unwrap();
        assert_eq!((block.taken_unix_s, block.unit_s), (1_700_000_000, 2));
        let row = block.next().unwrap().unwrap();
        assert_eq!((row.info_hash, row.completed), (ONE, 300));
        let peers: Vec<Known> = row.peers(2, 7).collect();
        assert_eq!(
            peers,
            [
                (SEEDER_V4, State::Seeding, 7),
                (PARTIAL_V4, State::Paused, 10_007),
                (LEECHER_V6, State::Leeching, 107),
            ]
        );
        assert!(block.next().unwrap().is_none());
    }

    #[test]
    fn a_block_that_was_cut_or_mangled_is_malformed_or_something_else_but_never_a_panic() {
        let bytes = one_block();
        for len in 0..bytes.len() {
            let read = Block::read(&bytes[..len]).and_then(|mut block| block.next().map(|_| ()));
            assert_eq!(read.is_err(), len != BLOCK_HEAD_LEN, "{len}");
        }
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..20_000 {
            let mut mangled = bytes.clone();
            for _ in 0..rng.usize(1..5) {
                let at = rng.usize(..mangled.len());
                mangled[at] = rng.u8(..);
            }
            let Ok(mut block) = Block::read(&mangled) else {
                continue;
            };
            while let Ok(Some(row)) = block.next() {
                assert!(row.peers(block.unit_s, u32::MAX).count() <= 10);
            }
        }
    }

    #[test]
    fn numbers_of_every_length_read_back() {
        for number in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u32::MAX - 1, u32::MAX] {
            let mut bytes = Vec::new();
            write_varint(&mut bytes, number);
            bytes.push(9);
            assert_eq!(read_varint(&bytes), Ok((number, &[9][..])));
        }
        assert_eq!(read_varint(&[0xff, 0xff, 0xff, 0xff, 0x1f]), Err(Malformed));
        assert_eq!(read_varint(&[0x80; 9]), Err(Malformed));
    }

    #[test]
    fn every_age_up_to_the_time_out_can_be_told() {
        for timeout_s in [1, 3600, AGE_MAX, AGE_MAX + 1, 604_800] {
            assert!((timeout_s - 1) / unit_s(timeout_s) <= AGE_MAX);
        }
    }
}
