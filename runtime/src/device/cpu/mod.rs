//! The CPU: kernels of the two templates on threads.
//! Law: results do not depend on the number of threads.

pub mod contract;
pub mod execute;
pub mod library;
mod linear;
pub mod machine;
pub mod memory;
pub mod profile;
mod repeat;
mod work;

use std::sync::Arc;

/// A pool of so many threads; a thread that starts a run inside it takes part in the work.
///
/// Its threads take subnormal numbers for 0, as GPUs do: the moments of a rule decay into them wherever a gradient stays
/// 0, and arithmetic with them is a hundred times slower.
pub fn pool(threads: usize) -> Arc<rayon::ThreadPool> {
    let builder = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).start_handler(|_| flush_subnormals());
    Arc::new(builder.build().expect("the system grants threads"))
}

#[cfg(target_arch = "x86_64")]
fn flush_subnormals() {
    /// Flush-to-zero and denormals-are-zero.
    const FLUSH: u32 = 1 << 15 | 1 << 6;
    let mut state = 0u32;
    // SAFETY: the control word of this thread is read and written back with two mode bits set, which only change how
    // subnormal numbers are treated.
    unsafe {
        std::arch::asm!("stmxcsr [{}]", in(reg) &mut state, options(nostack));
        state |= FLUSH;
        std::arch::asm!("ldmxcsr [{}]", in(reg) &state, options(nostack));
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn flush_subnormals() {}
