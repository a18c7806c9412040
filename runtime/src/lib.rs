//! The Gannet runtime: data, memory, devices, the step loop and the record of a run.
//! Law: the compiler decides, the runtime obeys; all input and output happen here.
#![deny(missing_docs)]

mod batches;
pub mod data;
pub mod device;
mod elsewhere;
mod entries;
pub mod finite;
mod near;
pub mod origin;
pub mod record;
pub mod reference;
pub mod session;
pub mod shuffle;
pub mod sizes;
pub mod train;
