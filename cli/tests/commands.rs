//! Tests that examples cannot cover: standard input, hidden values, shells, and the encodings recorded from Flyte.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // how tests fail

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flyte_secrets_policy::secret_request::base32;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_flyte-secrets");

/// Result of a run: exit code, standard output, standard error.
type Ran = (i32, String, String);

fn run(command: &mut Command, input: &str) -> Ran {
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

#[test]
fn requests_are_encoded_as_by_flyte() {
    let recorded = fs::read_to_string("../tests/golden/requests.jsonl").expect("recorded cases");
    let cases = recorded.lines().map(|line| serde_json::from_str::<Value>(line).expect("a case"));
    let mut ran = 0;
    for case in cases.filter(|case| case.get("encoded").is_some() && case["request"] != json!({})) {
        let mut arguments = vec!["request", "encode"];
        for (field, value) in case["request"].as_object().expect("fields") {
            arguments.extend(match (field.as_str(), value.as_str().expect("text")) {
                ("mount_requirement", "ENV_VAR") => ["--mount", "env"],
                ("mount_requirement", "FILE") => ["--mount", "file"],
                ("group_version", value) => ["--group-version", value],
                ("env_var", value) => ["--env-var", value],
                ("group", value) => ["--group", value],
                (_, value) => ["--key", value],
            });
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
fn decode_reads_standard_input() {
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
    let plain = [VALUES[0], VALUES[3], VALUES[4]];
    let table: [(&[&str], &[&str], &[&str]); 3] = [
        (&["diff", "yaml", "json", "patch"], &[], &[]),
        (&["diff", "yaml", "json", "patch"], &["--show-values"], &plain),
        (&["diff", "yaml", "json"], &["--explain"], &[]),
    ];
    for (shapes, arguments, shown) in table {
        for shape in shapes {
            let (code, out, err) = flyte_secrets(&[&PREVIEW[..], arguments, &["-o", shape]].concat());
            assert_eq!((code, shows(&out), shows(&err)), (0, shown.to_vec(), vec![]), "{shape} {arguments:?}");
        }
    }
}

/// DEL, C1 control characters and escape sequences are data if the output is not a terminal.
#[test]
fn values_are_printed_unchanged() {
    let value = "a\u{7f}b\u{9b}c\u{85}d\u{1b}[1m\u{7}e";
    let store = fs::read_to_string("examples/store.yaml").expect("a store");
    let store = store.replace(VALUES[1], "YX9iwptjwoVkG1sxbQdl");
    let preview = |shape| {
        let arguments = ["preview", "-f", "examples/pod.yaml", "--secrets", "-", "--show-values", "-o", shape];
        run(Command::new(BINARY).args(arguments), &store).1
    };
    let json = |shape| serde_json::from_str(&preview(shape)).expect("JSON");
    let documents: [Value; 3] = [json("json"), json("patch"), serde_yaml::from_str(&preview("yaml")).expect("YAML")];
    for document in documents {
        assert!(document.to_string().contains(&json!(value).to_string()), "{document}");
    }
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

/// Secrets of a request that the policy accepts are assumed to exist, with `unknownFields: Warn` too.
#[test]
fn requests_with_unknown_fields_are_previewed() {
    let pod = fs::read_to_string("examples/pod.yaml").expect("a pod");
    let known = pod.lines().find_map(|line| line.trim().strip_prefix("flyte.secrets/s0: ")).expect("a request");
    let pod = pod.replace(known, &base32::encode(b"key: \"db-password\" new: 1"));
    let settings = tempfile::NamedTempFile::new().expect("a file");
    fs::write(settings.path(), "unknownFields: Warn").expect("settings");
    let settings = settings.path().to_str().expect("a path");
    let (code, out, _) =
        run(Command::new(BINARY).args(["preview", "-f", "-", "--settings", settings, "--explain"]), &pod);
    assert_eq!((code, out.contains("flyte.secrets/s0")), (0, true), "{out}");
}

#[test]
fn patch_yields_the_mutated_pod() {
    let shape = |shape| json_of(&[&PREVIEW[..], &["--show-values", "-o", shape]].concat());
    let (patch, after) = (shape("patch"), shape("json"));
    let text = fs::read_to_string("examples/pod.yaml").expect("a pod");
    let mut pod: Value = serde_yaml::from_str(&text).expect("YAML");
    json_patch::patch(&mut pod, &serde_json::from_value::<json_patch::Patch>(patch).expect("a patch"))
        .expect("one that applies");
    assert_eq!(pod, after);
}

/// Commands are run in `sh`, with programs in its PATH that print their arguments and their input.
#[test]
fn commands_that_store_secrets_are_quoted_for_a_shell() {
    let programs = tempfile::tempdir().expect("a folder");
    for name in ["kubectl", "aws", "gcloud", "az", "jq"] {
        let path = programs.path().join(name);
        fs::write(&path, "#!/bin/sh\nprintf '<%s>\\n' \"${0##*/}\" \"$@\"\n/bin/cat\n").expect("a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("one that may run");
    }
    let odd = "a b'c\"d$(touch e)`f`;g&h|i*j\\k";
    let name = "u__org__acme__key__k";
    let table = [
        ("k8s", odd, "kubectl create secret generic SECRET --from-file=NAME=/dev/stdin --namespace PLACE"),
        ("aws", odd, "aws secretsmanager create-secret --name NAME --secret-string file:///dev/stdin --region PLACE"),
        ("gcp", "", "gcloud secrets create NAME --replication-policy automatic --data-file -"),
        (
            "azure",
            "vault",
            "az keyvault secret set --name 1-acme---NM --file /dev/stdin --encoding utf-8 --output none --vault-name PLACE \
             jq --raw-input --slurp FILTER",
        ),
    ];
    for (store, place, expected) in table {
        let scope = ["name", "--org", "acme", "--key", "k", "--scheme", "documented", "--for", store, "--command"];
        let place_of = ["--place", place].into_iter().filter(|_| !place.is_empty());
        let answer = json_of(&scope.into_iter().chain(place_of).chain(["-o", "json"]).collect::<Vec<_>>());
        let line = answer[0]["command"].as_str().expect("a line");
        let stored = run(Command::new("/bin/sh").args(["-c", line]).env("PATH", programs.path()), "value");
        let secret = answer[0]["secret"].as_str().and_then(|it| it.rsplit('/').next()).unwrap_or_default();
        let words = expected.split(' ').map(|word| match word {
            "PLACE" => place,
            "FILTER" => "{type: \"STRING\", value: .}",
            word => word,
        });
        let words = words.map(|word| format!("<{}>\n", word.replace("NAME", name).replace("SECRET", secret)));
        assert_eq!(stored, (0, words.collect::<String>() + "value", String::new()), "{store}");
    }
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
    let files = fs::read_dir(folder.path()).expect("a folder");
    let pages = files.map(|file| file.expect("a page").file_name().into_string().expect("text"));
    let pages: BTreeSet<String> = pages.filter(|page| !page.contains("-help")).collect();
    let expected =
        "-check -completions -man -name-decode -name -policy -preview -request-decode -request-encode -request ";
    assert_eq!(pages, expected.split(' ').map(|page| format!("flyte-secrets{page}.1")).collect());
    let (code, page, _) = flyte_secrets(&["man"]);
    assert_eq!((code, page.contains("Exit codes:")), (0, true));
    assert_eq!(flyte_secrets(&["man", "nowhere"]).0, 2);
}
