//! Fields that the policy does not add are kept, as compared by the host.
//!
//! Pods are texts with marks: `‹old→new›` is `old` in the original pod, and `new` in the mutated one. Everything
//! outside of marks must keep its value, and its place in a list.

use std::sync::Arc;

use flyte_secrets_policy::names::kubernetes::secret_name;
use flyte_secrets_policy::settings::images;
use flyte_secrets_testing::host::{Capabilities, Store};
use serde_json::{Value, json};

use crate::support::{NAMES, annotation, policy, restricted, twin};

/// Both sides of a text with marks.
fn sides(marked: &str) -> (String, String) {
    let (mut before, mut after) = (String::new(), String::new());
    for piece in marked.split('‹') {
        let (mark, plain) = piece.split_once('›').unwrap_or(("→", piece));
        let (old, new) = mark.split_once('→').unwrap_or_default();
        before += old;
        after += new;
        before += plain;
        after += plain;
    }
    (before, after)
}

/// The pod in the answer.
fn answered(pod: &str, settings: &str, store: &Arc<Store>) -> Result<Value, String> {
    let capabilities: Arc<dyn Capabilities> = Arc::clone(store) as Arc<dyn Capabilities>;
    let payload = format!(
        "{{\"settings\":{settings} , \"request\" : \
         {{\"uid\":\"\\u0031\",\"kind\":{{\"version\":\"v1\",\"kind\":\"Pod\",\
         \"group\":\"\"}},\"object\":{pod} ,\"operation\":\"CREATE\",\"namespace\":\"flytesnacks-development\",\
         \"oldObject\":null,\"options\":{{\"x\":1e5}}}},\"more\":[{pod}]}}"
    );
    let answer = policy().call("validate", payload.as_bytes(), &capabilities).map_err(|error| error.to_string())?;
    let again = policy().call("validate", payload.as_bytes(), &capabilities).map_err(|error| error.to_string())?;
    assert_eq!(answer, again, "the same payload has two answers");
    let answer: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
    answer.get("mutated_object").cloned().ok_or_else(|| answer.to_string())
}

/// A marked pod comes out as its marks say, and then stays so; `names` stand in it for longer texts.
fn check(marked: &str, names: &[(&str, &str)], settings: &str, store: &Arc<Store>) {
    let marked = names.iter().fold(marked.to_owned(), |marked, (name, text)| marked.replace(name, text));
    let (before, after) = sides(&marked);
    assert_ne!(before, after);
    let mutated: Value = serde_json::from_str(&after).unwrap_or_else(|error| panic!("{error}: {after}"));
    assert_eq!(answered(&before, settings, store), Ok(mutated.clone()));
    assert_eq!(answered(&after, settings, store), Ok(mutated), "in the second pass");
}

/// Checks a pod that asks for a file and a variable from the Secret `db`: `@META` is its metadata, or `@S0` and `@S1`
/// the two annotations; `@ENV`, `@MOUNT` and `@VOLUME` are what is added.
fn kubernetes(marked: &str) {
    let file = annotation("group:'db' key:'password' mount_requirement:FILE");
    let variable = annotation("group:'db' key:'user' mount_requirement:ENV_VAR");
    let names = [
        (
            "@META",
            r#""metadata":{"labels":{"inject-flyte-secrets":"true"},"annotations":{"flyte.secrets/s0":"@S0","flyte.secrets/s1":"@S1"}}"#,
        ),
        ("@S0", file.as_str()),
        ("@S1", variable.as_str()),
        (
            "@ENV",
            r#"{"name":"FLYTE_SECRETS_ENV_PREFIX","value":"_UNION_"},{"name":"_UNION_DB_USER","valueFrom":{"secretKeyRef":{"name":"db","key":"user","optional":true}}},{"name":"FLYTE_SECRETS_FILE_PREFIX"},{"name":"FLYTE_SECRETS_DEFAULT_DIR","value":"/etc/flyte/secrets"}"#,
        ),
        ("@MOUNT", r#"{"name":"mrrf5","readOnly":true,"mountPath":"/etc/flyte/secrets/db"}"#),
        (
            "@VOLUME",
            r#"{"name":"mrrf5","secret":{"secretName":"db","items":[{"key":"password","path":"password"}],"optional":true}}"#,
        ),
    ];
    check(marked, &names, r#"{"secretManagerTypes":["K8s"]}"#, &Store::new(json!({})));
}

/// A whole pod with everything that a JSON library would change: numbers, escapes, order, white space.
#[test]
fn unchanged_parts_keep_their_text() {
    kubernetes(
        r#"{
  "x-new": [1e5, 1.0, -0, -0.0, 1E+2, 12345678901234567890123, 0.1000, true, null, {}, [], [ ], ""],
  "kind":"Pod" ,"apiVersion" : "v1",
  "metadata": { "name":"task\u002d1", "labels":{"inject-flyte-secrets":"true","unknown\/label":"\u00e9é\ud83d\ude00😀"},
    "annotations" : {"z":"\u007f\u2028 ","flyte.secrets/s1":"@S1","a":"\"mutated_object\":","flyte.secrets/s0":"@S0" , "b":"\\"},
    "managedFields":[{"time":"2026-01-01T00:00:00Z","fieldsV1":{"f:spec":{"f:containers":{"k:{\"name\":\"main\"}":{".":{}}}}}}]},
  "spec" :{"nodeSelector":{"b":"1","a":"2"}, "containers":[
    {"image":"train:1\t2","env":[‹→@ENV,›{"value":"\/home","name":"HOME","x-new":{"n":1e300}}],"resources":{"limits":{"cpu":1.50}},"name":"main"‹→,"volumeMounts":[@MOUNT]›},
    { "name" : "proxy" , "volumeMounts" : [ {"mountPath":"/data\/x","name":"data","x-new":1.0} ‹→,@MOUNT›] , "x-new":"env"‹→,"env":[@ENV]›}
  ],"terminationGracePeriodSeconds":3.0e1,
   "volumes":[{"name":"data","x-new":{"size":1e3}}‹→,@VOLUME›], "x-new":{"containers":[{"env":[{"name":"A"}]}]}, "schedulingGates" : [ ] }
 , "status" : {"phase":"Pending","startTime":null}
}"#,
    );
}

/// Each way in which a list can be missing or empty.
#[test]
fn missing_lists_are_created() {
    for container in [
        r#"{"name":"a"‹→,"env":[@ENV],"volumeMounts":[@MOUNT]›}"#,
        r#"{‹→"env":[@ENV],"volumeMounts":[@MOUNT]›}"#,
        r#"{ ‹→"env":[@ENV],"volumeMounts":[@MOUNT]›}"#,
        r#"{"env":‹null→[@ENV]›,"volumeMounts":‹null→[@MOUNT]›,"name":"a"}"#,
        r#"{"volumeMounts":‹null→[@MOUNT]›,"env":‹null→[@ENV]›,"name":"a"}"#,
        r#"{"env":[‹→@ENV›],"volumeMounts":[‹→@MOUNT›],"name":"a"}"#,
        r#"{"env":[‹ →@ENV›],"volumeMounts":[ ‹→@MOUNT›],"name":"a"}"#,
        r#"{"env" : ‹null→[@ENV]› , "name":"a" ‹→,"volumeMounts":[@MOUNT]›}"#,
        r#"{"\u0065nv":[‹→@ENV,›{"name":"A"}],"volume\u004dounts":[{"name":"b"}‹→,@MOUNT›]}"#,
    ] {
        let pod = |containers: &str| format!(r#"{{@META,"spec":{{{containers},"volumes":[‹→@VOLUME›]}}}}"#);
        kubernetes(&pod(&format!(r#""containers":[{container}]"#)));
        kubernetes(&pod(&format!(r#""initContainers":[{container},{container}],"containers":[{container}]"#)));
    }
    for volumes in [
        r#""containers":[]‹→,"volumes":[@VOLUME]›"#,
        r#""containers":[],"volumes":‹null→[@VOLUME]›"#,
        r#""containers":[],"volumes":[ ‹→@VOLUME›]"#,
        r#""volumes":[{"name":"data"}‹→,@VOLUME›],"containers":null,"initContainers":null"#,
        r#"‹→"volumes":[@VOLUME]›"#,
        r#" ‹→"volumes":[@VOLUME]›"#,
    ] {
        kubernetes(&format!(r#"{{"spec":{{{volumes}}},@META}}"#));
    }
}

/// Ephemeral containers are for debugging and get no secrets.
#[test]
fn ephemeral_containers_are_unchanged() {
    kubernetes(
        r#"{@META,"spec":{"ephemeralContainers":[{"name":"debug","env":[{"name":"FLYTE_SECRETS_ENV_PREFIX","value":"x"}],"volumeMounts":null}],"containers":[{"name":"a"‹→,"env":[@ENV],"volumeMounts":[@MOUNT]›}],"volumes":[‹→@VOLUME›]}}"#,
    );
}

/// Variables of the user with the same names are removed, at any position; others keep their order and text.
#[test]
fn variables_of_the_same_name_are_removed() {
    kubernetes(
        r#"{@META,"spec":{"containers":[{"env":[‹{"name":"FLYTE_SECRETS_ENV_PREFIX","value":"x"}→@ENV›,{"name":"B","value":"$(_UNION_DB_USER)"},‹{"value":"y","name":"_UNION_DB_USER"},→›{"name":"_union_db_user","value":"1"}‹,{"name":"FLYTE_SECRETS_DEFAULT_DIR"},{"name":"FLYTE_SECRETS\u005fENV_PREFIX","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}→›],"volumeMounts":[‹→@MOUNT›]},{"env":[‹{"name":"FLYTE_SECRETS_FILE_PREFIX","value":"x"}→@ENV›],"volumeMounts":[‹→@MOUNT›]}],"volumes":[‹→@VOLUME›]}}"#,
    );
}

/// A mount and a volume that are there already are not added again, whatever their text; their places keep their order.
#[test]
fn existing_additions_are_not_repeated() {
    kubernetes(
        r#"{@META,"spec":{"volumes":[{"secret":{"optional":true,"items":[{"path":"other","key":"other"}‹→,{"key":"password","path":"password"}›],"secretName":"db","defaultMode":256.0},"name":"mrrf5"},{"name":"z"}],"containers":[{"volumeMounts":[{"mountPath":"/etc/flyte/secrets/db/","name":"mrrf5"},{"name":"z","mountPath":"/z"}],"env":[‹→@ENV›]}]}}"#,
    );
}

const FILES: &str =
    r#"{"name":"FLYTE_SECRETS_FILE_PREFIX"},{"name":"FLYTE_SECRETS_DEFAULT_DIR","value":"/etc/flyte/secrets"}"#;

const META_OF_ONE: &str = r#""metadata":{"labels":{"inject-flyte-secrets":"true","organization":"acme","project":"flytesnacks","domain":"development"},"annotations":{"flyte.secrets/s0":"@S0"}}"#;

/// Checks a pod that asks for a file of Vault: `@S0` is the annotation; `@ADDED`, `@PATH` and `@FILES` are what is added.
fn vault(marked: &str, settings: &str) {
    let request = annotation("group:'kv/app' group_version:'kv2' key:'k' mount_requirement:FILE");
    let added = r#""vault.hashicorp.com/agent-inject-secret-ID":"kv/app","vault.hashicorp.com/agent-inject-file-ID":"kv/app/k","vault.hashicorp.com/agent-inject-template-ID":"{{- with secret \"kv/app\" -}}{{ .Data.data.k }}{{- end -}}","vault.hashicorp.com/agent-inject":"true""#;
    let added = added.replace("ID", "cdca0306-56a2-5e41-b9ba-e7c5b68c9d33");
    let path = r#""vault.hashicorp.com/secret-volume-path":"/etc/flyte/secrets""#;
    let names = [("@S0", request.as_str()), ("@ADDED", &added), ("@PATH", path), ("@FILES", FILES)];
    check(marked, &names, settings, &Store::new(json!({})));
}

/// Annotations are added at the end of the pod's own, which may be its last member.
#[test]
fn annotations_at_the_end() {
    vault(
        r#"{"spec":{"containers":[{"name":"a"‹→,"env":[@FILES]›}]},"metadata":{"labels":{"inject-flyte-secrets":"true"},"annotations":{"vault.hashicorp.com\/role":"\u006dine","flyte.secrets/s0":"@S0"‹→,@ADDED,@PATH,"vault.hashicorp.com/agent-pre-populate-only":"true"›}}}"#,
        r#"{"secretManagerTypes":["Vault"]}"#,
    );
}

/// The locked role replaces the pod's own where it stands.
#[test]
fn a_locked_annotation_is_replaced_in_place() {
    vault(
        r#"{"metadata":{"labels":{"inject-flyte-secrets":"true"},"annotations":{"vault.hashicorp.com/role":‹"mine"→"flyte"› ,"vault.hashicorp.com/secret-volume-path":"/own","flyte.secrets/s0":"@S0" ‹→,@ADDED,"vault.hashicorp.com/agent-pre-populate-only":"true"›}},"spec":{"containers":[]}}"#,
        r#"{"secretManagerTypes":["Vault"],"vaultSecretManager":{"lockAnnotations":true}}"#,
    );
}

/// Init containers are added to a missing, `null` or empty list, and before those of the user.
#[test]
fn init_containers_of_the_policy_are_first() {
    let request = annotation("group:'arn:x:' key:'K' mount_requirement:FILE");
    let mount = r#"{"name":"aws-secret-vol","readOnly":true,"mountPath":"/etc/flyte/secrets"}"#;
    let volume = r#"{"name":"aws-secret-vol","emptyDir":{"medium":"Memory","sizeLimit":"64Mi"}}"#;
    let (image, security) = (images::AWS, restricted());
    let pull = {
        let resources = r#"{"limits":{"cpu":"200m","memory":"500Mi"},"requests":{"cpu":"200m","memory":"500Mi"}}"#;
        format!(
            r#"{{"name":"aws-pull-secret-0","image":"{image}","env":[{{"name":"SECRET_ARN","value":"arn:x:K"}},{{"name":"SECRET_FILENAME","value":"/arn:x:/k"}}],"resources":{resources},"securityContext":{security},"volumeMounts":[{{"name":"aws-secret-vol","mountPath":"/tmp"}}]}}"#
        )
    };
    let names = [
        ("@META", META_OF_ONE),
        ("@S0", request.as_str()),
        ("@PULL0", &pull),
        ("@ADDED", r#""env":[@FILES],"volumeMounts":[@MOUNT]"#),
        ("@FILES", FILES),
        ("@MOUNT", mount),
        ("@VOLUME", volume),
    ];
    for marked in [
        r#"{@META,"spec":{"containers":[{"name":"a"‹→,@ADDED›}]‹→,"initContainers":[@PULL0],"volumes":[@VOLUME]›}}"#,
        r#"{@META,"spec":{"initContainers":‹null→[@PULL0]›,"containers":[{"name":"a"‹→,@ADDED›}]‹→,"volumes":[@VOLUME]›}}"#,
        r#"{@META,"spec":{"volumes":‹null→[@VOLUME]›,"initContainers":[ ‹→@PULL0›],"containers":[{"name":"a"‹→,@ADDED›}]}}"#,
        r#"{"spec":{"containers":[{"name":"a"‹→,@ADDED›}],"initContainers":[‹→@PULL0,›{"restartPolicy":"Always","x-new":1.0,"name":"b"‹→,@ADDED›} ],"volumes":[{"x-new":1e2}‹→,@VOLUME›]},@META}"#,
    ] {
        check(marked, &names, r#"{"secretManagerTypes":["AWS"]}"#, &Store::new(json!({})));
    }
}

/// Image pull secrets that are there keep their text when the list is sorted.
#[test]
fn image_pull_secrets_keep_their_text() {
    let (name, twin) = (NAMES[0], twin("k"));
    let request = annotation("key:'k'");
    let values =
        r#"{"name":"_UNION_K","value":"\"\\\n\u0001é/"},{"name":"FLYTE_SECRETS_ENV_PREFIX","value":"_UNION_"}"#;
    let names = [("@META", META_OF_ONE), ("@S0", request.as_str()), ("@VALUES", values), ("@TWIN", &twin)];
    let store = Store::new(json!({ "K8s": {
        "flyte": { secret_name(name): { name: "IlwKAcOpLw==" } },
        "flytesnacks-development": { twin.clone(): {} },
    } }));
    let settings = r#"{"embeddedSecretManagerConfig":{"imagePullSecrets":{"enabled":true}}}"#;
    let marked = r#"{@META,"spec":{"imagePullSecrets":[{"x-new":1.0,"name":"a\u002db"},‹→{"name":"@TWIN"},›{"name":"zzz" }],"containers":[{"name":"a"‹→,"env":[@VALUES]›}]}}"#;
    check(marked, &names, settings, &store);
}

/// Regression: of two specs, the additions went into the one that does not count.
#[test]
fn last_of_duplicate_members_counts() {
    let meta = META_OF_ONE.replace("@S0", &annotation("group:'g' key:'k'"));
    let first = r#""spec":{"initContainers":[{"name":"a"}],"volumes":[],"containers":[]}"#;
    let pod = format!(r#"{{{meta},{first},"spec":{{"containers":[{{"name":"b"}}]}}}}"#);
    let answer = answered(&pod, r#"{"secretManagerTypes":["K8s"]}"#, &Store::new(json!({}))).expect("a pod");
    let spec = &answer["spec"];
    assert_eq!((&spec["volumes"][0]["secret"]["secretName"], spec.get("initContainers")), (&json!("g"), None));
}
