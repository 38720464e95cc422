//! Whom a TLS session trusts.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::query::failure::{Failure, Kind};

/// Whom to trust. The certificates are read when TLS is first wanted, and then once.
#[derive(Debug, Default)]
pub struct Trust {
    /// Nobody is looked at.
    pub insecure: bool,
    /// Only the authorities in this PEM file, not those of the system.
    pub authorities: Option<PathBuf>,
    read: OnceLock<Result<Tls, String>>,
}

impl Trust {
    /// Trust in everybody, or in the authorities of a file, or in those of the system.
    pub fn new(insecure: bool, authorities: Option<PathBuf>) -> Self {
        Self {
            insecure,
            authorities,
            read: OnceLock::new(),
        }
    }

    /// What sessions are opened with.
    pub fn tls(&self) -> Result<&Tls, Failure> {
        let read = self.read.get_or_init(|| match &self.authorities {
            _ if self.insecure => Tls::insecure(),
            Some(file) => Tls::with_authorities(file),
            None => Tls::system(),
        });
        match read {
            Ok(tls) => Ok(tls),
            Err(sentence) => Err(Failure::new(Kind::Tls, sentence.clone())),
        }
    }
}

/// What all TLS sessions of one run share.
#[derive(Clone, Debug)]
pub struct Tls {
    pub(super) config: Arc<ClientConfig>,
}

impl Tls {
    /// Trusts the authorities that this system trusts.
    pub fn system() -> Result<Self, String> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            let reason = match found.errors.first() {
                Some(error) => format!(": {error}"),
                None => String::new(),
            };
            return Err(format!(
                "this system has no certificate authorities (Debian: ca-certificates){reason}; \
                 --ca FILE names some, --insecure does without"
            ));
        }
        Self::trusting(roots)
    }

    /// Trusts the certificates in a PEM file and no others.
    pub fn with_authorities(file: &Path) -> Result<Self, String> {
        let name = file.display();
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(file)
            .map_err(|error| format!("{name} cannot be read: {error}"))?;
        for certificate in certificates {
            certificate
                .map_err(|error| error.to_string())
                .and_then(|der| roots.add(der).map_err(|error| error.to_string()))
                .map_err(|error| format!("{name} holds a broken certificate: {error}"))?;
        }
        if roots.is_empty() {
            return Err(format!("{name} holds no certificate in PEM"));
        }
        Self::trusting(roots)
    }

    /// Trusts everybody: certificates are not looked at.
    pub fn insecure() -> Result<Self, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trusting(provider)))
            .with_no_client_auth();
        Ok(Self {
            config: Arc::new(config),
        })
    }

    fn trusting(roots: RootCertStore) -> Result<Self, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            config: Arc::new(config),
        })
    }
}

/// Why there is no session, for people.
pub(super) fn failure(error: &Error) -> Failure {
    let text = match error {
        Error::InvalidCertificate(reason) => format!("the certificate {}", fault(reason)),
        Error::AlertReceived(alert) => format!("TLS failed: the tracker sent the alert {alert:?}"),
        Error::InvalidMessage(_) => "TLS failed: what came is no TLS".to_owned(),
        other => format!("TLS failed: {other}"),
    };
    Failure::new(Kind::Tls, text)
}

fn fault(reason: &CertificateError) -> String {
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "is self-signed or from an authority that is not trusted (--ca FILE, --insecure)"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is for another name".to_owned()
        }
        other => format!("is not accepted: {other}"),
    }
}

/// Believes every certificate; the signatures of the handshake are still checked.
#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
