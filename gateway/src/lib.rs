//! The secret gateway: an aggregated Kubernetes API server for secrets of cloud providers, and a listener for pods.
//!
//! | module | holds | knows nothing of |
//! |---|---|---|
//! | [`server`] | sockets, TLS connections, background work, the end of it all | what is answered |
//! | [`api`] | paths, discovery, objects, Status | providers |
//! | [`access`] | who asks, and what they may | what is read |
//! | [`names`] | kinds, names, and which of them are served | who asks |
//! | [`reader`] | memory, single flight, budgets, breakers | HTTP, Kubernetes |
//! | [`store`] | Flyte's secrets, by scope and key | HTTP, pods |
//! | [`provider`] | what a provider is to the reader | SDKs |
//! | [`providers`] | clouds by their own SDKs | what is remembered, Kubernetes |
//! | [`config`], [`metrics`], [`audit`] | what an operator sets and sees | values |

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
