//! Cases recorded from Flyte's own code, in the format of `tests/golden/README.md`. The fields of a case determine its
//! kind. Pods run through the built wasm, others through functions of the core.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::names::{Scope, azure, flyte, kubernetes};
use flyte_secrets_policy::secret_request::{self as requests, SecretRequest};
use flyte_secrets_policy::settings::UnknownFields;
use flyte_secrets_policy::store::unpack_azure;
use serde_json::{Value, json};

use crate::engine::Policy;
use crate::host::{Capabilities, Store};
use crate::show;

/// Runs all cases of a file, and returns their number and the failures.
pub fn run_file(policy: &Policy, path: &Path) -> Result<(usize, Vec<String>)> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (mut count, mut failures) = (0, Vec::new());
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        count += 1;
        let case: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        if let Err(error) = run(policy, &case) {
            failures.push(format!("{}\n{error:#}", case["name"].as_str().unwrap_or(line)));
        }
    }
    Ok((count, failures))
}

fn run(policy: &Policy, case: &Value) -> Result<()> {
    let kinds = ["pod", "codec", "annotation", "encoded", "value"];
    match kinds.into_iter().find(|field| case.get(field).is_some()) {
        Some("pod") => pod(policy, case),
        Some("codec") => name(case),
        Some("value") => azure_text(case),
        Some(annotation) => request(case, &case[annotation]),
        None => bail!("no kind of case has these fields"),
    }
}

/// Compares what was found with what the case expects, or that both are a rejection.
fn decide(case: &Value, expected: &Value, found: Result<Value, impl Display>) -> Result<()> {
    match (case["rejected"] == json!(true), found) {
        (true, Err(_)) => Ok(()),
        (true, Ok(found)) => bail!("accepted as {found}, but Flyte rejects it: {}", case["flyte_says"]),
        (false, Err(error)) => bail!("rejected: {error}"),
        (false, Ok(found)) => same(expected, &found),
    }
}

fn pod(policy: &Policy, case: &Value) -> Result<()> {
    let (pod, settings) = (&case["pod"], &as_recorded(&case["settings"]));
    let store: Arc<dyn Capabilities> = Store::new(case["store"].clone());
    let response = policy.create_pod(pod, settings, &store)?;
    let mutated = response.mutated().unwrap_or(pod);
    let found = if response.accepted() { Ok(normal(mutated)) } else { Err(response.message()) };
    decide(case, &normal(&case["mutated"]), found)?;
    if response.accepted() {
        let again = policy.create_pod(mutated, settings, &store)?;
        same(mutated, again.mutated().unwrap_or(mutated)).context("a second pass changes the pod")?;
    }
    Ok(())
}

/// Returns the settings of a case, with those that make the policy behave as the recorded version of Flyte.
pub fn as_recorded(settings: &Value) -> Value {
    let mut settings = settings.clone();
    settings["initContainers"] = json!("Last");
    settings["embeddedSecretManagerConfig"]["delivery"] = json!("Value");
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

/// Returns a pod in the form in which pods are compared: without empty fields, IDs of Vault by their order. Init
/// containers of the policy have no commands, no digests of images, and nothing that Flyte does not add: security
/// contexts, mounts of other volumes, and sizes of volumes in memory.
pub fn normal(pod: &Value) -> Value {
    let mut pod = without_empty(pod);
    rename_vault_ids(&mut pod);
    let is_ours = |name: &Value| name.as_str().is_some_and(|name| name.ends_with("-secret-vol"));
    for container in elements(&mut pod, "/spec/initContainers") {
        // Images of Flyte have tags only.
        if let Some((tagged, _)) = container["image"].as_str().and_then(|image| image.split_once('@')) {
            container["image"] = json!(tagged);
        }
        let mut mounts = container["volumeMounts"].as_array().into_iter().flatten();
        if !mounts.any(|mount| mount["readOnly"] != json!(true) && is_ours(&mount["name"])) {
            continue;
        }
        if let Some(mounts) = container["volumeMounts"].as_array_mut() {
            mounts.retain(|mount| mount.get("subPath").is_none());
        }
        if let Some(container) = container.as_object_mut() {
            container.entry("command").and_modify(|command| *command = json!(["<not compared>"]));
            container.remove("securityContext");
        }
    }
    for volume in elements(&mut pod, "/spec/volumes").filter(|volume| is_ours(&volume["name"])) {
        if let Some(memory) = volume.pointer_mut("/emptyDir").and_then(Value::as_object_mut) {
            memory.remove("sizeLimit");
        }
    }
    pod
}

fn elements<'a>(value: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Value> {
    value.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Returns a value without members that are empty, and without empty values of variables, which equal absent ones.
fn without_empty(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let is_absent = |key: &str, value: &Value| match value {
                Value::Null => true,
                Value::Array(list) => list.is_empty(),
                Value::Object(map) => map.is_empty(),
                other => key == "value" && *other == "" && map.contains_key("name"),
            };
            let members = map.iter().map(|(key, value)| (key.clone(), without_empty(value)));
            members.filter(|(key, value)| !is_absent(key, value)).collect()
        }
        Value::Array(list) => list.iter().map(without_empty).collect(),
        other => other.clone(),
    }
}

/// Renames the IDs in `…/agent-inject-secret-<id>` and related annotations to the number of their request.
fn rename_vault_ids(pod: &mut Value) {
    let Some(annotations) = pod.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) else { return };
    let pairs = annotations.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
    let Ok(mut found) = requests::read(pairs, UnknownFields::Reject) else { return };
    let files = annotations.iter().filter_map(|(key, file)| {
        let id = key.strip_prefix("vault.hashicorp.com/agent-inject-file-").filter(|id| !id.starts_with("id-"))?;
        let is_for = |it: &SecretRequest| *file == format!("{}/{}", it.group, it.key);
        let request = found.requests.remove(found.requests.iter().position(|it| is_for(&it.request))?);
        Some((id.to_owned(), format!("id-{}", requests::number_of(&request.annotation)?)))
    });
    let ids: Vec<(String, String)> = files.collect();
    let rename = |(key, value): (String, Value)| {
        let is_vault = |id: &str| key.starts_with("vault.hashicorp.com/agent-inject-") && key.ends_with(id);
        let renamed = ids.iter().find(|(id, _)| is_vault(id)).map(|(id, number)| key.replace(id, number));
        (renamed.unwrap_or(key), value)
    };
    *annotations = std::mem::take(annotations).into_iter().map(rename).collect();
}

fn request(case: &Value, annotation: &Value) -> Result<()> {
    let annotation = annotation.as_str().context("an annotation is a string")?;
    let mut expected = without_empty(&case["request"]);
    // Lines with `encoded` have names.
    for (name, number) in [("ENV_VAR", 1), ("FILE", 2)] {
        if expected["mount_requirement"] == name {
            expected["mount_requirement"] = json!(number);
        }
    }
    let found = requests::read([("flyte.secrets/s0", annotation)], UnknownFields::Reject);
    let fields = |SecretRequest { group, group_version, key, mount_requirement, env_var }: &SecretRequest| {
        let texts = [("group", group), ("group_version", group_version), ("key", key), ("env_var", env_var)];
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name, json!(text)));
        let number = Some(mount_requirement.number()).filter(|number| *number != 0);
        texts.chain(number.map(|number| ("mount_requirement", json!(number)))).collect()
    };
    let found = found.map(|found| found.requests.first().map(|it| fields(&it.request)).unwrap_or_default());
    decide(case, &expected, found)
}

fn name(case: &Value) -> Result<()> {
    let input: Vec<&str> = case["in"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let found = match (case["codec"].as_str().unwrap_or_default(), input.as_slice()) {
        ("flyte-name", [organization, domain, project, key]) => {
            Ok(json!(flyte::encode(Scope { organization, domain, project }, key)))
        }
        ("flyte-name-decode", [name]) => {
            flyte::decode(name).map(|it| json!([it.organization, it.domain, it.project, it.key]))
        }
        ("azure-name", [name]) => flyte::decode(name).and_then(|it| Ok(json!(azure::encode(it.scope(), &it.key)?))),
        ("azure-name-decode", [name]) => azure::decode(name).map(|it| json!(flyte::encode(it.scope(), &it.key))),
        ("kubernetes-name", [name]) => Ok(json!(kubernetes::secret_name(name))),
        ("image-pull-name", [organization, domain, project, key]) => {
            Ok(json!(kubernetes::image_pull_name(Scope { organization, domain, project }, key)))
        }
        (codec, _) => bail!("no codec {codec} of {} names", input.len()),
    };
    decide(case, &case["out"], found)
}

fn azure_text(case: &Value) -> Result<()> {
    let found = unpack_azure(case["value"].as_str().context("a value is a string")?, false);
    let binary = STANDARD.decode(case["binaryValue"].as_str().unwrap_or_default())?;
    let text = case["stringValue"].as_str().unwrap_or_default().as_bytes();
    decide(case, &json!(if binary.is_empty() { text } else { &binary }), found.map(|bytes| json!(bytes)))
}
