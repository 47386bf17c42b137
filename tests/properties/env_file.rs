//! The kubelet reads from an env file what was written.

use flyte_secrets_policy::env_file::{self, LINE_LIMIT, VALUE_LIMIT};
use proptest::prelude::*;

use crate::support::cases;

/// Lines as Go's `bufio.Scanner` yields them: without `\n`, and without a `\r` before it. None after a line that with
/// its end is longer than 64 KiB.
fn scan(file: &[u8]) -> impl Iterator<Item = Result<&[u8], ()>> {
    let mut lines = file.split(|byte| *byte == b'\n').collect::<Vec<_>>();
    // What follows the last line feed is no line if it is empty.
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines.into_iter().map(|line| match line.len() < 64 * 1024 {
        true => Ok(line.strip_suffix(b"\r").unwrap_or(line)),
        false => Err(()),
    })
}

fn trim(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
    &line[start..]
}

/// The value of a key by the rules of `pkg/kubelet/util/env`: empty if there is none.
fn kubelet(file: &[u8], key: &str) -> Result<Vec<u8>, ()> {
    let mut lines = scan(file);
    while let Some(line) = lines.next() {
        let line = trim(line?);
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let equals = line.iter().position(|byte| *byte == b'=').ok_or(())?;
        let (name, quoted) = (&line[..equals], &line[equals + 1..]);
        if name.is_empty() || name.ends_with(b" ") || name.ends_with(b"\t") {
            return Err(());
        }
        if trim(quoted).len() != quoted.len() {
            match name == key.as_bytes() {
                true => return Ok(Vec::new()),
                false => continue,
            }
        }
        let mut rest = quoted.strip_prefix(b"'").ok_or(())?;
        let mut value = Vec::new();
        while !rest.contains(&b'\'') {
            value.extend_from_slice(rest);
            value.push(b'\n');
            rest = lines.next().ok_or(())??;
        }
        let end = rest.iter().position(|byte| *byte == b'\'').ok_or(())?;
        value.extend_from_slice(&rest[..end]);
        let behind = trim(&rest[end + 1..]);
        if !behind.is_empty() && !behind.starts_with(b"#") {
            return Err(());
        }
        if name == key.as_bytes() {
            return Ok(value);
        }
    }
    Ok(Vec::new())
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    // Around each limit, too.
    let line = (LINE_LIMIT - 2..LINE_LIMIT + 3).prop_map(|length| vec![b'x'; length]);
    let long = (VALUE_LIMIT - 2..VALUE_LIMIT + 3)
        .prop_map(|length| (0..length).map(|at| if at % 1000 == 999 { b'\n' } else { b'x' }).collect::<Vec<u8>>());
    prop_oneof![
        8 => "([v'#= \t\r\n$\\\\\"]|v1='|\\PC){0,30}".prop_map(String::into_bytes),
        2 => prop::collection::vec(any::<u8>(), 0..20),
        1 => line,
        1 => long,
    ]
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn the_kubelet_reads_what_was_written(values in prop::collection::vec(value(), 0..6)) {
        let mut file = Vec::new();
        let mut written = Vec::new();
        for value in values {
            let name = format!("v{}", written.len());
            let before = file.len();
            match env_file::append(&mut file, &name, &value) {
                Ok(()) => written.push((name, value)),
                Err(_) => prop_assert_eq!(file.len(), before),
            }
        }
        for (name, value) in &written {
            prop_assert_eq!(kubelet(&file, name), Ok(value.clone()));
        }
    }

    #[test]
    fn what_is_rejected_would_not_be_read(text in "([v'#= \t\r\n]|\\PC){1,30}") {
        let file = format!("v0='{text}'\nv1='x'\n");
        let read = kubelet(file.as_bytes(), "v0") == Ok(text.clone().into_bytes());
        prop_assert_eq!(env_file::check(text.as_bytes()).is_ok(), read && kubelet(file.as_bytes(), "v1") == Ok(b"x".to_vec()));
    }
}
