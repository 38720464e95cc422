//! Every knob. The values and their defaults live here; the files beside tell how a text becomes a
//! [`Config`] and back:
//!
//! ```text
//!   schema.rs   one table: every section and key, what it means, what it allows, where it lives
//!     key.rs      the kinds of keys that stand in it
//!     |
//!   load.rs     file, environment and command line -> Config, or every mistake at once
//!     source.rs   which file, which variables
//!     value.rs    one value, written in TOML or as bare text
//!     check.rs    what several keys must agree on
//!     place.rs    where somebody wrote what
//!     nearest.rs  what a misspelt name was meant to be
//!   print.rs    Config -> commented TOML, which reads back as the same Config
//! ```
//!
//! A new key is a field here and an entry in `schema.rs`; everything else follows from the entry.

mod check;
mod key;
mod load;
mod nearest;
mod place;
mod print;
mod schema;
mod source;
mod value;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use log::LevelFilter;

use crate::limits::{REPLY_PEERS_V4_MAX, SCRAPE_HASHES_MAX};

pub use load::{Loaded, Mistakes, Setting, load};

/// Where the default listeners stand; trackers have always been found there.
const PORT_DEFAULT: u16 = 6969;

/// Announce intervals that a peer may stay silent when the configuration names no other span: one
/// lost announce is forgiven, two are not.
const PEER_EXPIRE_FACTOR_DEFAULT: f64 = 2.0;

/// The whole configuration. What [`load`] returns is checked: whoever holds it may trust every
/// range.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// `[workers]`
    pub workers: Workers,
    /// `[[udp]]`
    pub udp: Vec<UdpListener>,
    /// `[announce]`
    pub announce: Announce,
    /// `[scrape]`
    pub scrape: Scrape,
    /// `[swarm]`
    pub swarm: Swarm,
    /// `[access]`
    pub access: Access,
    /// `[store]`
    pub store: Store,
    /// `[log]`
    pub log: Log,
}

/// `[workers]`: the cores that own swarms and UDP sockets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Workers {
    /// How many, 0 to [`CORES_MAX`](crate::limits::CORES_MAX); 0 = every CPU that this process may
    /// use.
    pub count: usize,
    /// Bind each to a CPU.
    pub pin: bool,
    /// How datagrams come and go.
    pub backend: Backend,
    /// Let the kernel send an announce to the core that owns its info-hash.
    pub steering: bool,
    /// Fetch the swarms of a whole turn into the cache before answering it.
    pub prefetch: bool,
    /// Bytes that the kernel may queue for each socket, up to 1 GiB; 0 = what the kernel gives
    /// unasked.
    pub receive_buffer: u64,
    /// User to become once the ports are bound; empty = stay who we are.
    pub user: String,
}

/// How datagrams come and go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Backend {
    /// `io_uring` where the kernel allows it, else `mmsg`.
    #[default]
    Auto,
    /// One ring a core.
    IoUring,
    /// poll, recvmmsg and sendmmsg.
    Mmsg,
}

/// One `[[udp]]` table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UdpListener {
    /// Address and port; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// False for the default listeners, which may fail where the host lacks their address family;
    /// true for one that somebody wrote down.
    pub required: bool,
}

/// `[announce]`
#[derive(Clone, PartialEq, Debug)]
pub struct Announce {
    /// Seconds until a client should announce again, 1 to 86400.
    pub interval: u32,
    /// Peers in a reply when the client names no number, 0 to `numwant_max`.
    pub numwant: u32,
    /// Most peers in a reply, 1 to [`REPLY_PEERS_V4_MAX`]; an
    /// IPv6 reply holds no more than [`REPLY_PEERS_V6_MAX`](crate::limits::REPLY_PEERS_V6_MAX).
    pub numwant_max: u32,
    /// Seconds after which a silent peer is forgotten, `interval` to 604800, or `None` when
    /// `peer_expire_factor` rules. [`Announce::peer_timeout_s`] knows which.
    pub peer_timeout: Option<u32>,
    /// Times `interval`, 1.0 to 100.0, when `peer_timeout` is not given; `None` = 2.0.
    pub peer_expire_factor: Option<f64>,
    /// Addresses handed out for peers on loopback or on this host; at most one of each family.
    pub external_ip: Vec<IpAddr>,
    /// LAN mode: peers may have private addresses.
    pub allow_private_peers: bool,
    /// Sources whose announces are refused.
    pub ignore_ip: Vec<IpNet>,
}

/// `[scrape]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scrape {
    /// Most info-hashes answered in one scrape, 1 to
    /// [`SCRAPE_HASHES_MAX`].
    pub max_hashes: usize,
}

/// `[swarm]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Swarm {
    /// Bytes that all swarms together may take; 0 = no cap.
    pub memory_budget: u64,
    /// Forget torrents without peers (and their completed count).
    pub remove_peerless: bool,
}

/// `[access]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Access {
    /// Seconds for which a connection id is accepted, and up to a minute more; 60 to 7200.
    pub connection_id_lifetime: u32,
}

/// `[store]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Store {
    /// Folder of what survives a restart; empty = nothing does.
    pub path: String,
}

/// `[log]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// Least level that is written.
    pub level: LevelFilter,
    /// Seconds between two reports of the counters, up to 86400; 0 = only on SIGUSR1.
    pub stats_interval: u32,
}

impl Default for Config {
    fn default() -> Self {
        let listener = |address: IpAddr| UdpListener {
            listen: SocketAddr::new(address, PORT_DEFAULT),
            required: false,
        };
        Self {
            workers: Workers::default(),
            udp: vec![
                listener(Ipv4Addr::UNSPECIFIED.into()),
                listener(Ipv6Addr::UNSPECIFIED.into()),
            ],
            announce: Announce::default(),
            scrape: Scrape::default(),
            swarm: Swarm::default(),
            access: Access::default(),
            store: Store::default(),
            log: Log::default(),
        }
    }
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            count: 0,
            pin: true,
            backend: Backend::Auto,
            steering: true,
            prefetch: true,
            receive_buffer: 8 << 20,
            user: String::new(),
        }
    }
}

impl Announce {
    /// Seconds after which a silent peer is forgotten.
    #[expect(clippy::cast_sign_loss, reason = "a factor is at least 1")]
    pub fn peer_timeout_s(&self) -> u32 {
        self.peer_timeout.unwrap_or_else(|| {
            let factor = self
                .peer_expire_factor
                .unwrap_or(PEER_EXPIRE_FACTOR_DEFAULT);
            (f64::from(self.interval) * factor).round() as u32
        })
    }
}

impl Default for Announce {
    fn default() -> Self {
        Self {
            interval: 1800,
            numwant: 50,
            numwant_max: REPLY_PEERS_V4_MAX as u32,
            peer_timeout: None,
            peer_expire_factor: None,
            external_ip: Vec::new(),
            allow_private_peers: true,
            ignore_ip: Vec::new(),
        }
    }
}

impl Default for Scrape {
    fn default() -> Self {
        Self {
            max_hashes: SCRAPE_HASHES_MAX,
        }
    }
}

impl Default for Swarm {
    fn default() -> Self {
        Self {
            memory_budget: 0,
            remove_peerless: true,
        }
    }
}

impl Default for Access {
    fn default() -> Self {
        Self {
            connection_id_lifetime: 900,
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: "shoal-data".to_owned(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LevelFilter::Info,
            stats_interval: 0,
        }
    }
}
