//! GCP Secret Manager through an init container that runs gcloud.

use super::sidecar::{Cloud, Pull, shell};
use super::{Reason, ensure, needed};
use crate::names::kubernetes::is_dns_subdomain;
use crate::pod::SECRETS_DIR;
use crate::secret_request::SecretRequest;

/// Arguments: the secret, its version, the file. A secret is tried as a full resource path first, then as a short name
/// in gcloud's own project. gcloud keeps its state below HOME, which is `/` for a user without a name; it writes files
/// that only its own user can read; tasks run as another.
const SCRIPT: &str = "\
export HOME=/tmp
mkdir -p \"${3%/*}\"
gcloud secrets versions access \"$1/versions/$2\" --out-file=\"$3\" ||
gcloud secrets versions access \"$2\" --secret=\"$1\" --out-file=\"$3\"
chmod +rX \"${3%/*}\" \"$3\"";

pub(super) const CLOUD: Cloud =
    Cloud { volume: "gcp-secret-vol", container_prefix: "gcp-pull-secret-", mount_path: SECRETS_DIR, pull };

fn pull(request: &SecretRequest) -> Result<Pull, Reason> {
    let group = needed("group", &request.group)?;
    let version = needed("group_version", &request.group_version)?;
    let expected = "a valid GCP secret; expected projects/PROJECT/secrets/NAME, or NAME of a-z, A-Z, 0-9, '_', '-'";
    ensure(is_secret(group), "group", group, expected)?;
    let expected = "a valid GCP version; expected a number, latest or an alias";
    ensure(is_name(version), "group_version", version, expected)?;
    let source = [group, "/versions/", version].concat();
    let file = [group, "/", version].concat().to_ascii_lowercase();
    Ok(Pull { command: shell(SCRIPT, &[group, version], &file), file, source, ..Pull::default() })
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
}
