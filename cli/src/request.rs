//! `request`: encodes secret requests as annotations, and decodes annotations.

use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use flyte_secrets_explain::requests::{self, AskedRequests, DecodedRequest};
use flyte_secrets_explain::source;
use flyte_secrets_explain::yaml;
use flyte_secrets_policy::review::LABEL;
use flyte_secrets_policy::secret_request::{self, MountRequirement, REQUEST_PREFIX, SecretRequest};
use serde_json::json;

use crate::files;
use crate::output::{self, Answer, Format};

/// Encode and decode secret requests
#[derive(Subcommand)]
pub enum Command {
    /// Encode a secret request as an annotation value
    Encode(Encode),
    /// Decode an annotation value, or the annotations of pods
    Decode(Decode),
}

#[derive(Args)]
pub struct Encode {
    /// Key in the group
    #[arg(long)]
    key: Option<String>,
    /// Object in the store: Secret, Vault path, ARN, GCP secret or Key Vault URI
    #[arg(long, required_unless_present = "key")]
    group: Option<String>,
    /// Version of the group, or Vault engine: kv1, kv2, db
    #[arg(long)]
    group_version: Option<String>,
    /// How the task mounts the secret
    #[arg(long, value_enum, default_value = "any")]
    mount: Mount,
    /// Environment variable for the value or, with a file, its path
    #[arg(long, value_name = "NAME")]
    env_var: Option<String>,
    /// Output format: the annotation value, or pod metadata as YAML or JSON
    #[arg(short, long, value_enum, default_value = "text")]
    output: Shape,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mount {
    Any,
    Env,
    File,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shape {
    Text,
    Yaml,
    Json,
}

#[derive(Args)]
pub struct Decode {
    /// Annotation value, file with pods or a value, or - for standard input
    input: String,
    /// Output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

/// An error that prevents decoding.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] files::Error),
    #[error(transparent)]
    Source(#[from] source::Error),
}

pub fn run(command: &Command) -> Result<Answer, Error> {
    match command {
        Command::Encode(arguments) => {
            encode(arguments);
            Ok(Answer::Yes)
        }
        Command::Decode(arguments) => decode(arguments),
    }
}

fn encode(arguments: &Encode) {
    let Encode { key, group, group_version, mount, env_var, output } = arguments;
    let given = |text: &Option<String>| text.clone().unwrap_or_default();
    let value = secret_request::encode(&SecretRequest {
        group: given(group),
        group_version: given(group_version),
        key: given(key),
        mount_requirement: match mount {
            Mount::Any => MountRequirement::Any,
            Mount::Env => MountRequirement::EnvVar,
            Mount::File => MountRequirement::File,
        },
        env_var: given(env_var),
    });
    let (label, on) = LABEL;
    let annotation = format!("{REQUEST_PREFIX}0");
    let metadata = || json!({ "metadata": { "labels": { label: on }, "annotations": { annotation: value } } });
    match output {
        Shape::Text => output::print(&format!("{value}\n")),
        Shape::Yaml => output::data(&yaml::write(&metadata())),
        Shape::Json => output::json(&metadata()),
    }
}

fn decode(arguments: &Decode) -> Result<Answer, Error> {
    if arguments.input != "-" && !Path::new(&arguments.input).exists() {
        return Ok(decode_value(&arguments.input, arguments.output));
    }
    let source = files::read(&arguments.input)?;
    if let [document] = source.documents()?.as_slice()
        && let Some(value) = document.data.as_str()
    {
        return Ok(decode_value(value, arguments.output));
    }
    let asked: Vec<AskedRequests> = source.pods()?.iter().map(requests::read).collect();
    match arguments.output {
        Format::Json => output::json(&asked),
        Format::Text => asked.iter().for_each(|asked| output::print(&text(asked))),
    }
    let mut requests = asked.iter().flat_map(|asked| &asked.requests);
    Ok(Answer::yes_if(requests.all(|decoded| matches!(decoded.answer, requests::Answer::Request { .. }))))
}

fn decode_value(value: &str, format: Format) -> Answer {
    match (requests::decode(value), format) {
        (Ok(answer), Format::Text) => output::print(&(sentence(&answer) + "\n")),
        (Ok(answer), Format::Json) => output::json(&answer),
        (Err(problem), _) => {
            output::error(&format!("{value:?} is neither a file nor a secret request: {problem}"));
            return Answer::No;
        }
    }
    Answer::Yes
}

fn text(asked: &AskedRequests) -> String {
    let mut text = format!("{}\n", asked.name);
    for DecodedRequest { annotation, answer } in &asked.requests {
        text.push_str(&match answer {
            requests::Answer::Request { .. } => {
                format!("  {} {}\n", annotation.as_deref().unwrap_or_default(), sentence(answer))
            }
            requests::Answer::Error { error } => format!("  {error}\n"),
        });
    }
    for annotation in &asked.ignored {
        text.push_str(&format!("  {annotation} is ignored: expected flyte.secrets/s<number>\n"));
    }
    if asked.requests.is_empty() && asked.ignored.is_empty() {
        text.push_str("  asks for no secrets\n");
    }
    text
}

fn sentence(answer: &requests::Answer) -> String {
    match answer {
        requests::Answer::Request { asks, .. } => format!("asks for {asks}"),
        requests::Answer::Error { error } => error.clone(),
    }
}
