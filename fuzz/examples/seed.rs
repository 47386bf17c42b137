//! Seeds for the targets that read text: from the recorded cases, and handwritten ones for the gateway.
//! `seed GOLDEN_DIRECTORY SEEDS_DIRECTORY`

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::Path;

use flyte_secrets_policy::secret_request::base32;
use flyte_secrets_policy_fuzz::creation;
use serde_json::Value;

/// Inputs by target.
#[derive(Default)]
struct Seeds(BTreeMap<&'static str, BTreeSet<Vec<u8>>>);

impl Seeds {
    fn add(&mut self, target: &'static str, input: impl Into<Vec<u8>>) {
        self.0.entry(target).or_default().insert(input.into());
    }

    fn add_case(&mut self, case: &Value) {
        let annotations = case["pod"]["metadata"]["annotations"].as_object().into_iter().flatten();
        let annotations = annotations.filter(|(key, _)| key.starts_with("flyte.secrets/")).map(|(_, value)| value);
        for annotation in annotations.chain([&case["annotation"], &case["encoded"]]).filter_map(Value::as_str) {
            self.add("request", annotation);
            if let Ok(text) = base32::decode(annotation) {
                self.add("request", text);
            }
        }
        if let Some(pod) = case.get("pod") {
            self.add("settings", case["settings"].to_string());
            let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
            let mut payload = creation(pod.clone(), namespace, case["settings"].clone());
            payload["store"] = case["store"].clone();
            self.add("payload", payload.to_string());
        }
    }
}

/// Seeds of the gateway's targets: an input for each outcome.
const GATEWAY: [(&str, &[&str]); 5] = [
    (
        "gateway_names",
        &[
            "us-east-2:u__org__acme__domain__development__project__snacks__key__db-password",
            "example.com:project:u__org__o",
            "flyte.vault.azure.net:1-acme-development-snacks-key",
            "flyte:a.b",
            ":",
            "a:b/c",
        ],
    ),
    (
        "gateway_request",
        &[
            "GET /apis/secret-gateway.flyte.org/v1alpha1/awssecrets/us-east-2:u__org__o__domain__d__project__p__key__k\n\
             x-remote-user: system:admin\nx-remote-group: system:authenticated\nx-remote-group: b\n\
             x-remote-extra-a%2fb: c\nx-remote-uid: 7",
            "GET /apis/secret-gateway.flyte.org/v1alpha1/gcpsecrets/flyte:u__org__o?pretty=true\nx-remote-user: a\n\
             accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
            "GET /apis/secret-gateway.flyte.org/v1alpha1/azuresecrets/flyte.vault.azure.net%3A1-o\nx-remote-user: a\n\
             accept: application/vnd.kubernetes.protobuf, */*",
            "GET /apis/secret-gateway.flyte.org/v1alpha1/secretlookups/us-east-2:u__org__o\nx-remote-user: a\n\
             accept: application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
            "GET /apis/secret-gateway.flyte.org/v1alpha1/secretlookups/ready\nx-remote-user: a",
            "GET /apis/secret-gateway.flyte.org/v1alpha1/awssecrets?watch=true\nx-remote-user: a",
            "DELETE /apis/secret-gateway.flyte.org/v1alpha1/awssecrets/us-east-2:u__org__o\nx-remote-user: a",
            "GET /apis\nx-remote-user: a\n\
             accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
            "GET /openapi/v3/apis/secret-gateway.flyte.org/v1alpha1\nx-remote-user: a\naccept: */*",
            "GET /openapi/v2\nx-remote-user: a\nif-none-match: \"1\"",
            "GET /metrics\nx-remote-user: a",
            "HEAD /readyz",
        ],
    ),
    (
        "gateway_front_proxy",
        &[
            r#"{"requestheader-client-ca-file":"CA","requestheader-username-headers":"[\"X-Remote-User\",\"X-User\"]",
"requestheader-allowed-names":"[\"front-proxy-client\"]","requestheader-group-headers":"[\"X-Remote-Group\"]",
"requestheader-extra-headers-prefix":"[\"X-Remote-Extra-\"]","requestheader-uid-headers":"[]"}

X-User: admin
X-Remote-Group: a
X-Remote-Group:
X-Remote-Extra-Scopes%2e: b
X-Remote-Extra-%zz: c"#,
            r#"{"requestheader-client-ca-file":"CA","requestheader-username-headers":"[\"X-Remote-User\"]",
"requestheader-allowed-names":"[\"other\"]"}

X-Remote-User: admin"#,
            r#"{"requestheader-client-ca-file":"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}"#,
            r#"{"requestheader-client-ca-file":"CA","requestheader-username-headers":"X-Remote-User"}"#,
        ],
    ),
    (
        "gateway_pull",
        &[
            "authorization: Bearer good\n\npull\n--gateway\nhttps://localhost\n--ca\ncGVt\n--scope\nacme/development/snacks\n\
             --patience\n2m\n--file\ntls.crt\n--file\nb\n--env\nv0=db-password\n--env\nv1=tls.crt\n\n{\"files\":[\"other\"]}",
            "authorization: bearer good\n\npull\n--gateway\nhttps://localhost\n--ca\ncGVt\n--scope\nacme/development/a__b\n\
             --patience\n2m\n--file\na\n\n",
            "authorization: Basic good\n\npull\n\n",
            "authorization: Bearer other\nx-remote-user: system:admin\n\npull\n\n",
        ],
    ),
    (
        "gateway_provider",
        &[
            "400\n\nResourceNotFoundException\nSecrets Manager can't find c4n4ry-5ecre7-x\n",
            "400\n7\nThrottlingException\nRate exceeded\n",
            "400\n\nAccessDeniedException\nAccess to KMS is not allowed\n",
            "400\n\nInvalidRequestException\nmarked for deletion: c4n4ry-5ecre7-x\n",
            "404\n\n\n\n{\"error\":{\"code\":\"SecretNotFound\",\"message\":\"c4n4ry-5ecre7-x\"}}",
            "403\n\n\n\n{\"error\":{\"code\":\"Forbidden\",\"innererror\":{\"code\":\"SecretDisabled\"}}}",
            "429\n18446744073709551616\n\n\n{\"error\":{\"code\":\"c4n4ry-5ecre7-x\"}}",
            "409\n\n\n\n{\"error\":{\"code\":\"Conflict\",\"message\":\"being deleted\"}}",
            "404\n\n\n\n{\"error\":{\"code\":404,\"status\":\"NOT_FOUND\",\"message\":\"c4n4ry-5ecre7-x\"}}",
            "429\n\n\n\n{\"error\":{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\",\"message\":\"m\",\"details\":[{\
             \"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"99999s\"}]}}",
            "403\n\n\n\n{\"error\":{\"code\":403,\"status\":\"PERMISSION_DENIED\",\"message\":\"m\",\"details\":[{\
             \"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"SERVICE_DISABLED\"}]}}",
            "502\n\n\n\n<html>c4n4ry-5ecre7-x</html>",
        ],
    ),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [golden, seeds] = arguments.as_slice() else {
        return Err("usage: seed GOLDEN_DIRECTORY SEEDS_DIRECTORY".into());
    };
    let mut found = Seeds::default();
    for entry in fs::read_dir(golden)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            for line in fs::read_to_string(&path)?.lines().filter(|line| !line.is_empty()) {
                found.add_case(&serde_json::from_str(line)?);
            }
        }
    }
    for (target, inputs) in GATEWAY {
        inputs.iter().for_each(|input| found.add(target, *input));
    }
    for (target, inputs) in found.0 {
        let folder = Path::new(seeds).join(target);
        fs::create_dir_all(&folder)?;
        for (number, input) in inputs.iter().enumerate() {
            fs::write(folder.join(number.to_string()), input)?;
        }
        println!("{target}: {} seeds", inputs.len());
    }
    Ok(())
}
