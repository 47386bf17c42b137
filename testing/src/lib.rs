//! Runs the built policy as policy-server does: in the same engine, a fresh instance for each request, stopped after
//! two seconds, with host capabilities answered from data or by a live API server.
//!
//! | module | holds |
//! |---|---|
//! | [`book`] | whether the book keeps up with the code |
//! | [`codegen`] | files that are made of the settings' types |
//! | [`bench`] | what the policy costs, and whether that has grown |
//! | [`engine`] | the wasm, and what the host makes of its answers |
//! | [`host`] | host capabilities: a store of secrets, a replay file, a live API server |
//! | [`golden`] | the cases recorded from Flyte's own code |
//! | `generate` | pods, requests, settings and stores at random (feature `generate`) |
//! | [`rules`] | what Kubernetes wants of a pod |
//! | [`pods`] | pods that ask for secrets |
//! | [`meter`] | what a call costs in fuel and memory |
//! | `serve` | the policy as an admission webhook (feature `live`) |
//! | [`profile`] | where a call's fuel goes |
//! | [`repository`] | the repository's files, by their paths |
//! | [`settings`] | settings that are accepted and refused |
//! | [`size`] | what the wasm's bytes are |
//! | [`show`] | what people see: diffs and patches |

pub mod bench;
pub mod book;
pub mod codegen;
pub mod engine;
#[cfg(feature = "generate")]
pub mod generate;
pub mod golden;
pub mod host;
pub mod meter;
pub mod pods;
pub mod profile;
pub mod repository;
pub mod rules;
#[cfg(feature = "live")]
pub mod serve;
pub mod settings;
pub mod show;
pub mod size;
