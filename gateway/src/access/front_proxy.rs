//! Authentication by the aggregation layer: the API server presents a client certificate of the authority in
//! `kube-system/extension-apiserver-authentication`, and names the user in headers. Without the certificate the headers
//! are ignored.
//!
//! The certificate of a connection is verified again when the authority changes, and periodically.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use futures_util::{Stream, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use percent_encoding::percent_decode_str;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use tokio::time::timeout;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::tls;

/// The ConfigMap's namespace.
pub const NAMESPACE: &str = "kube-system";
/// The ConfigMap's name.
pub const CONFIG_MAP: &str = "extension-apiserver-authentication";

/// Timeout of reading the ConfigMap.
const PATIENCE: Duration = Duration::from_secs(10);

/// Interval between verifications of a connection's certificate, which may expire.
const VERIFIED_FOR: Duration = Duration::from_secs(60);

/// An error of reading the front proxy's authority.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error(
        "cannot read ConfigMap {NAMESPACE}/{CONFIG_MAP}: {0}; bind the gateway's service account to the Role \
         extension-apiserver-authentication-reader"
    )]
    Unreadable(#[from] Box<kube::Error>),
    /// It cannot be watched.
    #[error(
        "cannot watch ConfigMap {NAMESPACE}/{CONFIG_MAP}: {0}; bind the gateway's service account to the Role \
         extension-apiserver-authentication-reader"
    )]
    Unwatched(#[from] Box<watcher::Error>),
    /// The API server did not answer in time.
    #[error("cannot read ConfigMap {NAMESPACE}/{CONFIG_MAP}: timed out waiting for the API server")]
    Slow,
    /// A key is missing: the aggregation layer is off.
    #[error("missing {0} in ConfigMap {NAMESPACE}/{CONFIG_MAP}; enable the cluster's aggregation layer")]
    Missing(&'static str),
    /// A value is invalid.
    #[error("invalid {0} in ConfigMap {NAMESPACE}/{CONFIG_MAP}: {1}")]
    Malformed(&'static str, String),
}

/// Why a request is unauthenticated.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unknown {
    /// The connection has no client certificate.
    #[error("missing client certificate; only the API server's aggregation layer may connect")]
    NoCertificate,
    /// The certificate is not issued by the authority, or expired.
    #[error("invalid client certificate: expired, or not issued by the front proxy's authority")]
    Untrusted,
    /// The common name is not allowed.
    #[error("common name of the client certificate is not in requestheader-allowed-names")]
    NotAllowed,
    /// The headers name no user.
    #[error("missing user name in the front proxy's headers")]
    NoUser,
}

impl Unknown {
    /// Returns the name in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::Untrusted => "untrusted",
            Self::NotAllowed => "not_allowed",
            Self::NoUser => "no_user",
        }
    }
}

/// A user, as the front proxy names it.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its uid, if the proxy sends one.
    pub uid: Option<String>,
    /// Its groups.
    pub groups: Vec<String>,
    /// Its extra fields.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// The authority, and the headers that name the user.
#[derive(Debug)]
pub struct Trust {
    source: BTreeMap<String, String>,
    verifier: Arc<dyn ClientCertVerifier>,
    /// Allowed common names; any if empty.
    common_names: Vec<String>,
    user: Vec<HeaderName>,
    uid: Vec<HeaderName>,
    group: Vec<HeaderName>,
    /// In lower case.
    extra_prefixes: Vec<String>,
}

impl Trust {
    /// Reads the ConfigMap.
    ///
    /// # Errors
    /// It cannot be read, or is invalid.
    pub async fn load(cluster: &Client) -> Result<Self, Error> {
        let maps: Api<ConfigMap> = Api::namespaced(cluster.clone(), NAMESPACE);
        let map = timeout(PATIENCE, maps.get(CONFIG_MAP)).await.map_err(|_| Error::Slow)?.map_err(Box::new)?;
        Self::read(map.data.unwrap_or_default())
    }

    fn read(source: BTreeMap<String, String>) -> Result<Self, Error> {
        const CA: &str = "requestheader-client-ca-file";
        const USER: &str = "requestheader-username-headers";
        let ca = source.get(CA).ok_or(Error::Missing(CA))?;
        let malformed = |error: &dyn std::fmt::Display| Error::Malformed(CA, error.to_string());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            roots.add(certificate.map_err(|error| malformed(&error))?).map_err(|error| malformed(&error))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider())
            .build()
            .map_err(|error| malformed(&error))?;
        let user = headers(&source, USER)?;
        if user.is_empty() {
            return Err(Error::Missing(USER));
        }
        Ok(Self {
            verifier,
            common_names: list(&source, "requestheader-allowed-names")?,
            user,
            uid: headers(&source, "requestheader-uid-headers")?,
            group: headers(&source, "requestheader-group-headers")?,
            extra_prefixes: list(&source, "requestheader-extra-headers-prefix")?
                .into_iter()
                .map(|prefix| prefix.to_ascii_lowercase())
                .collect(),
            source,
        })
    }

    fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<(), Unknown> {
        let (own, intermediates) = chain.split_first().ok_or(Unknown::NoCertificate)?;
        self.verifier.verify_client_cert(own, intermediates, UnixTime::now()).map_err(|_| Unknown::Untrusted)?;
        if self.common_names.is_empty() {
            return Ok(());
        }
        let (_, certificate) = X509Certificate::from_der(own).map_err(|_| Unknown::Untrusted)?;
        // The last of several common names counts, as in crypto/x509 of Go.
        let name = certificate.subject().iter_common_name().last().map_or(Ok(""), |name| name.as_str());
        let is_allowed = name.is_ok_and(|name| self.common_names.iter().any(|allowed| allowed == name));
        if is_allowed { Ok(()) } else { Err(Unknown::NotAllowed) }
    }

    /// Returns the user in headers, by the rules of the package headerrequest of apiserver.
    fn user(&self, headers: &HeaderMap) -> Result<User, Unknown> {
        let first = |names: &[HeaderName]| names.iter().filter_map(|name| headers.get(name)).find_map(said);
        let all = |name: &HeaderName| headers.get_all(name).iter().filter_map(said).collect::<Vec<_>>();
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for prefix in &self.extra_prefixes {
            for name in headers.keys() {
                if let Some(key) = name.as_str().strip_prefix(prefix.as_str()) {
                    extra.entry(unescaped(key)).or_default().extend(headers.get_all(name).iter().map(text));
                }
            }
        }
        Ok(User {
            name: first(&self.user).ok_or(Unknown::NoUser)?,
            uid: first(&self.uid),
            groups: self.group.iter().flat_map(all).collect(),
            extra,
        })
    }
}

/// Returns a header as UTF-8. Invalid bytes are replaced, as by Go when it encodes a review.
fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Returns a header that is not blank.
fn said(value: &HeaderValue) -> Option<String> {
    (!value.is_empty()).then(|| text(value))
}

/// Returns the decoded key of an extra field (`url.PathUnescape` of Go); unchanged if an escape is invalid.
fn unescaped(key: &str) -> String {
    let is_escape = |rest: &str| rest.as_bytes().get(..2).is_some_and(|it| it.iter().all(u8::is_ascii_hexdigit));
    if key.split('%').skip(1).all(is_escape) {
        percent_decode_str(key).decode_utf8_lossy().into_owned()
    } else {
        key.to_owned()
    }
}

/// Returns a list of the ConfigMap, which is JSON.
fn list(source: &BTreeMap<String, String>, key: &'static str) -> Result<Vec<String>, Error> {
    let Some(text) = source.get(key) else { return Ok(Vec::new()) };
    serde_json::from_str(text).map_err(|error| Error::Malformed(key, error.to_string()))
}

fn headers(source: &BTreeMap<String, String>, key: &'static str) -> Result<Vec<HeaderName>, Error> {
    let name = |name: &String| name.parse().map_err(|_| Error::Malformed(key, format!("invalid header name {name:?}")));
    list(source, key)?.iter().map(name).collect()
}

/// A connection's peer: its certificates, of which the handshake has proved possession only.
#[derive(Debug, Default)]
pub struct Peer {
    chain: Vec<CertificateDer<'static>>,
    verified: Mutex<Option<Verified>>,
}

#[derive(Debug)]
struct Verified {
    by: Arc<Trust>,
    at: Instant,
    outcome: Result<(), Unknown>,
}

impl Peer {
    /// Returns a peer with these certificates, its own first.
    pub fn new(chain: &[CertificateDer<'_>]) -> Self {
        let chain = chain.iter().cloned().map(CertificateDer::into_owned).collect();
        Self { chain, verified: Mutex::default() }
    }

    fn verify(&self, trust: &Arc<Trust>) -> Result<(), Unknown> {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        match &*verified {
            Some(known) if Arc::ptr_eq(&known.by, trust) && known.at.elapsed() < VERIFIED_FOR => known.outcome,
            _ => {
                let outcome = trust.verify(&self.chain);
                *verified = Some(Verified { by: Arc::clone(trust), at: Instant::now(), outcome });
                outcome
            }
        }
    }
}

/// Authenticates callers by the front proxy's certificate and headers.
pub struct FrontProxy {
    trust: ArcSwap<Trust>,
}

impl FrontProxy {
    /// Returns an authenticator for the current ConfigMap.
    pub fn new(trust: Trust) -> Self {
        Self { trust: ArcSwap::from_pointee(trust) }
    }

    /// Whether a peer is the front proxy.
    pub fn verifies(&self, peer: &Peer) -> bool {
        peer.verify(&self.trust.load_full()).is_ok()
    }

    /// Returns the user that the front proxy names.
    ///
    /// # Errors
    /// The peer is not the front proxy, or names no user.
    pub fn authenticate(&self, peer: &Peer, headers: &HeaderMap) -> Result<User, Unknown> {
        let trust = self.trust.load_full();
        peer.verify(&trust)?;
        trust.user(headers)
    }

    /// Applies the current ConfigMap, and returns whether it has changed. An invalid one is ignored.
    ///
    /// # Errors
    /// The ConfigMap is invalid.
    pub fn learn(&self, source: BTreeMap<String, String>) -> Result<bool, Error> {
        let trust = Trust::read(source)?;
        let changed = trust.source != self.trust.load().source;
        if changed {
            self.trust.store(Arc::new(trust));
        }
        Ok(changed)
    }
}

/// Returns a stream of the ConfigMap's data: now, and after each change. Retries with backoff.
pub fn watch(cluster: &Client) -> impl Stream<Item = Result<BTreeMap<String, String>, Error>> + use<> {
    let maps: Api<ConfigMap> = Api::namespaced(cluster.clone(), NAMESPACE);
    let seen = watcher::watch_object(maps, CONFIG_MAP).default_backoff();
    // A deleted ConfigMap has no data.
    let data = |map: Option<ConfigMap>| map.and_then(|map| map.data).unwrap_or_default();
    seen.map(move |map| map.map(data).map_err(|error| Error::Unwatched(Box::new(error))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_config_map_is_rejected() {
        const MAP: &str = "in ConfigMap kube-system/extension-apiserver-authentication";
        let (ca, user) = ("requestheader-client-ca-file", "requestheader-username-headers");
        let no_pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let table = [
            (vec![], format!("missing {ca} {MAP}; enable the cluster's aggregation layer")),
            (vec![(ca, ""), (user, r#"["X-Remote-User"]"#)], format!("invalid {ca} {MAP}: ")),
            (vec![(ca, no_pem), (user, r#"["X-Remote-User"]"#)], format!("invalid {ca} {MAP}: ")),
        ];
        for (data, wanted) in table {
            let data = data.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            let error = Trust::read(data).unwrap_err().to_string();
            assert!(error.contains(&wanted), "{error}");
        }
    }

    #[test]
    fn config_map_lists_and_headers_are_parsed() {
        let source = |value: &str| BTreeMap::from([("key".to_owned(), value.to_owned())]);
        assert_eq!(headers(&source(r#"["X-Remote-User", "X-User"]"#), "key").unwrap(), ["x-remote-user", "x-user"]);
        assert_eq!(headers(&source("[]"), "key").unwrap(), Vec::<HeaderName>::new());
        assert_eq!(headers(&source("[]"), "other").unwrap(), Vec::<HeaderName>::new());
        assert!(headers(&source("X-Remote-User"), "key").is_err());
        assert!(headers(&source(r#"["X Remote"]"#), "key").is_err());
    }
}
