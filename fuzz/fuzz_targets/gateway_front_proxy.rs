//! Any data as the ConfigMap of the front proxy, and any headers: an invalid ConfigMap changes nothing, and a user is
//! read from these headers only. `CA` is replaced by the authority's certificate.

#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::HeaderMap;
use flyte_secrets_policy_fuzz::cut;
use flyte_secrets_policy_fuzz::gateway::{believer, front_proxy, headers};
use libfuzzer_sys::fuzz_target;
use secret_gateway::access::front_proxy::{FrontProxy, Peer, Unknown};

struct Kit {
    known: FrontProxy,
    data: BTreeMap<String, String>,
    peer: Arc<Peer>,
}

thread_local! {
    static KIT: Kit = {
        let (data, peer) = front_proxy();
        Kit { known: believer(&data), data, peer: Arc::new(peer) }
    };
}

/// Returns all values of the headers that `is_one` selects, as text.
fn values(headers: &HeaderMap, is_one: impl Fn(&str) -> bool) -> Vec<String> {
    let values = headers.iter().filter(|(name, _)| is_one(name.as_str()));
    values.map(|(_, value)| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

/// Returns a list of the ConfigMap.
fn list(data: &BTreeMap<String, String>, key: &str) -> Vec<String> {
    let lower = |text: String| text.to_ascii_lowercase();
    let text = data.get(&format!("requestheader-{key}"));
    let list: Vec<String> = text.map_or_else(Vec::new, |text| serde_json::from_str(text).expect("a list"));
    list.into_iter().map(lower).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let (map, said) = cut(bytes);
    let headers = headers(said.split(|byte| *byte == b'\n'));
    KIT.with(|Kit { known, data, peer }| {
        known.learn(data.clone()).expect("it was of use");
        let before = known.authenticate(peer, &headers);
        assert_eq!(known.authenticate(&Peer::default(), &headers), Err(Unknown::NoCertificate));
        let Ok(mut map) = serde_json::from_slice::<BTreeMap<String, String>>(map) else { return };
        if map.get("requestheader-client-ca-file").is_some_and(|text| text == "CA") {
            map.insert("requestheader-client-ca-file".to_owned(), data["requestheader-client-ca-file"].clone());
        }
        if known.learn(map.clone()).is_err() {
            assert_eq!(known.authenticate(peer, &headers), before);
            return;
        }
        assert_eq!(known.authenticate(&Peer::default(), &headers), Err(Unknown::NoCertificate));
        let names = list(&map, "allowed-names");
        let user = match known.authenticate(peer, &headers) {
            Ok(user) => user,
            Err(Unknown::NotAllowed) => {
                assert!(!names.is_empty());
                return;
            }
            Err(_) => return,
        };
        assert!(names.is_empty() || names.contains(&"front-proxy-client".to_owned()), "{names:?}");
        let [users, groups] = ["username", "group"].map(|what| list(&map, &format!("{what}-headers")));
        let named = values(&headers, |name| users.iter().any(|known| known == name));
        assert!(!user.name.is_empty() && named.contains(&user.name), "{user:?}");
        let grouped = values(&headers, |name| groups.iter().any(|known| known == name));
        assert!(user.groups.iter().all(|group| !group.is_empty() && grouped.contains(group)), "{user:?}");
        let prefixes = list(&map, "extra-headers-prefix");
        let extra = values(&headers, |name| prefixes.iter().any(|prefix| name.starts_with(prefix.as_str())));
        assert!(user.extra.values().flatten().all(|value| extra.contains(value)), "{user:?}");
    });
});
