//! All requests are injected as documented for their manager, or the pod is rejected.
//!
//! The expectations are from the tables in `docs/src/pods.md`, independent of the code.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::names::Scope;
use flyte_secrets_policy::names::kubernetes::secret_name;
use flyte_secrets_policy::secret_request::{MountRequirement, SecretRequest};
use flyte_secrets_testing::generate;
use flyte_secrets_testing::generate::Case;
use flyte_secrets_testing::generate::stores::{CANARY, scope};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Answer, cases, clean, list, value};

const DIR: &str = "/etc/flyte/secrets";

/// What the task is to find, in each of its containers.
enum Promise<'a> {
    /// A variable with this value, or any value of the store's.
    Value(String, Option<String>),
    /// A variable from a key of a Secret.
    Reference(String, Value),
    /// A volume of a Secret, with this item, mounted here.
    Secret(String, Value, String),
    /// An init-container of which this holds, and which writes to a volume in memory that is mounted at [`DIR`].
    Pulled(Box<dyn Fn(&Value) -> bool + 'a>),
    /// Annotations for Vault's agent.
    Agent,
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// The container's last variable of a name.
fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a Value> {
    list(&container["env"]).iter().rev().find(|it| it["name"] == name)
}

/// Its value as the process gets it: Kubernetes reads two dollars as one.
fn literal(container: &Value, name: &str) -> Option<String> {
    variable(container, name).map(|it| text(it, "value").replace("$$", "$"))
}

/// What the store holds for a key, in the first scope that has it; none for Azure, which has other names.
fn stored(case: &Case, key: &str) -> Option<Vec<u8>> {
    let config = &case.settings["embeddedSecretManagerConfig"];
    if config["azureConfig"].is_object() {
        return None;
    }
    let home = config["k8sConfig"]["namespace"].as_str().unwrap_or("flyte");
    // Canonical names are at 0, documented ones at 1.
    let chosen: Vec<usize> = list(&config["nameSchemes"])
        .iter()
        .map(|name| usize::from(!name.as_str().is_some_and(|name| name.eq_ignore_ascii_case("canonical"))))
        .collect();
    let schemes = if chosen.is_empty() { vec![0, 1] } else { chosen };
    let Scope { organization: o, domain: d, project: p } = scope(&case.pod);
    let project = format!("u__org__{o}__domain__{d}__project__{p}__key__{key}");
    let domain = format!("u__org__{o}__domain__{d}__project____key__{key}");
    let organization = format!("u__org__{o}__domain____project____key__{key}");
    let scopes = [
        [project.clone(), project],
        [domain, format!("u__org__{o}__domain__{d}__key__{key}")],
        [organization, format!("u__org__{o}__key__{key}")],
    ];
    let mut names = scopes.iter().flat_map(|names| schemes.iter().map(move |scheme| &names[*scheme]));
    let encoded = names.find_map(|name| case.store["K8s"][home][secret_name(name)][name].as_str())?;
    STANDARD.decode(encoded).ok()
}

/// What `request` is promised by `manager`.
fn promises<'a>(manager: &str, request: &'a SecretRequest, case: &Case) -> Vec<Promise<'a>> {
    let SecretRequest { group, group_version, key, mount_requirement, env_var } = request;
    let group = if manager == "K8s" && group.is_empty() { secret_name(key) } else { group.clone() };
    let prefix = case.settings["secretEnvVarPrefix"].as_str().unwrap_or("_UNION_");
    let value = |name: &str, value: &str| Promise::Value(name.to_owned(), Some(value.to_owned()));
    let expected = stored(case, key);
    if *mount_requirement == MountRequirement::EnvVar
        || manager == "Embedded" && *mount_requirement != MountRequirement::File
    {
        let found: Vec<Promise> = if manager == "K8s" {
            let optional = case.settings["k8sSecretManager"]["optional"] != false;
            let reference = json!({ "name": group, "key": key, "optional": optional });
            let derived = format!("{prefix}{group}_{key}").to_ascii_uppercase();
            let names = [derived, env_var.clone()].into_iter().filter(|name| !name.is_empty());
            names.map(|name| Promise::Reference(name, reference.clone())).collect()
        } else {
            let derived = format!("{prefix}{}", key.to_ascii_uppercase());
            let name = if env_var.is_empty() { derived } else { env_var.clone() };
            vec![Promise::Value(name, expected.and_then(|bytes| String::from_utf8(bytes).ok()))]
        };
        return found.into_iter().chain([value("FLYTE_SECRETS_ENV_PREFIX", prefix)]).collect();
    }
    let lower = |parts: &[&str]| parts.join("/").to_ascii_lowercase();
    let (path, promise) = match manager {
        "K8s" => {
            let folder = format!("{DIR}/{group}");
            let item = json!({ "key": key, "path": key.to_ascii_lowercase() });
            (lower(&[&folder, key]), Promise::Secret(group, item, folder))
        }
        "Vault" => (format!("{DIR}/{}/{key}", group.trim_matches('/')), Promise::Agent),
        "AWS" => {
            let arn = format!("{}:{}", group.trim_end_matches(':'), key.trim_start_matches(':'));
            let file = lower(&["", &group, key]);
            let path = format!("{DIR}{file}");
            let pulls = move |container: &Value| {
                literal(container, "SECRET_ARN").as_ref() == Some(&arn)
                    && literal(container, "SECRET_FILENAME").as_ref() == Some(&file)
            };
            (path, Promise::Pulled(Box::new(pulls)))
        }
        "GCP" => {
            let path = lower(&[DIR, &group, group_version]);
            let arguments = [json!(group), json!(group_version), json!(path)];
            let pulls = move |container: &Value| list(&container["command"]).ends_with(&arguments);
            (path, Promise::Pulled(Box::new(pulls)))
        }
        "Azure" => {
            let path = azure_path(request);
            let last = json!(path);
            let pulls = move |container: &Value| list(&container["command"]).last() == Some(&last);
            (path, Promise::Pulled(Box::new(pulls)))
        }
        _ => {
            let pulls = move |container: &Value| {
                let lines = variable(container, "SECRETS").map(|it| text(it, "value")).unwrap_or_default();
                let line = lines.lines().find_map(|line| line.strip_prefix(&format!("{key}=")));
                let value = line.and_then(|value| STANDARD.decode(value).ok());
                value.is_some_and(|value| {
                    expected.as_ref().is_none_or(|it| *it == value) && value.starts_with(CANARY.as_bytes())
                })
            };
            (format!("{DIR}/{key}"), Promise::Pulled(Box::new(pulls)))
        }
    };
    let mut promises = vec![promise, value("FLYTE_SECRETS_DEFAULT_DIR", DIR), value("FLYTE_SECRETS_FILE_PREFIX", "")];
    if !env_var.is_empty() {
        promises.push(value(env_var, &path));
    }
    promises
}

/// The file that a request to Azure means, from its URI and its version.
fn azure_path(request: &SecretRequest) -> String {
    let mut segments = request.group.trim_end_matches('/').split('/').skip(4);
    let name = segments.next().unwrap_or_default();
    let version = segments.next().unwrap_or(&request.group_version);
    [DIR, name, version].join("/").trim_end_matches('/').to_ascii_lowercase()
}

/// The first promise that a pod does not keep, in words.
fn broken(request: &SecretRequest, promises: &[Promise], before: &Value, pod: &Value) -> Option<String> {
    let theirs = list(&before["spec"]["initContainers"]).len();
    let all = list(&pod["spec"]["initContainers"]);
    let (ours, users) = all.split_at(all.len() - theirs);
    let volumes = list(&pod["spec"]["volumes"]);
    let at = |container: &Value, path: &str| {
        let mount = list(&container["volumeMounts"]).iter().find(|it| clean(text(it, "mountPath")) == path);
        mount.and_then(|mount| volumes.iter().find(|volume| volume["name"] == mount["name"])).cloned()
    };
    for task in list(&pod["spec"]["containers"]).iter().chain(users) {
        for promise in promises {
            let (kept, what) = match promise {
                Promise::Value(name, Some(expected)) => {
                    (literal(task, name).as_ref() == Some(expected), format!("{name} is {expected:?}"))
                }
                Promise::Value(name, None) => {
                    (literal(task, name).is_some_and(|it| it.starts_with(CANARY)), format!("{name} is a value"))
                }
                Promise::Reference(name, expected) => {
                    let found = variable(task, name).map(|it| &it["valueFrom"]["secretKeyRef"]);
                    (found == Some(expected), format!("{name} is {expected}"))
                }
                Promise::Secret(name, item, path) => {
                    let is_item = |it: &Value| it["key"] == item["key"] && it["path"] == item["path"];
                    let holds = |volume: Value| {
                        volume["secret"]["secretName"] == *name && list(&volume["secret"]["items"]).iter().any(is_item)
                    };
                    (at(task, path).is_some_and(holds), format!("{path} is a volume with {item}"))
                }
                Promise::Pulled(pulls) => {
                    let mounted = at(task, DIR).filter(|volume| volume["emptyDir"]["medium"] == "Memory");
                    let is_ours = |it: &&Value| pulls(it) && [at(it, "/tmp"), at(it, DIR)].contains(&mounted);
                    (mounted.is_some() && ours.iter().any(|it| is_ours(&it)), "an init-container pulls it".to_owned())
                }
                Promise::Agent => {
                    let is_ours = |(key, value): (&String, &Value)| {
                        key.starts_with("vault.hashicorp.com/agent-inject-secret-") && *value == request.group
                    };
                    let annotations = pod["metadata"]["annotations"].as_object();
                    (annotations.into_iter().flatten().any(is_ours), "the agent injects it".to_owned())
                }
            };
            if !kept {
                return Some(format!("not true in {}: {what}", task["name"]));
            }
        }
    }
    None
}

/// Which manager took which request, as the audit annotation says.
fn taken(case: &Case, audit: &str) -> Vec<(String, SecretRequest)> {
    let mut seen: Vec<&SecretRequest> = Vec::new();
    let mut rest = audit;
    let mut taken = Vec::new();
    for (annotation, request) in &case.requests {
        if seen.contains(&request) {
            continue;
        }
        seen.push(request);
        let start = format!("{annotation}: ");
        let at = rest.find(&start).unwrap_or_else(|| panic!("{annotation} is not in {audit:?}"));
        rest = &rest[at + start.len()..];
        taken.push((rest.split(' ').next().unwrap_or_default().to_owned(), request.clone()));
    }
    taken
}

proptest! {
    #![proptest_config(cases(4000))]

    #[test]
    fn all_requests_are_injected_or_the_pod_is_refused(mut case in generate::case()) {
        // What a reference leads to is the node's to read: `make e2e-node` shows it.
        case.settings["embeddedSecretManagerConfig"]["delivery"] = json!("Value");
        let answer = Answer::to(&case);
        let labelled = case.pod["metadata"]["labels"]["inject-flyte-secrets"] == "true";
        match &answer.pod {
            Some(after) => {
                prop_assert!(answer.accepted() && labelled);
                let after = value(after);
                let audit = answer.rest["audit_annotations"]["secrets"].as_str().unwrap_or_default();
                for (manager, request) in taken(&case, audit) {
                    let promises = promises(&manager, &request, &case);
                    let broken = broken(&request, &promises, &case.pod, &after);
                    prop_assert_eq!(broken, None, "{} for {:?}", manager, request);
                }
            }
            None if answer.accepted() => {
                prop_assert!(!labelled);
                let warnings = answer.rest["warnings"].to_string();
                prop_assert!(warnings.contains("pod has secret requests but gets no secrets"), "{warnings}");
            }
            None => {
                prop_assert!([400, 403, 503].contains(&answer.code()), "{}", answer.rest);
                let named = case.requests.iter().any(|(annotation, _)| answer.message().contains(annotation));
                let in_the_way = answer.message().contains(": secrets cannot be injected: ");
                prop_assert!(named || in_the_way, "{}", answer.rest);
            }
        }
    }
}

/// Pods that are refused at once show little.
#[test]
fn many_cases_change_the_pod_and_each_manager_takes_some() {
    let mut taken_by = std::collections::BTreeMap::<String, usize>::new();
    for case in generate::draw(generate::case(), 1).take(1000) {
        let answer = Answer::to(&case);
        if answer.pod.is_some() {
            let audit = answer.rest["audit_annotations"]["secrets"].as_str().unwrap_or_default();
            for (manager, _) in taken(&case, audit) {
                *taken_by.entry(manager).or_default() += 1;
            }
            *taken_by.entry("any".to_owned()).or_default() += 1;
        }
    }
    for (manager, least) in
        [("any", 250), ("K8s", 50), ("AWS", 50), ("GCP", 20), ("Azure", 3), ("Vault", 50), ("Embedded", 50)]
    {
        assert!(taken_by.get(manager) >= Some(&least), "{manager}: {taken_by:?}");
    }
}
