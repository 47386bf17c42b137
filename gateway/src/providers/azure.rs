//! Azure Key Vault: the requested version of a secret, or the latest one, as text.
//!
//! Credentials are those of Workload Identity. Required permission: the data action
//! `Microsoft.KeyVault/vaults/secrets/getSecret/action`, as in the role "Key Vault Secrets User", or `get` in a vault
//! with access policies.
//!
//! The SDK reads the scope of its token from the vault's challenge, and rejects one for another resource than the
//! vault. With a configured endpoint only the connection differs, so this check applies to emulators, too.
//!
//! A disabled secret is [`Failure::Forbidden`] and not "not found": a value of a broader scope must not silently
//! replace it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::TokenCredential;
use azure_core::error::ErrorKind;
use azure_core::http::headers::RETRY_AFTER;
use azure_core::http::{
    AsyncRawResponse, ClientOptions, HttpClient, RawResponse, Request, RetryOptions, Transport, Url,
};
use azure_identity::{ClientAssertionCredentialOptions, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions};
use azure_security_keyvault_secrets::models::SecretClientGetSecretOptions;
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use flyte_secrets_policy::names::version;
use flyte_secrets_policy::settings;
use reqwest::redirect::Policy;
use secrecy::SecretString;
use serde::Deserialize;

use super::{
    Answer, CONNECT, Error, causes, code_or_status, credentials_refused, endpoint, look_up, no_credentials, not_served,
    problem, refuse, retry_after,
};
use crate::config;
use crate::provider::{BoxFuture, Failure, Provider, Value};

/// The gateway's identity in Entra, as set by the webhook of Workload Identity.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The directory (tenant ID).
    pub tenant: String,
    /// The application or managed identity.
    pub client: String,
    /// File of the service account token, which the kubelet renews.
    pub token_file: PathBuf,
}

impl Identity {
    /// Reads the identity from environment variables.
    ///
    /// # Errors
    /// A variable is missing.
    pub fn from_environment() -> Result<Self, Error> {
        let variable = |name| std::env::var(name).map_err(|_| Error::NoIdentity(name));
        Ok(Self {
            tenant: variable("AZURE_TENANT_ID")?,
            client: variable("AZURE_CLIENT_ID")?,
            token_file: variable("AZURE_FEDERATED_TOKEN_FILE")?.into(),
        })
    }
}

/// Key Vault at the configured hosts.
pub struct KeyVault {
    /// Clients by host.
    clients: HashMap<String, Arc<SecretClient>>,
}

impl KeyVault {
    /// Returns the provider with the identity in the environment.
    ///
    /// # Errors
    /// The identity or the configuration is invalid.
    pub fn open(config: &config::Azure) -> Result<Self, Error> {
        Self::new(config, Identity::from_environment()?)
    }

    /// Returns the provider with an identity.
    ///
    /// # Errors
    /// The configuration is invalid.
    pub fn new(config: &config::Azure, identity: Identity) -> Result<Self, Error> {
        let http = http_client(config.ca_file.as_deref())?;
        let credential = credential(config, identity, http.clone())?;
        let transport: Arc<dyn HttpClient> = match &config.endpoint {
            Some(text) => Arc::new(Rerouted { http, endpoint: secure(endpoint("Azure", text)?)? }),
            None => Arc::new(http),
        };
        let client = |host: &String| {
            let options = SecretClientOptions { client_options: options(Arc::clone(&transport)), ..Default::default() };
            let client = SecretClient::new(&format!("https://{host}"), Arc::clone(&credential), Some(options));
            Ok((host.clone(), Arc::new(client.map_err(setup)?)))
        };
        Ok(Self { clients: config.vaults.iter().map(client).collect::<Result<_, Error>>()? })
    }
}

impl Provider for KeyVault {
    fn fetch<'a>(&'a self, place: &'a str, name: &'a str) -> BoxFuture<'a, Answer> {
        let Some(client) = self.clients.get(place).map(Arc::clone) else { return refuse(not_served(place)) };
        let (name, version) = version::split(name);
        if let Err(expected) = settings::Provider::Azure.check_name(name) {
            return refuse(Failure::BadName(expected));
        }
        let name = name.to_owned();
        let secret_version = version.map(str::to_owned);
        look_up(async move {
            let options = SecretClientGetSecretOptions { secret_version, ..Default::default() };
            let answer = client.get_secret(&name, Some(options)).await.and_then(azure_core::http::Response::into_model);
            match answer.map_err(|error| failure(&error))?.value {
                Some(text) => Ok(Value::Text(SecretString::from(text))),
                None => Err(Failure::Garbage("missing value".to_owned())),
            }
        })
    }
}

/// Checks that an endpoint has TLS, without which the SDK sends no token.
fn secure(endpoint: Url) -> Result<Url, Error> {
    match endpoint.scheme() {
        "https" => Ok(endpoint),
        _ => Err(Error::Setup { provider: "Azure", problem: format!("endpoint {endpoint} must use https") }),
    }
}

fn setup(error: impl std::error::Error + 'static) -> Error {
    Error::Setup { provider: "Azure", problem: problem(&error) }
}

fn http_client(ca_file: Option<&Path>) -> Result<reqwest::Client, Error> {
    let mut builder =
        reqwest::Client::builder().connect_timeout(CONNECT).redirect(Policy::none()).https_only(true).http1_only();
    if let Some(path) = ca_file {
        let unusable = |problem: String| Error::Authorities { path: path.to_owned(), problem };
        let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
        let authorities = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| unusable(problem(&error)))?;
        if authorities.is_empty() {
            return Err(unusable("expected certificates in PEM".to_owned()));
        }
        builder = builder.tls_certs_merge(authorities);
    }
    builder.build().map_err(setup)
}

/// Returns the SDK's options, without retries: the reader retries within its timeout.
fn options(http: Arc<dyn HttpClient>) -> ClientOptions {
    ClientOptions { retry: RetryOptions::none(), transport: Some(Transport::new(http)), ..Default::default() }
}

fn credential(
    config: &config::Azure,
    identity: Identity,
    http: reqwest::Client,
) -> Result<Arc<dyn TokenCredential>, Error> {
    let mut client_options = options(Arc::new(http));
    client_options.cloud = config.authority.as_ref().map(|authority| {
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host.clone_from(authority);
        Arc::new(CloudConfiguration::from(cloud))
    });
    let credential = WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
        credential_options: ClientAssertionCredentialOptions { client_options },
        tenant_id: Some(identity.tenant),
        client_id: Some(identity.client),
        token_file_path: Some(identity.token_file),
    }));
    Ok(credential.map_err(setup)?)
}

/// An HTTP client that connects to the configured endpoint instead of the vault, after the SDK's own checks.
#[derive(Debug)]
struct Rerouted {
    http: reqwest::Client,
    endpoint: Url,
}

#[async_trait]
impl HttpClient for Rerouted {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let mut rerouted = request.clone();
        if let Some(host) = request.url().host_str() {
            rerouted.insert_header("host", host.to_owned());
        }
        let mut url = self.endpoint.clone();
        url.set_path(request.url().path());
        url.set_query(request.url().query());
        *rerouted.url_mut() = url;
        self.http.execute_request(&rerouted).await
    }
}

fn failure(error: &azure_core::Error) -> Failure {
    match error.kind() {
        ErrorKind::HttpResponse { status, raw_response, .. } => refused(u16::from(*status), raw_response.as_deref()),
        ErrorKind::Credential => no_credentials(&problem(error)),
        ErrorKind::DataConversion => Failure::Garbage("not a response of Key Vault".to_owned()),
        // The SDK itself rejects a challenge.
        ErrorKind::Other => {
            Failure::Garbage("challenge for another resource than the vault; no token was sent".to_owned())
        }
        _ if is_timeout(error) => Failure::Slow,
        _ => Failure::Unreachable(problem(error)),
    }
}

fn is_timeout(error: &azure_core::Error) -> bool {
    causes(error).filter_map(|cause| cause.downcast_ref::<reqwest::Error>()).any(reqwest::Error::is_timeout)
}

/// The error in a response of Key Vault. Its inner code is more exact.
#[derive(Default, Deserialize)]
struct Refusal {
    error: Code,
}

#[derive(Default, Deserialize)]
struct Code {
    code: String,
    #[serde(default)]
    innererror: Option<InnerCode>,
}

#[derive(Deserialize)]
struct InnerCode {
    #[serde(default)]
    code: String,
}

/// Returns the failure for an error of Key Vault.
pub(super) fn refused(status: u16, raw: Option<&RawResponse>) -> Failure {
    let error = raw.and_then(|raw| serde_json::from_slice::<Refusal>(raw.body()).ok()).unwrap_or_default().error;
    let said = || code_or_status(Some(&error.code), status);
    let inner = error.innererror.as_ref().map_or("", |inner| &inner.code);
    match (status, error.code.as_str(), inner) {
        (404, "SecretNotFound", _) => Failure::NotFound,
        (403, _, "SecretDisabled") => {
            Failure::Forbidden("secret is disabled; enable it, add a version, or delete it".to_owned())
        }
        (403, _, "ForbiddenByFirewall" | "ForbiddenByConnection") => {
            Failure::Forbidden("the vault's network rules deny access; allow the gateway".to_owned())
        }
        (403, ..) => Failure::Forbidden(
            "grant the gateway's identity the role \"Key Vault Secrets User\" on the vault, or permission get in its \
             access policies"
                .to_owned(),
        ),
        (401, ..) => credentials_refused(&said()),
        (429, ..) => Failure::Throttled(retry_after(raw.and_then(|raw| raw.headers().get_optional_str(&RETRY_AFTER)))),
        (400, "BadParameter", _) => Failure::BadName(said()),
        // The secret is being deleted or recovered.
        (409, ..) => Failure::Conflict(said()),
        (500.., ..) => Failure::Unreachable(said()),
        _ => Failure::Garbage(format!("undocumented error {} of Key Vault", said())),
    }
}
