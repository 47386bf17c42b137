//! The book in `docs`: whether what is written by hand keeps up with the code.
//!
//! | module | holds |
//! |---|---|
//! | [`messages`] | what the code can say, to be found in the chapter on troubleshooting |
//! | [`links`] | whether links between the repository's Markdown files lead anywhere |
//!
//! Reads sources and text; runs no policy.

pub mod links;
pub mod messages;
