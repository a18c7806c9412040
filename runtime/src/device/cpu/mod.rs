//! The CPU device: prebuilt code that compiled kernels call.

pub mod contract;
