//! Real BitTorrent clients on loopback that can find each other through the tracker and in no other
//! way: the torrent is private, and distributed hash table, peer exchange, local discovery and port
//! mapping are off.

mod scrape;
mod torrent;

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::{LOOK_AGAIN, Process, TrackerProcess};
use scrape::{Counts, scrape};
use torrent::Torrent;

/// How long clients may take for anything that they are asked for. They need seconds; most wait ten
/// until they let an unknown peer download.
const PATIENCE: Duration = Duration::from_secs(120);

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

/// Carries a file from one client to another that knows it only from the tracker, which listens on
/// `listen`, and checks what the tracker says of the swarm at every step.
pub(crate) fn carry_a_file(listen: &str, from: Software, to: Software) {
    let tracker = TrackerProcess::start(&[&format!("udp.listen={listen}"), "workers.count=2"]);
    let address = tracker.address();
    let torrent = Torrent::announced_at(&format!("udp://{address}/announce"));
    let mut swarm = Swarm {
        tracker: address,
        torrent: &torrent,
        clients: Vec::new(),
    };

    // Who comes second is told about the first and dials. Transmission takes a loopback address
    // for an impossible one and never dials it, so where it takes part it comes first.
    let before = Counts {
        seeders: 1,
        completed: 0,
        leechers: 1,
    };
    let (seeder, leecher) = if to == Software::Transmission {
        let leecher = swarm.join(to, Begins::Empty);
        swarm.wait_for(
            "the leecher",
            Counts {
                seeders: 0,
                ..before
            },
        );
        (swarm.join(from, Begins::Complete), leecher)
    } else {
        let seeder = swarm.join(from, Begins::Complete);
        swarm.wait_for(
            "the seeder",
            Counts {
                leechers: 0,
                ..before
            },
        );
        (seeder, swarm.join(to, Begins::Empty))
    };

    swarm.wait_for(
        "two seeders",
        Counts {
            seeders: 2,
            completed: 1,
            leechers: 0,
        },
    );
    swarm.leave(leecher);
    swarm.wait_for(
        "the seeder alone",
        Counts {
            seeders: 1,
            completed: 1,
            leechers: 0,
        },
    );
    torrent.assert_arrived(&swarm.clients[leecher].files);
    swarm.leave(seeder);
    swarm.wait_until("nobody", |counts| {
        counts.seeders == 0 && counts.leechers == 0
    });
}

/// What a client has of the file when it starts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begins {
    Complete,
    Empty,
}

/// The clients of one torrent, in the order in which they came.
struct Swarm<'a> {
    tracker: SocketAddr,
    torrent: &'a Torrent,
    clients: Vec<Client>,
}

impl Swarm<'_> {
    /// Starts one more client; returns its place.
    fn join(&mut self, software: Software, begins: Begins) -> usize {
        self.clients.push(Client::start(
            software,
            self.torrent,
            self.tracker.ip(),
            begins,
        ));
        self.clients.len() - 1
    }

    /// Asks a client to end, as its user would, so that it says goodbye to the tracker.
    fn leave(&mut self, place: usize) {
        let client = &mut self.clients[place];
        client.process.signal(client.software.farewell());
        let status = client.process.wait(PATIENCE);
        assert!(
            status.success(),
            "{:?} ended with {status}",
            client.software
        );
        client.stays = false;
    }

    /// Waits until a scrape returns these counts.
    fn wait_for(&mut self, what: &str, counts: Counts) {
        self.wait_until(what, |now| now == counts);
    }

    /// Waits until what a scrape returns is right.
    fn wait_until(&mut self, what: &str, right: impl Fn(Counts) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let counts = scrape(self.tracker, self.torrent.info_hash);
            if counts.as_ref().is_ok_and(|counts| right(*counts)) {
                return;
            }
            for client in &mut self.clients {
                if client.stays {
                    let ended = client.process.ended();
                    assert_eq!(
                        ended, None,
                        "{:?} ended while it was needed",
                        client.software
                    );
                }
            }
            assert!(
                Instant::now() < deadline,
                "waited {PATIENCE:?} for {what}, and the tracker still says {counts:?}"
            );
            thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Swarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            for client in &self.clients {
                let log = fs::read(&client.log).unwrap_or_default();
                let log = String::from_utf8_lossy(&log);
                eprintln!("---- output of {:?} ----\n{log}", client.software);
            }
        }
    }
}

/// A running client in a folder of its own.
struct Client {
    software: Software,
    process: Process,
    stays: bool,
    files: PathBuf,
    log: PathBuf,
    _folder: TempDir,
}

impl Client {
    fn start(software: Software, torrent: &Torrent, host: IpAddr, begins: Begins) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let files = folder.path().join("files");
        fs::create_dir(&files).expect("a folder can be made in a temporary one");
        if begins == Begins::Complete {
            torrent.lay_file(&files);
        }

        let mut command = match software {
            Software::Aria2 => aria2(&torrent.path(), &files, host),
            Software::Libtorrent => libtorrent(&torrent.path(), &files, host),
            Software::Transmission => transmission(&torrent.path(), &files, folder.path(), host),
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
            files,
            log,
            _folder: folder,
        }
    }
}

fn aria2(torrent: &Path, files: &Path, host: IpAddr) -> Command {
    let mut command = Command::new("aria2c");
    command
        .args([
            "--no-conf",
            "--console-log-level=info",
            "--summary-interval=0",
        ])
        // aria2 sends to UDP trackers from the socket of its hash table, so that has to be on;
        // without an entry point it knows nobody to talk to.
        .args([
            "--enable-dht=true",
            "--dht-file-path=dht.dat",
            "--dht-listen-port=20000-29999",
        ])
        .args(["--enable-peer-exchange=false", "--bt-enable-lpd=false"])
        .args([&format!("--interface={host}"), "--listen-port=20000-29999"])
        // What is there already is checked and handed out, without an end.
        .args(["--check-integrity=true", "--seed-ratio=0.0"])
        .args(["--file-allocation=none", "--disk-cache=0"])
        .arg("--dir")
        .arg(files)
        .arg(torrent);
    command
}

fn libtorrent(torrent: &Path, files: &Path, host: IpAddr) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/libtorrent_peer.py");
    let address = match host {
        IpAddr::V4(host) => host.to_string(),
        IpAddr::V6(host) => format!("[{host}]"),
    };
    let mut command = Command::new(PYTHON);
    command.arg(script).arg(torrent).arg(files).arg(address);
    command
}

fn transmission(torrent: &Path, files: &Path, folder: &Path, host: IpAddr) -> Command {
    let watched = folder.join("watched");
    fs::create_dir(&watched).expect("a folder can be made in a temporary one");
    fs::copy(torrent, watched.join("cargo.torrent")).expect("a torrent can be copied");
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
        files = files.display(),
        watched = watched.display(),
    );
    fs::write(folder.join("settings.json"), settings).expect("the settings can be written");
    let mut command = Command::new("transmission-daemon");
    command.arg("--foreground").arg("--config-dir").arg(folder);
    command
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
