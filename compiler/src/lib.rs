//! The Gannet compiler: Program to Graph to Plan to machine code or WGSL.
//! Law: it takes checked input and does no IO; what fails in here is a bug.
#![deny(missing_docs)]

pub mod build;
pub mod egraph;
pub mod emit;
pub mod grad;
pub mod fuse;
pub mod graph;
pub mod philox;
pub mod plan;
pub mod scalar;
