//! Programs that people use, each set up so that it meets others through its tracker alone:
//! distributed hash table, peer exchange, local discovery and port mapping are off.

use std::fs::{self, File};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Instant;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::PATIENCE;
use super::torrent::Torrent;
use crate::support::{LOOK_AGAIN, Process};

/// Debian's interpreter: the only one that sees Debian's libtorrent.
const PYTHON: &str = "/usr/bin/python3";

/// A program that people use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Software {
    Aria2,
    Libtorrent,
    Transmission,
}

impl Software {
    /// The signal on which it ends in good order.
    fn farewell(self) -> Signal {
        match self {
            // On SIGTERM it hurries and tells the tracker nothing.
            Self::Aria2 => Signal::SIGINT,
            Self::Libtorrent | Self::Transmission => Signal::SIGTERM,
        }
    }
}

/// What a client has of the file when it starts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    Complete,
    Empty,
}

/// What a client is started with.
pub(crate) struct Setup<'a> {
    pub(crate) torrent: &'a Torrent,
    /// The tracker that it knows.
    pub(crate) announce: &'a str,
    /// Where it listens; only libtorrent can have more than one.
    pub(crate) hosts: &'a [IpAddr],
    /// The certificate that vouches for the tracker's.
    pub(crate) root_certificate: &'a Path,
    pub(crate) begins: Begins,
}

/// The files of one client.
struct Places<'a> {
    folder: &'a Path,
    /// Where the file of the torrent lies or will lie.
    files: &'a Path,
    torrent: &'a Path,
}

/// A running client in a folder of its own.
pub(crate) struct Client {
    pub(crate) software: Software,
    process: Process,
    stays: bool,
    says_goodbye: bool,
    files: PathBuf,
    log: PathBuf,
    _folder: TempDir,
}

impl Client {
    pub(crate) fn start(software: Software, setup: &Setup<'_>) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let files = folder.path().join("files");
        fs::create_dir(&files).expect("a folder can be made in a temporary one");
        if setup.begins == Begins::Complete {
            setup.torrent.lay_file(&files);
        }
        let torrent = folder.path().join("cargo.torrent");
        setup.torrent.write(setup.announce, &torrent);

        let places = Places {
            folder: folder.path(),
            files: &files,
            torrent: &torrent,
        };
        let mut command = match software {
            Software::Aria2 => aria2(setup, &places),
            Software::Libtorrent => libtorrent(setup, &places),
            Software::Transmission => transmission(setup, &places),
        };
        let log = folder.path().join("log");
        let output = File::create(&log).expect("a log can be made in a temporary folder");
        let errors = output.try_clone().expect("a file can be opened twice");
        // Whatever a client keeps beside the file goes with the temporary folder.
        command
            .current_dir(folder.path())
            .env("HOME", folder.path());
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let process = Process::spawn(&format!("{software:?}"), &mut command);
        Self {
            software,
            process,
            stays: true,
            // Transmission 3 ends without another word over HTTP.
            says_goodbye: software != Software::Transmission || is_udp(setup.announce),
            files,
            log,
            _folder: folder,
        }
    }

    /// Whether it tells the tracker when it ends.
    pub(crate) fn says_goodbye(&self) -> bool {
        self.says_goodbye
    }

    /// Asks it to end, as its user would.
    pub(crate) fn leave(&mut self) {
        self.process.signal(self.software.farewell());
        let status = self.process.wait(PATIENCE);
        assert!(status.success(), "{:?} ended with {status}", self.software);
        self.stays = false;
    }

    /// Asks libtorrent for a scrape; it says in its log what it learns.
    pub(crate) fn scrape(&self) {
        assert_eq!(self.software, Software::Libtorrent);
        self.process.signal(Signal::SIGUSR1);
    }

    /// Fails when it has ended by itself.
    pub(crate) fn assert_alive(&mut self) {
        if self.stays {
            let ended = self.process.ended();
            assert_eq!(ended, None, "{:?} ended while it was needed", self.software);
        }
    }

    /// Waits for a line of its log with all of these words, and returns it.
    pub(crate) fn wait_for_log(&mut self, words: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
            if let Some(line) = log.lines().find(has_all) {
                return line.to_owned();
            }
            self.assert_alive();
            assert!(
                Instant::now() < deadline,
                "{:?} never said {words:?}",
                self.software
            );
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// All that it said until now.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Where the file of the torrent lies, once it is there.
    pub(crate) fn files(&self) -> &Path {
        &self.files
    }
}

fn aria2(setup: &Setup<'_>, places: &Places<'_>) -> Command {
    let mut command = Command::new("aria2c");
    // aria2 sends to UDP trackers from the socket of its hash table, so that has to be on; without
    // an entry point it knows nobody to talk to.
    let over_udp = is_udp(setup.announce);
    command
        .args([
            "--no-conf",
            "--console-log-level=info",
            "--summary-interval=0",
        ])
        .arg(format!("--enable-dht={over_udp}"))
        .args(["--dht-file-path=dht.dat", "--dht-listen-port=20000-29999"])
        .args(["--enable-peer-exchange=false", "--bt-enable-lpd=false"])
        .arg(format!("--interface={}", only(setup.hosts)))
        .arg("--listen-port=20000-29999")
        .arg("--ca-certificate")
        .arg(setup.root_certificate)
        // What is there already is checked and handed out, without an end.
        .args(["--check-integrity=true", "--seed-ratio=0.0"])
        .args(["--file-allocation=none", "--disk-cache=0"])
        .arg("--dir")
        .arg(places.files)
        .arg(places.torrent);
    command
}

fn libtorrent(setup: &Setup<'_>, places: &Places<'_>) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/libtorrent_peer.py");
    let mut command = Command::new(PYTHON);
    command
        .arg(script)
        .args([places.torrent, places.files])
        // OpenSSL takes it for the roots of the system.
        .env("SSL_CERT_FILE", setup.root_certificate);
    for host in setup.hosts {
        match host {
            IpAddr::V4(host) => command.arg(host.to_string()),
            IpAddr::V6(host) => command.arg(format!("[{host}]")),
        };
    }
    command
}

fn transmission(setup: &Setup<'_>, places: &Places<'_>) -> Command {
    let host = only(setup.hosts);
    let watched = places.folder.join("watched");
    fs::create_dir(&watched).expect("a folder can be made in a temporary one");
    fs::copy(places.torrent, watched.join("cargo.torrent")).expect("a torrent can be copied");
    let bind_key = if host.is_ipv4() {
        "bind-address-ipv4"
    } else {
        "bind-address-ipv6"
    };
    let settings = format!(
        r#"{{
            "{bind_key}": "{host}",
            "peer-port": {port},
            "download-dir": "{files}",
            "watch-dir-enabled": true,
            "watch-dir": "{watched}",
            "rpc-enabled": false,
            "dht-enabled": false,
            "lpd-enabled": false,
            "pex-enabled": false,
            "utp-enabled": false,
            "port-forwarding-enabled": false,
            "message-level": 2
        }}"#,
        port = unused_port(host),
        files = places.files.display(),
        watched = watched.display(),
    );
    fs::write(places.folder.join("settings.json"), settings).expect("the settings can be written");
    let mut command = Command::new("transmission-daemon");
    command
        .args(["--foreground", "--config-dir"])
        .arg(places.folder)
        .env("CURL_CA_BUNDLE", setup.root_certificate);
    command
}

fn is_udp(announce: &str) -> bool {
    announce.starts_with("udp:")
}

fn only(hosts: &[IpAddr]) -> IpAddr {
    match hosts {
        [host] => *host,
        _ => panic!("this client listens on one address, not on {hosts:?}"),
    }
}

/// A port that nobody holds for TCP or UDP. It lies below the range from which the kernel gives ports
/// to others, so that nobody takes it by chance before the client does.
fn unused_port(host: IpAddr) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = (std::process::id() % 2000) as u16;
    loop {
        let port = 10_000 + offset + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind((host, port)).is_ok() && UdpSocket::bind((host, port)).is_ok() {
            return port;
        }
    }
}
