//! What a kernel is estimated to cost: floating-point operations, bytes moved, and seconds on a machine.
//! Law: an estimate depends on the plan, the sizes and the machine only.

use super::{
    Address, BufferId, Contraction, Extent, Index, Inst, Kernel, Kind, LibraryCall, Loop, Mode, Plan, Range, Scope,
    Stmt, Traversal,
};
use gannet_lang::program::Fun;
use std::collections::{BTreeMap, BTreeSet};

/// The price of a kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Scalar operations on reals; a call such as `exp` counts as one.
    pub flops: f64,
    /// Each buffer read and each buffer written counts once, whole.
    pub bytes: f64,
    /// On the machine.
    pub seconds: f64,
}

/// What a machine can do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Operations a second in large products of single precision, all threads together.
    pub product: f64,
    /// Bytes a second from and to memory, all threads together.
    pub memory: f64,
    /// Threads.
    pub threads: f64,
}

impl Default for Machine {
    /// Two cores with vectors of 512 bits, as estimates assume where nothing was measured.
    fn default() -> Self {
        Machine { product: 190e9, memory: 45e9, threads: 2.0 }
    }
}

/// Bytes a second from caches, for one from memory.
const CACHE: f64 = 4.0;
/// Fewer bytes than this stay in a near cache from kernel to kernel.
const CACHED: f64 = 1e6;
/// Seconds to start a kernel, and to hand parts of it to other threads.
const START: f64 = 6e-7;
const SHARE: f64 = 2e-6;
/// Bytes of a line of a cache.
const LINE: f64 = 64.0;
/// Less work than this, in seconds of one thread, is not shared among threads.
const ALONE: f64 = 1.2e-5;
/// Steps of a loop in lanes go through so many entries.
const LANES: f64 = 8.0;
/// Seconds of an operation on a vector or on a number.
const OPERATION: f64 = 1e-10;
/// Seconds that an iteration of a loop takes besides, and that a loop takes before its first.
const ITERATION: f64 = 6e-10;
const LOOP: f64 = 2e-9;
/// Seconds to combine the lanes of a reduction after its loop.
const COMBINE: f64 = 3e-9;
/// Seconds to add to an entry that others add to as well.
const ADD: f64 = 1.5e-9;
/// A sum along a loop waits for the one before it, though not where several run at once.
const CARRIED: f64 = 3e-10;

impl Kernel {
    /// The estimate, given the sizes of all dims, on a machine as the default has it.
    pub fn estimate(&self, plan: &Plan, sizes: &[u64]) -> Estimate {
        self.estimate_on(plan, sizes, &Machine::default())
    }

    /// The estimate, given the sizes of all dims.
    pub fn estimate_on(&self, plan: &Plan, sizes: &[u64], machine: &Machine) -> Estimate {
        match self {
            Kernel::Traversal(t) => t.estimate(plan, sizes, machine),
            Kernel::Contraction(c) => c.estimate(plan, sizes, machine),
            Kernel::Repeat(c) => c.estimate(sizes, machine),
            Kernel::Library(c) => c.estimate(plan, sizes, machine),
        }
    }
}

impl Traversal {
    fn estimate(&self, plan: &Plan, sizes: &[u64], machine: &Machine) -> Estimate {
        let mut work = Work::new(plan, sizes, &self.scope);
        let (flops, time) = work.of(&self.outer, 1.0, 1.0);
        let seconds = shared(time, self.parallel, machine).max(moved(work.touched(), machine));
        let bytes = work.bytes();
        Estimate { flops, bytes, seconds: START + seconds }
    }
}

impl Contraction {
    fn estimate(&self, plan: &Plan, sizes: &[u64], machine: &Machine) -> Estimate {
        let count = |list: &[Extent]| list.iter().map(|e| e.eval(sizes) as f64).product::<f64>();
        let (batch, m, n, k) = (count(&self.batch), count(&self.m), count(&self.n), count(&self.k));
        let mut read = BTreeSet::from([self.a.buffer, self.b.buffer]);
        let mut written: BTreeSet<BufferId> = self.c.iter().map(|c| c.buffer).collect();
        let mut after = (0.0, 0.0);
        if let Some(e) = &self.epilogue {
            let mut work = Work::new(plan, sizes, &e.scope);
            after = work.of(&e.rows, 1.0, 1.0);
            read.extend(work.read.keys());
            written.extend(work.written.keys());
        }
        let product = 2.0 * batch * m * n * k;
        let bytes = total(plan, sizes, &read) + total(plan, sizes, &written);
        // Rows and columns fill register blocks, sums are long enough to be worth loading them; blocks are packed.
        let fill = |count: f64, block: f64| count / ((count / block).ceil() * block);
        let rate = machine.product / machine.threads * fill(m.max(n), 16.0).max(0.2) * (k / (k + 12.0));
        let packing = batch * (m * k + k * n + 2.0 * m * n) * 1e-10;
        let time = shared(product / rate + packing + after.1, true, machine);
        Estimate { flops: product + after.0, bytes, seconds: START + time.max(moved(bytes, machine)) }
    }
}

impl LibraryCall {
    fn estimate(&self, plan: &Plan, sizes: &[u64], machine: &Machine) -> Estimate {
        let read: BTreeSet<BufferId> = self.operands.iter().map(|o| o.buffer).collect();
        let written: BTreeSet<BufferId> = self.results.iter().flatten().map(|r| r.buffer).collect();
        let flops = self.flops(sizes);
        let bytes = total(plan, sizes, &read) + total(plan, sizes, &written);
        Estimate { flops, bytes, seconds: START + (flops * 1e-9).max(moved(bytes, machine)) }
    }
}

/// Seconds of work that takes so many on one thread.
fn shared(time: f64, parallel: bool, machine: &Machine) -> f64 {
    if parallel && time > ALONE && machine.threads > 1.0 { SHARE + time / machine.threads } else { time }
}

/// Seconds to move bytes.
fn moved(bytes: f64, machine: &Machine) -> f64 {
    let near = bytes.min(CACHED);
    near / (CACHE * machine.memory) + (bytes - near) / machine.memory
}

fn total(plan: &Plan, sizes: &[u64], buffers: &BTreeSet<BufferId>) -> f64 {
    buffers.iter().map(|b| plan.bytes(*b, sizes) as f64).sum()
}

/// Counts the work of a body, and what it reads and writes.
struct Work<'a> {
    plan: &'a Plan,
    sizes: &'a [u64],
    scope: &'a Scope,
    /// What is read, and how many bytes by all looks at it together.
    read: BTreeMap<BufferId, f64>,
    written: BTreeMap<BufferId, f64>,
}

impl<'a> Work<'a> {
    fn new(plan: &'a Plan, sizes: &'a [u64], scope: &'a Scope) -> Self {
        Work { plan, sizes, scope, read: BTreeMap::new(), written: BTreeMap::new() }
    }

    fn bytes(&self) -> f64 {
        self.read.keys().chain(self.written.keys()).map(|b| self.plan.bytes(*b, self.sizes) as f64).sum()
    }

    /// Bytes that come through the caches: of what is hardly looked at no more than a line for each look.
    fn touched(&self) -> f64 {
        let all = self.read.iter().chain(&self.written);
        all.map(|(b, looked)| (self.plan.bytes(*b, self.sizes) as f64).min(*looked)).sum()
    }

    /// Operations and seconds of one thread, of a loop that is run so many times, inside of one in so many lanes.
    fn of(&mut self, l: &Loop, around: f64, times: f64) -> (f64, f64) {
        let count = match &l.range {
            Range::Full(e) => e.eval(self.sizes) as f64,
            Range::Block { size, extent, .. } => (extent.eval(self.sizes) as f64).min(*size as f64),
            Range::Blocks { size, extent } => (extent.eval(self.sizes) as f64 / *size as f64).ceil(),
        };
        let lanes = if l.mode == Mode::Vector { LANES } else { 1.0 };
        let accs = l.accs.len() as f64;
        let (mut flops, mut time) = (accs, ITERATION + accs * CARRIED);
        for s in &l.body {
            let (f, t) = self.statement(s, around * lanes, times * count, l);
            flops += f;
            time += t;
        }
        // What is left beyond the last full vector is done entry by entry.
        let turns = (count / lanes).floor() + count % lanes;
        let combined = if lanes > 1.0 { accs * COMBINE } else { 0.0 };
        (count * flops, LOOP + combined + turns * time)
    }

    fn statement(&mut self, s: &Stmt, lanes: f64, times: f64, around: &Loop) -> (f64, f64) {
        match s {
            Stmt::Let(_, Inst::Load(b, address)) => {
                let (bytes, time) = self.access(*b, address, lanes, around);
                *self.read.entry(*b).or_default() += times * bytes;
                (0.0, time)
            }
            Stmt::Let(v, Inst::Map(fun, args)) => {
                let real = self.scope.values[v.index()] == Kind::Real;
                let times = args.len().max(2) as f64 - 1.0;
                (times, times * OPERATION * weight(*fun, real))
            }
            Stmt::Let(_, Inst::Random(..)) => (0.0, 40.0 * OPERATION),
            Stmt::Let(..) => (0.0, 0.0),
            Stmt::Store(b, address, _) => {
                let (bytes, time) = self.access(*b, address, lanes, around);
                *self.written.entry(*b).or_default() += times * bytes;
                (0.0, 2.0 * time)
            }
            Stmt::Accumulate(_, b, address, _) => {
                let bytes = self.access(*b, address, lanes, around).0;
                *self.read.entry(*b).or_default() += times * bytes;
                *self.written.entry(*b).or_default() += times * bytes;
                (1.0, lanes * ADD)
            }
            Stmt::Loop(inner) => self.of(inner, lanes, times),
        }
    }

    /// Bytes that come with one look at an entry, and seconds for all lanes together: those that do not lie side by side
    /// are fetched one by one.
    fn access(&self, b: BufferId, address: &Address, lanes: f64, around: &Loop) -> (f64, f64) {
        let entries = self.plan.entries(b).eval(self.sizes).max(1) as f64;
        let width = self.plan.bytes(b, self.sizes) as f64 / entries;
        let looked_up = address.terms.iter().any(|t| matches!(t.0, Index::Value(_)));
        let gathers = lanes > 1.0
            && address.terms.iter().any(|(index, c, stride)| match index {
                Index::Value(_) => true,
                Index::Loop(l) => around.mode == Mode::Vector && *l == around.id && !(*c == 1 && stride.is(1)),
            });
        (if looked_up { LINE } else { width }, if gathers { lanes * 1.5 * OPERATION } else { OPERATION })
    }
}

/// How many simple operations a function takes.
fn weight(fun: Fun, real: bool) -> f64 {
    use Fun::*;
    match fun {
        Exp | Log | Tanh | Sigmoid => 14.0,
        Expm1 | Log1p | Softplus | Erf | Sin | Cos | Tan | Atan2 => 22.0,
        Pow => 40.0,
        Recip | Div | Sqrt => 5.0,
        IntDiv | Mod => 30.0,
        _ if real => 1.0,
        _ => 1.5,
    }
}
