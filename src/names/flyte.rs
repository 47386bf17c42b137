//! Names of Flyte's own: canonical, as its webhook looks them up, and as its page on AWS documents them.

use super::{Decoded, Error, Scope};

/// Between the parts of a name; refused in labels, so that no label reaches into the next part.
pub const SEPARATOR: &str = "__";

/// `u__org__O__domain__D__project__P__key__K`; parts that the scope does not have are empty.
///
/// Source: `EncodeSecretName` of Flyte's webhook.
pub fn encode(scope: Scope, key: &str) -> String {
    let Scope { organization, domain, project } = scope;
    ["u__org__", organization, "__domain__", domain, "__project__", project, "__key__", key].concat()
}

/// As [`encode`], but parts that the scope does not have are left out with their names.
///
/// Source: Flyte's page on AWS Secrets Manager, which promises names that its webhook does not look up.
pub fn encode_documented(scope: Scope, key: &str) -> String {
    let Scope { organization, domain, project } = scope;
    match (domain, project) {
        ("", "") => ["u__org__", organization, "__key__", key].concat(),
        (_, "") => ["u__org__", organization, "__domain__", domain, "__key__", key].concat(),
        _ => encode(scope, key),
    }
}

/// The inverse of [`encode`].
///
/// # Errors
/// The name is not canonical.
pub fn decode(name: &str) -> Result<Decoded, Error> {
    let parts: Vec<&str> = name.splitn(9, SEPARATOR).collect();
    match parts.as_slice() {
        ["u", "org", organization, "domain", domain, "project", project, "key", key] => Ok(Decoded {
            organization: (*organization).to_owned(),
            domain: (*domain).to_owned(),
            project: (*project).to_owned(),
            key: (*key).to_owned(),
        }),
        _ => Err(Error::NotFlyte(name.to_owned())),
    }
}

/// The inverse of [`encode_documented`]. A name can be read both ways when its key holds `__`; the canonical reading
/// goes first.
///
/// # Errors
/// The name is neither canonical nor documented.
pub fn decode_documented(name: &str) -> Result<Decoded, Error> {
    let canonical = decode(name);
    if canonical.is_ok() {
        return canonical;
    }
    let parts: Vec<&str> = name.splitn(7, SEPARATOR).collect();
    let decoded = |organization: &str, domain: &str, key: String| Decoded {
        organization: organization.to_owned(),
        domain: domain.to_owned(),
        project: String::new(),
        key,
    };
    match parts.as_slice() {
        ["u", "org", organization, "domain", domain, "key", key] => {
            Ok(decoded(organization, domain, (*key).to_owned()))
        }
        ["u", "org", organization, "key", key @ ..] if !key.is_empty() => {
            Ok(decoded(organization, "", key.join(SEPARATOR)))
        }
        _ => canonical,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_names_read_back() {
        for (domain, project) in [("", ""), ("d", ""), ("d", "p")] {
            for key in ["k", "k__l", "a__b__c__d", ""] {
                let scope = Scope { organization: "o", domain, project };
                let decoded = decode_documented(&encode_documented(scope, key));
                assert_eq!(decoded.as_ref().map(|d| (d.scope(), d.key.as_str())), Ok((scope, key)));
            }
        }
        assert!(decode_documented("u__org__o").is_err());
    }
}
