//! A grant is its arguments, and arguments are one grant.

use std::time::Duration;

use flyte_secrets_policy::grant::{Grant, is_key};
use flyte_secrets_testing::generate::requests;
use proptest::prelude::*;

use crate::support::cases;

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![1..100u64, (1..100u64).prop_map(|minutes| minutes * 60), (1..100u64).prop_map(|hours| hours * 3600)]
        .prop_map(Duration::from_secs)
}

/// Keys, among them some that look like options.
fn key() -> impl Strategy<Value = String> {
    prop_oneof!["[-._a-zA-Z0-9=]{1,20}", requests::hostile(), "--(env|file|scope)|v0=a|\\$\\(PATH\\)"]
        .prop_filter("keys", |key| is_key(key))
}

fn grant() -> impl Strategy<Value = Grant> {
    let part = || "[a-zA-Z0-9]([-.a-zA-Z0-9]{0,10}[a-zA-Z0-9])?";
    let files = prop::collection::btree_set("[-_a-zA-Z0-9.]{0,10}[-_a-zA-Z0-9]", 0..5);
    let variables = prop::collection::hash_set(key(), 0..5);
    let scope = (part(), part(), part());
    let gateway = "https://[a-z0-9.-]{1,20}(:[0-9]{1,5})?";
    (gateway, any::<String>(), scope, duration(), prop::option::of(duration()), files, variables).prop_map(
        |(gateway, ca, (organization, domain, project), patience, refresh, files, variables)| Grant {
            gateway,
            ca,
            organization,
            domain,
            project,
            patience,
            refresh,
            files: files.into_iter().collect(),
            variables: variables.into_iter().collect(),
        },
    )
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn a_grant_reads_back(grant in grant()) {
        prop_assert_eq!(Grant::parse(&grant.to_args()), Ok(grant));
    }

    #[test]
    fn what_is_read_is_written_in_one_form(grant in grant(), swap in any::<prop::sample::Index>(), text in any::<String>()) {
        let mut args = grant.to_args();
        let place = swap.index(args.len());
        args[place] = text;
        if let Ok(other) = Grant::parse(&args) {
            let written = other.to_args();
            prop_assert_eq!(Grant::parse(&written), Ok(other));
        }
    }
}
