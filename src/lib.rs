//! A Kubewarden policy that injects the secrets which Flyte tasks ask for.
//!
//! | room | holds |
//! |---|---|
//! | [`admission`] | the whole policy, from payload to verdict, in the order in which it happens |
//! | [`review`] | reading the payload; which pods are ours |
//! | [`requests`] | annotations → base32 → text format → [`requests::SecretRequest`] |
//! | [`settings`] | Flyte's `webhook` section: types, defaults, validation |
//! | [`managers`] | who injects a request, and how: one file for each manager |
//! | [`names`] | scopes, and the names of secrets in each store, with their inverses |
//! | [`store`] | reading values through the cluster; what a host's errors mean |
//! | [`tenancy`] | who may have what |
//! | [`pod`] | what is read of a pod, what is to be added to it, and the splicing |
//! | [`verdict`] | the answer, its code and its words |
//! | [`base32`] | Flyte's base32, of annotations and names |
//! | [`json`] | where things are in a text of JSON |
//! | [`index`] | places by name |
//! | [`texts`] | keeps the texts that are made for one pod |
//! | `guest` | the waPC functions and the host capability (feature `policy`) |
//!
//! The core is pure: no clock, no randomness, no environment, no network. The same input gives the same bytes.

pub mod admission;
pub mod base32;
#[cfg(feature = "policy")]
mod guest;
pub mod index;
pub mod json;
pub mod managers;
pub mod names;
pub mod pod;
pub mod requests;
pub mod review;
pub mod settings;
pub mod store;
pub mod tenancy;
pub mod texts;
pub mod verdict;
