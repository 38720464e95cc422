//! What happens to connections.

use std::time::Duration;

use super::reply::Said;
use super::scene::{Answer, CLOSE, Http};
use super::{Ruling, differs, fail, pass, skipped};
use crate::query::conformance::{Check, Need};
use crate::query::failure::{Deadline, Kind, printable};
use crate::query::wire::http::Connection;

/// Bytes of a head that no tracker needs to take.
const OVERSIZED_LEN: usize = 16 << 10;

pub(super) const CHECKS: &[Check<Http>] = &[
    Check {
        id: "http.connection.keep_alive",
        source: "RFC 9112",
        title: "A connection serves several requests",
        sent: "two announces over one connection, without Connection",
        expected: "two answers",
        why: "a new connection costs a round trip, and over TLS much more",
        needs: Need::Served,
        run: keep_alive,
    },
    Check {
        id: "http.connection.close",
        source: "RFC 9112",
        title: "Connection: close is obeyed",
        sent: "an announce with Connection: close",
        expected: "the tracker closes behind its answer",
        why: "the client has said that it will not ask again, and waits",
        needs: Need::Served,
        run: close,
    },
    Check {
        id: "http.connection.http_1_0",
        source: "RFC 9112",
        title: "HTTP/1.0 is served, and the connection closed",
        sent: "an announce with HTTP/1.0",
        expected: "an answer, and then the end of the connection",
        why: "old clients and health checks take the end of the connection for that of the body",
        needs: Need::Served,
        run: |http| old_version(http, "", false),
    },
    Check {
        id: "http.connection.http_1_0_keep_alive",
        source: "RFC 9112",
        title: "HTTP/1.0 keeps the connection when asked",
        sent: "an announce with HTTP/1.0 and Connection: keep-alive",
        expected: "an answer that says keep-alive, over a connection that stays",
        why: "proxies ask so",
        needs: Need::Served,
        run: |http| old_version(http, "Connection: keep-alive\r\n", true),
    },
    Check {
        id: "http.connection.pipelining",
        source: "RFC 9112",
        title: "Requests that come together are answered in order",
        sent: "an announce and a malformed one in one segment",
        expected: "two answers, the failure second",
        why: "what came behind a request must not be thrown away, nor overtake it",
        needs: Need::Served,
        run: pipelining,
    },
    Check {
        id: "http.method.head",
        source: "RFC 9110",
        title: "HEAD gets a head without a body",
        sent: "HEAD of an announce",
        expected: "200 and no body",
        why: "a body behind it is taken for the next answer",
        needs: Need::Served,
        run: head,
    },
    Check {
        id: "http.method.post",
        source: "RFC 9110",
        title: "Other methods are refused",
        sent: "POST of an empty body",
        expected: "status 405",
        why: "it tells what the matter is",
        needs: Need::Answers,
        run: post,
    },
    Check {
        id: "http.path.unknown",
        source: "RFC 9110",
        title: "Unknown paths are not found",
        sent: "GET /favicon.ico",
        expected: "status 404",
        why: "every browser asks for it",
        needs: Need::Answers,
        run: unknown_path,
    },
    Check {
        id: "http.hostile.garbage",
        source: "RFC 9112",
        title: "What is no HTTP is not waited for",
        sent: "the beginning of a DHT query",
        expected: "status 400, or the end of the connection",
        why: "each such connection takes a place for as long as it is open",
        needs: Need::Answers,
        run: garbage,
    },
    Check {
        id: "http.hostile.oversized",
        source: "RFC 9112",
        title: "A head of 16 KiB is refused",
        sent: "GET with 16 KiB of path",
        expected: "status 414 or 431, or the end of the connection",
        why: "whoever reads on takes memory from everybody else",
        needs: Need::Answers,
        run: oversized,
    },
    Check {
        id: "http.hostile.unfinished",
        source: "RFC 9112",
        title: "Half a request is not waited for without end",
        sent: "the first half of a GET at the start of this run, and nothing more",
        expected: "the end of the connection, within half a minute or so",
        why: "a few thousand such connections are all that a tracker has room for",
        needs: Need::Answers,
        run: unfinished,
    },
];

fn keep_alive(http: &mut Http) -> Ruling {
    over_one(http, |http, connection| {
        let request = http.get(&http.second_again().query(), "");
        let deadline = Deadline::after(http.options.timeout);
        let first = http
            .send(connection, &request, deadline)
            .and_then(|()| connection.response(deadline));
        let says_close = match &first {
            Ok(response) => !response.keeps_alive(),
            Err(failure) => return fail(failure.to_string()),
        };
        if says_close {
            return differs("one answer, which says that the connection closes");
        }
        let deadline = Deadline::after(http.options.timeout);
        let second = http
            .send(connection, &request, deadline)
            .and_then(|()| connection.response(deadline));
        match second {
            Ok(_) => pass("two answers"),
            Err(_) => {
                differs("one answer, and then the end of the connection without a word of it")
            }
        }
    })
}

fn close(http: &mut Http) -> Ruling {
    over_one(http, |http, connection| {
        let request = http.get(&http.second_again().query(), CLOSE);
        let deadline = Deadline::after(http.options.timeout);
        let answer = http
            .send(connection, &request, deadline)
            .and_then(|()| connection.response(deadline));
        match answer {
            Err(failure) => fail(failure.to_string()),
            Ok(_) if closes(http, connection) => pass("an answer, and the end"),
            Ok(_) => differs("an answer, and the connection stays open"),
        }
    })
}

fn old_version(http: &mut Http, fields: &str, stays: bool) -> Ruling {
    over_one(http, |http, connection| {
        let query = http.second_again().query();
        let query = String::from_utf8_lossy(&query).into_owned();
        let goal = http.target.path_and_query_with(&query);
        let request = http.request("GET", goal.as_bytes(), "1.0", fields);
        let deadline = Deadline::after(http.options.timeout);
        let answer = http
            .send(connection, &request, deadline)
            .and_then(|()| connection.response(deadline));
        let said = Said::read(&answer);
        if !matches!(said, Said::Served(_)) {
            return fail(said.to_string());
        }
        let closes = closes(http, connection);
        match (stays, closes) {
            (false, true) => pass("an answer, and the end"),
            (false, false) => fail("an answer, and the connection stays open"),
            (true, true) => differs("an answer, and the end"),
            (true, false) if answer.is_ok_and(|response| says_keep_alive(&response)) => {
                pass("an answer that says keep-alive")
            }
            (true, false) => {
                differs("an answer that does not say keep-alive, over a connection that stays")
            }
        }
    })
}

fn says_keep_alive(response: &crate::query::wire::http::Response) -> bool {
    let connection = response.field_text("connection").unwrap_or_default();
    connection.to_ascii_lowercase().contains("keep-alive")
}

fn pipelining(http: &mut Http) -> Ruling {
    over_one(http, |http, connection| {
        let mut requests = http.get(&http.second_again().query(), "");
        requests.extend(http.get(b"peer_id=-SH0001-pipelining01", ""));
        let deadline = Deadline::after(http.options.timeout);
        if let Err(failure) = http.send(connection, &requests, deadline) {
            return fail(failure.to_string());
        }
        http.sent += 1;
        let first = Said::read(&connection.response(deadline));
        let deadline = Deadline::after(http.options.malformed_timeout);
        let second = Said::read(&connection.response(deadline));
        match (&first, &second) {
            (Said::Served(_), Said::Nothing(reason)) => {
                differs(format!("one answer; then {reason}"))
            }
            (Said::Served(_), Said::Served(_)) => fail("two answers, both to the first"),
            (Said::Served(_), _) => pass(format!("{first}; then {second}")),
            _ => fail(format!("{first}; then {second}")),
        }
    })
}

fn head(http: &mut Http) -> Ruling {
    over_one(http, |http, connection| {
        let query = http.second_again().query();
        let goal = http
            .target
            .path_and_query_with(&String::from_utf8_lossy(&query));
        let request = http.request("HEAD", goal.as_bytes(), "1.1", CLOSE);
        let deadline = Deadline::after(http.options.malformed_timeout);
        let answer = http
            .send(connection, &request, deadline)
            .and_then(|()| connection.response_to_head(deadline));
        let status = match answer {
            Ok(response) => response.status,
            Err(failure) => return differs(failure.to_string()),
        };
        closes(http, connection);
        let received = connection.received();
        let end = received.windows(4).position(|end| end == b"\r\n\r\n");
        let body = end.map_or(0, |end| received.len() - end - 4);
        match (status, body) {
            (200, 0) => pass("200 and no body"),
            (200, len) => fail(format!("200 and {len} bytes of body")),
            (status, _) => differs(format!("status {status}")),
        }
    })
}

fn post(http: &mut Http) -> Ruling {
    let goal = http.target.path_and_query();
    let request = http.request("POST", goal.as_bytes(), "1.1", "Content-Length: 0\r\n");
    let answer = http.ask_malformed(&request);
    has_status(&answer, &[405])
}

fn unknown_path(http: &mut Http) -> Ruling {
    let request = http.request("GET", b"/favicon.ico", "1.1", CLOSE);
    let answer = http.ask_malformed(&request);
    has_status(&answer, &[404])
}

fn has_status(answer: &Answer, right: &[u16]) -> Ruling {
    match answer {
        Ok(response) if right.contains(&response.status) => {
            pass(format!("status {}", response.status))
        }
        Ok(response) => differs(format!("status {}", response.status)),
        Err(failure) => differs(failure.to_string()),
    }
}

fn garbage(http: &mut Http) -> Ruling {
    let answer = http.ask_malformed(b"d1:ad2:id20:");
    gone(http, &answer)
}

fn oversized(http: &mut Http) -> Ruling {
    let mut request = b"GET /".to_vec();
    request.resize(OVERSIZED_LEN, b'a');
    let answer = http.ask_malformed(&request);
    match &answer {
        Ok(response) if !(400..500).contains(&response.status) => {
            differs(format!("status {}", response.status))
        }
        _ => gone(http, &answer),
    }
}

/// A ruling on what is over when the tracker has refused it or closed.
fn gone(http: &Http, answer: &Answer) -> Ruling {
    match answer {
        Ok(response) => pass(format!("status {}", response.status)),
        Err(failure) if failure.kind == Kind::Closed => pass("the end of the connection"),
        Err(_) => {
            let waited = http.options.malformed_timeout;
            differs(format!("nothing within {:.0} s", waited.as_secs_f64()))
        }
    }
}

fn unfinished(http: &mut Http) -> Ruling {
    let Some(found) = http.end_unfinished() else {
        return skipped("it could not be sent");
    };
    let waited = seconds(found.waited);
    let said = match found.received.len() {
        0 => String::new(),
        len => format!(", after \"{}\"", printable(&found.received[..len.min(40)])),
    };
    if found.closed {
        pass(format!("the end of the connection after {waited}{said}"))
    } else {
        differs(format!("still open after {waited}{said}"))
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn over_one(http: &mut Http, act: impl FnOnce(&mut Http, &mut Connection) -> Ruling) -> Ruling {
    match http.connect() {
        Ok(mut connection) => {
            let ruling = act(http, &mut connection);
            http.note(&connection);
            ruling
        }
        Err(failure) => fail(failure.to_string()),
    }
}

/// Whether the tracker closes soon.
fn closes(http: &Http, connection: &mut Connection) -> bool {
    connection.ends(Deadline::after(http.options.malformed_timeout))
}
