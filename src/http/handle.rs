//! What a request is answered: at once, or with a question for the core that owns its torrent.

use std::net::IpAddr;

use subtle::ConstantTimeEq;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Connection;
use super::full_scrape::Form;
use crate::control::Event;
use crate::counters::{BadRequest, Count, Family, Fault, Kind};
use crate::gate::address_policy::is_unicast;
use crate::gate::keys::KeyFault;
use crate::limits::{HEAD_LEN_MAX, SCRAPE_HASHES_MAX};
use crate::shard::{Ask, Matter, Said};
use crate::swarm::{PeerDetails, Totals};
use crate::wire::http::announce::AnnounceQuery;
use crate::wire::http::forwarded::client_address;
use crate::wire::http::head::{self, Encodings, Head, HeadFault, Method, Target};
use crate::wire::http::query::{QueryFault, pairs};
use crate::wire::http::response::{Connection as Keep, Location, ResponseHead, Status};
use crate::wire::http::route::{Route, route};
use crate::wire::http::scrape;

/// How a request was dealt with.
pub(super) enum Handled {
    /// More bytes are needed.
    Incomplete,
    /// No form is free to ask a core with; try again when one is.
    NoRoom,
    /// Ask a core, then reply.
    Ask(Box<Ask>, Terms),
    /// Send this.
    Reply(Vec<u8>, Terms),
    /// Send this and close: it was no request of HTTP.
    Bad(Vec<u8>, BadRequest),
    /// Send every torrent there is.
    FullScrape(Form, Terms),
}

/// How a reply is to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// What becomes of the connection.
    pub(super) connection: Keep,
    /// The client wants the head alone.
    pub(super) head_only: bool,
    /// A body comes behind the head, which nobody reads.
    pub(super) has_body: bool,
    /// How bodies may be compressed.
    pub(super) accepts: Encodings,
    /// Peers as packed bytes.
    pub(super) compact: bool,
    /// The address that the request counts for, and is told with `external ip`.
    pub(super) source: Option<IpAddr>,
    /// Announce or scrape.
    pub(super) kind: Kind,
}

impl Terms {
    /// The end of a connection.
    pub(super) const CLOSE: Self = Self {
        connection: Keep::Close,
        head_only: false,
        has_body: false,
        accepts: Encodings {
            gzip: false,
            zstd: false,
        },
        compact: true,
        source: None,
        kind: Kind::Announce,
    };

    fn of(head: &Head<'_>) -> Self {
        Self {
            connection: match (head.keep_alive && !head.has_body, head.announce_keep_alive) {
                (false, _) => Keep::Close,
                (true, false) => Keep::KeepAliveImplied,
                (true, true) => Keep::KeepAliveSaid,
            },
            head_only: head.method == Method::Head,
            has_body: head.has_body,
            accepts: head.accepts,
            ..Self::CLOSE
        }
    }

    /// Whether the connection stays open.
    pub(super) fn keeps_alive(&self) -> bool {
        self.connection != Keep::Close
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Deals with the request at the beginning of `bytes`; says how long it is.
    pub(super) fn handle(&mut self, bytes: &[u8]) -> (Handled, usize) {
        match head::parse(bytes) {
            Ok(Some((head, len))) if len <= HEAD_LEN_MAX => match self.handle_head(&head) {
                // It stays where it is until then.
                Handled::NoRoom => (Handled::NoRoom, 0),
                handled => {
                    if self.request_log().is_on() {
                        self.log_page(&head, &handled);
                    }
                    (handled, len)
                }
            },
            Ok(None) if bytes.len() <= HEAD_LEN_MAX => (Handled::Incomplete, 0),
            Ok(_) => self.bad(BadRequest::HeadTooLong, bytes.len()),
            Err(fault) => {
                let reason = match fault {
                    HeadFault::NotHttp => BadRequest::NotHttp,
                    HeadFault::TlsHello => BadRequest::TlsHello,
                    HeadFault::BadHead | HeadFault::Version => BadRequest::BadHead,
                    HeadFault::TooManyHeaders => BadRequest::TooManyHeaders,
                };
                self.bad(reason, bytes.len())
            }
        }
    }

    fn bad(&self, reason: BadRequest, len: usize) -> (Handled, usize) {
        if self.request_log().is_on() {
            self.log_bad(reason, len);
        }
        let (status, text) = match reason {
            BadRequest::HeadTooLong => (Status::HeadTooLarge, "the request head is too long\n"),
            BadRequest::TooManyHeaders => (Status::HeadTooLarge, "too many header fields\n"),
            BadRequest::TlsHello => (Status::BadRequest, "this port speaks plain HTTP\n"),
            _ => (Status::BadRequest, "this is not a request of HTTP\n"),
        };
        let head = ResponseHead::new(status, Keep::Close);
        (Handled::Bad(self.say(&head, text, false), reason), len)
    }

    fn handle_head(&mut self, head: &Head<'_>) -> Handled {
        let mut terms = Terms::of(head);
        if self.thread.pauses() {
            terms.connection = Keep::Close;
        }
        if head.method == Method::Other {
            self.count_bad(BadRequest::MethodNotAllowed);
            terms.connection = Keep::Close;
            return self.plain(Status::MethodNotAllowed, "only GET and HEAD\n", terms);
        }
        if let Some(base) = &self.door.redirect_to {
            let mut target = self.thread.buffers.take();
            // Without a slash it would go on with the host's name.
            if !head.target.path.starts_with(b"/") {
                target.push(b'/');
            }
            target.extend_from_slice(head.target.path);
            if let Some(query) = head.target.query {
                target.push(b'?');
                target.extend_from_slice(query);
            }
            let mut moved = ResponseHead::new(Status::MovedPermanently, terms.connection);
            moved.location = Some(Location {
                base,
                target: &target,
            });
            let reply = self.say(&moved, "", terms.head_only);
            self.thread.buffers.give_back(target);
            return Handled::Reply(reply, terms);
        }
        match route(&head.target) {
            Route::Announce { .. } | Route::Scrape { .. } if terms.head_only => {
                // HEAD changes nothing, so there is nothing that it could tell the length of.
                let head = ResponseHead::new(Status::Ok, terms.connection);
                Handled::Reply(self.say(&head, "", true), terms)
            }
            Route::Announce { .. } => {
                terms.kind = Kind::Announce;
                match self.welcome_source(head, &mut terms) {
                    Err(fault) => self.refuse(fault, terms, None),
                    Ok(source) => self.handle_announce(&head.target, source, terms),
                }
            }
            Route::Scrape { .. } => {
                terms.kind = Kind::Scrape;
                match self.welcome_source(head, &mut terms) {
                    Err(fault) => self.refuse(fault, terms, None),
                    Ok(_) => self.handle_scrape(&head.target, terms),
                }
            }
            Route::Robots => self.plain(Status::Ok, "User-agent: *\nDisallow: /\n", terms),
            Route::HealthCheck => {
                let mut head = ResponseHead::new(Status::Ok, terms.connection);
                head.content_type = "application/json";
                let reply = self.say(&head, "{\"status\":\"Ok\"}", terms.head_only);
                Handled::Reply(reply, terms)
            }
            Route::Unknown => {
                self.count_bad(BadRequest::NotFound);
                self.plain(Status::NotFound, "Not Found\n", terms)
            }
        }
    }

    /// What the request has waited for, or one that is free.
    fn form(&mut self) -> Option<Box<Ask>> {
        self.form.take().or_else(|| self.thread.asks.blank())
    }

    /// Whose request it is, unless he asks too often while the thread is busy.
    fn welcome_source(&self, head: &Head<'_>, terms: &mut Terms) -> Result<IpAddr, Fault> {
        let source = self.source(head, terms)?;
        if self.form.is_some() {
            return Ok(source);
        }
        self.thread.admit(source, 1)?;
        Ok(source)
    }

    /// Whose request it is: the client's own address, or what a trusted proxy says.
    fn source(&self, head: &Head<'_>, terms: &mut Terms) -> Result<IpAddr, Fault> {
        let source = match self.door.proxy_header {
            None => self.client.peer,
            Some(header) => {
                let lines = head.values(header.name());
                if self.client.peer.is_none_or(|peer| self.door.trusts(peer)) {
                    client_address(header, lines, |hop| self.door.trusts(hop))
                } else {
                    if lines.count() > 0 && self.form.is_none() {
                        self.count_bad(BadRequest::UntrustedProxy);
                    }
                    self.client.peer
                }
            }
        };
        let source = source.filter(|&address| is_unicast(address));
        terms.source = source;
        // Whoever has waited for a form was counted before.
        if self.form.is_none() {
            self.count_received(terms);
        }
        source.ok_or(Fault::NoClientAddress)
    }

    fn handle_announce(
        &mut self,
        target: &Target<'_>,
        source: IpAddr,
        mut terms: Terms,
    ) -> Handled {
        if self.asks_for_a_sweep(target.query) {
            // One that finds no room is like one that waits already.
            drop(self.thread.events.try_send(Event::Sweep));
            return self.plain(Status::Ok, "OK", terms);
        }
        let key = match self.key_in(target) {
            Ok(key) => key,
            Err(fault) => return self.refuse(fault.into(), terms, None),
        };
        let query = match AnnounceQuery::parse(target.query.unwrap_or_default()) {
            Ok(query) => query,
            Err(fault) => return self.refuse(fault.into(), terms, None),
        };
        terms.compact = query.compact;
        let said = Said {
            info_hash: query.info_hash,
            peer_id: query.peer_id,
            port: query.port,
            event: query.event,
            // Whoever does not say what it misses, misses something.
            left: query.left.unwrap_or(u64::MAX),
            num_want: query.num_want,
        };
        let rules = &self.thread.rules.shard;
        let admitted = self
            .thread
            .with_access(|access| rules.admit(access, &said, source, self.client.local));
        let peer = match admitted {
            Ok(peer) => peer,
            Err(fault) => return self.refuse(fault, terms, Some(&said)),
        };
        let Some(mut ask) = self.form() else {
            return Handled::NoRoom;
        };
        self.thread.counters.crowd.note(source, &said.peer_id);
        ask.begin(Matter::Announce {
            peer,
            details: PeerDetails {
                peer_id: query.peer_id,
                uploaded: query.uploaded,
                downloaded: query.downloaded,
                left: query.left.unwrap_or(u64::MAX),
                event: query.event,
                updated_s: self.thread.clock.now().uptime_s,
                key,
            },
            ids: query.peer_ids && !query.compact,
        });
        Handled::Ask(ask, terms)
    }

    /// Whether a parameter of the query is `control.run_gc_key`, which is a secret.
    fn asks_for_a_sweep(&self, query: Option<&[u8]>) -> bool {
        let key = self.thread.rules.run_gc_key.expose().as_bytes();
        let is_key = |(name, _): (&[u8], &[u8])| bool::from(name.ct_eq(key));
        !key.is_empty() && pairs(query.unwrap_or_default()).any(is_key)
    }

    /// The number of the key in the URL, where one is needed; 0 where none is.
    fn key_in(&self, target: &Target<'_>) -> Result<u32, KeyFault> {
        self.thread.with_access(|access| {
            if access.mode.is_private() {
                access.key_in(target, self.thread.clock.now().unix_s)
            } else {
                Ok(0)
            }
        })
    }

    fn handle_scrape(&mut self, target: &Target<'_>, terms: Terms) -> Handled {
        // Whoever has no good key may ask, and learns nothing.
        let knows_nothing = match self.key_in(target) {
            Ok(_) => false,
            Err(KeyFault::Malformed) => {
                return self.refuse(Fault::MalformedKey, terms, None);
            }
            Err(KeyFault::Missing | KeyFault::Unknown | KeyFault::Expired) => true,
        };
        let Some(mut ask) = self.form() else {
            return Handled::NoRoom;
        };
        let hashes_max = self.thread.rules.shard.scrape_hashes_max;
        ask.begin(Matter::Scrape);
        let mut parsed = Ok(0);
        ask.sheet_mut().begin(|places| {
            parsed = scrape::parse(
                target.query,
                &mut places[..hashes_max.min(SCRAPE_HASHES_MAX)],
            );
            parsed.unwrap_or(0)
        });
        match parsed {
            Ok(1..) => {
                if knows_nothing {
                    ask.sheet_mut().fill(|_| Some(Totals::default()));
                }
                return Handled::Ask(ask, terms);
            }
            Ok(0) if self.thread.full_scrapes.is_some() && !knows_nothing => {
                self.thread.asks.give_back(ask);
                return Handled::FullScrape(Form::of(terms.accepts), terms);
            }
            _ => {}
        }
        self.thread.asks.give_back(ask);
        let fault = parsed.err().map_or(Fault::FullScrapeDisabled, Fault::from);
        self.refuse(fault, terms, None)
    }

    /// Says no without having asked a core.
    fn refuse(&self, fault: Fault, terms: Terms, said: Option<&Said>) -> Handled {
        if self.request_log().is_on() {
            self.log_refused(fault, &terms, said);
        }
        Handled::Reply(self.failure(fault, &terms), terms)
    }

    fn plain(&self, status: Status, text: &str, terms: Terms) -> Handled {
        let head = ResponseHead::new(status, terms.connection);
        Handled::Reply(self.say(&head, text, terms.head_only), terms)
    }

    fn count_bad(&self, reason: BadRequest) {
        self.thread.counters.add(Count::BadRequest(reason), 1);
    }

    fn count_received(&self, terms: &Terms) {
        let count = Count::Received(self.protocol, terms.family(), terms.kind);
        self.thread.counters.add(count, 1);
    }

    pub(super) fn count_answered(&self, terms: &Terms) {
        let count = Count::Answered(self.protocol, terms.family(), terms.kind);
        self.thread.counters.add(count, 1);
    }
}

impl Terms {
    fn family(&self) -> Family {
        match self.source {
            Some(IpAddr::V6(_)) => Family::Ip6,
            Some(IpAddr::V4(_)) | None => Family::Ip4,
        }
    }
}

impl From<QueryFault> for Fault {
    fn from(fault: QueryFault) -> Self {
        match fault {
            QueryFault::MissingInfoHash => Self::MissingInfoHash,
            QueryFault::InvalidInfoHash => Self::InvalidInfoHash,
            QueryFault::MissingPeerId => Self::MissingPeerId,
            QueryFault::InvalidPeerId => Self::InvalidPeerId,
            QueryFault::InvalidPort => Self::InvalidPort,
            QueryFault::TooManyInfoHashes => Self::TooManyInfoHashes,
        }
    }
}
