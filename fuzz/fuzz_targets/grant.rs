//! Any lines as an init container's arguments, any line as the head of a response, any bytes as a variable's value.

#![no_main]

use flyte_secrets_policy::answer::Head;
use flyte_secrets_policy::env_file;
use flyte_secrets_policy::grant::{Grant, Granted};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut file = Vec::new();
    assert_eq!(env_file::append(&mut file, "v0", bytes).is_ok(), env_file::check(bytes).is_ok());
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let args: Vec<&str> = text.split('\n').collect();
    let Ok(grant) = Grant::parse(&args) else { return };
    let written = grant.to_args();
    assert_eq!(Grant::parse(&written).as_ref(), Ok(&grant), "{written:?}");
    let lengths = |secrets: &[Granted]| secrets.iter().map(|granted| granted.key.len() as u64).collect::<Vec<_>>();
    let head = Head::new(&grant, lengths(&grant.files), lengths(&grant.variables));
    assert!(head.answers(&grant));
    let line = head.to_line().expect("a line");
    assert_eq!(Head::parse(line.as_bytes()), Some(head), "{line}");
});
