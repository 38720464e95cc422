//! One peer in, a few peers out; and forgetting.

use std::hint::black_box;

use shoal::limits::REPLY_LEN_MAX;
use shoal::swarm::{PeerAddr, PeerAnnounce, State, Swarms};

use super::{MEMBERS, Operation, Work, crowd, in_turn, members};
use crate::bare_core::{NOW, PEER_TIMEOUT_S, swarms};
use crate::crowd::{Member, mix};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "announce-among-4",
        cycle: MEMBERS,
        prepare: || announce(MEMBERS, 4, 50),
    },
    Operation {
        name: "announce-among-20",
        cycle: MEMBERS,
        prepare: || announce(1000, 20, 50),
    },
    Operation {
        name: "announce-among-200",
        cycle: MEMBERS,
        prepare: || announce(100, 200, 50),
    },
    Operation {
        name: "announce-among-5000",
        cycle: MEMBERS,
        prepare: || announce(4, 5000, 50),
    },
    Operation {
        name: "announce-among-100000",
        cycle: MEMBERS,
        prepare: || announce(1, 100_000, 50),
    },
    Operation {
        name: "announce-wanting-0",
        cycle: MEMBERS,
        prepare: || announce(1, 100_000, 0),
    },
    Operation {
        name: "announce-wanting-200",
        cycle: MEMBERS,
        prepare: || announce(1, 100_000, 200),
    },
    Operation {
        name: "announce-among-200-ipv6",
        cycle: MEMBERS,
        prepare: announce_v6,
    },
    Operation {
        name: "join-and-leave-200",
        cycle: MEMBERS,
        prepare: join_and_leave,
    },
    Operation {
        name: "new-torrent-and-its-end",
        cycle: MEMBERS,
        prepare: new_torrent_and_its_end,
    },
    Operation {
        name: "sweep-512-torrents-of-4",
        cycle: 16,
        prepare: || sweep(16 * 512, 4),
    },
    Operation {
        // A torrent of 127 and its record are 128 entries.
        name: "sweep-512-listed-peers",
        cycle: 16,
        prepare: || sweep(64, 127),
    },
];

fn filled(torrents: u32, peers: u32) -> Swarms {
    let mut swarms = swarms(None);
    crowd().fill(&mut swarms, 0..torrents, peers, NOW.uptime_s);
    swarms
}

/// Swarms, and a reply that is written over and over again.
struct Answering {
    swarms: Swarms,
    out: Box<[u8; REPLY_LEN_MAX]>,
}

impl Answering {
    fn from(swarms: Swarms) -> Self {
        let out = Box::new([0; REPLY_LEN_MAX]);
        Self { swarms, out }
    }

    /// One announce as a core makes it: the hash, then the swarm. `number` takes the place of chance.
    fn apply(&mut self, announce: &PeerAnnounce, number: u64, now_s: u32) {
        let Self { swarms, out } = self;
        let hash = swarms.hash(&announce.info_hash);
        black_box(swarms.announce(hash, announce, now_s, mix(number), out.as_mut_slice()));
        black_box(out);
    }
}

/// Known members announce again.
fn announce(torrents: u32, peers: u32, wanted: usize) -> Work {
    let mut answering = Answering::from(filled(torrents, peers));
    let announces = members(torrents, peers)
        .zip(0..)
        .map(|(member, number)| (crowd().peer_announce(member, wanted), number));
    in_turn(announces.collect(), move |(announce, number)| {
        answering.apply(announce, *number, NOW.uptime_s);
    })
}

fn announce_v6() -> Work {
    let over_v6 = |member| {
        let announce = crowd().peer_announce(member, 50);
        let PeerAddr::V4(wire) = announce.peer else {
            unreachable!("the crowd is of IPv4");
        };
        let mut long = [0x20; 18];
        long[12..].copy_from_slice(&wire);
        PeerAnnounce {
            peer: PeerAddr::V6(long),
            ..announce
        }
    };
    let mut answering = Answering::from(swarms(None));
    for torrent in 0..100 {
        for peer in 0..200 {
            let announce = over_v6(Member { torrent, peer });
            answering.apply(&announce, 0, NOW.uptime_s);
        }
    }
    let announces = members(100, 200)
        .zip(0..)
        .map(|(member, number)| (over_v6(member), number));
    in_turn(announces.collect(), move |(announce, number)| {
        answering.apply(announce, *number, NOW.uptime_s);
    })
}

/// A stranger comes to a torrent of 200 and leaves it.
fn join_and_leave() -> Work {
    let mut answering = Answering::from(filled(100, 200));
    let strangers = members(100, 200).zip(0..).map(|(member, number)| {
        let peer = member.peer + 200;
        let announce = crowd().peer_announce(Member { peer, ..member }, 50);
        // As a leecher, or the order of the others would change.
        let state = State::Leeching;
        (PeerAnnounce { state, ..announce }, number)
    });
    in_turn(strangers.collect(), move |(announce, number)| {
        answering.apply(announce, *number, NOW.uptime_s);
        let leaves = PeerAnnounce {
            state: State::Stopped,
            ..*announce
        };
        answering.apply(&leaves, *number, NOW.uptime_s);
    })
}

/// A stranger comes with a torrent that nobody knows. When 4096 have come, time passes and the sweep
/// forgets them all; each round has its part of that.
fn new_torrent_and_its_end() -> Work {
    let mut answering = Answering::from(swarms(None));
    let mut now_s = NOW.uptime_s;
    let strangers = (0..MEMBERS).map(|torrent| {
        let announce = crowd().peer_announce(Member { torrent, peer: 0 }, 50);
        (announce, torrent + 1 == MEMBERS)
    });
    in_turn(strangers.collect(), move |(announce, is_last)| {
        answering.apply(announce, 0, now_s);
        if *is_last {
            now_s += 2 * PEER_TIMEOUT_S;
            while !answering.swarms.sweep(now_s, 512).pass_ended {}
        }
    })
}

/// A slice of the sweep in which nobody has expired.
fn sweep(torrents: u32, peers: u32) -> Work {
    let mut swarms = filled(torrents, peers);
    Box::new(move || {
        black_box(swarms.sweep(NOW.uptime_s, black_box(512)));
    })
}
