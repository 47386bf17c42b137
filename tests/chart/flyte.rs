//! Default installations of Flyte 2 and Flyte 1 with the chart's defaults: only tasks get their secrets.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::admission;
use flyte_secrets_policy::names::kubernetes::secret_name;
use flyte_secrets_policy::store::{Cluster, GetResource};
use flyte_secrets_policy::verdict::Verdict;
use flyte_secrets_testing::engine::creation;
use flyte_secrets_testing::pods::{pod, with};
use serde_json::{Value, json};

use crate::helm::{documents, template_of};

const EXECUTOR: &str = "system:serviceaccount:flyte:flyte-binary";

/// A cluster with one secret of the organization `flyte`, where `flyte create secret` puts it.
struct OneSecret;

impl Cluster for OneSecret {
    fn get_resource(&self, request: &GetResource) -> Result<Vec<u8>, String> {
        let stored = "u__org__flyte__domain__development__project__flytesnacks__key__token";
        let name = secret_name(stored);
        assert_eq!((request.namespace, request.name), (Some("flyte"), name.as_str()));
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": name, "namespace": "flyte" },
            "data": { stored: STANDARD.encode("t0ken") },
        });
        Ok(secret.to_string().into_bytes())
    }
}

/// Returns the names of a pod's variables with the chart's settings, or the code of its rejection.
fn answer(values: &Value, pod: &Value, creator: &str) -> Result<BTreeSet<String>, u16> {
    let rendered = template_of(values).expect("the chart renders");
    let policy = documents(&rendered).into_iter().find(|document| document["kind"] == "ClusterAdmissionPolicy");
    let request = with(creation(pod), "/userInfo/username", json!(creator));
    let payload = json!({ "request": request, "settings": policy.expect("a policy")["spec"]["settings"] });
    match admission::validate(payload.to_string().as_bytes(), &OneSecret) {
        Verdict::Mutate { pod, .. } => {
            let pod: Value = serde_json::from_str(&serde_json::to_string(&pod).expect("JSON")).expect("JSON");
            let variables = pod["spec"]["containers"][0]["env"].as_array().expect("variables");
            Ok(variables.iter().filter_map(|variable| variable["name"].as_str()).map(str::to_owned).collect())
        }
        Verdict::Reject(rejection) => Err(rejection.code().http_status()),
        Verdict::Accept { .. } => panic!("the pod is not changed"),
    }
}

#[test]
#[ignore = "needs helm: make chart-test"]
fn flyte_2() {
    let of_flyte = |pod: Value| {
        let pod = with(pod, "/metadata/namespace", json!("flyte"));
        with(pod, "/metadata/labels/organization", json!("flyte"))
    };
    let task = of_flyte(pod(&["key:'token'"]));
    let variables = ["FLYTE_SECRETS_ENV_PREFIX", "_UNION_TOKEN"].map(str::to_owned).into();
    let elsewhere = with(task.clone(), "/metadata/namespace", json!("flytesnacks-development"));
    let other = with(task.clone(), "/metadata/labels/organization", json!("acme"));
    assert_eq!(answer(&json!({}), &task, EXECUTOR), Ok(variables));
    for (pod, creator) in [(&task, "alice"), (&elsewhere, EXECUTOR), (&other, EXECUTOR)] {
        assert_eq!(answer(&json!({}), pod, creator), Err(403), "{creator}: {pod}");
    }
}

#[test]
#[ignore = "needs helm: make chart-test"]
fn flyte_1() {
    let mut task = pod(&["group:'db' key:'password' mount_requirement:ENV_VAR"]);
    task["metadata"]["labels"].as_object_mut().expect("labels").remove("organization");
    let variables = ["FLYTE_SECRETS_ENV_PREFIX", "_FSEC_DB_PASSWORD"].map(str::to_owned).into();
    let propeller = "system:serviceaccount:flyte:flytepropeller";
    assert_eq!(answer(&json!({ "flyte": { "version": 1 } }), &task, propeller), Ok(variables));
}
