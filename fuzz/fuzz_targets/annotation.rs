//! Any bytes as an annotation's value, beside another decoder of base32, and there and back again.

#![no_main]

use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};
use flyte_secrets_policy::secret_request::{self, base32};
use flyte_secrets_policy_fuzz::print;
use libfuzzer_sys::fuzz_target;

/// Base32 as Go reads it, but for lengths that no encoder writes: the crate refuses those, as the core does.
fn encoding(symbols: &str) -> Encoding {
    let mut specification = Specification::new();
    specification.symbols.push_str(symbols);
    specification.ignore.push_str("\r\n");
    specification.check_trailing_bits = false;
    specification.encoding().expect("thirty-two symbols")
}

static FLYTE: LazyLock<Encoding> = LazyLock::new(|| encoding("abcdefghijklmnopqrstuvwxyz123456"));

fuzz_target!(|bytes: &[u8]| {
    let encoded = base32::encode(bytes);
    assert_eq!(base32::decode(&encoded).as_deref(), Ok(bytes));
    assert_eq!(FLYTE.decode(encoded.as_bytes()).as_deref(), Ok(bytes));
    let Ok(annotation) = std::str::from_utf8(bytes) else { return };
    assert_eq!(base32::decode(annotation).ok(), FLYTE.decode(bytes).ok());
    let Ok(found) = secret_request::read([("flyte.secrets/s0", annotation)].into_iter()) else { return };
    let encoded: Vec<String> = found.requests.iter().map(|it| base32::encode(print(&it.request).as_bytes())).collect();
    let again = encoded.iter().map(|encoded| ("flyte.secrets/s0", encoded.as_str()));
    assert_eq!(secret_request::read(again), Ok(found), "{encoded:?}");
});
