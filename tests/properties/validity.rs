//! A valid pod stays valid, and no mount of the user is hidden.

use flyte_secrets_testing::{generate, rules};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::{Answer, cases, clean, list, value};

/// A container's mounts as they are meant: volume and place.
fn mounts(container: &Value) -> Vec<(&str, String)> {
    let mounts = list(&container["volumeMounts"]).iter();
    mounts
        .map(|it| (it["name"].as_str().unwrap_or_default(), clean(it["mountPath"].as_str().unwrap_or_default())))
        .collect()
}

proptest! {
    #![proptest_config(cases(3500))]

    #[test]
    fn a_pod_that_kubernetes_accepts_stays_one(case in generate::case()) {
        prop_assume!(rules::check(&case.pod).is_empty());
        if let Some(after) = Answer::to(&case).pod {
            prop_assert_eq!(rules::check(&value(&after)), [""; 0]);
        }
    }

    #[test]
    fn nothing_that_is_mounted_is_hidden(case in generate::case()) {
        let Some(after) = Answer::to(&case).pod.as_deref().map(value) else { return Ok(()) };
        for kind in ["containers", "initContainers"] {
            let (old, new) = (list(&case.pod["spec"][kind]), list(&after["spec"][kind]));
            // Init containers of the policy are first.
            for (old, new) in old.iter().zip(&new[new.len() - old.len()..]) {
                let (theirs, all) = (mounts(old), mounts(new));
                for ours in &all[theirs.len()..] {
                    prop_assert!(!theirs.iter().any(|it| it.1 == ours.1), "{ours:?} over one of {theirs:?}");
                }
            }
        }
    }
}
