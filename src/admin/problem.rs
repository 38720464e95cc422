//! What an answer means, and in which sentence a refusal is told.

use std::fmt;

use serde_json::Value;

use crate::query::failure::{Failure, Kind, printable};
use crate::query::target::Target;
use crate::query::wire::http::Response;

/// Most characters of the tracker's own words that are shown.
const WORDS_MAX: usize = 500;

/// What Torrust Tracker, and Shoal like it, puts around the reason of an error within.
const REJECTION: (&str, &str) = ("Unhandled rejection: Err { reason: \"", "\" }");

/// Why there is no answer that can be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The status of the response, if there was one.
    pub status: Option<u16>,
    /// One sentence without a full stop. What came from outside is made printable.
    pub text: String,
    /// Whether it may be otherwise in a moment.
    pub(super) passes: bool,
}

impl Problem {
    /// A list has more pages than any tracker's.
    pub(super) fn endless(path: &str, pages: usize) -> Self {
        Self {
            status: None,
            text: format!(
                "the list {path} has more than {pages} pages; is this the API of a tracker?"
            ),
            passes: false,
        }
    }

    /// Nobody answers at `base`.
    pub(super) fn of_failure(base: &Target, failure: &Failure, tries: u32) -> Self {
        let passes = matches!(
            failure.kind,
            Kind::Unresolved
                | Kind::Refused
                | Kind::NoRoute
                | Kind::Unreachable
                | Kind::TimedOut
                | Kind::Closed
        );
        let often = match tries {
            1 => String::new(),
            tries => format!(", {tries} times asked"),
        };
        // Queries may go without a certificate; a token may not.
        let why = failure.text.replace(", --insecure", "");
        let advice = match failure.kind {
            Kind::Refused | Kind::TimedOut | Kind::NoRoute | Kind::Unreachable => {
                "; start the tracker, or name its API with --api URL (control.listen)"
            }
            Kind::Unresolved => "; name the API with --api URL (control.listen)",
            Kind::Tls if why.contains("no TLS") => "; is it an http:// URL?",
            Kind::Malformed => "; is it an https:// URL, and that of an API?",
            _ => "",
        };
        Self {
            status: None,
            text: format!("{base} gives no answer{often}: {why}{advice}"),
            passes,
        }
    }

    /// The JSON of a success, or why it is none.
    pub(super) fn of_answer(url: &Target, response: &Response) -> Result<Value, Self> {
        let status = response.status;
        let body = response.body.as_slice();
        let fails = |text: String, passes: bool| {
            Err(Self {
                status: Some(status),
                text: format!("{url} {text}"),
                passes,
            })
        };
        if (200..300).contains(&status) {
            if body.trim_ascii().is_empty() {
                return Ok(Value::Null);
            }
            return match serde_json::from_slice(body) {
                Ok(value) => Ok(value),
                Err(_) => fails(
                    "answers with what is no JSON; is it the API of a tracker?".to_owned(),
                    false,
                ),
            };
        }
        let words = words(body);
        match words.as_str() {
            "unauthorized" => {
                let advice = "put one of [control.tokens] into SHOAL_TOKEN or --token-file";
                return fails(format!("wants a token; {advice}"), false);
            }
            "token not valid" => {
                let advice = "take one of [control.tokens] in the configuration of that tracker";
                return fails(format!("does not know this token; {advice}"), false);
            }
            _ => {}
        }
        let reason = if response.reason.is_empty() {
            String::new()
        } else {
            format!(" {}", response.reason)
        };
        match status {
            401 | 403 => fails(
                format!("does not take this token (status {status}{reason})"),
                false,
            ),
            404 | 405 if words.is_empty() => fails(
                format!(
                    "does not exist (status {status}{reason}); is it the API of Shoal, and not of an \
                     older version?"
                ),
                false,
            ),
            300..=399 => {
                let location = response.field_text("location").unwrap_or_default();
                fails(
                    format!("leads to \"{location}\" (status {status}); name that with --api URL"),
                    false,
                )
            }
            _ => {
                let words = if words.is_empty() {
                    String::new()
                } else {
                    format!(": {words}")
                };
                // A key that is not there, or there already, stays so.
                let of_key = ["failed to delete key", "failed to generate key"];
                let passes = status >= 500 && !of_key.iter().any(|what| words.contains(what));
                fails(
                    format!("answers with status {status}{reason}{words}"),
                    passes,
                )
            }
        }
    }

    /// Whether this one request was refused, and another one may not be.
    pub fn is_about_the_request(&self) -> bool {
        matches!(self.status, Some(400 | 404 | 409 | 413 | 422))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What the tracker says: the detail of a problem (RFC 9457), a reason within, or its text.
fn words(body: &[u8]) -> String {
    let from_json = || {
        let problem: Value = serde_json::from_slice(body).ok()?;
        let text = |key: &str| problem.get(key).and_then(Value::as_str);
        let said = text("detail").or(text("title")).or(text("error"));
        said.map(|said| said.as_bytes().to_vec())
    };
    let said = from_json().unwrap_or_else(|| body.trim_ascii().to_vec());
    let said = printable(&said);
    let inner = said
        .strip_prefix(REJECTION.0)
        .and_then(|rest| rest.strip_suffix(REJECTION.1));
    let words = inner.unwrap_or(&said);
    match words.char_indices().nth(WORDS_MAX) {
        Some((end, _)) => format!("{}...", &words[..end]),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::wire::http::Framing;

    fn answer(status: u16, reason: &str, body: &str) -> Result<Value, Problem> {
        let response = Response {
            minor_version: 1,
            status,
            reason: reason.to_owned(),
            fields: Vec::new(),
            framing: Framing::Length,
            body: body.as_bytes().to_vec(),
        };
        let url = "http://t:1212/api/v1/keys".parse().unwrap();
        Problem::of_answer(&url, &response)
    }

    fn problem(status: u16, reason: &str, body: &str) -> Problem {
        answer(status, reason, body).unwrap_err()
    }

    #[test]
    fn a_success_is_json_or_nothing() {
        assert_eq!(answer(200, "OK", "{}\n").unwrap(), serde_json::json!({}));
        assert_eq!(answer(204, "No Content", "").unwrap(), Value::Null);
        let page = problem(200, "OK", "<html>");
        assert!(page.text.contains("is it the API of a tracker?"), "{page}");
    }

    #[test]
    fn a_token_that_is_missing_or_wrong_is_told_apart_and_not_tried_again() {
        let body = |reason: &str| format!("Unhandled rejection: Err {{ reason: \"{reason}\" }}");
        let missing = problem(500, "Internal Server Error", &body("unauthorized"));
        assert!(missing.text.contains("wants a token"), "{missing}");
        let wrong = problem(500, "Internal Server Error", &body("token not valid"));
        assert!(wrong.text.contains("does not know this token"), "{wrong}");
        assert!(!missing.passes && !wrong.passes);
        let proxy = problem(401, "Unauthorized", "<html>");
        assert!(proxy.text.contains("(status 401 Unauthorized)"), "{proxy}");
    }

    #[test]
    fn the_trackers_own_words_are_shown() {
        let detail = r#"{"type":"about:blank","title":"Unprocessable Content","status":422,"detail":"no hash: \u001b[31mzz"}"#;
        let said = problem(422, "Unprocessable Content", detail);
        assert_eq!(
            said.text,
            "http://t:1212/api/v1/keys answers with status 422 Unprocessable Content: no hash: \\u{1b}[31mzz"
        );
        assert!(said.is_about_the_request() && !said.passes);
        let busy = problem(503, "", "busy");
        assert!(busy.passes && busy.text.ends_with("status 503: busy"));
        let gone = "Unhandled rejection: Err { reason: \"failed to delete key: no such key\" }";
        let gone = problem(500, "", gone);
        assert!(
            !gone.passes
                && gone
                    .text
                    .ends_with("500: failed to delete key: no such key")
        );
        assert!(problem(404, "Not Found", "").text.contains("older version"));
        let long = problem(400, "", &"x".repeat(10_000));
        assert!(long.text.len() < 600);
    }

    #[test]
    fn who_does_not_answer_is_named_with_advice() {
        let base = "http://t:1212".parse().unwrap();
        let refused = Failure::new(Kind::Refused, "connection refused");
        let said = Problem::of_failure(&base, &refused, 3);
        assert_eq!(
            said.text,
            "http://t:1212 gives no answer, 3 times asked: connection refused; start the tracker, or \
             name its API with --api URL (control.listen)"
        );
        assert!(said.passes);
        let tls = Failure::new(Kind::Tls, "the certificate is old (--ca FILE, --insecure)");
        let said = Problem::of_failure(&base, &tls, 1);
        assert!(!said.passes && said.text.ends_with("(--ca FILE)"), "{said}");
    }
}
