//! The providers against doubles that speak their protocols, and against moto.
//!
//! | file | holds |
//! |---|---|
//! | [`double`] | a server on loopback that answers, stalls or cuts as it is told |
//! | [`moto`] | moto's server, with a Python environment of its own |
//! | [`aws`], [`gcp`], [`azure`] | each provider: values, every failure, credentials, what is never shown |
//! | [`environment`] | all of them, opened as the binary opens them |

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::string_slice, clippy::unwrap_used)] // how tests fail

mod aws;
mod azure;
mod double;
mod environment;
mod gcp;
mod moto;

use std::collections::HashSet;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use secrecy::ExposeSecret;
use secret_gateway::config;
use secret_gateway::provider::{Failure, Provider, Value};
use secret_gateway::providers;
use tracing_subscriber::filter::LevelFilter;

use double::{Answer, Double};

/// What must be seen nowhere but in a value.
const CANARY: &str = "canary-7f3a9c";

/// A value, to compare.
#[derive(Clone, Debug, PartialEq)]
enum Shown {
    Text(String),
    Binary(Vec<u8>),
}

fn text(text: &str) -> Result<Shown, Failure> {
    Ok(Shown::Text(text.to_owned()))
}

fn binary(bytes: &[u8]) -> Result<Shown, Failure> {
    Ok(Shown::Binary(bytes.to_vec()))
}

fn forbidden(text: &str) -> Result<Shown, Failure> {
    Err(Failure::Forbidden(text.to_owned()))
}

fn unreachable(text: &str) -> Result<Shown, Failure> {
    Err(Failure::Unreachable(text.to_owned()))
}

fn garbage(text: &str) -> Result<Shown, Failure> {
    Err(Failure::Garbage(text.to_owned()))
}

fn bad_name(text: &str) -> Result<Shown, Failure> {
    Err(Failure::BadName(text.to_owned()))
}

/// Credentials that the provider refuses, with its word for it.
fn credentials_refused(code: &str) -> Result<Shown, Failure> {
    unreachable(&format!(
        "credentials rejected: {code}; check the identity of the gateway's service account and the clock of its node"
    ))
}

/// Credentials that cannot be had.
fn no_credentials(problem: &str) -> Result<Shown, Failure> {
    unreachable(&format!("cannot get credentials: {problem}; check the identity of the gateway's service account"))
}

/// How the system says that nobody listens there.
fn nobody_listens(address: SocketAddr) -> Result<Shown, Failure> {
    unreachable(&std::net::TcpStream::connect(address).unwrap_err().to_string())
}

async fn read(provider: &dyn Provider, place: &str, name: &str) -> Result<Shown, Failure> {
    Ok(match provider.fetch(place, name).await? {
        Value::Text(text) => Shown::Text(text.expose_secret().to_owned()),
        Value::Binary(bytes) => Shown::Binary(bytes.expose_secret().to_vec()),
    })
}

/// What becomes of connections that break, of each provider.
fn broken_connections() -> [(&'static str, Answer, Result<Shown, Failure>); 3] {
    let closed = || unreachable("connection closed before the response was complete");
    [
        ("stalled", Answer::Stall, Err(Failure::Slow)),
        ("cut", Answer::Cut, closed()),
        ("cut-body", Answer::CutBody, closed()),
    ]
}

/// Checks that a place that is not configured, and names that a provider cannot have, are rejected without a call.
async fn assert_rejected_without_a_call(
    provider: &dyn Provider,
    double: &Double,
    (place, elsewhere): (&str, &str),
    (names, alphabet): (&[&str], &str),
) {
    let wanted = forbidden(&format!("{elsewhere} is not configured in the gateway"));
    assert_eq!(read(provider, elsewhere, "text").await, wanted);
    for name in ["", "ä"].iter().chain(names) {
        assert_eq!(read(provider, place, name).await, bad_name(alphabet), "{name}");
    }
    assert_eq!(double.asked(), Vec::<String>::new());
}

/// All that a process logs.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Logged {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

/// Starts the test of this name again, alone in a process with these variables: for what belongs to a process.
async fn alone(test: &'static str, variables: &[(&str, &str)]) -> Result<(), Output> {
    let home = tempfile::tempdir().unwrap();
    let mut itself = Command::new(std::env::current_exe().unwrap());
    itself.args(["--exact", test, "--nocapture"]).env_clear().env("HOME", home.path());
    itself.envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || itself.output()).await.unwrap().unwrap();
    if output.status.success() { Ok(()) } else { Err(output) }
}

/// What says that a test is such a process.
const ALONE: &str = "TEST_ALONE";

/// Reads each of the names, and looks for the canary, plain or as `encoded`, in all that can be seen of it: also in
/// what the SDK logs, which is why the `test` that calls this runs alone.
async fn assert_nothing_is_shown(
    test: &'static str,
    level: LevelFilter,
    provider: &dyn Provider,
    place: &str,
    names: &[&str],
    encoded: &str,
) {
    if std::env::var(ALONE).is_err() {
        return assert_eq!(alone(test, &[(ALONE, "1")]).await, Ok(()));
    }
    let logged = Logged::default();
    let writer = logged.clone();
    tracing_subscriber::fmt().with_max_level(level).with_writer(move || writer.clone()).init();
    let mut seen = String::new();
    for name in names {
        match provider.fetch(place, name).await {
            Ok(value) => seen.push_str(&format!("{value:?}\n")),
            Err(failure) => seen.push_str(&format!("{failure:?} {failure}\n")),
        }
    }
    assert_eq!(seen.lines().count(), names.len(), "{seen}");
    let logged = logged.text();
    assert!(logged.contains(&level.to_string().to_uppercase()), "nothing was logged at all: {logged}");
    let lines: HashSet<_> = seen
        .lines()
        .chain(logged.lines())
        .filter(|line| line.contains(CANARY) || line.contains(encoded))
        .map(|line| line.chars().take(400).collect::<String>())
        .collect();
    assert_eq!(lines, HashSet::new());
}

#[tokio::test]
async fn only_configured_providers_are_opened() {
    let gcp = config::Gcp { projects: vec!["flyte-1".to_owned()], endpoint: None, anonymous: true };
    let providers = providers::open(&config::Providers { gcp: Some(gcp), ..Default::default() }).await.unwrap();
    let kinds: Vec<_> = providers.keys().map(|kind| kind.name()).collect();
    assert_eq!(kinds, ["GCPSecret"]);
}

#[tokio::test]
async fn invalid_endpoints_are_rejected_at_startup() {
    for endpoint in ["", "localhost:5000", "ftp://localhost", "http://"] {
        let endpoint = || Some(endpoint.to_owned());
        let aws = config::Aws { regions: vec!["eu-west-1".to_owned()], endpoint: endpoint() };
        let gcp = config::Gcp { projects: vec!["flyte-1".to_owned()], endpoint: endpoint(), anonymous: true };
        let table = [
            config::Providers { aws: Some(aws), ..Default::default() },
            config::Providers { gcp: Some(gcp), ..Default::default() },
        ];
        for (config, provider) in table.into_iter().zip(["AWS", "GCP"]) {
            let refused = providers::open(&config).await.err().map(|error| error.to_string());
            let wanted = format!(
                "invalid endpoint {} of {provider}: expected an http or https URL",
                endpoint().unwrap_or_default()
            );
            assert_eq!(refused, Some(wanted));
        }
    }
}
