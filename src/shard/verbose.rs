//! What became of a datagram, for the log: see [`request_log`](crate::request_log). None of this runs
//! unless requests are logged.

use super::admit::Step;
use super::answer::Shard;
use super::sheet::Sheet;
use crate::counters::{Discard, Fault, Protocol};
use crate::net::{Datagram, Origin};
use crate::request_log::{Announce, Answer, RequestLog, Scrape};
use crate::swarm::{PeerAddr, PeerAnnounce, PeerDetails, Totals};
use crate::wire::udp::{self, PEER_V4_LEN, PEER_V6_LEN, Request};

impl Shard {
    /// Tells of a datagram that this core is done with. The others are told of by the core that
    /// answers them.
    #[cold]
    pub(super) fn log_admitted(&self, datagram: &Datagram<'_>, step: Result<Step, Discard>) {
        let outcome = match step {
            Ok(Step::Pending) => return,
            Ok(Step::Answered) => "answered".to_owned(),
            Ok(Step::Refused(fault)) => refused(fault),
            Err(reason) => dropped(reason),
        };
        let log = self.rules.request_log;
        let source = Some(datagram.origin.peer.ip());
        match udp::parse(datagram.bytes) {
            Ok(Request::Connect(_)) => log.write(Protocol::Udp, "connect", source, outcome),
            Ok(Request::Announce(_, announce)) => {
                let announce = Announce {
                    info_hash: &announce.info_hash,
                    event: announce.event,
                    left: announce.left,
                    peer_id: &announce.peer_id,
                };
                log.write(Protocol::Udp, announce, source, outcome);
            }
            Ok(Request::Scrape(_, _, info_hashes)) => {
                let first = info_hashes.iter().next();
                let scrape = Scrape {
                    torrents: info_hashes.len(),
                    first: first.as_ref(),
                };
                log.write(Protocol::Udp, scrape, source, outcome);
            }
            Err(_) => {
                let what = format_args!("datagram of {} bytes", datagram.bytes.len());
                log.write(Protocol::Udp, what, source, outcome);
            }
        }
    }

    /// Tells of a scrape that came to its end here.
    #[cold]
    pub(super) fn log_travelled(
        &self,
        origin: &Origin,
        sheet: &Sheet,
        answered: Result<(), Discard>,
    ) {
        let scrape = Scrape {
            torrents: sheet.rows().count(),
            first: sheet.rows().next().map(|(info_hash, _)| info_hash),
        };
        let outcome = answered.map_or_else(dropped, |()| "answered".to_owned());
        let log = self.rules.request_log;
        log.write(Protocol::Udp, scrape, Some(origin.peer.ip()), outcome);
    }
}

/// Tells of an announce that was answered with so many bytes of peers of a torrent with these totals,
/// refused, or not answered.
#[cold]
pub(super) fn log_announce(
    log: RequestLog,
    origin: &Origin,
    peer: &PeerAnnounce,
    details: &PeerDetails,
    outcome: Result<Result<(usize, Totals), Fault>, Discard>,
) {
    let announce = Announce {
        info_hash: &peer.info_hash,
        event: details.event,
        left: details.left,
        peer_id: &details.peer_id,
    };
    let source = Some(origin.peer.ip());
    match outcome {
        Ok(Ok((written, totals))) => {
            let peer_len = match peer.peer {
                PeerAddr::V4(_) => PEER_V4_LEN,
                PeerAddr::V6(_) => PEER_V6_LEN,
            };
            let answer = Answer {
                peers: written / peer_len,
                seeders: totals.seeders,
                leechers: totals.leechers,
            };
            log.write(Protocol::Udp, announce, source, answer);
        }
        Ok(Err(fault)) => log.write(Protocol::Udp, announce, source, refused(fault)),
        Err(reason) => log.write(Protocol::Udp, announce, source, dropped(reason)),
    }
}

fn refused(fault: Fault) -> String {
    format!("refused, {}", fault.name())
}

fn dropped(reason: Discard) -> String {
    format!("dropped, {}", reason.name())
}
