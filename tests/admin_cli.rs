//! The verbs that talk to the API of a running tracker, and how they fail.

mod fake_api;
mod program;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use fake_api::{Api, Reply, TOKEN, read, write};
use nix::pty::openpty;
use program::{Outcome, Scratch, accepted, outcome, shoal};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// Fails with this one sentence, which begins and ends so.
#[track_caller]
fn fails(done: &Outcome, start: &str, end: &str) {
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(done.stdout, "", "{done:?}");
    let line = done.stderr.strip_suffix('\n').expect(&done.stderr);
    assert!(!line.contains('\n'), "one sentence: {line}");
    assert!(line.starts_with(start) && line.ends_with(end), "{line}");
}

#[test]
fn keys_are_made_shown_and_taken_away() {
    let api = Api::start();
    let own = "k".repeat(32);
    let text = accepted(&mut api.shoal(&["key", "add", "--key", &own, "--permanent"]));
    assert_eq!(text, format!("{own}  good until it is taken away\n"));
    let text = accepted(&mut api.shoal(&["key", "add", "--seconds", "60"]));
    assert_eq!(
        text,
        "Xc1L4PbQJSFGlrgSRZl8wxSFAuMa21z5  good until 2023-11-14T22:14:20Z\n"
    );
    let third = "m".repeat(32);
    accepted(&mut api.shoal(&["key", "add", "--key", &third, "--seconds", "0", "--json"]));
    let text = accepted(&mut api.shoal(&["key", "list"]));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4, "two pages: {text}");
    assert!(
        lines[0].starts_with("KEY ") && lines[0].ends_with("  UNTIL"),
        "{text}"
    );
    assert!(lines.contains(&format!("{own}  never").as_str()), "{text}");
    let list = accepted(&mut api.shoal(&["key", "list", "--json"]));
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["keys"].as_array().unwrap().len(), 3);
    let done = outcome(&mut api.shoal(&["key", "remove", "../unknown", &own]));
    assert_eq!(done.code, Some(1));
    assert_eq!(done.stdout, format!("{own}  removed\n"));
    assert!(
        done.stderr
            .contains("/key/..%2Funknown answers with status 500"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr
            .ends_with(": failed to delete key: there is no such key\n")
    );
    assert_eq!(api.state().keys.len(), 2);
}

#[test]
fn a_bad_key_is_refused_in_the_words_of_the_tracker() {
    let api = Api::start();
    let done = outcome(&mut api.shoal(&["key", "add", "--key", "short", "--permanent"]));
    fails(&done, &api.url, "\"short\", Invalid key length.");
    let done = outcome(&mut api.shoal(&["key", "add"]));
    assert_eq!(done.code, Some(2), "for how long must be said: {done:?}");
}

#[test]
fn torrents_and_sources_are_blocked_and_served_again() {
    let api = Api::start();
    let long = format!("{B}{}", "0".repeat(24));
    let block = [
        "block",
        "add",
        A,
        &long,
        "192.0.2.9/24",
        "2001:db8::1",
        "--reason",
        "court order",
    ];
    let text = accepted(&mut api.shoal(&block));
    assert_eq!(
        text,
        format!(
            "{A}  blocked\n{B}  blocked\n192.0.2.0/24  blocked\n2001:db8::1/128  blocked\n\
             2 torrents and 2 sources blocked, 4 of them new\n"
        )
    );
    let list = accepted(&mut api.shoal(&["block", "list"]));
    let row = format!("{A}  2023-11-14T22:13:20Z  admin  court order");
    assert!(program::has_line(&list, &row), "{list}");
    assert!(list.contains("192.0.2.0/24"), "{list}");
    let removed =
        accepted(&mut api.shoal(&["block", "remove", "--json", A, "192.0.2.0/24", "::1"]));
    let removed: Value = serde_json::from_str(&removed).unwrap();
    assert_eq!(removed["removed"], 2);
    assert_eq!(removed["networks"], json!(["192.0.2.0/24", "::1/128"]));
    let state = api.state();
    assert_eq!(state.blocked.keys().collect::<Vec<_>>(), [B]);
    assert_eq!(
        state.networks.keys().collect::<Vec<_>>(),
        ["2001:db8::1/128"]
    );
    drop(state);
    let done = outcome(&mut api.shoal(&["block", "add", "nothing"]));
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(
        done.stderr.ends_with("nor is it an address or a network\n"),
        "{}",
        done.stderr
    );
}

#[test]
fn torrents_are_listed_shown_and_removed() {
    let api = Api::start();
    {
        let mut state = api.state();
        let peer = json!({"ip": "192.0.2.1", "port": 6881, "left": 0, "age": 1});
        state.swarms.insert(A.to_owned(), (3, vec![peer]));
        state.swarms.insert(B.to_owned(), (0, vec![]));
        let metadata =
            json!({"name": "a\u{1b}[2J.iso", "size": 3_u64 << 30, "creation_date": 1_700_000_000});
        state.metadata.insert(A.to_owned(), metadata);
        state.allowed.insert(A.to_owned());
    }
    let list = accepted(&mut api.shoal(&["torrent", "list", "--offset", "0", "--limit", "1"]));
    let pad = " ".repeat(31);
    assert_eq!(
        list,
        format!(
            "INFO-HASH{pad}  SEEDERS  LEECHERS  COMPLETED\n{A}        1         0          3\n"
        )
    );
    let shown = accepted(&mut api.shoal(&["torrent", "show", A]));
    for line in [
        "name       a\\u{1b}[2J.iso",
        "size       3.0 GiB",
        "created    2023-11-14T22:13:20Z",
        "completed  3",
        "192.0.2.1:6881     0  Started",
    ] {
        assert!(program::has_line(&shown, line), "{line} in {shown}");
    }
    let json = accepted(&mut api.shoal(&["torrent", "show", "--json", B]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["torrents"][0]["metadata"], Value::Null);
    assert_eq!(json["torrents"][0]["swarm"]["completed"], 0);
    let text = accepted(&mut api.shoal(&["torrent", "remove", A, B]));
    assert!(
        text.ends_with("2 torrents removed, 1 of them had been on the allowlist\n"),
        "{text}"
    );
    let state = api.state();
    assert!(state.swarms.is_empty() && state.metadata.is_empty() && state.allowed.is_empty());
    drop(state);
    let done = outcome(&mut api.shoal(&["torrent", "show", A]));
    fails(&done, "the tracker does not know", A);
}

#[test]
fn a_token_that_is_missing_or_wrong_is_said_without_trying_again() {
    let api = Api::start();
    let list = ["key", "list"];
    let done = outcome(api.shoal(&list).env_remove("SHOAL_TOKEN"));
    fails(&done, &api.url, "SHOAL_TOKEN or --token-file");
    assert!(done.stderr.contains("wants a token"), "{}", done.stderr);
    let done = outcome(api.shoal(&list).env("SHOAL_TOKEN", "guessed!"));
    fails(&done, &api.url, "in the configuration of that tracker");
    assert!(!done.stderr.contains("guessed!"), "{}", done.stderr);
    assert_eq!(api.asked().len(), 2);
    let file = Scratch::with(format!("{TOKEN}\n"));
    let of_file = ["key", "list", "--token-file", file.path()];
    accepted(api.shoal(&of_file).env("SHOAL_TOKEN", "guessed!"));
    accepted(
        api.shoal(&["key", "list", "--token", TOKEN])
            .env("SHOAL_TOKEN", "guessed!"),
    );
    let done = outcome(&mut api.shoal(&["key", "list", "--token-file", "/nowhere"]));
    assert_eq!(done.code, Some(2), "{done:?}");
    let help = accepted(&mut shoal(&["key", "list", "--help"]));
    assert!(help.contains("list of processes"), "{help}");
}

#[test]
fn a_wrong_url_is_wrong_usage() {
    for url in ["udp://127.0.0.1:6969", "127.0.0.1:1212", "http://"] {
        let done = outcome(&mut shoal(&["key", "list", "--api", url]));
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(
            done.stderr
                .starts_with(&format!("{url} is no URL of an API")),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn what_is_no_api_is_said() {
    let page = Api::with(Box::new(|_| Some(Reply::text("200 OK", "<html>"))));
    let done = outcome(&mut page.shoal(&["key", "list"]));
    fails(&done, &page.url, "is it the API of a tracker?");
    let none = Api::with(Box::new(|_| Some(Reply::text("404 Not Found", ""))));
    let done = outcome(&mut none.shoal(&["block", "list"]));
    fails(&done, &none.url, "and not of an older version?");
    let problem = || Reply::problem("409 Conflict", "the store is\n off");
    let refuses = Api::with(Box::new(move |_| Some(problem())));
    let done = outcome(&mut refuses.shoal(&["block", "add", A]));
    fails(
        &done,
        &refuses.url,
        "answers with status 409 Conflict: the store is\\n off",
    );
}

#[test]
fn a_tracker_that_is_busy_is_asked_again() {
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let api = Api::with(Box::new(move |_| {
        let number = counted.fetch_add(1, Ordering::Relaxed);
        (number < 2).then(|| Reply::problem("503 Service Unavailable", "busy"))
    }));
    accepted(&mut api.shoal(&["block", "add", A]));
    assert_eq!(count.load(Ordering::Relaxed), 3);
    let always = Api::with(Box::new(|_| {
        Some(Reply::text("502 Bad Gateway", "no tracker"))
    }));
    let done = outcome(&mut always.shoal(&["block", "add", A]));
    fails(
        &done,
        &always.url,
        "answers with status 502 Bad Gateway: no tracker",
    );
    assert_eq!(always.asked().len(), 3);
}

#[test]
fn a_tracker_that_does_not_run_is_named_after_three_tries() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{port}");
    let done = outcome(&mut shoal(&["key", "list", "--api", &url]));
    let start = format!("{url} gives no answer, 3 times asked: connection refused");
    fails(
        &done,
        &start,
        "or name its API with --api URL (control.listen)",
    );
}

#[test]
fn a_key_is_not_made_twice_when_the_answer_is_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::Relaxed);
            read(&stream);
        }
    });
    let add = ["key", "add", "--permanent", "--api", &url, "--token", TOKEN];
    let done = outcome(&mut shoal(&add));
    fails(&done, &format!("{url} gives no answer: "), "");
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn https_is_believed_only_with_a_certificate_that_somebody_vouches_for() {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(session, stream);
            if read(&mut stream).is_some() {
                write(
                    &mut stream,
                    &Reply::ok(&json!([{"info_hash": A, "seeders": 1}])),
                );
            }
        }
    });
    let done = outcome(&mut shoal(&["torrent", "list", "--api", &url]));
    fails(&done, &url, "(--ca FILE)");
    let ca = Scratch::with(certificate.pem());
    let list = accepted(&mut shoal(&[
        "torrent",
        "list",
        "--api",
        &url,
        "--ca",
        ca.path(),
    ]));
    assert!(list.contains(A), "{list}");
}

fn is_hash_of(password: &[u8], printed: &str) -> bool {
    let hash = PasswordHash::new(printed.trim_end()).expect(printed);
    assert!(printed.starts_with("$argon2id$v=19$"), "{printed}");
    Argon2::default().verify_password(password, &hash).is_ok()
}

#[test]
fn a_password_from_the_standard_input_is_hashed() {
    let hash = |input: &[u8]| {
        let mut program = shoal(&["user", "hash"]);
        let program = program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = program.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let done = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (done.status.code(), text(done.stdout), text(done.stderr))
    };
    let (code, printed, _) = hash(b"correct horse \r\nmore\n");
    assert_eq!(code, Some(0));
    assert!(is_hash_of(b"correct horse ", &printed), "only line ends go");
    assert!(!is_hash_of(b"correct horse", &printed));
    assert_ne!(
        hash(b"correct horse \n").1,
        printed,
        "the salt is another one"
    );
    for (input, why) in [
        (&b""[..], "an empty password is none\n"),
        (b"\n", "an empty password is none\n"),
        (&[b'x'; 2000], "no password: it has more than 1024 bytes\n"),
    ] {
        let (code, printed, said) = hash(input);
        assert_eq!((code, printed.as_str(), said.as_str()), (Some(1), "", why));
    }
}

#[test]
fn a_terminal_does_not_show_the_password() {
    for (second, code) in [("secret!", 0), ("other", 1)] {
        let terminal = openpty(None, None).unwrap();
        let mut program = shoal(&["user", "hash"]);
        let program = program
            .stdin(terminal.slave)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = program.spawn().unwrap();
        let mut keyboard = std::fs::File::from(terminal.master);
        let mut screen = child.stderr.take().unwrap();
        let mut seen = String::new();
        for (prompt, typed) in [("Password: ", "secret!"), ("The same again: ", second)] {
            while !seen.ends_with(prompt) {
                let mut byte = [0];
                assert_eq!(screen.read(&mut byte).unwrap(), 1, "{seen}");
                seen.push(char::from(byte[0]));
            }
            // The prompt is there before the terminal is silent; what is typed ahead counts for nothing.
            while is_loud(&keyboard) {
                thread::yield_now();
            }
            keyboard.write_all(format!("{typed}\n").as_bytes()).unwrap();
        }
        let done = child.wait_with_output().unwrap();
        assert_eq!(done.status.code(), Some(code));
        let printed = String::from_utf8(done.stdout).unwrap();
        if code == 0 {
            assert!(is_hash_of(b"secret!", &printed));
        } else {
            screen.read_to_string(&mut seen).unwrap();
            assert!(
                printed.is_empty() && seen.ends_with("\nthe passwords differ\n"),
                "{seen}"
            );
        }
        assert!(is_loud(&keyboard), "it is as before");
        let flags = nix::fcntl::OFlag::O_NONBLOCK;
        nix::fcntl::fcntl(&keyboard, nix::fcntl::FcntlArg::F_SETFL(flags)).unwrap();
        let mut shown = Vec::new();
        let _ = keyboard.read_to_end(&mut shown);
        assert!(shown.is_empty(), "{}", String::from_utf8_lossy(&shown));
    }
}

fn is_loud(terminal: &std::fs::File) -> bool {
    use nix::sys::termios::{LocalFlags, tcgetattr};
    let flags = tcgetattr(terminal).unwrap().local_flags;
    flags.contains(LocalFlags::ECHO)
}

#[test]
fn numbers_beyond_all_bounds_and_lists_without_an_end_are_told_and_no_panic() {
    let api = Api::with(Box::new(|seen| {
        let endless =
            json!({"added": u64::MAX, "removed": u64::MAX, "total": u64::MAX, "items": [{}]});
        seen.path
            .starts_with("/api/v1/")
            .then(|| Reply::ok(&endless))
    }));
    let hash = "00".repeat(20);
    for verb in ["add", "remove"] {
        let done = outcome(&mut api.shoal(&["block", verb, &hash, "192.0.2.0/24"]));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(
            done.stdout.contains(&u64::MAX.to_string()),
            "{}",
            done.stdout
        );
    }
    let done = outcome(&mut api.shoal(&["block", "list"]));
    assert_eq!(done.code, Some(1));
    assert!(
        done.stderr.contains("has more than 10000 pages"),
        "{}",
        done.stderr
    );
}

#[test]
fn json_of_hostile_names_has_nothing_that_a_terminal_obeys() {
    let hostile = "\u{9b}31m\u{61c}\u{202e}";
    let api = Api::with(Box::new(move |seen| {
        let rows = json!({"total": 1, "items": [{"info_hash": hostile, "reason": hostile}]});
        seen.path.starts_with("/api/v1/").then(|| Reply::ok(&rows))
    }));
    for json in [&["--json"][..], &[]] {
        let done = outcome(api.shoal(&["block", "list"]).args(json));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(
            !done.stdout.contains(['\u{9b}', '\u{61c}', '\u{202e}']),
            "{}",
            done.stdout
        );
    }
}
