//! Tests that examples cannot cover: standard input, hidden values, shells, and the cases recorded from Flyte.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // how tests fail

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_flyte-secrets");

/// Result of a run: exit code, standard output, standard error.
type Ran = (i32, String, String);

fn run(command: &mut Command, input: &str) -> Ran {
    let command = command.current_dir(env!("CARGO_MANIFEST_DIR"));
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("a command that starts");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("a reader");
    let output = child.wait_with_output().expect("its output");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

fn flyte_secrets(arguments: &[&str]) -> Ran {
    run(Command::new(BINARY).args(arguments), "")
}

fn json_of(arguments: &[&str]) -> Value {
    let (code, out, err) = flyte_secrets(arguments);
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {code}, {error}: {out}{err}"))
}

fn golden(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(file);
    let text = fs::read_to_string(path).expect("recorded cases");
    text.lines().map(|line| serde_json::from_str(line).expect("a case")).collect()
}

#[test]
fn requests_are_encoded_as_by_flyte() {
    let cases = golden("requests.jsonl").into_iter().filter(|case| case.get("encoded").is_some());
    let mut ran = 0;
    for case in cases.filter(|case| case["request"] != json!({})) {
        let field = |name: &str| case["request"][name].as_str().unwrap_or_default().to_owned();
        let mount = match field("mount_requirement").as_str() {
            "ENV_VAR" => "env",
            "FILE" => "file",
            _ => "any",
        };
        let (group, version, key, variable) = (field("group"), field("group_version"), field("key"), field("env_var"));
        let given = [("--group", &group), ("--group-version", &version), ("--key", &key), ("--env-var", &variable)];
        let mut arguments = vec!["request", "encode", "--mount", mount];
        for (flag, value) in given.iter().filter(|(_, value)| !value.is_empty()) {
            arguments.extend([*flag, value.as_str()]);
        }
        let encoded = case["encoded"].as_str().expect("text");
        assert_eq!(flyte_secrets(&arguments), (0, format!("{encoded}\n"), String::new()), "{case}");
        let decoded = json_of(&["request", "decode", encoded, "-o", "json"]);
        assert_eq!(decoded["request"].get("key"), case["request"].get("key"), "{case}");
        ran += 1;
    }
    assert_eq!(ran, 5);
}

#[test]
fn names_match_those_of_flyte() {
    let mut ran = 0;
    for case in golden("names.jsonl").into_iter().filter(|case| case["codec"] == "flyte-name") {
        let text = |at: usize| case["in"][at].as_str().unwrap_or_default();
        let (organization, domain, project) = (text(0), text(1), text(2));
        let is_label = |value: &str| !value.is_empty() && !value.contains("__");
        if ![organization, domain, project].into_iter().all(is_label) || text(3).is_empty() {
            continue;
        }
        let scope = ["--org", organization, "--domain", domain, "--project", project];
        let names = json_of(&[&["name"][..], &scope, &["--key", text(3), "-o", "json"]].concat());
        // No Secret holds other names, whatever Flyte makes of them.
        let holdable = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
        match case["out"].as_str().is_some_and(|name| name.bytes().all(holdable)) {
            true => assert_eq!(names[0]["name"], case["out"], "{case}"),
            false => assert!(names[0]["error"].is_string(), "{case}"),
        }
        ran += 1;
    }
    assert!(ran > 0, "cases that are labels");
}

#[test]
fn preview_reads_json_from_standard_input() {
    let value = "nnsxsoraejsgellqmfzxg42pojscectnn41w34c6ojsxc4ljojsw1zlooq4carkokzpvmqksbi";
    let metadata = json!({ "name": "p", "annotations": { "flyte.secrets/s0": value } });
    let pod = json!({ "kind": "Pod", "metadata": metadata, "spec": { "containers": [] } });
    let asks = "asks for key \"db-password\", as a variable\n";
    let decode = |input: &str| run(Command::new(BINARY).args(["request", "decode", "-"]), input);
    assert_eq!(decode(&pod.to_string()), (0, format!("Pod p\n  flyte.secrets/s0 {asks}"), String::new()));
    assert_eq!(decode(&format!("{value}\n")), (0, asks.to_owned(), String::new()));
    let (code, out, err) = decode("{\"kind\": \"Pod\"");
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.starts_with("error: standard input is not YAML: line "), "{err}");
}

const PREVIEW: [&str; 5] = ["preview", "-f", "examples/pod.yaml", "--secrets", "examples/store.yaml"];

/// The values in `examples/store.yaml`, as they are and in base64.
const VALUES: [&str; 6] = [
    "correct horse battery staple",
    "Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ==",
    "BEGIN CERTIFICATE",
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUIKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=",
    "xoxb-demo",
    "eG94Yi1kZW1v",
];

fn shows(text: &str) -> Vec<&'static str> {
    VALUES.into_iter().filter(|value| text.contains(value)).collect()
}

#[test]
fn preview_shows_values_on_request_only() {
    for shape in ["diff", "yaml", "json", "patch"] {
        let arguments = [&PREVIEW[..], &["-o", shape]].concat();
        let (code, out, err) = flyte_secrets(&arguments);
        assert_eq!((code, shows(&out), shows(&err)), (0, vec![], vec![]), "{shape}");
        let (code, out, err) = flyte_secrets(&[&arguments[..], &["--show-values"]].concat());
        let plain = vec![VALUES[0], VALUES[3], VALUES[4]];
        assert_eq!((code, shows(&out), shows(&err)), (0, plain, vec![]), "{shape}");
    }
    for shape in ["diff", "yaml", "json"] {
        let (code, out, err) = flyte_secrets(&[&PREVIEW[..], &["--explain", "-o", shape]].concat());
        assert_eq!((code, shows(&out), shows(&err)), (0, vec![], vec![]), "{shape}");
    }
}

/// DEL, C1 control characters and escape sequences are data if the output is not a terminal.
#[test]
fn values_are_printed_unchanged() {
    let value = "a\u{7f}b\u{9b}c\u{85}d\u{1b}[1m\u{7}e";
    let store = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/store.yaml")).expect("a store");
    let encoded = "YX9iwptjwoVkG1sxbQdl";
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("store.yaml");
    fs::write(&path, store.replace(VALUES[1], encoded)).expect("a file");
    let path = path.to_str().expect("text");
    let preview = |shape| {
        let pod = PREVIEW.iter().copied().filter(|argument| *argument != "examples/store.yaml");
        let mut arguments: Vec<&str> = pod.collect();
        arguments.extend([path, "--show-values", "-o", shape]);
        flyte_secrets(&arguments).1
    };
    let values = |document: &Value| document.to_string().contains(&json!(value).to_string());
    for shape in ["json", "patch"] {
        let out = preview(shape);
        assert!(values(&serde_json::from_str(&out).expect("JSON")), "{shape}: {out:?}");
    }
    let out = preview("yaml");
    assert!(values(&serde_yaml::from_str(&out).expect("YAML")), "{out:?}");
    let line = serde_yaml::to_string(&json!({ "value": value })).expect("YAML");
    assert!(preview("diff").contains(line.trim_end()), "{:?}", preview("diff"));
}

#[test]
fn values_of_an_earlier_mutation_are_hidden() {
    let (_, once, _) = flyte_secrets(&[&PREVIEW[..], &["-o", "yaml", "--show-values"]].concat());
    assert_eq!(shows(&once).len(), 3);
    let again = |arguments: &[&str], pod: &str| {
        let (code, out, _) = run(Command::new(BINARY).args(["preview", "-f", "-"]).args(arguments), pod);
        assert_eq!(code, 0);
        out
    };
    let stored = ["--secrets", "examples/store.yaml"];
    assert_eq!(again(&stored, &once), "", "a second pass changes nothing");
    let rotated = once.replace("correct horse", "other horse");
    let diff = again(&stored, &rotated);
    assert!(diff.contains("-      value: <another value>\n+      value: <value of db-password>\n"), "{diff}");
    for diff in [diff, again(&[], &once), again(&["-o", "yaml"], &once), again(&["-o", "patch"], &once)] {
        assert_eq!((shows(&diff), diff.contains("horse")), (vec![], false), "{diff}");
    }
}

#[test]
fn patch_yields_the_mutated_pod() {
    let shape = |shape| json_of(&[&PREVIEW[..], &["--show-values", "-o", shape]].concat());
    let (patch, after) = (shape("patch"), shape("json"));
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/pod.yaml")).expect("a pod");
    let mut pod: Value = serde_yaml::from_str(&text).expect("YAML");
    json_patch::patch(&mut pod, &serde_json::from_value::<json_patch::Patch>(patch).expect("a patch"))
        .expect("one that applies");
    assert_eq!(pod, after);
}

#[test]
fn findings_and_explanations_as_json() {
    let checked = json_of(&["check", "examples/webhook.yaml", "-o", "json"]);
    let place = |finding: &Value| {
        (finding["path"].clone(), finding["place"]["line"].clone(), finding["place"]["column"].clone())
    };
    let places: Vec<(Value, Value, Value)> =
        checked["findings"].as_array().expect("a list").iter().map(place).collect();
    let place = |path: &str, line: u64, column: u64| (json!(path), json!(line), json!(column));
    let wanted = [
        place("secretManagerTypes[1]", 1, 27),
        place("awsSecretManagr", 2, 1),
        place("embeddedSecretManagerConfig.awsConfig.region", 4, 1),
        place("embeddedSecretManagerConfig.k8sConfig.namespace", 7, 16),
        place("vaultSecretManager.annotations.vault.hashicorp.com/role", 10, 31),
    ];
    assert_eq!(places, wanted);
    assert_eq!(checked["valid"], json!(false));

    let settings = ["--settings", "examples/vault-first.yaml", "--explain", "-o", "json"];
    let explained = json_of(&[&PREVIEW[..], &settings].concat());
    let project = "u__org__acme__domain__development__project__flytesnacks__key__slack-token";
    let domain = "u__org__acme__domain__development__project____key__slack-token";
    assert_eq!(
        explained["requests"][2],
        json!({
            "annotation": "flyte.secrets/s2",
            "asks": "key \"slack-token\", as the variable SLACK_TOKEN",
            "managers": [
                { "manager": "Vault", "takes": false, "reason": "missing required field `group`", "read": [] },
                {
                    "manager": "Embedded",
                    "takes": true,
                    "source": format!("{domain} (Secret flyte/b9b55980258cb74828603e87ddc8c00f)"),
                    "read": [
                        { "object": "Secret flyte/495035d89d25fe1a8e00917efff361d6", "name": project, "found": false },
                        { "object": "Secret flyte/b9b55980258cb74828603e87ddc8c00f", "name": domain, "found": true },
                    ],
                },
            ],
        })
    );
    assert_eq!(explained["outcome"], json!("changed"));
}

/// Runs a line in `sh`, with programs that print their arguments, and `jq`, in its PATH.
fn shell(line: &str, programs: &Path, input: &str) -> Ran {
    run(Command::new("/bin/sh").args(["-c", line]).env("PATH", programs), input)
}

fn recorder(folder: &Path, name: &str) {
    let path = folder.join(name);
    fs::write(&path, "#!/bin/sh\nprintf '<%s>\\n' \"${0##*/}\" \"$@\"\n/bin/cat\n").expect("a program");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("one that may run");
}

#[test]
fn commands_that_store_secrets_are_quoted_for_a_shell() {
    let programs = tempfile::tempdir().expect("a folder");
    ["kubectl", "aws", "gcloud", "az", "jq"].iter().for_each(|name| recorder(programs.path(), name));
    let place = "a b'c\"d$(touch e)`f`;g&h|i*j\\k";
    let line = |arguments: &[&str]| {
        let scope = ["name", "--org", "acme", "--command", "-o", "json", "--scheme", "documented"];
        let answer = json_of(&[&scope[..], arguments].concat());
        answer[0]["command"].as_str().expect("a line").to_owned()
    };
    let words = |words: &[&str], rest: &str| {
        (0, words.iter().map(|it| format!("<{it}>\n")).collect::<String>() + rest, String::new())
    };

    let stored = shell(&line(&["--key", "k", "--place", place]), programs.path(), "value");
    let from = "--from-file=u__org__acme__key__k=/dev/stdin";
    let secret = json_of(&["name", "--org", "acme", "--scheme", "documented", "--key", "k", "-o", "json"]);
    let secret = secret[0]["secret"].as_str().expect("text").trim_start_matches("flyte/").to_owned();
    assert_eq!(
        stored,
        words(&["kubectl", "create", "secret", "generic", &secret, from, "--namespace", place], "value")
    );

    let stored = shell(&line(&["--key", "k", "--for", "aws", "--place", "eu-west-1"]), programs.path(), "value");
    let aws = ["aws", "secretsmanager", "create-secret", "--name", "u__org__acme__key__k"];
    let rest = ["--secret-string", "file:///dev/stdin", "--region", "eu-west-1"];
    assert_eq!(stored, words(&[&aws[..], &rest].concat(), "value"));

    let stored = shell(&line(&["--key", "k", "--for", "gcp"]), programs.path(), "value");
    let gcp = ["gcloud", "secrets", "create", "u__org__acme__key__k", "--replication-policy", "automatic"];
    assert_eq!(stored, words(&[&gcp[..], &["--data-file", "-"]].concat(), "value"));

    let azure = line(&["--key", "k", "--for", "azure", "--place", "vault"]);
    let stored = shell(&azure, programs.path(), "value");
    let az = ["az", "keyvault", "secret", "set", "--name", "1-acme---NM", "--file", "/dev/stdin"];
    let az = [&az[..], &["--encoding", "utf-8", "--output", "none", "--vault-name", "vault"]].concat();
    let filter = ["jq", "--raw-input", "--slurp", "{type: \"STRING\", value: .}"];
    assert_eq!(stored, words(&[&az[..], &filter].concat(), "value"));
}

#[test]
fn kubectl_runs_it_as_a_plugin() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin: PathBuf = folder.path().join("kubectl-flyte_secrets");
    symlink(BINARY, &plugin).expect("a link");
    let usage = |program: &Path| {
        let (code, out, _) = run(Command::new(program).args(["name", "decode", "--help"]), "");
        let usage = out.lines().find(|line| line.starts_with("Usage: ")).unwrap_or_default().to_owned();
        (code, usage)
    };
    assert_eq!(usage(&plugin), (0, "Usage: kubectl flyte-secrets name decode [OPTIONS] <NAME>".to_owned()));
    assert_eq!(usage(Path::new(BINARY)), (0, "Usage: flyte-secrets name decode [OPTIONS] <NAME>".to_owned()));
}

#[test]
fn colors_are_for_terminals_only() {
    let check = |variable: &str| {
        let command = &mut Command::new(BINARY);
        command.args(["check", "examples/webhook.yaml"]).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        run(command.env(variable, "1"), "").1.contains('\u{1b}')
    };
    assert_eq!(["CLICOLOR_FORCE", "NO_COLOR", "NOTHING"].map(check), [true, false, false]);
}

#[test]
fn completions_and_manuals_have_all_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (code, out, err) = flyte_secrets(&["completions", shell]);
        assert_eq!((code, err.as_str()), (0, ""), "{shell}");
        let commands = ["name", "request", "preview", "check", "policy", "completions", "man"];
        assert_eq!(commands.iter().find(|command| !out.contains(**command)), None, "{shell}");
    }
    let (_, script, _) = flyte_secrets(&["completions", "bash"]);
    let completes =
        "COMP_WORDS=(flyte-secrets na); COMP_CWORD=1; _flyte__secrets flyte-secrets na ''; echo \"${COMPREPLY[@]}\"";
    let ran = run(Command::new("bash").args(["-c", &format!("{script}\n{completes}")]), "");
    assert_eq!(ran, (0, "name\n".to_owned(), String::new()));

    let folder = tempfile::tempdir().expect("a folder");
    let (code, _, err) = flyte_secrets(&["man", folder.path().to_str().expect("text")]);
    assert_eq!((code, err.as_str()), (0, ""));
    let mut pages: Vec<String> = fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("a page").file_name().into_string().expect("text"))
        .filter(|page| !page.contains("-help"))
        .collect();
    pages.sort();
    let commands = ["-check", "-completions", "-man", "-name-decode", "-name", "-policy", "-preview"];
    let more = ["-request-decode", "-request-encode", "-request", ""];
    let wanted: Vec<String> = commands.into_iter().chain(more).map(|page| format!("flyte-secrets{page}.1")).collect();
    assert_eq!(pages, wanted);
    let (code, page, _) = flyte_secrets(&["man"]);
    assert_eq!((code, page.contains("Exit codes:")), (0, true));
    assert_eq!(flyte_secrets(&["man", "nowhere"]).0, 2);
}

#[test]
fn configurations_of_flyte_have_recorded_output() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let recorded = fs::read_to_string(folder.join("cmd/flyte.md")).expect("recorded answers");
    let files = fs::read_dir(folder.join("flyte")).expect("configurations");
    let names: Vec<String> = files.map(|file| file.expect("a file").file_name().into_string().expect("text")).collect();
    let missing: Vec<&String> = names
        .iter()
        .filter(|name| !["check", "policy -f"].iter().all(|it| recorded.contains(&format!("{it} tests/flyte/{name}"))))
        .collect();
    assert_eq!((missing, names.len()), (vec![], 4));
}
