//! One torrent, with its peers.

use std::fmt::Write as _;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::{Refusal, info_hash_of_path};
use crate::clock::Now;
use crate::control::state::State;
use crate::shard::{PeerView, SwarmView};
use crate::swarm::PeerDetails;
use crate::wire::{Event, InfoHash, PeerId};

/// Most peers of a torrent that are told: some 30 MB of text.
const PEERS_MAX: usize = 100_000;

pub(super) fn routes() -> Router<State> {
    Router::new().route("/api/v1/torrent/{info_hash}", get(torrent))
}

#[derive(Serialize)]
struct Torrent {
    info_hash: String,
    seeders: u32,
    completed: u32,
    leechers: u32,
    peers: Vec<Peer>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the names are Torrust's")]
struct Peer {
    peer_id: Id,
    peer_addr: String,
    /// Both are when it was heard of, in milliseconds since 1970, whatever the second is called.
    updated: u64,
    updated_milliseconds_ago: u64,
    uploaded: i64,
    downloaded: i64,
    left: i64,
    event: &'static str,
}

#[derive(Serialize)]
struct Id {
    id: String,
    client: Option<&'static str>,
}

impl Torrent {
    fn new(info_hash: InfoHash, view: SwarmView, now: Now) -> Self {
        let mut peers = view.peers;
        peers.sort_unstable_by_key(|peer| (peer.details.map(|d| d.peer_id.0), peer.addr));
        Self {
            info_hash: info_hash.to_string(),
            seeders: view.totals.seeders,
            completed: view.totals.completed,
            leechers: view.totals.leechers,
            peers: peers.iter().map(|peer| Peer::new(peer, now)).collect(),
        }
    }
}

impl Peer {
    /// Without details its id and its numbers are zeros.
    fn new(peer: &PeerView, now: Now) -> Self {
        let started_unix_s = now.unix_s.saturating_sub(now.uptime_s.into());
        let heard_unix_s = match &peer.details {
            Some(details) => started_unix_s + u64::from(details.updated_s),
            None => now.unix_s.saturating_sub(peer.age_s.into()),
        };
        let updated = heard_unix_s * 1000;
        let said = |number: fn(&PeerDetails) -> u64| {
            let number = peer.details.as_ref().map_or(0, number);
            i64::try_from(number).unwrap_or(i64::MAX)
        };
        let event = peer.details.map_or(Event::None, |details| details.event);
        Self {
            peer_id: Id::new(peer.details.map(|details| details.peer_id)),
            peer_addr: peer.addr.to_string(),
            updated,
            updated_milliseconds_ago: updated,
            uploaded: said(|details| details.uploaded),
            downloaded: said(|details| details.downloaded),
            left: said(|details| details.left),
            event: match event {
                Event::Started => "Started",
                Event::Stopped => "Stopped",
                Event::Completed => "Completed",
                Event::None | Event::Paused => "None",
            },
        }
    }
}

impl Id {
    fn new(peer_id: Option<PeerId>) -> Self {
        let client = peer_id.and_then(|id| id.client());
        let mut digits = "0x".to_owned();
        for byte in peer_id.map_or([0; PeerId::LEN], |id| id.0) {
            write!(digits, "{byte:02x}").expect("a String takes everything");
        }
        Self {
            id: digits,
            client: client.map(|client| client.name),
        }
    }
}

async fn torrent(state: State, Path(text): Path<String>) -> Result<Response, Refusal> {
    let info_hash = info_hash_of_path(&text)?;
    let view = state.errands.swarm(info_hash, PEERS_MAX).await;
    match view.map_err(|busy| Refusal::failed("failed to look at torrent", busy))? {
        None => Ok(Json("torrent not known").into_response()),
        Some(view) => {
            let now = state.clock.now();
            // Making text of many peers takes a while, and others wait for this thread.
            let torrent = move |_: &_| serde_json::to_vec(&Torrent::new(info_hash, view, now));
            let text = state.on_disk(torrent).await;
            let text = text.map_err(|why| Refusal::failed("failed to tell torrent", why))?;
            Ok(super::json(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now {
        uptime_s: 100,
        unix_s: 1_700_000_100,
    };

    fn view(details: Option<PeerDetails>) -> PeerView {
        PeerView {
            addr: "[2001:db8::1]:8080".parse().unwrap(),
            seeder: false,
            paused: false,
            age_s: 30,
            details,
        }
    }

    #[test]
    fn a_peer_is_told_as_torrust_tells_it() {
        let details = PeerDetails {
            peer_id: PeerId(*b"-qB00000000000000000"),
            uploaded: 1,
            downloaded: u64::MAX,
            left: 3,
            event: Event::Started,
            updated_s: 90,
            key: 0,
        };
        let peer = serde_json::to_string(&Peer::new(&view(Some(details)), NOW)).unwrap();
        assert_eq!(
            peer,
            "{\"peer_id\":{\"id\":\"0x2d71423030303030303030303030303030303030\",\
             \"client\":\"qBittorrent\"},\"peer_addr\":\"[2001:db8::1]:8080\",\
             \"updated\":1700000090000,\"updated_milliseconds_ago\":1700000090000,\
             \"uploaded\":1,\"downloaded\":9223372036854775807,\"left\":3,\"event\":\"Started\"}"
        );
    }

    #[test]
    fn without_details_a_peer_has_an_address_and_a_time() {
        let peer = serde_json::to_value(Peer::new(&view(None), NOW)).unwrap();
        let zeros = format!("0x{}", "0".repeat(40));
        assert_eq!(peer["peer_id"]["id"], zeros);
        assert!(peer["peer_id"]["client"].is_null());
        assert_eq!(peer["updated"], 1_700_000_070_000_u64);
        assert_eq!((&peer["left"], &peer["event"]), (&0.into(), &"None".into()));
    }
}
