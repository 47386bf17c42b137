//! Rendered manifests: of the examples in the chart's folder `ci`, and of the values in this folder, which set other
//! fields.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::settings::validate;

use crate::helm::{CHART, documents, holds, repository, run, template};

/// The files of values.
fn values() -> Vec<PathBuf> {
    let folders =
        ["deploy/chart/ci", "tests/chart/values"].map(|folder| fs::read_dir(repository(folder)).expect("a folder"));
    let mut files: Vec<PathBuf> = folders.into_iter().flatten().map(|entry| entry.expect("a file").path()).collect();
    files.sort_by_key(|file| file.file_name().map(OsStr::to_owned));
    files
}

/// Replaces random bytes, and what is made of them, by the name that they have in the Secret of the gateway's
/// certificate. The APIService has the authority as `<ca.crt>`, the settings as a PEM without its body.
fn masked(rendered: &str) -> String {
    let all = documents(rendered);
    let secrets = all.iter().filter(|document| document["kind"] == "Secret");
    let data = secrets.flat_map(|secret| secret["data"].as_object().into_iter().flatten());
    data.fold(rendered.to_owned(), |text, (name, value)| {
        let value = value.as_str().expect("a string");
        let text = text.replace(value, &format!("<{name}>"));
        let plain = String::from_utf8(STANDARD.decode(value).expect("base64")).expect("PEM");
        let body: BTreeSet<&str> = plain.lines().filter(|line| !line.starts_with("-----")).collect();
        let random = |line: &str| body.contains(line.trim());
        if !text.lines().any(random) {
            return text;
        }
        let lines = text.lines().filter(|line| !random(line)).map(|line| match line.split_once("checksum/config: ") {
            Some((indent, _)) => format!("{indent}checksum/config: <checksum>\n"),
            None => format!("{line}\n"),
        });
        lines.collect()
    })
}

#[test]
#[ignore = "needs helm: make chart-test"]
fn lint() {
    for file in values() {
        let arguments = ["lint", CHART, "--strict", "--quiet", "--values"].map(OsStr::new);
        let output = run("helm", &[&arguments[..], &[file.as_os_str()]].concat());
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}: {said}{}", file.display(), String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
#[ignore = "needs helm: make chart-test"]
fn manifests() {
    for file in values() {
        let rendered = template(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for policy in documents(&rendered).iter().filter(|document| document["kind"] == "ClusterAdmissionPolicy") {
            let settings = policy["spec"]["settings"].to_string();
            validate(settings.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
        let name = file.file_name().expect("a name");
        holds(&repository("tests/chart/golden").join(name), &masked(&rendered));
    }
}

#[test]
fn each_golden_file_has_its_values() {
    let names = |files: Vec<PathBuf>| -> BTreeSet<_> {
        files.iter().filter_map(|file| file.file_name().map(OsStr::to_owned)).collect()
    };
    let golden =
        fs::read_dir(repository("tests/chart/golden")).expect("a folder").map(|entry| entry.expect("a file").path());
    let golden = golden.filter(|file| file.extension().is_some_and(|it| it == "yaml")).collect();
    assert_eq!(names(golden), names(values()), "two files of values have one name, or a golden file has none");
    assert_eq!(names(values()).len(), values().len());
}

#[test]
#[ignore = "needs helm-docs: make chart-test"]
fn readme_is_generated_from_the_values() {
    let arguments = ["--chart-search-root", CHART, "--skip-version-footer", "--dry-run"].map(OsStr::new);
    let output = run("helm-docs", &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made = String::from_utf8(output.stdout).expect("UTF-8");
    holds(&repository(CHART).join("README.md"), &format!("{}\n", made.trim_end()));
}
