//! The CPU: kernels of the two templates on threads.
//! Law: results do not depend on the number of threads.

pub mod contract;
pub mod execute;
pub mod memory;
mod work;

use std::sync::Arc;

/// A pool of so many threads; a thread that starts a run inside it takes part in the work.
pub fn pool(threads: usize) -> Arc<rayon::ThreadPool> {
    let builder = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1));
    Arc::new(builder.build().expect("the system grants threads"))
}
