//! Fuel and memory grow with the bytes that the policy reads and writes, and with nothing else: no work is a product of
//! two inputs.
//!
//! Each case is a pod with many secret requests of one kind, and much of something that they are compared with.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use flyte_secrets_policy::names::Scope;
use flyte_secrets_policy::names::kubernetes::{image_pull_name, secret_name};
use flyte_secrets_policy::secret_request::base32;
use flyte_secrets_testing::engine::creation;
use flyte_secrets_testing::host::{Capabilities, Store};
use flyte_secrets_testing::meter::Meter;
use flyte_secrets_testing::pods::{kubernetes_store, pod, project_name, with};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use crate::support::cases;

/// Fuel for any pod: to start the instance, and to read settings.
const FUEL: usize = 500_000;

/// Fuel for each byte that comes in or goes out. Most shapes take 80 to 300: to find the end of a string, and to copy it,
/// takes 10 to 30, to decode base32 and to sort names that start alike 100 and more. Up to 700 are for pods that are rejected
/// at last, so that nothing goes out, and for annotations of Vault, which are hashed and start alike.
const FUEL_PER_BYTE: usize = 800;

/// Memory for any pod: the stack that Rust asks for, and the policy itself.
const MEMORY: usize = 6 << 20;

/// Memory for each byte that comes in or goes out.
const MEMORY_PER_BYTE: usize = 6;

/// How much more a byte may take where there are twice as many: trees of names become deeper. A product of two inputs makes
/// it up to 2.
const GROWTH: f64 = 1.3;

/// What is compared one by one.
const LIMITED: &str = "init containers of AWS";

/// The pod that the policy has mutated already.
const AGAIN: &str = "the pod after one pass";

fn meter() -> &'static Meter {
    static METER: OnceLock<Meter> = OnceLock::new();
    METER.get_or_init(|| Meter::built().expect("the policy"))
}

/// What the policy is asked.
struct Input {
    requests: Vec<String>,
    pod: Value,
    settings: Value,
    store: Value,
}

/// Adds `n` of something to an input.
type Part = (&'static str, fn(&mut Input, usize));

impl Input {
    fn of(parts: &[(Part, usize)]) -> Self {
        // The limits are not what is tested here.
        let limits = json!({ "embeddedRequests": 100_000, "initContainers": 100_000, "reads": 100_000 });
        let settings = json!({ "limits": limits });
        let mut input = Self { requests: Vec::new(), pod: pod(&[]), settings, store: json!({}) };
        for ((_, add), count) in parts {
            add(&mut input, *count);
        }
        let asking = pod(&input.requests.iter().map(String::as_str).collect::<Vec<_>>());
        for (name, value) in asking["metadata"]["annotations"].as_object().into_iter().flatten() {
            input.pod["metadata"]["annotations"][name] = value.clone();
        }
        input
    }

    fn ask(&mut self, manager: &str, n: usize, request: impl Fn(usize) -> String) {
        self.set("/secretManagerTypes", json!([manager]));
        self.requests.extend((0..n).map(request));
    }

    fn set(&mut self, path: &str, value: Value) {
        let place = std::mem::take(&mut self.settings);
        self.settings = with(place, path, value);
    }

    fn put(&mut self, path: &str, value: Value) {
        let pod = std::mem::take(&mut self.pod);
        self.pod = with(pod, path, value);
    }

    /// Embedded with `config`, whose store has all that is asked for.
    fn embedded(&mut self, config: Value, n: usize, request: impl Fn(usize) -> String) {
        self.ask("Embedded", n, request);
        self.set("/embeddedSecretManagerConfig", config);
        let names: Vec<String> = (0..n).map(|it| project_name(&format!("k{it}"))).collect();
        self.store =
            kubernetes_store(&names.iter().map(|name| (name.as_str(), &b"{\"p\":\"v\"}"[..])).collect::<Vec<_>>());
        let scope = Scope { organization: "acme", domain: "development", project: "flytesnacks" };
        let home = &self.settings["embeddedSecretManagerConfig"]["k8sConfig"]["namespace"];
        self.store["K8s"]["flytesnacks-development"] = match home == "flytesnacks-development" {
            true => self.store["K8s"]["flyte"].clone(),
            false => map(n, |it| (image_pull_name(scope, &format!("k{it}")), json!({}))),
        };
    }

    fn payload(&self) -> String {
        json!({ "request": creation(&self.pod), "settings": self.settings }).to_string()
    }
}

/// A text of this length that ends in a number, so that comparing it with another takes long.
fn long(length: usize, number: usize) -> String {
    format!("{}{number:06}", "x".repeat(length - 6))
}

fn list(n: usize, element: impl Fn(usize) -> Value) -> Value {
    (0..n).map(element).collect()
}

fn map(n: usize, member: impl Fn(usize) -> (String, Value)) -> Value {
    (0..n).map(member).collect::<Map<_, _>>().into()
}

fn pull() -> Value {
    let ca = format!("-----BEGIN CERTIFICATE-----\n{}", "x".repeat(1500));
    let pull = json!({ "gateway": "https://secret-gateway-pods.flyte.svc:8444", "ca": ca });
    json!({ "delivery": "Pull", "pull": pull })
}

fn reference() -> Value {
    json!({ "delivery": "Reference", "k8sConfig": { "namespace": "flytesnacks-development" } })
}

const ENV: &str = "mount_requirement:ENV_VAR";

const ASKED: &[Part] = &[
    ("variables of K8s", |it, n| it.ask("K8s", n, |n| format!("group:'g{n}' key:'k' {ENV}"))),
    ("long variables of K8s", |it, n| {
        it.ask("K8s", n / 4 + 1, |n| format!("group:'g{n}' key:'k' {ENV} env_var:'{}'", long(200, n)));
    }),
    ("files of K8s", |it, n| it.ask("K8s", n, |n| format!("group:'g{n}' key:'k'"))),
    ("files of one Secret", |it, n| it.ask("K8s", n, |n| format!("group:'g' key:'{}'", long(40, n)))),
    ("one file, many variables", |it, n| it.ask("K8s", n, |n| format!("group:'g' key:'k' env_var:'A{n}'"))),
    ("verified keys of K8s", |it, n| {
        it.ask("K8s", n, |n| format!("group:'g' key:'k{n}'"));
        it.set("/k8sSecretManager", json!({ "verify": true }));
        it.store =
            json!({ "K8s": { "flytesnacks-development": { "g": map(n, |n| (format!("k{n}"), json!("dg=="))) } } });
    }),
    ("denied variables", |it, n| {
        it.ask("K8s", n, |n| format!("group:'g{n}' key:'k' {ENV} env_var:'LD_{n}'"));
        it.set("/allowedEnvVars", list(n, |n| json!(format!("LD_{n}"))));
    }),
    ("AWS", |it, n| it.ask("AWS", n, |n| format!("group:'arn' key:'k{n}'"))),
    ("deep paths of AWS", |it, n| {
        it.ask("AWS", n / 50 + 1, |it| format!("group:'{it}{}' key:'{}k'", "/a".repeat(n), "a/".repeat(n)));
    }),
    ("folders of AWS", |it, n| it.ask("AWS", n, |n| format!("group:'arn/{n}/x/y/z' key:'k'"))),
    ("GCP", |it, n| it.ask("GCP", n, |n| format!("group:'g{n}' group_version:'1'"))),
    ("Azure", |it, n| it.ask("Azure", n, |n| format!("group:'https://v.vault.azure.net/secrets/s{n}'"))),
    ("Vault", |it, n| it.ask("Vault", n / 4 + 1, |n| format!("group:'g{n}' key:'k'"))),
    ("Vault, and annotations", |it, n| {
        it.ask("Vault", n / 4 + 1, |n| format!("group:'g{n}' key:'k'"));
        let annotations = map(n / 2, |n| (format!("vault.hashicorp.com/agent-x-{n}"), json!("v")));
        it.set("/vaultSecretManager", json!({ "annotations": annotations }));
    }),
    ("variables of Embedded", |it, n| it.embedded(json!({}), n, |n| format!("key:'k{n}'"))),
    ("files of Embedded", |it, n| it.embedded(json!({}), n, |n| format!("key:'k{n}' mount_requirement:FILE"))),
    ("one file of Embedded", |it, n| {
        it.embedded(json!({}), n, |n| format!("key:'k0' mount_requirement:FILE env_var:'A{n}'"));
    }),
    ("files of Embedded, one by one", |it, n| {
        it.embedded(json!({}), n, |n| format!("key:'k{}' mount_requirement:FILE env_var:'A{n}'", n % 50));
    }),
    ("referenced variables", |it, n| it.embedded(reference(), n, |n| format!("key:'k{n}'"))),
    ("referenced files", |it, n| it.embedded(reference(), n, |n| format!("key:'k{n}' mount_requirement:FILE"))),
    ("properties", |it, n| {
        it.embedded(json!({ "properties": true }), n, |n| format!("group:'k0' key:'p' env_var:'A{n}'"));
        let name = project_name("k0");
        let members = map(n, |n| (format!("q{n}"), json!("v"))).to_string();
        let value = members.replacen('{', "{\"p\":\"v\",", 1);
        let secret = kubernetes_store(&[(&name, value.as_bytes())]);
        it.store["K8s"]["flyte"][secret_name(&name)] = secret["K8s"]["flyte"][secret_name(&name)].clone();
    }),
    ("image pull secrets", |it, n| {
        it.embedded(json!({ "imagePullSecrets": { "enabled": true } }), n, |n| format!("key:'k{n}'"));
    }),
    ("pulled variables", |it, n| it.embedded(pull(), n, |n| format!("key:'k{n}'"))),
    ("pulled files", |it, n| it.embedded(pull(), n, |n| format!("key:'k{n}' mount_requirement:FILE"))),
    ("pulled variables, looked up", |it, n| {
        it.embedded(with(pull(), "/lookup", json!("Require")), n, |n| format!("key:'k{n}'"));
    }),
    ("Embedded behind Vault, of another tenant", |it, n| {
        it.ask("Vault", n, |n| format!("group:'g{n}' key:'k{n}' {ENV}"));
        it.set("/secretManagerTypes", json!(["Vault", "Embedded", "K8s"]));
        it.set("/tenancy", json!({ "creators": list(n, |n| json!(format!("system:serviceaccount:{n:06}:flyte"))) }));
    }),
    ("Embedded behind Vault, of a tenant", |it, n| {
        it.ask("Vault", n, |n| format!("group:'g{n}' key:'k{n}' {ENV}"));
        it.set("/secretManagerTypes", json!(["Vault", "Embedded", "K8s"]));
        let creator = json!("system:serviceaccount:flyte:flytepropeller");
        let creators = list(n, |n| json!(format!("system:serviceaccount:flyte:flyt{n:010}")));
        it.set("/tenancy", json!({ "creators": creators, "organizations": list(n, |n| json!(format!("o{n}"))) }));
        it.set(&format!("/tenancy/creators/{}", n - 1), creator);
        it.set(&format!("/tenancy/organizations/{}", n - 1), json!("acme"));
    }),
    ("unknown fields", |it, n| {
        it.ask("K8s", 1, |_| format!("group:'g' key:'k' {}", "f:1 ".repeat(n)));
        it.set("/unknownFields", json!("Warn"));
        let annotations = &mut it.pod["metadata"]["annotations"];
        let text = base32::encode(it.requests.pop().expect("one").as_bytes());
        *annotations = json!({ format!("flyte.secrets/s{}", "0".repeat(n)): text });
    }),
];

/// What the names of the policy's init containers start with.
const PREFIXES: [&str; 4] = ["aws-pull-secret-", "gcp-pull-secret-", "azure-pull-secret-", "init-embedded-secret-"];

/// What there is much of, and words in the names of the requests that are compared with it.
const AGAINST: &[(Part, &[&str])] = &[
    (("nothing", |_, _| {}), &[""]),
    ((AGAIN, |_, _| {}), &[""]),
    (
        ("labels", |it, n| {
            for n in 0..n {
                it.put(&format!("/metadata/labels/p{n:06}"), json!(""));
            }
        }),
        &["Embedded", "referenced", "pulled"],
    ),
    (
        ("short annotations", |it, n| {
            for n in 0..n {
                it.put(&format!("/metadata/annotations/{n}"), json!(""));
            }
        }),
        &["Vault"],
    ),
    (
        ("annotations of Vault", |it, n| {
            for n in 0..n / 2 {
                it.pod["metadata"]["annotations"][format!("vault.hashicorp.com/{n}")] = json!("\\");
            }
        }),
        &["Vault"],
    ),
    (
        ("long strings", |it, n| {
            it.put("/spec/os/name", json!("x".repeat(10 * n)));
            it.put("/spec/serviceAccountName", json!("x".repeat(10 * n)));
        }),
        &["files", "AWS", "Embedded"],
    ),
    (("long labels", |it, n| it.put("/metadata/labels/domain", json!("x".repeat(20 * n)))), &["Embedded", "pulled"]),
    (
        ("init containers with long names", |it, n| {
            let name = |prefix: &str| json!({ "name": format!("{prefix}{}x", "1".repeat(5 * n)) });
            it.put("/spec/initContainers", PREFIXES.map(name).to_vec().into());
        }),
        &["AWS", "GCP", "Azure"],
    ),
    (
        ("look-alike init containers", |it, n| {
            let variable = |n: usize| json!({ "name": format!("SECRET_ARN{n}"), "value": "arn:k" });
            let mount = |n: usize| json!({ "name": "aws-secret-vol", "mountPath": format!("/tmp/{n}") });
            let container = |prefix: &str, number: usize| json!({ "name": format!("{prefix}{number}"), "env": list(5, variable), "volumeMounts": list(5, mount) });
            it.put("/spec/initContainers", list(n / 4, |n| container(PREFIXES[n % 4], n)));
        }),
        &["AWS", "GCP", "files of Embedded"],
    ),
    (
        (LIMITED, |it, n| {
            let container = |n: usize| {
                let variable = |name: &str, value: String| json!({ "name": name, "value": value });
                let env =
                    [variable("SECRET_ARN", format!("arn:k{n}")), variable("SECRET_FILENAME", format!("/arn/k{n}"))];
                json!({ "name": format!("aws-pull-secret-{n}"), "env": env })
            };
            it.put("/spec/initContainers", list(n / 2, container));
        }),
        &["AWS"],
    ),
    (
        ("containers", |it, n| it.put("/spec/containers", list(n / 50 + 1, |n| json!({ "name": format!("c{n}") })))),
        &["variables"],
    ),
    (
        ("containers of one name", |it, n| {
            it.put("/spec/containers", list(n / 50 + 1, |_| json!({ "name": "main" })));
            it.pod["metadata"]["annotations"]["flyte-secrets.flyte.org/containers"] = json!("main");
        }),
        &["files"],
    ),
    (
        ("variables", |it, n| {
            it.put("/spec/containers/0/env", list(n, |n| json!({ "name": format!("_UNION_G{n}_K") })));
        }),
        &["variables"],
    ),
    (
        ("mounts", |it, n| {
            let mount =
                |n: usize| json!({ "name": format!("v{n}"), "mountPath": format!("/etc/flyte/secrets/../{n}") });
            it.put("/spec/containers/0/volumeMounts", list(n, mount));
        }),
        &["files", "GCP"],
    ),
    (
        ("items of the Secret", |it, n| {
            let item = |n: usize| json!({ "key": "k", "path": format!("p{n:06}") });
            let source = json!({ "secretName": "g", "items": list(n, item) });
            it.put("/spec/volumes", json!([{ "name": base32::encode(b"g_"), "secret": source }]));
        }),
        &["files of one", "one file"],
    ),
    (
        ("sources of our volume", |it, n| {
            let source =
                |n: usize| json!({ "secret": { "name": format!("{n:032}"), "items": [{ "key": "k", "path": "p" }] } });
            let projected = json!({ "sources": list(n / 2, source), "defaultMode": 292 });
            it.put("/spec/volumes", json!([{ "name": "embedded-secret-vol", "projected": projected }]));
        }),
        &["referenced files"],
    ),
    (
        ("volumes", |it, n| it.put("/spec/volumes", list(n, |n| json!({ "name": format!("{:063}", n) })))),
        &["files", "AWS"],
    ),
    (
        ("image pull secrets of the pod", |it, n| {
            it.put("/spec/imagePullSecrets", list(n, |n| json!({ "name": format!("img-pull-{n:016}") })));
        }),
        &["image pull"],
    ),
    (
        ("nested JSON", |it, n| {
            it.put(
                "/spec/unknown",
                (0..100)
                    .fold(json!([]), |inner, _| list(2, |n| if n == 0 { inner.clone() } else { json!({ "a": "\n" }) })),
            );
            it.put("/spec/containers/0/unknown", list(n, |n| json!([n, {}, []])));
        }),
        &["K8s"],
    ),
];

/// What an answer takes.
struct Cost {
    fuel: usize,
    memory: usize,
    /// Of the payload, of what the host is asked and answers, and of the answer.
    bytes: usize,
    answer: Vec<u8>,
}

impl Cost {
    fn of(input: &Input) -> Self {
        let payload = input.payload();
        let hosted = Arc::new(AtomicUsize::new(0));
        let (store, counter) = (Store::new(input.store.clone()), Arc::clone(&hosted));
        let host: Arc<dyn Capabilities> = Arc::new(move |namespace: &str, operation: &str, payload: &[u8]| {
            let answer = store.call(namespace, operation, payload);
            let length = answer.as_ref().map_or_else(String::len, Vec::len);
            counter.fetch_add(payload.len() + length, Ordering::Relaxed);
            answer
        });
        let cost = meter().call("validate", payload.as_bytes(), &host).expect("an answer");
        let bytes = payload.len() + hosted.load(Ordering::Relaxed) + cost.answer.len();
        Self { fuel: cost.fuel as usize, memory: cost.memory as usize, bytes, answer: cost.answer }
    }

    /// The cost of these parts; where the pod has been mutated before, that of the second pass.
    fn of_parts(parts: &[(Part, usize)]) -> Self {
        let mut input = Input::of(parts);
        let cost = Self::of(&input);
        let again = parts.iter().any(|((name, _), _)| *name == AGAIN);
        match cost.mutated().filter(|_| again) {
            Some(pod) => {
                input.pod = pod;
                Self::of(&input)
            }
            None => cost,
        }
    }

    fn mutated(&self) -> Option<Value> {
        let answer: Value = serde_json::from_slice(&self.answer).expect("JSON");
        answer.get("mutated_object").cloned()
    }

    #[track_caller]
    fn assert_bounded(&self, what: &str) {
        let Self { fuel, memory, bytes, .. } = *self;
        assert!(fuel <= FUEL + FUEL_PER_BYTE * bytes, "{what}: {fuel} fuel for {bytes} bytes");
        assert!(memory <= MEMORY + MEMORY_PER_BYTE * bytes, "{what}: {memory} bytes of memory for {bytes} bytes");
    }

    /// Fuel for each byte that this one has more than `other`.
    fn slope(&self, other: &Self) -> f64 {
        (self.fuel as f64 - other.fuel as f64) / (self.bytes as f64 - other.bytes as f64)
    }
}

fn describe(parts: &[(Part, usize)]) -> String {
    let names: Vec<String> = parts.iter().map(|((name, _), count)| format!("{count} {name}")).collect();
    names.join(", ")
}

/// Twice as much takes twice the fuel, and again.
#[test]
fn fuel_grows_linearly() {
    for asked in ASKED {
        let related = AGAINST.iter().filter(|(_, words)| words.iter().any(|word| asked.0.contains(word)));
        for (against, _) in related {
            let parts = |count| [(*asked, count), (*against, count)];
            let costs = [60, 120, 240].map(|count| Cost::of_parts(&parts(count)));
            let [one, two, four] = &costs;
            let what = describe(&parts(240));
            let (before, after) = (two.slope(one), four.slope(two));
            println!("{what}: {} fuel for {} bytes, {before:.0} and {after:.0} for each more", four.fuel, four.bytes);
            costs.iter().for_each(|cost| cost.assert_bounded(&what));
            // Init containers are compared with those of the pod, as many as `limits.initContainers` allows. Where more is
            // rejected, there is less to write.
            let is_limited = against.0 == LIMITED;
            if !is_limited && costs.iter().all(|cost| cost.mutated().is_some() == one.mutated().is_some()) {
                assert!(after <= before * GROWTH, "{what}: {before:.0}, then {after:.0} fuel for each more byte");
            }
        }
    }
}

#[test]
fn a_thousand_requests_are_bounded() {
    for asked in ASKED {
        let cost = Cost::of_parts(&[(*asked, 1000)]);
        cost.assert_bounded(asked.0);
        assert!(cost.mutated().is_some(), "{}", asked.0);
    }
}

/// Some parts, each up to so large.
fn parts() -> impl Strategy<Value = Vec<(Part, usize)>> {
    let against: Vec<Part> = AGAINST.iter().map(|(part, _)| *part).collect();
    let others = prop::collection::vec((select(against), 1..300usize), 0..4);
    ((select(ASKED), 1..300usize), others).prop_map(|(asked, others)| [vec![asked], others].concat())
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn fuel_is_bounded_by_bytes(parts in parts()) {
        let doubled = parts.iter().map(|(part, count)| (*part, 2 * count)).collect();
        for parts in [parts, doubled] {
            Cost::of_parts(&parts).assert_bounded(&describe(&parts));
        }
    }
}
