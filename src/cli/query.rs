//! `shoal query`: what to ask whom, and how to show what came back.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};

use super::conformance::{self, Conformance};
use super::{fail, say};
use crate::query::ask::Manner;
use crate::query::failure::Deadline;
use crate::query::hash::{self, Torrent};
use crate::query::outcome::Outcome;
use crate::query::profile::Profile;
use crate::query::run::{self, Peer, Statistics, Wish, WishKind};
use crate::query::table::{self, Style};
use crate::query::target::Family;
use crate::query::wire::tls::Trust;
use crate::query::{csv, json, lookup};
use crate::wire::{Event, InfoHash};

/// Bytes missing of a peer of which nothing else is known.
const LEFT: u64 = 1_000_000_000;

/// Most bytes of a batch file.
const BATCH_LEN_MAX: u64 = 64 << 20;

/// The arguments. What concerns the connection is shared with `shoal check`.
#[derive(Args, Debug)]
#[command(
    group(ArgGroup::new("whom").required(true).args(["urls", "batch"])),
    group(ArgGroup::new("output").args(["json", "csv", "quiet"])),
    after_help = "Exit code: 0 when every tracker did what it was asked for, 1 when one did not, 2 when \
                  the command line is wrong.\nA random info-hash is taken when none is given, and its \
                  peer is taken back with \"stopped\"."
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are the switches of a command line"
)]
pub(super) struct Query {
    #[arg(
        value_name = "URL",
        conflicts_with = "batch",
        help = "Trackers, such as udp://tracker.example.org:6969/announce; http:// and https:// too"
    )]
    urls: Vec<String>,
    /// Ask all trackers in FILE: one URL a line with # comments, or a .torrent file; - is the standard
    /// input
    #[arg(short, long, value_name = "FILE")]
    batch: Option<PathBuf>,
    /// Info-hash in hexadecimal or base32, magnet link or .torrent file; random when not given.
    /// Scrapes take several
    #[arg(short = 'H', long, value_name = "HASH")]
    hash: Vec<String>,
    /// What the announce tells
    #[arg(short, long, value_enum, default_value = "started")]
    event: EventName,
    /// Scrape instead of announcing
    #[arg(short, long)]
    scrape: bool,
    /// Ask for the totals of all torrents (HTTP)
    #[arg(long, conflicts_with_all = ["hash", "scrape"])]
    full_scrape: bool,
    /// How many peers to ask for; what the client asks for when not given
    #[arg(short, long, value_name = "N")]
    numwant: Option<u32>,
    /// Bytes still missing; 0 for a seeder [default: 1000000000, or 0 with completed]
    #[arg(short = 'L', long, value_name = "BYTES")]
    left: Option<u64>,
    /// Bytes fetched
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    downloaded: u64,
    /// Bytes given
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    uploaded: u64,
    /// Port of the peer
    #[arg(long, default_value_t = 6881)]
    port: u16,
    /// Key of the peer, as up to 8 hexadecimal digits; random when not given
    #[arg(long, value_name = "HEX", value_parser = key)]
    key: Option<u32>,
    /// Leave the peer with the tracker: no "stopped" afterwards
    #[arg(long)]
    keep: bool,
    /// Ask for dictionaries instead of compact peers (HTTP)
    #[arg(long)]
    no_compact: bool,
    /// Ask as this client: shoal, libtorrent, qbittorrent, transmission, aria2, rtorrent, utorrent,
    /// deluge
    #[arg(long, value_name = "NAME", value_parser = client, conflicts_with = "random_client")]
    client: Option<Profile>,
    /// Ask as any version of any real client, another one for each tracker
    #[arg(short, long)]
    random_client: bool,
    /// Another user agent (HTTP)
    #[arg(long, value_name = "TEXT", value_parser = field)]
    user_agent: Option<String>,
    /// Another start of the peer id
    #[arg(long, value_name = "TEXT")]
    peer_id: Option<String>,
    /// Send this header and say whether the tracker believes it, such as 'X-Forwarded-For: 1.2.3.4'
    #[arg(long, value_name = "FIELD", value_parser = field, conflicts_with_all = ["scrape", "full_scrape"])]
    proxy_header: Option<String>,
    #[command(flatten)]
    conformance: Conformance,
    #[command(flatten)]
    connection: Connection,
    /// Ask so many times, and sum up
    #[arg(long, value_name = "N")]
    repeat: Option<NonZeroU32>,
    /// Ask until every tracker answers, or as often as --repeat says
    #[arg(long)]
    until_success: bool,
    /// Seconds between two times
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    delay: Duration,
    /// Show the peers
    #[arg(short = 'p', long)]
    show_peers: bool,
    /// Look up the names of the peers
    #[arg(short, long, requires = "show_peers")]
    lookup: bool,
    /// Show what went over the wire, inside TLS if there is TLS
    #[arg(long, conflicts_with_all = ["csv", "quiet"])]
    hex: bool,
    /// Print JSON, as docs/query-json.md describes it
    #[arg(long)]
    json: bool,
    /// Print CSV; docs/query-json.md says what to heed
    #[arg(long)]
    csv: bool,
    /// Print nothing; the exit code tells
    #[arg(short, long)]
    quiet: bool,
    /// Print no colours
    #[arg(long)]
    no_color: bool,
}

/// What a connection needs to know.
#[derive(Args, Debug)]
pub(super) struct Connection {
    /// Only IPv4
    #[arg(short = '4', long = "ipv4", conflicts_with = "ipv6")]
    ipv4: bool,
    /// Only IPv6
    #[arg(short = '6', long = "ipv6")]
    ipv6: bool,
    /// Seconds that one tracker may take, with resolving, redirects and everything
    #[arg(long, value_name = "SECONDS", default_value = "12", value_parser = seconds)]
    pub(super) timeout: Duration,
    /// Seconds until an unanswered datagram is sent again; then twice as many, and so on
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = seconds)]
    resend: Duration,
    /// Trackers that are asked at one time
    #[arg(short, long, value_name = "N", default_value = "16")]
    jobs: NonZeroU32,
    /// Trust the authorities in this PEM file instead of the system's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Trust every certificate
    #[arg(long)]
    insecure: bool,
}

impl Connection {
    /// How many at one time.
    pub(super) fn at_once(&self) -> usize {
        self.jobs.get() as usize
    }

    /// How to ask with these.
    pub(super) fn manner(&self) -> Manner {
        Manner {
            trust: Arc::new(Trust::new(self.insecure, self.ca.clone())),
            family: match (self.ipv4, self.ipv6) {
                (true, _) => Family::V4,
                (_, true) => Family::V6,
                _ => Family::Any,
            },
            first_wait: self.resend,
            ..Manner::default()
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum EventName {
    Started,
    Completed,
    Stopped,
    Paused,
    None,
}

impl EventName {
    fn event(self) -> Event {
        match self {
            Self::Started => Event::Started,
            Self::Completed => Event::Completed,
            Self::Stopped => Event::Stopped,
            Self::Paused => Event::Paused,
            Self::None => Event::None,
        }
    }
}

fn client(name: &str) -> Result<Profile, String> {
    Profile::named(name).ok_or_else(|| {
        let names: Vec<_> = Profile::names().collect();
        format!("the clients are {}", names.join(", "))
    })
}

fn key(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 16).map_err(|_| "a key is up to 8 hexadecimal digits".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let mistake = "a number of seconds, such as 2.5";
    let number: f64 = text.parse().map_err(|_| mistake.to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|_| mistake.to_owned())
}

/// What may stand in a header.
fn field(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("a header field holds no line ends".to_owned());
    }
    Ok(text.to_owned())
}

impl Query {
    /// Asks, prints, and gives the exit code.
    pub(super) fn run(&self) -> ExitCode {
        if self.conformance.is_wanted() {
            return self.run_conformance();
        }
        let (urls, wish) = match self.urls().and_then(|(urls, hashes)| {
            let wish = self.wish(hashes)?;
            Ok((urls, wish))
        }) {
            Ok(found) => found,
            Err(sentence) => {
                let _ = writeln!(io::stderr(), "{sentence}");
                return ExitCode::from(2);
            }
        };
        let mut all = Vec::new();
        let (mut attempt, mut always) = (0, true);
        let good = loop {
            attempt += 1;
            let (mut outcomes, good) = self.ask(&urls, &wish, attempt);
            always &= good;
            if self.is_table()
                && let Err(code) = self.print_attempt(&outcomes, attempt)
            {
                return code;
            }
            all.append(&mut outcomes);
            let last = self.repeat.map(NonZeroU32::get);
            let enough = if self.until_success {
                good || Some(attempt) == last
            } else {
                attempt >= last.unwrap_or(1)
            };
            if enough {
                break if self.until_success { good } else { always };
            }
            thread::sleep(self.delay);
        };
        let said = if self.json {
            let show = json::Show {
                peers: self.show_peers,
                hex: self.hex,
            };
            say(&json::text(&all, show))
        } else if self.csv {
            say(&csv::text(&all, self.show_peers))
        } else if self.is_table() && all.len() > 1 {
            say(&table::summary(&Statistics::of(&all)))
        } else {
            ExitCode::SUCCESS
        };
        if said == ExitCode::SUCCESS && !good {
            return ExitCode::FAILURE;
        }
        said
    }

    fn run_conformance(&self) -> ExitCode {
        let show = conformance::Show {
            output: match (self.json, self.quiet) {
                (true, _) => conformance::Output::Json,
                (_, true) => conformance::Output::Quiet,
                _ => conformance::Output::Table,
            },
            hex: self.hex,
            colour: self.style().colour,
        };
        let asked = self.urls().and_then(|(urls, mut hashes)| {
            for text in &self.hash {
                hashes = hash::read(text)?;
            }
            let manner = self.connection.manner();
            self.conformance.run(
                &urls,
                hashes.first().copied(),
                &manner,
                self.connection.timeout,
                show,
            )
        });
        asked.unwrap_or_else(|sentence| {
            fail(&sentence);
            ExitCode::from(2)
        })
    }

    /// The trackers, and the torrents if the list of trackers names some.
    fn urls(&self) -> Result<(Vec<String>, Vec<InfoHash>), String> {
        let Some(file) = &self.batch else {
            return Ok((self.urls.clone(), Vec::new()));
        };
        let name = file.display();
        let mut bytes = Vec::new();
        let read = if name.to_string() == "-" {
            io::stdin().take(BATCH_LEN_MAX).read_to_end(&mut bytes)
        } else {
            fs::File::open(file).and_then(|file| file.take(BATCH_LEN_MAX).read_to_end(&mut bytes))
        };
        read.map_err(|error| format!("{name} cannot be read: {error}"))?;
        let (urls, hashes) = if bytes.starts_with(b"d") && Torrent::parse(&bytes).is_ok() {
            let torrent = Torrent::parse(&bytes)?;
            (torrent.trackers, torrent.info_hashes)
        } else {
            let text = String::from_utf8(bytes).map_err(|_| {
                format!("{name} is neither a .torrent file nor a list of one URL a line")
            })?;
            let lines = text.lines().map(str::trim);
            let urls = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
            (urls.map(str::to_owned).collect(), Vec::new())
        };
        if urls.is_empty() {
            return Err(format!("{name} names no tracker"));
        }
        Ok((urls, hashes))
    }

    fn wish(&self, listed: Vec<InfoHash>) -> Result<Wish, String> {
        let mut info_hashes = Vec::new();
        for text in &self.hash {
            info_hashes.extend(hash::read(text)?);
        }
        let is_scrape = self.scrape || self.full_scrape;
        if !is_scrape && self.hash.len() > 1 {
            return Err("an announce is for one torrent; only scrapes take several -H".to_owned());
        }
        let mut manner = self.connection.manner();
        // Who names a torrent knows why; a peer that came of itself goes of itself.
        manner.farewell = !self.keep && info_hashes.is_empty();
        manner.compact = !self.no_compact;
        manner.record = self.hex;
        let mut profile = self.client.clone().unwrap_or_default();
        if let Some(agent) = &self.user_agent {
            profile = profile.with_user_agent(agent.clone());
        }
        if let Some(start) = &self.peer_id {
            profile = profile.with_peer_id_start(start.clone());
        }
        manner.profile = profile;
        if info_hashes.is_empty() {
            info_hashes = listed;
        }
        Ok(Wish {
            kind: match (self.full_scrape, self.scrape) {
                (true, _) => WishKind::FullScrape,
                (_, true) => WishKind::Scrape,
                _ => WishKind::Announce(self.peer()),
            },
            info_hashes,
            random_client: self.random_client,
            proxy_field: self.proxy_header.clone(),
            manner,
            timeout: self.connection.timeout,
        })
    }

    fn peer(&self) -> Peer {
        let event = self.event.event();
        Peer {
            event,
            downloaded: self.downloaded,
            uploaded: self.uploaded,
            left: self.left.unwrap_or(match event {
                Event::Completed => 0,
                _ => LEFT,
            }),
            port: self.port,
            num_want: self.numwant,
            key: self.key,
        }
    }

    /// Asks all once, in the order in which they are shown.
    fn ask(&self, urls: &[String], wish: &Wish, attempt: u32) -> (Vec<Outcome>, bool) {
        let shows_progress = urls.len() > 1 && !self.quiet && io::stderr().is_terminal();
        let asked = wish.ask_all(urls, self.connection.at_once(), |done| {
            if shows_progress {
                let _ = write!(io::stderr(), "\r{done} of {} asked ", urls.len());
            }
        });
        if shows_progress {
            // The line is taken away again.
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        let good = asked.iter().all(|outcomes| run::is_good(outcomes));
        let mut outcomes = asked.concat();
        for outcome in &mut outcomes {
            outcome.attempt = attempt;
        }
        if self.batch.is_some() {
            run::sort(&mut outcomes);
        }
        if self.lookup {
            lookup::name_peers(&mut outcomes, Deadline::after(self.connection.timeout));
        }
        (outcomes, good)
    }

    fn style(&self) -> Style {
        let no_color = self.no_color || std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Style {
            colour: !no_color && io::stdout().is_terminal(),
            peers: self.show_peers,
            hex: self.hex,
        }
    }

    fn is_table(&self) -> bool {
        !self.json && !self.csv && !self.quiet
    }

    /// Prints paragraphs for a few trackers, lines for a list or many times. The error ends the program.
    fn print_attempt(&self, outcomes: &[Outcome], attempt: u32) -> Result<(), ExitCode> {
        let style = self.style();
        let mut text = String::new();
        let repeats = self.repeat.is_some() || self.until_success;
        if self.batch.is_some() || repeats {
            text = table::lines(outcomes, attempt == 1, style);
        } else {
            for outcome in outcomes {
                let _ = writeln!(text, "{}", table::details(outcome, style));
            }
        }
        match say(&text) {
            ExitCode::SUCCESS => Ok(()),
            code => Err(code),
        }
    }
}
