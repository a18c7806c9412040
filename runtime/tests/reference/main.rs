//! The reference evaluator against values by hand, what `build` makes of the Program's terms, and the random graphs that
//! other tests rely on.
#![allow(missing_docs)]

mod build;
mod functions;
mod operations;
mod random;
