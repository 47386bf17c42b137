//! The env file from which the kubelet reads variables of containers (`fileKeyRef`), and the values that it can hold.
//!
//! Source: `pkg/kubelet/util/env` of Kubernetes 1.35 to 1.37. Each entry is `NAME='value'`, literal up to the next
//! quote and over several lines; there is no escape. Lines are read by Go's `bufio.Scanner`.

/// Maximum length of a value: that of a string for a process in Linux (`MAX_ARG_STRLEN`), without a variable's name of
/// up to 254 bytes, `=` and the terminator.
pub const VALUE_LIMIT: usize = 128 * 1024 - 256;

/// Maximum length of a line of a value: `bufio.MaxScanTokenSize` includes the line end, a name of up to 8 bytes, `='`
/// and `'`.
pub const LINE_LIMIT: usize = 64 * 1024 - 1 - 8 - 3;

/// Why a value cannot be a variable.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// Kubernetes treats an empty value as missing.
    #[error("the value is empty")]
    Empty,
    /// The value exceeds the limit for a process.
    #[error("the value is larger than {VALUE_LIMIT} bytes; request it as a FILE")]
    TooLarge,
    /// Variables are text.
    #[error("the value is not UTF-8 text; request it as a FILE")]
    NotText,
    /// Variables end at NUL.
    #[error("the value contains NUL; request it as a FILE")]
    Nul,
    /// Kubernetes' env files have no escape.
    #[error("the value contains a single quote, which Kubernetes' env files cannot hold; request it as a FILE")]
    Quote,
    /// The kubelet would remove the carriage return.
    #[error(
        "the value contains a carriage return before a line feed, which Kubernetes' env files cannot hold; request it as a FILE"
    )]
    CarriageReturn,
    /// The kubelet would not read this entry and those after it.
    #[error(
        "the value has a line longer than {LINE_LIMIT} bytes, which Kubernetes' env files cannot hold; request it as a FILE"
    )]
    LongLine,
}

/// Checks that a value can be a variable, independent of other entries.
///
/// # Errors
/// The value cannot be in an env file.
pub fn check(value: &[u8]) -> Result<(), Error> {
    if value.is_empty() {
        return Err(Error::Empty);
    }
    if value.len() > VALUE_LIMIT {
        return Err(Error::TooLarge);
    }
    if str::from_utf8(value).is_err() {
        return Err(Error::NotText);
    }
    match value.iter().find(|byte| matches!(byte, b'\0' | b'\'')) {
        Some(b'\0') => Err(Error::Nul),
        Some(_) => Err(Error::Quote),
        None if value.windows(2).any(|pair| pair == b"\r\n") => Err(Error::CarriageReturn),
        None if value.split(|byte| *byte == b'\n').any(|line| line.len() > LINE_LIMIT) => Err(Error::LongLine),
        None => Ok(()),
    }
}

/// Appends an entry to an env file. Names are those of [`Grant`](crate::grant::Grant), at most 8 bytes.
///
/// # Errors
/// The value cannot be a variable, see [`check`].
pub fn append(file: &mut Vec<u8>, name: &str, value: &[u8]) -> Result<(), Error> {
    check(value)?;
    for part in [name.as_bytes(), b"='", value, b"'\n"] {
        file.extend_from_slice(part);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_kubernetes_cannot_read_are_rejected() {
        let line = |length| vec![b'x'; length];
        let table = [
            (b"".to_vec(), Err(Error::Empty)),
            (b"x".to_vec(), Ok(())),
            ("\u{e9} $(PATH) \\ \" # = \t\n\n".into(), Ok(())),
            (b"ends in \r".to_vec(), Ok(())),
            (b"a\r\nb".to_vec(), Err(Error::CarriageReturn)),
            (b"it's".to_vec(), Err(Error::Quote)),
            (b"a\0".to_vec(), Err(Error::Nul)),
            (vec![0xff], Err(Error::NotText)),
            (line(LINE_LIMIT), Ok(())),
            (line(LINE_LIMIT + 1), Err(Error::LongLine)),
            ([line(LINE_LIMIT), line(VALUE_LIMIT - LINE_LIMIT - 1)].join(&b'\n'), Ok(())),
            ([line(LINE_LIMIT), line(VALUE_LIMIT - LINE_LIMIT)].join(&b'\n'), Err(Error::TooLarge)),
        ];
        for (value, answer) in table {
            assert_eq!(check(&value), answer, "{:?}", value.escape_ascii().to_string().get(..40));
        }
    }
}
