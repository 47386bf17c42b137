//! What is not ours survives byte for byte: keys and their order, numbers, escapes, white space, fields that nobody
//! knows. Each place where the policy may write is named in [`may`]; all else must be the same text.

use flyte_secrets_testing::generate;
use proptest::prelude::*;

use crate::support::{Answer, cases, parts, value};

/// What may become of a part of the pod.
enum May {
    /// Its parts may change, and these members may be new, behind all others.
    Change(&'static [&'static str]),
    /// Its parts may change, and there may be new ones behind them.
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
fn survives(before: &str, after: &str, path: &str, locked: &[String]) -> Result<(), String> {
    if before == after {
        return Ok(());
    }
    let wrong = |what: &str| Err(format!("{what} at {path:?}\nbefore: {before}\nafter: {after}"));
    let Some(may) = may(path) else { return wrong("a change") };
    if let May::Give = may {
        let name = path.trim_start_matches(".metadata.annotations.");
        return if locked.iter().any(|known| known == name) { Ok(()) } else { wrong("a change") };
    }
    let Some(new) = parts(after) else { return wrong("nothing in place of something") };
    let old = match parts(before) {
        Some(old) => old,
        None if before == "null" => return Ok(()),
        None => return wrong("a change of type"),
    };
    let texts = |whole: &'_ str, parts: &[(String, std::ops::Range<usize>)]| -> Vec<String> {
        parts.iter().map(|(_, place)| whole[place.clone()].to_owned()).collect()
    };
    match may {
        May::Lead => {
            let (old, new) = (texts(before, &old), texts(after, &new));
            let fits = |count: usize| {
                let names: Vec<_> = new[..count].iter().map(|it| value(it)["name"].clone()).collect();
                let once = names.iter().enumerate().all(|(at, name)| !names[..at].contains(name));
                let kept = old.iter().filter(|it| !names.contains(&value(it)["name"]));
                once && new[count..].iter().eq(kept)
            };
            return if (0..=new.len()).any(fits) { Ok(()) } else { wrong("other variables") };
        }
        May::Mix => {
            let mut left = texts(after, &new);
            for element in texts(before, &old) {
                match left.iter().position(|it| *it == element) {
                    Some(at) => drop(left.remove(at)),
                    None => return wrong("something lost"),
                }
            }
            return Ok(());
        }
        May::Change(_) | May::Grow | May::Give => {}
    }
    if new.len() < old.len() {
        return wrong("something lost");
    }
    let (mut old_end, mut new_end) = (0, 0);
    for ((old_name, old), (new_name, new)) in old.iter().zip(&new) {
        if old_name != new_name || before[old_end..old.start] != after[new_end..new.start] {
            return wrong("another order or another spelling");
        }
        let inner = if old_name.is_empty() { format!("{path}[]") } else { format!("{path}.{old_name}") };
        survives(&before[old.clone()], &after[new.clone()], &inner, locked)?;
        (old_end, new_end) = (old.end, new.end);
    }
    let (old_tail, new_tail) = (&before[old_end..before.len() - 1], &after[new_end..after.len() - 1]);
    let added = &new[old.len()..];
    if let May::Change(names) = may {
        if let Some((name, _)) = added.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            return wrong(&format!("{name:?} is new"));
        }
    }
    let comma = if old.is_empty() { "" } else { "," };
    match new_tail.strip_prefix(old_tail) {
        Some("") if added.is_empty() => Ok(()),
        Some(more) if !added.is_empty() && more.starts_with(comma) => Ok(()),
        _ => wrong("another end"),
    }
}

proptest! {
    #![proptest_config(cases(4000))]

    #[test]
    fn what_is_not_ours_survives_byte_for_byte(case in generate::case()) {
        if let Some(after) = Answer::to(&case).pod {
            let vault = &case.settings["vaultSecretManager"];
            let mut locked = Vec::new();
            if vault["lockAnnotations"] == true {
                locked.push("vault.hashicorp.com/role".to_owned());
                locked.extend(vault["annotations"].as_object().into_iter().flatten().map(|(key, _)| key.clone()));
            }
            let before = case.style.write(&case.pod);
            prop_assert_eq!(survives(&before, &after, "", &locked), Ok(()));
        }
    }
}

#[test]
fn the_comparison_itself_sees_what_is_lost() {
    let table = [
        (r#"{"a":1}"#, r#"{"a":1.0}"#, false),
        (r#"{"spec":{"volumes":[{"name":"a"}]}}"#, r#"{"spec":{"volumes":[{"name":"b"}]}}"#, false),
        (r#"{"spec":{"volumes":[{"name":"a"}]}}"#, r#"{"spec":{"volumes":[{"name":"a"},1]}}"#, true),
        (r#"{"spec":{"volumes":[{"name":"a"}]}}"#, r#"{"spec":{"volumes":[ {"name":"a"},1]}}"#, false),
        (r#"{"spec":{ }}"#, r#"{"spec":{ "volumes":[1]}}"#, true),
        (r#"{"spec":{ }}"#, r#"{"spec":{"volumes":[1]}}"#, false),
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
        assert_eq!(survives(before, after, "", &[]).is_ok(), allowed, "{before} {after}");
    }
}
