//! An entry a line: info-hashes as in opentracker's white- and blacklists, addresses and networks.

use super::records::Records;
use super::text::{BYTE_ORDER_MARK, shown};
use crate::gate::{hash_list, networks};

/// What the entries are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The allowlist, which takes info-hashes only.
    Allow,
    /// The blocklists.
    Block,
}

/// Reads a list. What follows behind a blank or a comma is a remark, as is a line that begins with `#`.
pub fn read(text: &[u8], purpose: Purpose) -> Records {
    let mut records = Records::default();
    let (mut hashes, mut sources) = (Vec::new(), Vec::new());
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    for (at, line) in lines.enumerate() {
        let ends = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',';
        let word = line.split(ends).next().unwrap_or_default();
        if line.is_empty() || line[0] == b'#' {
            continue;
        }
        let network = || networks::parse(word).filter(|_| purpose == Purpose::Block);
        if let Some(info_hash) = hash_list::parse(word) {
            hashes.push(info_hash);
        } else if let Some(network) = network() {
            sources.push(network);
        } else {
            let wanted = match purpose {
                Purpose::Allow => "an info-hash of 40 or 64 hexadecimal digits",
                Purpose::Block => "an info-hash of 40 or 64 hexadecimal digits, address or network",
            };
            records.mistakes.push(|| {
                let word = shown(&String::from_utf8_lossy(word));
                format!("line {} is not {wanted}: \"{word}\"", at + 1)
            });
        }
    }
    match purpose {
        Purpose::Allow => records.allowed = hashes,
        Purpose::Block => {
            if !hashes.is_empty() {
                records.blocked.insert(String::new(), hashes);
            }
            if !sources.is_empty() {
                records.networks.insert(String::new(), sources);
            }
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::InfoHash;

    #[test]
    fn a_whitelist_of_opentracker_is_read() {
        let long = format!("{}{}", "ab".repeat(20), "cd".repeat(12));
        let text = format!(
            "# ours\r\n{}\r\n{} - some remark\n\n{long}\n",
            "aa".repeat(20),
            "BB".repeat(20)
        );
        let records = read(text.as_bytes(), Purpose::Allow);
        let expected = [0xaa, 0xbb, 0xab].map(|byte| InfoHash([byte; 20]));
        assert_eq!(records.allowed, expected);
        assert_eq!(records.mistakes.count(), 0);
    }

    #[test]
    fn bad_lines_are_named_and_the_others_go_on() {
        let text = format!("zz\n192.0.2.9\n{}\n\x1b[31m", "aa".repeat(20));
        let records = read(text.as_bytes(), Purpose::Allow);
        assert_eq!(records.allowed.len(), 1);
        let sentences = records.mistakes.sentences();
        assert_eq!(sentences.len(), 3);
        assert!(sentences[0].starts_with("line 1 is not an info-hash"));
        assert!(sentences[1].ends_with("\"192.0.2.9\""));
        assert!(sentences[2].ends_with("\"\\u{1b}[31m\""));
    }

    #[test]
    fn a_blocklist_takes_sources_too() {
        let text = format!("192.0.2.0/24 spam\n{}\n2001:db8::1", "aa".repeat(20));
        let records = read(text.as_bytes(), Purpose::Block);
        assert_eq!(records.blocked[""], [InfoHash([0xaa; 20])]);
        assert_eq!(records.networks[""].len(), 2);
        assert_eq!(records.mistakes.count(), 0);
    }
}
