//! The operator's rules, and what makes an announce acceptable whichever protocol brought it.

use std::net::{IpAddr, SocketAddr};

use crate::clock::Now;
use crate::counters::Fault;
use crate::gate::access::Access;
use crate::gate::connection_id::ConnectionIds;
use crate::net::steering::Steering;
use crate::request_log::RequestLog;
use crate::swarm::{PeerAddr, PeerAnnounce, State};
use crate::wire::{Event, InfoHash, NumWant, PeerId};

/// The operator's rules, the same on every core and every HTTP thread.
#[derive(Clone)]
pub struct Rules {
    /// Issues and checks connection ids.
    pub connection_ids: ConnectionIds,
    /// Unix time of the start, in seconds. Connection ids are dated by it and by uptime, so a wall clock that is
    /// set makes none of them older.
    pub started_unix_s: u64,
    /// Where the UDP listeners are bound.
    pub listeners: Vec<SocketAddr>,
    /// Which core owns which torrent.
    pub steering: Steering,
    /// Seconds until a client should announce again.
    pub interval_s: u32,
    /// Seconds after which a silent peer is forgotten.
    pub peer_timeout_s: u32,
    /// Peers for a client that names no number.
    pub numwant: u32,
    /// Most peers for any client.
    pub numwant_max: u32,
    /// Whether IPv6 clients are told of IPv4 peers in IPv6's clothes.
    pub v4_mapped: bool,
    /// Most rows of a scrape reply.
    pub scrape_hashes_max: usize,
    /// Prefetch the swarms of a turn before answering it; off only to measure what it gains.
    pub prefetch: bool,
    /// Whether each request is logged.
    pub request_log: RequestLog,
}

/// What a client says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// The torrent.
    pub info_hash: InfoHash,
    /// How it names itself.
    pub peer_id: PeerId,
    /// The port it listens on; 0 is nobody's.
    pub port: u16,
    /// What happened to it.
    pub event: Event,
    /// Bytes that it misses; 0 makes it a seeder.
    pub left: u64,
    /// How many peers it wants.
    pub num_want: NumWant,
}

impl Rules {
    /// The time by which connection ids are dated: Unix time, had nobody set the clock since the start.
    pub fn steady_unix_s(&self, now: Now) -> u64 {
        self.started_unix_s + u64::from(now.uptime_s)
    }

    /// What the swarm is told of an announce from `source`, once it is acceptable. `local` is the
    /// address of this host that was asked, where that is known.
    pub fn admit(
        &self,
        access: &Access,
        said: &Said,
        source: IpAddr,
        local: Option<IpAddr>,
    ) -> Result<PeerAnnounce, Fault> {
        if said.port == 0 {
            return Err(Fault::InvalidPort);
        }
        if access.blocks_source(source) {
            return Err(Fault::BlockedAddress);
        }
        if access.blocks_client(&said.peer_id) {
            return Err(Fault::ClientNotAllowed);
        }
        let address = access.addresses.peer_address(source, local)?;
        let state = match said.event {
            Event::Stopped => State::Stopped,
            Event::Completed => State::Seeding,
            _ if said.left == 0 => State::Seeding,
            Event::Paused => State::Paused,
            Event::None | Event::Started => State::Leeching,
        };
        let wanted = match said.num_want {
            NumWant::Default => self.numwant,
            NumWant::AtMost(number) => number.min(self.numwant_max),
        };
        Ok(PeerAnnounce {
            info_hash: said.info_hash,
            peer: PeerAddr::new(address, said.port),
            state,
            completed: said.event == Event::Completed,
            wanted: wanted as usize,
        })
    }
}
