//! Checks of settings whose fields have valid types: values that would make every pod fail.

use k8s_openapi::api::core::v1::ResourceRequirements;

use super::{Delivery, EmbeddedSecretManager, Error, InitContainerOrder, ManagerType, Provider, Settings, quantity};
use crate::grant;
use crate::names::kubernetes::{is_dns_label, is_qualified_name};
use crate::pod::Container;
use crate::secret_request::REQUEST_PREFIX;

fn require(valid: bool, path: &str, problem: impl Into<String>) -> Result<(), Error> {
    if valid { Ok(()) } else { Err(Error::value(path, problem)) }
}

impl Settings {
    /// Returns warnings for the operator.
    pub(super) fn check(&self) -> Result<Vec<String>, Error> {
        let only_global = "Global is not supported by a policy; add another manager";
        require(self.managers().next().is_some(), "secretManagerTypes", only_global)?;
        let prefix = &self.secret_env_var_prefix;
        let in_prefix = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        require(
            prefix.chars().all(in_prefix) && !prefix.starts_with(|c: char| c.is_ascii_digit()),
            "secretEnvVarPrefix",
            format!(
                "invalid prefix {prefix:?}; must consist of letters, digits, _, - and ., and must not start with a digit"
            ),
        )?;
        check_container("awsSecretManager", "sidecarImage", &self.aws_secret_manager.container())?;
        check_container("gcpSecretManager", "sidecarImage", &self.gcp_secret_manager.container())?;
        check_container("azureSecretManager", "sidecarImage", &self.azure_secret_manager.container())?;
        for key in self.vault_secret_manager.annotations.keys() {
            let path = "vaultSecretManager.annotations";
            let reserved = format!("{key:?} is reserved for secret requests of pods; remove it");
            require(!key.starts_with(REQUEST_PREFIX), path, reserved)?;
            // Kubernetes allows upper case in the domain here.
            let valid = is_qualified_name(&key.to_ascii_lowercase());
            require(valid, path, format!("invalid annotation key {key:?}"))?;
        }
        self.embedded_secret_manager_config.check()?;
        let pulls = self.embedded_secret_manager_config.delivery == Delivery::Pull;
        let ordered = !pulls || self.init_containers == InitContainerOrder::First;
        require(ordered, "initContainers", "Last is not supported with delivery Pull; set it to First")?;
        let size = &self.volume_size_limit.0;
        let problem = format!("invalid quantity {size:?}; expected one such as 64Mi");
        require(quantity::parse(size).is_some_and(|size| size > 0), "volumeSizeLimit", problem)?;
        Ok(self.warnings())
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.secret_manager_types.contains(&ManagerType::Global) {
            let problem = "a policy cannot read the environment and files of Flyte's webhook";
            warnings.push(format!("secretManagerTypes: ignored Global: {problem}"));
        }
        let chain: Vec<ManagerType> = self.managers().collect();
        // K8s accepts each request with a key unless it verifies them.
        if !self.k8s_secret_manager.verify
            && let Some(at) = chain.iter().position(|manager| *manager == ManagerType::K8s)
        {
            let (before, after) = chain.split_at(at);
            let remedy = "set k8sSecretManager.verify to look up the Secret first";
            if let Some(unreached) = after.get(1) {
                warnings.push(format!(
                    "secretManagerTypes: {unreached} is unreachable, because K8s accepts every secret request; {remedy}"
                ));
            }
            if before.contains(&ManagerType::Embedded) {
                warnings.push(format!(
                    "secretManagerTypes: K8s accepts secrets that Embedded does not find, so missing secrets are not \
                     reported; {remedy}"
                ));
            }
        }
        if chain.contains(&ManagerType::Embedded) {
            warnings.extend(self.tenancy.unbound_labels().map(|label| {
                format!(
                    "tenancy: label {label} of pods is not verified, so a pod can claim secrets of others; set \
                     tenancy.creators, or use the label in tenancy.namespaceTemplate"
                )
            }));
        }
        warnings
    }
}

impl EmbeddedSecretManager {
    fn check(&self) -> Result<(), Error> {
        let require =
            |valid, key, problem: &str| require(valid, &["embeddedSecretManagerConfig.", key].concat(), problem);
        let provider = self.provider()?;
        self.place(provider)?;
        let referable = self.delivery != Delivery::Reference || !provider.is_cloud();
        require(referable, "delivery", "Reference requires type K8s; set it to Auto")?;
        if self.delivery == Delivery::Pull {
            let pull = self.pull_settings();
            let is_duration = |text: &str| grant::parse_duration(text).is_some();
            let duration = "invalid duration; expected one such as 2m";
            let address = "invalid address; expected one such as https://secret-gateway-pods.flyte.svc:8444";
            let is_pem = pull.ca.contains("-----BEGIN CERTIFICATE-----");
            require(grant::is_address(&pull.gateway), "pull.gateway", address)?;
            require(is_pem, "pull.ca", "invalid certificate; expected PEM")?;
            require(!pull.audience.is_empty(), "pull.audience", "must not be empty")?;
            require(is_duration(&pull.patience), "pull.patience", duration)?;
            require(pull.refresh.as_deref().is_none_or(is_duration), "pull.refresh", duration)?;
            check_container("embeddedSecretManagerConfig.pull", "image", &pull.container())?;
        }
        self.place(Provider::K8s)?;
        let no_schemes = "must not be empty; name canonical, documented or both, or omit the field";
        require(!self.name_schemes.is_empty(), "nameSchemes", no_schemes)?;
        let container = &self.file_mount_init_container;
        let name = &container.container_name;
        let problem = format!("invalid container name {name:?}; must be a DNS label");
        require(is_dns_label(name), "fileMountInitContainer.containerName", &problem)?;
        check_container("embeddedSecretManagerConfig.fileMountInitContainer", "image", &container.container())
    }
}

/// Checks the init container of the section at a path, and the image at its key.
fn check_container(path: &str, key: &str, container: &Container) -> Result<(), Error> {
    let image = &container.image;
    require(
        !image.is_empty() && image.bytes().all(|c| c.is_ascii_graphic()),
        &[path, ".", key].concat(),
        format!("invalid image {image:?}; omit the field to use Flyte's default"),
    )?;
    check_resources(&container.resources).map_err(|problem| Error::value(&[path, ".resources"].concat(), problem))
}

/// Checks what Kubernetes would reject in each pod.
fn check_resources(requirements: &ResourceRequirements) -> Result<(), String> {
    let ResourceRequirements { limits: Some(limits), requests: Some(requests), .. } = requirements else {
        return Ok(());
    };
    let is_native = |name: &str| matches!(name, "cpu" | "memory" | "ephemeral-storage");
    let unsupported = |name: &str| format!("unsupported resource {name:?} for an init container");
    let amount = |name: &str, text: &str| {
        let problem = || format!("{name}: invalid quantity {text:?}; expected one such as 200m or 500Mi");
        quantity::parse(text).ok_or_else(problem)
    };
    for (name, limit) in limits {
        // Extended resources (`ValidateContainerResourceName`, `ValidateResourceQuantityValue`): whole numbers.
        let is_whole = amount(name, &limit.0)? % 1000 == 0;
        if !(is_native(name) || is_whole && name.contains('/') && is_qualified_name(name)) {
            return Err(unsupported(name));
        }
    }
    for (name, request) in requests {
        let requested = amount(name, &request.0)?;
        let limit = limits.get(name);
        let most = limit.map(|limit| amount(name, &limit.0)).transpose()?;
        return Err(match (limit, most) {
            _ if name.contains('/') && most != Some(requested) => {
                format!("{name}: request and limit must be equal for an extended resource")
            }
            (Some(limit), Some(most)) if requested > most => {
                format!("{name}: request of {} exceeds the limit of {}; raise the limit too", request.0, limit.0)
            }
            (None, _) if !is_native(name) => unsupported(name),
            _ => continue,
        });
    }
    Ok(())
}
