//! The secret gateway: an aggregated Kubernetes API server for secrets of cloud providers, and a listener for pods.
//!
//! | module | purpose | does not know |
//! |---|---|---|
//! | [`server`] | listeners, connections, background tasks, shutdown | responses |
//! | [`api`] | paths, discovery, objects, `Status` | providers |
//! | [`access`] | authentication and authorization of callers | values |
//! | [`names`] | kinds, names, and which of them are served | callers |
//! | [`reader`] | cache, shared calls, timeouts, circuit breakers | HTTP, Kubernetes |
//! | [`store`] | Flyte's secrets by scope and key | HTTP, pods |
//! | [`provider`] | the trait of providers | SDKs |
//! | [`providers`] | AWS, GCP and Azure with their SDKs | the cache, Kubernetes |
//! | [`config`], [`metrics`], [`audit`] | configuration, metrics, audit log | values |

pub mod access;
pub mod api;
pub mod audit;
pub mod config;
pub mod metrics;
pub mod names;
pub mod provider;
pub mod providers;
pub mod reader;
pub mod server;
pub mod store;
