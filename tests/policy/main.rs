//! The policy through its public door: the built wasm, in Kubewarden's engine.
//!
//! | module | shows |
//! |---|---|
//! | [`golden`] | the cases recorded from Flyte's own code, each in two passes |
//! | [`codes`] | rejections as they are expected, and the reason code of each message |
//! | [`scope`] | which pods are touched at all |
//! | [`differences`] | where the policy differs from Flyte's webhook (`docs/src/differences.md`) |
//! | [`rejections`] | invalid pods, requests, labels, values and settings: reason code and message |
//! | [`embedded`] | scopes, names, host calls, image pull secrets |
//! | [`settings`] | settings that are accepted and refused |
//! | [`delivery`] | how a value reaches the task: in the pod, by reference, or pulled |
//! | [`placement`] | into which containers secrets go, and beside which mounts |
//! | [`checks`] | what is checked beyond Flyte's webhook |
//! | [`limits`] | what is too long, too many, too deep or hardly JSON |
//! | [`survival`] | what survives: all that the policy does not add |
//! | [`metadata`] | what Kubewarden reads of the policy |
//! | [`release`] | that versions, toolchains and addresses are one wherever they are named |
//! | [`hostile_input`] | attacks that are known from comparable projects |
//! | [`host_faults`] | failures and unexpected answers of the host |
//! | [`secrecy`] | where a value that is fetched shows itself: in the pod, and nowhere else |

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used)] // how tests fail

mod checks;
mod codes;
mod delivery;
mod differences;
mod embedded;
mod golden;
mod host_faults;
mod hostile_input;
mod limits;
mod metadata;
mod placement;
mod rejections;
mod release;
mod scope;
mod secrecy;
mod settings;
mod support;
mod survival;
