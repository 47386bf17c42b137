//! Base32 without padding, in the two alphabets that Flyte uses.
//!
//! A port of what Go's `encoding/base32` does, because no crate passes over line breaks as it does. One deviation: a
//! text whose length is 1, 3 or 6 modulo 8 encodes no whole number of bytes; Go drops its tail silently, we refuse it.

/// Which characters stand for 0 to 31.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Alphabet {
    /// `a` to `z`, `1` to `6`: Flyte's `encoding.Base32Encoder`, of annotations and of volumes' names.
    Flyte,
    /// `A` to `Z`, `2` to `7`: RFC 4648, of names in Azure Key Vault.
    Rfc4648,
}

impl Alphabet {
    /// The character that stands for a value below 32: letters first, then digits.
    const fn character(self, value: u8) -> u8 {
        let (letter, digit) = match self {
            Self::Flyte => (b'a', b'1'),
            Self::Rfc4648 => (b'A', b'2'),
        };
        if value < 26 {
            letter + value
        } else {
            digit + value - 26
        }
    }

    /// What each character stands for.
    fn values(self) -> &'static [u8; 256] {
        match self {
            Self::Flyte => &FLYTE,
            Self::Rfc4648 => &RFC4648,
        }
    }
}

/// The value of characters that stand for nothing: no other values are it when they are joined by `|`.
const NONE: u8 = u8::MAX;

static FLYTE: [u8; 256] = values(Alphabet::Flyte);
static RFC4648: [u8; 256] = values(Alphabet::Rfc4648);

const fn values(alphabet: Alphabet) -> [u8; 256] {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < 32 {
        if let Some((_, [place, ..])) = values.split_at_mut_checked(alphabet.character(value) as usize) {
            *place = value;
        }
        value += 1;
    }
    values
}

/// Why a text is not base32.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// A character outside the alphabet, with its position in the text.
    #[error("base32: character {at} is not in the alphabet")]
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
pub fn decode(alphabet: Alphabet, text: &[u8]) -> Result<Vec<u8>, Error> {
    let values = alphabet.values();
    if let Some(bytes) = decode_plain(values, text) {
        return whole(bytes, text.len());
    }
    let is_break = |character: &u8| matches!(character, b'\r' | b'\n');
    let wrong = |character: &u8| values.get(usize::from(*character)) == Some(&NONE) && !is_break(character);
    if let Some(at) = text.iter().position(wrong) {
        return Err(Error::Character { at });
    }
    let joined: Vec<u8> = text.iter().copied().filter(|character| !is_break(character)).collect();
    whole(decode_plain(values, &joined).unwrap_or_default(), joined.len())
}

fn whole(bytes: Vec<u8>, length: usize) -> Result<Vec<u8>, Error> {
    match length % 8 {
        1 | 3 | 6 => Err(Error::Length { length }),
        _ => Ok(bytes),
    }
}

/// Decodes a text of characters of the alphabet; none if there are others.
fn decode_plain(values: &[u8; 256], text: &[u8]) -> Option<Vec<u8>> {
    let (groups, rest) = text.as_chunks::<8>();
    let mut bytes = vec![0; groups.len() * 5];
    let mut all = 0;
    for (group, bytes) in groups.iter().zip(bytes.as_chunks_mut::<5>().0) {
        let [_, _, _, decoded @ ..] = buffer(values, group, &mut all).to_be_bytes();
        *bytes = decoded;
    }
    let last = buffer(values, rest, &mut all) << (5 * (8 - rest.len()));
    bytes.extend(last.to_be_bytes().iter().skip(3).take(rest.len() * 5 / 8));
    (all != NONE).then_some(bytes)
}

/// Up to eight characters, five bits each.
fn buffer(values: &[u8; 256], group: &[u8], all: &mut u8) -> u64 {
    let mut buffer = 0;
    for character in group {
        let value = values.get(usize::from(*character)).copied().unwrap_or(NONE);
        buffer = buffer << 5 | u64::from(value);
        *all |= value;
    }
    buffer
}

/// Encodes `bytes`.
pub fn encode(alphabet: Alphabet, bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    let mut push = |bits: u32| text.push(char::from(alphabet.character((bits & 31) as u8)));
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
            assert_eq!(decode(Alphabet::Flyte, text.as_bytes()), decoded.map(<[u8]>::to_vec), "{text}");
        }
    }

    #[test]
    fn what_is_encoded_decodes() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in 0..bytes.len() {
            let part: Vec<u8> = bytes.iter().copied().take(length).collect();
            for alphabet in [Alphabet::Flyte, Alphabet::Rfc4648] {
                assert_eq!(decode(alphabet, encode(alphabet, &part).as_bytes()).as_ref(), Ok(&part));
            }
        }
    }
}
