//! Selection of pods.

use flyte_secrets_testing::engine::creation;
use flyte_secrets_testing::host::{Store, nothing};
use serde_json::{Map, Value, json};

use crate::support::{annotation, create, create_with, edited, managers, mutated, pod, policy, validate, with};

/// The answer to a pod that is accepted unchanged, without warnings.
fn untouched() -> Value {
    json!({ "accepted": true })
}

fn warned(warnings: &[&str]) -> Value {
    json!({ "accepted": true, "warnings": warnings })
}

/// The answer of K8s to an admission request.
fn answer(request: &Value) -> Value {
    validate(request, &managers(&["K8s"]), &Store::new(json!({}))).0
}

const REQUEST: &str = "group:'db' key:'password' mount_requirement:ENV_VAR";

const UNLABELLED: &str = "pod has secret requests but gets no secrets: missing label inject-flyte-secrets: \"true\"";

#[test]
fn only_pod_creation_is_evaluated() {
    let asking = pod(&[REQUEST]);
    let request = creation(&asking);
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": asking["metadata"],
        "spec": { "template": { "metadata": asking["metadata"], "spec": asking["spec"] } },
    });
    let kind = json!({ "group": "apps", "version": "v1", "kind": "Deployment" });
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
        ("a Deployment, and its template", vec![("/object", deployment), ("/kind", kind)]),
        ("another group's Pod", vec![("/kind/group", json!("example.com"))]),
        ("another version's Pod", vec![("/kind/version", json!("v2"))]),
        ("a PodTemplate", vec![("/kind/kind", json!("PodTemplate"))]),
        ("no kind", vec![("/kind/kind", json!(null))]),
    ];
    for (what, edits) in table {
        assert_eq!(answer(&edited(request.clone(), edits)), untouched(), "{what}");
    }
}

#[test]
fn empty_subresource_is_absent() {
    let asking = pod(&[REQUEST]);
    for none in [json!(""), json!(null)] {
        let request = with(creation(&asking), "/subResource", none.clone());
        let direct = create(&asking, &managers(&["K8s"]));
        mutated(&direct);
        assert_eq!(answer(&request), direct.0, "{none}");
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
    let mut mixed = pod(&[REQUEST]);
    mixed["metadata"]["annotations"]["flyte.secrets/source"] = json!("x");
    let direct = create(&pod(&[REQUEST]), &managers(&["K8s"])).0;
    let ignored = json!(["ignored annotation \"flyte.secrets/source\": expected flyte.secrets/s<number>"]);
    let mutated = with(mixed.clone(), "/spec", direct["mutated_object"]["spec"].clone());
    let expected = edited(direct, [("/warnings", ignored), ("/mutated_object", mutated)]);
    assert_eq!(create(&mixed, &managers(&["K8s"])).0, expected);
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
    let answer = policy().call("validate", escaped.as_bytes(), &nothing()).expect("the policy answers");
    assert_eq!(serde_json::from_slice::<Value>(&answer).expect("JSON"), direct.0);
}

/// A pod without secret requests needs no host calls and no valid settings.
#[test]
fn no_host_calls_for_pods_without_secret_requests() {
    let store = Store::new(json!({}));
    for pod in [pod(&[]), with(pod(&["key:'k'"]), "/metadata/labels", json!({}))] {
        assert!(create_with(&pod, &json!({ "unknown": 1 }), &store).accepted());
    }
    assert_eq!(store.asked(), []);
}
