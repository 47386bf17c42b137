//! The same payload has the same answer, from the core and the wasm, in each run; a second mutation changes nothing; and
//! settings have the same message at start and at admission.

use std::sync::{Arc, OnceLock};

use flyte_secrets_policy::settings;
use flyte_secrets_testing::engine::Policy;
use flyte_secrets_testing::generate::{self, Case};
use flyte_secrets_testing::host::{Capabilities, Store};
use proptest::prelude::*;

use crate::support::{Answer, answer, cases, value};

fn built() -> &'static Policy {
    static POLICY: OnceLock<Policy> = OnceLock::new();
    POLICY.get_or_init(|| Policy::built().expect("the policy"))
}

proptest! {
    #![proptest_config(cases(4000))]

    #[test]
    fn second_mutation_changes_nothing(case in generate::case()) {
        if let Some(once) = Answer::to(&case).pod {
            let again = Answer::parse(&answer(&case.payload_with(&once), &Store::new(case.store)));
            prop_assert_eq!(again.pod.as_deref().map(value), Some(value(&once)), "{}", again.rest);
        }
    }

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
                let message = format!("InvalidSettings: {unreadable}; ask the operator to correct the policy settings");
                prop_assert_eq!((answer.code(), answer.message()), (503, message.as_str()));
            }
            (Ok(_), _) => prop_assert!(!answer.message().to_lowercase().contains("invalidsettings"), "{}", answer.rest),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn the_wasm_says_what_the_core_says(case in generate::case()) {
        let payload = case.payload();
        let [ours, its] = [Store::new(case.store.clone()), Store::new(case.store)];
        let capabilities = Arc::clone(&its) as Arc<dyn Capabilities>;
        let answered = built().call("validate", payload.as_bytes(), &capabilities).expect("the wasm answers");
        // As JSON, because members that are edited are sorted in the wasm alone: tests build serde_json with `preserve_order`.
        prop_assert_eq!(value(&answer(&payload, &ours)), value(&String::from_utf8(answered).expect("text")));
        prop_assert_eq!(ours.asked(), its.asked());
    }

    #[test]
    fn the_wasm_validates_settings_as_the_core_does(settings in generate::settings::any_at_all()) {
        let text = settings.to_string();
        let ours = settings::validate(text.as_bytes());
        let ours = ours.map(|(_, warnings)| warnings.join("\n")).map_err(|error| format!("InvalidSettings: {error}"));
        let host: Arc<dyn Capabilities> = Store::new(serde_json::json!({}));
        let its = built().validate_settings(&settings, &host).expect("the wasm answers");
        prop_assert_eq!(ours, its);
    }
}
