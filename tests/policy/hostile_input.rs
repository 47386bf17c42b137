//! Attacks by the author of a pod, with the whole answer to each.
//!
//! The rows are from vulnerabilities of similar projects: injectors, operators, drivers and policies that inject
//! secrets. Each names its source. SECURITY.md also names the tests in other modules.
//!
//! Mutating webhooks run before the API server validates, so any field of a pod can be malformed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::names::kubernetes::secret_name;
use flyte_secrets_policy::secret_request::SecretRequest;
use flyte_secrets_testing::engine::creation;
use flyte_secrets_testing::generate::requests;
use flyte_secrets_testing::host::Store;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::codes::{
    ARN, FILE_NAME, GCP_SECRET, GCP_VERSION, GROUP, KEY, VARIABLE, VAULT_PATH, VAULT_URI, assert_rejects, not_found,
    not_injected, rejected,
};
use crate::support::{
    NAMES, annotation, aws, azure, create, create_with, edited, image_pull_secrets, injected, location, managers,
    mutated, namespace_of_labels, pod, project_name, store_of_k, validate, with, with_file_variables, with_variable,
};

/// Checks the answer to an admission request, and the names that the host is asked for, as `<kind> <name>`. The store
/// holds what is there to be had: the key `k` of this project and of another one.
#[track_caller]
fn check(request: &Value, settings: &Value, answer: &Value, asked: &[String]) {
    let contents: Map<String, Value> = ["flytesnacks", "payroll"]
        .map(|project| (NAMES[0].replace("flytesnacks", project), project))
        .map(|(name, project)| (secret_name(&name), json!({ name: STANDARD.encode(project) })))
        .into_iter()
        .collect();
    let store = Store::new(json!({ "K8s": { "flyte": contents } }));
    assert_eq!(validate(request, settings, &store).0, *answer, "{request:#}");
    let names: Vec<String> = store.looked_up().iter().map(|asked| format!("{} {}", asked.kind, asked.name)).collect();
    assert_eq!(names, asked, "{request:#}");
}

/// Checks the answer to a pod that is decided without a question to the host.
#[track_caller]
fn check_pod(pod: &Value, settings: &Value, answer: &Value) {
    check(&creation(pod), settings, answer, &[]);
}

/// Checks that a pod gets what it asks for.
#[track_caller]
fn check_served(settings: &Value, audit: &str, before: &Value, after: Value) {
    check_pod(before, settings, &injected(&format!("flyte.secrets/s0: {audit}"), after));
}

/// What the host is asked for the key `k`.
fn asked_for_k() -> [String; 1] {
    [format!("Secret {}", secret_name(NAMES[0]))]
}

/// Every name under which a key is looked up for [`pod`].
fn names(key: &str) -> [String; 5] {
    NAMES.map(|name| [name.trim_end_matches('k'), key].concat())
}

/// A secret request for Embedded's variable `A`.
fn variable(key: &str) -> String {
    requests::text_format(&SecretRequest { key: key.to_owned(), env_var: "A".to_owned(), ..SecretRequest::default() })
}

/// A secret request with these fields.
fn request(group: &str, group_version: &str, key: &str) -> String {
    let [group, group_version, key] = [group, group_version, key].map(str::to_owned);
    requests::text_format(&SecretRequest { group, group_version, key, ..SecretRequest::default() })
}

/// Names in URLs: CVE-2020-8567 and CVE-2020-8568 (Secrets Store CSI Driver: paths out of place by `..`),
/// CVE-2026-22039 (Kyverno: a policy's own rights, by a path that the pod's author chooses).
#[test]
fn names_in_urls() {
    let problem = "is not a valid secret name in this store; use a key of letters, digits, '.', '_' and '-'";
    let refused =
        |key: &str, name: &str| not_injected(400, &format!("{key:?}"), &format!("Embedded: {name:?} {problem}"));
    // Dots, slashes and backslashes in all their spellings, queries, users, ports, and characters that some
    // normalization turns into ASCII.
    let plain = "../../x a/b a?b a#b é %2e%2e%2fkube-system ..%2f..%2fsecrets ..\\..\\x k;v=1 k@10.0.0.1 \
                 k?watch=true&limit=1 ．．／k a∕b";
    let hidden = ["a b", "k ", "k\u{a0}", "k\u{202e}", "\u{2066}a\u{2069}\u{200b}", "a\u{2028}b"];
    // A region in front, and a Secret's key.
    for (settings, place) in [(aws(), "eu-west-1:"), (json!({}), "")] {
        for key in plain.split(' ').chain(hidden) {
            let name = [place, &project_name(key)].concat();
            check_pod(&pod(&[&variable(key)]), &settings, &refused(key, &name));
        }
    }
    // A colon leads to no other region or version.
    for key in ["x:us-east-1", "us-east-1:k", "k::AWSPREVIOUS"] {
        check_pod(&pod(&[&variable(key)]), &aws(), &refused(key, key));
    }
    // Dots behind other characters are no step.
    let looked_up = names("..").map(|name| format!("{name} (AWSSecret in eu-west-1)"));
    let asked = names("..").map(|name| format!("AWSSecret eu-west-1:{name}"));
    check(&creation(&pod(&[&variable("..")])), &aws(), &not_found("..", &looked_up), &asked);
    // The namespace travels too, when an image-pull twin is looked for.
    for namespace in ["..", "a/../kube-system", "a?b", "a\nb"] {
        let request = with(creation(&pod(&["key:'k'"])), "/namespace", json!(namespace));
        check(&request, &image_pull_secrets(), &refused("k", namespace), &asked_for_k());
    }
}

/// Another project's secret, and a pod of `flytesnacks` in its own namespace, whatever else it says of itself.
///
/// From GHSA-77v3-r3jw-j2v2, GHSA-fcxq-v2r3-cc8h and CVE-2026-42875 (External Secrets Operator: other namespaces by a
/// template's function, by label selectors, by a reference), bank-vaults/bank-vaults#542 and #929 (the webhook's
/// rights in place of the pod's), CVE-2023-2728 and CVE-2024-3177 (Kubernetes: fields that a check of Secrets
/// forgot).
#[test]
fn other_tenants() {
    let tenancy = namespace_of_labels();
    let accounts = json!({ "tenancy": { "serviceAccounts": ["trainer", "elsewhere/default"] } });
    let asking = pod(&["key:'k'"]);
    let (here, payroll) = ("flytesnacks-development", "payroll-development");
    let theirs = with(asking.clone(), "/metadata/labels/project", json!("payroll"));
    let elsewhere = with(asking.clone(), "/metadata/namespace", json!("elsewhere"));
    let forbidden = |found: &str, expected: &str| {
        let reason = format!(
            "Embedded: namespace {found:?} does not match the pod's labels, which require namespace {expected:?}; \
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
    // Labels of another project, and all that might make them count: no name yet, a trial, what the pod says of its
    // namespace, other owners, an older pod, other annotations.
    let edits = [
        vec![],
        vec![("/object/metadata/name", Value::Null), ("/object/metadata/generateName", json!("payroll-development-"))],
        vec![("/name", json!("")), ("/object/metadata/name", json!(payroll))],
        vec![("/dryRun", json!(true)), ("/options/dryRun", json!(["All"]))],
        vec![("/object/metadata/namespace", json!(payroll))],
        vec![("/object/metadata/namespace", Value::Null)],
        vec![("/userInfo", json!({ "username": "system:admin", "groups": ["system:masters"] }))],
        vec![("/oldObject", asking.clone())],
        vec![("/requestNamespace", json!(payroll)), ("/object/namespace", json!(payroll))],
        vec![("/object/metadata/ownerReferences", json!([{ "kind": "Namespace", "name": payroll }]))],
        vec![("/object/metadata/annotations/namespace", json!(payroll))],
        vec![("/settings", json!({})), ("/request", json!({ "namespace": payroll }))],
    ];
    for edits in edits {
        check(&edited(creation(&theirs), edits), &tenancy, &forbidden(here, payroll), &[]);
    }
    // No namespace is nobody's, and names are compared as they are: no case, no blanks, no marks that are not seen.
    for namespace in ["", "Payroll-development", "payroll-development ", "payroll-development\u{200b}"] {
        let request = with(creation(&theirs), "/namespace", json!(namespace));
        check(&request, &tenancy, &forbidden(namespace, payroll), &[]);
    }
    check(&with(creation(&theirs), "/namespace", Value::Null), &tenancy, &forbidden("", payroll), &[]);
    let cased = with(asking.clone(), "/metadata/labels/project", json!("Flytesnacks"));
    check_pod(&cased, &tenancy, &forbidden(here, "Flytesnacks-development"));
    check_pod(&elsewhere, &tenancy, &forbidden("elsewhere", here));
    let organization = json!({ "tenancy": { "namespaceTemplate": "{{ organization }}-{{ project }}" } });
    check_pod(&elsewhere, &organization, &forbidden("elsewhere", "acme-flytesnacks"));
    // A change is not a creation: what an update asks for is not looked at.
    let update = [("/operation", json!("UPDATE")), ("/oldObject", asking.clone())];
    check(&edited(creation(&theirs), update), &tenancy, &json!({ "accepted": true }), &[]);
    // What only looks like the labels leaves the pod with the secrets of its own project.
    let own = |asking: Value| {
        let audit = format!("flyte.secrets/s0: Embedded {}", location(NAMES[0]));
        (creation(&asking), injected(&audit, with_variable(asking, "flytesnacks")))
    };
    for (path, to) in [
        ("/metadata/annotations/project", json!("payroll")),
        ("/metadata/labels/Project", json!("payroll")),
        ("/metadata/labels/project ", json!("payroll")),
        ("/metadata/labels/flyte.org~1project", json!("payroll")),
        ("/labels", json!({ "project": "payroll" })),
        ("/spec/labels", json!({ "project": "payroll" })),
        ("/spec/nodeSelector", json!({ "project": "payroll" })),
    ] {
        let (request, answer) = own(with(asking.clone(), path, to));
        check(&request, &tenancy, &answer, &asked_for_k());
    }
    let group = "u__org__acme__domain__development__project__payroll__key__k";
    let (request, answer) = own(pod(&[&format!("key:'k' group:'{group}'")]));
    let ignored = json!([format!("secret \"{group}/k\": Embedded ignores group")]);
    check(&request, &tenancy, &with(answer, "/warnings", ignored), &asked_for_k());
    // The account that Kubernetes gives a pod that names none.
    check_pod(&asking, &accounts, &account("default"));
    let other = with(asking.clone(), "/spec/serviceAccountName", json!("other"));
    check_pod(&other, &json!({ "tenancy": { "serviceAccounts": [] } }), &account("other"));
    // A service account by its former name is none: the API server keeps both names alike.
    for (path, to) in
        [("serviceAccount", json!("trainer")), ("securityContext", json!({ "serviceAccountName": "trainer" }))]
    {
        check_pod(&with(asking.clone(), &format!("/spec/{path}"), to), &accounts, &account("default"));
    }
    for name in ["other", "Trainer", "trainer\n", "../trainer", "elsewhere/default"] {
        check_pod(&with(asking.clone(), "/spec/serviceAccountName", json!(name)), &accounts, &account(name));
    }
}

/// A key that reads like another tenant's name stays behind its own project. What labels may hold is in `rejections.rs`.
#[test]
fn names_of_other_tenants() {
    let other = "u__org__acme__domain__development__project__payroll__key__k";
    for key in ["__project__payroll__key__k", "_", "k__key__k", other] {
        let names = names(key);
        let asked = names.each_ref().map(|name| format!("Secret {}", secret_name(name)));
        let answer = not_found(key, &names.map(|name| location(&name)));
        check(&creation(&pod(&[&variable(key)])), &json!({}), &answer, &asked);
    }
}

/// What a process is started with: CVE-2014-6271 (variables that are commands), CVE-2023-5044 (commands by
/// annotations). Their arguments are in `rejections.rs`; `make e2e` runs the scripts in real shells.
#[test]
fn shells_and_processes() {
    let plain = create(&pod(&["group:'arn:x' key:'k'"]), &managers(&["AWS"]));
    let env = [
        ("/initContainers/0/env/0/value", json!("arn:$$(AWS_SECRET_ACCESS_KEY)`id`;x$$$y:k")),
        ("/initContainers/0/env/1/value", json!("/arn:$$(aws_secret_access_key)`id`;x$$$y/k")),
    ];
    let asking = pod(&["group:'arn:$(AWS_SECRET_ACCESS_KEY)`id`;x$$y' key:'k'"]);
    let expected = with(asking.clone(), "/spec", edited(mutated(&plain)["spec"].clone(), env));
    check_served(&managers(&["AWS"]), "AWS arn:$(AWS_SECRET_ACCESS_KEY)`id`%3Bx$$y:k", &asking, expected);

    // Variables that shells and loaders act on must be allowed, and are never our init-container's.
    let file = |name: &str| pod(&[&format!("key:'k' mount_requirement:FILE env_var:'{name}'")]);
    let plain = create_with(&file("WHERE"), &json!({}), &store_of_k(b"flytesnacks"));
    for variable in ["PATH", "LD_PRELOAD", "BASH_ENV", "ENV", "IFS", "PS4", "BASH_FUNC_printf%%"] {
        let spec = with(mutated(&plain)["spec"].clone(), "/containers/0/env/0/name", json!(variable));
        let audit = format!("flyte.secrets/s0: Embedded {}", location(NAMES[0]));
        let answer = injected(&audit, with(file(variable), "/spec", spec));
        let allowed = json!({ "allowedEnvVars": [variable] });
        check(&creation(&file(variable)), &allowed, &answer, &asked_for_k());
    }
}

/// A pod with one secret from Vault, as the manager leaves it. `template` is without its frame.
fn with_vault(pod: Value, fields: [&str; 3], template: &str, paths: &[(&str, &str)]) -> Value {
    let [group, version, key] = fields;
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"https://github.com/hashicorp/vault-k8s");
    let variable = paths.first().map(|(name, _)| *name).unwrap_or_default();
    let id = Uuid::new_v5(&namespace, [group, version, key, "0", variable].join("\0").as_bytes());
    let mut pod = with_file_variables(pod, paths);
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
    for (group, key, template) in [
        (
            "kv/a\" -}}{{ env \"VAULT_TOKEN\" }}{{- with secret \"kv/b",
            "k",
            r#""kv/a\" -}}{{ env \"VAULT_TOKEN\" }}{{- with secret \"kv/b" -}}{{ .Data.data.k"#,
        ),
        (
            "kv/a",
            "k }}{{ file \"~/.vault-token\" }}{{ .x",
            r#""kv/a" -}}{{ index .Data.data "k }}{{ file \"~/.vault-token\" }}{{ .x""#,
        ),
        ("kv/a", "k|plugin", r#""kv/a" -}}{{ index .Data.data "k|plugin""#),
        ("kv/a", "\"", r#""kv/a" -}}{{ index .Data.data "\"""#),
        ("kv/a\\", "\\\"", r#""kv/a\\" -}}{{ index .Data.data "\\\"""#),
        ("`", "`", "\"`\" -}}{{ index .Data.data \"`\""),
        ("kv/%s%d", "%v", r#""kv/%s%d" -}}{{ index .Data.data "%v""#),
        ("kv/a*/}}", "k", r#""kv/a*/}}" -}}{{ .Data.data.k"#),
    ] {
        let asking = pod(&[&request(group, "", key)]);
        let out = with_vault(asking.clone(), [group, "", key], template, &[]);
        check_served(&settings, &format!("Vault {group}/{key}"), &asking, out);
    }
    let spelt_out = [
        "kv/a\r",
        "kv\u{85}",
        "kv\x7f",
        "kv/\u{202e}gnp",
        "kv/\u{2028}",
        "kv/a\u{200b}b",
        "kv/\u{2066}a",
        "\u{feff}kv",
    ];
    for group in spelt_out.into_iter().chain(["kv/..", "kv/./a"]) {
        assert_rejects("Vault", &request(group, "", "k"), VAULT_PATH);
    }
    assert_rejects("Vault", &request("kv", "", "k\0"), VAULT_PATH);
    // An engine that is none stays out of the template, and its warning is a line.
    let version = "kv2 }}{{ env \"X\" }}\u{1b}[2J\n";
    let asking = pod(&[&request("kv", version, "k")]);
    let template = "\"kv\" -}}{{ .Data.data.k";
    let warning =
        format!("unknown group_version {version:?} of secret kv/k: using the default engine; expected kv1, kv2 or db");
    let out = with_vault(asking.clone(), ["kv", version, "k"], template, &[]);
    let answer = with(injected("flyte.secrets/s0: Vault kv/k", out), "/warnings", json!([warning]));
    check_pod(&asking, &settings, &answer);
    // The pod's own annotations stay, as they would without us, and bring nothing of ours with them.
    let own = json!({
        "flyte.secrets/s0": annotation("group:'kv' key:'k'"),
        "vault.hashicorp.com/agent-inject-command-x": "sh -c id",
        "vault.hashicorp.com/role": "admin",
        "vault.hashicorp.com/service": "https://vault.example.com",
    });
    let asking = with(pod(&[]), "/metadata/annotations", own);
    let mut out = with_vault(asking.clone(), ["kv", "", "k"], template, &[]);
    check_served(&settings, "Vault kv/k", &asking, out.clone());
    // A locked role is the operator's.
    let locked = with(settings, "/vaultSecretManager/lockAnnotations", json!(true));
    out["metadata"]["annotations"]["vault.hashicorp.com/role"] = json!("flyte");
    check_served(&locked, "Vault kv/k", &asking, out);
}

/// Steps of a patch's path, and text that would end a string of JSON (RFC 6901, RFC 6902).
#[test]
fn patches() {
    let source = json!({ "secretKeyRef": { "name": "db", "key": "k", "optional": true } });
    for variable in ["a/b", "a~1b~0", "/metadata/labels/project", "\",\"value\":\"x", "\\", "]}},{", "-"] {
        let written = variable.replace('\\', "\\\\");
        let asking = pod(&[&format!("group:'db' key:'k' env_var:'{written}' mount_requirement:ENV_VAR")]);
        let asking = with(asking, "/metadata/annotations/a~1b", json!("~0/~1"));
        let env = json!([
            { "name": "FLYTE_SECRETS_ENV_PREFIX", "value": "_UNION_" },
            { "name": variable, "valueFrom": source },
            { "name": "_UNION_DB_K", "valueFrom": source },
        ]);
        let out = with(asking.clone(), "/spec/containers/0/env", env);
        check_served(&managers(&["K8s"]), "K8s db/k", &asking, out);
    }
    // Annotations are a map, whose keys are steps.
    let asking = with(pod(&["group:'kv' key:'k'"]), "/metadata/annotations/~1~0~01", json!("x"));
    let out = with_vault(asking.clone(), ["kv", "", "k"], "\"kv\" -}}{{ .Data.data.k", &[]);
    check_served(&managers(&["Vault"]), "Vault kv/k", &asking, out);
}

/// Lines, and what terminals obey: CVE-2021-25743 (kubectl prints what it gets), CVE-2021-42574 (text that is not in
/// the order in which it is read), CVE-2021-44228 (names that loggers look up), knative/pkg#2581 (a warning with a
/// line break is dropped). JSON writes a control character as `\u001b`; whoever decodes it and prints it has it raw.
/// So messages spell it out before.
#[test]
fn lines_and_terminals() {
    for hostile in [
        "\u{1b}[2J\u{1b}[H",
        "\u{1b}]0;title\u{7}",
        "\u{9b}31m",
        "\u{8}\u{8}\u{7f}",
        "a\nEmbedded: injected",
        "a\r\u{b}b\u{c}",
        "a\u{85}b",
        "a\u{2028}b\u{2029}",
        "\u{202e}gnp.x",
        "\u{2066}a\u{2069}\u{200b}",
        "\u{feff}",
        "\0",
        "${jndi:ldap://x/a}",
        "%n%s%x",
        "<script>",
    ] {
        assert_rejects("K8s", &request("", "", hostile), KEY);
        assert_rejects("K8s", &request(hostile, "", "k"), GROUP);
        assert_rejects("GCP", &request("token", hostile, ""), GCP_VERSION);
        // Of a variable's name all of ASCII that is printed goes, and is quoted where it is named.
        if !hostile.bytes().all(|c| matches!(c, b' '..=b'~')) {
            let named = SecretRequest { key: "k".to_owned(), env_var: hostile.to_owned(), ..SecretRequest::default() };
            assert_rejects("K8s", &requests::text_format(&named), VARIABLE);
        }
        // An annotation that is no request is named in a warning.
        let name = format!("flyte.secrets/s{hostile}");
        let asking = with(pod(&[]), "/metadata/annotations", json!({ &name: "x" }));
        let warning = format!("ignored annotation {name:?}: expected flyte.secrets/s<number>");
        check_pod(&asking, &json!({}), &json!({ "accepted": true, "warnings": [warning] }));
        // Containers and volumes of the pod's own are named when they are in the way.
        let mounts = json!([{ "name": hostile, "mountPath": "/etc/flyte/secrets" }]);
        let edits = [("/spec/containers/0/volumeMounts", mounts), ("/spec/containers/0/name", json!(hostile))];
        let message = format!(
            "secrets cannot be injected: container {hostile:?}: mount of {hostile:?} at /etc/flyte/secrets conflicts \
             with the mount of secrets; use another path"
        );
        let asking = edited(pod(&["group:'arn' key:'k'"]), edits);
        check_pod(&asking, &managers(&["AWS"]), &rejected(400, &message));
    }
}

/// `$(NAME)` in what Kubernetes expands. Values are in `embedded.rs`, own variables above; here are paths.
#[test]
fn expansions() {
    for (group, written) in [
        ("kv/$(HOME)", "kv/$$(HOME)"),
        ("kv/$$(HOME)", "kv/$$$$(HOME)"),
        ("kv/$(", "kv/$("),
        ("kv/$é", "kv/$$é"),
        ("$(A)$(B)", "$$(A)$$(B)"),
    ] {
        let asking = pod(&[&format!("group:'{group}' key:'k' env_var:'A'")]);
        let path = format!("/etc/flyte/secrets/{written}/k");
        let template = format!("\"{group}\" -}}}}{{{{ .Data.data.k");
        let out = with_vault(asking.clone(), [group, "", "k"], &template, &[("A", &path)]);
        check_served(&managers(&["Vault"]), &format!("Vault {group}/k"), &asking, out);
    }
}

#[test]
fn scripts_contain_no_expansions() {
    for (manager, request) in [
        ("Embedded", "key:'k' mount_requirement:FILE"),
        ("GCP", "group:'g' group_version:'1'"),
        ("Azure", "group:'https://v.vault.azure.net/secrets/a'"),
    ] {
        let found = create_with(&pod(&[request]), &managers(&[manager]), &store_of_k(b"v"));
        let command = mutated(&found)["spec"]["initContainers"][0]["command"].to_string();
        assert!(!command.contains("$(") && !command.contains("$$"), "{command}");
    }
}

/// Ways to write a request: what is checked is what the text means. CVE-2024-7254 (nesting in protobuf).
#[test]
fn text_format() {
    let refused = |manager: &str, request: &str, key: &str, rule: &str| {
        let reason = format!("{manager}: {}", rule.replace("{}", &format!("{key:?}")));
        check_pod(&pod(&[request]), &managers(&[manager]), &not_injected(400, &format!("{key:?}"), &reason));
    };
    for spelt in [
        r"'\056\056\057x'",
        r"'\x2e\x2E/x'",
        r"'\u002e\U0000002e/x'",
        r#"'.' "." '/' 'x'"#,
        "'..'# a comment's quotes: 'y'\n'/x'",
    ] {
        refused("Embedded", &format!("key:{spelt} mount_requirement:FILE"), "../x", FILE_NAME);
    }
    // Go turns half a character into the replacement character.
    refused("K8s", r"key:'\ud800'", "\u{fffd}", KEY);
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
        check_served(&managers(&["K8s"]), "K8s db/k", &asking, out);
    }
}

/// Characters that some case mapping or normalization makes another's, as in CVE-2019-19844 (Django: another's
/// account by a letter that is lower-cased into theirs). Only ASCII is folded here, and where it is folded there is
/// only ASCII.
#[test]
fn homoglyphs() {
    for alike in ["ſecret", "\u{212a}ey", "İd", "ıd", "ﬀ", "ｋ", "рassword", "e\u{301}", "ß", "Å"] {
        assert_rejects("K8s", &format!("group:'db' key:'{alike}'"), KEY);
        assert_rejects("K8s", &format!("group:'{alike}' key:'k'"), GROUP);
        assert_rejects("AWS", &format!("group:'{alike}' key:'k'"), ARN);
        assert_rejects("GCP", &format!("group:'{alike}' group_version:'1'"), GCP_SECRET);
        let name = format!("_UNION_{}", alike.to_ascii_uppercase());
        let reason = format!("key maps to the invalid variable name {name:?}; set `env_var`");
        assert_rejects("Embedded", &format!("key:'{alike}'"), &reason);
    }
    // Where a name may hold them, in Key Vault's base32, they are other names.
    for key in ["ſecret", "\u{212a}", "K"] {
        let encoded = ::base32::encode(::base32::Alphabet::Rfc4648 { padding: false }, key.as_bytes());
        let scopes = ["1-acme-development-flytesnacks-", "1-acme-development--", "1-acme---"];
        let looked_up = scopes.map(|scope| format!("{scope}{encoded} (AzureSecret in name.vault.azure.net)"));
        let asked = scopes.map(|scope| format!("AzureSecret name.vault.azure.net:{scope}{encoded}"));
        check(&creation(&pod(&[&variable(key)])), &azure(), &not_found(key, &looked_up), &asked);
    }
    // Names in settings are read in any case, of ASCII.
    for (name, nearest) in [("\u{212a}8s", "K8s"), ("Ａws", "AWS"), ("ﬀmbedded", "Embedded"), ("vau\u{13a}t", "Vault")]
    {
        let message = format!(
            "`secretManagerTypes[0]`: unknown value {name:?}, expected one of K8s, AWS, GCP, Azure, \
             Vault, Embedded, Global; did you mean `{nearest}`?; ask the operator to correct the policy settings"
        );
        check_pod(&pod(&["key:'k'"]), &managers(&[name]), &rejected(503, &message));
    }
    // Digits of other scripts make no number.
    let asking = with(pod(&[]), "/metadata/annotations", json!({ "flyte.secrets/s\u{661}": annotation("key:'k'") }));
    let warning = "ignored annotation \"flyte.secrets/s\u{661}\": expected flyte.secrets/s<number>";
    check_pod(&asking, &json!({}), &json!({ "accepted": true, "warnings": [warning] }));
}

/// Whom a token goes to: CVE-2026-4789 (Kyverno: requests to hosts that a policy names), and what readers of URLs
/// disagree about.
#[test]
fn other_hosts() {
    let hosts = r"
        token
        http://v.vault.azure.net/secrets/x
        HTTPS://v.vault.azure.net/secrets/x
        //v.vault.azure.net/secrets/x
        file:///secrets/x
        https:///v.vault.azure.net/secrets/x
        https:\\v.vault.azure.net\secrets\x
        https://v.vault.azure.net/keys/x
        https://v.vault.azure.net/secrets/
        https://v.vault.azure.net/secrets//x
        https://v.vault.azure.net//secrets/x
        https://v.vault.azure.net/secrets/..
        https://v.vault.azure.net/secrets/x;id
        https://v.vault.azure.net/secrets/$(x)
        https://v.vault.azure.net/secrets/x/1/2
        https://v.vault.azure.net/secrets/x?y
        https://v.vault.azure.net/secrets/x#y
        https://v.vault.azure.net/secrets/x%2f..%2f..
        https://v.example.com/secrets/x
        https://v.vault.azure.net.evil.example/secrets/x
        https://user@v.vault.azure.net/secrets/x
        https://v.vault.azure.net@evil.example/secrets/x
        https://v.vault.azure.net:443/secrets/x
        https://v.vault.azure.net./secrets/x
        https://evil.example#.vault.azure.net/secrets/x
        https://evil.example?.vault.azure.net/secrets/x
        https://evil.example\.vault.azure.net/secrets/x
        https://evil.example%2f.vault.azure.net/secrets/x
        https://evil.example%00.vault.azure.net/secrets/x
        https://evilvault.azure.net/secrets/x
        https://169.254.169.254/secrets/x
        https://[::1]/secrets/x
        https://[::1].vault.azure.net/secrets/x
        https://v.vault。azure。net/secrets/x
        https://v.vault.azure.net∕secrets/x
        https://ｖ.vault.azure.net/secrets/x
        https://v.vauĺt.azure.net/secrets/x
    ";
    let with_blanks = [
        " https://v.vault.azure.net/secrets/x",
        "https://v.vault.azure.net/secrets/x y",
        "https://v.vault.azure.net/secrets/x\r\nHost: evil.example",
    ];
    for group in hosts.split_whitespace().chain(with_blanks) {
        assert_rejects("Azure", &request(group, "", ""), VAULT_URI);
    }
}

/// Where files come to stand: CVE-2020-8567 again, and volumes under our names that are on a disk or another's.
#[test]
fn files_and_volumes() {
    let message = "secrets cannot be injected: volume \"embedded-secret-vol\" conflicts with the secrets volume of \
                   the same name; rename it";
    for source in [
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
    ] {
        let volumes = json!([with(source, "/name", json!("embedded-secret-vol"))]);
        let asking = with(pod(&["key:'k' mount_requirement:FILE"]), "/spec/volumes", volumes);
        check(&creation(&asking), &json!({}), &rejected(400, message), &asked_for_k());
    }
}

/// Without a template of ours, the agent's injector writes one, with the path in it as it is (`DefaultTemplate` in
/// `agent-inject/agent/config.go` of hashicorp/vault-k8s).
#[test]
fn vault_db_paths_reject_quotes() {
    for group in ["db\" }}{{ env \"VAULT_TOKEN\" }}{{ with secret \"x", "db\\"] {
        let path = "group {} is not a valid Vault path for db; it must not contain '\"' or '\\'";
        assert_rejects("Vault", &request(group, "db", "k"), path);
    }
}
