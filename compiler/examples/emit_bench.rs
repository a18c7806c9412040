//! Times compiled bodies against plain Rust loops: Adam on 16 K and 10 M parameters, exp, softmax of rows, and how long
//! compiling them takes. Run with `cargo run --release -p gannet-compiler --example emit_bench`.

use gannet_compiler::emit::cpu::{Compiled, Context, compile};
use gannet_compiler::graph::{Red, Tables};
use gannet_compiler::plan::*;
use gannet_lang::diag::Span;
use gannet_lang::program::{Axis, Dim, DimId, Dist, Fun, Hyper, HyperId, InputId, SiteId, Size};
use std::sync::Arc;
use std::time::Instant;

struct Builder {
    plan: Plan,
    scope: Scope,
}

impl Builder {
    fn new(dims: usize, hypers: usize) -> Builder {
        let dim = |k: usize| Dim { name: format!("d{k}"), size: Size::Open, span: None };
        let hyper = |k: usize| Hyper { name: format!("h{k}"), default: 0.0 };
        let (dims, hypers) = ((0..dims).map(dim).collect(), (0..hypers).map(hyper).collect());
        let tables = Arc::new(Tables { dims, hypers, ..Tables::default() });
        let plan = Plan {
            tables,
            double: false,
            buffers: vec![],
            kernels: vec![],
            only: vec![],
            sources: vec![],
            outputs: vec![],
        };
        Builder { plan, scope: Scope::default() }
    }

    fn buffer(&mut self, dims: &[u32]) -> BufferId {
        let id = BufferId::new(self.plan.buffers.len());
        let axes = dims.iter().map(|d| Axis { dim: DimId(*d), ix: 0 }).collect();
        let (name, home) = (format!("b{}", id.0), Home::Input(InputId(id.0)));
        self.plan.buffers.push(Buffer { name, kind: Kind::Real, axes, blocks: None, home });
        id
    }

    fn value(&mut self) -> ValueId {
        self.scope.values.push(Kind::Real);
        ValueId::new(self.scope.values.len() - 1)
    }

    fn looped(
        &mut self,
        dim: u32,
        mode: Mode,
        body: impl FnOnce(&mut Builder, LoopId) -> (Vec<Stmt>, Vec<Acc>),
    ) -> Loop {
        let id = LoopId::new(self.scope.loops.len());
        self.scope.loops.push(format!("i{}", id.0));
        let (body, accs) = body(self, id);
        Loop { id, range: Range::Full(size(dim)), mode, accs, body }
    }

    fn put(&mut self, body: &mut Vec<Stmt>, inst: Inst) -> ValueId {
        let v = self.value();
        body.push(Stmt::Let(v, inst));
        v
    }

    fn map(&mut self, body: &mut Vec<Stmt>, fun: Fun, args: &[ValueId]) -> ValueId {
        self.put(body, Inst::Map(fun, args.iter().copied().collect()))
    }

    fn finish(mut self, outer: Loop) -> Plan {
        let (name, span) = ("kernel".into(), Span::default());
        self.plan.kernels.push(Kernel::Traversal(Traversal { name, span, scope: self.scope, outer, parallel: true }));
        self.plan.only.push(vec![]);
        self.plan
    }
}

fn size(dim: u32) -> Extent {
    Extent { factor: 1, dims: [DimId(dim)].into_iter().collect() }
}

fn at(terms: &[(LoopId, Extent)]) -> Address {
    Address { terms: terms.iter().map(|(l, e)| (Index::Loop(*l), 1, e.clone())).collect(), offset: vec![] }
}

/// Buffers p, g, m, v; hyperparameters beta1, 1 - beta1, beta2, 1 - beta2, -rate / correction1, 1 / correction2, epsilon.
fn adam() -> Plan {
    let mut b = Builder::new(1, 7);
    let [p, g, m, v] = [(); 4].map(|()| b.buffer(&[0]));
    let outer = b.looped(0, Mode::Vector, |b, i| {
        let mut s = vec![];
        let e = at(&[(i, Extent::constant(1))]);
        let [xp, xg, xm, xv] = [p, g, m, v].map(|x| b.put(&mut s, Inst::Load(x, e.clone())));
        let h: Vec<ValueId> = (0..7).map(|k| b.put(&mut s, Inst::Hyper(HyperId(k)))).collect();
        let m1 = b.map(&mut s, Fun::Mul, &[h[0], xm]);
        let m2 = b.map(&mut s, Fun::Mul, &[h[1], xg]);
        let m3 = b.map(&mut s, Fun::Add, &[m1, m2]);
        let v1 = b.map(&mut s, Fun::Mul, &[h[2], xv]);
        let v2 = b.map(&mut s, Fun::Mul, &[h[3], xg, xg]);
        let v3 = b.map(&mut s, Fun::Add, &[v1, v2]);
        let r = b.map(&mut s, Fun::Mul, &[v3, h[5]]);
        let r = b.map(&mut s, Fun::Sqrt, &[r]);
        let r = b.map(&mut s, Fun::Add, &[r, h[6]]);
        let r = b.map(&mut s, Fun::Recip, &[r]);
        let d = b.map(&mut s, Fun::Mul, &[h[4], m3, r]);
        let y = b.map(&mut s, Fun::Add, &[xp, d]);
        s.extend([(p, y), (m, m3), (v, v3)].map(|(to, x)| Stmt::Store(to, e.clone(), x)));
        (s, vec![])
    });
    b.finish(outer)
}

fn pointwise(fun: Fun) -> Plan {
    let mut b = Builder::new(1, 0);
    let (x, y) = (b.buffer(&[0]), b.buffer(&[0]));
    let outer = b.looped(0, Mode::Vector, |b, i| {
        let mut s = vec![];
        let e = at(&[(i, Extent::constant(1))]);
        let v = b.put(&mut s, Inst::Load(x, e.clone()));
        let v = b.map(&mut s, fun, &[v]);
        s.push(Stmt::Store(y, e, v));
        (s, vec![])
    });
    b.finish(outer)
}

fn softmax() -> Plan {
    let mut b = Builder::new(2, 0);
    let (x, y) = (b.buffer(&[0, 1]), b.buffer(&[0, 1]));
    let outer = b.looped(0, Mode::Serial, |b, i| {
        let e = |j| at(&[(i, size(1)), (j, Extent::constant(1))]);
        let (most, total) = (b.value(), b.value());
        let first = b.looped(1, Mode::Vector, |b, j| {
            let mut s = vec![];
            let v = b.put(&mut s, Inst::Load(x, e(j)));
            (s, vec![Acc { result: most, red: Red::Max, value: v }])
        });
        let minus = b.value();
        let second = b.looped(1, Mode::Vector, |b, j| {
            let mut s = vec![];
            let v = b.put(&mut s, Inst::Load(x, e(j)));
            let v = b.map(&mut s, Fun::Add, &[v, minus]);
            let v = b.map(&mut s, Fun::Exp, &[v]);
            s.push(Stmt::Store(y, e(j), v));
            (s, vec![Acc { result: total, red: Red::Sum, value: v }])
        });
        let mut body = vec![Stmt::Loop(first), Stmt::Let(minus, Inst::Map(Fun::Neg, [most].into_iter().collect()))];
        body.push(Stmt::Loop(second));
        let scale = b.map(&mut body, Fun::Recip, &[total]);
        let third = b.looped(1, Mode::Vector, |b, j| {
            let mut s = vec![];
            let v = b.put(&mut s, Inst::Load(y, e(j)));
            let v = b.map(&mut s, Fun::Mul, &[v, scale]);
            s.push(Stmt::Store(y, e(j), v));
            (s, vec![])
        });
        body.push(Stmt::Loop(third));
        (body, vec![])
    });
    b.finish(outer)
}

/// Best of several runs, in nanoseconds.
fn best(runs: usize, mut f: impl FnMut()) -> f64 {
    let time = |f: &mut dyn FnMut()| {
        let start = Instant::now();
        f();
        start.elapsed().as_nanos() as f64
    };
    (0..runs).map(|_| time(&mut f)).fold(f64::INFINITY, f64::min)
}

fn compiled(name: &str, plan: &Plan) -> Compiled {
    let code = compile(plan);
    let time = best(20, || drop(compile(plan)));
    println!("{name}: compiled in {:.0} us, {} bytes", time / 1e3, code.code_bytes().len());
    code
}

const BETA: [f64; 7] = [0.9, 0.1, 0.999, 0.001, -0.001, 1.0, 1e-8];

/// Splits `0..n` in two parts, run by two threads.
fn on_two_threads(n: usize, f: impl Fn(usize, usize) + Sync) {
    let half = (n / 2).next_multiple_of(16).min(n);
    std::thread::scope(|s| {
        s.spawn(|| f(half, n));
        f(0, half);
    });
}

struct Shared<'a>(&'a [*mut f32]);
// SAFETY: the two threads touch different entries.
unsafe impl Sync for Shared<'_> {}

/// # Safety
/// The four arrays have at least `hi` entries.
#[inline(never)]
unsafe fn adam_by_hand(a: &Shared, lo: usize, hi: usize) {
    let h = BETA.map(|x| x as f32);
    // SAFETY: as the caller promises; the arrays are different.
    let [p, g, m, v] = [0, 1, 2, 3].map(|k| unsafe { std::slice::from_raw_parts_mut(a.0[k].add(lo), hi - lo) });
    for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
        *m = h[0] * *m + h[1] * *g;
        *v = h[2] * *v + h[3] * *g * *g;
        *p += h[4] * *m / ((*v * h[5]).sqrt() + h[6]);
    }
}

fn bench_adam(n: usize, runs: usize, code: &Compiled) {
    let mut arrays: Vec<Vec<f32>> = (0..4).map(|k| vec![0.01 * (k + 1) as f32; n]).collect();
    let pointers: Vec<*mut f32> = arrays.iter_mut().map(|a| a.as_mut_ptr()).collect();
    let bytes: Vec<*mut u8> = pointers.iter().map(|p| p.cast()).collect();
    let sizes = [n as i64];
    let context = Context::new(&bytes, &sizes, &BETA, 1.0, 0);
    let call = code.traversal(0).expect("a traversal has code");
    let shared = Shared(&pointers);
    // SAFETY: buffers hold n entries; parts are disjoint.
    let jit = |lo: usize, hi: usize| unsafe { call(&context, lo as i64, hi as i64) };
    // SAFETY: as above.
    let hand = |lo: usize, hi: usize| unsafe { adam_by_hand(&shared, lo, hi) };
    let (a, b) = (best(runs, || jit(0, n)), best(runs, || hand(0, n)));
    println!("adam {n}: code {:.3} ns, Rust {:.3} ns an entry", a / n as f64, b / n as f64);
    if n > 1 << 20 {
        let (a, b) = (best(runs, || on_two_threads(n, jit)), best(runs, || on_two_threads(n, hand)));
        let rate = |t: f64| 28.0 * n as f64 / t;
        println!(
            "adam {n}, two threads: code {:.2} ms ({:.1} GB/s), Rust {:.2} ms ({:.1} GB/s)",
            a / 1e6,
            rate(a),
            b / 1e6,
            rate(b)
        );
    }
}

fn bench_pointwise(fun: Fun, by_hand: fn(f32) -> f32) {
    let code = compiled(&format!("{fun:?}"), &pointwise(fun));
    let n = 4096usize;
    let mut x: Vec<f32> = (0..n).map(|k| k as f32 / 512.0 - 4.0).collect();
    if matches!(fun, Fun::Log) {
        x.iter_mut().for_each(|x| *x = x.abs() + 0.1);
    }
    let mut y = vec![0f32; n];
    let pointers = [x.as_mut_ptr().cast::<u8>(), y.as_mut_ptr().cast()];
    let sizes = [n as i64];
    let context = Context::new(&pointers, &sizes, &[], 1.0, 0);
    let call = code.traversal(0).expect("a traversal has code");
    // SAFETY: both buffers hold n entries.
    let a = best(2000, || unsafe { call(&context, 0, n as i64) });
    let b = best(200, || {
        for (x, y) in x.iter().zip(&mut y) {
            *y = by_hand(*x);
        }
        std::hint::black_box(&y);
    });
    println!("{fun:?}: code {:.3} ns, Rust {:.3} ns an entry", a / n as f64, b / n as f64);
}

/// `y[i] = a draw`.
fn draws(dist: Dist) -> Plan {
    let mut b = Builder::new(1, 0);
    let y = b.buffer(&[0]);
    let outer = b.looped(0, Mode::Vector, |b, i| {
        let mut s = vec![];
        let e = at(&[(i, Extent::constant(1))]);
        let v = b.put(&mut s, Inst::Random(dist, SiteId(0), e.clone()));
        s.push(Stmt::Store(y, e, v));
        (s, vec![])
    });
    b.finish(outer)
}

fn bench_draws() {
    for dist in [Dist::Uniform, Dist::Normal] {
        let code = compile(&draws(dist));
        let n = 4096usize;
        let mut y = vec![0f32; n];
        let pointers = [y.as_mut_ptr().cast::<u8>()];
        let sizes = [n as i64];
        let context = Context::new(&pointers, &sizes, &[], 1.0, 0);
        let call = code.traversal(0).expect("a traversal has code");
        // SAFETY: the buffer holds n entries.
        let a = best(500, || unsafe { call(&context, 0, n as i64) });
        let b = best(100, || {
            y.iter_mut()
                .enumerate()
                .for_each(|(k, y)| *y = gannet_compiler::philox::draw(dist, 0, 0, 1, k as u64) as f32);
            std::hint::black_box(&y);
        });
        println!("{dist:?}: code {:.3} ns, one by one {:.3} ns a draw", a / n as f64, b / n as f64);
    }
}

fn softmax_by_hand(x: &[f32], y: &mut [f32], m: usize) {
    for (x, y) in x.chunks(m).zip(y.chunks_mut(m)) {
        let most = x.iter().fold(f32::NEG_INFINITY, |a, b| if *b > a { *b } else { a });
        let mut total = 0.0;
        for (x, y) in x.iter().zip(&mut *y) {
            *y = (x - most).exp();
            total += *y;
        }
        y.iter_mut().for_each(|y| *y /= total);
    }
}

fn bench_softmax(rows: usize, m: usize, code: &Compiled) {
    let n = rows * m;
    let mut x: Vec<f32> = (0..n).map(|k| (k % 17) as f32 / 4.0 - 2.0).collect();
    let mut y = vec![0f32; n];
    let pointers = [x.as_mut_ptr().cast::<u8>(), y.as_mut_ptr().cast()];
    let sizes = [rows as i64, m as i64];
    let context = Context::new(&pointers, &sizes, &[], 1.0, 0);
    let call = code.traversal(0).expect("a traversal has code");
    // SAFETY: both buffers hold rows * m entries.
    let a = best(500, || unsafe { call(&context, 0, rows as i64) });
    let b = best(100, || {
        softmax_by_hand(&x, &mut y, m);
        std::hint::black_box(&y);
    });
    println!("softmax {rows} x {m}: code {:.3} ns, Rust {:.3} ns an entry", a / n as f64, b / n as f64);
}

fn main() {
    let code = compiled("adam", &adam());
    bench_adam(1 << 14, 2000, &code);
    bench_adam(10_000_000, 15, &code);
    bench_pointwise(Fun::Exp, f32::exp);
    bench_pointwise(Fun::Tanh, f32::tanh);
    bench_pointwise(Fun::Sigmoid, |x| 1.0 / (1.0 + (-x).exp()));
    bench_pointwise(Fun::Log, f32::ln);
    bench_pointwise(Fun::Softplus, |x| x.max(0.0) + (-x.abs()).exp().ln_1p());
    // The host's hyperbolic tangent costs what an error function does.
    bench_pointwise(Fun::Erf, f32::tanh);
    bench_draws();
    let code = compiled("softmax", &softmax());
    for m in [10, 64, 1000] {
        bench_softmax(100, m, &code);
    }
}
