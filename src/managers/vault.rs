//! Annotations for the Vault Agent Injector, a webhook that runs after this policy and writes files from Vault.
//!
//! Source: <https://developer.hashicorp.com/vault/docs/platform/k8s/injector/annotations>.

use uuid::Uuid;

use super::{
    file_only, file_variables, is_plain_path, needed, path_variable, refused, Injection, Reason, SecretManager,
};
use crate::pod::{Annotation, File, Merged, Plan, SECRETS_DIR};
use crate::requests::SecretRequest;
use crate::settings::{KvVersion, VaultSecretManager};
use crate::texts::Texts;

/// All annotations of the injector start so.
const PREFIX: &str = "vault.hashicorp.com/";

/// Namespace of the ids: version 5 of `https://github.com/hashicorp/vault-k8s` in the namespace of URLs.
const ID_NAMESPACE: Uuid = Uuid::from_u128(0x907d_6b9f_3428_53da_b2e6_e147_4401_d5ef);

pub(super) struct Vault<'a> {
    pub settings: &'a VaultSecretManager<'a>,
    pub texts: &'a Texts,
}

impl<'a> SecretManager<'a> for Vault<'a> {
    fn inject(
        &self,
        request: &'a SecretRequest<'a>,
        _: &Merged<'a>,
        injection: &mut Injection<'a>,
    ) -> Result<(), Reason> {
        let group = needed("group", request.group)?;
        let key = needed("key", request.key)?;
        file_only(request)?;
        let file = self.texts.concat(&[group.trim_matches('/'), "/", key]);
        if !is_plain_path(file) {
            return Err(refused(
                "group/key",
                file,
                "a path in Vault: no empty part, no '.' or '..', no control characters",
            ));
        }
        if request.group_version == "db" && group.contains(['"', '\\']) {
            let wanted = "a path for db, whose template is the agent's own: no '\"' and no '\\'";
            return Err(refused("group", group, wanted));
        }
        let path = self.texts.concat(&[SECRETS_DIR, "/", file]);
        let Injection { plan, warnings, .. } = injection;
        plan.variables.extend(file_variables());
        plan.variables.extend(path_variable(request, path)?);
        let contents = self.texts.concat(&["Vault ", group, " ", request.group_version, " ", key]);
        plan.files.push(File { path, contents });
        plan.foreign_mount = true;
        self.annotate(request, plan);
        if !matches!(request.group_version, "" | "kv1" | "kv2" | "db") {
            warnings.push(format!(
                "group_version {:?} of secret {file} is none of kv1, kv2 and db; taken as the default engine",
                request.group_version
            ));
        }
        injection.source = file;
        Ok(())
    }
}

impl<'a> Vault<'a> {
    /// Adds the request's annotations, the common ones, and those of the settings, which win.
    fn annotate(&self, request: &'a SecretRequest<'a>, plan: &mut Plan<'a>) {
        let SecretRequest { group, key, .. } = request;
        let VaultSecretManager { role, annotations: set, lock_annotations: lock, .. } = self.settings;
        let mut add = |name: &[&str], value: &'a str, replaces: bool| {
            let key = self.texts.concat(&[&[PREFIX], name].concat());
            if !set.iter().any(|(known, _)| *known == key) {
                plan.annotations.push(Annotation { key, value, replaces });
            }
        };
        let id = id(request).to_string();
        add(&["agent-inject-secret-", &id], group, false);
        add(&["agent-inject-file-", &id], self.texts.concat(&[group, "/", key]), false);
        if let Some(template) = self.template(request) {
            add(&["agent-inject-template-", &id], self.texts.keep(template.into()), false);
        }
        add(&["agent-inject"], "true", false);
        add(&["secret-volume-path"], SECRETS_DIR, false);
        add(&["role"], role, *lock);
        add(&["agent-pre-populate-only"], "true", false);
        for (key, value) in set {
            plan.annotations.push(Annotation { key, value, replaces: *lock });
        }
    }

    /// The template that renders one key of what Vault answers; none for engines whose answer is no map.
    fn template(&self, request: &SecretRequest) -> Option<String> {
        let query = match (request.group_version, self.settings.kv_version) {
            ("kv1", _) => ".Data",
            ("kv2", _) => ".Data.data",
            ("db", _) => return None,
            (_, KvVersion::V1) => ".Data",
            (_, KvVersion::V2) => ".Data.data",
        };
        let value = match is_go_identifier(request.key) {
            true => [query, ".", request.key].concat(),
            false => ["index ", query, " ", &go_quoted(request.key)].concat(),
        };
        let path = go_quoted(request.group);
        Some(["{{- with secret ", &path, " -}}{{ ", &value, " }}{{- end -}}"].concat())
    }
}

/// The same request has the same id, in every pass and every pod.
fn id(request: &SecretRequest) -> Uuid {
    let SecretRequest { group, group_version, key, mount_requirement, env_var } = request;
    let number = mount_requirement.number().to_string();
    let whole = [*group, group_version, key, &number, env_var].join("\0");
    Uuid::new_v5(&ID_NAMESPACE, whole.as_bytes())
}

/// Whether a key can follow a dot in a template. Letters beyond ASCII could as well; `index` reads them too.
fn is_go_identifier(key: &str) -> bool {
    key.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_') && !key.starts_with(|c: char| c.is_ascii_digit())
}

/// A string constant of a Go template; control characters have been refused.
fn go_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_survive_any_key_and_path() {
        let settings = VaultSecretManager::default();
        let template = |group: &str, version: &str, key: &str| {
            let request = SecretRequest { group, group_version: version, key, ..SecretRequest::default() };
            Vault { settings: &settings, texts: &Texts::default() }.template(&request)
        };
        let table = [
            ("a/b", "kv1", "k_1", Some(r#"{{- with secret "a/b" -}}{{ .Data.k_1 }}{{- end -}}"#)),
            ("a/b", "", "k", Some(r#"{{- with secret "a/b" -}}{{ .Data.data.k }}{{- end -}}"#)),
            ("a/b", "kv2", "my-key", Some(r#"{{- with secret "a/b" -}}{{ index .Data.data "my-key" }}{{- end -}}"#)),
            ("a/b", "kv1", "1st", Some(r#"{{- with secret "a/b" -}}{{ index .Data "1st" }}{{- end -}}"#)),
            ("a\"}}b", "kv1", "\\", Some(r#"{{- with secret "a\"}}b" -}}{{ index .Data "\\" }}{{- end -}}"#)),
            ("a/b", "db", "k", None),
        ];
        for (group, version, key, wanted) in table {
            assert_eq!(template(group, version, key).as_deref(), wanted, "{group} {version} {key}");
        }
    }
}
