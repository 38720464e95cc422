//! A real nginx in front of the tracker, in every way that the documentation names: clients must
//! appear under their own addresses.

mod doors;
mod http;
mod in_process;
mod nginx;
mod support;
mod tls;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use doors::peers;
use http::{Browser, announce, http_config};
use in_process::{BACKENDS, Server, http_listener};
use nginx::Nginx;
use shoal::config::{HttpAddress, HttpListener, Proxy, ProxyHeader};
use shoal::counters::{BadRequest, Count, Family, Kind, Protocol};
use tls::{Files, Root, secure};

const HASH: &str = "nginxnginxnginxnginx";

/// Two clients, for each the peer that it must become.
const CLIENTS: [([u8; 4], u16); 2] = [([127, 0, 0, 1], 6881), ([127, 0, 0, 2], 6882)];

fn expected() -> BTreeSet<SocketAddr> {
    CLIENTS.map(SocketAddr::from).into()
}

/// Believes nginx, which comes from 127.0.0.1, and nobody else.
fn door(header: Option<ProxyHeader>, proxy_protocol: bool) -> HttpListener {
    HttpListener {
        proxy: Some(Proxy {
            header,
            trusted: vec!["127.0.0.1/32".parse().unwrap()],
        }),
        proxy_protocol,
        ..http_listener("127.0.0.1:0")
    }
}

/// Announces as both clients, each once.
fn announce_as_all(nginx: SocketAddr) {
    for (local, port) in CLIENTS {
        let mut client = Browser::at(IpAddr::from(local), nginx);
        let reply = client.get(&announce(HASH, port, 10, "started"));
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

#[test]
fn nginx_passes_requests_on_and_names_its_clients() {
    for (header, value) in [
        (
            ProxyHeader::XForwardedFor,
            "X-Forwarded-For $proxy_add_x_forwarded_for",
        ),
        (ProxyHeader::XRealIp, "X-Real-IP $remote_addr"),
        (ProxyHeader::Forwarded, "Forwarded for=$remote_addr"),
    ] {
        for backend in BACKENDS {
            let mut config = http_config(backend);
            config.http = vec![door(Some(header), false), http_listener("127.0.0.1:0")];
            let server = Server::start(&config);
            let nginx = Nginx::passing_http(&server.http_address().to_string(), value);
            announce_as_all(nginx.address);
            assert_eq!(peers(&server, HASH), expected(), "{value}");

            // What a client claims comes before what nginx knows.
            let mut liar = Browser::at(IpAddr::from([127, 0, 0, 3]), nginx.address);
            let target = announce(HASH, 6883, 10, "started");
            liar.get_with(&target, "X-Forwarded-For: 203.0.113.7\r\n");
            liar.get_with(&target, "X-Real-IP: 203.0.113.7\r\n");
            liar.get_with(&target, "Forwarded: for=203.0.113.7\r\n");
            let liar = SocketAddr::from(([127, 0, 0, 3], 6883));
            assert!(peers(&server, HASH).contains(&liar));
            assert_eq!(peers(&server, HASH).len(), CLIENTS.len() + 1);
        }
    }
}

#[test]
fn ten_announces_over_one_kept_connection_go_through_nginx_over_one_kept_connection() {
    for backend in BACKENDS {
        let mut config = http_config(backend);
        let header = Some(ProxyHeader::XForwardedFor);
        config.http = vec![door(header, false), http_listener("127.0.0.1:0")];
        let server = Server::start(&config);
        let upstream = server.http_address().to_string();
        let nginx = Nginx::passing_http(&upstream, "X-Forwarded-For $remote_addr");
        let connects = Count::Received(Protocol::Http, Family::Ip4, Kind::Connect);
        let before = server.count(connects);
        let local = [127, 0, 0, 2];
        let mut client = Browser::at(IpAddr::from(local), nginx.address);
        for port in 7000..7010 {
            let reply = client.get(&announce(HASH, port, 10, "started"));
            assert_eq!(reply.peers().len(), usize::from(port - 7000));
        }
        assert_eq!(server.count(connects) - before, 1);
        let expected = (7000..7010).map(|port| SocketAddr::from((local, port)));
        assert_eq!(peers(&server, HASH), expected.collect());
    }
}

#[test]
fn nginx_passes_connections_on_behind_the_proxy_protocol() {
    let root = Root::new();
    let client = Arc::new(root.client());
    for backend in BACKENDS {
        let files = Files::of(&root.issue());
        let https = HttpListener {
            tls: Some(files.names.clone()),
            ..door(None, true)
        };
        let mut config = http_config(backend);
        config.http = vec![door(None, true), https, http_listener("127.0.0.1:0")];
        let server = Server::start(&config);

        let upstream = server.tracker.http_addresses()[0];
        let nginx = Nginx::passing_connections(&upstream.to_string());
        announce_as_all(nginx.address);
        assert_eq!(peers(&server, HASH), expected());

        let upstream = server.tracker.http_addresses()[1];
        let nginx = Nginx::passing_connections(&upstream.to_string());
        let local = [127, 0, 0, 2];
        let tcp = Browser::at(IpAddr::from(local), nginx.address).stream;
        let mut client = Browser::over(secure(tcp, &client).unwrap());
        for port in 7000..7010 {
            let reply = client.get(&announce(HASH, port, 10, "started"));
            assert_eq!(reply.status, 200);
        }
        let secured = (7000..7010).map(|port| SocketAddr::from((local, port)));
        assert_eq!(peers(&server, HASH), secured.chain(expected()).collect());
        let bad = Count::BadRequest(BadRequest::BadProxyHeader);
        assert_eq!(server.count(bad), 0);
    }
}

#[test]
fn nginx_reaches_the_tracker_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let everybody = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), everybody).unwrap();
    let (first, second) = (folder.path().join("header"), folder.path().join("protocol"));
    for backend in BACKENDS {
        let mut config = http_config(backend);
        let header = Some(ProxyHeader::XForwardedFor);
        config.http = vec![
            HttpListener {
                listen: HttpAddress::Unix(first.clone()),
                ..door(header, false)
            },
            HttpListener {
                listen: HttpAddress::Unix(second.clone()),
                ..door(None, true)
            },
            http_listener("127.0.0.1:0"),
        ];
        let server = Server::start(&config);
        let upstream = format!("unix:{}", first.display());
        let nginx = Nginx::passing_http(&upstream, "X-Forwarded-For $remote_addr");
        announce_as_all(nginx.address);
        assert_eq!(peers(&server, HASH), expected());

        let server_of_connections =
            Nginx::passing_connections(&format!("unix:{}", second.display()));
        let mut client = Browser::at(IpAddr::from([127, 0, 0, 3]), server_of_connections.address);
        for _ in 0..10 {
            client.get(&announce(HASH, 6883, 10, "started"));
        }
        let third = SocketAddr::from(([127, 0, 0, 3], 6883));
        let all: BTreeSet<_> = expected().into_iter().chain([third]).collect();
        assert_eq!(peers(&server, HASH), all);
    }
}
