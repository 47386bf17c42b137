//! AWS, GCP and Azure: one init container for each request pulls the secret into a volume in memory.

use k8s_openapi::api::core::v1::EnvVar;

use super::{Injection, Outcome, Reason, SecretManager, ensure, file_only, file_variables, is_plain_path, needed};
use crate::names::kubernetes::is_dns_subdomain;
use crate::pod::{Container, ContainerName, File, InitContainer, Plan, SECRETS_DIR, memory_volume, mount, variable};
use crate::secret_request::SecretRequest;
use crate::settings::Settings;

/// What is particular to a cloud.
pub(super) struct Cloud {
    volume: &'static str,
    container_prefix: &'static str,
    /// Mount path of the volume in the init container.
    mount_path: &'static str,
    /// Returns what the init container of a request pulls, or a reason.
    pull: fn(&SecretRequest) -> Result<Pull, Reason>,
}

/// What an init container pulls.
#[derive(Default)]
struct Pull {
    /// Its command; empty for the image's own.
    command: Vec<String>,
    variables: Vec<EnvVar>,
    /// File that it writes, below the folder of secrets.
    file: String,
    /// Name of the secret.
    source: String,
}

/// The manager of a cloud.
pub(super) struct Sidecar<'a> {
    pub cloud: Cloud,
    pub container: Container,
    pub settings: &'a Settings,
}

impl SecretManager for Sidecar<'_> {
    fn inject(&self, request: &SecretRequest, _: &Outcome) -> Result<Injection, Reason> {
        let Cloud { volume, container_prefix, mount_path, pull } = self.cloud;
        file_only(request)?;
        let Pull { command, variables, file, source } = pull(request)?;
        let container = Container {
            command,
            env: variables,
            volume_mounts: vec![mount(volume, mount_path, false)],
            ..self.container.clone()
        };
        let plan = Plan {
            variables: file_variables(request, SECRETS_DIR, &[SECRETS_DIR, "/", &file].concat())?,
            mounts: vec![mount(volume, SECRETS_DIR, true)],
            volumes: vec![memory_volume(volume, &self.settings.volume_size_limit.0)],
            init_containers: vec![InitContainer { name: ContainerName::Numbered(container_prefix), container }],
            files: vec![File { path: file, contents: [container_prefix, &source].concat() }],
            ..Plan::default()
        };
        Ok(Injection { plan, source, ..Injection::default() })
    }
}

/// Returns `sh -ec` with a constant script. Everything variable is an argument, the last one the path of the file, so
/// the shell never parses names. Scripts contain no `$(`, which Kubernetes would expand.
fn shell(script: &str, arguments: &[&str], file: &str) -> Vec<String> {
    let path = [SECRETS_DIR, "/", file].concat();
    ["sh", "-ec", script, "sh"].iter().chain(arguments).chain([&&*path]).map(ToString::to_string).collect()
}

/// Secrets Manager through Amazon's sidecar, which has two variables as its input, and writes below /tmp.
pub(super) const AWS: Cloud =
    Cloud { volume: "aws-secret-vol", container_prefix: "aws-pull-secret-", mount_path: "/tmp", pull: pull_aws };

fn pull_aws(request: &SecretRequest) -> Result<Pull, Reason> {
    let group = needed("group", &request.group)?;
    let key = needed("key", &request.key)?;
    let path = [group, "/", key].concat();
    let expected = "a valid path of ARN and key; it must be ASCII without empty parts, '.', '..' or control characters";
    ensure(is_plain_path(&path) && path.is_ascii(), "group/key", &path, expected)?;
    let file = path.to_ascii_lowercase();
    let source = [group.trim_end_matches(':'), ":", key.trim_start_matches(':')].concat();
    let variables = vec![variable("SECRET_ARN", &source), variable("SECRET_FILENAME", &["/", &file].concat())];
    Ok(Pull { variables, file, source, ..Pull::default() })
}

/// Arguments: the secret, its version, the file. A secret is tried as a full resource path first, then as a short name
/// in gcloud's own project. gcloud keeps its state below HOME, which is `/` for a user without a name; it writes files
/// that only its own user can read; tasks run as another.
const GCP_SCRIPT: &str = "\
export HOME=/tmp
mkdir -p \"${3%/*}\"
gcloud secrets versions access \"$1/versions/$2\" --out-file=\"$3\" ||
gcloud secrets versions access \"$2\" --secret=\"$1\" --out-file=\"$3\"
chmod +rX \"${3%/*}\" \"$3\"";

/// Secret Manager through an init container that runs gcloud.
pub(super) const GCP: Cloud =
    Cloud { volume: "gcp-secret-vol", container_prefix: "gcp-pull-secret-", mount_path: SECRETS_DIR, pull: pull_gcp };

fn pull_gcp(request: &SecretRequest) -> Result<Pull, Reason> {
    let group = needed("group", &request.group)?;
    let version = needed("group_version", &request.group_version)?;
    let expected = "a valid GCP secret; expected projects/PROJECT/secrets/NAME, or NAME of a-z, A-Z, 0-9, '_', '-'";
    ensure(is_secret(group), "group", group, expected)?;
    let expected = "a valid GCP version; expected a number, latest or an alias";
    ensure(is_name(version), "group_version", version, expected)?;
    let source = [group, "/versions/", version].concat();
    let file = [group, "/", version].concat().to_ascii_lowercase();
    Ok(Pull { command: shell(GCP_SCRIPT, &[group, version], &file), file, source, ..Pull::default() })
}

fn is_secret(group: &str) -> bool {
    let parts: Vec<&str> = group.split('/').collect();
    match parts.as_slice() {
        [name] => is_name(name),
        ["projects", project, "secrets", name] => is_project(project) && is_name(name),
        ["projects", project, "locations", location, "secrets", name] => {
            is_project(project) && is_dns_subdomain(location) && is_name(name)
        }
        _ => false,
    }
}

/// Whether a text is a project ID or number. Old ones start with a domain and a colon.
fn is_project(project: &str) -> bool {
    project.split(':').all(is_dns_subdomain)
}

/// Secrets, versions and their aliases: up to 255 letters, digits, hyphens and underscores. A hyphen in front would be
/// an option of gcloud's.
fn is_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'))
        && !name.starts_with('-')
}

/// Arguments: the secret's URI with its version, and the file. Workload identity sets the variables; the token is read
/// with backquotes, because Kubernetes would expand `$(`.
const AZURE_SCRIPT: &str = "\
export HOME=/tmp
az login --service-principal -u \"$AZURE_CLIENT_ID\" -t \"$AZURE_TENANT_ID\" \
--federated-token \"`cat \"$AZURE_FEDERATED_TOKEN_FILE\"`\" > /dev/null
mkdir -p \"${2%/*}\"
az keyvault secret show --id \"$1\" --query \"value\" -o tsv > \"$2\"
chmod +r \"$2\"";

/// Hosts of Key Vault in Azure's clouds. Tokens are sent to no other host.
const HOSTS: [&str; 4] =
    [".vault.azure.net", ".vault.azure.cn", ".vault.usgovcloudapi.net", ".vault.microsoftazure.de"];

/// Key Vault through an init container that runs az.
pub(super) const AZURE: Cloud = Cloud {
    volume: "azure-secret-vol",
    container_prefix: "azure-pull-secret-",
    mount_path: SECRETS_DIR,
    pull: pull_azure,
};

fn pull_azure(request: &SecretRequest) -> Result<Pull, Reason> {
    let group = needed("group", &request.group)?;
    let expected = "a valid Key Vault secret URI; expected https://VAULT.vault.azure.net/secrets/NAME";
    let (uri, name, in_uri) = parse_uri(group).ok_or_else(|| Reason::Field("group", group.to_owned(), expected))?;
    let asked = request.group_version.as_str();
    let is_same = in_uri.is_none_or(|in_uri| asked.is_empty() || asked == in_uri);
    ensure(is_same, "group_version", asked, "the version in the URI; omit one of them")?;
    let version = in_uri.unwrap_or(asked);
    let is_version = version.bytes().all(|c| c.is_ascii_alphanumeric());
    ensure(is_version, "group_version", version, "a valid Key Vault version; expected letters and digits")?;
    let file = [name, "/", version].concat().to_ascii_lowercase().trim_end_matches('/').to_owned();
    let source = [uri, "/", version].concat();
    Ok(Pull { command: shell(AZURE_SCRIPT, &[&source], &file), file, source, ..Pull::default() })
}

/// Splits the URI of a secret into the URI without version, the name, and an optional version.
fn parse_uri(uri: &str) -> Option<(&str, &str, Option<&str>)> {
    let trimmed = uri.trim_end_matches('/');
    let parts: Vec<&str> = trimmed.splitn(7, '/').collect();
    let (host, name, version) = match parts.as_slice() {
        ["https:", "", host, "secrets", name] => (host, name, None),
        ["https:", "", host, "secrets", name, version] => (host, name, Some(*version)),
        _ => return None,
    };
    let host = host.to_ascii_lowercase();
    let vault = HOSTS.iter().find_map(|cloud| host.strip_suffix(cloud))?;
    let word = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    let valid = word(vault) && word(name) && name.len() <= 127 && version.is_none_or(word);
    let unversioned = trimmed.strip_suffix(version.unwrap_or_default())?.trim_end_matches('/');
    valid.then_some((unversioned, name, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_gcp_reach_the_shell() {
        for good in [
            "token",
            "Db_Password-1",
            "projects/p-1/secrets/x",
            "projects/example.com:p/secrets/x",
            "projects/1/locations/europe-west1/secrets/x",
        ] {
            assert!(is_secret(good), "{good}");
        }
        for bad in [
            "",
            "-x",
            "a b",
            "a;b",
            "$(a)",
            "a/b",
            "../x",
            "projects//secrets/x",
            "projects/p/secrets/..",
            "projects/p/secrets/x/versions/1",
            "é",
        ] {
            assert!(!is_secret(bad), "{bad}");
        }
    }

    #[test]
    fn uris() {
        let uri = "https://my-vault.vault.azure.net/secrets/My-Secret";
        let table = [
            (uri.to_owned(), Some((uri, "My-Secret", None))),
            (format!("{uri}/"), Some((uri, "My-Secret", None))),
            (format!("{uri}/0f"), Some((uri, "My-Secret", Some("0f")))),
            (format!("{uri}/0f/x"), None),
            (format!("{uri};x"), None),
            (uri.replace("secrets", "keys"), None),
            (uri.replace("https", "http"), None),
            (uri.replace(".vault.azure.net", ".example.com"), None),
            (uri.replace("my-vault", "my.vault"), None),
            (uri.replace("my-vault", ""), None),
            (uri.replace("My-Secret", ""), None),
            (uri.replace("My-Secret", ".."), None),
        ];
        for (text, parsed) in &table {
            assert_eq!(parse_uri(text), *parsed, "{text}");
        }
    }
}
