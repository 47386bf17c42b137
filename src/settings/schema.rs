//! Which keys settings may have: Flyte's, those of Flyte that mean nothing in a policy, and ours.
//!
//! The types say how values are read; this table says what else may stand beside them. It is looked at once, when
//! the policy starts.

use serde_json::Value;

use super::Error;

/// What may stand under a key.
enum Node {
    /// A section with keys of its own.
    Section(&'static [(&'static str, Node)]),
    /// A value; its type checks it.
    Value,
    /// A value of Flyte's that has no meaning in a policy: accepted, whatever it is.
    Ignored,
}

use Node::{Ignored, Section, Value as Leaf};

const RESOURCES: Node = Section(&[("limits", Leaf), ("requests", Leaf)]);

const SIDECAR: Node = Section(&[("sidecarImage", Leaf), ("resources", RESOURCES)]);

const SETTINGS: &[(&str, Node)] = &[
    ("secretManagerType", Leaf),
    ("secretManagerTypes", Leaf),
    ("secretEnvVarPrefix", Leaf),
    ("k8sSecretManager", Section(&[("optional", Leaf)])),
    ("awsSecretManager", SIDECAR),
    ("gcpSecretManager", SIDECAR),
    ("azureSecretManager", SIDECAR),
    (
        "vaultSecretManager",
        Section(&[("role", Leaf), ("kvVersion", Leaf), ("annotations", Leaf), ("lockAnnotations", Leaf)]),
    ),
    (
        "embeddedSecretManagerConfig",
        Section(&[
            ("type", Leaf),
            ("awsConfig", Section(&[("region", Leaf)])),
            ("gcpConfig", Section(&[("project", Leaf)])),
            ("azureConfig", Section(&[("vaultURI", Leaf)])),
            ("k8sConfig", Section(&[("namespace", Leaf), ("kubeClientConfig", Ignored)])),
            (
                "fileMountInitContainer",
                Section(&[("image", Leaf), ("resources", RESOURCES), ("containerName", Leaf)]),
            ),
            ("imagePullSecrets", Section(&[("enabled", Leaf)])),
            ("nameSchemes", Leaf),
        ]),
    ),
    ("tenancy", Section(&[("namespaceTemplate", Leaf), ("serviceAccounts", Leaf)])),
    ("certDir", Ignored),
    ("listenPort", Ignored),
    ("serviceName", Ignored),
    ("metrics-prefix", Ignored),
    ("localCert", Ignored),
    ("secretName", Ignored),
    ("servicePort", Ignored),
    ("cacheInvalidationPort", Ignored),
    ("imageBuilderConfig", Ignored),
    ("webhookTimeout", Ignored),
    ("disableCreateMutatingWebhookConfig", Ignored),
    ("namespaceSelector", Ignored),
    ("kubeClientConfig", Ignored),
];

/// Looks for keys that are not in the table.
pub fn check_keys(json: &[u8]) -> Result<(), Error> {
    check("", SETTINGS, &serde_json::from_slice(json)?)
}

fn check(above: &str, known: &'static [(&'static str, Node)], value: &Value) -> Result<(), Error> {
    // What is no object is refused by its type.
    let Value::Object(members) = value else { return Ok(()) };
    for (key, value) in members {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        match known.iter().find(|(name, _)| name == key) {
            Some((_, Section(below))) => check(&path, below, value)?,
            Some((_, Leaf | Ignored)) => {}
            None => return Err(Error::UnknownKey { path, nearest: nearest(key, known.iter().map(|(name, _)| *name)) }),
        }
    }
    Ok(())
}

/// The name that is written most like `found`, in any case, if one is near enough to have been meant.
pub fn nearest<'a>(found: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_lowercase();
    known
        .map(|name| (strsim::damerau_levenshtein(&found, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, name)| name)
}
