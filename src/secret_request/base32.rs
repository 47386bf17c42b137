//! Flyte's base32 for annotations and names of volumes: RFC 4648 without padding, with another alphabet
//! (`encoding.Base32Encoder` of flytestdlib).
//!
//! One deviation from Go's decoder: a text whose length is 1, 3 or 6 modulo 8 encodes no whole number of bytes; Go
//! drops its tail silently, here it is an error.

use base32::Alphabet;

const RFC4648: Alphabet = Alphabet::Rfc4648Lower { padding: false };

/// An error of decoding base32.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// A character outside the alphabet, by its byte offset.
    #[error("invalid base32 character at position {0}")]
    Character(usize),
    /// A length that no encoder produces, without line breaks.
    #[error("invalid base32 length {0}: text is truncated or has extra characters")]
    Length(usize),
}

/// Decodes a text. Line breaks are ignored, as in Go.
///
/// # Errors
/// A character outside of the alphabet, or a length that no encoder produces.
pub fn decode(text: &str) -> Result<Vec<u8>, Error> {
    let mut rfc = Vec::with_capacity(text.len());
    for (at, character) in text.bytes().enumerate() {
        match character {
            b'a'..=b'z' => rfc.push(character),
            // Flyte's digits are 1 to 6, those of the RFC 2 to 7.
            b'1'..=b'6' => rfc.push(character + 1),
            b'\r' | b'\n' => {}
            _ => return Err(Error::Character(at)),
        }
    }
    let whole = str::from_utf8(&rfc).ok().filter(|rfc| !matches!(rfc.len() % 8, 1 | 3 | 6));
    whole.and_then(|rfc| base32::decode(RFC4648, rfc)).ok_or(Error::Length(rfc.len()))
}

/// Encodes bytes.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = base32::encode(RFC4648, bytes).into_bytes();
    text.iter_mut().filter(|character| character.is_ascii_digit()).for_each(|digit| *digit -= 1);
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_what_no_encoder_writes() {
        let table: [(&str, Result<&[u8], Error>); 9] = [
            ("", Ok(b"")),
            ("mu", Ok(b"e")),
            ("m\r\nu\n", Ok(b"e")),
            ("m", Err(Error::Length(1))),
            ("nnsxsorcnmr", Err(Error::Length(11))),
            ("aaaaaa", Err(Error::Length(6))),
            ("7u", Err(Error::Character(0))),
            ("mu======", Err(Error::Character(2))),
            ("MU", Err(Error::Character(0))),
        ];
        for (text, decoded) in table {
            assert_eq!(decode(text), decoded.map(<[u8]>::to_vec), "{text}");
        }
    }

    #[test]
    fn what_is_encoded_decodes() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in 0..bytes.len() {
            let part: Vec<u8> = bytes.iter().copied().take(length).collect();
            assert_eq!(decode(&encode(&part)).as_ref(), Ok(&part));
        }
    }
}
