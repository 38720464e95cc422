//! What must hold for every reply of the run.

use super::scene::Udp;
use super::{Ruling, differs, fail, pass, skipped};
use crate::limits::REPLY_LEN_MAX;
use crate::query::conformance::{Check, Need, count};
use crate::query::failure::printable;
use crate::wire::udp::ERROR_HEAD_LEN;

/// Bytes of UDP payload that cross an Ethernet in one packet over IPv4.
const UNFRAGMENTED_LEN_MAX: usize = 1472;

/// Bytes of an error text that are enough for every reason there is.
const ERROR_TEXT_LEN_MAX: usize = 64;

pub(super) const CHECKS: &[Check<Udp>] = &[
    Check {
        id: "udp.reply.transaction",
        source: "BEP 15",
        title: "Replies carry the transaction id of their request",
        sent: "all requests of this run",
        expected: "bytes 12 to 16 of each in bytes 4 to 8 of its reply",
        why: "a client drops every other reply",
        needs: Need::Answers,
        run: transaction,
    },
    Check {
        id: "udp.reply.source",
        source: "BEP 15, libtorrent",
        title: "Replies come from the address that was asked",
        sent: "all requests of this run",
        expected: "the same address and port",
        why: "libtorrent drops a reply from anywhere else, and so do NATs",
        needs: Need::Answers,
        run: source,
    },
    Check {
        id: "udp.reply.amplification",
        source: "BEP 15",
        title: "An unproven source gets no more bytes than it sent",
        sent: "all requests of this run without a good id, connects among them",
        expected: "replies no longer than their requests",
        why: "forged sources turn every byte more into an attack",
        needs: Need::Answers,
        run: amplification,
    },
    Check {
        id: "udp.reply.size",
        source: "BEP 15",
        title: "Replies fit one packet",
        sent: "all requests of this run",
        expected: "at most 1232 bytes",
        why: "fragments get lost, and of a fragmented reply nothing arrives",
        needs: Need::Answers,
        run: size,
    },
    Check {
        id: "udp.error.text",
        source: "BEP 15",
        title: "Errors are a short text and nothing else",
        sent: "all requests of this run that got an error",
        expected: "at most 64 bytes of text without a terminator",
        why: "clients show it to their users as it is",
        needs: Need::Answers,
        run: error_text,
    },
];

fn transaction(udp: &mut Udp) -> Ruling {
    match udp.wrong_transactions {
        0 => pass("the right one in every reply"),
        number => fail(format!(
            "another one in {}",
            count(number, "reply").replace("replys", "replies")
        )),
    }
}

fn source(udp: &mut Udp) -> Ruling {
    match udp.strangers.first() {
        None => pass("every reply from there"),
        Some(stranger) => fail(format!("a reply from {stranger}")),
    }
}

fn amplification(udp: &mut Udp) -> Ruling {
    let worst = udp
        .unproven
        .iter()
        .filter(|(sent, received)| received > sent)
        .max_by_key(|(sent, received)| received - sent);
    match worst {
        None => pass(format!(
            "no longer reply in {}",
            count(udp.unproven.len(), "request")
        )),
        Some((sent, received)) => fail(format!("{received} bytes for {sent}")),
    }
}

fn size(udp: &mut Udp) -> Ruling {
    let came_back = format!("the longest has {} bytes", udp.longest);
    if udp.longest <= REPLY_LEN_MAX {
        pass(came_back)
    } else if udp.longest <= UNFRAGMENTED_LEN_MAX {
        differs(came_back)
    } else {
        fail(came_back)
    }
}

fn error_text(udp: &mut Udp) -> Ruling {
    let texts: Vec<&[u8]> = udp
        .errors
        .iter()
        .filter_map(|error| error.get(ERROR_HEAD_LEN..))
        .collect();
    let is_odd = |text: &[u8]| {
        let is_text = std::str::from_utf8(text).is_ok_and(|text| !text.contains(char::is_control));
        text.is_empty() || text.len() > ERROR_TEXT_LEN_MAX || !is_text
    };
    match (texts.iter().find(|text| is_odd(text)), texts.last()) {
        (Some(odd), _) => differs(format!("\"{}\"", printable(odd))),
        (None, Some(last)) => pass(format!("\"{}\"", printable(last))),
        (None, None) => skipped("no request got an error"),
    }
}
