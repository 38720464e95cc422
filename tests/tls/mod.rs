//! Certificates of a root of the test's own, their files, and clients that trust this root alone.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file uses its own part of this"
)]

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use shoal::config::{HttpListener, TlsFiles};
use tempfile::TempDir;

use crate::http::Browser;
use crate::in_process::{PATIENCE, http_listener};

/// Both versions that are served.
pub const VERSIONS: [&SupportedProtocolVersion; 2] =
    [&rustls::version::TLS12, &rustls::version::TLS13];

/// Signs certificates.
pub struct Root {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate of a root, for this host.
pub struct Issued {
    pub certificate: rcgen::Certificate,
    pub key: KeyPair,
}

impl Root {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "the root of this test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        Self {
            issuer,
            certificate,
        }
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub fn issue(&self) -> Issued {
        self.issue_with(|_| ())
    }

    pub fn issue_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names = ["127.0.0.1", "localhost"].map(str::to_owned);
        let mut params = CertificateParams::new(names).unwrap();
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "127.0.0.1");
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued { certificate, key }
    }

    /// A client that speaks both versions.
    pub fn client(&self) -> ClientConfig {
        self.client_of(&VERSIONS)
    }

    pub fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

/// The two files of a listener.
pub struct Files {
    pub folder: TempDir,
    pub names: TlsFiles,
}

impl Files {
    pub fn of(issued: &Issued) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names = TlsFiles {
            certificate: folder.path().join("fullchain.pem"),
            private_key: folder.path().join("privkey.pem"),
        };
        let files = Self { folder, names };
        files.renew(issued);
        files
    }

    /// As a careful renewal does it: each file beside, then over the old.
    pub fn renew(&self, issued: &Issued) {
        self.rename_over(&self.names.certificate, &issued.certificate.pem());
        self.rename_over(&self.names.private_key, &issued.key.serialize_pem());
    }

    pub fn rename_over(&self, file: &Path, text: &str) {
        let beside = self.folder.path().join("new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, file).unwrap();
    }

    /// HTTPS with these files on any port of 127.0.0.1.
    pub fn listener(&self) -> HttpListener {
        HttpListener {
            tls: Some(self.names.clone()),
            ..http_listener("127.0.0.1:0")
        }
    }

    /// The same as a table of a configuration file.
    pub fn table(&self) -> String {
        format!(
            "[[http]]\nlisten = \"127.0.0.1:0\"\ntls = {{ certificate = \"{}\", private_key = \"{}\" }}\n",
            self.names.certificate.display(),
            self.names.private_key.display(),
        )
    }
}

/// An open connection.
pub type Secured = StreamOwned<ClientConnection, TcpStream>;

/// Shakes hands over a connection that stands.
pub fn secure(tcp: TcpStream, client: &Arc<ClientConfig>) -> io::Result<Secured> {
    secure_behind(b"", tcp, client)
}

/// The same with these bytes before the first of TLS, in one write.
pub fn secure_behind(
    head: &[u8],
    mut tcp: TcpStream,
    client: &Arc<ClientConfig>,
) -> io::Result<Secured> {
    let host = ServerName::try_from("127.0.0.1").unwrap();
    let mut tls = ClientConnection::new(Arc::clone(client), host).unwrap();
    let mut first = head.to_vec();
    tls.write_tls(&mut first)?;
    tcp.write_all(&first)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp)?;
    }
    Ok(StreamOwned::new(tls, tcp))
}

impl Browser<Secured> {
    pub fn secured(server: SocketAddr, client: &Arc<ClientConfig>) -> Self {
        let tcp = TcpStream::connect(server).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_nodelay(true).unwrap();
        Self::over(secure(tcp, client).expect("a handshake"))
    }

    /// The certificate that the server showed.
    pub fn presented(&self) -> Vec<u8> {
        self.stream.conn.peer_certificates().unwrap()[0].to_vec()
    }
}

/// Sends these bytes as they are, and reads to the end.
pub fn exchange(stream: &mut (impl Read + Write), bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).unwrap();
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    said
}
