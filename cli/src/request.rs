//! `request`: requests for secrets, from fields to annotations, and from annotations and pods to sentences.

use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use flyte_secrets_explain::requests::{self as explained, Found, sentence};
use flyte_secrets_explain::source;
use flyte_secrets_policy::secret_request::{self as requests, Annotated, MountRequirement, REQUEST_PREFIX, SecretRequest};
use flyte_secrets_policy::review::LABEL;
use serde_json::json;

use crate::files;
use crate::output::{self, Answer, Format};

/// Write requests for secrets as annotations, and read them
#[derive(Subcommand)]
pub enum Command {
    /// Print a request as an annotation's value
    Encode(Encode),
    /// Say what annotations ask for
    Decode(Decode),
}

#[derive(Args)]
pub struct Encode {
    /// The key in the group
    #[arg(long)]
    key: Option<String>,
    /// The store's object: Secret, Vault path, ARN, GCP secret or Key Vault URI
    #[arg(long, required_unless_present = "key")]
    group: Option<String>,
    /// The group's version, or Vault's engine: kv1, kv2, db
    #[arg(long)]
    group_version: Option<String>,
    /// How the task wants it
    #[arg(long, value_enum, default_value = "any")]
    mount: Mount,
    /// The variable that gets the value or, with a file, its path
    #[arg(long, value_name = "NAME")]
    env_var: Option<String>,
    /// The annotation's value, or the metadata of a pod that asks for it
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
    /// An annotation's value, a file with a pod or a value in it, or - for standard input
    input: String,
    /// How the answer is written
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

/// Why there is nothing to say.
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
    let value = requests::encode(&SecretRequest {
        group: arguments.group.as_deref().unwrap_or_default(),
        group_version: arguments.group_version.as_deref().unwrap_or_default(),
        key: arguments.key.as_deref().unwrap_or_default(),
        mount_requirement: match arguments.mount {
            Mount::Any => MountRequirement::Any,
            Mount::Env => MountRequirement::EnvVar,
            Mount::File => MountRequirement::File,
        },
        env_var: arguments.env_var.as_deref().unwrap_or_default(),
    });
    let (label, on) = LABEL;
    let annotation = format!("{REQUEST_PREFIX}0");
    let metadata = || json!({ "metadata": { "labels": { label: on }, "annotations": { annotation: value } } });
    match arguments.output {
        Shape::Text => output::print(&format!("{value}\n")),
        Shape::Yaml => output::print(&output::yaml(&metadata())),
        Shape::Json => output::value(&metadata()),
    }
}

fn decode(arguments: &Decode) -> Result<Answer, Error> {
    if arguments.input != "-" && !Path::new(&arguments.input).exists() {
        return Ok(decode_value(&arguments.input, arguments.output));
    }
    let source = files::read(&arguments.input)?;
    if let [document] = source.documents()?.as_slice()
        && let Some(value) = document.text()
    {
        return Ok(decode_value(value, arguments.output));
    }
    let pods = source.pods()?;
    let found: Vec<Found> = pods.iter().map(|pod| explained::read(pod)).collect();
    match arguments.output {
        Format::Json => output::json(|json| {
            json.list();
            for (pod, found) in pods.iter().zip(&found) {
                json.object().member("name", &pod.name);
                found.write(json.key("requests"));
                json.end_object();
            }
            json.end_list();
        }),
        Format::Text => {
            let each = pods.iter().zip(&found);
            each.for_each(|(pod, found)| output::print(&format!("{}\n{}", pod.name, text(found))));
        }
    }
    Ok(Answer::yes_if(found.iter().all(|found| found.unreadable.is_empty())))
}

fn decode_value(value: &str, format: Format) -> Answer {
    match (requests::decode(value.trim()), format) {
        (Ok(request), Format::Text) => output::print(&format!("asks for {}\n", sentence(&request))),
        (Ok(request), Format::Json) => output::json(|json| {
            explained::write_request(&request, json.object());
            json.end_object();
        }),
        (Err(problem), _) => {
            output::error(&format!("{value:?} holds no secret request, and there is no such file: {problem}"));
            return Answer::No;
        }
    }
    Answer::Yes
}

fn text(found: &Found) -> String {
    let mut text = String::new();
    for Annotated { annotation, request } in &found.requests {
        text.push_str(&format!("  {annotation} asks for {}\n", sentence(request)));
    }
    for (_, wrong) in &found.unreadable {
        text.push_str(&format!("  {wrong}\n"));
    }
    for annotation in &found.ignored {
        text.push_str(&format!("  {annotation} is no secret request: s and a number are wanted\n"));
    }
    if text.is_empty() { "  asks for no secrets\n".to_owned() } else { text }
}
