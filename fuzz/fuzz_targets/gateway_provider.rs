//! Any bytes as the error of a provider: lines of status, `Retry-After`, code and message, then a body. Only the
//! provider's own code counts as "not found", a pause is at most a minute, and only the code is shown.

#![no_main]

use std::time::Duration;

use axum::http::HeaderValue;
use flyte_secrets_policy_fuzz::CANARY;
use libfuzzer_sys::fuzz_target;
use secret_gateway::provider::Failure;
use secret_gateway::providers::fuzzing::Answer;

/// Maximum length of a message with a code of 64 characters.
const LONGEST: usize = 400;

fn check(failure: &Failure, may_be_missing: bool) {
    assert!(may_be_missing || *failure != Failure::NotFound, "not the provider's word");
    if let Failure::Throttled(Some(pause)) = failure {
        assert!(*pause <= Duration::from_secs(60), "{pause:?}");
    }
    let text = failure.to_string();
    assert!(text.len() < LONGEST && !text.contains(|c: char| c.is_control()), "{text:?}");
    assert!(!text.contains(CANARY), "the answer shows: {text}");
}

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(5, |byte| *byte == b'\n');
    let mut line = || std::str::from_utf8(parts.next().unwrap_or_default()).ok();
    let (Some(Ok(status)), Some(retry_after), Some(code), Some(message)) =
        (line().map(str::parse::<u16>), line(), line(), line())
    else {
        return;
    };
    let Ok(retry_after) = HeaderValue::from_str(retry_after) else { return };
    let code = (!code.is_empty()).then_some(code);
    let body = parts.next().unwrap_or_default();
    let holds = |word: &str| body.windows(word.len()).any(|window| window == word.as_bytes());
    let is_escaped = holds("\\");
    let answer = Answer { status, retry_after, code, message, body };
    if let Some(failure) = answer.aws() {
        check(&failure, code == Some("ResourceNotFoundException"));
    }
    check(&answer.gcp(), is_escaped || holds("NOT_FOUND"));
    check(&answer.azure(), status == 404 && (is_escaped || holds("SecretNotFound")));
});
