//! One request at a time to the API, each over a connection of its own.

use std::fmt;
use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::problem::Problem;
use crate::query::failure::{Deadline, Failure, Kind};
use crate::query::target::{Family, Scheme, Target};
use crate::query::wire::http::{Connection, Response};
use crate::query::wire::tls::Trust;

/// Where the API is unless somebody says otherwise: the default of `control.listen`.
pub const DEFAULT_URL: &str = "http://127.0.0.1:1212";

/// Most bytes of an answer. A page of a list has less; all peers of the largest swarm have less, too.
const ANSWER_LEN_MAX: usize = 256 << 20;

/// What is done with a resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// It is read.
    Get,
    /// It is added to, or something is started.
    Post,
    /// It is taken away.
    Delete,
}

impl Method {
    /// As in a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// How long to insist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// How often a request is sent at most.
    pub tries: u32,
    /// The time between two tries.
    pub pause: Duration,
    /// What one try may take, with everything.
    pub timeout: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            tries: 3,
            pause: Duration::from_secs(2),
            timeout: Duration::from_secs(30),
        }
    }
}

/// The API of one tracker.
pub struct Client {
    base: Target,
    token: Option<String>,
    trust: Trust,
    patience: Patience,
}

impl fmt::Debug for Client {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "***");
        let mut fields = f.debug_struct("Client");
        fields.field("base", &self.base).field("token", &token);
        fields.finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the API at `url`, with or without the path `/api` or `/api/v1`. The error is about the
    /// URL or the token, which must be able to stand in a header. Nothing is sent yet.
    pub fn new(
        url: &str,
        token: Option<String>,
        trust: Trust,
        patience: Patience,
    ) -> Result<Self, String> {
        let mistake =
            |text: &str| format!("{url} is no URL of an API, such as {DEFAULT_URL}: {text}");
        let mut base: Target = url.parse().map_err(|text: String| mistake(&text))?;
        if base.scheme == Scheme::Udp {
            return Err(mistake("it is asked over http:// or https://"));
        }
        if base.query.is_some() {
            return Err(mistake("it has a query; a token goes into SHOAL_TOKEN"));
        }
        let path = base.path.trim_end_matches('/');
        let path = path.strip_suffix("/v1").unwrap_or(path);
        let path = path.strip_suffix("/api").unwrap_or(path).to_owned();
        base.path = path;
        let fits = |token: &String| token.bytes().all(|byte| byte.is_ascii_graphic());
        if token.as_ref().is_some_and(|token| !fits(token)) {
            return Err("a token is of visible ASCII characters, without blanks".to_owned());
        }
        Ok(Self {
            base,
            token: token.filter(|token| !token.is_empty()),
            trust,
            patience,
        })
    }

    /// Reads what is at `path`, such as `/api/v1/keys?limit=10`.
    pub fn get(&self, path: &str) -> Result<Value, Problem> {
        self.request(Method::Get, path, None, Repeat::Always)
    }

    /// Sends a request that may be carried out twice without harm.
    pub fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Problem> {
        self.request(method, path, body, Repeat::Always)
    }

    /// Sends a request that must not be carried out twice.
    pub fn send_once(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Problem> {
        self.request(method, path, body, Repeat::Unsent)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        repeat: Repeat,
    ) -> Result<Value, Problem> {
        let request = self.wording(method, path, body);
        let url = Target {
            path: format!("{}{path}", self.base.path),
            ..self.base.clone()
        };
        let mut tries = 0;
        loop {
            tries += 1;
            let deadline = Deadline::after(self.patience.timeout);
            let problem = match self.exchange(&request, deadline) {
                Ok(response) => match Problem::of_answer(&url, &response) {
                    Ok(value) => return Ok(value),
                    Err(problem) => problem,
                },
                Err(lost) => {
                    let mut problem = Problem::of_failure(&self.base, &lost.failure, tries);
                    problem.passes &= repeat == Repeat::Always || !lost.sent;
                    problem
                }
            };
            if !problem.passes || tries >= self.patience.tries {
                return Err(problem);
            }
            thread::sleep(self.patience.pause);
        }
    }

    fn wording(&self, method: Method, path: &str, body: Option<&Value>) -> Vec<u8> {
        let mut head = format!(
            "{} {}{path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: shoal/{}\r\n\
             Accept: application/json\r\nConnection: close\r\n",
            method.name(),
            self.base.path,
            self.base.authority(),
            env!("CARGO_PKG_VERSION"),
        );
        if let Some(token) = &self.token {
            let _ = write!(head, "Authorization: Bearer {token}\r\n");
        }
        let body = body.map(Value::to_string);
        if let Some(body) = &body {
            let len = body.len();
            let _ = write!(
                head,
                "Content-Type: application/json\r\nContent-Length: {len}\r\n"
            );
        } else if method != Method::Get {
            head.push_str("Content-Length: 0\r\n");
        }
        head.push_str("\r\n");
        head.push_str(&body.unwrap_or_default());
        head.into_bytes()
    }

    /// One try: the addresses of the host in turn, until one takes the connection.
    fn exchange(&self, request: &[u8], deadline: Deadline) -> Result<Response, Lost> {
        let unsent = |failure| Lost {
            failure,
            sent: false,
        };
        let tls = match self.base.scheme {
            Scheme::Https => Some((self.trust.tls().map_err(unsent)?, self.base.host.as_str())),
            Scheme::Http | Scheme::Udp => None,
        };
        let addresses = self.base.resolve(Family::Any, deadline).map_err(unsent)?;
        let mut failure = Failure::new(Kind::Unresolved, "the name has no address");
        for address in addresses {
            match Connection::open(address, tls, deadline) {
                Ok(connection) => {
                    let mut connection = connection.with_bodies_of(ANSWER_LEN_MAX);
                    return answer(&mut connection, request, deadline).map_err(|failure| Lost {
                        failure,
                        sent: true,
                    });
                }
                Err(closed) => failure = closed,
            }
        }
        Err(unsent(failure))
    }
}

fn answer(
    connection: &mut Connection,
    request: &[u8],
    deadline: Deadline,
) -> Result<Response, Failure> {
    let sent = connection.send(request, deadline);
    // Who refuses a long body may close before it is through; why stands in the response.
    match (connection.response(deadline), sent) {
        (Err(_), Err(failure)) | (Err(failure), Ok(())) => Err(failure),
        (Ok(response), _) => Ok(response),
    }
}

/// When a request may be sent again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Always,
    /// While nothing of it can have arrived, or the tracker says that it did nothing.
    Unsent,
}

/// A request without an answer.
struct Lost {
    failure: Failure,
    /// Whether some of it may have arrived.
    sent: bool,
}

/// A piece of a path with everything escaped that is not plain.
pub fn escaped(piece: &str) -> String {
    let mut text = String::with_capacity(piece.len());
    for byte in piece.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str) -> Result<Client, String> {
        let token = Some("secret42".to_owned());
        Client::new(url, token, Trust::default(), Patience::default())
    }

    fn first_line(url: &str) -> String {
        let request = client(url)
            .unwrap()
            .wording(Method::Get, "/api/v1/stats", None);
        let text = String::from_utf8(request).unwrap();
        text.lines().next().unwrap().to_owned()
    }

    #[test]
    fn the_api_may_be_named_with_or_without_its_path() {
        for url in [
            "http://t:1212",
            "http://t:1212/",
            "http://t:1212/api",
            "http://t:1212/api/v1/",
        ] {
            assert_eq!(first_line(url), "GET /api/v1/stats HTTP/1.1", "{url}");
        }
        let behind = first_line("https://t/tracker/api/v1");
        assert_eq!(behind, "GET /tracker/api/v1/stats HTTP/1.1");
    }

    #[test]
    fn what_is_no_url_of_an_api_is_said() {
        assert!(client("udp://t:1").unwrap_err().contains("http://"));
        assert!(client("t:1212").unwrap_err().contains("such as http://127"));
        assert!(
            client("http://t?token=x")
                .unwrap_err()
                .contains("SHOAL_TOKEN")
        );
        let mistake = Client::new(
            "http://t",
            Some("a\r\nb".to_owned()),
            Trust::default(),
            Patience::default(),
        );
        assert!(mistake.unwrap_err().contains("visible ASCII"));
    }

    #[test]
    fn a_token_is_in_the_header_and_in_no_log() {
        let client = client("http://t:1").unwrap();
        let request = client.wording(Method::Post, "/x", Some(&Value::Null));
        let text = String::from_utf8(request).unwrap();
        assert!(text.contains("\r\nAuthorization: Bearer secret42\r\n"));
        assert!(text.ends_with("Content-Length: 4\r\n\r\nnull"), "{text}");
        assert!(!format!("{client:?}").contains("secret42"));
    }

    #[test]
    fn what_is_not_plain_in_a_path_is_escaped() {
        assert_eq!(escaped("aZ09-._~"), "aZ09-._~");
        assert_eq!(escaped("../x y?\u{e4}"), "..%2Fx%20y%3F%C3%A4");
    }
}
