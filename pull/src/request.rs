//! One request to the gateway, whose response is written to files.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::time::Duration;

use flyte_secrets_policy::answer::{HEAD_LIMIT, Head, PATH};
use flyte_secrets_policy::env_file;
use flyte_secrets_policy::grant::Grant;
use serde::Deserialize;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};

use crate::write::{Staged, copy};
use crate::{Error, Places};

/// Mode of files: tasks can run as any user.
const FILE_MODE: u32 = 0o444;

/// Mode of the env file: only the kubelet reads it, as root.
const ENV_MODE: u32 = 0o400;

/// Timeout of connecting, and of the first byte of the response.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(30);

/// Timeout of one attempt.
pub const ATTEMPT: Duration = Duration::from_secs(60);

/// Maximum of `Retry-After`.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Maximum size of an error response.
const STATUS_LIMIT: u64 = 64 * 1024;

/// A client of the gateway.
pub struct Gateway {
    agent: Agent,
    url: String,
}

impl Gateway {
    /// Returns a client of the gateway in a grant.
    ///
    /// # Errors
    /// The certificate authority is invalid.
    pub fn new(grant: &Grant) -> Result<Self, Error> {
        let mut authorities: Vec<Certificate> = Vec::new();
        for item in ureq::tls::parse_pem(grant.ca.as_bytes()) {
            match item.map_err(|_| Error::Authority("expected PEM"))? {
                PemItem::Certificate(certificate) => authorities.push(certificate),
                _ => return Err(Error::Authority("expected certificates only")),
            }
        }
        if authorities.is_empty() {
            return Err(Error::Authority("no certificate found"));
        }
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(authorities)))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            // Variables of the environment must not redirect the token.
            .proxy(None)
            .user_agent(concat!("flyte-secrets-pull/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            // Connect again after the gateway was replaced.
            .max_idle_connections(0)
            .build()
            .into();
        Ok(Self { agent, url: [&grant.gateway, PATH].concat() })
    }

    /// Pulls the granted secrets, writes them, and returns the number of changed files.
    ///
    /// # Errors
    /// The request or a file failed. No file has changed, unless renaming failed.
    pub fn pull(&self, grant: &Grant, places: &Places, timeout: Duration) -> Result<usize, Error> {
        let token = fs::read_to_string(&places.token).map_err(|error| Error::Token(places.token.clone(), error))?;
        let request = self.agent.post(&self.url).header("authorization", ["Bearer ", token.trim()].concat());
        let answer = request.config().timeout_global(Some(timeout)).build().send_empty()?;
        let (parts, body) = answer.into_parts();
        if parts.status != 200 {
            let after = parts.headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
            return Err(status(parts.status.as_u16(), after.unwrap_or_default(), body.into_reader()));
        }
        let mut body = BufReader::new(body.into_reader());
        let staged = stage(grant, places, &mut body)?;
        match body.read(&mut [0]) {
            Ok(0) => staged.commit(),
            Ok(_) => Err(Error::Answer("longer than its head says")),
            Err(error) => Err(Error::CutOff(error)),
        }
    }
}

/// The fields of a `Status` that are read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    reason: String,
    message: String,
}

fn status(code: u16, after: u64, body: impl Read) -> Error {
    let mut text = Vec::new();
    // The message is what can be read.
    let _ = body.take(STATUS_LIMIT).read_to_end(&mut text);
    let Status { reason, mut message } = serde_json::from_slice(&text).unwrap_or_default();
    if message.is_empty() {
        message.push_str("no Status in the response");
    }
    // The response can be from another server, with any characters.
    let [reason, message] = [reason, message].map(|text| text.replace(char::is_control, " "));
    Error::Status { code, reason, message, retry_after: Duration::from_secs(after).min(LONGEST_PAUSE) }
}

/// Writes the values of a response to temporary files.
fn stage(grant: &Grant, places: &Places, body: &mut impl BufRead) -> Result<Staged, Error> {
    let mut line = Vec::new();
    body.take(HEAD_LIMIT as u64).read_until(b'\n', &mut line).map_err(Error::CutOff)?;
    let head = Head::parse(&line).ok_or(Error::Answer("invalid head"))?;
    if !head.answers(grant) {
        return Err(Error::Answer("does not match the grant"));
    }
    let mut staged = Staged::default();
    for file in &head.files {
        staged.add(&places.files.join(&file.name), FILE_MODE, body, file.bytes)?;
    }
    let mut env = Vec::new();
    for ((name, granted), entry) in grant.named_variables().zip(&head.variables) {
        let failed = |problem| Error::Variable(granted.key.clone(), problem);
        if entry.bytes > env_file::VALUE_LIMIT as u64 {
            return Err(failed(env_file::Error::TooLarge));
        }
        let mut value = Vec::new();
        copy(body, entry.bytes, &mut value, Error::CutOff)?;
        env_file::append(&mut env, &name, &value).map_err(failed)?;
    }
    if !head.variables.is_empty() {
        staged.add(&places.env_file(), ENV_MODE, &mut env.as_slice(), env.len() as u64)?;
    }
    Ok(staged)
}
