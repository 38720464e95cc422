//! What holds for every input: random ones, with the seed printed.

use std::net::IpAddr;

use fastrand::Rng;

use super::announce::AnnounceQuery;
use super::forwarded::{ForwardedHeader, client_address};
use super::head;
use super::proxy_protocol;
use super::query::{decode, pairs};
use super::route::route;
use super::scrape;
use crate::wire::InfoHash;

pub(super) fn rng() -> Rng {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    Rng::with_seed(seed)
}

pub(super) fn bytes(rng: &mut Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| rng.u8(..)).collect()
}

/// Pieces of what is expected, mostly in the wrong place.
fn soup(rng: &mut Rng, pieces: &[&[u8]], count: usize) -> Vec<u8> {
    let mut soup = Vec::new();
    for _ in 0..count {
        match rng.usize(..=pieces.len()) {
            at if at < pieces.len() => soup.extend_from_slice(pieces[at]),
            _ => soup.push(rng.u8(..)),
        }
    }
    soup
}

/// One byte changed, removed or put in.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let at = rng.usize(..bytes.len());
    match rng.u8(..3) {
        0 => bytes[at] = rng.u8(..),
        1 => drop(bytes.remove(at)),
        _ => bytes.insert(at, rng.u8(..)),
    }
}

/// Asserts that no more bytes ever change a verdict, and gives the length at which it falls.
fn verdict<'a, T, F>(whole: &'a [u8], parse: impl Fn(&'a [u8]) -> Result<Option<T>, F>) -> usize
where
    T: PartialEq,
{
    let first = (0..=whole.len()).find(|&len| !matches!(parse(&whole[..len]), Ok(None)));
    let Some(first) = first else {
        return usize::MAX;
    };
    let found = parse(&whole[..first]);
    for len in first..=whole.len() {
        let same = match (&found, parse(&whole[..len])) {
            (Ok(before), Ok(now)) => *before == now,
            (Err(_), Err(_)) => true,
            _ => false,
        };
        assert!(same, "{first} and {len} bytes of {whole:?}");
    }
    first
}

/// Raw where the style allows it and chance wills it, else escaped in either case.
fn escaped(rng: &mut Rng, plain: &[u8], literals: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::new();
    for &byte in plain {
        let may_be_raw = byte.is_ascii_alphanumeric() || literals.contains(&byte) || byte >= 0x80;
        match rng.u8(..3) {
            0 if may_be_raw => escaped.push(byte),
            1 => escaped.extend(format!("%{byte:02x}").into_bytes()),
            _ => escaped.extend(format!("%{byte:02X}").into_bytes()),
        }
    }
    escaped
}

#[test]
fn hashes_and_ids_survive_every_style_of_escaping() {
    let mut rng = rng();
    let styles: [&[u8]; 4] = [
        b"-_!.~*()",
        b"-_.~",
        b"-",
        b"=?/:+;,@-_!.~*()$'[]{}|^`\"<>\\",
    ];
    for _ in 0..20_000 {
        let [hash, id] = std::array::from_fn(|_| std::array::from_fn(|_| rng.u8(..)));
        let literals = styles[rng.usize(..styles.len())];
        let mut request = b"GET /announce?port=1&info_hash=".to_vec();
        request.extend(escaped(&mut rng, &hash, literals));
        request.extend(b"&peer_id=");
        request.extend(escaped(&mut rng, &id, literals));
        request.extend(b" HTTP/1.1\r\n\r\n");
        let (head, _) = head::parse(&request).unwrap().unwrap();
        let query = head.target.query.unwrap();
        let announce = AnnounceQuery::parse(query).unwrap();
        assert_eq!((announce.info_hash.0, announce.peer_id.0), (hash, id));
        let mut out = [InfoHash([0; 20])];
        assert_eq!(scrape::parse(Some(query), &mut out), Ok(1));
        assert_eq!(out[0].0, hash);
    }
}

#[test]
fn no_query_makes_a_parser_panic() {
    let mut rng = rng();
    let pieces: [&[u8]; 12] = [
        b"info_hash=",
        b"aaaaaaaaaaaaaaaaaaaa",
        b"&peer_id=",
        b"&port=",
        b"6881",
        b"%",
        b"%4",
        b"&",
        b"=",
        b"&left=",
        b"&numwant=-",
        b"99999999999999999999",
    ];
    let mut out = [InfoHash([0; 20]); 2];
    for _ in 0..50_000 {
        let len = rng.usize(..12);
        let query = soup(&mut rng, &pieces, len);
        let _ = AnnounceQuery::parse(&query);
        let _ = decode::<20>(&query);
        let _ = scrape::parse(Some(&query), &mut out);
        let kept = pairs(&query).map(|(key, value)| key.len() + value.len());
        assert!(kept.sum::<usize>() <= query.len());
    }
}

fn head_of_a_client(rng: &mut Rng) -> Vec<u8> {
    let mut head = ["GET", "HEAD", "POST"][rng.usize(..3)].as_bytes().to_vec();
    head.push(b' ');
    let targets = [
        "/announce?",
        "*",
        "http://h:1/scrape?x#y",
        "/x/announce/y?a&b=c",
        "/#",
    ];
    head.extend(targets[rng.usize(..5)].bytes());
    let raw: Vec<_> = (b'!'..=b'~').chain(0x80..=0xff).collect();
    head.extend((0..rng.usize(..40)).map(|_| raw[rng.usize(..raw.len())]));
    head.extend([b" HTTP/1.0", b" HTTP/1.1"][rng.usize(..2)]);
    let ends = [b"\r\n".as_slice(), b"\n"];
    let end = ends[rng.usize(..2)];
    head.extend(end);
    let fields = [
        "Host: t",
        "Connection: close, x",
        "connection:keep-alive",
        "Accept-Encoding: gzip;q=0, zstd",
        "Content-Length: 7",
        "Transfer-Encoding: chunked",
        "X-Forwarded-For:",
        "a:\t b\t ",
    ];
    for _ in 0..rng.usize(..8) {
        head.extend(fields[rng.usize(..fields.len())].bytes());
        head.extend(end);
    }
    head.extend(end);
    head
}

#[test]
fn a_head_is_complete_with_its_last_byte_and_not_before() {
    let mut rng = rng();
    for _ in 0..1000 {
        let head = head_of_a_client(&mut rng);
        assert_eq!(verdict(&head, head::parse), head.len(), "{head:?}");
        let (_, len) = head::parse(&head).unwrap().unwrap();
        assert_eq!(len, head.len());
    }
}

#[test]
fn no_head_makes_the_parser_panic_or_change_its_mind() {
    let mut rng = rng();
    let pieces: [&[u8]; 12] = [
        b"GET ",
        b"/announce",
        b"?",
        b"#",
        b" HTTP/1.",
        b"1\r\n",
        b"\r",
        b"\n",
        b"Connection: ",
        b"close",
        b",",
        b";q=0",
    ];
    for round in 0..4000 {
        let len = rng.usize(..16);
        let mut bytes = match round % 3 {
            0 => bytes(&mut rng, len),
            1 => soup(&mut rng, &pieces, len),
            _ => head_of_a_client(&mut rng),
        };
        if round % 3 == 2 {
            damage(&mut rng, &mut bytes);
        }
        verdict(&bytes, head::parse);
        if let Ok(Some((head, len))) = head::parse(&bytes) {
            assert!(len <= bytes.len());
            route(&head.target);
            assert!(head.values("connection").all(|value| value.len() < len));
        }
    }
}

fn proxy_header(rng: &mut Rng) -> Vec<u8> {
    let lines = [
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
        "PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 0 65535\r\n",
        "PROXY UNKNOWN\r\n",
        "PROXY UNKNOWN ffff:f...f:ffff 1 2 3 4\r\n",
    ];
    if rng.bool() {
        return lines[rng.usize(..4)].as_bytes().to_vec();
    }
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.push(0x20 + rng.u8(..2));
    header.push([0x00, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32][rng.usize(..7)]);
    let len = rng.u16(36..80);
    header.extend(len.to_be_bytes());
    header.extend(bytes(rng, usize::from(len)));
    header
}

#[test]
fn a_proxys_header_is_complete_with_its_last_byte_and_not_before() {
    let mut rng = rng();
    for round in 0..6000 {
        let mut header = proxy_header(&mut rng);
        if round % 2 == 0 {
            let (_, len) = proxy_protocol::parse(&header).unwrap().unwrap();
            assert_eq!(len, header.len());
            assert_eq!(verdict(&header, proxy_protocol::parse), len);
        } else {
            damage(&mut rng, &mut header);
            verdict(&header, proxy_protocol::parse);
        }
        let noise = rng.usize(..40);
        verdict(&bytes(&mut rng, noise), proxy_protocol::parse);
    }
}

#[test]
fn the_same_hops_give_the_same_client_in_both_lists() {
    let mut rng = rng();
    let hops = [
        "10.0.0.1",
        "10.9.9.9:80",
        "192.0.2.1",
        "[2001:db8::1]:7",
        "unknown",
        "::1",
    ];
    let is_trusted = |ip: IpAddr| ip.is_loopback() || ip.to_string().starts_with("10.");
    for _ in 0..20_000 {
        let mut lines = [const { String::new() }; 2];
        let mut forwarded = [const { String::new() }; 2];
        for (line, forwarded) in lines.iter_mut().zip(&mut forwarded) {
            for at in 0..rng.usize(1..5) {
                let hop = hops[rng.usize(..hops.len())];
                let comma = if at == 0 { "" } else { ", " };
                let quote = if rng.bool() { "\"" } else { "" };
                line.extend([comma, hop]);
                forwarded.extend([comma, "proto=http;for=", quote, hop, quote]);
            }
        }
        let client = |header, lines: &[String; 2]| {
            client_address(header, lines.iter().map(String::as_bytes), is_trusted)
        };
        assert_eq!(
            client(ForwardedHeader::XForwardedFor, &lines),
            client(ForwardedHeader::Forwarded, &forwarded),
            "{lines:?}"
        );
    }
}

#[test]
fn no_forwarded_header_makes_the_parsers_panic() {
    let mut rng = rng();
    let pieces: [&[u8]; 12] = [
        b"for=",
        b"192.0.2.1",
        b"\"",
        b"\\",
        b"[::1]",
        b":80",
        b",",
        b";",
        b"=",
        b" ",
        b"_x",
        b"unknown",
    ];
    let headers = [
        ForwardedHeader::XForwardedFor,
        ForwardedHeader::XRealIp,
        ForwardedHeader::Forwarded,
    ];
    for _ in 0..30_000 {
        let len = rng.usize(..12);
        let line = soup(&mut rng, &pieces, len);
        for header in headers {
            let trusting = rng.bool();
            let _ = client_address(header, [line.as_slice()].into_iter(), |_| trusting);
        }
    }
}
