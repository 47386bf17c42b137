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

/// Renders the chart with a file of values, or returns helm's error.
pub fn template(values: &Path) -> Result<String, String> {
    template_on(values, &[])
}

fn template_on(values: &Path, more: &[&str]) -> Result<String, String> {
    let arguments = ["template", "flyte-secrets", CHART, "--namespace", "flyte", "--values"].map(OsStr::new);
    let more: Vec<&OsStr> = more.iter().map(OsStr::new).collect();
    let output = run("helm", &[&arguments[..], &[values.as_os_str()], &more].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

/// Renders the chart with values, or returns helm's error.
pub fn template_of(values: &Value) -> Result<String, String> {
    template_with(values, &[])
}

/// Renders the chart with values and additional arguments.
pub fn template_with(values: &Value, more: &[&str]) -> Result<String, String> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(&file, values.to_string()).expect("written");
    template_on(file.path(), more)
}

/// Returns the documents of a rendered chart.
pub fn documents(text: &str) -> Vec<Value> {
    let text = format!("\n{text}");
    text.split("\n---\n").map(|document| serde_yaml::from_str(document).expect("YAML")).collect()
}

/// Checks the content of a file; with WRITE, writes it.
pub fn holds(path: &Path, wanted: &str) {
    if env::var_os("WRITE").is_some() {
        return fs::write(path, wanted).expect("written");
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    let path = path.display();
    assert!(
        found == wanted,
        "{path} is not what it would be now; `make chart-test WRITE=1` writes it:\n{}",
        show::diff(&found, wanted)
    );
}
