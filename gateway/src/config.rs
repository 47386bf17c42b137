//! The configuration: one YAML file, read once. Every key that is not known is an error.
//!
//! `gateway/README.md` is the reference for operators; `gateway/config.example.yaml` shows all keys.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flyte_secrets_policy::grant;
use flyte_secrets_policy::settings::{self, Settings};
use serde::{Deserialize, Deserializer};

use crate::names::{self, Kind};

/// Why there is no configuration.
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
    /// The file does not hold a configuration.
    #[error("invalid configuration: {0}")]
    Malformed(#[from] serde_yaml::Error),
    /// A value cannot be meant.
    #[error("invalid configuration: {0}")]
    Refused(String),
}

/// All of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Where the API is served.
    #[serde(default = "defaults::listen")]
    pub listen: SocketAddr,
    /// Where metrics and health are served without TLS; nowhere without it.
    #[serde(default)]
    pub metrics_listen: Option<SocketAddr>,
    /// Threads that serve; as many as there are processors without it.
    #[serde(default)]
    pub workers: Option<usize>,
    /// How many connections each listener has, and how long they may take.
    #[serde(default)]
    pub limits: Limits,
    /// The server's certificate.
    pub tls: Tls,
    /// How callers are known and reviewed.
    #[serde(default)]
    pub access: Access,
    /// The stores, and the places of each that are served.
    #[serde(default)]
    pub providers: Providers,
    /// How names of secrets begin that are served.
    #[serde(default)]
    pub prefixes: Prefixes,
    /// What is remembered, and for how long.
    #[serde(default)]
    pub cache: Cache,
    /// What one read may cost.
    #[serde(default)]
    pub reads: Reads,
    /// Where pods pull; nowhere without it.
    #[serde(default)]
    pub pods: Option<Pods>,
    /// How the process ends.
    #[serde(default)]
    pub shutdown: Shutdown,
}

/// How many connections a listener has, and how long they may take. A peer is verified if its certificate is the front
/// proxy's; probes and scrapers are not, nor is anybody else.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Limits {
    /// Connections at once. What is not for unverified peers is reserved for the verified ones.
    pub connections: usize,
    /// How many of them unverified peers can have; a newcomer then takes the place of an idle one.
    pub unverified: usize,
    /// Time for the TLS handshake.
    #[serde(with = "humantime_serde")]
    pub handshake_timeout: Duration,
    /// Time for the head of a request, and for the first one of a connection to arrive.
    #[serde(with = "humantime_serde")]
    pub head_timeout: Duration,
    /// Time without any request, even if pings are answered.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Age at which the connection of an unverified peer ends.
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
    /// PEM: the certificate and what leads to its authority.
    pub cert_file: PathBuf,
    /// PEM: its private key.
    pub key_file: PathBuf,
    /// How often the files are looked at.
    #[serde(default = "defaults::tls_refresh", with = "humantime_serde")]
    pub refresh: Duration,
}

/// How callers are known and reviewed.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Access {
    /// The way to the cluster; the service account's or `KUBECONFIG`'s without it.
    pub kubeconfig: Option<PathBuf>,
    /// How often `kube-system/extension-apiserver-authentication` is read.
    #[serde(with = "humantime_serde")]
    pub refresh: Duration,
    /// How long an API server may take to answer a review.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// How long "allowed" is remembered.
    #[serde(with = "humantime_serde")]
    pub allowed_ttl: Duration,
    /// How long "denied" is remembered.
    #[serde(with = "humantime_serde")]
    pub denied_ttl: Duration,
    /// How many answers are remembered; one that takes more than a kibibyte counts as several.
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

/// The stores. A kind whose provider is not here serves nothing.
#[derive(Clone, Debug, Default, Deserialize)]
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
    /// The places of a kind that are served.
    pub fn places(&self, kind: Kind) -> &[String] {
        match kind {
            Kind::Aws => self.aws.as_ref().map_or(&[], |aws| &aws.regions),
            Kind::Gcp => self.gcp.as_ref().map_or(&[], |gcp| &gcp.projects),
            Kind::Azure => self.azure.as_ref().map_or(&[], |azure| &azure.vaults),
            Kind::K8s => self.k8s.as_ref().map_or(&[], |k8s| &k8s.namespaces),
            Kind::Lookup => &[],
        }
    }
}

/// AWS Secrets Manager. Credentials come as the SDK finds them: IRSA, Pod Identity, environment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Aws {
    /// The regions that are served.
    pub regions: Vec<String>,
    /// Another endpoint than the region's, for emulators.
    #[serde(default)]
    pub endpoint: Option<String>,
}

/// GCP Secret Manager. Credentials come as Application Default Credentials: Workload Identity, environment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Gcp {
    /// The projects that are served, by id or number.
    pub projects: Vec<String>,
    /// Another endpoint than Google's, for emulators.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Asks without credentials; for emulators only.
    #[serde(default)]
    pub anonymous: bool,
}

/// Azure Key Vault. Credentials come from Workload Identity's environment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Azure {
    /// The hosts of the vaults that are served, such as `flyte.vault.azure.net`.
    pub vaults: Vec<String>,
    /// Another endpoint than the vault's own, for emulators.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// PEM: authorities to trust for the endpoint beside the public ones, for emulators.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Another authority than `https://login.microsoftonline.com`, for other clouds and emulators.
    #[serde(default)]
    pub authority: Option<String>,
}

/// Kubernetes Secrets as Flyte stores them, read as the gateway's own service account.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct K8s {
    /// The namespaces that are served.
    pub namespaces: Vec<String>,
}

/// How names of secrets begin that are served; an empty list serves every name.
#[derive(Clone, Debug, Deserialize)]
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
    /// Those of a kind.
    pub fn of(&self, kind: Kind) -> &[String] {
        match kind {
            Kind::Aws => &self.aws,
            Kind::Gcp => &self.gcp,
            Kind::Azure => &self.azure,
            Kind::K8s => &self.k8s,
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

/// What is remembered of the providers' answers, in memory only.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Cache {
    /// How long a value is served after it was read.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
    /// How long "no such secret" is.
    #[serde(with = "humantime_serde")]
    pub negative_ttl: Duration,
    /// How many answers are kept.
    pub max_entries: u64,
    /// How many bytes they may have.
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

/// What one read may cost.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Reads {
    /// The time a provider has, with all retries; the policy itself has two seconds.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// How often a provider is asked again that cannot be reached or throttles.
    pub retries: usize,
    /// How many reads a provider is asked at once.
    pub concurrency: usize,
    /// How many more wait for their turn; what comes on top is told 429 at once.
    pub queue: usize,
    /// When a place counts as down.
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

/// When a place counts as down, and is not asked for a while.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Breaker {
    /// After so many failures in a row.
    pub failures: u32,
    /// For so long; then reads are let through again, and the first failure starts the next pause.
    #[serde(with = "humantime_serde")]
    pub pause: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 5, pause: Duration::from_secs(5) }
    }
}

/// Where pods pull what the policy granted them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Pods {
    /// Where `/v1/pull` is served, with the certificate of `tls`.
    #[serde(default = "defaults::pods")]
    pub listen: SocketAddr,
    /// The audience that tokens must have.
    #[serde(default = "defaults::audience")]
    pub audience: String,
    /// The policy's settings: which store, and who may have what.
    #[serde(deserialize_with = "policy_settings")]
    pub settings: Settings,
    /// How long an API server may take to review a token, and to answer with a pod.
    #[serde(default = "defaults::pods_timeout", with = "humantime_serde")]
    pub timeout: Duration,
    /// How many pulls of one namespace are answered at once; what comes on top is told 429 at once.
    #[serde(default = "defaults::pulls")]
    pub pulls_per_namespace: usize,
    /// How many secrets one pod may pull.
    #[serde(default = "defaults::secrets")]
    pub max_secrets: usize,
    /// How many bytes one pull may bring.
    #[serde(default = "defaults::bytes")]
    pub max_bytes: u64,
}

impl Pods {
    /// The kind of the store that the settings name, and the place in it.
    ///
    /// # Errors
    /// The settings name several.
    pub fn store(&self) -> Result<(Kind, String), settings::Error> {
        let embedded = &self.settings.embedded_secret_manager_config;
        Ok(match embedded.provider()? {
            settings::Provider::Aws => (Kind::Aws, embedded.aws_config.region.clone()),
            settings::Provider::Gcp => (Kind::Gcp, embedded.gcp_config.project.clone()),
            settings::Provider::Azure => (Kind::Azure, embedded.azure_config.host().unwrap_or_default()),
            settings::Provider::K8s => (Kind::K8s, embedded.k8s_config.namespace.clone()),
        })
    }
}

/// The settings as the policy reads and checks them.
fn policy_settings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Settings, D::Error> {
    let json = serde_json::Value::deserialize(deserializer)?.to_string();
    settings::validate(json.as_bytes()).map(|(settings, _)| settings).map_err(serde::de::Error::custom)
}

/// How the process ends.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Shutdown {
    /// How long it still takes connections while `/readyz` fails, until the cluster sends no more.
    #[serde(with = "humantime_serde")]
    pub delay: Duration,
    /// How long it waits after that for requests under way.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { delay: Duration::from_secs(5), grace: Duration::from_secs(15) }
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    /// Reads and checks a text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let config: Self = serde_yaml::from_str(text)?;
        config.check()?;
        Ok(config)
    }

    /// How many files are open at most: a connection is one.
    pub fn open_files(&self) -> u64 {
        let listeners = 1 + usize::from(self.metrics_listen.is_some()) + usize::from(self.pods.is_some());
        u64::try_from(self.limits.connections.saturating_mul(listeners)).unwrap_or(u64::MAX).saturating_add(OTHER_FILES)
    }

    /// Refuses what would make each read fail, or what cannot be meant.
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
        for kind in Kind::STORES {
            for place in self.providers.places(kind) {
                if !names::is_place(place) {
                    let (key, what) = (kind.places_key(), kind.place());
                    return Err(Error::Refused(format!("`providers.{key}`: invalid {what} {place:?}")));
                }
            }
        }
        if let Some(pods) = &self.pods {
            let (kind, place) = pods.store().map_err(|error| Error::Refused(format!("`pods.settings`: {error}")))?;
            if !self.providers.places(kind).contains(&place) {
                let (key, what) = (kind.places_key(), kind.place());
                let problem = format!("`pods.settings`: missing {what} {place:?} in `providers.{key}`");
                return Err(Error::Refused(problem));
            }
        }
        Ok(())
    }
}

/// No time of the configuration is meant to be longer; a cache's would outlive the rotation of secrets.
const LONGEST: Duration = Duration::from_secs(3600);
/// Open files that are no caller's connection: those to providers and the API server, and files.
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

    #[test]
    fn example_configuration_is_valid() {
        let config = Config::parse(include_str!("../config.example.yaml")).unwrap();
        assert!(config.providers.aws.is_some() && config.providers.gcp.is_some() && config.providers.azure.is_some());
    }
}
