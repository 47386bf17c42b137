//! Names and encodings have exact inverses, so names are unique.

use flyte_secrets_policy::names::{Scope, azure, flyte, kubernetes};
use flyte_secrets_policy::secret_request::base32;
use flyte_secrets_policy::secret_request::text_format;
use flyte_secrets_testing::generate::requests;
use proptest::prelude::*;

use crate::support::cases;

/// Generates labels that Embedded accepts.
fn label() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9]([-_.a-zA-Z0-9]{0,10}[a-zA-Z0-9])?|0{1,3}|[0-]{0,3}1".prop_filter("ends of labels", |label| {
        !label.contains("__") && !label.starts_with('-') && !label.ends_with('-')
    })
}

/// A scope's three parts, of which broader ones lack some.
fn scope() -> impl Strategy<Value = [String; 3]> {
    (label(), label(), label(), 0..3).prop_map(|(organization, domain, project, broader)| match broader {
        0 => [organization, domain, project],
        1 => [organization, domain, String::new()],
        _ => [organization, String::new(), String::new()],
    })
}

fn borrowed([organization, domain, project]: &[String; 3]) -> Scope<'_> {
    Scope { organization, domain, project }
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof!["[-._a-zA-Z0-9]{1,20}", requests::hostile(), "(_|__|key|project|a){1,6}"]
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn names_read_back(parts in scope(), key in key()) {
        let scope = borrowed(&parts);
        let azure = azure::encode(scope, &key).ok();
        prop_assert!(azure.as_ref().is_none_or(|name| name.len() <= 127));
        let canonical = flyte::decode(&flyte::encode(scope, &key));
        let documented = flyte::decode_documented(&flyte::encode_documented(scope, &key));
        for decoded in [canonical, documented].into_iter().chain(azure.map(|name| azure::decode(&name))) {
            let decoded = decoded.expect("a name");
            prop_assert_eq!((decoded.scope(), decoded.key.as_str()), (scope, key.as_str()));
        }
    }

    #[test]
    fn what_reads_as_a_name_is_written_the_same(
        name in "u__(org__[a_]{0,2}__)?(domain__[a_]{0,2}__)?(project__[a_]{0,2}__)?key__\\PC{0,3}|1-[0-9a-z-]{1,20}|(1|a|0|-){4,20}",
    ) {
        if let Ok(found) = flyte::decode(&name) {
            prop_assert_eq!(flyte::encode(found.scope(), &found.key), name.as_str());
        }
        if let Ok(found) = azure::decode(&name)
            && let Ok(encoded) = azure::encode(found.scope(), &found.key)
        {
            prop_assert_eq!(azure::decode(&encoded), Ok(found));
        }
    }

    #[test]
    fn base32_reads_back(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        prop_assert_eq!(base32::decode(&base32::encode(&bytes)), Ok(bytes));
    }

    #[test]
    fn requests_read_back(request in requests::request()) {
        let text = requests::text_format(&request);
        prop_assert_eq!(text_format::parse(text.as_bytes()), Ok(request));
    }

    #[test]
    fn volumes_names_are_labels_and_differ(one in "[a-z0-9.]{1,60}", other in "[a-z0-9.]{1,60}", version in "\\PC{0,9}") {
        let name = |group: &str| {
            let versioned = format!("{group}_{version}");
            kubernetes::volume_name(base32::encode(versioned.as_bytes()))
        };
        prop_assert!(kubernetes::is_dns_label(&name(&one)));
        prop_assert_eq!(name(&one) == name(&other), one == other);
    }
}
