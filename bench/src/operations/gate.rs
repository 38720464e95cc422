//! Who may speak: connection ids, and the lists that an operator keeps.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ahash::RandomState;
use shoal::gate::access::{HashAccess, HashLists};
use shoal::gate::flood::{Guard, Limits};
use shoal::gate::hash_list::HashList;
use shoal::gate::networks::{self, Networks};
use shoal::wire::InfoHash;
use shoal::wire::udp::ConnectionId;

use super::{MEMBERS, Operation, Work, crowd, in_turn, members};
use crate::bare_core::{NOW, connection_ids};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "id-issue",
        cycle: MEMBERS,
        prepare: issue,
    },
    Operation {
        name: "id-check",
        cycle: MEMBERS,
        prepare: check,
    },
    Operation {
        name: "id-check-forged",
        cycle: MEMBERS,
        prepare: check_forged,
    },
    Operation {
        name: "access-without-lists",
        cycle: MEMBERS,
        prepare: without_lists,
    },
    Operation {
        name: "access-by-file-of-100000",
        cycle: LOOKUPS,
        prepare: by_file,
    },
    Operation {
        name: "access-by-store-of-100000",
        cycle: LOOKUPS,
        prepare: by_store,
    },
    Operation {
        name: "source-in-10000-networks",
        cycle: MEMBERS,
        prepare: source_in_networks,
    },
    Operation {
        name: "source-while-busy",
        cycle: MEMBERS,
        prepare: source_while_busy,
    },
];

/// Torrents of a list, and lookups of a cycle: half of them are of torrents on it. So many, because the
/// keys of the sets are drawn at random, and their collisions must not show.
const LISTED: u32 = 100_000;
const LOOKUPS: u32 = 2 * LISTED;

fn addresses() -> Vec<IpAddr> {
    let crowd = crowd();
    let address = |member| IpAddr::V4(*crowd.address(member).ip());
    members(1000, 50).map(address).collect()
}

fn issue() -> Work {
    let ids = connection_ids();
    in_turn(addresses(), move |address: &IpAddr| {
        black_box(ids.issue(*address, NOW.unix_s));
    })
}

fn check_those(given: impl Fn(ConnectionId) -> ConnectionId) -> Work {
    let ids = connection_ids();
    let issued = addresses().into_iter().map(|address| {
        let id = ids.issue(address, NOW.unix_s);
        (address, given(id))
    });
    in_turn(issued.collect(), move |(address, id)| {
        black_box(ids.check(*id, *address, NOW.unix_s + 100));
    })
}

fn check() -> Work {
    check_those(|id| id)
}

fn check_forged() -> Work {
    check_those(|id| ConnectionId(id.0 ^ 1))
}

fn look_up(access: HashAccess) -> Work {
    let crowd = crowd();
    let order = fastrand::Rng::with_seed(5).choose_multiple(0..LOOKUPS, LOOKUPS as usize);
    let asked = order.into_iter().map(|torrent| crowd.info_hash(torrent));
    in_turn(asked.collect(), move |info_hash: &InfoHash| {
        black_box(access.restricts() && !access.permits(info_hash));
    })
}

fn without_lists() -> Work {
    look_up(HashAccess::default())
}

fn listed() -> impl Iterator<Item = InfoHash> {
    (0..LISTED).map(|torrent| crowd().info_hash(torrent))
}

fn by_file() -> Work {
    let mut file = HashList::with_hasher(RandomState::with_seeds(1, 2, 3, 4));
    file.extend(listed());
    let allowed = HashLists {
        file: Arc::new(file),
        ..HashLists::default()
    };
    look_up(HashAccess {
        listed: true,
        allowed,
        ..HashAccess::default()
    })
}

fn by_store() -> Work {
    let allowed = HashLists {
        stored: listed().map(|info_hash| (info_hash, ())).collect(),
        ..HashLists::default()
    };
    look_up(HashAccess {
        listed: true,
        allowed,
        ..HashAccess::default()
    })
}

fn source_in_networks() -> Work {
    let network = |number: u32| {
        let first = IpAddr::V4(Ipv4Addr::from_bits(0x0b00_0000 + number * 1536));
        networks::parse(format!("{first}/24").as_bytes()).expect("this is a network")
    };
    let blocked: Networks = (0..10_000).map(network).collect();
    in_turn(addresses(), move |address: &IpAddr| {
        black_box(blocked.contains(*address));
    })
}

/// What a busy core adds to each announce. A calm one adds nothing to any, which `turn-of-128-announces` shows.
fn source_while_busy() -> Work {
    // So much that no bucket is ever empty, however many rounds there are.
    let limits = Limits {
        busy_from: 0,
        sieve_from: 0,
        per_source: 1_000_000,
        per_network: 1_000_000,
        burst_s: 60,
        new_torrents: 0,
    };
    let mut guard = Guard::with_keys(limits, RandomState::with_seeds(1, 2, 3, 4));
    in_turn(addresses(), move |address: &IpAddr| {
        black_box(guard.admit(*address, NOW.uptime_s)).ok();
    })
}
