//! An announce URL as strangers see it, and as newTrackon judges it. Asked from this host, so a firewall
//! between it and the world is not seen.

use std::net::SocketAddr;
use std::time::Duration;

use super::report::{Finding, Verdict};
use crate::gate::address_policy::is_public;
use crate::query::ask::{Manner, ask};
use crate::query::conformance::{self, Options, Verdict as Ruling};
use crate::query::failure::{Deadline, Kind};
use crate::query::hash;
use crate::query::outcome::{Outcome, Question};
use crate::query::target::{Family, Scheme, Target};
use crate::wire::Event;
use crate::wire::udp::ask::Announce;

const CHECK: &str = "reach";
const NEWTRACKON: &str = "newtrackon";
const WANTED: &str = "an answer to an announce of a random torrent";
const TAKEN: &str = "an answer that newTrackon calls \"working\", from a public address";

/// How long a tracker may take, as newTrackon has it.
const PATIENCE: Duration = Duration::from_secs(10);

/// After which an unanswered datagram is sent again.
const RESEND: Duration = Duration::from_secs(3);

/// The port of the peer that asks, which is taken back afterwards.
const PEER_PORT: u16 = 6881;

/// Only there newTrackon looks.
const PATH: &str = "/announce";

/// Asks every address of the URL.
pub(super) fn check(target: &Target) -> Vec<Finding> {
    let mut target = target.clone();
    if matches!(target.path.as_str(), "" | "/") {
        PATH.clone_into(&mut target.path);
    }
    let deadline = Deadline::after(PATIENCE);
    match target.resolve(Family::Any, deadline) {
        Err(failure) => {
            let fix = format!(
                "{}. 3600 IN A 192.0.2.1  # in its DNS zone, with your address",
                target.host
            );
            let lost = Verdict::WillLosePackets;
            let found = Finding::new(CHECK, lost, failure.to_string(), WANTED);
            vec![found.about(target.to_string()).fix(fix)]
        }
        Ok(addresses) => {
            let asked = addresses.into_iter().map(|address| at(&target, address));
            asked.flatten().collect()
        }
    }
}

/// Asks one address, and lets newTrackon's questions follow if it answers.
fn at(target: &Target, address: SocketAddr) -> Vec<Finding> {
    let manner = Manner {
        first_wait: RESEND,
        ..Manner::default()
    };
    let question = Question::Announce(Announce {
        info_hash: hash::random(),
        peer_id: manner.profile.peer_id(),
        downloaded: 0,
        left: 1,
        uploaded: 0,
        event: Event::Started,
        key: fastrand::u32(..),
        num_want: manner.profile.num_want(),
        port: PEER_PORT,
    });
    let outcome = ask(
        target,
        address,
        &question,
        &manner,
        Deadline::after(PATIENCE),
    );
    let reached = reached(target, address, &outcome);
    if reached.verdict >= Verdict::WillLosePackets || reached.verdict == Verdict::NotKnown {
        return vec![reached];
    }
    let options = Options {
        trust: manner.trust,
        timeout: PATIENCE,
        ..Options::default()
    };
    let taken = end_of_redirects(target, address, &outcome).and_then(|(last, address)| {
        let findings = conformance::newtrackon(&last, address, &options);
        let findings = findings.map_err(|failure| failure.to_string())?;
        let bad = findings.into_iter().find(|one| one.verdict != Ruling::Pass);
        Ok(bad.map(|found| found.came_back))
    });
    vec![reached, judged(target, address, taken)]
}

/// Where redirects have led to, and an address there of the same family. The error says why newTrackon
/// would not ask there.
fn end_of_redirects(
    target: &Target,
    address: SocketAddr,
    outcome: &Outcome,
) -> Result<(Target, SocketAddr), String> {
    if target.path != PATH {
        return Err(format!("not asked: newTrackon looks at {PATH} only"));
    }
    let mut last = target.clone();
    for location in &outcome.redirects {
        last = last.follow(location)?;
    }
    // The announce that was redirected stands there, and another one follows.
    last.query.clone_from(&target.query);
    if last.host == target.host {
        let address = SocketAddr::new(address.ip(), last.port);
        return Ok((last, address));
    }
    let family = if address.is_ipv4() {
        Family::V4
    } else {
        Family::V6
    };
    let found = last.resolve(family, Deadline::after(PATIENCE));
    let found = found.map_err(|failure| failure.to_string())?;
    let address = found.first().copied().unwrap_or(address);
    Ok((last, address))
}

/// What an announce got.
fn reached(target: &Target, address: SocketAddr, outcome: &Outcome) -> Finding {
    let took = outcome.took.as_millis();
    let (verdict, value) = match &outcome.result {
        Ok(_) => (Verdict::Good, format!("{address} answers in {took} ms")),
        Err(failure) if failure.kind == Kind::NoRoute => {
            (Verdict::NotKnown, format!("{address}: {failure}"))
        }
        // It is there, and says no to this torrent.
        Err(failure) if failure.kind == Kind::FailureReason => (
            Verdict::CouldBeBetter,
            format!("{address} answers in {took} ms: \"{failure}\""),
        ),
        Err(failure) => (Verdict::WillLosePackets, format!("{address}: {failure}")),
    };
    Finding::new(CHECK, verdict, value, WANTED)
        .about(target.to_string())
        .fix(match &outcome.result {
            Ok(_) => String::new(),
            Err(failure) => mended(target, failure.kind),
        })
}

/// The line that is most likely to help.
fn mended(target: &Target, kind: Kind) -> String {
    let port = target.port;
    let protocol = match target.scheme {
        Scheme::Udp => "udp",
        Scheme::Http | Scheme::Https => "tcp",
    };
    match kind {
        Kind::FailureReason => "deny = \"soft\"  # [access] of the configuration".to_owned(),
        Kind::NoRoute => format!("shoal doctor --url {target}  # on a host with such addresses"),
        Kind::Refused => "systemctl start shoal  # nothing listens there".to_owned(),
        Kind::Tls => "certbot renew  # or as the certificate was issued".to_owned(),
        Kind::TimedOut | Kind::Unreachable => {
            format!("nft add rule inet filter input {protocol} dport {port} accept")
        }
        _ => format!("shoal query --hex {target}  # shows what it says"),
    }
}

/// What newTrackon would make of it: `taken` holds what it would not like, if anything.
fn judged(target: &Target, address: SocketAddr, taken: Result<Option<String>, String>) -> Finding {
    let about = target.to_string();
    let better = |value: String| Finding::new(NEWTRACKON, Verdict::CouldBeBetter, value, TAKEN);
    match taken {
        Err(why) => Finding::not_known(NEWTRACKON, why, TAKEN),
        Ok(Some(came_back)) => better(format!("{address}: {came_back}")).fix(format!(
            "shoal query --conformance {target}  # says what is amiss"
        )),
        Ok(None) if !is_public(address.ip()) => better(format!(
            "{address} would do, but nobody on the internet reaches it; newTrackon removes it"
        ))
        .fix(format!(
            "shoal doctor --url {target}  # by the name that the internet knows"
        )),
        Ok(None) => Finding::new(
            NEWTRACKON,
            Verdict::Good,
            format!("{address} would be called working"),
            TAKEN,
        ),
    }
    .about(about)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::failure::Failure;
    use crate::query::outcome::Answer;

    const URL: &str = "udp://tracker.example.org:6969/announce";

    fn of(result: Result<Answer, Failure>) -> Finding {
        let target: Target = URL.parse().unwrap();
        let outcome = Outcome {
            result,
            ..Outcome::new(URL, Question::FullScrape)
        };
        reached(&target, "198.51.100.1:6969".parse().unwrap(), &outcome)
    }

    #[test]
    fn an_answer_is_good_and_silence_is_bad() {
        assert_eq!(of(Ok(Answer::Nothing)).verdict, Verdict::Good);
        let silent = of(Err(Failure::timed_out("a reply")));
        assert_eq!(silent.verdict, Verdict::WillLosePackets);
        let fix = silent.fix.unwrap();
        assert_eq!(fix, "nft add rule inet filter input udp dport 6969 accept");
    }

    #[test]
    fn a_refusal_shows_that_the_tracker_is_there_and_no_route_shows_nothing() {
        let refused = of(Err(Failure::new(Kind::FailureReason, "not listed")));
        assert_eq!(refused.verdict, Verdict::CouldBeBetter);
        assert!(refused.fix.unwrap().contains("soft"));
        let blind = of(Err(Failure::new(Kind::NoRoute, "no way")));
        assert_eq!(blind.verdict, Verdict::NotKnown);
    }

    #[test]
    fn newtrackon_wants_a_good_answer_from_a_public_address() {
        let target: Target = URL.parse().unwrap();
        let judged =
            |address: &str, taken| judged(&target, address.parse().unwrap(), taken).verdict;
        assert_eq!(judged("1.1.1.1:6969", Ok(None)), Verdict::Good);
        assert_eq!(judged("10.1.1.1:6969", Ok(None)), Verdict::CouldBeBetter);
        let bad = Ok(Some("nothing; it would say: down".to_owned()));
        assert_eq!(judged("1.1.1.1:6969", bad), Verdict::CouldBeBetter);
        let unasked = Err("not asked".to_owned());
        assert_eq!(judged("1.1.1.1:6969", unasked), Verdict::NotKnown);
    }

    #[test]
    fn a_host_without_an_address_is_bad() {
        let target: Target = "udp://shoal.invalid:6969".parse().unwrap();
        let findings = check(&target);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].verdict, Verdict::WillLosePackets);
    }
}
