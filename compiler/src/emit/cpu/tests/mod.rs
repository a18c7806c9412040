//! Machine code against the interpreter: every instruction, statement, mode, range and reduction.

mod accuracy;
mod bodies;
mod kernels;
mod loops;
mod scalars;

use super::{Context, compile, compile_for, together, wide};
use crate::graph::{Red, Tables};
use crate::philox;
use crate::plan::interpret::{Leaves, run};
use crate::plan::*;
use gannet_lang::diag::Span;
use gannet_lang::program::{Axis, Dim, DimId, Fun, Hyper, InputId, Size};
use std::sync::Arc;

pub const HYPERS: &[f64] = &[0.25, -1.5];
pub const STEP: f64 = 7.0;
pub const SEED: u64 = 0x1234_5678_9abc;

/// Builds a plan of one traversal over open dims.
pub struct Builder {
    pub plan: Plan,
    pub scope: Scope,
}

impl Builder {
    /// Without buffers, over this many open dims.
    pub fn new(dims: usize) -> Builder {
        let dim = |k: usize| Dim { name: format!("d{k}"), size: Size::Open, span: None };
        let hyper = |k: usize| Hyper { name: format!("h{k}"), default: HYPERS[k] };
        let tables = Tables {
            dims: (0..dims).map(dim).collect(),
            hypers: (0..HYPERS.len()).map(hyper).collect(),
            assumed: vec![64; dims],
            ..Tables::default()
        };
        let plan = Plan {
            tables: Arc::new(tables),
            double: false,
            buffers: vec![],
            kernels: vec![],
            only: vec![],
            sources: vec![],
            outputs: vec![],
        };
        Builder { plan, scope: Scope::default() }
    }

    pub fn buffer(&mut self, kind: Kind, dims: &[u32]) -> BufferId {
        self.repeated(kind, dims, 1)
    }

    /// A buffer with so many times the entries that its dims give.
    pub fn repeated(&mut self, kind: Kind, dims: &[u32], times: i64) -> BufferId {
        let id = BufferId::new(self.plan.buffers.len());
        let axes = dims.iter().map(|d| Axis { dim: DimId(*d), ix: 0 }).collect();
        let home = Home::Input(InputId(id.0));
        let blocks = Some(Blocks { size: 1, extent: Extent::constant(times) });
        self.plan.buffers.push(Buffer { name: format!("buffer{}", id.0), kind, axes, blocks, home });
        id
    }

    pub fn value(&mut self, kind: Kind) -> ValueId {
        self.scope.values.push(kind);
        ValueId::new(self.scope.values.len() - 1)
    }

    pub fn loop_id(&mut self) -> LoopId {
        self.scope.loops.push(format!("i{}", self.scope.loops.len()));
        LoopId::new(self.scope.loops.len() - 1)
    }

    pub fn put(&mut self, body: &mut Vec<Stmt>, kind: Kind, inst: Inst) -> ValueId {
        let v = self.value(kind);
        body.push(Stmt::Let(v, inst));
        v
    }

    pub fn map(&mut self, body: &mut Vec<Stmt>, kind: Kind, fun: Fun, args: &[ValueId]) -> ValueId {
        self.put(body, kind, Inst::Map(fun, args.iter().copied().collect()))
    }

    /// The plan with this loop nest as its only kernel.
    pub fn finish(mut self, outer: Loop) -> Plan {
        let (name, span) = ("kernel".to_string(), Span::default());
        let kernel = Traversal { name, span, scope: self.scope, outer, parallel: true };
        self.plan.kernels.push(Kernel::Traversal(kernel));
        self.plan.only.push(vec![]);
        self.plan
    }
}

pub fn over(id: LoopId, dim: u32, mode: Mode, accs: Vec<Acc>, body: Vec<Stmt>) -> Loop {
    Loop { id, range: Range::Full(size(dim)), mode, accs, body }
}

/// The size of an open dim.
pub fn size(dim: u32) -> Extent {
    Extent { factor: 1, dims: [DimId(dim)].into_iter().collect() }
}

/// An address: loops and their strides.
pub fn at(terms: &[(LoopId, Extent)]) -> Address {
    Address { terms: terms.iter().map(|(l, e)| (Index::Loop(*l), 1, e.clone())).collect(), offset: vec![] }
}

pub fn one() -> Extent {
    Extent::constant(1)
}

/// Memory of a buffer, off by one entry from the alignment of vectors.
struct Bytes {
    memory: Vec<u64>,
    skip: usize,
}

fn width(plan: &Plan, kind: Kind) -> usize {
    match kind {
        Kind::Real if plan.double => 8,
        Kind::Real | Kind::Int => 4,
        Kind::Bool => 1,
    }
}

impl Bytes {
    fn of(plan: &Plan, kind: Kind, values: &[f64], skip: usize) -> Bytes {
        let w = width(plan, kind);
        let mut bytes = vec![0xAAu8; (values.len() + skip + 2) * w + 8];
        for (k, x) in values.iter().enumerate() {
            let to = &mut bytes[(k + skip) * w..][..w];
            match kind {
                Kind::Real if plan.double => to.copy_from_slice(&x.to_le_bytes()),
                Kind::Real => to.copy_from_slice(&(*x as f32).to_le_bytes()),
                Kind::Int => to.copy_from_slice(&(*x as i32).to_le_bytes()),
                Kind::Bool => to[0] = u8::from(*x != 0.0),
            }
        }
        let words = bytes.chunks(8).map(|c| {
            let mut word = [0; 8];
            word[..c.len()].copy_from_slice(c);
            u64::from_le_bytes(word)
        });
        Bytes { memory: words.collect(), skip: skip * w }
    }

    fn pointer(&mut self) -> *mut u8 {
        self.memory.as_mut_ptr().cast::<u8>().wrapping_add(self.skip)
    }

    fn values(&self, plan: &Plan, kind: Kind, count: usize) -> Vec<f64> {
        let bytes: Vec<u8> = self.memory.iter().flat_map(|w| w.to_le_bytes()).collect();
        let w = width(plan, kind);
        let entry = |k: usize| &bytes[self.skip + k * w..][..w];
        (0..count)
            .map(|k| match kind {
                Kind::Real if plan.double => f64::from_le_bytes(entry(k).try_into().unwrap()),
                Kind::Real => f64::from(f32::from_le_bytes(entry(k).try_into().unwrap())),
                Kind::Int => f64::from(i32::from_le_bytes(entry(k).try_into().unwrap())),
                Kind::Bool => f64::from(entry(k)[0]),
            })
            .collect()
    }
}

/// Runs machine code of the first kernel over parts of the outer range; `skip` misaligns all buffers.
pub fn run_code(plan: &Plan, sizes: &[u64], buffers: &[Vec<f64>], parts: &[(i64, i64)], skip: usize) -> Vec<Vec<f64>> {
    let code = compile(plan);
    run_compiled(plan, &code, sizes, buffers, parts, skip)
}

/// As [`run_code`], with the code at hand.
pub fn run_compiled(
    plan: &Plan,
    code: &super::Compiled,
    sizes: &[u64],
    buffers: &[Vec<f64>],
    parts: &[(i64, i64)],
    skip: usize,
) -> Vec<Vec<f64>> {
    let kinds: Vec<Kind> = plan.buffers.iter().map(|b| b.kind).collect();
    let mut memory: Vec<Bytes> = buffers.iter().zip(&kinds).map(|(b, k)| Bytes::of(plan, *k, b, skip)).collect();
    let pointers: Vec<*mut u8> = memory.iter_mut().map(Bytes::pointer).collect();
    let sizes: Vec<i64> = sizes.iter().map(|n| *n as i64).collect();
    let context = Context::new(&pointers, &sizes, HYPERS, STEP, SEED);
    let call = code.traversal(0).expect("a traversal has code");
    for (lo, hi) in parts {
        // SAFETY: the context holds all buffers of the plan, each with all its entries.
        unsafe { call(&context, *lo, *hi) };
    }
    memory.iter().zip(buffers).zip(&kinds).map(|((m, b), k)| m.values(plan, *k, b.len())).collect()
}

pub fn traversal(plan: &Plan) -> &Traversal {
    let Kernel::Traversal(t) = &plan.kernels[0] else { panic!("the kernel is a traversal") };
    t
}

/// What the interpreter makes of the first kernel, from data that the code would be given.
pub fn interpret(plan: &Plan, sizes: &[u64], buffers: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let stored = |x: &f64| if plan.double { *x } else { f64::from(*x as f32) };
    let leaves = Leaves {
        sizes: sizes.to_vec(),
        inputs: buffers.iter().map(|b| b.iter().map(stored).collect()).collect(),
        params: vec![],
        states: vec![],
        args: vec![],
        hypers: HYPERS.to_vec(),
        step: STEP,
        draw: &|dist, site, entry| philox::draw(dist, SEED, site.0, STEP as u32, entry),
    };
    run(plan, &leaves)
}

/// Close enough: equal, both NaN, or within `tolerance` of the larger of 1 and the magnitude.
pub fn close(a: f64, b: f64, tolerance: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0)
}

pub fn assert_close(got: &[Vec<f64>], want: &[Vec<f64>], tolerance: f64, what: &str) {
    for (b, (g, w)) in got.iter().zip(want).enumerate() {
        for (k, (x, y)) in g.iter().zip(w).enumerate() {
            assert!(close(*x, *y, tolerance), "{what}: buffer {b}, entry {k}: code {x}, interpreter {y}");
        }
    }
}

/// Code agrees with the interpreter, and its results depend neither on how the range is split nor on the width of
/// vectors (bit by bit).
pub fn check(plan: &Plan, sizes: &[u64], buffers: &[Vec<f64>], tolerance: f64, what: &str) {
    let n = traversal(plan).outer.range.count(sizes);
    let code = compile(plan);
    let got = run_compiled(plan, &code, sizes, buffers, &[(0, n)], 0);
    assert_close(&got, &interpret(plan, sizes, buffers), tolerance, what);
    let bits = |all: &[Vec<f64>]| -> Vec<u64> { all.iter().flatten().map(|x| x.to_bits()).collect() };
    let wide = usize::from(wide::is_possible() && together(plan, &plan.kernels[0]) == Some(8));
    assert_eq!(code.wide(), wide, "{what}: are its vectors as wide as they can be?");
    let narrow = run_compiled(plan, &compile_for(plan, false), sizes, buffers, &[(0, n)], 0);
    assert_eq!(bits(&got), bits(&narrow), "{what}: vectors of 256 bits against 128");
    for (k, skip) in [(0, 1), (1, 0), (3, 1), (n / 2, 2), (n - 2, 3)] {
        let k = k.clamp(0, n);
        let parts = run_compiled(plan, &code, sizes, buffers, &[(0, k), (k, n)], skip);
        assert_eq!(bits(&got), bits(&parts), "{what}: split at {k} of {n}, moved by {skip}");
    }
}

/// Deterministic numbers for data: a small linear congruential generator.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    /// Multiples of 1/8 in [-4, 4).
    pub fn reals(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.next(64) as f64 / 8.0 - 4.0).collect()
    }

    pub fn below(&mut self, n: usize, below: u64) -> Vec<f64> {
        (0..n).map(|_| self.next(below) as f64).collect()
    }
}

pub fn acc(result: ValueId, red: Red, value: ValueId) -> Acc {
    Acc { result, red, value }
}
