//! Selection of pods.

use std::sync::Arc;

use flyte_secrets_testing::engine::creation;
use flyte_secrets_testing::host::{Capabilities, Store, nothing};
use serde_json::{Map, Value, json};

use crate::support::{annotation, create, managers, mutated, pod, policy, with};

/// Checks that a pod is accepted unchanged, without warnings.
fn untouched() -> Value {
    json!({ "accepted": true })
}

fn warned(warnings: &[&str]) -> Value {
    json!({ "accepted": true, "warnings": warnings })
}

fn review(request: &Value, settings: &Value) -> Result<Value, String> {
    let answer = policy().validate(request, settings, &nothing());
    answer.map(|response| response.0).map_err(|error| error.to_string())
}

const REQUEST: &str = "group:'db' key:'password' mount_requirement:ENV_VAR";

const UNLABELLED: &str = "pod has secret requests but gets no secrets: missing label inject-flyte-secrets: \"true\"";

#[test]
fn only_pod_creation_is_evaluated() {
    let request = creation(&pod(&[REQUEST]));
    let table = [
        ("an update", vec![("/operation", json!("UPDATE"))]),
        ("a deletion", vec![("/operation", json!("DELETE")), ("/object", json!(null))]),
        (
            "a deletion with the old pod",
            vec![("/operation", json!("DELETE")), ("/oldObject", pod(&[REQUEST])), ("/object", json!(null))],
        ),
        ("a connection", vec![("/operation", json!("CONNECT"))]),
        ("no operation", vec![("/operation", json!(null))]),
        ("a creation without an object", vec![("/object", json!(null)), ("/note", json!("flyte.secrets/s0"))]),
        ("a subresource", vec![("/subResource", json!("ephemeralcontainers"))]),
        ("a binding", vec![("/subResource", json!("binding"))]),
        ("a Deployment", vec![("/kind", json!({ "group": "apps", "version": "v1", "kind": "Deployment" }))]),
        ("another group's Pod", vec![("/kind/group", json!("example.com"))]),
        ("another version's Pod", vec![("/kind/version", json!("v2"))]),
        ("a PodTemplate", vec![("/kind/kind", json!("PodTemplate"))]),
        ("no kind", vec![("/kind/kind", json!(null))]),
    ];
    for (what, edits) in table {
        let request = edits.into_iter().fold(request.clone(), |request, (path, to)| with(request, path, to));
        assert_eq!(review(&request, &managers(&["K8s"])), Ok(untouched()), "{what}");
    }
}

#[test]
fn pod_templates_of_deployments_are_unchanged() {
    let asking = pod(&[REQUEST]);
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": asking["metadata"],
        "spec": { "template": { "metadata": asking["metadata"], "spec": asking["spec"] } },
    });
    let kind = json!({ "group": "apps", "version": "v1", "kind": "Deployment" });
    let request = with(creation(&deployment), "/kind", kind);
    assert_eq!(review(&request, &managers(&["K8s"])), Ok(untouched()));
}

#[test]
fn empty_subresource_is_absent() {
    let asking = pod(&[REQUEST]);
    for none in [json!(""), json!(null)] {
        let request = with(creation(&asking), "/subResource", none.clone());
        let direct = create(&asking, &managers(&["K8s"]));
        assert_eq!(review(&request, &managers(&["K8s"])), Ok(direct.0.clone()), "{none}");
        mutated(&direct);
    }
}

#[test]
fn labels_and_annotations_decide() {
    let labels = |labels: Value| with(pod(&[REQUEST]), "/metadata/labels", labels);
    let annotations = |of: &[(&str, &str)]| {
        let of: Map<String, Value> = of.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        with(pod(&[]), "/metadata/annotations", Value::Object(of))
    };
    let no_request = |key: &str| format!("ignored annotation {key:?}: expected flyte.secrets/s<number>");
    let (source, bare, negative, hex) = (
        no_request("flyte.secrets/source"),
        no_request("flyte.secrets/s"),
        no_request("flyte.secrets/s-1"),
        no_request("flyte.secrets/s0x1"),
    );
    let table = [
        ("the label and no request", pod(&[]), untouched()),
        (
            "no labels, no annotations",
            json!({ "metadata": { "name": "x" }, "spec": { "containers": [] } }),
            untouched(),
        ),
        ("labels are null", labels(json!(null)), warned(&[UNLABELLED])),
        ("no label", labels(json!({})), warned(&[UNLABELLED])),
        ("the label is false", labels(json!({ "inject-flyte-secrets": "false" })), warned(&[UNLABELLED])),
        ("the label is True", labels(json!({ "inject-flyte-secrets": "True" })), warned(&[UNLABELLED])),
        ("the label is empty", labels(json!({ "inject-flyte-secrets": "" })), warned(&[UNLABELLED])),
        (
            "the label is false and there is no request",
            with(pod(&[]), "/metadata/labels", json!({ "inject-flyte-secrets": "false" })),
            untouched(),
        ),
        (
            "no label, and nothing that is a request",
            with(annotations(&[("flyte.secrets/source", "x")]), "/metadata/labels", json!({})),
            untouched(),
        ),
        // Without managers, requests are not decoded.
        (
            "no label, and a request that cannot be read",
            with(annotations(&[("flyte.secrets/s0", "?")]), "/metadata/labels", json!({})),
            warned(&[UNLABELLED]),
        ),
        ("only the source", annotations(&[("flyte.secrets/source", "x")]), warned(&[&source])),
        (
            "several that are no requests, as they stand",
            annotations(&[("flyte.secrets/s-1", "?"), ("flyte.secrets/s", ""), ("flyte.secrets/s0x1", "")]),
            warned(&[&negative, &bare, &hex]),
        ),
        ("others' annotations", annotations(&[("x.flyte.secrets/s0", "?"), ("flyte.secrets", "?")]), untouched()),
    ];
    for (what, pod, answer) in table {
        assert_eq!(create(&pod, &managers(&["K8s"])).0, answer, "{what}");
    }
}

/// A request is served in a pod with other annotations of the prefix, which cause warnings.
#[test]
fn other_annotations_are_ignored() {
    let asking = pod(&[REQUEST]);
    let mut mixed = asking.clone();
    if let Some(annotations) = mixed.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.insert("flyte.secrets/source".to_owned(), json!("x"));
    }
    let env = json!([
        { "name": "FLYTE_SECRETS_ENV_PREFIX", "value": "_UNION_" },
        {
            "name": "_UNION_DB_PASSWORD",
            "valueFrom": { "secretKeyRef": { "name": "db", "key": "password", "optional": true } },
        },
    ]);
    let answer = json!({
        "accepted": true,
        "audit_annotations": { "secrets": "flyte.secrets/s0: K8s db/password" },
        "warnings": ["ignored annotation \"flyte.secrets/source\": expected flyte.secrets/s<number>"],
        "mutated_object": with(mixed.clone(), "/spec/containers/0/env", env),
    });
    assert_eq!(create(&mixed, &managers(&["K8s"])).0, answer);
}

/// The prefix in any field selects the slow path, which must have the same answer.
#[test]
fn prefix_in_other_fields_is_ignored() {
    let text = json!("flyte.secrets/s0");
    let request = json!({ "flyte.secrets/s0": annotation(REQUEST) });
    let table = [
        ("/spec/containers/0/args", json!([text])),
        ("/spec/containers/0/env", json!([{ "name": "A", "value": text }])),
        ("/metadata/labels/note", json!("flyte.secrets-s0")),
        ("/metadata/name", text.clone()),
        ("/metadata/managedFields", json!([{ "fieldsV1": { "f:metadata": { "f:annotations": request } } }])),
        ("/spec/annotations", request.clone()),
        ("/annotations", request.clone()),
        ("/status", json!({ "annotations": request })),
    ];
    for (path, value) in table {
        assert_eq!(create(&with(pod(&[]), path, value), &managers(&["K8s"])).0, untouched(), "{path}");
    }
}

/// An escaped prefix is found.
#[test]
fn an_escaped_prefix_is_found() {
    let asking = pod(&[REQUEST]);
    let payload = json!({ "request": creation(&asking), "settings": managers(&["K8s"]) }).to_string();
    let escaped = payload.replace("\"flyte.secrets/s0\"", "\"flyte.secrets\\/\\u0073\\u0030\"");
    assert_ne!(escaped, payload);
    let direct = create(&asking, &managers(&["K8s"]));
    mutated(&direct);
    let answer = policy().call("validate", escaped.as_bytes(), &nothing()).map_err(|error| error.to_string());
    let answer = answer.and_then(|text| serde_json::from_slice::<Value>(&text).map_err(|error| error.to_string()));
    assert_eq!(answer, Ok(direct.0));
}

/// A pod without secret requests needs no host calls and no valid settings.
#[test]
fn no_host_calls_for_pods_without_secret_requests() {
    let store = Store::new(json!({}));
    let capabilities: Arc<dyn Capabilities> = Arc::clone(&store) as Arc<dyn Capabilities>;
    for pod in [pod(&[]), with(pod(&["key:'k'"]), "/metadata/labels", json!({}))] {
        let answer = policy().create_pod(&pod, &json!({ "unknown": 1 }), &capabilities).map(|answer| answer.accepted());
        assert_eq!(answer.ok(), Some(true));
    }
    assert_eq!(store.asked(), []);
}
