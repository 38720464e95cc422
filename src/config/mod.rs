//! Every knob. The values and their defaults live here; the files beside tell how a text becomes a
//! [`Config`] and back:
//!
//! ```text
//!   schema/     one table: every section and key, what it means, what it allows, where it lives
//!     key.rs      the kinds of keys that stand in it
//!     address.rs  which addresses and networks make sense
//!     http.rs     one [[http]], and the texts in it
//!     secret.rs   texts that open a door
//!     log.rs      levels of the log, by module
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
//! A new key is a field here and an entry in `schema/`; everything else follows from the entry.

mod address;
mod check;
mod http;
mod key;
mod load;
mod log;
mod nearest;
mod place;
mod print;
mod schema;
mod secret;
mod source;
mod value;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use crate::gate::access::{Deny, Mode};
use crate::limits::{REPLY_PEERS_V4_MAX, SCRAPE_HASHES_MAX};

pub use http::{HttpAddress, HttpListener, Proxy, ProxyHeader, TlsFiles};
pub use load::{Loaded, Mistakes, Setting, load, reload};
pub use log::{Levels, LogFormat};
pub use secret::{Secret, Secrets};

pub use crate::gate::flood::Limits as Flood;
pub use crate::store::OnDamage;

/// Where the default listeners stand; trackers have always been found there.
const PORT_DEFAULT: u16 = 6969;

/// Where the tracker is looked after unless it is said where; the port of Torrust's API.
const CONTROL_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1212);

/// Announce intervals that a peer may stay silent when the configuration names no other span: one
/// lost announce is forgiven, two are not.
const PEER_EXPIRE_FACTOR_DEFAULT: f64 = 2.0;

/// Seconds that a client is told to leave between two announces when the configuration names no
/// other span; less than the default interval, so that nobody is refused who comes a little early.
const MIN_INTERVAL_S_DEFAULT: u32 = 1500;

/// A thousand clients behind one address ask once a second or two all together, and a program with 10 000
/// torrents announces them all when it starts: both have room here, and room to spare.
const FLOOD_DEFAULT: Flood = Flood {
    busy_from: 20_000,
    per_source: 1000,
    per_network: 4000,
    burst_s: 20,
    new_torrents: 20_000,
    sieve_from: 20_000,
};

/// The whole configuration. What [`load`] returns is checked: whoever holds it may trust every
/// range.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// `[workers]`
    pub workers: Workers,
    /// `[[udp]]`; empty only where `http` is not.
    pub udp: Vec<UdpListener>,
    /// `[[http]]`; empty only where `udp` is not.
    pub http: Vec<HttpListener>,
    /// `[connections]`
    pub connections: Connections,
    /// `[announce]`
    pub announce: Announce,
    /// `[scrape]`
    pub scrape: Scrape,
    /// `[swarm]`
    pub swarm: Swarm,
    /// `[access]`
    pub access: Access,
    /// `[flood]`: for the whole tracker; all in the ranges that [`Flood`] names.
    pub flood: Flood,
    /// `[control]`
    pub control: Control,
    /// `[store]`
    pub store: Store,
    /// `[log]`
    pub log: Log,
    /// `[sandbox]`
    pub sandbox: Sandbox,
}

/// `[workers]`: the cores that own swarms and UDP sockets, and the threads that serve HTTP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Workers {
    /// How many cores, 0 to [`CORES_MAX`](crate::limits::CORES_MAX); 0 = every CPU that this process may
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
    /// Threads that serve `[[http]]`, 0 to [`CORES_MAX`](crate::limits::CORES_MAX); 0 = as many as
    /// own swarms.
    pub http_threads: usize,
    /// Bytes that the kernel may queue for each UDP socket, up to 1 GiB; 0 = what the kernel gives
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

/// `[connections]`: those of all `[[http]]` listeners together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connections {
    /// Most that are open at once over all threads, 16 to 1000000; the process's limit on open
    /// files caps it too.
    pub max: usize,
    /// Seconds after which a connection without a request is closed, 1 to 3600.
    pub idle_timeout: u32,
    /// Seconds within which a TLS handshake, a request head and the taking of a reply must each be
    /// done, 1 to 300.
    pub request_timeout: u32,
}

/// `[announce]`
#[derive(Clone, PartialEq, Debug)]
pub struct Announce {
    /// Seconds until a client should announce again, 1 to 86400.
    pub interval: u32,
    /// Seconds that an HTTP client is told to leave between two announces, 0 to `interval`, 0 = not
    /// told; or `None`. [`Announce::min_interval_s`] knows what rules.
    pub min_interval: Option<u32>,
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
    /// `tracker id` of HTTP replies, at most 64 printable ASCII characters; empty = left out.
    pub tracker_id: String,
    /// `warning message` of HTTP replies, at most 200 bytes without control characters; empty =
    /// left out.
    pub warning: String,
    /// Tell HTTP clients the address that they come from (BEP 24).
    pub tell_external_ip: bool,
    /// Give IPv6 clients the IPv4 peers too, as v4-mapped addresses.
    pub v4_mapped: bool,
}

/// `[scrape]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scrape {
    /// Most info-hashes answered in one scrape, 1 to [`SCRAPE_HASHES_MAX`]. Over UDP those beyond
    /// are left out, over HTTP such a scrape is refused.
    pub max_hashes: usize,
    /// Answer an HTTP scrape without info-hashes with all torrents.
    pub full: bool,
    /// Seconds that an HTTP client is told to leave between two scrapes, and the least age at which
    /// a full scrape is made anew, up to 86400; 0 = not told.
    pub min_request_interval: u32,
    /// Tell over HTTP how many of the incomplete peers still want something (BEP 21).
    pub downloaders: bool,
}

/// `[swarm]`
#[derive(Clone, PartialEq, Debug)]
pub struct Swarm {
    /// Bytes that all swarms together may take, each core an equal part of it; 0 = no cap.
    pub memory_budget: u64,
    /// Forget torrents without peers (and their completed count).
    pub remove_peerless: bool,
    /// Keep peer id, uploaded, downloaded, left and event of every peer.
    pub peer_details: bool,
    /// Share of equal hexadecimal digits from which info-hashes are similar, 0.0 to 1.0; 1.0 = none are.
    pub similarity_threshold: f64,
    /// Answer a torrent from the swarm of an older one that is similar; only with a threshold below 1.0.
    pub merge_similar: bool,
}

/// `[access]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Access {
    /// Seconds for which a connection id is accepted, and up to a minute more; 60 to 7200.
    pub connection_id_lifetime: u32,
    /// Which torrents are served, and to whom.
    pub mode: Mode,
    /// Parameter of an announce URL's query that may hold a key, at most 32 letters, digits, dots,
    /// dashes and underscores; empty = none.
    pub key_parameter: String,
    /// File of info-hashes that are served in the listed modes; empty = none.
    pub allowlist: String,
    /// File of info-hashes that are not served; empty = none.
    pub blocklist: String,
    /// File of addresses and networks that are turned away; empty = none.
    pub ip_blocklist: String,
    /// What the peer ids of clients begin with that are turned away, 1 to 20 ASCII characters each.
    pub client_blocklist: Vec<String>,
    /// What those are told whom a list turns away.
    pub deny: Deny,
    /// Show everybody which torrents the API has blocked.
    pub publish_blocklist: bool,
}

/// `[control]`: the API, and the pages for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Control {
    /// Where it listens; `None` = nowhere. Port 0 lets the kernel choose.
    pub listen: Option<SocketAddr>,
    /// False for the default listener, without which the tracker does when the port is taken; true for
    /// one that somebody wrote down.
    pub required: bool,
    /// Certificate and key of HTTPS; `None` = HTTP.
    pub tls: Option<TlsFiles>,
    /// Show statistics to everybody.
    pub public_stats: bool,
    /// What in the query of an HTTP announce makes the tracker look at all silent peers; empty = nothing.
    pub run_gc_key: Secret,
    /// Who may use the API, by name.
    pub tokens: Secrets,
    /// Who may log in: Argon2 hashes of passwords, by name.
    pub users: Secrets,
}

/// `[store]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Store {
    /// Folder of what survives a restart; empty = nothing does.
    pub path: String,
    /// Seconds between two snapshots of the swarms, up to 86400; 0 = only at the end.
    pub snapshot_interval: u32,
    /// Keep peers; otherwise only counts of completed downloads.
    pub keep_peers: bool,
    /// What becomes of a store that cannot be read.
    pub on_damage: OnDamage,
}

/// `[log]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// What is written, by module.
    pub level: Levels,
    /// How a line looks.
    pub format: LogFormat,
    /// File that is written to; empty = standard error.
    pub file: String,
    /// Bytes at which the file makes room for a new one, up to a TiB; 0 = never.
    pub max_bytes: u64,
    /// Files beside it that are kept, 1 to 1000.
    pub backup_count: usize,
    /// Write addresses of clients in full.
    pub full_addresses: bool,
    /// Seconds between two reports of the counters, up to 86400; 0 = only on SIGUSR1.
    pub stats_interval: u32,
}

/// `[sandbox]`: what the process gives up once it is bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sandbox {
    /// Leave only the system calls that a tracker makes.
    pub system_calls: bool,
    /// Leave only the folders that the configuration names.
    pub files: bool,
    /// Let the kernel write the memory of a process that crashes, and processes of the same user look into
    /// it.
    pub core_dumps: bool,
}

impl Default for Config {
    fn default() -> Self {
        let everywhere = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]
            .map(|address: IpAddr| SocketAddr::new(address, PORT_DEFAULT));
        let udp = everywhere.map(|listen| UdpListener {
            listen,
            required: false,
        });
        let http = everywhere.map(|listen| HttpListener {
            required: false,
            ..HttpListener::plain(HttpAddress::Tcp(listen))
        });
        Self {
            workers: Workers::default(),
            udp: udp.into(),
            http: http.into(),
            connections: Connections::default(),
            announce: Announce::default(),
            scrape: Scrape::default(),
            swarm: Swarm::default(),
            access: Access::default(),
            flood: FLOOD_DEFAULT,
            control: Control::default(),
            store: Store::default(),
            log: Log::default(),
            sandbox: Sandbox::default(),
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
            http_threads: 0,
            receive_buffer: 8 << 20,
            user: String::new(),
        }
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            max: 65_536,
            idle_timeout: 30,
            request_timeout: 10,
        }
    }
}

impl Announce {
    /// Seconds that an HTTP client is told to leave between two announces; 0 = not told.
    pub fn min_interval_s(&self) -> u32 {
        self.min_interval
            .unwrap_or_else(|| self.interval.min(MIN_INTERVAL_S_DEFAULT))
    }

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
            min_interval: None,
            numwant: 50,
            numwant_max: REPLY_PEERS_V4_MAX as u32,
            peer_timeout: None,
            peer_expire_factor: None,
            external_ip: Vec::new(),
            allow_private_peers: true,
            ignore_ip: Vec::new(),
            tracker_id: String::new(),
            warning: String::new(),
            tell_external_ip: false,
            v4_mapped: false,
        }
    }
}

impl Default for Scrape {
    fn default() -> Self {
        Self {
            max_hashes: SCRAPE_HASHES_MAX,
            full: false,
            min_request_interval: 900,
            downloaders: true,
        }
    }
}

impl Default for Swarm {
    fn default() -> Self {
        Self {
            memory_budget: 0,
            remove_peerless: true,
            peer_details: false,
            similarity_threshold: 1.0,
            merge_similar: false,
        }
    }
}

impl Default for Access {
    fn default() -> Self {
        Self {
            connection_id_lifetime: 900,
            mode: Mode::Public,
            key_parameter: "passkey".to_owned(),
            allowlist: String::new(),
            blocklist: String::new(),
            ip_blocklist: String::new(),
            client_blocklist: Vec::new(),
            deny: Deny::Soft,
            publish_blocklist: false,
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self {
            listen: Some(CONTROL_DEFAULT),
            required: false,
            tls: None,
            public_stats: true,
            run_gc_key: Secret::default(),
            tokens: Secrets::new(),
            users: Secrets::new(),
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: "shoal-data".to_owned(),
            snapshot_interval: 300,
            keep_peers: true,
            on_damage: OnDamage::SetAside,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: Levels::default(),
            format: LogFormat::Text,
            file: String::new(),
            max_bytes: 5 << 20,
            backup_count: 5,
            full_addresses: false,
            stats_interval: 0,
        }
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            system_calls: true,
            files: true,
            core_dumps: false,
        }
    }
}
