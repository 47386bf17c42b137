//! What holds for every pod, every request and every setting: on the core, and with fewer cases on the built wasm.
//!
//! | module | shows |
//! |---|---|
//! | [`stable`] | one answer for one payload; a second pass changes nothing; the wasm says what the core says |
//! | [`survival`] | what is not ours survives byte for byte |
//! | [`validity`] | a pod that Kubernetes accepts stays one, and nothing of the user's is shadowed |
//! | [`env_file`] | the kubelet reads what was written into an env file |
//! | [`grant`] | a grant reads back from its arguments |
//! | [`injection`] | all requests are injected, or the pod is refused |
//! | [`secrecy`] | a value is in the pod alone |
//! | [`tenants`] | no two tenants look up one name |
//! | [`names`] | names and encodings have exact inverses |
//! | [`settings`] | settings that validate can be used |
//! | [`support`] | what they share |
//!
//! Each run draws the same cases. `PROPTEST_RNG_SEED=7` draws others, `PROPTEST_CASES=100000` as many of each.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used)] // how tests fail

mod env_file;
mod grant;
mod injection;
mod names;
mod secrecy;
mod settings;
mod stable;
mod support;
mod survival;
mod tenants;
mod validity;
