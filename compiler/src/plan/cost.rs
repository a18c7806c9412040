//! What a kernel is estimated to cost: floating-point operations, bytes moved, and seconds on a machine.
//! Law: an estimate depends on the plan, the sizes and the machine only.

use super::{Address, BufferId, Contraction, Extent, Index, Inst, Kernel, Loop, Mode, Plan, Stmt, Traversal};
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
/// Seconds of an operation of the library.
const CALLED: f64 = 1e-9;
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
        let bytes = self.bytes(plan, sizes);
        let (flops, seconds) = match self {
            Kernel::Repeat(c) => return c.estimate(sizes, machine),
            Kernel::Traversal(t) => t.price(plan, sizes, machine),
            Kernel::Contraction(c) => c.price(bytes, plan, sizes, machine),
            Kernel::Library(c) => {
                let flops = c.flops(sizes);
                (flops, (flops * CALLED).max(moved(bytes, machine)))
            }
        };
        Estimate { flops, bytes, seconds: START + seconds }
    }

    /// Of each buffer that it reads and of each that it writes.
    fn bytes(&self, plan: &Plan, sizes: &[u64]) -> f64 {
        let mut uses = BTreeSet::new();
        self.each_use(&mut |b, written| {
            uses.insert((b, written));
        });
        uses.iter().map(|(b, _)| plan.bytes(*b, sizes) as f64).sum()
    }
}

impl Traversal {
    /// Operations and seconds.
    fn price(&self, plan: &Plan, sizes: &[u64], machine: &Machine) -> (f64, f64) {
        let mut work = Work::new(plan, sizes);
        let (flops, time) = work.of(&self.outer, 1.0, 1.0);
        (flops, shared(time, self.parallel, machine).max(moved(work.touched(), machine)))
    }
}

impl Contraction {
    /// Operations and seconds.
    fn price(&self, bytes: f64, plan: &Plan, sizes: &[u64], machine: &Machine) -> (f64, f64) {
        let count = |list: &[Extent]| Extent::product(list, sizes) as f64;
        let (batch, m, n, k) = (count(&self.batch), count(&self.m), count(&self.n), count(&self.k));
        let epilogue = self.epilogue.as_ref();
        let (after, finish) = epilogue.map_or((0.0, 0.0), |e| Work::new(plan, sizes).of(&e.rows, 1.0, 1.0));
        let product = 2.0 * batch * m * n * k;
        // Rows and columns fill register blocks, sums are long enough to be worth loading them; blocks are packed.
        let fill = |count: f64, block: f64| count / ((count / block).ceil() * block);
        let rate = machine.product / machine.threads * fill(m.max(n), 16.0).max(0.2) * (k / (k + 12.0));
        let packing = batch * (m * k + k * n + 2.0 * m * n) * OPERATION;
        let time = shared(product / rate + packing + finish, true, machine);
        (product + after, time.max(moved(bytes, machine)))
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

/// Counts the work of a body, and what it reads and writes.
struct Work<'a> {
    plan: &'a Plan,
    sizes: &'a [u64],
    /// What is read, and how many bytes by all looks at it together.
    read: BTreeMap<BufferId, f64>,
    written: BTreeMap<BufferId, f64>,
}

impl<'a> Work<'a> {
    fn new(plan: &'a Plan, sizes: &'a [u64]) -> Self {
        Work { plan, sizes, read: BTreeMap::new(), written: BTreeMap::new() }
    }

    /// Bytes that come through the caches: of what is hardly looked at no more than a line for each look.
    fn touched(&self) -> f64 {
        let all = self.read.iter().chain(&self.written);
        all.map(|(b, looked)| (self.plan.bytes(*b, self.sizes) as f64).min(*looked)).sum()
    }

    /// Operations and seconds of one thread, of a loop that is run so many times, inside of one in so many lanes.
    fn of(&mut self, l: &Loop, around: f64, times: f64) -> (f64, f64) {
        let count = l.range.count(self.sizes) as f64;
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
            Stmt::Let(_, Inst::Map(fun, args)) => {
                (args.len().max(2) as f64 - 1.0, OPERATION * additions(*fun, args.len()))
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

/// How many additions a function of so many operands takes the time of, about.
pub(crate) fn additions(fun: Fun, args: usize) -> f64 {
    match fun {
        Fun::Add | Fun::Mul => (args.max(2) - 1) as f64,
        Fun::Exp | Fun::Log | Fun::Expm1 | Fun::Log1p => 7.0,
        Fun::Sigmoid | Fun::Sin | Fun::Cos => 10.0,
        Fun::Tanh | Fun::Softplus | Fun::Erf | Fun::Tan | Fun::Pow | Fun::Atan2 => 14.0,
        Fun::Recip | Fun::Sqrt | Fun::Div => 3.0,
        _ => 1.0,
    }
}
