//! Handshakes between the tracker, through `tokio_rustls` as in earnest, and rustls's client.

use std::os::unix::fs::symlink;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
use rustls::client::{Resumption, Tls12Resumption};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ProtocolVersion,
    RootCertStore, SupportedProtocolVersion,
};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;

/// A day in November 2023.
pub(super) const NOW: u64 = 1_700_000_000;

const HOST: &str = "tracker.test";
const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A certificate that is its own root.
pub(super) struct Issued {
    pub(super) key: KeyPair,
    pub(super) certificate: rcgen::Certificate,
}

pub(super) fn issue(algorithm: &'static SignatureAlgorithm) -> Issued {
    issue_with(KeyPair::generate_for(algorithm).unwrap(), |_| ())
}

pub(super) fn issue_ecdsa() -> Issued {
    issue(&rcgen::PKCS_ECDSA_P256_SHA256)
}

pub(super) fn issue_with(key: KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Issued {
    let mut params = CertificateParams::new([HOST.to_owned()]).unwrap();
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    Issued { key, certificate }
}

/// A folder with the two files.
pub(super) struct Folder {
    folder: TempDir,
    pub(super) files: TlsFiles,
}

impl Folder {
    pub(super) fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            certificate: folder.path().join("fullchain.pem"),
            private_key: folder.path().join("privkey.pem"),
        };
        Self { folder, files }
    }

    pub(super) fn with(issued: &Issued) -> Self {
        let folder = Self::empty();
        folder.write(&issued.certificate.pem(), &issued.key.serialize_pem());
        folder
    }

    pub(super) fn write(&self, certificate: &str, private_key: &str) {
        fs::write(&self.files.certificate, certificate).unwrap();
        fs::write(&self.files.private_key, private_key).unwrap();
    }

    /// As a careful renewal does it: each file beside, then over the old.
    fn renew(&self, issued: &Issued) {
        self.rename_over(&self.files.certificate, &issued.certificate.pem());
        self.rename_over(&self.files.private_key, &issued.key.serialize_pem());
    }

    fn rename_over(&self, file: &Path, text: &str) {
        let beside = self.folder.path().join("new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, file).unwrap();
    }

    pub(super) fn load(&self) -> Tls {
        Tls::load(&self.files, NOW).unwrap()
    }

    /// The sentence of a load that fails.
    pub(super) fn complaint(&self) -> String {
        Tls::load(&self.files, NOW).unwrap_err()
    }
}

/// A client that trusts these certificates and speaks one version.
pub(super) fn client(
    trusted: &[&Issued],
    version: &'static SupportedProtocolVersion,
) -> ClientConfig {
    client_with(aws_lc_rs::default_provider(), trusted, version)
}

fn client_with(
    provider: CryptoProvider,
    trusted: &[&Issued],
    version: &'static SupportedProtocolVersion,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for issued in trusted {
        roots.add(issued.certificate.der().clone()).unwrap();
    }
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A client as the stream that a server reads and writes. It is never late, so whoever waits for it waits for
/// nothing.
pub(super) struct Peer(pub(super) ClientConnection);

impl AsyncRead for Peer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.0.wants_write() {
            return Poll::Pending;
        }
        let mut room = into.initialize_unfilled();
        let len = self.0.write_tls(&mut room)?;
        into.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let read = self.0.read_tls(&mut bytes);
        // An error queues an alert, which the server reads next.
        let _ = self.0.process_new_packets();
        Poll::Ready(read)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The result of something that never waits.
fn at_once<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> T {
    match poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

pub(super) fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    tls: &Tls,
    stream: S,
) -> io::Result<TlsStream<S>> {
    let accepting = pin!(TlsAcceptor::from(tls.server_config()).accept(stream));
    at_once(|context| accepting.poll(context))
}

pub(super) fn connect(tls: &Tls, client: &ClientConfig) -> io::Result<TlsStream<Peer>> {
    let host = ServerName::try_from(HOST).unwrap();
    let client = ClientConnection::new(Arc::new(client.clone()), host).unwrap();
    accept(tls, Peer(client))
}

fn handshake(tls: &Tls, client: &ClientConfig) -> HandshakeKind {
    let stream = connect(tls, client).unwrap();
    stream.get_ref().1.handshake_kind().unwrap()
}

/// The certificate that the client was shown.
fn presented(stream: &TlsStream<Peer>) -> Vec<u8> {
    stream.get_ref().0.0.peer_certificates().unwrap()[0].to_vec()
}

/// Sends a few bytes each way.
fn exchange(stream: &mut TlsStream<Peer>) {
    let (question, answer) = (b"GET /announce", b"d8:intervali1800ee");
    let mut got = [0; 64];

    io::Write::write_all(&mut stream.get_mut().0.0.writer(), question).unwrap();
    let mut read = ReadBuf::new(&mut got);
    at_once(|context| Pin::new(&mut *stream).poll_read(context, &mut read)).unwrap();
    assert_eq!(read.filled(), question);

    at_once(|context| Pin::new(&mut *stream).poll_write(context, answer)).unwrap();
    at_once(|context| Pin::new(&mut *stream).poll_flush(context)).unwrap();
    let len = io::Read::read(&mut stream.get_mut().0.0.reader(), &mut got).unwrap();
    assert_eq!(&got[..len], answer);
}

#[test]
fn every_kind_of_key_serves_both_versions() {
    for algorithm in [
        &rcgen::PKCS_RSA_SHA256,
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
        &rcgen::PKCS_ED25519,
    ] {
        let issued = issue(algorithm);
        let tls = Folder::with(&issued).load();
        for version in VERSIONS {
            let mut stream = connect(&tls, &client(&[&issued], version)).unwrap();
            assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
            assert_eq!(presented(&stream), issued.certificate.der().as_ref());
            exchange(&mut stream);
        }
    }
}

#[test]
fn a_client_that_names_no_protocol_or_http_1_1_is_served() {
    let issued = issue_ecdsa();
    let tls = Folder::with(&issued).load();
    let mut client = client(&[&issued], &TLS13);
    for (offered, chosen) in [
        (&[][..], None),
        (&["http/1.1"][..], Some("http/1.1")),
        (&["h2", "http/1.1"][..], Some("http/1.1")),
    ] {
        client.alpn_protocols = offered
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let stream = connect(&tls, &client).unwrap();
        let agreed = stream.get_ref().0.0.alpn_protocol();
        assert_eq!(agreed, chosen.map(str::as_bytes), "{offered:?}");
    }
}

#[test]
fn a_client_comes_back_with_its_ticket() {
    let issued = issue_ecdsa();
    let tls = Folder::with(&issued).load();
    for version in VERSIONS {
        let client = client(&[&issued], version);
        assert_eq!(handshake(&tls, &client), HandshakeKind::Full);
        // Each connection brings the ticket of the next.
        for _ in 0..3 {
            assert_eq!(
                handshake(&tls, &client),
                HandshakeKind::Resumed,
                "{version:?}"
            );
        }
    }
}

#[test]
fn a_client_without_tickets_comes_back_with_its_session_id() {
    let issued = issue_ecdsa();
    let tls = Folder::with(&issued).load();
    let mut client = client(&[&issued], &TLS12);
    client.resumption =
        Resumption::in_memory_sessions(8).tls12_resumption(Tls12Resumption::SessionIdOnly);
    assert_eq!(handshake(&tls, &client), HandshakeKind::Full);
    assert_eq!(handshake(&tls, &client), HandshakeKind::Resumed);
}

#[test]
fn one_ticket_is_sent_and_no_early_data_is_taken() {
    let issued = issue_ecdsa();
    let tls = Folder::with(&issued).load();
    let mut client = client(&[&issued], &TLS13);
    client.enable_early_data = true;
    for _ in 0..2 {
        let mut stream = connect(&tls, &client).unwrap();
        let peer = &mut stream.get_mut().0.0;
        assert_eq!(peer.tls13_tickets_received(), 1);
        assert!(!peer.is_early_data_accepted());
    }
}

#[test]
fn a_client_that_prefers_a_post_quantum_group_gets_x25519_without_a_round_trip_more() {
    let issued = issue_ecdsa();
    let tls = Folder::with(&issued).load();
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![kx_group::X25519MLKEM768, kx_group::X25519];
    let client = client_with(provider, &[&issued], &TLS13);
    let stream = connect(&tls, &client).unwrap();
    let server = stream.get_ref().1;
    assert_eq!(server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full));
    let group = server.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519);
}

#[test]
fn a_client_that_prefers_sha_384_gets_sha_256_unless_it_knows_nothing_else() {
    let issued = issue_ecdsa();
    let tls = Folder::with(&issued).load();
    let agreed = |client: &ClientConfig| {
        let stream = connect(&tls, client).unwrap();
        let suite = stream.get_ref().1.negotiated_cipher_suite().unwrap();
        suite.suite()
    };
    let (tls_1_2, tls_1_3) = (client(&[&issued], &TLS12), client(&[&issued], &TLS13));
    assert_eq!(
        agreed(&tls_1_2),
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    );
    assert_eq!(agreed(&tls_1_3), CipherSuite::TLS13_AES_128_GCM_SHA256);

    let mut provider = aws_lc_rs::default_provider();
    let wanted = CipherSuite::TLS13_AES_256_GCM_SHA384;
    provider
        .cipher_suites
        .retain(|suite| suite.suite() == wanted);
    let stubborn = client_with(provider, &[&issued], &TLS13);
    assert_eq!(agreed(&stubborn), wanted);
}

#[test]
fn a_new_certificate_is_for_new_connections_and_old_ones_go_on() {
    let (old, new) = (issue_ecdsa(), issue(&rcgen::PKCS_RSA_SHA256));
    let folder = Folder::with(&old);
    let tls = folder.load();
    for version in VERSIONS {
        folder.renew(&old);
        tls.reload(NOW).unwrap();
        let client = client(&[&old, &new], version);
        let mut before = connect(&tls, &client).unwrap();
        folder.renew(&new);
        assert_eq!(tls.reload(NOW), Ok(Reload::Replaced));
        // A client that has never been here: a session would do without certificates.
        let fresh = self::client(&[&old, &new], version);
        let mut after = connect(&tls, &fresh).unwrap();
        assert_eq!(presented(&before), old.certificate.der().as_ref());
        assert_eq!(presented(&after), new.certificate.der().as_ref());
        exchange(&mut before);
        exchange(&mut after);
    }
}

#[test]
fn sessions_survive_a_new_certificate() {
    let (first, second) = (issue_ecdsa(), issue_ecdsa());
    let folder = Folder::with(&first);
    let tls = folder.load();
    let clients = VERSIONS.map(|version| client(&[&first, &second], version));
    for client in &clients {
        assert_eq!(handshake(&tls, client), HandshakeKind::Full);
    }
    folder.renew(&second);
    assert_eq!(tls.reload(NOW), Ok(Reload::Replaced));
    for client in &clients {
        assert_eq!(handshake(&tls, client), HandshakeKind::Resumed);
    }
}

#[test]
fn a_session_of_tls_1_2_ends_with_the_kind_of_key_and_one_of_tls_1_3_does_not() {
    let (ecdsa, rsa) = (issue_ecdsa(), issue(&rcgen::PKCS_RSA_SHA256));
    let folder = Folder::with(&ecdsa);
    let tls = folder.load();
    let clients = VERSIONS.map(|version| client(&[&ecdsa, &rsa], version));
    for client in &clients {
        assert_eq!(handshake(&tls, client), HandshakeKind::Full);
    }
    folder.renew(&rsa);
    assert_eq!(tls.reload(NOW), Ok(Reload::Replaced));
    let kinds = clients.each_ref().map(|client| handshake(&tls, client));
    assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed]);
}

#[test]
fn files_that_nobody_touched_have_not_changed() {
    let folder = Folder::with(&issue_ecdsa());
    let tls = folder.load();
    assert!(!tls.files_changed());
    assert_eq!(tls.reload(NOW), Ok(Reload::Unchanged));
    assert!(!tls.files_changed());
}

#[test]
fn a_file_that_is_written_again_with_the_same_text_changes_nothing() {
    let issued = issue_ecdsa();
    let folder = Folder::with(&issued);
    let tls = folder.load();
    folder.renew(&issued);
    assert!(tls.files_changed());
    assert_eq!(tls.reload(NOW), Ok(Reload::Unchanged));
    assert!(!tls.files_changed());
}

#[test]
fn a_half_written_pair_is_tried_once_and_again_when_the_other_half_is_there() {
    let (old, new) = (issue_ecdsa(), issue_ecdsa());
    let folder = Folder::with(&old);
    let tls = folder.load();
    let fresh = || client(&[&old, &new], &TLS13);

    folder.rename_over(&folder.files.certificate, &new.certificate.pem());
    assert!(tls.files_changed());
    let sentence = tls.reload(NOW).unwrap_err();
    assert!(sentence.contains("does not belong"), "{sentence}");
    assert!(!tls.files_changed(), "said once");
    let stream = connect(&tls, &fresh()).unwrap();
    assert_eq!(presented(&stream), old.certificate.der().as_ref());

    folder.rename_over(&folder.files.private_key, &new.key.serialize_pem());
    assert!(tls.files_changed());
    assert_eq!(tls.reload(NOW), Ok(Reload::Replaced));
    let stream = connect(&tls, &fresh()).unwrap();
    assert_eq!(presented(&stream), new.certificate.der().as_ref());
}

#[test]
fn a_file_that_is_gone_is_a_change_and_so_is_its_return() {
    let issued = issue_ecdsa();
    let folder = Folder::with(&issued);
    let tls = folder.load();
    fs::remove_file(&folder.files.private_key).unwrap();
    assert!(tls.files_changed());
    let sentence = tls.reload(NOW).unwrap_err();
    assert!(sentence.contains("does not exist"), "{sentence}");
    assert!(!tls.files_changed());
    assert_eq!(
        handshake(&tls, &client(&[&issued], &TLS13)),
        HandshakeKind::Full
    );
    fs::write(&folder.files.private_key, issued.key.serialize_pem()).unwrap();
    assert!(tls.files_changed());
    assert_eq!(tls.reload(NOW), Ok(Reload::Unchanged));
}

#[test]
fn a_right_that_is_granted_is_a_change() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::with(&issue_ecdsa());
    let tls = folder.load();
    let allow =
        |mode| fs::set_permissions(&folder.files.private_key, PermissionsExt::from_mode(mode));
    // Until the clock of the file system has ticked: it is coarser than the one we see.
    while !tls.files_changed() {
        allow(0o640).unwrap();
    }
}

#[test]
fn a_link_that_is_turned_to_another_file_is_a_change() {
    let (old, new) = (issue_ecdsa(), issue_ecdsa());
    let folder = Folder::with(&old);
    let archive = folder.folder.path().join("archive");
    fs::create_dir(&archive).unwrap();
    // The later pair lies there before the links are turned, as certbot does it.
    for (number, issued) in [(1, &old), (2, &new)] {
        let place = |name| archive.join(format!("{name}{number}.pem"));
        fs::write(place("fullchain"), issued.certificate.pem()).unwrap();
        fs::write(place("privkey"), issued.key.serialize_pem()).unwrap();
    }
    let turn = |number| {
        for name in ["fullchain", "privkey"] {
            let beside = folder.folder.path().join("link");
            symlink(format!("archive/{name}{number}.pem"), &beside).unwrap();
            fs::rename(beside, folder.folder.path().join(format!("{name}.pem"))).unwrap();
        }
    };
    turn(1);
    let tls = folder.load();
    turn(1);
    assert!(!tls.files_changed(), "another link to the same file");
    turn(2);
    assert!(tls.files_changed());
    assert_eq!(tls.reload(NOW), Ok(Reload::Replaced));
    assert!(!tls.files_changed());
}
