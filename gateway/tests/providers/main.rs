//! The providers against doubles that speak their protocols.
//!
//! | file | holds |
//! |---|---|
//! | [`aws`], [`gcp`], [`azure`] | each provider as a [`Subject`], with every failure; credentials, what only it has |
//! | here | what holds for each of them |
//! | [`environment`] | all of them, opened as the binary opens them |

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::string_slice, clippy::unwrap_used)] // how tests fail

#[allow(dead_code)] // of the kit, which needs more
#[path = "../kit/authority.rs"]
mod authority;
mod aws;
mod azure;
#[path = "../kit/double.rs"]
mod double;
mod environment;
mod gcp;
#[path = "../kit/lines.rs"]
mod lines;

use std::collections::HashSet;
use std::io::Write;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use secrecy::ExposeSecret;
use secret_gateway::provider::{Failure, Provider, Value as Secret};
use secret_gateway::{config, providers};
use serde_json::{Value, json as object};
use tempfile::NamedTempFile;
use tracing_subscriber::filter::LevelFilter;

use authority::Authority;
use double::{Answer, Asked, Double, header, html, json, json_with, nobody};
use lines::Lines;

/// What must be seen nowhere but in a value.
const CANARY: &str = "canary-7f3a9c";

/// A value, to compare.
#[derive(Clone, Debug, PartialEq)]
enum Shown {
    Text(String),
    Binary(Vec<u8>),
}

/// What becomes of a read.
type Outcome = Result<Shown, Failure>;

/// The double's secrets: name, answer, and what becomes of reading it.
type Rows = Vec<(&'static str, Answer, Outcome)>;

/// A provider with its double, and what is particular to both.
struct Subject {
    double: Double,
    /// Opens the provider at a port of loopback.
    open: Box<dyn Fn(u16) -> Box<dyn Provider>>,
    place: &'static str,
    /// Places that are not configured.
    elsewhere: &'static [&'static str],
    rows: Rows,
    /// What the double is asked for a name, and before the first one.
    asked: fn(&str) -> String,
    asked_first: Vec<String>,
    /// The length of names, and what they can have beside letters and digits.
    alphabet: (usize, &'static str),
    /// Names that the provider cannot have.
    bad_names: &'static [&'static str],
    /// Names of secrets whose values it receives, also in answers that are damaged; and how the canary is written then.
    canaries: &'static [&'static str],
    encoded: String,
    /// Files that the provider reads.
    _files: Vec<NamedTempFile>,
}

impl Subject {
    fn provider(&self) -> Box<dyn Provider> {
        (self.open)(self.double.port)
    }
}

async fn subjects() -> [Subject; 3] {
    [aws::subject().await, gcp::subject().await, azure::subject().await]
}

/// What becomes of connections that break, of each provider.
fn broken_connections() -> Rows {
    let closed = || unreachable("connection closed before the response was complete");
    vec![
        ("stalled", Answer::Stall, Err(Failure::Slow)),
        ("cut", Answer::Cut, closed()),
        ("cut-body", Answer::CutBody, closed()),
    ]
}

/// The double's answer to a name: that of its row, or another one.
fn answer_of(rows: Rows, name: &str, other: Answer) -> Answer {
    let mut rows = rows.into_iter().chain(broken_connections());
    rows.find(|(known, ..)| *known == name).map_or(other, |(_, answer, _)| answer)
}

fn text(text: &str) -> Outcome {
    Ok(Shown::Text(text.to_owned()))
}

fn binary(bytes: &[u8]) -> Outcome {
    Ok(Shown::Binary(bytes.to_vec()))
}

fn forbidden(text: &str) -> Outcome {
    Err(Failure::Forbidden(text.to_owned()))
}

fn unreachable(text: &str) -> Outcome {
    Err(Failure::Unreachable(text.to_owned()))
}

fn garbage(text: &str) -> Outcome {
    Err(Failure::Garbage(text.to_owned()))
}

fn bad_name(text: &str) -> Outcome {
    Err(Failure::BadName(text.to_owned()))
}

/// Credentials that the provider refuses, with its word for it.
fn credentials_refused(code: &str) -> Outcome {
    unreachable(&format!(
        "credentials rejected: {code}; check the identity of the gateway's service account and the clock of its node"
    ))
}

/// Credentials that cannot be had.
fn no_credentials(problem: &str) -> Outcome {
    unreachable(&format!("cannot get credentials: {problem}; check the identity of the gateway's service account"))
}

async fn read(provider: &dyn Provider, place: &str, name: &str) -> Outcome {
    Ok(match provider.fetch(place, name).await? {
        Secret::Text(text) => Shown::Text(text.expose_secret().to_owned()),
        Secret::Binary(bytes) => Shown::Binary(bytes.expose_secret().to_vec()),
    })
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[tokio::test]
async fn errors_map_to_failures() {
    for subject in subjects().await {
        let provider = subject.provider();
        let mut asked = subject.asked_first.clone();
        for (name, _, wanted) in broken_connections().iter().chain(&subject.rows) {
            assert_eq!(read(&*provider, subject.place, name).await, *wanted, "{name}");
            asked.push((subject.asked)(name));
        }
        assert_eq!(subject.double.asked(), asked, "the SDK must not retry");
    }
}

#[tokio::test]
async fn refused_connections_are_unreachable() {
    for subject in subjects().await {
        let port = nobody().await;
        let refused = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap_err();
        let provider = (subject.open)(port);
        assert_eq!(read(&*provider, subject.place, "text").await, unreachable(&refused.to_string()));
    }
}

#[tokio::test]
async fn unconfigured_places_and_invalid_names_are_rejected_without_a_call() {
    for subject in subjects().await {
        let provider = subject.provider();
        for elsewhere in subject.elsewhere {
            let wanted = forbidden(&format!("{elsewhere} is not configured in the gateway"));
            assert_eq!(read(&*provider, elsewhere, "text").await, wanted);
        }
        let (longest, alphabet) = subject.alphabet;
        for name in ["", "ä", &"a".repeat(longest + 1)].iter().chain(subject.bad_names) {
            let wanted = bad_name(&format!("expected 1 to {longest} letters, digits and {alphabet}"));
            assert_eq!(read(&*provider, subject.place, name).await, wanted, "{name}");
        }
        assert_eq!(subject.double.asked(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn debug_output_holds_no_value() {
    assert_nothing_is_shown("debug_output_holds_no_value", LevelFilter::TRACE, &subjects().await).await;
}

/// The SDK of AWS writes errors of the service, which hold no value, into its finest log.
#[tokio::test]
async fn errors_are_quoted_at_trace_level_only() {
    let subject = Subject { canaries: &["quoting"], ..aws::subject().await };
    assert_nothing_is_shown("errors_are_quoted_at_trace_level_only", LevelFilter::DEBUG, &[subject]).await;
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

/// Reads the canaries, and looks for them, plain or encoded, in all that can be seen of them: also in what the SDKs
/// log, which is why the `test` that calls this runs alone.
async fn assert_nothing_is_shown(test: &'static str, level: LevelFilter, subjects: &[Subject]) {
    if std::env::var(ALONE).is_err() {
        return assert_eq!(alone(test, &[(ALONE, "1")]).await, Ok(()));
    }
    let logged = Lines::default();
    let writer = logged.clone();
    tracing_subscriber::fmt().with_max_level(level).with_writer(move || writer.clone()).init();
    for subject in subjects {
        logged.0.lock().unwrap().clear();
        let provider = subject.provider();
        let mut seen = Vec::new();
        for name in subject.canaries {
            seen.push(match provider.fetch(subject.place, name).await {
                Ok(value) => format!("{value:?}"),
                Err(failure) => format!("{failure:?} {failure}"),
            });
        }
        assert_eq!(seen.join("\n").lines().count(), subject.canaries.len(), "{seen:?}");
        let text = logged.text();
        assert!(text.contains(&level.to_string().to_uppercase()), "nothing was logged at all: {text}");
        let lines: HashSet<_> = text
            .lines()
            .chain(seen.iter().map(String::as_str))
            .filter(|line| line.contains(CANARY) || line.contains(&subject.encoded))
            .map(|line| line.chars().take(400).collect::<String>())
            .collect();
        assert_eq!(lines, HashSet::new());
    }
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
        let aws = config::Aws { regions: vec!["eu-west-1".to_owned()], endpoint: Some(endpoint.to_owned()) };
        let projects = vec!["flyte-1".to_owned()];
        let gcp = config::Gcp { projects, endpoint: Some(endpoint.to_owned()), anonymous: true };
        let table = [
            ("AWS", config::Providers { aws: Some(aws), ..Default::default() }),
            ("GCP", config::Providers { gcp: Some(gcp), ..Default::default() }),
        ];
        for (provider, config) in table {
            let refused = providers::open(&config).await.err().map(|error| error.to_string());
            let wanted = format!("invalid endpoint {endpoint} of {provider}: expected an http or https URL");
            assert_eq!(refused, Some(wanted));
        }
    }
}
