//! `request`: encodes secret requests as annotations, and decodes annotations.

use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use flyte_secrets_explain::requests::{self, Answer, AskedRequests, DecodedRequest};
use flyte_secrets_explain::yaml;
use flyte_secrets_policy::review::LABEL;
use flyte_secrets_policy::secret_request::{self, MountRequirement, REQUEST_PREFIX, SecretRequest};
use flyte_secrets_policy::settings::UnknownFields;
use serde_json::json;

use crate::output::{self, Format};
use crate::{Error, choice, read};

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
    #[arg(long, value_parser = choice(["any", "env", "file"], requests::mount), default_value = "any")]
    mount: MountRequirement,
    /// Environment variable for the value or, with a file, its path
    #[arg(long, value_name = "NAME")]
    env_var: Option<String>,
    /// Output format: the annotation value, or pod metadata as YAML or JSON
    #[arg(short, long, value_enum, default_value = "text")]
    output: Shape,
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

pub fn run(command: &Command) -> Result<bool, Error> {
    match command {
        Command::Encode(arguments) => {
            encode(arguments);
            Ok(true)
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
        mount_requirement: *mount,
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

fn decode(arguments: &Decode) -> Result<bool, Error> {
    if arguments.input != "-" && !Path::new(&arguments.input).exists() {
        return Ok(decode_value(&arguments.input, arguments.output));
    }
    let source = read(&arguments.input)?;
    if let [document] = source.documents()?.as_slice()
        && let Some(value) = document.data.as_str()
    {
        return Ok(decode_value(value, arguments.output));
    }
    let asked: Vec<AskedRequests> =
        source.pods()?.iter().map(|pod| requests::read(pod, UnknownFields::Reject)).collect();
    match arguments.output {
        Format::Json => output::json(&asked),
        Format::Text => asked.iter().for_each(|asked| output::print(&text(asked))),
    }
    let mut requests = asked.iter().flat_map(|asked| &asked.requests);
    Ok(requests.all(|decoded| matches!(decoded.answer, Answer::Request { .. })))
}

fn decode_value(value: &str, format: Format) -> bool {
    match (requests::decode(value), format) {
        (Answer::Error { error }, _) => {
            output::error(&format!("{value:?} is neither a file nor a secret request: {error}"));
            return false;
        }
        (Answer::Request { asks, .. }, Format::Text) => output::print(&format!("asks for {asks}\n")),
        (answer, Format::Json) => output::json(&answer),
    }
    true
}

fn text(asked: &AskedRequests) -> String {
    let mut lines = vec![asked.name.clone()];
    lines.extend(asked.requests.iter().map(|DecodedRequest { annotation, answer }| match answer {
        Answer::Request { asks, .. } => format!("  {} asks for {asks}", annotation.as_deref().unwrap_or_default()),
        Answer::Error { error } => format!("  {error}"),
    }));
    let ignored = asked.ignored.iter();
    lines.extend(ignored.map(|annotation| format!("  {annotation} is ignored: expected flyte.secrets/s<number>")));
    if lines.len() == 1 {
        lines.push("  asks for no secrets".to_owned());
    }
    lines.join("\n") + "\n"
}
