//! Validation of a v1 Pod on creation by Kubernetes 1.37, for what the policy could break: names, labels, annotations,
//! containers, variables, volumes, mounts, resources.
//!
//! Each rule names its source: `validation.go` is `pkg/apis/core/validation/validation.go` of k8s.io/kubernetes,
//! `defaults.go` is `pkg/apis/core/v1/defaults.go`, whose defaults apply before the rules, `content` is
//! `pkg/api/validate/content` of k8s.io/apimachinery. Fields that the policy neither adds nor moves have no rules
//! (affinity, contents of probes, host ports, rare volume sources), nor have annotations of Kubernetes. Does not know
//! secrets.

use std::collections::{BTreeMap, BTreeSet};
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

    fn integer(&mut self, at: &At) -> Option<i64> {
        self.require(at.value.is_i64() || !at.is_set(), at, "no integer");
        at.value.as_i64()
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

    /// Checks a string that must be one of a list, or absent, for which there is a default.
    fn one_of(&mut self, at: &At, known: &[&str]) {
        let text = self.text(at);
        self.require(text.is_empty() || known.contains(&text), at, "unknown value");
    }
}

/// Metadata: `ValidateObjectMeta` in validation.go, `pkg/api/validation/objectmeta.go` of k8s.io/apimachinery.
impl Checker {
    fn metadata(&mut self, metadata: &At) {
        let (name, prefix) = (metadata.get("name"), metadata.get("generateName"));
        match (self.text(&name), self.text(&prefix)) {
            ("", "") => self.refuse(&name, "missing"),
            (text, "") => self.require(is_dns_subdomain(text), &name, "no DNS subdomain"),
            (text, generated) => {
                // A trailing hyphen is followed by the generated suffix (`maskTrailingDash` of apimachinery).
                let base = generated.strip_suffix('-').unwrap_or(generated);
                self.require(is_dns_subdomain(base), &prefix, "no DNS subdomain");
                self.require(text.is_empty() || is_dns_subdomain(text), &name, "no DNS subdomain");
            }
        }
        let namespace = metadata.get("namespace");
        let text = self.text(&namespace);
        self.require(text.is_empty() || is_dns_label(text), &namespace, "no DNS label");
        self.labels(&metadata.get("labels"));
        self.annotations(&metadata.get("annotations"));
    }

    /// `ValidateLabels` in `pkg/apis/meta/v1/validation` of k8s.io/apimachinery.
    fn labels(&mut self, labels: &At) {
        for (key, value) in self.members(labels) {
            self.require(is_label_key(key), &value, "no qualified name");
            let text = self.text(&value);
            self.require(is_label_value(text), &value, "no label's value");
        }
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
        let init_containers = self.list(&spec.get("initContainers"));
        for container in &init_containers {
            self.container(container, &volumes, &mut names);
            self.init_container(container);
        }
        let ephemeral = self.list(&spec.get("ephemeralContainers"));
        self.require(ephemeral.is_empty(), &spec.get("ephemeralContainers"), "cannot be set on creation");
        self.pod_resources(&spec.get("resources"), &containers, &init_containers);
        self.one_of(&spec.get("restartPolicy"), &["Always", "OnFailure", "Never"]);
        // `validateImagePullSecrets` in validation.go accepts any name.
        for secret in self.list(&spec.get("imagePullSecrets")) {
            self.text(&secret.get("name"));
        }
        self.labels(&spec.get("nodeSelector"));
        let account = spec.get("serviceAccountName");
        let text = self.text(&account);
        self.require(text.is_empty() || is_dns_subdomain(text), &account, "no DNS subdomain");
        for name in ["hostname", "subdomain"].map(|name| spec.get(name)) {
            let text = self.text(&name);
            self.require(text.is_empty() || is_dns_label(text), &name, "no DNS label");
        }
        self.host_processes(spec, &containers, &init_containers);
    }

    /// All containers run as processes of a Windows host, or none (`validateWindowsHostProcessPod` in validation.go).
    fn host_processes(&mut self, spec: &At, containers: &[At], init_containers: &[At]) {
        let option = |at: &At| at.value["securityContext"]["windowsOptions"]["hostProcess"].as_bool();
        let of_pod = option(spec);
        let all: Vec<&At> = containers.iter().chain(init_containers).collect();
        for container in &all {
            let clash = matches!((of_pod, option(container)), (Some(pod), Some(own)) if pod != own);
            self.require(!clash, container, "hostProcess differs from the pod's");
        }
        let count = all.iter().filter(|container| option(container).or(of_pod) == Some(true)).count();
        self.require(count == 0 || count == all.len(), spec, "some containers are host processes, some are not");
        let network = self.boolean(&spec.get("hostNetwork"));
        self.require(count == 0 || network, &spec.get("hostNetwork"), "host processes need it");
    }
}

/// Containers: `validateContainers`, `validateInitContainers`, `validateContainerCommon` in validation.go.
impl Checker {
    fn container<'a>(&mut self, container: &At<'a>, volumes: &Volumes, names: &mut BTreeSet<&'a str>) {
        let name = container.get("name");
        let text = self.text(&name);
        self.require(is_dns_label(text), &name, "no DNS label");
        self.require(names.insert(text), &name, "not unique among containers and init-containers");
        // `validateContainerOnlyForPod` in validation.go.
        let image = container.get("image");
        let text = self.text(&image);
        self.require(!text.is_empty(), &image, "missing");
        self.require(text.trim() == text, &image, "white space at an end");
        self.one_of(&container.get("imagePullPolicy"), &["Always", "IfNotPresent", "Never"]);
        self.one_of(&container.get("terminationMessagePolicy"), &["File", "FallbackToLogsOnError"]);
        // `validateContainerRestartPolicy` in validation.go.
        self.one_of(&container.get("restartPolicy"), &["Always", "Never", "OnFailure"]);
        for variable in self.list(&container.get("env")) {
            self.variable(&variable, volumes);
        }
        for source in self.list(&container.get("envFrom")) {
            self.variables_from(&source);
        }
        self.mounts(container, volumes);
        self.ports(&container.get("ports"));
        self.resources(&container.get("resources"), is_container_resource);
    }

    /// `validateInitContainers` in validation.go: only sidecars can have probes and lifecycle hooks.
    fn init_container(&mut self, container: &At) {
        if container.value["restartPolicy"] == "Always" {
            return;
        }
        for name in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            let field = container.get(name);
            self.require(!field.is_set(), &field, "not for an init-container that ends");
        }
    }

    /// `validateContainerPorts` in validation.go; its rules for names are `IsValidPortName` of apimachinery.
    fn ports(&mut self, ports: &At) {
        let mut names = BTreeSet::new();
        for port in self.list(ports) {
            let name = port.get("name");
            let text = self.text(&name);
            self.require(text.is_empty() || is_port_name(text), &name, "no port's name");
            self.require(text.is_empty() || names.insert(text), &name, "not unique");
            let number = self.integer(&port.get("containerPort"));
            self.require(number.is_some_and(is_port), &port.get("containerPort"), "no port");
            self.one_of(&port.get("protocol"), &["TCP", "UDP", "SCTP"]);
        }
    }
}

/// Variables: `ValidateEnv`, `validateEnvVarValueFrom` and `ValidateEnvFrom` in validation.go. Names need not be
/// unique.
impl Checker {
    fn variable(&mut self, variable: &At, volumes: &Volumes) {
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
        self.field(&from.get("fieldRef"));
        self.resource_field(&from.get("resourceFieldRef"));
        self.key(&from.get("configMapKeyRef"));
        self.key(&from.get("secretKeyRef"));
        self.file_key(&from.get("fileKeyRef"), volumes);
    }

    /// `validateObjectFieldSelector` in validation.go, with the fields that variables may have.
    fn field(&mut self, field: &At) {
        if !field.is_set() {
            return;
        }
        self.one_of(&field.get("apiVersion"), &["v1"]);
        let path = field.get("fieldPath");
        let text = self.text(&path);
        let subscript = |of: &str| text.strip_prefix(of)?.strip_prefix("['")?.strip_suffix("']");
        let known = match (subscript("metadata.labels"), subscript("metadata.annotations")) {
            (Some(key), _) => is_label_key(key),
            (_, Some(key)) => is_label_key(&key.to_lowercase()),
            _ => [
                "metadata.name",
                "metadata.namespace",
                "metadata.uid",
                "spec.nodeName",
                "spec.serviceAccountName",
                "status.hostIP",
                "status.hostIPs",
                "status.podIP",
                "status.podIPs",
            ]
            .contains(&text),
        };
        self.require(known, &path, "no field that variables may have");
    }

    /// `validateContainerResourceFieldSelector` and `validateContainerResourceDivisor` in validation.go.
    fn resource_field(&mut self, field: &At) {
        if !field.is_set() {
            return;
        }
        let resource = field.get("resource");
        let text = self.text(&resource);
        let name = text.strip_prefix("limits.").or(text.strip_prefix("requests.")).unwrap_or_default();
        let known = ["cpu", "memory", "ephemeral-storage"].contains(&name) || name.starts_with(HUGE_PAGES);
        self.require(known, &resource, "no resource that variables may have");
        let divisor = field.get("divisor");
        let allowed: &[&str] = match name {
            "cpu" => &["", "0", "1m", "1"],
            _ => &["", "0", "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"],
        };
        let text = self.text(&divisor);
        self.require(allowed.contains(&text), &divisor, "no divisor");
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

    /// `validateFileKeySelector` and `validateFileKeyRefVolumes` in validation.go.
    fn file_key(&mut self, selector: &At, volumes: &Volumes) {
        if !selector.is_set() {
            return;
        }
        let [key, volume, path] = ["key", "volumeName", "path"].map(|name| selector.get(name));
        let text = self.text(&key);
        self.require(is_variable_name(text), &key, "no variable's name");
        let text = self.text(&volume);
        self.require(volumes.get(text) == Some(&"emptyDir"), &volume, "no volume of the kind emptyDir");
        let text = self.text(&path);
        self.require(!text.is_empty() && !steps_back(text), &path, "missing, or has '..' in it");
    }

    fn variables_from(&mut self, source: &At) {
        let prefix = source.get("prefix");
        let text = self.text(&prefix);
        self.require(text.is_empty() || is_variable_name(text), &prefix, "no variable's name");
        let sources: Vec<At> =
            ["configMapRef", "secretRef"].map(|kind| source.get(kind)).into_iter().filter(At::is_set).collect();
        self.require(sources.len() == 1, source, "not exactly one source");
        for object in sources {
            let name = object.get("name");
            let text = self.text(&name);
            self.require(is_dns_subdomain(text), &name, "no DNS subdomain");
        }
    }
}

/// The kinds of source that a volume may have (`VolumeSource` in `pkg/apis/core/types.go` of k8s.io/kubernetes).
const VOLUME_SOURCES: [&str; 30] = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "glusterfs",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "persistentVolumeClaim",
    "photonPersistentDisk",
    "portworxVolume",
    "projected",
    "quobyte",
    "rbd",
    "scaleIO",
    "secret",
    "storageos",
    "vsphereVolume",
];

/// Volumes that are valid, by name, with the kinds of their sources.
type Volumes<'a> = BTreeMap<&'a str, &'static str>;

/// Volumes: `ValidateVolumes` and `validateVolumeSource` in validation.go.
impl Checker {
    fn volumes<'a>(&mut self, volumes: &At<'a>) -> Volumes<'a> {
        let mut valid = Volumes::new();
        for volume in self.list(volumes) {
            let before = self.found.len();
            let name = volume.get("name");
            let text = self.text(&name);
            self.require(is_dns_label(text), &name, "no DNS label");
            self.require(!valid.contains_key(text), &name, "not unique");
            let sources: Vec<&'static str> =
                VOLUME_SOURCES.into_iter().filter(|kind| volume.get(kind).is_set()).collect();
            self.require(sources.len() <= 1, &volume, "more than one source");
            for kind in &sources {
                self.volume_source(kind, &volume.get(kind));
            }
            if self.found.len() == before {
                // Without a source it is an `emptyDir` (`SetDefaults_Volume` in defaults.go).
                valid.insert(text, sources.first().unwrap_or(&"emptyDir"));
            }
        }
        valid
    }

    fn volume_source(&mut self, kind: &str, source: &At) {
        self.members(source);
        match kind {
            "emptyDir" => {
                // Any medium is accepted; the kubelet decides.
                self.text(&source.get("medium"));
                let limit = source.get("sizeLimit");
                let amount = self.quantity(&limit);
                self.require(amount.is_none_or(|amount| amount >= 0), &limit, "negative");
            }
            "secret" => self.keys(source, "secretName"),
            "configMap" => self.keys(source, "name"),
            "hostPath" => {
                // `validateHostPathVolumeSource` in validation.go.
                let path = source.get("path");
                let text = self.text(&path);
                self.require(!text.is_empty() && !steps_back(text), &path, "missing, or has '..' in it");
                let kinds =
                    ["DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"];
                self.one_of(&source.get("type"), &kinds);
            }
            "persistentVolumeClaim" => {
                // `validatePersistentClaimVolumeSource` in validation.go.
                let name = source.get("claimName");
                let text = self.text(&name);
                self.require(!text.is_empty(), &name, "missing");
            }
            "projected" => self.projected(source),
            _ => {}
        }
    }

    /// `validateSecretVolumeSource` and `validateConfigMapVolumeSource` in validation.go.
    fn keys(&mut self, source: &At, name: &str) {
        let name = source.get(name);
        let text = self.text(&name);
        self.require(!text.is_empty(), &name, "missing");
        self.mode(&source.get("defaultMode"));
        self.boolean(&source.get("optional"));
        for item in self.list(&source.get("items")) {
            self.item(&item);
        }
    }

    /// `validateProjectionSources` in validation.go, for Secrets and ConfigMaps.
    fn projected(&mut self, source: &At) {
        self.mode(&source.get("defaultMode"));
        let mut paths = BTreeSet::new();
        for source in self.list(&source.get("sources")) {
            let kinds = ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle"];
            let count = kinds.into_iter().filter(|kind| source.get(kind).is_set()).count();
            self.require(count <= 1, &source, "more than one source");
            for projection in ["secret", "configMap"].map(|kind| source.get(kind)) {
                if !projection.is_set() {
                    continue;
                }
                let name = projection.get("name");
                let text = self.text(&name);
                self.require(!text.is_empty(), &name, "missing");
                for item in self.list(&projection.get("items")) {
                    let path = self.item(&item);
                    self.require(path.is_empty() || paths.insert(path), &item, "not unique");
                }
            }
        }
    }

    /// `validateKeyToPath` in validation.go. Any key is accepted; the kubelet finds out whether it exists.
    fn item<'a>(&mut self, item: &At<'a>) -> &'a str {
        let (key, path) = (item.get("key"), item.get("path"));
        let text = self.text(&key);
        self.require(!text.is_empty(), &key, "missing");
        let text = self.text(&path);
        self.require(!text.is_empty(), &path, "missing");
        // `ValidateLocalNonReservedPath` in validation.go.
        self.require(!leads_out(text) && !text.starts_with(".."), &path, "absolute, or has '..' in it");
        self.mode(&item.get("mode"));
        text
    }

    fn mode(&mut self, mode: &At) {
        let number = self.integer(mode);
        self.require(number.is_none_or(|mode| (0..=0o777).contains(&mode)), mode, "no file's mode");
    }
}

/// Mounts: `ValidateVolumeMounts` and `ValidateVolumeDevices` in validation.go. The API reference forbids colons in
/// paths, which is not validated.
impl Checker {
    fn mounts(&mut self, container: &At, volumes: &Volumes) {
        let mounts = self.list(&container.get("volumeMounts"));
        let devices = self.list(&container.get("volumeDevices"));
        let mut paths = BTreeSet::new();
        for mount in &mounts {
            let (name, path) = (mount.get("name"), mount.get("mountPath"));
            let text = self.text(&name);
            self.require(volumes.contains_key(text), &name, "no volume's name");
            let text = self.text(&path);
            self.require(!text.is_empty(), &path, "missing");
            // Compared as text: a trailing slash makes another path.
            self.require(paths.insert(text), &path, "not unique");
            let [sub_path, expression] = ["subPath", "subPathExpr"].map(|name| mount.get(name));
            let texts = [&sub_path, &expression].map(|at| self.text(at));
            // `validateLocalDescendingPath` in validation.go.
            self.require(!leads_out(texts[0]), &sub_path, "absolute, or has '..' in it");
            self.require(!leads_out(texts[1]), &expression, "absolute, or has '..' in it");
            self.require(texts.contains(&""), &expression, "beside subPath");
            self.mount_options(mount, container);
        }
        let text = |at: &At, name: &str| at.value[name].as_str().unwrap_or_default().to_owned();
        let mut seen = BTreeSet::new();
        for device in &devices {
            let (name, path) = (device.get("name"), device.get("devicePath"));
            let [own_name, own_path] = [self.text(&name), self.text(&path)];
            let block = matches!(volumes.get(own_name), Some(&("persistentVolumeClaim" | "ephemeral")));
            self.require(block, &name, "no claim's name");
            self.require(!own_path.is_empty() && !steps_back(own_path), &path, "missing, or has '..' in it");
            self.require(seen.insert(("name", own_name)), &name, "not unique");
            self.require(seen.insert(("path", own_path)), &path, "not unique");
            self.require(!mounts.iter().any(|mount| text(mount, "name") == own_name), &name, "mounted as well");
            self.require(!mounts.iter().any(|mount| text(mount, "mountPath") == own_path), &path, "mounted as well");
        }
    }

    /// `validateMountPropagation` and `validateMountRecursiveReadOnly` in validation.go.
    fn mount_options(&mut self, mount: &At, container: &At) {
        let (propagation, recursive) = (mount.get("mountPropagation"), mount.get("recursiveReadOnly"));
        self.one_of(&propagation, &["None", "HostToContainer", "Bidirectional"]);
        let privileged = container.value["securityContext"]["privileged"] == true;
        let (how, recursively) = (self.text(&propagation), self.text(&recursive));
        self.require(how != "Bidirectional" || privileged, &propagation, "for privileged containers");
        self.one_of(&recursive, &["Disabled", "IfPossible", "Enabled"]);
        if matches!(recursively, "IfPossible" | "Enabled") {
            let read_only = self.boolean(&mount.get("readOnly"));
            self.require(read_only && matches!(how, "" | "None"), &recursive, "not without readOnly, nor propagated");
        }
    }
}

/// Prefix of resources of huge pages.
const HUGE_PAGES: &str = "hugepages-";

/// Amounts by resource, in thousandths.
type Amounts<'a> = BTreeMap<&'a str, i128>;

/// Resources: `validateResourceRequirements` in validation.go.
impl Checker {
    /// Returns limits, and requests, which default to the limits (`SetDefaults_Pod` in defaults.go).
    fn resources<'a>(&mut self, resources: &At<'a>, is_name: fn(&str) -> bool) -> (Amounts<'a>, Amounts<'a>) {
        let [limits, own] = ["limits", "requests"].map(|name| self.amounts(&resources.get(name), is_name));
        let mut requests = limits.clone();
        requests.extend(own);
        for (name, request) in &requests {
            let at = resources.get("requests");
            match limits.get(name) {
                Some(limit) if overcommits(name) => self.require(request <= limit, &at, "over the limit"),
                Some(limit) => self.require(request == limit, &at, "not equal to the limit"),
                None => self.require(overcommits(name), &at, "without a limit"),
            }
        }
        let huge = requests.keys().any(|name| name.starts_with(HUGE_PAGES));
        let plain = requests.keys().any(|name| matches!(*name, "cpu" | "memory"));
        self.require(!huge || plain, resources, "huge pages without cpu or memory");
        (limits, requests)
    }

    fn amounts<'a>(&mut self, amounts: &At<'a>, is_name: fn(&str) -> bool) -> Amounts<'a> {
        let mut read = Amounts::new();
        for (name, at) in self.members(amounts) {
            self.require(is_name(name), &at, "no resource's name");
            // `ValidateResourceQuantityValue` in validation.go.
            let amount = self.quantity(&at).unwrap_or_default();
            self.require(amount >= 0, &at, "negative");
            self.require(overcommits(name) || amount % 1000 == 0, &at, "no whole number");
            let page = name.strip_prefix(HUGE_PAGES).map(|size| quantity(size).filter(|size| *size > 0));
            let pages = page.is_none_or(|size| size.is_some_and(|size| amount % size == 0));
            self.require(pages, &at, "no multiple of the page's size");
            read.insert(name, amount);
        }
        read
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

    /// `validatePodResources` and `validatePodResourceConsistency` in validation.go, after the defaults that come behind
    /// admission (`DefaultPodLevelResources` in `pkg/api/pod/util.go`); cpu and memory only.
    fn pod_resources(&mut self, resources: &At, containers: &[At], init_containers: &[At]) {
        let amounts = |checker: &mut Self, name: &str| checker.amounts(&resources.get(name), is_pod_resource);
        let (limits, own) = (amounts(self, "limits"), amounts(self, "requests"));
        if limits.is_empty() && own.is_empty() {
            return;
        }
        // Errors of a container's own resources are reported elsewhere.
        fn of<'a>(container: &At<'a>) -> (Amounts<'a>, Amounts<'a>) {
            Checker::default().resources(&container.get("resources"), is_container_resource)
        }
        // `AggregateContainerRequests` in `resource/helpers.go` of k8s.io/component-helpers: init containers run one
        // after the other, together with the sidecars that have started.
        let (mut all, mut sidecars, mut most) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for container in containers {
            let (container_limits, requests) = of(container);
            merge(&mut all, &requests, |sum, more| sum + more);
            let over = container_limits.iter().any(|(name, limit)| limits.get(name).is_some_and(|pod| limit > pod));
            self.require(!over, &container.get("resources.limits"), "over the pod's limit");
        }
        for container in init_containers {
            let (_, mut requests) = of(container);
            if container.value["restartPolicy"] == "Always" {
                merge(&mut all, &requests, |sum, more| sum + more);
                merge(&mut sidecars, &requests, |sum, more| sum + more);
                requests.clone_from(&sidecars);
            } else {
                merge(&mut requests, &sidecars, |sum, more| sum + more);
            }
            merge(&mut most, &requests, i128::max);
        }
        merge(&mut all, &most, i128::max);
        for (name, asked) in all.into_iter().filter(|(name, _)| is_pod_resource(name)) {
            let request = own.get(name).copied();
            let at = resources.get("requests");
            self.require(request.is_none_or(|request| asked <= request), &at, "less than containers ask for");
            let over = limits.get(name).is_some_and(|limit| request.unwrap_or(asked) > *limit);
            self.require(!over, &at, "over the limit");
        }
        let over = own.iter().any(|(name, request)| limits.get(name).is_some_and(|limit| request > limit));
        self.require(!over, &resources.get("requests"), "over the limit");
    }
}

fn merge<'a>(into: &mut Amounts<'a>, more: &Amounts<'a>, how: fn(i128, i128) -> i128) {
    for (name, amount) in more {
        let known = into.entry(name).or_default();
        *known = how(*known, *amount);
    }
}

/// `ValidateContainerResourceName` in validation.go, `IsExtendedResourceName` in `pkg/apis/core/helper/helpers.go`.
fn is_container_resource(name: &str) -> bool {
    match name.split_once('/') {
        None => {
            is_label_key(name) && (is_pod_resource(name) || name == "ephemeral-storage" || name.starts_with(HUGE_PAGES))
        }
        Some(_) if is_native(name) => is_label_key(name),
        Some(_) => is_label_key(name) && !name.starts_with("requests.") && is_label_key(&format!("requests.{name}")),
    }
}

/// `IsSupportedPodLevelResource` in `resource/helpers.go` of k8s.io/component-helpers, without huge pages.
fn is_pod_resource(name: &str) -> bool {
    matches!(name, "cpu" | "memory")
}

/// `IsNativeResource` in `pkg/apis/core/helper/helpers.go`.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// `IsOvercommitAllowed` in `pkg/apis/core/helper/helpers.go`.
fn overcommits(name: &str) -> bool {
    is_native(name) && !name.starts_with(HUGE_PAGES)
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

/// `IsValidPortName` in the same file.
fn is_port_name(name: &str) -> bool {
    name.len() <= 15 && is_dns_part(name) && !name.contains("--") && name.bytes().any(|c| c.is_ascii_lowercase())
}

/// `IsValidPortNum` in the same file.
fn is_port(number: i64) -> bool {
    (1..=65535).contains(&number)
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
            ("/metadata/name", json!("a b"), "metadata.name"),
            ("/metadata/labels", json!({ "a": "-" }), "metadata.labels[a]"),
            ("/metadata/annotations", json!({ "a/b/c": "" }), "metadata.annotations[a/b/c]"),
            ("/metadata/annotations", json!({ "a": "x".repeat(256 * 1024) }), "metadata.annotations"),
            ("/spec/containers/0/name", json!("a.b"), "spec.containers[0].name"),
            ("/spec/containers/0/image", json!("train:1\u{a0}"), "spec.containers[0].image"),
            ("/spec/ephemeralContainers", json!([{}]), "spec.ephemeralContainers"),
            ("/spec/initContainers", json!([{ "name": "main", "image": "x" }]), "spec.initContainers[0].name"),
            ("/spec/volumes", json!([{ "name": "a", "emptyDir": {}, "hostPath": { "path": "/" } }]), "spec.volumes[0]"),
            ("/spec/volumes", json!([{ "name": "a" }, { "name": "a" }]), "spec.volumes[1].name"),
            (
                "/spec/volumes",
                json!([{ "name": "a", "secret": { "secretName": "s", "items": [{ "key": "k", "path": "../k" }] } }]),
                "spec.volumes[0].secret.items[0].path",
            ),
            ("/spec/resources", json!({ "limits": { "gpu": "1" } }), "spec.resources.limits[gpu]"),
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
            (
                "volumeMounts",
                json!([{ "name": "data", "mountPath": "/a", "subPath": "/b" }]),
                "volumeMounts[0].subPath",
            ),
            ("resources", json!({ "limits": { "cpu": "1" }, "requests": { "cpu": "1001m" } }), "resources.requests"),
            ("resources", json!({ "limits": { "cpu": "1 " } }), "resources.limits[cpu]"),
            ("resources", json!({ "limits": { "example.com/gpu": "0.5" } }), "resources.limits[example.com/gpu]"),
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
    fn an_init_container_counts_against_the_pods_own_limit() {
        let limits = |cpu: &str| json!({ "limits": { "cpu": cpu } });
        let mut pod = pod();
        pod["spec"]["initContainers"] = json!([{ "name": "pull", "image": "x", "resources": limits("200m") }]);
        pod["spec"]["resources"] = limits("0.2");
        assert_eq!(check(&pod), []);
        pod["spec"]["resources"] = limits("100m");
        let violation = Violation { path: "spec.resources.requests".into(), reason: "over the limit".into() };
        assert_eq!(check(&pod), [violation]);
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
