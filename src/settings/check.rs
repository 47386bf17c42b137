//! Checks of settings whose fields have valid types: values that would make every pod fail.

use super::quantity;
use super::{
    Delivery, EmbeddedSecretManager, Error, InitContainerOrder, ManagerType, Provider, Settings, VaultSecretManager,
};
use crate::grant;
use crate::names::kubernetes::{is_dns_label, is_qualified_name};
use crate::secret_request::REQUEST_PREFIX;

impl Settings {
    /// Returns warnings for the operator.
    pub(super) fn check(&self) -> Result<Vec<String>, Error> {
        let mut warnings = Vec::new();
        if self.named_managers().contains(&ManagerType::Global) {
            warnings.push(
                "secretManagerTypes: ignored Global: a policy cannot read the environment and files of Flyte's webhook"
                    .to_owned(),
            );
        }
        if self.managers().next().is_none() {
            let problem = "Global is not supported by a policy; add another manager";
            return Err(Error::value("secretManagerTypes", problem.to_owned()));
        }
        check_prefix(&self.secret_env_var_prefix)?;
        let Self { aws_secret_manager: aws, gcp_secret_manager: gcp, azure_secret_manager: azure, .. } = self;
        aws.check_container("awsSecretManager")?;
        gcp.check_container("gcpSecretManager")?;
        azure.check_container("azureSecretManager")?;
        self.vault_secret_manager.check()?;
        self.embedded_secret_manager_config.check()?;
        warnings.extend(self.check_chain());
        let pulls = self.embedded_secret_manager_config.delivery == Delivery::Pull;
        if pulls && self.init_containers == InitContainerOrder::Last {
            let problem = "Last is not supported with delivery Pull; set it to First";
            return Err(Error::value("initContainers", problem.to_owned()));
        }
        if quantity::parse(&self.volume_size_limit.0).is_none_or(|size| size == 0) {
            let problem = format!("invalid quantity {:?}; expected one such as 64Mi", self.volume_size_limit.0);
            return Err(Error::value("volumeSizeLimit", problem));
        }
        if self.managers().any(|it| it == ManagerType::Embedded) {
            let unbound = |label| {
                format!(
                    "tenancy: label {label} of pods is not verified, so a pod can claim secrets of others; set \
                     tenancy.creators, or use the label in tenancy.namespaceTemplate"
                )
            };
            warnings.extend(self.tenancy.unbound_labels().map(unbound));
        }
        Ok(warnings)
    }
}

impl Settings {
    /// Returns warnings about managers after K8s, which accepts each request with a key unless it verifies them.
    fn check_chain(&self) -> Vec<String> {
        let chain: Vec<ManagerType> = self.managers().collect();
        let Some(at) = chain.iter().position(|manager| *manager == ManagerType::K8s) else { return Vec::new() };
        let (before, after) = chain.split_at(at);
        let remedy = "set k8sSecretManager.verify to look up the Secret first";
        let mut warnings = Vec::new();
        if self.k8s_secret_manager.verify {
            return warnings;
        }
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
        warnings
    }
}

fn check_prefix(prefix: &str) -> Result<(), Error> {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if prefix.chars().all(name) && !prefix.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(());
    }
    let problem = format!(
        "invalid prefix {prefix:?}; must consist of letters, digits, _, - and ., and must not start with a digit"
    );
    Err(Error::value("secretEnvVarPrefix", problem))
}

impl VaultSecretManager {
    pub(super) fn check(&self) -> Result<(), Error> {
        for key in self.annotations.keys() {
            // Kubernetes allows upper case in the domain here.
            let problem = match key.starts_with(REQUEST_PREFIX) {
                true => format!("{key:?} is reserved for secret requests of pods; remove it"),
                false if is_qualified_name(&key.to_ascii_lowercase()) => continue,
                false => format!("invalid annotation key {key:?}"),
            };
            return Err(Error::value("vaultSecretManager.annotations", problem));
        }
        Ok(())
    }
}

impl EmbeddedSecretManager {
    pub(super) fn check(&self) -> Result<(), Error> {
        let refused = |path, problem| Err(Error::value(path, problem));
        let provider = self.provider()?;
        self.place(provider)?;
        if self.delivery == Delivery::Reference && provider.is_cloud() {
            refused("embeddedSecretManagerConfig.delivery", "Reference requires type K8s; set it to Auto".to_owned())?;
        }
        if self.delivery == Delivery::Pull {
            self.check_pull()?;
        }
        self.place(Provider::K8s)?;
        if self.name_schemes.is_empty() {
            refused(
                "embeddedSecretManagerConfig.nameSchemes",
                "must not be empty; name canonical, documented or both, or omit the field".to_owned(),
            )?;
        }
        let container = &self.file_mount_init_container;
        if !is_dns_label(&container.container_name) {
            refused(
                "embeddedSecretManagerConfig.fileMountInitContainer.containerName",
                format!("invalid container name {:?}; must be a DNS label", container.container_name),
            )?;
        }
        container.check_container("embeddedSecretManagerConfig.fileMountInitContainer")
    }
}

impl EmbeddedSecretManager {
    fn check_pull(&self) -> Result<(), Error> {
        let pull = self.pull_settings();
        let check = |valid: bool, key: &str, problem: &str| match valid {
            true => Ok(()),
            false => Err(Error::value(&["embeddedSecretManagerConfig.", key].concat(), problem.to_owned())),
        };
        let is_duration = |text: &str| grant::parse_duration(text).is_some();
        let duration = "invalid duration; expected one such as 2m";
        let address = "invalid address; expected one such as https://secret-gateway-pods.flyte.svc:8444";
        check(grant::is_address(&pull.gateway), "pull.gateway", address)?;
        check(pull.ca.contains("-----BEGIN CERTIFICATE-----"), "pull.ca", "invalid certificate; expected PEM")?;
        check(!pull.audience.is_empty(), "pull.audience", "must not be empty")?;
        check(is_duration(&pull.patience), "pull.patience", duration)?;
        check(pull.refresh.as_deref().is_none_or(is_duration), "pull.refresh", duration)?;
        pull.check_container("embeddedSecretManagerConfig.pull")
    }
}
