//! Names of Flyte: canonical, which its webhook looks up, and documented, of its page on AWS Secrets Manager.

use super::{Decoded, Error, Scope};

/// Separates the parts of a name. Labels must not contain it, so that names are unambiguous.
pub const SEPARATOR: &str = "__";

/// Returns `u__org__O__domain__D__project__P__key__K`; parts that the scope does not have are empty.
///
/// Source: `EncodeSecretName` of Flyte's webhook.
pub fn encode(scope: Scope, key: &str) -> String {
    let Scope { organization, domain, project } = scope;
    ["u__org__", organization, "__domain__", domain, "__project__", project, "__key__", key].concat()
}

/// Returns the name of [`encode`] without the parts that the scope does not have.
///
/// Source: Flyte's page on AWS Secrets Manager, whose names its webhook does not look up.
pub fn encode_documented(scope: Scope, key: &str) -> String {
    let Scope { organization, domain, project } = scope;
    match (domain, project) {
        ("", "") => ["u__org__", organization, "__key__", key].concat(),
        (_, "") => ["u__org__", organization, "__domain__", domain, "__key__", key].concat(),
        _ => encode(scope, key),
    }
}

/// Decodes a name of [`encode`].
///
/// # Errors
/// The name is not canonical.
pub fn decode(name: &str) -> Result<Decoded, Error> {
    match *name.splitn(9, SEPARATOR).collect::<Vec<_>>() {
        ["u", "org", organization, "domain", domain, "project", project, "key", key] => {
            Ok(Decoded::of([organization, domain, project, key]))
        }
        _ => Err(Error::NotFlyte(name.to_owned())),
    }
}

/// Decodes a name of [`encode_documented`]. A name with `__` in its key can be ambiguous; the canonical form takes
/// precedence.
///
/// # Errors
/// The name is neither canonical nor documented.
pub fn decode_documented(name: &str) -> Result<Decoded, Error> {
    decode(name).or_else(|error| match name.splitn(7, SEPARATOR).collect::<Vec<_>>().as_slice() {
        ["u", "org", organization, "domain", domain, "key", key] => Ok(Decoded::of([organization, domain, "", key])),
        ["u", "org", organization, "key", key @ ..] if !key.is_empty() => {
            Ok(Decoded::of([organization, "", "", &key.join(SEPARATOR)]))
        }
        _ => Err(error),
    })
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
