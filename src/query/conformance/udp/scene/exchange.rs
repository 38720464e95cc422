//! One datagram out, and what comes back for it: how silence is told from loss.

use std::time::{Duration, Instant};

use super::{Udp, head};
use crate::query::conformance::Exchange;
use crate::query::failure::{Deadline, Failure, Kind};
use crate::query::wire::udp::Socket;
use crate::wire::udp::{PROTOCOL_ID, action};

/// How long an answer may be behind the one to a later datagram: threads of a tracker overtake each other.
const OVERTAKING: Duration = Duration::from_millis(80);

/// How often a datagram that should be answered is sent before it counts as unanswered.
const TRIES: usize = 2;

/// What came for a datagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::query::conformance::udp) enum Answer {
    /// This one.
    Datagram(Vec<u8>),
    /// Nothing, although a connect that was sent behind it was answered.
    Silence,
    /// Nothing, nor for the connect behind it.
    Lost,
}

impl Udp {
    /// Sends what should be answered.
    pub(in crate::query::conformance::udp) fn ask(&mut self, request: &[u8]) -> Answer {
        let mut answer = Answer::Lost;
        for _ in 0..TRIES {
            answer = self.exchange_once(None, request);
            if let Answer::Datagram(_) = answer {
                break;
            }
        }
        self.spend(request);
        answer
    }

    /// Sends what should get silence, with an id that proves our address.
    pub(in crate::query::conformance::udp) fn hush(&mut self, request: &[u8]) -> Answer {
        self.exchange(None, request)
    }

    /// Sends what proves nothing of our address.
    pub(in crate::query::conformance::udp) fn probe(&mut self, request: &[u8]) -> Answer {
        let answer = self.exchange(None, request);
        self.note_unproven(request, &answer);
        answer
    }

    /// The same from another socket of ours.
    pub(in crate::query::conformance::udp) fn ask_from(
        &mut self,
        socket: &Socket,
        request: &[u8],
    ) -> Answer {
        self.exchange(Some(socket), request)
    }

    pub(in crate::query::conformance::udp) fn note_unproven(
        &mut self,
        request: &[u8],
        answer: &Answer,
    ) {
        let received = match answer {
            Answer::Datagram(reply) => reply.len(),
            Answer::Silence | Answer::Lost => 0,
        };
        self.unproven.push((request.len(), received));
    }

    /// Without an id there is nothing to send behind a connect, so this alone waits for the whole time-out.
    pub(super) fn first_connect(&mut self) -> Answer {
        let request = head(PROTOCOL_ID, action::CONNECT);
        for _ in 0..TRIES {
            if self.send(None, &request).is_ok() {
                let until = Deadline::after(self.options.timeout);
                let began = Instant::now();
                if let Some(reply) = self.receive(None, until, |_| true) {
                    self.round_trip = began.elapsed();
                    let answer = self.answered(&request, reply);
                    self.note_unproven(&request, &answer);
                    self.spend(&request);
                    return answer;
                }
            }
        }
        Answer::Lost
    }

    /// Sends `request` and waits for its answer. When none comes soon, a connect is sent behind it: the
    /// reply to that one shows that the first has been seen and passed over.
    fn exchange(&mut self, via: Option<&Socket>, request: &[u8]) -> Answer {
        let answer = self.exchange_once(via, request);
        self.spend(request);
        answer
    }

    fn exchange_once(&mut self, via: Option<&Socket>, request: &[u8]) -> Answer {
        if self.send(via, request).is_err() {
            return Answer::Lost;
        }
        for _ in 0..TRIES {
            let marker = head(PROTOCOL_ID, action::CONNECT);
            let soon = Deadline::after(OVERTAKING.max(3 * self.round_trip));
            let is_marker = |reply: &[u8]| reply.get(4..8) == Some(&marker[12..16]);
            if let Some(reply) = self.receive(via, soon, |reply| !is_marker(reply)) {
                return self.answered(request, reply);
            }
            if self.send(via, &marker).is_err() {
                return Answer::Lost;
            }
            let until = Deadline::after(self.options.timeout);
            let reply = self.receive(via, until, |_| true);
            self.spend(&marker);
            match reply {
                None => {}
                Some(reply) if !is_marker(&reply) => return self.answered(request, reply),
                Some(_) => {
                    let late = Deadline::after(OVERTAKING);
                    return match self.receive(via, late, |_| true) {
                        Some(reply) => self.answered(request, reply),
                        None => Answer::Silence,
                    };
                }
            }
        }
        Answer::Lost
    }

    fn answered(&mut self, request: &[u8], reply: Vec<u8>) -> Answer {
        let asked = request.get(12..16);
        if asked.is_some() && reply.get(4..8) != asked {
            self.wrong_transactions += 1;
        }
        Answer::Datagram(reply)
    }

    /// What still comes for `request` is late from now on. Some trackers put a transaction of 0 on what
    /// they cannot read, so that one never is.
    fn spend(&mut self, request: &[u8]) {
        let transaction = request.get(12..16).and_then(|bytes| bytes.first_chunk());
        if let Some(transaction) = transaction.filter(|transaction| **transaction != [0; 4]) {
            self.spent.insert(u32::from_be_bytes(*transaction));
        }
    }

    fn send(&mut self, via: Option<&Socket>, bytes: &[u8]) -> Result<(), Failure> {
        self.sent += 1;
        self.wire.push(Exchange {
            sent: bytes.to_vec(),
            received: Vec::new(),
        });
        let sent = via.unwrap_or(&self.socket).send(bytes);
        if let Err(failure) = &sent {
            self.unsent = Some(failure.clone());
        }
        sent
    }

    /// The next datagram that is not late and that is `wanted`, until then.
    fn receive(
        &mut self,
        via: Option<&Socket>,
        until: Deadline,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Option<Vec<u8>> {
        loop {
            let received = match via.unwrap_or(&self.socket).receive(until) {
                Ok(received) => received,
                // Told of a datagram before this one: what was sent behind that may be answered.
                Err(failure) if failure.kind == Kind::Refused => continue,
                Err(_) => return None,
            };
            let reply = received.bytes;
            let transaction = reply.get(4..8).and_then(|bytes| bytes.first_chunk());
            let is_late = transaction
                .is_some_and(|transaction| self.spent.contains(&u32::from_be_bytes(*transaction)));
            if is_late || !wanted(&reply) {
                continue;
            }
            self.longest = self.longest.max(reply.len());
            let asked = via.unwrap_or(&self.socket).to();
            if (received.from.ip(), received.from.port()) != (asked.ip(), asked.port()) {
                self.strangers.push(received.from);
            }
            if reply.starts_with(&action::ERROR.to_be_bytes()) {
                self.errors.push(reply.clone());
            }
            if let Some(exchange) = self.wire.last_mut() {
                exchange.received.push(reply.clone());
            }
            return Some(reply);
        }
    }
}
