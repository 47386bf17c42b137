//! The policy through its public door: the built wasm, in Kubewarden's engine.
//!
//! | module | shows |
//! |---|---|
//! | [`golden`] | the cases recorded from Flyte's own code, each in two passes |
//! | [`scope`] | which pods are touched at all |
//! | [`better`] | where Flyte's webhook is wrong, and what we do: one test for each row of `docs/src/differences.md` |
//! | [`refusals`] | each bad input, with its code and its words |
//! | [`embedded`] | scopes, names, host calls, image pull secrets, failures of the host |
//! | [`settings`] | settings that are accepted and refused |
//! | [`delivery`] | how a value reaches the task: in the pod, by reference, or pulled |
//! | [`placement`] | into which containers secrets go, and beside which mounts |
//! | [`checks`] | what is checked beyond Flyte's webhook |
//! | [`scripts`] | what the init-containers' scripts do, in a real shell |
//! | [`limits`] | what is too long, too many, too deep or hardly JSON |
//! | [`survival`] | what survives: all that the policy does not add |
//! | [`metadata`] | what Kubewarden reads of the policy |
//! | [`release`] | that versions, toolchains and addresses are one wherever they are named |
//! | [`attempts`] | what has been tried on comparable projects, and what comes of it here |
//! | [`faults`] | each way in which the host fails or answers oddly, and what it means |
//! | [`secrecy`] | where a value that is fetched shows itself: in the pod, and nowhere else |

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used)] // how tests fail

mod attempts;
mod better;
mod checks;
mod delivery;
mod embedded;
mod faults;
mod golden;
mod limits;
mod metadata;
mod placement;
mod refusals;
mod release;
mod scope;
mod scripts;
mod secrecy;
mod settings;
mod support;
mod survival;
