//! What the chart and Kubewarden know of providers: their places, and the kinds of the gateway that the policy reads.

use anyhow::{Context, Result};
use flyte_secrets_policy::settings::Provider;
use flyte_secrets_testing::repository;

/// The chart's table.
const CHART: &str = "deploy/chart/templates/_providers.tpl";
/// The policy's metadata, whose list of objects has the gateway's kinds.
const METADATA: &str = "policy-metadata.yml";
const FIRST: &str = "  - apiVersion: v1\n    kind: Secret\n";
const LAST: &str = "  # To check that a store exists";

/// Returns the files.
///
/// # Errors
/// The metadata cannot be read, or has no list of objects.
pub fn files() -> Result<Vec<(&'static str, String)>> {
    let mut table =
        "{{/* Providers by their names in settings. Made by `make generate` of src/settings/provider.rs.\n  \
        places  what the gateway calls a list of places\n  field   the setting that holds the place */}}\n\
        {{- define \"flyte-secrets-policy.providers\" -}}\n"
            .to_owned();
    for provider in Provider::ALL {
        let facts = provider.facts();
        table += &format!("{provider}: {{ places: {}s, field: {} }}\n", facts.place, facts.setting);
    }
    let metadata = repository::read(METADATA)?;
    let (before, after) = metadata.split_once(FIRST).with_context(|| format!("{METADATA} has no{FIRST}"))?;
    let (_, after) = after.split_once(LAST).with_context(|| format!("{METADATA} has no{LAST}"))?;
    let served: String = super::gateway_kinds()
        .map(|kind| format!("  - apiVersion: secret-gateway.flyte.org/v1alpha1\n    kind: {kind}\n"))
        .collect();
    Ok(vec![(CHART, table + "{{- end }}\n"), (METADATA, [before, FIRST, &served, LAST, after].concat())])
}
