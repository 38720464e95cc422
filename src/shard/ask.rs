//! How an HTTP thread asks the core that owns a torrent, and where it finds the answer.
//!
//! ```text
//!   HTTP thread                        core
//!     Ask ---- Mesh::post ---------->  mailbox, joins the announces of the next turn
//!      ^                                  |
//!      +------ Desk <---------------------+   the same Ask, answered
//! ```
//!
//! An [`Ask`] is a form that goes back and forth: question and answer lie in the same memory, which the
//! thread uses again for the next request.

use super::sheet::Sheet;
use crate::limits::HTTP_PEERS_MAX;
use crate::swarm::{Announced, PeerAddr, PeerAnnounce, PeerDetails, State, Swarms};
use crate::wire::udp::{PEER_V4_LEN, PEER_V6_LEN};
use crate::wire::{Event, InfoHash, PeerId};

/// A question and its answer.
pub struct Ask {
    /// Which HTTP thread asked.
    pub(super) desk: usize,
    /// Which of its connections waits, as that thread numbers them.
    pub ticket: usize,
    /// What is asked, and what came of it.
    matter: Matter,
    answered: bool,
    denied: bool,
    /// The counts after an announce.
    pub announced: Announced,
    /// Peers of the announcer's family, then those of the other, as they are sent.
    peers: Vec<u8>,
    own_len: usize,
    /// One for each of the peers, IPv4 before IPv6; empty where none were asked for.
    ids: Vec<Option<PeerId>>,
    /// The rows of a scrape; made when the first is asked.
    sheet: Option<Box<Sheet>>,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum Matter {
    /// Nothing yet.
    Blank,
    /// To join, stay in or leave a swarm.
    Announce {
        /// What the swarm is told.
        peer: PeerAnnounce,
        /// What the side table is told.
        details: PeerDetails,
        /// Whether the ids of the peers are asked for, where they are kept.
        ids: bool,
    },
    /// The totals of the torrents on the sheet.
    Scrape,
}

impl Ask {
    /// Asks something else.
    pub fn begin(&mut self, matter: Matter) {
        self.matter = matter;
        self.answered = false;
        self.denied = false;
    }

    /// A form for the HTTP thread with this number.
    pub fn blank(desk: usize) -> Self {
        Self {
            desk,
            ticket: 0,
            matter: Matter::Blank,
            answered: false,
            denied: false,
            announced: Announced::default(),
            peers: Vec::new(),
            own_len: 0,
            ids: Vec::new(),
            sheet: None,
        }
    }

    /// What is asked.
    pub fn matter(&self) -> &Matter {
        &self.matter
    }

    /// The sheet of a scrape, to write info-hashes on.
    pub fn sheet_mut(&mut self) -> &mut Sheet {
        self.sheet.get_or_insert_with(|| Box::new(Sheet::empty()))
    }

    /// The rows of a scrape, in the order of the request.
    pub fn rows(&self) -> impl Iterator<Item = (&InfoHash, &crate::swarm::Totals)> {
        self.sheet.iter().flat_map(|sheet| sheet.rows())
    }

    /// The torrent whose owner is to be asked next; `None` when everything is answered.
    pub fn next(&self) -> Option<&InfoHash> {
        match &self.matter {
            Matter::Blank => None,
            Matter::Announce { peer, .. } => Some(&peer.info_hash),
            Matter::Scrape => self.sheet.as_ref()?.next(),
        }
    }

    /// Whether a core has dealt with it, and with all of it.
    pub fn is_answered(&self) -> bool {
        match self.matter {
            Matter::Blank => false,
            Matter::Announce { .. } => self.answered,
            Matter::Scrape => self.next().is_none(),
        }
    }

    /// Whether a list turned the torrent away.
    pub fn is_denied(&self) -> bool {
        self.denied
    }

    /// Answers that a list turned the torrent away.
    pub(super) fn deny(&mut self) {
        self.answered = true;
        self.denied = true;
    }

    /// IPv4 peers and IPv6 peers, packed as replies carry them.
    pub fn peers(&self) -> (&[u8], &[u8]) {
        let (own, other) = self.peers.split_at(self.own_len);
        match self.matter {
            Matter::Announce { peer, .. } if matches!(peer.peer, PeerAddr::V6(_)) => (other, own),
            _ => (own, other),
        }
    }

    /// The ids of those peers, IPv4 before IPv6; empty where they were not asked for or not kept.
    pub fn ids(&self) -> &[Option<PeerId>] {
        &self.ids
    }

    /// Applies the announce and writes the peers that answer it, of both families: first those that
    /// the announcer can certainly reach. `peer` is what was asked, but for the torrent where another
    /// one stands for it; what is to be credited goes to the one that was asked for.
    pub(super) fn announce(
        &mut self,
        swarms: &mut Swarms,
        (peer, hash): (&PeerAnnounce, u64),
        now_s: u32,
        turn: u64,
        v4_mapped: bool,
    ) {
        let Matter::Announce {
            peer: asked,
            details,
            ids,
        } = self.matter
        else {
            return;
        };
        let wanted = peer.wanted.min(HTTP_PEERS_MAX);
        // Within what earlier requests have used, this neither allocates nor writes.
        self.peers.resize(wanted * PEER_V6_LEN, 0);
        let peers = &mut self.peers[..];
        self.answered = true;
        self.announced = swarms.announce(hash, peer, now_s, turn, peers);
        if self.announced.stored {
            swarms.note_details(peer, details);
        }
        if details.key != 0 {
            swarms.credit(&asked, &details, now_s);
        }
        let (own, rest) = peers.split_at_mut(self.announced.written);
        let (own_size, _) = sizes(&peer.peer);
        let left = wanted - own.len() / own_size;
        let stopped = peer.state == State::Stopped;
        let (mapped, others) = match peer.peer {
            _ if left == 0 || stopped => (0, 0),
            PeerAddr::V6(_) if v4_mapped => (swarms.mapped_v4(hash, peer, left, turn, rest), 0),
            _ => (0, swarms.other_family(hash, peer, left, turn, rest)),
        };
        self.own_len = own.len() + mapped;
        self.peers.truncate(self.own_len + others);
        self.ids.clear();
        if ids && swarms.keeps_details() {
            self.look_up_ids(swarms, &peer.info_hash);
        }
    }

    fn look_up_ids(&mut self, swarms: &Swarms, info_hash: &InfoHash) {
        let mut ids = std::mem::take(&mut self.ids);
        let (v4, v6) = self.peers();
        let id_of = |peer| swarms.details(info_hash, peer).map(|d| d.peer_id);
        ids.extend(
            v4.as_chunks()
                .0
                .iter()
                .map(|&peer| id_of(PeerAddr::V4(peer))),
        );
        ids.extend(v6.as_chunks().0.iter().map(|&peer| id_of(unmapped(peer))));
        self.ids = ids;
    }

    /// Fills in the rows of a scrape for which `row` has an answer.
    pub(super) fn fill(&mut self, row: impl FnMut(&InfoHash) -> Option<crate::swarm::Totals>) {
        if let Some(sheet) = &mut self.sheet {
            sheet.fill(row);
        }
    }
}

/// Bytes of a peer of the announcer's family and of the other.
fn sizes(peer: &PeerAddr) -> (usize, usize) {
    match peer {
        PeerAddr::V4(_) => (PEER_V4_LEN, PEER_V6_LEN),
        PeerAddr::V6(_) => (PEER_V6_LEN, PEER_V4_LEN),
    }
}

/// An IPv6 entry as the swarm knows it: one that carries an IPv4 address stands for that peer.
fn unmapped(peer: [u8; PEER_V6_LEN]) -> PeerAddr {
    match peer {
        [
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0xff,
            0xff,
            a,
            b,
            c,
            d,
            high,
            low,
        ] => PeerAddr::V4([a, b, c, d, high, low]),
        _ => PeerAddr::V6(peer),
    }
}

/// Details of a peer that says nothing of itself.
pub const NO_DETAILS: PeerDetails = PeerDetails {
    peer_id: PeerId([0; PeerId::LEN]),
    uploaded: 0,
    downloaded: 0,
    left: 0,
    event: Event::None,
    updated_s: 0,
    key: 0,
};
