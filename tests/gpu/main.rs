//! Plans on a GPU against the CPU: every form of kernel, loops, library operations, whole trainings.
//! Law: where there is no GPU, not even an emulated one, each test says that it was skipped.
#![cfg(feature = "gpu")]

#[path = "../common/gpu.rs"]
mod common;
mod forms;
mod refusals;
mod runs;
