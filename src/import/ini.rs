//! Settings of retracker (`config.ini`, or the variables of its `.env`) and the variables of the Simple
//! BitTorrent tracker, as a configuration for Shoal.
//!
//! ```text
//! [TRACKER]  host, port              [[http]] listen
//!            mode, trusted_proxies   [[http]] proxy, with use_x_real_ip and use_x_forwarded_for
//!            announce_interval       announce.interval, and half of it as min_interval
//!            peer_expire_factor      announce.peer_expire_factor
//!            numwant, ignore_ip      announce.numwant, announce.ignore_ip
//! [LOGGING]  level                   log.level
//! ```
//!
//! `TRACKER_PORT=80` says what `port = 80` in `[TRACKER]` says. `TRACKER_IP` and `TRACKER_PEER_TIMEOUT` are
//! the Simple tracker's. What else there is gets a note. No password or key is ever repeated.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};

use super::records::Records;
use super::text::{BYTE_ORDER_MARK, shown};

/// The sections, which are also how variables begin.
const SECTIONS: [&str; 6] = ["FLASK", "LOGGING", "TRACKER", "CACHE", "DB", "STATS"];

/// Networks that nobody has on the internet.
const PRIVATE: [(Ipv4Addr, u8); 4] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
];

/// Reads settings. The error says why there are none.
pub fn read(text: &[u8]) -> Result<Records, String> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let text = std::str::from_utf8(text).map_err(|_| "no settings: it is not UTF-8")?;
    let mut settings = Settings::default();
    for entry in entries(text, &mut settings.records) {
        settings.take(&entry);
    }
    if !settings.found {
        return Err("no settings of retracker: it has no key of [TRACKER]".to_owned());
    }
    settings.records.settings = Some(settings.toml());
    let mut records = settings.records;
    records.notes.append(&mut settings.notes);
    Ok(records)
}

/// A value and where it stands.
struct Entry {
    line: usize,
    section: String,
    key: String,
    value: String,
}

/// Reads the lines as Python's `configparser` does, but cuts a remark that follows behind a blank.
fn entries(text: &str, records: &mut Records) -> Vec<Entry> {
    let mut found: Vec<Entry> = Vec::new();
    let (mut section, mut indent) = (String::new(), None);
    for (at, line) in text.lines().enumerate() {
        let word = line.trim();
        if word.is_empty() || word.starts_with(['#', ';']) {
            continue;
        }
        let this_indent = line.len() - line.trim_start().len();
        let continues = indent.is_some_and(|indent| this_indent > indent);
        if let (true, Some(last)) = (continues, found.last_mut()) {
            last.value.push(' ');
            last.value.push_str(without_remark(word));
            continue;
        }
        if let Some(name) = word.strip_prefix('[') {
            section = name
                .split(']')
                .next()
                .unwrap_or_default()
                .trim()
                .to_uppercase();
            indent = None;
            continue;
        }
        let Some((key, value)) = word.split_once(['=', ':']) else {
            records.mistakes.push(|| {
                format!(
                    "line {} is neither [SECTION] nor KEY = VALUE: \"{}\"",
                    at + 1,
                    shown(word)
                )
            });
            continue;
        };
        let key = key.trim().strip_prefix("export ").unwrap_or(key).trim();
        let (section, key) = if section.is_empty() {
            let Some((start, rest)) = key.split_once('_') else {
                continue;
            };
            (start.to_uppercase(), rest)
        } else {
            (section.clone(), key)
        };
        indent = Some(this_indent);
        if SECTIONS.contains(&section.as_str()) {
            let value = without_remark(value.trim());
            found.push(Entry {
                line: at + 1,
                section,
                key: key.to_lowercase(),
                value: value.trim_matches(['"', '\'']).to_owned(),
            });
        } else {
            indent = None;
        }
    }
    found
}

fn without_remark(value: &str) -> &str {
    let ends = [" #", " ;", "\t#", "\t;"];
    let end = ends.iter().filter_map(|end| value.find(end)).min();
    value[..end.unwrap_or(value.len())].trim_end()
}

/// What Shoal is to be told.
#[derive(Default)]
struct Settings {
    found: bool,
    host: Option<IpAddr>,
    port: Option<u16>,
    is_proxied: bool,
    trusted: Vec<IpNet>,
    /// Which headers are not to be believed, of X-Real-IP and X-Forwarded-For.
    disbelieved: [bool; 2],
    interval: Option<u64>,
    expire_factor: Option<f64>,
    peer_timeout: Option<u64>,
    numwant: Option<u64>,
    ignore_ip: Option<Vec<IpNet>>,
    level: Option<&'static str>,
    notes: Vec<String>,
    records: Records,
}

impl Settings {
    fn take(&mut self, entry: &Entry) {
        let value = entry.value.as_str();
        self.found |= entry.section == "TRACKER";
        match (entry.section.as_str(), entry.key.as_str()) {
            ("TRACKER", "host" | "ip") => self.host = Some(self.host_of(value)),
            ("TRACKER", "port") => {
                let port = self.number(entry, 1, 65535);
                self.port = port.and_then(|port| u16::try_from(port).ok());
            }
            ("TRACKER", "mode") => match value.to_lowercase().as_str() {
                "proxy" => self.is_proxied = true,
                "direct" => self.is_proxied = false,
                _ => self.wrong(entry, "\"direct\" or \"proxy\""),
            },
            ("TRACKER", "trusted_proxies") => {
                self.trusted = self.networks(entry, |_, network| network);
            }
            ("TRACKER", "use_x_real_ip") => self.disbelieved[0] = !is_true(value),
            ("TRACKER", "use_x_forwarded_for") => self.disbelieved[1] = !is_true(value),
            ("TRACKER", "announce_interval") => self.interval = self.number(entry, 60, 86_400),
            ("TRACKER", "peer_expire_factor") => match value.parse::<f64>() {
                // Theirs has this floor.
                Ok(factor) if factor.is_finite() => {
                    self.expire_factor = Some(factor.clamp(2.0, 100.0));
                }
                _ => self.wrong(entry, "a number"),
            },
            ("TRACKER", "peer_timeout") => self.peer_timeout = self.number(entry, 2, 604_800),
            ("TRACKER", "numwant") => self.numwant = self.number(entry, 0, 200),
            ("TRACKER", "ignore_ip") => {
                self.ignore_ip = Some(self.networks(entry, Self::meant));
            }
            ("TRACKER", "run_gc_key") => self.notes.push(
                "run_gc_key is left out: everybody could find it out, and silent peers are swept all the \
                 time; who wants it all the same sets control.run_gc_key"
                    .to_owned(),
            ),
            ("TRACKER", "data_file") => self.notes.push(format!(
                "the state in {} is read with: shoal import FILE",
                shown(value)
            )),
            ("DB", "file_path") => self.notes.push(format!(
                "the peers and the blocklist in {} are read with: shoal import FILE",
                shown(value)
            )),
            ("STATS", "access_username") => self.notes.push(format!(
                "the login {} becomes a line of [control.users], made with: shoal user hash",
                shown(value)
            )),
            ("LOGGING", "level") => match level(value) {
                Some(level) => self.level = Some(level),
                None => self.wrong(entry, "a level such as INFO"),
            },
            ("LOGGING", "log_file") => self.notes.push(
                "log_file is left out: Shoal logs to standard error, which systemd keeps and rotates"
                    .to_owned(),
            ),
            ("TRACKER", "peer_cleanup_period" | "debug" | "use_reloader")
            | ("FLASK" | "CACHE" | "DB" | "STATS" | "LOGGING", _) => {}
            (section, key) => {
                let key = format!("{section}.{}", shown(key));
                let line = entry.line;
                self.notes.push(format!("line {line}: {key} is not known and left out"));
            }
        }
    }

    fn wrong(&mut self, entry: &Entry, wanted: &str) {
        self.records.mistakes.push(|| {
            let Entry {
                line,
                section,
                key,
                value,
            } = entry;
            format!(
                "line {line}: {section}.{key} is not {wanted}: \"{}\"",
                shown(value)
            )
        });
    }

    fn number(&mut self, entry: &Entry, least: u64, most: u64) -> Option<u64> {
        let Ok(number) = entry.value.parse::<u64>() else {
            self.wrong(entry, "a whole number");
            return None;
        };
        let fitting = number.clamp(least, most);
        if fitting != number {
            let Entry {
                line, section, key, ..
            } = entry;
            self.notes.push(format!(
                "line {line}: {section}.{key} becomes {fitting}: {number} is not from {least} to {most}"
            ));
        }
        Some(fitting)
    }

    fn host_of(&mut self, value: &str) -> IpAddr {
        let local = IpAddr::from(Ipv4Addr::LOCALHOST);
        value.parse().unwrap_or_else(|_| {
            if value != "localhost" {
                let host = shown(value);
                let note = format!("host \"{host}\" is no address: 127.0.0.1 is taken");
                self.notes.push(note);
            }
            local
        })
    }

    /// The networks of a list; `meant` sees each as it is written.
    fn networks(
        &mut self,
        entry: &Entry,
        meant: fn(&mut Vec<String>, IpNet) -> IpNet,
    ) -> Vec<IpNet> {
        let mut found = Vec::new();
        let words = entry.value.split([' ', '\t', ',']);
        for word in words.filter(|word| !word.is_empty()) {
            let network = word.parse::<IpNet>().ok();
            match network.or_else(|| word.parse::<IpAddr>().ok().map(Into::into)) {
                Some(network) => {
                    let network = meant(&mut self.notes, network).trunc();
                    if !found.contains(&network) {
                        found.push(network);
                    }
                }
                None => self.records.mistakes.push(|| {
                    let Entry {
                        line, section, key, ..
                    } = entry;
                    let word = shown(word);
                    format!("line {line}: {section}.{key}: \"{word}\" is no address or network")
                }),
            }
        }
        found
    }

    /// What was meant by a network whose address goes beyond its prefix. Theirs takes 192.168.0.0/8 for
    /// all of 192.0.0.0/8, and refuses a part of the internet.
    fn meant(notes: &mut Vec<String>, written: IpNet) -> IpNet {
        let network = written.trunc();
        if network == written {
            return written;
        }
        let private = PRIVATE.iter().find_map(|&(start, len)| {
            let private = IpNet::from(Ipv4Net::new(start, len).ok()?);
            let is_meant = private.contains(&written.addr()) && len > written.prefix_len();
            is_meant.then_some(private)
        });
        if let Some(private) = private {
            notes.push(format!(
                "warning: ignore_ip {written} is all of {network}, most of it public: {private} is taken, \
                 which is private"
            ));
            return private;
        }
        notes.push(format!(
            "warning: ignore_ip {written} has bits behind its prefix: it is {network}, which is taken"
        ));
        network
    }

    /// The configuration as text.
    fn toml(&mut self) -> String {
        let mut text = "# Made by `shoal import` from the settings of another tracker.\n\
                        # UDP is served on port 6969 as well; a line \"udp = []\" here turns it off.\n"
            .to_owned();
        if self.host.is_some() || self.port.is_some() || self.is_proxied {
            let host = self.host.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
            let listen = SocketAddr::new(host, self.port.unwrap_or(6969));
            let _ = writeln!(text, "\n[[http]]\nlisten = \"{listen}\"");
            if let Some(header) = self.header() {
                if self.trusted.is_empty() {
                    self.trusted = vec![IpNet::from(IpAddr::from(Ipv4Addr::LOCALHOST))];
                }
                let trusted = quoted(&self.trusted);
                let _ = writeln!(
                    text,
                    "proxy = {{ header = \"{header}\", trusted = {trusted} }}"
                );
            }
        }
        let mut announce = String::new();
        if let Some(interval) = self.interval {
            let _ = writeln!(announce, "interval = {interval}");
            let _ = writeln!(announce, "min_interval = {}", interval / 2);
        }
        match (self.expire_factor, self.peer_timeout) {
            (Some(factor), _) => {
                let _ = writeln!(announce, "peer_expire_factor = {factor:?}");
            }
            (None, Some(timeout)) => {
                let least = self.interval.unwrap_or(1800);
                if timeout < least {
                    self.notes.push(format!(
                        "peer_timeout becomes {least}: {timeout} is shorter than the interval"
                    ));
                }
                let _ = writeln!(announce, "peer_timeout = {}", timeout.max(least));
            }
            (None, None) => {}
        }
        if let Some(numwant) = self.numwant {
            let _ = writeln!(announce, "numwant = {numwant}");
        }
        if let Some(networks) = &self.ignore_ip {
            let _ = writeln!(announce, "ignore_ip = {}", quoted(networks));
        }
        if !announce.is_empty() {
            let _ = write!(text, "\n[announce]\n{announce}");
        }
        if let Some(level) = self.level {
            let _ = write!(text, "\n[log]\nlevel = \"{level}\"\n");
        }
        text
    }

    /// The header that names clients; Shoal believes one, theirs took the first of two.
    fn header(&mut self) -> Option<&'static str> {
        if !self.is_proxied {
            return None;
        }
        match self.disbelieved {
            [true, true] => {
                self.notes.push(
                    "mode is \"proxy\" without any header, which names no client: it is left out"
                        .to_owned(),
                );
                None
            }
            [true, false] => Some("X-Forwarded-For"),
            [false, true] => Some("X-Real-IP"),
            [false, false] => {
                self.notes.push(
                    "of the headers X-Real-IP and X-Forwarded-For the first is taken: Shoal believes one"
                        .to_owned(),
                );
                Some("X-Real-IP")
            }
        }
    }
}

fn quoted(networks: &[IpNet]) -> String {
    let words: Vec<String> = networks.iter().map(|net| format!("\"{net}\"")).collect();
    format!("[{}]", words.join(", "))
}

fn is_true(value: &str) -> bool {
    matches!(value.to_lowercase().as_str(), "1" | "true" | "yes" | "on")
}

fn level(name: &str) -> Option<&'static str> {
    match name.to_uppercase().as_str() {
        "DEBUG" => Some("debug"),
        "INFO" => Some("info"),
        "WARNING" | "WARN" => Some("warn"),
        "ERROR" | "CRITICAL" | "FATAL" => Some("error"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn settings(text: &str) -> (String, Records) {
        let records = read(text.as_bytes()).expect(text);
        let toml = records.settings.clone().unwrap();
        let variable = ("SHOAL_CONFIG_TOML".into(), toml.clone().into());
        if let Err(mistakes) = config::load(None, [variable], &[]) {
            panic!("{mistakes}\n{toml}");
        }
        (toml, records)
    }

    #[test]
    fn a_whole_file_of_retracker_becomes_a_configuration() {
        let (toml, records) = settings(
            "[FLASK]\nsecret_key = hush\n[LOGGING]\nlevel = WARNING\nlog_file = tracker.log\n\
             format = %(asctime)s [%(levelname)s] %(message)s\n\n\
             [TRACKER]\nmode = proxy\ntrusted_proxies = 127.0.0.1, ::1\nhost = 0.0.0.0 # all\nport = 8080\n\
             announce_interval = 900\npeer_expire_factor = 2.5\nignore_ip = 10.0.0.0/8\n    127.0.0.1\n\
             numwant = 50\nrun_gc_key = gc\n[DB]\ntype = sqlite\n[STATS]\naccess_username = admin\n\
             access_password = hush\n",
        );
        assert_eq!(
            toml,
            "# Made by `shoal import` from the settings of another tracker.\n\
             # UDP is served on port 6969 as well; a line \"udp = []\" here turns it off.\n\n\
             [[http]]\nlisten = \"0.0.0.0:8080\"\n\
             proxy = { header = \"X-Real-IP\", trusted = [\"127.0.0.1/32\", \"::1/128\"] }\n\n\
             [announce]\ninterval = 900\nmin_interval = 450\npeer_expire_factor = 2.5\nnumwant = 50\n\
             ignore_ip = [\"10.0.0.0/8\", \"127.0.0.1/32\"]\n\n[log]\nlevel = \"warn\"\n"
        );
        assert_eq!(records.mistakes.count(), 0, "{:?}", records.mistakes);
        let notes = records.notes.join("\n");
        for part in ["run_gc_key", "log_file", "shoal user hash", "X-Real-IP"] {
            assert!(notes.contains(part), "{part} in {notes}");
        }
        assert!(!notes.contains("hush"), "{notes}");
    }

    #[test]
    fn networks_that_say_more_than_was_meant_are_told() {
        let (toml, records) = settings(
            "[TRACKER]\nignore_ip = 192.168.0.0/8 127.0.0.1 172.16.0.0/8 10.1.2.3/24 zz 192.0.2.0/24\n",
        );
        let line = "ignore_ip = [\"192.168.0.0/16\", \"127.0.0.1/32\", \"172.16.0.0/12\", \
                    \"10.1.2.0/24\", \"192.0.2.0/24\"]\n";
        assert!(toml.contains(line), "{toml}");
        let [first, second, third] = &records.notes[..] else {
            panic!("{:?}", records.notes)
        };
        assert!(
            first.contains("192.168.0.0/8 is all of 192.0.0.0/8"),
            "{first}"
        );
        assert!(second.contains("172.16.0.0/12 is taken"), "{second}");
        assert!(third.contains("it is 10.1.2.0/24"), "{third}");
        let mistakes = records.mistakes.sentences();
        assert_eq!(
            mistakes,
            ["line 2: TRACKER.ignore_ip: \"zz\" is no address or network"]
        );
    }

    #[test]
    fn variables_say_the_same_as_sections() {
        let (toml, _) = settings(
            "# .env\nexport TRACKER_HOST=\"192.0.2.1\"\nTRACKER_PORT='80'\nTRACKER_MODE=direct\n\
             TRACKER_ANNOUNCE_INTERVAL=10\nHOME=/root\nPATH_X=1\n",
        );
        assert!(toml.contains("listen = \"192.0.2.1:80\"\n"), "{toml}");
        assert!(
            toml.contains("interval = 60\nmin_interval = 30\n"),
            "{toml}"
        );
        let (toml, records) = settings(
            "TRACKER_IP=0.0.0.0\nTRACKER_PORT=6970\nTRACKER_PEER_TIMEOUT=300\n\
             TRACKER_DATA_FILE=/var/state.json\n",
        );
        assert!(toml.contains("listen = \"0.0.0.0:6970\"\n"), "{toml}");
        assert!(toml.contains("peer_timeout = 1800\n"), "{toml}");
        let notes = records.notes.join("\n");
        assert!(notes.contains("/var/state.json is read with"), "{notes}");
        assert!(notes.contains("shorter than the interval"), "{notes}");
    }

    #[test]
    fn wrong_values_are_named_with_their_line_and_the_others_go_on() {
        let (toml, records) = settings(
            "[TRACKER]\nport = 99999\nannounce_interval = soon\nmode = both\npeer_expire_factor = nan\n\
             numwant = 9999\nhost = tracker.lan\nnonsense\ncolour = red\n[LOGGING]\nlevel = loud\n",
        );
        assert!(toml.contains("listen = \"127.0.0.1:65535\""), "{toml}");
        assert!(toml.contains("numwant = 200\n"), "{toml}");
        let mistakes = records.mistakes.sentences().join("\n");
        for part in [
            "line 3: TRACKER.announce_interval is not a whole number: \"soon\"",
            "line 4: TRACKER.mode is not",
            "line 5: TRACKER.peer_expire_factor is not a number",
            "line 8 is neither [SECTION] nor KEY = VALUE: \"nonsense\"",
            "line 11: LOGGING.level is not a level",
        ] {
            assert!(mistakes.contains(part), "{part} in {mistakes}");
        }
        let notes = records.notes.join("\n");
        assert!(
            notes.contains("line 9: TRACKER.colour is not known"),
            "{notes}"
        );
        assert!(notes.contains("\"tracker.lan\" is no address"), "{notes}");
    }

    #[test]
    fn what_holds_no_settings_is_said() {
        assert!(read(b"[FLASK]\nx = y\n").unwrap_err().contains("[TRACKER]"));
        assert!(read(b"\xff\xfe[TRACKER]").unwrap_err().contains("UTF-8"));
        assert!(read(b"").is_err());
    }
}
