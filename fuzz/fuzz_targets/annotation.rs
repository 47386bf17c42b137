//! Any bytes as an annotation's value, beside another decoder of base32, and there and back again.

#![no_main]

use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};
use flyte_secrets_policy::secret_request::base32;
use flyte_secrets_policy::secret_request as requests;
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
static RFC4648: LazyLock<Encoding> = LazyLock::new(|| encoding("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"));

fuzz_target!(|bytes: &[u8]| {
    for (alphabet, other) in [(Alphabet::Flyte, &FLYTE), (Alphabet::Rfc4648, &RFC4648)] {
        assert_eq!(base32::decode(alphabet, bytes).ok(), other.decode(bytes).ok(), "{alphabet:?}");
        let encoded = base32::encode(alphabet, bytes);
        assert_eq!(base32::decode(alphabet, encoded.as_bytes()).as_deref(), Ok(bytes), "{alphabet:?}");
        assert_eq!(other.decode(encoded.as_bytes()).as_deref(), Ok(bytes), "{alphabet:?}");
    }
    let Ok(annotation) = std::str::from_utf8(bytes) else { return };
    let Ok(found) = requests::read([("flyte.secrets/s0", annotation)].into_iter()) else { return };
    let encoded: Vec<String> =
        found.requests.iter().map(|it| base32::encode(print(&it.request).as_bytes())).collect();
    let again = encoded.iter().map(|encoded| ("flyte.secrets/s0", encoded.as_str()));
    assert_eq!(requests::read(again), Ok(found), "{encoded:?}");
});
