//! The book in `docs`: the chapter that is made of the code, and whether the others keep up with it.
//!
//! | module | holds |
//! |---|---|
//! | [`settings`] | the reference of the settings, made of `src/settings` |
//! | [`messages`] | what the code can say, to be found in the chapter on troubleshooting |
//! | [`links`] | whether links between the repository's Markdown files lead anywhere |
//!
//! Reads sources and text; runs no policy.

pub mod links;
pub mod messages;
pub mod settings;
