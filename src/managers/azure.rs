//! Azure Key Vault through an init container that runs az.

use super::sidecar::{Cloud, Pull, shell};
use super::{Reason, ensure, needed};
use crate::pod::SECRETS_DIR;
use crate::secret_request::SecretRequest;

/// Arguments: the secret's URI with its version, and the file. Workload identity sets the variables; the token is read
/// with backquotes, because Kubernetes would expand `$(`.
const SCRIPT: &str = "\
export HOME=/tmp
az login --service-principal -u \"$AZURE_CLIENT_ID\" -t \"$AZURE_TENANT_ID\" \
--federated-token \"`cat \"$AZURE_FEDERATED_TOKEN_FILE\"`\" > /dev/null
mkdir -p \"${2%/*}\"
az keyvault secret show --id \"$1\" --query \"value\" -o tsv > \"$2\"
chmod +r \"$2\"";

/// Hosts of Key Vault in Azure's clouds. Tokens are sent to no other host.
const HOSTS: [&str; 4] =
    [".vault.azure.net", ".vault.azure.cn", ".vault.usgovcloudapi.net", ".vault.microsoftazure.de"];

pub(super) const CLOUD: Cloud =
    Cloud { volume: "azure-secret-vol", container_prefix: "azure-pull-secret-", mount_path: SECRETS_DIR, pull };

fn pull(request: &SecretRequest) -> Result<Pull, Reason> {
    let group = needed("group", &request.group)?;
    let expected = "a valid Key Vault secret URI; expected https://VAULT.vault.azure.net/secrets/NAME";
    let (uri, name, in_uri) = parse(group).ok_or_else(|| Reason::Field("group", group.to_owned(), expected))?;
    let asked = request.group_version.as_str();
    let is_same = in_uri.is_none_or(|in_uri| asked.is_empty() || asked == in_uri);
    ensure(is_same, "group_version", asked, "the version in the URI; omit one of them")?;
    let version = in_uri.unwrap_or(asked);
    let is_version = version.bytes().all(|c| c.is_ascii_alphanumeric());
    ensure(is_version, "group_version", version, "a valid Key Vault version; expected letters and digits")?;
    let file = [name, "/", version].concat().to_ascii_lowercase().trim_end_matches('/').to_owned();
    let source = [uri, "/", version].concat();
    Ok(Pull { command: shell(SCRIPT, &[&source], &file), file, source, ..Pull::default() })
}

/// Splits the URI of a secret into the URI without version, the name, and an optional version.
fn parse(uri: &str) -> Option<(&str, &str, Option<&str>)> {
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
            assert_eq!(parse(text), *parsed, "{text}");
        }
    }
}
