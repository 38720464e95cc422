//! What no client sends. Silence is right: two servers that answer each other's answers never stop, and a
//! source that has proved nothing may be anybody's.

use super::scene::{Udp, head};
use super::{Ruling, differs, fail, silence};
use crate::query::conformance::{Check, Need};
use crate::wire::udp::{PROTOCOL_ID, action};

/// The constant of the protocol with another last digit.
const WRONG_MAGIC: u64 = PROTOCOL_ID + 1;

pub(super) const CHECKS: &[Check<Udp>] = &[
    Check {
        id: "udp.hostile.wrong_magic",
        source: "BEP 15",
        title: "A connect without the protocol's constant",
        sent: "a connect whose constant ends in 81",
        expected: "silence",
        why: "the constant tells a tracker's clients from everything else that reaches its port",
        needs: Need::Answers,
        run: wrong_magic,
    },
    Check {
        id: "udp.hostile.short",
        source: "BEP 15",
        title: "A datagram of 15 bytes",
        sent: "the first 15 bytes of a connect",
        expected: "silence",
        why: "no request is that short, and any answer would be longer than what asked for it",
        needs: Need::Answers,
        run: short,
    },
    Check {
        id: "udp.hostile.empty",
        source: "BEP 15",
        title: "An empty datagram",
        sent: "0 bytes",
        expected: "silence",
        why: "any answer amplifies without bound",
        needs: Need::Answers,
        run: empty,
    },
    Check {
        id: "udp.hostile.garbage",
        source: "BEP 15",
        title: "A datagram that is no request",
        sent: "a DHT query of 20 bytes",
        expected: "silence",
        why: "DHT, uTP and port scans reach every tracker; answers to them go where others want",
        needs: Need::Answers,
        run: garbage,
    },
    Check {
        id: "udp.hostile.unproven_action",
        source: "BEP 15",
        title: "An unknown action without an id",
        sent: "action 9 with a made-up id",
        expected: "silence",
        why: "an error to an unproven source goes to whom somebody forged",
        needs: Need::Answers,
        run: unproven_action,
    },
    Check {
        id: "udp.hostile.connect_reply",
        source: "BEP 15",
        title: "A tracker's own connect reply",
        sent: "a connect reply of 16 bytes",
        expected: "silence",
        why: "two trackers could be set on each other",
        needs: Need::Answers,
        run: connect_reply,
    },
    Check {
        id: "udp.hostile.error",
        source: "BEP 15",
        title: "Action 3, an error, with a good id",
        sent: "an error \"boom\"",
        expected: "silence",
        why: "errors that answer errors never end",
        needs: Need::Answers,
        run: error,
    },
    Check {
        id: "udp.hostile.action_4",
        source: "opentracker's old proposal",
        title: "Action 4, an announce of an abandoned IPv6 draft",
        sent: "110 bytes with action 4 and a good id",
        expected: "silence",
        why: "BEP 15 uses action 1 for both families",
        needs: Need::Answers,
        run: action_4,
    },
    Check {
        id: "udp.hostile.unknown_action",
        source: "BEP 15",
        title: "An unknown action with a good id",
        sent: "action 0xffffffff, 16 bytes",
        expected: "silence",
        why: "what nobody has defined deserves no answer",
        needs: Need::Answers,
        run: unknown_action,
    },
];

fn wrong_magic(udp: &mut Udp) -> Ruling {
    let request = head(WRONG_MAGIC, action::CONNECT);
    let answer = udp.probe(&request);
    silence(udp, &answer, fail)
}

fn short(udp: &mut Udp) -> Ruling {
    let mut request = head(PROTOCOL_ID, action::CONNECT);
    request.truncate(15);
    let answer = udp.probe(&request);
    silence(udp, &answer, fail)
}

fn empty(udp: &mut Udp) -> Ruling {
    let answer = udp.probe(&[]);
    silence(udp, &answer, fail)
}

fn garbage(udp: &mut Udp) -> Ruling {
    let answer = udp.probe(b"d1:ad2:id20:abcdefgh");
    silence(udp, &answer, fail)
}

fn unproven_action(udp: &mut Udp) -> Ruling {
    let request = head(fastrand::u64(1 << 60..), 9);
    let answer = udp.probe(&request);
    silence(udp, &answer, fail)
}

fn connect_reply(udp: &mut Udp) -> Ruling {
    let mut request = vec![0, 0, 0, 0, 0, 0, 0, 1];
    request.extend(udp.id.0.to_be_bytes());
    let answer = udp.probe(&request);
    silence(udp, &answer, fail)
}

fn error(udp: &mut Udp) -> Ruling {
    let mut request = head(udp.id.0, action::ERROR);
    request.extend(b"boom");
    let answer = udp.hush(&request);
    silence(udp, &answer, fail)
}

fn action_4(udp: &mut Udp) -> Ruling {
    let mut request = head(udp.id.0, 4);
    request.resize(110, 0);
    let answer = udp.hush(&request);
    silence(udp, &answer, differs)
}

fn unknown_action(udp: &mut Udp) -> Ruling {
    let request = head(udp.id.0, u32::MAX);
    let answer = udp.hush(&request);
    silence(udp, &answer, differs)
}
