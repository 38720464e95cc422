//! Questions over UDP: a connection id first, datagrams again when no reply comes, and replies that are
//! for somebody else passed over (BEP 15, BEP 41).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Manner, out_of_time, purpose, record};
use crate::limits::{SCRAPE_HASHES_MAX, URL_DATA_LEN_MAX};
use crate::query::decode::{self, Decoded};
use crate::query::failure::{Deadline, Failure, Kind};
use crate::query::outcome::{Answer, Exchange, Question};
use crate::query::target::Target;
use crate::query::wire::udp::Socket;
use crate::wire::udp::{ANNOUNCE_LEN, ConnectionId, TransactionId, action, ask};

/// How long a connection id may be used (BEP 15).
const ID_LIFE: Duration = Duration::from_secs(60);

/// A datagram is sent again at most so often: 15 * 2^8 s is where BEP 15 gives up.
const TRIES_MAX: u32 = 9;

/// The longest request: an announce and its options, two bytes more for each 255.
const REQUEST_LEN_MAX: usize = ANNOUNCE_LEN + URL_DATA_LEN_MAX + 2 * (URL_DATA_LEN_MAX / 255 + 1);
const _: () = assert!(REQUEST_LEN_MAX <= 2048 && 16 + 20 * SCRAPE_HASHES_MAX <= 2048);

/// A tracker that is being asked.
#[derive(Debug)]
pub struct Tracker<'a> {
    target: &'a Target,
    address: SocketAddr,
    manner: &'a Manner,
    socket: Option<Socket>,
    id: Option<(ConnectionId, Instant)>,
    /// What went over the wire, if that is kept.
    pub exchanges: Vec<Exchange>,
}

impl<'a> Tracker<'a> {
    /// Nothing is sent yet.
    pub fn new(target: &'a Target, address: SocketAddr, manner: &'a Manner) -> Self {
        Self {
            target,
            address,
            manner,
            socket: None,
            id: None,
            exchanges: Vec::new(),
        }
    }

    /// Asks, with a connection id that is there or a new one. Odd datagrams on the way become notes.
    pub fn ask(
        &mut self,
        question: &Question,
        notes: &mut Vec<String>,
        deadline: Deadline,
    ) -> Result<Decoded<Answer>, Failure> {
        let expected = match question {
            Question::Announce(_) => action::ANNOUNCE,
            Question::Scrape(hashes) if hashes.len() > SCRAPE_HASHES_MAX => {
                return Err(Failure::new(
                    Kind::Unaskable,
                    format!("a scrape over UDP holds at most {SCRAPE_HASHES_MAX} info-hashes"),
                ));
            }
            Question::Scrape(_) => action::SCRAPE,
            Question::FullScrape => {
                let text = "UDP has no full scrape";
                return Err(Failure::new(Kind::Unaskable, text));
            }
        };
        let mut wait = self.manner.first_wait;
        for _ in 0..TRIES_MAX {
            let id = self.connection_id(notes, deadline)?;
            let transaction = TransactionId(fastrand::u32(..));
            let request = self.request(question, id, transaction);
            let what = purpose(question);
            let until = deadline.within(wait);
            let got = self.exchange(what, &request, (expected, transaction), notes, until);
            match got {
                Ok(reply) => return decoded(question, &reply, self.address.is_ipv6()),
                Err(failure) if failure.kind == Kind::TimedOut && deadline.left().is_some() => {
                    wait = wait.saturating_mul(2);
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::timed_out("a reply"))
    }

    /// A connection id that the tracker gave within the last minute.
    pub fn connection_id(
        &mut self,
        notes: &mut Vec<String>,
        deadline: Deadline,
    ) -> Result<ConnectionId, Failure> {
        if let Some((id, since)) = self.id
            && since.elapsed() < ID_LIFE
        {
            return Ok(id);
        }
        let mut wait = self.manner.first_wait;
        for _ in 0..TRIES_MAX {
            let transaction = TransactionId(fastrand::u32(..));
            let mut request = [0; 16];
            ask::write_connect(&mut request, transaction);
            let until = deadline.within(wait);
            let expected = (action::CONNECT, transaction);
            match self.exchange("connect", &request, expected, notes, until) {
                Ok(reply) => {
                    let id = ConnectionId(decode::udp_connect(&reply)?);
                    if id.0 == 0 {
                        notes.push("the connection id is 0: Transmission does not take it".into());
                    }
                    self.id = Some((id, Instant::now()));
                    return Ok(id);
                }
                Err(failure) if failure.kind == Kind::TimedOut && deadline.left().is_some() => {
                    wait = wait.saturating_mul(2);
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::timed_out("a reply to the connect"))
    }

    fn request(
        &self,
        question: &Question,
        id: ConnectionId,
        transaction: TransactionId,
    ) -> Vec<u8> {
        let mut request = vec![0; 2048];
        let len = match question {
            Question::Announce(announce) => {
                let len = ask::write_announce(&mut request, id, transaction, announce);
                // As libtorrent: always, and at least "/".
                let path = self.target.path_and_query().into_bytes();
                let path = &path[..path.len().min(URL_DATA_LEN_MAX)];
                len + ask::write_url_data(&mut request[len..], path)
            }
            Question::Scrape(hashes) => ask::write_scrape(&mut request, id, transaction, hashes),
            Question::FullScrape => 0,
        };
        request.truncate(len);
        request
    }

    /// Sends a request and waits for the reply to it. What else comes is told when nothing better does.
    fn exchange(
        &mut self,
        what: &'static str,
        request: &[u8],
        (expected, transaction): (u32, TransactionId),
        notes: &mut Vec<String>,
        deadline: Deadline,
    ) -> Result<Vec<u8>, Failure> {
        let waiting_for = format!("a reply to the {what}");
        out_of_time(&waiting_for, deadline)?;
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => Socket::of(self.address)?,
        };
        let mut odd = None;
        let result = socket.send(request).and_then(|()| {
            loop {
                let datagram = match socket.receive(deadline) {
                    Ok(datagram) => datagram,
                    Err(failure) if failure.kind == Kind::TimedOut => {
                        return Err(odd
                            .take()
                            .unwrap_or_else(|| Failure::timed_out(&waiting_for)));
                    }
                    Err(failure) => return Err(failure),
                };
                record(&mut self.exchanges, self.manner, || Exchange {
                    what,
                    with: datagram.from,
                    sent: request.to_vec(),
                    received: datagram.bytes.clone(),
                });
                let head = decode::udp_head(&datagram.bytes, expected, transaction.0);
                if datagram.from == self.address {
                    match head {
                        Ok(()) => return Ok(datagram.bytes),
                        Err(refusal) if refusal.kind == Kind::FailureReason => return Err(refusal),
                        Err(failure) => odd = Some(failure),
                    }
                } else {
                    let text = format!(
                        "a reply to the {what} came from {}, not from the address that was asked; \
                         clients drop it",
                        datagram.from
                    );
                    odd = Some(Failure::new(Kind::OtherAddress, text));
                }
            }
        });
        if let Some(odd) = odd
            && result.is_ok()
        {
            notes.push(odd.text);
        }
        let nothing_came = matches!(&result, Err(failure) if failure.kind == Kind::TimedOut);
        if nothing_came {
            record(&mut self.exchanges, self.manner, || Exchange {
                what,
                with: self.address,
                sent: request.to_vec(),
                received: Vec::new(),
            });
        }
        self.socket = Some(socket);
        result
    }
}

fn decoded(question: &Question, reply: &[u8], is_v6: bool) -> Result<Decoded<Answer>, Failure> {
    match question {
        Question::Announce(_) => {
            let Decoded { answer, notes } = decode::udp_announce(reply, is_v6)?;
            let answer = Answer::Announce(answer);
            Ok(Decoded { answer, notes })
        }
        Question::Scrape(_) | Question::FullScrape => {
            let Decoded { answer, notes } = decode::udp_scrape(reply, question.info_hashes())?;
            let answer = Answer::Scrape(answer);
            Ok(Decoded { answer, notes })
        }
    }
}
