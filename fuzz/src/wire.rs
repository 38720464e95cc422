//! The formats that clients and proxies speak.

use std::net::IpAddr;

use shoal::gate::keys;
use shoal::wire::http::announce::AnnounceQuery;
use shoal::wire::http::forwarded::{ForwardedHeader, client_address};
use shoal::wire::http::head::{self, Target};
use shoal::wire::http::query::pairs;
use shoal::wire::http::route::route;
use shoal::wire::http::{proxy_protocol, scrape};
use shoal::wire::udp::{self, ANNOUNCE_LEN, Request};
use shoal::wire::{InfoHash, bencode as bencoding, metainfo::Metainfo};

pub(crate) fn datagram(data: &[u8]) {
    let Ok(request) = udp::parse(data) else {
        return;
    };
    match request {
        Request::Connect(_) => assert!(data.len() >= 16),
        Request::Announce(_, announce) => {
            assert!(data.len() >= ANNOUNCE_LEN);
            assert_eq!(announce.info_hash.0[..], data[16..36]);
            let url = announce.url_data();
            assert!(url.as_bytes().len() <= data.len());
            find_key(url.as_bytes());
        }
        Request::Scrape(_, _, hashes) => {
            assert_eq!(hashes.len(), (data.len() - 16) / InfoHash::LEN);
            assert_eq!(hashes.iter().count(), hashes.len());
        }
    }
}

fn find_key(path_and_query: &[u8]) {
    let target = Target::split(path_and_query);
    if let Ok(key) = keys::find(&target, b"passkey") {
        assert!(key.as_bytes().iter().all(u8::is_ascii_alphanumeric));
    }
}

pub(crate) fn http_head(data: &[u8]) {
    let Ok(Some((head, len))) = head::parse(data) else {
        return;
    };
    assert!(len <= data.len());
    // Less is not enough, and more makes no difference.
    assert!(
        matches!(head::parse(&data[..len - 1]), Ok(None)),
        "complete too early"
    );
    assert_eq!(head::parse(&data[..len]), Ok(Some((head, len))));
    assert!(!head.target.path.is_empty());
    let _ = route(&head.target);
    find_key(data);
    for header in [
        ForwardedHeader::XForwardedFor,
        ForwardedHeader::XRealIp,
        ForwardedHeader::Forwarded,
    ] {
        let values = || head.values(header.name());
        let local = |address: IpAddr| address.is_loopback();
        let nobody = client_address(header, values(), |_| false);
        // With one value and nobody trusted, trusting some finds somebody who is not among them,
        // or the last hop.
        let client = client_address(header, values(), local);
        if let (None, Some(client)) = (nobody, client) {
            panic!("{client} was found by trusting more");
        }
    }
}

pub(crate) fn http_query(data: &[u8]) {
    for (name, value) in pairs(data) {
        assert!(name.len() + value.len() <= data.len());
    }
    let _ = AnnounceQuery::parse(data);
    let mut hashes = [InfoHash([0; InfoHash::LEN]); 80];
    if let Ok(found) = scrape::parse(Some(data), &mut hashes) {
        assert!(hashes[..found].is_sorted_by(|a, b| a < b));
    }
}

pub(crate) fn proxy_protocol(data: &[u8]) {
    if let Ok(Some((proxied, len))) = proxy_protocol::parse(data) {
        assert!(0 < len && len <= data.len());
        let again = proxy_protocol::parse(&data[..len]);
        assert_eq!(again, Ok(Some((proxied, len))));
        assert!(matches!(proxy_protocol::parse(&data[..len - 1]), Ok(None)));
    }
}

pub(crate) fn bencode(data: &[u8]) {
    let _ = bencoding::parse(data);
    if let Ok(Some(value)) = bencoding::value_of(data, b"info") {
        assert!(value.len() < data.len());
    }
}

pub(crate) fn metainfo(data: &[u8]) {
    let _ = Metainfo::parse(data);
}
