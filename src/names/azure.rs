//! Names in Azure Key Vault, which allows letters, digits and hyphens, 127 of them.
//!
//! Source: `EncodeAzureSecretName` of Flyte's webhook; the limit is Key Vault's.

use base32::Alphabet;

use super::{Decoded, Error, Scope};

/// RFC 4648 in upper case.
const BASE32: Alphabet = Alphabet::Rfc4648 { padding: false };

/// Key Vault's limit for a secret's name, in characters.
const LIMIT: usize = 127;

/// Returns `1-O-D-P-B32(K)`: in O, D and P, `0` is encoded as `00` and `-` as `01`.
///
/// # Errors
/// The name is longer than Key Vault allows.
pub fn encode(scope: Scope, key: &str) -> Result<String, Error> {
    let mut name = String::from("1");
    for part in [scope.organization, scope.domain, scope.project] {
        name.push('-');
        for character in part.chars() {
            match character {
                '0' => name.push_str("00"),
                '-' => name.push_str("01"),
                other => name.push(other),
            }
        }
    }
    name.push('-');
    name.push_str(&base32::encode(BASE32, key.as_bytes()));
    match name.len() {
        length if length > LIMIT => Err(Error::TooLongForAzure(length)),
        _ => Ok(name),
    }
}

/// Decodes a name of [`encode`].
///
/// # Errors
/// The text is not a name of [`encode`].
pub fn decode(name: &str) -> Result<Decoded, Error> {
    let refused = || Error::NotAzure(name.to_owned());
    let parts: Vec<&str> = name.split('-').collect();
    let ["1", organization, domain, project, key] = parts.as_slice() else { return Err(refused()) };
    let part = |part: &str| unescape(part).ok_or_else(refused);
    // The crate also accepts lower case, and lengths that no encoder produces.
    let key = base32::decode(BASE32, key).filter(|bytes| base32::encode(BASE32, bytes) == **key);
    let key = key.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(Decoded {
        organization: part(organization)?,
        domain: part(domain)?,
        project: part(project)?,
        key: key.ok_or_else(refused)?,
    })
}

/// Decodes a part. A `0` at the end is itself, as in Flyte's decoder.
fn unescape(part: &str) -> Option<String> {
    let mut plain = String::with_capacity(part.len());
    let mut characters = part.chars();
    while let Some(character) = characters.next() {
        plain.push(match (character, characters.clone().next()) {
            ('0', Some('0')) => '0',
            ('0', Some('1')) => '-',
            ('0', Some(_)) => return None,
            (other, _) => {
                plain.push(other);
                continue;
            }
        });
        characters.next();
    }
    Some(plain)
}
