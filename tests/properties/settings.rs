//! Valid settings can be used, and invalid ones have the same message at start and at admission.

use flyte_secrets_policy::settings;
use flyte_secrets_testing::generate;
use flyte_secrets_testing::generate::Case;
use proptest::prelude::*;

use crate::support::{Answer, cases};

const OPERATOR: &str = "; ask the operator to correct the policy settings";

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn validation_and_admission_agree(case in generate::case(), settings in generate::settings::any_at_all()) {
        let case = Case { settings, ..case };
        let text = case.settings.to_string();
        let (valid, read) = (settings::validate(text.as_bytes()), settings::parse(&text));
        let answer = Answer::to(&case);
        prop_assert!(read.is_ok() || valid.is_err());
        let asks = case.pod["metadata"]["labels"]["inject-flyte-secrets"] == "true";
        match (valid, read) {
            // What Kubernetes would not store is refused before settings are read.
            _ if answer.message().starts_with("LimitExceeded: secrets cannot be injected: annotations of ") => {}
            (_, Err(unreadable)) if asks => {
                let message = format!("InvalidSettings: {unreadable}{OPERATOR}");
                prop_assert_eq!((answer.code(), answer.message()), (503, message.as_str()));
            }
            (Ok(_), _) => prop_assert!(!answer.message().to_lowercase().contains("invalidsettings"), "{}", answer.rest),
            _ => {}
        }
    }
}
