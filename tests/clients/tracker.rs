//! Shoal as clients meet it: over UDP, HTTP and HTTPS at once, with a certificate that they can check.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::Value;
use tempfile::TempDir;

use super::PATIENCE;
use super::scrape::{Counts, scrape};
use crate::support::{TrackerProcess, shoal};

/// The loopback address of each family.
pub(crate) const IPV4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const IPV6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// The token of private trackers.
const TOKEN: &str = "the-token-of-this-test";

/// How clients announce.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scheme {
    Udp,
    Http,
    Https,
}

impl Scheme {
    pub(crate) const ALL: [Self; 3] = [Self::Udp, Self::Http, Self::Https];

    fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A tracker that listens with every scheme on some hosts.
pub(crate) struct Tracker {
    addresses: Vec<(Scheme, SocketAddr)>,
    /// Where a private one has its API.
    control: Option<SocketAddr>,
    process: TrackerProcess,
    folder: TempDir,
}

impl Tracker {
    /// Starts one on two cores, on any ports of these hosts.
    pub(crate) fn on(hosts: &[IpAddr]) -> Self {
        Self::start(hosts, false)
    }

    /// The same for those who have a key.
    pub(crate) fn private_on(hosts: &[IpAddr]) -> Self {
        Self::start(hosts, true)
    }

    fn start(hosts: &[IpAddr], private: bool) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let files = certify(folder.path(), hosts);
        let [certificate, private_key] = files.each_ref().map(|file| file.display());
        let mut config = String::from("[workers]\ncount = 2\n");
        for host in hosts {
            let any_port = SocketAddr::new(*host, 0);
            write!(
                config,
                "[[udp]]\nlisten = \"{any_port}\"\n\
                 [[http]]\nlisten = \"{any_port}\"\n\
                 [[http]]\nlisten = \"{any_port}\"\n\
                 tls = {{ certificate = '{certificate}', private_key = '{private_key}' }}\n",
            )
            .expect("a string takes everything");
        }
        if private {
            write!(
                config,
                "[access]\nmode = \"private\"\n[control.tokens]\ntest = \"{TOKEN}\"\n"
            )
            .expect("a string takes everything");
        }
        let file = folder.path().join("config.toml");
        fs::write(&file, config).expect("a temporary folder takes a file");

        let mut command = shoal();
        command.arg("run").arg("--config").arg(&file);
        if private {
            command.args(["--set", "control.listen=127.0.0.1:0"]);
        }
        let mut process = TrackerProcess::start_command(command, hosts.len());
        let control = private.then(|| {
            let line = process.wait_for_log(" (control)", PATIENCE);
            let address = line.trim_end_matches(" (control)").rsplit('/').next();
            let address = address.and_then(|address| address.parse().ok());
            address.expect("the line ends with an address")
        });
        let mut addresses = Vec::new();
        for host in hosts {
            for scheme in Scheme::ALL {
                let start = format!("listening on {}://", scheme.name());
                let host = SocketAddr::new(*host, 0).to_string();
                let host = host.strip_suffix('0').expect("it ends with the port");
                let line = process.wait_for_log(&format!("{start}{host}"), PATIENCE);
                let (_, address) = line.split_once(&start).expect("the line has it");
                let address = address.trim().parse();
                addresses.push((scheme, address.expect("the line ends with an address")));
            }
        }
        Self {
            addresses,
            control,
            process,
            folder,
        }
    }

    /// A new key.
    pub(crate) fn key(&self) -> String {
        let body = r#"{"key":null,"seconds_valid":3600}"#;
        let made = self.api("POST", "/api/v1/keys", body);
        let made = made.expect("a private tracker has an API");
        let key = made["key"].as_str().expect("a key is a text");
        key.to_owned()
    }

    /// What its API answers.
    fn api(&self, method: &str, target: &str, body: &str) -> io::Result<Value> {
        let control = self.control.expect("this tracker has an API");
        let mut stream = TcpStream::connect(control)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\
             Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        Ok(serde_json::from_str(body)?)
    }

    /// Where clients announce.
    pub(crate) fn url(&self, scheme: Scheme, host: IpAddr) -> String {
        self.url_of(scheme, host, "/announce")
    }

    /// The URL of this path.
    pub(crate) fn url_of(&self, scheme: Scheme, host: IpAddr, path: &str) -> String {
        let mut own = self.addresses.iter();
        let own = own.find(|(of, address)| *of == scheme && address.ip() == host);
        let (_, address) = own.expect("the tracker listens there");
        format!("{}://{address}{path}", scheme.name())
    }

    /// The certificate that vouches for the tracker's own.
    pub(crate) fn root_certificate(&self) -> PathBuf {
        root_certificate(self.folder.path())
    }

    /// All that it logged until now.
    pub(crate) fn log(&mut self) -> String {
        self.process.stderr_so_far()
    }

    /// What it says of a torrent over UDP, whatever its clients use. A private one tells nothing there,
    /// so its API is asked.
    pub(crate) fn scrape(&self, info_hash: [u8; 20]) -> io::Result<Counts> {
        if self.control.is_some() {
            let digits = info_hash.map(|byte| format!("{byte:02x}")).concat();
            let target = format!("/api/v1/torrents?info_hash={digits}");
            let torrents = self.api("GET", &target, "")?;
            let count = |name| torrents[0][name].as_u64().unwrap_or(0) as u32;
            let [seeders, completed, leechers] = ["seeders", "completed", "leechers"].map(count);
            return Ok(Counts::of(seeders, completed, leechers));
        }
        let mut own = self.addresses.iter();
        let (_, address) = own
            .find(|(scheme, _)| *scheme == Scheme::Udp)
            .expect("every tracker of these tests has UDP");
        scrape(*address, info_hash)
    }
}

fn root_certificate(folder: &Path) -> PathBuf {
    folder.join("root.pem")
}

/// Makes a root, and a certificate for these hosts that it vouches for; returns the files of the
/// latter and its key. They are valid for as long as rcgen likes, which is longer than a test.
fn certify(folder: &Path, hosts: &[IpAddr]) -> [PathBuf; 2] {
    let made = "rcgen makes what it is told to";
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Some clients find the root by its name, which must not be that of what it signs.
    root.distinguished_name.push(DnType::CommonName, "Root");
    let root_key = KeyPair::generate().expect(made);
    let root_pem = root.self_signed(&root_key).expect(made).pem();

    let hosts: Vec<String> = hosts.iter().map(IpAddr::to_string).collect();
    let mut own = CertificateParams::new(hosts).expect(made);
    own.distinguished_name.push(DnType::CommonName, "Tracker");
    let own_key = KeyPair::generate().expect(made);
    let issuer = Issuer::new(root, root_key);
    let own_pem = own.signed_by(&own_key, &issuer).expect(made).pem();

    let files = [folder.join("fullchain.pem"), folder.join("privkey.pem")];
    for (file, content) in [
        (&root_certificate(folder), root_pem),
        (&files[0], own_pem),
        (&files[1], own_key.serialize_pem()),
    ] {
        fs::write(file, content).expect("a temporary folder takes a file");
    }
    files
}
