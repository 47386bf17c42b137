//! The policy's settings: Flyte's `webhook` section as users have it, with Flyte's defaults, and ours beside it.
//!
//! [`parse`] reads them for each request, [`validate`] also looks at what they say when the policy starts. Each type
//! names its keys once, in its `read`; nothing else in the crate reads settings as JSON. What users read of a key is its
//! field's comment: `docs/src/settings.md` is made of this file.

mod quantity;
mod reader;

use std::fmt;

use crate::names::kubernetes::{is_dns_label, is_dns_subdomain, is_label_value};
use crate::names::NameScheme;
use crate::pod::Resources;
use crate::requests::REQUEST_PREFIX;
use crate::tenancy::NamespaceTemplate;
use crate::texts::Texts;
pub use reader::Error;
use reader::Reader;

/// Reads settings from the JSON that the host hands over; `null` is the defaults.
///
/// # Errors
/// A key is unknown, or its value not of its type.
pub fn parse<'a>(json: &'a [u8], texts: &'a Texts) -> Result<Settings<'a>, Error> {
    let mut settings = Settings::default();
    settings.read(&mut Reader::new(json, texts))?;
    Ok(settings)
}

/// Reads settings and looks for everything that would make each pod fail. The second part of the answer is what the
/// operator should know although it is no error.
///
/// # Errors
/// The first thing that is wrong, with its path and the way out.
pub fn validate<'a>(json: &'a [u8], texts: &'a Texts) -> Result<(Settings<'a>, Vec<String>), Error> {
    let settings = parse(json, texts)?;
    let warnings = settings.check()?;
    Ok((settings, warnings))
}

/// Flyte's `webhook` section, as far as it has a meaning in a policy, and our own keys. Key names and defaults:
/// `flyteplugins/go/tasks/pluginmachinery/secret/config/config.go`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings<'a> {
    /// Deprecated by Flyte: one manager, used if `secretManagerTypes` is missing or empty.
    pub secret_manager_type: ManagerType,
    /// Managers in order of preference. `Global` is skipped with a warning.
    pub secret_manager_types: Vec<ManagerType>,
    /// What the variables that K8s and Embedded name start with.
    pub secret_env_var_prefix: &'a str,
    /// Ours: what the manager K8s does beyond Flyte's.
    pub k8s_secret_manager: K8sSecretManager,
    /// The init-containers of the manager AWS, which run Amazon's sidecar.
    pub aws_secret_manager: Sidecar<'a>,
    /// The init-containers of the manager GCP, which run `gcloud`.
    pub gcp_secret_manager: Sidecar<'a>,
    /// The init-containers of the manager Azure, which run `az`.
    pub azure_secret_manager: Sidecar<'a>,
    /// The annotations that the manager Vault leaves for the Vault Agent Injector.
    pub vault_secret_manager: VaultSecretManager<'a>,
    /// The manager Embedded, which fetches at admission.
    pub embedded_secret_manager_config: EmbeddedSecretManager<'a>,
    /// Ours: who may have what of Embedded.
    pub tenancy: Tenancy<'a>,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self {
            secret_manager_type: ManagerType::Embedded,
            secret_manager_types: Vec::new(),
            secret_env_var_prefix: "_UNION_",
            k8s_secret_manager: K8sSecretManager::default(),
            aws_secret_manager: Sidecar::default(),
            gcp_secret_manager: Sidecar::default(),
            azure_secret_manager: Sidecar::default(),
            vault_secret_manager: VaultSecretManager::default(),
            embedded_secret_manager_config: EmbeddedSecretManager::default(),
            tenancy: Tenancy::default(),
        }
    }
}

/// The keys of the section. Those after `tenancy` are Flyte's and mean nothing in a policy.
const KEYS: &[&str] = &[
    "secretManagerTypes",
    "secretManagerType",
    "secretEnvVarPrefix",
    "k8sSecretManager",
    "awsSecretManager",
    "gcpSecretManager",
    "azureSecretManager",
    "vaultSecretManager",
    "embeddedSecretManagerConfig",
    "tenancy",
    "certDir",
    "listenPort",
    "serviceName",
    "metrics-prefix",
    "localCert",
    "secretName",
    "servicePort",
    "cacheInvalidationPort",
    "imageBuilderConfig",
    "webhookTimeout",
    "disableCreateMutatingWebhookConfig",
    "namespaceSelector",
    "kubeClientConfig",
];

impl<'a> Settings<'a> {
    /// The managers to ask, in order. `Global` is left out: a policy has no environment and no files of its own.
    pub fn managers(&self) -> impl Iterator<Item = ManagerType> + '_ {
        self.named_managers().iter().copied().filter(|manager| *manager != ManagerType::Global)
    }

    fn named_managers(&self) -> &[ManagerType] {
        match self.secret_manager_types.as_slice() {
            [] => std::slice::from_ref(&self.secret_manager_type),
            types => types,
        }
    }

    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        reader.section(KEYS, &mut |reader, key| match key {
            "secretManagerType" => reader.named(&ManagerType::NAMES).map(|it| self.secret_manager_type = it),
            "secretManagerTypes" => {
                reader.list(&mut |reader| reader.named(&ManagerType::NAMES)).map(|it| self.secret_manager_types = it)
            }
            "secretEnvVarPrefix" => reader.string().map(|it| self.secret_env_var_prefix = it),
            "k8sSecretManager" => self.k8s_secret_manager.read(reader),
            "awsSecretManager" => self.aws_secret_manager.read(reader),
            "gcpSecretManager" => self.gcp_secret_manager.read(reader),
            "azureSecretManager" => self.azure_secret_manager.read(reader),
            "vaultSecretManager" => self.vault_secret_manager.read(reader),
            "embeddedSecretManagerConfig" => self.embedded_secret_manager_config.read(reader),
            "tenancy" => self.tenancy.read(reader),
            _ => reader.ignore(),
        })
    }

    fn check(&self) -> Result<Vec<String>, Error> {
        let mut warnings = Vec::new();
        if self.named_managers().contains(&ManagerType::Global) {
            warnings.push(
                "secretManagerTypes: Global is skipped: the environment and the files of Flyte's webhook do not exist \
                 in a policy"
                    .to_owned(),
            );
        }
        if self.managers().next().is_none() {
            return Err(Error::Value {
                path: "secretManagerTypes".to_owned(),
                problem: "only Global is named, which does not exist in a policy; name K8s, AWS, GCP, Azure, Vault or \
                          Embedded"
                    .to_owned(),
            });
        }
        check_prefix(self.secret_env_var_prefix)?;
        for (image, resources, sidecar) in [
            ("awsSecretManager.sidecarImage", "awsSecretManager.resources", &self.aws_secret_manager),
            ("gcpSecretManager.sidecarImage", "gcpSecretManager.resources", &self.gcp_secret_manager),
            ("azureSecretManager.sidecarImage", "azureSecretManager.resources", &self.azure_secret_manager),
        ] {
            check_image(image, sidecar.sidecar_image)?;
            check_resources(resources, &sidecar.resources)?;
        }
        self.vault_secret_manager.check()?;
        self.embedded_secret_manager_config.check()?;
        warnings.extend(self.tenancy.warning().filter(|_| self.managers().any(|it| it == ManagerType::Embedded)));
        Ok(warnings)
    }
}

fn check_prefix(prefix: &str) -> Result<(), Error> {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if prefix.chars().all(name) && !prefix.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(());
    }
    Err(Error::Value {
        path: "secretEnvVarPrefix".to_owned(),
        problem: format!(
            "{prefix:?} starts no variable's name; letters, digits, _, - and . may stand in it, and no \
                          digit in front"
        ),
    })
}

fn check_image(path: &str, image: Option<&str>) -> Result<(), Error> {
    if let Some(image) = image.filter(|image| image.is_empty() || !image.bytes().all(|c| c.is_ascii_graphic())) {
        let problem = format!("{image:?} is no image; leave the key out for Flyte's default");
        return Err(Error::Value { path: path.to_owned(), problem });
    }
    Ok(())
}

/// A secret manager, under Flyte's name for it; any case is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ManagerType {
    /// The webhook's own environment and files; skipped.
    Global,
    /// References to Kubernetes Secrets of the pod's namespace.
    K8s,
    /// AWS Secrets Manager through a sidecar.
    Aws,
    /// GCP Secret Manager through a sidecar.
    Gcp,
    /// Azure Key Vault through a sidecar.
    Azure,
    /// HashiCorp Vault through the Vault Agent Injector.
    Vault,
    /// Fetched at admission.
    Embedded,
}

impl ManagerType {
    const NAMES: [(&'static str, Self); 7] = [
        ("K8s", Self::K8s),
        ("AWS", Self::Aws),
        ("GCP", Self::Gcp),
        ("Azure", Self::Azure),
        ("Vault", Self::Vault),
        ("Embedded", Self::Embedded),
        ("Global", Self::Global),
    ];
}

impl ManagerType {
    /// Flyte's name for it.
    pub fn name(self) -> &'static str {
        name_of(&Self::NAMES, self)
    }
}

impl fmt::Display for ManagerType {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where Embedded fetches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Provider {
    /// AWS Secrets Manager, through the secret gateway.
    Aws,
    /// GCP Secret Manager, through the secret gateway.
    Gcp,
    /// Azure Key Vault, through the secret gateway.
    Azure,
    /// Kubernetes Secrets of one namespace.
    K8s,
}

impl Provider {
    const NAMES: [(&'static str, Self); 4] =
        [("AWS", Self::Aws), ("GCP", Self::Gcp), ("Azure", Self::Azure), ("K8s", Self::K8s)];
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(name_of(&Self::NAMES, *self))
    }
}

/// The settings' names for the schemes.
const NAME_SCHEMES: [(&str, NameScheme); 2] =
    [("canonical", NameScheme::Canonical), ("documented", NameScheme::Documented)];

fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    names.iter().find(|(_, named)| *named == value).map_or("", |(name, _)| name)
}

/// `k8sSecretManager`, ours.
#[derive(Clone, Debug, PartialEq)]
pub struct K8sSecretManager {
    /// Whether a pod whose Secret is missing starts without it, as in Flyte. With `false` it waits.
    pub optional: bool,
}

impl K8sSecretManager {
    fn read(&mut self, reader: &mut Reader) -> Result<(), Error> {
        reader.section(&["optional"], &mut |reader, _| reader.boolean().map(|it| self.optional = it))
    }
}

impl Default for K8sSecretManager {
    fn default() -> Self {
        Self { optional: true }
    }
}

/// `awsSecretManager`, `gcpSecretManager` and `azureSecretManager`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sidecar<'a> {
    /// Image of the init-containers.
    pub sidecar_image: Option<&'a str>,
    /// Requests and limits. What is given goes over the default, amount by amount.
    pub resources: Resources<'a>,
}

impl<'a> Sidecar<'a> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        reader.section(&["sidecarImage", "resources"], &mut |reader, key| match key {
            "sidecarImage" => reader.string().map(|it| self.sidecar_image = Some(it)),
            _ => read_resources(&mut self.resources, reader),
        })
    }
}

impl Default for Sidecar<'_> {
    fn default() -> Self {
        Self { sidecar_image: None, resources: resources("200m", "500Mi") }
    }
}

/// `vaultSecretManager`.
#[derive(Clone, Debug, PartialEq)]
pub struct VaultSecretManager<'a> {
    /// Role that the agent logs in with.
    pub role: &'a str,
    /// Deprecated by Flyte: the engine of requests whose `group_version` names none; a number or a string.
    pub kv_version: KvVersion,
    /// Annotations for each pod with a secret from Vault. They win over the policy's own; the pod's own win over them.
    pub annotations: Vec<(&'a str, &'a str)>,
    /// Ours: with `true` a pod's own annotations override neither `role` nor what `annotations` sets.
    pub lock_annotations: bool,
}

impl<'a> VaultSecretManager<'a> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        reader.section(&["role", "kvVersion", "annotations", "lockAnnotations"], &mut |reader, key| match key {
            "role" => reader.string().map(|it| self.role = it),
            "kvVersion" => reader.named(&KvVersion::NAMES).map(|it| self.kv_version = it),
            "annotations" => reader.map(&mut |reader, key| {
                self.annotations.push((key, reader.string()?));
                Ok(())
            }),
            _ => reader.boolean().map(|it| self.lock_annotations = it),
        })
    }

    fn check(&self) -> Result<(), Error> {
        for (key, _) in &self.annotations {
            // Kubernetes has domains in any case here.
            let problem = match key.starts_with(REQUEST_PREFIX) {
                true => "is a secret request, which is for pods to make",
                false if is_qualified_name(&key.to_ascii_lowercase()) => continue,
                false => "is no annotation's name",
            };
            let path = "vaultSecretManager.annotations".to_owned();
            return Err(Error::Value { path, problem: format!("{key:?} {problem}") });
        }
        Ok(())
    }
}

impl Default for VaultSecretManager<'_> {
    fn default() -> Self {
        Self { role: "flyte", kv_version: KvVersion::V2, annotations: Vec::new(), lock_annotations: false }
    }
}

/// Version of Vault's key-value engine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KvVersion {
    /// Plain values under `.Data`.
    V1,
    /// Versioned values under `.Data.data`.
    V2,
}

impl KvVersion {
    const NAMES: [(&'static str, Self); 2] = [("1", Self::V1), ("2", Self::V2)];
}

/// `embeddedSecretManagerConfig`.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddedSecretManager<'a> {
    /// Where it fetches. Without it, from the one provider that is configured, and with none from `K8s`.
    pub r#type: Option<Provider>,
    /// For the type `AWS`.
    pub aws_config: AwsConfig<'a>,
    /// For the type `GCP`.
    pub gcp_config: GcpConfig<'a>,
    /// For the type `Azure`.
    pub azure_config: AzureConfig<'a>,
    /// For the type `K8s`, and for image pull secrets.
    pub k8s_config: K8sConfig<'a>,
    /// The init-container that writes files.
    pub file_mount_init_container: FileMountInitContainer<'a>,
    /// Secrets that also serve to pull images.
    pub image_pull_secrets: ImagePullSecrets,
    /// Ours: which names are looked up in the scopes of domain and organization, in this order. No meaning for `Azure`.
    pub name_schemes: Vec<NameScheme>,
}

impl Default for EmbeddedSecretManager<'_> {
    fn default() -> Self {
        Self {
            r#type: None,
            aws_config: AwsConfig::default(),
            gcp_config: GcpConfig::default(),
            azure_config: AzureConfig::default(),
            k8s_config: K8sConfig::default(),
            file_mount_init_container: FileMountInitContainer::default(),
            image_pull_secrets: ImagePullSecrets::default(),
            name_schemes: vec![NameScheme::Canonical, NameScheme::Documented],
        }
    }
}

/// `embeddedSecretManagerConfig.awsConfig`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AwsConfig<'a> {
    /// Region of Secrets Manager, such as `eu-west-1`.
    pub region: &'a str,
}

/// `embeddedSecretManagerConfig.gcpConfig`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GcpConfig<'a> {
    /// Project of Secret Manager, such as `acme-prod`.
    pub project: &'a str,
}

/// `embeddedSecretManagerConfig.azureConfig`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AzureConfig<'a> {
    /// URI of the Key Vault, such as `https://name.vault.azure.net/`.
    pub vault_uri: &'a str,
}

impl<'a> AzureConfig<'a> {
    /// The vault's host in lower case, if the URI is one: `https://`, a host, and no path.
    pub fn host(&self) -> Option<String> {
        let host = self.vault_uri.to_ascii_lowercase();
        let host = host.strip_prefix("https://")?;
        let host = host.strip_suffix('/').unwrap_or(host);
        is_dns_subdomain(host).then(|| host.to_owned())
    }
}

/// `embeddedSecretManagerConfig.k8sConfig`.
#[derive(Clone, Debug, PartialEq)]
pub struct K8sConfig<'a> {
    /// The namespace of the Secrets that hold the values.
    pub namespace: &'a str,
}

impl Default for K8sConfig<'_> {
    fn default() -> Self {
        Self { namespace: "flyte" }
    }
}

/// `embeddedSecretManagerConfig.fileMountInitContainer`.
#[derive(Clone, Debug, PartialEq)]
pub struct FileMountInitContainer<'a> {
    /// Image, with `sh` and `base64` in it.
    pub image: &'a str,
    /// Requests and limits. What is given goes over the default, amount by amount.
    pub resources: Resources<'a>,
    /// Name of the container.
    pub container_name: &'a str,
}

impl<'a> FileMountInitContainer<'a> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        reader.section(&["image", "resources", "containerName"], &mut |reader, key| match key {
            "image" => reader.string().map(|it| self.image = it),
            "resources" => read_resources(&mut self.resources, reader),
            _ => reader.string().map(|it| self.container_name = it),
        })
    }
}

impl Default for FileMountInitContainer<'_> {
    fn default() -> Self {
        Self {
            image: "public.ecr.aws/docker/library/busybox:latest",
            resources: resources("100m", "100Mi"),
            container_name: "init-embedded-secret",
        }
    }
}

/// `embeddedSecretManagerConfig.imagePullSecrets`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImagePullSecrets {
    /// Whether a secret that is found also serves to pull images, if its twin is in the pod's namespace.
    pub enabled: bool,
}

impl<'a> EmbeddedSecretManager<'a> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        reader.section(
            &[
                "type",
                "awsConfig",
                "gcpConfig",
                "azureConfig",
                "k8sConfig",
                "fileMountInitContainer",
                "imagePullSecrets",
                "nameSchemes",
            ],
            &mut |reader, key| match key {
                "type" => reader.named(&Provider::NAMES).map(|it| self.r#type = Some(it)),
                "awsConfig" => {
                    reader.section(&["region"], &mut |reader, _| reader.string().map(|it| self.aws_config.region = it))
                }
                "gcpConfig" => reader
                    .section(&["project"], &mut |reader, _| reader.string().map(|it| self.gcp_config.project = it)),
                "azureConfig" => reader.section(&["vaultURI"], &mut |reader, _| {
                    reader.string().map(|it| self.azure_config.vault_uri = it)
                }),
                "k8sConfig" => reader.section(&["namespace", "kubeClientConfig"], &mut |reader, key| match key {
                    "namespace" => reader.string().map(|it| self.k8s_config.namespace = it),
                    _ => reader.ignore(),
                }),
                "fileMountInitContainer" => self.file_mount_init_container.read(reader),
                "imagePullSecrets" => reader.section(&["enabled"], &mut |reader, _| {
                    reader.boolean().map(|it| self.image_pull_secrets.enabled = it)
                }),
                _ => reader.list(&mut |reader| reader.named(&NAME_SCHEMES)).map(|it| self.name_schemes = it),
            },
        )
    }

    /// The provider: the one that is named or, without a name, the only one that is configured; K8s with none.
    ///
    /// # Errors
    /// Several are configured and none is named, or the named one lacks its region, project or vault.
    pub fn provider(&self) -> Result<Provider, Error> {
        let configured: Vec<Provider> = [
            (Provider::Aws, self.aws_config.region),
            (Provider::Gcp, self.gcp_config.project),
            (Provider::Azure, self.azure_config.vault_uri),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(provider, _)| provider)
        .collect();
        match (self.r#type, configured.as_slice()) {
            (Some(named), _) => Ok(named),
            (None, []) => Ok(Provider::K8s),
            (None, [one]) => Ok(*one),
            (None, several) => {
                let several: Vec<String> = several.iter().map(ToString::to_string).collect();
                Err(Error::Value {
                    path: "embeddedSecretManagerConfig.type".to_owned(),
                    problem: format!("{} are configured; name the one that is meant", several.join(" and ")),
                })
            }
        }
    }

    fn check(&self) -> Result<(), Error> {
        let refused = |path: &str, problem| Err(Error::Value { path: path.to_owned(), problem });
        match self.provider()? {
            Provider::Aws if !is_aws_region(self.aws_config.region) => refused(
                "embeddedSecretManagerConfig.awsConfig.region",
                format!("{:?} is no region; AWS wants one such as eu-west-1", self.aws_config.region),
            )?,
            Provider::Gcp if !is_gcp_project(self.gcp_config.project) => refused(
                "embeddedSecretManagerConfig.gcpConfig.project",
                format!("{:?} is no project; GCP wants its id, such as acme-prod", self.gcp_config.project),
            )?,
            Provider::Azure if self.azure_config.host().is_none() => refused(
                "embeddedSecretManagerConfig.azureConfig.vaultURI",
                format!(
                    "{:?} is no vault; Azure wants one such as https://name.vault.azure.net/",
                    self.azure_config.vault_uri
                ),
            )?,
            _ => {}
        }
        if !is_dns_label(self.k8s_config.namespace) {
            refused(
                "embeddedSecretManagerConfig.k8sConfig.namespace",
                format!("{:?} is no namespace", self.k8s_config.namespace),
            )?;
        }
        if self.name_schemes.is_empty() {
            refused(
                "embeddedSecretManagerConfig.nameSchemes",
                "is empty; name canonical, documented or both, or leave the key out".to_owned(),
            )?;
        }
        let container = &self.file_mount_init_container;
        if !is_dns_label(container.container_name) {
            refused(
                "embeddedSecretManagerConfig.fileMountInitContainer.containerName",
                format!("{:?} is no container's name: up to 63 of a-z, 0-9 and -", container.container_name),
            )?;
        }
        check_image("embeddedSecretManagerConfig.fileMountInitContainer.image", Some(container.image))?;
        check_resources("embeddedSecretManagerConfig.fileMountInitContainer.resources", &container.resources)
    }
}

fn is_aws_region(region: &str) -> bool {
    region.contains('-') && is_dns_label(region)
}

fn is_gcp_project(project: &str) -> bool {
    // Old projects have a domain in front, and a colon.
    project.split(':').all(is_dns_subdomain)
}

/// What annotations and resources may be called: a name of up to 63 characters, perhaps with a domain and a slash in front
/// (`IsQualifiedName` of apimachinery).
fn is_qualified_name(text: &str) -> bool {
    let (domain, name) = text.split_once('/').map_or((None, text), |(domain, name)| (Some(domain), name));
    domain.is_none_or(is_dns_subdomain) && is_label_value(name)
}

/// `tenancy`, ours: off by default, as Flyte has it; on in the manifests that are shipped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tenancy<'a> {
    /// The namespace that a pod must be in to have what its labels claim, made of `{{ project }}`, `{{ domain }}` and
    /// `{{ organization }}` (or `{{ org }}`).
    pub namespace_template: Option<NamespaceTemplate<'a>>,
    /// Organizations whose secrets there are for pods of this cluster. Without it the label `organization` is taken as it
    /// is, and a template that does not name it gives a warning at start.
    pub organizations: Option<Vec<&'a str>>,
    /// Service accounts whose pods Embedded serves, as `name` or `namespace/name`. Without it all are; an empty list
    /// serves nobody.
    pub service_accounts: Option<Vec<&'a str>>,
}

impl<'a> Tenancy<'a> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        reader.section(&["namespaceTemplate", "organizations", "serviceAccounts"], &mut |reader, key| match key {
            "namespaceTemplate" => {
                let text = reader.string()?;
                let template = NamespaceTemplate::parse(text).map_err(|problem| reader.refused(problem))?;
                self.namespace_template = Some(template);
                Ok(())
            }
            "organizations" => reader.list(&mut Reader::string).map(|it| self.organizations = Some(it)),
            _ => reader.list(&mut Reader::string).map(|it| self.service_accounts = Some(it)),
        })
    }

    /// What a template alone leaves open.
    fn warning(&self) -> Option<String> {
        let open = self.namespace_template.as_ref().is_some_and(|template| !template.binds_organization());
        let warning = "tenancy: the pods' label organization is taken as it is; name this cluster's in \
                       tenancy.organizations";
        (open && self.organizations.is_none()).then(|| warning.to_owned())
    }
}

/// The same amounts as requests and limits.
fn resources<'a>(cpu: &'a str, memory: &'a str) -> Resources<'a> {
    let both = vec![("cpu", cpu), ("memory", memory)];
    Resources { limits: both.clone(), requests: both }
}

/// What is given goes over what is there, key by key.
fn read_resources<'a>(resources: &mut Resources<'a>, reader: &mut Reader<'a>) -> Result<(), Error> {
    reader.section(&["limits", "requests"], &mut |reader, key| {
        let amounts = if key == "limits" { &mut resources.limits } else { &mut resources.requests };
        reader.map(&mut |reader, resource| {
            let amount = reader.string_or_number()?;
            match amounts.iter_mut().find(|(known, _)| *known == resource) {
                Some((_, known)) => *known = amount,
                None => amounts.push((resource, amount)),
            }
            Ok(())
        })
    })
}

fn check_resources(path: &str, resources: &Resources) -> Result<(), Error> {
    let amount = |name: &str, text: &str| {
        quantity::parse(text).ok_or_else(|| Error::Value {
            path: path.to_owned(),
            problem: format!("{name}: {text:?} is no quantity such as 200m or 500Mi"),
        })
    };
    let refused = |problem: String| Err(Error::Value { path: path.to_owned(), problem });
    for (name, limit) in &resources.limits {
        let limit = amount(name, limit)?;
        match *name {
            "cpu" | "memory" | "ephemeral-storage" => {}
            // Extended resources (`ValidateContainerResourceName`, `ValidateResourceQuantityValue`): whole numbers.
            extended if extended.contains('/') && is_qualified_name(extended) && limit % 1000 == 0 => {}
            _ => return refused(format!("{name:?} is no resource of a container that pulls secrets")),
        }
    }
    for (name, request) in &resources.requests {
        let asked = amount(name, request)?;
        let limit = resources.limits.iter().find(|(limited, _)| limited == name);
        if name.contains('/') && limit.is_none_or(|(_, limit)| quantity::parse(limit) != Some(asked)) {
            return refused(format!("{name} is requested without an equal limit; Kubernetes wants both the same"));
        }
        let Some((_, limit)) = limit else {
            match *name {
                "cpu" | "memory" | "ephemeral-storage" => continue,
                _ => return refused(format!("{name:?} is no resource of a container that pulls secrets")),
            }
        };
        if asked > amount(name, limit)? {
            let problem = format!("the request of {request} {name} is over the limit of {limit}; raise the limit too");
            return Err(Error::Value { path: path.to_owned(), problem });
        }
    }
    Ok(())
}
