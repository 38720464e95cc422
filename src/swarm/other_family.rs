//! Peers of the family that the announcer did not come with, for replies that have room for both
//! (BEP 7).

use super::body::View;
use super::family::{Family, V4, V6};
use super::{PeerAddr, PeerAnnounce, State, Swarms, sample};

/// Bytes of an IPv4 peer as it is sent.
const V4_LEN: usize = V4::WIRE_LEN;

/// Bytes of an IPv6 peer as it is sent.
const V6_LEN: usize = V6::WIRE_LEN;

/// What stands before an IPv4 address that is written as an IPv6 address (RFC 4291, 2.5.5.2).
const MAPPED: [u8; V6_LEN - V4_LEN] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

impl Swarms {
    /// Writes up to `wanted` peers of the other family into `out`: IPv6, 18 bytes each, for one who
    /// announced with IPv4, and IPv4, 6 bytes each, for one who announced with IPv6. Returns the
    /// bytes written.
    ///
    /// To be called after [`Self::announce`] was given the same announce. The rules are the same: a
    /// seeder is told of leechers only, a stopped peer of nobody, and all who may be told of are
    /// equally likely. `turn` is a random number, the one of the announce or any other.
    pub fn other_family(
        &self,
        hash: u64,
        announce: &PeerAnnounce,
        wanted: usize,
        turn: u64,
        out: &mut [u8],
    ) -> usize {
        match announce.peer {
            PeerAddr::V4(_) => self.sample_of::<V6>(hash, announce, wanted, turn, out),
            PeerAddr::V6(_) => self.sample_of::<V4>(hash, announce, wanted, turn, out),
        }
    }

    /// Writes up to `wanted` IPv4 peers in IPv6 clothes, `::ffff:a.b.c.d` and port in 18 bytes each,
    /// for a client that announced with IPv6 and reads nothing but IPv6 peers. Writes nothing for
    /// one that announced with IPv4. Returns the bytes written; else as [`Self::other_family`].
    pub fn mapped_v4(
        &self,
        hash: u64,
        announce: &PeerAnnounce,
        wanted: usize,
        turn: u64,
        out: &mut [u8],
    ) -> usize {
        if matches!(announce.peer, PeerAddr::V4(_)) {
            return 0;
        }
        let wanted = wanted.min(out.len() / V6_LEN);
        let written = self.sample_of::<V4>(hash, announce, wanted, turn, out);
        let count = written / V4_LEN;
        spread(&mut out[..count * V6_LEN], count);
        count * V6_LEN
    }

    /// Samples peers of a family among which the announcer is not.
    fn sample_of<F: Family>(
        &self,
        hash: u64,
        announce: &PeerAnnounce,
        wanted: usize,
        turn: u64,
        out: &mut [u8],
    ) -> usize {
        let Some(position) = self.find(hash, &announce.info_hash) else {
            return 0;
        };
        let View { entries, seeders } = F::view(&self.records.get(position).body);
        let range = match announce.state {
            State::Seeding => &entries[seeders..],
            State::Leeching | State::Paused => entries,
            State::Stopped => return 0,
        };
        sample::sample::<F>(range, None, wanted, turn, out)
    }
}

/// Dresses the `count` IPv4 peers that stand dense at the front of `out`. From the last to the
/// first: each is written at or behind the place where it is read, and those before it are still to
/// be read.
fn spread(out: &mut [u8], count: usize) {
    for at in (0..count).rev() {
        let mut wire = [0; V4_LEN];
        wire.copy_from_slice(&out[at * V4_LEN..][..V4_LEN]);
        let (mapped, peer) = out[at * V6_LEN..][..V6_LEN].split_at_mut(MAPPED.len());
        mapped.copy_from_slice(&MAPPED);
        peer.copy_from_slice(&wire);
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{info_hash, leecher, peer_v4, peer_v6, settings};
    use super::*;

    const SEEDERS: u32 = 40;

    /// A swarm of so many peers of each family, every one but the first 40 a leecher.
    fn swarm_of(count_v4: u32, count_v6: u32) -> Swarms {
        let mut swarms = Swarms::new(settings());
        let hash = swarms.hash(&info_hash(1));
        let v4 = (0..count_v4).map(|number| (number, peer_v4(number)));
        let v6 = (0..count_v6).map(|number| (number, peer_v6(number)));
        for (number, peer) in v4.chain(v6) {
            let mut announce = leecher(1, peer);
            if number < SEEDERS {
                announce.state = State::Seeding;
            }
            swarms.announce(hash, &announce, 0, 0, &mut []);
        }
        swarms
    }

    /// The turns that lead to each of `others` places once.
    fn all_turns(others: u32) -> impl Iterator<Item = u64> {
        (0..others).map(move |place| (u128::from(place) << 64).div_ceil(u128::from(others)) as u64)
    }

    /// How often each IPv4 peer is told of to an IPv6 announcer, over all turns of the circle.
    fn times_told(state: State, wanted: usize, mapped: bool) -> Vec<usize> {
        let count = SEEDERS + 57;
        let swarms = swarm_of(count, 5);
        let announce = PeerAnnounce {
            state,
            ..leecher(1, peer_v6(u32::from(state != State::Seeding) * SEEDERS))
        };
        let hash = swarms.hash(&announce.info_hash);
        let others = if state == State::Seeding { 57 } else { count };
        let mut times = vec![0; count as usize];
        for turn in all_turns(others) {
            let mut out = [0; 1800];
            let stride = if mapped { 18 } else { 6 };
            let written = if mapped {
                swarms.mapped_v4(hash, &announce, wanted, turn, &mut out)
            } else {
                swarms.other_family(hash, &announce, wanted, turn, &mut out)
            };
            assert_eq!(written, wanted * stride);
            for peer in out[..written].chunks_exact(stride) {
                // Its number is the last byte of its address.
                times[usize::from(peer[stride - 3])] += 1;
            }
        }
        times
    }

    #[test]
    fn every_peer_of_the_other_family_is_told_of_equally_often() {
        for wanted in [1, 3, 4, 7, 16, 31, 56] {
            for mapped in [false, true] {
                let everyone = vec![wanted; SEEDERS as usize + 57];
                assert_eq!(times_told(State::Leeching, wanted, mapped), everyone);
                assert_eq!(times_told(State::Paused, wanted, mapped), everyone);
                let mut leechers = everyone;
                leechers[..SEEDERS as usize].fill(0);
                assert_eq!(times_told(State::Seeding, wanted, mapped), leechers);
            }
        }
    }

    #[test]
    fn a_stopped_peer_and_one_of_an_unknown_torrent_are_told_of_nobody() {
        let swarms = swarm_of(50, 50);
        let mut out = [0; 300];
        for peer in [peer_v4(1), peer_v6(1)] {
            let mut stopped = leecher(1, peer);
            stopped.state = State::Stopped;
            for announce in [stopped, leecher(2, peer)] {
                let hash = swarms.hash(&announce.info_hash);
                assert_eq!(swarms.other_family(hash, &announce, 9, 0, &mut out), 0);
                assert_eq!(swarms.mapped_v4(hash, &announce, 9, 0, &mut out), 0);
            }
        }
    }

    #[test]
    fn an_ipv4_peer_in_ipv6_clothes_is_what_the_standard_library_calls_so() {
        let swarms = swarm_of(3, 0);
        let announce = leecher(1, peer_v6(1));
        let hash = swarms.hash(&announce.info_hash);
        let mut out = [0; 60];
        assert_eq!(swarms.mapped_v4(hash, &announce, 9, 0, &mut out), 54);
        for wire in out.as_chunks::<18>().0 {
            let octets: [u8; 16] = *wire.first_chunk().unwrap();
            let address = std::net::Ipv6Addr::from(octets).to_ipv4_mapped().unwrap();
            assert_eq!(address.octets()[0], 10);
        }
    }
}
