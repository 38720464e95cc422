//! The tracker over HTTP and HTTPS: threads of many connections beside the cores.
//!
//! ```text
//!   kernel                                     spreads connections over the threads
//!     |
//!   accept          thread.rs                  one task a listener; a place for each connection,
//!     |             connections.rs             or the oldest idle one goes
//!   open            opening.rs, tls.rs         PROXY protocol, TLS
//!     |
//!   read            connection.rs              into the thread's inbox
//!     | handle      handle.rs                  parse, route, admit (wire/http/, shard/rules.rs)
//!     | ask         asks.rs                    the core that owns the torrent, over its mailbox
//!     | reply       reply.rs                   bencoded, compressed where that helps
//!   write           connection.rs
//! ```
//!
//! A thread runs its connections as tasks of tokio, and knows neither swarms nor the other threads. What it
//! asks of the cores is told in `shard/ask.rs`.

mod asks;
mod buffers;
mod compress;
mod connection;
mod connections;
mod fair;
mod full_scrape;
mod handle;
mod opening;
mod pause;
mod reply;
mod socket;
mod thread;
pub mod tls;
mod verbose;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

pub use full_scrape::{FullScrapeRules, FullScrapes};
pub use pause::Pause;
pub use thread::{Parts, run, runtime};

use crate::config::Secret;
use crate::wire::http::forwarded::ForwardedHeader;

/// The operator's rules about HTTP, the same for every thread.
pub struct Rules {
    /// Those that hold for every protocol.
    pub shard: crate::shard::Rules,
    /// Least seconds between two announces; 0 is left out.
    pub min_interval_s: u32,
    /// What clients send back as `trackerid`; empty is left out.
    pub tracker_id: String,
    /// What clients show to their users; empty is left out.
    pub warning: String,
    /// Tell clients the address that they come from (BEP 24).
    pub tell_external_ip: bool,
    /// Tell how many of the incomplete peers still want something (BEP 21).
    pub downloaders: bool,
    /// Least seconds between two scrapes; 0 is left out.
    pub min_request_interval_s: u32,
    /// The parameter of an announce that has silent peers forgotten; empty = there is none.
    pub run_gc_key: Secret,
}

/// What one listener is for.
pub struct Door {
    /// HTTPS: its certificate.
    pub tls: Option<Arc<tls::Tls>>,
    /// Every request is sent on to there.
    pub redirect_to: Option<String>,
    /// The header in which a trusted proxy names its client.
    pub proxy_header: Option<ForwardedHeader>,
    /// Every connection begins with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Proxies that are believed.
    pub trusted: Vec<IpNet>,
    /// Whether it matters which address of this host a client asked.
    pub needs_local: bool,
}

impl Door {
    /// Whether this peer is a proxy that is believed.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&peer))
    }

    /// Whether this peer is a proxy that will say with each request whose it is.
    pub(crate) fn speaks_for_others(&self, peer: IpAddr) -> bool {
        self.proxy_header.is_some() && self.trusts(peer)
    }
}
