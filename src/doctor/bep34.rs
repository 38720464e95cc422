//! The DNS record by which a name says where its tracker is (BEP 34). Clients and newTrackon that know it
//! obey it; most names have none, and need none.

use std::net::IpAddr;

use super::report::{Finding, Verdict};
use crate::query::failure::printable;
use crate::query::target::{Scheme, Target};

const CHECK: &str = "bep34";

/// What the record of a name says, the first of them if it has several.
fn record(texts: &[String]) -> Option<&String> {
    let is_ours = |text: &&String| text.split(' ').next() == Some("BITTORRENT");
    texts.iter().find(is_ours)
}

/// Where a record says that trackers are, in the order of preference; words that nobody knows are passed
/// over.
fn places(record: &str) -> impl Iterator<Item = (&str, u16)> {
    record.split(' ').skip(1).filter_map(|word| {
        let (protocol, port) = word.split_once(':')?;
        let port = port.parse().ok()?;
        matches!(protocol, "UDP" | "TCP").then_some((protocol, port))
    })
}

/// Judges the TXT records of the host of `target`.
pub(super) fn judge(target: &Target, texts: Result<Vec<String>, String>) -> Finding {
    let protocol = match target.scheme {
        Scheme::Udp => "UDP",
        Scheme::Http | Scheme::Https => "TCP",
    };
    let port = target.port;
    let wanted = format!("a TXT record \"BITTORRENT {protocol}:{port}\"");
    let host = &target.host;
    let fix = format!("{host}. 3600 IN TXT \"BITTORRENT {protocol}:{port}\"  # in its DNS zone");
    let about = target.to_string();
    if host.parse::<IpAddr>().is_ok() {
        let why = "an address has no records; name the tracker by a host name";
        return Finding::not_known(CHECK, why, wanted).about(about);
    }
    let texts = match texts {
        Ok(texts) => texts,
        Err(why) => {
            let why = format!("it cannot be asked for: {why}");
            return Finding::not_known(CHECK, why, wanted).about(about);
        }
    };
    let (verdict, value) = match record(&texts) {
        None => (
            Verdict::CouldBeBetter,
            "no record: clients try the protocols one after the other".to_owned(),
        ),
        Some(text) => {
            let said = printable(text.as_bytes());
            let named = places(text).any(|place| place == (protocol, port));
            match (named, places(text).next()) {
                (true, _) => (Verdict::Good, format!("\"{said}\"")),
                (false, Some(_)) => (
                    Verdict::WillLosePackets,
                    format!("\"{said}\" leads elsewhere"),
                ),
                (false, None) => (
                    Verdict::WillLosePackets,
                    format!("\"{said}\" says that there is no tracker"),
                ),
            }
        }
    };
    Finding::new(CHECK, verdict, value, wanted)
        .about(about)
        .fix(fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(url: &str, texts: &[&str]) -> Finding {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        judge(&url.parse().unwrap(), Ok(texts))
    }

    #[test]
    fn a_record_must_name_the_protocol_and_port_of_the_url() {
        let udp = "udp://tracker.example.org:6969/announce";
        let record = "BITTORRENT UDP:1337 TCP:80 UDP:6969 SCTP:9 DENY";
        assert_eq!(judged(udp, &["v=spf1", record]).verdict, Verdict::Good);
        let http = judged("http://tracker.example.org/announce", &[record]);
        assert_eq!(http.verdict, Verdict::Good);
        let https = judged("https://tracker.example.org/announce", &[record]);
        assert_eq!(https.verdict, Verdict::WillLosePackets);
        assert!(https.value.ends_with("leads elsewhere"));
        assert_eq!(
            https.fix.unwrap(),
            "tracker.example.org. 3600 IN TXT \"BITTORRENT TCP:443\"  # in its DNS zone"
        );
    }

    #[test]
    fn a_record_without_a_place_sends_everybody_away() {
        let udp = "udp://tracker.example.org:6969/announce";
        for record in ["BITTORRENT", "BITTORRENT udp:6969 UDP:x UDP:70000"] {
            let found = judged(udp, &[record]);
            assert_eq!(found.verdict, Verdict::WillLosePackets, "{record}");
            assert!(found.value.ends_with("there is no tracker"), "{record}");
        }
    }

    #[test]
    fn a_name_without_a_record_could_have_one() {
        let udp = "udp://tracker.example.org:6969/announce";
        for texts in [&[][..], &["bittorrent UDP:6969"], &["BITTORRENTS"]] {
            let found = judged(udp, texts);
            assert_eq!(found.verdict, Verdict::CouldBeBetter, "{texts:?}");
            assert!(found.fix.is_some());
        }
    }

    #[test]
    fn addresses_and_silent_servers_are_not_known() {
        let address = judged("udp://192.0.2.1:6969", &["BITTORRENT"]);
        assert_eq!(address.verdict, Verdict::NotKnown);
        let target: Target = "udp://tracker.example.org:6969".parse().unwrap();
        let silent = judge(&target, Err("192.0.2.53:53: timed out".to_owned()));
        assert_eq!(silent.verdict, Verdict::NotKnown);
    }
}
