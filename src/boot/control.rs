//! The control side of the start: one listener, and what its routes see of the tracker.

use std::net::SocketAddr;

use log::{info, warn};

use super::http::Http;
use super::listeners;
use super::takeover::{Estate, Kind};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::server::{Door, Server};
use crate::control::state::{Given, State};

/// Secrets that everybody knows from documents, and tries.
const KNOWN_TO_ALL: [&str; 6] = [
    "MyAccessToken",
    "changeme",
    "password",
    "secret-token",
    "12345678",
    "adminadmin",
];

/// A token that is shorter is worth a word: less than this can be guessed by those who have time.
const TOKEN_LEN_GOOD: usize = 16;

/// Seconds that a connection may say nothing before it is accepted at all.
const PATIENCE_S: u32 = 5;

/// The listener before it is served.
pub(super) struct Bound {
    /// With the real port.
    pub(super) address: SocketAddr,
    door: Door,
}

/// Binds the listener, if there is to be one. One that nobody wrote down is only missed with a warning.
pub(super) fn bind(
    config: &Config,
    http: &mut Http,
    clock: &Clock,
    estate: &mut Estate,
) -> Result<Option<Bound>, String> {
    let control = &config.control;
    let Some(listen) = control.listen else {
        return Ok(None);
    };
    let tls = match &control.tls {
        Some(files) => Some(http.certificate(files, clock)?),
        None => None,
    };
    match listeners::bind_tcp(Kind::Control, listen, 1, PATIENCE_S, estate) {
        Ok(mut bound) => Ok(bound.sockets.pop().map(|socket| {
            estate.keep(Kind::Control, &listen, &socket);
            Bound {
                address: bound.address,
                door: Door {
                    listener: socket.into(),
                    tls,
                },
            }
        })),
        Err(sentence) if !control.required => {
            warn!("{sentence}; going on without the control server");
            Ok(None)
        }
        Err(sentence) => Err(sentence),
    }
}

impl Bound {
    /// Where people find it.
    pub(super) fn url(&self) -> String {
        let scheme = match self.door.tls {
            None => "http",
            Some(_) => "https",
        };
        format!("{scheme}://{}", self.address)
    }

    /// Serves from now on.
    pub(super) fn start(self, given: Given) -> Result<Server, String> {
        let url = self.url();
        for sentence in concerns(&given.config, self.address) {
            warn!("{sentence}");
        }
        let server = Server::start(self.door, State::new(given))
            .map_err(|error| format!("cannot start the control server: {error}"))?;
        info!("listening on {url} (control)");
        Ok(server)
    }
}

/// What whoever runs a tracker in this way should know, a sentence each.
fn concerns(config: &Config, address: SocketAddr) -> Vec<String> {
    let control = &config.control;
    let mut sentences = Vec::new();
    let nobody = control.tokens.is_empty() && control.users.is_empty();
    if !address.ip().is_loopback() {
        if control.tls.is_none() {
            sentences.push(format!(
                "the control server on {address} can be reached from other hosts, and without [control] \
                 tls everybody on the way reads tokens and passwords; listen on 127.0.0.1 or give it a \
                 certificate"
            ));
        }
        if nobody {
            sentences.push(format!(
                "the control server on {address} can be reached from other hosts, but there is no token \
                 and no user, so nobody may use it; give [control.tokens] one or listen on 127.0.0.1"
            ));
        }
    }
    for (name, token) in &control.tokens {
        let token = token.expose();
        if KNOWN_TO_ALL.contains(&token) {
            sentences.push(format!(
                "[control] tokens.{name} is a secret that everybody knows from documents; choose another"
            ));
        } else if token.len() < TOKEN_LEN_GOOD {
            sentences.push(format!(
                "[control] tokens.{name} has {} characters; {TOKEN_LEN_GOOD} or more are hard to guess",
                token.len()
            ));
        }
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    fn concerns_of(text: &str, address: &str) -> Vec<String> {
        let environment = [("SHOAL_CONFIG_TOML".into(), text.into())];
        let config = load(None, environment, &[]).unwrap().config;
        concerns(&config, address.parse().unwrap())
    }

    #[test]
    fn a_server_for_this_host_alone_raises_no_concern() {
        assert!(concerns_of("", "127.0.0.1:1212").is_empty());
        assert!(concerns_of("", "[::1]:1212").is_empty());
    }

    #[test]
    fn a_server_for_all_hosts_needs_a_certificate_and_a_token() {
        let open = concerns_of("", "0.0.0.0:1212");
        assert_eq!(open.len(), 2);
        assert!(open[0].contains("tls") && open[1].contains("no token"));
        let token = "[control.tokens]\nadmin = \"0123456789abcdef\"";
        assert_eq!(concerns_of(token, "[::]:1212").len(), 1);
        let tls = "[control]\ntls = { certificate = \"a\", private_key = \"b\" }\n";
        assert!(concerns_of(&format!("{tls}{token}"), "[::]:1212").is_empty());
    }

    #[test]
    fn a_token_that_is_known_or_short_is_worth_a_word_that_does_not_hold_it() {
        let text =
            "[control.tokens]\na = \"MyAccessToken\"\nb = \"x1y2z3w4\"\nc = \"0123456789abcdef\"";
        let said = concerns_of(text, "127.0.0.1:1212");
        assert_eq!(said.len(), 2);
        assert!(said[0].contains("tokens.a") && said[1].contains("tokens.b"));
        assert!(
            said.iter()
                .all(|s| !s.contains("MyAccess") && !s.contains("x1y2"))
        );
    }
}
