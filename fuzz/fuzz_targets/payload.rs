//! Any bytes as the payload of `validate`. Its member `store`, which the policy does not read, is the content of the
//! cluster.

#![no_main]

use flyte_secrets_policy_fuzz::{Stores, check, read, validate};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let answer = validate(bytes, &Stores::default());
    let Ok(payload) = serde_json::from_slice::<Value>(bytes) else { return };
    read(&answer);
    check(&payload, &Stores(payload["store"].clone()));
});
