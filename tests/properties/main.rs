//! Properties of all pods, requests and settings: on the core, and with fewer cases on the built wasm.
//!
//! | module | property |
//! |---|---|
//! | [`stable`] | the same payload has the same answer, also in the wasm; a second mutation changes nothing; valid settings can be used |
//! | [`survival`] | other fields are kept byte for byte |
//! | [`validity`] | a valid pod stays valid, and no mount of the user is hidden |
//! | [`env_file`] | the kubelet reads what was written to an env file |
//! | [`fuel`] | fuel is linear in the bytes that are read and written |
//! | [`grant`] | a grant equals its parsed arguments |
//! | [`injection`] | all requests are injected, or the pod is rejected |
//! | [`tenants`] | no two tenants look up the same name |
//! | [`names`] | names and encodings have exact inverses |
//! | [`support`] | a value is only in the pod; shared code |
//!
//! Each run has the same cases. `PROPTEST_RNG_SEED=7` generates others, `PROPTEST_CASES=100000` sets their number.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used)] // how tests fail

mod env_file;
mod fuel;
mod grant;
mod injection;
mod names;
mod stable;
mod support;
mod survival;
mod tenants;
mod validity;
