//! The URL of a tracker, and the addresses behind it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::sync::mpsc;
use std::thread;

use crate::query::failure::{Deadline, Failure, Kind};

/// Most addresses of one name that are asked; a tracker has a handful.
const ADDRESSES_MAX: usize = 32;

/// How a tracker is asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    /// BEP 15.
    Udp,
    /// BEP 3 over TCP.
    Http,
    /// BEP 3 over TLS.
    Https,
}

impl Scheme {
    /// As in a URL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of a URL that names none. UDP trackers have none of their own; 80 is what clients take.
    fn port(self) -> u16 {
        match self {
            Self::Udp | Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Which of a name's addresses are asked.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Family {
    /// All.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Family {
    fn has(self, address: &SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

/// The URL of a tracker, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// How it is asked.
    pub scheme: Scheme,
    /// A name, or an address without brackets.
    pub host: String,
    /// The port, from the URL or the scheme.
    pub port: u16,
    /// As in the URL: empty, or from the `/` on.
    pub path: String,
    /// What stands behind the first `?`.
    pub query: Option<String>,
}

impl Target {
    /// The addresses of the host, each once, in the resolver's order; at least one, and at most 32.
    pub fn resolve(&self, family: Family, deadline: Deadline) -> Result<Vec<SocketAddr>, Failure> {
        let found = match self.host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, self.port)],
            Err(_) => look_up(&self.host, self.port, deadline)?,
        };
        let mut addresses = Vec::new();
        for address in found.into_iter().filter(|address| family.has(address)) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            let family = match family {
                Family::Any => "",
                Family::V4 => "IPv4 ",
                Family::V6 => "IPv6 ",
            };
            let text = format!("{} has no {family}address", self.host);
            return Err(Failure::new(Kind::Unresolved, text));
        }
        addresses.truncate(ADDRESSES_MAX);
        Ok(addresses)
    }

    /// Host and port as the `Host` header has them: no port when it is the scheme's own.
    pub fn authority(&self) -> String {
        let port = match self.scheme {
            Scheme::Http | Scheme::Https if self.port == self.scheme.port() => String::new(),
            _ => format!(":{}", self.port),
        };
        match self.host.parse::<Ipv6Addr>() {
            Ok(ip) => format!("[{ip}]{port}"),
            Err(_) => format!("{}{port}", self.host),
        }
    }

    /// What a request line and BEP 41 carry of the URL; at least `/`.
    pub fn path_and_query(&self) -> String {
        let path = if self.path.is_empty() {
            "/"
        } else {
            &self.path
        };
        match &self.query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        }
    }

    /// The same with `more` behind the query that the URL has already, if any.
    pub fn path_and_query_with(&self, more: &str) -> String {
        let start = self.path_and_query();
        match &self.query {
            _ if more.is_empty() => start,
            Some(query) if query.is_empty() || query.ends_with('&') => format!("{start}{more}"),
            Some(_) => format!("{start}&{more}"),
            None => format!("{start}?{more}"),
        }
    }

    /// Where the same tracker is scraped: the last piece of the path must begin with `announce`, which
    /// becomes `scrape` (BEP 48). UDP has one address for both.
    pub fn scrape(&self) -> Result<Self, Failure> {
        let last = self.path.rfind('/').map_or(0, |at| at + 1);
        let (before, name) = self.path.split_at(last);
        match (self.scheme, name.strip_prefix("announce")) {
            (Scheme::Udp, _) => Ok(self.clone()),
            // Somebody named the scrape itself.
            _ if name.starts_with("scrape") => Ok(self.clone()),
            (_, Some(rest)) => Ok(Self {
                path: format!("{before}scrape{rest}"),
                ..self.clone()
            }),
            (_, None) => Err(Failure::new(
                Kind::Unaskable,
                "has no scrape URL: the last piece of the path does not begin with \"announce\"",
            )),
        }
    }

    /// What the `Location` of a redirect means, seen from here. Only HTTP leads to HTTP.
    pub fn follow(&self, location: &str) -> Result<Self, String> {
        let location = location.split('#').next().unwrap_or_default();
        let absolute = if let Some(rest) = location.strip_prefix("//") {
            format!("{}://{rest}", self.scheme.name())
        } else if location.contains("://") {
            location.to_owned()
        } else {
            let base = format!("{}://{}", self.scheme.name(), self.authority());
            if location.starts_with('/') {
                format!("{base}{location}")
            } else {
                let folder = self.path.rfind('/').map_or("", |at| &self.path[..at]);
                format!("{base}{folder}/{location}")
            }
        };
        let next: Self = absolute.parse()?;
        match next.scheme {
            Scheme::Udp => Err("it leads from HTTP to UDP".to_owned()),
            Scheme::Http | Scheme::Https => Ok(next),
        }
    }
}

/// Asks the resolver, which knows no deadline, from a thread that is left behind when it takes longer.
fn look_up(host: &str, port: u16, deadline: Deadline) -> Result<Vec<SocketAddr>, Failure> {
    let (sender, receiver) = mpsc::channel();
    let name = host.to_owned();
    let looked_up = thread::Builder::new()
        .name("resolver".to_owned())
        .spawn(move || {
            let found = (name.as_str(), port).to_socket_addrs();
            // Nobody may be left to hear it.
            let _ = sender.send(found.map(Iterator::collect));
        });
    if let Err(error) = looked_up {
        return Err(Failure::of_io(&error, "a thread"));
    }
    let left = deadline.left().unwrap_or_default();
    match receiver.recv_timeout(left) {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => {
            let text = error.to_string();
            let text = text
                .strip_prefix("failed to lookup address information: ")
                .unwrap_or(&text);
            let text = format!("{host} cannot be resolved: {text}");
            Err(Failure::new(Kind::Unresolved, text))
        }
        Err(_) => Err(Failure::timed_out("an answer of the resolver")),
    }
}

impl FromStr for Target {
    type Err = String;

    /// Reads a URL; the error is a sentence that begins with what is wrong.
    fn from_str(url: &str) -> Result<Self, String> {
        if let Some(odd) = url.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(format!(
                "a URL holds no {odd:?}; write it percent-encoded, and names in their xn-- form"
            ));
        }
        let (scheme, rest) = url
            .split_once("://")
            .ok_or("a tracker is named by a URL such as udp://tracker.example.org:6969/announce")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "udp" => Scheme::Udp,
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => return Err(format!("{other}:// is not udp://, http:// or https://")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if authority.contains('@') {
            return Err("names and passwords in a URL are not supported".to_owned());
        }
        let (host, port) = host_and_port(authority, scheme.port())?;
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (rest, None),
        };
        Ok(Self {
            scheme,
            host,
            port,
            path: path.to_owned(),
            query,
        })
    }
}

fn host_and_port(authority: &str, default: u16) -> Result<(String, u16), String> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (ip, port) = rest.split_once(']').ok_or("an IPv6 address ends with ]")?;
        if ip.parse::<Ipv6Addr>().is_err() {
            return Err(format!("{ip} is no IPv6 address"));
        }
        let port = match port {
            "" => None,
            port => Some(port.strip_prefix(':').ok_or("a port comes after ]:")?),
        };
        (ip, port)
    } else {
        match authority.split_once(':') {
            Some((host, port)) if port.contains(':') => {
                return Err(format!("an IPv6 address is written [{host}:{port}]"));
            }
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    if host.is_empty() {
        return Err("the URL names no host".to_owned());
    }
    let port = match port {
        None | Some("") => default,
        Some(port) => match port.parse() {
            Ok(port @ 1..) if port.to_string().len() <= 5 => port,
            _ => return Err(format!("{port} is no port; ports are 1 to 65535")),
        },
    };
    Ok((host.to_owned(), port))
}

impl fmt::Display for Target {
    /// The URL, with its port.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            self.scheme.name(),
            self.authority(),
            self.path
        )?;
        match &self.query {
            Some(query) => write!(f, "?{query}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        url.parse().expect(url)
    }

    fn mistake(url: &str) -> String {
        url.parse::<Target>().expect_err(url)
    }

    #[test]
    fn a_url_is_taken_apart() {
        let read = target("udp://tracker.example.org:6969/KEY/announce?x=y#part");
        assert_eq!(read.scheme, Scheme::Udp);
        assert_eq!(read.host, "tracker.example.org");
        assert_eq!(read.port, 6969);
        assert_eq!(read.path_and_query(), "/KEY/announce?x=y");
        let read = target("HTTPS://[2001:db8::1]/announce");
        assert_eq!((read.host.as_str(), read.port), ("2001:db8::1", 443));
        assert_eq!(read.authority(), "[2001:db8::1]");
        assert_eq!(target("http://t?x").path_and_query(), "/?x");
        assert_eq!(target("udp://t").to_string(), "udp://t:80");
    }

    #[test]
    fn what_is_no_url_of_a_tracker_is_said() {
        assert!(mistake("tracker.example.org").contains("udp://"));
        assert!(mistake("wss://t/announce").starts_with("wss:// is not"));
        assert!(mistake("http:///announce").contains("no host"));
        assert!(mistake("udp://t:0").contains("no port"));
        assert!(mistake("udp://t:65536").contains("no port"));
        assert!(mistake("udp://2001:db8::1").contains('['));
        assert!(mistake("udp://[zz]").contains("no IPv6"));
        assert!(mistake("http://a@t/").contains("passwords"));
        assert!(mistake("http://t/a\r\nX: y").contains("percent-encoded"));
    }

    #[test]
    fn more_goes_behind_the_query_that_a_url_has() {
        let more = |url: &str| target(url).path_and_query_with("a=b");
        assert_eq!(more("http://t/announce"), "/announce?a=b");
        assert_eq!(more("http://t/announce?k=v"), "/announce?k=v&a=b");
        assert_eq!(more("http://t/announce?"), "/announce?a=b");
        assert_eq!(more("http://t/announce?k=v&"), "/announce?k=v&a=b");
    }

    #[test]
    fn the_scrape_url_follows_bep_48() {
        let scrape = |url: &str| target(url).scrape().map(|found| found.to_string());
        assert_eq!(scrape("http://t/announce").unwrap(), "http://t/scrape");
        assert_eq!(
            scrape("http://t/x/announce.php?k=v").unwrap(),
            "http://t/x/scrape.php?k=v"
        );
        assert_eq!(scrape("http://t/scrape").unwrap(), "http://t/scrape");
        assert_eq!(scrape("udp://t:1/").unwrap(), "udp://t:1/");
        assert_eq!(
            scrape("http://t/announce/KEY").unwrap_err().kind,
            Kind::Unaskable
        );
    }

    #[test]
    fn a_redirect_is_followed_from_where_it_was_met() {
        let follow = |to: &str| target("http://t:81/x/announce").follow(to);
        let shown = |to: &str| follow(to).unwrap().to_string();
        assert_eq!(shown("https://s/announce"), "https://s/announce");
        assert_eq!(shown("//s/a"), "http://s/a");
        assert_eq!(shown("/a?b"), "http://t:81/a?b");
        assert_eq!(shown("a#b"), "http://t:81/x/a");
        assert!(follow("udp://t:80").unwrap_err().contains("UDP"));
        assert!(follow("gopher://t").is_err());
    }

    #[test]
    fn an_address_resolves_to_itself_and_only_in_its_family() {
        let deadline = Deadline::after(std::time::Duration::from_secs(10));
        let found = target("udp://[::1]:5").resolve(Family::Any, deadline);
        assert_eq!(found.unwrap(), ["[::1]:5".parse().unwrap()]);
        let failure = target("udp://[::1]:5").resolve(Family::V4, deadline);
        assert_eq!(failure.unwrap_err().to_string(), "::1 has no IPv4 address");
    }
}
