//! The requests, the peers and the first answers that HTTP checks share.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::reply::{Said, Served};
use crate::query::conformance::{Exchange, Need, Options, Scene, awkward_hash, first_port};
use crate::query::failure::{Deadline, Failure, Kind};
use crate::query::target::{Scheme, Target};
use crate::query::wire::http::{Connection, Response};
use crate::wire::InfoHash;

/// Requests that a tracker is sent at most; checks beyond are skipped.
const REQUESTS_MAX: usize = 130;

/// What every client but the oldest sends.
pub(super) const CLOSE: &str = "Connection: close\r\n";

/// One response, or why there is none.
pub(super) type Answer = Result<Response, Failure>;

/// The query of an announce, as text that is sent as it stands; `None` leaves a key out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Announce {
    /// Percent-encoded, or raw bytes that should have been.
    pub(super) info_hash: Vec<u8>,
    pub(super) peer_id: Vec<u8>,
    pub(super) port: String,
    pub(super) left: Option<&'static str>,
    pub(super) event: Option<&'static str>,
    pub(super) num_want: Option<&'static str>,
    pub(super) compact: Option<&'static str>,
    /// Further pairs, each with its `&` in front.
    pub(super) more: String,
}

impl Announce {
    /// In the order of libtorrent.
    pub(super) fn query(&self) -> Vec<u8> {
        let mut query = b"info_hash=".to_vec();
        query.extend(&self.info_hash);
        query.extend(b"&peer_id=");
        query.extend(&self.peer_id);
        query.extend(format!("&port={}&uploaded=0&downloaded=0", self.port).bytes());
        let optional = [
            ("left", self.left),
            ("event", self.event),
            ("numwant", self.num_want),
            ("compact", self.compact),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                query.extend(format!("&{key}={value}").bytes());
            }
        }
        query.extend(self.more.bytes());
        query
    }
}

/// What HTTP checks are run against.
pub(super) struct Http {
    pub(super) target: Target,
    pub(super) address: SocketAddr,
    pub(super) other_address: Option<SocketAddr>,
    pub(super) options: Options,
    /// The torrent of all checks that need one.
    pub(super) info_hash: InfoHash,
    /// What the first peer was answered, and the second, who should see the first.
    pub(super) first_answer: Answer,
    pub(super) second_answer: Answer,
    /// Bodies that were a failure.
    pub(super) refusals: Vec<Vec<u8>>,
    pub(super) probed_by_newtrackon: Option<Answer>,
    pub(super) sent: usize,
    base_port: u16,
    present: Vec<Announce>,
    unfinished: Option<JoinHandle<Unfinished>>,
    wire: Vec<Exchange>,
}

/// What became of a request that was never finished.
pub(super) struct Unfinished {
    /// How long the tracker waited, or how long we did.
    pub(super) waited: Duration,
    /// What it sent, if anything.
    pub(super) received: Vec<u8>,
    /// Whether the tracker closed.
    pub(super) closed: bool,
}

impl Http {
    /// Nothing is asked yet.
    pub(super) fn of(
        target: &Target,
        address: SocketAddr,
        other_address: Option<SocketAddr>,
        options: &Options,
    ) -> Self {
        let nothing = || Err(Failure::new(Kind::Unaskable, "it was not asked"));
        Self {
            target: target.clone(),
            address,
            other_address,
            options: options.clone(),
            info_hash: options.info_hash.unwrap_or_else(awkward_hash),
            first_answer: nothing(),
            second_answer: nothing(),
            refusals: Vec::new(),
            probed_by_newtrackon: None,
            sent: 0,
            base_port: first_port(),
            present: Vec::new(),
            unfinished: None,
            wire: Vec::new(),
        }
    }

    /// Begins a request that stays unfinished, and lets two peers announce, if the tracker will.
    pub(super) fn open(
        target: &Target,
        address: SocketAddr,
        other_address: Option<SocketAddr>,
        options: &Options,
    ) -> Self {
        let mut http = Self::of(target, address, other_address, options);
        let first = http.first();
        http.first_answer = http.announce(&first);
        if http.first_answer.is_ok() {
            http.unfinished = http.begin_unfinished();
        }
        if let Said::Served(_) = Said::read(&http.first_answer) {
            let second = http.second();
            http.second_answer = http.announce(&second);
        }
        http
    }

    /// The peer that is there all the time: a leecher, as all are at first.
    pub(super) fn first(&self) -> Announce {
        self.peer(0)
    }

    /// The peer whose announces vary.
    pub(super) fn second(&self) -> Announce {
        self.peer(1)
    }

    /// The second peer without an event.
    pub(super) fn second_again(&self) -> Announce {
        Announce {
            event: None,
            ..self.second()
        }
    }

    /// The n-th peer.
    pub(super) fn peer(&self, number: u16) -> Announce {
        let port = self.base_port + number;
        Announce {
            info_hash: escape(&self.info_hash.0, LIBTORRENT, false),
            peer_id: format!("-SH0001-conform-{port:04x}").into_bytes(),
            port: port.to_string(),
            left: Some("1000"),
            event: Some("started"),
            num_want: None,
            compact: Some("1"),
            more: String::new(),
        }
    }

    /// The port of the first peer, by which the swarm of all checks is known again.
    pub(super) fn first_port(&self) -> u16 {
        self.base_port
    }

    /// Announces over a connection of its own, and remembers who is there.
    pub(super) fn announce(&mut self, announce: &Announce) -> Answer {
        self.present.retain(|present| {
            (&present.info_hash, &present.port) != (&announce.info_hash, &announce.port)
        });
        let answer = self.announce_unseen(announce);
        let is_there = announce.event != Some("stopped");
        if is_there && matches!(Said::read(&answer), Said::Served(_)) {
            self.present.push(announce.clone());
        }
        answer
    }

    /// The same for who is there already, or will not be.
    pub(super) fn announce_unseen(&mut self, announce: &Announce) -> Answer {
        let request = self.get(&announce.query(), CLOSE);
        self.ask(&request)
    }

    /// The same, read.
    pub(super) fn said(&mut self, announce: &Announce) -> Said {
        Said::read(&self.announce(announce))
    }

    pub(super) fn stop(&mut self, peer: &Announce) -> Said {
        self.said(&Announce {
            event: Some("stopped"),
            ..peer.clone()
        })
    }

    /// Lets every peer stop that is still announced, for the end.
    pub(super) fn stop_all(&mut self) {
        for peer in self.present.clone() {
            self.stop(&Announce {
                num_want: Some("0"),
                ..peer
            });
        }
    }

    /// Scrapes; the error is that there is no scrape URL.
    pub(super) fn scrape(&mut self, info_hashes: &[InfoHash], fields: &str) -> Answer {
        let scrape = self.target.scrape()?;
        let pairs: Vec<Vec<u8>> = info_hashes
            .iter()
            .map(|hash| [b"info_hash=".to_vec(), escape(&hash.0, LIBTORRENT, false)].concat())
            .collect();
        let request = self.get_from(&scrape, &pairs.join(&b'&'), &format!("{fields}{CLOSE}"));
        self.ask(&request)
    }

    /// The bytes of a GET of the announce URL with that query and those header fields.
    pub(super) fn get(&self, query: &[u8], fields: &str) -> Vec<u8> {
        self.get_from(&self.target, query, fields)
    }

    fn get_from(&self, target: &Target, query: &[u8], fields: &str) -> Vec<u8> {
        let mut goal = target.path_and_query().into_bytes();
        if !query.is_empty() {
            goal.push(if target.query.is_some() { b'&' } else { b'?' });
            goal.extend(query);
        }
        self.request("GET", &goal, "1.1", fields)
    }

    /// The bytes of any request.
    pub(super) fn request(
        &self,
        method: &str,
        goal: &[u8],
        version: &str,
        fields: &str,
    ) -> Vec<u8> {
        let mut request = format!("{method} ").into_bytes();
        request.extend(goal);
        let host = self.target.authority();
        request.extend(format!(" HTTP/{version}\r\nHost: {host}\r\n{fields}\r\n").bytes());
        request
    }

    /// Sends bytes over a connection of their own, and reads one response.
    pub(super) fn ask(&mut self, request: &[u8]) -> Answer {
        self.ask_within(request, self.options.timeout)
    }

    /// The same for what a tracker may well not answer.
    pub(super) fn ask_malformed(&mut self, request: &[u8]) -> Answer {
        self.ask_within(request, self.options.malformed_timeout)
    }

    fn ask_within(&mut self, request: &[u8], timeout: Duration) -> Answer {
        let mut connection = self.connect()?;
        let deadline = Deadline::after(timeout);
        let answer = self.send(&mut connection, request, deadline);
        let answer = answer.and_then(|()| connection.response(deadline));
        self.note(&connection);
        self.note_refusal(&answer);
        answer
    }

    /// A connection for checks of what happens on one.
    pub(super) fn connect(&self) -> Result<Connection, Failure> {
        let tls = match self.target.scheme {
            Scheme::Https => Some((self.options.trust.tls()?, self.target.host.as_str())),
            Scheme::Http | Scheme::Udp => None,
        };
        Connection::open(self.address, tls, Deadline::after(self.options.timeout))
    }

    /// Sends one request; the bytes that come are noted by [`Http::note`].
    pub(super) fn send(
        &mut self,
        connection: &mut Connection,
        request: &[u8],
        deadline: Deadline,
    ) -> Result<(), Failure> {
        self.sent += 1;
        self.wire.push(Exchange {
            sent: request.to_vec(),
            received: Vec::new(),
        });
        connection.send(request, deadline)
    }

    /// Puts all that came over the connection beside the last request.
    pub(super) fn note(&mut self, connection: &Connection) {
        if let Some(exchange) = self.wire.last_mut() {
            exchange.received = vec![connection.received().to_vec()];
        }
    }

    fn note_refusal(&mut self, answer: &Answer) {
        if let (Said::Refused(_), Ok(response)) = (Said::read(answer), answer) {
            self.refusals.push(response.content().unwrap_or_default());
        }
    }

    /// How many requests the tracker is still to get.
    fn is_spent(&self) -> bool {
        self.sent >= REQUESTS_MAX
    }

    /// Does something with the tracker's address of the other family in place of this one.
    pub(super) fn at_other<R>(&mut self, other: SocketAddr, act: impl FnOnce(&mut Self) -> R) -> R {
        let address = std::mem::replace(&mut self.address, other);
        let result = act(self);
        self.address = address;
        result
    }

    /// Waits in the background for what becomes of half a request, since that may take half a minute.
    fn begin_unfinished(&mut self) -> Option<JoinHandle<Unfinished>> {
        let mut connection = self.connect().ok()?;
        let mut request = self.get(b"info_hash=aaaaaaaaaa", "");
        request.truncate(request.len() - b" HTTP/1.1\r\n".len());
        let deadline = Deadline::after(self.options.head_timeout);
        self.send(&mut connection, &request, deadline).ok()?;
        let began = Instant::now();
        let waiting = thread::Builder::new().name("unfinished".to_owned());
        let waiting = waiting.spawn(move || {
            let closed = connection.ends(deadline);
            Unfinished {
                waited: began.elapsed(),
                received: connection.received().to_vec(),
                closed,
            }
        });
        waiting.ok()
    }

    /// Waits for that; `None` when it could not begin.
    pub(super) fn end_unfinished(&mut self) -> Option<Unfinished> {
        self.unfinished.take()?.join().ok()
    }
}

impl Scene for Http {
    fn lacks(&self, needs: Need) -> Option<String> {
        if needs == Need::Nothing {
            return None;
        }
        if self.is_spent() {
            return Some(format!("the tracker has had its {REQUESTS_MAX} requests"));
        }
        if let Err(failure) = &self.first_answer {
            return Some(format!("an announce is not answered: {failure}"));
        }
        let first = Said::read(&self.first_answer);
        if needs >= Need::Served && !matches!(first, Said::Served(_)) {
            return Some(format!(
                "our torrent is not served ({first}); name one that is with --hash"
            ));
        }
        if needs >= Need::Meeting {
            let Said::Served(Served {
                peers,
                complete,
                incomplete,
                ..
            }) = Said::read(&self.second_answer)
            else {
                return Some("a second announce is not served".to_owned());
            };
            if !peers.iter().any(|peer| peer.port() == self.base_port) {
                return Some("peers are not told of each other".to_owned());
            }
            let total = complete
                .unwrap_or(0)
                .saturating_add(incomplete.unwrap_or(0));
            if needs >= Need::Alone && total > 2 {
                return Some("others are in this torrent".to_owned());
            }
        }
        None
    }

    fn take_wire(&mut self) -> Vec<Exchange> {
        std::mem::take(&mut self.wire)
    }
}

/// What libtorrent leaves as it is, beside letters and digits.
pub(super) const LIBTORRENT: &[u8] = b"-_!.~*()";

/// Percent-encodes all but letters, digits and `literal`.
pub(super) fn escape(bytes: &[u8], literal: &[u8], upper: bool) -> Vec<u8> {
    let mut text = Vec::new();
    for byte in bytes {
        match byte {
            byte if byte.is_ascii_alphanumeric() || literal.contains(byte) => text.push(*byte),
            byte if upper => text.extend(format!("%{byte:02X}").bytes()),
            byte => text.extend(format!("%{byte:02x}").bytes()),
        }
    }
    text
}
