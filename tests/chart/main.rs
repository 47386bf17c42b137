//! The Helm chart: what it renders, what it refuses and in which words, and what is written about it. Knows the chart through helm
//! and helm-docs alone; what a cluster makes of it is shown by `make e2e`.
//!
//! | module | shows |
//! |---|---|
//! | [`flyte`] | that tasks of a default Flyte 2 and a default Flyte 1 get their secrets |
//! | [`rendered`] | lint, and the manifests of each file of values, byte for byte |
//! | [`refused`] | wrong values, each with its reason; which settings the chart refuses, and which the policy alone |
//! | [`written`] | the table of values in its README |
//! | [`alerts`] | that alerts are PromQL on metrics that the gateway has |
//! | [`pull`] | `delivery: Pull`: rights of both sides, one authority, what cannot work |
//! | [`notes`] | what `helm install` says |
//! | [`questions`] | what Rancher asks |
//! | [`helm`] | how the programs are run |
//!
//! Tests that need helm are run by `make chart-test`, which builds it. With WRITE they write what they otherwise compare.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // how tests fail

mod alerts;
mod flyte;
mod helm;
mod notes;
mod pull;
mod questions;
mod refused;
mod rendered;
mod written;
