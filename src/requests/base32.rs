//! The base32 of Flyte's annotations: its own alphabet, no padding.
//!
//! A port of what Go's `encoding/base32` does with that alphabet, because no crate passes over line breaks as it
//! does. One deviation: a text whose length is 1, 3 or 6 modulo 8 encodes no whole number of bytes; Go drops its tail
//! silently, we refuse it.

/// `abcdefghijklmnopqrstuvwxyz123456`: Flyte's `encoding.Base32Encoder`.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz123456";

/// Why a text is not base32.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// A character outside the alphabet, with its position in the text.
    #[error("base32: character {at} is not one of a-z and 1-6")]
    Character {
        /// Byte offset into the text.
        at: usize,
    },
    /// No encoder writes a text of this length.
    #[error("base32: {length} characters encode no whole number of bytes, so the end is missing or there is too much")]
    Length {
        /// Characters, without line breaks.
        length: usize,
    },
}

/// Decodes `text`; line breaks in it are passed over.
///
/// # Errors
/// A character outside the alphabet, or a length that no encoder writes.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut buffer, mut bits, mut length) = (0_u32, 0_u32, 0_usize);
    for (at, character) in text.iter().enumerate() {
        let value = match character {
            b'a'..=b'z' => character - b'a',
            b'1'..=b'6' => character - b'1' + 26,
            b'\r' | b'\n' => continue,
            _ => return Err(Error::Character { at }),
        };
        length += 1;
        buffer = buffer << 5 | u32::from(value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.extend((buffer >> bits).to_be_bytes().last());
        }
    }
    match length % 8 {
        1 | 3 | 6 => Err(Error::Length { length }),
        _ => Ok(bytes),
    }
}

/// Encodes `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    let mut push = |five: u32| text.extend(ALPHABET.get((five & 31) as usize).map(|c| char::from(*c)));
    for byte in bytes {
        buffer = buffer << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            push(buffer >> bits);
        }
    }
    if bits > 0 {
        push(buffer << (5 - bits));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_no_encoder_writes() {
        let table: [(&str, Result<&[u8], Error>); 9] = [
            ("", Ok(b"")),
            ("mu", Ok(b"e")),
            ("m\r\nu\n", Ok(b"e")),
            ("m", Err(Error::Length { length: 1 })),
            ("nnsxsorcnmr", Err(Error::Length { length: 11 })),
            ("aaaaaa", Err(Error::Length { length: 6 })),
            ("7u", Err(Error::Character { at: 0 })),
            ("mu======", Err(Error::Character { at: 2 })),
            ("MU", Err(Error::Character { at: 0 })),
        ];
        for (text, decoded) in table {
            assert_eq!(decode(text.as_bytes()), decoded.map(<[u8]>::to_vec), "{text}");
        }
    }

    #[test]
    fn what_is_encoded_decodes() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in 0..bytes.len() {
            let part: Vec<u8> = bytes.iter().copied().take(length).collect();
            assert_eq!(decode(encode(&part).as_bytes()), Ok(part));
        }
    }
}
