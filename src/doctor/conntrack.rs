//! Connection tracking: a table with an entry for every peer that sends a datagram. When it is full, the
//! kernel drops packets of everybody else, so datagrams on our ports should stay out of it.

use std::process::{Command, Stdio};

use super::host::Host;
use super::report::{Finding, Verdict};

const CHECK: &str = "conntrack";
const WANTED: &str = "no entries for our UDP ports (notrack)";

/// A table that is smaller is filled within a minute by 10 000 new peers a second.
const ENTRIES_MIN: u64 = 1 << 20;

/// The rules of this host's packet filters as text; nothing if it has none or they may not be seen, which
/// takes root.
pub(super) fn rules() -> Option<String> {
    let programs: [(&str, &[&str]); 3] = [
        ("nft", &["-n", "-t", "list", "ruleset"]),
        ("iptables-save", &["-t", "raw"]),
        ("ip6tables-save", &["-t", "raw"]),
    ];
    let said = programs.map(|(program, arguments)| {
        let mut command = Command::new(program);
        let command = command.args(arguments).stdin(Stdio::null());
        let output = command.stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(text)
    });
    let known: Vec<String> = said.into_iter().flatten().collect();
    (!known.is_empty()).then(|| known.concat())
}

/// Whether our ports are tracked. `rules` are asked for only when it matters.
pub(super) fn check(host: &Host, ports: &[u16], rules: impl FnOnce() -> Option<String>) -> Finding {
    let good = |value: &str| Finding::new(CHECK, Verdict::Good, value, WANTED);
    if ports.is_empty() {
        return good("no UDP port");
    }
    let (Some(count), Some(max)) = (
        host.sysctl("net.netfilter.nf_conntrack_count"),
        host.sysctl("net.netfilter.nf_conntrack_max"),
    ) else {
        return good("not loaded");
    };
    if count == 0 {
        return good("loaded, and tracks nothing");
    }
    let value = format!("{count} of {max} entries in use");
    let is_nearly_full = count >= max - max / 5;
    let rules = rules();
    let (verdict, value) = match &rules {
        Some(rules) if ports.iter().all(|port| is_left_out(rules, *port)) => {
            (Verdict::Good, format!("{value}, none for our ports"))
        }
        _ if is_nearly_full => (Verdict::WillLosePackets, format!("{value}: nearly full")),
        None => {
            let value = format!("{value}; which rules there are only root can see");
            return Finding::not_known(CHECK, value, WANTED).fix("sudo shoal doctor");
        }
        Some(_) if max < ENTRIES_MIN => (
            Verdict::WillLosePackets,
            format!("{value}, and no rule leaves our ports out"),
        ),
        Some(_) => (
            Verdict::CouldBeBetter,
            format!("{value}, and no rule leaves our ports out"),
        ),
    };
    let line = on_one_line(&table(ports));
    Finding::new(CHECK, verdict, value, WANTED).fix(format!("nft '{line}'"))
}

/// The same for a command line, where braces do not end a statement.
fn on_one_line(table: &str) -> String {
    let lines = table.lines().map(|line| match line.trim() {
        "}" => "};",
        other => other,
    });
    lines.collect::<Vec<_>>().join(" ")
}

/// The rules that keep these ports out of the table, as nft reads them.
pub(super) fn table(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let ports = ports.join(", ");
    format!(
        "table inet shoal {{\n\
         \x20   chain prerouting {{\n\
         \x20       type filter hook prerouting priority -300; policy accept;\n\
         \x20       udp dport {{ {ports} }} notrack;\n\
         \x20   }}\n\
         \x20   chain output {{\n\
         \x20       type filter hook output priority -300; policy accept;\n\
         \x20       udp sport {{ {ports} }} notrack;\n\
         \x20   }}\n\
         }}\n"
    )
}

/// Whether a rule keeps datagrams to this port out: one that says notrack, of UDP, and either names the port
/// as a destination or names none.
fn is_left_out(rules: &str, port: u16) -> bool {
    rules.lines().any(|line| {
        let line = line.to_ascii_lowercase();
        let words: Vec<&str> = line
            .split(|c: char| c.is_whitespace() || matches!(c, ',' | '{' | '}' | ';' | '"'))
            .filter(|word| !word.is_empty())
            .collect();
        let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(word));
        if !has(&["notrack", "--notrack"]) || has(&["tcp"]) || has(&["sport", "--sport"]) {
            return false;
        }
        let destinations = ["dport", "--dport", "--dports", "--destination-port"];
        !has(&destinations) || words.iter().any(|word| spans(word, port))
    })
}

/// Whether a word is that port or a range with it: `6969`, `6900-6999` of nft, `6900:6999` of iptables.
fn spans(word: &str, port: u16) -> bool {
    let (first, last) = word.split_once(['-', ':']).unwrap_or((word, word));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => (first..=last).contains(&port),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::host::made_up::MadeUp;

    fn judged(count: &str, max: &str, rules: Option<&str>) -> Finding {
        let made_up = MadeUp::with(&[
            ("proc/sys/net/netfilter/nf_conntrack_count", count),
            ("proc/sys/net/netfilter/nf_conntrack_max", max),
        ]);
        check(&made_up.host(), &[6969, 7000], || {
            rules.map(ToOwned::to_owned)
        })
    }

    #[test]
    fn a_kernel_that_tracks_nothing_is_good() {
        let nothing = MadeUp::with(&[]).host();
        assert_eq!(check(&nothing, &[6969], || None).verdict, Verdict::Good);
        assert_eq!(judged("0", "262144", None).verdict, Verdict::Good);
        assert_eq!(check(&nothing, &[], || None).verdict, Verdict::Good);
    }

    #[test]
    fn tracked_ports_fill_a_table_of_the_usual_size() {
        let found = judged("500", "262144", Some("table inet filter {\n}\n"));
        assert_eq!(found.verdict, Verdict::WillLosePackets);
        let fix = found.fix.unwrap();
        assert!(fix.starts_with("nft 'table inet shoal { chain"), "{fix}");
        assert!(fix.contains("udp dport { 6969, 7000 } notrack;"), "{fix}");
        assert!(!fix.contains('\n'));
        let large = judged("500", "4194304", Some(""));
        assert_eq!(large.verdict, Verdict::CouldBeBetter);
    }

    #[test]
    fn rules_that_cannot_be_seen_are_not_known_unless_the_table_is_nearly_full() {
        let found = judged("500", "262144", None);
        assert_eq!(found.verdict, Verdict::NotKnown);
        assert_eq!(found.fix.unwrap(), "sudo shoal doctor");
        let full = judged("250000", "262144", None);
        assert_eq!(full.verdict, Verdict::WillLosePackets);
    }

    #[test]
    fn our_own_rules_leave_our_ports_out() {
        let rules = table(&[6969, 7000]);
        assert_eq!(
            judged("250000", "262144", Some(&rules)).verdict,
            Verdict::Good
        );
        let one = table(&[6969]);
        assert_eq!(
            judged("500", "262144", Some(&one)).verdict,
            Verdict::WillLosePackets
        );
    }

    #[test]
    fn a_command_line_ends_every_statement() {
        let line = on_one_line(&table(&[6969]));
        assert!(
            line.ends_with("udp sport { 6969 } notrack; }; };"),
            "{line}"
        );
        let checked = Command::new("nft").args(["-c", &line]).output();
        // Only root may ask, and not every host has the program.
        if let Ok(output) = checked {
            let said = String::from_utf8_lossy(&output.stderr);
            let is_denied = said.contains("not permitted");
            assert!(output.status.success() || is_denied, "{line}: {said}");
        }
    }

    #[test]
    fn the_rules_of_others_are_understood() {
        for (line, is_out) in [
            (
                "-A PREROUTING -p udp -m udp --dport 6969 -j CT --notrack",
                true,
            ),
            (
                "-A PREROUTING -p udp -m multiport --dports 53,6969 -j NOTRACK",
                true,
            ),
            (
                "-A PREROUTING -p udp -m udp --dport 6900:7100 -j NOTRACK",
                true,
            ),
            (
                "udp dport 6900-7100 counter packets 5 bytes 6 notrack",
                true,
            ),
            ("meta l4proto udp notrack", true),
            ("udp dport 6970 notrack", false),
            ("udp sport 6969 notrack", false),
            ("tcp dport 6969 notrack", false),
            ("udp dport 6969 accept", false),
            ("", false),
        ] {
            assert_eq!(is_left_out(line, 6969), is_out, "{line}");
        }
    }
}
