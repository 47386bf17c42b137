//! The configuration: one YAML file, read at startup. Unknown fields are errors.
//!
//! `gateway/README.md` is the reference for operators.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flyte_secrets_policy::grant;
use flyte_secrets_policy::settings::{self, Provider, Settings};
use serde::{Deserialize, Deserializer};

use crate::names::{self, Kind};

/// An error of reading or validating the configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read configuration {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a configuration.
    #[error("invalid configuration: {0}")]
    Malformed(#[from] serde_yaml::Error),
    /// A value is invalid.
    #[error("invalid configuration: {0}")]
    Refused(String),
}

/// The configuration of the gateway.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Address of the API.
    #[serde(default = "defaults::listen")]
    pub listen: SocketAddr,
    /// Address of metrics and health, without TLS; not served by default.
    #[serde(default)]
    pub metrics_listen: Option<SocketAddr>,
    /// Number of worker threads [default: the number of processors].
    #[serde(default)]
    pub workers: Option<usize>,
    /// Limits of connections, for each listener.
    #[serde(default)]
    pub limits: Limits,
    /// The server's certificate.
    pub tls: Tls,
    /// Authentication and access reviews of callers.
    #[serde(default)]
    pub access: Access,
    /// Providers, with the regions, projects, vaults and namespaces served.
    #[serde(default)]
    pub providers: Providers,
    /// Prefixes of the secret names served.
    #[serde(default)]
    pub prefixes: Prefixes,
    /// Cache of secret values.
    #[serde(default)]
    pub cache: Cache,
    /// Limits of reads from a provider.
    #[serde(default)]
    pub reads: Reads,
    /// Listener for pods; not served by default.
    #[serde(default)]
    pub pods: Option<Pods>,
    /// Graceful shutdown.
    #[serde(default)]
    pub shutdown: Shutdown,
}

/// Limits of connections, for each listener. A peer is verified if its client certificate is the front proxy's; probes,
/// scrapers and pods are not.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Limits {
    /// Maximum number of connections. Those beyond `unverified` are reserved for verified peers.
    pub connections: usize,
    /// Maximum number of connections of unverified peers; at the limit a new connection evicts an idle one.
    pub unverified: usize,
    /// Timeout of the TLS handshake.
    #[serde(with = "humantime_serde")]
    pub handshake_timeout: Duration,
    /// Timeout of request headers, and of the first request of a connection.
    #[serde(with = "humantime_serde")]
    pub head_timeout: Duration,
    /// Timeout without any request, even if pings are answered.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Maximum age of a connection of an unverified peer.
    #[serde(with = "humantime_serde")]
    pub unverified_lifetime: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            unverified: 1024,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            unverified_lifetime: Duration::from_secs(60),
        }
    }
}

/// The server's certificate.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Tls {
    /// Certificate chain in PEM.
    pub cert_file: PathBuf,
    /// Private key in PEM.
    pub key_file: PathBuf,
    /// Interval at which the files are reloaded.
    #[serde(default = "defaults::tls_refresh", with = "humantime_serde")]
    pub refresh: Duration,
}

/// Authentication and access reviews of callers.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Access {
    /// Kubeconfig [default: the service account's, or that of `KUBECONFIG`].
    pub kubeconfig: Option<PathBuf>,
    /// Time without any event after which the watch of `kube-system/extension-apiserver-authentication` is restarted.
    #[serde(with = "humantime_serde")]
    pub refresh: Duration,
    /// Timeout of a SubjectAccessReview.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// TTL of allowed reviews in the cache.
    #[serde(with = "humantime_serde")]
    pub allowed_ttl: Duration,
    /// TTL of denied reviews in the cache.
    #[serde(with = "humantime_serde")]
    pub denied_ttl: Duration,
    /// Maximum number of cached reviews; one larger than a KiB counts as several.
    pub max_entries: u64,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            refresh: Duration::from_secs(60),
            timeout: Duration::from_millis(500),
            allowed_ttl: Duration::from_secs(10),
            denied_ttl: Duration::from_secs(5),
            max_entries: 5000,
        }
    }
}

#[cfg(feature = "schema")]
/// What [`names::is_place`] says.
const PLACE: &str = "^[A-Za-z0-9.:-]+$";
#[cfg(feature = "schema")]
/// A DNS label.
const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// Providers. A kind without a provider serves nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Providers {
    /// AWS Secrets Manager.
    pub aws: Option<Aws>,
    /// GCP Secret Manager.
    pub gcp: Option<Gcp>,
    /// Azure Key Vault.
    pub azure: Option<Azure>,
    /// Kubernetes Secrets, for pods that pull.
    pub k8s: Option<K8s>,
}

impl Providers {
    /// Returns the regions, projects, vaults or namespaces of a kind.
    pub fn places(&self, kind: Kind) -> &[String] {
        match kind {
            Kind::Store(Provider::Aws) => self.aws.as_ref().map_or(&[], |aws| &aws.regions),
            Kind::Store(Provider::Gcp) => self.gcp.as_ref().map_or(&[], |gcp| &gcp.projects),
            Kind::Store(Provider::Azure) => self.azure.as_ref().map_or(&[], |azure| &azure.vaults),
            Kind::Store(Provider::K8s) => self.k8s.as_ref().map_or(&[], |k8s| &k8s.namespaces),
            Kind::Lookup => &[],
        }
    }
}

/// AWS Secrets Manager. Credentials come as the SDK finds them: IRSA, Pod Identity, environment.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Aws {
    /// Regions served.
    #[cfg_attr(feature = "schema", schemars(inner(length(max = 253), regex(pattern = PLACE))))]
    pub regions: Vec<String>,
    /// Endpoint in place of the region's, for emulators.
    #[serde(default)]
    pub endpoint: Option<String>,
}

/// GCP Secret Manager. Credentials come as Application Default Credentials: Workload Identity, environment.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Gcp {
    /// Projects served, by id or number.
    #[cfg_attr(feature = "schema", schemars(inner(length(max = 253), regex(pattern = PLACE))))]
    pub projects: Vec<String>,
    /// Endpoint in place of Google's, for emulators.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Send no credentials, for emulators.
    #[serde(default)]
    pub anonymous: bool,
}

/// Azure Key Vault. Credentials come from Workload Identity's environment.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Azure {
    /// Hosts of the vaults served, such as `flyte.vault.azure.net`.
    #[cfg_attr(feature = "schema", schemars(inner(length(max = 253), regex(pattern = PLACE))))]
    pub vaults: Vec<String>,
    /// Endpoint in place of the vault's, for emulators.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Additional certificate authorities in PEM, for emulators.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Authority in place of `https://login.microsoftonline.com`, for other clouds and emulators.
    #[serde(default)]
    pub authority: Option<String>,
}

/// Kubernetes Secrets as Flyte stores them, read as the gateway's own service account.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct K8s {
    /// Namespaces served.
    #[cfg_attr(feature = "schema", schemars(inner(length(max = 63), regex(pattern = LABEL))))]
    pub namespaces: Vec<String>,
}

/// Prefixes of the secret names served; an empty list serves every name.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Prefixes {
    /// In AWS.
    pub aws: Vec<String>,
    /// In GCP.
    pub gcp: Vec<String>,
    /// In Azure.
    pub azure: Vec<String>,
    /// In Kubernetes.
    pub k8s: Vec<String>,
}

impl Prefixes {
    /// Returns the prefixes of a kind.
    pub fn of(&self, kind: Kind) -> &[String] {
        match kind {
            Kind::Store(Provider::Aws) => &self.aws,
            Kind::Store(Provider::Gcp) => &self.gcp,
            Kind::Store(Provider::Azure) => &self.azure,
            Kind::Store(Provider::K8s) => &self.k8s,
            Kind::Lookup => &[],
        }
    }
}

impl Default for Prefixes {
    fn default() -> Self {
        let flyte = || vec!["u__org__".to_owned()];
        Self { aws: flyte(), gcp: flyte(), azure: vec!["1-".to_owned()], k8s: flyte() }
    }
}

/// Cache of provider responses, in memory only.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Cache {
    /// TTL of a value.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
    /// TTL of "not found".
    #[serde(with = "humantime_serde")]
    pub negative_ttl: Duration,
    /// Maximum number of entries.
    pub max_entries: u64,
    /// Maximum size in bytes.
    pub max_bytes: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(30),
            negative_ttl: Duration::from_secs(5),
            max_entries: 10_000,
            max_bytes: 16 << 20,
        }
    }
}

/// Limits of reads from a provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Reads {
    /// Timeout of a read, including retries; the policy itself has two seconds.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Maximum number of retries when a provider is unavailable or throttles.
    pub retries: usize,
    /// Maximum number of concurrent calls, for each place.
    pub concurrency: usize,
    /// Maximum number of waiting reads; further ones get 429.
    pub queue: usize,
    /// Circuit breaker, for each place.
    pub breaker: Breaker,
}

impl Default for Reads {
    fn default() -> Self {
        Self {
            timeout: Duration::from_millis(1200),
            retries: 3,
            concurrency: 64,
            queue: 1024,
            breaker: Breaker::default(),
        }
    }
}

/// Circuit breaker of a region, project, vault or namespace.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Breaker {
    /// Number of consecutive failures after which it opens.
    pub failures: u32,
    /// Time it stays open; then reads are tried again, and the first failure opens it again.
    #[serde(with = "humantime_serde")]
    pub pause: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 5, pause: Duration::from_secs(5) }
    }
}

/// Listener on which pods pull the secrets that the policy granted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Pods {
    /// Address of `/v1/pull`, served with the certificate of `tls`.
    #[serde(default = "defaults::pods")]
    pub listen: SocketAddr,
    /// Required audience of tokens.
    #[serde(default = "defaults::audience")]
    pub audience: String,
    /// Settings of the policy: the store and tenancy.
    #[serde(deserialize_with = "policy_settings")]
    pub settings: Settings,
    /// Timeout of a TokenReview, and of reading a pod.
    #[serde(default = "defaults::pods_timeout", with = "humantime_serde")]
    pub timeout: Duration,
    /// Maximum number of concurrent pulls in a namespace; further ones get 429.
    #[serde(default = "defaults::pulls")]
    pub pulls_per_namespace: usize,
    /// Maximum number of secrets of a pod.
    #[serde(default = "defaults::secrets")]
    pub max_secrets: usize,
    /// Maximum total size of the secrets of a pod, in bytes.
    #[serde(default = "defaults::bytes")]
    pub max_bytes: u64,
}

impl Pods {
    /// Returns the kind and place of the store in the settings.
    ///
    /// # Errors
    /// The settings configure several stores, or an invalid one.
    pub fn store(&self) -> Result<(Kind, String), settings::Error> {
        let embedded = &self.settings.embedded_secret_manager_config;
        let provider = embedded.provider()?;
        Ok((Kind::Store(provider), embedded.place(provider)?))
    }
}

/// Reads the settings as the policy does.
fn policy_settings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Settings, D::Error> {
    let json = serde_json::Value::deserialize(deserializer)?.to_string();
    settings::validate(json.as_bytes()).map(|(settings, _)| settings).map_err(serde::de::Error::custom)
}

/// Graceful shutdown.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Shutdown {
    /// Time during which `/readyz` fails and connections are still accepted.
    #[serde(with = "humantime_serde")]
    pub delay: Duration,
    /// Grace period for requests in flight after that.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { delay: Duration::from_secs(5), grace: Duration::from_secs(15) }
    }
}

impl Config {
    /// Reads and validates a file.
    ///
    /// # Errors
    /// The configuration is invalid.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    /// Reads and validates a text.
    ///
    /// # Errors
    /// The configuration is invalid.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let config: Self = serde_yaml::from_str(text)?;
        config.check()?;
        Ok(config)
    }

    /// Returns the maximum number of open files; each connection is one.
    pub fn open_files(&self) -> u64 {
        let listeners = 1 + usize::from(self.metrics_listen.is_some()) + usize::from(self.pods.is_some());
        u64::try_from(self.limits.connections.saturating_mul(listeners)).unwrap_or(u64::MAX).saturating_add(OTHER_FILES)
    }

    /// Rejects values that are invalid or would make every read fail.
    fn check(&self) -> Result<(), Error> {
        let Self { cache, reads, access, limits, tls, shutdown, .. } = self;
        let numbers = [
            ("workers", self.workers == Some(0)),
            ("limits.connections", limits.connections == 0),
            ("limits.unverified", limits.unverified == 0),
            ("access.maxEntries", access.max_entries == 0),
            ("cache.maxEntries", cache.max_entries == 0),
            ("pods.pullsPerNamespace", self.pods.as_ref().is_some_and(|pods| pods.pulls_per_namespace == 0)),
            ("reads.concurrency", reads.concurrency == 0),
            ("reads.breaker.failures", reads.breaker.failures == 0),
        ];
        let times = [
            ("limits.handshakeTimeout", limits.handshake_timeout, SOME_TIME),
            ("limits.headTimeout", limits.head_timeout, SOME_TIME),
            ("limits.idleTimeout", limits.idle_timeout, SOME_TIME),
            ("limits.unverifiedLifetime", limits.unverified_lifetime, SOME_TIME),
            ("tls.refresh", tls.refresh, SOME_TIME),
            ("access.refresh", access.refresh, SOME_TIME),
            ("access.timeout", access.timeout, SOME_TIME),
            ("access.allowedTtl", access.allowed_ttl, ANY_TIME),
            ("access.deniedTtl", access.denied_ttl, ANY_TIME),
            ("cache.ttl", cache.ttl, ANY_TIME),
            ("cache.negativeTtl", cache.negative_ttl, ANY_TIME),
            ("reads.timeout", reads.timeout, SOME_TIME),
            ("reads.breaker.pause", reads.breaker.pause, SOME_TIME),
            ("shutdown.delay", shutdown.delay, ANY_TIME),
            ("shutdown.grace", shutdown.grace, ANY_TIME),
        ];
        let too_little = numbers.into_iter().filter(|(_, is_zero)| *is_zero).map(|(key, _)| key);
        let too_short = times.iter().filter(|(_, time, least)| time < least).map(|(key, ..)| *key);
        if let Some(key) = too_little.chain(too_short).next() {
            return Err(Error::Refused(format!("`{key}` must be greater than 0")));
        }
        if let Some((key, ..)) = times.iter().find(|(_, time, _)| *time > LONGEST) {
            return Err(Error::Refused(format!("`{key}` must not exceed 1h")));
        }
        if limits.unverified > limits.connections {
            return Err(Error::Refused("`limits.unverified` must not exceed `limits.connections`".to_owned()));
        }
        for kind in Kind::stores() {
            for place in self.providers.places(kind) {
                if !names::is_place(place) {
                    let (key, what) = (kind.places_key(), kind.place());
                    return Err(Error::Refused(format!("`{key}`: invalid {what} {place:?}")));
                }
            }
        }
        if let Some(pods) = &self.pods {
            let (kind, place) = pods.store().map_err(|error| Error::Refused(format!("`pods.settings`: {error}")))?;
            if !self.providers.places(kind).contains(&place) {
                let (key, what) = (kind.places_key(), kind.place());
                let problem = format!("`pods.settings`: missing {what} {place:?} in `{key}`");
                return Err(Error::Refused(problem));
            }
        }
        Ok(())
    }
}

/// The longest duration: longer cache TTLs would outlive the rotation of secrets.
const LONGEST: Duration = Duration::from_secs(3600);
/// Open files besides callers' connections: files, and connections to providers and the API server.
const OTHER_FILES: u64 = 1024;
const ANY_TIME: Duration = Duration::ZERO;
const SOME_TIME: Duration = Duration::from_millis(1);

mod defaults {
    use super::{Duration, Ipv4Addr, SocketAddr, grant};

    pub(super) fn listen() -> SocketAddr {
        (Ipv4Addr::UNSPECIFIED, 8443).into()
    }

    pub(super) fn pods() -> SocketAddr {
        (Ipv4Addr::UNSPECIFIED, 8444).into()
    }

    pub(super) fn audience() -> String {
        grant::AUDIENCE.to_owned()
    }

    pub(super) fn pods_timeout() -> Duration {
        Duration::from_secs(2)
    }

    pub(super) fn pulls() -> usize {
        256
    }

    pub(super) fn secrets() -> usize {
        64
    }

    pub(super) fn bytes() -> u64 {
        64 << 20
    }

    pub(super) fn tls_refresh() -> Duration {
        Duration::from_secs(10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "tls: { certFile: tls.crt, keyFile: tls.key }\n";

    #[test]
    fn minimal_configuration_has_documented_defaults() {
        let config = Config::parse(LEAST).unwrap();
        assert_eq!(config.listen, "0.0.0.0:8443".parse().unwrap());
        assert_eq!(config.cache.ttl, Duration::from_secs(30));
        assert_eq!(config.cache.negative_ttl, Duration::from_secs(5));
        assert_eq!(config.reads.timeout, Duration::from_millis(1200));
        assert_eq!(config.prefixes.azure, ["1-"]);
    }

    #[test]
    fn invalid_configuration_is_rejected() {
        let table = [
            ("tsl: {}", "unknown field `tsl`"),
            ("cache: { tll: 30s }", "unknown field `tll`"),
            ("cache: { ttl: 2h }", "`cache.ttl` must not exceed 1h"),
            ("reads: { concurrency: 0 }", "`reads.concurrency` must be greater than 0"),
            ("reads: { breaker: { pause: 0s } }", "`reads.breaker.pause` must be greater than 0"),
            ("providers: { aws: { regions: ['EU west'] } }", "`providers.aws.regions`: invalid region \"EU west\""),
            ("providers: { aws: {} }", "missing field `regions`"),
            ("limits: { unverified: 0 }", "`limits.unverified` must be greater than 0"),
            ("limits: { connections: 9 }", "`limits.unverified` must not exceed `limits.connections`"),
            ("workers: 0", "`workers` must be greater than 0"),
        ];
        for (lines, wanted) in table {
            let refused = Config::parse(&format!("{LEAST}{lines}\n")).unwrap_err().to_string();
            assert!(refused.contains(wanted), "{lines}: {refused}");
        }
    }
}
