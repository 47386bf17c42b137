//! Validation of a v1 Pod on creation by Kubernetes 1.37, for what the policy could break: annotations, names of
//! containers, variables, volumes, mounts, resources. `make e2e` checks the rest with a real API server.
//!
//! Each rule names its source: `validation.go` is `pkg/apis/core/validation/validation.go` of k8s.io/kubernetes,
//! `defaults.go` is `pkg/apis/core/v1/defaults.go`, whose defaults apply before the rules, `content` is
//! `pkg/api/validate/content` of k8s.io/apimachinery. Does not know secrets.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

/// A validation error.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Violation {
    /// Path of the field, such as `spec.containers[0].name`.
    pub path: String,
    /// The reason.
    pub reason: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

/// Returns the validation errors of a pod on creation (`ValidatePodCreate` in validation.go).
pub fn check(pod: &Value) -> Vec<Violation> {
    let mut checker = Checker::default();
    let metadata = At { value: &pod["metadata"], path: "metadata".to_owned() };
    let spec = At { value: &pod["spec"], path: "spec".to_owned() };
    checker.metadata(&metadata);
    checker.spec(&spec);
    checker.found
}

/// A value with its path.
#[derive(Clone)]
struct At<'a> {
    value: &'a Value,
    path: String,
}

impl<'a> At<'a> {
    fn get(&self, name: &str) -> Self {
        Self { value: &self.value[name], path: format!("{}.{name}", self.path) }
    }

    /// Whether it is set; `null` is not.
    fn is_set(&self) -> bool {
        !self.value.is_null()
    }
}

#[derive(Default)]
struct Checker {
    found: Vec<Violation>,
}

/// Types, as in Go's decoder; `null` equals an absent field.
impl Checker {
    fn refuse(&mut self, at: &At, reason: &str) {
        self.found.push(Violation { path: at.path.clone(), reason: reason.to_owned() });
    }

    fn require(&mut self, holds: bool, at: &At, reason: &str) {
        if !holds {
            self.refuse(at, reason);
        }
    }

    fn text<'a>(&mut self, at: &At<'a>) -> &'a str {
        self.require(at.value.is_string() || !at.is_set(), at, "no string");
        at.value.as_str().unwrap_or_default()
    }

    fn boolean(&mut self, at: &At) -> bool {
        self.require(at.value.is_boolean() || !at.is_set(), at, "neither true nor false");
        at.value.as_bool().unwrap_or_default()
    }

    fn list<'a>(&mut self, at: &At<'a>) -> Vec<At<'a>> {
        self.require(at.value.is_array() || !at.is_set(), at, "no list");
        let elements = at.value.as_array().into_iter().flatten().enumerate();
        elements.map(|(number, value)| At { value, path: format!("{}[{number}]", at.path) }).collect()
    }

    fn members<'a>(&mut self, at: &At<'a>) -> Vec<(&'a str, At<'a>)> {
        self.require(at.value.is_object() || !at.is_set(), at, "no object");
        let members = at.value.as_object().into_iter().flat_map(Map::iter);
        members.map(|(key, value)| (key.as_str(), At { value, path: format!("{}[{key}]", at.path) })).collect()
    }
}

/// Metadata: `ValidateObjectMeta` in validation.go, `pkg/api/validation/objectmeta.go` of k8s.io/apimachinery.
impl Checker {
    fn metadata(&mut self, metadata: &At) {
        self.annotations(&metadata.get("annotations"));
    }

    /// `ValidateAnnotations` in `pkg/api/validation/objectmeta.go` of k8s.io/apimachinery.
    fn annotations(&mut self, annotations: &At) {
        let mut size = 0;
        for (key, value) in self.members(annotations) {
            self.require(is_label_key(&key.to_lowercase()), &value, "no qualified name");
            size += key.len() + self.text(&value).len();
        }
        self.require(size <= 256 * 1024, annotations, "more than 256 KiB");
    }
}

/// The spec: `ValidatePodSpec` in validation.go.
impl Checker {
    fn spec(&mut self, spec: &At) {
        let volumes = self.volumes(&spec.get("volumes"));
        let containers = self.list(&spec.get("containers"));
        self.require(!containers.is_empty(), &spec.get("containers"), "missing");
        let mut names = BTreeSet::new();
        for container in &containers {
            self.container(container, &volumes, &mut names);
        }
        for container in &self.list(&spec.get("initContainers")) {
            self.container(container, &volumes, &mut names);
        }
        // `validateImagePullSecrets` in validation.go accepts any name.
        for secret in self.list(&spec.get("imagePullSecrets")) {
            self.text(&secret.get("name"));
        }
    }
}

/// Containers: `validateContainers`, `validateInitContainers`, `validateContainerCommon` in validation.go.
impl Checker {
    fn container<'a>(&mut self, container: &At<'a>, volumes: &BTreeSet<&str>, names: &mut BTreeSet<&'a str>) {
        let name = container.get("name");
        let text = self.text(&name);
        self.require(is_dns_label(text), &name, "no DNS label");
        self.require(names.insert(text), &name, "not unique among containers and init-containers");
        // `validateContainerOnlyForPod` in validation.go.
        let image = container.get("image");
        let text = self.text(&image);
        self.require(!text.is_empty(), &image, "missing");
        for variable in self.list(&container.get("env")) {
            self.variable(&variable);
        }
        self.mounts(container, volumes);
        self.resources(&container.get("resources"));
    }
}

/// Variables: `ValidateEnv`, `validateEnvVarValueFrom` and `ValidateEnvFrom` in validation.go. Names need not be
/// unique.
impl Checker {
    fn variable(&mut self, variable: &At) {
        let name = variable.get("name");
        let text = self.text(&name);
        self.require(is_variable_name(text), &name, "no variable's name");
        let value = variable.get("value");
        let has_value = !self.text(&value).is_empty();
        let from = variable.get("valueFrom");
        if !from.is_set() {
            return;
        }
        self.members(&from);
        let kinds = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
        let sources: Vec<At> = kinds.map(|kind| from.get(kind)).into_iter().filter(At::is_set).collect();
        self.require(sources.len() == 1, &from, "not exactly one source");
        self.require(sources.is_empty() || !has_value, &value, "a value and a source");
        self.key(&from.get("configMapKeyRef"));
        self.key(&from.get("secretKeyRef"));
    }

    /// `validateSecretKeySelector` and `validateConfigMapKeySelector` in validation.go.
    fn key(&mut self, selector: &At) {
        if !selector.is_set() {
            return;
        }
        let (name, key) = (selector.get("name"), selector.get("key"));
        let text = self.text(&name);
        self.require(is_dns_subdomain(text), &name, "no DNS subdomain");
        let text = self.text(&key);
        self.require(is_data_key(text), &key, "no key");
        self.boolean(&selector.get("optional"));
    }
}

/// Volumes: `ValidateVolumes` and `validateVolumeSource` in validation.go.
impl Checker {
    /// Names of valid volumes.
    fn volumes<'a>(&mut self, volumes: &At<'a>) -> BTreeSet<&'a str> {
        let mut valid = BTreeSet::new();
        for volume in self.list(volumes) {
            let before = self.found.len();
            let name = volume.get("name");
            let text = self.text(&name);
            self.require(is_dns_label(text), &name, "no DNS label");
            self.require(!valid.contains(text), &name, "not unique");
            let kinds = ["secret", "configMap", "emptyDir", "projected", "hostPath", "persistentVolumeClaim"];
            let sources = kinds.map(|kind| volume.get(kind)).into_iter().filter(At::is_set).count();
            self.require(sources <= 1, &volume, "more than one source");
            let secret = volume.get("secret");
            if secret.is_set() {
                self.members(&secret);
                self.keys(&secret, "secretName");
            }
            if self.found.len() == before {
                valid.insert(text);
            }
        }
        valid
    }

    /// `validateSecretVolumeSource` in validation.go.
    fn keys(&mut self, source: &At, name: &str) {
        let name = source.get(name);
        let text = self.text(&name);
        self.require(!text.is_empty(), &name, "missing");
        self.boolean(&source.get("optional"));
        for item in self.list(&source.get("items")) {
            self.item(&item);
        }
    }

    /// `validateKeyToPath` in validation.go. Any key is accepted; the kubelet finds out whether it exists.
    fn item(&mut self, item: &At) {
        let (key, path) = (item.get("key"), item.get("path"));
        let text = self.text(&key);
        self.require(!text.is_empty(), &key, "missing");
        let text = self.text(&path);
        self.require(!text.is_empty(), &path, "missing");
        // `ValidateLocalNonReservedPath` in validation.go.
        self.require(!leads_out(text) && !text.starts_with(".."), &path, "absolute, or has '..' in it");
    }
}

/// Mounts: `ValidateVolumeMounts` and `ValidateVolumeDevices` in validation.go. The API reference forbids colons in
/// paths, which is not validated.
impl Checker {
    fn mounts(&mut self, container: &At, volumes: &BTreeSet<&str>) {
        let mounts = self.list(&container.get("volumeMounts"));
        let mut paths = BTreeSet::new();
        for mount in mounts {
            let (name, path) = (mount.get("name"), mount.get("mountPath"));
            let text = self.text(&name);
            self.require(volumes.contains(text), &name, "no volume's name");
            let text = self.text(&path);
            self.require(!text.is_empty(), &path, "missing");
            // Compared as text: a trailing slash makes another path.
            self.require(paths.insert(text), &path, "not unique");
        }
        for device in self.list(&container.get("volumeDevices")) {
            let path = device.get("devicePath");
            let text = self.text(&path);
            self.require(!paths.contains(text), &path, "mounted as well");
        }
    }
}

/// Resources: `validateResourceRequirements` in validation.go.
impl Checker {
    /// Requests default to the limits (`SetDefaults_Pod` in defaults.go).
    fn resources(&mut self, resources: &At) {
        let limits = resources.get("limits");
        for (name, limit) in self.members(&limits) {
            let limit = self.quantity(&limit);
            let request = resources.get("requests").get(name);
            if let (Some(limit), Some(request)) = (limit, self.quantity(&request)) {
                self.require(request <= limit, &resources.get("requests"), "over the limit");
            }
        }
        for (_, request) in self.members(&resources.get("requests")) {
            let amount = self.quantity(&request);
            self.require(amount.is_none_or(|amount| amount >= 0), &request, "negative");
        }
    }

    fn quantity(&mut self, at: &At) -> Option<i128> {
        let amount = match at.value {
            Value::Null => return None,
            Value::String(text) => quantity(text),
            Value::Number(number) => quantity(&number.to_string()),
            _ => None,
        };
        self.require(amount.is_some(), at, "no quantity");
        amount
    }
}

/// Returns a quantity in thousandths, rounded away from zero as in `SetDefaults_ResourceList` in defaults.go
/// (`parseQuantityString` in `pkg/api/resource/quantity.go` of k8s.io/apimachinery). None if it exceeds 128 bits.
fn quantity(text: &str) -> Option<i128> {
    let (sign, unsigned) = match text.strip_prefix(['+', '-']) {
        Some(unsigned) => (if text.starts_with('-') { -1 } else { 1 }, unsigned),
        None => (1, text),
    };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = [whole, fraction].concat().parse().ok()?;
    let decimal = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"].iter().position(|known| *known == suffix);
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter().position(|known| *known == suffix);
    let (factor, exponent) = match (decimal, binary) {
        (Some(at), _) => (1, 3 * i32::try_from(at).ok()? - 9),
        (_, Some(at)) => (1024_i128.pow(u32::try_from(at).ok()? + 1), 0),
        _ => (1, suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    let power = exponent + 3 - i32::try_from(fraction.len()).ok()?;
    let ten = 10_i128.checked_pow(power.unsigned_abs());
    let amount = digits.checked_mul(factor)?;
    let thousandths = match power {
        0.. => amount.checked_mul(ten?)?,
        _ => ten.map_or(amount.signum(), |ten| (amount + ten - 1) / ten),
    };
    Some(sign * thousandths)
}

/// Whether a path is absolute or has `..` (`validateLocalDescendingPath` in validation.go).
fn leads_out(path: &str) -> bool {
    path.starts_with('/') || steps_back(path)
}

/// `validatePathNoBacksteps` in validation.go.
fn steps_back(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}

/// `IsDNS1123Label` in `content`.
fn is_dns_label(name: &str) -> bool {
    name.len() <= 63 && is_dns_part(name)
}

/// `IsDNS1123Subdomain` in `content`.
fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_part)
}

fn is_dns_part(part: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !part.is_empty() && part.bytes().all(allowed) && !part.starts_with('-') && !part.ends_with('-')
}

/// `IsLabelKey` in `content`, also called a qualified name.
fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_dns_subdomain(prefix) && !name.is_empty() && is_label_value(name),
        None => !key.is_empty() && is_label_value(key),
    }
}

/// `IsLabelValue` in `content`.
fn is_label_value(value: &str) -> bool {
    let ends = |c: char| !c.is_ascii_alphanumeric();
    value.len() <= 63
        && value.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
        && !value.starts_with(ends)
        && !value.ends_with(ends)
}

/// `IsRelaxedEnvVarName` in `pkg/util/validation/validation.go` of k8s.io/apimachinery; the stricter rule was dropped in
/// Kubernetes 1.34.
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

    fn pod() -> Value {
        json!({
            "metadata": { "name": "a" },
            "spec": { "containers": [{ "name": "main", "image": "train:1" }], "volumes": [{ "name": "data" }] },
        })
    }

    /// Returns the paths of the errors of a pod whose member at `pointer` is `value`.
    fn refused(pointer: &str, value: Value) -> Vec<String> {
        let mut pod = pod();
        let (owner, name) = pointer.rsplit_once('/').expect("a pointer");
        pod.pointer_mut(owner).expect("an owner")[name] = value;
        check(&pod).into_iter().map(|violation| violation.path).collect()
    }

    #[test]
    fn what_is_refused_is_named_by_its_path() {
        let container = "/spec/containers/0";
        let table = [
            ("/metadata/annotations", json!({ "a/b/c": "" }), "metadata.annotations[a/b/c]"),
            ("/metadata/annotations", json!({ "a": "x".repeat(256 * 1024) }), "metadata.annotations"),
            ("/spec/containers/0/name", json!("a.b"), "spec.containers[0].name"),
            ("/spec/initContainers", json!([{ "name": "main", "image": "x" }]), "spec.initContainers[0].name"),
            ("/spec/volumes", json!([{ "name": "a", "emptyDir": {}, "hostPath": { "path": "/" } }]), "spec.volumes[0]"),
            ("/spec/volumes", json!([{ "name": "a" }, { "name": "a" }]), "spec.volumes[1].name"),
            (
                "/spec/volumes",
                json!([{ "name": "a", "secret": { "secretName": "s", "items": [{ "key": "k", "path": "../k" }] } }]),
                "spec.volumes[0].secret.items[0].path",
            ),
        ];
        for (pointer, value, path) in table {
            assert_eq!(refused(pointer, value.clone()), [path], "{pointer}: {value}");
        }
        let table = [
            ("env", json!([{ "name": "A=" }]), "env[0].name"),
            (
                "env",
                json!([{ "name": "A", "value": "x", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }]),
                "env[0].value",
            ),
            ("env", json!([{ "name": "A", "valueFrom": {} }]), "env[0].valueFrom"),
            (
                "env",
                json!([{ "name": "A", "valueFrom": { "secretKeyRef": { "name": "s", "key": ".." } } }]),
                "env[0].valueFrom.secretKeyRef.key",
            ),
            ("volumeMounts", json!([{ "name": "no", "mountPath": "/a" }]), "volumeMounts[0].name"),
            (
                "volumeMounts",
                json!([{ "name": "data", "mountPath": "/a" }, { "name": "data", "mountPath": "/a" }]),
                "volumeMounts[1].mountPath",
            ),
            ("resources", json!({ "limits": { "cpu": "1" }, "requests": { "cpu": "1001m" } }), "resources.requests"),
            ("resources", json!({ "limits": { "cpu": "1 " } }), "resources.limits[cpu]"),
        ];
        for (field, value, path) in table {
            let path = format!("spec.containers[0].{path}");
            assert_eq!(refused(&format!("{container}/{field}"), value.clone()), [path], "{field}: {value}");
        }
    }

    #[test]
    fn what_looks_wrong_and_is_not() {
        assert_eq!(check(&pod()), []);
        let table = [
            ("/metadata/annotations", json!({ "Example.COM/Key": "\u{0}" })),
            ("/spec/containers/0/env", json!([{ "name": "A b" }, { "name": "A b", "value": "$(A" }])),
            (
                "/spec/containers/0/volumeMounts",
                json!([{ "name": "data", "mountPath": "a:b" }, { "name": "data", "mountPath": "a:b/" }]),
            ),
            ("/spec/volumes", json!([{ "name": "a", "x-new": {}, "secret": null }])),
            ("/spec/imagePullSecrets", json!([{}, { "name": "" }])),
        ];
        for (pointer, value) in table {
            assert_eq!(refused(pointer, value.clone()), [""; 0], "{pointer}: {value}");
        }
    }

    #[test]
    fn quantities() {
        let table = [
            ("1", Some(1000)),
            ("-1.5", Some(-1500)),
            ("0.1m", Some(1)),
            ("1n", Some(1)),
            ("2Ki", Some(2_048_000)),
            ("1e3", Some(1_000_000)),
            ("1E", Some(10_i128.pow(21))),
            ("", None),
            ("1KB", None),
            ("one", None),
        ];
        for (text, amount) in table {
            assert_eq!(quantity(text), amount, "{text}");
        }
    }
}
