//! One `[[http]]` table, and the texts in it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::address::is_canonical;
use super::value::is_path;

/// What the address of a unix socket begins with.
const UNIX_PREFIX: &str = "unix:";

/// Bytes of the longest path that the kernel takes for a unix socket; one more holds the NUL.
const UNIX_PATH_LEN_MAX: usize = 107;

/// Bytes of the longest host name that DNS knows.
const HOST_LEN_MAX: usize = 253;

/// One `[[http]]` table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpListener {
    /// Where it listens.
    pub listen: HttpAddress,
    /// False for the default listeners, which may fail where the host lacks their address family;
    /// true for one that somebody wrote down.
    pub required: bool,
    /// Certificate and key of HTTPS; `None` = HTTP.
    pub tls: Option<TlsFiles>,
    /// Where every request is sent on to by a 301: scheme, host and perhaps a port, without a slash
    /// at the end.
    pub redirect_to: Option<String>,
    /// What stands in front of it and names the clients.
    pub proxy: Option<Proxy>,
    /// Whether each connection begins with a PROXY protocol head, version 1 or 2. Only peers in
    /// [`HttpListener::trusted_proxies`] are believed.
    pub proxy_protocol: bool,
}

impl HttpListener {
    /// Plain HTTP on `listen`, as somebody would write it down.
    pub fn plain(listen: HttpAddress) -> Self {
        Self {
            listen,
            required: true,
            tls: None,
            redirect_to: None,
            proxy: None,
            proxy_protocol: false,
        }
    }

    /// The networks of the proxies that are believed: those of `proxy`, or loopback where only
    /// `proxy_protocol` is given, or none.
    pub fn trusted_proxies(&self) -> Vec<IpNet> {
        match &self.proxy {
            Some(proxy) => proxy.trusted.clone(),
            None if self.proxy_protocol => Proxy::default().trusted,
            None => Vec::new(),
        }
    }
}

/// Where HTTP is served. As text it is `0.0.0.0:6969`, `[::]:6969` or `unix:/run/shoal/http.sock`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum HttpAddress {
    /// Address and port; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// An absolute path of at most 107 bytes without control characters.
    Unix(PathBuf),
}

impl HttpAddress {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix(UNIX_PREFIX) {
            let fits = path.starts_with('/') && path.len() <= UNIX_PATH_LEN_MAX;
            return (fits && !path.contains(char::is_control)).then(|| Self::Unix(path.into()));
        }
        let address: SocketAddr = text.parse().ok()?;
        // Our IPv6 sockets never take IPv4, so nothing would arrive there.
        is_canonical(address.ip()).then_some(Self::Tcp(address))
    }
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX_PREFIX}{}", path.display()),
        }
    }
}

/// `tls` of an `[[http]]`: two PEM files. A relative path begins at the current folder.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TlsFiles {
    /// The server's certificate first, then those that vouch for it.
    pub certificate: PathBuf,
    /// The private key of that certificate.
    pub private_key: PathBuf,
}

/// `proxy` of an `[[http]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proxy {
    /// The header that names the client; `None` = only the PROXY protocol does.
    pub header: Option<ProxyHeader>,
    /// Peers that are believed.
    pub trusted: Vec<IpNet>,
}

impl Default for Proxy {
    fn default() -> Self {
        let trusted = vec![
            IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
            IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
        ];
        Self {
            header: None,
            trusted,
        }
    }
}

/// The request header in which a proxy names the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ProxyHeader {
    /// `X-Forwarded-For`
    #[default]
    XForwardedFor,
    /// `X-Real-IP`
    XRealIp,
    /// `Forwarded` (RFC 7239)
    Forwarded,
}

impl ProxyHeader {
    /// The name as it is usually written; names of headers are read in any case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "X-Forwarded-For",
            Self::XRealIp => "X-Real-IP",
            Self::Forwarded => "Forwarded",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::XForwardedFor, Self::XRealIp, Self::Forwarded]
            .into_iter()
            .find(|header| header.name().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for ProxyHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The path of a file, as long as the kernel takes one.
pub(super) fn parse_file(text: &str) -> Option<&Path> {
    (!text.is_empty() && is_path(text)).then(|| Path::new(text))
}

/// Scheme and host of a redirect, without the slash that may end it, so that the path of a request
/// can follow.
pub(super) fn parse_redirect(text: &str) -> Option<&str> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let authority = ["http://", "https://"]
        .into_iter()
        .find_map(|scheme| text.strip_prefix(scheme))?;
    // The colons of an IPv6 address stand in brackets.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    (is_host(host) && port.is_none_or(is_port)).then_some(text)
}

fn is_host(text: &str) -> bool {
    if let Some(address) = text.strip_prefix('[') {
        let address = address.strip_suffix(']').map(str::parse);
        return matches!(address, Some(Ok(IpAddr::V6(_))));
    }
    let is_label = |label: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !label.is_empty() && label.bytes().all(known)
    };
    text.len() <= HOST_LEN_MAX && text.split('.').all(is_label)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse().is_ok_and(|port: u16| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_http_is_printed_as_it_is_read() {
        for text in [
            "0.0.0.0:6969",
            "[::]:6969",
            "127.0.0.1:0",
            "unix:/run/shoal/http.sock",
        ] {
            let address = HttpAddress::parse(text).expect(text);
            assert_eq!(address.to_string(), text);
        }
        let longest = format!("unix:/{}", "x".repeat(UNIX_PATH_LEN_MAX - 1));
        assert!(HttpAddress::parse(&longest).is_some());
        for text in [
            "",
            "6969",
            ":6969",
            "localhost:6969",
            "[::ffff:127.0.0.1]:6969",
            "unix:",
            "unix:http.sock",
            "unix:./http.sock",
            "unix:/run/a\nb",
            "unix:/run/a\0",
            "/run/shoal/http.sock",
            "UNIX:/run/shoal/http.sock",
            &format!("{longest}x"),
        ] {
            assert_eq!(HttpAddress::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_redirect_is_a_scheme_and_a_host_and_perhaps_a_port() {
        for text in [
            "https://tracker.example.org",
            "http://tracker.example.org:8080",
            "https://127.0.0.1:65535",
            "https://[2001:db8::1]",
            "https://[2001:db8::1]:443",
            "https://localhost",
        ] {
            assert_eq!(parse_redirect(text), Some(text));
            assert_eq!(parse_redirect(&format!("{text}/")), Some(text));
        }
        for text in [
            "",
            "/",
            "https://",
            "https:///",
            "https://a//",
            "https://a.",
            "https://.a",
            "https://a/announce",
            "https://a?b",
            "https://a/?b",
            "https://a#b",
            "https://user@a",
            "https://a b",
            "https://a\r\nX: y",
            "https://a\u{e9}",
            "https://a:",
            "https://a:0",
            "https://a:+80",
            "https://a:65536",
            "https://a:b",
            "https://:80",
            "https://2001:db8::1",
            "https://[2001:db8::1",
            "https://[127.0.0.1]",
            "https://[fe80::1%eth0]",
            "udp://a",
            "tracker.example.org",
            &format!("https://{}", "a".repeat(HOST_LEN_MAX + 1)),
        ] {
            assert_eq!(parse_redirect(text), None, "{text}");
        }
    }

    #[test]
    fn the_header_of_a_proxy_is_known_in_any_case() {
        let header = ProxyHeader::parse("x-real-ip").expect("a known header");
        assert_eq!(header.to_string(), "X-Real-IP");
        assert_eq!(ProxyHeader::parse("Via"), None);
        assert_eq!(ProxyHeader::parse(""), None);
    }

    #[test]
    fn without_other_word_a_proxy_sits_on_this_host() {
        let mut listener = HttpListener::plain(HttpAddress::Unix("/a".into()));
        assert_eq!(listener.trusted_proxies(), []);
        listener.proxy_protocol = true;
        let trusted = listener.trusted_proxies();
        let texts: Vec<String> = trusted.iter().map(IpNet::to_string).collect();
        assert_eq!(texts, ["127.0.0.0/8", "::1/128"]);
        listener.proxy = Some(Proxy {
            header: None,
            trusted: Vec::new(),
        });
        assert_eq!(listener.trusted_proxies(), []);
    }
}
