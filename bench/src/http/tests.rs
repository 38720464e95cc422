//! Both loads against a server of a few lines.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use clap::Parser;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{https, idle};

const REPLY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\nd8:intervali9e5:peers0:e";

/// A server on a free port that answers one request on each connection, and hands what is left of
/// the connection to `end`. Its threads end with the test's process.
fn server<S>(
    open: impl Fn(std::net::TcpStream) -> S + Send + Clone + 'static,
    end: impl Fn(S) + Send + Clone + 'static,
) -> SocketAddr
where
    S: Read + Write + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (open, end) = (open.clone(), end.clone());
            thread::spawn(move || {
                let mut stream = open(stream.unwrap());
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read(&mut byte).unwrap_or(0) == 0 {
                        return;
                    }
                    request.push(byte[0]);
                }
                stream.write_all(REPLY.as_bytes()).unwrap();
                end(stream);
            });
        }
    });
    address
}

/// A server with a certificate of its own, which is written to `file`.
fn tls_server(file: &Path) -> SocketAddr {
    let made = rcgen::generate_simple_self_signed([String::from("localhost")]).unwrap();
    std::fs::write(file, made.cert.pem()).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    server(
        move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            StreamOwned::new(connection, stream)
        },
        |mut stream| {
            stream.conn.send_close_notify();
            // The client may have left already.
            let _ = stream.flush();
        },
    )
}

/// The options as somebody would type them.
fn options<T: clap::Args>(words: &[&str]) -> T {
    #[derive(Parser)]
    struct Line<T: clap::Args> {
        #[command(flatten)]
        options: T,
    }
    Line::parse_from(["test"].iter().chain(words)).options
}

fn handshakes(target: SocketAddr, certificate: &Path, resume: &str) -> Result<https::Done, String> {
    let options: https::Options = options(&[
        "--target",
        &target.to_string(),
        "--certificate",
        certificate.to_str().unwrap(),
        resume,
        "--connections",
        "2",
        "--duration",
        "0.3",
    ]);
    https::all_clients(&options, &AtomicBool::new(false))
}

#[test]
fn a_session_is_resumed_when_that_is_asked_for_and_never_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let certificate = dir.path().join("certificate.pem");
    let target = tls_server(&certificate);
    let full = handshakes(target, &certificate, "--no-resume").unwrap();
    assert!(full.requests >= 2 && full.resumed == 0, "{}", full.resumed);
    assert_eq!(full.latency.len(), full.requests);
    let resumed = handshakes(target, &certificate, "--resume").unwrap();
    // Each of the two clients begins with a full handshake.
    assert_eq!(resumed.requests - resumed.resumed, 2);
}

#[test]
fn another_certificate_than_the_given_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first.pem"), dir.path().join("second.pem"));
    let target = tls_server(&first);
    tls_server(&second);
    let error = handshakes(target, &second, "--resume").err().unwrap();
    assert!(error.contains("certificate"), "{error}");
}

/// Looks at the connections `hold` seconds after the last announce.
fn idle_connections(target: SocketAddr, hold: &str, more: &[&str]) -> Result<(), String> {
    let target = target.to_string();
    let pid = std::process::id().to_string();
    let mut words = vec!["--target", &target, "--pid", &pid, "--connections", "10"];
    words.extend(["--hold", hold]);
    words.extend(more);
    idle::run(&options(&words), &AtomicBool::new(false))
}

#[test]
fn idle_connections_must_stay_open() {
    let keeps = server(|stream| stream, |mut stream| _ = stream.read(&mut [0]));
    assert_eq!(idle_connections(keeps, "0.1", &[]), Ok(()));
    let closes = server(|stream| stream, drop);
    let error = idle_connections(closes, "2", &[]).unwrap_err();
    assert!(error.starts_with("the server closed 10 of"), "{error}");
}

#[test]
fn idle_connections_may_be_of_tls() {
    let dir = tempfile::tempdir().unwrap();
    let certificate = dir.path().join("certificate.pem");
    let target = tls_server(&certificate);
    // This server closes, which is seen only after both handshake and announce went well.
    let error = idle_connections(
        target,
        "2",
        &["--certificate", certificate.to_str().unwrap()],
    );
    assert!(error.unwrap_err().starts_with("the server closed 10 of"));
}
