//! Any bytes as protobuf's text format, and what was read printed and read again.

#![no_main]

use flyte_secrets_policy::secret_request::text_format::parse;
use flyte_secrets_policy_fuzz::print;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match parse(bytes) {
        Ok(request) => {
            let printed = print(&request);
            assert_eq!(parse(printed.as_bytes()), Ok(request), "{printed}");
        }
        Err(wrong) => assert!(wrong.to_string().starts_with("text format: "), "{wrong}"),
    }
});
