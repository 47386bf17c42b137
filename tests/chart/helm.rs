//! Runs helm and helm-docs.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

pub use flyte_secrets_testing::repository::path as repository;
use flyte_secrets_testing::show;
use serde_json::Value;

/// Where the chart is.
pub const CHART: &str = "deploy/chart";

/// Runs one of the programs in the repository's root.
pub fn run(program: &str, arguments: &[&OsStr]) -> Output {
    let tools = env::var_os("CHART_TOOLS").expect("CHART_TOOLS is not set; `make chart-test` builds helm and sets it");
    let mut command = Command::new(Path::new(&tools).join(program));
    // Without a cluster and the user's configuration of helm.
    command.args(arguments).current_dir(repository("")).env_clear().env("HOME", "/nonexistent");
    command.output().unwrap_or_else(|error| panic!("cannot run {program}: {error}"))
}

/// Renders the chart with additional arguments, or returns helm's error.
fn rendered_with(arguments: &[&OsStr]) -> Result<String, String> {
    let common = ["template", "flyte-secrets", CHART, "--namespace", "flyte"].map(OsStr::new);
    let output = run("helm", &[&common[..], arguments].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

/// Renders the chart with a file of values, or returns helm's error.
pub fn template(values: &Path) -> Result<String, String> {
    rendered_with(&[OsStr::new("--values"), values.as_os_str()])
}

/// Renders the chart with values, or returns helm's error.
pub fn template_of(values: &Value) -> Result<String, String> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(&file, values.to_string()).expect("written");
    template(file.path())
}

/// Renders the chart with values in the format of `--set-json`, for a version of Kubernetes [default: helm's], or returns
/// helm's error.
pub fn template_set(values: &str, kubernetes: Option<&str>) -> Result<String, String> {
    let version = kubernetes.map(|version| ["--kube-version", version]);
    let set = (!values.is_empty()).then_some(["--set-json", values]);
    let arguments: Vec<&OsStr> = [set, version].into_iter().flatten().flatten().map(OsStr::new).collect();
    rendered_with(&arguments)
}

/// Returns the documents of a rendered chart.
pub fn documents(text: &str) -> Vec<Value> {
    let text = format!("\n{text}");
    text.split("\n---\n").map(|document| serde_yaml::from_str(document).expect("YAML")).collect()
}

/// Checks the content of a file; with WRITE, writes it.
pub fn holds(path: &Path, expected: &str) {
    if env::var_os("WRITE").is_some() {
        return fs::write(path, expected).expect("written");
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    let path = path.display();
    assert!(
        found == expected,
        "{path} is not what it would be now; `make chart-test WRITE=1` writes it:\n{}",
        show::diff(&found, expected)
    );
}
