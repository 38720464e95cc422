//! An answered question becomes a response.

use std::fmt::Write as _;

use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Connection;
use super::full_scrape::{Form, Snapshot};
use super::handle::Terms;
use crate::counters::{Count, Fault, Tally};
use crate::gate::access::{DENIED_INTERVAL_S, Deny};
use crate::shard::{Ask, Matter};
use crate::swarm::{Refusal, State, Totals};
use crate::wire::http::reply::{
    self, AnnounceReply, PeerList, Retry, ScrapeRow, write_announce, write_failure, write_scrape,
};
use crate::wire::http::response::{ResponseHead, Status, write_head, write_response};

/// Bodies below this many bytes are sent as they are: one packet is one packet.
const COMPRESS_FROM: usize = 1024;

/// Minutes after which an overloaded tracker may be asked again.
const RETRY_MINUTES: u32 = 30;

/// Seconds, and minutes, after which whoever asked too often has a full bucket again.
const OVER_RATE_S: u32 = 60;

/// What a client is told that came with more new torrents than one source may begin.
const BEGAN_TOO_MANY: &str =
    "too many new torrents from your address: other peers are not told of you";

/// What a client is told whose peer the memory budget left no room for.
const NOT_STORED: &str = "the tracker is full: other peers are not told of you";

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// The response to a question that a core answered, or could not.
    pub(super) fn reply_to(&self, answer: Box<Ask>, terms: &Terms) -> Vec<u8> {
        if self.request_log().is_on() {
            self.log_answer(&answer, terms);
        }
        let mut body = self.thread.buffers.take();
        match answer.matter() {
            Matter::Announce { .. } if answer.is_denied() => {
                self.thread.asks.give_back(answer);
                self.thread.buffers.give_back(body);
                return self.failure(Fault::InfoHashNotAllowed, terms);
            }
            Matter::Announce { peer, .. } if answer.is_answered() => {
                let turned_away = !answer.announced.stored && peer.state != State::Stopped;
                let warning = match answer.announced.refused {
                    _ if !turned_away => &self.thread.rules.warning,
                    Some(Refusal::BusySource) => BEGAN_TOO_MANY,
                    _ => NOT_STORED,
                };
                self.write_announce_body(&mut body, &answer, terms, warning);
            }
            Matter::Scrape if answer.is_answered() => {
                let rules = &self.thread.rules;
                let rows = answer.rows().map(|(hash, totals)| (*hash, row(totals)));
                let interval_s = rules.min_request_interval_s;
                write_scrape(&mut body, rows, rules.downloaders, interval_s);
            }
            _ => {
                self.thread.asks.give_back(answer);
                self.thread.buffers.give_back(body);
                return self.failure(Fault::Overloaded, terms);
            }
        }
        self.thread.asks.give_back(answer);
        self.count_answered(terms);
        self.respond(body, terms)
    }

    fn write_announce_body(&self, body: &mut Vec<u8>, answer: &Ask, terms: &Terms, warning: &str) {
        let rules = &self.thread.rules;
        let (v4, v6) = answer.peers();
        let peers = if terms.compact {
            PeerList::Compact { v4, v6 }
        } else {
            let ids = answer.ids();
            PeerList::Dictionaries { v4, v6, ids }
        };
        let totals = &answer.announced.totals;
        let reply = AnnounceReply {
            seeders: totals.seeders,
            leechers: totals.leechers,
            completed: totals.completed,
            interval_s: rules.shard.interval_s,
            min_interval_s: rules.min_interval_s,
            peers,
            external_ip: terms.source.filter(|_| rules.tell_external_ip),
            tracker_id: &rules.tracker_id,
            warning,
        };
        write_announce(body, &reply);
    }

    /// A bencoded refusal, with status 200: clients do not read the body of any other. Only who asks too often is
    /// told so by the status, which proxies and scripts understand; a client waits after any.
    pub(super) fn failure(&self, fault: Fault, terms: &Terms) -> Vec<u8> {
        self.thread.counters.add(Count::Faulted(fault), 1);
        let rules = &self.thread.rules;
        let mut body = self.thread.buffers.take();
        match fault {
            _ if fault.is_by_list() && self.thread.with_access(|a| a.deny == Deny::Soft) => {
                write_announce(&mut body, &nobody_there(terms.compact));
            }
            Fault::Overloaded => {
                let retry = Retry::Later {
                    interval_s: rules.shard.interval_s,
                    min_interval_s: rules.min_interval_s,
                    minutes: RETRY_MINUTES,
                };
                write_failure(&mut body, fault.text(), Some(retry));
            }
            _ if fault.is_by_rate() => {
                let retry = Retry::Later {
                    interval_s: rules.shard.interval_s,
                    min_interval_s: rules.min_interval_s,
                    minutes: OVER_RATE_S.div_ceil(60),
                };
                write_failure(&mut body, fault.text(), Some(retry));
                let mut head = ResponseHead::new(Status::TooManyRequests, terms.connection);
                head.retry_after_s = Some(OVER_RATE_S);
                return self.respond_with(head, body, terms);
            }
            // Asking again will not change who one is.
            Fault::IgnoredAddress | Fault::PrivateAddress => {
                write_failure(&mut body, fault.text(), Some(Retry::Never));
            }
            Fault::TooManyInfoHashes => {
                let mut text = String::new();
                let most = rules.shard.scrape_hashes_max;
                // Writing to a String cannot fail.
                let _ = write!(text, "{}, max is {most}", fault.text());
                write_failure(&mut body, &text, None);
            }
            _ => write_failure(&mut body, fault.text(), None),
        }
        self.respond(body, terms)
    }

    /// A bencoded body and its head.
    fn respond(&self, body: Vec<u8>, terms: &Terms) -> Vec<u8> {
        let head = ResponseHead::new(Status::Ok, terms.connection);
        self.respond_with(head, body, terms)
    }

    fn respond_with(
        &self,
        mut head: ResponseHead<'_>,
        mut body: Vec<u8>,
        terms: &Terms,
    ) -> Vec<u8> {
        // Packed peers are addresses, and addresses do not compress.
        let compressible = !(terms.compact && terms.kind == crate::counters::Kind::Announce);
        if compressible && body.len() >= COMPRESS_FROM && (terms.accepts.gzip || terms.accepts.zstd)
        {
            head.vary = true;
            let mut packed = self.thread.buffers.take();
            if let Some(encoding) = self.thread.packer.pack(terms.accepts, &body, &mut packed) {
                let saved = body.len() - packed.len();
                self.thread
                    .counters
                    .tally(Tally::HttpBytesSaved, saved as u64);
                head.encoding = Some(encoding);
                std::mem::swap(&mut body, &mut packed);
            }
            self.thread.buffers.give_back(packed);
        }
        let mut out = self.thread.buffers.take();
        write_response(&mut out, &head, &body);
        self.thread.buffers.give_back(body);
        out
    }

    /// Plain text and its head, which may be all.
    pub(super) fn say(&self, head: &ResponseHead<'_>, text: &str, head_only: bool) -> Vec<u8> {
        let mut out = self.thread.buffers.take();
        if head_only {
            let content_length = (!text.is_empty()).then_some(text.len() as u64);
            let head = ResponseHead {
                content_length,
                ..*head
            };
            write_head(&mut out, &head);
        } else {
            write_response(&mut out, head, text.as_bytes());
        }
        out
    }

    /// The head of a full scrape.
    pub(super) fn write_full_scrape_head(
        out: &mut Vec<u8>,
        snapshot: &Snapshot,
        form: Form,
        terms: &Terms,
    ) {
        let mut head = ResponseHead::new(Status::Ok, terms.connection);
        head.content_length = Some(snapshot.len(form));
        head.encoding = form.encoding();
        head.vary = true;
        write_head(out, &head);
    }
}

/// What those are told whom a list turns away softly.
fn nobody_there(compact: bool) -> AnnounceReply<'static> {
    let (v4, v6): (&[u8], &[u8]) = (&[], &[]);
    AnnounceReply {
        seeders: 0,
        leechers: 0,
        completed: 0,
        interval_s: DENIED_INTERVAL_S,
        // Some clients announce at this one.
        min_interval_s: DENIED_INTERVAL_S,
        peers: if compact {
            PeerList::Compact { v4, v6 }
        } else {
            let ids = &[];
            PeerList::Dictionaries { v4, v6, ids }
        },
        external_ip: None,
        tracker_id: "",
        warning: "",
    }
}

/// A row as it is written. Partial seeds are leechers that want nothing more (BEP 21).
pub(super) fn row(totals: &Totals) -> ScrapeRow {
    reply::ScrapeRow {
        seeders: totals.seeders,
        completed: totals.completed,
        leechers: totals.leechers,
        downloaders: totals.leechers.saturating_sub(totals.partial),
    }
}
