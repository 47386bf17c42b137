//! Names of secrets: inverses are exact, and no two secrets share a name. An input is two scopes and keys, eight texts
//! with NULs in between.

#![no_main]

use flyte_secrets_policy::names::{Decoded, NameScheme, Scope, azure, flyte, kubernetes};
use libfuzzer_sys::fuzz_target;

const SCHEMES: [NameScheme; 2] = [NameScheme::Canonical, NameScheme::Documented];

/// What Embedded lets into names: labels' values of Kubernetes that are not empty and hold no `__`.
fn is_label(text: &str) -> bool {
    let ends = |c: char| !c.is_ascii_alphanumeric();
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
        && !text.starts_with(ends)
        && !text.ends_with(ends)
        && !text.contains("__")
}

fn decoded(scope: Scope, key: &str) -> Decoded {
    Decoded {
        organization: scope.organization.to_owned(),
        domain: scope.domain.to_owned(),
        project: scope.project.to_owned(),
        key: key.to_owned(),
    }
}

/// Names that are read back as they are, wherever they come from.
fn reads_back(name: &str) {
    if let Ok(found) = flyte::decode(name) {
        assert_eq!(flyte::encode(found.scope(), &found.key), name);
    }
    if let Ok(found) = azure::decode(name)
        && let Ok(encoded) = azure::encode(found.scope(), &found.key)
    {
        assert_eq!(azure::decode(&encoded), Ok(found), "{name:?}");
    }
}

/// The names of a key in a scope, each read back.
fn names(scope: Scope, key: &str) -> Vec<String> {
    let wanted = decoded(scope, key);
    let names = scope.candidates(key, &SCHEMES);
    assert_eq!(flyte::decode(&flyte::encode(scope, key)).as_ref(), Ok(&wanted));
    for name in &names {
        assert_eq!(flyte::decode_documented(name).as_ref(), Ok(&wanted), "{name:?}");
        let secret = kubernetes::secret_name(name);
        assert!(secret.len() == 32 && kubernetes::is_dns_label(&secret), "{secret}");
    }
    assert!(kubernetes::is_dns_label(&kubernetes::image_pull_name(scope, key)));
    names
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let parts: Vec<&str> = text.split('\0').collect();
    parts.iter().for_each(|part| reads_back(part));
    let [organization, domain, project, key, ref other @ ..] = *parts.as_slice() else { return };
    if ![organization, domain, project].into_iter().all(is_label) {
        return;
    }
    let scopes = Scope { organization, domain, project }.cascade();
    // Without a second secret, the first one's own scopes are told apart.
    let (others, other_key) = match *other {
        [organization, domain, project, key] if [organization, domain, project].into_iter().all(is_label) => {
            (Scope { organization, domain, project }.cascade(), key)
        }
        _ => (scopes, key),
    };
    for one in scopes {
        let (flytes, azures) = (names(one, key), azure::encode(one, key));
        if let Ok(name) = &azures {
            assert_eq!(azure::decode(name), Ok(decoded(one, key)), "{name}");
        }
        for two in others {
            let same = (one, key) == (two, other_key);
            let shared = names(two, other_key).iter().any(|name| flytes.contains(name));
            assert_eq!(shared, same, "{one:?} {key:?}, {two:?} {other_key:?}");
            if let (Ok(one_name), Ok(two_name)) = (&azures, azure::encode(two, other_key)) {
                assert_eq!(*one_name == two_name, same, "{one_name}");
            }
        }
    }
});
