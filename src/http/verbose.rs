//! What became of a request, for the log: see [`request_log`](crate::request_log). None of this runs
//! unless requests are logged.

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Connection;
use super::handle::{Handled, Terms};
use crate::counters::{BadRequest, Fault, Kind};
use crate::request_log::{Announce, Answer, Path, RequestLog, Scrape};
use crate::shard::{Ask, Matter, Said};
use crate::wire::http::head::Head;
use crate::wire::http::route::{Route, route};
use crate::wire::udp::{PEER_V4_LEN, PEER_V6_LEN};

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Whether requests are logged.
    pub(super) fn request_log(&self) -> RequestLog {
        self.thread.rules.shard.request_log
    }

    /// Tells of a request that was refused before a core was asked.
    #[cold]
    pub(super) fn log_refused(&self, fault: Fault, terms: &Terms, said: Option<&Said>) {
        let outcome = format_args!("refused, {}", fault.name());
        let (log, source) = (self.request_log(), terms.source);
        match (said, terms.kind) {
            (Some(said), _) => log.write(self.protocol, announce(said), source, outcome),
            (None, Kind::Scrape) => log.write(self.protocol, "scrape", source, outcome),
            (None, _) => log.write(self.protocol, "announce", source, outcome),
        }
    }

    /// Tells of a question that came back from the cores.
    #[cold]
    pub(super) fn log_answer(&self, answer: &Ask, terms: &Terms) {
        let outcome = match answer.matter() {
            _ if answer.is_denied() => format!("refused, {}", Fault::InfoHashNotAllowed.name()),
            _ if !answer.is_answered() => format!("refused, {}", Fault::Overloaded.name()),
            Matter::Announce { .. } => {
                let (v4, v6) = answer.peers();
                let totals = &answer.announced.totals;
                let answer = Answer {
                    peers: v4.len() / PEER_V4_LEN + v6.len() / PEER_V6_LEN,
                    seeders: totals.seeders,
                    leechers: totals.leechers,
                };
                answer.to_string()
            }
            Matter::Scrape | Matter::Blank => "answered".to_owned(),
        };
        let (log, source) = (self.request_log(), terms.source);
        if let Matter::Announce { peer, details, .. } = answer.matter() {
            let announce = Announce {
                info_hash: &peer.info_hash,
                event: details.event,
                left: details.left,
                peer_id: &details.peer_id,
            };
            log.write(self.protocol, announce, source, outcome);
        } else {
            let scrape = Scrape {
                torrents: answer.rows().count(),
                first: answer.rows().next().map(|(info_hash, _)| info_hash),
            };
            log.write(self.protocol, scrape, source, outcome);
        }
    }

    /// Tells of a request that is dealt with and that neither of the others tells of: pages,
    /// redirections, full scrapes.
    #[cold]
    pub(super) fn log_page(&self, head: &Head<'_>, handled: &Handled) {
        let (log, client) = (self.request_log(), self.client.peer);
        let (reply, terms) = match handled {
            Handled::Reply(reply, terms) => (reply, terms),
            Handled::FullScrape(_, terms) => {
                let outcome = "a full scrape";
                log.write(self.protocol, "scrape of everything", terms.source, outcome);
                return;
            }
            _ => return,
        };
        let status = status(reply);
        match route(&head.target) {
            // What a path to the tracker holds beside that may be somebody's key.
            Route::Announce { .. } | Route::Scrape { .. } => {
                if terms.head_only || status != "200" {
                    log.write(self.protocol, "request to the tracker", client, status);
                }
            }
            _ => log.write(self.protocol, Path(head.target.path), client, status),
        }
    }

    /// Tells of bytes that were no request.
    #[cold]
    pub(super) fn log_bad(&self, reason: BadRequest, len: usize) {
        let what = format_args!("{len} bytes");
        let client: Option<IpAddr> = self.client.peer;
        let outcome = format_args!("no request, {}", reason.name());
        self.request_log()
            .write(self.protocol, what, client, outcome);
    }
}

fn announce(said: &Said) -> Announce<'_> {
    Announce {
        info_hash: &said.info_hash,
        event: said.event,
        left: said.left,
        peer_id: &said.peer_id,
    }
}

/// The status of a response of ours.
fn status(reply: &[u8]) -> &str {
    let digits = reply.get("HTTP/1.1 ".len().."HTTP/1.1 200".len());
    digits
        .and_then(|digits| str::from_utf8(digits).ok())
        .unwrap_or_default()
}
