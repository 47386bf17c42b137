//! Runs the built policy as policy-server does: in the same engine, a fresh instance for each request, stopped after
//! two seconds, with host capabilities answered from data.
//!
//! | module | holds |
//! |---|---|
//! | [`engine`] | the wasm, and what the host makes of its answers |
//! | [`host`] | host capabilities: a store of secrets, a replay file |
//! | [`golden`] | the cases recorded from Flyte's own code |
//! | [`generate`] | pods, requests, settings and stores at random |
//! | [`rules`] | what Kubernetes wants of a pod |
//! | [`pods`] | pods that ask for secrets |
//! | [`meter`] | what a call costs in fuel and memory |
//! | [`repository`] | the repository's files, by their paths |
//! | [`settings`] | settings that are accepted and refused |
//! | [`show`] | what people see: diffs, patches, a pod before and after |

pub mod engine;
pub mod generate;
pub mod golden;
pub mod host;
pub mod meter;
pub mod pods;
pub mod repository;
pub mod rules;
pub mod settings;
pub mod show;
