//! Why a question got no answer: one word for programs, one sentence for people.

use std::fmt::{self, Write as _};
use std::io;
use std::time::{Duration, Instant};

/// The word. Programs read it in `--json`, so none ever changes its meaning.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// The name has no address, or none of the family that was asked for.
    Unresolved,
    /// The host answers that nothing listens there.
    Refused,
    /// This host has no way to addresses of that family.
    NoRoute,
    /// The way to the host is broken, or there is no socket for it.
    Unreachable,
    /// Nothing, or not all of it, came before the deadline.
    TimedOut,
    /// No TLS session, or one that cannot be trusted.
    Tls,
    /// The other side closed before the answer was whole.
    Closed,
    /// What came is not what the protocol allows.
    Malformed,
    /// More came than a tracker has to say.
    TooLarge,
    /// The reply came from another address than the one that was asked.
    OtherAddress,
    /// An HTTP status that is no success.
    Status,
    /// A redirect that cannot be followed.
    Redirect,
    /// The tracker answered, and said no.
    FailureReason,
    /// The question cannot be put: this URL has no scrape, for example.
    Unaskable,
}

impl Kind {
    /// As in `--json` and `--csv`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unresolved => "unresolved",
            Self::Refused => "refused",
            Self::NoRoute => "no_route",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Tls => "tls",
            Self::Closed => "closed",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::OtherAddress => "other_address",
            Self::Status => "status",
            Self::Redirect => "redirect",
            Self::FailureReason => "failure_reason",
            Self::Unaskable => "unaskable",
        }
    }
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The word.
    pub kind: Kind,
    /// The rest of the sentence, without a full stop. What came from outside is made printable.
    pub text: String,
}

impl Failure {
    /// A failure that says `text`.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind, text }
    }

    /// Nothing came until the deadline; `what` was waited for, such as "the reply".
    pub fn timed_out(what: &str) -> Self {
        Self::new(
            Kind::TimedOut,
            format!("{what} did not come within the time-out"),
        )
    }

    /// What the kernel says of a socket, while `what` was waited for.
    pub fn of_io(error: &io::Error, what: &str) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::timed_out(what),
            io::ErrorKind::ConnectionRefused => {
                Self::new(Kind::Refused, "connection refused: nothing listens there")
            }
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => {
                Self::new(Kind::NoRoute, "this host has no way to that address")
            }
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionAborted => {
                Self::new(Kind::Closed, format!("the connection broke before {what}"))
            }
            _ => Self::new(Kind::Unreachable, lower_first(&error.to_string())),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// A moment after which nobody waits any more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// In `wait` from now.
    pub fn after(wait: Duration) -> Self {
        // A wait that the clock cannot hold is cut to a day.
        let now = Instant::now();
        let day = Duration::from_secs(86_400);
        Self(now.checked_add(wait.min(day)).unwrap_or(now))
    }

    /// The time left, never zero; nothing when the moment has passed.
    pub fn left(self) -> Option<Duration> {
        let left = self.0.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// In `wait` from now, but not after this one.
    #[must_use]
    pub fn within(self, wait: Duration) -> Self {
        self.min(Self::after(wait))
    }
}

/// Bytes from outside as one line that a terminal can take: what is not printable becomes `\xNN`.
pub fn printable(bytes: &[u8]) -> String {
    let mut line = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || is_direction(character) {
                line.extend(character.escape_default());
            } else {
                line.push(character);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(line, "\\x{byte:02x}");
        }
    }
    line
}

/// JSON as a text that a terminal can take, indented, with a line end: what [`printable`] escapes is `\uNNNN`, which
/// programs read as the same character.
pub fn json_text(value: &serde_json::Value) -> String {
    let json = format!("{value:#}\n");
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        // Below the blank there are only the line ends between values: in strings they are escaped.
        if character != '\n' && character.is_control() || is_direction(character) {
            let _ = write!(text, "\\u{:04x}", u32::from(character));
        } else {
            text.push(character);
        }
    }
    text
}

/// Whether a character turns the direction of writing, and so may make a line read as another one.
fn is_direction(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(printable(b"no \x1b[2Jway\n"), "no \\u{1b}[2Jway\\n");
        assert_eq!(printable(b"\xff\xfe ok"), "\\xff\\xfe ok");
        assert_eq!(
            printable("gr\u{fc}n \u{202e}".as_bytes()),
            "gr\u{fc}n \\u{202e}"
        );
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped_in_json_and_read_as_it_was() {
        let hostile = "\u{1b}[2J \u{7f} \u{9b}31m \u{85} \u{61c} \u{202e} gr\u{fc}n \n \u{1f600}";
        let value = serde_json::json!({ hostile: [hostile, 1] });
        let text = json_text(&value);
        let obeyed = |c: char| c != '\n' && c.is_control() || is_direction(c);
        assert!(!text.chars().any(obeyed), "{text}");
        assert!(
            text.contains("\\u009b31m \\u0085 \\u061c \\u202e gr\u{fc}n"),
            "{text}"
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
        assert_eq!(printable("\u{61c}\u{9b}".as_bytes()), "\\u{61c}\\u{9b}");
    }

    #[test]
    fn of_all_65_control_characters_none_reaches_a_terminal() {
        let controls = (0..=u32::from(char::MAX)).filter_map(char::from_u32);
        let controls: Vec<char> = controls.filter(|c| c.is_control()).collect();
        assert_eq!(controls.len(), 65);
        for control in controls {
            let line = printable(format!("a{control}b").as_bytes());
            assert!(!line.contains(char::is_control), "{line:?}");
        }
        // Nor does what is no UTF-8, as bytes of terminals with eight bits.
        for byte in 0x80..=u8::MAX {
            assert_eq!(printable(&[byte]), format!("\\x{byte:02x}"));
        }
    }

    #[test]
    fn a_deadline_that_has_passed_has_no_time_left() {
        assert_eq!(Deadline::after(Duration::ZERO).left(), None);
        let soon = Deadline::after(Duration::MAX).within(Duration::from_secs(5));
        assert!(soon.left().expect("time left") <= Duration::from_secs(5));
    }
}
