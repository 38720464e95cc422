//! The peers of a torrent, with their addresses.

use std::fmt::Write;

use maud::{Markup, html};

use super::parts;
use crate::clock::Now;
use crate::control::pages::words;
use crate::shard::{PeerView, SwarmView};
use crate::wire::PeerId;

/// Peers of a page.
const ROWS: usize = 200;

/// Peers that are asked for: 50 pages.
pub(super) const SEEN_MAX: usize = 10_000;

/// The section with the peers from this one on, in the order of their addresses.
pub(super) fn section(swarm: &SwarmView, now: Now, path: &str, from: usize) -> Markup {
    let mut peers: Vec<&PeerView> = swarm.peers.iter().collect();
    peers.sort_unstable_by_key(|peer| peer.addr);
    let from = from.min(peers.len());
    let shown = &peers[from..peers.len().min(from + ROWS)];
    let has_details = peers.iter().any(|peer| peer.details.is_some());
    html! {
        section.card.wide aria-labelledby="peers" {
            h2 #peers { "Peers" }
            @if peers.is_empty() { p.quiet { "Nobody is there." } }
            @else {
                div.scroll tabindex="0" role="group" aria-labelledby="peers" {
                    table.peers {
                        caption.unseen { "Peers of this torrent" }
                        thead { tr {
                            th scope="col" { "Address" }
                            th scope="col" { "State" }
                            th scope="col" { "Announced" }
                            @if has_details {
                                th scope="col" { "Client" }
                                th scope="col" { "Up" }
                                th scope="col" { "Down" }
                                th scope="col" { "Left" }
                            }
                        } }
                        tbody { @for peer in shown { (row(peer, now, has_details)) } }
                    }
                }
            }
            @if peers.len() == SEEN_MAX { p.quiet { "No more than " (words::number(SEEN_MAX as u64)) " peers are shown." } }
            (parts::pager(path, from as u64, shown.len(), peers.len() as u64, ROWS))
        }
    }
}

fn row(peer: &PeerView, now: Now, has_details: bool) -> Markup {
    let state = match (peer.seeder, peer.paused) {
        (true, _) => "seeder",
        (false, true) => "partial seed",
        (false, false) => "leecher",
    };
    let age_s = match &peer.details {
        Some(details) => now.uptime_s.saturating_sub(details.updated_s),
        None => peer.age_s,
    };
    html! {
        tr {
            th scope="row" { code { (peer.addr) } }
            td { (state) }
            td { (words::duration(age_s.into())) " ago" }
            @if has_details {
                @match &peer.details {
                    Some(details) => {
                        td.client { (client(&details.peer_id)) }
                        td data-name="Up" { (words::bytes(details.uploaded)) }
                        td data-name="Down" { (words::bytes(details.downloaded)) }
                        td data-name="Left" { (words::bytes(details.left)) }
                    }
                    None => { td.client { "-" } td data-name="Up" { "-" } td data-name="Down" { "-" } td data-name="Left" { "-" } }
                }
            }
        }
    }
}

/// What a peer id says of its client, and the id itself.
fn client(id: &PeerId) -> Markup {
    let client = id.client();
    html! {
        @if let Some(client) = client {
            span.name { (client.name) @if let Some(version) = &client.version { " " (version) } }
        }
        code.id { (readable(id)) }
    }
}

/// The bytes of a peer id: letters of ASCII as they are, all others in hexadecimal digits.
fn readable(id: &PeerId) -> String {
    let mut text = String::new();
    for byte in id.0 {
        if byte.is_ascii_graphic() && byte != b'\\' {
            text.push(byte.into());
        } else {
            // Writing into a string cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::{PeerDetails, Totals};
    use crate::wire::Event;

    const NOW: Now = Now {
        uptime_s: 100,
        unix_s: 1_700_000_100,
    };

    fn peer(port: u16, id: Option<&[u8; 20]>) -> PeerView {
        PeerView {
            addr: ([127, 0, 0, 1], port).into(),
            seeder: port.is_multiple_of(2),
            paused: false,
            age_s: 61,
            details: id.map(|id| PeerDetails {
                peer_id: PeerId(*id),
                uploaded: 1 << 20,
                downloaded: 0,
                left: 5,
                event: Event::Started,
                updated_s: 90,
                key: 0,
            }),
        }
    }

    fn shown(peers: Vec<PeerView>, from: usize) -> String {
        let totals = Totals::default();
        section(&SwarmView { totals, peers }, NOW, "/t", from).into_string()
    }

    #[test]
    fn what_a_peer_id_says_is_text_and_nothing_else() {
        let page = shown(vec![peer(1, Some(b"-qB4670-<script>\0\\\xff\""))], 0);
        assert!(page.contains("qBittorrent 4.6.7"), "{page}");
        assert!(
            page.contains("-qB4670-&lt;script&gt;\\x00\\x5c\\xff&quot;"),
            "{page}"
        );
        assert!(
            page.contains("10 s ago") && page.contains("1.0 MiB"),
            "{page}"
        );
    }

    #[test]
    fn peers_come_in_pages_in_the_order_of_their_addresses() {
        let peers: Vec<_> = (1..=450).rev().map(|port| peer(port, None)).collect();
        let second = shown(peers.clone(), 200);
        assert!(second.contains("201 to 400 of 450"), "{second}");
        assert!(second.contains("127.0.0.1:201<") && !second.contains("127.0.0.1:401<"));
        assert!(second.contains("seeder") && second.contains("leecher"));
        assert!(!second.contains("Client"));
        let beyond = shown(peers, usize::MAX);
        assert!(!beyond.contains("127.0.0.1:"), "{beyond}");
    }
}
