//! Secret requests: for each manager, and of attackers.

use flyte_secrets_policy::secret_request::{ANNOTATION_PREFIX, MountRequirement, SecretRequest, base32};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::{of, rarely};

/// Returns a request in protobuf's text format, as encoded by Go. `ANY` is left out unless a variable is named.
pub fn text_format(request: &SecretRequest) -> String {
    let SecretRequest { group, group_version, key, mount_requirement, env_var } = request;
    let mut text = String::new();
    for (field, value) in [("group", group), ("group_version", group_version), ("key", key), ("env_var", env_var)] {
        if !value.is_empty() {
            text += &format!("{field}:{} ", quoted(value));
        }
    }
    match mount_requirement {
        MountRequirement::Any if env_var.is_empty() => text,
        other => format!("{text}mount_requirement:{other}"),
    }
}

/// Returns a string of the text format, with all bytes except printable ASCII in octal.
fn quoted(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'"' => "\\\"".to_owned(),
        b'\\' => "\\\\".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\{byte:03o}"),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// Generates texts for attacks on paths, scripts, templates, names and lines.
pub fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => of(&[
            ".", "..", "../../etc/passwd", "a/../b", "a//b", "/a", "a/", "é", "😀", "\0", "\n", "a\nb", " ", "$(HOME)",
            "$$", "`id`", "x;touch y", "\"}}{{", "'", "\\", "__", "a__b", "u__org__x__key__y", "-x", "--secret=x", "A=B",
            "\u{202e}", "\u{feff}", "a:b", "a%2fb", "a?b#c", "; flyte.secrets/s1: K8s x/y", "{\"a\":1}", "SECRETS", "PATH",
            "FLYTE_SECRETS_DEFAULT_DIR", "_UNION_DB_PASSWORD", "LD_PRELOAD",
        ]),
        2 => "\\PC{0,12}",
        1 => any::<String>(),
        1 => "[a-z]{1,3}".prop_map(|text| text.repeat(100)),
    ]
}

fn sensible() -> impl Strategy<Value = SecretRequest> {
    let group = prop_oneof![
        6 => of(&["db", "my.group", "a", "aws-keys", "token"]),
        1 => "[a-z0-9]([-a-z0-9]{0,80}[a-z0-9])?",
        2 => of(&["", "secret/data/db", "kv/a/b"]),
        1 => of(&["arn:aws:secretsmanager:eu-west-1:1:secret:db", "arn:aws:secretsmanager:eu-west-1:1:secret:a/b-Xy"]),
        1 => of(&["projects/p-1/secrets/x", "Db_Password-1"]),
        2 => of(&["https://v.vault.azure.net/secrets/db", "https://v.vault.azure.net/secrets/a/0f"]),
    ];
    let version = of(&["", "v1", "v2", "1", "latest", "kv1", "kv2", "db", "kv3"]);
    let key = prop_oneof![
        8 => of(&["password", "Tok", "tok", "a.b", "user-name", "K_1", "a"]),
        1 => "[-._a-zA-Z0-9]{1,20}",
    ];
    let known = [MountRequirement::Any, MountRequirement::Any, MountRequirement::EnvVar, MountRequirement::File];
    let unknown = [MountRequirement::Unknown(7), MountRequirement::Unknown(-1)];
    let mount_requirement = prop_oneof![20 => select(known.to_vec()), 1 => select(unknown.to_vec())];
    let env_var = prop_oneof![
        1 => of(&[""]),
        2 => of(&["DB_PASSWORD", "PATH", "A b", "_UNION_DB_PASSWORD", "SECRETS", "HOME", "lower", "_UNION_TOK"]),
    ];
    (group, version, key, mount_requirement, env_var).prop_map(
        |(group, group_version, key, mount_requirement, env_var)| SecretRequest {
            group,
            group_version,
            key,
            mount_requirement,
            env_var,
        },
    )
}

/// Generates a request, of which one field can be hostile.
pub fn request() -> impl Strategy<Value = SecretRequest> {
    let text = prop_oneof![5 => hostile(), 1 => of(&[""])];
    (sensible(), rarely(10), 0..4_usize, text).prop_map(|(mut request, broken, field, text)| {
        if broken {
            *match field {
                0 => &mut request.group,
                1 => &mut request.group_version,
                2 => &mut request.key,
                _ => &mut request.env_var,
            } = text;
        }
        request
    })
}

/// Generates requests by annotation, in the order of their numbers.
pub fn annotated() -> impl Strategy<Value = Vec<(String, SecretRequest)>> {
    let number =
        prop_oneof![6 => (0..12_u64).prop_map(|n| n.to_string()), 1 => of(&["00", "01", "007"]), 1 => "[0-9]{1,25}"];
    prop::collection::vec((number, request()), 1..5).prop_map(|mut numbered| {
        let rank = |number: &str| {
            let significant = number.trim_start_matches('0').to_owned();
            (significant.len(), significant, number.to_owned())
        };
        numbered.sort_by_key(|(number, _)| rank(number));
        numbered.dedup_by(|(one, _), (other, _)| one == other);
        numbered.into_iter().map(|(number, request)| (format!("{ANNOTATION_PREFIX}s{number}"), request)).collect()
    })
}

/// Adds requests to a pod's annotations.
pub fn annotate(pod: &mut Value, requests: &[(String, SecretRequest)]) {
    for (annotation, request) in requests {
        let value = base32::encode(text_format(request).as_bytes());
        pod["metadata"]["annotations"][annotation] = json!(value);
    }
}
