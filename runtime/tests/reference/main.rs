//! The reference evaluator against values by hand, and the random graphs that other tests rely on.
#![allow(missing_docs)]

mod random;
