//! The configurations of `docs/proxies.md`, as they stand there but for ports and paths: nginx, haproxy
//! and Caddy in front of the tracker, and clients that must appear under their own addresses.

mod http;
mod in_process;
mod manual;
mod support;
mod tls;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use http::{Browser, Response, announce};
use in_process::PATIENCE;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use support::{LOOK_AGAIN, Process, TrackerProcess, shoal};
use tempfile::TempDir;
use tls::{Files, Root, secure};

const MANUAL: &str = include_str!("../docs/proxies.md");

/// What stands in every configuration for a certificate.
const LETSENCRYPT: &str = "/etc/letsencrypt/live/tracker.example.org";

/// The tracker with one configuration of the manual, a door to look at it, and where the rest is.
struct Site {
    tracker: TrackerProcess,
    plain: SocketAddr,
    folder: TempDir,
    files: Files,
    root: Root,
    ports: Ports,
}

/// Ports that nobody had when this was made.
struct Ports {
    http: u16,
    https: u16,
    shoal: u16,
    shoal_tls: u16,
}

impl Ports {
    fn choose() -> Self {
        let held = [(); 4].map(|()| TcpListener::bind("[::]:0").unwrap());
        let [http, https, shoal, shoal_tls] =
            held.map(|socket| socket.local_addr().unwrap().port());
        Self {
            http,
            https,
            shoal,
            shoal_tls,
        }
    }
}

impl Site {
    /// Runs the tracker as the manual says.
    fn start(toml: &str) -> Self {
        let (folder, root, ports) = (TempDir::new().unwrap(), Root::new(), Ports::choose());
        // Proxies give up what root may do, and must still reach the socket.
        let everybody = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), everybody).unwrap();
        let files = Files::of(&root.issue());
        let mut text = adapted(toml, folder.path(), &files, &ports);
        // To see whom it took its clients for.
        text.push_str("\n[[http]]\nlisten = \"127.0.0.1:0\"\n");
        let mut command = shoal();
        command.env("SHOAL_CONFIG_TOML", text);
        command.args(["run", "--set", "store.path=", "--set", "udp.listen="]);
        let mut tracker = TrackerProcess::start_http(command);
        let plain = *tracker.http_addresses().last().unwrap();
        Self {
            tracker,
            plain,
            folder,
            files,
            root,
            ports,
        }
    }

    /// Writes the configuration of a proxy into a file.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        let text = adapted(text, self.folder.path(), &self.files, &self.ports);
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs a proxy until it takes connections at both ports.
    fn run(&self, name: &str, command: &mut Command) -> Process {
        command.stdin(Stdio::null()).current_dir(self.folder.path());
        let mut proxy = Process::spawn(name, command);
        let deadline = Instant::now() + PATIENCE;
        for port in [self.ports.http, self.ports.https] {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                let ended = proxy.ended();
                assert!(ended.is_none(), "{name} ended; what it said stands above");
                assert!(Instant::now() < deadline, "{name} never listens");
                thread::sleep(LOOK_AGAIN);
            }
        }
        proxy
    }

    /// Announces over HTTP and HTTPS, IPv4 and IPv6, with and without lies; each must be taken for who it
    /// is.
    fn expect_clients_told_apart(&self, trusting: &ClientConfig) {
        let trusting = Arc::new(trusting.clone());
        let mut expected = BTreeSet::new();
        for (local, port) in [
            ("127.0.0.1", 6881),
            ("127.0.0.2", 6882),
            ("127.0.0.3", 6883),
            ("::1", 6884),
        ] {
            let local: IpAddr = local.parse().unwrap();
            let here: IpAddr = match local {
                IpAddr::V4(_) => [127, 0, 0, 1].into(),
                IpAddr::V6(_) => local,
            };
            let to = |port| Browser::at(local, SocketAddr::new(here, port)).stream;
            let mut client = Browser::over(to(self.ports.http));
            expect_good(&ask(&mut client, port, ""));
            expect_good(&ask(&mut client, port, "X-Forwarded-For: 203.0.113.7\r\n"));
            let tls = secure(to(self.ports.https), &trusting).expect("a handshake");
            let mut client = Browser::over(tls);
            for lie in ["", "X-Forwarded-For: 203.0.113.7, 203.0.113.8\r\n"] {
                expect_good(&ask(&mut client, port + 100, lie));
            }
            expected.extend([port, port + 100].map(|port| SocketAddr::new(local, port)));
        }
        assert_eq!(self.peers(), expected);
    }

    fn peers(&self) -> BTreeSet<SocketAddr> {
        let mut looker = Browser::of(self.plain);
        // Everybody is told of his own family first, so both are asked.
        let reply = looker.get(&announce(HASH, 9, 1, "started"));
        let mut peers = reply.peers();
        peers.remove(&SocketAddr::from(([127, 0, 0, 1], 9)));
        peers
    }
}

const HASH: &str = "proxyproxyproxyproxy";

fn ask<S: std::io::Read + std::io::Write>(
    client: &mut Browser<S>,
    port: u16,
    headers: &str,
) -> Response {
    let target = announce(HASH, port, 10, "started");
    client.send(format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n").as_bytes());
    client.response()
}

#[track_caller]
fn expect_good(reply: &Response) {
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.text().contains("8:interval"), "{}", reply.text());
}

/// A configuration of the manual with the ports and paths of a test.
fn adapted(text: &str, folder: &Path, files: &Files, ports: &Ports) -> String {
    let folder = folder.display().to_string();
    let mut text = text.to_owned();
    for (theirs, ours) in [
        ("127.0.0.1:6970", format!("127.0.0.1:{}", ports.shoal)),
        ("127.0.0.1:6971", format!("127.0.0.1:{}", ports.shoal_tls)),
        ("/run/shoal/http.sock", format!("{folder}/http.sock")),
        (LETSENCRYPT, files.folder.path().display().to_string()),
        ("/etc/haproxy/tracker.pem", format!("{folder}/tracker.pem")),
        ("listen 80;", format!("listen {};", ports.http)),
        ("listen 443", format!("listen {}", ports.https)),
        ("[::]:80;", format!("[::]:{};", ports.http)),
        ("[::]:443", format!("[::]:{}", ports.https)),
        (":::80 ", format!(":::{} ", ports.http)),
        (":::443 ", format!(":::{} ", ports.https)),
        ("tracker.example.org", "127.0.0.1".to_owned()),
    ] {
        text = text.replace(theirs, &ours);
    }
    text
}

/// The configurations of a section: for each the tracker's, and that of what stands in front.
fn configurations(section: &str, language: &str) -> Vec<(String, String)> {
    let blocks = manual::blocks(manual::section(MANUAL, section));
    let of = |language: &str| {
        let of_language = blocks.iter().filter(|block| block.language == language);
        let texts: Vec<String> = of_language.map(|block| block.text.to_owned()).collect();
        texts
    };
    let (ours, theirs) = (of("toml"), of(language));
    assert_eq!(ours.len(), theirs.len(), "one for each in {section}");
    ours.into_iter().zip(theirs).collect()
}

#[test]
fn nginx_as_the_manual_has_it_names_its_clients() {
    let configurations = configurations("nginx", "nginx");
    assert_eq!(configurations.len(), 2);
    for (ours, theirs) in configurations {
        let site = Site::start(&ours);
        let folder = site.folder.path().display();
        let is_stream = theirs.starts_with("stream");
        let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
        let load = if is_stream && Path::new(module).exists() {
            format!("load_module {module};\n")
        } else {
            String::new()
        };
        // A master would leave its worker behind when it is killed.
        let outside = format!(
            "{load}daemon off; master_process off; pid {folder}/pid; error_log stderr; events {{}}\n"
        );
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {folder}/{name};\n"))
            .concat();
        let text = if is_stream {
            format!("{outside}{theirs}")
        } else {
            format!("{outside}http {{\n{temporary}{theirs}}}\n")
        };
        let config = site.write("nginx.conf", &text);
        let program = ["/usr/sbin/nginx", "nginx"]
            .into_iter()
            .find(|path| Path::new(path).exists());
        let mut command = Command::new(program.unwrap_or("nginx"));
        command.arg("-p").arg(site.folder.path());
        command.arg("-c").arg(config).args(["-e", "stderr"]);
        let _nginx = site.run("nginx", &mut command);
        site.expect_clients_told_apart(&site.root.client());
    }
}

#[test]
fn haproxy_as_the_manual_has_it_names_its_clients() {
    let configurations = configurations("HAProxy", "haproxy");
    assert_eq!(configurations.len(), 2);
    for (ours, theirs) in configurations {
        let mut site = Site::start(&ours);
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let pem = [&site.files.names.certificate, &site.files.names.private_key]
            .map(|path| read(path))
            .concat();
        fs::write(site.folder.path().join("tracker.pem"), pem).unwrap();
        let config = site.write("haproxy.cfg", &theirs);
        let program = ["/usr/sbin/haproxy", "haproxy"]
            .into_iter()
            .find(|path| Path::new(path).exists());
        let mut command = Command::new(program.unwrap_or("haproxy"));
        // In the foreground, without a master.
        command.arg("-db").arg("-f").arg(config);
        let _haproxy = site.run("haproxy", &mut command);
        site.expect_clients_told_apart(&site.root.client());
        // Its checks are no mistakes of anybody.
        site.tracker.signal(nix::sys::signal::Signal::SIGUSR1);
        let told = site.tracker.wait_for_log("kernel_drops", PATIENCE);
        assert!(!told.contains("bad_proxy_header"), "{told}");
    }
}

#[test]
fn caddy_as_the_manual_has_it_names_its_clients() {
    let configurations = configurations("Caddy", "caddy");
    let [(ours, theirs)] = &configurations[..] else {
        panic!("one configuration");
    };
    let site = Site::start(ours);
    let folder = site.folder.path().display().to_string();
    // An authority of its own, for that of the internet cannot be asked from here.
    let options = format!(
        "{{\nadmin off\nlocal_certs\nskip_install_trust\ndefault_sni 127.0.0.1\nhttp_port {}\nhttps_port {}\n\
         storage file_system {folder}/caddy\n}}\n",
        site.ports.http, site.ports.https
    );
    let config = site.write("Caddyfile", &format!("{options}{theirs}"));
    let mut command = Command::new("caddy");
    command.arg("run").args(["--adapter", "caddyfile"]);
    command.arg("--config").arg(config).env("HOME", &folder);
    let _caddy = site.run("caddy", &mut command);
    let root = site
        .folder
        .path()
        .join("caddy/pki/authorities/local/root.crt");
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(root).unwrap())
        .unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let trusting = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    wait_for_certificate(&site, &trusting);
    site.expect_clients_told_apart(&trusting);
}

/// Caddy listens before it has its certificate.
fn wait_for_certificate(site: &Site, trusting: &ClientConfig) {
    let trusting = Arc::new(trusting.clone());
    let began = Instant::now();
    let address = SocketAddr::from(([127, 0, 0, 1], site.ports.https));
    while secure(TcpStream::connect(address).unwrap(), &trusting).is_err() {
        assert!(began.elapsed() < PATIENCE, "Caddy never has a certificate");
        thread::sleep(LOOK_AGAIN);
    }
}
