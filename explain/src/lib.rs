//! What people ask of the policy, and its own answers: as data, which the command line and the playground show.
//!
//! | module | holds |
//! |---|---|
//! | [`preview`] | the pod as it will be, or why it is refused, and what becomes of each request |
//! | [`names`] | under which names a secret is stored, how to store it there, and what a name is made of |
//! | [`requests`] | what requests for secrets ask for, in words |
//! | [`check`] | what is wrong in Flyte's `webhook` section, and where |
//! | [`store`] | a cluster with the secrets that somebody has written down |
//! | [`source`] | a text that somebody has given: its documents, the pods in it |
//! | [`tree`] | YAML and JSON, with the places where things stand |
//! | [`yaml`] | writing YAML |
//!
//! All answers are the core's: nothing here decides what becomes of a pod. No files, no terminal, no browser. The
//! playground carries all of this to browsers, so that its size counts: JSON is the core's own cursor and writer, and YAML has a parser but
//! no serde, which together would be twice as large as the core.

pub mod check;
pub mod names;
pub mod preview;
pub mod requests;
pub mod source;
pub mod store;
pub mod tree;
pub mod yaml;
