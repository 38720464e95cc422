//! The torrents and peers that all measurements play. Nothing is kept of them: every field follows
//! from the numbers of torrent and peer and the seed, so a later run plays the same crowd again.

use std::net::{Ipv4Addr, SocketAddrV4};

use shoal::swarm::{PeerAddr, PeerAnnounce, Restored, State, Swarms};
use shoal::wire::udp::ask;
use shoal::wire::{Event, InfoHash, NumWant, PeerId};

/// Bytes that a leecher says it still misses.
const LEFT: u64 = 1 << 30;

/// Ports that peers announce: all that a user may bind.
const PORT_MIN: u16 = 1024;
const PORTS: u32 = 65536 - PORT_MIN as u32;

/// Most peers of one torrent over a network: a tracker knows a peer by address and port, and one
/// address may have to serve for all.
pub const PEERS_MAX: u32 = PORTS;

/// One peer of one torrent, by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Member {
    /// Number of the torrent.
    pub torrent: u32,
    /// Number of the peer within it.
    pub peer: u32,
}

/// Everybody, by number.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    seed: u64,
    /// Share of seeders as a bound on a 32-bit hash.
    seeder_bound: u64,
}

impl Crowd {
    /// Another seed is another crowd; `seeder_share` (0 to 1) of it are seeders.
    pub fn new(seed: u64, seeder_share: f64) -> Self {
        // The share was checked to lie between 0 and 1.
        #[allow(clippy::cast_sign_loss)]
        let seeder_bound = (seeder_share * 4_294_967_296.0) as u64;
        Self { seed, seeder_bound }
    }

    /// What names a torrent.
    pub fn info_hash(&self, torrent: u32) -> InfoHash {
        let first = mix(self.seed ^ u64::from(torrent));
        let second = mix(first);
        let mut bytes = [0; InfoHash::LEN];
        bytes[..8].copy_from_slice(&first.to_be_bytes());
        bytes[8..16].copy_from_slice(&second.to_be_bytes());
        bytes[16..].copy_from_slice(&torrent.to_be_bytes());
        InfoHash(bytes)
    }

    /// A number for everything about a member that should look random and never change.
    pub fn fate(&self, member: Member) -> u64 {
        mix(self.seed ^ (u64::from(member.torrent) << 32 | u64::from(member.peer)))
    }

    /// What a member says.
    pub fn announce(&self, member: Member, event: Event, num_want: NumWant) -> ask::Announce {
        let fate = self.fate(member);
        let mut peer_id = *b"-SB0001-............";
        peer_id[8..16].copy_from_slice(&fate.to_be_bytes());
        peer_id[16..].copy_from_slice(&member.peer.to_be_bytes());
        ask::Announce {
            info_hash: self.info_hash(member.torrent),
            peer_id: PeerId(peer_id),
            downloaded: 0,
            left: if self.is_seeder(fate) { 0 } else { LEFT },
            uploaded: 0,
            event,
            key: fate as u32,
            num_want,
            port: port(member),
        }
    }

    /// Where a member is when nobody has to be there: no two members of a torrent are at one place,
    /// up to 16 million of them.
    pub fn address(&self, member: Member) -> SocketAddrV4 {
        let [.., b, c] = self.fate(member).to_be_bytes();
        // Ports come again after so many peers.
        let round = (member.peer / PORTS) as u8;
        SocketAddrV4::new(Ipv4Addr::new(11, b, c, round), port(member))
    }

    /// What the swarm is told when a member announces and wants so many peers.
    pub fn peer_announce(&self, member: Member, wanted: usize) -> PeerAnnounce {
        PeerAnnounce {
            info_hash: self.info_hash(member.torrent),
            peer: self.peer(member),
            state: self.state(member),
            completed: false,
            wanted,
        }
    }

    /// Puts everybody into swarms at once: `peers` of each of `torrents`, who were heard of at `now_s`. What
    /// the memory budget refuses is told.
    pub fn fill(
        &self,
        swarms: &mut Swarms,
        torrents: impl IntoIterator<Item = u32>,
        peers: u32,
        now_s: u32,
    ) -> Restored {
        let mut sum = Restored::default();
        for torrent in torrents {
            let members = (0..peers).map(|peer| Member { torrent, peer });
            let known = members.map(|member| (self.peer(member), self.state(member), 0));
            sum += swarms.restore(self.info_hash(torrent), 0, now_s, known);
        }
        sum
    }

    fn peer(&self, member: Member) -> PeerAddr {
        let address = self.address(member);
        let mut wire = [0; 6];
        wire[..4].copy_from_slice(&address.ip().octets());
        wire[4..].copy_from_slice(&address.port().to_be_bytes());
        PeerAddr::V4(wire)
    }

    fn state(&self, member: Member) -> State {
        if self.is_seeder(self.fate(member)) {
            State::Seeding
        } else {
            State::Leeching
        }
    }

    fn is_seeder(&self, fate: u64) -> bool {
        (fate >> 32) < self.seeder_bound
    }
}

/// Peers of one torrent get ports one after the other, so that all differ.
fn port(member: Member) -> u16 {
    let port = (member.torrent.wrapping_mul(0x9e37_79b1) % PORTS + member.peer % PORTS) % PORTS;
    PORT_MIN + port as u16
}

/// The finisher of the splitmix generator: every bit of the result depends on every bit of `x`.
pub fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn announce(crowd: &Crowd, torrent: u32, peer: u32) -> ask::Announce {
        crowd.announce(Member { torrent, peer }, Event::None, NumWant::Default)
    }

    #[test]
    fn all_peers_of_a_torrent_have_different_ports_that_a_user_may_bind() {
        let crowd = Crowd::new(1, 0.5);
        for torrent in [0, 1, 999_999] {
            let ports: HashSet<u16> = (0..PEERS_MAX)
                .map(|peer| announce(&crowd, torrent, peer).port)
                .collect();
            assert_eq!(ports.len(), PEERS_MAX as usize);
            assert!(ports.iter().all(|&port| port >= PORT_MIN));
        }
    }

    #[test]
    fn no_two_peers_of_a_torrent_are_at_one_place_however_many_there_are() {
        let crowd = Crowd::new(1, 0.5);
        let places: HashSet<SocketAddrV4> = (0..1_000_000)
            .map(|peer| crowd.address(Member { torrent: 5, peer }))
            .collect();
        assert_eq!(places.len(), 1_000_000);
    }

    #[test]
    fn the_same_seed_plays_the_same_crowd_and_another_one_another() {
        let member = |seed| announce(&Crowd::new(seed, 0.3), 7, 3);
        assert_eq!(member(1), member(1));
        assert_ne!(member(1).info_hash, member(2).info_hash);
    }

    #[test]
    fn as_many_seed_as_asked_for() {
        for share in [0.0, 0.3, 1.0] {
            let crowd = Crowd::new(9, share);
            let seeders = (0..100_000)
                .filter(|&torrent| announce(&crowd, torrent, 0).left == 0)
                .count() as f64;
            assert!((seeders / 100_000.0 - share).abs() < 0.01);
        }
    }
}
