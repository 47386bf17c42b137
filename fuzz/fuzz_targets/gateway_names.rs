//! Any text as the name of an object: a parsed name is printed the same, and has only characters that its store allows.

#![no_main]

use flyte_secrets_policy_fuzz::gateway::{PLACES, PREFIXES};
use libfuzzer_sys::fuzz_target;
use secret_gateway::config::Config;
use secret_gateway::names::{Kind, Name, Served};

thread_local! {
    static SERVED: Served = Served::new(
        &Config::parse(
            "{ tls: { certFile: c, keyFile: k }, providers: { aws: { regions: [us-east-2] }, gcp: { projects: [flyte] }, \
             azure: { vaults: [flyte.vault.azure.net] } } }",
        )
        .expect("a configuration"),
    );
}

fuzz_target!(|text: &str| {
    for kind in Kind::stores().chain([Kind::Lookup]) {
        let Ok(name) = Name::parse(kind, text) else { continue };
        assert_eq!(name.to_string(), text);
        assert_eq!(Name::parse(kind, &name.to_string()).as_ref(), Ok(&name));
        // Characters that need no escape in the policy's host, a URL and an audit line.
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=.@-:".contains(&byte)), "{name:?}");
        // A version can follow two colons.
        let (secret, _) = name.secret.split_once("::").unwrap_or((&name.secret, ""));
        assert!(!secret.contains(':') && !secret.is_empty() && !name.place.is_empty(), "{name:?}");
        if SERVED.with(|served| served.check(&name)).is_ok() {
            assert!(PLACES.contains(&&*name.place), "{name:?}");
            assert!(PREFIXES.iter().any(|prefix| name.secret.starts_with(prefix)), "{name:?}");
        }
    }
});
