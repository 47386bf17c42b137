//! Requests for secrets: from fields to annotations, and from annotations and pods to sentences.

use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use flyte_secrets_policy::base32::{self, Alphabet};
use flyte_secrets_policy::requests::{
    self, ANNOTATION_PREFIX, Annotated, MountRequirement, REQUEST_PREFIX, SecretRequest, text_format,
};
use flyte_secrets_policy::review::LABEL;
use flyte_secrets_policy::texts::Texts;
use serde_json::{Value, json};

use crate::files::{self, Pod, Source};
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
    let request = SecretRequest {
        group: arguments.group.as_deref().unwrap_or_default(),
        group_version: arguments.group_version.as_deref().unwrap_or_default(),
        key: arguments.key.as_deref().unwrap_or_default(),
        mount_requirement: match arguments.mount {
            Mount::Any => MountRequirement::Any,
            Mount::Env => MountRequirement::EnvVar,
            Mount::File => MountRequirement::File,
        },
        env_var: arguments.env_var.as_deref().unwrap_or_default(),
    };
    let value = base32::encode(Alphabet::Flyte, text_format::write(&request).as_bytes());
    let (label, on) = LABEL;
    let annotation = format!("{REQUEST_PREFIX}0");
    let metadata = || json!({ "metadata": { "labels": { label: on }, "annotations": { annotation: value } } });
    match arguments.output {
        Shape::Text => output::print(&format!("{value}\n")),
        Shape::Yaml => output::print(&output::yaml(&metadata())),
        Shape::Json => output::json(&metadata()),
    }
}

fn decode(arguments: &Decode) -> Result<Answer, Error> {
    if arguments.input != "-" && !Path::new(&arguments.input).exists() {
        return Ok(decode_value(&arguments.input, arguments.output));
    }
    let source = Source::read(&arguments.input)?;
    if let [Value::String(value)] = source.values()?.as_slice() {
        return Ok(decode_value(value, arguments.output));
    }
    let mut answer = Answer::Yes;
    let mut rows = Vec::new();
    for pod in source.pods()? {
        let texts = Texts::default();
        let found = read(&pod, &texts);
        answer = answer.and(Answer::yes_if(found.unreadable.is_empty()));
        match arguments.output {
            Format::Json => rows.extend(found.rows().map(|mut row| {
                if let Some(row) = row.as_object_mut() {
                    row.insert("pod".to_owned(), json!(pod.name));
                    row.insert("namespace".to_owned(), json!(pod.namespace));
                }
                row
            })),
            Format::Text => output::print(&format!("{}\n{}", pod.name, found.text())),
        }
    }
    if arguments.output == Format::Json {
        output::json(&Value::Array(rows));
    }
    Ok(answer)
}

fn decode_value(value: &str, format: Format) -> Answer {
    let texts = Texts::default();
    let bytes = base32::decode(Alphabet::Flyte, value.trim().as_bytes()).map_err(|wrong| wrong.to_string());
    let request =
        bytes.and_then(|bytes| text_format::parse(texts.bytes(&bytes), &texts).map_err(|wrong| wrong.to_string()));
    match (request, format) {
        (Ok(request), Format::Text) => output::print(&format!("asks for {}\n", sentence(&request))),
        (Ok(request), Format::Json) => output::json(&row(&request)),
        (Err(problem), _) => {
            output::error(&format!("{value:?} holds no secret request, and there is no such file: {problem}"));
            return Answer::No;
        }
    }
    Answer::Yes
}

/// What a pod asks for.
pub struct Found<'a> {
    pub requests: Vec<Annotated<'a>>,
    /// Annotations that hold no request.
    pub unreadable: Vec<(&'a str, requests::Error)>,
    /// Annotations that start as requests do and have no number.
    ignored: Vec<&'a str>,
}

/// Reads the requests of a pod; unlike the policy, those that can be read also where others cannot.
pub fn read<'a>(pod: &'a Pod, texts: &'a Texts) -> Found<'a> {
    let annotations = pod.object.pointer("/metadata/annotations").and_then(Value::as_object);
    let pairs = annotations.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
    let mut readable = Vec::new();
    let mut unreadable = Vec::new();
    for pair in pairs.filter(|(key, _)| key.starts_with(ANNOTATION_PREFIX)) {
        match requests::read([pair].into_iter(), texts) {
            Ok(_) => readable.push(pair),
            Err(wrong) => unreadable.push((pair.0, wrong)),
        }
    }
    let found = requests::read(readable.into_iter(), texts).unwrap_or_default();
    Found { requests: found.requests, unreadable, ignored: found.ignored }
}

impl Found<'_> {
    fn text(&self) -> String {
        let mut text = String::new();
        for Annotated { annotation, request } in &self.requests {
            text.push_str(&format!("  {annotation} asks for {}\n", sentence(request)));
        }
        for (_, wrong) in &self.unreadable {
            text.push_str(&format!("  {wrong}\n"));
        }
        for annotation in &self.ignored {
            text.push_str(&format!("  {annotation} is no secret request: s and a number are wanted\n"));
        }
        if text.is_empty() { "  asks for no secrets\n".to_owned() } else { text }
    }

    fn rows(&self) -> impl Iterator<Item = Value> {
        let requests = self.requests.iter().map(|annotated| {
            let mut row = row(&annotated.request);
            if let Some(row) = row.as_object_mut() {
                row.insert("annotation".to_owned(), json!(annotated.annotation));
            }
            row
        });
        let unreadable =
            self.unreadable.iter().map(|(key, wrong)| json!({ "annotation": key, "error": wrong.to_string() }));
        requests.chain(unreadable)
    }
}

fn row(request: &SecretRequest) -> Value {
    let SecretRequest { group, group_version, key, mount_requirement, env_var } = request;
    let mut row = json!({ "mount_requirement": mount_requirement.to_string(), "sentence": sentence(request) });
    for (field, value) in [("group", group), ("group_version", group_version), ("key", key), ("env_var", env_var)] {
        if let (false, Some(row)) = (value.is_empty(), row.as_object_mut()) {
            row.insert(field.to_owned(), json!(value));
        }
    }
    row
}

/// What a request asks for, in words.
pub fn sentence(request: &SecretRequest) -> String {
    let SecretRequest { group, group_version, key, mount_requirement, env_var } = request;
    let mut text = match (*group, *key) {
        ("", "") => "a secret without group and key".to_owned(),
        ("", key) => format!("key {key:?}"),
        (group, "") => format!("group {group:?}"),
        (group, key) => format!("key {key:?} of group {group:?}"),
    };
    if !group_version.is_empty() {
        text.push_str(&format!(" in version {group_version:?}"));
    }
    text.push_str(&match (mount_requirement, *env_var) {
        (MountRequirement::EnvVar, "") => ", as a variable".to_owned(),
        (MountRequirement::EnvVar, name) => format!(", as the variable {name}"),
        (MountRequirement::File, "") => ", as a file".to_owned(),
        (MountRequirement::File, name) => format!(", as a file whose path is in the variable {name}"),
        (MountRequirement::Any, "") => {
            ", as its manager likes best: a variable from Embedded, a file from others".to_owned()
        }
        (MountRequirement::Any, name) => {
            format!(
                ", as its manager likes best: the variable {name} from Embedded, a file from others with its path there"
            )
        }
        (MountRequirement::Unknown(number), _) => {
            format!(", with the mount_requirement {number}, which no manager serves")
        }
    });
    text
}
