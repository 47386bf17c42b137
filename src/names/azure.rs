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
    let parts =
        [scope.organization, scope.domain, scope.project].map(|part| part.replace('0', "00").replace('-', "01"));
    let name = ["1", &parts.join("-"), &base32::encode(BASE32, key.as_bytes())].join("-");
    if name.len() > LIMIT { Err(Error::TooLongForAzure(name.len())) } else { Ok(name) }
}

/// Decodes a name of [`encode`].
///
/// # Errors
/// The text is not a name of [`encode`].
pub fn decode(name: &str) -> Result<Decoded, Error> {
    let decoded = || {
        let ["1", organization, domain, project, key] = *name.split('-').collect::<Vec<_>>() else { return None };
        // The crate also accepts lower case, and lengths that no encoder produces.
        let bytes = base32::decode(BASE32, key).filter(|bytes| base32::encode(BASE32, bytes) == key)?;
        Some(Decoded {
            organization: unescape(organization)?,
            domain: unescape(domain)?,
            project: unescape(project)?,
            key: String::from_utf8(bytes).ok()?,
        })
    };
    decoded().ok_or_else(|| Error::NotAzure(name.to_owned()))
}

/// Decodes a part. A `0` at the end is itself, as in Flyte's decoder.
fn unescape(part: &str) -> Option<String> {
    let pieces: Vec<String> = part.split("00").map(|piece| piece.replace("01", "-")).collect();
    let others = pieces.concat();
    let is_valid = !others.strip_suffix('0').unwrap_or(&others).contains('0');
    is_valid.then(|| pieces.join("0"))
}
