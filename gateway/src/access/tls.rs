//! TLS of the server: its certificate, which is reloaded, and client certificates. The handshake only proves possession
//! of a client certificate. Each request verifies it, so that an invalid one gets a Status.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config;

/// An error of loading the certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read certificate or key {0}: {1}")]
    Unreadable(std::path::PathBuf, std::io::Error),
    /// A file has no PEM of the expected kind.
    #[error("invalid certificate or key {0}: expected PEM: {1}")]
    Malformed(std::path::PathBuf, pem::Error),
    /// Certificate and key do not match.
    #[error("invalid serving certificate: {0}")]
    Unusable(#[from] rustls::Error),
}

/// Returns the implementation of cryptography that all parts use.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The server's certificate, as last read from its files.
#[derive(Debug)]
pub struct Certificate {
    files: config::Tls,
    current: ArcSwap<CertifiedKey>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// They do not contain a certificate and its key.
    pub fn load(files: &config::Tls) -> Result<Arc<Self>, Error> {
        let current = ArcSwap::from_pointee(read(files)?);
        Ok(Arc::new(Self { files: files.clone(), current }))
    }

    /// Reads the files again, and returns whether the certificate has changed. Invalid files are ignored.
    ///
    /// # Errors
    /// They do not contain a certificate and its key, for example while they are being replaced.
    pub fn refresh(&self) -> Result<bool, Error> {
        let found = read(&self.files)?;
        let changed = found.cert != self.current.load().cert;
        if changed {
            self.current.store(Arc::new(found));
        }
        Ok(changed)
    }

    /// Returns the time at which it expires, in seconds since 1970.
    pub fn expiry(&self) -> Option<i64> {
        let current = self.current.load();
        let (_, certificate) = X509Certificate::from_der(current.end_entity_cert().ok()?).ok()?;
        Some(certificate.validity().not_after.timestamp())
    }

    /// Returns a configuration for TLS 1.2 and 1.3 with this certificate, for HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// The built-in cryptography returns none.
    pub fn server_config(self: &Arc<Self>) -> Result<ServerConfig, Error> {
        let provider = provider();
        let any = Arc::new(AnyCertificate(Arc::clone(&provider)));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(any)
            .with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn read(files: &config::Tls) -> Result<CertifiedKey, Error> {
    let file = |path: &Path| std::fs::read(path).map_err(|error| Error::Unreadable(path.to_owned(), error));
    let malformed = |path: &Path| {
        let path = path.to_owned();
        move |error| Error::Malformed(path, error)
    };
    let (cert_file, key_file) = (files.cert_file.as_path(), files.key_file.as_path());
    let chain = CertificateDer::pem_slice_iter(&file(cert_file)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(malformed(cert_file))?;
    if chain.is_empty() {
        return Err(Error::Malformed(cert_file.to_owned(), pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_slice(&zeroize::Zeroizing::new(file(key_file)?)).map_err(malformed(key_file))?;
    Ok(CertifiedKey::from_der(chain, key, &provider())?)
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// Accepts any client certificate whose key the caller has, or none.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
