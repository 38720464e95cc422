//! `shoal query` against trackers that misbehave in every way there is: a clear line each, within the
//! time-out, and never a panic.

mod program;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use program::{outcome, shoal};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// What the trackers here get; some use it up.
const TIMEOUT_S: &str = "1";

/// How much later than that a program may end on a loaded machine.
const GRACE: Duration = Duration::from_secs(10);

const LOCAL: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

const ANSWER: &[u8] = b"d8:completei1e10:incompletei2e8:intervali1800e5:peers0:e";

/// A tracker over UDP that gives `reply` every datagram, with the socket it came by.
fn udp(mut reply: impl FnMut(&UdpSocket, &[u8], SocketAddr) + Send + 'static) -> String {
    let socket = UdpSocket::bind(LOCAL).unwrap();
    let url = format!("udp://{}/announce", socket.local_addr().unwrap());
    thread::spawn(move || {
        let mut bytes = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut bytes) {
            reply(&socket, &bytes[..len], from);
        }
    });
    url
}

/// A tracker over UDP that gives connection ids, and `reply` what comes then.
fn udp_with_ids(mut reply: impl FnMut(&UdpSocket, &[u8], SocketAddr) + Send + 'static) -> String {
    udp(move |socket, bytes, from| {
        if bytes[8..12] == [0; 4] {
            let reply = [&[0; 4][..], &bytes[12..16], &[7; 8]].concat();
            let _ = socket.send_to(&reply, from);
        } else {
            reply(socket, bytes, from);
        }
    })
}

/// A tracker over TCP that gives `serve` every connection, in a thread of its own.
fn tcp(serve: impl Fn(TcpStream, SocketAddr) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind(LOCAL).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream, address));
        }
    });
    address
}

/// A tracker over HTTP that reads a head and then lets `serve` write.
fn http(serve: impl Fn(&mut TcpStream, &str) + Send + Sync + 'static) -> String {
    let address = tcp(move |mut stream, _| {
        let head = read_head(&mut stream);
        serve(&mut stream, &head);
    });
    format!("http://{address}/announce")
}

/// One that always says the same.
fn saying(response: impl AsRef<[u8]> + Send + Sync + 'static) -> String {
    http(move |stream, _| {
        let _ = stream.write_all(response.as_ref());
    })
}

fn read_head(stream: &mut impl std::io::Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|len| len == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn with_length(fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Asks in JSON and as a table, and looks at what both say.
fn fails_with(arguments: &[&str], kind: &str, text: &str) {
    let common = [
        &["query", "--timeout", TIMEOUT_S, "--resend", "0.3"],
        arguments,
    ]
    .concat();
    let start = Instant::now();
    let table = outcome(&mut shoal(&common));
    let json = outcome(&mut shoal(&[&common[..], &["--json"]].concat()));
    assert!(start.elapsed() < 2 * GRACE, "{:?}", start.elapsed());
    for outcome in [&table, &json] {
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert_eq!(outcome.stderr, "", "{outcome:?}");
    }
    let result: Value = serde_json::from_str(&json.stdout).expect(&json.stdout);
    let failure = &result["results"][0]["failure"];
    assert_eq!(failure["kind"], kind, "{failure}");
    let sentence = failure["text"].as_str().unwrap();
    assert!(sentence.contains(text), "{sentence}");
    assert!(
        sentence.is_ascii() && !sentence.contains('\n'),
        "{sentence}"
    );
    let line = format!("failed      {}: ", kind.replace('_', " "));
    let shown = table.stdout.lines().find(|shown| shown.contains(&line));
    assert!(
        shown.is_some_and(|shown| shown.contains(text)),
        "{}",
        table.stdout
    );
}

/// The one result of a query that succeeds.
fn good(arguments: &[&str]) -> Value {
    let all = [&["query", "--json", "--timeout", "20"], arguments].concat();
    let outcome = outcome(&mut shoal(&all));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let mut json: Value = serde_json::from_str(&outcome.stdout).unwrap();
    json["results"][0].take()
}

#[test]
fn a_silent_tracker() {
    fails_with(
        &[&udp(|_, _, _| {})],
        "timed_out",
        "a reply to the connect did not come",
    );
    fails_with(
        &[&udp_with_ids(|_, _, _| {})],
        "timed_out",
        "a reply to the announce",
    );
    let silent = tcp(|stream, _| {
        thread::park();
        drop(stream);
    });
    for scheme in ["http", "https"] {
        fails_with(
            &[&format!("{scheme}://{silent}/announce"), "--insecure"],
            "timed_out",
            "",
        );
    }
}

#[test]
fn datagrams_are_sent_again_until_the_time_is_up() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let url = udp(move |_, bytes, _| sender.send(bytes.len()).unwrap());
    // Sent at 0, 0.3 and 0.9 s, in each of the two runs.
    fails_with(&[&url], "timed_out", "connect");
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [16; 6]);
    let mut lost = 0;
    let url = udp_with_ids(move |socket, bytes, from| {
        lost += 1;
        if lost > 1 {
            let reply = [&bytes[8..16], &[0; 12]].concat();
            let _ = socket.send_to(&reply, from);
        }
    });
    assert_eq!(good(&[&url, "--resend", "0.1"])["ok"], true);
}

#[test]
fn a_tracker_that_drips() {
    let url = http(|stream, _| {
        for byte in with_length("", ANSWER) {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            thread::park_timeout(Duration::from_millis(100));
        }
    });
    fails_with(&[&url], "timed_out", "head of the response");
}

#[test]
fn garbage() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let url = udp_with_ids(move |socket, bytes, from| {
        let mut reply = vec![0; random.usize(..1500)];
        random.fill(&mut reply);
        // Long enough for a head, it might answer by chance.
        if reply.starts_with(&bytes[8..16]) {
            reply.clear();
        }
        let _ = socket.send_to(&reply, from);
    });
    fails_with(&[&url], "malformed", "the reply has");
    fails_with(
        &[&saying("\0\x01\x02 nonsense\r\n\r\n")],
        "malformed",
        "no HTTP response",
    );
    fails_with(
        &[&saying(with_length("", b"<html>Welcome</html>"))],
        "malformed",
        "it begins with \"<html>Welcome</html>\"",
    );
    fails_with(
        &[&saying(with_length("", b""))],
        "malformed",
        "the body is empty",
    );
    let nested = b"l".repeat(500_000);
    fails_with(
        &[&saying(with_length("", &nested))],
        "malformed",
        "nested deeper",
    );
}

#[test]
fn escape_sequences_never_reach_the_terminal() {
    let url = saying(with_length("", b"d14:failure reason10:\x1b[2Jno\nwaye"));
    fails_with(&[&url], "failure_reason", "\\u{1b}[2Jno\\nway");
}

#[test]
fn a_wrong_transaction_id() {
    let url = udp(|socket, bytes, from| {
        assert_eq!(bytes.len(), 16);
        let _ = socket.send_to(&[&[0; 4], &[0xaa; 4], &[7; 8][..]].concat(), from);
    });
    fails_with(&[&url], "malformed", "the transaction id aaaaaaaa, not ");
    let url = udp_with_ids(|socket, _, from| {
        let reply = [&[0, 0, 0, 3, 0, 0, 0, 0][..], b"bad request"].concat();
        let _ = socket.send_to(&reply, from);
    });
    fails_with(&[&url], "malformed", "with the error \"bad request\"");
}

#[test]
fn a_stray_datagram_before_the_reply_is_passed_over() {
    let url = udp_with_ids(|socket, bytes, from| {
        let _ = socket.send_to(b"stray", from);
        let reply = [&bytes[8..16], &[0; 12]].concat();
        let _ = socket.send_to(&reply, from);
    });
    let seen = good(&[&url]);
    assert_eq!(seen["notes"][0], "the reply has only 5 bytes", "{seen:#}");
}

#[test]
fn a_reply_from_another_address() {
    let other = UdpSocket::bind(LOCAL).unwrap();
    let port = other.local_addr().unwrap().port();
    let url = udp(move |_, bytes, from| {
        let reply = [&[0; 4], &bytes[12..16], &[7; 8]].concat();
        let _ = other.send_to(&reply, from);
    });
    let text = format!("came from 127.0.0.1:{port}, not from the address that was asked");
    fails_with(&[&url], "other_address", &text);
}

#[test]
fn peers_of_odd_length_and_a_huge_reply() {
    let url = udp_with_ids(|socket, bytes, from| {
        let reply = [&bytes[8..16], &[0; 12][..], &[1; 7]].concat();
        let _ = socket.send_to(&reply, from);
    });
    fails_with(&[&url], "malformed", "no multiple of 6");
    let url = udp_with_ids(|socket, bytes, from| {
        let peers = vec![1; 6 * 10_000];
        let reply = [&bytes[8..16], &[0; 12][..], &peers].concat();
        let _ = socket.send_to(&reply, from);
    });
    let seen = good(&[&url]);
    assert_eq!(seen["total_peers_returned"], 10_000);
    assert_eq!(
        seen["notes"][0],
        "10000 peers, although at most 50 were wanted"
    );
}

#[test]
fn a_body_without_an_end() {
    let endless = |head: &'static str, piece: &'static [u8]| {
        http(move |stream, _| {
            let mut sent = stream.write_all(head.as_bytes());
            while sent.is_ok() {
                sent = stream.write_all(piece);
            }
        })
    };
    let zeros = &[b'0'; 4096];
    let until_close = endless("HTTP/1.0 200 OK\r\n\r\n", zeros);
    fails_with(
        &[&until_close],
        "too_large",
        "the body has more than 1048576 bytes",
    );
    let chunked = endless(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"10\r\n0123456789abcdef\r\n",
    );
    fails_with(&[&chunked], "too_large", "the body");
    let head = endless("HTTP/1.1 200 OK\r\nX-Long: ", zeros);
    fails_with(&[&head], "too_large", "the head");
    let long = saying("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nd");
    fails_with(&[&long], "too_large", "the body");
    let negative = saying("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nd");
    fails_with(&[&negative], "malformed", "no Content-Length");
    let short = saying("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nd");
    fails_with(&[&short], "closed", "before the whole body");
    fails_with(&[&saying("")], "closed", "before a response");
}

#[test]
fn chunks_and_compression_are_taken_apart() {
    let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in ANSWER.chunks(20) {
        chunked.extend(format!("{:x};x=y\r\n", piece.len()).into_bytes());
        chunked.extend(piece);
        chunked.extend(b"\r\n");
    }
    let broken = [&chunked[..], b"zz\r\n"].concat();
    chunked.extend(b"0\r\nTrailer: yes\r\n\r\n");
    assert_eq!(good(&[&saying(chunked)])["leechers"], 2);
    fails_with(&[&saying(broken)], "malformed", "chunks");
    let gzip = "Content-Encoding: gzip\r\n";
    let good_gzip = with_length(gzip, &gzipped(ANSWER));
    assert_eq!(good(&[&saying(good_gzip)])["leechers"], 2);
    let bad_gzip = with_length(gzip, b"\x1f\x8b\x08nonsense");
    fails_with(&[&saying(bad_gzip)], "malformed", "the gzip is broken");
    let cut = gzipped(&b"0123456789".repeat(1000));
    let cut = with_length(gzip, &cut[..cut.len() / 2]);
    fails_with(&[&saying(cut)], "malformed", "the gzip is broken");
    let bomb = with_length(gzip, &gzipped(&vec![b'd'; 200 << 20]));
    fails_with(&[&saying(bomb)], "too_large", "the decompressed body");
    let unknown = with_length("Content-Encoding: br\r\n", ANSWER);
    fails_with(&[&saying(unknown)], "malformed", "unknown encoding br");
    let zstd = zstd::encode_all(ANSWER, 0).unwrap();
    let zstd = with_length("Content-Encoding: zstd\r\n", &zstd);
    assert_eq!(good(&[&saying(zstd)])["leechers"], 2);
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn redirects_are_followed_as_far_as_clients_follow_them() {
    let redirect = |to: &str| {
        saying(format!(
            "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
        ))
    };
    let goal = saying(with_length("", ANSWER));
    let seen = good(&[&redirect(&redirect(&goal))]);
    assert_eq!(seen["leechers"], 2);
    assert_eq!(seen["redirects"].as_array().unwrap().len(), 2);
    fails_with(
        &[&redirect("/announce")],
        "redirect",
        "more than 5 redirects",
    );
    fails_with(
        &[&redirect("udp://127.0.0.1:1")],
        "redirect",
        "from HTTP to UDP",
    );
    fails_with(&[&redirect("gopher://t/")], "redirect", "gopher:// is not");
    let nowhere = saying("HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n");
    fails_with(&[&nowhere], "redirect", "without a Location");
}

#[test]
fn other_statuses_are_told_with_what_they_say() {
    let missing = saying("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nhuh?");
    fails_with(&[&missing], "status", "status 404 Not Found");
    let reason = b"d14:failure reason4:busye";
    let mut busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 25\r\n\r\n".to_vec();
    busy.extend(reason);
    fails_with(
        &[&saying(busy)],
        "status",
        "with the failure reason \"busy\"",
    );
}

#[test]
fn a_tracker_that_comes_round_is_waited_for() {
    let count = std::sync::atomic::AtomicU32::new(0);
    let url = http(move |stream, _| {
        let response = match count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 | 1 => b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_vec(),
            _ => with_length("", ANSWER),
        };
        let _ = stream.write_all(&response);
    });
    let all = ["query", "--json", &url, "--until-success", "--delay", "0"];
    let outcome = outcome(&mut shoal(&all));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(outcome.stderr, "");
    let json: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(json["summary"]["asked"], 3);
    assert_eq!(json["summary"]["succeeded"], 1);
}

#[test]
fn requests_are_worded_as_the_client_words_them() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let url = http(move |stream, head| {
        sender.lock().unwrap().send(head.to_owned()).unwrap();
        let _ = stream.write_all(&with_length("", ANSWER));
    });
    let hash = "00017f80ff2025262b2d2e3d3f415f617a7e0a0d";
    good(&[
        &url,
        "-H",
        hash,
        "--client",
        "libtorrent",
        "--key",
        "ab",
        "-n",
        "7",
    ]);
    let head = receiver.recv().unwrap();
    let (line, fields) = head.split_once("\r\n").unwrap();
    assert!(
        line.starts_with(
            "GET /announce?info_hash=%00%01%7f%80%ff%20%25%26%2b-.%3d%3fA_az~%0a%0d&peer_id=-LT"
        ),
        "{line}"
    );
    assert!(
        line.ends_with(
            "&port=6881&uploaded=0&downloaded=0&left=1000000000&corrupt=0&key=000000AB\
             &event=started&numwant=7&compact=1&no_peer_id=1&supportcrypto=1&redundant=0 HTTP/1.1"
        ),
        "{line}"
    );
    assert!(fields.contains("User-Agent: libtorrent/2."), "{fields}");
    assert!(
        receiver.try_recv().is_err(),
        "a torrent that was named stays"
    );
}

/// A tracker over HTTPS with this certificate.
fn tls(certificate: CertificateDer<'static>, key: &KeyPair) -> String {
    let private_key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], private_key)
        .unwrap();
    let config = Arc::new(config);
    let address = tcp(move |stream, _| {
        let session = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = StreamOwned::new(session, stream);
        read_head(&mut stream);
        // No farewell of TLS: nobody must mind when the body is whole.
        let _ = stream.write_all(&with_length("", ANSWER));
        let _ = stream.flush();
    });
    format!("https://{address}/announce")
}

#[test]
fn certificates_that_cannot_be_trusted() {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let self_signed = tls(certificate.der().clone(), &key);
    fails_with(&[&self_signed], "tls", "is self-signed");
    assert_eq!(good(&[&self_signed, "--insecure"])["leechers"], 2);
    let plain = tcp(|mut stream, _| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = stream.read(&mut [0; 2048]);
    });
    let plain = format!("https://{plain}/announce");
    fails_with(&[&plain], "tls", "TLS");
    let rude = tcp(|mut stream, _| {
        let _ = stream.read(&mut [0; 64]);
    });
    let rude = format!("https://{rude}/announce");
    fails_with(&[&rude], "closed", "the connection broke");
}

#[test]
fn certificates_that_have_expired_or_are_for_another_name() {
    for (end, name, text) in [
        (2001, "127.0.0.1", "has expired"),
        (4000, "example.org", "is for another name"),
    ] {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("ca.pem");
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let root = authority.self_signed(&authority_key).unwrap();
        std::fs::write(&file, root.pem()).unwrap();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(end, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let url = tls(certificate.der().clone(), &key);
        fails_with(&[&url, "--ca", file.to_str().unwrap()], "tls", text);
    }
}

#[test]
fn nobody_there() {
    let gone = TcpListener::bind(LOCAL).unwrap().local_addr().unwrap();
    fails_with(
        &[&format!("http://{gone}/announce")],
        "refused",
        "connection refused",
    );
    fails_with(
        &[&format!("udp://{gone}/announce")],
        "refused",
        "connection refused",
    );
    let name = "http://no-such-name.invalid/announce";
    fails_with(
        &[name],
        "unresolved",
        "no-such-name.invalid cannot be resolved",
    );
    fails_with(&["http://t/announce/KEY", "-s", "-4"], "unresolved", "");
    fails_with(&["ftp://t/announce"], "unaskable", "ftp:// is not");
}
