//! The Gannet language: text to a checked [`program`].
//! Law: everything a user can get wrong is found here, before anything runs.
#![deny(missing_docs)]

pub mod ast;
pub mod check;
pub mod diag;
pub mod explain;
pub mod foreign;
pub mod format;
pub mod ids;
pub mod lint;
mod parse;
pub mod print;
pub mod print_program;
pub mod program;
pub mod render;

pub use parse::parse;
