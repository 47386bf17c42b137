//! What settings must not say although each key has a value of its type: everything that would make each pod fail.

use super::{EmbeddedSecretManager, Error, ManagerType, Provider, Settings, VaultSecretManager};
use crate::names::kubernetes::{is_dns_label, is_dns_subdomain, is_qualified_name};
use crate::secret_request::REQUEST_PREFIX;

impl Settings {
    /// Returns what the operator should know although it is no error.
    pub(super) fn check(&self) -> Result<Vec<String>, Error> {
        let mut warnings = Vec::new();
        if self.named_managers().contains(&ManagerType::Global) {
            warnings.push(
                "secretManagerTypes: Global is skipped: the environment and the files of Flyte's webhook do not exist \
                 in a policy"
                    .to_owned(),
            );
        }
        if self.managers().next().is_none() {
            let problem = "Global is not supported by a policy; add K8s, AWS, GCP, Azure, Vault or Embedded";
            return Err(Error::value("secretManagerTypes", problem.to_owned()));
        }
        check_prefix(&self.secret_env_var_prefix)?;
        let Self { aws_secret_manager: aws, gcp_secret_manager: gcp, azure_secret_manager: azure, .. } = self;
        check_image("awsSecretManager.sidecarImage", &aws.sidecar_image)?;
        aws.resources.check("awsSecretManager.resources")?;
        check_image("gcpSecretManager.sidecarImage", &gcp.sidecar_image)?;
        gcp.resources.check("gcpSecretManager.resources")?;
        check_image("azureSecretManager.sidecarImage", &azure.sidecar_image)?;
        azure.resources.check("azureSecretManager.resources")?;
        self.vault_secret_manager.check()?;
        self.embedded_secret_manager_config.check()?;
        if self.managers().any(|it| it == ManagerType::Embedded) {
            let unbound = |label| {
                format!(
                    "tenancy: nothing binds the pods' label {label}, so a pod can claim another's secrets; set \
                     tenancy.creators, or name it in tenancy.namespaceTemplate"
                )
            };
            warnings.extend(self.tenancy.unbound_labels().map(unbound));
        }
        Ok(warnings)
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

fn check_image(path: &str, image: &str) -> Result<(), Error> {
    if image.is_empty() || !image.bytes().all(|c| c.is_ascii_graphic()) {
        let problem = format!("invalid image {image:?}; omit the field to use Flyte's default");
        return Err(Error::value(path, problem));
    }
    Ok(())
}

impl VaultSecretManager {
    pub(super) fn check(&self) -> Result<(), Error> {
        for key in self.annotations.keys() {
            // Kubernetes has domains in any case here.
            let problem = match key.starts_with(REQUEST_PREFIX) {
                true => format!("{key:?} is a secret request, which only pods can make"),
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
        match self.provider()? {
            Provider::Aws if !is_aws_region(&self.aws_config.region) => refused(
                "embeddedSecretManagerConfig.awsConfig.region",
                format!("invalid region {:?}; expected one such as eu-west-1", self.aws_config.region),
            )?,
            Provider::Gcp if !is_gcp_project(&self.gcp_config.project) => refused(
                "embeddedSecretManagerConfig.gcpConfig.project",
                format!("invalid project {:?}; expected a project ID such as acme-prod", self.gcp_config.project),
            )?,
            Provider::Azure if self.azure_config.host().is_none() => refused(
                "embeddedSecretManagerConfig.azureConfig.vaultURI",
                format!(
                    "invalid vault URI {:?}; expected one such as https://name.vault.azure.net/",
                    self.azure_config.vault_uri
                ),
            )?,
            _ => {}
        }
        if !is_dns_label(&self.k8s_config.namespace) {
            refused(
                "embeddedSecretManagerConfig.k8sConfig.namespace",
                format!("invalid namespace {:?}; must be a DNS label", self.k8s_config.namespace),
            )?;
        }
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
        check_image("embeddedSecretManagerConfig.fileMountInitContainer.image", &container.image)?;
        container.resources.check("embeddedSecretManagerConfig.fileMountInitContainer.resources")
    }
}

fn is_aws_region(region: &str) -> bool {
    region.contains('-') && is_dns_label(region)
}

fn is_gcp_project(project: &str) -> bool {
    // Old projects have a domain in front, and a colon.
    project.split(':').all(is_dns_subdomain)
}
