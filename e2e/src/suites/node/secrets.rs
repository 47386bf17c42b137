//! The secrets of the stores, and requests for them, with what a container must receive.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::names::kubernetes::secret_name;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{DEVELOPMENT, PRODUCTION, STORE};

/// Keys of Embedded's secrets, in addition to `many0`, `many1` and so on.
const KEYS: [&str; 10] = ["binary", "dollars", "emoji", "fresh", "home", "large", "lines", "long", "pem", "token"];
/// Number of secrets `many<number>`.
pub const MANY: usize = 40;

/// Returns the value of a secret with this ID.
pub fn value(id: &str) -> Vec<u8> {
    match id {
        "binary" | "db/User" => (0..=255).collect(),
        "cache/password" | "pem" => b"-----BEGIN CERTIFICATE-----\nMIIB'\"\\t0==\n-----END CERTIFICATE-----\n".into(),
        "db/password" => b"pa$$word".into(),
        "dollars" => b"pa$$word$".into(),
        "emoji" => "grüße 🗝️ \u{7}".into(),
        "home" => b"$(HOME) $$(HOME) $HOME".into(),
        "large" => letters(90_000),
        // Several lines that an env file can hold.
        "lines" => {
            b"-----BEGIN CERTIFICATE-----\nMIIB\"\\t0==\n$(HOME) $HOME # no comment\n-----END CERTIFICATE-----\n".into()
        }
        "long" => letters(100_000),
        "token" => b"t0ken".into(),
        other => format!("value of {other}").into(),
    }
}

fn letters(length: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(length).collect()
}

/// Returns the Secrets of Embedded in the namespace `flyte`, for both domains, and of the manager K8s in those of pods.
pub fn store() -> Value {
    let encoded = |id: &str| STANDARD.encode(value(id));
    let many = (0..MANY).map(|number| format!("many{number}"));
    let mut all = Map::new();
    for key in KEYS.map(str::to_owned).into_iter().chain(many) {
        for domain in ["development", "production"] {
            let name = format!("u__org__acme__domain__{domain}__project__flytesnacks__key__{key}");
            all.insert(secret_name(&name), json!({ name: encoded(&key) }));
        }
    }
    let name = "u__org__flyte__domain__development__project__flytesnacks__key__token";
    all.insert(secret_name(name), json!({ name: STANDARD.encode("of Flyte 2") }));
    let own = json!({
        "db": { "password": encoded("db/password"), "User": encoded("db/User") },
        "cache": { "password": encoded("cache/password") },
    });
    all.extend(own.as_object().cloned().unwrap_or_default());
    json!({ "K8s": { STORE: all, DEVELOPMENT: own, PRODUCTION: own } })
}

/// A secret: the fields that request it, its default variable, its file, and its value.
pub struct Secret {
    fields: String,
    variable: String,
    file: String,
    value: Vec<u8>,
}

/// A secret request, and the shell commands by which a container checks what it received.
pub struct Request {
    pub text: String,
    pub check: String,
}

impl Secret {
    /// Returns a secret of Embedded.
    pub fn new(key: &str, value: impl Into<Vec<u8>>) -> Self {
        let variable = format!("_UNION_{}", key.to_uppercase());
        Self { fields: format!("key: '{key}'"), variable, file: key.to_owned(), value: value.into() }
    }

    /// Returns the secret with this ID: a key of Embedded, group and key of K8s, or one of a cloud. The stubs of the
    /// clouds' tools write what they were asked for.
    fn of(id: &str) -> Self {
        let (arn, gcp) = ("arn:aws:secretsmanager:eu-west-1:1:secret:Db", "projects/acme-prod/secrets/Token");
        let vault = "https://acme-kv.vault.azure.net/secrets";
        // Group, key or version, the ends of file and value, and what the file's path lacks of the group.
        let (group, rest, file, value, cut) = match id {
            "aws" => (arn, "key: 'k'", "/k", ":k", ""),
            "aws/:Password" => (arn, "key: ':Password'", "/:password", ":Password", ""),
            "gcp" => (gcp, "group_version: '3'", "/3", "/versions/3", ""),
            "gcp/latest" => (gcp, "group_version: 'latest'", "/latest", "/versions/latest", ""),
            "azure" => (&*format!("{vault}/Newest"), "", "", "/\n", vault),
            "azure/0f" => (&*format!("{vault}/Token"), "group_version: '0f'", "/0f", "/0f\n", vault),
            _ => {
                let Some((group, key)) = id.split_once('/') else { return Self::new(id, value(id)) };
                let variable = format!("_UNION_{group}_{key}").to_uppercase();
                let fields = format!("group: '{group}' key: '{key}'");
                return Self { fields, variable, file: id.to_lowercase(), value: value(id) };
            }
        };
        let path = group.strip_prefix(cut).unwrap_or(group).trim_start_matches('/').to_lowercase();
        Self {
            fields: format!("group: '{group}' {rest}"),
            variable: String::new(),
            file: format!("{path}{file}"),
            value: format!("{group}{value}").into(),
        }
    }

    /// Requests the secret as a variable.
    pub fn env(&self) -> Request {
        self.env_as(&self.variable, "")
    }

    fn env_as(&self, name: &str, env_var: &str) -> Request {
        let text = format!("{} mount_requirement: ENV_VAR{env_var}", self.fields);
        Request { text, check: variable(name, &self.value) }
    }

    /// Requests the secret as a read-only file.
    pub fn file(&self) -> Request {
        let (path, sum) = (format!("/etc/flyte/secrets/{}", self.file), sum(&self.value));
        let check = format!(
            "same {path} {sum} \"$(sum < '{path}')\"\n\
             ! (echo > '{path}') 2> /dev/null || fail '{path} can be written'\n"
        );
        Request { text: format!("{} mount_requirement: FILE", self.fields), check }
    }
}

/// Requests a secret as a variable.
pub fn env(id: &str) -> Request {
    Secret::of(id).env()
}

/// Requests a secret as a variable with this name.
pub fn env_as(id: &str, name: &str) -> Request {
    Secret::of(id).env_as(name, &format!(" env_var: '{name}'"))
}

/// Requests a secret as a file.
pub fn file(id: &str) -> Request {
    Secret::of(id).file()
}

/// Requests a secret as a file whose path is in a variable.
pub fn file_as(id: &str, name: &str) -> Request {
    let (secret, mut request) = (Secret::of(id), file(id));
    let _ = write!(request.text, " env_var: '{name}'");
    request.check += &variable(name, format!("/etc/flyte/secrets/{}", secret.file).as_bytes());
    request
}

/// Requests a secret in any form, which is a variable.
pub fn any(id: &str) -> Request {
    let secret = Secret::of(id);
    Request { check: secret.env().check, text: secret.fields }
}

/// Returns a request for which the container receives nothing.
pub fn unanswered(text: &str) -> Request {
    Request { text: text.to_owned(), check: String::new() }
}

/// Returns a command that checks a variable.
pub fn variable(name: &str, value: &[u8]) -> String {
    format!("same {name} {} \"$(printf %s \"${name}\" | sum)\"\n", sum(value))
}

/// Returns the SHA-256 of a value, as the function `sum` of the tasks' scripts prints it.
pub fn sum(value: &[u8]) -> String {
    hex::encode(Sha256::digest(value))
}
