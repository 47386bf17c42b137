//! Delivery of values: in the pod, by reference, or pulled.

use flyte_secrets_policy::grant::Grant;
use flyte_secrets_policy::names::kubernetes::secret_name;
use flyte_secrets_testing::host::Store;
use serde_json::{Value, json};

use crate::codes::{not_injected, rejected};
use crate::support::{
    NAMES, create, create_with, edited, embedded, env, kubernetes_store, managers, mutated, mutated_twice, names, pod,
    project_name, restricted, store_of_k, with, with_file_variables, with_variable,
};

/// A pod in the namespace of its Secrets, as Flyte 2 has it.
fn at_home(requests: &[&str]) -> Value {
    with(pod(requests), "/metadata/namespace", json!("flyte"))
}

fn delivery(how: &str) -> Value {
    embedded(json!({ "delivery": how }))
}

/// A variable as flyteorg/flyte#7834 writes it: the prefix first, then the reference, each put in front.
#[test]
fn variables_refer_to_the_secret_if_possible() {
    let request = "key:'k' mount_requirement:ENV_VAR";
    let reference = json!({ "secretKeyRef": { "name": secret_name(NAMES[0]), "key": NAMES[0] } });
    let referred = json!([
        { "name": "_UNION_K", "valueFrom": reference },
        { "name": "FLYTE_SECRETS_ENV_PREFIX", "value": "_UNION_" },
    ]);
    let literal = env(&with_variable(json!({ "spec": { "containers": [{}] } }), "canary")).clone();
    let table = [
        (at_home(&[request]), json!({}), &referred),
        (at_home(&[request]), delivery("Auto"), &referred),
        (at_home(&[request]), delivery("Reference"), &referred),
        (at_home(&[request]), delivery("Value"), &literal),
        (pod(&[request]), json!({}), &literal),
        (pod(&[request]), delivery("Value"), &literal),
    ];
    let store = store_of_k(b"canary");
    for (pod, settings, env) in table {
        let init = with(pod, "/spec/initContainers", json!([{ "name": "users", "image": "x" }]));
        let edits = ["/spec/containers/0/env", "/spec/initContainers/0/env"].map(|path| (path, env.clone()));
        assert_eq!(mutated_twice(&init, &settings, &store), edited(init, edits), "{settings}");
    }
    let elsewhere = create_with(&pod(&[request]), &delivery("Reference"), &store);
    let reason = "Embedded: pod is in namespace \"flytesnacks-development\", its secret in namespace \"flyte\", so the \
                  pod cannot reference the secret; set embeddedSecretManagerConfig.delivery to Auto";
    assert_eq!(elsewhere.0, not_injected(400, "\"k\"", reason));
}

/// All files are in one projected volume, without an init container.
#[test]
fn files_are_projected_from_their_secrets() {
    let [a, b] = ["a", "b"].map(project_name);
    let store = kubernetes_store(&[(&a, b"1"), (&b, b"\xff")]);
    let before = at_home(&["key:'a' mount_requirement:FILE", "key:'b' mount_requirement:FILE env_var:'B'"]);
    let source = |name: &str, key: &str| json!({ "secret": { "name": secret_name(name), "items": [{ "key": name, "path": key }] } });
    let volume = json!({
        "name": "embedded-secret-vol",
        "projected": { "defaultMode": 0o444, "sources": [source(&a, "a"), source(&b, "b")] },
    });
    let edits = [
        (
            "/spec/containers/0/volumeMounts",
            json!([{ "name": "embedded-secret-vol", "readOnly": true, "mountPath": "/etc/flyte/secrets" }]),
        ),
        ("/spec/volumes", json!([volume])),
    ];
    let expected = edited(with_file_variables(before.clone(), &[("B", "/etc/flyte/secrets/b")]), edits);
    assert_eq!(mutated_twice(&before, &json!({}), &store), expected);
}

/// Where another manager writes to the volume in memory, files go there too, whichever comes first.
#[test]
fn files_are_written_by_value_together_with_others() {
    let store = store_of_k(b"v");
    let (file, aws) = ("key:'k' mount_requirement:FILE", "group:'arn' key:'missing' mount_requirement:FILE");
    for requests in [[file, aws], [aws, file]] {
        let out = mutated_twice(&at_home(&requests), &managers(&["Embedded", "AWS"]), &store);
        let volumes: Vec<&Value> = out["spec"]["volumes"].as_array().into_iter().flatten().collect();
        assert_eq!(volumes.len(), 1, "{out:#}");
        assert_eq!(volumes[0]["emptyDir"], json!({ "medium": "Memory", "sizeLimit": "64Mi" }));
        assert_eq!(out["spec"]["initContainers"].as_array().map(Vec::len), Some(2));
        let settings =
            with(managers(&["Embedded", "AWS"]), "/embeddedSecretManagerConfig", json!({ "delivery": "Reference" }));
        assert_eq!(create_with(&at_home(&requests), &settings, &store).code(), 400);
    }
}

fn pulling(more: Value) -> Value {
    let pull =
        json!({ "gateway": "https://gateway.flyte.svc:8444", "ca": "-----BEGIN CERTIFICATE-----", "image": "pull:1" });
    let mut config = json!({ "delivery": "Pull", "lookup": "Off", "pull": pull });
    json_patch::merge(&mut config, &more);
    embedded(config)
}

/// The whole pod: volumes, the grant, and variables that the kubelet reads from the env file.
#[test]
fn grant_has_the_requested_secrets() {
    let before = pod(&["key:'tls.crt' mount_requirement:FILE", "key:'db-password' env_var:'PASSWORD'"]);
    let memory =
        |name: &str, size: &str| json!({ "name": name, "emptyDir": { "medium": "Memory", "sizeLimit": size } });
    let token = json!({ "audience": "secret-gateway.flyte.org", "expirationSeconds": 600, "path": "token" });
    let resources = json!({ "cpu": "100m", "memory": "100Mi" });
    let args: Vec<&str> = "pull --gateway https://gateway.flyte.svc:8444 --ca LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t \
                           --scope acme/development/flytesnacks --patience 2m --file tls.crt --env v0=db-password"
        .split(' ')
        .collect();
    let container = json!({
        "name": "flyte-secrets",
        "image": "pull:1",
        "args": args,
        "resources": { "limits": resources, "requests": resources },
        "securityContext": restricted(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            { "name": "flyte-secrets", "mountPath": "/etc/flyte/secrets" },
            { "name": "flyte-secrets-token", "mountPath": "/run/flyte/secrets-token", "readOnly": true },
            { "name": "flyte-secrets-env", "mountPath": "/run/flyte/secrets-env" },
        ],
    });
    let key = json!({ "volumeName": "flyte-secrets-env", "path": "env", "key": "v0", "optional": false });
    let edits = [
        (
            "/spec/containers/0/env",
            json!([
                { "name": "PASSWORD", "valueFrom": { "fileKeyRef": key } },
                { "name": "FLYTE_SECRETS_ENV_PREFIX", "value": "_UNION_" },
                { "name": "FLYTE_SECRETS_FILE_PREFIX" },
                { "name": "FLYTE_SECRETS_DEFAULT_DIR", "value": "/etc/flyte/secrets" },
            ]),
        ),
        (
            "/spec/containers/0/volumeMounts",
            json!([{ "name": "flyte-secrets", "readOnly": true, "mountPath": "/etc/flyte/secrets" }]),
        ),
        ("/spec/initContainers", json!([container])),
        (
            "/spec/volumes",
            json!([
                memory("flyte-secrets", "64Mi"),
                { "name": "flyte-secrets-token", "projected": { "defaultMode": 0o444, "sources": [{ "serviceAccountToken": token }] } },
                memory("flyte-secrets-env", "2Mi"),
            ]),
        ),
    ];
    let expected = edited(before.clone(), edits);
    let store = Store::new(json!({}));
    assert_eq!(mutated_twice(&before, &pulling(json!({})), &store), expected);
    assert_eq!(store.asked(), [], "the policy reads nothing");
    assert!(Grant::parse(&args).is_ok());
}

/// What is looked up is what is granted: the secret of a property, and its version.
#[test]
fn properties_and_versions_are_pulled() {
    let settings = |lookup: &str| {
        let aws = json!({ "region": "eu-west-1" });
        pulling(json!({ "awsConfig": aws, "properties": true, "versions": true, "lookup": lookup }))
    };
    let requests = [
        "group:'rds' key:'password' group_version:'AWSPREVIOUS' env_var:'A'",
        "group:'rds' key:'password' env_var:'B'",
        "key:'ca.crt' group_version:'blue' mount_requirement:FILE",
    ];
    let out = mutated_twice(&pod(&requests), &settings("Off"), &Store::new(json!({})));
    let args = out["spec"]["initContainers"][0]["args"].as_array().expect("arguments").iter();
    let granted = "--file ca.crt --version blue --env v0=password --group rds --version AWSPREVIOUS --env v1=password \
                   --group rds";
    assert!(args.skip(9).eq(granted.split(' ')), "{out:#}");
    let name = |key: &str| format!("eu-west-1:{}", project_name(key));
    // Of a property the lookup does not know whether it can be a variable.
    let names = [name("rds::AWSPREVIOUS"), name("rds"), name("ca.crt::blue")];
    let mut lookups = json!({ "ready": {} });
    for name in &names {
        lookups[name] = json!({ "variable": false });
    }
    let store = Store::new(json!({ "SecretLookup": lookups }));
    assert_eq!(mutated(&create_with(&pod(&requests), &settings("Require"), &store)), &out);
    assert_eq!(store.asked().iter().map(|asked| asked.name.clone()).collect::<Vec<_>>(), names);
    let clash = ["group:'a' key:'k' mount_requirement:FILE", "group:'b' key:'k' mount_requirement:FILE"];
    assert_eq!(create(&pod(&clash), &settings("Off")).code(), 400);
    assert_eq!(create(&pod(&["group:'$(A)' key:'k'"]), &settings("Off")).code(), 400);
    let ignored = create(&pod(&["group:'a' key:'k' group_version:'1'"]), &pulling(json!({})));
    assert_eq!(
        ignored.warnings(),
        [
            "secret \"a/k\" version \"1\": Embedded ignores group",
            "secret \"a/k\" version \"1\": Embedded ignores group_version"
        ]
    );
}

/// A grant that the policy did not write, in a pod with a secret request, without, and without the label.
#[test]
fn grants_of_the_pod_are_rejected() {
    let once = mutated(&create(&pod(&["key:'a' mount_requirement:FILE"]), &pulling(json!({})))).clone();
    let other = mutated(&create(&pod(&["key:'b' mount_requirement:FILE"]), &pulling(json!({})))).clone();
    let none = || json!({});
    let (annotations, labels, inits) = ("/metadata/annotations", "/metadata/labels", "/spec/initContainers");
    let message =
        "container \"flyte-secrets\" or a token for the secret gateway is not what the policy grants; remove it";
    let granted = rejected(403, &format!("secrets cannot be injected: {message}"));
    let table = [
        ("another key", vec![(inits, other["spec"]["initContainers"].clone())]),
        ("no request", vec![(annotations, none())]),
        ("no label", vec![(labels, none())]),
        ("a token alone", vec![(annotations, none()), (inits, json!([]))]),
        ("a token alone, no label", vec![(annotations, none()), (labels, none()), (inits, json!([]))]),
        ("a plain container", vec![(inits, json!([])), ("/spec/containers", once["spec"]["initContainers"].clone())]),
    ];
    for (what, edits) in table {
        assert_eq!(create(&edited(once.clone(), edits), &pulling(none())).0, granted, "{what}");
    }
    // A token for the gateway in a pod that is served otherwise; another audience is another's affair.
    for (audience, code) in [("secret-gateway.flyte.org", 403), ("x.secret-gateway.flyte.org", 0)] {
        let token = json!({ "serviceAccountToken": { "audience": audience, "path": "token" } });
        let volumes = json!([{ "name": "token", "projected": { "sources": [token] } }]);
        let asking = with(pod(&["group:'g' key:'k'"]), "/spec/volumes", volumes);
        assert_eq!(create(&asking, &managers(&["K8s"])).code(), code, "{audience}");
    }
    for settings in [json!({}), delivery("Value")] {
        let found = create_with(&once, &settings, &kubernetes_store(&[(&project_name("a"), b"v")]));
        assert_eq!(found.0, granted, "{settings}");
    }
}

/// Names are looked up through the gateway, never values.
#[test]
fn names_are_looked_up_before_admission() {
    let name = format!("flyte:{}", project_name("k"));
    let lookups = |answer: Value| Store::new(json!({ "SecretLookup": { "ready": {}, &name: answer } }));
    let asking = pod(&["key:'k'"]);
    let code = |store, lookup: &str| create_with(&asking, &pulling(json!({ "lookup": lookup })), &store).code();
    assert_eq!(code(lookups(json!({ "variable": true })), "Prefer"), 0);
    let quote = lookups(json!({ "variable": false, "problem": "the value contains NUL; request it as a FILE" }));
    assert_eq!(code(quote, "Prefer"), 400);
    let missing = || Store::new(json!({ "SecretLookup": { "ready": {} } }));
    assert_eq!((code(missing(), "Prefer"), code(missing(), "Require"), code(missing(), "Off")), (400, 400, 0));
    let gone = || Store::new(json!({ "SecretLookup": {} }));
    assert_eq!((code(gone(), "Prefer"), code(gone(), "Require"), code(gone(), "Off")), (503, 503, 0));
    let down = || lookups(json!({ "error": "down" }));
    let waits = create_with(&asking, &pulling(json!({ "lookup": "Prefer" })), &down());
    assert!(waits.accepted());
    let object = format!("SecretLookup {name}");
    assert_eq!(
        waits.warnings(),
        [format!(
            "secret \"k\" was not looked up: {object} could not be read: the server is unavailable; retry later; the \
             pod waits for it"
        )]
    );
    assert_eq!(code(down(), "Require"), 503);
}

/// With `refresh` the puller goes on as a native sidecar.
#[test]
fn refresh_makes_the_init_container_a_sidecar() {
    let settings = pulling(json!({ "pull": { "refresh": "5m" } }));
    let out = mutated_twice(&pod(&["key:'a' mount_requirement:FILE"]), &settings, &Store::new(json!({})));
    let container = &out["spec"]["initContainers"][0];
    assert_eq!(container["restartPolicy"], "Always");
    assert_eq!(
        container["startupProbe"],
        json!({ "exec": { "command": ["/flyte-secrets-pull", "ready"] }, "failureThreshold": 3600, "periodSeconds": 1 })
    );
    assert_eq!(names(&container["volumeMounts"]), ["flyte-secrets", "flyte-secrets-env", "flyte-secrets-token"]);
}
