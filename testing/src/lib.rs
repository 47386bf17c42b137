//! Runs the built policy as policy-server does: in the same engine, with a new instance for each request and a time
//! limit of two seconds. Host capabilities are answered from data.
//!
//! | module | purpose |
//! |---|---|
//! | [`engine`] | the wasm, and its answers as the host reads them |
//! | [`host`] | host capabilities: a store of secrets |
//! | [`golden`] | the cases recorded from Flyte's own code |
//! | [`generate`] | random pods, requests, settings and stores |
//! | [`rules`] | validation of pods by Kubernetes |
//! | [`pods`] | pods with secret requests |
//! | [`meter`] | fuel and memory of a call |
//! | [`repository`] | the repository's files, by their paths |
//! | [`settings`] | valid and invalid settings |
//! | [`show`] | diffs, patches, and a pod before and after, as text |

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
