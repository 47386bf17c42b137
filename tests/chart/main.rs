//! Tests of the Helm chart by helm and helm-docs: rendered manifests, rejected values, and documentation. `make e2e`
//! installs the chart on a cluster.
//!
//! | module | subject |
//! |---|---|
//! | [`flyte`] | tasks of default installations of Flyte 2 and Flyte 1 |
//! | [`rendered`] | lint, the README, and the manifests of each file of values |
//! | [`refused`] | invalid values with their reasons, rejected by the chart or by the policy |
//! | [`alerts`] | PromQL of alerts, and their metrics |
//! | [`pull`] | `delivery: Pull`: permissions, certificate authority, rejected combinations |
//! | [`notes`] | notes of `helm install` |
//! | [`questions`] | Rancher's forms |
//! | [`helm`] | runs the programs |
//!
//! `make chart-test` runs the tests that require helm, and builds it. With WRITE they update golden files.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // how tests fail

mod alerts;
mod flyte;
mod helm;
mod notes;
mod pull;
mod questions;
mod refused;
mod rendered;
