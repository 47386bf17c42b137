//! A value is only in the pod: in no message, warning or audit annotation, for any answer of the store.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flyte_secrets_testing::generate;
use flyte_secrets_testing::generate::stores::CANARY;
use proptest::prelude::*;

use crate::support::{Answer, cases};

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn a_value_is_in_the_pod_alone(case in generate::case()) {
        let rest = Answer::to(&case).rest.to_string();
        let encoded = STANDARD.encode(CANARY);
        // The last group of four depends on what follows.
        let encoded = &encoded[..encoded.len() - 4];
        prop_assert!(!rest.contains(CANARY) && !rest.contains(encoded), "{rest}");
        prop_assert!(!rest.contains("backtrace"), "{rest}");
    }
}
