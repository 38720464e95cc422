//! The one table of all sections and keys. Reading, refusing, overriding and printing all walk it,
//! so a key that stands here is known everywhere, and one that does not is known nowhere.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use log::LevelFilter;

use super::key::Key;
use super::{Backend, Config, PEER_EXPIRE_FACTOR_DEFAULT, UdpListener};
use crate::limits::{CORES_MAX, REPLY_PEERS_V4_MAX, SCRAPE_HASHES_MAX};

/// Fewest and most seconds after which a silent peer may be forgotten; a week is longer than any
/// client stays away and comes back.
pub(super) const PEER_TIMEOUT_S: (u64, u64) = (2, 604_800);

/// A section of the file.
pub(super) struct Section {
    pub(super) name: &'static str,
    /// What it is about; printed above it.
    pub(super) doc: &'static str,
    pub(super) shape: Shape,
    pub(super) keys: &'static [Key],
}

/// How often a section may stand in a file.
pub(super) enum Shape {
    /// Once: `[name]`.
    Table,
    /// Any number of times: `[[name]]`, each a row of a list.
    Tables(Rows),
}

/// The rows of a `[[name]]`.
pub(super) struct Rows {
    pub(super) count: fn(&Config) -> usize,
    pub(super) clear: fn(&mut Config),
    /// Appends a row, with a stand-in for the key that it needs.
    pub(super) push: fn(&mut Config),
    /// The key that every row must have; the environment and the command line give a list of it,
    /// which makes the rows.
    pub(super) needs: &'static Key,
}

/// Every section, in the order in which they are printed.
pub(super) static SECTIONS: &[Section] = &[
    Section {
        name: "workers",
        doc: "The threads that own swarms and UDP sockets.",
        shape: Shape::Table,
        keys: WORKERS,
    },
    Section {
        name: "udp",
        doc: "Where UDP is served, one [[udp]] for each address. Without any, 0.0.0.0:6969 and\n\
              [::]:6969 are, and one whose address family this host lacks is a warning; a\n\
              listener that is written down must come up.",
        shape: Shape::Tables(Rows {
            count: |config| config.udp.len(),
            clear: |config| config.udp.clear(),
            push: |config| {
                config.udp.push(UdpListener {
                    listen: SocketAddr::from(([0, 0, 0, 0], 0)),
                    required: true,
                });
            },
            needs: &UDP_LISTEN,
        }),
        keys: UDP,
    },
    Section {
        name: "announce",
        doc: "What an announce is answered.",
        shape: Shape::Table,
        keys: ANNOUNCE,
    },
    Section {
        name: "scrape",
        doc: "What a scrape is answered.",
        shape: Shape::Table,
        keys: SCRAPE,
    },
    Section {
        name: "swarm",
        doc: "The peers in memory.",
        shape: Shape::Table,
        keys: SWARM,
    },
    Section {
        name: "access",
        doc: "Who may speak.",
        shape: Shape::Table,
        keys: ACCESS,
    },
    Section {
        name: "store",
        doc: "What survives a restart: the key of the connection ids, so that those that clients hold\n\
              stay good.",
        shape: Shape::Table,
        keys: STORE,
    },
    Section {
        name: "log",
        doc: "What is written to standard error.",
        shape: Shape::Table,
        keys: LOG,
    },
];

const WORKERS: &[Key] = &[
    Key::whole(
        "count",
        "Threads; 0 = one for every CPU that this process may use.",
        (0, CORES_MAX as u64),
        |config| config.workers.count as u64,
        |config, count| config.workers.count = count as usize,
    ),
    Key::switch(
        "pin",
        "Bind each thread to a CPU, so that its swarms stay in that CPU's caches. Turn it off\n\
         where other programs compete for the same CPUs.",
        |config| config.workers.pin,
        |config, pin| config.workers.pin = pin,
    ),
    Key::text(
        "backend",
        "How datagrams come and go. \"auto\" takes io_uring where the kernel allows it, else\n\
         mmsg (poll, recvmmsg, sendmmsg).",
        "\"auto\", \"io_uring\" or \"mmsg\"",
        |config, _| {
            let name = match config.workers.backend {
                Backend::Auto => "auto",
                Backend::IoUring => "io_uring",
                Backend::Mmsg => "mmsg",
            };
            name.into()
        },
        |config, _, name| {
            config.workers.backend = match name {
                "auto" => Backend::Auto,
                "io_uring" => Backend::IoUring,
                "mmsg" => Backend::Mmsg,
                _ => return None,
            };
            Some(())
        },
    ),
    Key::switch(
        "steering",
        "Let the kernel send an announce to the thread that owns its info-hash. Without it the\n\
         threads hand announces over to each other.",
        |config| config.workers.steering,
        |config, steering| config.workers.steering = steering,
    ),
    Key::switch(
        "prefetch",
        "Fetch the swarms of a whole batch of announces into the cache before answering it. Off\n\
         only to measure what that gains.",
        |config| config.workers.prefetch,
        |config, prefetch| config.workers.prefetch = prefetch,
    ),
    Key::size(
        "receive_buffer",
        "Bytes that the kernel may queue for each socket; 0 = what it gives unasked. A burst\n\
         that is longer is lost. The kernel grants no more than its net.core.rmem_max.",
        1 << 30,
        |config| config.workers.receive_buffer,
        |config, bytes| config.workers.receive_buffer = bytes,
    ),
    Key::text(
        "user",
        "User to become once the ports are bound, when started as root; empty = stay who we are.",
        "a user name without blanks, colons or slashes",
        |config, _| config.workers.user.clone(),
        |config, _, name| {
            let odd = |letter: char| {
                letter.is_whitespace() || letter.is_control() || ":/".contains(letter)
            };
            (name.len() <= 255 && !name.contains(odd)).then(|| config.workers.user = name.into())
        },
    ),
];

const UDP: &[Key] = &[UDP_LISTEN];

const UDP_LISTEN: Key = Key::text(
    "listen",
    "Address and port; port 0 lets the kernel choose. An IPv6 socket takes IPv6 only.",
    "an IP address with a port, such as \"0.0.0.0:6969\" or \"[::]:6969\"",
    |config, row| config.udp[row].listen.to_string(),
    |config, row, listen| {
        let listen: SocketAddr = listen.parse().ok()?;
        // Our IPv6 sockets never take IPv4, so nothing would arrive there.
        is_canonical(listen.ip()).then(|| config.udp[row].listen = listen)
    },
);

const ANNOUNCE: &[Key] = &[
    Key::whole(
        "interval",
        "Seconds until a client should announce again. Twice the interval is half the traffic,\n\
         and peers that have left are handed out for longer.",
        (1, 86_400),
        |config| config.announce.interval.into(),
        |config, seconds| config.announce.interval = seconds as u32,
    ),
    Key::whole(
        "numwant",
        "Peers in a reply when the client names no number; at most numwant_max.",
        (0, REPLY_PEERS_V4_MAX as u64),
        |config| config.announce.numwant.into(),
        |config, peers| config.announce.numwant = peers as u32,
    ),
    Key::whole(
        "numwant_max",
        "Most peers in a reply, whatever the client asks for. A UDP reply that crosses the\n\
         internet in one packet holds 200 IPv4 or 66 IPv6 peers.",
        (1, REPLY_PEERS_V4_MAX as u64),
        |config| config.announce.numwant_max.into(),
        |config, peers| config.announce.numwant_max = peers as u32,
    ),
    Key::whole(
        "peer_timeout",
        "Seconds after which a silent peer is forgotten; at least the interval. Give this or\n\
         peer_expire_factor.",
        PEER_TIMEOUT_S,
        |config| config.announce.peer_timeout_s().into(),
        |config, seconds| config.announce.peer_timeout = Some(seconds as u32),
    )
    .present_when(|config| config.announce.peer_timeout.is_some()),
    Key::fraction(
        "peer_expire_factor",
        "The same as a multiple of the interval.",
        (1.0, 100.0),
        |config| {
            let factor = config.announce.peer_expire_factor;
            factor.unwrap_or(PEER_EXPIRE_FACTOR_DEFAULT)
        },
        |config, factor| config.announce.peer_expire_factor = Some(factor),
    )
    .present_when(|config| config.announce.peer_expire_factor.is_some()),
    Key::list(
        "external_ip",
        "Addresses handed out in place of those of peers on loopback or on this host, which\n\
         mean nothing elsewhere.",
        "at most one IPv4 and one IPv6 address, such as [\"203.0.113.7\", \"2001:db8::7\"]",
        |config| {
            config
                .announce
                .external_ip
                .iter()
                .map(IpAddr::to_string)
                .collect()
        },
        |config, texts| {
            let mut addresses: Vec<IpAddr> = Vec::new();
            for &text in texts {
                match text.parse().ok().filter(|&address| is_reachable(address)) {
                    Some(address)
                        if addresses
                            .iter()
                            .all(|other| other.is_ipv4() != address.is_ipv4()) =>
                    {
                        addresses.push(address);
                    }
                    _ => return Err(text),
                }
            }
            config.announce.external_ip = addresses;
            Ok(())
        },
    ),
    Key::switch(
        "allow_private_peers",
        "Keep peers whose addresses do not exist on the internet (private, link-local and\n\
         such), as a tracker in a LAN must.",
        |config| config.announce.allow_private_peers,
        |config, allow| config.announce.allow_private_peers = allow,
    ),
    Key::list(
        "ignore_ip",
        "Sources whose announces are refused.",
        "a list of addresses and networks, such as [\"192.0.2.1\", \"2001:db8::/32\"]",
        |config| {
            config
                .announce
                .ignore_ip
                .iter()
                .map(IpNet::to_string)
                .collect()
        },
        |config, texts| {
            let networks: Result<_, &str> = texts
                .iter()
                .map(|&text| parse_network(text).ok_or(text))
                .collect();
            config.announce.ignore_ip = networks?;
            Ok(())
        },
    ),
];

const SCRAPE: &[Key] = &[Key::whole(
    "max_hashes",
    "Most info-hashes answered in one scrape. A request of 1500 bytes names no more than 74.",
    (1, SCRAPE_HASHES_MAX as u64),
    |config| config.scrape.max_hashes as u64,
    |config, hashes| config.scrape.max_hashes = hashes as usize,
)];

const SWARM: &[Key] = &[
    Key::size(
        "memory_budget",
        "Bytes that all swarms together may take; 0 = no cap. Growth past it is refused before\n\
         the machine suffers.",
        1 << 50,
        |config| config.swarm.memory_budget,
        |config, bytes| config.swarm.memory_budget = bytes,
    ),
    Key::switch(
        "remove_peerless",
        "Forget torrents without peers, and how often they were completed with them.",
        |config| config.swarm.remove_peerless,
        |config, remove| config.swarm.remove_peerless = remove,
    ),
];

const ACCESS: &[Key] = &[Key::whole(
    "connection_id_lifetime",
    "Seconds for which a connection id is accepted, and up to a minute more. BEP 15 asks\n\
     for two minutes, but most clients keep theirs for longer; a short life only makes them\n\
     ask twice.",
    (60, 7200),
    |config| config.access.connection_id_lifetime.into(),
    |config, seconds| config.access.connection_id_lifetime = seconds as u32,
)];

const STORE: &[Key] = &[Key::text(
    "path",
    "Folder, made when it is missing; a relative one begins at the current folder. Empty =\n\
     keep nothing.",
    "a path of at most 4096 bytes without NUL",
    |config, _| config.store.path.clone(),
    |config, _, path| {
        (path.len() <= 4096 && !path.contains('\0')).then(|| config.store.path = path.into())
    },
)];

const LOG: &[Key] = &[
    Key::text(
        "level",
        "Least important level that is written.",
        "\"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
        |config, _| config.log.level.as_str().to_lowercase(),
        |config, _, name| {
            let known: LevelFilter = name.parse().ok()?;
            config.log.level = known;
            Some(())
        },
    ),
    Key::whole(
        "stats_interval",
        "Seconds between two reports of the counters; 0 = only on SIGUSR1.",
        (0, 86_400),
        |config| config.log.stats_interval.into(),
        |config, seconds| config.log.stats_interval = seconds as u32,
    ),
];

/// The section called `name`.
pub(super) fn section(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name)
}

/// Every key with its section, in printing order.
pub(super) fn keys() -> impl Iterator<Item = (&'static Section, &'static Key)> {
    SECTIONS
        .iter()
        .flat_map(|section| section.keys.iter().map(move |key| (section, key)))
}

/// Every key that one environment variable or `--set` can give.
pub(super) fn bare_keys() -> impl Iterator<Item = (&'static Section, &'static Key)> {
    keys().filter(|(section, key)| match &section.shape {
        Shape::Table => true,
        Shape::Tables(rows) => rows.needs.name == key.name,
    })
}

impl Section {
    /// The key called `name`.
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The line that opens it in a file.
    pub(super) fn header(&self) -> String {
        match self.shape {
            Shape::Table => format!("[{}]", self.name),
            Shape::Tables(_) => format!("[[{}]]", self.name),
        }
    }
}

/// Whether `address` is written in its own family: sources that arrive as `::ffff:192.0.2.1` are
/// taken for IPv4 everywhere, so nothing would ever match the longer form.
fn is_canonical(address: IpAddr) -> bool {
    address == address.to_canonical()
}

/// Whether a peer somewhere could send to `address`.
fn is_reachable(address: IpAddr) -> bool {
    is_canonical(address)
        && !address.is_unspecified()
        && !address.is_multicast()
        && address != IpAddr::from([255, 255, 255, 255])
}

/// A network such as `192.0.2.0/24`, or an address, which is the network of itself alone.
fn parse_network(text: &str) -> Option<IpNet> {
    let network: IpNet = match text.parse() {
        Ok(network) => network,
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    is_canonical(network.addr()).then(|| network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_by_environment_variables() {
        let names: Vec<&str> = keys()
            .flat_map(|(section, key)| [section.name, key.name])
            .collect();
        for name in names {
            assert!(!name.contains("__"), "{name}");
            assert!(!name.starts_with('_') && !name.ends_with('_'), "{name}");
            assert_eq!(name, name.to_lowercase());
        }
    }

    #[test]
    fn the_key_that_every_row_needs_is_a_key_of_its_section() {
        for section in SECTIONS {
            if let Shape::Tables(rows) = &section.shape {
                assert!(section.key(rows.needs.name).is_some());
            }
        }
    }

    #[test]
    fn a_mapped_network_is_refused_because_it_would_match_nobody() {
        assert_eq!(parse_network("::ffff:192.0.2.0/120"), None);
        assert_eq!(parse_network("192.0.2.9/24"), "192.0.2.0/24".parse().ok());
        assert_eq!(parse_network("2001:db8::1"), "2001:db8::1/128".parse().ok());
    }
}
