//! The driver: which way round a product is computed, and which thread computes what.
//! Law: threads share no sum; a region of the result belongs to one thread.

use super::block::{self, FLIP, Region, Scratch, Single, scratch_per_thread};
use super::finish::finish;
use super::kernel::{Element, Kernels};
use super::{Isa, Offsets, OperandMut, Product, skinny};

/// Floating-point operations that are worth a thread of their own: 3 to 6 µs of one core with wide vectors. Where the pool
/// is awake, two threads break even at 0.8 million together.
const GRAIN: f64 = 0.6e6;

/// How many elements of scratch a product of this size needs on this many threads.
pub fn scratch_len(m: usize, n: usize, k: usize, threads: usize) -> usize {
    threads.max(1) * scratch_per_thread(m, n, k) + partials_len(m, n, k) + ALIGN
}

/// Elements lost at most when scratch is aligned to cache lines.
const ALIGN: usize = 16;

/// Into how many parts a sum is cut that is long beside a small result, so that several threads can share it. The cut
/// depends on the shape alone, so it is made on one thread too.
fn splits(m: usize, n: usize, k: usize) -> usize {
    if m * n <= 1 << 14 && k >= 4096 { (k / 2048).min(16) } else { 1 }
}

/// Elements of the partial results of a split sum.
fn partials_len(m: usize, n: usize, k: usize) -> usize {
    if splits(m, n, k) > 1 { splits(m, n, k) * m * n } else { 0 }
}

/// Computes a product with the best kernels of this machine, on at most `threads` threads of the current rayon pool.
/// Called from within the pool it allocates nothing.
///
/// # Safety
/// Every element of the operands that the extents, offsets and batch name is readable, every one of the result
/// writable and named once; operands, result and scratch do not overlap; the epilogue may be called from any thread.
///
/// # Panics
/// When the scratch is shorter than [`scratch_len`], a table is shorter than its axis, or not exactly one of result
/// and epilogue is given.
pub unsafe fn run<T: Element>(p: &Product<T>, scratch: &mut [T], threads: usize) {
    // SAFETY: the caller's contract.
    unsafe { run_on(Isa::detect(), p, scratch, threads) }
}

/// [`run`] with the kernels of a given instruction set.
///
/// # Safety
/// As [`run`], and the machine has the instruction set.
///
/// # Panics
/// As [`run`].
pub unsafe fn run_on<T: Element>(isa: Isa, p: &Product<T>, scratch: &mut [T], threads: usize) {
    assert!(p.c.is_some() != p.epilogue.is_some(), "a product has either a result or an epilogue");
    assert!(scratch.len() >= scratch_len(p.m, p.n, p.k, threads), "scratch of a product is too short");
    if p.m == 0 || p.n == 0 || p.batch.count == 0 {
        return;
    }
    let base = scratch.as_mut_ptr();
    let base = base.wrapping_add(base.align_offset(64).min(ALIGN));
    let per_thread = scratch_per_thread(p.m, p.n, p.k);
    let partials = base.wrapping_add(threads.max(1) * per_thread);
    let job = Job { p, kernels: T::kernels(isa), scratch: base, per_thread, partials };
    let flops = 2.0 * p.m as f64 * p.n as f64 * p.k as f64 * p.batch.count as f64;
    let parts = ((flops / GRAIN) as usize).clamp(1, threads.max(1));
    let splits = splits(p.m, p.n, p.k);
    // SAFETY: the caller's contract; the parts of a job share neither results nor scratch.
    unsafe {
        if p.batch.count == 1 && splits > 1 {
            let parts = parts.min(splits);
            each(0..parts, &|part| job.split(part, parts, splits));
            job.combine(splits);
        } else if p.batch.count >= parts {
            each(0..parts, &|part| job.batch(part, parts));
        } else {
            for i in 0..p.batch.count {
                let grid = job.grid(parts);
                each(0..parts, &|part| job.part(i, part, grid));
            }
        }
    }
}

/// Runs `f` for every number of a range, each as an item of its own for the thread pool.
fn each(range: std::ops::Range<usize>, f: &(impl Fn(usize) + Sync)) {
    if range.len() <= 1 {
        range.for_each(f);
    } else {
        let middle = range.start + range.len() / 2;
        rayon::join(|| each(range.start..middle, f), || each(middle..range.end, f));
    }
}

/// A product and where to compute it.
struct Job<'j, 'a, T: 'static> {
    p: &'j Product<'a, T>,
    kernels: &'static Kernels<T>,
    scratch: *mut T,
    per_thread: usize,
    /// The results of the parts of a split sum, one after the other.
    partials: *mut T,
}

// SAFETY: whoever calls `run` vouches for the addresses; parts write to disjoint places.
unsafe impl<T: Sync> Sync for Job<'_, '_, T> {}

impl<'a, T: Element> Job<'_, 'a, T> {
    /// Product `i` of the batch.
    fn single(&self, i: usize) -> Single<'a, T> {
        let p = self.p;
        let c = p.c.as_ref().map(|c| OperandMut::of(c.shape().normal(p.m, p.n).moved(p.batch.c.at(i))));
        Single {
            m: p.m,
            n: p.n,
            k: p.k,
            a: p.a.normal(p.m, p.k).moved(p.batch.a.at(i)),
            b: p.b.normal(p.k, p.n).moved(p.batch.b.at(i)),
            c,
            accumulate: p.accumulate,
            epilogue: p.epilogue,
            first_row: i * p.m,
            flipped: false,
        }
    }

    /// The product with rows and columns exchanged where that is better: for a result that runs along its rows, for
    /// columns that would leave vectors half empty where rows would not, and where it spares a transposition.
    fn oriented(&self, s: Single<'a, T>) -> Single<'a, T> {
        let vectors = |rows: usize, cols: usize| rows * cols.div_ceil(self.kernels.lanes);
        let narrow = s.n < FLIP && s.m > FLIP && s.a.rows.is_unit() && 5 * vectors(s.n, s.m) < 4 * vectors(s.m, s.n);
        // A wide `B` that runs along the sum would be transposed to be packed, for the sake of few rows.
        let across = s.b.rows.is_unit() && !s.b.cols.is_unit() && s.a.cols.is_unit();
        let wide = across && s.m <= FLIP && s.n >= 8 * s.m && 10 * vectors(s.n, s.m) <= 11 * vectors(s.m, s.n);
        let turned = s.c.as_ref().is_some_and(|c| c.rows.is_unit() && !c.cols.is_unit());
        if !skinny::applies(&s) && (narrow || wide || turned) { s.transposed() } else { s }
    }

    /// How many ways the rows and the columns are cut for `parts` threads, such that little is packed twice.
    fn grid(&self, parts: usize) -> (usize, usize) {
        let s = self.oriented(self.single(0));
        if skinny::applies(&s) {
            return if s.m >= s.n { (parts, 1) } else { (1, parts) };
        }
        let cost = |(down, across): (usize, usize)| {
            let (rows, cols) = (s.m.div_ceil(down), s.n.div_ceil(across).next_multiple_of(UNIT.min(s.n)));
            rows * cols / 16 + rows + cols
        };
        let grids = (1..=parts).filter(|down| parts.is_multiple_of(*down)).map(|down| (down, parts / down));
        grids.min_by_key(|&grid| cost(grid)).unwrap_or((1, 1))
    }

    unsafe fn part(&self, i: usize, part: usize, (down, across): (usize, usize)) {
        let s = self.oriented(self.single(i));
        let (row, col) = (part / across, part % across);
        let units = s.n.div_ceil(UNIT);
        let cut = |col: usize| (units * col / across * UNIT).min(s.n);
        let region = Region { rows: s.m * row / down..s.m * (row + 1) / down, cols: cut(col)..cut(col + 1) };
        // SAFETY: regions of different parts are disjoint.
        unsafe { self.compute(&s, &region, part) };
    }

    unsafe fn batch(&self, part: usize, parts: usize) {
        let count = self.p.batch.count;
        for i in count * part / parts..count * (part + 1) / parts {
            let s = self.oriented(self.single(i));
            // SAFETY: products of different parts are different ones.
            unsafe { self.compute(&s, &Region { rows: 0..s.m, cols: 0..s.n }, part) };
        }
    }

    /// Computes one thread's share of the parts of a split sum.
    unsafe fn split(&self, part: usize, parts: usize, splits: usize) {
        let whole = self.single(0);
        for i in splits * part / parts..splits * (part + 1) / parts {
            let range = whole.k * i / splits..whole.k * (i + 1) / splits;
            let base = self.partials.wrapping_add(i * whole.m * whole.n);
            let c = OperandMut { base, rows: Offsets::Strided(whole.n as isize), cols: Offsets::Strided(1) };
            let s = self.oriented(Single {
                k: range.len(),
                a: whole.a.block(0, range.start),
                b: whole.b.block(range.start, 0),
                c: Some(c),
                accumulate: false,
                epilogue: None,
                ..whole
            });
            // SAFETY: each part of the sum has a result of its own.
            unsafe { self.compute(&s, &Region { rows: 0..s.m, cols: 0..s.n }, part) };
        }
    }

    /// Adds the parts of a split sum in ascending order and finishes the result.
    unsafe fn combine(&self, splits: usize) {
        let s = self.single(0);
        let len = s.m * s.n;
        // SAFETY: the scratch holds this many elements there, and the parts are all computed.
        unsafe {
            let (sum, rest) = std::slice::from_raw_parts_mut(self.partials, splits * len).split_at_mut(len);
            for part in rest.chunks_exact(len) {
                sum.iter_mut().zip(part).for_each(|(sum, &x)| *sum = *sum + x);
            }
            let scratch = Scratch::new(self.scratch, (s.m, s.n, s.k));
            let region = Region { rows: 0..s.m, cols: 0..s.n };
            finish(&s, self.kernels, &region, (self.partials, s.n as isize, 1), &scratch);
        }
    }

    unsafe fn compute(&self, s: &Single<T>, region: &Region, part: usize) {
        if region.rows.is_empty() || region.cols.is_empty() {
            return;
        }
        let scratch = Scratch::new(self.scratch.wrapping_add(part * self.per_thread), (s.m, s.n, s.k));
        // SAFETY: the caller's contract.
        unsafe {
            if skinny::applies(s) {
                skinny::region(s, self.kernels, region, &scratch);
            } else {
                block::region(s, self.kernels, region, &scratch);
            }
        }
    }
}

/// Columns are cut between threads at multiples of this.
const UNIT: usize = 32;
