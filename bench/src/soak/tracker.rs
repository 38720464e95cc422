//! The tracker that is soaked: its configuration, its process, its log.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Options;
use super::scene::Places;
use crate::sys;

/// How long a tracker may take to serve, and to end with its last snapshot.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Secret of the API. It is no secret: the tracker listens on loopback, for as long as the soak lasts.
pub(super) const TOKEN: &str = "soaked-through-and-through";

pub(super) struct Tracker {
    child: Child,
    folder: PathBuf,
    /// Of the process that serves, which is another one after a restart.
    pid: u32,
}

/// What is in the log: lines by level, and the first of those that matter.
#[derive(Default)]
pub(super) struct Said {
    pub(super) errors: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) last: String,
    serves: Option<u32>,
}

impl Said {
    fn in_log(log: &str) -> Self {
        let mut said = Self::default();
        for line in log.lines() {
            // [2026-11-22T02:29:10.515Z INFO ] stopped
            match line.split([' ', ']']).nth(1) {
                Some("ERROR") => said.errors.push(line.to_owned()),
                Some("WARN") => said.warnings.push(line.to_owned()),
                _ => {}
            }
            // process 8336 serves: datagrams waited 100.1 ms, connections 496.8 ms
            if let Some((head, _)) = line.split_once(" serves: datagrams waited") {
                let number = head.rsplit(' ').next();
                said.serves = number.and_then(|number| number.parse().ok());
            }
            line.clone_into(&mut said.last);
        }
        said
    }
}

impl Tracker {
    /// Writes the configuration into `folder`, starts the program and waits until it serves.
    pub(super) fn start(options: &Options, folder: &Path) -> Result<(Self, Places), String> {
        let places = free_places(options)?;
        let cannot = |what: &str, error: &dyn std::fmt::Display| format!("cannot {what}: {error}");
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(folder.join("config.toml"), config(options, &places, folder)))
            .and_then(|()| fs::write(folder.join("blocklist"), ""))
            .and_then(|()| fs::write(folder.join("ip-blocklist"), ""))
            .map_err(|error| cannot("write the configuration", &error))?;
        let said = File::create(folder.join("stderr"))
            .map_err(|error| cannot("write standard error", &error))?;
        let mut command = Command::new(&options.shoal);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SHOAL_") {
                command.env_remove(name);
            }
        }
        command
            .args(["run", "--config"])
            .arg(folder.join("config.toml"));
        for text in &options.set {
            command.args(["--set", text]);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .map_err(|error| cannot(&format!("start {}", options.shoal.display()), &error))?;
        let mut tracker = Self {
            pid: child.id(),
            child,
            folder: folder.to_owned(),
        };
        let until = Instant::now() + PATIENCE;
        // What listens last.
        while !tracker.log().contains(" (control)") {
            if tracker.has_ended() || Instant::now() > until {
                let said = fs::read_to_string(folder.join("stderr")).unwrap_or_default();
                return Err(format!(
                    "the tracker does not serve: {said}{}",
                    tracker.log()
                ));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok((tracker, places))
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    pub(super) fn said(&self) -> Said {
        Said::in_log(&self.log())
    }

    fn has_ended(&mut self) -> bool {
        if self.pid == self.child.id() {
            return !matches!(self.child.try_wait(), Ok(None));
        }
        // Whoever adopted it may take a while to bury it.
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    }

    /// An error when the process is gone that should serve.
    pub(super) fn check(&mut self) -> Result<(), String> {
        if self.has_ended() {
            return Err(format!("process {} has ended by itself", self.pid));
        }
        Ok(())
    }

    pub(super) fn reload(&self) -> Result<(), String> {
        self.signal(libc::SIGHUP)
    }

    /// Has a new process take over, and waits until it serves.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        let before = self.pid;
        self.signal(libc::SIGUSR2)?;
        let until = Instant::now() + PATIENCE;
        loop {
            match self.said().serves {
                Some(pid) if pid != before => {
                    self.pid = pid;
                    break;
                }
                _ if Instant::now() > until => {
                    return Err(String::from("no new process took over after SIGUSR2"));
                }
                _ => std::thread::sleep(LOOK_AGAIN),
            }
        }
        if before == self.child.id() {
            let status = self.child.wait().map_err(|error| error.to_string())?;
            if !status.success() {
                return Err(format!("the process that handed over ended with {status}"));
            }
        }
        Ok(())
    }

    /// SIGTERM, and how the process ended.
    pub(super) fn stop(&mut self) -> Result<(), String> {
        self.check()?;
        self.signal(libc::SIGTERM)?;
        let until = Instant::now() + PATIENCE;
        while !self.has_ended() {
            if Instant::now() > until {
                return Err(format!("SIGTERM did not end process {}", self.pid));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        if self.pid == self.child.id() {
            let status = self.child.wait().map_err(|error| error.to_string())?;
            if !status.success() {
                return Err(format!("SIGTERM ended it with {status}"));
            }
        }
        let last = self.said().last;
        if last.ends_with("stopped") {
            Ok(())
        } else {
            Err(format!("its last line is not that it stopped: {last}"))
        }
    }

    fn signal(&self, number: libc::c_int) -> Result<(), String> {
        sys::signal(self.pid, number)
            .map_err(|error| format!("cannot signal process {}: {error}", self.pid))
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        if !self.has_ended() {
            let _ = sys::signal(self.pid, libc::SIGKILL);
        }
        let _ = self.child.try_wait();
    }
}

/// Ports that nobody has at this moment, over IPv4 and where this host has it over IPv6.
fn free_places(options: &Options) -> Result<Places, String> {
    let no_port = |error| format!("no port is free: {error}");
    let hosts: &[&str] = match UdpSocket::bind("[::1]:0") {
        Ok(_) => &["127.0.0.1:0", "[::1]:0"],
        Err(_) => &["127.0.0.1:0"],
    };
    let udp: Result<Vec<UdpSocket>, _> = hosts.iter().map(UdpSocket::bind).collect();
    let udp = udp.map_err(no_port)?;
    // All are held until the last is found, so that they differ.
    let tcp: Result<Vec<TcpListener>, _> = hosts
        .iter()
        .chain(hosts)
        .chain(&hosts[..1])
        .map(TcpListener::bind)
        .collect();
    let tcp: Result<Vec<SocketAddr>, _> = tcp
        .map_err(no_port)?
        .iter()
        .map(TcpListener::local_addr)
        .collect();
    let tcp = tcp.map_err(no_port)?;
    let udp: Result<Vec<SocketAddr>, _> = udp.iter().map(UdpSocket::local_addr).collect();
    Ok(Places {
        udp: udp.map_err(no_port)?,
        http: tcp[..hosts.len()].to_vec(),
        https: tcp[hosts.len()..2 * hosts.len()].to_vec(),
        control: tcp[2 * hosts.len()],
        certificate: options.certificate.clone(),
    })
}

fn config(options: &Options, places: &Places, folder: &Path) -> String {
    let path = |name: &str| format!("{:?}", folder.join(name).display().to_string());
    let quoted = |path: &Path| format!("{:?}", path.display().to_string());
    let mut text = String::new();
    // Writing to a String does not fail.
    for address in &places.udp {
        let _ = writeln!(text, "[[udp]]\nlisten = \"{address}\"");
    }
    for address in &places.http {
        let _ = writeln!(text, "[[http]]\nlisten = \"{address}\"");
    }
    for address in &places.https {
        let _ = writeln!(
            text,
            "[[http]]\nlisten = \"{address}\"\ntls = {{ certificate = {}, private_key = {} }}",
            quoted(&options.certificate),
            quoted(&options.private_key)
        );
    }
    // Short times, so that many generations pass; the machine has other work. Everybody comes from one address, so
    // limits by source would turn away those who are honest.
    text + &format!(
        "[workers]\npin = false\n\
         [announce]\ninterval = {}\npeer_timeout = {}\n\
         [flood]\nper_source = 0\nper_network = 0\nnew_torrents = 0\n\
         [connections]\nidle_timeout = 20\nrequest_timeout = 5\n\
         [access]\nconnection_id_lifetime = 60\nblocklist = {}\nip_blocklist = {}\n\
         [control]\nlisten = \"{}\"\n[control.tokens]\nsoak = \"{TOKEN}\"\n\
         [store]\npath = {}\nsnapshot_interval = {}\n\
         [log]\nfile = {}\nmax_bytes = 0\n",
        options.interval,
        options.peer_timeout(),
        path("blocklist"),
        path("ip-blocklist"),
        places.control,
        path("store"),
        options.snapshot_every,
        path("log"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_who_serves_what_went_wrong_and_how_it_ended() {
        let said = Said::in_log(
            "[2026-11-22T02:29:01.001Z INFO ] started process 12 to take over\n\
             [2026-11-22T02:29:02.001Z INFO ] process 12 serves: datagrams waited 1.0 ms, connections 15.0 ms\n\
             [2026-11-22T02:29:03.001Z WARN ] an ERROR in the text is none\n\
             [2026-11-22T02:29:04.001Z ERROR] cannot write a snapshot\n\
             [2026-11-22T02:29:05.001Z INFO ] stopped\n",
        );
        assert_eq!(said.serves, Some(12));
        assert_eq!((said.warnings.len(), said.errors.len()), (1, 1));
        assert!(said.errors[0].ends_with("cannot write a snapshot"));
        assert!(said.last.ends_with("stopped"));
    }
}
