//! A Kubewarden policy that injects the secrets that Flyte tasks request.
//!
//! [`admission`] is the whole policy, from payload to verdict, in order. `policy` has the waPC functions that the host
//! calls, and its host capability (feature `policy`).
//!
//! The core is pure: no clock, no randomness, no environment, no network. The same input gives the same bytes.

#![deny(unsafe_code)]

pub mod admission;
pub mod answer;
pub mod env_file;
pub mod grant;
pub mod managers;
pub mod names;
pub mod pod;
#[cfg(feature = "policy")]
pub mod policy;
pub mod reason_code;
pub mod review;
pub mod secret_request;
pub mod settings;
pub mod store;
pub mod tenancy;
pub mod verdict;

/// Collects elements into a map or set one by one. `collect` sorts them first, which takes 5 kB of wasm for each type.
pub(crate) fn inserted<T: Default + Extend<E>, E>(elements: impl IntoIterator<Item = E>) -> T {
    let mut all = T::default();
    all.extend(elements);
    all
}

/// Parses JSON as a string: serde_json's reader of bytes takes another 25 kB of wasm.
pub(crate) fn from_json<'a, T: serde::Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    serde_json::from_str(str::from_utf8(json).ok()?).ok()
}

/// Returns the first 256 characters of a text that users wrote, for messages.
pub fn cut(text: &str) -> &str {
    text.char_indices().nth(256).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}
