//! The Gannet language: text to a checked [`program`].
//! Law: everything a user can get wrong is found here, before anything runs.
#![deny(missing_docs)]

pub mod ast;
pub mod diag;
pub mod ids;
mod parse;
pub mod program;

pub use parse::parse;
