//! Where requests come in.

use std::net::SocketAddr;

use ipnet::IpNet;

use crate::config::address::{is_canonical, parse_networks};
use crate::config::http::{HttpAddress, Proxy, ProxyHeader, TlsFiles, parse_file, parse_redirect};
use crate::config::key::Key;

pub(super) const UDP: &[Key] = &[UDP_LISTEN];

pub(super) const UDP_LISTEN: Key = Key::text(
    "listen",
    "Address and port; port 0 lets the kernel choose. An IPv6 socket takes IPv6 only.",
    "an IP address with a port, such as \"0.0.0.0:6969\" or \"[::]:6969\"",
    |config, row| config.udp[row].listen.to_string(),
    |config, row, listen| {
        let listen: SocketAddr = listen.parse().ok()?;
        // Our IPv6 sockets never take IPv4, so nothing would arrive there.
        is_canonical(listen.ip()).then(|| config.udp[row].listen = listen)
    },
)
.needed();

pub(super) const HTTP: &[Key] = &[
    HTTP_LISTEN,
    Key::inner(
        "tls",
        "Serve HTTPS with this certificate; without it HTTP.",
        TLS,
        |config, row| config.http[row].tls = Some(TlsFiles::default()),
        |config, row| config.http[row].tls.is_some(),
    ),
    Key::text(
        "redirect_to",
        "Answer every request with a 301 to the same path and query there.",
        "an http or https URL without a path, such as \"https://tracker.example.org\"",
        |config, row| {
            let redirect = config.http[row].redirect_to.as_deref();
            redirect.unwrap_or("https://tracker.example.org").into()
        },
        |config, row, text| {
            config.http[row].redirect_to = Some(parse_redirect(text)?.into());
            Some(())
        },
    )
    .present_when(|config, row| config.http[row].redirect_to.is_some()),
    Key::inner(
        "proxy",
        "What stands in front and names the clients.",
        PROXY,
        |config, row| config.http[row].proxy = Some(Proxy::default()),
        |config, row| config.http[row].proxy.is_some(),
    ),
    Key::switch(
        "proxy_protocol",
        "Each connection begins with a PROXY protocol head, version 1 or 2, that names the\n\
         client. Only peers in proxy.trusted may send one, or on loopback without proxy.",
        |config, row| config.http[row].proxy_protocol,
        |config, row, proxy_protocol| config.http[row].proxy_protocol = proxy_protocol,
    ),
];

pub(super) const HTTP_LISTEN: Key = Key::text(
    "listen",
    "Address and port as for UDP, or \"unix:\" and the path of a socket, at most 107 bytes, whose\n\
     clients a proxy must name.",
    "an IP address with a port, such as \"[::]:6969\", or \"unix:\" and an absolute path",
    |config, row| config.http[row].listen.to_string(),
    |config, row, listen| {
        config.http[row].listen = HttpAddress::parse(listen)?;
        Some(())
    },
)
.needed();

/// What a file of `tls` must be.
pub(super) const FILE: &str = "a path of 1 to 4096 bytes without NUL";

const TLS: &[Key] = &[
    Key::text(
        "certificate",
        "PEM file of the certificate, then of those that vouch for it. A relative path begins at\n\
         the current folder.",
        FILE,
        |config, row| match &config.http[row].tls {
            Some(tls) => tls.certificate.display().to_string(),
            None => "fullchain.pem".into(),
        },
        |config, row, path| {
            let path = parse_file(path)?.into();
            config.http[row].tls.as_mut()?.certificate = path;
            Some(())
        },
    )
    .needed(),
    Key::text(
        "private_key",
        "PEM file of the key of that certificate.",
        FILE,
        |config, row| match &config.http[row].tls {
            Some(tls) => tls.private_key.display().to_string(),
            None => "key.pem".into(),
        },
        |config, row, path| {
            let path = parse_file(path)?.into();
            config.http[row].tls.as_mut()?.private_key = path;
            Some(())
        },
    )
    .needed(),
];

const PROXY: &[Key] = &[
    Key::text(
        "header",
        "Request header that names the client. Not needed beside proxy_protocol.",
        "\"X-Forwarded-For\", \"X-Real-IP\" or \"Forwarded\"",
        |config, row| {
            let header = config.http[row]
                .proxy
                .as_ref()
                .and_then(|proxy| proxy.header);
            header.unwrap_or_default().name().into()
        },
        |config, row, name| {
            let header = ProxyHeader::parse(name)?;
            config.http[row].proxy.as_mut()?.header = Some(header);
            Some(())
        },
    )
    .present_when(|config, row| {
        let proxy = config.http[row].proxy.as_ref();
        proxy.is_some_and(|proxy| proxy.header.is_some())
    }),
    Key::list(
        "trusted",
        "Peers that are believed; what others say of the client is not heard.",
        "a list of addresses and networks",
        |config, row| {
            let proxy = config.http[row].proxy.clone().unwrap_or_default();
            proxy.trusted.iter().map(IpNet::to_string).collect()
        },
        |config, row, texts| {
            let trusted = parse_networks(texts)?;
            if let Some(proxy) = &mut config.http[row].proxy {
                proxy.trusted = trusted;
            }
            Ok(())
        },
    ),
];

pub(super) const CONNECTIONS: &[Key] = &[
    Key::whole(
        "max",
        "Most that are open at once; to make room, the one that has been idle for longest is\n\
         closed. The limit on open files of the process caps it too.",
        (16, 1_000_000),
        |config| config.connections.max as u64,
        |config, connections| config.connections.max = connections as usize,
    ),
    Key::whole(
        "idle_timeout",
        "Seconds after which a connection without a request is closed.",
        (1, 3600),
        |config| config.connections.idle_timeout.into(),
        |config, seconds| config.connections.idle_timeout = seconds as u32,
    ),
    Key::whole(
        "request_timeout",
        "Seconds within which a TLS handshake must be done, the head of a request be there, and\n\
         a reply be taken, each for itself.",
        (1, 300),
        |config| config.connections.request_timeout.into(),
        |config, seconds| config.connections.request_timeout = seconds as u32,
    ),
];
