//! Questions over HTTP and HTTPS: one connection for each, redirects followed.

use std::net::SocketAddr;

use super::{Manner, out_of_time, purpose, record};
use crate::query::decode::{self, Decoded, Refused};
use crate::query::failure::{Deadline, Failure, Kind};
use crate::query::outcome::{Answer, Exchange, Question};
use crate::query::target::{Scheme, Target};
use crate::query::wire::http::{Connection, Response};

/// As many as libtorrent follows.
const REDIRECTS_MAX: usize = 5;

/// A tracker that is being asked.
pub(super) struct Tracker<'a> {
    target: &'a Target,
    address: SocketAddr,
    manner: &'a Manner,
    /// The status of the last response.
    pub(super) status: Option<u16>,
    /// Where redirects led to, in order.
    pub(super) redirects: Vec<String>,
    /// What went over the wire, if that is kept.
    pub(super) exchanges: Vec<Exchange>,
}

impl<'a> Tracker<'a> {
    /// Nothing is sent yet.
    pub(super) fn new(target: &'a Target, address: SocketAddr, manner: &'a Manner) -> Self {
        Self {
            target,
            address,
            manner,
            status: None,
            redirects: Vec::new(),
            exchanges: Vec::new(),
        }
    }

    /// Asks, wherever redirects lead.
    pub(super) fn ask(
        &mut self,
        question: &Question,
        deadline: Deadline,
    ) -> Result<Decoded<Answer>, Refused> {
        let profile = &self.manner.profile;
        let (mut target, query) = match question {
            Question::Announce(announce) => {
                let query = profile.announce_query(announce, self.manner.compact);
                (self.target.clone(), query)
            }
            Question::Scrape(hashes) => (self.target.scrape()?, profile.scrape_query(hashes)),
            Question::FullScrape => (self.target.scrape()?, String::new()),
        };
        let whole = target.path_and_query_with(&query);
        target.query = whole.split_once('?').map(|(_, query)| query.to_owned());
        let response = self.fetch(target, purpose(question), deadline)?;
        answered(question, &response)
    }

    /// The first response that is no redirect.
    fn fetch(
        &mut self,
        mut target: Target,
        what: &'static str,
        deadline: Deadline,
    ) -> Result<Response, Failure> {
        let mut address = self.address;
        self.redirects.clear();
        loop {
            let response = self.exchange(&target, address, what, deadline)?;
            self.status = Some(response.status);
            if let 301 | 302 | 303 | 307 | 308 = response.status {
                (target, address) = self.follow(&target, address, &response, deadline)?;
            } else {
                return Ok(response);
            }
        }
    }

    /// Asks for the page itself; any success will do. Gives its status, such as "200 OK".
    pub(super) fn health(&mut self, deadline: Deadline) -> Result<String, Failure> {
        let response = self.fetch(self.target.clone(), "health check", deadline)?;
        let status = format!("{} {}", response.status, response.reason);
        if (200..300).contains(&response.status) {
            Ok(status.trim_end().to_owned())
        } else {
            Err(bad_status(&response, None))
        }
    }

    /// Where a redirect leads to, and an address there.
    fn follow(
        &mut self,
        from: &Target,
        address: SocketAddr,
        response: &Response,
        deadline: Deadline,
    ) -> Result<(Target, SocketAddr), Failure> {
        let status = response.status;
        let fails = |text: String| Failure::new(Kind::Redirect, text);
        let Some(location) = response.field_text("location") else {
            return Err(fails(format!("status {status} without a Location")));
        };
        if self.redirects.len() == REDIRECTS_MAX {
            let text = format!("more than {REDIRECTS_MAX} redirects, the last to {location}");
            return Err(fails(text));
        }
        let target = from.follow(&location).map_err(|mistake| {
            fails(format!(
                "the redirect to {location} cannot be followed: {mistake}"
            ))
        })?;
        self.redirects.push(location);
        let same_host = (&target.host, target.port) == (&from.host, from.port);
        if same_host {
            return Ok((target, address));
        }
        let found = target.resolve(self.manner.family, deadline)?;
        // The same machine if it can be, or else the same family.
        let same_ip = found.iter().find(|found| found.ip() == address.ip());
        let mut families = found.iter();
        let same_family = families.find(|found| found.is_ipv4() == address.is_ipv4());
        let next = same_ip.or(same_family).or(found.first());
        Ok((target, next.copied().unwrap_or(address)))
    }

    fn exchange(
        &mut self,
        target: &Target,
        address: SocketAddr,
        what: &'static str,
        deadline: Deadline,
    ) -> Result<Response, Failure> {
        out_of_time("a response", deadline)?;
        let path = target.path_and_query();
        let profile = &self.manner.profile;
        let request = profile.request(&path, &target.authority(), &self.manner.fields);
        let tls = match target.scheme {
            Scheme::Https => Some((self.manner.trust.tls()?, target.host.as_str())),
            Scheme::Http | Scheme::Udp => None,
        };
        let mut connection = Connection::open(address, tls, deadline)?;
        let response = connection
            .send(&request, deadline)
            .and_then(|()| connection.response(deadline));
        record(&mut self.exchanges, self.manner, || Exchange {
            what,
            with: address,
            sent: request,
            received: connection.received().to_vec(),
        });
        response
    }
}

fn answered(question: &Question, response: &Response) -> Result<Decoded<Answer>, Refused> {
    let content = response.content();
    if response.status != 200 {
        return Err(bad_status(response, content.ok().as_deref()).into());
    }
    let content = content?;
    match question {
        Question::Announce(_) => {
            let Decoded { answer, notes } = decode::http_announce(&content)?;
            let answer = Answer::Announce(answer);
            Ok(Decoded { answer, notes })
        }
        Question::Scrape(_) | Question::FullScrape => {
            let Decoded { answer, notes } = decode::http_scrape(&content, question.info_hashes())?;
            let answer = Answer::Scrape(answer);
            Ok(Decoded { answer, notes })
        }
    }
}

/// Clients do not read the body of a failure, but people may want to know what it says.
fn bad_status(response: &Response, content: Option<&[u8]>) -> Failure {
    let status = format!("status {} {}", response.status, response.reason);
    let status = status.trim_end();
    match content.map(decode::http_announce) {
        Some(Err(refused)) if refused.failure.kind == Kind::FailureReason => Failure::new(
            Kind::Status,
            format!("{status}, with the failure reason \"{}\"", refused.failure),
        ),
        _ => Failure::new(Kind::Status, status),
    }
}
