//! Annotations for the Vault Agent Injector, a webhook that runs after this policy and writes files from Vault.
//!
//! Source: <https://developer.hashicorp.com/vault/docs/platform/k8s/injector/annotations>.

use std::borrow::Cow;

use uuid::Uuid;

use super::{
    Context, Injection, Outcome, Reason, SecretManager, ensure, file_only, file_variables, is_plain_path, needed,
};
use crate::cut;
use crate::pod::{Annotation, File, Malformed, Merged, PATH_LIMIT, Plan, SECRETS_DIR};
use crate::secret_request::SecretRequest;
use crate::settings::{KvVersion, VaultSecretManager};

/// Prefix of the injector's annotations.
const PREFIX: &str = "vault.hashicorp.com/";

/// Namespace of the ids: version 5 of `https://github.com/hashicorp/vault-k8s` in the namespace of URLs.
const ID_NAMESPACE: Uuid = Uuid::from_u128(0x907d_6b9f_3428_53da_b2e6_e147_4401_d5ef);

pub(super) struct Vault<'a> {
    pub context: Context<'a>,
}

impl SecretManager for Vault<'_> {
    fn inject(&self, request: &SecretRequest, Outcome { merged, .. }: &Outcome) -> Result<Injection, Reason> {
        let SecretRequest { group_version: version, .. } = request;
        let group = needed("group", &request.group)?;
        let key = needed("key", &request.key)?;
        file_only(request)?;
        let file = [group.trim_matches('/'), "/", key].concat();
        let expected = "a valid Vault path; it must not contain empty parts, '.', '..' or control characters";
        ensure(is_plain_path(&file), "group/key", &file, expected)?;
        let quoted = version == "db" && group.contains(['"', '\\']);
        ensure(!quoted, "group", group, "a valid Vault path for db; it must not contain '\"' or '\\'")?;
        self.check_agent(request)?;
        let folder = self.effective("secret-volume-path")?.unwrap_or(Cow::Borrowed(SECRETS_DIR));
        let expected = "a valid path; it must be up to 4096 bytes long";
        ensure(folder.len() <= PATH_LIMIT, "secret-volume-path", cut(&folder), expected)?;
        let path = [folder.trim_end_matches('/'), "/", &file].concat();
        let mut warnings = Vec::new();
        if !matches!(version.as_str(), "" | "kv1" | "kv2" | "db") {
            warnings.push(format!(
                "unknown group_version {version:?} of secret {file}: using the default engine; expected kv1, kv2 or db"
            ));
        }
        let plan = Plan {
            variables: file_variables(request, &folder, &path)?,
            annotations: self.annotations(request, merged),
            files: vec![File { path: file.clone(), contents: ["Vault ", group, " ", version, " ", key].concat() }],
            foreign_mount: *folder == *SECRETS_DIR,
            ..Plan::default()
        };
        Ok(Injection { plan, source: file, warnings, ..Injection::default() })
    }
}

impl<'a> Vault<'a> {
    fn settings(&self) -> &'a VaultSecretManager {
        &self.context.settings.vault_secret_manager
    }

    /// Returns the value of an annotation after the mutation: the pod's own takes precedence over the settings, unless
    /// they are locked.
    fn effective(&self, name: &str) -> Result<Option<Cow<'a, str>>, Malformed> {
        let key = [PREFIX, name].concat();
        let set = self.settings().annotations.get(&key).map(|value| Cow::Borrowed(value.as_str()));
        let own = self.context.limits.annotation(&key)?;
        Ok(if self.settings().lock_annotations { set.or(own) } else { own.or(set) })
    }

    /// Checks that no annotation disables the agent, except in a pod that the injector has mutated for this request.
    fn check_agent(&self, request: &SecretRequest) -> Result<(), Reason> {
        let inject = self.effective("agent-inject")?;
        if inject.is_some_and(|value| matches!(&*value, "0" | "f" | "F" | "false" | "FALSE" | "False")) {
            return Err(Reason::AgentOff([PREFIX, "agent-inject: \"false\""].concat()));
        }
        let seen = || self.context.limits.annotation(&format!("{PREFIX}agent-inject-secret-{}", id(request)));
        if self.effective("agent-inject-status")?.is_some_and(|status| status == "injected") && seen()?.is_none() {
            return Err(Reason::AgentOff([PREFIX, "agent-inject-status: injected"].concat()));
        }
        Ok(())
    }

    /// The request's annotations and, with the first request, the common ones and those of the settings, which win.
    fn annotations(&self, request: &SecretRequest, merged: &Merged) -> Vec<Annotation> {
        let SecretRequest { group, key, .. } = request;
        let VaultSecretManager { role, annotations: set, lock_annotations: lock, kv_version } = self.settings();
        let id = id(request);
        let mut ours = vec![
            (format!("agent-inject-secret-{id}"), group.clone()),
            (format!("agent-inject-file-{id}"), [group, "/", key].concat()),
        ];
        ours.extend(template(request, *kv_version).map(|template| (format!("agent-inject-template-{id}"), template)));
        let is_first = !merged.annotations.contains_key(&[PREFIX, "agent-inject"].concat());
        if is_first {
            let common = [
                ("agent-inject", "true"),
                ("secret-volume-path", SECRETS_DIR),
                ("role", role),
                ("agent-pre-populate-only", "true"),
            ];
            ours.extend(common.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        let ours = ours.into_iter().map(|(name, value)| {
            let replaces = *lock && name == "role";
            Annotation { key: [PREFIX, &name].concat(), value, replaces }
        });
        let given = set.iter().filter(|_| is_first);
        let given = given.map(|(key, value)| Annotation { key: key.clone(), value: value.clone(), replaces: *lock });
        ours.filter(|annotation| !set.contains_key(&annotation.key)).chain(given).collect()
    }
}

/// Returns the template that renders one key; none for engines whose response is not a map.
fn template(request: &SecretRequest, default: KvVersion) -> Option<String> {
    let query = match (request.group_version.as_str(), default) {
        ("db", _) => return None,
        ("kv1", _) => ".Data",
        ("kv2", _) | (_, KvVersion::V2) => ".Data.data",
        (_, KvVersion::V1) => ".Data",
    };
    let value = match is_go_identifier(&request.key) {
        true => [query, ".", &request.key].concat(),
        false => ["index ", query, " ", &go_quoted(&request.key)].concat(),
    };
    let path = go_quoted(&request.group);
    Some(["{{- with secret ", &path, " -}}{{ ", &value, " }}{{- end -}}"].concat())
}

/// Returns the ID of a request, which is the same in each evaluation and pod.
fn id(request: &SecretRequest) -> Uuid {
    let SecretRequest { group, group_version, key, mount_requirement, env_var } = request;
    let number = mount_requirement.number().to_string();
    let whole = [group, group_version, key, &number, env_var].map(String::as_str).join("\0");
    Uuid::new_v5(&ID_NAMESPACE, whole.as_bytes())
}

/// Whether a key can follow a dot in a template. Other letters than ASCII use `index`.
fn is_go_identifier(key: &str) -> bool {
    key.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_') && !key.starts_with(|c: char| c.is_ascii_digit())
}

/// Returns a string constant of a Go template; control characters have been rejected.
fn go_quoted(text: &str) -> String {
    ["\"", &text.replace('\\', r"\\").replace('"', "\\\""), "\""].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_survive_any_key_and_path() {
        let template = |group: &str, version: &str, key: &str| {
            let request = SecretRequest {
                group: group.to_owned(),
                group_version: version.to_owned(),
                key: key.to_owned(),
                ..SecretRequest::default()
            };
            template(&request, KvVersion::V2)
        };
        let table = [
            ("a/b", "kv1", "k_1", Some(r#"{{- with secret "a/b" -}}{{ .Data.k_1 }}{{- end -}}"#)),
            ("a/b", "", "k", Some(r#"{{- with secret "a/b" -}}{{ .Data.data.k }}{{- end -}}"#)),
            ("a/b", "kv2", "my-key", Some(r#"{{- with secret "a/b" -}}{{ index .Data.data "my-key" }}{{- end -}}"#)),
            ("a/b", "kv1", "1st", Some(r#"{{- with secret "a/b" -}}{{ index .Data "1st" }}{{- end -}}"#)),
            ("a\"}}b", "kv1", "\\", Some(r#"{{- with secret "a\"}}b" -}}{{ index .Data "\\" }}{{- end -}}"#)),
            ("a/b", "db", "k", None),
        ];
        for (group, version, key, expected) in table {
            assert_eq!(template(group, version, key).as_deref(), expected, "{group} {version} {key}");
        }
    }
}
