//! Answers of trackers of every kind, and bytes that are none.

use super::*;

fn announced(body: &[u8]) -> Decoded<AnnounceAnswer> {
    http_announce(body).expect("an answer")
}

fn refused(body: &[u8]) -> Refused {
    http_announce(body).expect_err("no answer")
}

#[test]
fn compact_peers_of_both_families_are_read() {
    let mut body = b"d8:completei1e11:external ip4:\x01\x02\x03\x0410:incompletei2e".to_vec();
    body.extend(b"8:intervali1800e12:min intervali900e5:peers6:\x7f\0\0\x01\x1a\xe1");
    body.extend(b"6:peers636:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe2");
    body.extend(b"\0\0\0\0\0\0\0\0\0\0\xff\xff\x05\x06\x07\x08\x1a\xe3");
    body.extend(b"10:tracker id3:abc15:warning message2:hoe");
    let Decoded { answer, notes } = announced(&body);
    assert_eq!(notes, Vec::<String>::new());
    let shown: Vec<_> = answer
        .peers
        .iter()
        .map(|peer| (peer.host.as_str(), peer.port, peer.form))
        .collect();
    assert_eq!(
        shown,
        [
            ("127.0.0.1", 6881, PeerForm::V4),
            ("2001:db8::1", 6882, PeerForm::V6),
            ("::ffff:5.6.7.8", 6883, PeerForm::Mapped),
        ]
    );
    assert_eq!((answer.v4_bytes, answer.v6_bytes), (6, 36));
    assert_eq!(answer.external_ip, Some(IpAddr::from([1, 2, 3, 4])));
    assert_eq!(answer.warning.as_deref(), Some("ho"));
    assert_eq!(answer.tracker_id.as_deref(), Some("abc"));
    assert_eq!(answer.min_interval, Some(900));
}

#[test]
fn peers_in_dictionaries_are_read_and_broken_ones_counted() {
    let body = b"d8:intervali5e5:peersld2:ip9:127.0.0.17:peer id3:abc4:porti1eed2:ip1:x4:porti70000eei5eee";
    let Decoded { answer, notes } = announced(body);
    assert_eq!(answer.peers.len(), 1);
    assert_eq!(answer.peers[0].peer_id.as_deref(), Some(&b"abc"[..]));
    assert_eq!(notes, ["2 of 3 peers cannot be read"]);
}

#[test]
fn what_is_odd_about_an_answer_is_noted() {
    let notes = |body: &[u8]| announced(body).notes.join("; ");
    assert!(notes(b"de").contains("no \"interval\""));
    assert!(notes(b"de").contains("neither"));
    assert!(notes(b"d8:intervali1e5:peers7:abcdefge").contains("no multiple of 6"));
    assert!(notes(b"d8:completei-1ee").contains("negative"));
    assert!(notes(b"d8:complete1:xe").contains("no whole number"));
    assert!(notes(b"d11:external ip3:abce").contains("external ip"));
}

#[test]
fn a_refusal_has_its_text_and_when_to_ask_again() {
    let never = refused(b"d14:failure reason4:no\x1b!8:retry in5:nevere");
    assert_eq!(never.failure.kind, Kind::FailureReason);
    assert_eq!(never.failure.text, "no\\u{1b}!");
    assert_eq!(never.retry_in, Some(RetryIn::Never));
    let later = refused(b"d14:failure reason2:no8:retry ini30ee");
    assert_eq!(later.retry_in, Some(RetryIn::Minutes(30)));
}

#[test]
fn a_page_is_no_answer_and_its_start_is_shown() {
    let failure = refused(b"<html><body>parked</body></html>").failure;
    assert_eq!(failure.kind, Kind::Malformed);
    assert!(failure.text.contains("<html>"), "{failure}");
    assert!(refused(b"").failure.text.contains("empty"));
    assert!(refused(b"i5e").failure.text.contains("no dictionary"));
}

#[test]
fn a_scrape_names_the_torrents_that_are_missing() {
    let asked = [InfoHash([b'a'; 20]), InfoHash([b'b'; 20])];
    let body = b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1e10:downloadedi2e10:incompletei3eee\
                 5:flagsd20:min_request_intervali60eee";
    let Decoded { answer, notes } = http_scrape(body, &asked).unwrap();
    assert_eq!(answer.min_request_interval, Some(60));
    assert_eq!(answer.rows[0].info_hash, "61".repeat(20));
    assert_eq!(answer.rows[0].incomplete, Some(3));
    assert_eq!(notes, ["1 of 2 torrents are missing in the answer"]);
    assert!(http_scrape(b"de", &asked).is_err());
}

fn datagram(words: &[u32], rest: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend_from_slice(rest);
    bytes
}

#[test]
fn a_datagram_must_answer_the_request_that_was_sent() {
    assert_eq!(udp_head(&datagram(&[1, 7], b""), 1, 7), Ok(()));
    let text = |reply: &[u8]| udp_head(reply, 1, 7).unwrap_err().text;
    assert!(text(&datagram(&[1, 8], b"")).contains("00000008, not 00000007"));
    assert!(text(&datagram(&[2, 7], b"")).contains("action 2"));
    assert!(text(&datagram(&[3, 0], b"bad")).contains("bad"));
    assert!(text(b"abc").contains("only 3 bytes"));
    let refusal = udp_head(&datagram(&[3, 7], b"not here"), 1, 7).unwrap_err();
    assert_eq!(refusal.kind, Kind::FailureReason);
    assert_eq!(refusal.text, "not here");
}

#[test]
fn the_totals_and_peers_of_a_datagram_are_read() {
    let peer = b"\x7f\0\0\x01\x1a\xe1";
    let reply = datagram(&[1, 7, 1800, 2, 3], peer);
    let answer = udp_announce(&reply, false).unwrap().answer;
    assert_eq!((answer.incomplete, answer.complete), (Some(2), Some(3)));
    assert_eq!(answer.peers[0].host, "127.0.0.1");
    let failure = udp_announce(&reply, true).unwrap_err();
    assert!(failure.text.contains("look like IPv4"), "{failure}");
    assert!(udp_announce(&reply[..19], false).is_err());
    assert!(udp_announce(&reply[..25], false).is_err());
    assert_eq!(udp_connect(&datagram(&[0, 7, 1, 2], b"")), Ok(1 << 32 | 2));
    assert!(udp_connect(&datagram(&[0, 7, 1], b"")).is_err());
}

#[test]
fn a_scrape_with_too_few_rows_is_noted_and_one_with_half_a_row_is_refused() {
    let asked = [InfoHash([b'a'; 20]), InfoHash([b'b'; 20])];
    let reply = datagram(&[2, 7, 1, 2, 3], b"");
    let Decoded { answer, notes } = udp_scrape(&reply, &asked).unwrap();
    let row = &answer.rows[0];
    assert_eq!(
        (row.complete, row.downloaded, row.incomplete),
        (Some(1), Some(2), Some(3))
    );
    assert_eq!(notes, ["1 torrents are in the answer, 2 were asked for"]);
    assert!(udp_scrape(&reply[..19], &asked).is_err());
}

#[test]
fn random_and_mutated_answers_never_panic() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let asked = [InfoHash([b'a'; 20])];
    let good: [&[u8]; 4] = [
        b"d8:completei1e11:external ip4:abcd8:intervali1800e5:peers6:abcdef6:peers618:abcdefghijklmnopqre",
        b"d8:intervali5e5:peersld2:ip9:127.0.0.17:peer id3:abc4:porti1eeee",
        b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1eee5:flagsd20:min_request_intervali60eee",
        b"\0\0\0\x01\0\0\0\x07\0\0\x07\x08\0\0\0\x01\0\0\0\x01abcdef",
    ];
    for _ in 0..100_000 {
        let mut bytes = random.choice(good).expect("four answers").to_vec();
        for _ in 0..random.usize(0..6) {
            if bytes.is_empty() {
                break;
            }
            let at = random.usize(..bytes.len());
            match random.u8(..4) {
                0 => bytes[at] = random.u8(..),
                1 => bytes[at] = *random.choice(b"dlei-0123456789:").expect("letters"),
                2 => bytes.truncate(at),
                _ => bytes.insert(at, random.u8(..)),
            }
        }
        let _ = http_announce(&bytes);
        let _ = http_scrape(&bytes, &asked);
        let _ = udp_head(&bytes, 1, 7);
        let _ = udp_connect(&bytes);
        let _ = udp_announce(&bytes, random.bool());
        let _ = udp_scrape(&bytes, &asked);
    }
}
