//! Cases recorded from Flyte's own code, in the format of `tests/golden/README.md`. The fields of a case determine its
//! kind. Pods run through the built wasm, others through functions of the core.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::names::{Scope, azure, flyte, kubernetes};
use flyte_secrets_policy::secret_request::{self as requests, Requests, SecretRequest};
use flyte_secrets_policy::settings::UnknownFields;
use flyte_secrets_policy::store::unpack_azure;
use serde_json::{Map, Value, json};

use crate::engine::Policy;
use crate::host::{Capabilities, Store};
use crate::show;

/// The result of a case.
pub struct Outcome {
    /// Name of the case.
    pub name: String,
    /// The difference, or none if the case passed.
    pub failure: Option<String>,
}

/// Runs all cases of a file.
pub fn run_file(policy: &Policy, path: &Path) -> Result<Vec<Outcome>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            let case: Value = serde_json::from_str(line).with_context(|| format!("line {} is no JSON", number + 1))?;
            let name = case["name"].as_str().map_or_else(|| format!("line {}: {line}", number + 1), str::to_owned);
            Ok(Outcome { name, failure: run(policy, &case).err().map(|error| format!("{error:#}")) })
        })
        .collect()
}

/// Runs one case.
pub fn run(policy: &Policy, case: &Value) -> Result<()> {
    let has = |field: &str| case.get(field).is_some();
    if has("pod") {
        pod(policy, case)
    } else if has("codec") {
        name(case)
    } else if has("annotation") {
        request(case, &case["annotation"])
    } else if has("encoded") {
        request(case, &case["encoded"])
    } else if has("value") {
        azure_text(case)
    } else {
        bail!("no kind of case has these fields")
    }
}

fn pod(policy: &Policy, case: &Value) -> Result<()> {
    let (pod, settings) = (&case["pod"], &as_recorded(&case["settings"]));
    let store: Arc<dyn Capabilities> = Store::new(case["store"].clone());
    let response = policy.create_pod(pod, settings, &store)?;
    if case["rejected"] == json!(true) {
        return match response.accepted() {
            true => bail!("accepted, but Flyte refuses it: {}", case["flyte_says"]),
            false => Ok(()),
        };
    }
    if !response.accepted() {
        bail!("refused: {}", response.message());
    }
    let mutated = response.mutated().unwrap_or(pod);
    same(&normal(&case["mutated"]), &normal(mutated))?;
    let again = policy.create_pod(mutated, settings, &store)?;
    let twice = again.mutated().unwrap_or(mutated);
    if !again.patch(mutated).0.is_empty() {
        bail!("a second pass changes the pod:\n{}", show::diff(&show::pretty(mutated), &show::pretty(twice)));
    }
    Ok(())
}

/// Returns the settings of a case, with those that make the policy behave as the recorded version of Flyte.
pub fn as_recorded(settings: &Value) -> Value {
    let mut settings = settings.clone();
    json_patch::merge(
        &mut settings,
        &json!({ "initContainers": "Last", "embeddedSecretManagerConfig": { "delivery": "Value" } }),
    );
    settings
}

/// Checks that two values are equal; the error shows the differences.
pub fn same(wanted: &Value, found: &Value) -> Result<()> {
    if wanted == found {
        return Ok(());
    }
    let [wanted, found] = [wanted, found].map(|value| {
        let mut value = value.clone();
        value.sort_all_objects();
        show::pretty(&value)
    });
    bail!("differs (-wanted +found):\n{}", show::diff(&wanted, &found))
}

/// Returns a pod in the form in which pods are compared: sorted keys, without empty fields, IDs of Vault by their
/// order. Init containers of the policy have no commands, no digests of images, and nothing that Flyte does not add:
/// security contexts, mounts of other volumes, and sizes of volumes in memory.
pub fn normal(pod: &Value) -> Value {
    let mut pod = sorted(pod);
    rename_vault_ids(&mut pod);
    let containers = pod.pointer_mut("/spec/initContainers").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten() {
        // Images of Flyte have tags only.
        if let Some((tagged, _)) = container["image"].as_str().and_then(|image| image.split_once('@')) {
            container["image"] = json!(tagged);
        }
        let mounts = container["volumeMounts"].as_array().into_iter().flatten();
        let mut writable = mounts.filter(|mount| mount["readOnly"] != json!(true));
        let ours = writable.any(|mount| mount["name"].as_str().is_some_and(|name| name.ends_with("-secret-vol")));
        let Some(container) = container.as_object_mut().filter(|_| ours) else { continue };
        if let Some(command) = container.get_mut("command") {
            *command = json!(["<not compared>"]);
        }
        container.remove("securityContext");
        if let Some(mounts) = container.get_mut("volumeMounts").and_then(Value::as_array_mut) {
            mounts.retain(|mount| mount.get("subPath").is_none());
        }
    }
    for volume in pod.pointer_mut("/spec/volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        let ours = volume["name"].as_str().is_some_and(|name| name.ends_with("-secret-vol"));
        if let Some(memory) = volume.pointer_mut("/emptyDir").and_then(Value::as_object_mut).filter(|_| ours) {
            memory.remove("sizeLimit");
        }
    }
    pod
}

fn sorted(value: &Value) -> Value {
    let absent = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(map) => {
            let mut members: BTreeMap<&String, Value> = map.iter().map(|(key, value)| (key, sorted(value))).collect();
            members.retain(|_, value| !absent(value));
            // An empty value of a variable equals an absent one.
            if members.contains_key(&"name".to_owned()) {
                members.retain(|key, value| key.as_str() != "value" || *value != json!(""));
            }
            Value::Object(members.into_iter().map(|(key, value)| (key.clone(), value)).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// Renames the IDs in `…/agent-inject-secret-<id>` and related annotations to the number of their request.
fn rename_vault_ids(pod: &mut Value) {
    const FILE: &str = "vault.hashicorp.com/agent-inject-file-";
    let Some(annotations) = pod.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) else { return };
    let pairs = annotations.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
    let Ok(Requests { requests, .. }) = requests::read(pairs, UnknownFields::Reject) else { return };
    let mut ids: Vec<(String, usize)> = Vec::new();
    for (key, value) in annotations.iter() {
        let Some(id) = key.strip_prefix(FILE).filter(|id| !id.starts_with("id-")) else { continue };
        let file = |request: &SecretRequest| format!("{}/{}", request.group, request.key);
        let wanted = requests.iter().filter(|it| value.as_str() == Some(&file(&it.request)));
        let number = wanted.filter_map(|it| requests::number_of(&it.annotation)?.parse().ok());
        let taken: Vec<usize> = ids.iter().map(|(_, number)| *number).collect();
        if let Some(number) = number.into_iter().find(|number| !taken.contains(number)) {
            ids.push((id.to_owned(), number));
        }
    }
    let renamed: Map<String, Value> = std::mem::take(annotations)
        .into_iter()
        .map(|(key, value)| {
            let id =
                ids.iter().find(|(id, _)| key.starts_with("vault.hashicorp.com/agent-inject-") && key.ends_with(id));
            (id.map_or(key.clone(), |(id, number)| key.replace(id, &format!("id-{number}"))), value)
        })
        .collect();
    *annotations = sorted(&Value::Object(renamed)).as_object().cloned().unwrap_or_default();
}

fn request(case: &Value, annotation: &Value) -> Result<()> {
    let annotation = annotation.as_str().context("an annotation is a string")?;
    let found = requests::read([("flyte.secrets/s0", annotation)], UnknownFields::Reject);
    let found = found.map(|found| found.requests.first().map(|it| fields(&it.request)).unwrap_or_default());
    match (case["rejected"] == json!(true), found) {
        (true, Err(_)) => Ok(()),
        (true, Ok(found)) => bail!("read as {found}, but Flyte refuses it"),
        (false, Ok(found)) => same(&sorted(&case["request"]), &sorted(&found)).or_else(|error| {
            let named = normalised_mount(&case["request"]);
            same(&sorted(&named), &sorted(&found)).map_err(|_| error)
        }),
        (false, Err(error)) => bail!("rejected: {error}"),
    }
}

/// Returns a request with the number of its mount requirement, which cases can name.
fn normalised_mount(request: &Value) -> Value {
    let mut request = request.clone();
    let number = match request["mount_requirement"].as_str() {
        Some("ENV_VAR") => json!(1),
        Some("FILE") => json!(2),
        _ => Value::Null,
    };
    if let Some(members) = request.as_object_mut() {
        members.insert("mount_requirement".into(), number);
    }
    request
}

fn fields(request: &SecretRequest) -> Value {
    let mut members = Map::new();
    for (name, value) in [
        ("group", &request.group),
        ("group_version", &request.group_version),
        ("key", &request.key),
        ("env_var", &request.env_var),
    ] {
        if !value.is_empty() {
            members.insert(name.into(), json!(value));
        }
    }
    match request.mount_requirement.number() {
        0 => {}
        number => drop(members.insert("mount_requirement".into(), json!(number))),
    }
    Value::Object(members)
}

fn name(case: &Value) -> Result<()> {
    let input: Vec<&str> = case["in"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let found: Result<Value> = match (case["codec"].as_str().unwrap_or_default(), input.as_slice()) {
        ("flyte-name", [organization, domain, project, key]) => {
            Ok(json!(flyte::encode(Scope { organization, domain, project }, key)))
        }
        ("flyte-name-decode", [name]) => {
            flyte::decode(name).map(|it| json!([it.organization, it.domain, it.project, it.key])).map_err(Into::into)
        }
        ("azure-name", [name]) => flyte::decode(name)
            .and_then(|it| azure::encode(it.scope(), &it.key))
            .map(|name| json!(name))
            .map_err(Into::into),
        ("azure-name-decode", [name]) => {
            azure::decode(name).map(|it| json!(flyte::encode(it.scope(), &it.key))).map_err(Into::into)
        }
        ("kubernetes-name", [name]) => Ok(json!(kubernetes::secret_name(name))),
        ("image-pull-name", [organization, domain, project, key]) => {
            Ok(json!(kubernetes::image_pull_name(Scope { organization, domain, project }, key)))
        }
        (codec, _) => return Err(anyhow!("no codec {codec} of {} names", input.len())),
    };
    match (case["rejected"] == json!(true), found) {
        (true, Err(_)) => Ok(()),
        (true, Ok(found)) => bail!("{found}, but Flyte refuses it"),
        (false, found) => same(&case["out"], &found?),
    }
}

fn azure_text(case: &Value) -> Result<()> {
    let text = case["value"].as_str().context("a value is a string")?;
    match (case["rejected"] == json!(true), unpack_azure(text, false)) {
        (true, Err(_)) => Ok(()),
        (true, Ok(_)) => bail!("unpacked, but Flyte refuses it"),
        (false, Err(error)) => bail!("rejected: {error}"),
        (false, Ok(bytes)) => {
            let flyte = |name| case[name].as_str().with_context(|| format!("{name} is a string"));
            let binary = STANDARD.decode(flyte("binaryValue")?)?;
            let wanted = if binary.is_empty() { flyte("stringValue")?.as_bytes() } else { &binary };
            same(&json!(wanted), &json!(bytes))
        }
    }
}
