//! Attacks by the author of a pod, with the whole answer to each.
//!
//! The rows are from vulnerabilities of similar projects: injectors, operators, drivers and policies that inject
//! secrets. Each names its source. SECURITY.md also names the tests in other modules.
//!
//! Mutating webhooks run before the API server validates, so any field of a pod can be malformed.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::names::kubernetes::secret_name;
use flyte_secrets_policy::settings::images;
use flyte_secrets_testing::engine::creation;
use flyte_secrets_testing::host::{Capabilities, Store};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::codes::{not_injected, rejected};
use crate::embedded::{NAMES, embedded, injected, location, with_variable};
use crate::rejections::{ARN, FILE_NAME, GCP_SECRET, GCP_VERSION, GROUP, KEY, VARIABLE, VAULT_PATH, VAULT_URI};
use crate::support::{
    annotation, create_with, kubernetes_store, managers, mutated, pod, policy, project_name, restricted, with,
};

/// An attempt, with its expected outcome.
struct Attempt {
    request: Value,
    settings: Value,
    answer: Value,
    /// Expected host calls, as `<kind> <name>`.
    asked: Vec<String>,
}

impl Attempt {
    /// A pod that is created, without a question to the host.
    fn new(pod: &Value, settings: &Value, answer: Value) -> Self {
        Self { request: creation(pod), settings: settings.clone(), answer, asked: Vec::new() }
    }

    fn asking(self, asked: impl IntoIterator<Item = String>) -> Self {
        Self { asked: asked.into_iter().collect(), ..self }
    }
}

/// A pod with one request, which no manager injects.
fn refused(manager: &str, request: &str, secret: &str, reason: &str) -> Attempt {
    Attempt::new(&pod(&[request]), &managers(&[manager]), not_injected(400, secret, &format!("{manager}: {reason}")))
}

/// A pod that gets what it asks for.
fn served(settings: &Value, audit: &str, before: Value, after: Value) -> Attempt {
    Attempt::new(&before, settings, injected(&format!("flyte.secrets/s0: {audit}"), after))
}

/// Makes the attempts. The store holds what is there to be had: the key `k` of this project and of another one.
fn check(attempts: impl IntoIterator<Item = Attempt>) {
    let contents: Map<String, Value> = ["flytesnacks", "payroll"]
        .map(|project| (project_name("k").replace("flytesnacks", project), project))
        .map(|(name, project)| (secret_name(&name), json!({ name: STANDARD.encode(project) })))
        .into_iter()
        .collect();
    for Attempt { request, settings, answer, asked } in attempts {
        let store = Store::new(json!({ "K8s": { "flyte": contents } }));
        let host: Arc<dyn Capabilities> = Arc::clone(&store) as Arc<dyn Capabilities>;
        let found = policy().validate(&request, &settings, &host).expect("the policy answers");
        assert_eq!(found.0, answer, "{request:#}");
        let names: Vec<String> =
            store.looked_up().iter().map(|asked| format!("{} {}", asked.kind, asked.name)).collect();
        assert_eq!(names, asked, "{request:#}");
        check_texts(&found.0);
        // The host makes a patch of the pod, in which names with `/` and `~` are steps of a path (RFC 6901).
        let mut patched = request["object"].clone();
        json_patch::patch(&mut patched, &found.patch(&request["object"])).expect("the patch applies");
        assert_eq!(Some(&patched), found.mutated().or(Some(&request["object"])));
    }
}

/// Checks that texts for people are one line without anything that a terminal or a log would take for something else.
fn check_texts(answer: &Value) {
    check_line(answer["message"].as_str().unwrap_or_default());
    answer["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str).for_each(check_line);
    check_line(answer["audit_annotations"]["secrets"].as_str().unwrap_or_default());
}

/// Neither control characters nor those that change the direction of a text, its lines, or nothing that is seen.
fn check_line(line: &str) {
    let hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    let bad: Vec<char> = line.chars().filter(|c| c.is_control() || hidden(*c) || *c == '\u{feff}').collect();
    assert_eq!(bad, Vec::<char>::new(), "{line:?}");
}

/// Every name under which a key is looked up for [`pod`].
fn names(key: &str) -> [String; 5] {
    NAMES.map(|name| [name.trim_end_matches('k'), key].concat())
}

/// A key that Embedded looks up in Kubernetes Secrets, and does not find: whatever it holds, the host sees hashes.
fn not_found(key: &str) -> Attempt {
    let names = names(key);
    let looked_up = names.each_ref().map(|name| location(name)).join(", ");
    let reason = format!("Embedded: not found; looked up {looked_up}; store it under one of these names");
    let answer = not_injected(400, &format!("{key:?}"), &reason);
    let request = format!("key:'{key}' env_var:'A'");
    Attempt::new(&pod(&[&request]), &json!({}), answer)
        .asking(names.map(|name| format!("Secret {}", secret_name(&name))))
}

fn aws() -> Value {
    embedded(json!({ "awsConfig": { "region": "eu-west-1" } }))
}

/// Names in URLs: CVE-2020-8567 and CVE-2020-8568 (Secrets Store CSI Driver: paths out of place by `..`),
/// CVE-2026-22039 (Kyverno: a policy's own rights, by a path that the pod's author chooses).
#[test]
fn names_in_urls() {
    let problem = "is not a valid secret name in this store; use a key of letters, digits, '.', '_' and '-'";
    // As text format, and as it is meant: dots, slashes and backslashes in all their spellings, queries, users, ports,
    // and characters that some normalization turns into ASCII.
    let table = [
        ("../../x", "../../x"),
        ("a/b", "a/b"),
        ("a?b", "a?b"),
        ("a#b", "a#b"),
        ("a b", "a b"),
        ("é", "é"),
        ("%2e%2e%2fkube-system", "%2e%2e%2fkube-system"),
        ("..%2f..%2fsecrets", "..%2f..%2fsecrets"),
        ("..\\\\..\\\\x", "..\\..\\x"),
        ("k;v=1", "k;v=1"),
        ("k@10.0.0.1", "k@10.0.0.1"),
        ("k?watch=true&limit=1", "k?watch=true&limit=1"),
        ("k ", "k "),
        ("\\uff0e\\uff0e\\uff0fk", "．．／k"),
        ("a\\u2215b", "a∕b"),
        ("k\\u00a0", "k\u{a0}"),
        ("k\\u202e", "k\u{202e}"),
        ("\u{2066}a\u{2069}\u{200b}", "\u{2066}a\u{2069}\u{200b}"),
        ("a\u{2028}b", "a\u{2028}b"),
    ];
    // A region in front, and a Secret's key.
    for (settings, place) in [(aws(), "eu-west-1:"), (json!({}), "")] {
        check(table.map(|(written, key)| {
            let reason = format!("Embedded: {:?} {problem}", [place, &project_name(key)].concat());
            let asking = pod(&[&format!("key:'{written}' env_var:'A'")]);
            Attempt::new(&asking, &settings, not_injected(400, &format!("{key:?}"), &reason))
        }));
    }
    // A colon leads to no other region or version.
    check(["x:us-east-1", "us-east-1:k", "k::AWSPREVIOUS"].map(|key| {
        let reason = format!("Embedded: {key:?} {problem}");
        let asking = pod(&[&format!("key:'{key}' env_var:'A'")]);
        Attempt::new(&asking, &aws(), not_injected(400, &format!("{key:?}"), &reason))
    }));
    // Dots behind other characters are no step.
    check([".."].map(|key| {
        let looked_up = names(key).map(|name| format!("{name} (AWSSecret in eu-west-1)")).join(", ");
        let reason = format!("Embedded: not found; looked up {looked_up}; store it under one of these names");
        let asking = pod(&[&format!("key:'{key}' env_var:'A'")]);
        let asked = names(key).map(|name| format!("AWSSecret eu-west-1:{name}"));
        Attempt::new(&asking, &aws(), not_injected(400, &format!("{key:?}"), &reason)).asking(asked)
    }));
    // The namespace travels too, when an image-pull twin is looked for.
    let pulling = embedded(json!({ "imagePullSecrets": { "enabled": true } }));
    check(["..", "a/../kube-system", "a?b", "a\nb"].map(|namespace| {
        let problem = format!("Embedded: {namespace:?} {problem}");
        let mut attempt = Attempt::new(&pod(&["key:'k'"]), &pulling, not_injected(400, "\"k\"", &problem));
        attempt.request = with(attempt.request, "/namespace", json!(namespace));
        attempt.asking([format!("Secret {}", secret_name(&project_name("k")))])
    }));
}

/// Another project's secret, and a pod of `flytesnacks` in its own namespace, whatever else it says of itself.
///
/// From GHSA-77v3-r3jw-j2v2, GHSA-fcxq-v2r3-cc8h and CVE-2026-42875 (External Secrets Operator: other namespaces by a
/// template's function, by label selectors, by a reference), bank-vaults/bank-vaults#542 and #929 (the webhook's
/// rights in place of the pod's), CVE-2023-2728 and CVE-2024-3177 (Kubernetes: fields that a check of Secrets
/// forgot).
#[test]
fn other_tenants() {
    let tenancy = json!({ "tenancy": { "namespaceTemplate": "{{ project }}-{{ domain }}" } });
    let accounts = json!({ "tenancy": { "serviceAccounts": ["trainer", "elsewhere/default"] } });
    let asking = pod(&["key:'k'"]);
    let theirs = with(asking.clone(), "/metadata/labels/project", json!("payroll"));
    let forbidden = |found: &str, wanted: &str| {
        let reason = format!(
            "Embedded: namespace {found:?} does not match the pod's labels, which require namespace {wanted:?}; \
             correct the labels, or run the task in that namespace"
        );
        not_injected(403, "\"k\"", &reason)
    };
    let account = |found: &str| {
        let reason = format!(
            "Embedded: service account {found:?} is not in tenancy.serviceAccounts; use another service account, or \
             ask the operator to add it"
        );
        not_injected(403, "\"k\"", &reason)
    };
    let here = "flytesnacks-development";
    // Labels of another project, and all that might make them count: no name yet, a trial, what the pod says of its
    // namespace, other owners, an older pod, other annotations.
    let edits: Vec<Vec<(&str, Value)>> = vec![
        vec![],
        vec![("/object/metadata/name", Value::Null), ("/object/metadata/generateName", json!("payroll-development-"))],
        vec![("/name", json!("")), ("/object/metadata/name", json!("payroll-development"))],
        vec![("/dryRun", json!(true)), ("/options/dryRun", json!(["All"]))],
        vec![("/object/metadata/namespace", json!("payroll-development"))],
        vec![("/object/metadata/namespace", Value::Null)],
        vec![("/userInfo", json!({ "username": "system:admin", "groups": ["system:masters"] }))],
        vec![("/oldObject", asking.clone())],
        vec![("/requestNamespace", json!("payroll-development")), ("/object/namespace", json!("payroll-development"))],
        vec![("/object/metadata/ownerReferences", json!([{ "kind": "Namespace", "name": "payroll-development" }]))],
        vec![("/object/metadata/annotations/namespace", json!("payroll-development"))],
        vec![("/settings", json!({})), ("/request", json!({ "namespace": "payroll-development" }))],
    ];
    check(edits.into_iter().map(|edits| {
        let mut attempt = Attempt::new(&theirs, &tenancy, forbidden(here, "payroll-development"));
        attempt.request = edits.into_iter().fold(attempt.request, |request, (path, to)| with(request, path, to));
        attempt
    }));
    // No namespace is nobody's, and names are compared as they are: no case, no blanks, no marks that are not seen.
    let nowhere = [
        json!(null),
        json!(""),
        json!("Payroll-development"),
        json!("payroll-development "),
        json!("payroll-development\u{200b}"),
    ];
    check(nowhere.map(|namespace| {
        let found = namespace.as_str().unwrap_or_default();
        let mut attempt = Attempt::new(&theirs, &tenancy, forbidden(found, "payroll-development"));
        attempt.request = with(attempt.request, "/namespace", namespace.clone());
        attempt
    }));
    let cased = with(asking.clone(), "/metadata/labels/project", json!("Flytesnacks"));
    check([Attempt::new(&cased, &tenancy, forbidden(here, "Flytesnacks-development"))]);
    // A change is not a creation: what an update asks for is not looked at.
    let update = [("/operation", json!("UPDATE")), ("/oldObject", asking.clone())];
    let update = update.into_iter().fold(creation(&theirs), |request, (path, to)| with(request, path, to));
    check([Attempt { request: update, settings: tenancy.clone(), answer: json!({ "accepted": true }), asked: vec![] }]);
    // What only looks like the labels leaves the pod with the secrets of its own project.
    let own = |asking: Value| {
        let out = with_variable(asking.clone(), "flytesnacks");
        let found = served(&tenancy, &format!("Embedded {}", location(&project_name("k"))), asking, out);
        found.asking([format!("Secret {}", secret_name(&project_name("k")))])
    };
    let edits = [
        ("/metadata/annotations/project", json!("payroll")),
        ("/metadata/labels/Project", json!("payroll")),
        ("/metadata/labels/project ", json!("payroll")),
        ("/metadata/labels/flyte.org~1project", json!("payroll")),
        ("/labels", json!({ "project": "payroll" })),
        ("/spec/labels", json!({ "project": "payroll" })),
        ("/spec/nodeSelector", json!({ "project": "payroll" })),
    ];
    check(edits.map(|(path, to)| own(with(asking.clone(), path, to))));
    let group = "u__org__acme__domain__development__project__payroll__key__k";
    let mut other = own(pod(&[&format!("key:'k' group:'{group}'")]));
    other.answer["warnings"] = json!([format!("secret \"{group}/k\": Embedded ignores group")]);
    check([other]);
    // A service account by its former name is none: the API server keeps both names alike.
    let edits = [
        ("/spec/serviceAccount", json!("trainer"), "default"),
        ("/spec/securityContext", json!({ "serviceAccountName": "trainer" }), "default"),
        ("/spec/serviceAccountName", json!("Trainer"), "Trainer"),
        ("/spec/serviceAccountName", json!("trainer\n"), "trainer\n"),
        ("/spec/serviceAccountName", json!("../trainer"), "../trainer"),
        ("/spec/serviceAccountName", json!("elsewhere/default"), "elsewhere/default"),
    ];
    check(edits.map(|(path, to, found)| Attempt::new(&with(asking.clone(), path, to), &accounts, account(found))));
}

/// A key that reads like another tenant's name stays behind its own project. What labels may hold is in `rejections.rs`.
#[test]
fn names_of_other_tenants() {
    check(
        ["__project__payroll__key__k", "_", "k__key__k", "u__org__acme__domain__development__project__payroll__key__k"]
            .map(not_found),
    );
}

/// What a process is started with: CVE-2014-6271 (variables that are commands), CVE-2023-5044 (commands by
/// annotations). Their arguments are in `rejections.rs`; `make e2e` runs the scripts in real shells.
#[test]
fn shells_and_processes() {
    let settings = managers(&["AWS"]);
    let wanted = "$$(AWS_SECRET_ACCESS_KEY)`id`;x$$$y";
    let asking = pod(&["group:'arn:$(AWS_SECRET_ACCESS_KEY)`id`;x$$y' key:'k'"]);
    let arn = format!("arn:{wanted}:k");
    let file = "/arn:$$(aws_secret_access_key)`id`;x$$$y/k";
    let resources = json!({ "cpu": "200m", "memory": "500Mi" });
    let container = json!({
        "name": "aws-pull-secret-0",
        "image": images::AWS,
        "env": [{ "name": "SECRET_ARN", "value": arn }, { "name": "SECRET_FILENAME", "value": file }],
        "resources": { "limits": resources, "requests": resources },
        "securityContext": restricted(),
        "volumeMounts": [{ "name": "aws-secret-vol", "mountPath": "/tmp" }],
    });
    let audit = "AWS arn:$(AWS_SECRET_ACCESS_KEY)`id`%3Bx$$y:k";
    check([served(&settings, audit, asking.clone(), with_file(asking, "aws-secret-vol", &container, &[]))]);

    // Variables that shells and loaders act on must be allowed, and are never our init-container's.
    let resources = json!({ "cpu": "100m", "memory": "100Mi" });
    for variable in ["PATH", "LD_PRELOAD", "BASH_ENV", "ENV", "IFS", "PS4", "BASH_FUNC_printf%%"] {
        let asking = pod(&[&format!("key:'k' mount_requirement:FILE env_var:'{variable}'")]);
        let script = "printf '%s' \"$SECRETS\" | while IFS= read -r line; do\n\
                      printf '%s' \"${line#*=}\" | base64 -d | cat > \"/etc/flyte/secrets/${line%%=*}\"\n\
                      done";
        let container = json!({
            "name": "init-embedded-secret",
            "image": images::BUSYBOX,
            "command": ["sh", "-ec", script],
            "env": [{ "name": "SECRETS", "value": format!("k={}\n", STANDARD.encode("flytesnacks")) }],
            "resources": { "limits": resources, "requests": resources },
            "securityContext": restricted(),
            "volumeMounts": [{ "name": "embedded-secret-vol", "mountPath": "/etc/flyte/secrets" }],
        });
        let path = [(variable, "/etc/flyte/secrets/k")];
        let out = with_file(asking.clone(), "embedded-secret-vol", &container, &path);
        let allowed = json!({ "allowedEnvVars": [variable] });
        let attempt = served(&allowed, &format!("Embedded {}", location(&project_name("k"))), asking, out);
        check([attempt.asking([format!("Secret {}", secret_name(&project_name("k")))])]);
    }
}

/// A pod whose init-container `container` of ours writes a file into `volume`; `paths` are variables that lead to it.
fn with_file(pod: Value, volume: &str, container: &Value, paths: &[(&str, &str)]) -> Value {
    let pod = with(pod, "/spec/containers/0/env", file_variables(paths));
    let mounts = json!([{ "name": volume, "readOnly": true, "mountPath": "/etc/flyte/secrets" }]);
    let pod = with(pod, "/spec/containers/0/volumeMounts", mounts);
    let pod = with(pod, "/spec/initContainers", json!([container]));
    with(pod, "/spec/volumes", json!([{ "name": volume, "emptyDir": { "medium": "Memory", "sizeLimit": "64Mi" } }]))
}

fn file_variables(paths: &[(&str, &str)]) -> Value {
    let paths = paths.iter().map(|(name, path)| json!({ "name": name, "value": path }));
    let folder = json!({ "name": "FLYTE_SECRETS_DEFAULT_DIR", "value": "/etc/flyte/secrets" });
    paths.chain([json!({ "name": "FLYTE_SECRETS_FILE_PREFIX" }), folder]).collect()
}

/// A pod with one secret from Vault, as the manager leaves it. `template` is without its frame.
fn with_vault(pod: Value, fields: [&str; 3], template: &str, paths: &[(&str, &str)]) -> Value {
    let [group, version, key] = fields;
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"https://github.com/hashicorp/vault-k8s");
    let variable = paths.first().map(|(name, _)| *name).unwrap_or_default();
    let id = Uuid::new_v5(&namespace, [group, version, key, "0", variable].join("\0").as_bytes());
    let mut pod = with(pod, "/spec/containers/0/env", file_variables(paths));
    let annotations = [
        (format!("agent-inject-secret-{id}"), group.to_owned()),
        (format!("agent-inject-file-{id}"), format!("{group}/{key}")),
        (format!("agent-inject-template-{id}"), format!("{{{{- with secret {template} }}}}{{{{- end -}}}}")),
        ("agent-inject".to_owned(), "true".to_owned()),
        ("secret-volume-path".to_owned(), "/etc/flyte/secrets".to_owned()),
        ("role".to_owned(), "flyte".to_owned()),
        ("agent-pre-populate-only".to_owned(), "true".to_owned()),
    ];
    let there = pod["metadata"]["annotations"].as_object_mut().expect("the request's annotation");
    for (name, value) in annotations {
        there.entry(format!("vault.hashicorp.com/{name}")).or_insert(json!(value));
    }
    pod
}

/// Templates and annotations: CVE-2021-25742, CVE-2021-25746 and CVE-2024-7646 (ingress-nginx: configuration by
/// annotations, once past a check by a carriage return), CVE-2026-34984 (External Secrets Operator: functions in
/// templates), hashicorp/vault-k8s (the path goes into its own template as it is).
#[test]
fn templates_and_annotations() {
    let settings = managers(&["Vault"]);
    let template = |group: &str, key: &str, written: &str, template: &str| {
        let asking = pod(&[written]);
        let out = with_vault(asking.clone(), [group, "", key], template, &[]);
        served(&settings, &format!("Vault {group}/{key}"), asking, out)
    };
    check([
        template(
            "kv/a\" -}}{{ env \"VAULT_TOKEN\" }}{{- with secret \"kv/b",
            "k",
            "group:'kv/a\" -}}{{ env \"VAULT_TOKEN\" }}{{- with secret \"kv/b' key:'k'",
            r#""kv/a\" -}}{{ env \"VAULT_TOKEN\" }}{{- with secret \"kv/b" -}}{{ .Data.data.k"#,
        ),
        template(
            "kv/a",
            "k }}{{ file \"~/.vault-token\" }}{{ .x",
            "group:'kv/a' key:'k }}{{ file \"~/.vault-token\" }}{{ .x'",
            r#""kv/a" -}}{{ index .Data.data "k }}{{ file \"~/.vault-token\" }}{{ .x""#,
        ),
        template("kv/a", "k|plugin", "group:'kv/a' key:'k|plugin'", r#""kv/a" -}}{{ index .Data.data "k|plugin""#),
        template("kv/a", "\"", "group:'kv/a' key:'\"'", r#""kv/a" -}}{{ index .Data.data "\"""#),
        template("kv/a\\", "\\\"", r#"group:"kv/a\\" key:"\\\"""#, r#""kv/a\\" -}}{{ index .Data.data "\\\"""#),
        template("`", "`", "group:'`' key:'`'", "\"`\" -}}{{ index .Data.data \"`\""),
        template("kv/%s%d", "%v", "group:'kv/%s%d' key:'%v'", r#""kv/%s%d" -}}{{ index .Data.data "%v""#),
        template("kv/a*/}}", "k", "group:'kv/a*/}}' key:'k'", r#""kv/a*/}}" -}}{{ .Data.data.k"#),
    ]);
    let bad = |group: &str, key: &str, meant: &str| {
        let request = format!("group:'{group}' key:'{key}'");
        refused("Vault", &request, &format!("{meant:?}"), &format!("group/key {meant:?} {VAULT_PATH}"))
    };
    check([
        bad("kv/a\\r", "k", "kv/a\r/k"),
        bad("kv", "k\\x00", "kv/k\0"),
        bad("kv\\u0085", "k", "kv\u{85}/k"),
        bad("kv\\x7f", "k", "kv\x7f/k"),
        bad("kv/..", "k", "kv/../k"),
        bad("kv/./a", "k", "kv/./a/k"),
        bad("kv/\u{202e}gnp", "k", "kv/\u{202e}gnp/k"),
        bad("kv/\u{2028}", "k", "kv/\u{2028}/k"),
        bad("kv/a\u{200b}b", "k", "kv/a\u{200b}b/k"),
        bad("kv/\u{2066}a", "k", "kv/\u{2066}a/k"),
        bad("\u{feff}kv", "k", "\u{feff}kv/k"),
    ]);
    // An engine that is none stays out of the template, and its warning is a line.
    let version = "kv2 }}{{ env \"X\" }}\u{1b}[2J\n";
    let asking = pod(&[r#"group:"kv" key:"k" group_version:"kv2 }}{{ env \"X\" }}\x1b[2J\n""#]);
    let out = with_vault(asking.clone(), ["kv", version, "k"], "\"kv\" -}}{{ .Data.data.k", &[]);
    let mut attempt = served(&settings, "Vault kv/k", asking, out);
    let warning =
        format!("unknown group_version {version:?} of secret kv/k: using the default engine; expected kv1, kv2 or db");
    attempt.answer = with(attempt.answer, "/warnings", json!([warning]));
    check([attempt]);
    // The pod's own annotations stay, as they would without us, and bring nothing of ours with them.
    let own = json!({
        "flyte.secrets/s0": annotation("group:'kv' key:'k'"),
        "vault.hashicorp.com/agent-inject-command-x": "sh -c id",
        "vault.hashicorp.com/role": "admin",
        "vault.hashicorp.com/service": "https://vault.example.com",
    });
    let asking = with(pod(&[]), "/metadata/annotations", own);
    let template = "\"kv\" -}}{{ .Data.data.k";
    let out = with_vault(asking.clone(), ["kv", "", "k"], template, &[]);
    check([served(&settings, "Vault kv/k", asking.clone(), out.clone())]);
    // A locked role is the operator's.
    let locked = with(settings.clone(), "/vaultSecretManager/lockAnnotations", json!(true));
    let mut out = out;
    out["metadata"]["annotations"]["vault.hashicorp.com/role"] = json!("flyte");
    check([served(&locked, "Vault kv/k", asking, out)]);
}

/// Steps of a patch's path, and text that would end a string of JSON (RFC 6901, RFC 6902).
#[test]
fn patches() {
    let settings = managers(&["K8s"]);
    let source = json!({ "secretKeyRef": { "name": "db", "key": "k", "optional": true } });
    let variables = ["a/b", "a~1b~0", "/metadata/labels/project", "\",\"value\":\"x", "\\", "]}},{", "-"];
    check(variables.map(|variable| {
        let written = variable.replace('\\', "\\\\");
        let asking = pod(&[&format!("group:'db' key:'k' env_var:'{written}' mount_requirement:ENV_VAR")]);
        let asking = with(asking, "/metadata/annotations/a~1b", json!("~0/~1"));
        let env = json!([
            { "name": "FLYTE_SECRETS_ENV_PREFIX", "value": "_UNION_" },
            { "name": variable, "valueFrom": source },
            { "name": "_UNION_DB_K", "valueFrom": source },
        ]);
        let out = with(asking.clone(), "/spec/containers/0/env", env);
        served(&settings, "K8s db/k", asking, out)
    }));
    // Annotations are a map, whose keys are steps.
    let asking = with(pod(&["group:'kv' key:'k'"]), "/metadata/annotations/~1~0~01", json!("x"));
    let out = with_vault(asking.clone(), ["kv", "", "k"], "\"kv\" -}}{{ .Data.data.k", &[]);
    check([served(&managers(&["Vault"]), "Vault kv/k", asking, out)]);
}

/// Lines, and what terminals obey: CVE-2021-25743 (kubectl prints what it gets), CVE-2021-42574 (text that is not in
/// the order in which it is read), CVE-2021-44228 (names that loggers look up), knative/pkg#2581 (a warning with a
/// line break is dropped). JSON writes a control character as `\u001b`; whoever decodes it and prints it has it raw.
/// So messages spell it out before.
#[test]
fn lines_and_terminals() {
    let hostile = [
        ("\\x1b[2J\\x1b[H", "\u{1b}[2J\u{1b}[H"),
        ("\\x1b]0;title\\x07", "\u{1b}]0;title\u{7}"),
        ("\\u009b31m", "\u{9b}31m"),
        ("\\x08\\x08\\x7f", "\u{8}\u{8}\u{7f}"),
        ("a\\nEmbedded: injected", "a\nEmbedded: injected"),
        ("a\\r\\vb\\f", "a\r\u{b}b\u{c}"),
        ("a\\u0085b", "a\u{85}b"),
        ("a\\u2028b\\u2029", "a\u{2028}b\u{2029}"),
        ("\\u202egnp.x", "\u{202e}gnp.x"),
        ("\\u2066a\\u2069\\u200b", "\u{2066}a\u{2069}\u{200b}"),
        ("\\ufeff", "\u{feff}"),
        ("\\u0000", "\0"),
        ("${jndi:ldap://x/a}", "${jndi:ldap://x/a}"),
        ("%n%s%x", "%n%s%x"),
        ("<script>", "<script>"),
    ];
    for (written, meant) in hostile {
        check([
            refused("K8s", &format!("key:\"{written}\""), &format!("{meant:?}"), &format!("key {meant:?} {KEY}")),
            refused(
                "K8s",
                &format!("group:\"{written}\" key:'k'"),
                &format!("{:?}", format!("{meant}/k")),
                &format!("group {meant:?} {GROUP}"),
            ),
            refused(
                "GCP",
                &format!("group:'token' group_version:\"{written}\""),
                &format!("\"token\" version {meant:?}"),
                &format!("group_version {meant:?} {GCP_VERSION}"),
            ),
        ]);
        // Of a variable's name all of ASCII that is printed goes, and is quoted where it is named.
        if !meant.bytes().all(|c| matches!(c, b' '..=b'~')) {
            let reason = format!("env_var {meant:?} {VARIABLE}");
            check([refused("K8s", &format!("key:'k' env_var:\"{written}\""), "\"k\"", &reason)]);
        }
        // An annotation that is no request is named in a warning.
        let mut asking = pod(&[]);
        asking["metadata"]["annotations"] = json!({ format!("flyte.secrets/s{meant}"): "x" });
        let warning =
            format!("ignored annotation {:?}: expected flyte.secrets/s<number>", format!("flyte.secrets/s{meant}"));
        check([Attempt::new(&asking, &json!({}), json!({ "accepted": true, "warnings": [warning] }))]);
        // Containers and volumes of the pod's own are named when they are in the way.
        let mounts = json!([{ "name": meant, "mountPath": "/etc/flyte/secrets" }]);
        let asking = with(pod(&["group:'arn' key:'k'"]), "/spec/containers/0/volumeMounts", mounts);
        let asking = with(asking, "/spec/containers/0/name", json!(meant));
        let message = format!(
            "secrets cannot be injected: container {meant:?}: mount of {meant:?} at /etc/flyte/secrets conflicts with \
             the mount of secrets; use another path"
        );
        let answer = rejected(400, &message);
        check([Attempt::new(&asking, &managers(&["AWS"]), answer)]);
    }
}

/// `$(NAME)` in what Kubernetes expands. Values are in `embedded.rs`, own variables above; here are paths.
#[test]
fn expansions() {
    let table = [
        ("kv/$(HOME)", "kv/$$(HOME)"),
        ("kv/$$(HOME)", "kv/$$$$(HOME)"),
        ("kv/$(", "kv/$("),
        ("kv/$é", "kv/$$é"),
        ("$(A)$(B)", "$$(A)$$(B)"),
    ];
    check(table.map(|(group, written)| {
        let asking = pod(&[&format!("group:'{group}' key:'k' env_var:'A'")]);
        let path = format!("/etc/flyte/secrets/{written}/k");
        let template = format!("\"{group}\" -}}}}{{{{ .Data.data.k");
        let out = with_vault(asking.clone(), [group, "", "k"], &template, &[("A", &path)]);
        served(&managers(&["Vault"]), &format!("Vault {group}/k"), asking, out)
    }));
}

#[test]
fn scripts_contain_no_expansions() {
    for (manager, request) in [
        ("Embedded", "key:'k' mount_requirement:FILE"),
        ("GCP", "group:'g' group_version:'1'"),
        ("Azure", "group:'https://v.vault.azure.net/secrets/a'"),
    ] {
        let found = create_with(&pod(&[request]), &managers(&[manager]), &kubernetes_store(&[(NAMES[0], b"v")]));
        let command = mutated(&found)["spec"]["initContainers"][0]["command"].to_string();
        assert!(!command.contains("$(") && !command.contains("$$"), "{command}");
    }
}

/// Ways to write a request: what is checked is what the text means. CVE-2024-7254 (nesting in protobuf).
#[test]
fn text_format() {
    let spelt = [
        r"'\056\056\057x'",
        r"'\x2e\x2E/x'",
        r"'\u002e\U0000002e/x'",
        r#"'.' "." '/' 'x'"#,
        "'..'# a comment's quotes: 'y'\n'/x'",
    ];
    check(spelt.map(|key| {
        refused(
            "Embedded",
            &format!("key:{key} mount_requirement:FILE"),
            "\"../x\"",
            &format!("key \"../x\" {FILE_NAME}"),
        )
    }));
    let malformed = |text: &str, problem: &str| {
        let message =
            format!("annotation flyte.secrets/s0 is not a valid secret request: {problem}; use flytekit to encode it");
        let answer = rejected(400, &message);
        Attempt::new(&pod(&[text]), &managers(&["K8s"]), answer)
    };
    let unknown = |name: &str| {
        format!("unknown field {name:?}; expected group, group_version, key, mount_requirement or env_var")
    };
    check([
        malformed("3:'k'", &unknown("3")),
        malformed("[type.googleapis.com/flyteidl.core.Secret]:{key:'k'}", &unknown("[")),
        malformed("key:'k';;group:'g'", &unknown(";")),
        malformed("key:'k'}", &unknown("}")),
        malformed("key{'k'}", "field `key`: expected a colon after the name"),
        malformed("key:['a','b']", "field `key`: expected a quoted string"),
        malformed("key:'a'\u{a0}group:'b'", "unexpected byte 0xc2"),
        malformed("k\u{200b}ey:'a'", &unknown("k")),
        malformed("ke\u{443}:'a'", &unknown("ke")),
        malformed("key:'k'\0", "unexpected byte 0x00"),
        malformed("key:‘k’", "unexpected byte 0xe2"),
        malformed(
            "mount_requirement:\"FILE\"",
            "invalid mount_requirement \"a quoted string\": expected ANY, ENV_VAR, FILE or a number",
        ),
        malformed(
            "mount_requirement:FI\u{13a}E",
            "invalid mount_requirement \"FI\": expected ANY, ENV_VAR, FILE or a number",
        ),
        malformed(&"{".repeat(100_000), &unknown("{")),
        malformed("\\x1b[2J:'k'", "unexpected byte 0x5c"),
    ]);
    let escapes = ["\u{1b}", "\n", "U\u{1b}[2J\u{1b}[H\u{7}", "U\\\nAWS: o", "x\r\u{7}", "u\u{202e}a", "7\u{1b}c"];
    check(escapes.map(|escape| {
        let problem = format!("invalid escape sequence \\{} in field `key`", escape.escape_debug());
        malformed(&format!("key:'\\{escape}'"), &problem)
    }));
    // What a comment hides is not asked for, and one request in two spellings is one.
    let source = json!({ "secretKeyRef": { "name": "db", "key": "k", "optional": true } });
    let env = json!([
        { "name": "FLYTE_SECRETS_ENV_PREFIX", "value": "_UNION_" },
        { "name": "_UNION_DB_K", "valueFrom": source },
    ]);
    let plain = "group:'db' key:'k' mount_requirement:ENV_VAR";
    let commented = "# group:'payroll' key:'x'\ngroup:'db' # key:'y'\n key:'k' mount_requirement:0x1";
    for requests in
        [&[commented][..], &[plain, "key:\"\\153\", group: 'd' \"b\"; mount_requirement: +01"], &[plain, commented]]
    {
        let asking = pod(requests);
        let out = with(asking.clone(), "/spec/containers/0/env", env.clone());
        check([served(&managers(&["K8s"]), "K8s db/k", asking, out)]);
    }
}

/// Characters that some case mapping or normalization makes another's, as in CVE-2019-19844 (Django: another's
/// account by a letter that is lower-cased into theirs). Only ASCII is folded here, and where it is folded there is
/// only ASCII.
#[test]
fn homoglyphs() {
    for alike in ["ſecret", "\u{212a}ey", "İd", "ıd", "ﬀ", "ｋ", "рassword", "e\u{301}", "ß", "Å"] {
        check([
            refused(
                "K8s",
                &format!("group:'db' key:'{alike}'"),
                &format!("{:?}", format!("db/{alike}")),
                &format!("key {alike:?} {KEY}"),
            ),
            refused(
                "K8s",
                &format!("group:'{alike}' key:'k'"),
                &format!("{:?}", format!("{alike}/k")),
                &format!("group {alike:?} {GROUP}"),
            ),
            refused(
                "AWS",
                &format!("group:'{alike}' key:'k'"),
                &format!("{:?}", format!("{alike}/k")),
                &format!("group/key {:?} {ARN}", format!("{alike}/k")),
            ),
            refused(
                "GCP",
                &format!("group:'{alike}' group_version:'1'"),
                &format!("{alike:?} version \"1\""),
                &format!("group {alike:?} {GCP_SECRET}"),
            ),
            refused(
                "Embedded",
                &format!("key:'{alike}'"),
                &format!("{alike:?}"),
                &format!(
                    "key maps to the invalid variable name {:?}; set `env_var`",
                    format!("_UNION_{}", alike.to_ascii_uppercase())
                ),
            ),
        ]);
    }
    // Where a name may hold them, in Key Vault's base32, they are other names.
    let azure = embedded(json!({ "azureConfig": { "vaultURI": "https://v.vault.azure.net" } }));
    check(["ſecret", "\u{212a}", "K"].map(|key| {
        let encoded = ::base32::encode(::base32::Alphabet::Rfc4648 { padding: false }, key.as_bytes());
        let names = ["1-acme-development-flytesnacks-", "1-acme-development--", "1-acme---"]
            .map(|scope| [scope, encoded.as_str()].concat());
        let looked_up = names.each_ref().map(|name| format!("{name} (AzureSecret in v.vault.azure.net)")).join(", ");
        let reason = format!("Embedded: not found; looked up {looked_up}; store it under one of these names");
        let asking = pod(&[&format!("key:'{key}' env_var:'A'")]);
        let asked = names.map(|name| format!("AzureSecret v.vault.azure.net:{name}"));
        Attempt::new(&asking, &azure, not_injected(400, &format!("{key:?}"), &reason)).asking(asked)
    }));
    // Names in settings are read in any case, of ASCII.
    for (name, nearest) in [("\u{212a}8s", "K8s"), ("Ａws", "AWS"), ("ﬀmbedded", "Embedded"), ("vau\u{13a}t", "Vault")]
    {
        let message = format!(
            "`secretManagerTypes[0]`: unknown value {name:?}, expected one of K8s, AWS, GCP, Azure, \
             Vault, Embedded, Global; did you mean `{nearest}`?; ask the operator to correct the policy settings"
        );
        let answer = rejected(503, &message);
        check([Attempt::new(&pod(&["key:'k'"]), &managers(&[name]), answer)]);
    }
    // Digits of other scripts make no number.
    let mut asking = pod(&[]);
    asking["metadata"]["annotations"] = json!({ "flyte.secrets/s\u{661}": annotation("key:'k'") });
    let warning = "ignored annotation \"flyte.secrets/s\u{661}\": expected flyte.secrets/s<number>";
    check([Attempt::new(&asking, &json!({}), json!({ "accepted": true, "warnings": [warning] }))]);
}

/// Whom a token goes to: CVE-2026-4789 (Kyverno: requests to hosts that a policy names). The plain cases are in
/// `rejections.rs`; here is what readers of URLs disagree about.
#[test]
fn other_hosts() {
    let hosts = [
        "https://v.vault.azure.net:443/secrets/x",
        "https://v.vault.azure.net./secrets/x",
        "https://v.vault.azure.net@evil.example/secrets/x",
        "https://evil.example#.vault.azure.net/secrets/x",
        "https://evil.example?.vault.azure.net/secrets/x",
        "https://evil.example\\.vault.azure.net/secrets/x",
        "https://evil.example%2f.vault.azure.net/secrets/x",
        "https://evil.example%00.vault.azure.net/secrets/x",
        "https://169.254.169.254/secrets/x",
        "https://[::1]/secrets/x",
        "https://[::1].vault.azure.net/secrets/x",
        "https://v.vault.azure.net.evil.example/secrets/x",
        "https://evilvault.azure.net/secrets/x",
        "https://v.vault。azure。net/secrets/x",
        "https://v.vault.azure.net\u{2215}secrets/x",
        "https://ｖ.vault.azure.net/secrets/x",
        "https://v.vau\u{13a}t.azure.net/secrets/x",
        "https://v.vault.azure.net/secrets/x%2f..%2f..",
        "https://v.vault.azure.net/secrets/x#y",
        "https://v.vault.azure.net/secrets/x y",
        "https://v.vault.azure.net/secrets/$(x)",
        "https://v.vault.azure.net/secrets//x",
        "https://v.vault.azure.net//secrets/x",
        "https:///v.vault.azure.net/secrets/x",
        "https:\\\\v.vault.azure.net\\secrets\\x",
        "HTTPS://v.vault.azure.net/secrets/x",
        "//v.vault.azure.net/secrets/x",
        "file:///secrets/x",
        " https://v.vault.azure.net/secrets/x",
    ];
    check(hosts.map(|group| {
        let written = group.replace('\\', "\\\\");
        refused("Azure", &format!("group:'{written}'"), &format!("{group:?}"), &format!("group {group:?} {VAULT_URI}"))
    }));
    let group = "https://v.vault.azure.net/secrets/x\r\nHost: evil.example";
    check([refused(
        "Azure",
        "group:'https://v.vault.azure.net/secrets/x\\r\\nHost: evil.example'",
        &format!("{group:?}"),
        &format!("group {group:?} {VAULT_URI}"),
    )]);
}

/// Where files come to stand: CVE-2020-8567 again, and volumes under our names that are on a disk or another's.
#[test]
fn files_and_volumes() {
    let asking = pod(&["key:'k' mount_requirement:FILE"]);
    let message = "secrets cannot be injected: volume \"embedded-secret-vol\" conflicts with the secrets volume of \
                   the same name; rename it";
    let answer = rejected(400, message);
    let sources = [
        json!({ "hostPath": { "path": "/var/lib/kubelet" } }),
        json!({ "hostPath": { "path": "/var", "medium": "Memory" } }),
        json!({ "persistentVolumeClaim": { "claimName": "shared" } }),
        json!({ "emptyDir": {} }),
        json!({ "emptyDir": { "medium": "" } }),
        json!({ "emptyDir": { "medium": "memory" } }),
        json!({ "emptyDir": { "medium": "HugePages" } }),
        json!({ "secret": { "secretName": "k", "items": [] } }),
        json!({ "nfs": { "server": "evil.example", "path": "/" } }),
        json!({ "csi": { "driver": "evil.example", "volumeAttributes": { "medium": "Memory" } } }),
        json!({}),
    ];
    check(sources.map(|source| {
        let asking =
            with(asking.clone(), "/spec/volumes", json!([with(source, "/name", json!("embedded-secret-vol"))]));
        Attempt::new(&asking, &json!({}), answer.clone())
            .asking([format!("Secret {}", secret_name(&project_name("k")))])
    }));
}

/// Without a template of ours, the agent's injector writes one, with the path in it as it is (`DefaultTemplate` in
/// `agent-inject/agent/config.go` of hashicorp/vault-k8s).
#[test]
fn vault_db_paths_reject_quotes() {
    let path = "is not a valid Vault path for db; it must not contain '\"' or '\\'";
    check(["db\" }}{{ env \"VAULT_TOKEN\" }}{{ with secret \"x", "db\\"].map(|group| {
        let written = group.replace('\\', "\\\\");
        let request = format!("group:'{written}' key:'k' group_version:'db'");
        let secret = format!("{:?} version \"db\"", format!("{group}/k"));
        refused("Vault", &request, &secret, &format!("group {group:?} {path}"))
    }));
}
