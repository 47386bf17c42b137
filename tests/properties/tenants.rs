//! No two tenants look up the same name, except in scopes that they share.

use std::collections::{BTreeMap, BTreeSet};

use flyte_secrets_policy::names::{NameScheme, Scope, azure, kubernetes};
use flyte_secrets_policy::secret_request::{MountRequirement, SecretRequest};
use flyte_secrets_policy::settings::Tenancy;
use flyte_secrets_policy::tenancy::{self, Origin};
use flyte_secrets_testing::generate::requests::{annotate, hostile};
use flyte_secrets_testing::generate::stores::scope;
use flyte_secrets_testing::generate::{Case, settings, text};
use flyte_secrets_testing::host::Store;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{answer, cases};

/// Labels that could reach into each other.
fn label() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "key", "project", "domain", "org", "u", "0", "00", "01", "0-0", "a-b", "a.b"])
            .prop_map(str::to_owned),
        2 => "[a-z0-9]([-_.a-z0-9]{0,4}[a-z0-9])?",
        1 => prop::sample::select(vec!["a__b", "_", "a__domain__b", "", "-"]).prop_map(str::to_owned),
    ]
}

fn tenant() -> impl Strategy<Value = Value> {
    (label(), label(), label()).prop_map(|(organization, domain, project)| {
        json!({
            "metadata": {
                "name": "a",
                "namespace": "tasks",
                "labels": {
                    "inject-flyte-secrets": "true",
                    "organization": organization,
                    "domain": domain,
                    "project": project,
                },
                "annotations": {},
            },
            "spec": { "containers": [{ "name": "main", "image": "x" }] },
        })
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[ab]",
        1 => hostile(),
        2 => "(a|b|__|key|project|domain|org|:|u__org__a__key__b){1,6}",
    ]
}

/// The names that a pod's request for `key` makes the policy ask for.
fn asked(pod: &Value, key: &str, settings: &Value, style: text::Style) -> BTreeSet<String> {
    let mut pod = pod.clone();
    let mount_requirement = MountRequirement::EnvVar;
    let request = SecretRequest { key: key.to_owned(), mount_requirement, ..SecretRequest::default() };
    let requests = vec![("flyte.secrets/s0".to_owned(), request)];
    annotate(&mut pod, &requests);
    let case = Case { pod, requests, settings: settings.clone(), store: json!({}), style };
    let store = Store::new(json!({}));
    answer(&case.payload(), &store);
    store
        .asked()
        .into_iter()
        // Requests that check the store have no tenant.
        .filter(|request| !["Namespace", "SecretLookup"].contains(&request.kind.as_str()))
        .map(|request| format!("{}/{:?}/{}", request.kind, request.namespace, request.name))
        .collect()
}

/// All strings of these characters up to a length.
fn words(characters: &[char], length: usize) -> Vec<String> {
    let mut all = vec![String::new()];
    for start in 0.. {
        let Some(word) = all.get(start).filter(|word: &&String| word.len() < length).cloned() else { break };
        all.extend(characters.iter().map(|character| format!("{word}{character}")));
    }
    all
}

/// Two scopes that are served in one namespace have the same labels, those of them that the template names.
#[test]
fn a_namespace_is_one_tenants() {
    let labels = words(&['a', 'x', '-'], 4);
    for separator in ["-", "--", "-x-", "-a-", "a", "aa", "x-x", "axa"] {
        let template = format!("t-{{{{ project }}}}{separator}{{{{ domain }}}}");
        let tenancy = Tenancy { namespace_template: template.try_into().ok(), ..Tenancy::default() };
        let mut served: BTreeMap<String, (&str, &str)> = BTreeMap::new();
        for project in &labels {
            for domain in &labels {
                let namespace = format!("t-{project}{separator}{domain}");
                let scope = Scope { organization: "acme", domain, project };
                let origin = Origin { namespace: &namespace, service_account: "default", creator: None };
                if tenancy::check(&tenancy, scope, &origin).is_ok() {
                    let first = served.insert(namespace, (project, domain));
                    assert_eq!(first, None, "{separator}: {project} {domain}");
                }
            }
        }
        assert!(served.len() > labels.len(), "{separator}: too few are served to show anything");
    }
}

/// The names of `key` in the scopes that two tenants share, however a store writes them.
fn shared(one: Scope, other: Scope, key: &str) -> Vec<String> {
    let both = one.cascade().into_iter().filter(|scope| other.cascade().contains(scope));
    let names = both.flat_map(|scope| {
        let flyte = scope.candidates(key, &[NameScheme::Canonical, NameScheme::Documented]);
        let hashed: Vec<String> = flyte.iter().map(|name| kubernetes::secret_name(name)).collect();
        [flyte, hashed, azure::encode(scope, key).into_iter().collect()].concat()
    });
    names.collect()
}

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn tenants_look_up_names_of_their_own(
        (one, other) in (tenant(), tenant()),
        (one_key, other_key) in prop_oneof![(key(), key()), key().prop_map(|key| (key.clone(), key))],
        settings in settings::valid(),
        style in text::Style::any(),
    ) {
        let mut settings = settings;
        settings["secretManagerTypes"] = json!(["Embedded"]);
        settings["tenancy"] = json!({});
        let [names, others] = [(&one, &one_key), (&other, &other_key)].map(|(pod, key)| asked(pod, key, &settings, style));
        let shared = match one_key == other_key {
            true => shared(scope(&one), scope(&other), &one_key),
            false => Vec::new(),
        };
        for name in names.intersection(&others) {
            prop_assert!(shared.iter().any(|it| name.ends_with(it)), "{name} is asked for by both");
        }
    }
}
