//! Any bytes as a secret request: in the text format, and as an annotation, compared with another decoder of base32.

#![no_main]

use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};
use flyte_secrets_policy::secret_request::{self, base32, text_format};
use flyte_secrets_policy::settings::UnknownFields;
use flyte_secrets_policy_fuzz::print;
use libfuzzer_sys::fuzz_target;

/// Base32 as in Go, except lengths that no encoder produces, which the crate and the core reject.
static FLYTE: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols.push_str("abcdefghijklmnopqrstuvwxyz123456");
    specification.ignore.push_str("\r\n");
    specification.check_trailing_bits = false;
    specification.encoding().expect("thirty-two symbols")
});

fuzz_target!(|bytes: &[u8]| {
    match text_format::parse(bytes) {
        Ok(request) => {
            let printed = print(&request);
            assert_eq!(text_format::parse(printed.as_bytes()), Ok(request), "{printed}");
        }
        Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
    }
    let encoded = base32::encode(bytes);
    assert_eq!(FLYTE.decode(encoded.as_bytes()).as_deref(), Ok(bytes));
    let Ok(annotation) = std::str::from_utf8(bytes) else { return };
    assert_eq!(base32::decode(annotation).ok(), FLYTE.decode(bytes).ok());
    for annotation in [annotation, &encoded] {
        let Ok(found) = secret_request::read([("flyte.secrets/s0", annotation)], UnknownFields::Reject) else {
            continue;
        };
        let written: Vec<String> =
            found.requests.iter().map(|it| base32::encode(print(&it.request).as_bytes())).collect();
        let again = written.iter().map(|encoded| ("flyte.secrets/s0", encoded.as_str()));
        assert_eq!(secret_request::read(again, UnknownFields::Reject), Ok(found), "{written:?}");
    }
});
