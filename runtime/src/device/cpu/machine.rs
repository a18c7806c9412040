//! What this machine can do at best: the limits that kernels are held against.
//! Law: what is measured is what kernels do: products by the kernels of contractions, passes over memory by plain loops.

use super::contract::{Batch, Offsets, Operand, OperandMut, Product, run, scratch_len};
use gannet_compiler::plan::Machine;
use rayon::prelude::*;
use std::time::Instant;

/// Rows and columns of the products.
const SIDE: usize = 768;
/// Numbers passed over: more than caches hold.
const LONG: usize = 16 << 20;
/// Of so many tries the best counts.
const TRIES: usize = 6;

/// Measures the limits with the threads of the pool that it is called in: about a fifth of a second.
pub fn measure() -> Machine {
    Machine { product: product_rate(), memory: bandwidth(), threads: rayon::current_num_threads() as f64 }
}

/// Seconds of the quickest of some tries.
fn best(mut what: impl FnMut()) -> f64 {
    let once = |_| {
        let start = Instant::now();
        what();
        start.elapsed().as_secs_f64()
    };
    (0..TRIES).map(once).fold(f64::INFINITY, f64::min)
}

/// Operations a second.
fn product_rate() -> f64 {
    let (a, b, mut c) = (vec![1f32; SIDE * SIDE], vec![1f32; SIDE * SIDE], vec![0f32; SIDE * SIDE]);
    let (rows, cols) = (Offsets::Strided(SIDE as isize), Offsets::Strided(1));
    let product = Product {
        m: SIDE,
        n: SIDE,
        k: SIDE,
        a: Operand { base: a.as_ptr(), rows, cols },
        b: Operand { base: b.as_ptr(), rows, cols },
        c: Some(OperandMut { base: c.as_mut_ptr(), rows, cols }),
        accumulate: false,
        epilogue: None,
        batch: Batch::ONE,
    };
    let threads = rayon::current_num_threads();
    let mut scratch = vec![0f32; scratch_len(SIDE, SIDE, SIDE, threads)];
    // SAFETY: three matrices of SIDE rows and columns, row by row, and scratch of the length asked for.
    let seconds = best(|| unsafe { run(&product, &mut scratch, threads) });
    2.0 * (SIDE * SIDE * SIDE) as f64 / seconds
}

/// Bytes a second, read and written, of a pass that changes numbers in place.
fn bandwidth() -> f64 {
    let mut numbers = vec![1f32; LONG];
    let part = LONG.div_ceil(8 * rayon::current_num_threads());
    let pass = |part: &mut [f32]| part.iter_mut().for_each(|x| *x = *x * 0.5 + 1.0);
    let seconds = best(|| numbers.par_chunks_mut(part).for_each(pass));
    (2 * LONG * size_of::<f32>()) as f64 / seconds
}
