//! Products of random shapes and layouts against plain loops in double precision.

use super::{Batch, Element, Epilogue, Isa, Offsets, Operand, OperandMut, Product, run_on, scratch_len};

/// A small generator of pseudo-random numbers (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 11) as usize % n.max(1)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    }
}

/// Converts to and from what the plain loops use.
trait Number: Element {
    const EPSILON: f64;
    fn from_f64(x: f64) -> Self;
    fn to_f64(self) -> f64;
    fn bits(self) -> u64;
}

impl Number for f32 {
    const EPSILON: f64 = f32::EPSILON as f64;
    fn from_f64(x: f64) -> f32 {
        x as f32
    }
    fn to_f64(self) -> f64 {
        self.into()
    }
    fn bits(self) -> u64 {
        self.to_bits().into()
    }
}

impl Number for f64 {
    const EPSILON: f64 = f64::EPSILON;
    fn from_f64(x: f64) -> f64 {
        x
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn bits(self) -> u64 {
        self.to_bits()
    }
}

/// How a matrix lies in memory.
#[derive(Clone, Copy, Debug)]
enum Layout {
    /// Rows contiguous.
    Rows,
    /// Columns contiguous.
    Columns,
    /// Neither contiguous.
    Spread,
    /// Rows anywhere, contiguous inside.
    GatheredRows,
    /// Columns anywhere, contiguous inside.
    GatheredColumns,
    /// Elements anywhere.
    Gathered,
    /// Rows in reverse order.
    Backwards,
    /// Windows: columns in runs that lie side by side.
    Runs,
    /// Windows turned over: rows in such runs.
    TurnedRuns,
}

const LAYOUTS: [Layout; 9] = [
    Layout::Rows,
    Layout::Columns,
    Layout::Spread,
    Layout::GatheredRows,
    Layout::GatheredColumns,
    Layout::Gathered,
    Layout::Backwards,
    Layout::Runs,
    Layout::TurnedRuns,
];

/// One axis of a matrix in memory: a stride or a table.
#[derive(Debug)]
enum Axis {
    Stride(isize),
    Table(Vec<i64>),
}

impl Axis {
    fn offsets(&self) -> Offsets<'_> {
        match self {
            Axis::Stride(stride) => Offsets::Strided(*stride),
            Axis::Table(table) => Offsets::Table(table),
        }
    }
}

/// A matrix with its memory.
struct Matrix<T> {
    memory: Vec<T>,
    start: usize,
    rows: Axis,
    cols: Axis,
}

impl<T: Number> Matrix<T> {
    fn new(random: &mut Random, layout: Layout, rows: usize, cols: usize, copies: usize) -> Matrix<T> {
        let pad = random.below(5);
        let mut shuffled = |len: usize, stride: usize| {
            let mut table: Vec<i64> = (0..len).map(|i| (i * stride) as i64).collect();
            (1..len).rev().for_each(|i| table.swap(i, random.below(i + 1)));
            Axis::Table(table)
        };
        let (wide, high) = (cols + pad, rows + pad);
        let run = 1 + 3 * pad;
        let runs = |len: usize| Axis::Table((0..len).map(|i| (i + i / run * 2) as i64).collect());
        let (row_axis, col_axis, start) = match layout {
            Layout::Rows => (Axis::Stride(wide as isize), Axis::Stride(1), 0),
            Layout::Columns => (Axis::Stride(1), Axis::Stride(high as isize), 0),
            Layout::Spread => (Axis::Stride(3 * wide as isize), Axis::Stride(3), 0),
            Layout::GatheredRows => (shuffled(rows, wide), Axis::Stride(1), 0),
            Layout::GatheredColumns => (Axis::Stride(1), shuffled(cols, high), 0),
            Layout::Gathered => (shuffled(rows, wide), shuffled(cols, 1), 0),
            Layout::Backwards => (Axis::Stride(-(wide as isize)), Axis::Stride(1), wide * rows.saturating_sub(1)),
            Layout::Runs => (Axis::Stride(3 * wide as isize), runs(cols), 0),
            Layout::TurnedRuns => (runs(rows), Axis::Stride(3 * high as isize), 0),
        };
        let len = Self::step(rows, cols) * copies + 1;
        let memory = (0..len).map(|_| T::from_f64(random.unit())).collect();
        Matrix { memory, start, rows: row_axis, cols: col_axis }
    }

    /// The distance of copies in a batch.
    fn step(rows: usize, cols: usize) -> usize {
        3 * (rows + 5) * (cols + 5)
    }

    fn operand(&self) -> Operand<'_, T> {
        let base = self.memory.as_ptr().wrapping_add(self.start);
        Operand { base, rows: self.rows.offsets(), cols: self.cols.offsets() }
    }

    fn place(&self, copy: usize, step: usize, i: usize, j: usize) -> usize {
        let offset = self.rows.offsets().at(i) + self.cols.offsets().at(j);
        (self.start + copy * step).wrapping_add_signed(offset)
    }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    m: usize,
    n: usize,
    k: usize,
    layouts: [Layout; 3],
    accumulate: bool,
    epilogue: bool,
    count: usize,
}

/// Where the test's epilogue puts what it is handed: a dense matrix of the whole batch.
struct Sink<T> {
    out: *mut T,
    n: usize,
}

unsafe extern "C" fn drain<T: Number>(ctx: *const u8, tile: *const u8, row: i64, m0: i64, m1: i64, n0: i64, n1: i64) {
    // SAFETY: `check` passes a `Sink` of this type, and tiles do not overlap.
    unsafe {
        let (sink, tile) = (&*ctx.cast::<Sink<T>>(), tile.cast::<T>());
        for m in m0..m1 {
            for n in n0..n1 {
                let at = sink.out.offset((m * sink.n as i64 + n) as isize);
                *at = *at + *tile.offset(((m - m0) * row + (n - n0)) as isize);
            }
        }
    }
}

/// Runs a case on one, two and three threads and gives the dense results, which must have equal bits.
fn computed<T: Number>(isa: Isa, case: &Case, a: &Matrix<T>, b: &Matrix<T>, c: &Matrix<T>) -> Vec<T> {
    let Case { m, n, k, accumulate, count, .. } = *case;
    let steps = [(m, k), (k, n), (m, n)].map(|(rows, cols)| Matrix::<T>::step(rows, cols));
    let [sa, sb, sc] = steps.map(|step| Offsets::Strided(step as isize));
    let mut first: Option<Vec<T>> = None;
    for threads in 1..=3 {
        let mut memory = c.memory.clone();
        let mut dense = vec![T::default(); m * n * count];
        let sink = Sink { out: dense.as_mut_ptr(), n };
        let base = memory.as_mut_ptr().wrapping_add(c.start);
        let epilogue = Epilogue { call: drain::<T>, ctx: (&raw const sink).cast() };
        let product = Product {
            m,
            n,
            k,
            a: a.operand(),
            b: b.operand(),
            c: (!case.epilogue).then_some(OperandMut { base, rows: c.rows.offsets(), cols: c.cols.offsets() }),
            accumulate,
            epilogue: case.epilogue.then_some(epilogue),
            batch: Batch { count, a: sa, b: sb, c: sc },
        };
        let mut scratch = vec![T::from_f64(f64::NAN); scratch_len(m, n, k, threads)];
        // SAFETY: the matrices were made for these extents.
        unsafe { run_on(isa, &product, &mut scratch, threads) };
        if !case.epilogue {
            let places = (0..m * n * count).map(|i| c.place(i / (m * n), steps[2], i / n % m, i % n));
            let places: Vec<usize> = places.collect();
            places.iter().zip(&mut dense).for_each(|(&place, x)| *x = memory[place]);
            places.iter().for_each(|&place| memory[place] = c.memory[place]);
            let same = memory.iter().zip(&c.memory).all(|(x, y)| x.bits() == y.bits());
            assert!(same, "{isa:?} {case:?}: something beside the result was written");
        }
        match &first {
            None => first = Some(dense),
            Some(one) => {
                let same = dense.iter().zip(one).all(|(x, y)| x.bits() == y.bits());
                assert!(same, "{isa:?} {case:?}: {threads} threads give other bits than one");
            }
        }
    }
    first.expect("three runs were made")
}

fn check<T: Number>(random: &mut Random, case: Case) {
    let Case { m, n, k, layouts, count, .. } = case;
    let a = Matrix::<T>::new(random, layouts[0], m, k, count);
    let b = Matrix::<T>::new(random, layouts[1], k, n, count);
    let c = Matrix::<T>::new(random, layouts[2], m, n, count);
    let steps = [(m, k), (k, n), (m, n)].map(|(rows, cols)| Matrix::<T>::step(rows, cols));
    for isa in Isa::available() {
        let results = computed(isa, &case, &a, &b, &c);
        for (i, result) in results.iter().enumerate() {
            let (copy, row, col) = (i / (m * n), i / n % m, i % n);
            let start = if case.accumulate && !case.epilogue {
                c.memory[c.place(copy, steps[2], row, col)].to_f64()
            } else {
                0.0
            };
            let product = |l: usize| {
                a.memory[a.place(copy, steps[0], row, l)].to_f64() * b.memory[b.place(copy, steps[1], l, col)].to_f64()
            };
            let sum = (0..k).map(product).sum::<f64>() + start;
            let bound = T::EPSILON * ((0..k).map(|l| product(l).abs()).sum::<f64>() + 1.0) * (4.0 + (k as f64).sqrt());
            let error = (result.to_f64() - sum).abs();
            assert!(error <= bound, "{isa:?} {case:?}: ({copy}, {row}, {col}) is {result:?}, not {sum}");
        }
    }
}

fn case(random: &mut Random, (m, n, k): (usize, usize, usize)) -> Case {
    let layouts = std::array::from_fn(|_| LAYOUTS[random.below(LAYOUTS.len())]);
    let count = if random.below(4) == 0 { random.below(4) } else { 1 };
    Case { m, n, k, layouts, accumulate: random.below(2) == 0, epilogue: random.below(3) == 0, count }
}

/// Extents around what the kernels and blocks are cut at.
const EXTENTS: [usize; 24] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 27, 28, 29, 31, 32, 33, 65];

#[test]
fn small_shapes_in_all_layouts() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..1500 {
        let [m, n, k] = std::array::from_fn(|_| EXTENTS[random.below(EXTENTS.len())]);
        let case = case(&mut random, (m, n, k));
        check::<f32>(&mut random, case);
        check::<f64>(&mut random, case);
    }
}

#[test]
fn every_combination_of_layouts() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for i in 0..LAYOUTS.len().pow(3) {
        let count = LAYOUTS.len();
        let layouts = [i, i / count, i / count / count].map(|i| LAYOUTS[i % count]);
        for (m, n, k) in [(37, 41, 19), (3, 150, 40), (90, 2, 70), (20, 90, 5)] {
            let case = Case { layouts, ..case(&mut random, (m, n, k)) };
            check::<f32>(&mut random, case);
        }
    }
}

#[test]
fn shapes_beyond_one_block() {
    let mut random = Random(0x1234_5678_9abc_def1);
    for shape in [(230, 40, 330), (30, 530, 650), (1, 1100, 700), (1100, 1, 700), (240, 520, 10), (5, 300, 1000)] {
        for _ in 0..4 {
            let case = case(&mut random, shape);
            check::<f32>(&mut random, case);
        }
        let case = case(&mut random, shape);
        check::<f64>(&mut random, case);
    }
}

#[test]
fn shapes_worth_several_threads() {
    let mut random = Random(0xdead_beef_cafe_f00d);
    for shape in [(128, 130, 140), (500, 10, 512), (10, 500, 512), (2, 900, 900), (900, 3, 900), (64, 2000, 17)] {
        for _ in 0..3 {
            let case = case(&mut random, shape);
            check::<f32>(&mut random, case);
        }
    }
}

#[test]
fn long_sums_beside_small_results() {
    let mut random = Random(0x7777_1234_4321_7777);
    for shape in [(30, 20, 5000), (1, 40, 4100), (3, 2, 9000), (100, 16, 4096), (20, 10, 34_000)] {
        for _ in 0..3 {
            let case = case(&mut random, shape);
            check::<f32>(&mut random, case);
        }
    }
}

#[test]
fn batches_worth_several_threads() {
    let mut random = Random(0x0bad_5eed_0bad_5eed);
    for count in [2, 3, 7, 40] {
        let case = Case { count, ..case(&mut random, (60, 50, 70)) };
        check::<f32>(&mut random, case);
    }
}

#[test]
fn panels_cover_the_rows() {
    for most in 1..15 {
        for rows in 1..100 {
            let panels = super::pack::Panels::new(rows, most);
            let mut next = 0;
            for (row, height) in (0..panels.count).map(|i| panels.get(i)) {
                assert_eq!(row, next);
                assert!(height >= 1 && height <= panels.height && panels.height <= most);
                next = row + height;
            }
            assert_eq!(next, rows);
        }
    }
}
