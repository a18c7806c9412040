//! Measures the contraction template: `cargo run --release -p gannet-runtime --example gemm_bench [avx2|portable] [epilogue] [SHAPE..]`.
//! Prints the best and the median GFLOP/s per shape on one thread and on two; with `epilogue`, bias and rectifier are
//! applied to the finished blocks.

use gannet_runtime::device::cpu::contract::{
    Batch, Epilogue, Isa, Offsets, Operand, OperandMut, Product, run_on, scratch_len,
};
use std::time::Instant;

/// A product and whether its operands lie transposed in memory.
struct Shape {
    m: usize,
    n: usize,
    k: usize,
    a_turned: bool,
    b_turned: bool,
}

const fn shape(m: usize, n: usize, k: usize, layout: &str) -> Shape {
    let layout = layout.as_bytes();
    Shape { m, n, k, a_turned: layout[0] == b't', b_turned: layout[1] == b't' }
}

const SHAPES: &[Shape] = &[
    shape(128, 512, 784, "nn"),
    shape(784, 512, 128, "tn"),
    shape(128, 784, 512, "nt"),
    shape(512, 512, 512, "nn"),
    shape(1024, 1024, 1024, "nn"),
    shape(128, 10, 512, "nn"),
    shape(128, 512, 10, "nt"),
    shape(512, 10, 128, "tn"),
    shape(784, 256, 64, "tn"),
    shape(60, 256, 784, "nn"),
    shape(64, 256, 784, "nn"),
    shape(128, 128, 128, "nn"),
    shape(64, 64, 64, "nn"),
    shape(64, 64, 64, "nt"),
    shape(64, 64, 64, "tn"),
    shape(32, 32, 32, "nn"),
    shape(16, 16, 16, "nn"),
    shape(1, 512, 512, "nn"),
    shape(1, 512, 512, "nt"),
    shape(512, 1, 512, "nn"),
    shape(512, 1, 512, "tn"),
    shape(2048, 2048, 2048, "nn"),
    shape(64, 64, 48_810, "tn"),
    shape(48_810, 64, 64, "nn"),
];

/// Numbers from an address at a cache line's start on.
struct Aligned(Vec<f32>);

impl Aligned {
    fn new(len: usize) -> Aligned {
        Aligned((0..len + 16).map(|i| (i * 7 % 13) as f32 - 6.0).collect())
    }

    fn get(&mut self, len: usize) -> &mut [f32] {
        let start = self.0.as_ptr().align_offset(64);
        &mut self.0[start..start + len]
    }
}

/// What the epilogue works on.
struct Output {
    base: *mut f32,
    width: usize,
    bias: Vec<f32>,
}

/// Stores `max(sum + bias, 0)`.
///
/// # Safety
/// `ctx` is an [`Output`] of the product's extents.
unsafe extern "C" fn bias_and_rectifier(ctx: *const u8, tile: *const u8, row: i64, m0: i64, m1: i64, n0: i64, n1: i64) {
    // SAFETY: the block's rows lie in the tile and in the output.
    unsafe {
        let (output, len) = (&*ctx.cast::<Output>(), (n1 - n0) as usize);
        let bias = &output.bias[n0 as usize..n1 as usize];
        for m in m0..m1 {
            let sums = std::slice::from_raw_parts(tile.cast::<f32>().offset(((m - m0) * row) as isize), len);
            let line = output.base.add(m as usize * output.width + n0 as usize);
            let line = std::slice::from_raw_parts_mut(line, len);
            for ((y, sum), bias) in line.iter_mut().zip(sums).zip(bias) {
                let z = sum + bias;
                *y = if z > 0.0 { z } else { 0.0 };
            }
        }
    }
}

fn operand(data: &[f32], turned: bool, rows: usize, cols: usize) -> Operand<'_, f32> {
    let (down, right) = if turned { (1, rows as isize) } else { (cols as isize, 1) };
    Operand { base: data.as_ptr(), rows: Offsets::Strided(down), cols: Offsets::Strided(right) }
}

/// The best and the median GFLOP/s of a shape.
fn measure(isa: Isa, shape: &Shape, threads: usize, fused: bool) -> (f64, f64) {
    let &Shape { m, n, k, a_turned, b_turned } = shape;
    let (mut a, mut b, mut c) = (Aligned::new(m * k), Aligned::new(k * n), Aligned::new(m * n));
    let (a, b, c) = (a.get(m * k), b.get(k * n), c.get(m * n));
    let mut scratch = vec![0.0f32; scratch_len(m, n, k, threads)];
    let (rows, cols) = (Offsets::Strided(n as isize), Offsets::Strided(1));
    let output = Output { base: c.as_mut_ptr(), width: n, bias: vec![0.5; n] };
    let product = Product {
        m,
        n,
        k,
        a: operand(a, a_turned, m, k),
        b: operand(b, b_turned, k, n),
        c: (!fused).then_some(OperandMut { base: c.as_mut_ptr(), rows, cols }),
        accumulate: false,
        epilogue: fused.then_some(Epilogue { call: bias_and_rectifier, ctx: (&raw const output).cast() }),
        batch: Batch::ONE,
    };
    let flops = 2.0 * (m * n * k) as f64;
    let inner = ((2e7 / flops) as usize).max(1);
    let mut samples = Vec::new();
    let start = Instant::now();
    while samples.len() < 20 || start.elapsed().as_secs_f64() < 0.25 {
        let one = Instant::now();
        for _ in 0..inner {
            // SAFETY: the operands were made for these extents.
            unsafe { run_on(isa, &product, &mut scratch, threads) };
        }
        samples.push(flops * inner as f64 / one.elapsed().as_secs_f64() / 1e9);
    }
    samples.sort_by(f64::total_cmp);
    (samples[samples.len() - 1], samples[samples.len() / 2])
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = args.iter().filter(|arg| arg.starts_with(|c: char| c.is_ascii_digit())).collect();
    let isa = match args.iter().find(|arg| ["avx2", "portable"].contains(&arg.as_str())) {
        Some(arg) if arg == "avx2" => Isa::Avx2,
        Some(_) => Isa::Portable,
        None => Isa::detect(),
    };
    let fused = args.iter().any(|arg| arg == "epilogue");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads can be started");
    println!("{isa:?}: GFLOP/s, best / median\n{:24} {:>16} {:>16}", "m x n x k", "1 thread", "2 threads");
    for shape in SHAPES {
        let letter = |turned| if turned { 't' } else { 'n' };
        let layout = format!("{}{}", letter(shape.a_turned), letter(shape.b_turned));
        let name = format!("{}x{}x{} {layout}", shape.m, shape.n, shape.k);
        if !filters.is_empty() && !filters.iter().any(|filter| name.starts_with(filter.as_str())) {
            continue;
        }
        let [one, two] = [1, 2].map(|threads| pool.install(|| measure(isa, shape, threads, fused)));
        println!("{name:24} {:7.1} /{:7.1} {:7.1} /{:7.1}", one.0, one.1, two.0, two.1);
    }
}
