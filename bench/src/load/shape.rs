//! How many peers each torrent gets when a tracker is filled, and in which order they come.

use shoal_bench::crowd::{Member, PEERS_MAX};

use super::options::Options;
use super::zipf::Spread;

/// Steps in the search for the scale of the sizes: enough to tell a peer in a billion apart.
const SEARCH_STEPS: u32 = 60;
/// Odd, so that multiplying by one can be undone: from the finisher of splitmix.
const MIXERS: [u64; 2] = [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];

/// Who is there.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Every torrent has as many peers.
    Even { torrents: u32, peers: u32 },
    /// Few torrents have most of the peers, and every torrent has one at least.
    Uneven {
        /// Peers of all torrents before this one; one entry more than there are torrents.
        starts: Vec<u32>,
    },
}

impl Shape {
    pub(crate) fn new(options: &Options) -> Self {
        match options.fill_peers {
            None => Self::Even {
                torrents: options.torrents,
                peers: options.peers_per_torrent,
            },
            Some(peers) => Self::uneven(options.torrents, peers, options.dist),
        }
    }

    fn uneven(torrents: u32, peers: u32, spread: Spread) -> Self {
        let mut starts = Vec::with_capacity(torrents as usize + 1);
        let mut sum = 0;
        starts.push(0);
        for size in sizes(torrents, peers, spread) {
            sum += size;
            starts.push(sum);
        }
        Self::Uneven { starts }
    }

    /// All peers together.
    pub(crate) fn total(&self) -> u64 {
        match self {
            Self::Even { torrents, peers } => u64::from(*torrents) * u64::from(*peers),
            Self::Uneven { starts } => starts.last().map_or(0, |&sum| u64::from(sum)),
        }
    }

    /// Peers of one torrent.
    pub(crate) fn size(&self, torrent: u32) -> u32 {
        match self {
            Self::Even { peers, .. } => *peers,
            Self::Uneven { starts } => starts[torrent as usize + 1] - starts[torrent as usize],
        }
    }

    /// Peers of the largest torrent, which is the first.
    pub(crate) fn largest(&self) -> u32 {
        self.size(0)
    }

    /// Who comes as the n-th. A tracker that had one torrent's peers all at once could place them better than
    /// it can in life, so they come mixed; where all torrents are alike, first one peer of each, then the
    /// next of each.
    pub(crate) fn member(&self, n: u64) -> Member {
        match self {
            Self::Even { torrents, .. } => Member {
                torrent: (n % u64::from(*torrents)) as u32,
                peer: (n / u64::from(*torrents)) as u32,
            },
            Self::Uneven { starts } => {
                let at = shuffled(n, self.total()) as u32;
                let torrent = starts.partition_point(|&start| start <= at) - 1;
                Member {
                    torrent: torrent as u32,
                    peer: at - starts[torrent],
                }
            }
        }
    }
}

/// How many peers each torrent has, the largest first: in proportion to its weight, but one at least and
/// not more than a torrent can have.
fn sizes(torrents: u32, peers: u32, spread: Spread) -> impl Iterator<Item = u32> {
    let exponent = match spread {
        Spread::Uniform => 0.0,
        Spread::Zipf(exponent) => exponent,
    };
    let weights: Vec<f64> = (1..=torrents)
        .map(|number| f64::from(number).powf(-exponent))
        .collect();
    // Clamped to what a torrent can have, so neither negative nor too large.
    #[allow(clippy::cast_sign_loss)]
    let size = |weight: f64, scale: f64| (weight * scale).clamp(1.0, f64::from(PEERS_MAX)) as u32;
    let sum = |scale| -> u64 {
        let sizes = weights.iter().map(|&weight| u64::from(size(weight, scale)));
        sizes.sum()
    };
    let peers = u64::from(peers);
    let (mut low, mut high) = (0.0, 1.0);
    while sum(high) < peers {
        high *= 2.0;
    }
    for _ in 0..SEARCH_STEPS {
        let middle = f64::midpoint(low, high);
        if sum(middle) > peers {
            high = middle;
        } else {
            low = middle;
        }
    }
    // Torrents of equal weight grow together; what that leaves over goes to the first with room.
    let mut left = peers - sum(low);
    weights.into_iter().map(move |weight| {
        let size = size(weight, low);
        let more = u32::from(left > 0 && size < PEERS_MAX);
        left -= u64::from(more);
        size + more
    })
}

/// Where the n-th of `total` comes in an order without order: each once. Numbers of as many bits are mixed by
/// steps that can be undone, again and again until one is below the total.
fn shuffled(n: u64, total: u64) -> u64 {
    let bits = u64::BITS - total.leading_zeros();
    let (mask, half) = (u64::MAX >> (u64::BITS - bits), bits.div_ceil(2));
    let mut x = n;
    loop {
        for odd in MIXERS {
            x ^= x >> half;
            x = x.wrapping_mul(odd) & mask;
        }
        x ^= x >> half;
        if x < total {
            return x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn few_torrents_have_most_peers_and_none_has_nobody() {
        let shape = Shape::uneven(10_000, 100_000, Spread::Zipf(1.0));
        assert_eq!(shape.total(), 100_000);
        let sizes: Vec<u32> = (0..10_000).map(|torrent| shape.size(torrent)).collect();
        assert!(sizes.is_sorted_by(|a, b| a >= b));
        assert_eq!(sizes[9_999], 1);
        let first: u32 = sizes[..100].iter().sum();
        assert!((40_000..80_000).contains(&first), "{first}");
        assert_eq!(shape.largest(), sizes[0]);
    }

    #[test]
    fn no_torrent_has_more_peers_than_one_can_have() {
        let shape = Shape::uneven(100, 1_000_000, Spread::Zipf(1.5));
        assert_eq!((shape.total(), shape.largest()), (1_000_000, PEERS_MAX));
    }

    #[test]
    fn everybody_comes_once_and_all_torrents_soon() {
        for shape in [
            Shape::uneven(50, 1000, Spread::Zipf(1.0)),
            Shape::uneven(50, 1000, Spread::Uniform),
            Shape::uneven(7, 7, Spread::Zipf(1.0)),
            Shape::Even {
                torrents: 50,
                peers: 20,
            },
        ] {
            let come: Vec<Member> = (0..shape.total()).map(|n| shape.member(n)).collect();
            let different: HashSet<(u32, u32)> =
                come.iter().map(|it| (it.torrent, it.peer)).collect();
            assert_eq!(different.len() as u64, shape.total());
            assert!(come.iter().all(|it| it.peer < shape.size(it.torrent)));
            // About half of the largest torrent's peers are there when half of all are.
            let half = &come[..come.len() / 2];
            let of_first = half.iter().filter(|it| it.torrent == 0).count();
            let off = (of_first as f64 - f64::from(shape.largest()) / 2.0).abs();
            let slack = 1.0 + f64::from(shape.largest()).sqrt() * 1.5;
            assert!(off <= slack, "{of_first} of {}", shape.largest());
        }
    }
}
