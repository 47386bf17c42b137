//! Other fields are kept, as compared by the host: members, elements and their order, unknown fields. [`may`] lists the
//! places that the policy may change; all others must keep their value.

use flyte_secrets_testing::generate;
use proptest::prelude::*;
use serde_json::Value;

use crate::support::{Answer, cases, value};

/// What may become of a part of the pod.
enum May {
    /// Its members may change, and these may be new.
    Change(&'static [&'static str]),
    /// Its members or elements may change, and there may be new ones behind them.
    Grow,
    /// Variables: new ones in front, and the others without those of the same names.
    Lead,
    /// New elements anywhere, as the list is sorted when it has new ones.
    Mix,
    /// A string of ours takes the place of the pod's own.
    Give,
}

/// What may become of the part at a path, in which places in lists are left out. None if it must stay as it is.
fn may(path: &str) -> Option<May> {
    Some(match path {
        "" => May::Change(&[]),
        ".metadata" => May::Change(&["annotations"]),
        ".metadata.annotations" => May::Grow,
        ".spec" => May::Change(&["initContainers", "volumes", "imagePullSecrets"]),
        ".spec.containers" => May::Change(&[]),
        ".spec.initContainers" | ".spec.volumes" => May::Grow,
        ".spec.containers[]" | ".spec.initContainers[]" => May::Change(&["env", "volumeMounts"]),
        ".spec.containers[].env" | ".spec.initContainers[].env" => May::Lead,
        ".spec.containers[].volumeMounts" | ".spec.initContainers[].volumeMounts" => May::Grow,
        ".spec.volumes[]" | ".spec.volumes[].secret" => May::Change(&[]),
        ".spec.volumes[].secret.items" => May::Grow,
        ".spec.imagePullSecrets" => May::Mix,
        _ if path.starts_with(".metadata.annotations.") => May::Give,
        _ => return None,
    })
}

/// Compares a part before and after; `locked` are the annotations that the settings keep from the pod's author.
fn survives(before: &Value, after: &Value, path: &str, locked: &[String]) -> Result<(), String> {
    if before == after {
        return Ok(());
    }
    let changed = |what: &str| Err(format!("{what} at {path:?}\nbefore: {before}\nafter: {after}"));
    let Some(may) = may(path) else { return changed("a change") };
    match (may, before, after) {
        (May::Give, ..) => {
            let name = path.trim_start_matches(".metadata.annotations.");
            if locked.iter().any(|known| known == name) { Ok(()) } else { changed("a change") }
        }
        (_, Value::Null, Value::Array(_) | Value::Object(_)) => Ok(()),
        (may @ (May::Change(_) | May::Grow), Value::Object(old), Value::Object(new)) => {
            for (name, old) in old {
                let Some(new) = new.get(name) else { return changed(&format!("{name:?} is lost")) };
                survives(old, new, &format!("{path}.{name}"), locked)?;
            }
            let mut added = new.keys().filter(|name| !old.contains_key(*name));
            match may {
                May::Change(names) if added.any(|name| !names.contains(&name.as_str())) => changed("something is new"),
                _ => Ok(()),
            }
        }
        (may @ (May::Change(_) | May::Grow), Value::Array(old), Value::Array(new)) => {
            if new.len() < old.len() || matches!(may, May::Change(_)) && new.len() > old.len() {
                return changed("another length");
            }
            old.iter().zip(new).try_for_each(|(old, new)| survives(old, new, &format!("{path}[]"), locked))
        }
        (May::Lead, Value::Array(old), Value::Array(new)) => {
            let fits = |count: usize| {
                let names: Vec<_> = new[..count].iter().map(|it| &it["name"]).collect();
                let once = names.iter().enumerate().all(|(at, name)| !names[..at].contains(name));
                once && new[count..].iter().eq(old.iter().filter(|it| !names.contains(&&it["name"])))
            };
            if (0..=new.len()).any(fits) { Ok(()) } else { changed("other variables") }
        }
        (May::Mix, Value::Array(old), Value::Array(new)) => {
            let mut left: Vec<&Value> = new.iter().collect();
            for element in old {
                match left.iter().position(|it| *it == element) {
                    Some(at) => drop(left.remove(at)),
                    None => return changed("something is lost"),
                }
            }
            Ok(())
        }
        _ => changed("a change of type"),
    }
}

/// Puts init containers of ours behind the pod's own, where additions are looked for.
fn ours_last(before: &Value, after: &mut Value) {
    let theirs = before.pointer("/spec/initContainers").and_then(Value::as_array).map_or(0, Vec::len);
    if let Some(all) = after.pointer_mut("/spec/initContainers").and_then(Value::as_array_mut) {
        let ours = all.len() - theirs;
        all.rotate_left(ours);
    }
}

proptest! {
    #![proptest_config(cases(4000))]

    #[test]
    fn what_is_not_ours_survives(case in generate::case()) {
        if let Some(after) = Answer::to(&case).pod {
            let vault = &case.settings["vaultSecretManager"];
            let mut locked = Vec::new();
            if vault["lockAnnotations"] == true {
                locked.push("vault.hashicorp.com/role".to_owned());
                locked.extend(vault["annotations"].as_object().into_iter().flatten().map(|(key, _)| key.clone()));
            }
            let before = value(&case.style.write(&case.pod));
            let mut after = value(&after);
            ours_last(&before, &mut after);
            prop_assert_eq!(survives(&before, &after, "", &locked), Ok(()));
        }
    }
}

#[test]
fn comparison_detects_lost_fields() {
    let table = [
        (r#"{"a":1}"#, r#"{"a":1.0}"#, false),
        (r#"{"spec":{"volumes":[{"name":"a"}]}}"#, r#"{"spec":{"volumes":[{"name":"b"}]}}"#, false),
        (r#"{"spec":{"volumes":[{"name":"a"}]}}"#, r#"{"spec":{"volumes":[{"name":"a"},1]}}"#, true),
        (r#"{"spec":{ }}"#, r#"{"spec":{"volumes":[1]}}"#, true),
        (r#"{"spec":{"volumes":[1]}}"#, r#"{"spec":{}}"#, false),
        (r#"{"spec":{ }}"#, r#"{"spec":{ "x":[1]}}"#, false),
        (
            r#"{"spec":{"containers":[{"env":[{"name":"a"},{"name":"b"}]}]}}"#,
            r#"{"spec":{"containers":[{"env":[{"name":"b","value":"x"},{"name":"a"}]}]}}"#,
            true,
        ),
        (
            r#"{"spec":{"containers":[{"env":[{"name":"a"},{"name":"b"}]}]}}"#,
            r#"{"spec":{"containers":[{"env":[{"name":"c"},{"name":"a"}]}]}}"#,
            false,
        ),
        (r#"{"metadata":{"annotations":{"a":"x"}}}"#, r#"{"metadata":{"annotations":{"a":"y"}}}"#, false),
    ];
    for (before, after, allowed) in table {
        assert_eq!(survives(&value(before), &value(after), "", &[]).is_ok(), allowed, "{before} {after}");
    }
}
