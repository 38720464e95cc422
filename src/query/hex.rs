//! What went over the wire, sixteen bytes a line.

use std::fmt::Write as _;

use crate::query::outcome::Exchange;

/// Most bytes of one message that are shown.
const SHOWN_MAX: usize = 4096;

/// All exchanges, sent and received.
pub fn text(exchanges: &[Exchange]) -> String {
    let mut text = String::new();
    for exchange in exchanges {
        let (what, with) = (exchange.what, exchange.with);
        let len = exchange.sent.len();
        let _ = writeln!(text, "  {what}: {len} bytes to {with}");
        dump(&mut text, &exchange.sent);
        let len = exchange.received.len();
        let _ = writeln!(text, "  {what}: {len} bytes from {with}");
        dump(&mut text, &exchange.received);
    }
    text
}

fn dump(text: &mut String, bytes: &[u8]) {
    let shown = &bytes[..bytes.len().min(SHOWN_MAX)];
    for (number, line) in shown.chunks(16).enumerate() {
        let _ = write!(text, "    {:04x} ", number * 16);
        for column in 0..16 {
            let gap = if column == 8 { " " } else { "" };
            let _ = match line.get(column) {
                Some(byte) => write!(text, "{gap} {byte:02x}"),
                None => write!(text, "{gap}   "),
            };
        }
        let letters = line.iter().map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        });
        let _ = writeln!(text, "  |{}|", letters.collect::<String>());
    }
    if bytes.len() > SHOWN_MAX {
        let _ = writeln!(text, "    ... {} more", bytes.len() - SHOWN_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stand_beside_their_letters() {
        let mut text = String::new();
        dump(&mut text, b"0123456789abcdef\0\xff");
        assert_eq!(
            text,
            "    0000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n    \
             0010  00 ff                                             |..|\n"
        );
    }
}
