//! Validation of a v1 Pod on creation by Kubernetes 1.37, for what the policy could break: annotations, names of
//! containers, variables, volumes, mounts, resources. `make e2e` checks the rest with a real API server.
//!
//! The tables name their sources in `pkg/apis/core/validation/validation.go` of k8s.io/kubernetes. Does not know
//! secrets.

use flyte_secrets_policy::names::kubernetes::{is_dns_label, is_dns_subdomain, is_qualified_name};
use serde_json::Value;

/// A rule: path of the values that it is for, the values that it accepts, and the reason to reject others. `[]` in a
/// path are the elements of a list, `{}` the members of an object.
type Rule = (&'static str, fn(&Value) -> bool, &'static str);

const POD: &[Rule] = &[
    // `ValidateAnnotations` in `pkg/api/validation/objectmeta.go` of k8s.io/apimachinery.
    ("metadata.annotations", |it| it.is_null() || it.is_object(), "expected a map"),
    ("metadata.annotations", |it| size(it) <= 256 * 1024, "exceeds 256 KiB"),
    ("metadata.annotations{}", Value::is_string, "expected a string"),
    // `ValidatePodSpec`.
    ("spec.containers", |it| it.get(0).is_some(), "required"),
    ("spec.initContainers", |it| it.is_null() || it.is_array(), "expected a list"),
    // `ValidateVolumes` and `validateVolumeSource`.
    ("spec.volumes", |it| it.is_null() || it.is_array(), "expected a list"),
    ("spec.volumes[].name", |it| is_dns_label(text(it)), "must be a DNS label"),
    ("spec.volumes[]", |it| sources(it, &VOLUME_SOURCES) <= 1, "has more than one source"),
    // `validateSecretVolumeSource` and `validateKeyToPath`; any key is accepted. `ValidateLocalNonReservedPath`.
    ("spec.volumes[].secret.secretName", is_not_empty, "required"),
    ("spec.volumes[].secret.optional", |it| it.is_null() || it.is_boolean(), "expected a boolean"),
    ("spec.volumes[].secret.items", |it| it.is_null() || it.is_array(), "expected a list"),
    ("spec.volumes[].secret.items[].key", is_not_empty, "required"),
    ("spec.volumes[].secret.items[].path", is_not_empty, "required"),
    ("spec.volumes[].secret.items[].path", |it| stays_inside(text(it)), "must be relative, without '..'"),
    // `validateImagePullSecrets` accepts any name.
    ("spec.imagePullSecrets[].name", |it| it.is_null() || it.is_string(), "expected a string"),
];

/// Sources of volumes of which more than one is an error.
const VOLUME_SOURCES: [&str; 6] = ["secret", "configMap", "emptyDir", "projected", "hostPath", "persistentVolumeClaim"];

/// Rules for containers and init containers.
const CONTAINER: &[Rule] = &[
    // `validateContainerCommon` and `validateContainerOnlyForPod`.
    ("name", |it| is_dns_label(text(it)), "must be a DNS label"),
    ("image", is_not_empty, "required"),
    // `ValidateEnv` and `validateEnvVarValueFrom`. Names need not be unique.
    ("env", |it| it.is_null() || it.is_array(), "expected a list"),
    ("env[].name", |it| is_variable_name(text(it)), "must be a name of a variable"),
    ("env[].value", |it| it.is_null() || it.is_string(), "expected a string"),
    ("env[]", |it| it["valueFrom"].is_null() || text(&it["value"]).is_empty(), "has a value and a source"),
    ("env[].valueFrom", |it| it.is_null() || sources(it, &VARIABLE_SOURCES) == 1, "must have one source"),
    // `validateSecretKeySelector` and `validateConfigMapKeySelector`.
    ("env[].valueFrom.secretKeyRef.name", |it| is_dns_subdomain(text(it)), "must be a DNS subdomain"),
    ("env[].valueFrom.secretKeyRef.key", |it| is_data_key(text(it)), "must be a key of a Secret"),
    ("env[].valueFrom.secretKeyRef.optional", |it| it.is_null() || it.is_boolean(), "expected a boolean"),
    // `ValidateVolumeMounts`. Colons in paths are not validated.
    ("volumeMounts", |it| it.is_null() || it.is_array(), "expected a list"),
    ("volumeMounts[].mountPath", is_not_empty, "required"),
    // `validateResourceRequirements`.
    ("resources.limits", |it| it.is_null() || it.is_object(), "expected a map"),
    ("resources.limits{}", |it| quantity(it).is_some(), "must be a quantity"),
    ("resources.requests", |it| it.is_null() || it.is_object(), "expected a map"),
    ("resources.requests{}", |it| it.is_null() || quantity(it).is_some(), "must be a quantity"),
];

const VARIABLE_SOURCES: [&str; 5] = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];

/// Returns the validation errors of a pod on creation, as `path: reason` (`ValidatePodCreate`).
pub fn check(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut require = |holds: bool, path: &str, reason: &str| {
        if !holds {
            found.push(format!("{}: {reason}", path.trim_start_matches('.')));
        }
    };
    for (path, accepts, reason) in POD {
        for (at, value) in values("", pod, path) {
            require(accepts(value), &at, reason);
        }
    }
    for key in pod["metadata"]["annotations"].as_object().into_iter().flat_map(|annotations| annotations.keys()) {
        require(is_qualified_name(&key.to_lowercase()), &format!("metadata.annotations{{{key}}}"), "invalid key");
    }
    let volumes = values("", pod, "spec.volumes[].name");
    let containers = [values("", pod, "spec.containers[]"), values("", pod, "spec.initContainers[]")].concat();
    let names: Vec<_> = containers.iter().flat_map(|(at, container)| values(at, container, "name")).collect();
    // Paths are compared as text: a trailing slash makes another path. `ValidateVolumeDevices` compares with mounts.
    let paths = containers.iter().map(|(at, container)| {
        [values(at, container, "volumeMounts[].mountPath"), values(at, container, "volumeDevices[].devicePath")]
            .concat()
    });
    for unique in [volumes.clone(), names].into_iter().chain(paths) {
        for (number, (at, value)) in unique.iter().enumerate() {
            require(unique.iter().take(number).all(|(_, earlier)| earlier != value), at, "must be unique");
        }
    }
    for (at, container) in &containers {
        for (path, accepts, reason) in CONTAINER {
            for (at, value) in values(at, container, path) {
                require(accepts(value), &at, reason);
            }
        }
        for (at, name) in values(at, container, "volumeMounts[].name") {
            require(volumes.iter().any(|(_, volume)| *volume == name), &at, "must be a name of a volume");
        }
        // Requests default to the limits (`SetDefaults_Pod` in `pkg/apis/core/v1/defaults.go`).
        let resources = &container["resources"];
        for (name, request) in resources["requests"].as_object().into_iter().flatten() {
            if let (Some(request), Some(limit)) = (quantity(request), quantity(&resources["limits"][name])) {
                require(request <= limit, &format!("{at}.resources.requests{{{name}}}"), "exceeds the limit");
            }
        }
    }
    found
}

/// Returns the values at a path of [`Rule`] with their own paths. Members of `null` do not exist; other missing members
/// are `null`, which equals an absent field in Go's decoder.
fn values<'a>(at: &str, value: &'a Value, path: &str) -> Vec<(String, &'a Value)> {
    let mut found = vec![(at.to_owned(), value)];
    for step in path.split('.') {
        let name = step.trim_end_matches(['[', ']', '{', '}']);
        found.retain(|(_, value)| !value.is_null());
        let children = |(at, value): (String, &'a Value)| -> Vec<(String, &'a Value)> {
            let (at, value) = (format!("{at}.{name}"), &value[name]);
            match value {
                Value::Array(list) if step.ends_with(']') => {
                    list.iter().enumerate().map(|(number, value)| (format!("{at}[{number}]"), value)).collect()
                }
                Value::Object(map) if step.ends_with('}') => {
                    map.iter().map(|(key, value)| (format!("{at}{{{key}}}"), value)).collect()
                }
                _ if step != name => Vec::new(),
                member => vec![(at, member)],
            }
        };
        found = found.into_iter().flat_map(children).collect();
    }
    found
}

fn is_not_empty(value: &Value) -> bool {
    !text(value).is_empty()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Returns how many members of these names an object has.
fn sources(value: &Value, names: &[&str]) -> usize {
    names.iter().filter(|name| !value[**name].is_null()).count()
}

/// Returns the size of a map's keys and values.
fn size(map: &Value) -> usize {
    map.as_object().into_iter().flatten().map(|(key, value)| key.len() + text(value).len()).sum()
}

/// Returns a quantity in thousandths, rounded up as in `SetDefaults_ResourceList` in `pkg/apis/core/v1/defaults.go`
/// (`parseQuantityString` in `pkg/api/resource/quantity.go` of k8s.io/apimachinery). `None` if it is negative, not a
/// quantity, or exceeds 128 bits.
fn quantity(value: &Value) -> Option<u128> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let unsigned = text.strip_prefix('+').unwrap_or(&text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: u128 = [whole, fraction].concat().parse().ok()?;
    let decimal = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"].iter().position(|known| *known == suffix);
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter().position(|known| *known == suffix);
    let (factor, exponent) = match (decimal, binary) {
        (Some(at), _) => (1, 3 * i32::try_from(at).ok()? - 9),
        (_, Some(at)) => (1024_u128.pow(u32::try_from(at).ok()? + 1), 0),
        _ => (1, suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    let power = exponent + 3 - i32::try_from(fraction.len()).ok()?;
    let ten = 10_u128.checked_pow(power.unsigned_abs());
    let amount = digits.checked_mul(factor)?;
    match power {
        0.. => amount.checked_mul(ten?),
        _ => Some(ten.map_or(amount.min(1), |ten| amount.div_ceil(ten))),
    }
}

/// Whether a path is relative and without `..`, also in front (`validateLocalDescendingPath`).
fn stays_inside(path: &str) -> bool {
    !path.starts_with(['/']) && !path.starts_with("..") && path.split('/').all(|part| part != "..")
}

/// `IsRelaxedEnvVarName` in `pkg/util/validation/validation.go` of k8s.io/apimachinery; the stricter rule was dropped
/// in Kubernetes 1.34.
fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|c| matches!(c, b' '..=b'~') && c != b'=')
}

/// `IsConfigMapKey` in the same file.
fn is_data_key(key: &str) -> bool {
    (1..=253).contains(&key.len())
        && key.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
        && key != "."
        && !key.starts_with("..")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns the errors of a pod whose member at `path` below its container is `value`; with a slash, below the pod.
    fn errors(path: &str, value: Value) -> Vec<String> {
        let mut pod = json!({
            "metadata": { "annotations": {} },
            "spec": { "containers": [{ "name": "main", "image": "train:1" }], "volumes": [{ "name": "data" }] },
        });
        match path.split_once('/') {
            Some((owner, name)) => pod[owner][name] = value,
            None => pod["spec"]["containers"][0][path] = value,
        }
        check(&pod)
    }

    #[test]
    fn errors_have_the_path_of_the_field() {
        let item = json!({ "key": "k", "path": "../k" });
        let volume = json!([{ "name": "a", "secret": { "secretName": "s", "items": [item] } }]);
        let variable = |from: Value| json!([{ "name": "A", "value": "x", "valueFrom": from }]);
        let key = |key: &str| json!([{ "name": "A", "valueFrom": { "secretKeyRef": { "name": "s", "key": key } } }]);
        let resources =
            |limit: &str, request: &str| json!({ "limits": { "cpu": limit }, "requests": { "cpu": request } });
        let mount = json!({ "name": "data", "mountPath": "/a" });
        let table = [
            ("metadata/annotations", json!({ "a/b/c": "" }), "metadata.annotations{a/b/c}"),
            ("metadata/annotations", json!({ "a": 1 }), "metadata.annotations{a}"),
            ("metadata/annotations", json!({ "a": "x".repeat(256 * 1024) }), "metadata.annotations"),
            ("spec/containers", json!([]), "spec.containers"),
            ("spec/initContainers", json!([{ "name": "main", "image": "x" }]), "spec.initContainers[0].name"),
            ("spec/volumes", json!([{ "name": "a", "emptyDir": {}, "hostPath": {} }]), "spec.volumes[0]"),
            ("spec/volumes", json!([{ "name": "a" }, { "name": "a" }]), "spec.volumes[1].name"),
            ("spec/volumes", json!([{ "name": "a", "secret": {} }]), "spec.volumes[0].secret.secretName"),
            ("spec/volumes", volume, "spec.volumes[0].secret.items[0].path"),
            ("name", json!("a.b"), "spec.containers[0].name"),
            ("image", Value::Null, "spec.containers[0].image"),
            ("env", json!([{ "name": "A=" }]), "spec.containers[0].env[0].name"),
            ("env", variable(json!({ "fieldRef": {} })), "spec.containers[0].env[0]"),
            ("env", json!([{ "name": "A", "valueFrom": {} }]), "spec.containers[0].env[0].valueFrom"),
            ("env", key(".."), "spec.containers[0].env[0].valueFrom.secretKeyRef.key"),
            ("volumeMounts", json!([{ "name": "x", "mountPath": "/" }]), "spec.containers[0].volumeMounts[0].name"),
            ("volumeMounts", json!([mount, mount]), "spec.containers[0].volumeMounts[1].mountPath"),
            ("resources", resources("1", "1001m"), "spec.containers[0].resources.requests{cpu}"),
            ("resources", resources("1 ", "1"), "spec.containers[0].resources.limits{cpu}"),
        ];
        for (place, value, path) in table {
            let found = errors(place, value.clone());
            let paths: Vec<&str> = found.iter().filter_map(|error| Some(error.split_once(": ")?.0)).collect();
            assert_eq!(paths, [path], "{place}: {value}");
        }
    }

    #[test]
    fn unusual_pods_are_valid() {
        let table = [
            ("metadata/annotations", json!({ "Example.COM/Key": "\u{0}" })),
            ("env", json!([{ "name": "A b" }, { "name": "A b", "value": "$(A" }])),
            ("volumeMounts", json!([{ "name": "data", "mountPath": "a:b" }, { "name": "data", "mountPath": "a:b/" }])),
            ("spec/volumes", json!([{ "name": "a", "x-new": {}, "secret": null }])),
            ("spec/imagePullSecrets", json!([{}, { "name": "" }])),
            ("resources", json!({ "limits": { "cpu": "0.1n", "memory": 2 }, "requests": { "memory": "2e0" } })),
        ];
        for (place, value) in table {
            assert_eq!(errors(place, value.clone()), [""; 0], "{place}: {value}");
        }
    }

    #[test]
    fn quantities() {
        let table = [
            ("1", Some(1000)),
            ("0.1m", Some(1)),
            ("2Ki", Some(2_048_000)),
            ("1e3", Some(1_000_000)),
            ("1E", Some(10_u128.pow(21))),
            ("", None),
            ("-1.5", None),
            ("1KB", None),
        ];
        for (text, amount) in table {
            assert_eq!(quantity(&json!(text)), amount, "{text}");
        }
    }
}
