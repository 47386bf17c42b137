//! The gateway through its public door, on loopback: TLS as the API server speaks it, a double of the cluster, and a
//! provider in memory.
//!
//! | module | shows |
//! |---|---|
//! | [`access`] | who is let in: certificates, headers, reviews, and what is remembered of them |
//! | [`connections`] | how many there may be, how long each may take, and that strangers keep nobody out |
//! | [`discovery`] | what clients and the aggregator are told of the API, whole documents |
//! | [`objects`] | what a read answers: values, tables, names that are refused, verbs that are |
//! | [`failures`] | each way in which a provider fails, with its Status |
//! | [`reads`] | memory, single flight, budgets, limits and breakers |
//! | [`life`] | certificates that change, metrics, audit lines, the end |
//! | [`pulls`] | what pods pull, which do not, and each way in which that fails |
//! | [`lookups`] | whether a secret is there, and no more |
//! | [`process`] | the binary: arguments, logs, signals |

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::string_slice, clippy::unwrap_used)] // how tests fail

mod access;
mod connections;
mod discovery;
mod failures;
#[path = "../kit/mod.rs"]
mod kit;
mod life;
mod lookups;
mod objects;
mod process;
mod pulls;
mod reads;

// What most modules use.
use std::time::{Duration, Instant};

use axum::http::Method;
use kit::client::{Answer, Client};
use kit::memory::{CANARY, text};
use kit::{Kit, USER};
use secret_gateway::provider::{Failure, Value as Secret};
use serde_json::{Value, json};

const GROUP: &str = "secret-gateway.flyte.org";

/// The path of an object.
fn path(plural: &str, name: &str) -> String {
    format!("/apis/{GROUP}/v1alpha1/{plural}/{name}")
}

/// The path of an object of AWS.
fn aws(name: &str) -> String {
    path("awssecrets", &format!("us-east-2:u__org__{name}"))
}

/// The details of a Status about an object.
fn of(plural: &str, name: &str) -> Value {
    json!({ "name": name, "group": GROUP, "kind": plural })
}

/// The details of a Status about the object `us-east-2:u__org__<name>` of AWS.
fn of_aws(name: &str) -> Value {
    of("awssecrets", &format!("us-east-2:u__org__{name}"))
}

/// The same details, with the time after which to retry.
fn retry(mut details: Value, seconds: u64) -> Value {
    details["retryAfterSeconds"] = json!(seconds);
    details
}

/// Waits until a condition holds, for as long as a machine under load may need.
async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..1200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it does not hold after half a minute");
}
