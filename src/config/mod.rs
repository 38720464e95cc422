//! Every knob: what it does, its unit, its default, its range. The values live here; how a text
//! becomes a [`Config`] and back is told in the files beside.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use log::LevelFilter;

/// The whole configuration, checked: whoever holds one may trust every range.
#[derive(Clone, PartialEq, Debug, Default)]
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
    /// `[log]`
    pub log: Log,
}

/// `[workers]`: the cores that own swarms and UDP sockets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Workers {
    /// How many; 0 = every CPU that this process may use.
    pub count: usize,
    /// Bind each to a CPU.
    pub pin: bool,
    /// How datagrams come and go.
    pub backend: Backend,
    /// Let the kernel send an announce to the core that owns its info-hash.
    pub steering: bool,
    /// Fetch the swarms of a whole turn into the cache before answering it.
    pub prefetch: bool,
    /// Bytes that the kernel may queue for each socket.
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
    /// False for the default listeners, which may fail where the host lacks their address family.
    pub required: bool,
}

/// `[announce]`
#[derive(Clone, PartialEq, Debug)]
pub struct Announce {
    /// Seconds until a client should announce again.
    pub interval: u32,
    /// Peers in a reply when the client names no number.
    pub numwant: u32,
    /// Most peers in a reply.
    pub numwant_max: u32,
    /// Seconds after which a silent peer is forgotten, or `None` when `peer_expire_factor` rules.
    pub peer_timeout: Option<u32>,
    /// Times `interval`, when `peer_timeout` is not given.
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
    /// Most info-hashes answered in one scrape.
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
    /// Seconds for which a connection id is accepted, and up to a minute more.
    pub connection_id_lifetime: u32,
}

/// `[log]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// Least level that is written.
    pub level: LevelFilter,
    /// Seconds between two reports of the counters; 0 = only on SIGUSR1.
    pub stats_interval: u32,
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
    pub fn peer_timeout_s(&self) -> u32 {
        self.peer_timeout.unwrap_or_else(|| {
            (f64::from(self.interval) * self.peer_expire_factor.unwrap_or(2.0)).round() as u32
        })
    }
}

impl Default for Announce {
    fn default() -> Self {
        Self {
            interval: 1800,
            numwant: 50,
            numwant_max: 200,
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
        Self { max_hashes: 74 }
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

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LevelFilter::Info,
            stats_interval: 0,
        }
    }
}
