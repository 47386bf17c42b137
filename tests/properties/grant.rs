//! Grants and their arguments map to each other one to one.

use std::time::Duration;

use flyte_secrets_policy::grant::{Grant, Granted, is_key};
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

/// A group or a version, which most requests do not have.
fn part_of_request() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 1 => key()]
}

fn granted(key: String, (group, version): (String, String)) -> Granted {
    Granted { key, group, version }
}

fn grant() -> impl Strategy<Value = Grant> {
    let part = || "[a-zA-Z0-9]([-.a-zA-Z0-9]{0,10}[a-zA-Z0-9])?";
    let variables = prop::collection::hash_set((key(), part_of_request(), part_of_request()), 0..5);
    let files =
        prop::collection::btree_map("[-_a-zA-Z0-9.]{0,10}[-_a-zA-Z0-9]", (part_of_request(), part_of_request()), 0..5);
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
            files: files.into_iter().map(|(key, parts)| granted(key, parts)).collect(),
            variables: variables.into_iter().map(|(key, group, version)| granted(key, (group, version))).collect(),
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
