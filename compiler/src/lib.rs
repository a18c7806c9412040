//! The Gannet compiler: Program to Graph to Plan to machine code or WGSL.
//! Law: it takes checked input and does no IO; what fails in here is a bug.
#![deny(missing_docs)]

pub mod build;
pub mod egraph;
pub mod emit;
pub mod flat;
pub mod fuse;
pub mod grad;
pub mod graph;
pub mod library;
pub mod loops;
pub mod pass;
pub mod philox;
pub mod plan;
mod reductions;
pub mod scalar;

pub use pass::{CompileOptions, Stages, plan_of, stages_of};
