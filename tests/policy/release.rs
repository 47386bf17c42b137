//! Consistency of a release: one version, one Rust, and one place for each artifact. `make release` writes the
//! versions; [`metadata`](crate::metadata) checks those that Kubewarden reads.

use flyte_secrets_policy::settings::images;
use flyte_secrets_testing::repository;
use serde_json::Value;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn text(file: &str) -> String {
    repository::read(file).unwrap_or_else(|error| panic!("{error:#}"))
}

fn yaml(file: &str) -> Value {
    repository::yaml(file).unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn chart_and_npm_package_have_the_policys_version() {
    let chart = yaml("deploy/chart/Chart.yaml");
    let package = yaml("playground/package/package.json");
    assert_eq!([&chart["version"], &chart["appVersion"], &package["version"]], [VERSION; 3]);
}

#[test]
fn documents_name_this_version_of_the_policy() {
    let mut named = 0;
    let others = ["README.md", "cli/README.md"].map(str::to_owned);
    for file in repository::files("docs", ".md").expect("a folder of documents").into_iter().chain(others) {
        let text = text(&file);
        for before in ["flyte-secrets-policy:v", "/releases/download/v", "\nVERSION="] {
            let starts = |after: &&str| after.starts_with(|first: char| first.is_ascii_digit());
            for after in text.split(before).skip(1).filter(starts) {
                named += 1;
                let ends = |rest: &str| !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '-');
                assert!(after.strip_prefix(VERSION).is_some_and(ends), "another version in {file}");
            }
        }
    }
    assert!(named > 1, "documents name the policy");
}

#[test]
fn images_are_built_with_the_pinned_rust() {
    let toolchain = text("rust-toolchain.toml");
    let channel = toolchain.split("channel = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a channel");
    for file in ["gateway/Containerfile", "pull/Containerfile"] {
        let base = format!("FROM docker.io/library/rust:{channel}-slim-");
        assert!(text(file).contains(&base), "rust {channel} in {file}");
    }
}

#[test]
fn renovate_follows_every_version_that_is_installed() {
    for file in ["make/versions.mk", "gateway/Containerfile", "pull/Containerfile"] {
        let text = text(file);
        let lines: Vec<&str> = text.lines().collect();
        let pinned = |line: &str| {
            line.split_once("_VERSION").is_some_and(|(_, rest)| {
                rest.trim_start_matches([' ', ':', '=']).starts_with(|first: char| first.is_ascii_digit())
            })
        };
        let pins: Vec<_> = lines.windows(2).filter(|pair| pinned(pair[1])).collect();
        assert!(!pins.is_empty(), "{file} has pins");
        for pin in pins {
            assert!(
                pin[0].starts_with("# renovate: datasource="),
                "{file}: {} has no `# renovate:` line above it",
                pin[1]
            );
        }
    }
}

#[test]
fn workflow_pushes_to_the_documented_registries() {
    let workflow = yaml(".github/workflows/release.yml");
    let registry = workflow["env"]["REGISTRY"].as_str().expect("a registry");
    let steps = text(".github/workflows/release.yml");
    let pushed = |artifact: &str| {
        let name = artifact.strip_prefix(registry).unwrap_or_else(|| panic!("{artifact} is not in {registry}"));
        assert!(steps.contains(&format!("$REGISTRY{name}")), "{artifact} is pushed");
    };
    let annotations = &yaml("policy-metadata.yml")["annotations"];
    pushed(annotations["io.kubewarden.policy.ociUrl"].as_str().expect("the policy's address"));
    let values = yaml("deploy/chart/values.yaml");
    for image in [&values["gateway"]["image"]["repository"], &values["pull"]["image"]["repository"]] {
        pushed(image.as_str().expect("the image's address"));
    }
    let pull = &values["pull"]["image"]["repository"];
    assert_eq!(images::PULL, format!("{}:v{VERSION}", pull.as_str().expect("an address")));
}
