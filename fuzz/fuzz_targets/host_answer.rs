//! Any response of `get_resource`: each has an outcome, and no message contains its error text or value.

#![no_main]

use std::cell::Cell;

use arbitrary::{Arbitrary, Unstructured};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_policy::names::{Scope, flyte};
use flyte_secrets_policy::secret_request::base32;
use flyte_secrets_policy::settings::Provider;
use flyte_secrets_policy::store::{Cluster, GetResource};
use flyte_secrets_policy_fuzz::{Answer, CANARY, check, creation, is_guard, not_found};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    #[arbitrary(with = provider)]
    provider: Provider,
    file: bool,
    image_pull_secrets: bool,
    /// In the order of the calls; the last one repeats.
    answers: Vec<HostAnswer<'a>>,
}

#[derive(Arbitrary, Debug)]
enum HostAnswer<'a> {
    NotFound,
    /// The host's message, with the canary on both sides.
    Error(&'a str),
    /// A value of the provider, after the canary.
    Text(&'a str),
    /// The same in base64.
    Bytes(&'a [u8]),
    /// `{"type", "value"}` of Azure Key Vault.
    Packed(&'a str),
    /// Any bytes.
    Raw(&'a [u8]),
}

fn provider(random: &mut Unstructured) -> arbitrary::Result<Provider> {
    random.choose(Provider::ALL).copied()
}

const SCOPE: Scope = Scope { organization: "o", domain: "d", project: "p" };

impl Input<'_> {
    fn settings(&self) -> Value {
        let mut settings = self.provider.example();
        settings["embeddedSecretManagerConfig"]["imagePullSecrets"] = json!({ "enabled": self.image_pull_secrets });
        settings
    }

    /// Returns an object with a value, as text or in base64.
    fn object(&self, value: &[u8], text: Option<&str>) -> Vec<u8> {
        let encoded = STANDARD.encode(value);
        let object = match (self.provider, text) {
            (Provider::K8s, _) => {
                let names = SCOPE.cascade().map(|scope| flyte::encode(scope, "k"));
                json!({ "data": names.map(|name| (name, json!(encoded))).into_iter().collect::<serde_json::Map<_, _>>() })
            }
            (Provider::Azure, Some(text)) => {
                json!({ "stringValue": json!({ "type": "STRING", "value": text }).to_string() })
            }
            (Provider::Azure, None) => {
                json!({ "stringValue": json!({ "type": "BINARY", "value": encoded }).to_string() })
            }
            (_, Some(text)) => json!({ "stringValue": text }),
            (_, None) => json!({ "binaryValue": encoded }),
        };
        object.to_string().into_bytes()
    }

    fn answer(&self, call: usize, request: &GetResource) -> Answer {
        let last = self.answers.len().saturating_sub(1);
        match self.answers.get(call.min(last)) {
            None | Some(HostAnswer::NotFound) => Err(not_found(request)),
            Some(HostAnswer::Error(text)) => Err([CANARY, text, CANARY].concat()),
            Some(HostAnswer::Text(text)) => {
                let value = [CANARY, text].concat();
                Ok(self.object(value.as_bytes(), Some(&value)))
            }
            Some(HostAnswer::Bytes(bytes)) => Ok(self.object(&[CANARY.as_bytes(), bytes].concat(), None)),
            Some(HostAnswer::Packed(text)) => Ok(json!({ "stringValue": text }).to_string().into_bytes()),
            Some(HostAnswer::Raw(bytes)) => Ok(bytes.to_vec()),
        }
    }
}

/// The host of one evaluation, which counts calls.
struct Host<'a> {
    input: &'a Input<'a>,
    asked: Cell<Vec<String>>,
}

impl Cluster for Host<'_> {
    fn get_resource(&self, request: &GetResource) -> Answer {
        if is_guard(request) {
            return Ok(b"{}".to_vec());
        }
        // The same request has the same response in each evaluation.
        let mut asked = self.asked.take();
        let question = format!("{} {:?} {}", request.kind, request.namespace, request.name);
        let call = asked.iter().position(|known| *known == question).unwrap_or_else(|| {
            asked.push(question);
            asked.len() - 1
        });
        self.asked.set(asked);
        self.input.answer(call, request)
    }
}

fuzz_target!(|input: Input| {
    let mount_requirement = if input.file { "FILE" } else { "ENV_VAR" };
    let text = format!("key: 'k' mount_requirement: {mount_requirement} env_var: 'V'");
    let pod = json!({
        "metadata": {
            "labels": { "inject-flyte-secrets": "true", "organization": "o", "project": "p", "domain": "d" },
            "annotations": { "flyte.secrets/s0": base32::encode(text.as_bytes()) },
        },
        "spec": { "containers": [{ "name": "main" }] },
    });
    let host = Host { input: &input, asked: Cell::default() };
    let answer = check(&creation(pod, "p-d", input.settings()), &host);
    let calls = host.asked.take().len();

    // The first response other than "not found" decides.
    let found = input.answers.iter().position(|answer| !matches!(answer, HostAnswer::NotFound));
    let scopes = if input.provider == Provider::Azure { 3 } else { 5 };
    match found.filter(|found| *found < scopes).map(|found| (found, &input.answers[found])) {
        None => assert_eq!((&answer["code"], calls), (&json!(400), scopes), "{answer}"),
        // A message "not found" of this object would have to contain its name.
        Some((found, HostAnswer::Error(text))) if !text.contains("Cannot find") => {
            // A gateway that answers 400 says that no secret of its provider can have this name.
            let bad_name = text.contains("code: 400") && input.provider.is_cloud();
            assert!(answer["code"] == json!(503) || bad_name && answer["code"] == json!(400), "{answer}");
            assert_eq!(calls, found + 1, "{answer}");
        }
        // In broader scopes, each name has another key in the Secret.
        Some((0, HostAnswer::Text(text)))
            if !input.image_pull_secrets && !text.contains('\0') && text.len() < 99_000 =>
        {
            assert_injected(&answer, input.file, &[CANARY, text].concat());
        }
        Some(_) => {}
    }
});

fn assert_injected(answer: &Value, file: bool, value: &str) {
    let spec = &answer["mutated_object"]["spec"];
    let (container, name, wanted) = match file {
        true => (&spec["initContainers"][0], "SECRETS", format!("k={}\n", STANDARD.encode(value))),
        false => (&spec["containers"][0], "V", value.to_owned()),
    };
    let variables = container["env"].as_array().into_iter().flatten();
    let found = variables.filter(|variable| variable["name"] == name).map(|variable| variable["value"].as_str());
    assert_eq!(found.flatten().map(expand).collect::<Vec<String>>(), [wanted], "{answer}");
}

/// Returns the value of a variable after expansion, without other variables.
///
/// Source: `third_party/forked/golang/expansion` of Kubernetes.
fn expand(value: &str) -> String {
    let mut expanded = String::new();
    let mut rest = value;
    while let Some((plain, after)) = rest.split_once('$') {
        expanded.push_str(plain);
        expanded.push('$');
        rest = after.strip_prefix('$').unwrap_or(after);
        // `$(NAME)` of an unknown variable is not expanded. The policy must escape what looks like one.
        assert!(after.starts_with('$') || !(after.starts_with('(') && after.contains(')')), "{value:?}");
    }
    expanded + rest
}
