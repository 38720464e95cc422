//! Where clients announce, as whoever looks at the page would write it.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, Uri, header};

/// The URLs to announce to, for somebody who reached this server by `host`.
///
/// A listener on every address of a family goes by the name that the request has, if that can be one of
/// that family; where it cannot, it is left out.
pub(super) fn announce_urls(
    listeners: &[String],
    host: Option<&str>,
    needs_key: bool,
) -> Vec<String> {
    let path = if needs_key {
        "/KEY/announce"
    } else {
        "/announce"
    };
    let mut urls = Vec::new();
    for (scheme, address) in listeners
        .iter()
        .filter_map(|listener| listener.split_once("://"))
    {
        let Ok(address) = address.parse::<SocketAddr>() else {
            continue;
        };
        let place = if address.ip().is_unspecified() {
            match host.and_then(|host| fitting(host, address.ip())) {
                Some(host) => format!("{host}:{}", address.port()),
                None => continue,
            }
        } else {
            address.to_string()
        };
        let url = format!("{scheme}://{place}{path}");
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    urls
}

/// The host, unless it is an address of the other family.
fn fitting(host: &str, listener: IpAddr) -> Option<&str> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => (address.is_ipv4() == listener.is_ipv4()).then_some(host),
        Err(_) => Some(host),
    }
}

/// By which name the server was asked: a name, an IPv4 address, or an IPv6 address in brackets, without a
/// port. Nothing when it is none of them, as whatever it is would stand in the page.
pub(super) fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let said = match uri.host() {
        Some(host) => host,
        None => headers.get(header::HOST)?.to_str().ok()?,
    };
    let (host, port) = match said.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')? + 2;
            said.split_at(end)
        }
        None => said.split_at(said.find(':').unwrap_or(said.len())),
    };
    let port_is_good = match port.strip_prefix(':') {
        Some(port) => port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()),
        None => port.is_empty(),
    };
    (port_is_good && is_host(host)).then_some(host)
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        return matches!(address.parse(), Ok(IpAddr::V6(_)));
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253
        && host
            .strip_suffix('.')
            .unwrap_or(host)
            .split('.')
            .all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(said: &[u8]) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, said.try_into().unwrap());
        host_of(&Uri::from_static("/"), &headers).map(str::to_owned)
    }

    #[test]
    fn a_host_is_a_name_or_an_address_without_its_port() {
        for (said, wanted) in [
            ("tracker.example.org", "tracker.example.org"),
            ("tracker.example.org:1212", "tracker.example.org"),
            ("localhost:1", "localhost"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("[2001:db8::1]:443", "[2001:db8::1]"),
            ("[::1]", "[::1]"),
            ("a_b.example.", "a_b.example."),
        ] {
            assert_eq!(host(said.as_bytes()).as_deref(), Some(wanted));
        }
    }

    #[test]
    fn what_is_no_host_is_not_shown() {
        for bad in [
            "",
            "a b",
            "<script>alert(1)</script>",
            "a\"b",
            "a/b",
            "a..b",
            "-a",
            "a:port",
            "a:1:2",
            "a:123456",
            "[::1",
            "[192.0.2.1]",
            "[::1]x",
            "2001:db8::1",
            &"a".repeat(64),
            &"a.".repeat(200),
        ] {
            assert_eq!(host(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(host(b"caf\xc3\xa9"), None);
    }

    #[test]
    fn listeners_on_every_address_go_by_the_name_that_was_asked_for() {
        let listeners = [
            "udp://0.0.0.0:6969",
            "udp://[::]:6969",
            "http://0.0.0.0:6969",
            "https://[::]:443",
            "udp://127.0.0.1:7000",
            "/run/shoal.sock",
        ]
        .map(str::to_owned);
        let urls = |host| announce_urls(&listeners, host, false);
        assert_eq!(
            urls(Some("tracker.example.org")),
            [
                "udp://tracker.example.org:6969/announce",
                "http://tracker.example.org:6969/announce",
                "https://tracker.example.org:443/announce",
                "udp://127.0.0.1:7000/announce",
            ]
        );
        assert_eq!(
            urls(Some("[2001:db8::1]")),
            [
                "udp://[2001:db8::1]:6969/announce",
                "https://[2001:db8::1]:443/announce",
                "udp://127.0.0.1:7000/announce",
            ]
        );
        assert_eq!(urls(Some("192.0.2.1")).len(), 3);
        assert_eq!(urls(None), ["udp://127.0.0.1:7000/announce"]);
        let private = announce_urls(&listeners[..1], Some("t"), true);
        assert_eq!(private, ["udp://t:6969/KEY/announce"]);
    }
}
